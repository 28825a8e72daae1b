//! Which row ids were given to another row since.
//!
//! Of two rows that had one id at different times the later one is a version of the earlier, or a row of its own that
//! took a free id. An UPDATE changes few cells rather than many, while two rows share a cell only by accident. How often each
//! happens in this table is told by the rows themselves.

use super::kin::Shared;

/// Fewest cells that tell, before two rows that share none are no versions of one another.
const LEAST_CELLS: usize = 2;

/// The share of cells that updates keep before any are known, and how much that counts beside all that are: what shares no
/// more than any two rows do is no update.
const KEPT: f64 = 0.5;
const EXPECTED: f64 = 0.25;

/// Rounds of fitting: the shares have settled long before.
const ROUNDS: usize = 40;

/// How the live rows came to have the ids of rows that are gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Later {
    /// The share of cells that two rows have in common by accident.
    accident: f64,
    /// The share of the ids that were given to another row.
    reused: f64,
    /// The share of cells that updates leave as they were.
    kept: f64,
}

impl Later {
    /// From what gone rows share with the live rows of their ids, and what they share with other live rows.
    pub(super) fn of(pairs: &[Shared], others: &[Shared]) -> Self {
        let sum = |of: fn(&Shared) -> usize| others.iter().map(of).sum::<usize>() as f64;
        let accident = share(sum(|pair| pair.cells), sum(|pair| pair.of_cells));
        let mut later = Self { accident, reused: 0.5, kept: KEPT };
        let expected = EXPECTED * pairs.iter().map(|pair| pair.of_cells as f64).sum::<f64>();
        for _ in 0..ROUNDS {
            let (mut reused, mut kept, mut cells) = (0.0, 0.0, 0.0);
            for pair in pairs {
                let other = later.other_row(pair);
                reused += other;
                kept += (1.0 - other) * pair.cells.min(pair.of_cells) as f64;
                cells += (1.0 - other) * pair.of_cells as f64;
            }
            later.reused = share(reused, pairs.len() as f64);
            later.kept = share(kept + KEPT * expected, cells + expected);
        }
        later
    }

    /// Whether it is likelier that the live row took the id of a row that had been deleted, than that it is a later
    /// version of it.
    pub(super) fn is_other_row(&self, pair: &Shared) -> bool {
        pair.of_cells >= LEAST_CELLS && self.other_row(pair) > 0.5
    }

    fn other_row(&self, pair: &Shared) -> f64 {
        let (kept, of) = (pair.cells.min(pair.of_cells) as i32, pair.of_cells as i32);
        // In how many ways these cells are among all is the same for both.
        let chance = |share: f64| share.powi(kept) * (1.0 - share).powi(of - kept);
        let (other, update) = (self.reused * chance(self.accident), (1.0 - self.reused) * chance(self.kept));
        other / (other + update)
    }
}

/// A share as it is estimated from a few: half a one more on either side, so that none is nought or one.
fn share(some: f64, all: f64) -> f64 {
    (some + 0.5) / (all + 1.0)
}

#[cfg(test)]
mod tests {
    use super::{Later, Shared};

    fn pairs(groups: &[(usize, usize, usize)]) -> Vec<Shared> {
        let pair = |cells, of_cells| Shared { cells, of_cells, ..Shared::default() };
        groups.iter().flat_map(|(times, cells, of)| (0..*times).map(move |_| pair(*cells, *of))).collect()
    }

    #[test]
    fn rows_that_share_nothing_are_others_where_updates_keep_most_cells() {
        let later = Later::of(&pairs(&[(40, 3, 4), (12, 0, 4)]), &pairs(&[(50, 0, 4)]));
        assert!(later.is_other_row(&pairs(&[(1, 0, 4)])[0]));
        assert!(!later.is_other_row(&pairs(&[(1, 3, 4)])[0]));
    }

    #[test]
    fn rows_that_share_nothing_are_versions_where_updates_change_every_other_cell() {
        let later = Later::of(&pairs(&[(60, 1, 2), (25, 2, 2), (10, 0, 2)]), &pairs(&[(50, 0, 2)]));
        assert!(!later.is_other_row(&pairs(&[(1, 0, 2)])[0]));
    }

    #[test]
    fn rows_that_share_no_more_than_any_two_do_are_others() {
        let later = Later::of(&pairs(&[(20, 0, 3), (8, 1, 3)]), &pairs(&[(20, 0, 3), (8, 1, 3)]));
        assert!(later.is_other_row(&pairs(&[(1, 1, 3)])[0]));
    }
}
