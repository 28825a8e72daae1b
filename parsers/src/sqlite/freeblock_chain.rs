//! Freeblocks of a page whose header is lost, told by the chain that they make (section 1.6).

use super::cell::Cell;
use super::page::Extent;
use crate::bytes::be_u16_at;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The least freeblock: the link to the next one, and its size.
const MIN_FREEBLOCK: u32 = 4;

/// Most bytes that are left between a cell and a freeblock: more would be one.
pub const MOST_OF_A_FRAGMENT: u32 = MIN_FREEBLOCK - 1;

/// Parts of one chain that are put together at most: a page loses few parts, and other bytes may be made to look like many.
const MOST_PARTS: usize = 16;

/// Blocks of a part of a chain that ends at lost bytes: one alone leads anywhere.
const LEAST_OF_A_PART: usize = 2;

/// What is told of a freeblock, and of the chain from it on.
#[derive(Clone, Copy)]
struct Block {
    end: u32,
    /// Where the next one begins; 0 when it is the last.
    next: u32,
    /// How many there are from it on, as far as they are told.
    count: usize,
    /// Where the last of these leads: 0, or to lost bytes.
    lost_at: u32,
}

/// The freeblocks of a page on which these cells were found, in order; `usable` is where its content ends.
///
/// Each begins behind a cell, but for a fragment, ends where one begins, or the page's content does, and leads to the next
/// one behind it, to none, or to where no cell was found: that part of the page may be lost, and with it a part of the
/// chain. Of several chains in the same place the longest counts.
#[must_use]
pub fn told(page: &[u8], cells: &[Cell], usable: u32) -> Vec<Extent> {
    let blocks = blocks(page, cells, usable);
    let mut found = Vec::new();
    // Where parts of the chain may lie: from, to, and whether the chain goes on behind.
    let mut rooms = vec![(0, usable, false)];
    for _ in 0..MOST_PARTS {
        let Some((from, to, goes_on)) = rooms.pop() else { break };
        let fits = |block: &Block| match block.lost_at {
            0 => !goes_on,
            lost_at => block.count >= LEAST_OF_A_PART && (!goes_on || lost_at <= to),
        };
        let parts = blocks.range(from..to).filter(|(_, block)| fits(block));
        // What lies amid a block may be the head of one that was joined to others since.
        let longest = parts.max_by_key(|(at, block)| (block.count, Reverse(**at)));
        let Some((first, block)) = longest.map(|(at, block)| (*at, *block)) else { continue };
        let mut next = first;
        // Each leads to one behind it.
        while let Some(block) = blocks.get(&next) {
            found.push(Extent { from: next, to: block.end });
            next = block.next;
        }
        rooms.push((from, first, true));
        if block.lost_at != 0 {
            rooms.push((block.lost_at, to, goes_on));
        }
    }
    found.sort_unstable_by_key(|extent: &Extent| extent.from);
    found
}

/// Every place that may begin a freeblock.
fn blocks(page: &[u8], cells: &[Cell], usable: u32) -> BTreeMap<u32, Block> {
    let usable = usable.min(u32::try_from(page.len()).unwrap_or(u32::MAX));
    let is_end = |at: u32| at == usable || cells.binary_search_by_key(&at, |cell| cell.at).is_ok();
    let is_lost = |at: u32| {
        let behind = cells.partition_point(|cell| cell.at <= at);
        let before = behind.checked_sub(1).and_then(|index| cells.get(index));
        at + MIN_FREEBLOCK <= usable && before.is_none_or(|cell| cell.end <= at)
    };
    let mut blocks: BTreeMap<u32, Block> = BTreeMap::new();
    // From behind, so that what a block leads to is known.
    for cell in cells.iter().rev() {
        for at in (cell.end..=cell.end + MOST_OF_A_FRAGMENT).rev() {
            let read = |at: u32| be_u16_at(page, at as usize).map(u32::from);
            let (Some(next), Some(size)) = (read(at), read(at + 2)) else { continue };
            let end = at.saturating_add(size);
            // SQLite joins blocks between which no cell could stand.
            let is_apart = next == 0 || next >= end.saturating_add(MIN_FREEBLOCK);
            if size < MIN_FREEBLOCK || end > usable || !is_end(end) || !is_apart {
                continue;
            }
            let block = match blocks.get(&next) {
                Some(behind) => Block { end, next, count: behind.count + 1, lost_at: behind.lost_at },
                None if next == 0 || is_lost(next) => Block { end, next, count: 1, lost_at: next },
                None => continue,
            };
            blocks.insert(at, block);
        }
    }
    blocks
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
    fn a_chain_is_told_on_both_sides_of_bytes_that_are_lost() {
        let (mut page, mut cells) = page();
        free(&mut page, 458, 470, 6);
        free(&mut page, 470, 488, 6);
        // The head of the third block is lost, that of the last one is not.
        page[482..500].fill(0x77);
        free(&mut page, 506, 0, 6);
        cells.retain(|cell| ![458, 470, 482, 488, 494, 506].contains(&cell.at));
        let found: Vec<(u32, u32)> =
            told(&page, &cells, 512).iter().map(|Extent { from, to }| (*from, *to)).collect();
        assert_eq!(found, [(458, 464), (470, 476), (506, 512)]);
        // One block alone that leads to lost bytes may be anything.
        free(&mut page, 458, 9, 6);
        let found = told(&page, &cells, 512);
        assert_eq!(found.iter().map(|extent| extent.from).collect::<Vec<_>>(), [506]);
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
