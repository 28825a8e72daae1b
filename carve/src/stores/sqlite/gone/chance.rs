//! Whether short rows that went have the cells of live ones by accident, or are copies of those.
//!
//! SQLite leaves copies of live rows in free space when it balances pages, and one that lost its row id can't be told from
//! a row that went. How many have the cells of a live row by accident is seen from the live rows: as many of those that
//! went do as of the live ones have the cells of another.

use super::super::prints::content;
use super::super::sample;
use super::Search;
use std::collections::HashMap;

/// Leaves from which rows are taken, and rows of each.
const PAGES: usize = 64;
const ROWS: usize = 1024;

/// Rows that went and have the cells of no live row: of fewer nothing is reckoned.
const ENOUGH: u32 = 8;

/// Of the rows with the cells of a live one so many may be copies, at most.
const MOST_COPIES: f64 = 0.25;

/// Whether accident explains how many of some rows that went have the cells of live rows: `held` says of each how many live
/// rows have its own.
pub(super) fn explains(search: &Search<'_, '_>, held: impl Iterator<Item = u32>) -> bool {
    let (mut all, mut equal) = (0_u32, 0_u32);
    for rows in held {
        all += 1;
        equal += u32::from(rows > 0);
    }
    equal > 0 && all >= equal + ENOUGH && copies(all, equal, share(search)) <= MOST_COPIES * f64::from(equal)
}

/// How many of `all` rows, of which so many are equal to live ones, are copies of those, where this share of the others
/// is equal to one by accident: at least, within what is usual for so many rows.
fn copies(all: u32, equal: u32, by_accident: f64) -> f64 {
    let (all, others) = (f64::from(all), f64::from(all - equal));
    let deviation = (all * by_accident * (1.0 - by_accident)).sqrt();
    all - (others + deviation) / (1.0 - by_accident)
}

/// The share of the live rows that have the cells of another one.
fn share(search: &Search<'_, '_>) -> f64 {
    let (view, survey, leaves) = (&search.database.view, &search.database.survey, &search.leaves().pages);
    let mut rows: HashMap<u64, usize> = HashMap::new();
    for page in leaves.iter().step_by(leaves.len().div_ceil(PAGES).max(1)) {
        sample::records(view, survey, *page, ROWS, |_, header, payload| {
            let body = payload.get(header.len..).unwrap_or_default();
            *rows.entry(content(header.serials().map(|serial| serial.0), body)).or_default() += 1;
        });
    }
    let (all, again) = rows
        .values()
        .fold((0, 0), |(all, again), rows| (all + rows, again + if *rows > 1 { *rows } else { 0 }));
    again as f64 / (all + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::copies;

    #[test]
    fn rows_that_are_equal_to_live_ones_are_copies_beyond_what_accident_explains() {
        // Where half of all rows are equal to another, so are half of those that went, give or take five of a hundred.
        assert!(copies(100, 50, 0.5) < 0.0 && copies(100, 55, 0.5) < 1e-9);
        assert!((copies(100, 75, 0.5) - 40.0).abs() < 1e-9);
        assert!((copies(40, 20, 0.0) - 20.0).abs() < 1e-9);
    }
}
