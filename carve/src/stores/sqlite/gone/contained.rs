//! Records all of whose cells one row of another table has: they are entries of its index.
//!
//! That cells of few values meet in one row by accident is seen from records of cells that were mixed: where these are found
//! as well, nothing is told.

use super::super::chains;
use super::super::database::Database;
use super::super::forest::{Object, Tree};
use super::super::prints::Print;
use super::unclaimed::Leaf;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Records of a page that are asked.
const ASKED: usize = 24;

/// How many times as often as mixed records real ones must be found.
const OFTEN: usize = 2;

/// Records that must be found at least, of a page one of so many, and of all pages of its shape: rows may be lost.
const OF_PAGE: usize = 2;
const OF_SHAPE: usize = 8;
const SEVERAL: usize = 3;

/// The prints of the cells of a record.
pub(super) fn prints(header: &RecordHeader<'_>, payload: &[u8]) -> Vec<Print> {
    let cells = record::cells(header.serials(), header.len, payload);
    let value =
        |(serial, bytes): (Serial, Option<_>)| bytes.map_or(Value::Missing, |bytes| serial.decode(bytes));
    cells.map(|cell| Print::of_values(std::iter::once(value(cell)))).collect()
}

/// A record that is looked for.
struct Asked {
    /// The leaf that it is of.
    leaf: usize,
    cells: Vec<Print>,
    mixed: bool,
}

/// The rows that may have the cells of others.
struct Source {
    page: u32,
    /// Of leaves that are asked themselves, what they are.
    group: Option<usize>,
}

/// For each leaf whether its records are entries; `key_cells` are those of a table of each group.
pub(super) fn leaves(database: &Database<'_>, leaves: &[Leaf], key_cells: &[usize]) -> Vec<bool> {
    let asked: Vec<Asked> =
        leaves.iter().enumerate().flat_map(|(number, leaf)| asked(number, leaf)).collect();
    let mut by_first: HashMap<Print, Vec<usize>> = HashMap::new();
    for (number, asked) in asked.iter().enumerate() {
        if let Some(first) = asked.cells.first().filter(|first| **first != Print::NONE) {
            by_first.entry(*first).or_default().push(number);
        }
    }
    // Whether a record may be an entry of a row's table.
    let may_be = |asked: &Asked, row: &[Print], group: Option<usize>| {
        let Some(own) = leaves.get(asked.leaf).map(|leaf| leaf.group) else { return false };
        let shorter = |group: usize| key_cells.get(group) <= key_cells.get(own);
        match group {
            Some(group) if group == own => false,
            Some(group) if row.len() == asked.cells.len() => shorter(group),
            _ => row.len() >= asked.cells.len(),
        }
    };
    let found = sources(database, leaves).into_par_iter().flat_map_iter(|source| {
        let mut found = Vec::new();
        each_row(database, source.page, |row| {
            let cells = row.iter().filter_map(|cell| by_first.get(cell)).flatten();
            let all_in = |asked: &Asked| asked.cells.iter().all(|cell| row.contains(cell));
            let fits = |asked: &Asked| may_be(asked, row, source.group) && all_in(asked);
            found.extend(cells.copied().filter(|number| asked.get(*number).is_some_and(fits)));
        });
        found
    });
    let found: HashSet<usize> = found.collect();
    let (mut by_leaf, mut by_shape) = (vec![Found::default(); leaves.len()], HashMap::new());
    for (number, asked) in asked.iter().enumerate() {
        let is_found = found.contains(&number);
        if let Some((leaf, found)) = leaves.get(asked.leaf).zip(by_leaf.get_mut(asked.leaf)) {
            found.add(asked.mixed, is_found);
            by_shape.entry(leaf.group).or_insert_with(Found::default).add(asked.mixed, is_found);
        }
    }
    let of_shape = |leaf: &Leaf| {
        let found = by_shape.get(&leaf.group);
        found.is_some_and(|found| found.real >= SEVERAL && found.are_entries(OF_SHAPE))
    };
    let both = leaves.iter().zip(&by_leaf);
    both.map(|(leaf, found)| found.are_entries(OF_PAGE) || of_shape(leaf)).collect()
}

/// How many records were found of those that were asked.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    all: usize,
    real: usize,
    mixed: usize,
}

impl Found {
    fn add(&mut self, mixed: bool, is_found: bool) {
        self.all += usize::from(!mixed);
        *(if mixed { &mut self.mixed } else { &mut self.real }) += usize::from(is_found);
    }

    /// Whether they are entries of a row's index, if one of `share` must be found.
    const fn are_entries(self, share: usize) -> bool {
        share * self.real >= self.all && self.real > OFTEN * self.mixed
    }
}

/// Some records of a leaf, and as many whose first cell is another one's.
fn asked(number: usize, leaf: &Leaf) -> Vec<Asked> {
    let step = leaf.rows.len().div_ceil(ASKED).max(1);
    let mut asked = Vec::new();
    for (index, row) in leaf.rows.iter().enumerate().step_by(step) {
        asked.push(Asked { leaf: number, cells: row.clone(), mixed: false });
        let behind = leaf.rows.iter().cycle().skip(index).take(leaf.rows.len());
        let other = behind.map(|other| other.first()).find(|first| *first != row.first());
        if let Some(first) = other.flatten() {
            let cells = std::iter::once(first).chain(row.iter().skip(1)).copied().collect();
            asked.push(Asked { leaf: number, cells, mixed: true });
        }
    }
    asked
}

/// The pages on which rows stand: those of tables, and the leaves themselves.
fn sources(database: &Database<'_>, leaves: &[Leaf]) -> Vec<Source> {
    if leaves.is_empty() {
        return Vec::new();
    }
    let of_index = |tree: &Tree| matches!(tree.object, Object::Index(_));
    let asked: HashMap<u32, usize> = leaves.iter().map(|leaf| (leaf.page, leaf.group)).collect();
    let pages = database.survey.iter().chain(database.survey.old());
    let pages = pages.filter(|(number, info)| {
        let of_table = match info.kind {
            Some(PageKind::TableLeaf) => database.view.page(*number).is_some_and(|page| page.number > 1),
            Some(PageKind::IndexLeaf | PageKind::IndexInterior) => {
                asked.contains_key(number) || !database.forest.standing(*number).is_some_and(of_index)
            }
            _ => false,
        };
        of_table && info.cells > 0
    });
    pages.map(|(page, _)| Source { page, group: asked.get(&page).copied() }).collect()
}

/// Calls `each` with the prints of the cells of each row on a page, and of its row id behind them, where it has one.
fn each_row(database: &Database<'_>, number: u32, mut each: impl FnMut(&[Print])) {
    let (view, survey) = (&database.view, &database.survey);
    let Some(version) = view.page(number) else { return };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return };
    for cell in page.cells().filter_map(Result::ok) {
        let payload = chains::read(view, survey, &version, &cell);
        let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
        let mut row = prints(&header, &payload.bytes);
        if page.header.kind.is_table() {
            row.push(Print::of_values(std::iter::once(Value::Int(cell.rowid))));
        }
        each(&row);
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, OF_PAGE, OF_SHAPE};

    fn found(real: usize, mixed: usize) -> Found {
        let mut found = Found::default();
        for number in 0..24 {
            found.add(false, number < real);
            found.add(true, number < mixed);
        }
        found
    }

    #[test]
    fn records_that_rows_repeat_are_entries_unless_mixed_ones_are_repeated_as_well() {
        assert!(found(12, 0).are_entries(OF_PAGE) && found(3, 0).are_entries(OF_SHAPE));
        assert!(!found(11, 0).are_entries(OF_PAGE) && !found(2, 0).are_entries(OF_SHAPE));
        assert!(!found(24, 12).are_entries(OF_PAGE) && !found(0, 0).are_entries(OF_PAGE));
    }
}
