//! Freeblocks of a page whose header is lost, told by the chain that they make (section 1.6).

use super::cell::Cell;
use super::page::Extent;
use crate::bytes::be_u16_at;
use std::collections::HashMap;

/// The least freeblock: the link to the next one, and its size.
const MIN_FREEBLOCK: u32 = 4;

/// Most bytes that are left between a cell and a freeblock: more would be one.
const MOST_OF_A_FRAGMENT: u32 = 3;

/// The freeblocks of a page on which these cells were found, in order; `usable` is where its content ends.
///
/// Each begins behind a cell, but for a fragment, ends where one begins, or the page's content does, and leads to the next
/// one behind it or to none. Of several chains the longest counts.
#[must_use]
pub fn told(page: &[u8], cells: &[Cell], usable: u32) -> Vec<Extent> {
    let usable = usable.min(u32::try_from(page.len()).unwrap_or(u32::MAX));
    let is_end = |at: u32| at == usable || cells.binary_search_by_key(&at, |cell| cell.at).is_ok();
    // From behind: for each block its end, the next one, and how many there are from it on.
    let mut blocks: HashMap<u32, (u32, u32, usize)> = HashMap::new();
    let mut best: Option<(usize, u32)> = None;
    for cell in cells.iter().rev() {
        for at in (cell.end..=cell.end + MOST_OF_A_FRAGMENT).rev() {
            let read = |at: u32| be_u16_at(page, at as usize).map(u32::from);
            let (Some(next), Some(size)) = (read(at), read(at + 2)) else { continue };
            let end = at.saturating_add(size);
            if size < MIN_FREEBLOCK || end > usable || !is_end(end) {
                continue;
            }
            let behind = match next {
                0 => 0,
                // SQLite joins blocks between which no cell could stand.
                next if next < end + MIN_FREEBLOCK => continue,
                next => match blocks.get(&next) {
                    Some((_, _, count)) => *count,
                    None => continue,
                },
            };
            blocks.insert(at, (end, next, behind + 1));
            // What lies amid a block may be the head of one that was joined to others since.
            if best.is_none_or(|(most, _)| behind + 1 >= most) {
                best = Some((behind + 1, at));
            }
        }
    }
    let mut found = Vec::new();
    let mut next = best.map_or(0, |(_, at)| at);
    // Each leads to one behind it.
    while let Some((end, behind, _)) = blocks.get(&next) {
        found.push(Extent { from: next, to: *end });
        next = *behind;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::told;
    use crate::sqlite::cell::{Cell, cell};
    use crate::sqlite::geometry::Geometry;
    use crate::sqlite::page::{Extent, PageKind};

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    /// A page at the end of which cells of six bytes lie side by side, and these cells.
    fn page() -> (Vec<u8>, Vec<Cell>) {
        let mut page = vec![0xaa_u8; 512];
        let places: Vec<usize> = (452..512).step_by(6).collect();
        for (at, rowid) in places.iter().zip(1..) {
            page[*at..at + 6].copy_from_slice(&[4, rowid, 2, 2, 1, rowid]);
        }
        let cells = places.iter().map(|at| cell(&page, *at, PageKind::TableLeaf, PAGE).expect("a cell"));
        let cells = cells.collect();
        (page, cells)
    }

    fn free(page: &mut [u8], at: usize, next: u16, size: u16) {
        page[at..at + 2].copy_from_slice(&next.to_be_bytes());
        page[at + 2..at + 4].copy_from_slice(&size.to_be_bytes());
    }

    #[test]
    fn a_chain_of_blocks_is_told_by_its_links_and_by_the_cells_that_they_end_at() {
        let (mut page, mut cells) = page();
        // The third cell, and the seventh with all behind it.
        free(&mut page, 464, 488, 6);
        free(&mut page, 488, 0, 24);
        cells.retain(|cell| ![464, 488].contains(&cell.at));
        let found: Vec<(u32, u32)> =
            told(&page, &cells, 512).iter().map(|Extent { from, to }| (*from, *to)).collect();
        assert_eq!(found, [(464, 470), (488, 512)]);
    }

    #[test]
    fn cells_that_all_stand_whole_are_free_of_none() {
        let (page, cells) = page();
        assert!(told(&page, &cells, 512).is_empty());
    }

    #[test]
    fn what_a_lost_sector_left_of_a_cell_is_no_block() {
        let (mut page, mut cells) = page();
        // The zeros before it look like the last link, and it like the size.
        page[..464].fill(0);
        page[464..466].copy_from_slice(&[0, 12]);
        cells.retain(|cell| cell.at >= 470);
        assert!(told(&page, &cells, 512).is_empty());
    }

    #[test]
    fn a_size_that_ends_amid_a_cell_is_no_block() {
        let (mut page, mut cells) = page();
        free(&mut page, 464, 0, 7);
        cells.retain(|cell| cell.at != 464);
        assert!(told(&page, &cells, 512).is_empty());
    }
}
