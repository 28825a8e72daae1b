//! Freelist trunk pages (section 1.5).

use crate::bytes::{be_u32_at, slice_at};

/// A freelist trunk page.
///
/// | offset | size | field        | note                   |
/// |-------:|-----:|--------------|------------------------|
/// |      0 |    4 | `next`       | next trunk, 0 the last |
/// |      4 |    4 | `leaf_count` |                        |
/// |      8 |  4·n | leaves       | page numbers           |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    /// The next trunk page; 0 when this is the last.
    pub next: u32,
    /// What the page says of the number of leaves.
    pub leaf_count: u32,
    /// The leaves, as many as there are within the usable bytes.
    pub leaves: Vec<u32>,
}

/// Reads a trunk page of `usable` bytes.
#[must_use]
pub fn trunk(page: &[u8], usable: u32) -> Option<Trunk> {
    let next = be_u32_at(page, 0)?;
    let leaf_count = be_u32_at(page, 4)?;
    let most = usable.saturating_sub(8) / 4;
    let len = leaf_count.min(most) as usize * 4;
    let listed = slice_at(page, 8, len).or_else(|| page.get(8..)).unwrap_or_default();
    let (words, _) = listed.as_chunks::<4>();
    let leaves = words.iter().map(|word| u32::from_be_bytes(*word)).collect();
    Some(Trunk { next, leaf_count, leaves })
}

/// Reads a page as a trunk, only when everything about it says that it is one: at least one leaf, every number
/// in `2..=pages`, none twice.
#[must_use]
pub fn plausible_trunk(page: &[u8], usable: u32, pages: u32) -> Option<Trunk> {
    let count = be_u32_at(page, 4)?;
    if count == 0 || count > usable.saturating_sub(8) / 4 || be_u32_at(page, 0)? > pages {
        return None;
    }
    let read = trunk(page, usable)?;
    let mut sorted = read.leaves.clone();
    sorted.sort_unstable();
    let distinct = sorted.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
    let in_range =
        sorted.first().is_some_and(|least| *least >= 2) && sorted.last().is_some_and(|most| *most <= pages);
    let next_fits = read.next == 0 || read.next >= 2 && sorted.binary_search(&read.next).is_err();
    (distinct && in_range && next_fits).then_some(read)
}

/// Whether a page was made a trunk without leaves: its first eight bytes are such a trunk's, and those behind are still
/// what stood there before, which no lost sector leaves.
#[must_use]
pub fn is_bare_trunk(page: &[u8], pages: u32) -> bool {
    let behind = page.get(8..16).unwrap_or_default();
    be_u32_at(page, 4) == Some(0)
        && be_u32_at(page, 0).is_some_and(|next| next != 1 && next <= pages)
        && behind.iter().any(|byte| *byte != 0)
}

/// Where the list of a plausible trunk page ends, with what is left behind it of a longer one: page numbers; 0 for other
/// pages.
#[must_use]
pub fn list_end(page: &[u8], usable: u32, pages: u32) -> u32 {
    let Some(trunk) = plausible_trunk(page, usable, pages) else { return 0 };
    let end = 8 + 4 * trunk.leaf_count;
    let behind = page.get(end as usize..usable as usize).unwrap_or_default();
    let (words, _) = behind.as_chunks::<4>();
    let is_number = |word: &&[u8; 4]| (2..=pages).contains(&u32::from_be_bytes(**word));
    end + 4 * words.iter().take_while(is_number).count() as u32
}

#[cfg(test)]
mod tests {
    use super::{is_bare_trunk, list_end, plausible_trunk, trunk};

    #[test]
    fn a_page_with_an_empty_list_over_its_header_is_a_trunk_and_a_zeroed_sector_is_none() {
        let mut page = vec![0_u8; 512];
        page[300] = 7;
        assert!(!is_bare_trunk(&page, 9));
        page[9] = 0x1f;
        assert!(is_bare_trunk(&page, 9));
        page[3] = 5;
        assert!(is_bare_trunk(&page, 9) && !is_bare_trunk(&page, 4));
        page[7] = 1;
        assert!(!is_bare_trunk(&page, 9));
    }

    #[test]
    fn the_list_of_a_trunk_ends_behind_the_numbers_that_a_longer_one_left() {
        let mut page = vec![0_u8; 512];
        for (at, number) in [(7, 1), (11, 5), (15, 6), (19, 3)] {
            page[at] = number;
        }
        page[20] = 0x81;
        assert_eq!(list_end(&page, 512, 9), 20);
        assert_eq!(list_end(&page, 512, 4), 0);
    }

    #[test]
    fn a_leaf_count_beyond_the_page_is_bounded_by_the_page() {
        let mut page = vec![0_u8; 512];
        page[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let read = trunk(&page, 512).unwrap();
        assert_eq!((read.leaf_count, read.leaves.len()), (u32::MAX, 126));
    }

    #[test]
    fn a_page_that_lists_a_page_twice_is_no_trunk() {
        let mut page = vec![0_u8; 512];
        page[7] = 2;
        page[11] = 7;
        page[15] = 8;
        assert!(plausible_trunk(&page, 512, 10).is_some());
        page[15] = 7;
        assert!(plausible_trunk(&page, 512, 10).is_none());
    }
}
