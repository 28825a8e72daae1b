//! Row ids that freeing a cell overwrote, restored where what is left and the neighbours leave one choice.

use super::live::Live;
use super::{Dead, Search};
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::varint::varint_len;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Ids that are looked through for one row: a leaf spans fewer.
const MOST_TRIED: u64 = 1 << 16;

/// Restores the row ids of the candidates on the table's own pages.
pub(super) fn restore(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, dead: &mut [Dead]) {
    if !search.tree.rowids {
        return;
    }
    let mut by_page: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, dead) in dead.iter().enumerate() {
        by_page.entry(dead.page).or_default().push(index);
    }
    by_page.retain(|_, indexes| {
        indexes.iter().any(|index| dead.get(*index).is_some_and(|dead| dead.rowid.is_none()))
    });
    if by_page.is_empty() {
        return;
    }
    let bounds = bounds(search, dead);
    for (page, indexes) in by_page {
        on_page(search, live, dead, page, &indexes, bounds.get(&page).copied());
    }
}

/// The row ids between the neighbours of each leaf of the tree, with the gone rows on them whose ids are known.
fn bounds(search: &Search<'_, '_>, dead: &[Dead]) -> HashMap<u32, (i64, i64)> {
    let survey = &search.database.survey;
    let leaf = |page: &&u32| survey.page(**page).kind == Some(PageKind::TableLeaf);
    let leaves: Vec<u32> = search.tree.pages.iter().filter(leaf).copied().collect();
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
    let position: HashMap<u32, usize> =
        leaves.iter().enumerate().map(|(index, page)| (*page, index)).collect();
    let mut stood: Vec<Option<(i64, i64)>> =
        leaves.iter().map(|page| filled(page).map(|info| (info.first, info.last))).collect();
    for dead in dead {
        let place =
            position.get(&dead.page).and_then(|index| Some((ranges.get(*index)?, stood.get_mut(*index)?)));
        if let (Some(rowid), Some(((first, last), stood))) = (dead.rowid, place)
            && (*first..=*last).contains(&rowid)
        {
            let (from, to) = stood.unwrap_or((rowid, rowid));
            *stood = Some((from.min(rowid), to.max(rowid)));
        }
    }
    let mut found = HashMap::new();
    for (index, page) in leaves.iter().enumerate() {
        let Some((first, last)) = ranges.get(index).copied() else { continue };
        let neighbour = |index: Option<usize>| stood.get(index?).copied().flatten();
        let first = neighbour(index.checked_sub(1)).map_or(first, |(_, to)| first.max(to.saturating_add(1)));
        let last = neighbour(Some(index + 1)).map_or(last, |(from, _)| last.min(from.saturating_sub(1)));
        found.insert(*page, (first, last));
    }
    found
}

fn on_page(
    search: &Search<'_, '_>,
    live: &Live<'_, '_, '_>,
    dead: &mut [Dead],
    number: u32,
    indexes: &[usize],
    bounds: Option<(i64, i64)>,
) {
    let view = &search.database.view;
    let Some(version) = view.page(number) else { return };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return };
    // Cells by their place: SQLite fills a page from its end, so rows that came in order lie in reverse.
    let mut placed: BTreeMap<u32, i64> =
        page.cells().filter_map(Result::ok).map(|cell| (cell.at, cell.rowid)).collect();
    let on_page: BTreeSet<i64> = placed.values().copied().collect();
    let known = indexes
        .iter()
        .filter_map(|index| dead.get(*index))
        .filter_map(|dead| Some((dead.freed.cell.at, dead.rowid?)));
    placed.extend(known);
    let (first, last) = match (bounds, on_page.first(), on_page.last()) {
        (Some((first, last)), _, _) => (first, last),
        // Of another page only what stands on it is known.
        (None, Some(first), Some(last)) => (first.saturating_sub(64), last.saturating_add(64)),
        _ => return,
    };
    let mut taken: BTreeSet<i64> = placed.values().copied().collect();
    let free = |rowid: i64, taken: &BTreeSet<i64>| !taken.contains(&rowid) && live.find(rowid).is_none();
    let mut order: Vec<usize> = indexes.to_vec();
    order.sort_by_key(|index| dead.get(*index).map(|dead| std::cmp::Reverse(dead.freed.cell.at)));
    // Those of which some bits are left first: they narrow the choice for the others.
    for low_bits in [true, false] {
        for index in &order {
            let Some(this) = dead.get(*index).filter(|dead| dead.rowid.is_none()) else { continue };
            let at = this.freed.cell.at;
            let (mut from, mut to) = (first, last);
            let descending = is_descending(&placed, at);
            if descending {
                // Between the nearest rows by place.
                if let Some((_, below)) = placed.range(at + 1..).next() {
                    from = from.max(below.saturating_add(1));
                }
                if let Some((_, above)) = placed.range(..at).next_back() {
                    to = to.min(above.saturating_sub(1));
                }
            }
            let restored = match this.freed.rowid {
                RowidLeft::Low(low, bits) if low_bits => {
                    by_low_bits(low, bits, from, to, |id| free(id, &taken))
                        .or_else(|| by_low_bits(low, bits, first, last, |id| free(id, &taken)))
                }
                RowidLeft::Length(len) if !low_bits && descending => {
                    let rivals = order.iter().filter_map(|other| dead.get(*other)).filter(|other| {
                        let there = other.freed.cell.at;
                        let below = placed.range(at + 1..).next().is_none_or(|(place, _)| there < *place);
                        let above = placed.range(..at).next_back().is_none_or(|(place, _)| there > *place);
                        other.rowid.is_none() && below && above
                    });
                    in_order(from, to, len, rivals.count(), |id| free(id, &taken))
                }
                _ => None,
            };
            if let (Some(rowid), Some(this)) = (restored, dead.get_mut(*index)) {
                this.rowid = Some(rowid);
                this.claims = this.claims.with(Claim::RowidInferred);
                taken.insert(rowid);
                placed.insert(at, rowid);
            }
        }
    }
}

/// Rows on either side of a place that show how row ids run there.
const BESIDE: usize = 3;

/// Whether row ids fall as places rise, around `at`.
fn is_descending(placed: &BTreeMap<u32, i64>, at: u32) -> bool {
    let mut ids: Vec<i64> = placed.range(..at).rev().take(BESIDE).map(|(_, rowid)| *rowid).collect();
    ids.reverse();
    ids.extend(placed.range(at + 1..).take(BESIDE).map(|(_, rowid)| *rowid));
    ids.len() >= 2 && ids.is_sorted_by(|a, b| a > b)
}

/// The only free id of a range with these low bits.
fn by_low_bits(low: u64, bits: u32, from: i64, to: i64, free: impl Fn(i64) -> bool) -> Option<i64> {
    let modulus = 1_i64.checked_shl(bits).filter(|_| bits < 62)?;
    let offset = (low as i64).wrapping_sub(from).rem_euclid(modulus);
    let mut next = from.checked_add(offset)?;
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
