//! The result of one case.

use super::put;
use crate::error::Error;
use crate::score::{Counts, Tally};
use serde_json::{Map, Value as Json, json};
use std::fs;
use std::path::Path;

/// How a case came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Rows were recovered.
    Done,
    /// The sources were read and no row was found.
    Nothing,
    /// The program could not run on it.
    Failed,
    /// The program died.
    Crashed,
    /// It took too long.
    Timeout,
    /// It took too much memory.
    Memory,
}

impl Status {
    const ALL: [Self; 6] =
        [Self::Done, Self::Nothing, Self::Failed, Self::Crashed, Self::Timeout, Self::Memory];

    /// Its name in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Nothing => "nothing found",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
            Self::Timeout => "took too long",
            Self::Memory => "took too much memory",
        }
    }

    /// Whether the case was read to its end.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(self, Self::Done | Self::Nothing)
    }
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq)]
pub struct CaseResult {
    /// The case's name.
    pub case: String,
    /// How it came out.
    pub status: Status,
    /// Why it did not come out better.
    pub why: Option<String>,
    /// Row versions, at the least confidence of the run or above.
    pub rows: u64,
    /// Names to sum up by.
    pub labels: Vec<(String, String)>,
    /// Its score, where it has an answer key.
    pub score: Option<(Counts, Tally)>,
    /// Seconds that it took.
    pub seconds: f64,
    /// The stamp of the case that it is of.
    pub stamp: String,
}

impl CaseResult {
    /// Writes the result under its name.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        put(path, &format!("{}\n", self.json()))
    }

    /// Reads a result; `None` when there is none that can be read.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        Self::of(&serde_json::from_str(&fs::read_to_string(path).ok()?).ok()?)
    }

    fn json(&self) -> Json {
        let labels: Map<String, Json> =
            self.labels.iter().map(|(label, name)| (label.clone(), json!(name))).collect();
        let score = self
            .score
            .as_ref()
            .map(|(counts, tally)| json!({"counts": counts.to_json(), "rows": tally.to_json()}));
        json!({
            "format": 1, "case": self.case, "status": self.status.name(), "why": self.why, "rows": self.rows,
            "labels": labels, "score": score, "seconds": self.seconds, "stamp": self.stamp,
        })
    }

    fn of(json: &Json) -> Option<Self> {
        let text = |field: &str| json[field].as_str().map(str::to_owned);
        let labels = json["labels"].as_object()?.iter();
        let score = &json["score"];
        Some(Self {
            case: text("case")?,
            status: Status::ALL.into_iter().find(|status| json["status"] == status.name())?,
            why: text("why"),
            rows: json["rows"].as_u64()?,
            labels: labels
                .filter_map(|(label, name)| Some((label.clone(), name.as_str()?.to_owned())))
                .collect(),
            score: score
                .is_object()
                .then(|| (Counts::of_json(&score["counts"]), Tally::of_json(&score["rows"]))),
            seconds: json["seconds"].as_f64()?,
            stamp: text("stamp")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CaseResult, Status};
    use crate::score::{Counts, Emitted, Tally};

    #[test]
    fn a_result_is_read_as_it_was_written() {
        let mut tally = Tally::default();
        let row = r#"{"store":"sqlite","state":"deleted","confidence":0.91,"values":{},"evidence":[{"method":"freeblock"}]}"#;
        tally.add(&Emitted::parse(row).expect("a row"), 0.91, true);
        let mut counts = Counts { hit: 3, rec_gone: 4, ..Counts::default() };
        counts.points.wrong = 2;
        counts.class_hit[5] = 7;
        let result = CaseResult {
            case: "a".into(),
            status: Status::Memory,
            why: Some("took 3 GiB".into()),
            rows: 5,
            labels: vec![("damage".into(), "bitflips".into())],
            score: Some((counts, tally)),
            seconds: 0.25,
            stamp: "ff".into(),
        };
        assert_eq!(CaseResult::of(&result.json()), Some(result));
    }
}
