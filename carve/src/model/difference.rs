//! What differs between two points of a store.

use super::{Cell, Column, Point, SchemaEvent, TableDdl};
use mudlark_parsers::sqlite::ddl;
use mudlark_parsers::value::TextEncoding;

/// What became of a row between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Became {
    /// It was not there, and is.
    Added,
    /// It has other cells.
    Changed,
    /// It was there, and is not.
    Removed,
    /// What it was at one of the points is lost: it may be as it was.
    Unknown,
}

impl Became {
    /// The change, as outputs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Unknown => "unknown",
        }
    }

    /// What takes it back.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Added => Self::Removed,
            Self::Removed => Self::Added,
            other => other,
        }
    }
}

/// A row at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct RowThen<'a> {
    /// The store's own row id.
    pub rowid: Option<i64>,
    /// Its cells, one for each column of the table at that point.
    pub cells: Vec<Cell<'a>>,
}

/// A row at both points.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDelta<'a> {
    /// What became of it.
    pub became: Became,
    /// As it was.
    pub before: Option<RowThen<'a>>,
    /// As it is.
    pub after: Option<RowThen<'a>>,
}

/// A table at a point.
#[derive(Clone, Debug)]
pub struct TableThen {
    /// Its name.
    pub name: String,
    /// The columns of its rows.
    pub columns: Vec<Column>,
    /// What rows read in each column that were written before it was added.
    pub defaults: Vec<Cell<'static>>,
    /// Its definition, where it can be read.
    pub ddl: Option<TableDdl>,
    /// The same as text.
    pub sql: Option<String>,
    /// Its indexes that hold no key twice.
    pub uniques: Vec<ddl::IndexDdl>,
}

/// A table with rows that may differ.
#[derive(Clone, Debug)]
pub struct TableDelta {
    /// As it was; `None` before it was made.
    pub before: Option<TableThen>,
    /// As it is; `None` once it was dropped.
    pub after: Option<TableThen>,
    /// Its rows have other row ids at the second point, which the engine gave them anew.
    pub renumbered: bool,
    /// Bookkeeping of the engine.
    pub internal: bool,
    /// Its pages that are lost at either point.
    pub lost: [Vec<u32>; 2],
    /// All its rows are known at either point.
    pub known: [bool; 2],
}

impl TableDelta {
    /// The table's name: the later one.
    #[must_use]
    pub fn name(&self) -> &str {
        let table = self.after.as_ref().or(self.before.as_ref());
        table.map_or("", |table| table.name.as_str())
    }

    /// The columns of both points, those of the later one first.
    #[must_use]
    pub fn columns(&self) -> Vec<ColumnDelta<'_>> {
        let [before, after] = [&self.before, &self.after].map(Option::as_ref);
        let mut all = Vec::new();
        for (table, other, later) in [(after, before, true), (before, after, false)] {
            let Some(table) = table else { continue };
            for (place, (column, default)) in table.columns.iter().zip(&table.defaults).enumerate() {
                let of_other = other.map_or(&[][..], |other| other.columns.as_slice());
                let there = of_other.iter().position(|other| other.name == column.name);
                let places = if later { [there, Some(place)] } else { [Some(place), there] };
                if later || there.is_none() {
                    all.push(ColumnDelta { name: &column.name, places, default });
                }
            }
        }
        all
    }
}

/// A column at both points.
#[derive(Clone, Copy, Debug)]
pub struct ColumnDelta<'c> {
    /// Its name.
    pub name: &'c str,
    /// Its place in the rows of either point, where it has one.
    pub places: [Option<usize>; 2],
    /// What rows read in it that were written before it was added.
    default: &'c Cell<'static>,
}

impl ColumnDelta<'_> {
    /// Its cells in a row; `None` for a point at which there is none.
    #[must_use]
    pub fn cells<'r, 'a>(&self, row: &'r RowDelta<'a>) -> [Option<&'r Cell<'a>>; 2] {
        let [before, after] = self.places;
        let of = |row: &'r Option<RowThen<'a>>, place: Option<usize>| row.as_ref()?.cells.get(place?);
        [of(&row.before, before), of(&row.after, after)]
    }

    /// Whether a row that is there at both points differs in it. Where the column is there at one point only, a cell that
    /// holds its default doesn't.
    #[must_use]
    pub fn differs(&self, row: &RowDelta<'_>) -> bool {
        match self.cells(row) {
            [Some(one), Some(other)] => !one.is_same(other),
            [Some(only), None] | [None, Some(only)] => !only.is_same(self.default),
            [None, None] => false,
        }
    }
}

/// A definition that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaDelta {
    /// What became of it.
    pub event: SchemaEvent,
    /// Its text as it was.
    pub before: Option<String>,
    /// Its text as it is.
    pub after: Option<String>,
}

/// What lies between two points, but for the rows.
#[derive(Clone, Debug)]
pub struct Between {
    /// The store, for a person.
    pub what: String,
    /// The points.
    pub points: [Point; 2],
    /// The encoding of text cells.
    pub encoding: TextEncoding,
    /// What a person should know of the log or the journal.
    pub notes: Vec<String>,
    /// Definitions that differ.
    pub schema: Vec<SchemaDelta>,
    /// All definitions are known at either point.
    pub schema_known: [bool; 2],
    /// A part of the store's files is not there, or all of one.
    pub is_short: bool,
    /// Tables with rows that may differ.
    pub tables: Vec<TableDelta>,
    /// The tables with foreign keys at the first point, with their definitions as text.
    pub referring: Vec<(ddl::TableDdl, String)>,
    /// The triggers at the first point, each with its table; without one where that is not known.
    pub triggers: Vec<(String, String)>,
}

impl Between {
    /// Whether all that differs is known.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.schema_known == [true; 2] && self.tables.iter().all(|table| table.known == [true; 2])
    }
}
