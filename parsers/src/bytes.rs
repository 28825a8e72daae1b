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

/// Bytes that memory gives at a time.
const LINE: usize = 64;

/// Reads a byte of every line of memory. What is read soon after then comes from all lines at a time, rather than from
/// each when its turn comes.
pub fn touch(bytes: &[u8]) {
    std::hint::black_box(bytes.iter().step_by(LINE).fold(0, |all, byte| all ^ byte));
}
