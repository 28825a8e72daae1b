//! What happened to a store, transaction by transaction, as its logs tell.

use super::Point;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitState {
    /// It committed, and all that it wrote is there.
    Committed,
    /// The log ends before it does, or it would be rolled back.
    InDoubt,
    /// It is behind a record that is broken: what wrote it may have committed it, but the store would not read it.
    Torn,
    /// It committed; newer records may have taken the place of its first ones.
    PartlyOverwritten,
}

impl CommitState {
    /// The state, as outputs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::InDoubt => "in_doubt",
            Self::Torn => "torn",
            Self::PartlyOverwritten => "partly_overwritten",
        }
    }
}

/// What a transaction did to the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// The table, as it was called then.
    pub table: String,
    /// It is the engine's own.
    pub internal: bool,
    /// Rows that were not there before.
    pub inserted: u64,
    /// Rows with other cells than before.
    pub updated: u64,
    /// Rows that are not there any more.
    pub deleted: u64,
    /// Rows of which it is not known whether they were there before, or were left.
    pub unknown: u64,
    /// The counts are those of the rows themselves: nothing is unknown, and no page breaks a rule.
    pub exact: bool,
    /// So many rows were deleted that a person should look.
    pub bulk: bool,
    /// The table has no row left.
    pub emptied: bool,
}

/// A change of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaEvent {
    /// `created`, `dropped`, `altered` or `renamed`.
    pub what: &'static str,
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    /// Its name behind the transaction.
    pub name: String,
    /// Its name before, when that is another.
    pub from: Option<String>,
}

/// An end of an interval of time, and why it can't be further out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Microseconds since 1970 in UTC.
    pub micros: i64,
    /// What says so.
    pub evidence: String,
}

/// One transaction.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its name; `None` when it is no commit.
    pub point: Option<Point>,
    /// What holds it: `current`, the name of an older generation of a log, or `journal`.
    pub generation: String,
    /// What became of it.
    pub state: CommitState,
    /// Its first and last record in the log.
    pub records: Option<(u32, u32)>,
    /// Of its records, those that are damaged.
    pub damaged: u32,
    /// Pages that it wrote.
    pub pages: u64,
    /// Pages of the store behind it.
    pub page_count: Option<u32>,
    /// The store's own count of changes behind it, where it wrote that.
    pub change_counter: Option<u32>,
    /// What it did to rows; `None` when what was before is not known at all.
    pub rows: Option<Vec<RowCounts>>,
    /// What it did to definitions.
    pub schema: Vec<SchemaEvent>,
    /// It is not before this.
    pub not_before: Option<Bound>,
    /// It is not after this.
    pub not_after: Option<Bound>,
}

/// What the logs of a store tell.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The store, for a person.
    pub what: String,
    /// The transactions, the oldest first; those of older generations of a log first.
    pub commits: Vec<Commit>,
    /// What the logs can't tell, and why.
    pub notes: Vec<String>,
}

/// A store that was brought to a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The point; `None` for the main file as it lies.
    pub point: Option<Point>,
    /// Pages that were written.
    pub pages: u64,
    /// Of these, the ones that the log held.
    pub from_log: u64,
    /// Later commits that were left out.
    pub behind: u64,
}
