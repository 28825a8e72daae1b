//! The row ids of a table's live rows, noted as they are read: a later question for one then needs no look at its page.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Ids for each row that ids may lie apart, on average, to be noted: a bit for each is no more than a few bytes a row.
const MOST_APART: u64 = 64;

/// Row ids, of which none that was noted is missing.
#[derive(Debug)]
pub(super) struct RowIds {
    first: i64,
    /// A bit for each id from the first on.
    bits: Vec<AtomicU64>,
    /// There may be others.
    beyond: AtomicBool,
}

impl Default for RowIds {
    /// All ids.
    fn default() -> Self {
        Self { first: 0, bits: Vec::new(), beyond: AtomicBool::new(true) }
    }
}

impl RowIds {
    /// None yet, of so many rows with ids from `first` to `last`; all ids where these lie too far apart.
    pub(super) fn between(first: i64, last: i64, rows: u64) -> Self {
        let width = last.abs_diff(first);
        if first > last || width / MOST_APART > rows {
            return Self::default();
        }
        let bits = (0..=width / 64).map(|_| AtomicU64::new(0)).collect();
        Self { first, bits, beyond: AtomicBool::new(false) }
    }

    /// Notes the ids of some rows, which mostly are close together.
    pub(super) fn note(&self, rowids: impl Iterator<Item = i64>) {
        if self.bits.is_empty() {
            return;
        }
        let (mut at, mut noted) = (0, 0_u64);
        for rowid in rowids {
            let offset = rowid.abs_diff(self.first);
            let word = (offset / 64) as usize;
            if rowid < self.first || word >= self.bits.len() {
                self.beyond.store(true, Ordering::Relaxed);
                continue;
            }
            if word != at {
                self.add(at, noted);
                (at, noted) = (word, 0);
            }
            noted |= 1 << (offset % 64);
        }
        self.add(at, noted);
    }

    fn add(&self, word: usize, noted: u64) {
        if let Some(bits) = self.bits.get(word).filter(|_| noted != 0) {
            bits.fetch_or(noted, Ordering::Relaxed);
        }
    }

    /// Whether the ids that were noted are all from 1 to the last, so that none between is free.
    pub(super) fn are_all_taken(&self) -> bool {
        let words = || self.bits.iter().map(|bits| bits.load(Ordering::Relaxed));
        let count: u64 = words().map(|word| u64::from(word.count_ones())).sum();
        let (full, rest) = ((count / 64) as usize, count % 64);
        let expected = |at: usize| match at.cmp(&full) {
            std::cmp::Ordering::Less => u64::MAX,
            std::cmp::Ordering::Equal => (1 << rest) - 1,
            std::cmp::Ordering::Greater => 0,
        };
        let beyond = self.beyond.load(Ordering::Relaxed);
        self.first == 1 && count > 0 && !beyond && words().enumerate().all(|(at, word)| word == expected(at))
    }

    /// Whether an id may have been noted.
    pub(super) fn may_hold(&self, rowid: i64) -> bool {
        let offset = rowid.abs_diff(self.first);
        let word = usize::try_from(offset / 64).unwrap_or(usize::MAX);
        match self.bits.get(word).filter(|_| rowid >= self.first) {
            Some(bits) => bits.load(Ordering::Relaxed) >> (offset % 64) & 1 == 1,
            None => self.beyond.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RowIds;

    #[test]
    fn ids_are_all_taken_from_the_first_to_the_last_or_one_is_free() {
        for last in [1, 63, 64, 65, 128, 200] {
            let ids = RowIds::between(1, last, last as u64);
            assert!(!ids.are_all_taken());
            ids.note(1..=last - 1);
            ids.note(last..=last);
            assert!(ids.are_all_taken(), "{last}");
        }
        let holed = RowIds::between(1, 100, 99);
        holed.note((1..=100).filter(|id| *id != 70));
        assert!(!holed.are_all_taken());
        let later = RowIds::between(2, 100, 99);
        later.note(2..=100);
        assert!(!later.are_all_taken());
        assert!(!RowIds::default().are_all_taken());
    }

    #[test]
    fn what_was_noted_is_held_and_nothing_else() {
        let ids = RowIds::between(-3, 200, 40);
        ids.note([-3, 60, 61, 62, 200, 61].into_iter());
        let held: Vec<i64> = (-300..300).filter(|rowid| ids.may_hold(*rowid)).collect();
        assert_eq!(held, [-3, 60, 61, 62, 200]);
    }

    #[test]
    fn where_ids_lie_far_apart_or_beyond_nothing_is_ruled_out() {
        assert!(RowIds::between(0, i64::MAX, 40).may_hold(7));
        assert!(RowIds::between(i64::MAX, i64::MIN, 0).may_hold(7));
        let ids = RowIds::between(0, 100, 40);
        ids.note([i64::MIN, 1].into_iter());
        assert!(ids.may_hold(-9) && !ids.may_hold(2));
    }
}
