//! Pages that get what is left: last pages of chains, which nothing but the length of what they hold tells apart, and pages of trees
//! that were found nowhere.
//!
//! A page that nothing tells the place of gets one that is free, and it is told that any page of its pool may as well lie in any
//! place of the pool. A file with such pages is never called intact: the true page may be gone.

use super::super::Pool;
use super::super::body::{Expect, Key};
use super::super::fit::{EVIDENCE, MISFIT, PAGE};
use super::super::lay::{self, Guess, Laid};
use super::super::work;
use super::runs::odds;
use super::{ALIKE, DECIDED, Draft, MOST_ELSEWHERE};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashSet};

/// Levels of a tree that are given the places that are left.
const MOST_LEVELS: usize = 6;

/// A page that fits so well may be what is left, if nothing fits better.
const LEAST_LEFT: f32 = PAGE;

/// What the last page of a chain is expected to hold: bytes, and how many of them are text.
type Held = (u64, u64);

/// Which of the places that are left pages get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Left {
    /// Those beside the page before or behind.
    Beside,
    /// Any.
    Any,
}

impl Draft<'_> {
    /// The last pages of chains, by what they hold.
    fn last_pages(&self) -> BTreeMap<Held, Vec<u32>> {
        let capacity = u64::from(self.body.geometry.overflow_capacity());
        let mut pages: BTreeMap<Held, Vec<u32>> = BTreeMap::new();
        for (number, expect) in (1..).zip(&self.expects) {
            if let Expect::Chain { left, text, guessed: false, .. } = *expect
                && left <= capacity
            {
                pages.entry((left, text)).or_default().push(number);
            }
        }
        pages
    }

    /// Where a last page of a chain may lie that holds so much, in order; without places that are `taken`.
    fn ends(&self, held: Held, taken: &dyn Fn(u64) -> bool) -> Vec<u64> {
        let expect = Expect::Chain { left: held.0, text: held.1, guessed: false, parent: 0 };
        let free = self.body.index.ends(held.0).filter(|offset| !taken(*offset));
        let fits: Vec<(u64, f32)> = free
            .map(|offset| (offset, self.body.fit(offset, 2, &expect)))
            .filter(|(_, fit)| *fit >= 0.0)
            .collect();
        let best = fits.iter().map(|(_, fit)| *fit).fold(0.0, f32::max);
        let mut ends: Vec<u64> =
            fits.into_iter().filter(|(_, fit)| best - fit <= DECIDED).map(|(offset, _)| offset).collect();
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// Gives pages that lie nowhere the places that are left. `taken` tells what other databases hold.
    pub(in super::super) fn fill(&mut self, which: Left, taken: &dyn Fn(u64) -> bool) {
        for _ in 0..MOST_LEVELS {
            if !self.fill_trees(which, taken) {
                break;
            }
            self.walk();
        }
        self.fill_maps(taken);
        for _ in 0..MOST_LEVELS {
            if !self.fill_links(which, taken) {
                break;
            }
            self.walk();
        }
        self.fill_chains(which, taken);
        self.walk();
    }

    /// Gives pages of the pointer map the places whose entries agree with what is known of the other pages.
    fn fill_maps(&mut self, taken: &dyn Fn(u64) -> bool) {
        let bound = self.bound();
        let maps = (1..).zip(&self.expects).filter(|(_, expect)| **expect == Expect::Map);
        let maps: Vec<u32> = maps.map(|(number, _)| number).collect();
        let is_wrong = |number: &u32| {
            let place = self.place(*number).filter(|_| bound.get(*number as usize - 1) != Some(&true));
            place.is_some_and(|offset| self.body.agrees_as_map(offset, *number, &self.expects).is_none())
        };
        // By itself any page of a map fits.
        for number in maps.iter().copied().filter(is_wrong).collect::<Vec<_>>() {
            self.take_away(number);
        }
        let mut own: HashSet<u64, RandomState> = self.placed().map(|(_, offset)| offset).collect();
        for number in maps {
            if self.place(number).is_some() && self.fit(number) >= 0.0 {
                continue;
            }
            self.known.work.add(work::MAP * self.body.index.maps().len() as u64);
            if self.known.work.is_over() {
                break;
            }
            let free =
                self.body.index.maps().iter().filter(|offset| !taken(**offset) && !own.contains(*offset));
            let agrees =
                |offset: &u64| Some((self.body.agrees_as_map(*offset, number, &self.expects)?, *offset));
            let mut maps: Vec<(u32, u64)> = free.filter_map(agrees).collect();
            maps.sort_by_key(|(agree, offset)| (std::cmp::Reverse(*agree), *offset));
            let Some((most, offset)) = maps.first().copied() else { continue };
            own.insert(offset);
            self.put(number, offset);
            let others = maps.iter().filter(|(agree, _)| most - agree <= DECIDED as u32);
            let others: Vec<u64> = others.map(|(_, offset)| *offset).collect();
            if others.len() > 1 {
                self.filled.insert(number, others);
            }
        }
    }

    /// Gives pages of chains, which were not found by their number, places that lead to pages to which nothing else does;
    /// whether there were any.
    fn fill_links(&mut self, which: Left, taken: &dyn Fn(u64) -> bool) -> bool {
        let capacity = u64::from(self.body.geometry.overflow_capacity());
        let is_open = |(number, expect): &(u32, &Expect)| {
            let goes_on = matches!(expect, Expect::Chain { left, guessed: false, .. } if *left > capacity);
            goes_on && (self.place(*number).is_none() || self.fit(*number) < 0.0)
        };
        let open: Vec<(u32, Expect)> =
            (1..).zip(&self.expects).filter(is_open).map(|(number, expect)| (number, *expect)).collect();
        if open.is_empty() {
            return false;
        }
        self.known.work.add(self.body.index.link_count() as u64 / work::WALK);
        if self.known.work.is_over() {
            return false;
        }
        let mut own: HashSet<u64, RandomState> = self.placed().map(|(_, offset)| offset).collect();
        let leads_on = |next: u32| {
            let expect = self.expects.get((next as usize).wrapping_sub(1));
            matches!(expect, Some(Expect::Unknown | Expect::Chain { guessed: true, .. }))
        };
        let links = self.body.index.links().filter(|(next, offset)| leads_on(*next) && !taken(*offset));
        let links: Vec<u64> =
            links.map(|(_, offset)| offset).filter(|offset| !own.contains(offset)).collect();
        let links = self.nearest(links);
        let mut any = false;
        for (number, expect) in open {
            let mut asked = 0;
            let fits = |offset: &&u64| {
                asked += 1;
                !own.contains(*offset) && self.body.fit(**offset, number, &expect) >= 0.0
            };
            let free: Vec<u64> = links.iter().filter(fits).take(MOST_ELSEWHERE).copied().collect();
            self.known.work.add(asked);
            if self.known.work.is_over() {
                break;
            }
            any |= self.fill_one(number, which, free, &mut own);
        }
        any
    }

    /// Gives pages of trees places that their keys or their kind allow; whether any was there.
    fn fill_trees(&mut self, which: Left, taken: &dyn Fn(u64) -> bool) -> bool {
        let mut own: HashSet<u64, RandomState> = self.placed().map(|(_, offset)| offset).collect();
        let filled = self.filled.keys().filter_map(|number| self.place(*number));
        let mut given: HashSet<u64, RandomState> = filled.collect();
        let mut any = false;
        for number in 2..=self.body.count {
            let Some(expect) = self.expects.get(number as usize - 1).copied() else { continue };
            let Expect::Tree { table, low, high, .. } = expect else { continue };
            if self.place(number).is_some() && self.fit(number) >= 0.0 {
                continue;
            }
            let is_open = (low, high) == (Key::Open, Key::Open);
            self.known.work.add(if is_open { self.body.index.leaf_count() as u64 } else { work::FIND });
            if self.known.work.is_over() {
                break;
            }
            let found = if is_open {
                let fits = |offset: &u64| self.body.fit(*offset, number, &expect) >= 0.0;
                let leaves = self.body.index.leaves(table).filter(fits);
                let places = leaves.flat_map(|leaf| self.body.index.places(leaf));
                let mut found = self.nearest(places.collect());
                found.truncate(MOST_ELSEWHERE);
                found
            } else {
                self.body.index.find_from(&self.body, number, &expect, MOST_ELSEWHERE, LEAST_LEFT)
            };
            let free: Vec<u64> = found
                .into_iter()
                .filter(|offset| !taken(*offset) && (!own.contains(offset) || given.contains(offset)))
                .collect();
            let mut others = free.iter().copied().filter(|offset| !own.contains(offset));
            let beside = others.clone().find(|offset| self.is_beside(number, *offset));
            let first = others.next().filter(|_| which == Left::Any);
            if let Some(offset) = beside.or(first) {
                own.insert(offset);
                given.insert(offset);
                self.put(number, offset);
                // By its keys a page is told as those are that were found at once.
                if free.len() > 1 || self.fit(number) < EVIDENCE {
                    self.filled.insert(number, free);
                }
                any = true;
            }
        }
        any
    }

    /// Gives last pages of chains the places that are left.
    fn fill_chains(&mut self, which: Left, taken: &dyn Fn(u64) -> bool) {
        let size = self.body.size();
        let mut own: HashSet<u64, RandomState> = self.placed().map(|(_, offset)| offset).collect();
        let mut lacking = Vec::new();
        for (held, numbers) in self.last_pages() {
            let is_open = |number: &u32| self.place(*number).is_none() || self.fit(*number) < 0.0;
            let open: Vec<u32> = numbers.into_iter().filter(is_open).collect();
            if open.is_empty() {
                continue;
            }
            self.known.work.add(self.body.index.ends(held.0).count() as u64);
            if self.known.work.is_over() {
                return;
            }
            let ends = self.ends(held, &|offset| taken(offset) || own.contains(&offset));
            let mut lonely = Vec::new();
            for number in open {
                let behind = self.place(number - 1).and_then(|before| before.checked_add(size));
                let before = self.place(number + 1).and_then(|behind| behind.checked_sub(size));
                let beside = behind.into_iter().chain(before);
                let beside = beside
                    .filter(|offset| ends.binary_search(offset).is_ok())
                    .find(|offset| own.insert(*offset));
                match beside {
                    Some(offset) => self.put(number, offset),
                    None => lonely.push(number),
                }
            }
            if which == Left::Beside {
                continue;
            }
            let free = self.nearest(ends.into_iter().filter(|offset| !own.contains(offset)).collect());
            for (at, number) in lonely.into_iter().enumerate() {
                match free.get(at).copied() {
                    Some(offset) => {
                        own.insert(offset);
                        self.put(number, offset);
                        self.filled.insert(number, Vec::new());
                    }
                    None => lacking.push((number, held.0)),
                }
            }
        }
        // A page that was used again within one transaction keeps what it held behind the end.
        for (number, left) in lacking {
            let Some(expect) = self.expects.get(number as usize - 1).copied() else { continue };
            let free =
                self.body.index.longer_ends(left).filter(|offset| !taken(*offset) && !own.contains(offset));
            let mut asked = 0;
            let fits = |offset: &u64| {
                asked += 1;
                self.body.fit(*offset, number, &expect) >= 0.0
            };
            let free: Vec<u64> = free.filter(fits).take(MOST_ELSEWHERE).collect();
            self.known.work.add(asked);
            if self.known.work.is_over() {
                return;
            }
            self.fill_one(number, which, self.nearest(free), &mut own);
        }
    }

    /// Gives a page one of the places that are free, one beside its neighbours first; whether there was any.
    fn fill_one(
        &mut self,
        number: u32,
        which: Left,
        free: Vec<u64>,
        own: &mut HashSet<u64, RandomState>,
    ) -> bool {
        let beside = free.iter().find(|offset| self.is_beside(number, **offset));
        let any = free.first().filter(|_| which == Left::Any);
        let Some(offset) = beside.or(any).copied() else { return false };
        own.insert(offset);
        self.put(number, offset);
        self.filled.insert(number, free);
        true
    }

    /// Places in the order in which they come into question when nothing else tells them apart: those that lie in step with the
    /// pages whose bytes tell their place, as a file system puts them, and of these the ones that are nearest to them.
    fn nearest(&self, mut places: Vec<u64>) -> Vec<u64> {
        if places.len() < 2 {
            return places;
        }
        let evident = self.placed().filter(|(number, _)| self.is_evident(*number as usize - 1));
        let mut own: Vec<u64> = evident.map(|(_, offset)| offset).collect();
        own.sort_unstable();
        let Some(first) = own.first().copied() else { return places };
        let step = own.iter().fold(0, |step, offset| common_divisor(step, offset - first)).max(1);
        places.sort_by_cached_key(|place| {
            let behind = own.partition_point(|offset| offset < place);
            let beside = [behind.checked_sub(1), Some(behind)].into_iter().flatten();
            let away = beside.filter_map(|at| own.get(at)).map(|offset| offset.abs_diff(*place)).min();
            (place.abs_diff(first) % step != 0, away, *place)
        });
        places
    }

    /// Whether a place lies beside that of the page before or behind a page.
    fn is_beside(&self, number: u32, offset: u64) -> bool {
        let size = self.body.size();
        self.place(number - 1).is_some_and(|before| before + size == offset)
            || self.place(number + 1) == Some(offset + size)
    }

    pub(super) fn take_away(&mut self, number: u32) {
        let at = number as usize - 1;
        if let (Some(place), Some(laid), Some(fit)) =
            (self.places.get_mut(at), self.laid.get_mut(at), self.fits.get_mut(at))
        {
            (*place, *laid, *fit) = (None, Laid::NONE, MISFIT);
            self.moved = true;
        }
    }

    fn put(&mut self, number: u32, offset: u64) {
        let at = number as usize - 1;
        let base = lay::base_of(Guess { number, offset }, self.body.size());
        let fit = self.expects.get(at).map_or(0.0, |expect| self.body.fit(offset, number, expect));
        if let (Some(place), Some(laid), Some(known)) =
            (self.places.get_mut(at), self.laid.get_mut(at), self.fits.get_mut(at))
        {
            (*place, *laid, *known) =
                (Some(offset), Laid { base, fit, margin: f32::INFINITY, rival: None }, fit);
            self.moved = true;
        }
    }

    /// The pools of pages of which it is not `sure` where they lie, and how likely one of those lies elsewhere of which nothing
    /// but its run tells: where the run of another database may reach as well, as `reached` says, it tells nothing.
    pub(super) fn pools(
        &mut self,
        sure: &[bool],
        claimed: &dyn Fn(u64) -> bool,
        reached: &dyn Fn(u64) -> bool,
    ) -> (Vec<Pool>, f64) {
        let mut elsewhere = 0.0;
        let away = self.away();
        let is_sure = |number: u32| sure.get(number as usize - 1) == Some(&true);
        let of_sure: HashSet<u64, RandomState> =
            self.placed().filter(|(number, _)| is_sure(*number)).map(|(_, offset)| offset).collect();
        let stays = self.continuity();
        let left = self.filled.iter().filter(|(_, offsets)| !offsets.is_empty());
        let mut pools: Vec<Pool> = left
            .map(|(number, offsets)| Pool { numbers: vec![*number], offsets: offsets.clone(), filled: true })
            .collect();
        for (held, mut numbers) in self.last_pages() {
            let alike = numbers.len() as f64 / self.places.len() as f64;
            numbers.retain(|number| !is_sure(*number));
            if numbers.is_empty() {
                continue;
            }
            self.known.work.add(2 * self.body.index.ends(held.0).count() as u64);
            if self.known.work.is_over() {
                self.unasked = true;
                break;
            }
            let offsets = self.ends(held, &|offset| claimed(offset) || of_sure.contains(&offset));
            let expect = Expect::Chain { left: held.0, text: held.1, guessed: false, parent: 0 };
            let best = offsets.iter().map(|offset| self.body.fit(*offset, 2, &expect)).fold(0.0, f32::max);
            // In the run of a page of which the bytes tell the place lies this one, or by accident one that is like it: so it is when
            // no other one fits better.
            let told = |number: &u32| {
                let steps = away.get(*number as usize - 1).copied().flatten();
                let fits = self.fit(*number) + ALIKE >= best;
                let alone = self.place(*number).is_some_and(|place| !reached(place));
                let odds = odds(stays, alike, steps.filter(|_| fits && alone)?);
                (odds.ln() >= f64::from(DECIDED)).then_some(odds)
            };
            if offsets.len() > 1 {
                elsewhere += numbers.iter().filter_map(told).map(|odds| 1.0 / (1.0 + odds)).sum::<f64>();
            }
            numbers.retain(|number| told(number).is_none());
            let filled = numbers.iter().any(|number| self.filled.contains_key(number));
            let alone = !filled
                && matches!((offsets.as_slice(), numbers.as_slice()),
                ([offset], [number]) if self.place(*number) == Some(*offset));
            if !numbers.is_empty() && !offsets.is_empty() && !alone {
                pools.push(Pool { numbers, offsets, filled });
            }
        }
        (pools, elsewhere)
    }
}

const fn common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}
