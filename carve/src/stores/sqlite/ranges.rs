//! Which trees can hold a row id: found without asking every tree.

use super::forest::{Forest, Ground, Object, bounds};
use std::collections::BTreeSet;

/// A tree's least and greatest row id, and its number.
type Range = (i64, i64, usize);

/// The row ids of trees, by the bits that the width of their range takes, sorted. A range of few ids can only hold one
/// that is near to its start, so that a search need not look at all ranges.
#[derive(Debug)]
pub(super) struct Ranges {
    by_width: Vec<Vec<Range>>,
}

impl Ranges {
    /// The ranges of all trees with row ids.
    pub(super) fn of(forest: &Forest, ground: Ground<'_, '_>) -> Self {
        let trees = forest.trees.iter().enumerate();
        let trees = trees.filter(|(_, tree)| tree.rowids && tree.object != Object::Stale);
        Self::new(trees.map(|(number, tree)| {
            let (first, last) = bounds(ground, &tree.pages);
            (first, last, number)
        }))
    }

    fn new(ranges: impl Iterator<Item = Range>) -> Self {
        let mut by_width = vec![Vec::new(); 65];
        for (first, last, number) in ranges.filter(|(first, last, _)| first <= last) {
            let bits = u64::BITS - last.abs_diff(first).leading_zeros();
            if let Some(ranges) = by_width.get_mut(bits as usize) {
                ranges.push((first, last, number));
            }
        }
        by_width.iter_mut().for_each(|ranges| ranges.sort_unstable());
        Self { by_width }
    }

    /// The trees whose ranges hold any of these row ids, in the order of their numbers.
    pub(super) fn holding(&self, rowids: &[i64]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        for (bits, ranges) in self.by_width.iter().enumerate().filter(|(_, ranges)| !ranges.is_empty()) {
            let width = 1_u64.checked_shl(bits as u32).map_or(u64::MAX, |past| past - 1);
            for rowid in rowids {
                let nearest = rowid.saturating_sub_unsigned(width);
                let start = ranges.partition_point(|(first, _, _)| *first < nearest);
                let near = ranges.iter().skip(start).take_while(|(first, _, _)| first <= rowid);
                found.extend(near.filter(|(_, last, _)| rowid <= last).map(|(_, _, number)| *number));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, Ranges};

    #[test]
    fn every_range_that_holds_an_id_is_found_and_no_other() {
        let ranges: Vec<Range> = vec![
            (1, 1, 0),
            (1, 2, 1),
            (-5, 90, 2),
            (i64::MIN, i64::MAX, 3),
            (i64::MAX, i64::MIN, 4),
            (64, 127, 5),
            (i64::MIN, i64::MIN + 1, 6),
            (60, 64, 7),
        ];
        let found = Ranges::new(ranges.iter().copied());
        for rowid in [-6, -5, 0, 1, 2, 3, 60, 63, 64, 65, 90, 91, 127, 128, i64::MIN, i64::MAX] {
            let holds = |(first, last, _): &&Range| (*first..=*last).contains(&rowid);
            let expected: Vec<usize> = ranges.iter().filter(holds).map(|range| range.2).collect();
            assert!(found.holding(&[rowid]).into_iter().eq(expected), "{rowid}");
        }
    }
}
