//! Databases that hold runs of one another: of two states of one database most pages are the same, so that either may have gone on
//! in the runs of the other one behind any of them. Together they lie in fewer runs than that.

use super::draft::Draft;
use super::lay::{self, BREAK, Guess};
use foldhash::fast::RandomState;
use std::collections::{BTreeMap, HashMap};

/// Pairs of databases that are looked at, for each database.
const MOST_PAIRS: usize = 4;

/// Has pairs of databases exchange the pages of the same numbers where both fit no worse and lie in fewer runs; whether any did.
pub(super) fn exchange(drafts: &mut [Draft<'_>]) -> bool {
    let mut any = false;
    for (one, other) in pairs(drafts) {
        if let Ok([one, other]) = drafts.get_disjoint_mut([one, other]) {
            any |= exchanged(one, other);
        }
    }
    any
}

/// Databases of which one holds places that would do for pages of the same number of the other one, those with most such first.
fn pairs(drafts: &[Draft<'_>]) -> Vec<(usize, usize)> {
    let mut held: HashMap<u64, (usize, u32), RandomState> = HashMap::default();
    for (owner, draft) in drafts.iter().enumerate() {
        held.extend(draft.placed().map(|(number, offset)| (offset, (owner, number))));
    }
    let mut pairs: BTreeMap<(usize, usize), usize> = BTreeMap::new();
    for (owner, draft) in drafts.iter().enumerate() {
        for (number, offset) in draft.found_places() {
            let holder = held.get(&offset).filter(|holder| holder.0 != owner && holder.1 == number);
            if let Some((holder, _)) = holder {
                *pairs.entry((owner.min(*holder), owner.max(*holder))).or_default() += 1;
            }
        }
    }
    let mut pairs: Vec<((usize, usize), usize)> = pairs.into_iter().collect();
    pairs.sort_by_key(|(pair, pages)| (std::cmp::Reverse(*pages), *pair));
    pairs.truncate(MOST_PAIRS * drafts.len());
    pairs.into_iter().map(|(pair, _)| pair).collect()
}

/// A file goes on elsewhere as often as so many of its pages don't fit, all in all: see [`BREAK`].
const PAGES_OF_A_BREAK: i64 = 2;

/// The places of the pages of one number, as two databases hold them, and what speaks for them.
#[derive(Clone, Copy, Debug)]
struct Step {
    number: u32,
    places: [Option<u64>; 2],
    /// As they are held.
    own: f32,
    /// Exchanged; `None` where they can't be.
    other: Option<f32>,
}

impl Step {
    /// The run in which the page of one of both lies.
    fn base(&self, of: usize, is_exchanged: bool, size: u64) -> Option<i64> {
        let offset = self.places.get(of ^ usize::from(is_exchanged)).copied().flatten()?;
        Some(lay::base_of(Guess { number: self.number, offset }, size))
    }
}

/// Has two databases exchange pages when that is better for both together; whether they did.
fn exchanged(one: &mut Draft<'_>, other: &mut Draft<'_>) -> bool {
    let size = one.body.size();
    if other.body.size() != size || one.known.work.is_over() || other.known.work.is_over() {
        return false;
    }
    let last = one.body.count.min(other.body.count);
    // What neither of them has ends no run.
    let known = (1..=last).filter(|number| one.place(*number).or(other.place(*number)).is_some());
    let known: Vec<u32> = known.collect();
    let steps: Vec<Step> = known.into_iter().map(|number| step(one, other, number)).collect();
    let pages = steps.iter().zip(best(&steps, size)).filter(|(_, exchanged)| *exchanged);
    let pages = pages.map(|(step, _)| (step.number, step.places));
    let pages: Vec<(u32, [Option<u64>; 2])> = pages.filter(|(_, [own, other])| own != other).collect();
    if pages.is_empty() {
        return false;
    }
    let before = [one.state(), other.state()];
    let worth = |draft: &Draft<'_>| draft.fitting() - PAGES_OF_A_BREAK * draft.runs().len() as i64;
    let worth = |one: &Draft<'_>, other: &Draft<'_>| worth(one) + worth(other);
    let worth_before = worth(one, other);
    one.take_over(pages.iter().map(|(number, [own, place])| (*number, *own, *place)));
    other.take_over(pages.iter().map(|(number, [place, own])| (*number, *own, *place)));
    let better = worth(one, other) > worth_before;
    if !better {
        let [state, of_other] = before;
        one.restore(state);
        other.restore(of_other);
    }
    better
}

fn step(one: &mut Draft<'_>, other: &mut Draft<'_>, number: u32) -> Step {
    let places = [one.place(number), other.place(number)];
    let [own, of_other] = places;
    let fit = |draft: &mut Draft<'_>, place| draft.would_fit(number, place);
    let (own_fit, other_fit) = (fit(one, own), fit(other, of_other));
    let same = own == of_other;
    let may = number > 1 && (same || one.may_change(number, own, of_other));
    let exchanged = may.then(|| fit(one, of_other) + fit(other, own));
    Step { number, places, own: own_fit + other_fit, other: exchanged }
}

/// Which pages to exchange, so that all fit as well as they can in as few runs as they can.
fn best(steps: &[Step], size: u64) -> Vec<bool> {
    let breaks = |before: &Step, was: bool, step: &Step, is: bool| {
        let of = |of: usize| match (before.base(of, was, size), step.base(of, is, size)) {
            (before, base) if before == base => 0.0,
            (Some(_), Some(_)) => BREAK,
            _ => BREAK / 2.0,
        };
        of(0) + of(1)
    };
    // For each number the best sum as they are held and exchanged, and how the page before is held then.
    let mut sums: [Option<f32>; 2] = [Some(0.0), None];
    let mut came: Vec<[bool; 2]> = Vec::with_capacity(steps.len());
    let mut before: Option<&Step> = None;
    for step in steps {
        let mut next: [(Option<f32>, bool); 2] = [(None, false); 2];
        for (is, next) in [false, true].into_iter().zip(&mut next) {
            let Some(fit) = (if is { step.other } else { Some(step.own) }) else { continue };
            for (was, sum) in [false, true].into_iter().zip(sums) {
                let cost = before.map_or(0.0, |before| breaks(before, was, step, is));
                let sum = sum.map(|sum| sum + fit - cost);
                // Of ways that are as good the one that changes nothing.
                if sum.is_some_and(|sum| next.0.is_none_or(|best| sum > best + 0.01)) {
                    *next = (sum, was);
                }
            }
        }
        sums = next.map(|(sum, _)| sum);
        came.push(next.map(|(_, was)| was));
        before = Some(step);
    }
    let [own, other] = sums;
    let mut is = other.is_some_and(|other| own.is_none_or(|own| other > own + 0.01));
    let mut exchanged = Vec::with_capacity(came.len());
    for [own, other] in came.into_iter().rev() {
        exchanged.push(is);
        is = if is { other } else { own };
    }
    exchanged.reverse();
    exchanged
}

#[cfg(test)]
mod tests {
    use super::{Step, best};

    #[test]
    fn runs_of_two_states_go_back_to_those_that_they_go_on_from() {
        // One lies from 0 on and the other one from 1000 on, and pages 3 and 4 have changed places.
        let step = |number: u32| {
            let (one, other) = (Some(u64::from(number) * 10), Some(1000 + u64::from(number) * 10));
            let places = if (3..5).contains(&number) { [other, one] } else { [one, other] };
            Step { number, places, own: 4.0, other: Some(4.0) }
        };
        let steps: Vec<Step> = (1..8).map(step).collect();
        assert_eq!(best(&steps, 10), [false, false, true, true, false, false, false]);
        // Neither of them has a page between.
        let gap: Vec<Step> = steps.iter().filter(|step| step.number != 5).copied().collect();
        assert_eq!(best(&gap, 10), [false, false, true, true, false, false]);
        let fits_worse = |step: &Step| Step { other: Some(-40.0), ..*step };
        let steps: Vec<Step> = steps.iter().map(fits_worse).collect();
        assert_eq!(best(&steps, 10), [false; 7]);
    }
}
