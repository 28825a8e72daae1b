//! Old pages that may hold the rows of lost ones.
//!
//! When SQLite moves rows to another page it leaves the old one as it was, on the freelist or behind a link that was
//! replaced. If the new page is lost, the old one is the next best.

use super::agree::{self, Agreement};
use super::below;
use super::catalogue::TableDef;
use super::chains::Chained;
use super::forest::{Forest, Gap, Ground, How, KeyRange, Object, Tree, fit_object, links};
use super::restored;
use super::sample;
use super::shape::{Fit, Profile};
use super::survey::{self, PageInfo};
use mudlark_parsers::sqlite::cell::MIN_CELL;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};

/// Old pages, and pages without a header, whose rows may have stood on lost pages of a tree.
#[derive(Debug, Default)]
pub(super) struct Strays {
    /// Pages that read as leaves.
    pub leaves: HashSet<u32>,
    /// Pages of the tree itself, below whose cells old rows can lie.
    pub gaps: HashSet<u32>,
    /// Pages that read as nothing.
    pub bare: HashSet<u32>,
    /// The keys that may be missing.
    pub keys: LostKeys,
}

/// The keys of rows that may be missing from a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct LostKeys {
    ranges: Vec<LostRange>,
    /// The least and the greatest row id of leaves that can be read, in order: all rows between these stand there.
    spans: Vec<(i64, i64)>,
}

/// A range of keys, and how many rows of it can be missing.
#[derive(Clone, Copy, Debug)]
struct LostRange {
    range: KeyRange,
    /// Where they stood on a page of their own, which is lost: the page that leads to it, or none for a root, and that.
    link: Option<(u32, u32)>,
    most: usize,
}

/// The least room that a row takes: its cell and the pointer to it.
const LEAST_ROW: usize = MIN_CELL + 2;

/// Trees as whose rows one page is read where many would do: the first.
const MOST_TREES: usize = 64;

/// Rows that hold nothing in a column by chance; of more it says something.
const FEW_ROWS: u32 = 5;

/// Leaves below an interior page, when nothing else bounds their number: 4-byte links and short keys on a large page.
const MOST_LEAVES: usize = 1024;

impl LostKeys {
    /// The ranges of pages that can't be read, and of pages some cells of which can't.
    fn of(forest: &Forest, ground: Ground<'_, '_>, tree: &Tree, chained: &Chained) -> Self {
        let infos = || tree.pages.iter().map(|page| ground.survey.page(*page));
        // A page holds about as many rows as the fullest of the others, or as there is room for such rows: there may be few
        // others, and none of them full. Without others, as many as there is room for.
        let fullest = infos().map(|info| usize::from(info.cells)).max();
        // Most trees have lost nothing, and are not asked.
        let page = LazyCell::new(|| {
            fullest.map_or(ground.view.geometry.usable() as usize / LEAST_ROW, |most| {
                (most + most / 4 + 4).max(room(ground, tree).unwrap_or(0))
            })
        });
        // A link out of the file leaves no page lost where another one was fitted in.
        let fitted = |gap: &Gap| {
            let in_file = (1..=ground.view.page_count).contains(&gap.child);
            let fits = |page: &u32| {
                let info = ground.survey.page(*page);
                let linked = forest.place(*page).is_some_and(|(_, how)| how == How::Linked);
                !linked && info.cells > 0 && gap.range.holds(info.first, info.last)
            };
            (!in_file || !is_lost(ground, gap))
                && gap.parent != 0
                && tree.rowids
                && tree.pages.iter().any(fits)
        };
        // A link to a page that stands elsewhere hides the page that it led to.
        let misled = |gap: &Gap| gap.parent != 0 && tree.rowids && gap.range != KeyRange::default();
        // Where every other page is there and can be read, the one that a link out of the file meant is one of them, and so
        // is a root that nothing names: no row is lost.
        let unnamed = |gap: &Gap| {
            let nowhere = gap.child > ground.view.page_count && ground.view.is_whole();
            // More than one leaf hung below the root: it held no row itself.
            nowhere || gap.parent == 0 && (gap.child == 0 || tree.pages.len() > 1)
        };
        let lost = tree.gaps.iter().filter(|gap| (is_lost(ground, gap) || misled(gap)) && !fitted(gap));
        // What can be read of a root without its header is held against the rows of the leaves.
        let is_there = |gap: &Gap| gap.child <= ground.view.page_count && is_bare(ground, gap);
        let lost = lost.filter(|gap| !unnamed(gap) || is_there(gap) || any_lost(ground, chained, gap.child));
        let interior: HashSet<u32> = tree.interior.iter().copied().collect();
        let is_upper = |page: u32| {
            let children = links(ground, page, KeyRange::default(), true);
            children.iter().any(|(child, _)| ground.survey.page(*child).kind == Some(PageKind::TableInterior))
        };
        // A page may have thousands of gaps.
        let mut upper: HashMap<u32, bool> = HashMap::new();
        let mut ranges: Vec<LostRange> = lost
            .map(|gap| {
                let above_interior = interior.contains(&gap.parent)
                    && *upper.entry(gap.parent).or_insert_with(|| is_upper(gap.parent));
                // Below a lost root stands all that the table holds.
                let most = if above_interior || gap.parent == 0 { *page * MOST_LEAVES } else { *page };
                LostRange { range: gap.range, link: Some((gap.parent, gap.child)), most }
            })
            .collect();
        let info = |index: usize| tree.pages.get(index).map(|page| ground.survey.page(*page));
        for (index, damaged) in infos().enumerate().filter(|(_, info)| info.bad > 0) {
            let above = index.checked_sub(1).and_then(info).map(|info| info.last);
            let upto = info(index + 1).and_then(|info| info.first.checked_sub(1));
            // Pages of an index b-tree have no row ids.
            let range = if tree.rowids { KeyRange { above, upto } } else { KeyRange::default() };
            let runs =
                tree.pages.get(index).filter(|_| tree.rowids).and_then(|page| bad_runs(ground, *page, range));
            match runs {
                Some(runs) => ranges.extend(runs),
                None => ranges.push(LostRange { range, link: None, most: usize::from(damaged.bad) }),
            }
        }
        // An older copy of a row may lead to the rest of its chain, or have what a lost sector took.
        let of_rows = || tree.pages.iter().filter(|_| tree.rowids);
        let broken = of_rows().flat_map(|page| chained.faults_on(*page)).map(|faulty| faulty.cell.rowid);
        let damaged = of_rows().flat_map(|page| restored::damaged(ground, *page)).map(|cell| cell.rowid);
        ranges.extend(broken.chain(damaged).map(|rowid| LostRange {
            range: KeyRange { above: rowid.checked_sub(1), upto: Some(rowid) },
            link: None,
            most: 1,
        }));
        let spans = if tree.rowids && !ranges.is_empty() { spans(ground, tree) } else { Vec::new() };
        Self { ranges, spans }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// For each range the link to the page whose rows are missing, where it is one, and how many can be.
    pub(super) fn links(&self) -> impl Iterator<Item = (Option<(u32, u32)>, usize)> {
        self.ranges.iter().map(|lost| (lost.link, lost.most))
    }

    /// Whether a row with this key may be missing.
    pub(super) fn hold(&self, tree: &Tree, rowid: i64) -> bool {
        if !tree.rowids {
            return true;
        }
        let is_held = self.is_held(rowid);
        let may_hold = |lost: &LostRange| lost.range.holds(rowid, rowid) && !(lost.link.is_some() && is_held);
        let in_range = self.ranges.iter().any(may_hold);
        // Only gaps can be covered by parts that were joined later.
        in_range && (tree.covered.is_empty() || tree.gaps.iter().any(|gap| tree.is_open(gap, rowid, rowid)))
    }

    /// Whether the row with this id stands on a leaf that can be read, if on any.
    pub(super) fn is_held(&self, rowid: i64) -> bool {
        let behind = self.spans.partition_point(|(first, _)| *first <= rowid);
        behind.checked_sub(1).and_then(|at| self.spans.get(at)).is_some_and(|(_, last)| rowid <= *last)
    }

    /// Of keys in order, those in ranges for which more were found than so many `quarters` of what can be missing.
    pub(super) fn too_many(&self, rowids: &[i64], quarters: usize) -> Vec<i64> {
        let mut fits: HashSet<i64> = HashSet::new();
        let mut over: Vec<i64> = Vec::new();
        for lost in &self.ranges {
            let from = rowids.partition_point(|rowid| lost.range.above.is_some_and(|above| *rowid <= above));
            let to = rowids.partition_point(|rowid| lost.range.upto.is_none_or(|upto| *rowid <= upto));
            let inside = rowids.get(from..to).unwrap_or_default();
            if inside.len().saturating_mul(4) > lost.most.saturating_mul(quarters) {
                over.extend(inside);
            } else {
                fits.extend(inside);
            }
        }
        over.retain(|rowid| !fits.contains(rowid));
        over
    }

    fn meets(&self, info: &PageInfo) -> bool {
        self.ranges.iter().any(|lost| {
            lost.range.above.is_none_or(|above| above < info.last)
                && lost.range.upto.is_none_or(|upto| info.first <= upto)
        })
    }
}

/// The least and the greatest row id of each leaf of a tree that holds them in order, but of those that no other one's lie
/// between: where leaves overlap, one of them is old.
fn spans(ground: Ground<'_, '_>, tree: &Tree) -> Vec<(i64, i64)> {
    let info = |page: &u32| ground.survey.page(*page);
    let leaves = tree.pages.iter().filter(|page| info(page).cells > 0);
    let mut all: Vec<(i64, i64, u32)> =
        leaves.map(|page| (info(page).first, info(page).last, *page)).collect();
    all.sort_unstable();
    let mut upto = None;
    let apart = all.iter().enumerate().filter(|(index, (first, last, _))| {
        let is_behind = upto.is_none_or(|upto| upto < *first);
        upto = upto.max(Some(*last));
        is_behind && all.get(index + 1).is_none_or(|(next, _, _)| last < next)
    });
    let in_order = |page| info(&page).sound || bad_runs(ground, page, KeyRange::default()).is_some();
    apart.filter(|(_, (_, _, page))| in_order(*page)).map(|(_, (first, last, _))| (*first, *last)).collect()
}

/// How many rows of a tree there is room for on a page; `None` where none can be read.
fn room(ground: Ground<'_, '_>, tree: &Tree) -> Option<usize> {
    let (mut rows, mut bytes) = (0, 0);
    for page in sample::profile_pages(&tree.pages) {
        sample::records(ground.view, ground.survey, page, sample::ROWS, |_, _, payload| {
            rows += 1;
            bytes += LEAST_ROW + payload.len();
        });
    }
    let usable = ground.view.geometry.usable() as usize;
    (usable * rows).checked_div(bytes)
}

/// The keys of the bad cells of a leaf, by their neighbours in the pointers' order, which is that of the keys; `None`
/// where the good ones are not in order.
fn bad_runs(ground: Ground<'_, '_>, number: u32, range: KeyRange) -> Option<Vec<LostRange>> {
    let version = ground.view.page(number)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let (mut runs, mut bad, mut above) = (Vec::new(), 0, range.above);
    for pointer in page.pointers() {
        let cell = page.good_cell(pointer);
        let Some(cell) = cell.filter(|cell| survey::reads(&page, cell, ground.view.page_count)) else {
            bad += 1;
            continue;
        };
        if above.is_some_and(|above| cell.rowid <= above) {
            return None;
        }
        if bad > 0 {
            let upto = cell.rowid.checked_sub(1);
            runs.push(LostRange { range: KeyRange { above, upto }, link: None, most: bad });
            bad = 0;
        }
        above = Some(cell.rowid);
    }
    if bad > 0 {
        runs.push(LostRange { range: KeyRange { above, upto: range.upto }, link: None, most: bad });
    }
    Some(runs)
}

/// For each tree that has lost rows, where they may be found.
pub(super) fn find(forest: &Forest, ground: Ground<'_, '_>, chained: &Chained) -> HashMap<usize, Strays> {
    let mut found: HashMap<usize, Strays> = HashMap::new();
    let mut profiles: HashMap<usize, Profile> = HashMap::new();
    for (number, tree) in live_trees(forest) {
        let keys = LostKeys::of(forest, ground, tree, chained);
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
    for (number, info) in ground.survey.iter().chain(old) {
        let placed = forest.place(number);
        let stale = placed.is_some_and(|(tree, _)| {
            forest.trees.get(tree as usize).is_some_and(|tree| tree.object == Object::Stale)
        });
        let is_free = ground.free.pages.contains(&number) && placed.is_none();
        let old = ground.view.is_old(number) || stale || is_free;
        if info.kind.is_none() && !info.zero && placed.is_none() && !chained.contains(number) {
            // A log can count pages that no file holds.
            let there = ground.view.page(number).is_some();
            if there && !ground.free.trunks.contains(&number) && number > 1 {
                // A page that a link names is no other tree's.
                for tree in named.get(&number).unwrap_or(&numbers).iter().take(MOST_TREES) {
                    found.entry(*tree).or_default().bare.insert(number);
                }
            }
            continue;
        }
        let Some(kind) = info.kind.filter(|kind| *kind != PageKind::TableInterior) else { continue };
        if !old || info.cells == 0 {
            continue;
        }
        if !kind.is_table() && is_of_index(forest, ground, number) {
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
    found
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

/// Whether the file has a page behind the first, and beside this one, that can't be read, and that is not free.
fn any_lost(ground: Ground<'_, '_>, chained: &Chained, beside: u32) -> bool {
    ground.view.absent() > 0
        || ground.survey.iter().any(|(number, info)| {
            let known =
                ground.free.pages.contains(&number) || chained.contains(number) || ground.is_map_page(number);
            number > 1 && number != beside && info.kind.is_none() && !known
        })
}

/// Whether a gap stands for a page that can't be read.
pub(super) fn is_lost(ground: Ground<'_, '_>, gap: &Gap) -> bool {
    ground.survey.page(gap.child).kind.is_none()
}

/// Whether a gap stands for a page that can't be read, but holds something.
pub(super) fn is_bare(ground: Ground<'_, '_>, gap: &Gap) -> bool {
    gap.child > 1 && is_lost(ground, gap) && !ground.survey.page(gap.child).zero
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
