//! Prints of key cells: equal ones say that an index entry and a row agree, without a look at the entry's page.

use crate::model::Cell as RowCell;
use foldhash::quality::FixedState;
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::value::Value;
use std::hash::{BuildHasher, Hasher};
use std::num::NonZeroU32;

/// A hash of key cells; cells that are the same to an index have the same. Zeros stand for none: then the cells
/// themselves have to be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Print([u8; 6]);

impl Print {
    pub(super) const NONE: Self = Self([0; 6]);

    /// The print of a whole entry, whose key cells stand for these columns of a row.
    pub(super) fn of_entry(header: &RecordHeader<'_>, payload: &[u8], keys: &[Option<usize>]) -> Self {
        if header.columns != keys.len() + 1 {
            return Self::NONE;
        }
        let cells = record::cells(header.serials(), header.len, payload).zip(keys);
        let values = cells
            .filter(|(_, column)| column.is_some())
            .map(|((serial, bytes), _)| bytes.map_or(Value::Missing, |bytes| serial.decode(bytes)));
        Self::of_values(values)
    }

    /// The print of a row's cells in these columns; none where one of them is not whole.
    pub(super) fn of_row(row: &[RowCell<'_>], keys: &[Option<usize>]) -> Self {
        let cells = keys.iter().flatten().map(|column| row.get(*column));
        Self::of_values(cells.map(|cell| cell.map_or(Value::Missing, RowCell::value)))
    }

    /// The print of values; none where one of them is missing.
    pub(super) fn of_values<'v>(values: impl Iterator<Item = Value<'v>>) -> Self {
        let mut hasher = hasher();
        for value in values {
            match value {
                Value::Null => null(&mut hasher),
                Value::Int(value) => int(value, &mut hasher),
                Value::Real(value) => real(value, &mut hasher),
                Value::Text(value) => bytes(TEXT, value, &mut hasher),
                Value::Blob(value) => bytes(BLOB, value, &mut hasher),
                Value::Missing => return Self::NONE,
            }
        }
        finish(&hasher)
    }

    /// The print of one cell; none where it is not whole.
    pub(super) fn of_cell(cell: &RowCell<'_>) -> Self {
        Self::of_row(std::slice::from_ref(cell), &[Some(0)])
    }

    /// Whether the prints show that the cells are the same. If not, the cells may be the same nevertheless.
    pub(super) fn shows(self, other: Self) -> bool {
        self == other && self != Self::NONE
    }
}

/// What stands before a value in the hash.
const NULL: u8 = 0;
const INT: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;

fn hasher() -> impl Hasher {
    // Any seed will do; a fixed one makes every run the same.
    FixedState::with_seed(0).build_hasher()
}

fn finish(hasher: &impl Hasher) -> Print {
    let [a, b, c, d, e, f, ..] = hasher.finish().to_le_bytes();
    Print([a, b, c, d, e, f])
}

fn null(hasher: &mut impl Hasher) {
    hasher.write_u8(NULL);
}

fn int(value: i64, hasher: &mut impl Hasher) {
    hasher.write_u8(INT);
    hasher.write_i64(value);
}

/// A whole number counts as the integer that it equals: a REAL column stores it as one.
fn real(value: f64, hasher: &mut impl Hasher) {
    // Beyond 2^53 several integers equal one double.
    if value.trunc() == value && value.abs() < (1_i64 << 53) as f64 {
        return int(value as i64, hasher);
    }
    hasher.write_u8(REAL);
    hasher.write_u64(value.to_bits());
}

fn bytes(kind: u8, value: &[u8], hasher: &mut impl Hasher) {
    hasher.write_u8(kind);
    hasher.write_usize(value.len());
    hasher.write(value);
}

/// A hash of a record's cells: of their serial types and bytes, not of where they stand.
pub(super) fn content(serials: impl Iterator<Item = u64>, body: &[u8]) -> u64 {
    let mut hasher = hasher();
    let mut columns = 0_u64;
    serials.for_each(|serial| {
        hasher.write_u64(serial);
        columns += 1;
    });
    // The hash of a zero more, as that of a NULL is, may be the same.
    hasher.write_u64(columns);
    hasher.write(body);
    hasher.finish()
}

/// The length of a record's body, its last bytes and those amid it: they tell most records apart without a look at all
/// bytes. The last ones alone may be of a moment or a state, which many rows have.
pub(super) fn ending(body: &[u8]) -> u64 {
    let last = |body: &[u8]| body.last_chunk().map_or(0, |last| u64::from_le_bytes(*last));
    let amid = last(body.get(..body.len() / 2).unwrap_or_default());
    let end = last(body) ^ (body.len() as u64).rotate_right(16);
    (end ^ amid.wrapping_mul(SPREAD).rotate_right(32)).wrapping_mul(SPREAD)
}

/// Rows of fewer bytes have no tail that tells one from another.
const LEAST_WITH_TAIL: usize = 24;

/// A fingerprint of the last bytes of a record that lies on its page as a whole.
pub(super) fn tail(payload: &[u8]) -> Option<NonZeroU32> {
    let last = payload.last_chunk().filter(|_| payload.len() >= LEAST_WITH_TAIL)?;
    let print = (u64::from_le_bytes(*last).wrapping_mul(SPREAD) >> 32) as u32;
    NonZeroU32::new(print.max(1))
}

/// What stands for the ending of a body of which only the length is known.
pub(super) fn ending_of_length(len: u64) -> u64 {
    (!len.rotate_right(16)).wrapping_mul(SPREAD)
}

/// An odd number with as many ones as zeros, in no order: the golden ratio's digits.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Places that the upper half of an ending tells apart.
const MOST_PLACES: usize = 1 << 32;

/// A set of endings that may take further ones for its own.
#[derive(Debug)]
pub(super) struct Endings {
    bits: Vec<u64>,
    /// By how much an ending is shifted to give its place.
    shift: u32,
}

impl Endings {
    pub(super) fn of(all: impl ExactSizeIterator<Item = u64>) -> Self {
        let mut endings = Self::room(all.len());
        all.for_each(|ending| endings.note(ending));
        endings
    }

    /// Room for so many.
    pub(super) fn room(count: usize) -> Self {
        // Of so many places one at most is taken: then most pages have none.
        let places = (64 * count).next_power_of_two().clamp(64, MOST_PLACES);
        Self { bits: vec![0; places / 64], shift: 64 - places.trailing_zeros() }
    }

    pub(super) fn note(&mut self, ending: u64) {
        let place = ending >> self.shift;
        if let Some(bits) = self.bits.get_mut(place as usize / 64) {
            *bits |= 1 << (place % 64);
        }
    }

    pub(super) fn contain(&self, ending: u64) -> bool {
        let place = ending >> self.shift;
        self.bits.get(place as usize / 64).is_some_and(|bits| bits >> (place % 64) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Endings, Print, RowCell, content, ending};
    use mudlark_parsers::sqlite::record::header;

    /// The print of an entry with one key cell, "ok" as text or 7 as an integer, and row id 1.
    fn entry(serial: u8, body: &[u8]) -> Print {
        let payload = [&[3, serial, 9], body].concat();
        Print::of_entry(&header(&payload, payload.len() as u64).unwrap(), &payload, &[Some(1)])
    }

    fn row(cell: RowCell<'static>) -> Print {
        Print::of_row(&[RowCell::Null, cell], &[Some(1)])
    }

    #[test]
    fn equal_cells_have_equal_prints_whatever_they_are_stored_as() {
        assert!(entry(17, b"ok").shows(row(RowCell::Text(b"ok".into()))));
        assert!(entry(1, &[7]).shows(row(RowCell::Int(7))));
        assert!(entry(1, &[7]).shows(row(RowCell::Real(7.0))));
        assert!(entry(8, &[]).shows(row(RowCell::Real(-0.0))));
    }

    #[test]
    fn other_cells_have_other_prints() {
        assert!(!entry(17, b"ok").shows(row(RowCell::Text(b"no".into()))));
        assert!(!entry(17, b"ok").shows(row(RowCell::Blob(b"ok".into()))));
        assert!(!entry(1, &[7]).shows(row(RowCell::Real(7.5))));
        assert!(!entry(0, &[]).shows(row(RowCell::Int(0))));
    }

    #[test]
    fn what_is_not_whole_shows_nothing() {
        assert!(!row(RowCell::Missing).shows(row(RowCell::Missing)));
        let short = header(&[2, 9], 2).unwrap();
        assert_eq!(Print::of_entry(&short, &[2, 9], &[Some(1)]), Print::NONE);
    }

    #[test]
    fn a_record_with_a_null_more_is_another_one() {
        for columns in 0..8_usize {
            let serials = |columns: usize| (0..columns).map(|_| 0);
            assert_ne!(content(serials(columns), b""), content(serials(columns + 1), b""));
            let texts = |nulls: usize| std::iter::repeat_n(17, columns).chain(serials(nulls));
            assert_ne!(content(texts(0), b"ok"), content(texts(1), b"ok"));
        }
    }

    #[test]
    fn an_ending_that_was_noted_is_found_and_few_others_are() {
        let body = |number: u32| format!("row of a table {number:5}");
        let endings = Endings::of((0..100).map(|number| ending(body(number).as_bytes())));
        let found = |number: u32| endings.contain(ending(body(number).as_bytes()));
        assert!((0..100).all(found));
        assert!((100..1000).filter(|number| found(*number)).count() < 200);
        assert!(!Endings::of(std::iter::empty()).contain(ending(b"")));
    }
}
