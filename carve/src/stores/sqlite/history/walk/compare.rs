//! The rows of pages in two states, as sets: what differs between them.

use super::super::rows::{self, Asked, Keys, PageRows, RowAt};
use super::change::{Changed, MOST_HELD, RowChange, Rows, TableChange};
use super::reread::{ReadPage, Reread, Side, differences, given, rows_on};
use super::{Ids, NewIds, Owner, Touched, Walk};
use mudlark_parsers::sqlite::freelist::trunk;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

/// The rows of an object that were read.
struct Held {
    count: AtomicUsize,
    /// All are held, however many there are.
    all: bool,
}

impl Held {
    const fn new(all: bool) -> Self {
        Self { count: AtomicUsize::new(0), all }
    }

    fn add(&self, rows: usize) {
        self.count.fetch_add(rows, Ordering::Relaxed);
    }

    /// Whether there are more than are held.
    fn is_full(&self) -> bool {
        !self.all && self.count.load(Ordering::Relaxed) > MOST_HELD
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
        let counts: HashMap<u32, Held> =
            touched.keys().map(|object| (*object, Held::new(ids.are_known(*object)))).collect();
        let read = |(object, side, page): &(u32, Side, u32)| {
            let (keys, held) = (keys_of(*object), counts.get(object));
            let is_full = || held.is_some_and(Held::is_full);
            let asked = if is_full() { Asked::counted(keys) } else { Asked::all(keys) };
            let mut rows = rows_on(self.pages, (*page, *side), states, asked);
            if let Some(held) = held {
                held.add(rows.iter().map(|rows| rows.count as usize).sum());
            }
            if is_full() {
                rows.iter_mut().for_each(|side| side.rows = Vec::new());
            }
            rows
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
        let overrun = self.pages.is_overrun();
        self.overrun |= overrun;
        for (object, [(mut before, before_whole), (mut after, after_whole)]) in sides {
            let Some(info) = self.objects.get_mut(object as usize).filter(|info| info.keys != Keys::None)
            else {
                continue;
            };
            let of = touched.remove(&object).unwrap_or_default();
            let before_known = before_whole && !of.unsure_before && !overrun;
            let after_known = after_whole && !of.unsure_after && !overrun;
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
            let read = Reread {
                pages: reads.remove(&object).unwrap_or_default(),
                known: [before_known, after_known],
                unsure: [of.unsure_before, of.unsure_after],
            };
            let (pages, keys, layout) = (self.pages, info.keys, info.layout.as_ref());
            let may_be_renumbered = matches!(ids, Ids::Sought)
                && keys == Keys::Rowid
                && !info.has_alias()
                && before_known
                && after_known;
            let is_cut = counts.get(&object).is_some_and(Held::is_full);
            if !is_cut {
                before.par_sort_unstable();
                after.par_sort_unstable();
            }
            let renumbered = match may_be_renumbered {
                false => None,
                true if is_cut => read.given(pages, states, keys),
                true if before.len() != after.len() => None,
                true => given(before.iter().copied(), after.iter().copied()),
            };
            let rows = match renumbered {
                Some(_) => Rows::Held(Changed::default()),
                None if is_cut => Rows::read(pages, &read, states, (keys, layout)),
                None => Rows::Held(Changed::of(differences(&before, &after), pages, states, layout)),
            };
            let renumbered = renumbered.filter(|given| !given.is_same()).unwrap_or_default();
            let change = TableChange { object: object as usize, rows, renumbered, gone, read };
            let any = !change.is_empty() || !change.gone.is_empty() || !change.renumbered.is_empty();
            if any || !before_known || !after_known {
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
