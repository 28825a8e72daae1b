//! Row versions, in batches that borrow from the sources.

use super::{Lifetime, TableId};
use crate::source::Span;
use mudlark_parsers::claim::Claims;
use mudlark_parsers::value::{TextEncoding, Value};
use std::borrow::Cow;
use std::ops::Range;

/// State of a row version at the chosen point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// The row stands with these cells.
    Live,
    /// Replaced by a later version of the same row.
    Superseded,
    /// The last version of a row that is gone.
    Deleted,
    /// Comes after the point.
    Later,
    /// Nothing tells.
    Unknown,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Live, Self::Superseded, Self::Deleted, Self::Later, Self::Unknown];

    /// The state, as outputs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Superseded => "superseded",
            Self::Deleted => "deleted",
            Self::Later => "later",
            Self::Unknown => "unknown",
        }
    }
}

/// Fate of the transaction that wrote a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transaction {
    /// It committed.
    Committed,
    /// It was rolled back.
    Aborted,
    /// The log ends before its end.
    InDoubt,
    /// Nothing tells.
    Unknown,
}

impl Transaction {
    /// The fate, as outputs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::InDoubt => "in_doubt",
            Self::Unknown => "unknown",
        }
    }
}

/// A cell of a row version.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A double.
    Real(f64),
    /// Text, in the encoding of the batch.
    Text(Cow<'a, [u8]>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
    /// Nothing of the cell is known.
    Missing,
    /// A part of the cell survives.
    Partial(Box<Partial>),
}

impl Cell<'_> {
    /// Its value; [`Value::Missing`] when it is not whole.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(int) => Value::Int(*int),
            Self::Real(real) => Value::Real(*real),
            Self::Text(bytes) => Value::Text(bytes),
            Self::Blob(bytes) => Value::Blob(bytes),
            Self::Missing | Self::Partial(_) => Value::Missing,
        }
    }

    /// Whether both hold the same value, to the last bit.
    #[must_use]
    pub fn is_same(&self, other: &Cell<'_>) -> bool {
        match (self, other) {
            (Self::Null, Cell::Null) | (Self::Missing, Cell::Missing) => true,
            (Self::Int(one), Cell::Int(other)) => one == other,
            (Self::Real(one), Cell::Real(other)) => one.to_bits() == other.to_bits(),
            (Self::Text(one), Cell::Text(other)) | (Self::Blob(one), Cell::Blob(other)) => one == other,
            (Self::Partial(one), Cell::Partial(other)) => one == other,
            _ => false,
        }
    }

    /// Whether the whole cell is known.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        !matches!(self, Self::Missing | Self::Partial(_))
    }
}

/// What survives of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial {
    /// Bytes of the whole cell.
    pub length: u64,
    /// Text rather than a BLOB.
    pub text: bool,
    /// Offset within the cell and the bytes there.
    pub known: Vec<(u64, Vec<u8>)>,
}

/// A cell that was inferred rather than read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// Index of the column.
    pub column: usize,
    /// From what.
    pub from: &'static str,
}

/// A place where a version was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// How the row was read there, as `table_leaf`.
    pub method: &'static str,
    /// The page.
    pub page: Option<u32>,
    /// The commit of the log that wrote the page.
    pub commit: Option<u32>,
    /// The spans in [`Batch::spans`], in the order of the row's bytes.
    pub spans: Range<u32>,
}

/// One version of a row.
#[derive(Clone, Debug)]
pub struct Row {
    /// The store's own row id.
    pub rowid: Option<i64>,
    /// Its state at the chosen point.
    pub state: State,
    /// Fate of its transaction.
    pub transaction: Transaction,
    /// Facts for and against it.
    pub claims: Claims,
    /// Its cells in [`Batch::cells`], one for each column of the table.
    pub cells: Range<u32>,
    /// Its evidence in [`Batch::evidence`].
    pub evidence: Range<u32>,
    /// When it stood, in [`Batch::lifetimes`]; empty when nothing tells, or when it never stood in a committed state.
    pub lifetimes: Range<u32>,
}

/// Row versions of one table.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The table.
    pub table: TableId,
    /// The encoding of text cells.
    pub encoding: TextEncoding,
    /// The versions.
    pub rows: Vec<Row>,
    /// The cells of all versions.
    pub cells: Vec<Cell<'a>>,
    /// The evidence of all versions.
    pub evidence: Vec<Evidence>,
    /// The spans of all evidence.
    pub spans: Vec<Span>,
    /// The lifetimes of all versions; rows that stood over the same time share them.
    pub lifetimes: Vec<Lifetime>,
    /// Cells that were inferred: the index into `rows`, and what. In row order.
    pub inferred: Vec<(u32, Inferred)>,
}

impl<'a> Batch<'a> {
    /// An empty batch.
    #[must_use]
    pub const fn new(table: TableId, encoding: TextEncoding) -> Self {
        Self {
            table,
            encoding,
            rows: Vec::new(),
            cells: Vec::new(),
            evidence: Vec::new(),
            spans: Vec::new(),
            lifetimes: Vec::new(),
            inferred: Vec::new(),
        }
    }

    /// Empties the batch; its memory stays for other rows.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.cells.clear();
        self.evidence.clear();
        self.spans.clear();
        self.lifetimes.clear();
        self.inferred.clear();
    }

    /// Makes room for `rows` rows of `columns` cells, each with two pieces of evidence.
    pub fn reserve(&mut self, rows: usize, columns: usize) {
        self.rows.reserve(rows);
        self.cells.reserve(rows.saturating_mul(columns));
        self.evidence.reserve(rows.saturating_mul(2));
        self.spans.reserve(rows.saturating_mul(2));
    }

    /// The cells of `row`.
    #[must_use]
    pub fn cells_of(&self, row: &Row) -> &[Cell<'a>] {
        self.cells.get(row.cells.start as usize..row.cells.end as usize).unwrap_or_default()
    }

    /// The evidence of `row`.
    #[must_use]
    pub fn evidence_of(&self, row: &Row) -> &[Evidence] {
        self.evidence.get(row.evidence.start as usize..row.evidence.end as usize).unwrap_or_default()
    }

    /// The spans of a piece of evidence.
    #[must_use]
    pub fn spans_of(&self, evidence: &Evidence) -> &[Span] {
        self.spans.get(evidence.spans.start as usize..evidence.spans.end as usize).unwrap_or_default()
    }

    /// Adds lifetimes for a row, unless the row before it has the same.
    pub fn add_lifetimes(&mut self, lifetimes: &[Lifetime]) -> Range<u32> {
        let last = self.rows.last().map(|row| row.lifetimes.clone());
        if let Some(last) = last.filter(|last| self.lifetimes_in(last) == lifetimes) {
            return last;
        }
        let from = self.lifetimes.len() as u32;
        self.lifetimes.extend_from_slice(lifetimes);
        from..self.lifetimes.len() as u32
    }

    fn lifetimes_in(&self, range: &Range<u32>) -> &[Lifetime] {
        self.lifetimes.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    /// When `row` stood.
    #[must_use]
    pub fn lifetimes_of(&self, row: &Row) -> &[Lifetime] {
        self.lifetimes_in(&row.lifetimes)
    }

    /// The inferred cells of the row at `index`.
    pub fn inferred_of(&self, index: usize) -> impl Iterator<Item = &Inferred> {
        let start = self.inferred.partition_point(|(row, _)| (*row as usize) < index);
        self.inferred
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take_while(move |(row, _)| *row as usize == index)
            .map(|(_, inferred)| inferred)
    }
}
