//! Old pages that may hold the rows of lost ones.
//!
//! When SQLite moves rows to another page it leaves the old one as it was, on the freelist or behind a link that was
//! replaced. If the new page is lost, the old one is the next best.

use super::agree::{self, Agreement};
use super::below;
use super::catalogue::TableDef;
use super::chains::Chained;
use super::forest::{Forest, Ground, Object, Tree, fit_object};
use super::keyed_entries::KeyedEntries;
use super::leaf;
use super::lost_keys::{LostKeys, LostPages};
use super::sample;
use super::shape::{Fit, Profile};
use mudlark_parsers::sqlite::freelist::is_bare_trunk;
use mudlark_parsers::sqlite::page::PageKind;
use mudlark_parsers::sqlite::salvage;
use rayon::prelude::*;
use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Old pages, and pages without a header, whose rows may have stood on lost pages of a tree.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// Pages that read as leaves.
    pub leaves: HashSet<u32>,
    /// Pages of the tree itself, below whose cells old rows can lie.
    pub gaps: HashSet<u32>,
    /// Pages that read as nothing, with the places at which cells of the tree may begin: a page may be of many trees.
    pub bare: HashMap<u32, Arc<[u16]>>,
    /// The keys that may be missing.
    pub keys: LostKeys,
}

/// Trees as whose rows one page is read where many would do: the first.
const MOST_TREES: usize = 64;

/// Rows that hold nothing in a column by chance; of more it says something.
const FEW_ROWS: u32 = 5;

/// For each tree that has lost rows, where they may be found.
pub(super) fn find(forest: &Forest, ground: Ground<'_, '_>, chained: &Chained) -> HashMap<usize, Strays> {
    let mut found: HashMap<usize, Strays> = HashMap::new();
    let mut profiles: HashMap<usize, Profile> = HashMap::new();
    let lost_pages = LazyCell::new(|| LostPages::of(ground, chained));
    let has_key = |tree: &Tree| match tree.object {
        Object::Table(def) => {
            ground.catalogue.tables.get(def).is_some_and(|def| !def.ddl.primary_key.is_empty())
        }
        _ => false,
    };
    for (number, tree) in live_trees(forest).filter(|(_, tree)| tree.rowids || has_key(tree)) {
        let keys = LostKeys::of(forest, ground, tree, chained, &lost_pages);
        if !keys.is_empty() {
            let gaps = tree.pages.iter().chain(&tree.interior).copied().collect();
            profiles.insert(number, sample::profile(ground.view, ground.survey, &tree.pages));
            found.insert(number, Strays { gaps, keys, ..Strays::default() });
        }
    }
    if found.is_empty() {
        return found;
    }
    let def = |tree: &Tree| match tree.object {
        Object::Table(def) => ground.catalogue.tables.get(def).filter(|_| tree.rowids),
        _ => None,
    };
    let tables: Vec<(usize, &TableDef)> =
        live_trees(forest).filter_map(|(number, tree)| Some((number, def(tree)?))).collect();
    for (tree, page) in below::find(ground, live_trees(forest), &tables) {
        if let Some(strays) = found.get_mut(&tree) {
            strays.gaps.insert(page);
        }
    }
    let mut numbers: Vec<usize> = found.keys().copied().collect();
    numbers.sort_unstable();
    let mut named: HashMap<u32, Vec<usize>> = HashMap::new();
    for number in &numbers {
        for gap in forest.trees.get(*number).map(|tree| tree.gaps.as_slice()).unwrap_or_default() {
            named.entry(gap.child).or_default().push(*number);
        }
    }
    // What a temp file holds may never have been committed, so it stands in for nothing.
    // At a point that the user chose no row is live that its own pages don't hold.
    let old = ground.survey.old().filter(|_| !ground.view.is_chosen());
    let old = old.filter(|(number, _)| !ground.view.is_of_temp_file(*number));
    let owners = LazyCell::new(|| with_own_versions(forest, ground, &named));
    let mut bare: Vec<(u32, Vec<usize>)> = Vec::new();
    let entries = KeyedEntries::of(forest, ground);
    let has_rowids = |tree: &usize| forest.trees.get(*tree).is_some_and(|tree| tree.rowids);
    for (number, info) in ground.survey.iter().chain(old) {
        let placed = forest.place(number);
        let stale = placed.is_some_and(|(tree, _)| {
            forest.trees.get(tree as usize).is_some_and(|tree| tree.object == Object::Stale)
        });
        let is_free = ground.free.pages.contains(&number) && placed.is_none();
        let old = ground.view.is_old(number) || stale || is_free;
        if info.kind.is_none() && !info.zero && placed.is_none() && !chained.contains(number) {
            // A log can count pages that no file holds, and a trunk holds no rows.
            let there = ground.view.page(number).is_some_and(|page| {
                !ground.view.is_old(number) || !is_bare_trunk(page.bytes, ground.view.page_count)
            });
            if there && number > 1 {
                // A page that a link names is no other tree's.
                let trees = named.get(&number).unwrap_or(&numbers);
                let of_index = LazyCell::new(|| entries.are_on(number));
                // What a trunk still holds of a leaf was freed: an index can tell that a row was moved, and not deleted.
                let is_trunk = ground.free.trunks.contains(&number);
                let may_be = |tree: &&usize| {
                    (has_rowids(tree) || !*of_index) && (!is_trunk || has_index(forest, ground, **tree))
                };
                bare.push((number, trees.iter().filter(may_be).take(MOST_TREES).copied().collect()));
            }
            continue;
        }
        let Some(kind) = info.kind.filter(|kind| *kind != PageKind::TableInterior) else { continue };
        if !old || info.cells == 0 {
            continue;
        }
        if !kind.is_table() && (is_of_index(forest, ground, number) || entries.are_on(number)) {
            continue;
        }
        let owner = ground.view.is_old(number).then(|| owner_of_old(forest, ground, number)).flatten();
        let mut best: Option<(f64, usize)> = None;
        let mut asked = 0;
        for tree_number in &numbers {
            let Some(tree) = forest.trees.get(*tree_number) else { continue };
            let meets = found.get(tree_number).is_some_and(|strays| strays.keys.meets(info));
            if !meets
                || kind.is_table() != tree.rowids
                || !same_width(ground, tree, number)
                || fit_object(ground, tree.object, number) == Fit::No
            {
                continue;
            }
            asked += 1;
            if asked > MOST_TREES {
                break;
            }
            let Some(profile) = profiles.get(tree_number) else { continue };
            let likeness = sample::likeness(ground.view, ground.survey, number, profile);
            if profile.rows() == 0 && owner != Some(*tree_number) && owners.contains(tree_number) {
                continue;
            }
            // VACUUM gives pages new owners, so a number is a reason among others.
            let bonus = if owner == Some(*tree_number) { sample::SAME_OWNER } else { 0.0 };
            let likeness = likeness.unwrap_or(sample::NOTHING_LIKE) + bonus;
            if best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, *tree_number));
            }
        }
        let best = best.filter(|(_, tree)| {
            !profiles.get(tree).is_some_and(|profile| is_of_dropped(ground, forest, *tree, profile, number))
        });
        if let Some((_, tree)) = best {
            found.entry(tree).or_default().leaves.insert(number);
        }
    }
    for (number, strays) in &mut found {
        // Where the root is there its links bound what is missing, and it may be of other rows than old pages hold.
        let is_root_lost = |tree: &Tree| tree.pages.is_empty() && tree.interior.is_empty();
        if forest.trees.get(*number).is_some_and(is_root_lost) && !strays.leaves.is_empty() {
            let mut leaves: Vec<u32> = strays.leaves.iter().copied().collect();
            leaves.sort_unstable();
            strays.keys.look_like(ground, &leaves);
        }
        if forest.trees.get(*number).is_some_and(|tree| tree.rowids) {
            strays.keys.add_earlier(ground, &strays.leaves);
        }
    }
    add_bare(forest, ground, bare, &mut found);
    found
}

/// Whether an index of the tree's table is there.
fn has_index(forest: &Forest, ground: Ground<'_, '_>, number: usize) -> bool {
    let Some(Object::Table(table)) = forest.trees.get(number).map(|tree| tree.object) else { return false };
    forest.trees.iter().any(|tree| {
        let Object::Index(index) = tree.object else { return false };
        !tree.pages.is_empty()
            && ground.catalogue.indexes.get(index).is_some_and(|index| index.table == table)
    })
}

/// Adds pages that read as nothing to the trees that they may be of. Each is read once for all of them, and most hold nothing
/// that could be a cell.
fn add_bare(
    forest: &Forest,
    ground: Ground<'_, '_>,
    pages: Vec<(u32, Vec<usize>)>,
    found: &mut HashMap<usize, Strays>,
) {
    let has_rowids = |tree: &usize| forest.trees.get(*tree).is_some_and(|tree| tree.rowids);
    let places = |number: u32, rowids: bool| -> Arc<[u16]> {
        let page = ground.view.page(number).map(|page| page.bytes).unwrap_or_default();
        salvage::places(page, leaf::leaf_kind(rowids), ground.view.geometry).into()
    };
    let read = |(number, trees): (u32, Vec<usize>)| {
        let of = |rowids: bool| {
            let own: Vec<usize> = trees.iter().copied().filter(|tree| has_rowids(tree) == rowids).collect();
            let places = if own.is_empty() { Arc::default() } else { places(number, rowids) };
            (number, own, places)
        };
        [true, false].map(of)
    };
    let read: Vec<_> = pages.into_par_iter().flat_map_iter(read).collect();
    for (number, trees, places) in read.into_iter().filter(|(_, _, places)| !places.is_empty()) {
        for tree in trees {
            found.entry(tree).or_default().bare.insert(number, Arc::clone(&places));
        }
    }
}

/// Whether an old page holds the entries of an index: with the rows of whose table they agree, or that has or misses a
/// page of this number, unless rows contradict that.
fn is_of_index(forest: &Forest, ground: Ground<'_, '_>, number: u32) -> bool {
    let Some(page) = ground.view.page(number).map(|page| page.number) else { return false };
    let place = forest.place(page).map(|(tree, _)| tree as usize);
    let indexes = forest.trees.iter().enumerate().filter_map(|(number, tree)| match tree.object {
        Object::Index(index) => Some((number, tree, index)),
        _ => None,
    });
    indexes.take(MOST_TREES).any(|(tree_number, tree, index)| {
        fit_object(ground, tree.object, number) != Fit::No
            && match agree::index_page(forest, ground, index, number) {
                Agreement::Agrees => true,
                Agreement::Disagrees => false,
                Agreement::Unknown => {
                    place == Some(tree_number) || tree.gaps.iter().any(|gap| gap.child == page)
                }
            }
    })
}

/// Of the trees that miss pages, by the numbers of these, those of which an old version of such a page is there. Where no
/// other row tells what theirs look like, it stands in for them, and no page of another number.
fn with_own_versions(
    forest: &Forest,
    ground: Ground<'_, '_>,
    named: &HashMap<u32, Vec<usize>>,
) -> HashSet<usize> {
    let mut owners = HashSet::new();
    for (number, info) in ground.survey.old().filter(|(number, _)| !ground.view.is_of_temp_file(*number)) {
        let Some(trees) = ground.view.page(number).and_then(|page| named.get(&page.number)) else { continue };
        let Some(kind) = info.kind.filter(|_| info.cells > 0) else { continue };
        owners.extend(trees.iter().copied().filter(|tree| {
            forest.trees.get(*tree).is_some_and(|tree| {
                kind.is_table() == tree.rowids && fit_object(ground, tree.object, number) != Fit::No
            })
        }));
    }
    owners
}

/// Whether a page is rather that of a table that was dropped: every record holds nothing in the column that was its
/// `INTEGER PRIMARY KEY`, which no row of the tree does.
fn is_of_dropped(
    ground: Ground<'_, '_>,
    forest: &Forest,
    tree: usize,
    profile: &Profile,
    number: u32,
) -> bool {
    let tables = &ground.catalogue.tables;
    let alias = |table: &TableDef| {
        let alias = table.ddl.rowid_alias?;
        table.stored.iter().position(|column| *column == alias)
    };
    let own = match forest.trees.get(tree).map(|tree| tree.object) {
        Some(Object::Table(def)) => tables.get(def).and_then(alias),
        _ => None,
    };
    let fits = |table: &&TableDef| {
        sample::fit_table(ground.view, ground.survey, number, table, sample::ROWS) != Fit::No
    };
    let dropped = tables.iter().filter(|table| table.dropped);
    let mut others = dropped
        .filter(|table| alias(table).is_some_and(|column| own != Some(column) && !profile.has_null(column)));
    let Some(other) = others.find(fits).and_then(alias) else { return false };
    let page = sample::profile(ground.view, ground.survey, &[number]);
    page.rows() >= FEW_ROWS && page.has_only_null(other)
}

/// The tree that an old version belongs to by its page number: the one that misses the page, or has it now.
fn owner_of_old(forest: &Forest, ground: Ground<'_, '_>, number: u32) -> Option<usize> {
    let page = ground.view.page(number)?.number;
    let misses = |tree: &Tree| tree.gaps.iter().any(|gap| gap.child == page);
    let missing = live_trees(forest).find(|(_, tree)| misses(tree)).map(|(number, _)| number);
    missing.or_else(|| forest.place(page).map(|(tree, _)| tree as usize))
}

/// Trees of tables that hold live rows; without row ids only where a definition tells the key.
fn live_trees(forest: &Forest) -> impl Iterator<Item = (usize, &Tree)> {
    forest.trees.iter().enumerate().filter(|(_, tree)| match tree.object {
        Object::Stale | Object::Table(0) | Object::Index(_) => false,
        Object::Table(_) => true,
        Object::Unknown => tree.rowids,
    })
}

/// Rows of a table without a name have all the same number of columns.
fn same_width(ground: Ground<'_, '_>, tree: &Tree, page: u32) -> bool {
    let width = |page: u32| ground.survey.page(page).columns;
    tree.object != Object::Unknown || tree.pages.first().is_none_or(|first| width(*first) == width(page))
}

#[cfg(test)]
mod tests {
    use crate::progress::Silent;
    use crate::source::Source;
    use crate::stores::Options;
    use crate::stores::sqlite::open::open;
    use mudlark_parsers::sqlite::wal;
    use rusqlite::Connection;

    /// Makes every commit count four billion pages, and page 2 no page; the checksums hold.
    fn falsify(log: &mut [u8]) {
        let salts: [u8; 8] = log[16..24].try_into().unwrap();
        let mut running = wal::checksum(&log[..24], log[3] & 1 == 1, [0, 0]);
        let big_endian = log[3] & 1 == 1;
        for frame in log[wal::HEADER_LEN..].chunks_exact_mut(wal::FRAME_HEADER_LEN + 512) {
            if frame[4..8] != [0; 4] {
                frame[4..8].fill(0xff);
            }
            if frame[3] == 2 {
                frame[wal::FRAME_HEADER_LEN..].fill(0xff);
            }
            frame[8..16].copy_from_slice(&salts);
            running = wal::checksum(&frame[..8], big_endian, running);
            running = wal::checksum(&frame[wal::FRAME_HEADER_LEN..], big_endian, running);
            let words: Vec<u8> = running.iter().flat_map(|word| word.to_be_bytes()).collect();
            frame[16..24].copy_from_slice(&words);
        }
    }

    #[test]
    fn pages_that_a_log_only_counts_are_not_searched_for_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("used.db");
        let connection = Connection::open(&path).unwrap();
        let script =
            "PRAGMA page_size=512; PRAGMA journal_mode=wal; CREATE TABLE t(a); INSERT INTO t VALUES (1)";
        connection.execute_batch(script).unwrap();
        let mut log = std::fs::read(folder.path().join("used.db-wal")).unwrap();
        falsify(&mut log);
        let evidence = folder.path().join("evidence.db-wal");
        std::fs::write(&evidence, log).unwrap();
        let sources = [Source::open(&evidence).unwrap()];
        let database = open(&sources, &Options::default(), &Silent).unwrap();
        assert!(database.view.page_count > 1000 && !database.strays.is_empty());
        assert!(database.strays.values().all(|strays| strays.bare.len() < 10));
    }
}
