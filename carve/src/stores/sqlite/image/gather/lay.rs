//! Where the pages of a database lie: the likeliest way through the image in the order of their numbers.
//!
//! A file lies in an image in runs. Within a run each page is one page size behind the one before, so that the place of
//! its page 1 (the run's *base*) is the same for all. From page to page the base stays, or the file goes on in another
//! run, which costs. What is gained is how well the bytes are what the number leads to expect. Pages of which nothing
//! is known are taken with the run that they lie in.

use super::body::{Body, Expect};
use super::fit::{MISFIT, STRONG};
use super::known::{Known, PageFits};
use std::ops::Range;

/// What it costs that a file goes on in another place: less than two pages that don't fit.
pub(super) const BREAK: f32 = 6.0;

/// Runs that are kept in mind at a page: those behind them are worse by several breaks.
const MOST_BASES: usize = 24;

/// Places that are tried for a page at most.
const MOST_TRIED: usize = 64;

/// Pages before one that was found by its content for which its run is tried: runs may begin with pages that have none
/// to be found by.
const REACH: u32 = 48;

/// A place that was found for a page by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Guess {
    pub number: u32,
    pub offset: u64,
}

/// The place of a page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Laid {
    /// The place of page 1 if the run reached that far.
    pub base: i64,
    /// How well the page fits there.
    pub fit: f32,
    /// How much likelier this place is than the next best one.
    pub margin: f32,
    /// The base of the next best place.
    pub rival: Option<i64>,
}

impl Laid {
    /// Nowhere.
    pub(super) const NONE: Self = Self { base: 0, fit: MISFIT, margin: 0.0, rival: None };

    /// Where the page lies, when it does.
    pub(super) fn offset(&self, number: u32, size: u64) -> Option<u64> {
        if self.fit < 0.0 { None } else { place(self.base, number, size) }
    }
}

/// The place of a page in a run.
pub(super) fn place(base: i64, number: u32, size: u64) -> Option<u64> {
    let behind = i64::from(number - 1).checked_mul(size as i64)?;
    u64::try_from(base.checked_add(behind)?).ok()
}

/// The run that a page lies in.
pub(super) fn base_of(guess: Guess, size: u64) -> i64 {
    guess.offset as i64 - i64::from(guess.number - 1) * size as i64
}

#[derive(Clone, Copy, Debug)]
struct State {
    base: i64,
    /// The best sum from the first page to this one.
    forward: f32,
    /// The best sum from the page behind this one to the last.
    backward: f32,
    fit: f32,
}

/// What is known of the pages when some of them are laid. Lists have one entry for each number from 1.
pub(super) struct Field<'f, 'i> {
    pub body: &'f Body<'i>,
    pub known: &'f mut Known,
    pub expects: &'f [Expect],
    /// Where pages may lie, by their content.
    pub found: &'f [Vec<u64>],
    /// Pages that stand.
    pub fixed: &'f [Option<Laid>],
    /// What of the image belongs to another file.
    pub taken: &'f dyn Fn(u64) -> bool,
    /// Whether a page that fits so well has no claim to a place.
    pub barred: &'f dyn Fn(u32, u64, f32) -> bool,
}

impl Field<'_, '_> {
    fn fixed(&self, number: u32) -> Option<i64> {
        let laid = self.fixed.get((number as usize).checked_sub(1)?)?;
        laid.map(|laid| laid.base)
    }

    /// The runs of pages that were found from one number on to another, each with the number, or of those that stand.
    fn runs(&self, from: u32, to: u32) -> Vec<(u32, i64)> {
        let size = self.body.size();
        let mut runs = Vec::new();
        for number in from..=to {
            if let Some(base) = self.fixed(number) {
                runs.push((number, base));
                continue;
            }
            let found = self.found.get(number as usize - 1).into_iter().flatten();
            let free = found.filter(|offset| !(self.taken)(**offset));
            runs.extend(free.map(|offset| (number, base_of(Guess { number, offset: *offset }, size))));
        }
        runs
    }

    /// What is asked of the places of one page.
    fn page(&mut self, number: u32) -> Asked<'_> {
        const UNKNOWN: Expect = Expect::Unknown;
        let expect = self.expects.get(number as usize - 1).unwrap_or(&UNKNOWN);
        let fits = self.known.fits(self.body, number, expect);
        let is_lock = *expect == Expect::Lock;
        Asked { number, is_lock, fits, expects: self.expects, taken: self.taken, barred: self.barred }
    }
}

/// A page whose places are tried.
struct Asked<'f> {
    number: u32,
    is_lock: bool,
    fits: PageFits<'f>,
    expects: &'f [Expect],
    taken: &'f dyn Fn(u64) -> bool,
    barred: &'f dyn Fn(u32, u64, f32) -> bool,
}

impl Asked<'_> {
    fn state(&mut self, base: i64, stays: f32, start: f32) -> State {
        let fit = match place(base, self.number, self.fits.size()) {
            Some(offset) if (self.taken)(offset) && !self.is_lock => 2.0 * MISFIT,
            Some(offset) => {
                let fit = self.fits.at(offset);
                if self.fits.crosses(offset, self.expects) {
                    MISFIT
                } else if (self.barred)(self.number, offset, fit) {
                    fit.min(0.0) + MISFIT
                } else {
                    fit
                }
            }
            None => MISFIT,
        };
        State { base, forward: stays.max(start) + fit, backward: 0.0, fit }
    }
}

/// The states of each page of a stretch, one page behind the other.
#[derive(Default)]
struct Steps {
    states: Vec<State>,
    /// Where those of each page end.
    ends: Vec<usize>,
}

impl Steps {
    const fn len(&self) -> usize {
        self.ends.len()
    }

    fn range(&self, index: usize) -> Range<usize> {
        let end = |index: usize| self.ends.get(index).copied().unwrap_or(0);
        index.checked_sub(1).map_or(0, end)..end(index)
    }

    fn of(&self, index: usize) -> &[State] {
        self.states.get(self.range(index)).unwrap_or_default()
    }

    fn last_mut(&mut self) -> Option<&mut [State]> {
        let last = self.range(self.len().checked_sub(1)?);
        self.states.get_mut(last)
    }

    /// The states of one page, and those of the next.
    fn pair(&mut self, index: usize) -> Option<(&mut [State], &[State])> {
        let (own, next) = (self.range(index), self.range(index + 1));
        let (before, behind) = self.states.get_mut(..next.end)?.split_at_mut_checked(own.end)?;
        Some((before.get_mut(own.start..)?, behind))
    }

    fn push(&mut self, states: &[State]) {
        self.states.extend_from_slice(states);
        self.ends.push(self.states.len());
    }
}

/// Lays the pages from one number to another, both included. The ones beside them stand, or are none.
pub(super) fn lay(field: &mut Field<'_, '_>, from: u32, to: u32) -> Vec<Laid> {
    let mut steps = Steps::default();
    let standing = |base: i64| State { base, forward: 0.0, backward: 0.0, fit: 0.0 };
    let standing: Option<State> = field.fixed(from - 1).map(standing);
    let runs = field.runs(from, to + 1);
    let (mut ahead, mut tried) = (0, 0);
    let mut states: Vec<State> = Vec::new();
    for number in from..=to {
        let before = match steps.len().checked_sub(1) {
            Some(last) => steps.of(last),
            None => standing.as_slice(),
        };
        let best = before.iter().map(|state| state.forward).fold(f32::NEG_INFINITY, f32::max);
        let start = if before.is_empty() { 0.0 } else { best - BREAK };
        let mut page = field.page(number);
        states.clear();
        states.extend(before.iter().map(|state| page.state(state.base, state.forward, start)));
        // Amid a run that goes on nothing is tried but what was found for the very page.
        let goes_on = states.iter().any(|state| state.fit >= STRONG && state.forward >= best);
        let reach = if goes_on { 0 } else { REACH };
        while runs.get(ahead).is_some_and(|run| run.0 < number) {
            ahead += 1;
        }
        let near = runs.get(ahead..).unwrap_or_default().iter();
        let near = near.take_while(|run| run.0 <= number.saturating_add(reach)).take(MOST_TRIED);
        // Before anything is known, the file begins in the run of what is found first.
        let none = number == from && before.is_empty();
        let first = runs.iter().take_while(|run| none && run.0 <= to).take(MOST_TRIED);
        for (_, base) in near.chain(first).copied() {
            if !states.iter().any(|state| state.base == base) {
                states.push(page.state(base, f32::NEG_INFINITY, start));
            }
        }
        tried += states.len() as u64;
        // Of equals the one that was there first.
        states.sort_by(|a, b| b.forward.total_cmp(&a.forward));
        states.truncate(MOST_BASES);
        // A run that costs more than to come back to it is found again by what lies in it.
        let worst = states.first().map_or(0.0, |state| state.forward) - 2.0 * BREAK;
        states.retain(|state| state.forward >= worst);
        steps.push(&states);
    }
    field.known.work.add(tried);
    let behind = field.fixed(to + 1);
    if let Some((last, behind)) = steps.last_mut().zip(behind) {
        for state in last.iter_mut().filter(|state| state.base != behind) {
            state.backward = -BREAK;
        }
    }
    backward(&mut steps);
    choose(&steps, field.fixed(from - 1))
}

fn backward(steps: &mut Steps) {
    for index in (0..steps.len().saturating_sub(1)).rev() {
        let Some((step, next)) = steps.pair(index) else { continue };
        let best = next.iter().map(|state| state.backward + state.fit).fold(f32::NEG_INFINITY, f32::max);
        for state in step {
            let stays = next.iter().find(|next| next.base == state.base).map(|next| next.backward + next.fit);
            state.backward = stays.unwrap_or(f32::NEG_INFINITY).max(best - BREAK);
        }
    }
}

/// The best way, and at each page how much better it is than the best one through another run.
fn choose(steps: &Steps, mut before: Option<i64>) -> Vec<Laid> {
    let mut laid = Vec::with_capacity(steps.len());
    for step in (0..steps.len()).map(|index| steps.of(index)) {
        let through = |state: &State| state.forward + state.backward;
        let most = step.iter().map(through).fold(f32::NEG_INFINITY, f32::max);
        // Of ways that are as good the one that stays.
        let near = |state: &&State| through(state) >= most - 0.01;
        let stays = step.iter().find(|state| Some(state.base) == before && near(state));
        let Some(chosen) = stays.or_else(|| step.iter().find(near)) else {
            laid.push(Laid::NONE);
            continue;
        };
        let rivals = step.iter().filter(|state| state.base != chosen.base && state.fit >= 0.0);
        let rival = rivals.max_by(|a, b| through(a).total_cmp(&through(b)));
        let margin = rival.map_or(f32::INFINITY, |rival| through(chosen) - through(rival));
        before = Some(chosen.base);
        laid.push(Laid { base: chosen.base, fit: chosen.fit, margin, rival: rival.map(|rival| rival.base) });
    }
    laid
}
