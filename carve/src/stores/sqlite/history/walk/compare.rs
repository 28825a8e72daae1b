//! The rows of pages in two states, as sets: what differs between them.

use super::super::super::rank::Rank;
use super::super::pages::Pages;
use super::super::rows::{self, Asked, Keys, PageRows, RowAt};
use super::{Ids, NewIds, Owner, RowChange, TableChange, Touched, Walk};
use mudlark_parsers::sqlite::freelist::trunk;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;

/// The states in which a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
    Both,
}

/// Where the rows were read that a commit changed, to read some of them again.
#[derive(Debug, Default)]
pub struct Reread {
    pages: Vec<ReadPage>,
    /// Whether all pages are known before the commit, and behind it: a row that is not among theirs was not there.
    pub known: [bool; 2],
    /// Pages before or behind it that may have been another's, so that their rows prove nothing.
    unsure: [bool; 2],
}

/// A page some rows of which differ, with the least and the greatest rank of these.
#[derive(Clone, Copy, Debug)]
struct ReadPage {
    page: u32,
    side: Side,
    rows: u32,
    first: Rank,
    last: Rank,
}

impl ReadPage {
    /// `None` where no row differs.
    fn of(page: u32, side: Side, rows: &[PageRows; 2]) -> Option<Self> {
        let first = rows.iter().filter_map(|rows| rows.ranks).map(|(first, _)| first).min()?;
        let last = rows.iter().filter_map(|rows| rows.ranks).map(|(_, last)| last).max()?;
        let rows = rows.iter().map(|rows| rows.rows.len() as u32).sum();
        Some(Self { page, side, rows, first, last })
    }
}

impl Reread {
    /// For each page the ranks of the rows that differ, and how many of them it may have.
    pub fn ranks(&self) -> impl Iterator<Item = (RangeInclusive<Rank>, u32)> {
        self.pages.iter().map(|page| (page.first..=page.last, page.rows))
    }
}

/// The rows with some of the ranks that the commit before a state changed.
pub fn again(
    pages: &Pages<'_>,
    read: &Reread,
    state: u32,
    keys: Keys,
    ranks: &RangeInclusive<Rank>,
) -> Vec<RowChange> {
    pages.begin();
    let states = [state.saturating_sub(1), state];
    let mut sides = [Vec::new(), Vec::new()];
    let is_asked = |page: &&ReadPage| page.first <= *ranks.end() && *ranks.start() <= page.last;
    let asked = Asked { keys, ranks: Some(ranks) };
    for page in read.pages.iter().filter(is_asked) {
        let rows = rows_on(pages, (page.page, page.side), states, asked);
        for (side, rows) in sides.iter_mut().zip(rows) {
            side.extend(rows.rows);
        }
    }
    for (side, _) in sides.iter_mut().zip(read.unsure).filter(|(_, unsure)| *unsure) {
        side.clear();
    }
    sides.iter_mut().for_each(|side| side.sort_unstable());
    let [before, after] = &sides;
    differences(before, after)
}

/// The rows of a page before and behind.
fn rows_on(
    pages: &Pages<'_>,
    (page, side): (u32, Side),
    states: [u32; 2],
    asked: Asked<'_>,
) -> [PageRows; 2] {
    let [from, to] = states;
    match side {
        Side::Before => [rows::on_page(pages, page, from, asked), PageRows::none()],
        Side::After => [PageRows::none(), rows::on_page(pages, page, to, asked)],
        Side::Both => rows::changed_on_page(pages, page, states, asked),
    }
}

impl Walk<'_, '_> {
    /// Compares the rows of the pages in one state with those in a later one, up to which `written` pages were written.
    pub(in super::super) fn compare(
        &mut self,
        states: [u32; 2],
        written: &[u32],
        mut touched: BTreeMap<u32, Touched>,
        ids: Ids<'_>,
    ) -> Vec<TableChange> {
        let [from, to] = states;
        let mut changes = Vec::new();
        let keys_of =
            |object: u32| self.objects.get(object as usize).map_or(Keys::None, |object| object.keys);
        let mut jobs: Vec<(u32, Side, u32)> = Vec::new();
        for (object, of) in &touched {
            // After VACUUM all rows are compared, since they may have other ids.
            let kept = ids.are_kept(*object);
            let stays = |page: &u32| kept && of.before.contains(page) && of.after.contains(page);
            jobs.extend(
                of.before
                    .iter()
                    .map(|page| (*object, if stays(page) { Side::Both } else { Side::Before }, *page)),
            );
            let joined = of.after.iter().filter(|page| !stays(page));
            jobs.extend(joined.map(|page| (*object, Side::After, *page)));
        }
        // A page that leads to others holds no rows, whatever else it held.
        let is_inner = |page: u32| self.inner.get(&page).is_some_and(|first| from < *first && *first <= to);
        jobs.retain(|(_, side, page)| *side != Side::Before || !is_inner(*page));
        for (_, side, page) in &mut jobs {
            *side = if *side == Side::Both && is_inner(*page) { Side::After } else { *side };
        }
        let read = |(object, side, page): &(u32, Side, u32)| {
            rows_on(self.pages, (*page, *side), states, Asked::all(keys_of(*object)))
        };
        let mut all: Vec<[PageRows; 2]> = jobs.par_iter().with_min_len(16).map(read).collect();
        // Overflow pages may be written while their leaf is not.
        let explained: HashSet<u32> = all.iter().flatten().flat_map(|rows| &rows.chained).copied().collect();
        let strange: Vec<u32> = written
            .iter()
            .filter(|page| !explained.contains(page) && self.is_strange(**page, to))
            .copied()
            .collect();
        if !strange.is_empty() {
            let leaves = self.leaves_of(&strange, from);
            for (leaf, object) in leaves {
                let of = touched.entry(object).or_default();
                if !of.before.insert(leaf) || !of.after.insert(leaf) {
                    continue;
                }
                let keys = self.objects.get(object as usize).map_or(Keys::None, |object| object.keys);
                jobs.push((object, Side::Both, leaf));
                all.push(rows::changed_on_page(self.pages, leaf, states, Asked::all(keys)));
            }
        }
        if let Some(spilled) = &mut self.spilled {
            for ((_, _, page), [_, rows]) in jobs.iter().zip(&all) {
                spilled.extend(rows.chained.iter().map(|chained| (*chained, *page)));
            }
        }
        let mut sides: BTreeMap<u32, [(Vec<RowAt>, bool); 2]> = BTreeMap::new();
        let mut reads: BTreeMap<u32, Vec<ReadPage>> = BTreeMap::new();
        for ((object, side, page), both) in jobs.iter().zip(all) {
            reads.entry(*object).or_default().extend(ReadPage::of(*page, *side, &both));
            let sides = sides.entry(*object).or_insert_with(|| [(Vec::new(), true), (Vec::new(), true)]);
            for ((side, whole), rows) in sides.iter_mut().zip(both) {
                side.extend(rows.rows);
                *whole &= rows.whole;
                if let Some(object) = self.objects.get_mut(*object as usize) {
                    object.broken |= rows.broken;
                }
            }
        }
        for (object, _) in touched.iter().filter(|(_, of)| of.unsure_before && of.unsure_after) {
            sides.entry(*object).or_insert_with(|| [(Vec::new(), true), (Vec::new(), true)]);
        }
        for (object, [(mut before, before_whole), (mut after, after_whole)]) in sides {
            let Some(info) = self.objects.get_mut(object as usize).filter(|info| info.keys != Keys::None)
            else {
                continue;
            };
            let of = touched.remove(&object).unwrap_or_default();
            let before_known = before_whole && !of.unsure_before && !self.pages.is_overrun();
            let after_known = after_whole && !of.unsure_after && !self.pages.is_overrun();
            info.incomplete |= !before_known || !after_known;
            // Rows of pages that may have been another's prove nothing.
            if of.unsure_before {
                before.clear();
            }
            if of.unsure_after {
                info.blind.get_or_insert(to);
                after.clear();
            }
            let mut gone = Vec::new();
            if let Ids::Given(ids) = ids
                && let Some(ids) = ids.get(&(object as usize))
            {
                gone = renumber(&mut before, ids);
            }
            before.par_sort_unstable();
            after.par_sort_unstable();
            let mut change = TableChange {
                object: object as usize,
                rows: Vec::new(),
                renumbered: Vec::new(),
                gone,
                grown: Vec::new(),
                read: Reread {
                    pages: reads.remove(&object).unwrap_or_default(),
                    known: [before_known, after_known],
                    unsure: [of.unsure_before, of.unsure_after],
                },
            };
            let same = |(a, b): (&RowAt, &RowAt)| a.content.is_some() && a.content == b.content;
            if matches!(ids, Ids::Sought)
                && info.keys == Keys::Rowid
                && !info.has_alias()
                && before_known
                && after_known
                && before.len() == after.len()
                && before.iter().zip(&after).all(same)
            {
                let pairs = || before.iter().zip(&after).map(|(before, after)| (before.key, after.key));
                if pairs().any(|(before, after)| before != after) {
                    change.renumbered = pairs().collect();
                }
            } else {
                change.rows = differences(&before, &after);
                let (pages, layout) = (self.pages, info.layout.as_ref());
                let is_grown = |row: &mut RowChange| {
                    let both = row.before.zip(row.after).zip(layout);
                    both.is_some_and(|((old, new), layout)| {
                        rows::is_grown(pages, (&old, &new), states, layout)
                    })
                };
                change.grown = change.rows.extract_if(.., is_grown).collect();
            }
            if !change.rows.is_empty()
                || !change.gone.is_empty()
                || !change.renumbered.is_empty()
                || !change.grown.is_empty()
                || !before_known
                || !after_known
            {
                changes.push(change);
            }
        }
        changes
    }

    /// Whether nothing yet says what a page is: no page of a tree, pointer map or trunk of the freelist.
    pub(in super::super) fn is_strange(&self, page: u32, state: u32) -> bool {
        if self.owner(page) != Owner::None || page == 1 {
            return false;
        }
        let Some(version) = self.pages.at(page, state).image() else { return true };
        let first = self.pages.at(1, state).image().or_else(|| self.pages.at_or_later(1, state).image());
        let header = first.and_then(|first| mudlark_parsers::sqlite::header::header(first.bytes).ok());
        if header.is_some_and(|(_, header)| header.auto_vacuum()) && self.pages.geometry.is_pointer_map(page)
        {
            return false;
        }
        let usable = self.pages.geometry.usable();
        let list = trunk(version.bytes, usable);
        let is_trunk = list.is_some_and(|list| {
            let last = self.page_count(state);
            list.leaf_count <= usable / 4 - 2
                && (list.next == 0 || (2..=last).contains(&list.next))
                && list.leaf_count > 0
                && list.leaves.iter().all(|leaf| (2..=last).contains(leaf))
        });
        !is_trunk
    }

    /// The leaves whose rows go on in these overflow pages, with their objects.
    fn leaves_of(&mut self, overflow: &[u32], state: u32) -> Vec<(u32, u32)> {
        if self.spilled.is_none() {
            let owned: Vec<u32> =
                (1..self.owners.len() as u32).filter(|page| self.owner(*page) != Owner::None).collect();
            let spilled = owned.par_iter().with_min_len(64).flat_map_iter(|page| {
                let rows = rows::on_page(self.pages, *page, state, Asked::all(Keys::None));
                rows.chained.into_iter().map(|chained| (chained, *page))
            });
            self.spilled = Some(spilled.collect::<Vec<_>>().into_iter().collect());
        }
        let spilled = self.spilled.as_ref();
        let leaves =
            overflow.iter().filter_map(|page| spilled?.get(page).copied()).collect::<BTreeSet<u32>>();
        let owned = leaves.into_iter().filter_map(|leaf| Some((leaf, self.owner(leaf).object()?)));
        owned.collect()
    }
}

/// Gives rows the ids that they have now, and takes out those that were gone by then.
fn renumber(rows: &mut Vec<RowAt>, ids: &NewIds) -> Vec<RowChange> {
    let mut gone = Vec::new();
    rows.retain_mut(|row| match ids.get(&row.key) {
        Some(id) => {
            row.key = *id;
            true
        }
        None => {
            gone.push(RowChange { key: row.key, before: Some(*row), after: None });
            false
        }
    });
    gone
}

/// The rows that are not the same on both sides; both are in order.
fn differences(before: &[RowAt], after: &[RowAt]) -> Vec<RowChange> {
    let mut found = Vec::new();
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let (old, new) = (before.peek().copied().copied(), after.peek().copied().copied());
        let order = match (old, new) {
            (None, None) => return found,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.key.cmp(&new.key),
        };
        let (old, new) = (old.filter(|_| order.is_le()), new.filter(|_| order.is_ge()));
        if old.is_some() {
            before.next();
        }
        if new.is_some() {
            after.next();
        }
        let Some(key) = old.or(new).map(|row| row.key) else { return found };
        let same = old.zip(new).is_some_and(|(old, new)| old.content == new.content);
        if !same {
            found.push(RowChange { key, before: old, after: new });
        }
    }
}
