//! A window of an image: the places that one call looks at, and all that they may lead to.

/// A window of an image.
#[derive(Clone, Copy, Debug)]
pub struct Window<'a> {
    /// The whole image.
    pub image: &'a [u8],
    /// Where the window begins, a multiple of [`WINDOW`].
    pub from: usize,
    /// Its bytes, which lie in fast memory: those of the image from `from` on.
    pub bytes: &'a [u8],
}

/// Bytes of a window. It stays in a core's own cache while it is looked at.
pub const WINDOW: usize = 256 << 10;

impl<'a> Window<'a> {
    /// `N` bytes at an offset of the window. Those behind its end are read from the image.
    #[inline]
    #[must_use]
    pub fn array<const N: usize>(&self, at: usize) -> Option<&'a [u8; N]> {
        let near = self.bytes.get(at..).and_then(<[u8]>::first_chunk);
        near.or_else(|| self.image.get(self.from.checked_add(at)?..)?.first_chunk())
    }

    /// The same, at an offset of the image.
    #[inline]
    #[must_use]
    pub fn array_of_image<const N: usize>(&self, at: usize) -> Option<&'a [u8; N]> {
        match at.checked_sub(self.from) {
            Some(at) => self.array(at),
            None => self.image.get(at..)?.first_chunk(),
        }
    }
}
