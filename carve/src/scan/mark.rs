//! Places of an image where parts of stores may lie, eight bytes each.

/// A place of an image, and what a store saw there.
///
/// Marks compare by their places, so that sorting them brings them in the order of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// Offsets lie below this: 256 TiB. What lies behind in an image is not scanned.
    pub const MOST: u64 = 1 << 48;

    /// A mark at `offset`, of which the store that made it knows what `tag` means.
    #[must_use]
    pub const fn new(offset: u64, tag: u16) -> Self {
        Self((offset << 16) | tag as u64)
    }

    /// Offset in the image.
    #[inline]
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.0 >> 16
    }

    /// What the store saw.
    #[inline]
    #[must_use]
    pub const fn tag(self) -> u16 {
        self.0 as u16
    }

    /// The mark as a number, which a session file keeps.
    #[must_use]
    pub const fn to_number(self) -> u64 {
        self.0
    }

    /// The mark with this number.
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        Self(number)
    }
}
