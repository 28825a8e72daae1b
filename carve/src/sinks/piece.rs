//! Short pieces of text and numbers, as lines are made of them: a call for each takes longer than its bytes.

/// Bytes that are copied at a time, whatever the piece's length.
const WIDTH: usize = 32;

/// A piece of text that stands in many lines.
#[derive(Debug)]
pub(super) struct Piece {
    /// Its first bytes.
    start: [u8; WIDTH],
    len: usize,
    /// All of it, where it is longer than that.
    long: Vec<u8>,
}

impl Piece {
    pub(super) fn new(text: &[u8]) -> Self {
        let start = std::array::from_fn(|at| text.get(at).copied().unwrap_or_default());
        let long = if text.len() > WIDTH { text.to_vec() } else { Vec::new() };
        Self { start, len: text.len(), long }
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        if self.long.is_empty() {
            put_some(&self.start, self.len, out);
        } else {
            out.extend_from_slice(&self.long);
        }
    }
}

/// Adds the first `len` of some bytes: copied as a whole and then cut, which needs no call.
#[inline]
fn put_some<const N: usize>(bytes: &[u8; N], len: usize, out: &mut Vec<u8>) {
    let end = out.len() + len;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

/// The least number of nine digits.
const NINE_DIGITS: u64 = 100_000_000;

/// Adds a number in decimal digits.
#[inline]
pub(super) fn number(number: u64, out: &mut Vec<u8>) {
    if number < NINE_DIGITS {
        let digits = eight_digits(number);
        // The last one stands, even of 0.
        let zeros = (digits | 1 << 56).trailing_zeros() / 8;
        let text = (digits | ZEROS) >> (8 * zeros);
        put_some(&text.to_le_bytes(), 8 - zeros as usize, out);
    } else {
        long_number(number, out);
    }
}

/// The same of a number of more than eight digits.
fn long_number(long: u64, out: &mut Vec<u8>) {
    number(long / NINE_DIGITS, out);
    out.extend_from_slice(&(eight_digits(long % NINE_DIGITS) | ZEROS).to_le_bytes());
}

const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);

/// The digits of a number of at most eight, each in a byte, the first in the lowest: all four digits of a half, then both of
/// a quarter, are parted at a time.
const fn eight_digits(number: u64) -> u64 {
    let halves = (number / 10_000) | ((number % 10_000) << 32);
    // 10486 / 2^20 is a hundredth, and 103 / 2^10 a tenth, as exact as these numbers need.
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = hundreds | (halves - 100 * hundreds) << 16;
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (quarters - 10 * tens) << 8
}

#[cfg(test)]
mod tests {
    use super::{Piece, WIDTH, number};

    #[test]
    fn numbers_read_as_they_are() {
        let powers = (0..20).map(|zeros| 10_u64.pow(zeros));
        let numbers = powers.flat_map(|power| [power - 1, power, power + 1, power.wrapping_mul(7) / 3]);
        for of in numbers.chain(0..100_000).chain([99_999_999, u64::MAX]) {
            let mut out = b"x".to_vec();
            number(of, &mut out);
            assert_eq!(out, format!("x{of}").as_bytes());
        }
    }

    #[test]
    fn short_and_long_pieces_are_put_whole() {
        for len in 0..3 * WIDTH {
            let text: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
            let mut out = Vec::new();
            Piece::new(&text).put(&mut out);
            assert_eq!(out, text);
        }
    }
}
