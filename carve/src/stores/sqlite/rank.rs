//! The order in which the versions of a table's rows are read a range at a time: about that in which its tree has them.

use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;
use std::ops::RangeInclusive;

/// Where a row stands among the others of its table: by its row id, or by the first bytes of its primary key.
///
/// What has the same key has the same rank. Where a collation of its own or `DESC` gives a tree another order, ranges of
/// ranks are spread over its pages, which costs time and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank([u64; 2]);

impl Rank {
    pub(super) const LEAST: Self = Self([0, 0]);

    /// Of what has neither row id nor key. It comes behind all others.
    pub(super) const NONE: Self = Self([u64::MAX, u64::MAX]);

    pub(super) const fn of_rowid(rowid: i64) -> Self {
        Self([(rowid as u64) ^ (1 << 63), 0])
    }

    /// Of a key whose cells have these types, and these bytes.
    pub(super) fn of_key(serials: impl Iterator<Item = Serial>, mut bytes: &[u8]) -> Self {
        let mut rank = First::default();
        for serial in serials {
            let len = usize::try_from(serial.len()).unwrap_or(usize::MAX).min(bytes.len());
            let (value, rest) = bytes.split_at(len);
            bytes = rest;
            match serial.decode(value) {
                Value::Null | Value::Missing => rank.push(1),
                Value::Int(number) => rank.push_number(number),
                Value::Real(number) => rank.push_number(number.floor() as i64),
                Value::Text(text) => {
                    rank.push(0x40);
                    text.iter().take(First::LEN).for_each(|byte| rank.push(byte.to_ascii_lowercase()));
                }
                Value::Blob(blob) => {
                    rank.push(0x50);
                    blob.iter().take(First::LEN).for_each(|byte| rank.push(*byte));
                }
            }
        }
        let rank = u128::from_be_bytes(rank.bytes);
        Self([(rank >> 64) as u64, rank as u64])
    }

    /// The row ids that have some ranks.
    pub(super) fn rowids(ranks: &RangeInclusive<Self>) -> RangeInclusive<i64> {
        let id = |high: u64| (high ^ (1 << 63)) as i64;
        let (Self([from, behind]), Self([to, _])) = (*ranks.start(), *ranks.end());
        match (from, behind) {
            // What comes behind the last id is none.
            (u64::MAX, 1..) => RangeInclusive::new(1, 0),
            _ => id(from + u64::from(behind > 0))..=id(to),
        }
    }

    /// The last one before it.
    pub(super) const fn before(self) -> Self {
        let Self([high, low]) = self;
        match low.checked_sub(1) {
            Some(low) => Self([high, low]),
            None => Self([high.saturating_sub(1), u64::MAX]),
        }
    }
}

/// A row's key, or its fingerprint, with its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ranked {
    pub key: i64,
    pub rank: Rank,
}

impl Ranked {
    pub(super) const fn of_rowid(rowid: i64) -> Self {
        Self { key: rowid, rank: Rank::of_rowid(rowid) }
    }
}

/// The first bytes of a key.
#[derive(Default)]
struct First {
    bytes: [u8; Self::LEN],
    len: usize,
}

impl First {
    const LEN: usize = 16;

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Its length goes in front, so that few bytes tell small numbers.
    fn push_number(&mut self, number: i64) {
        let size = number.max(!number);
        let len = 8 - size.leading_zeros() as usize / 8;
        let sign = if number < 0 { 0x1f - len as u8 } else { 0x20 + len as u8 };
        self.push(sign);
        number.to_be_bytes().iter().skip(8 - len).for_each(|byte| self.push(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::Rank;
    use mudlark_parsers::sqlite::serial::Serial;

    fn of_text(text: &str) -> Rank {
        Rank::of_key([Serial::text(text.len() as u64)].into_iter(), text.as_bytes())
    }

    fn of_number(number: i64) -> Rank {
        Rank::of_key([Serial(6)].into_iter(), &number.to_be_bytes())
    }

    #[test]
    fn keys_have_the_order_of_their_ranks() {
        let numbers = [i64::MIN, -70_000, -257, -256, -255, -129, -1, 0, 1, 127, 255, 256, 65_536, i64::MAX];
        assert!(numbers.map(of_number).is_sorted_by(|a, b| a < b));
        assert!(numbers.map(Rank::of_rowid).is_sorted_by(|a, b| a < b));
        assert!(["", "a", "AB", "abc", "b"].map(of_text).is_sorted_by(|a, b| a < b));
        assert!(of_number(i64::MAX) < of_text(""));
    }

    #[test]
    fn ranks_tell_the_row_ids_that_have_them() {
        let ids = |from, to| Rank::rowids(&(from..=to));
        assert_eq!(ids(Rank::of_rowid(-3), Rank::of_rowid(5).before()), -3..=4);
        assert_eq!(ids(Rank::of_rowid(5).before(), Rank::of_rowid(5)), 5..=5);
        assert_eq!(ids(Rank::LEAST, Rank::NONE), i64::MIN..=i64::MAX);
        assert!(ids(Rank::NONE, Rank::NONE).is_empty());
    }

    #[test]
    fn no_row_has_the_rank_of_none() {
        assert!(Rank::of_rowid(i64::MAX) < Rank::NONE.before());
        assert_eq!(Rank::of_rowid(5).before(), Rank([(1 << 63) + 4, u64::MAX]));
        assert!(Rank::of_rowid(4) < Rank::of_rowid(5).before());
    }
}
