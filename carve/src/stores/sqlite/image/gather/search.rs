//! Finds pages by their content: by the row ids, entries and links that a page of a certain number must have.

use super::super::hits::{Hit, HitKind};
use super::body::{Body, Expect, Key};
use super::fit::tree_page;
use super::keys;
use mudlark_parsers::bytes::{be_u32_at, slice_at};
use mudlark_parsers::sqlite::geometry::Geometry;
use rayon::prelude::*;

/// Pages that are asked for one number: keys are dense, so that more would be of many databases alike.
const MOST_ASKED: usize = 96;

/// Places that are kept for one number.
const MOST_KEPT: usize = 6;

/// A page whose fit is less is not worth a break of the file's run.
const LEAST_FIT: f32 = 2.0;

/// Where parts of files can begin.
const SECTOR: usize = 512;

/// The pages of one size by their content. It takes 16 bytes a page, and as many again for a page of a table.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Last row ids of the leaves of tables.
    last: Vec<(i64, u64)>,
    /// First ones.
    first: Vec<(i64, u64)>,
    /// Last row ids of the interior pages of tables.
    interior: Vec<(i64, u64)>,
    /// The pages of indexes by the beginning of their first entry.
    entries: Vec<(u64, u64)>,
    /// Pages that may be of overflow chains, by their link.
    links: Vec<(u32, u64)>,
}

impl Index {
    /// Reads what the pages of one size hold, without those that are `taken`.
    pub(super) fn of(
        image: &[u8],
        hits: &[Hit],
        page_size: u32,
        taken: &(dyn Fn(u64) -> bool + Sync),
    ) -> Self {
        let geometry = Geometry { page_size, reserved: 0 };
        let mut index = Self::default();
        let wanted =
            |hit: &&Hit| hit.is_page_of(page_size) && hit.kind() != HitKind::Header && !taken(hit.offset());
        let read = |hit: &Hit| {
            let from = usize::try_from(hit.offset()).ok()?;
            let bytes = slice_at(image, from, page_size as usize)?;
            let (page, cells) = tree_page(bytes, 2, geometry)?;
            let (first, last) = cells?;
            let prefix =
                if page.header.kind.is_table() { 0 } else { keys::prefix(first.local_payload(bytes)) };
            Some((hit.offset(), page.header.kind, first.rowid, last.rowid, prefix))
        };
        let pages: Vec<_> = hits.par_iter().filter(wanted).filter_map(read).collect();
        for (offset, kind, first, last, prefix) in pages {
            if !kind.is_table() {
                index.entries.push((prefix, offset));
            } else if kind.is_interior() {
                index.interior.push((last, offset));
            } else {
                index.last.push((last, offset));
                index.first.push((first, offset));
            }
        }
        index.last.par_sort_unstable();
        index.first.par_sort_unstable();
        index.interior.par_sort_unstable();
        index.entries.par_sort_unstable();
        index.links = links(image, page_size, taken);
        index
    }

    /// Where the page of this number may lie, the best place first.
    pub(super) fn find(&self, body: &Body<'_>, number: u32, expect: &Expect) -> Vec<u64> {
        let mut found: Vec<(f32, u64)> = Vec::new();
        let mut ask = |offset: u64, least: f32| {
            let fit = body.fit(offset, number, expect);
            if fit >= least && !found.iter().any(|(_, known)| *known == offset) {
                found.push((fit, offset));
            }
        };
        match *expect {
            Expect::Tree { table, low, high, .. } => {
                if table != Some(false) {
                    self.of_table(low, high, &mut |offset| ask(offset, LEAST_FIT));
                }
                if table != Some(true) {
                    self.of_index(body, low, high, &mut |offset| ask(offset, LEAST_FIT));
                }
            }
            Expect::Chain { left, .. } if left > u64::from(body.geometry.overflow_capacity()) => {
                range(&self.links, number + 1, number + 1)
                    .take(MOST_ASKED)
                    .for_each(|offset| ask(offset, LEAST_FIT));
            }
            _ => {}
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        found.truncate(MOST_KEPT);
        found.into_iter().map(|(_, offset)| offset).collect()
    }

    fn of_table(&self, low: Key, high: Key, ask: &mut dyn FnMut(u64)) {
        match (low, high) {
            (Key::Row(low), Key::Row(high)) => {
                let low = low.saturating_add(1);
                range(&self.last, low, high).rev().take(MOST_ASKED).for_each(&mut *ask);
                range(&self.interior, low, high).rev().take(MOST_ASKED).for_each(ask);
            }
            (_, Key::Row(high)) => {
                range(&self.last, high, high).take(MOST_ASKED).for_each(&mut *ask);
                range(&self.interior, i64::MIN, high).rev().take(MOST_ASKED).for_each(ask);
            }
            (Key::Row(low), _) => {
                let next = low.saturating_add(1);
                range(&self.first, next, i64::MAX).take(MOST_ASKED / 4).for_each(&mut *ask);
                range(&self.interior, next, i64::MAX).take(MOST_ASKED / 4).for_each(ask);
            }
            _ => {}
        }
    }

    fn of_index(&self, body: &Body<'_>, low: Key, high: Key, ask: &mut dyn FnMut(u64)) {
        let prefix = |key: Key| match key {
            Key::Entry(at, len) => {
                slice_at(body.image, usize::try_from(at).ok()?, len as usize).map(keys::prefix)
            }
            _ => None,
        };
        let (low, high) = (prefix(low), prefix(high));
        match (low, high) {
            (None, None) => {}
            (Some(low), high) => {
                range(&self.entries, low, high.unwrap_or(u64::MAX)).take(MOST_ASKED).for_each(ask);
            }
            (None, Some(high)) => range(&self.entries, 0, high).rev().take(MOST_ASKED).for_each(ask),
        }
    }
}

/// What is sorted between two keys, these included.
fn range<K: Ord + Copy>(sorted: &[(K, u64)], low: K, high: K) -> impl DoubleEndedIterator<Item = u64> {
    let from = sorted.partition_point(|(key, _)| *key < low);
    let to = sorted.partition_point(|(key, _)| *key <= high);
    sorted.get(from..to.max(from)).unwrap_or_default().iter().map(|(_, offset)| *offset)
}

/// Pages that may be of overflow chains: they begin with a page number, and the page before or behind goes with it, as
/// SQLite mostly writes a chain in the order of the numbers.
fn links(image: &[u8], page_size: u32, taken: &(dyn Fn(u64) -> bool + Sync)) -> Vec<(u32, u64)> {
    let size = page_size as usize;
    // No file has more pages than the image has places for.
    let most = u32::try_from(image.len() / size).unwrap_or(u32::MAX);
    let window = 1 << 20;
    let mut found: Vec<(u32, u64)> = (0..image.len().div_ceil(window))
        .into_par_iter()
        .flat_map_iter(|index| {
            let (from, to) = (index * window, ((index + 1) * window).min(image.len()));
            (from..to).step_by(SECTOR).filter_map(move |at| {
                let link = be_u32_at(image, at)?;
                if link < 3 || link > most {
                    return None;
                }
                let behind = be_u32_at(image, at + size) == Some(link + 1);
                let before = || at.checked_sub(size).and_then(|at| be_u32_at(image, at)) == Some(link - 1);
                (behind || before()).then_some((link, at as u64))
            })
        })
        .collect();
    found.retain(|(_, offset)| !taken(*offset));
    found.par_sort_unstable();
    found
}
