//! Points in a store's history.

use crate::moments;
use std::fmt;
use std::str::FromStr;

/// A point in the history that a store's logs hold.
///
/// SQLite counts commits of a log's generation. InnoDB will add an LSN, PostgreSQL an LSN or a transaction id: each is
/// another variant, printed with its own prefix. Points of one store are in order of time; those of older generations
/// are so only within one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Before the first commit that the logs hold.
    BeforeLog,
    /// The n-th commit of which an older generation of the log still holds frames, from 1.
    Older {
        /// What tells the generation from all others.
        salts: [u32; 2],
        /// Its number.
        commit: u32,
    },
    /// The n-th commit of the log's current generation, from 1.
    Commit(u32),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeLog => f.write_str("before-log"),
            Self::Older { salts: [first, second], commit } => write!(f, "g{first:08x}-{second:08x}:{commit}"),
            Self::Commit(number) => write!(f, "commit:{number}"),
        }
    }
}

/// One stretch of time over which a version stood. `None` is unknown at the start; at the end it is still standing for a
/// live row, and unknown for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// The point that brought the version.
    pub from: Option<Point>,
    /// The point that ended it.
    pub to: Option<Point>,
}

/// Up to where a store is brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// This point.
    Point(Point),
    /// The last commit.
    Last,
    /// The main file as it lies.
    Checkpoint,
    /// The last commit that is surely before this moment, in microseconds since 1970 in UTC.
    Time(i64),
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Point(Point::BeforeLog) => f.write_str("commit:0"),
            Self::Point(point) => point.fmt(f),
            Self::Last => f.write_str("last"),
            Self::Checkpoint => f.write_str("checkpoint"),
            Self::Time(micros) => write!(f, "time:{}", moments::text(*micros)),
        }
    }
}

impl FromStr for Until {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let older = |text: &str| {
            let (generation, commit) = text.strip_prefix('g')?.split_once(':')?;
            let (first, second) = generation.split_once('-')?;
            let salt = |text: &str| u32::from_str_radix(text, 16).ok();
            Some(Point::Older { salts: [salt(first)?, salt(second)?], commit: commit.parse().ok()? })
        };
        if let Some(moment) = text.strip_prefix("time:") {
            return moments::parse(moment).map(Self::Time).ok_or_else(|| {
                format!("{text} is no point: a moment is given as time:2026-11-20T12:00:00Z, in UTC or with a zone")
            });
        }
        match text {
            "last" => Ok(Self::Last),
            "checkpoint" => Ok(Self::Checkpoint),
            "commit:0" | "before-log" => Ok(Self::Point(Point::BeforeLog)),
            _ => {
                let commit = text.strip_prefix("commit:").and_then(|number| number.parse().ok());
                let point = commit.map(Point::Commit).or_else(|| older(text));
                point.map(Self::Point).ok_or_else(|| {
                    format!(
                        "{text} is no point: give commit:N, g<salt1>-<salt2>:N, time:T, last or checkpoint, as \
                         `mudlark timeline` lists them"
                    )
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Until;

    #[test]
    fn a_point_reads_as_it_is_printed() {
        for point in [
            "commit:0",
            "commit:12",
            "g0000002a-722b26e0:3",
            "last",
            "checkpoint",
            "time:2026-11-20T12:00:00Z",
        ] {
            assert_eq!(point.parse::<Until>().map(|until| until.to_string()), Ok(point.to_owned()));
        }
    }

    #[test]
    fn what_is_no_point_is_told_with_what_is_one() {
        for no_point in
            ["", "commit:", "commit:-1", "commit:x", "g12:3", "gx-y:1", "time:", "time:noon", "latest"]
        {
            let why = no_point.parse::<Until>().err().unwrap_or_default();
            assert!(why.starts_with(&format!("{no_point} is no point: ")), "{why}");
        }
    }
}
