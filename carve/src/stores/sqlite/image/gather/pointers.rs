//! Pointer maps: of each page behind a page of the map its kind, and the page that leads to it (SQLite file format, section 1.8).

use super::body::{Body, Expect};
use mudlark_parsers::bytes::be_u32_at;

/// A root page.
const ROOT: u8 = 1;

/// A page of the freelist.
const FREE: u8 = 2;

/// The first page of an overflow chain, behind the page with its cell.
const FIRST: u8 = 3;

/// A further page of one, behind the page before.
const FURTHER: u8 = 4;

/// Another page of a tree, below its parent.
const BELOW: u8 = 5;

/// Entries that can be such, for one that can't.
const FEW_BAD: u32 = 8;

/// Entries that agree with what is known, for one that doesn't.
const FEW_WRONG: u32 = 4;

/// Entries that agree by accident.
const BY_ACCIDENT: u32 = 3;

fn entries(page: &[u8]) -> impl Iterator<Item = (u8, u32)> + '_ {
    page.as_chunks::<5>().0.iter().map(|entry| (entry[0], be_u32_at(entry, 1).unwrap_or(0)))
}

/// Whether nearly all entries of a page can be such of a pointer map, in a database of so many pages.
pub(super) fn is_map(page: &[u8], usable: u32, most_pages: u32) -> bool {
    let (mut good, mut bad) = (0_u32, 0_u32);
    for (kind, parent) in entries(page.get(..usable as usize).unwrap_or_default()) {
        match kind {
            ROOT | FREE if parent == 0 => good += 1,
            FIRST..=BELOW if (1..=most_pages).contains(&parent) => good += 1,
            // Behind the last page there are no entries.
            0 if parent == 0 => break,
            _ => bad += 1,
        }
        if bad > 2 * (good + 1) {
            return false;
        }
    }
    good > FEW_BAD * bad && good > 0
}

impl Body<'_> {
    /// How many entries of the page at an offset agree with what is known of the pages behind the page `number` of the map,
    /// less those that don't; `None` where it can't be this page.
    pub(super) fn agrees_as_map(&self, offset: u64, number: u32, expects: &[Expect]) -> Option<u32> {
        let page = self.bytes(offset)?.get(..self.geometry.usable() as usize)?;
        let known = |number: u32| expects.get((number as usize).checked_sub(1)?);
        let (mut right, mut wrong) = (0, 0);
        for (entry, expect) in entries(page).zip(expects.get(number as usize..).unwrap_or_default()) {
            let expected = match *expect {
                Expect::Tree { parent: 0, .. } => (ROOT, 0),
                Expect::Tree { parent, .. } => (BELOW, parent),
                Expect::Chain { guessed: false, parent, .. } => {
                    let is_first = matches!(known(parent), Some(Expect::Tree { .. } | Expect::Header));
                    (if is_first { FIRST } else { FURTHER }, parent)
                }
                Expect::Trunk | Expect::Free => (FREE, 0),
                _ => continue,
            };
            if entry == expected {
                right += 1;
            } else {
                wrong += 1;
            }
        }
        (right > BY_ACCIDENT && right >= FEW_WRONG * wrong).then(|| right - wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::is_map;

    #[test]
    fn a_page_of_entries_is_one_of_a_map_and_one_of_text_is_not() {
        let mut page = [0; 512];
        page[..15].copy_from_slice(&[1, 0, 0, 0, 0, 3, 0, 0, 0, 3, 5, 0, 0, 0, 3]);
        assert!(is_map(&page, 512, 9));
        assert!(!is_map(&page, 512, 2), "a parent behind the last page");
        assert!(!is_map(&[5; 512], 512, 9));
    }
}
