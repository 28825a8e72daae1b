//! Row ids that freeing a cell overwrote, restored where what is left and the neighbours leave one choice.

use super::leaves::Leaves;
use super::live::Live;
use super::{Candidate, Dead, Search};
use mudlark_parsers::bytes::touch;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::varint::varint_len;
use rayon::prelude::*;

/// Ids that are looked through for one row: a leaf spans fewer.
const MOST_TRIED: u64 = 1 << 16;

/// Candidates that are too few to share among threads.
const SHARE: usize = 1024;

/// Restores the row ids of the candidates on the table's own pages.
pub(super) fn restore(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, dead: &mut [Candidate]) {
    if !search.tree.rowids {
        return;
    }
    let by_page = dead.par_iter().with_min_len(SHARE).enumerate();
    let mut by_page: Vec<(u32, u32)> = by_page.map(|(index, dead)| (dead.page, index as u32)).collect();
    by_page.sort_unstable();
    let is_open =
        |(_, index): &(u32, u32)| dead.get(*index as usize).is_some_and(|dead| dead.rowid.is_none());
    let pages = by_page.chunk_by(|(a, _), (b, _)| a == b);
    let pages: Vec<&[(u32, u32)]> = pages.filter(|indexes| indexes.iter().any(is_open)).collect();
    if pages.is_empty() {
        return;
    }
    let bounds = bounds(search, dead);
    let known: &[Candidate] = dead;
    let restored = pages.par_iter().with_min_len(16).fold(Scratch::default, |mut scratch, indexes| {
        let page = indexes.first().map_or(0, |(page, _)| *page);
        on_page(search, live, known, page, indexes, bounds.of(page), &mut scratch);
        scratch
    });
    let restored: Vec<Vec<(u32, i64)>> = restored.map(|scratch| scratch.found).collect();
    for (index, rowid) in restored.into_iter().flatten() {
        if let Some(dead) = dead.get_mut(index as usize) {
            dead.rowid = Some(rowid);
            dead.claims = dead.claims.with(Claim::RowidInferred);
        }
    }
}

/// The least and the greatest row id that each leaf of a tree can have had.
#[derive(Debug)]
pub(super) struct Bounds<'l> {
    leaves: &'l Leaves,
    bounds: Vec<(i64, i64)>,
}

impl Bounds<'_> {
    /// Those of a page, if it is one of the leaves.
    pub(super) fn of(&self, page: u32) -> Option<(i64, i64)> {
        self.bounds.get(self.leaves.place(page)?).copied()
    }
}

/// The row ids between the neighbours of each leaf of the tree, with the gone rows on them whose ids are known.
pub(super) fn bounds<'s>(search: &'s Search<'_, '_>, dead: &[Candidate]) -> Bounds<'s> {
    let survey = &search.database.survey;
    let known = search.leaves();
    let leaves = known.pages.as_slice();
    let filled = |page: &u32| Some(survey.page(*page)).filter(|info| info.cells > 0);
    let mut ranges: Vec<(i64, i64)> = Vec::with_capacity(leaves.len());
    let mut above = i64::MIN;
    let mut behind =
        leaves.iter().enumerate().filter_map(|(index, page)| Some((index, filled(page)?.first))).peekable();
    for (index, page) in leaves.iter().enumerate() {
        while behind.next_if(|(filled, _)| *filled <= index).is_some() {}
        let next = behind.peek().map_or(i64::MAX, |(_, first)| first.saturating_sub(1));
        ranges.push((above.saturating_add(1), next));
        if let Some(info) = filled(page) {
            above = above.max(info.last);
        }
    }
    // The rows that stood on a page, live ones and those whose ids are known: only where they keep between the neighbours.
    let mut stood: Vec<Option<(i64, i64)>> =
        leaves.iter().map(|page| filled(page).map(|info| (info.first, info.last))).collect();
    let mut last = (0, None);
    for dead in dead {
        // Mostly those of a page stand together.
        if last.0 != dead.page {
            last = (dead.page, known.place(dead.page));
        }
        let place = last.1.and_then(|index| Some((ranges.get(index)?, stood.get_mut(index)?)));
        if let (Some(rowid), Some(((first, last), stood))) = (dead.rowid, place)
            && (*first..=*last).contains(&rowid)
        {
            let (from, to) = stood.unwrap_or((rowid, rowid));
            *stood = Some((from.min(rowid), to.max(rowid)));
        }
    }
    let bounds = ranges.iter().enumerate().map(|(index, (first, last))| {
        let neighbour = |index: Option<usize>| stood.get(index?).copied().flatten();
        let first =
            neighbour(index.checked_sub(1)).map_or(*first, |(_, to)| to.saturating_add(1).max(*first));
        let last = neighbour(Some(index + 1)).map_or(*last, |(from, _)| from.saturating_sub(1).min(*last));
        (first, last)
    });
    Bounds { leaves: known, bounds: bounds.collect() }
}

/// The candidates whose row ids were restored, with these; and what is kept from one page to the next, to allocate once.
#[derive(Default)]
struct Scratch<'d> {
    found: Vec<(u32, i64)>,
    placed: Placed,
    open: Vec<(u32, &'d Dead)>,
    taken: Vec<i64>,
}

/// Rows of a page by their place, in order: SQLite fills a page from its end, so rows that came in order lie in reverse.
#[derive(Default)]
struct Placed(Vec<(u32, i64)>);

impl Placed {
    /// Takes the rows of a page in place of those before. Of several rows at one place the last counts.
    fn fill(&mut self, cells: impl Iterator<Item = (u32, i64)>) {
        let Self(rows) = self;
        rows.clear();
        rows.extend(cells);
        rows.reverse();
        rows.sort_by_key(|(at, _)| *at);
        rows.dedup_by_key(|(at, _)| *at);
    }

    fn insert(&mut self, at: u32, rowid: i64) {
        let index = self.0.partition_point(|(place, _)| *place < at);
        match self.0.get_mut(index).filter(|(place, _)| *place == at) {
            Some(row) => row.1 = rowid,
            None => self.0.insert(index, (at, rowid)),
        }
    }

    /// The rows before a place.
    fn before(&self, at: u32) -> &[(u32, i64)] {
        self.0.get(..self.0.partition_point(|(place, _)| *place < at)).unwrap_or_default()
    }

    /// The rows behind a place.
    fn behind(&self, at: u32) -> &[(u32, i64)] {
        self.0.get(self.0.partition_point(|(place, _)| *place <= at)..).unwrap_or_default()
    }
}

/// Adds the candidates of a page whose row ids can be restored.
fn on_page<'d>(
    search: &Search<'_, '_>,
    live: &Live<'_, '_, '_>,
    dead: &'d [Candidate],
    number: u32,
    indexes: &[(u32, u32)],
    bounds: Option<(i64, i64)>,
    Scratch { found, placed, open, taken }: &mut Scratch<'d>,
) {
    let view = &search.database.view;
    let Some(version) = view.page(number) else { return };
    touch(version.bytes);
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return };
    placed.fill(page.good_cells().map(|cell| (cell.at, cell.rowid)));
    let ids = || placed.0.iter().map(|(_, rowid)| *rowid);
    let (first, last) = match (bounds, ids().min(), ids().max()) {
        (Some((first, last)), _, _) => (first, last),
        // Of another page only what stands on it is known.
        (None, Some(first), Some(last)) => (first.saturating_sub(64), last.saturating_add(64)),
        _ => return,
    };
    open.clear();
    for (index, dead) in indexes.iter().filter_map(|(_, index)| Some((*index, dead.get(*index as usize)?))) {
        match dead.rowid {
            Some(rowid) => placed.insert(dead.freed.cell.at, rowid),
            None => open.push((index, dead)),
        }
    }
    open.sort_by_key(|(_, dead)| std::cmp::Reverse(dead.freed.cell.at));
    taken.clear();
    taken.extend(placed.0.iter().map(|(_, rowid)| *rowid));
    taken.sort_unstable();
    let free = |rowid: i64, taken: &[i64]| taken.binary_search(&rowid).is_err() && live.find(rowid).is_none();
    // Those of which some bits are left first: they narrow the choice for the others.
    for low_bits in [true, false] {
        let mut next = 0;
        while let Some((index, this)) = open.get(next).copied() {
            let at = this.freed.cell.at;
            let (mut from, mut to) = (first, last);
            let (before, behind) = (placed.before(at), placed.behind(at));
            let descending = is_descending(before, behind);
            if descending {
                // Between the nearest rows by place.
                if let Some((_, below)) = behind.first() {
                    from = from.max(below.saturating_add(1));
                }
                if let Some((_, above)) = before.last() {
                    to = to.min(above.saturating_sub(1));
                }
            }
            let restored = match this.freed.rowid {
                RowidLeft::Low(low, bits) if low_bits => {
                    by_low_bits(low, bits, from, to, |id| free(id, taken))
                        .or_else(|| by_low_bits(low, bits, first, last, |id| free(id, taken)))
                }
                RowidLeft::Length(len) if !low_bits && descending => {
                    let rivals = open.iter().filter(|(_, other)| {
                        let there = other.freed.cell.at;
                        behind.first().is_none_or(|(place, _)| there < *place)
                            && before.last().is_none_or(|(place, _)| there > *place)
                    });
                    in_order(from, to, len, rivals.count(), |id| free(id, taken))
                }
                _ => None,
            };
            match restored {
                Some(rowid) => {
                    found.push((index, rowid));
                    placed.insert(at, rowid);
                    taken.insert(taken.partition_point(|other| *other < rowid), rowid);
                    open.remove(next);
                }
                None => next += 1,
            }
        }
    }
}

/// Rows on either side of a place that show how row ids run there.
const BESIDE: usize = 3;

/// Whether row ids fall as places rise, from the last rows before a place to the first behind it.
fn is_descending(before: &[(u32, i64)], behind: &[(u32, i64)]) -> bool {
    let before = before.get(before.len().saturating_sub(BESIDE)..).unwrap_or_default();
    let beside = || before.iter().chain(behind.iter().take(BESIDE)).map(|(_, rowid)| *rowid);
    beside().nth(1).is_some() && beside().is_sorted_by(|a, b| a > b)
}

/// How far ids with the same low bits lie apart; `None` for so many bits that few do.
pub(super) fn modulus(bits: u32) -> Option<i64> {
    1_i64.checked_shl(bits).filter(|_| bits < 62)
}

/// The first id from `from` on with these low bits, of those that lie so far apart.
pub(super) const fn first_with(low: u64, modulus: i64, from: i64) -> Option<i64> {
    from.checked_add((low as i64).wrapping_sub(from).rem_euclid(modulus))
}

/// The only free id of a range with these low bits.
fn by_low_bits(low: u64, bits: u32, from: i64, to: i64, free: impl Fn(i64) -> bool) -> Option<i64> {
    let modulus = modulus(bits)?;
    let mut next = first_with(low, modulus, from)?;
    let mut found = None;
    for _ in 0..64 {
        if next > to {
            return found;
        }
        if free(next) && found.replace(next).is_some() {
            return None;
        }
        next = next.checked_add(modulus)?;
    }
    None
}

/// The first free id of a range that has as many free ones as there are rows for them: the rows are met in the order of
/// their ids.
fn in_order(from: i64, to: i64, len: u32, rows: usize, free: impl Fn(i64) -> bool) -> Option<i64> {
    if to < from || to.abs_diff(from) >= MOST_TRIED {
        return None;
    }
    let fits = |id: &i64| varint_len(*id as u64) == len as usize && free(*id);
    let mut ids = (from..=to).filter(fits);
    let first = ids.next()?;
    (ids.take(rows).count() + 1 == rows).then_some(first)
}
