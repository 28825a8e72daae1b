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
    let steps = steps(one, other);
    let ways = Ways::of(&steps, one.body.size());
    let pages = steps.iter().zip(ways.best).filter(|(_, exchanged)| *exchanged);
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

/// Notes how much better the pages of databases lie where they do than exchanged.
pub(super) fn weigh(drafts: &mut [Draft<'_>]) {
    for (one, other) in pairs(drafts) {
        if let Ok([one, other]) = drafts.get_disjoint_mut([one, other]) {
            let steps = steps(one, other);
            let ways = Ways::of(&steps, one.body.size());
            for (step, lead) in steps.iter().zip(ways.leads()) {
                let (Some(lead), [Some(own), Some(of_other)]) = (lead, step.places) else { continue };
                one.note_lead(step.number, of_other, lead);
                other.note_lead(step.number, own, lead);
            }
        }
    }
}

/// The numbers of which one of two databases at least has a page: what neither has ends no run.
fn steps(one: &mut Draft<'_>, other: &mut Draft<'_>) -> Vec<Step> {
    if one.body.size() != other.body.size() || one.known.work.is_over() || other.known.work.is_over() {
        return Vec::new();
    }
    let numbers = 1..=one.body.count.min(other.body.count);
    let known = numbers.filter(|number| one.place(*number).or(other.place(*number)).is_some());
    let known: Vec<u32> = known.collect();
    known.into_iter().map(|number| step(one, other, number)).collect()
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

/// What it costs that the files go on elsewhere from one number to the next.
fn breaks((before, was): (&Step, bool), (step, is): (&Step, bool), size: u64) -> f32 {
    let of = |of: usize| match (before.base(of, was, size), step.base(of, is, size)) {
        (before, base) if before == base => 0.0,
        (Some(_), Some(_)) => BREAK,
        _ => BREAK / 2.0,
    };
    of(0) + of(1)
}

/// The ways through the numbers: which pages are held as they are, and which exchanged.
struct Ways {
    /// For each number the best sum of a way through it, as it is held and exchanged.
    through: Vec<[f32; 2]>,
    /// The best way: where pages are exchanged. Of ways that are as good the one that changes less.
    best: Vec<bool>,
}

impl Ways {
    fn of(steps: &[Step], size: u64) -> Self {
        let fit = |step: &Step| [step.own, step.other.unwrap_or(f32::NEG_INFINITY)];
        let on = |sums: [f32; 2], fits: [f32; 2], cost: &dyn Fn(bool, bool) -> f32| {
            [false, true].map(|is| {
                let [own, other] = [false, true].map(|was| {
                    let sum = if was { sums[1] } else { sums[0] };
                    sum - cost(was, is)
                });
                own.max(other) + fits[usize::from(is)]
            })
        };
        let mut forward: Vec<[f32; 2]> = Vec::with_capacity(steps.len());
        for (at, step) in steps.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| steps.get(at).zip(forward.get(at)));
            forward.push(before.map_or(fit(step), |(before, sums)| {
                on(*sums, fit(step), &|was, is| breaks((before, was), (step, is), size))
            }));
        }
        let mut through = forward;
        let mut onward = vec![[0.0; 2]; steps.len()];
        let mut behind: Option<([f32; 2], &Step)> = None;
        for ((step, sums), onward) in steps.iter().zip(&mut through).zip(&mut onward).rev() {
            let backward = behind.map_or([0.0; 2], |(sums, next)| {
                on(sums, [0.0; 2], &|was, is| breaks((step, is), (next, was), size))
            });
            let [own, other] = fit(step);
            *onward = [backward[0] + own, backward[1] + other];
            behind = Some((*onward, step));
            *sums = [sums[0] + backward[0], sums[1] + backward[1]];
        }
        let mut best = Vec::with_capacity(steps.len());
        let mut before: Option<(&Step, bool)> = None;
        for (step, [own, other]) in steps.iter().zip(onward) {
            let cost = |is| before.map_or(0.0, |before| breaks(before, (step, is), size));
            let exchanged = other - cost(true) > own - cost(false) + 0.01;
            best.push(exchanged);
            before = Some((step, exchanged));
        }
        Self { through, best }
    }

    /// How much better each page lies where it does than exchanged; `None` where it can't be exchanged.
    fn leads(&self) -> impl Iterator<Item = Option<f32>> + '_ {
        self.through.iter().map(|[own, other]| other.is_finite().then_some(own - other))
    }
}

#[cfg(test)]
mod tests {
    use super::{Step, Ways};

    #[test]
    fn runs_of_two_states_go_back_to_those_that_they_go_on_from() {
        // One lies from 0 on and the other one from 1000 on, and pages 3 and 4 have changed places.
        let step = |number: u32| {
            let (one, other) = (Some(u64::from(number) * 10), Some(1000 + u64::from(number) * 10));
            let places = if (3..5).contains(&number) { [other, one] } else { [one, other] };
            Step { number, places, own: 4.0, other: Some(4.0) }
        };
        let steps: Vec<Step> = (1..8).map(step).collect();
        let best = |steps: &[Step]| Ways::of(steps, 10).best;
        assert_eq!(best(&steps), [false, false, true, true, false, false, false]);
        // Neither of them has a page between.
        let gap: Vec<Step> = steps.iter().filter(|step| step.number != 5).copied().collect();
        assert_eq!(best(&gap), [false, false, true, true, false, false]);
        let fits_worse = |step: &Step| Step { other: Some(-40.0), ..*step };
        let steps: Vec<Step> = steps.iter().map(fits_worse).collect();
        assert_eq!(best(&steps), [false; 7]);
    }
}
