//! Variable-length integers (SQLite file format, section 1.6).

use nom::IResult;
use nom::error::{Error, ErrorKind};

/// The most bytes a varint takes.
pub const MAX_LEN: usize = 9;

/// Reads the varint at `at`: its value and its length in bytes.
#[inline]
#[must_use]
pub fn varint_at(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    match *bytes.get(at..)? {
        [one @ 0..0x80, ..] => Some((u64::from(one), 1)),
        [one, two @ 0..0x80, ..] => Some((u64::from(one & 0x7f) << 7 | u64::from(two), 2)),
        [one, two, three @ 0..0x80, ..] => {
            Some((u64::from(one & 0x7f) << 14 | u64::from(two & 0x7f) << 7 | u64::from(three), 3))
        }
        ref long => long_varint(long),
    }
}

/// Reads a varint that takes more than three bytes, as few do.
fn long_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(MAX_LEN) {
        if index == MAX_LEN - 1 {
            // The ninth byte gives all its eight bits.
            return Some((value << 8 | u64::from(*byte), MAX_LEN));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// A varint, as a nom parser.
///
/// # Errors
/// `Eof` when the input ends within the varint.
pub fn varint(input: &[u8]) -> IResult<&[u8], u64> {
    match varint_at(input, 0).and_then(|(value, len)| Some((input.get(len..)?, value))) {
        Some(read) => Ok(read),
        None => Err(nom::Err::Error(Error::new(input, ErrorKind::Eof))),
    }
}

/// The length of the shortest varint that holds `value`; SQLite writes no other.
#[inline]
#[must_use]
pub const fn varint_len(value: u64) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        0x1000_0000..=0x7_ffff_ffff => 5,
        0x8_0000_0000..=0x3ff_ffff_ffff => 6,
        0x400_0000_0000..=0x1_ffff_ffff_ffff => 7,
        0x2_0000_0000_0000..=0xff_ffff_ffff_ffff => 8,
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::{varint, varint_at, varint_len};

    #[test]
    fn the_ninth_byte_gives_eight_bits() {
        assert_eq!(varint_at(&[0xff; 9], 0), Some((u64::MAX, 9)));
        assert_eq!(varint_at(&[0x81, 0x00], 0), Some((128, 2)));
        assert_eq!(varint_at(&[0x7f], 0), Some((127, 1)));
    }

    #[test]
    fn a_varint_that_is_cut_off_is_an_error_and_never_incomplete() {
        assert_eq!(varint_at(&[0x81], 0), None);
        assert!(matches!(varint(&[0xff; 8]), Err(nom::Err::Error(_))));
    }

    #[test]
    fn every_length_boundary_is_the_shortest_form() {
        for bits in 0..64 {
            let value = 1_u64 << bits;
            let expected = if bits >= 56 { 9 } else { bits as usize / 7 + 1 };
            assert_eq!(varint_len(value), expected, "{value:#x}");
        }
    }
}
