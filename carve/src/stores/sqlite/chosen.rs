//! The point at which the user wants a database to be read.

use super::history::{Reached, States, Told};
use super::view::View;
use crate::error::Error;
use crate::model::{Finding, Goal, Stand, Until};
use crate::source::Source;
use mudlark_parsers::sqlite::wal::Frame;

/// The chosen point, and the pages of it.
#[derive(Debug)]
pub(super) struct Chosen<'a> {
    /// What the log or the journal tells; `None` when nothing does, or what does is left out.
    states: Option<States<'a>>,
    /// The pages of the point; `None` for the main file as it lies.
    reached: Option<Reached<'a>>,
    /// The state of the pages; `None` where the main file is none of those that are known.
    state: Option<u32>,
    notes: Vec<String>,
}

impl<'a> Chosen<'a> {
    /// Finds the point and its pages.
    ///
    /// # Errors
    /// When there is no such point, or it can't be reached.
    pub(super) fn of(sources: &'a [Source], goal: Goal) -> Result<Self, Error> {
        let states = States::of(sources);
        if goal.until == Until::Checkpoint {
            // What lies there needs no log.
            let states = states.ok();
            let state = states.as_ref().and_then(|states| states.find(goal).ok());
            return Ok(Self { states, reached: None, state, notes: Vec::new() });
        }
        let states = states?;
        let reached = Reached::of(&states, sources, goal)?;
        let (state, notes) = (Some(reached.state), states.told_of(goal, reached.state));
        Ok(Self { states: Some(states), reached: Some(reached), state, notes })
    }

    /// The number of the state.
    pub(super) const fn state(&self) -> Option<u32> {
        self.state
    }

    /// The view of the main file, brought to the point. `stated` is how many pages its header counts.
    pub(super) fn view(&self, main: View<'a>, stated: u32) -> View<'a> {
        match (&self.states, &self.reached) {
            // Nothing overlays the last state of a journal, or that of a database alone.
            (Some(states), Some(reached)) if states.told == Told::Log || reached.state < states.last() => {
                main.with_point(states, reached)
            }
            _ => main.with_nothing(stated),
        }
    }

    /// Whether a frame of the log was committed after the point.
    pub(super) fn is_later(&self, frame: &Frame) -> bool {
        let state = self.reached.as_ref().map(|reached| reached.state);
        self.states.as_ref().is_some_and(|states| states.is_later(frame, state))
    }

    /// Whether what the main file holds of a page was committed after the point.
    pub(super) fn is_main_later(&self, page: u32) -> bool {
        let of = self.states.as_ref().zip(self.reached.as_ref());
        of.is_some_and(|(states, reached)| states.is_main_later(page, reached.state))
    }

    /// Whether what the main file holds beside the point was taken back.
    pub(super) fn is_rolled_back(&self) -> bool {
        self.reached.is_some() && self.states.as_ref().is_some_and(|states| states.told == Told::Hot)
    }

    /// The pages that are not as they were at the point.
    fn stands(&self) -> &[Stand] {
        self.reached.as_ref().map(|reached| reached.stands.as_slice()).unwrap_or_default()
    }

    /// The same, as findings.
    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> + '_ {
        self.stands().iter().map(|stand| {
            let expected = "the page as it was at this point, which is lost".to_owned();
            let mut finding = Finding::note("page", "mismatch", stand.by.clone(), expected);
            finding.page = Some(stand.page);
            finding
        })
    }

    /// What a person should know of the point, and the pages that are not as they were.
    pub(super) fn into_notes(self) -> (Vec<String>, Vec<Stand>) {
        let stands = self.stands().to_vec();
        (self.notes, stands)
    }
}
