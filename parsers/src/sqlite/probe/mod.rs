//! What bytes of unknown origin can be, told by themselves: pages, frames of logs, records of journals.
//!
//! The caller looks at very many places, most of which are nothing. So each question rejects on few bytes, and what it
//! accepts is no accident: pages must agree with themselves in several independent ways. Damage costs a page some of
//! these, not all.

pub mod frame;
pub mod page;
pub mod record;
pub mod start;

use super::geometry::PAGE_SIZES;

/// A set of page sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sizes(u8);

impl Sizes {
    /// None.
    pub const NONE: Self = Self(0);

    /// The set of one size; none when the format doesn't allow it.
    #[must_use]
    pub const fn only(size: u32) -> Self {
        if size.is_power_of_two() && size >= 512 && size <= 65536 {
            Self(1 << (size.trailing_zeros() - 9))
        } else {
            Self::NONE
        }
    }

    /// The set with these bits: bit `i` stands for pages of `512 << i` bytes.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// A bit for each size.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `size` is among them.
    #[must_use]
    pub const fn has(self, size: u32) -> bool {
        self.0 & Self::only(size).0 != 0
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The sizes, the least first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = u32> {
        PAGE_SIZES.into_iter().filter(move |size| self.has(*size))
    }

    /// The size, when there is but one.
    #[must_use]
    pub fn one(self) -> Option<u32> {
        if self.0.is_power_of_two() { self.iter().next() } else { None }
    }
}

/// Bytes that may still be summed up: a limit, so that no input takes time without bound.
#[derive(Clone, Copy, Debug)]
pub struct Effort(usize);

impl Effort {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(bytes)
    }

    /// Takes `bytes` of it; false when they are not left.
    const fn spend(&mut self, bytes: usize) -> bool {
        match self.0.checked_sub(bytes) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Effort, Sizes, frame, page, record, start};

    #[test]
    fn any_bytes_are_judged_without_harm() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 16) as usize % below
        };
        for _ in 0..400 {
            // Small numbers make headers and pointers that could be right.
            let below = [4, 16, 256][next(3)];
            let mut bytes: Vec<u8> = (0..3000).map(|_| next(below) as u8).collect();
            for at in (0..bytes.len()).step_by(8) {
                if next(4) == 0 {
                    bytes[at] = [0, 2, 5, 10, 13][next(5)];
                }
            }
            let mut effort = Effort::new(1 << 16);
            for at in (0..bytes.len()).step_by(8) {
                let from = &bytes[at..];
                if let Some(probed) = page::page(from, 1 << 20) {
                    assert!(page::may_begin(from) && page::may_go_on(from) && !probed.sizes.is_empty());
                }
                let _ = (start::first_page_sizes(from, 1 << 20), start::log_size(from, 1 << 20));
                let _ = frame::sizes_at(&bytes, at, 1 << 20, &mut effort);
                let _ =
                    record::page_at(&bytes, at, 1 << 20).map(|page| record::agreed(&bytes, at, page.sizes));
            }
        }
    }

    #[test]
    fn a_set_of_sizes_gives_back_what_went_in() {
        let both = Sizes::only(512).or(Sizes::only(65536));
        assert_eq!(both.iter().collect::<Vec<_>>(), [512, 65536]);
        assert_eq!((both.one(), Sizes::only(4096).one()), (None, Some(4096)));
        assert_eq!(Sizes::only(1000).or(Sizes::only(131_072)), Sizes::NONE);
        assert!(both.has(512) && !both.has(1024) && !both.has(3));
    }
}
