//! The row ids that can stand in the gaps of a tree, to be asked for very many of them.

use super::forest::{Gap, Tree};
use std::collections::HashMap;

/// First and last row id of ranges, in order and without overlap.
pub(super) type Ranges = Vec<(i64, i64)>;

/// The open row ids of a tree, as [`Tree::is_open`] tells them one by one.
pub(super) struct Open<'t> {
    tree: &'t Tree,
    /// Of all gaps, and of those of each part.
    all: Ranges,
    by_part: HashMap<u32, Ranges>,
}

impl<'t> Open<'t> {
    pub(super) fn of(tree: &'t Tree) -> Self {
        let range = |gap: &Gap| {
            let first = gap.range.above.map_or(i64::MIN, |above| above.saturating_add(1));
            (first, gap.range.upto.unwrap_or(i64::MAX))
        };
        let mut by_part: HashMap<u32, Ranges> = HashMap::new();
        for gap in tree.gaps.iter().filter(|_| !tree.covered.is_empty()) {
            by_part.entry(gap.part).or_default().push(range(gap));
        }
        let by_part = by_part.into_iter().map(|(part, ranges)| (part, joined(ranges))).collect();
        Self { tree, all: joined(tree.gaps.iter().map(range).collect()), by_part }
    }

    /// Whether a row with this id could stand in a gap.
    pub(super) fn hold(&self, rowid: i64) -> bool {
        let covering = self.tree.covered.iter().filter(|(_, from, to)| (*from..=*to).contains(&rowid));
        let mut parts = covering.map(|(part, _, _)| *part);
        // What a part covers can be in its own gaps only, and what two cover in none.
        let Some(part) = parts.next() else { return holds(&self.all, rowid) };
        parts.all(|other| other == part) && self.by_part.get(&part).is_some_and(|ranges| holds(ranges, rowid))
    }
}

/// The ranges in order, those that overlap as one; those that hold nothing are left out.
pub(super) fn joined(mut ranges: Ranges) -> Ranges {
    ranges.retain(|(first, last)| first <= last);
    ranges.sort_unstable();
    ranges.dedup_by(|next, before| {
        let overlaps = next.0 <= before.1;
        if overlaps {
            before.1 = before.1.max(next.1);
        }
        overlaps
    });
    ranges
}

/// Whether one of the ranges holds a row id.
pub(super) fn holds(ranges: &[(i64, i64)], rowid: i64) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= rowid);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| rowid <= *last)
}

#[cfg(test)]
mod tests {
    use super::{holds, joined};

    #[test]
    fn ranges_that_overlap_are_one_and_those_between_hold_nothing() {
        let ranges = joined(vec![(5, 9), (1, 2), (7, 12), (4, 3), (20, i64::MAX)]);
        assert_eq!(ranges, [(1, 2), (5, 12), (20, i64::MAX)]);
        let held: Vec<i64> = (0..22).filter(|rowid| holds(&ranges, *rowid)).collect();
        assert_eq!(held, [1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 20, 21]);
    }
}
