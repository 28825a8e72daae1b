//! The keys of rows that may be missing from a tree.

use super::bad_runs::{self, Run};
use super::chains::Chained;
use super::forest::{Forest, Gap, Ground, How, KeyRange, Tree};
use super::links::links;
use super::lost_content;
use super::restored;
use super::sample;
use super::survey::{self, PageInfo};
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::cell::{Cell, MIN_CELL};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};

/// The keys of rows that may be missing from a tree.
#[derive(Clone, Debug, Default)]
pub(super) struct LostKeys {
    ranges: Vec<LostRange>,
    /// The least and the greatest row id of leaves that can be read, in order: all rows between these stand there.
    spans: Vec<(i64, i64)>,
    /// The rows of one page, at most.
    of_page: usize,
    /// For each lost leaf of which a journal has a sound version, the rows of all of these.
    earlier: HashMap<u32, Earlier>,
    /// The pages that were written since, with their earlier versions.
    rewritten: HashMap<u32, Vec<u32>>,
}

/// The rows that a lost leaf had.
#[derive(Clone, Debug, Default)]
struct Earlier {
    /// In order.
    rowids: Vec<i64>,
    /// It was the root: no other page had rows.
    of_all: bool,
}

/// A range of keys, and how many rows of it can be missing.
#[derive(Clone, Copy, Debug)]
struct LostRange {
    range: KeyRange,
    missing: Missing,
    /// The page that is there, of which cells can't be read.
    on: Option<u32>,
}

/// What is missing of a range.
#[derive(Clone, Copy, Debug)]
enum Missing {
    /// So many rows, of a page that is there.
    Rows(usize),
    /// So many leaves: the page that leads to them, or none for a root, and the one that it leads to, which is lost.
    Leaves((u32, u32), usize),
}

impl LostRange {
    /// Where its rows stood on a page of their own.
    const fn link(&self) -> Option<(u32, u32)> {
        match self.missing {
            Missing::Rows(_) => None,
            Missing::Leaves(link, _) => Some(link),
        }
    }
}

/// The pages behind the first that can't be read and that are not known to be free or no leaves.
#[derive(Debug)]
pub(super) struct LostPages {
    numbers: Vec<u32>,
    /// Those that are counted and of which no file holds anything.
    absent: usize,
}

/// The least room that a row takes: its cell and the pointer to it.
const LEAST_ROW: usize = MIN_CELL + 2;

/// Leaves below an interior page, when nothing else bounds their number: 4-byte links and short keys on a large page.
const MOST_LEAVES: usize = 1024;

impl LostPages {
    /// Of a file.
    pub(super) fn of(ground: Ground<'_, '_>, chained: &Chained) -> Self {
        let is_known = |number: u32| {
            ground.free.pages.contains(&number) || chained.contains(number) || ground.is_map_page(number)
        };
        let unread = ground
            .survey
            .iter()
            .filter(|(number, info)| *number > 1 && info.kind.is_none() && !is_known(*number));
        Self { numbers: unread.map(|(number, _)| number).collect(), absent: ground.view.absent() as usize }
    }

    fn count(&self) -> usize {
        self.numbers.len() + self.absent
    }

    /// Whether there is one beside this.
    fn any_beside(&self, number: u32) -> bool {
        self.absent > 0 || self.numbers.iter().any(|lost| *lost != number)
    }
}

impl LostKeys {
    /// The ranges of pages that can't be read, and of pages some cells of which can't.
    pub(super) fn of(
        forest: &Forest,
        ground: Ground<'_, '_>,
        tree: &Tree,
        chained: &Chained,
        lost_pages: &LazyCell<LostPages, impl FnOnce() -> LostPages>,
    ) -> Self {
        let infos = || tree.pages.iter().map(|page| ground.survey.page(*page));
        // A link out of the file leaves no page lost where another one was fitted in.
        let fitted = |gap: &Gap| {
            let in_file = (1..=ground.view.page_count).contains(&gap.child);
            let fits = |page: &u32| {
                let info = ground.survey.page(*page);
                let linked = forest.place(*page).is_some_and(|(_, how)| how == How::Linked);
                !linked && info.cells > 0 && gap.range.holds(info.first, info.last)
            };
            (!in_file || !is_lost(ground, gap))
                && !gap.is_of_rebuilt(ground)
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
        let lost = lost.filter(|gap| !unnamed(gap) || is_there(gap) || lost_pages.any_beside(gap.child));
        let lost =
            lost.filter(|gap| !is_bare(ground, gap) || !lost_content::is_whole(ground, tree, gap.child));
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
                // Below a lost root stands all that the table holds, on pages that are lost as well.
                let leaves = if above_interior || gap.parent == 0 {
                    lost_pages.count().clamp(1, MOST_LEAVES)
                } else {
                    1
                };
                let missing = Missing::Leaves((gap.parent, gap.child), leaves);
                LostRange { range: gap.range, missing, on: None }
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
                None => {
                    let missing = Missing::Rows(usize::from(damaged.bad));
                    ranges.push(LostRange { range, missing, on: tree.pages.get(index).copied() });
                }
            }
        }
        // An older copy of a row may lead to the rest of its chain, or have what a lost sector took.
        let of_rows = || tree.pages.iter().filter(|_| tree.rowids);
        let broken = of_rows()
            .flat_map(|page| chained.faults_on(*page).iter().map(|faulty| (*page, faulty.cell.rowid)));
        let damaged = of_rows()
            .flat_map(|page| restored::damaged(ground, *page).into_iter().map(|cell| (*page, cell.rowid)));
        ranges.extend(broken.chain(damaged).map(|(page, rowid)| LostRange {
            range: KeyRange { above: rowid.checked_sub(1), upto: Some(rowid) },
            missing: Missing::Rows(1),
            on: Some(page),
        }));
        let spans = if tree.rowids && !ranges.is_empty() { spans(ground, tree) } else { Vec::new() };
        // Most trees have lost nothing, and are not asked.
        let any_page = ranges.iter().any(|lost| lost.link().is_some());
        let of_page = if any_page { rows_of_page(ground, &tree.pages) } else { 0 };
        Self { ranges, spans, of_page, ..Self::default() }
    }

    /// Takes in which rows earlier versions of the lost leaves had, of these pages.
    pub(super) fn add_earlier(&mut self, ground: Ground<'_, '_>, leaves: &HashSet<u32>) {
        let lost: HashMap<u32, bool> = self
            .ranges
            .iter()
            .filter_map(|lost| lost.link())
            .map(|(parent, child)| (child, parent == 0))
            .collect();
        for number in leaves.iter().filter(|number| ground.view.is_of_journal(**number)) {
            let info = ground.survey.page(*number);
            let Some(version) = ground.view.page(*number) else { continue };
            let Some(is_root) = lost.get(&version.number) else { continue };
            let page = Page::parse(version.bytes, version.number, ground.view.geometry);
            if let Some(page) = page.filter(|page| info.sound && page.header.kind == PageKind::TableLeaf) {
                let cells = page.pointers().filter_map(|pointer| page.good_cell(pointer));
                let earlier = self.earlier.entry(version.number).or_default();
                earlier.rowids.extend(cells.map(|cell| cell.rowid));
                earlier.of_all = *is_root;
            }
        }
        for earlier in self.earlier.values_mut() {
            earlier.rowids.sort_unstable();
        }
        if !self.earlier.is_empty() {
            for (old, _) in ground.survey.old().filter(|(old, _)| ground.view.is_of_journal(*old)) {
                if let Some(version) = ground.view.page(old) {
                    self.rewritten.entry(version.number).or_default().push(old);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// For each range the link to the page whose rows are missing, where it is one, and how many can be.
    pub(super) fn links(&self) -> impl Iterator<Item = (Option<(u32, u32)>, usize)> {
        self.ranges.iter().map(|lost| (lost.link(), self.most(lost)))
    }

    fn most(&self, lost: &LostRange) -> usize {
        match lost.missing {
            Missing::Rows(rows) => rows,
            Missing::Leaves(_, leaves) => leaves.saturating_mul(self.of_page),
        }
    }

    /// Takes the rows of old pages for what those of the tree looked like, which has none that can be read.
    pub(super) fn look_like(&mut self, ground: Ground<'_, '_>, old: &[u32]) {
        self.of_page = rows_of_page(ground, old);
    }

    /// Whether a row with this key may be missing.
    pub(super) fn hold(&self, tree: &Tree, rowid: i64) -> bool {
        if !tree.rowids {
            return true;
        }
        // Only pages that are lost can be covered by parts that were joined later; what is damaged of a page that stands
        // is nowhere else.
        let is_open = LazyCell::new(|| {
            let in_gap = |gap: &Gap| tree.is_open(gap, rowid, rowid);
            !self.is_held(rowid) && (tree.covered.is_empty() || tree.gaps.iter().any(in_gap))
        });
        let mut ranges = self.ranges.iter().filter(|lost| lost.range.holds(rowid, rowid));
        ranges.any(|lost| lost.link().is_none() || *is_open)
    }

    /// Whether a lost leaf didn't have the row when it was last seen, and had rows before and behind it, or all of them: this
    /// cell of another page, or from below its cells, where no bytes were written since, is older.
    pub(super) fn was_gone(&self, ground: Ground<'_, '_>, page: u32, cell: &Cell) -> bool {
        let was_absent = self.earlier.values().any(|Earlier { rowids, of_all }| {
            let is_within =
                rowids.first().is_some_and(|first| *first < cell.rowid) && rowids.last() > Some(&cell.rowid);
            (is_within || *of_all) && rowids.binary_search(&cell.rowid).is_err()
        });
        let bytes = |page: u32| Some(cell.local_payload(ground.view.page(page)?.bytes));
        let stood = |earlier: &[u32]| earlier.iter().any(|old| bytes(*old) == bytes(page));
        was_absent && self.rewritten.get(&page).is_none_or(|earlier| stood(earlier))
    }

    /// Whether the row with this id may be missing from another page than this one.
    pub(super) fn is_elsewhere(&self, rowid: i64, page: u32) -> bool {
        self.ranges.iter().any(|lost| lost.on != Some(page) && lost.range.holds(rowid, rowid))
    }

    /// Whether the row with this id stands on a leaf that can be read, if on any.
    pub(super) fn is_held(&self, rowid: i64) -> bool {
        let behind = self.spans.partition_point(|(first, _)| *first <= rowid);
        behind.checked_sub(1).and_then(|at| self.spans.get(at)).is_some_and(|(_, last)| rowid <= *last)
    }

    /// Of keys in order, those in ranges for which more were found than so many `quarters` of what can be missing. Rows that
    /// `stand` on a damaged page, as its pointers tell, leave the others that much less room.
    pub(super) fn too_many(
        &self,
        rowids: &[i64],
        stand: &HashSet<i64, RandomState>,
        quarters: usize,
    ) -> Vec<i64> {
        let mut fits: HashSet<i64, RandomState> = stand.clone();
        let mut over: Vec<i64> = Vec::new();
        for lost in &self.ranges {
            let from = rowids.partition_point(|rowid| lost.range.above.is_some_and(|above| *rowid <= above));
            let to = rowids.partition_point(|rowid| lost.range.upto.is_none_or(|upto| *rowid <= upto));
            let inside = rowids.get(from..to).unwrap_or_default();
            let others = inside.iter().filter(|rowid| !stand.contains(rowid));
            let count = others.clone().count();
            let taken = if lost.link().is_none() { inside.len() - count } else { 0 };
            if count.saturating_mul(4) > self.most(lost).saturating_sub(taken).saturating_mul(quarters) {
                over.extend(others);
            } else {
                fits.extend(others);
            }
        }
        over.retain(|rowid| !fits.contains(rowid));
        over
    }

    pub(super) fn meets(&self, info: &PageInfo) -> bool {
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
    // What is lost of a page with its header may be rows between those that are left.
    let in_order = |page| {
        info(&page).sound || !info(&page).rebuilt && bad_runs(ground, page, KeyRange::default()).is_some()
    };
    apart.filter(|(_, (_, _, page))| in_order(*page)).map(|(_, (first, last, _))| (*first, *last)).collect()
}

/// How many rows of a tree a page holds, by others: about as many as the fullest of them, or as there is room for such rows,
/// for there may be few others, and none of them full. Without others, as many as there is room for.
fn rows_of_page(ground: Ground<'_, '_>, pages: &[u32]) -> usize {
    let usable = ground.view.geometry.usable() as usize;
    let Some(fullest) = pages.iter().map(|page| usize::from(ground.survey.page(*page).cells)).max() else {
        return usable / LEAST_ROW;
    };
    let (mut rows, mut bytes) = (0, 0);
    for page in sample::profile_pages(pages) {
        sample::records(ground.view, ground.survey, page, sample::ROWS, |_, _, payload| {
            rows += 1;
            bytes += LEAST_ROW + payload.len();
        });
    }
    let room = (usable * rows).checked_div(bytes).unwrap_or(0);
    (fullest + fullest / 4 + 4).max(room)
}

/// The keys of the bad cells of a leaf, by their neighbours in the pointers' order, which is that of the keys; `None`
/// where the good ones are not in order.
fn bad_runs(ground: Ground<'_, '_>, number: u32, range: KeyRange) -> Option<Vec<LostRange>> {
    let version = ground.view.page(number)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let read = |pointer: usize| {
        let cell = page.good_cell(pointer);
        let cell = cell.filter(|cell| survey::reads(&page, cell, ground.view.page_count))?;
        Some(cell.rowid)
    };
    let rowids: Vec<Option<i64>> = page.pointers().map(read).collect();
    if !range.above.iter().chain(rowids.iter().flatten()).is_sorted_by(|one, other| one < other) {
        return None;
    }
    let run = |run: Run<i64>| {
        let upto = run.below.map_or(range.upto, |below| below.checked_sub(1));
        let range = KeyRange { above: run.above.or(range.above), upto };
        LostRange { range, missing: Missing::Rows(run.cells), on: Some(number) }
    };
    Some(bad_runs::of(rowids).into_iter().map(run).collect())
}

/// Whether a gap stands for a page that can't be read.
pub(super) fn is_lost(ground: Ground<'_, '_>, gap: &Gap) -> bool {
    ground.survey.page(gap.child).kind.is_none()
}

/// Whether a gap stands for a page that can't be read, but holds something.
pub(super) fn is_bare(ground: Ground<'_, '_>, gap: &Gap) -> bool {
    gap.child > 1 && is_lost(ground, gap) && !ground.survey.page(gap.child).zero
}
