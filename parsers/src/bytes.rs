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

/// Pairs of bytes that are asked for at a time.
const STEP: usize = 32;

/// Calls `each` with the places where `is_taken` takes the byte there and the one so many bytes behind it, in order.
///
/// Few pairs are taken, so that whole steps are passed over: all pairs of one are asked without an early end, which the
/// compiler does at a time. `is_taken` must be without branches for that: `&` and `|` in place of `&&` and `||`.
#[inline]
pub(crate) fn each_pair(
    bytes: &[u8],
    apart: usize,
    is_taken: impl Fn(u8, u8) -> bool,
    mut each: impl FnMut(usize),
) {
    let others = bytes.get(apart..).unwrap_or_default();
    let pairs = bytes.as_chunks::<STEP>().0.iter().zip(others.as_chunks::<STEP>().0);
    let mut at = 0;
    for (ones, others) in pairs {
        let pairs = || ones.iter().zip(others).map(|(one, other)| is_taken(*one, *other));
        if pairs().fold(0, |any, taken| any | u8::from(taken)) != 0 {
            pairs().zip(at..).filter(|(taken, _)| *taken).for_each(|(_, place)| each(place));
        }
        at += STEP;
    }
    let rest = bytes.get(at..).unwrap_or_default().iter().zip(others.get(at..).unwrap_or_default());
    for (place, (one, other)) in (at..).zip(rest) {
        if is_taken(*one, *other) {
            each(place);
        }
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
    use super::each_pair;

    #[test]
    fn every_pair_is_met_once_and_in_order_whatever_the_length() {
        for len in 0..100_usize {
            let bytes: Vec<u8> = (0..len).map(|at| (at * at % 7) as u8).collect();
            for apart in 1..4 {
                let is_taken = |one: u8, other: u8| (one == 2) & (other <= 4);
                let mut found = Vec::new();
                each_pair(&bytes, apart, is_taken, |at| found.push(at));
                let pairs = bytes.iter().zip(bytes.iter().skip(apart)).enumerate();
                let taken = pairs.filter(|(_, (one, other))| is_taken(**one, **other));
                let expected: Vec<usize> = taken.map(|(at, _)| at).collect();
                assert_eq!(found, expected, "{len} bytes, {apart} apart");
            }
        }
    }
}
