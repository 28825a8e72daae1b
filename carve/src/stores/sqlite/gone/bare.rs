//! Whose rows a page without a header holds.

use super::super::cleared;
use super::super::database::Database;
use super::agreement::agreement;
use super::collect::whole;
use super::shape::Kinds;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::{Effort, FreedCell, RowidLeft};
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::serial::Serial;
use std::collections::{HashMap, HashSet};

/// Rows that lack a value in their first column by no accident, where nearly all do.
const SEVERAL_NULLS: usize = 8;

/// The trees that pages with a header were sorted to.
#[derive(Debug, Default)]
pub(super) struct Owners {
    of_pages: HashMap<u32, usize>,
    /// By the number that old versions have in the database.
    pub of_versions: HashMap<u32, usize>,
    /// The versions of each page that have an owner.
    versions: HashMap<u32, Vec<(u32, usize)>>,
}

impl Owners {
    /// Of the pages `by_tree`.
    pub(super) fn of(by_tree: &HashMap<usize, Vec<u32>>, database: &Database<'_>) -> Self {
        let mut owners = Self::default();
        let mut sorted: Vec<(u32, usize)> =
            by_tree.iter().flat_map(|(tree, pages)| pages.iter().map(|page| (*page, *tree))).collect();
        sorted.sort_unstable();
        for (page, tree) in sorted {
            owners.of_pages.insert(page, tree);
            let number = database.view.page(page).map_or(page, |version| version.number);
            owners.versions.entry(number).or_default().push((page, tree));
            let version = database.view.page(page).filter(|_| database.view.is_old(page));
            if let Some(version) = version {
                owners.of_versions.entry(version.number).or_insert(tree);
            }
        }
        owners
    }
}

/// Bytes that are compared at a time, and the share of those which must be the same on two versions of a page.
const PIECE: usize = 16;
const SAME_PIECES: usize = 2;

/// The tree that had a version of a page most of whose bytes are those of this one.
pub(super) fn owner_of_same(database: &Database<'_>, number: u32, owners: &Owners) -> Option<usize> {
    let version = database.view.page(number)?;
    let (page, bytes) = (version.number, version.bytes);
    let pieces = |bytes| <[u8]>::as_chunks::<PIECE>(bytes).0.iter();
    let used = pieces(bytes).filter(|piece| **piece != [0; PIECE]).count();
    let same = |(version, tree): &(u32, usize)| {
        let other = database.view.page(*version)?.bytes;
        let both = pieces(bytes).zip(pieces(other));
        let same = both.filter(|(one, other)| one == other && **one != [0; PIECE]).count();
        Some((same, *tree))
    };
    let known = owners.versions.get(&page)?.iter().filter_map(same);
    known.max_by_key(|(same, _)| *same).filter(|(same, _)| SAME_PIECES * same > used).map(|(_, tree)| tree)
}

/// What speaks for each tree as the owner of a page without a header: that an earlier version of the page was its own, and
/// which share of the leaves was, if it is a trunk. The pages of a tree that is dropped are freed one after the other.
fn shares(database: &Database<'_>, (number, bytes): (u32, &[u8]), owners: &Owners) -> HashMap<usize, f64> {
    let (usable, pages) = (database.view.geometry.usable(), database.view.page_count);
    let leaves =
        freelist::plausible_trunk(bytes, usable, pages).map(|trunk| trunk.leaves).unwrap_or_default();
    let share = 1.0 / leaves.len().max(1) as f64;
    let mut shares = HashMap::new();
    let page = database.view.page(number).map_or(number, |page| page.number);
    if let Some(tree) = owners.of_versions.get(&page) {
        shares.insert(*tree, 1.0);
    }
    for tree in leaves.iter().filter_map(|leaf| owners.of_pages.get(leaf)) {
        *shares.entry(*tree).or_default() += share;
    }
    shares
}

/// The tree as whose rows most of a page without a header reads; `tables` are all, with what their records look like, of
/// which some were `emptied` and must have left their rows somewhere, and `sorted` the trees that pages with a header belong
/// to.
pub(super) fn owner_of_bare(
    database: &Database<'_>,
    number: u32,
    (tables, emptied): (&[(usize, bool, Kinds)], &HashSet<usize>),
    sorted: &Owners,
) -> Option<usize> {
    let version = database.view.page(number)?;
    let shares = shares(database, (number, version.bytes), sorted);
    let mut best: Option<(f64, bool, usize)> = None;
    let effort = Effort::shared(version.bytes.len());
    let cleared = |rowids: bool| -> Vec<FreedCell> {
        let cells = cleared::cells(&database.view, &database.survey, number, rowids).cells.into_iter();
        cells.filter_map(|cell| whole(version.bytes, cell)).collect()
    };
    let (of_rows, of_keys) = (cleared(true), cleared(false));
    for (number, rowids, kinds) in tables {
        let cleared = if *rowids { &of_rows } else { &of_keys };
        let allowed = cleared.iter().filter(|freed| kinds.allow(&freed.serials));
        let mut cells: Vec<FreedCell> = allowed.cloned().collect();
        if cleared.is_empty() {
            cells = kinds.bare_cells(database, version.bytes, *rowids, &effort);
        }
        let covered: u64 = cells.iter().map(|freed| u64::from(freed.cell.end - freed.cell.at)).sum();
        let Some(tree) = database.forest.trees.get(*number).filter(|_| covered > 0) else { continue };
        // Without a value in its first column no row is of a table that keeps one there, but of one whose key stands there.
        let is_null = |freed: &FreedCell| freed.serials.iter().next() == Some(Serial::NULL);
        let nulls = cells.iter().filter(|freed| is_null(freed)).count();
        let all_null = nulls >= SEVERAL_NULLS && 8 * nulls > 7 * cells.len();
        let covered = if all_null && !kinds.begins_with_null() { covered / 2 } else { covered };
        let whole = cells.iter().filter(|freed| matches!(freed.rowid, RowidLeft::Whole(_)));
        let rows: Vec<(Cell, &[u8])> = whole.map(|freed| (freed.cell, version.bytes)).collect();
        // Tables of one shape cover the same: then the rows decide.
        let share = shares.get(number).copied().unwrap_or(0.0);
        let worth =
            covered as f64 * (1.0 + agreement(database, tree, &rows).likeness() / 16.0 + share / 16.0);
        let is_emptied = emptied.contains(number);
        let is_better = |(most, was_emptied, _): (f64, bool, usize)| {
            worth > most || worth == most && is_emptied && !was_emptied
        };
        if best.is_none_or(is_better) {
            best = Some((worth, is_emptied, *number));
        }
    }
    best.map(|(.., tree)| tree)
}
