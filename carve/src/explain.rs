//! Why a recovered row has its confidence.

use crate::confidence::model::{Part, Weights, probability};
use crate::confidence::{self, Confidence, MODEL, Taken, Term};
use crate::error::Error;
use crate::model::State;
use crate::undelete::Recovered;
use mudlark_parsers::claim::Claims;
use rusqlite::{OptionalExtension, Row};
use std::path::Path;

/// A row of a recovered database, and what its confidence is made of.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Its number.
    pub version: i64,
    /// Its table, under the name in the recovered database.
    pub table: String,
    /// Its state.
    pub state: String,
    /// Its transaction's state.
    pub transaction: String,
    /// Where it was seen: method and page of each place.
    pub places: Vec<(String, Option<i64>)>,
    /// How likely the page that it stands on is of its file, which was found in an image.
    pub share: f64,
    /// How sure it is.
    pub confidence: Confidence,
    /// What each term adds to the log-odds of each [`Part`]; `None` where too few rows like it were seen.
    pub terms: Option<Vec<(Term, Weights)>>,
}

impl Explanation {
    /// The sum of the terms, and its probability, for a part.
    #[must_use]
    pub fn sum(&self, part: Part) -> Option<(f64, f64)> {
        let sum = self.terms.as_ref()?.iter().map(|(_, weights)| weights[part as usize]).sum();
        Some((sum, probability(sum)))
    }
}

/// How exactly products of probabilities come out.
const NEAR: f64 = 1e-9;

/// What a recovered database says of a row.
struct Stored {
    table: String,
    state: String,
    transaction: String,
    weights: [Option<f64>; 3],
    full: bool,
    claims: Claims,
}

/// Explains the row `version` of the database at `path`.
///
/// # Errors
/// When it is no output of `recover`, was made with another model, or has no such row.
pub fn explain(path: &Path, version: i64) -> Result<Explanation, Error> {
    let recovered = Recovered::open(path)?;
    let made_with: Option<String> = recovered.reading(|connection| {
        connection.query_row("SELECT model_version FROM mudlark_run", [], |row| row.get(0))
    })?;
    let refused = |reason: String| Error::NotAStore { path: path.to_owned(), reason };
    if made_with.as_deref() != Some(MODEL.name) {
        let made_with = made_with.unwrap_or_else(|| "no model".to_owned());
        let text =
            format!("its numbers are of another model ({made_with}, this is {}); recover anew", MODEL.name);
        return Err(refused(text));
    }
    let sql =
        "SELECT t.output_name, v.state, v.\"transaction\", v.confidence, v.content, v.placement, v.missing,
                      v.claims, v.more_claims
               FROM mudlark_version v JOIN mudlark_table t USING (table_id) WHERE v.version = ?";
    let stored = recovered.reading(|connection| connection.query_row(sql, [version], read).optional())?;
    let Some(stored) = stored else {
        return Err(Error::Usage(format!("--version {version}: {} has no such row", path.display())));
    };
    let sql =
        "SELECT DISTINCT evidence, method, page FROM mudlark_evidence WHERE version = ? ORDER BY evidence";
    let places = recovered.reading(|connection| {
        let mut places = connection.prepare(sql)?;
        places.query_map([version], |row| Ok((row.get(1)?, row.get(2)?)))?.collect()
    })?;
    let Stored { table, state, transaction, weights, full, claims } = stored;
    let named = State::ALL.into_iter().find(|other| other.name() == state);
    let named = named.ok_or_else(|| refused(format!("version {version} has an unknown state {state:?}")))?;
    // A row that lacks nothing but a name of its row id counts as full: the numbers tell.
    let stored = [full, true]
        .into_iter()
        .find_map(|full| Some((full, share(confidence::weigh(named, full, claims), weights)?)));
    let (full, share) =
        stored.ok_or_else(|| refused(format!("the numbers of version {version} were changed")))?;
    let taken = Taken::of(named, claims);
    let terms = Term::of(taken, full, claims).map(|term| Some((term, MODEL.weights(term)?))).collect();
    let confidence = confidence::weigh(named, full, claims);
    Ok(Explanation { version, table, state, transaction, places, share, confidence, terms })
}

/// How likely the page of a row is of its file when these weights were stored of it; `None` where the numbers are not those of the
/// model.
fn share(said: Confidence, stored: [Option<f64>; 3]) -> Option<f64> {
    let parts =
        |said: Confidence| [said.confidence, said.content, said.placement].map(|part| said.known(part));
    if parts(said) == stored {
        return Some(1.0);
    }
    let share = stored.last().copied().flatten()? / said.placement;
    let near = |one: Option<f64>, other: Option<f64>| {
        one.zip(other).is_some_and(|(one, other)| (one - other).abs() <= NEAR)
    };
    let is_stored = |on_several: &bool| {
        let parts = parts(said.shared(share, *on_several));
        parts.into_iter().zip(stored).all(|(one, other)| near(one, other))
    };
    let any = (0.0..1.0).contains(&share) && [false, true].iter().any(is_stored);
    any.then_some(share)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let missing: Option<String> = row.get(6)?;
    Ok(Stored {
        table: row.get(0)?,
        state: row.get(1)?,
        transaction: row.get(2)?,
        weights: [row.get(3)?, row.get(4)?, row.get(5)?],
        full: missing.is_none(),
        claims: Claims::from_columns([row.get(7)?, row.get(8)?]),
    })
}
