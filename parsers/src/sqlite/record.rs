//! Records: a header of serial types and a body (section 2.1).

use super::serial::{Serial, SerialKind};
use super::varint::varint_at;
use crate::value::Value;

/// SQLite's hard limit on columns (SQLITE_MAX_COLUMN cannot be raised above it).
pub const MAX_COLUMNS: usize = 32_767;

/// In place of a length, for serial types that are never on disk.
const RESERVED: u8 = u8::MAX;

/// Bytes in the body, for each serial type that takes one byte.
const SHORT: [u8; 128] = {
    let mut lengths = [0; 128];
    let (mut rest, mut number): (&mut [u8], u8) = (&mut lengths, 0);
    while let Some((length, behind)) = rest.split_first_mut() {
        *length = match number {
            0 | 8 | 9 => 0,
            1..=4 => number,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => RESERVED,
            _ => (number - 12) / 2,
        };
        (rest, number) = (behind, number + 1);
    }
    lengths
};

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordFault {
    /// The bytes end within the header.
    Truncated,
    /// The header length is too small or the serial types overrun it.
    HeaderLen,
    /// A serial type that is never on disk, at this column.
    Reserved(usize),
    /// Header and body are not as long as the payload.
    Length {
        /// What the serial types add up to, with the header.
        computed: u64,
    },
}

/// The serial types of a record, in column order.
#[derive(Clone, Copy, Debug)]
pub struct Serials<'a> {
    header: &'a [u8],
    at: usize,
}

impl Iterator for Serials<'_> {
    type Item = Serial;

    #[inline]
    fn next(&mut self) -> Option<Serial> {
        let (number, len) = varint_at(self.header, self.at)?;
        self.at += len;
        Some(Serial(number))
    }
}

/// A record header that fits its payload.
#[derive(Clone, Copy, Debug)]
pub struct RecordHeader<'a> {
    /// Bytes of the header, its own length included.
    pub len: usize,
    /// Columns stored.
    pub columns: usize,
    /// Bytes of the body.
    pub body: u64,
    header: &'a [u8],
    first: usize,
}

impl<'a> RecordHeader<'a> {
    /// The serial types, in column order.
    #[inline]
    #[must_use]
    pub const fn serials(&self) -> Serials<'a> {
        Serials { header: self.header, at: self.first }
    }
}

/// Reads the record header at the start of `payload`, which may be cut after the header, and checks it against
/// the whole payload's length in bytes.
///
/// # Errors
/// The first rule that is broken.
#[inline]
pub fn header(payload: &[u8], payload_len: u64) -> Result<RecordHeader<'_>, RecordFault> {
    let read = header_only(payload)?;
    let computed = read.body.saturating_add(read.len as u64);
    if computed != payload_len {
        return Err(RecordFault::Length { computed });
    }
    Ok(read)
}

/// Reads the record header at the start of `payload`, without a length to check it against.
///
/// # Errors
/// The first rule that is broken.
#[inline]
pub fn header_only(payload: &[u8]) -> Result<RecordHeader<'_>, RecordFault> {
    let (header_len, first) = varint_at(payload, 0).ok_or(RecordFault::Truncated)?;
    let len = usize::try_from(header_len).map_err(|_| RecordFault::HeaderLen)?;
    if len < first {
        return Err(RecordFault::HeaderLen);
    }
    let bytes = payload.get(..len).ok_or(RecordFault::Truncated)?;
    let (mut at, mut columns, mut body) = (first, 0_usize, 0_u64);
    while at < len {
        // Most types take one byte, and a table tells their lengths.
        if let Some(value_len) = bytes.get(at).and_then(|byte| SHORT.get(usize::from(*byte))) {
            if *value_len == RESERVED {
                return Err(RecordFault::Reserved(columns));
            }
            body = body.saturating_add(u64::from(*value_len));
            at += 1;
        } else {
            let (number, size) = varint_at(bytes, at).ok_or(RecordFault::HeaderLen)?;
            let serial = Serial(number);
            if serial.kind() == SerialKind::Reserved {
                return Err(RecordFault::Reserved(columns));
            }
            body = body.saturating_add(serial.len());
            at += size;
        }
        columns += 1;
    }
    if columns > MAX_COLUMNS {
        return Err(RecordFault::HeaderLen);
    }
    Ok(RecordHeader { len, columns, body, header: bytes, first })
}

/// Decodes a record of which the first bytes are there; columns that reach past them are [`Value::Missing`].
pub fn decode<'a>(header: &RecordHeader<'_>, payload: &'a [u8], out: &mut Vec<Value<'a>>) {
    let cells = cells(header.serials(), header.len, payload);
    out.extend(cells.map(|(serial, bytes)| bytes.map_or(Value::Missing, |bytes| serial.decode(bytes))));
}

/// The cells of a record whose body begins at `body_at` of `payload`: their serial types, and their bytes as far as they
/// are there whole.
pub fn cells(
    serials: impl Iterator<Item = Serial>,
    body_at: usize,
    payload: &[u8],
) -> impl Iterator<Item = (Serial, Option<&[u8]>)> {
    let mut at = body_at as u64;
    serials.map(move |serial| {
        let (from, to) = (at, at.saturating_add(serial.len()));
        at = to;
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        (serial, range.and_then(|(from, to)| payload.get(from..to)))
    })
}

#[cfg(test)]
mod tests {
    use super::{RESERVED, RecordFault, SHORT, decode, header};
    use crate::sqlite::serial::{Serial, SerialKind};
    use crate::value::Value;

    #[test]
    fn a_record_gives_its_columns_in_order() {
        let payload = [4, 0, 1, 17, 7, b'o', b'k'];
        let read = header(&payload, 7).unwrap();
        let mut values = Vec::new();
        decode(&read, &payload, &mut values);
        assert_eq!(values, [Value::Null, Value::Int(7), Value::Text(b"ok")]);
    }

    #[test]
    fn a_body_that_is_cut_leaves_its_columns_missing() {
        let payload = [4, 0, 1, 17, 7, b'o', b'k'];
        let cut = &payload[..5];
        let read = header(cut, 7).unwrap();
        let mut values = Vec::new();
        decode(&read, cut, &mut values);
        assert_eq!(values, [Value::Null, Value::Int(7), Value::Missing]);
    }

    #[test]
    fn types_of_one_byte_have_the_length_that_the_table_tells() {
        for (number, length) in (0..).zip(SHORT) {
            let serial = Serial(number);
            let reserved = serial.kind() == SerialKind::Reserved;
            let expected = if reserved { RESERVED.into() } else { serial.len() };
            assert_eq!(u64::from(length), expected, "{number}");
        }
    }

    #[test]
    fn lengths_that_disagree_and_reserved_types_are_faults() {
        assert_eq!(header(&[2, 1, 5], 4).unwrap_err(), RecordFault::Length { computed: 3 });
        assert_eq!(header(&[3, 1, 10, 5], 4).unwrap_err(), RecordFault::Reserved(1));
        assert_eq!(header(&[2, 0x81], 2).unwrap_err(), RecordFault::HeaderLen);
        assert_eq!(header(&[0], 1).unwrap_err(), RecordFault::HeaderLen);
        assert_eq!(header(&[], 1).unwrap_err(), RecordFault::Truncated);
    }
}
