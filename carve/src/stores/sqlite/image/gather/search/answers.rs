//! Answers that were given before: many databases ask for the pages below the same interior page.

use super::super::body::{Body, Expect};
use foldhash::fast::RandomState;
use mudlark_parsers::value::TextEncoding;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Answers that are kept, of 200 bytes each: those of 100,000 interior pages.
const MOST_KEPT: usize = 1 << 20;

/// Places that an answer names: one state of a database beside another has a page of the same keys, and so may others.
pub(super) const PLACES: usize = 4;

/// What an answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Question {
    expect: Expect,
    is_first: bool,
    reserved: u8,
    linked: u32,
    encoding: TextEncoding,
}

/// The best places of a page, the best one first, and how well it fits there.
pub(in super::super) type Answer = [Option<(u64, f32)>; PLACES];

/// Answers to questions.
#[derive(Debug)]
pub(super) struct Answers(Mutex<Option<HashMap<Question, Answer, RandomState>>>);

impl Answers {
    /// None.
    pub(super) const fn none() -> Self {
        Self(Mutex::new(None))
    }

    /// The answer to a question, which is the same whoever asks: `answer` is asked when it is not known.
    pub(super) fn of(
        &self,
        body: &Body<'_>,
        number: u32,
        expect: &Expect,
        answer: impl FnOnce() -> Answer,
    ) -> Answer {
        let Body { geometry, linked, encoding, .. } = *body;
        // Which page leads there tells nothing of the bytes.
        let mut expect = *expect;
        if let Expect::Tree { parent, .. } = &mut expect {
            *parent = 0;
        }
        let question =
            Question { expect, is_first: number == 1, reserved: geometry.reserved, linked, encoding };
        let known = |answers: &Option<HashMap<_, _, _>>| answers.as_ref()?.get(&question).copied();
        if let Some(known) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        let answer = answer();
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = answers.get_or_insert_default();
        if answers.len() < MOST_KEPT {
            answers.insert(question, answer);
        }
        answer
    }
}
