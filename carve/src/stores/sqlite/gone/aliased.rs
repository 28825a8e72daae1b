//! Pages whose rows hold nothing in their first column: SQLite leaves an `INTEGER PRIMARY KEY` empty there, whose value is
//! the row id.

use super::super::database::Database;
use super::super::forest::Tree;
use super::super::sample;
use mudlark_parsers::sqlite::serial::Serial;
use std::collections::HashMap;

/// How unlikely rows of a table are that lack the value which all others have, in powers of e.
const STRANGE: f64 = 7.0;

/// For trees the rows that were asked, where all of them have a value in their first column; else none.
#[derive(Default)]
pub(super) struct Aliased {
    valued: HashMap<usize, usize>,
}

impl Aliased {
    /// Whether the rows of a page, `nulls` of which were asked and lack a value in their first column, are hardly of the
    /// tree with this number, whose rows have one.
    pub(super) fn speaks_against(
        &mut self,
        database: &Database<'_>,
        (number, tree): (usize, &Tree),
        nulls: usize,
    ) -> bool {
        let valued = *self.valued.entry(number).or_insert_with(|| valued(database, tree));
        nulls as f64 * (valued as f64 + 1.0).ln() >= STRANGE
    }
}

/// The rows of a tree that were asked; none where one of them lacks a value in its first column.
fn valued(database: &Database<'_>, tree: &Tree) -> usize {
    let (mut rows, mut nulls) = (0, 0);
    for page in sample::profile_pages(&tree.pages) {
        let (all, without) = first_cells(database, page);
        rows += all;
        nulls += without;
    }
    if nulls == 0 { rows } else { 0 }
}

/// The rows of a page that were asked, where all of them lack a value in their first column; else none.
pub(super) fn nulls(database: &Database<'_>, page: u32) -> usize {
    let (rows, nulls) = first_cells(database, page);
    if nulls == rows { rows } else { 0 }
}

/// How many rows were asked, and how many of them lack a value in their first column.
fn first_cells(database: &Database<'_>, page: u32) -> (usize, usize) {
    let (mut rows, mut nulls) = (0, 0);
    sample::records(&database.view, &database.survey, page, sample::ROWS, |_, header, _| {
        rows += 1;
        nulls += usize::from(header.serials().next() == Some(Serial::NULL));
    });
    (rows, nulls)
}
