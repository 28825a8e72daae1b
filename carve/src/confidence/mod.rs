//! From claims to probabilities. The only place that says how sure to be.
//!
//! The model adds up log-odds of what a row is taken for, where it was found and what was claimed of it ([`model`]). Its
//! numbers are fitted: `mudlark-fixtures fit` recovers cases whose truth is known, and writes `numbers.rs`.

pub mod model;
#[allow(clippy::approx_constant, reason = "a fitted weight may come near a constant, and means none")]
mod numbers;

pub use model::{Confidence, Model, Taken, Term};

use crate::model::{Batch, Row, State};
use crate::source::{Source, Span};
use foldhash::fast::RandomState;
use mudlark_parsers::claim::Claims;
use std::cell::RefCell;
use std::collections::HashMap;

/// The model that recoveries use.
pub const MODEL: Model<'static> = numbers::MODEL;

/// What was weighed before, with its fate: rows have few combinations of claims.
type Weighed = HashMap<(Taken, bool, u128), (Confidence, f64), RandomState>;

thread_local! {
    static WEIGHED: RefCell<Weighed> = RefCell::default();
}

/// Weighs a row version.
#[must_use]
pub fn weigh(state: State, full: bool, claims: Claims) -> Confidence {
    weighed(state, full, claims).0
}

/// Weighs a row of a batch. On pages of a file found in an image that may be those of another one it is as sure as they are.
#[must_use]
pub fn weigh_row(sources: &[Source], batch: &Batch<'_>, row: &Row, full: bool) -> Confidence {
    let confidence = weigh(row.state, full, row.claims);
    let of_spans = |spans: &[Span]| {
        let of = |span: &Span| {
            let source = sources.get(usize::from(span.source.0)).filter(|source| source.has_guesses());
            source.map_or(1.0, |source| source.share(span.offset, span.length))
        };
        spans.iter().map(of).fold(1.0, f64::min)
    };
    // One place of which it is sure is enough.
    let spans = batch.evidence_of(row).iter().map(|evidence| batch.spans_of(evidence));
    let best =
        spans.map(|spans| (of_spans(spans), spans.len() > 1)).max_by(|one, other| one.0.total_cmp(&other.0));
    match best {
        Some((share, on_several)) if share < 1.0 => confidence.shared(share, on_several),
        _ => confidence,
    }
}

fn weighed(state: State, full: bool, claims: Claims) -> (Confidence, f64) {
    let taken = Taken::of(state, claims);
    let anew = || (MODEL.weigh(taken, full, claims), MODEL.fate(taken, full, claims));
    WEIGHED.with_borrow_mut(|weighed| *weighed.entry((taken, full, claims.bits())).or_insert_with(anew))
}

/// Whether of rows with these claims, which may be live, fewer than half were.
#[must_use]
pub fn is_likelier_gone(full: bool, claims: Claims) -> bool {
    weigh(State::Live, full, claims).confidence < 0.5
}

/// Whether of rows that are gone and have these claims fewer than half had this fate: to be deleted, or replaced.
#[must_use]
pub fn is_state_unsure(state: State, full: bool, claims: Claims) -> bool {
    weighed(state, full, claims).1 < 0.5
}
