//! What some commits did, with what became of it since.

use super::{Cell, Point, RowThen, SchemaDelta, TableThen};
use mudlark_parsers::sqlite::ddl;
use mudlark_parsers::value::TextEncoding;
use std::collections::BTreeMap;

/// A row that the commits changed.
#[derive(Clone, Debug)]
pub struct UndoRow<'a> {
    /// As the commits left it, in the columns of today, under the row id that it has today; `None` when they removed it.
    pub now: Option<RowThen<'a>>,
    /// As it was before them, in the columns of today; the row id is `None` where nothing tells which one is free today.
    pub then: Option<RowThen<'a>>,
    /// A later commit has changed it.
    pub since: bool,
}

/// A table whose rows the commits changed.
#[derive(Clone, Debug)]
pub struct UndoTable<'a> {
    /// As it is today.
    pub table: TableThen,
    /// The rows.
    pub rows: Vec<UndoRow<'a>>,
    /// Rows of it that later commits changed: as the commits left them, and as they are today.
    pub later: Vec<[Option<RowThen<'a>>; 2]>,
    /// Why its rows can't be taken back.
    pub left: Option<String>,
}

/// A table whose rows only later commits changed.
#[derive(Clone, Debug)]
pub struct LaterTable<'a> {
    /// As it is today.
    pub table: TableThen,
    /// The rows: as the commits left them, and as they are today.
    pub rows: Vec<[Option<RowThen<'a>>; 2]>,
}

/// What some commits did.
#[derive(Clone, Debug)]
pub struct Undoable<'a> {
    /// The first and the last of the commits.
    pub commits: [Point; 2],
    /// Today: the last commit that the evidence holds.
    pub today: Point,
    /// The encoding of text cells.
    pub encoding: TextEncoding,
    /// Definitions that they changed.
    pub schema: Vec<SchemaDelta>,
    /// Those of them that were a VACUUM.
    pub vacuums: Vec<Point>,
    /// The triggers of today, each with its table.
    pub triggers: Vec<(String, String)>,
    /// The virtual tables of today.
    pub virtual_tables: Vec<String>,
    /// The tables of today that have foreign keys, with their definitions as text.
    pub referring: Vec<(ddl::TableDdl, String)>,
    /// The tables whose rows they changed.
    pub tables: Vec<UndoTable<'a>>,
    /// Others that refer to these, or to which these refer, of which later commits changed rows.
    pub linked: Vec<LaterTable<'a>>,
    /// Rows of the engine's own tables that they changed, which it keeps itself.
    pub internal: u64,
    /// What the engine counts keys up with, for each table: as the commits left it, and as it was before them.
    pub sequences: Counters,
    /// What a person should know of the log or the journal.
    pub notes: Vec<String>,
}

/// What the engine counts keys up with, for each table: as it stands, and as it is wanted; `None` where it counts none.
pub type Counters = Vec<(String, [Option<i64>; 2])>;

/// The counters that rows of the engine's table of them hold, which begin with the table's name and the count.
#[must_use]
pub fn counters<'r, 'a: 'r>(
    rows: impl Iterator<Item = [Option<&'r RowThen<'a>>; 2]>,
    encoding: TextEncoding,
) -> Counters {
    let of = |row: Option<&RowThen<'_>>| match row.map(|row| row.cells.as_slice()) {
        Some([Cell::Text(name), Cell::Int(count), ..]) => Some((encoding.decode(name)?.into_owned(), *count)),
        _ => None,
    };
    let mut found: BTreeMap<String, [Option<i64>; 2]> = BTreeMap::new();
    for row in rows {
        for (side, row) in row.map(of).into_iter().enumerate() {
            if let Some((name, count)) = row
                && let Some(place) = found.entry(name).or_default().get_mut(side)
            {
                *place = Some(count);
            }
        }
    }
    found.into_iter().collect()
}
