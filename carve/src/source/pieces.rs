//! Where the bytes of a file lie that was found in an image.

use crate::model::Extent;

/// The pieces of a file in an image.
#[derive(Clone, Debug)]
pub(super) struct Pieces {
    /// In the order of the file, without a gap.
    extents: Vec<Extent>,
    page_size: u32,
}

impl Pieces {
    pub(super) fn new(extents: &[Extent], page_size: u32) -> Self {
        Self { extents: extents.to_vec(), page_size }
    }

    pub(super) const fn page_size(&self) -> u32 {
        self.page_size
    }

    /// Whether it is one piece, all of which was found.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.extents.as_slice(), [Extent { offset: Some(_), .. }])
    }

    pub(super) fn len(&self) -> u64 {
        self.extents.last().map_or(0, |extent| extent.at + extent.length)
    }

    fn at(&self, offset: u64) -> Option<&Extent> {
        let behind = self.extents.partition_point(|extent| extent.at <= offset);
        self.extents.get(behind.checked_sub(1)?).filter(|extent| offset - extent.at < extent.length)
    }

    /// The offset in the image.
    pub(super) fn place(&self, offset: u64) -> Option<u64> {
        let extent = self.at(offset)?;
        Some(extent.offset? + (offset - extent.at))
    }

    /// Where these bytes of the image lie in the file: offsets and lengths, in the order of the file.
    pub(super) fn within(&self, image: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut within = Vec::new();
        for extent in &self.extents {
            let Some(from) = extent.offset else { continue };
            let first = image.partition_point(|(at, length)| at + length <= from);
            let touched = image.iter().skip(first).take_while(|(at, _)| *at < from + extent.length);
            within.extend(touched.map(|(at, length)| {
                let (start, end) = ((*at).max(from), (at + length).min(from + extent.length));
                (extent.at + (start - from), end - start)
            }));
        }
        within
    }

    pub(super) fn get<'i>(&self, image: &'i [u8], offset: u64, length: usize) -> Option<&'i [u8]> {
        let extent = self.at(offset)?;
        let left = usize::try_from(extent.at + extent.length - offset).unwrap_or(usize::MAX);
        let from = usize::try_from(extent.offset? + (offset - extent.at)).ok()?;
        let to = from.saturating_add(length.min(left)).min(image.len());
        image.get(from..to).filter(|bytes| !bytes.is_empty())
    }

    /// All bytes in order; zeros stand for what was not found.
    pub(super) fn each(&self, image: &[u8], take: &mut dyn FnMut(&[u8])) {
        const ZEROS: [u8; 4096] = [0; 4096];
        for extent in &self.extents {
            let length = usize::try_from(extent.length).unwrap_or(usize::MAX);
            let found = extent.offset.and_then(|_| self.get(image, extent.at, length)).unwrap_or_default();
            take(found);
            let mut lacking = length - found.len();
            while lacking > 0 {
                let zeros = lacking.min(ZEROS.len());
                take(ZEROS.get(..zeros).unwrap_or_default());
                lacking -= zeros;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;
    use crate::model::Extent;

    fn pieces() -> Pieces {
        let extent = |at, offset, length| Extent { at, offset, length };
        Pieces::new(&[extent(0, Some(6), 2), extent(2, None, 2), extent(4, Some(1), 3)], 2)
    }

    #[test]
    fn bytes_come_from_where_they_lie_and_never_reach_over_the_end_of_a_piece() {
        let image = b"abcdefgh";
        let pieces = pieces();
        assert_eq!(pieces.get(image, 0, 9), Some(&b"gh"[..]));
        assert_eq!(pieces.get(image, 2, 1), None);
        assert_eq!(pieces.get(image, 5, 2), Some(&b"cd"[..]));
        assert_eq!(pieces.get(image, 7, 1), None);
        assert_eq!((pieces.place(6), pieces.place(3), pieces.len()), (Some(3), None, 7));
    }

    #[test]
    fn bytes_of_the_image_are_told_by_their_places_in_the_file() {
        assert_eq!(pieces().within(&[(0, 2), (3, 4), (7, 1)]), [(0, 1), (1, 1), (4, 1), (6, 1)]);
        assert_eq!(pieces().within(&[(4, 2), (8, 9)]), []);
    }

    #[test]
    fn what_was_not_found_is_zeros() {
        let mut all = Vec::new();
        pieces().each(b"abcdefgh", &mut |bytes| all.extend_from_slice(bytes));
        assert_eq!(all, b"gh\0\0bcd");
    }
}
