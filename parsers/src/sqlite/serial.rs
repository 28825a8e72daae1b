//! Serial types: what a record's header says of each column (section 2.1).

use crate::value::Value;

/// Type and length of one stored column.
///
/// | number        | length     | meaning                        |
/// |--------------:|-----------:|--------------------------------|
/// |             0 |          0 | NULL                           |
/// |        1 to 4 |     1 to 4 | big-endian signed integer      |
/// |          5, 6 |       6, 8 | big-endian signed integer      |
/// |             7 |          8 | IEEE 754 double, big-endian    |
/// |          8, 9 |          0 | the integers 0 and 1           |
/// |        10, 11 |            | never on disk                  |
/// | even, >= 12   | (N - 12)/2 | BLOB                           |
/// | odd,  >= 13   | (N - 13)/2 | text                           |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Serial(pub u64);

/// The kind of value behind a serial type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SerialKind {
    /// NULL.
    Null,
    /// An integer.
    Int,
    /// A double.
    Real,
    /// Text.
    Text,
    /// Bytes.
    Blob,
    /// 10 and 11: reserved, never on disk.
    Reserved,
}

impl Serial {
    /// NULL.
    pub const NULL: Self = Self(0);

    /// The serial type of text of `len` bytes.
    #[must_use]
    pub const fn text(len: u64) -> Self {
        Self(len.saturating_mul(2).saturating_add(13))
    }

    /// The serial type of a BLOB of `len` bytes.
    #[must_use]
    pub const fn blob(len: u64) -> Self {
        Self(len.saturating_mul(2).saturating_add(12))
    }

    /// All serial types of `len` bytes in the body that are ever on disk.
    pub fn of_len(len: u64) -> impl Iterator<Item = Self> {
        let numbers: &[Self] = match len {
            0 => &[Self(0), Self(8), Self(9)],
            1 => &[Self(1)],
            2 => &[Self(2)],
            3 => &[Self(3)],
            4 => &[Self(4)],
            6 => &[Self(5)],
            8 => &[Self(6), Self(7)],
            _ => &[],
        };
        numbers.iter().copied().chain([Self::text(len), Self::blob(len)])
    }

    /// Bytes in the record's body.
    #[inline]
    #[must_use]
    pub fn len(self) -> u64 {
        // Asked of every column of every row: a table takes no jump that can't be foreseen.
        const SHORT: [u8; 12] = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0];
        let short = usize::try_from(self.0).ok().and_then(|number| SHORT.get(number));
        short.map_or_else(|| (self.0 - 12) / 2, |len| u64::from(*len))
    }

    /// Whether the body holds nothing for this column.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The kind of value.
    #[inline]
    #[must_use]
    pub const fn kind(self) -> SerialKind {
        match self.0 {
            0 => SerialKind::Null,
            1..=6 | 8 | 9 => SerialKind::Int,
            7 => SerialKind::Real,
            10 | 11 => SerialKind::Reserved,
            n if n % 2 == 1 => SerialKind::Text,
            _ => SerialKind::Blob,
        }
    }

    /// Decodes the column's bytes; [`Value::Missing`] when their number is wrong.
    #[inline]
    #[must_use]
    pub fn decode(self, bytes: &[u8]) -> Value<'_> {
        if bytes.len() as u64 != self.len() {
            return Value::Missing;
        }
        match self.0 {
            0 => Value::Null,
            1 => Value::Int(bytes.first().map_or(0, |byte| i64::from(*byte as i8))),
            2 => Value::Int(bytes.first_chunk().map_or(0, |b| i64::from(i16::from_be_bytes(*b)))),
            4 => Value::Int(bytes.first_chunk().map_or(0, |b| i64::from(i32::from_be_bytes(*b)))),
            6 => Value::Int(bytes.first_chunk().map_or(0, |b| i64::from_be_bytes(*b))),
            3 | 5 => {
                let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
                let start = if negative { -1_i64 } else { 0 };
                Value::Int(bytes.iter().fold(start, |value, byte| value << 8 | i64::from(*byte)))
            }
            7 => {
                let real = bytes.first_chunk().map_or(0.0, |b| f64::from_be_bytes(*b));
                // SQLite reads a stored NaN as NULL.
                if real.is_nan() { Value::Null } else { Value::Real(real) }
            }
            8 => Value::Int(0),
            9 => Value::Int(1),
            10 | 11 => Value::Missing,
            n if n % 2 == 1 => Value::Text(bytes),
            _ => Value::Blob(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Serial;
    use crate::value::Value;

    #[test]
    fn integers_are_sign_extended() {
        assert_eq!(Serial(1).decode(&[0xff]), Value::Int(-1));
        assert_eq!(Serial(3).decode(&[0x00, 0x80, 0x01]), Value::Int(0x8001));
        assert_eq!(Serial(6).decode(&[0x80, 0, 0, 0, 0, 0, 0, 0]), Value::Int(i64::MIN));
    }

    #[test]
    fn a_reserved_type_and_a_wrong_length_are_missing() {
        assert_eq!(Serial(10).decode(&[]), Value::Missing);
        assert_eq!(Serial(2).decode(&[1]), Value::Missing);
    }
}
