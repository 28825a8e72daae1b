//! Finds pages by their content: by the row ids, entries and links that a page of a certain number must have.

mod answers;
mod copies;
mod levels;

pub(super) use levels::follows;

use super::super::hits::{Hit, HitKind};
use super::body::{Body, Expect, Key};
use super::fit::tree_page;
use super::keys;
use super::lay::{Guess, base_of};
use super::links::Links;
use super::order::Order;
use super::work::Work;
use answers::{Answers, PLACES};
use copies::{Copies, Shown};
use mudlark_parsers::bytes::slice_at;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::geometry::Geometry;
use rayon::prelude::*;

/// Pages that are asked for one number: keys are dense, so that more would be of many databases alike.
const MOST_ASKED: usize = 96;

/// The same where nothing but the pages themselves tell them apart.
const MOST_ALIKE: usize = 2048;

/// Places of a page that lies many times which are asked for the run that it lies in.
const MOST_COPIES: usize = 32;

/// A page whose fit is less is not worth a break of the file's run.
const LEAST_FIT: f32 = 2.0;

/// The same of an interior page, which leads to others.
const LEAST_INTERIOR: f32 = 1.6;

/// The pages of one size by their content. It takes 24 bytes a page, and 16 more for a page of a table.
#[derive(Debug)]
pub(super) struct Index {
    /// Last row ids of the leaves of tables, with the first ones.
    last: Vec<(i64, u64, i64)>,
    /// First ones.
    first: Vec<(i64, u64)>,
    /// Last row ids of the interior pages of tables, with the first ones.
    interior: Vec<(i64, u64, i64)>,
    /// First ones.
    interior_first: Vec<(i64, u64)>,
    /// The pages of indexes by the beginning of their first entry, with that of the last one.
    entries: Vec<(u64, u64, u64)>,
    /// The interior ones of them.
    inner: Vec<(u64, u64, u64)>,
    /// Pages that may be of overflow chains, by their link.
    links: Vec<(u32, u64)>,
    /// Pages that may be the last of a chain, by the end of what they hold.
    ends: Vec<(u32, u64)>,
    /// Pages that may list free ones, by their link.
    trunks: Vec<(u32, u64)>,
    /// Pages that may be of a pointer map.
    maps: Vec<u64>,
    /// Where else the pages of trees lie: the lists have the first of those that hold the same bytes.
    copies: Copies,
    answers: Answers,
}

/// Of no page.
pub(super) static EMPTY: Index = Index::none();

impl Index {
    const fn none() -> Self {
        Self {
            last: Vec::new(),
            first: Vec::new(),
            interior: Vec::new(),
            interior_first: Vec::new(),
            entries: Vec::new(),
            inner: Vec::new(),
            links: Vec::new(),
            ends: Vec::new(),
            trunks: Vec::new(),
            maps: Vec::new(),
            copies: Copies::NONE,
            answers: Answers::none(),
        }
    }

    /// Reads what the pages of one size hold, without those that are `taken`; `links` are those of the same size.
    pub(super) fn of(
        image: &[u8],
        hits: &[Hit],
        page_size: u32,
        links: Links,
        taken: &(dyn Fn(u64) -> bool + Sync),
    ) -> Self {
        let geometry = Geometry { page_size, reserved: 0 };
        let Links { links, ends, trunks, maps } = links;
        let mut index = Self { links, ends, trunks, maps, ..Self::none() };
        let wanted =
            |hit: &&Hit| hit.is_page_of(page_size) && hit.kind() != HitKind::Header && !taken(hit.offset());
        let read = |hit: &Hit| {
            let from = usize::try_from(hit.offset()).ok()?;
            let bytes = slice_at(image, from, page_size as usize)?;
            let (page, cells) = tree_page(bytes, 2, geometry)?;
            let (first, last) = cells?;
            let prefix = |cell: &Cell| {
                if page.header.kind.is_table() { 0 } else { keys::prefix(cell.local_payload(bytes)) }
            };
            let prefixes = (prefix(&first), prefix(&last));
            let (offset, kind) = (hit.offset(), page.header.kind);
            Some(Shown { offset, kind, first: first.rowid, last: last.rowid, prefixes })
        };
        let mut pages: Vec<Shown> = hits.par_iter().filter(wanted).filter_map(read).collect();
        index.copies = Copies::collapse(image, page_size, &mut pages);
        for Shown { offset, kind, first, last, prefixes } in pages {
            if !kind.is_table() {
                let entry = (prefixes.0, offset, prefixes.1);
                index.entries.push(entry);
                index.inner.extend(kind.is_interior().then_some(entry));
            } else if kind.is_interior() {
                index.interior.push((last, offset, first));
                index.interior_first.push((first, offset));
            } else {
                index.last.push((last, offset, first));
                index.first.push((first, offset));
            }
        }
        index.last.par_sort_unstable();
        index.first.par_sort_unstable();
        index.interior.par_sort_unstable();
        index.interior_first.par_sort_unstable();
        index.inner.par_sort_unstable();
        index.entries.par_sort_unstable();
        index
    }

    /// Where the page of this number may lie, the best places first, so many at most.
    pub(super) fn find(&self, body: &Body<'_>, number: u32, expect: &Expect, most: usize) -> Vec<u64> {
        self.find_from(body, number, expect, most, f32::INFINITY)
    }

    /// The same with places that fit well enough, and those that fit so well at least.
    pub(super) fn find_from(
        &self,
        body: &Body<'_>,
        number: u32,
        expect: &Expect,
        most: usize,
        enough: f32,
    ) -> Vec<u64> {
        let mut found: Vec<(u64, f32)> = Vec::new();
        self.ask(body, number, expect, enough, &mut |offset, fit| {
            found.extend(self.nearest(offset, body.first.unwrap_or(0), most).map(|place| (place, fit)));
        });
        best(found, most).into_iter().map(|(offset, _)| offset).collect()
    }

    /// The best places of a page of a tree, one of each content, and how well it fits there; kept for those that ask again.
    pub(super) fn best(
        &self,
        body: &Body<'_>,
        number: u32,
        expect: &Expect,
    ) -> impl Iterator<Item = (u64, f32)> + use<> {
        let places = self.answers.of(body, number, expect, || {
            let mut found = self.find_contents(body, number, expect, PLACES).into_iter();
            std::array::from_fn(|_| found.next())
        });
        places.into_iter().flatten()
    }

    /// Where a page may lie, and how well it fits there, the best places first, so many at most; of those with the same content one.
    pub(super) fn find_contents(
        &self,
        body: &Body<'_>,
        number: u32,
        expect: &Expect,
        most: usize,
    ) -> Vec<(u64, f32)> {
        let mut found: Vec<(u64, f32)> = Vec::new();
        self.ask(body, number, expect, f32::INFINITY, &mut |offset, fit| found.push((offset, fit)));
        best(found, most)
    }

    /// Asks pages of which one may be of this number, and tells of those that fit well enough, or as well as they must where nothing
    /// else does; of pages with the same content only the first.
    fn ask(
        &self,
        body: &Body<'_>,
        number: u32,
        expect: &Expect,
        enough: f32,
        found: &mut dyn FnMut(u64, f32),
    ) {
        let mut ask = |offset: u64, least: f32| {
            let fit = body.fit(offset, number, expect);
            if fit >= least.min(enough) {
                found(offset, fit);
            }
        };
        match *expect {
            Expect::Tree { table, shape, low, high, .. } => {
                if table != Some(false) {
                    self.of_table(low, high, &mut ask);
                }
                // Behind the last row of the first page others may have been deleted; any page before it is like that.
                if let (Key::Open, Key::Row(high), true) = (low, high, enough < LEAST_FIT) {
                    let before = range(&self.last, i64::MIN, high.saturating_sub(1)).rev();
                    before.take(MOST_ASKED / 4).for_each(|page| ask(page.1, LEAST_FIT));
                }
                if table != Some(true) {
                    self.of_index(body, shape.order, low, high, &mut |offset| ask(offset, LEAST_FIT));
                }
            }
            Expect::Chain { left, .. } if left <= u64::from(body.geometry.overflow_capacity()) => {
                self.ends(left).take(MOST_ASKED).for_each(|offset| ask(offset, LEAST_FIT));
            }
            Expect::Chain { guessed, .. } => {
                let mut links = |next: u32| {
                    range(&self.links, next, next)
                        .take(MOST_ASKED)
                        .for_each(|(_, offset)| ask(*offset, LEAST_FIT));
                };
                links(number + 1);
                if !guessed {
                    links(number - 1);
                }
            }
            Expect::Trunk => {
                self.trunks.iter().take(MOST_ASKED).for_each(|(_, offset)| ask(*offset, LEAST_FIT))
            }
            Expect::Free => {
                let next = number + 1;
                range(&self.links, next, next)
                    .take(MOST_ASKED)
                    .for_each(|(_, offset)| ask(*offset, LEAST_FIT));
            }
            _ => {}
        }
    }

    /// Where the last page of a chain may lie that holds so many bytes.
    pub(super) fn ends(&self, left: u64) -> impl Iterator<Item = u64> + '_ {
        // A value may end with a zero.
        let end = left as u32 + 4;
        range(&self.ends, end - 1, end).map(|(_, offset)| *offset)
    }

    /// Where the last page of a chain may lie that holds so many bytes before others that were there earlier.
    pub(super) fn longer_ends(&self, left: u64) -> impl Iterator<Item = u64> + '_ {
        range(&self.ends, (left as u32).saturating_add(5), u32::MAX).map(|(_, offset)| *offset)
    }

    /// Pages that may be of overflow chains, with what they link to.
    pub(super) fn links(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.links.iter().copied()
    }

    /// How many there are.
    pub(super) const fn link_count(&self) -> usize {
        self.links.len()
    }

    /// How many leaves there are.
    pub(super) const fn leaf_count(&self) -> usize {
        self.last.len() + self.entries.len()
    }

    /// Pages that may be of a pointer map.
    pub(super) fn maps(&self) -> &[u64] {
        &self.maps
    }

    /// The run in which most of these children of one page lie, each with its greatest key, when it is that of most of those that are found: the place of its
    /// page 1, and how many of the children lie in it.
    pub(super) fn common_base(
        &self,
        children: &[(u32, Key)],
        size: u64,
        work: &mut Work,
    ) -> Option<(i64, usize)> {
        let mut bases: Vec<i64> = Vec::new();
        let mut found = 0;
        let step = children.len().div_ceil(MOST_ASKED).max(1);
        for at in (0..children.len()).step_by(step) {
            let before = at.checked_sub(1).and_then(|before| children.get(before)).map(|child| child.1);
            let Some(((number, Key::Row(high)), Key::Row(low))) = children.get(at).copied().zip(before)
            else {
                continue;
            };
            let before = bases.len();
            let leaves = range(&self.last, high, high).filter(|page| page.2 > low);
            let places = leaves.take(MOST_ASKED).flat_map(|page| self.places(page.1).take(MOST_COPIES));
            bases.extend(places.map(|offset| base_of(Guess { number, offset }, size)));
            found += usize::from(bases.len() > before);
        }
        work.add(bases.len() as u64);
        bases.sort_unstable();
        let most = bases.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
        (most.len() >= 2 && most.len() * 2 >= found).then_some((*most.first()?, most.len()))
    }

    /// All places of the page that is the first of its content.
    pub(super) fn places(&self, first: u64) -> impl DoubleEndedIterator<Item = u64> + '_ {
        let copies = self.copies.of(first);
        let alone = copies.is_none().then_some(first);
        copies.unwrap_or_default().iter().copied().chain(alone)
    }

    /// So many places of the page that is the first of its content, those next to an offset: they are likelier to be of the file
    /// that lies there, and each file has others.
    fn nearest(&self, first: u64, offset: u64, most: usize) -> impl Iterator<Item = u64> + '_ {
        let copies = self.copies.of(first);
        let alone = copies.is_none().then_some(first);
        let copies = copies.unwrap_or_default();
        let behind = copies.partition_point(|copy| *copy < offset);
        let from = behind.saturating_sub(most / 2).min(copies.len().saturating_sub(most));
        let near = copies.get(from..copies.len().min(from.saturating_add(most)));
        near.unwrap_or_default().iter().copied().chain(alone)
    }

    /// The interior pages of tables, of indexes, or of both, one of each content.
    pub(super) fn interior_pages(&self, table: Option<bool>) -> impl Iterator<Item = u64> + '_ {
        let of_tables = self.interior.iter().map(|page| page.1).filter(move |_| table != Some(false));
        let of_indexes = self.inner.iter().map(|page| page.1).filter(move |_| table != Some(true));
        of_tables.chain(of_indexes)
    }

    /// The leaves of tables, of indexes, or of both, one of each content.
    pub(super) fn leaves(&self, table: Option<bool>) -> impl Iterator<Item = u64> + '_ {
        let of_tables = self.last.iter().map(|page| page.1).filter(move |_| table != Some(false));
        let of_indexes = self.entries.iter().map(|page| page.1).filter(move |_| table != Some(true));
        of_tables.chain(of_indexes)
    }

    fn of_table(&self, low: Key, high: Key, ask: &mut dyn FnMut(u64, f32)) {
        match (low, high) {
            (Key::Row(low), Key::Row(high)) => {
                for pages in [&self.last, &self.interior] {
                    let above = range(pages, low.saturating_add(1), high).rev();
                    above
                        .filter(|page| page.2 > low)
                        .take(MOST_ASKED)
                        .for_each(|page| ask(page.1, LEAST_FIT));
                }
            }
            (_, Key::Row(high)) => {
                range(&self.last, high, high).take(MOST_ASKED).for_each(|page| ask(page.1, LEAST_FIT));
                range(&self.interior, i64::MIN, high)
                    .rev()
                    .take(MOST_ASKED)
                    .for_each(|page| ask(page.1, LEAST_FIT));
            }
            (Key::Row(low), _) => {
                let next = low.saturating_add(1);
                range(&self.first, next, i64::MAX)
                    .take(MOST_ASKED / 4)
                    .for_each(|page| ask(page.1, LEAST_FIT));
                let interior = range(&self.interior_first, next, i64::MAX);
                interior.take(MOST_ASKED).for_each(|page| ask(page.1, LEAST_INTERIOR));
            }
            _ => {}
        }
    }

    fn of_index(&self, body: &Body<'_>, order: Order, low: Key, high: Key, ask: &mut dyn FnMut(u64)) {
        let is_known = |key: Key| matches!(key, Key::Entry(..));
        if !is_known(low) && !is_known(high) {
            return;
        }
        let (least, most) = body.prefixes(low, high, order);
        let within = |page: &&(u64, u64, u64)| (least..=most).contains(&page.2);
        // Where the beginnings of the bounds are the same, or their capitals may differ, they don't tell pages apart.
        let asked = if least == most || order.first_folds() { MOST_ALIKE } else { MOST_ASKED };
        // Interior pages are few among leaves, which lie between the same bounds.
        for pages in [&self.inner, &self.entries] {
            let pages = range(pages, least, most).filter(within);
            if least > 0 {
                pages.take(asked).for_each(|page| ask(page.1));
            } else {
                pages.rev().take(asked).for_each(|page| ask(page.1));
            }
        }
    }
}

/// The best places, so many at most, each once.
fn best(mut found: Vec<(u64, f32)>, most: usize) -> Vec<(u64, f32)> {
    found.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    found.dedup_by_key(|page| page.0);
    found.truncate(most);
    found
}

/// An entry of a sorted list: its key, and an offset.
trait Sorts {
    type Key: Ord + Copy;
    fn key(&self) -> Self::Key;
}

impl<K: Ord + Copy> Sorts for (K, u64) {
    type Key = K;
    fn key(&self) -> K {
        self.0
    }
}

impl<K: Ord + Copy> Sorts for (K, u64, K) {
    type Key = K;
    fn key(&self) -> K {
        self.0
    }
}

/// What is sorted between two keys, these included.
fn range<T: Sorts>(sorted: &[T], low: T::Key, high: T::Key) -> impl DoubleEndedIterator<Item = &T> {
    let from = sorted.partition_point(|entry| entry.key() < low);
    let to = sorted.partition_point(|entry| entry.key() <= high);
    sorted.get(from..to.max(from)).unwrap_or_default().iter()
}
