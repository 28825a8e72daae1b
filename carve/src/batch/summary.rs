//! All results of a run, summed up.
//!
//! Times are no part of it: a run that was killed and went on has the same summary as one that was not.

use super::interval::{Figure, Figures, Part, figures};
use super::result::{CaseResult, Status};
use crate::score::report::counts_json;
use crate::score::{Counts, Tally};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;

/// Rows that a group of rows needs before its calibration says anything.
pub const LEAST_ROWS: u64 = 200;

/// What scored cases are summed up by.
pub const LABELS: [&str; 4] = ["damage", "kind", "workload", "journal"];

/// What rows are summed up by, and how a row's group is named.
pub const GROUPS: [&str; 5] = ["store", "state", "method", "damage", "state, method and damage"];

/// The results of a run in order of the cases' names.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The results.
    pub results: Vec<CaseResult>,
}

/// The sums of some scored cases.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// How many cases.
    pub cases: u64,
    /// Their counts.
    pub counts: Counts,
    /// Their figures.
    pub figures: Figures,
}

/// The calibration of a group of rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSum {
    /// How many rows.
    pub rows: u64,
    /// How many of them were right.
    pub right: u64,
    /// The mean of their confidences.
    pub promised: f64,
    /// The calibration error, of groups that are large enough.
    pub ece: Option<Figure>,
}

impl Summary {
    /// The results in order.
    #[must_use]
    pub fn new(mut results: Vec<CaseResult>) -> Self {
        results.sort_by(|a, b| a.case.cmp(&b.case));
        Self { results }
    }

    /// How many cases came out in which way.
    #[must_use]
    pub fn by_status(&self) -> BTreeMap<Status, u64> {
        let mut out = BTreeMap::new();
        for result in &self.results {
            *out.entry(result.status).or_default() += 1;
        }
        out
    }

    /// Whether every case was read to its end.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.results.iter().all(|result| result.status.is_read())
    }

    /// Row versions of all cases.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.results.iter().map(|result| result.rows).sum()
    }

    /// The sums of all scored cases; `None` without one.
    #[must_use]
    pub fn total(&self) -> Option<Sum> {
        Some(sum(self.scored())).filter(|sum| sum.cases > 0)
    }

    /// The sums of scored cases by the names of a label, the worst first.
    #[must_use]
    pub fn by_label(&self, label: &str) -> Vec<(String, Sum)> {
        let mut groups: BTreeMap<&str, Vec<&CaseResult>> = BTreeMap::new();
        for result in self.scored() {
            for (_, name) in result.labels.iter().filter(|(own, _)| own == label) {
                groups.entry(name).or_default().push(result);
            }
        }
        let mut sums: Vec<(String, Sum)> =
            groups.into_iter().map(|(name, cases)| (name.to_owned(), sum(cases.into_iter()))).collect();
        let found = |sum: &Sum| sum.figures.gone_recall.map_or(1.0, |f| f.value) + sum.counts.live_recall();
        sums.sort_by(|a, b| found(&a.1).total_cmp(&found(&b.1)));
        sums
    }

    /// The calibration of rows by one of [`GROUPS`].
    #[must_use]
    pub fn by_rows(&self, group: &str) -> BTreeMap<String, RowSum> {
        let mut parts: BTreeMap<String, Vec<Part>> = BTreeMap::new();
        let mut sums: BTreeMap<String, RowSum> = BTreeMap::new();
        for result in self.scored() {
            let damage = result.labels.iter().find(|(label, _)| label == "damage");
            let damage = damage.map_or("none", |(_, name)| name);
            let Some((_, tally)) = &result.score else { continue };
            let mut own: BTreeMap<String, BTreeMap<u64, [u64; 2]>> = BTreeMap::new();
            for (kind, levels) in &tally.0 {
                let name = match group {
                    "store" => kind.store.clone(),
                    "state" => kind.state.clone(),
                    "method" => kind.method.clone(),
                    "damage" => damage.to_owned(),
                    _ => format!("{}, {}, {damage}", kind.state, kind.method),
                };
                let into = own.entry(name).or_default();
                for (bits, [rows, right]) in levels {
                    let level = into.entry(*bits).or_default();
                    level[0] += rows;
                    level[1] += right;
                }
            }
            for (name, levels) in own {
                let empty = RowSum { rows: 0, right: 0, promised: 0.0, ece: None };
                let sum = sums.entry(name.clone()).or_insert(empty);
                for (bits, [rows, right]) in &levels {
                    sum.rows += rows;
                    sum.right += right;
                    sum.promised += f64::from_bits(*bits) * *rows as f64;
                }
                parts.entry(name).or_default().push(Part::of_levels(levels.into_iter().collect()));
            }
        }
        for (name, sum) in &mut sums {
            sum.promised /= sum.rows.max(1) as f64;
            if sum.rows >= LEAST_ROWS {
                sum.ece = parts.get(name).and_then(|parts| figures(parts).ece);
            }
        }
        sums
    }

    fn scored(&self) -> impl Iterator<Item = &CaseResult> {
        self.results.iter().filter(|result| result.score.is_some())
    }

    /// The summary as JSON.
    #[must_use]
    pub fn json(&self) -> Json {
        let status: Map<String, Json> =
            self.by_status().into_iter().map(|(status, n)| (status.name().to_owned(), json!(n))).collect();
        let cases: Map<String, Json> = self
            .results
            .iter()
            .map(|result| {
                let counts = result.score.as_ref().map(|(counts, _)| counts_json(counts));
                let line = json!({"status": result.status.name(), "why": result.why, "rows": result.rows,
                    "score": counts.map(without_seconds)});
                (result.case.clone(), line)
            })
            .collect();
        let by: Map<String, Json> = LABELS
            .iter()
            .map(|label| {
                let sums =
                    self.by_label(label).into_iter().map(|(name, sum)| (name, sum_json(&sum))).collect();
                ((*label).to_owned(), Json::Object(sums))
            })
            .collect();
        let rows: Map<String, Json> = GROUPS
            .iter()
            .map(|group| {
                let sums =
                    self.by_rows(group).into_iter().map(|(name, sum)| (name, rows_json(&sum))).collect();
                ((*group).to_owned(), Json::Object(sums))
            })
            .collect();
        json!({
            "format": 1, "cases": self.results.len(), "status": status, "rows": self.rows(),
            "total": self.total().map(|sum| sum_json(&sum)), "by": by, "calibration": rows, "case": cases,
        })
    }
}

fn sum<'r>(results: impl Iterator<Item = &'r CaseResult>) -> Sum {
    let mut out = Sum::default();
    let mut parts = Vec::new();
    let empty = Tally::default();
    for result in results {
        let Some((counts, tally)) = result.score.as_ref() else { continue };
        out.cases += 1;
        out.counts += counts;
        parts.push(Part::of(counts, if result.status.is_read() { tally } else { &empty }));
    }
    out.figures = figures(&parts);
    out
}

fn sum_json(sum: &Sum) -> Json {
    let f = &sum.figures;
    json!({
        "cases": sum.cases,
        "gone_recall": figure_json(f.gone_recall), "gone_precision": figure_json(f.gone_precision),
        "live_recall": figure_json(f.live_recall), "gone_ece": figure_json(f.ece), "gone_brier": figure_json(f.brier),
        "counts": without_seconds(counts_json(&sum.counts)),
    })
}

fn rows_json(sum: &RowSum) -> Json {
    json!({"rows": sum.rows, "right": sum.right, "mean_confidence": rounded(sum.promised), "ece": figure_json(sum.ece)})
}

/// A figure and the ends of its interval.
fn figure_json(figure: Option<Figure>) -> Json {
    figure.map_or(Json::Null, |f| json!([rounded(f.value), rounded(f.low), rounded(f.high)]))
}

/// To six places: sums in another order differ behind them.
fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

fn without_seconds(mut counts: Json) -> Json {
    if let Some(counts) = counts.as_object_mut() {
        counts.shift_remove("seconds");
    }
    counts
}
