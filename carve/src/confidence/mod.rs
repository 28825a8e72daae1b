//! From claims to probabilities. The only place that says how sure to be.
//!
//! The numbers are counted: `mudlark-fixtures count` recovers cases whose truth is known and counts, for every
//! combination of claims, how many rows were right. They stand in `numbers.rs`, which that command writes.

mod numbers;

pub use numbers::MODEL;

use crate::model::State;
use foldhash::fast::RandomState;
use mudlark_parsers::claim::{Claim, Claims};
use std::cell::RefCell;
use std::collections::HashMap;

/// How sure a row version is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confidence {
    /// The probability that the engine once wrote these cells together as one row.
    pub content: f64,
    /// Given that, the probability that it wrote them to this table.
    pub placement: f64,
    /// The probability of all of it, with the state and the key where given.
    pub confidence: f64,
}

/// Counted rows of one combination of claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The combination, from [`key`].
    pub key: u64,
    /// Rows with it.
    pub rows: u32,
    /// Of these, rows whose cells stood together in a row of any table.
    pub content: u32,
    /// Of those, rows of the right table.
    pub placement: u32,
    /// Rows that were right in state and key as well.
    pub right: u32,
}

/// Levels of detail, finest first: where a combination was never counted, a coarser one answers.
pub const LEVELS: [&[Claim]; 4] = [
    &[],
    &[
        Claim::DefaultUsed,
        Claim::ChainWhole,
        Claim::PageDamaged,
        Claim::KeyOutOfOrder,
        Claim::TypeUnlikely,
        Claim::FromTempFile,
        Claim::PerhapsEntry,
    ],
    &[
        Claim::DefaultUsed,
        Claim::ChainWhole,
        Claim::PageDamaged,
        Claim::KeyOutOfOrder,
        Claim::TypeUnlikely,
        Claim::FromTempFile,
        Claim::PerhapsEntry,
        Claim::IndexAgrees,
        Claim::IndexLacks,
        Claim::IndexDisagrees,
        Claim::PlacedByPointerMap,
        Claim::PlacedByKeys,
        Claim::PlacedByShape,
        Claim::TextInvalid,
    ],
    Claim::ALL,
];

/// How many rows of its own a combination needs to weigh as much as all coarser ones: rows of one case are alike, so
/// few say little.
const WEIGHT: f64 = 4.0;

/// The key of a combination of state, completeness and claims at a level of [`LEVELS`].
#[must_use]
pub fn key(level: usize, state: State, full: bool, claims: Claims) -> u64 {
    let ignored = LEVELS.get(level).copied().unwrap_or_default();
    let dropped = ignored.iter().fold(0_u64, |bits, claim| bits | 1 << *claim as u8);
    let bits = claims.bits() & !dropped;
    (level as u64) << 60 | (state as u64) << 56 | u64::from(full) << 55 | bits
}

thread_local! {
    /// What was weighed before, by the key of the finest level: rows have few combinations of claims.
    static WEIGHED: RefCell<HashMap<u64, Confidence, RandomState>> = RefCell::default();
}

/// Weighs a row version.
#[must_use]
pub fn weigh(state: State, full: bool, claims: Claims) -> Confidence {
    // What was committed after a point that the user chose is read as what was replaced is: the cases that are counted
    // have no such point, and know as later only what was never committed.
    let committed = state == State::Later && !claims.has(Claim::Uncommitted);
    let state = if committed { State::Superseded } else { state };
    let whole = key(0, state, full, claims);
    WEIGHED
        .with_borrow_mut(|weighed| *weighed.entry(whole).or_insert_with(|| weigh_anew(state, full, claims)))
}

fn weigh_anew(state: State, full: bool, claims: Claims) -> Confidence {
    let counted = |key: u64| {
        let found = numbers::COUNTED.binary_search_by_key(&key, |counted| counted.key);
        found.ok().and_then(|at| numbers::COUNTED.get(at)).copied()
    };
    weigh_by(&counted, state, full, claims)
}

/// Whether of rows with these claims, which may be live, fewer than half were.
#[must_use]
pub fn is_likelier_gone(full: bool, claims: Claims) -> bool {
    weigh(State::Live, full, claims).confidence < 0.5
}

/// Whether of rows with these claims most are rows of the table, but fewer than half had this state.
#[must_use]
pub fn is_state_unsure(state: State, full: bool, claims: Claims) -> bool {
    let Confidence { content, placement, confidence } = weigh(state, full, claims);
    confidence < 0.5 && content * placement >= 0.5
}

/// Weighs a row version by given counts: from even odds over the coarser combinations to its own, each of which moves
/// the number as far as its rows reach. With six digits, as the counts give no more.
pub fn weigh_by(
    counted: &dyn Fn(u64) -> Option<Counted>,
    state: State,
    full: bool,
    claims: Claims,
) -> Confidence {
    let mut odds = [0.5; 3];
    for level in (0..LEVELS.len()).rev() {
        let Some(counted) = counted(key(level, state, full, claims)) else { continue };
        let Counted { rows, content, placement, right, .. } = counted;
        for (odds, (some, all)) in odds.iter_mut().zip([(content, rows), (placement, content), (right, rows)])
        {
            *odds = (f64::from(some) + WEIGHT * *odds) / (f64::from(all) + WEIGHT);
        }
    }
    let [content, placement, confidence] = odds.map(|p| (p * 1e6).round().clamp(1.0, 999_999.0) / 1e6);
    Confidence { content, placement, confidence }
}

#[cfg(test)]
mod tests {
    use super::{Claim, Claims, Counted, LEVELS, State, key, numbers, weigh, weigh_by};

    #[test]
    fn a_combination_that_was_never_counted_is_answered_by_a_coarser_one() {
        let odd = Claim::ALL.iter().fold(Claims::NONE, |claims, claim| claims.with(*claim));
        let weighed = weigh(State::Live, true, odd);
        assert!((0.0..=1.0).contains(&weighed.confidence));
    }

    #[test]
    fn no_count_is_so_great_that_it_makes_a_certainty() {
        let all = Counted { key: 0, rows: u32::MAX, content: u32::MAX, placement: 0, right: 1 << 31 };
        let weighed = weigh_by(&|_| Some(all), State::Live, true, Claims::NONE);
        assert_eq!((weighed.content, weighed.placement, weighed.confidence), (0.999_999, 0.000_001, 0.5));
    }

    #[test]
    fn a_few_rows_of_its_own_move_a_combination_no_further_than_they_reach() {
        let claims = Claims::NONE.with(Claim::FileDamaged);
        let own = key(0, State::Live, true, claims);
        let of =
            |key: u64, rows: u32, right: u32| Counted { key, rows, content: rows, placement: rows, right };
        let counted = |key: u64| Some(if key == own { of(key, 1, 0) } else { of(key, 1000, 900) });
        let weighed = weigh_by(&counted, State::Live, true, claims);
        assert!((0.7..0.75).contains(&weighed.confidence), "{weighed:?}");
    }

    #[test]
    fn keys_of_different_levels_and_states_never_meet() {
        let mut keys: Vec<u64> = (0..LEVELS.len())
            .flat_map(|level| {
                [State::Live, State::Deleted].map(|state| key(level, state, true, Claims::NONE))
            })
            .collect();
        keys.dedup();
        assert_eq!(keys.len(), 2 * LEVELS.len());
    }

    #[test]
    fn the_counted_numbers_are_sorted_and_add_up() {
        assert!(numbers::COUNTED.is_sorted_by_key(|counted| counted.key));
        for counted in numbers::COUNTED {
            assert!(counted.placement <= counted.content && counted.content <= counted.rows);
            assert!(counted.right <= counted.rows);
        }
    }
}
