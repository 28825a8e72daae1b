//! Places that pages lose, to others of the same database or to another one, and get back.

use super::super::fit::EVIDENCE;
use super::super::known::Known;
use super::{DECIDED, Draft};
use foldhash::fast::RandomState;
use std::collections::{HashMap, HashSet};

impl Draft<'_> {
    /// Bars pages from places that others of this database have the better claim to.
    pub(super) fn bar_doubles(&mut self) {
        let mut best: HashMap<u64, u32, RandomState> = HashMap::default();
        let mut barred = Vec::new();
        for (number, offset) in self.placed() {
            let Some(other) = best.insert(offset, number) else { continue };
            if self.claim(other) >= self.claim(number) {
                best.insert(offset, other);
                barred.push((number, offset));
            } else {
                barred.push((other, offset));
            }
        }
        self.barred.extend(&barred);
        if !barred.is_empty() {
            self.unfix();
        }
    }

    /// Lets pages have places again from which they were barred, and which no other page has taken; whether there were any.
    pub(super) fn unbar(&mut self) -> bool {
        let taken: HashSet<u64, RandomState> = self.placed().map(|(_, offset)| offset).collect();
        let changed = &mut self.changed;
        let before = self.barred.len();
        self.barred.retain(|(number, offset)| {
            let stays = taken.contains(offset);
            if let Some(changed) = changed.get_mut(*number as usize - 1).filter(|_| !stays) {
                *changed = true;
            }
            stays
        });
        self.barred.len() < before
    }

    /// Lets go of places to which others have the better claim, with nothing in their stead.
    pub(super) fn let_go(&mut self) {
        self.unfix();
        let placed: Vec<(u32, u64)> = self.placed().collect();
        for (number, offset) in placed {
            if self.lost.contains(&offset) || self.barred.contains(&(number, offset)) {
                self.take_away(number);
            }
        }
    }

    /// Lets go of pages that stand in places to which others have the better claim.
    pub(super) fn unfix(&mut self) {
        let size = self.body.size();
        for (number, fixed) in (1..).zip(&mut self.fixed) {
            let offset = fixed.and_then(|laid| laid.offset(number, size));
            if offset
                .is_some_and(|offset| self.lost.contains(&offset) || self.barred.contains(&(number, offset)))
            {
                *fixed = None;
                if let Some(sought) = self.sought.get_mut(number as usize - 1) {
                    *sought = false;
                }
            }
        }
        for (number, (place, changed)) in (1..).zip(self.places.iter().zip(&mut self.changed)) {
            let gone = |offset: u64| self.lost.contains(&offset) || self.barred.contains(&(number, offset));
            *changed |= place.is_some_and(gone);
        }
    }

    /// Takes back places that it lost and nobody holds; whether there were any.
    pub(in super::super) fn take_back(&mut self, is_held: &dyn Fn(u64, u64) -> bool) -> bool {
        let (size, before) = (self.body.size(), self.lost.len());
        self.lost.retain(|offset| is_held(*offset, size));
        let any = self.lost.len() < before;
        if any {
            for ((changed, place), fit) in self.changed.iter_mut().zip(&self.places).zip(&self.fits) {
                *changed |= place.is_none() || *fit < EVIDENCE;
            }
        }
        any
    }

    /// Gives up places; whether any of them was in use.
    pub(in super::super) fn lose(&mut self, offsets: &[u64]) -> bool {
        self.lost.extend(offsets);
        self.unfix();
        !offsets.is_empty()
    }

    /// Pages that lie by themselves, each with a place beside others of its own that it lost and that it fits as well.
    pub(in super::super) fn wishes(&mut self) -> Vec<(u32, u64)> {
        let mut wishes = Vec::new();
        for (number, expect) in (1..).zip(&self.expects) {
            let Some(place) = self.place(number).filter(|place| self.joined(number, *place) <= 0.0) else {
                continue;
            };
            let own = self.fit(number);
            for offset in self.found.get(number as usize - 1).into_iter().flatten() {
                let lost = self.lost.contains(offset) && *offset != place;
                let fits =
                    |known: &mut Known| known.fit(&self.body, *offset, number, expect) >= own - DECIDED;
                if lost && self.joined(number, *offset) > 0.0 && fits(&mut self.known) {
                    wishes.push((number, *offset));
                    break;
                }
            }
        }
        wishes
    }

    /// Gives up the place of a page for another one, which it had lost before; the place that it gives up.
    pub(in super::super) fn exchange(&mut self, number: u32, wanted: u64) -> Option<u64> {
        let at = number as usize - 1;
        let given = self.place(number)?;
        self.lost.insert(given);
        self.lost.remove(&wanted);
        *self.fixed.get_mut(at)? = None;
        *self.changed.get_mut(at)? = true;
        Some(given)
    }
}
