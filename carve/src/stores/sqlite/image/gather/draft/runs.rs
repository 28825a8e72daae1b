//! The runs in which the pages of a database lie, and what they tell of pages of which the bytes tell nothing.

use super::super::lay::{self, Guess};
use super::{DECIDED, Draft};
use std::ops::Range;

/// Pages before the end of a run at which it may have ended by accident: that many more are hardly alike.
const MOST_STEPS: i32 = 64;

impl Draft<'_> {
    /// The runs in which its pages lie: indexes of `places`.
    pub(in super::super) fn runs(&self) -> Vec<Range<usize>> {
        let size = self.body.size();
        let mut runs: Vec<Range<usize>> = Vec::new();
        let mut before: Option<u64> = None;
        for (index, place) in self.places.iter().enumerate() {
            if let Some(place) = place {
                let goes_on = before.and_then(|before| before.checked_add(size)) == Some(*place);
                match runs.last_mut().filter(|_| goes_on) {
                    Some(run) => run.end = index + 1,
                    None => runs.push(index..index + 1),
                }
            }
            before = *place;
        }
        runs
    }

    /// How likely the next page lies beside a page, as those show of which the bytes tell the place.
    pub(super) fn continuity(&self) -> f64 {
        let size = self.body.size();
        let (mut stays, mut breaks) = (0.0, 0.0);
        let mut last: Option<(u32, i64)> = None;
        for (number, offset) in self.placed().filter(|(number, _)| self.is_evident(*number as usize - 1)) {
            let base = lay::base_of(Guess { number, offset }, size);
            if let Some((before, run)) = last {
                if run == base {
                    stays += f64::from(number - before);
                } else {
                    breaks += 1.0;
                }
            }
            last = Some((number, base));
        }
        (stays + 1.0) / (stays + breaks + 2.0)
    }

    /// How many pages away in its run the next page lies of which the bytes tell the place, for each page.
    pub(super) fn away(&self) -> Vec<Option<i32>> {
        let mut away: Vec<Option<i32>> = vec![None; self.places.len()];
        for run in self.runs() {
            for falls in [false, true] {
                let mut steps: Option<i32> = None;
                for step in run.clone() {
                    let at = if falls { run.end - 1 - (step - run.start) } else { step };
                    steps = if self.is_evident(at) {
                        Some(0)
                    } else {
                        steps.map(|steps| steps.saturating_add(1))
                    };
                    if let Some((known, steps)) = away.get_mut(at).zip(steps) {
                        *known = Some(known.map_or(steps, |known| known.min(steps)));
                    }
                }
            }
        }
        away
    }

    /// The pages that lie in their runs between two of which the bytes tell the place, no further apart than a run reaches in this
    /// database. Of one that is scattered two pages lie as far apart as their numbers by accident.
    pub(super) fn between(&self) -> Vec<bool> {
        let mut between = vec![false; self.places.len()];
        let stays = self.continuity();
        let pages = self.places.len();
        let alike = (0..pages).filter(|at| !self.is_evident(*at)).count() as f64 / pages.max(1) as f64;
        let reaches = |steps: usize| reaches(stays, alike, steps, pages).ln() >= f64::from(DECIDED);
        for run in self.runs() {
            let mut before: Option<usize> = None;
            let mut reached = false;
            for at in run.filter(|at| self.is_evident(*at)) {
                if let Some(from) = before.replace(at) {
                    let reaches = reaches(at - from);
                    let first = if reached { from } else { from + 1 };
                    between.get_mut(first..at).unwrap_or_default().fill(reaches);
                    reached = reaches;
                }
            }
        }
        between
    }
}

/// How much likelier a run reaches over so many pages than that two runs have the pages at its ends just as far apart, and those
/// between them fit by accident: from page to page it `stays`, and of so many other pages a share is `alike`.
fn reaches(stays: f64, alike: f64, steps: usize, pages: usize) -> f64 {
    let steps = i32::try_from(steps).unwrap_or(i32::MAX);
    let stays = stays.powi(steps);
    let by_accident = (1.0 - stays) * alike.powi(steps - 1) / pages.max(1) as f64;
    stays / by_accident
}

/// How much likelier a run reaches over so many pages than that it ends before the last of them, and those behind fit by accident:
/// from page to page it `stays`, and of other pages a share is `alike`.
pub(super) fn odds(stays: f64, alike: f64, steps: i32) -> f64 {
    let ends = |at: i32| (1.0 - stays) * stays.powi(steps - at) * alike.powi(at);
    let by_accident: f64 = (1..=steps.min(MOST_STEPS)).map(ends).sum();
    stays.powi(steps) / by_accident
}

#[cfg(test)]
mod tests {
    use super::{odds, reaches};

    #[test]
    fn pages_that_few_are_like_are_told_by_their_run_and_those_of_scattered_files_are_not() {
        assert!(odds(0.95, 0.1, 1) > 100.0);
        assert!(odds(0.99, 0.5, 30) > 50.0);
        assert!(odds(0.1, 0.8, 1) < 1.0);
    }

    #[test]
    fn a_run_tells_what_lies_between_its_ends_unless_the_file_is_scattered() {
        assert!(reaches(0.9, 0.5, 5, 300) > 400.0);
        assert!(reaches(0.99, 0.9, 60, 5000) > 400.0);
        assert!(reaches(0.02, 0.7, 4, 600) < 1.0);
    }
}
