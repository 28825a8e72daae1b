//! The keys of rows that may be missing from a table without row ids: those between the entries on both sides of a link to a
//! page that is lost, and those between the cells on both sides of some that can't be read.

use super::bad_runs::{self, Run};
use super::chains;
use super::forest::{Ground, KeyRange, Tree};
use super::key_order::KeyOrder;
use super::links::links;
use super::lost_keys::LostKeys;
use super::settle::Place;
use super::survey;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::ddl::KeyPart;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::TextEncoding;
use std::cmp::Ordering;
use std::collections::HashMap;

/// Interior pages from a root to a leaf: more are a loop.
const MAX_DEPTH: usize = 20;

/// Ranges that are told apart: in a table that has lost more pages than this, old rows are not sorted by them.
const MOST_RANGES: usize = 256;

/// A row or entry, by where it lies.
type Entry = (Place, Cell);

/// A range of keys, and how many rows of it can be missing.
#[derive(Debug)]
struct LostRange {
    above: Option<Entry>,
    below: Option<Entry>,
    most: usize,
}

/// The ranges of a table.
pub(super) struct LostEntries<'g, 'a> {
    ground: Ground<'g, 'a>,
    order: KeyOrder,
    ranges: Vec<LostRange>,
}

/// How much speaks against an old row's being one of those that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room for it.
    Enough,
    /// More were found than can be missing.
    Little,
    /// Most of those that were found can't be missing.
    None,
}

impl<'g, 'a> LostEntries<'g, 'a> {
    /// Of a tree with the key of its table.
    pub(super) fn of(
        ground: Ground<'g, 'a>,
        (tree, keys): (&Tree, &LostKeys),
        key: &[KeyPart],
        encoding: TextEncoding,
    ) -> Self {
        let mut lost = Self { ground, order: KeyOrder::new(key, encoding), ranges: Vec::new() };
        if keys.links().nth(MOST_RANGES).is_some() {
            let most = keys.links().fold(0, |sum: usize, (_, most)| sum.saturating_add(most));
            lost.ranges.push(LostRange { above: None, below: None, most });
            return lost;
        }
        let parents = parents(ground, tree);
        let range = |(link, most): (Option<(u32, u32)>, usize)| {
            let (above, below) = lost.beside(&parents, link?, 0);
            Some(LostRange { above, below, most })
        };
        let mut ranges: Vec<LostRange> = keys.links().filter_map(range).collect();
        let damaged = tree.pages.iter().copied().filter(|page| ground.survey.page(*page).bad > 0);
        ranges.extend(damaged.flat_map(|page| lost.bad_runs(&parents, page)));
        lost.ranges = ranges;
        lost
    }

    /// The ranges of the cells of a page that can't be read, by those beside them in the order of its pointers, which is that
    /// of the keys.
    fn bad_runs(&self, parents: &HashMap<u32, u32>, number: u32) -> Vec<LostRange> {
        let ground = self.ground;
        let bad = usize::from(ground.survey.page(number).bad);
        let anywhere = || vec![LostRange { above: None, below: None, most: bad }];
        let Some(version) = ground.view.page(number) else { return anywhere() };
        let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else {
            return anywhere();
        };
        // A row of an interior page is read also where its link leads nowhere.
        let is_read = |cell: &Cell| match page.header.kind {
            PageKind::IndexInterior => {
                record::header(cell.local_payload(page.bytes), cell.payload_len).is_ok()
            }
            _ => survey::reads(&page, cell, ground.view.page_count),
        };
        let read = |pointer: usize| {
            let cell = page.good_cell(pointer).filter(is_read)?;
            Some(((number, cell.at), cell))
        };
        let cells: Vec<Option<Entry>> = page.pointers().map(read).collect();
        let known: Vec<Entry> = cells.iter().flatten().copied().collect();
        if !self.rise(&known) {
            return anywhere();
        }
        let (first, last) = match parents.get(&number) {
            Some(parent) => self.beside(parents, (*parent, number), 0),
            None => (None, None),
        };
        let range = |run: Run<Entry>| LostRange {
            above: run.above.or(first),
            below: run.below.or(last),
            most: run.cells,
        };
        bad_runs::of(cells).into_iter().map(range).collect()
    }

    /// Whether the keys of entries rise, as far as they can be compared.
    fn rise(&self, entries: &[Entry]) -> bool {
        entries.windows(2).all(|pair| match pair {
            [one, other] => self.compare(*one, *other).is_none_or(Ordering::is_lt),
            _ => true,
        })
    }

    /// The entries on both sides of the link from a page to another; `None` where there is none, or none in order.
    fn beside(
        &self,
        parents: &HashMap<u32, u32>,
        (parent, child): (u32, u32),
        depth: usize,
    ) -> (Option<Entry>, Option<Entry>) {
        let (ground, unknown) = (self.ground, (None, None));
        let Some(version) = ground.view.page(parent).filter(|_| depth < MAX_DEPTH) else { return unknown };
        let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else {
            return unknown;
        };
        let entry = |cell: Cell| ((parent, cell.at), cell);
        let cells: Vec<Option<Entry>> = page.cells().map(|cell| cell.ok().map(entry)).collect();
        let known: Vec<Entry> = cells.iter().flatten().copied().collect();
        if !self.rise(&known) {
            return unknown;
        }
        let leads = |entry: &Option<Entry>| entry.is_some_and(|(_, cell)| cell.left_child == child);
        let at = cells.iter().position(leads).or((page.header.right_child == child).then_some(cells.len()));
        let Some(at) = at else { return unknown };
        // What bounds the page bounds its first and its last child.
        let upper = || match parents.get(&parent) {
            Some(upper) => self.beside(parents, (*upper, parent), depth + 1),
            None => unknown,
        };
        let above = match at.checked_sub(1) {
            Some(before) => cells.get(before).copied().flatten(),
            None => upper().0,
        };
        let below = cells.get(at).map_or_else(|| upper().1, |entry| *entry);
        (above, below)
    }

    fn compare(&self, one: Entry, other: Entry) -> Option<Ordering> {
        let payload = |(place, cell): Entry| {
            let version = self.ground.view.page(place.0)?;
            Some(chains::read(self.ground.view, self.ground.survey, &version, &cell))
        };
        self.order.compare(&payload(one)?.bytes, &payload(other)?.bytes)
    }

    /// The ranges that may hold the key of a row.
    pub(super) fn holding(&self, row: Entry) -> impl Iterator<Item = usize> {
        let holds = move |range: &LostRange| {
            let lies = |bound: Option<Entry>, wanted: Ordering| {
                bound.and_then(|bound| self.compare(row, bound)).is_none_or(|order| order == wanted)
            };
            lies(range.above, Ordering::Greater) && lies(range.below, Ordering::Less)
        };
        self.ranges.iter().enumerate().filter(move |(_, range)| holds(range)).map(|(number, _)| number)
    }

    /// Whether a row with so many in each of its ranges may be missing.
    pub(super) fn room(&self, ranges: &[usize], found: &[usize]) -> Room {
        let within = |times: usize| {
            ranges.iter().any(|range| {
                let most = self.ranges.get(*range).map_or(0, |range| range.most);
                found.get(*range).is_some_and(|found| *found <= most.saturating_mul(times))
            })
        };
        if within(1) {
            Room::Enough
        } else if within(2) {
            Room::Little
        } else {
            Room::None
        }
    }

    /// How many ranges there are.
    pub(super) fn count(&self) -> usize {
        self.ranges.len()
    }

    /// How many rows can be missing.
    pub(super) fn most(&self) -> usize {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.most))
    }
}

/// For each page of the tree the one that leads to it.
fn parents(ground: Ground<'_, '_>, tree: &Tree) -> HashMap<u32, u32> {
    let is_interior = |page: &&u32| ground.survey.page(**page).kind == Some(PageKind::IndexInterior);
    let children = |page: &u32| {
        let page = *page;
        let links = links(ground, page, KeyRange::default(), false);
        links.into_iter().map(move |(child, _)| (child, page))
    };
    tree.pages.iter().filter(is_interior).flat_map(children).collect()
}
