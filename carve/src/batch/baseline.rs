//! A run against an earlier one, over the cases that both have.

use crate::error::Error;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

/// What is better when it is more, and what when it is less.
const MORE: [&str; 4] = ["hit", "found_gone", "live_hit", "rows"];
const LESS: [&str; 4] = ["phantoms", "rereads", "wronglive", "not_read"];

/// A count that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is counted.
    pub what: &'static str,
    /// Before.
    pub before: u64,
    /// Now.
    pub now: u64,
}

impl Change {
    /// Whether it is for the worse.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        if MORE.contains(&self.what) { self.now < self.before } else { self.now > self.before }
    }
}

/// What changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Cases that both have.
    pub cases: usize,
    /// Sums over them that changed.
    pub total: Vec<Change>,
    /// Cases of which a count is worse.
    pub worse: Vec<(String, Vec<Change>)>,
}

impl Comparison {
    /// Whether any sum is worse.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.total.iter().any(Change::is_loss)
    }
}

/// Reads an earlier run's summary.
///
/// # Errors
/// When it can't be read or is none.
pub fn read(path: &Path) -> Result<Json, Error> {
    let failed = |error| Error::Source { path: path.to_owned(), what: "can't be read", error };
    let text = fs::read_to_string(path).map_err(failed)?;
    let json: Option<Json> = serde_json::from_str(&text).ok();
    json.filter(|json| json["format"] == 1 && json["case"].is_object()).ok_or_else(|| Error::Form {
        path: path.to_owned(),
        what: "is no summary of a run; --baseline expects its summary.json".to_owned(),
    })
}

/// Compares two summaries.
#[must_use]
pub fn compare(before: &Json, now: &Json) -> Comparison {
    let mut out = Comparison::default();
    let mut sums = [[0_u64; 2]; MORE.len() + LESS.len()];
    for (name, own) in now["case"].as_object().into_iter().flatten() {
        let Some(other) = before["case"].get(name) else { continue };
        out.cases += 1;
        let mut changes = Vec::new();
        for (what, sum) in MORE.iter().chain(&LESS).zip(&mut sums) {
            let (before, now) = (count(other, what), count(own, what));
            sum[0] += before;
            sum[1] += now;
            changes.push(Change { what, before, now });
        }
        changes.retain(Change::is_loss);
        if !changes.is_empty() {
            out.worse.push((name.clone(), changes));
        }
    }
    let total = MORE.iter().chain(&LESS).zip(sums);
    out.total = total
        .filter(|(_, [before, now])| before != now)
        .map(|(what, [before, now])| Change { what, before, now })
        .collect();
    out
}

fn count(case: &Json, what: &str) -> u64 {
    match what {
        // Rows of scored cases count by whether they are right.
        "rows" => case["rows"].as_u64().filter(|_| case["score"].is_null()).unwrap_or(0),
        "not_read" => u64::from(case["status"] != "done" && case["status"] != "nothing found"),
        _ => case["score"][what].as_u64().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::compare;
    use serde_json::{Value as Json, json};

    fn run(hit: u64, phantoms: u64, status: &str) -> Json {
        json!({"format": 1, "case": {
            "a": {"status": status, "rows": 9, "score": {"hit": hit, "phantoms": phantoms}},
            "b": {"status": "done", "rows": 4, "score": null}}})
    }

    #[test]
    fn fewer_rows_more_wrong_ones_and_a_case_that_fails_are_losses() {
        let before = run(5, 1, "done");
        assert!(!compare(&before, &before).is_loss());
        assert!(!compare(&before, &run(6, 0, "done")).is_loss());
        for worse in [run(4, 1, "done"), run(5, 2, "done"), run(5, 1, "crashed")] {
            let compared = compare(&before, &worse);
            assert!(compared.is_loss());
            assert_eq!(compared.worse[0].0, "a");
        }
    }

    #[test]
    fn cases_that_only_one_run_has_are_not_compared() {
        let mut now = run(5, 1, "done");
        now["case"]["c"] = json!({"status": "crashed", "rows": 0, "score": null});
        let compared = compare(&run(5, 1, "done"), &now);
        assert!(!compared.is_loss());
        assert_eq!(compared.cases, 2);
    }
}
