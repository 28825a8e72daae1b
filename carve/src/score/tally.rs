//! How many rows of each kind were right, at each confidence.

use super::matching::Emitted;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// The kind of a row: its store, how it was found, and its state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// The kind of store.
    pub store: String,
    /// The method of its first evidence.
    pub method: String,
    /// Its state.
    pub state: String,
}

/// Rows and how many of them were right, by kind and confidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<Kind, BTreeMap<u64, [u64; 2]>>);

impl Tally {
    /// Counts a row.
    pub fn add(&mut self, row: &Emitted, confidence: f64, right: bool) {
        let kind = Kind { store: row.store.clone(), method: row.method.clone(), state: row.state.clone() };
        // Confidences are not below zero, so that their bits have their order.
        let counts = self.0.entry(kind).or_default().entry(confidence.max(0.0).to_bits()).or_default();
        counts[0] += 1;
        counts[1] += u64::from(right);
    }

    /// As a list of `[store, method, state, confidence, rows, right]`.
    pub fn to_json(&self) -> Json {
        let lines = self.0.iter().flat_map(|(kind, levels)| {
            levels.iter().map(move |(bits, [rows, right])| {
                json!([kind.store, kind.method, kind.state, f64::from_bits(*bits), rows, right])
            })
        });
        Json::Array(lines.collect())
    }

    /// Reads what [`Tally::to_json`] gave.
    pub fn of_json(json: &Json) -> Self {
        let mut tally = Self::default();
        for line in json.as_array().into_iter().flatten() {
            let word = |place: usize| line[place].as_str().unwrap_or("-").to_owned();
            let kind = Kind { store: word(0), method: word(1), state: word(2) };
            let Some(confidence) = line[3].as_f64() else { continue };
            let counts = tally.0.entry(kind).or_default().entry(confidence.max(0.0).to_bits()).or_default();
            counts[0] += line[4].as_u64().unwrap_or(0);
            counts[1] += line[5].as_u64().unwrap_or(0);
        }
        tally
    }
}
