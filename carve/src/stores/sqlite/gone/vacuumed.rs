//! Row ids that VACUUM gave, where damage hides it: told by the order of the rows.
//!
//! VACUUM copies the rows of a table in the order of their ids, and numbers them anew from 1 where no column holds the id.
//! So the rows that were left stand in the same order as on the pages from before. Where the log's first state or the
//! catalogue of that time is lost, nothing else tells it of short rows, whose cells many have.

use super::live::Live;
use super::places::version_of_log;
use super::{Candidate, Dead, Numbering, Search};
use mudlark_parsers::sqlite::freed::RowidLeft;
use std::collections::HashMap;

/// Rows that are put in order at most, on either side: each is held against each.
const MOST: usize = 4096;

/// Fewer rows in one order are no proof.
const FEW: usize = 16;

/// So many fifths of the rows behind the first that went are in one order, where VACUUM copied them: of others far fewer.
const FIFTHS: usize = 4;

/// Gives rows on pages from before a VACUUM that damage hides the ids that they have since, where their order tells.
pub(super) fn renumber(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, dead: &mut [Candidate]) {
    if !search.damaged || !search.tree.rowids || search.layout.alias().is_some() {
        return;
    }
    let database = search.database;
    let vacuum = match &database.log {
        None => None,
        Some((_, log)) => match log.last_that_may_be_vacuum() {
            Some(commit) => Some(commit),
            None => return,
        },
    };
    let is_before = |dead: &Dead| match vacuum {
        None => database.view.is_of_journal(dead.page),
        Some(vacuum) => version_of_log(database, dead.page)
            .is_some_and(|version| version.commit.is_none_or(|commit| commit < vacuum)),
    };
    let is_asked = |dead: &Dead| {
        dead.numbering == Numbering::Unknown
            && matches!(dead.freed.rowid, RowidLeft::Whole(_))
            && database.view.is_old(dead.page)
            && is_before(dead)
    };
    let mut before: Vec<(i64, u64)> = dead
        .iter()
        .filter(|dead| is_asked(dead))
        .filter_map(|dead| Some((dead.rowid?, dead.content?)))
        .collect();
    before.sort_unstable();
    before.dedup();
    if !(FEW..=MOST).contains(&before.len()) {
        return;
    }
    // A row never gets a greater id.
    let last = before.last().map_or(0, |(rowid, _)| *rowid).clamp(0, MOST as i64);
    let now: Vec<(i64, u64)> = (1..=last)
        .filter_map(|rowid| {
            let (page, cell) = live.find(rowid)?;
            Some((rowid, live.content_at(page, &cell)??))
        })
        .collect();
    let in_order = in_one_order(&before, &now);
    // Before the first row that went each kept its id.
    let moved: Vec<i64> = in_order.iter().filter(|(from, to)| from != to).map(|(_, to)| *to).collect();
    let first = moved.first().copied().unwrap_or(0);
    let behind = now.iter().filter(|(rowid, _)| *rowid >= first).count();
    if moved.len() < FEW || moved.len() * 5 < behind * FIFTHS {
        return;
    }
    let given: HashMap<i64, i64> = in_order.into_iter().collect();
    for dead in dead.iter_mut() {
        let Some(rowid) = dead.rowid.filter(|_| is_asked(dead)) else { continue };
        match given.get(&rowid) {
            Some(now) => (dead.rowid, dead.numbering) = (Some(*now), Numbering::Present),
            None if dead.is_short() => dead.numbering = Numbering::Former,
            // Its cells tell whether it lives under another id.
            None => {}
        }
    }
}

/// The longest row of pairs with the same content that ascends on both sides: their ids.
fn in_one_order(before: &[(i64, u64)], now: &[(i64, u64)]) -> Vec<(i64, i64)> {
    let width = now.len() + 1;
    // The length for what follows each place on both sides, of which no more than the row ids' bound can come.
    let mut lengths = vec![0_u16; width * (before.len() + 1)];
    let at =
        |lengths: &[u16], row: usize, column: usize| lengths.get(row * width + column).copied().unwrap_or(0);
    for (row, (from, content)) in before.iter().enumerate().rev() {
        for (column, (to, other)) in now.iter().enumerate().rev() {
            let skipped = at(&lengths, row + 1, column).max(at(&lengths, row, column + 1));
            let fits = content == other && to <= from;
            let taken = if fits { at(&lengths, row + 1, column + 1) + 1 } else { 0 };
            if let Some(length) = lengths.get_mut(row * width + column) {
                *length = skipped.max(taken);
            }
        }
    }
    let (mut found, mut row, mut column) = (Vec::new(), 0, 0);
    while let (Some((from, content)), Some((to, other))) = (before.get(row), now.get(column)) {
        let length = at(&lengths, row, column);
        if content == other && to <= from && length == at(&lengths, row + 1, column + 1) + 1 {
            found.push((*from, *to));
            (row, column) = (row + 1, column + 1);
        } else if length == at(&lengths, row + 1, column) {
            row += 1;
        } else {
            column += 1;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::in_one_order;

    #[test]
    fn rows_that_were_copied_in_their_order_are_paired_whatever_went_between_them() {
        let contents = [5_u64, 7, 5, 5, 9, 7, 5, 8];
        let before: Vec<(i64, u64)> = (1..).zip(contents).collect();
        // The second, the third and the sixth were deleted.
        let now = [(1, 5), (2, 5), (3, 9), (4, 5), (5, 8)];
        let pairs = in_one_order(&before, &now);
        assert_eq!(pairs.len(), 5);
        let content = |rowid: i64| contents[rowid as usize - 1];
        assert!(pairs.iter().all(|(from, to)| content(*from) == now[*to as usize - 1].1));
        assert!(pairs.is_sorted() && pairs.last() == Some(&(8, 5)));
    }

    #[test]
    fn no_row_gets_a_greater_id() {
        assert!(in_one_order(&[(1, 4), (2, 6)], &[(3, 4), (4, 6)]).is_empty());
    }
}
