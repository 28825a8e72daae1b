//! How the rows of a page agree with the live ones of a tree.

use super::super::database::Database;
use super::super::forest::Tree;
use super::super::settle;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;

/// What it counts, in likeness, that a row is live with the same cells, or with some of them, and against it that another
/// row has its id, or one that has none of them.
pub(super) const SAME_ROW: f64 = 2.0;
const SAME_CELL: f64 = 0.5;
const OTHER_ROW: f64 = 0.5;
const STRANGE_ROW: f64 = 2.0;

/// Rows whose ids other rows of a tree have that tell of another table, and how many of them one with cells in common with
/// the tree's outweighs.
const STRANGE_ROWS: usize = 4;
const SAME_OUTWEIGHS: usize = 4;

/// Bytes of a cell that two rows seldom share by accident, and cells of them that must all differ in a strange row.
const TELLING: usize = 2;
const STRANGE_CELLS: usize = 2;

/// Rows of a page that are asked for that.
const ASKED: usize = 16;

/// The cells of a leaf, each with its page's bytes.
pub(super) fn cells_on<'a>(database: &Database<'a>, number: u32) -> Vec<(Cell, &'a [u8])> {
    let Some(version) = database.view.page(number) else { return Vec::new() };
    let page = Page::parse(version.bytes, version.number, database.view.geometry);
    let Some(page) = page.filter(|page| page.header.kind == PageKind::TableLeaf) else { return Vec::new() };
    let cells = page.some_pointers(ASKED).filter_map(|pointer| page.cell(pointer).ok());
    cells.map(|cell| (cell, version.bytes)).collect()
}

/// How rows agree with the live ones of a tree: those that are live there too speak for it, and those whose ids other rows
/// have against it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Agreement {
    sum: f64,
    rows: usize,
    /// Rows that are live with the same cells, or with some of them.
    pub same: usize,
    /// Rows whose ids other rows have that have no cell in common with them.
    strange: usize,
}

impl Agreement {
    /// What that counts, from minus two to two.
    pub(super) fn likeness(self) -> f64 {
        self.sum / self.rows.max(1) as f64
    }

    pub(super) fn with(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            rows: self.rows + other.rows,
            same: self.same + other.same,
            strange: self.strange + other.strange,
        }
    }

    pub(super) fn is_strange(self) -> bool {
        self.strange >= STRANGE_ROWS && self.same * SAME_OUTWEIGHS <= self.strange
    }
}

pub(super) fn agreement(database: &Database<'_>, tree: &Tree, rows: &[(Cell, &[u8])]) -> Agreement {
    let mut agreement = Agreement::default();
    if rows.is_empty() || !tree.rowids || tree.pages.is_empty() {
        return agreement;
    }
    let asked = rows.iter().step_by(rows.len().div_ceil(ASKED));
    for (cell, bytes) in asked {
        agreement.rows += 1;
        let standing = settle::settled_cell(database.ground(), &tree.pages, cell.rowid);
        if let Some(((page, _), live)) = standing
            && let Some(version) = database.view.page(page)
        {
            let (live_bytes, old_bytes) = (live.local_payload(version.bytes), cell.local_payload(bytes));
            let likeness = if live.payload_len == cell.payload_len && live_bytes == old_bytes {
                SAME_ROW
            } else {
                resemblance((live_bytes, live.payload_len), (old_bytes, cell.payload_len))
            };
            agreement.sum += likeness;
            agreement.same += usize::from(likeness > 0.0);
            agreement.strange += usize::from(likeness <= -STRANGE_ROW);
        }
    }
    agreement
}

/// What two records of one row id, which are not the same, say for being of one table.
fn resemblance((live, live_len): (&[u8], u64), (old, old_len): (&[u8], u64)) -> f64 {
    let headers = record::header(live, live_len).ok().zip(record::header(old, old_len).ok());
    let Some((live_header, old_header)) = headers else { return -OTHER_ROW };
    let live_cells = record::cells(live_header.serials(), live_header.len, live);
    let old_cells = record::cells(old_header.serials(), old_header.len, old);
    let telling =
        live_cells.zip(old_cells).filter(|(_, (_, old))| old.is_some_and(|old| old.len() >= TELLING));
    let (mut cells, mut same) = (0, 0);
    for (live, old) in telling {
        cells += 1;
        same += usize::from(live == old);
    }
    match (same, cells) {
        (0, STRANGE_CELLS..) => -STRANGE_ROW,
        (0, _) => -OTHER_ROW,
        _ => SAME_CELL,
    }
}
