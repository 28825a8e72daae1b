//! The scorer: recovered rows against the answer key of a case.
//!
//! A case is a folder with `evidence/`, which a tool may read, and `truth.json`, which says what was there. Rows are
//! matched by all columns but an `INTEGER PRIMARY KEY`, and that one too where it is given; one row credits one row of
//! the key.

pub mod calibration;
pub mod counts;
pub mod lifetimes;
pub mod matching;
pub mod norm;
pub mod report;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod truth;

pub use counts::Counts;
pub use matching::{Emitted, Matcher, Score};
pub use tally::Tally;
pub use truth::Truth;

use crate::error::Error;
use std::path::Path;

/// A case and its score.
#[derive(Clone, Debug)]
pub struct CaseScore {
    /// The case's folder name.
    pub name: String,
    /// Names to sum up by.
    pub labels: Vec<(&'static str, String)>,
    /// The score.
    pub score: Score,
}

/// Scores rows that were recovered from a case, as they come. Rows below the confidence `at` count in the calibration
/// only.
///
/// # Errors
/// When the answer key or the log of the case can't be read.
pub fn score_rows(case: &Path, rows: impl Iterator<Item = Emitted>, at: f64) -> Result<CaseScore, Error> {
    let (mut truth, mut bits) = Truth::read(case)?;
    let (labels, name) = (truth.labels.clone(), case.file_name());
    let name = name.map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let base = lifetimes::log_base(case, &truth)?;
    // Lifetimes are asked of the whole key, which the matcher has in its hands.
    let whole = base.map(|_| truth.clone());
    let (mut points, mut wrong) = (lifetimes::PointCounts::default(), Vec::new());
    let mut matcher = Matcher::new(&mut truth, at);
    let mut strict = Matcher::new(&mut bits, at);
    for row in rows {
        matcher.add(&row);
        strict.add(&row);
        let sure = row.confidence.is_none_or(|confidence| confidence >= at);
        if let (Some(base), Some(whole), true) = (base, &whole, sure) {
            lifetimes::check(whole, &row, base, &mut points, &mut wrong);
        }
    }
    let strict = strict.finish().counts;
    let mut score = matcher.finish();
    score.counts.bits_hit = strict.live_hit;
    score.counts.bits_wrong = strict.wronglive;
    score.counts.points = points;
    score.notes.extend(wrong);
    Ok(CaseScore { name, labels, score })
}
