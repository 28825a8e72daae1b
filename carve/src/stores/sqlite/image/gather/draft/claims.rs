//! How good the claims of a database are to the places of its pages.

use super::super::body::Expect;
use super::super::fit::{EVIDENCE, MISFIT, STRONG};
use super::super::lay;
use super::super::walk::Walked;
use super::{ALIKE, DECIDED, DOUBTED, Draft, FIXED, Rank};

/// Pages on each side that count for the place of a page.
const NEIGHBOURS: usize = 3;

/// The most that counts of how much worse another place would be: there may be none.
const MOST_MARGIN: f32 = 6.0;

/// Pages so many of whose children tell their place themselves are told by that.
const LEADS: u32 = 2;

impl Draft<'_> {
    /// How good a claim a page has to its place: what speaks for it, and how much worse it would do elsewhere.
    pub(in super::super) fn claim(&self, number: u32) -> f32 {
        let margin = self.laid.get(number as usize - 1).map_or(0.0, |laid| laid.margin);
        let leads = if self.leads_to_some(number) { FIXED } else { 0.0 };
        self.support(number) + leads + margin.clamp(0.0, MOST_MARGIN)
    }

    /// Whether no other place does for a page nearly as well as its own.
    pub(in super::super) fn needs(&self, number: u32) -> bool {
        self.laid.get(number as usize - 1).is_none_or(|laid| laid.margin >= DECIDED)
    }

    /// Whether a page is the one of its number because pages that it leads to are.
    pub(super) fn leads_to_some(&self, number: u32) -> bool {
        let at = number as usize - 1;
        // A page that was looked for was found by its children, which may not lie yet.
        let sought = self.sought.get(at) == Some(&true) && self.fixed.get(at).is_some_and(Option::is_some);
        self.fit(number) >= 0.0 && (sought || self.leads.get(at).is_some_and(|leads| *leads >= LEADS))
    }

    /// Whether the bytes of a page tell its place: the last page of a chain has nothing but the length of what it holds, which may
    /// be that of many.
    pub(super) fn is_evident(&self, at: usize) -> bool {
        let is_last = match self.expects.get(at) {
            Some(Expect::Chain { left, .. }) => *left <= u64::from(self.body.geometry.overflow_capacity()),
            _ => false,
        };
        let is_one_of_many = || is_last && self.found.get(at).is_some_and(|found| found.len() > 1);
        self.leads_to_some(at as u32 + 1)
            || self.fits.get(at).is_some_and(|fit| *fit >= EVIDENCE) && !is_one_of_many()
    }

    /// The pages whose places are beyond doubt: their bytes tell it, or those of pages on both sides in the same run.
    pub(in super::super) fn firm(&self) -> Vec<bool> {
        let mut firm: Vec<bool> = self.fits.iter().map(|fit| *fit >= STRONG).collect();
        for mut run in self.runs() {
            let evident = |index: &usize| self.is_evident(*index);
            let (first, last) = (run.clone().find(evident), run.rfind(evident));
            if let Some((first, last)) = first.zip(last) {
                firm.get_mut(first..last).unwrap_or_default().fill(true);
            }
        }
        firm
    }

    /// How much of it is in its place.
    pub(in super::super) fn rank(&self) -> Rank {
        let Walked { reached, fitting, broken, .. } = self.walked;
        if self.header.is_some() && self.walked.is_whole(self.body.count) {
            Rank::Whole
        } else if u64::from(fitting) * 10 >= u64::from(self.body.count) * 9 && broken * 10 <= reached {
            Rank::Most
        } else {
            Rank::Scraps
        }
    }

    /// The pages that lie amid a run: on both sides, or in themselves and on one, pages of the run tell it by their bytes.
    pub(in super::super) fn bound(&self) -> Vec<bool> {
        let mut bound = vec![false; self.places.len()];
        for mut run in self.runs() {
            let evident = |index: &usize| self.is_evident(*index);
            let (first, last) = (run.clone().find(evident), run.rfind(evident));
            if let Some((first, last)) = first.zip(last).filter(|(first, last)| first < last) {
                bound.get_mut(first..=last).unwrap_or_default().fill(true);
            }
        }
        bound
    }

    /// The pages that it holds for good against databases without a first page: those that lie amid a run, and those of its trees
    /// whose bytes tell it, or those of their children.
    pub(in super::super) fn own(&self) -> Vec<bool> {
        let mut own = self.bound();
        for (number, (expect, own)) in (1..).zip(self.expects.iter().zip(&mut own)) {
            let tells = self.fit(number) >= EVIDENCE || self.leads_to_some(number);
            *own |= self.header.is_some() && tells && matches!(expect, Expect::Tree { .. });
        }
        own
    }

    /// How much speaks for the place of a page: how well it fits there, and less so its neighbours in the same run.
    pub(in super::super) fn support(&self, number: u32) -> f32 {
        let size = self.body.size();
        let at = number as usize - 1;
        let place = |index: usize| self.places.get(index).copied().flatten();
        let fit = |index: usize| self.fits.get(index).copied().unwrap_or(0.0);
        let Some(own) = place(at) else { return 0.0 };
        let mut sum = fit(at);
        for step in 1..=NEIGHBOURS {
            let away = step as u64 * size;
            let before = at.checked_sub(step).filter(|index| place(*index) == own.checked_sub(away));
            let behind = Some(at + step).filter(|index| place(*index) == Some(own + away));
            sum += before.into_iter().chain(behind).map(|index| fit(index).max(0.0) / 2.0).sum::<f32>();
        }
        sum
    }

    /// How well a page fits where it lies.
    pub(in super::super) fn fit(&self, number: u32) -> f32 {
        self.fits.get(number as usize - 1).copied().unwrap_or(0.0)
    }

    /// What speaks for a place in that the pages before and behind lie beside it.
    pub(in super::super) fn joined(&self, number: u32, offset: u64) -> f32 {
        let size = self.body.size();
        let before = offset.checked_sub(size).filter(|before| self.place(number - 1) == Some(*before));
        let behind = Some(offset + size).filter(|behind| self.place(number + 1) == Some(*behind));
        lay::BREAK * before.into_iter().chain(behind).count() as f32
    }

    /// The pages that lie in no other place, as far as the bytes tell: between two of their run that are evident, or evident
    /// themselves while no other place found for them does nearly as well.
    pub(in super::super) fn sure(&mut self) -> Vec<bool> {
        let mut sure = self.between();
        for (number, sure) in (1..).zip(&mut sure) {
            let at = number as usize - 1;
            if *sure {
                let others = self.found.get(at).cloned().unwrap_or_default();
                *sure = !others.into_iter().any(|other| self.is_as_good(number, other));
                continue;
            }
            let own = self.fits.get(at).copied().unwrap_or(MISFIT);
            let (place, expect) = (self.places.get(at).copied().flatten(), self.expects.get(at));
            let (Some(place), Some(expect)) = (place, expect) else { continue };
            let mut others = self.found.get(at).into_iter().flatten().filter(|other| **other != place);
            *sure = own >= STRONG
                && others.all(|other| own - self.known.fit(&self.body, *other, number, expect) >= DOUBTED);
        }
        sure
    }

    /// Whether another place of a page lies as well as its own: it fits no worse, and a page beside it holds the same bytes as
    /// the one beside the page. So it is where two states of one database lie side by side.
    pub(super) fn is_as_good(&mut self, number: u32, other: u64) -> bool {
        let size = self.body.size();
        let beside = [(number - 1, other.checked_sub(size)), (number + 1, other.checked_add(size))];
        let same = |(number, offset): (u32, Option<u64>)| {
            let places = self.place(number).zip(offset).filter(|(own, offset)| own != offset);
            places.is_some_and(|(own, offset)| {
                let own = self.body.bytes(own);
                own.is_some() && own == self.body.bytes(offset)
            })
        };
        let Some(expect) = self.expects.get(number as usize - 1) else { return false };
        beside.into_iter().any(same)
            && self.known.fit(&self.body, other, number, expect) + ALIKE >= self.fit(number)
    }
}
