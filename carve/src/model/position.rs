//! Points in a store's history.

use std::fmt;

/// A point in the history that a store's logs hold.
///
/// SQLite counts commits of the log's current generation. InnoDB will add an LSN, PostgreSQL an LSN or a
/// transaction id: each is another variant, printed with its own prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Point {
    /// Before the first commit that the logs hold.
    BeforeLog,
    /// The n-th commit of the log's current generation, from 1.
    Commit(u32),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeLog => f.write_str("before-log"),
            Self::Commit(number) => write!(f, "commit:{number}"),
        }
    }
}

/// One stretch of time over which a version stood; `None` is unknown at the start, and still standing at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifetime {
    /// The point that brought the version.
    pub from: Option<Point>,
    /// The point that ended it.
    pub to: Option<Point>,
}
