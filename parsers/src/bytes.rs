//! Bounds-checked reads: tiny and boring on purpose.

/// The byte at `at`.
#[inline]
#[must_use]
pub fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// The big-endian 16-bit number at `at`.
#[inline]
#[must_use]
pub fn be_u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

/// The big-endian 32-bit number at `at`.
#[inline]
#[must_use]
pub fn be_u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// `length` bytes from `at`.
#[inline]
#[must_use]
pub fn slice_at(bytes: &[u8], at: usize, length: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(length)?)
}

/// Whether every byte is zero.
#[must_use]
pub fn all_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// The highest bit of each of eight bytes.
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Eight times the same byte.
#[inline]
const fn eight_of(byte: u8) -> u64 {
    byte as u64 * 0x0101_0101_0101_0101
}

/// The highest bit of each of eight bytes that is this one.
#[inline]
pub(crate) const fn equal(eight: u64, byte: u8) -> u64 {
    let unlike = eight ^ eight_of(byte);
    !(((unlike & !HIGH) + !HIGH) | unlike) & HIGH
}

/// The highest bit of each of eight bytes that is at least this one.
#[inline]
pub(crate) const fn at_least(eight: u64, least: u8) -> u64 {
    // None borrows from the next, as each has its highest bit.
    if least > 0x80 {
        eight & ((eight | HIGH) - eight_of(least - 0x80)) & HIGH
    } else {
        (eight | ((eight | HIGH) - eight_of(least))) & HIGH
    }
}

/// The highest bit of each of eight bytes that is at most this one.
#[inline]
pub(crate) const fn at_most(eight: u64, most: u8) -> u64 {
    match most.checked_add(1) {
        Some(above) => HIGH & !at_least(eight, above),
        None => HIGH,
    }
}

/// Calls `each` with the places where `are_taken` takes the byte there and the one so many bytes behind it, in order. It is
/// asked of eight places at a time, and gives the highest bit of each that it takes: few hold what is looked for.
#[inline]
pub(crate) fn each_pair(
    bytes: &[u8],
    apart: usize,
    are_taken: impl Fn(u64, u64) -> u64,
    mut each: impl FnMut(usize),
) {
    let others = bytes.get(apart..).unwrap_or_default();
    let places = others.len();
    let mut meet = |at: usize, mut taken: u64, wanted: std::ops::Range<usize>| {
        while taken != 0 {
            let place = at + taken.trailing_zeros() as usize / 8;
            if wanted.contains(&place) {
                each(place);
            }
            taken &= taken - 1;
        }
    };
    let of_eight =
        |ones: [u8; 8], others: [u8; 8]| are_taken(u64::from_le_bytes(ones), u64::from_le_bytes(others));
    let mut at = 0;
    for (ones, others) in bytes.as_chunks().0.iter().zip(others.as_chunks().0) {
        let taken = of_eight(*ones, *others);
        if taken != 0 {
            meet(at, taken, 0..places);
        }
        at += 8;
    }
    // Of the last eight those that were looked at before are passed over.
    let last = bytes.get(..places).and_then(<[u8]>::last_chunk).zip(others.last_chunk());
    if let Some((ones, others)) = last {
        meet(places - 8, of_eight(*ones, *others), at..places);
    } else {
        let padded = |bytes: &[u8]| std::array::from_fn(|at| bytes.get(at).copied().unwrap_or_default());
        meet(0, of_eight(padded(bytes), padded(others)), 0..places);
    }
}

/// Bytes that memory gives at a time.
const LINE: usize = 64;

/// Reads a byte of every line of memory. What is read soon after then comes from all lines at a time, rather than from
/// each when its turn comes.
pub fn touch(bytes: &[u8]) {
    std::hint::black_box(bytes.iter().step_by(LINE).fold(0, |all, byte| all ^ byte));
}

#[cfg(test)]
mod tests {
    use super::{at_least, at_most, each_pair, eight_of, equal};

    #[test]
    fn eight_bytes_are_compared_as_one_is() {
        for byte in 0..=255_u8 {
            for (place, other) in (0..=255_u8).enumerate() {
                let at = 8 * (place as u32 % 8);
                // The others are as unlike as can be, on both sides.
                for around in [0_u8, 255] {
                    let eight = eight_of(around) & !(255 << at) | u64::from(other) << at;
                    let told = |taken: u64| taken >> at & 255;
                    let high = |holds: bool| if holds { 0x80 } else { 0 };
                    assert_eq!(told(equal(eight, byte)), high(other == byte), "{other} is {byte}");
                    assert_eq!(told(at_least(eight, byte)), high(other >= byte), "{other} of {byte}");
                    assert_eq!(told(at_most(eight, byte)), high(other <= byte), "{other} of {byte}");
                }
            }
        }
    }

    #[test]
    fn every_pair_is_met_once_and_in_order_whatever_the_length() {
        for len in 0..50_usize {
            let bytes: Vec<u8> = (0..len).map(|at| (at * at % 7) as u8).collect();
            for apart in 1..4 {
                let are_taken = |ones, others| equal(ones, 2) & at_most(others, 4);
                let mut found = Vec::new();
                each_pair(&bytes, apart, are_taken, |at| found.push(at));
                let pairs = bytes.iter().zip(bytes.iter().skip(apart)).enumerate();
                let taken = pairs.filter(|(_, (one, other))| **one == 2 && **other <= 4);
                let expected: Vec<usize> = taken.map(|(at, _)| at).collect();
                assert_eq!(found, expected, "{len} bytes, {apart} apart");
            }
        }
    }
}
