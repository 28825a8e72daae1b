//! The order of index entries.

use super::super::super::key_order::{Collation, values};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::Value;
use std::cmp::Ordering;

/// Compares two index entries as SQLite does, as far as their bytes on the page go; `None` where these do not tell. Text is
/// compared byte by byte in columns that are `plain`, else without regard to capitals, as under `NOCASE`. With the order stands
/// the column that decides it, from 0: an index may have columns fall.
pub(super) fn compare(one: &[u8], other: &[u8], plain: impl Fn(usize) -> bool) -> Option<(Ordering, usize)> {
    let (first, second) = (record::header_only(one).ok()?, record::header_only(other).ok()?);
    let cells = record::cells(first.serials(), first.len, one);
    let others = record::cells(second.serials(), second.len, other);
    for (column, ((serial, bytes), (other_serial, other_bytes))) in cells.zip(others).enumerate() {
        let (bytes, other_bytes) = (bytes?, other_bytes?);
        let collation = if plain(column) { Collation::Binary } else { Collation::NoCase };
        match values(&serial.decode(bytes), &other_serial.decode(other_bytes), collation) {
            Ordering::Equal => {}
            order => return Some((order, column)),
        }
    }
    Some((first.columns.cmp(&second.columns), first.columns.min(second.columns)))
}

/// A number by which entries sort as by the first part of their first column.
pub(super) fn prefix(entry: &[u8]) -> u64 {
    let Ok(header) = record::header_only(entry) else { return 0 };
    let Some(serial) = header.serials().next() else { return 0 };
    let bytes = entry.get(header.len..).unwrap_or_default();
    let len = usize::try_from(serial.len()).unwrap_or(usize::MAX).min(bytes.len());
    let bytes = bytes.get(..len).unwrap_or_default();
    let upper = |bytes: &[u8]| {
        bytes.iter().take(7).enumerate().fold(0, |sum, (at, byte)| sum | u64::from(*byte) << (48 - 8 * at))
    };
    match serial.decode(bytes) {
        Value::Int(value) => 1 << 56 | number(value as f64),
        Value::Real(value) => 1 << 56 | number(value),
        Value::Null => 0,
        _ if serial.0 >= 12 && serial.0 % 2 == 1 => 2 << 56 | upper(bytes),
        _ => 3 << 56 | upper(bytes),
    }
}

/// The least and the greatest prefix of entries whose first column holds the same text but for capitals.
pub(super) fn folded(prefix: u64) -> (u64, u64) {
    let each = |fold: fn(&u8) -> u8| {
        let [kind, text @ ..] = prefix.to_be_bytes();
        let text = text.map(|byte| fold(&byte));
        text.iter().fold(u64::from(kind), |sum, byte| sum << 8 | u64::from(*byte))
    };
    if prefix >> 56 == 2 {
        (each(u8::to_ascii_uppercase), each(u8::to_ascii_lowercase))
    } else {
        (prefix, prefix)
    }
}

/// A double as a number of 56 bits in the same order.
fn number(value: f64) -> u64 {
    let bits = value.to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
    ordered >> 8
}

#[cfg(test)]
mod tests {
    use super::{compare, prefix};
    use std::cmp::Ordering;

    #[test]
    fn entries_sort_by_columns_and_then_by_row_id() {
        let (a, b) = ([3, 15, 1, b'a', 5], [3, 15, 1, b'a', 6]);
        assert_eq!(compare(&a, &b, |_| true), Some((Ordering::Less, 1)));
        assert_eq!(compare(&[3, 1, 1, 7, 9], &a, |_| true), Some((Ordering::Less, 0)));
        assert_eq!(compare(&a, &a, |_| true), Some((Ordering::Equal, 2)));
    }

    #[test]
    fn an_entry_that_is_cut_within_the_column_that_counts_tells_nothing() {
        assert_eq!(compare(&[3, 21, 1, b'a', b'b'], &[3, 21, 1, b'a', b'b', b'c', b'd', 5], |_| true), None);
    }

    #[test]
    fn prefixes_sort_as_entries_do() {
        let entries: [&[u8]; 5] = [&[2, 0], &[2, 1, 0xff], &[2, 1, 3], &[2, 15, b'a'], &[2, 17, b'a', b'b']];
        assert!(entries.is_sorted_by_key(|entry| prefix(entry)));
    }
}
