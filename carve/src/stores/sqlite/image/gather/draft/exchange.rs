//! Places that pages of a database exchange with those of another one.

use super::super::body::Expect;
use super::super::fit::MISFIT;
use super::super::lay::{self, Guess, Laid};
use super::Draft;
use foldhash::fast::RandomState;
use std::collections::HashSet;

/// Where the pages of a database lie, to come back to.
pub(in super::super) struct State {
    places: Vec<Option<u64>>,
    laid: Vec<Laid>,
    fixed: Vec<Option<Laid>>,
    lost: HashSet<u64, RandomState>,
}

impl Draft<'_> {
    /// All places that were found for pages by their content.
    pub(in super::super) fn found_places(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        (1..).zip(&self.found).flat_map(|(number, found)| found.iter().map(move |offset| (number, *offset)))
    }

    /// How well a page would fit in a place, given where the others lie.
    pub(in super::super) fn would_fit(&mut self, number: u32, place: Option<u64>) -> f32 {
        let Some((expect, offset)) = self.expects.get(number as usize - 1).zip(place) else { return MISFIT };
        self.known.work.add(1);
        if self.refuted.contains(&(number, offset))
            || self.body.crosses(offset, number, expect, &self.expects)
        {
            return MISFIT;
        }
        self.known.fit(&self.body, offset, number, expect)
    }

    /// Whether a page may have another place without that other pages are expected to be something else: interior pages only where
    /// both hold the same bytes.
    pub(in super::super) fn may_change(&self, number: u32, own: Option<u64>, other: Option<u64>) -> bool {
        let kind = |offset: u64| self.body.bytes(offset).and_then(|page| page.first()).copied();
        let leads = |offset: Option<u64>| matches!(offset.and_then(kind), Some(2 | 5));
        let is_tree = matches!(self.expects.get(number as usize - 1), Some(Expect::Tree { .. }));
        let same =
            || own.zip(other).is_some_and(|(own, other)| self.body.bytes(own) == self.body.bytes(other));
        !is_tree || !leads(own) && !leads(other) || same()
    }

    /// How many pages are where they were looked for, less the links that hold nowhere.
    pub(in super::super) fn fitting(&self) -> i64 {
        i64::from(self.walked.fitting) - 2 * i64::from(self.walked.broken)
    }

    /// Notes how much better a page lies where it does than in a place that it could exchange with another database.
    pub(in super::super) fn note_lead(&mut self, number: u32, offset: u64, lead: f32) {
        self.exchanges.insert((number, offset), lead);
    }

    /// Where its pages lie.
    pub(in super::super) fn state(&self) -> State {
        let (places, laid) = (self.places.clone(), self.laid.clone());
        State { places, laid, fixed: self.fixed.clone(), lost: self.lost.clone() }
    }

    /// Has its pages lie where they lay.
    pub(in super::super) fn restore(&mut self, state: State) {
        let State { places, laid, fixed, lost } = state;
        (self.places, self.laid, self.fixed, self.lost) = (places, laid, fixed, lost);
        self.moved = true;
        self.walk();
    }

    /// Takes over pages that another database held, each for its own: its number, its own place, and the new one.
    pub(in super::super) fn take_over(
        &mut self,
        pages: impl Iterator<Item = (u32, Option<u64>, Option<u64>)>,
    ) {
        let size = self.body.size();
        for (number, own, place) in pages {
            let at = number as usize - 1;
            let fit = self.would_fit(number, place);
            self.lost.extend(own);
            if let Some(place) = place {
                self.lost.remove(&place);
            }
            let laid = place.map_or(Laid::NONE, |offset| {
                let base = lay::base_of(Guess { number, offset }, size);
                Laid { base, fit, margin: f32::INFINITY, rival: None }
            });
            if let (Some(known), Some(of_page), Some(fixed)) =
                (self.places.get_mut(at), self.laid.get_mut(at), self.fixed.get_mut(at))
            {
                (*known, *of_page) = (place, laid);
                *fixed = fixed.and(place).map(|_| laid);
            }
        }
        self.moved = true;
        self.walk();
    }
}
