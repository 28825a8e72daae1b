//! Cells to which a cell pointer array still leads whose page was emptied or made a trunk.
//!
//! SQLite clears a root by writing a new page header (`zeroPage` in its source), and makes a page that it frees a trunk
//! by writing the trunk's numbers (`freePage2`). What these do not reach of the pointers stands, and so do the cells. Rows
//! that fill the page anew take the first pointers and the end of the page.

use super::cell::Cell;
use super::geometry::Geometry;
use super::page::{Extent, PageKind};
use super::salvage::strict_cell;
use crate::bytes::be_u16_at;

/// Places of the array that may lead nowhere: a trunk that had more leaves has left their numbers there.
const MOST_MISSES: usize = 64;

/// Further ones for each that leads to a cell: of a page that lost sectors many cells are lost.
const MISSES_OF_A_CELL: usize = 4;

/// Pointers that are passed over at a time.
const STEP: usize = 8;

/// What is left of a cell pointer array, and the cells to which it leads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// The cells, in the order of their pointers.
    pub cells: Vec<Cell>,
    /// Behind the last pointer that leads to one of them; 0 without any.
    pub end: usize,
}

/// The cells of `kind` to which the pointers lead that stand from `from` on; none where they don't read as the
/// pointers of one page. The cells lie before `to`: behind it those of live rows may.
///
/// Row ids ascend along them, and no two cells overlap. A pointer alone counts where its cell ends at `to`, as the
/// first one of a page does.
#[must_use]
pub fn cells(page: &[u8], (from, to): (usize, usize), kind: PageKind, geometry: Geometry) -> Stale {
    let usable = to.min(geometry.usable() as usize);
    let (mut end, mut content, mut misses) = (from, usable, 0);
    // The longest run in the order of row ids; a trunk's numbers can pass for pointers before it.
    let (mut longest, mut run): (Vec<Cell>, Vec<Cell>) = (Vec::new(), Vec::new());
    let mut at = from;
    // Of text no pair of bytes is a place on most pages: several are passed over at a time where the first byte of each is
    // too great.
    let above = u8::try_from(usable / 256 + 1).ok();
    let lead_nowhere = |above: u8, pointers: &[[u8; 2]; STEP]| {
        pointers.iter().fold(true, |all, [first, _]| all & (*first >= above))
    };
    while at + 2 <= content && misses <= MOST_MISSES + MISSES_OF_A_CELL * (longest.len() + run.len()) {
        if let Some(above) = above {
            let steps = page.get(at..content).unwrap_or_default().as_chunks().0.as_chunks().0;
            at += 2 * STEP * steps.iter().take_while(|step| lead_nowhere(above, step)).count();
            if at + 2 > content {
                break;
            }
        }
        let Some(pointer) = be_u16_at(page, at).map(usize::from) else { break };
        at += 2;
        // Its cell was overwritten by a live one.
        if pointer >= usable {
            continue;
        }
        if pointer < at {
            misses += 1;
            continue;
        }
        let read = strict_cell(page, pointer, kind, geometry, &|_, _| true);
        let Some(cell) = read.filter(|cell| cell.end as usize <= usable) else {
            misses += 1;
            continue;
        };
        (content, end) = (content.min(cell.at as usize), at);
        if kind.is_table() && run.last().is_some_and(|before| before.rowid >= cell.rowid) {
            longest = longer(longest, std::mem::take(&mut run));
        }
        run.push(cell);
    }
    let mut cells = longer(longest, run);
    drop_overlapping(&mut cells);
    let ends_the_page = cells.first().is_some_and(|only| only.end as usize == usable);
    if cells.len() >= 2 || ends_the_page { Stale { cells, end } } else { Stale::default() }
}

fn longer(one: Vec<Cell>, other: Vec<Cell>) -> Vec<Cell> {
    if other.len() > one.len() { other } else { one }
}

/// Drops cells that share a byte with another one.
fn drop_overlapping(cells: &mut Vec<Cell>) {
    let mut extents: Vec<Extent> = cells.iter().map(|cell| Extent { from: cell.at, to: cell.end }).collect();
    extents.sort_unstable();
    let mut bad: Vec<u32> = Vec::new();
    let mut widest: Option<Extent> = None;
    for extent in extents {
        if let Some(before) = widest.filter(|before| extent.from < before.to) {
            bad.extend([before.from, extent.from]);
        }
        if widest.is_none_or(|before| before.to < extent.to) {
            widest = Some(extent);
        }
    }
    cells.retain(|cell| !bad.contains(&cell.at));
}

#[cfg(test)]
mod tests {
    use super::cells;
    use crate::sqlite::geometry::Geometry;
    use crate::sqlite::page::PageKind;

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    /// A page that had three cells, of row ids 5, 6 and 7.
    fn emptied() -> Vec<u8> {
        let mut page = vec![0_u8; 512];
        page[506..512].copy_from_slice(&[4, 5, 2, 17, b'a', b'b']);
        page[500..506].copy_from_slice(&[4, 6, 2, 17, b'c', b'd']);
        page[495..500].copy_from_slice(&[3, 7, 2, 15, b'e']);
        page[8..14].copy_from_slice(&[1, 250, 1, 244, 1, 239]);
        page
    }

    fn rowids(page: &[u8], from: usize) -> Vec<i64> {
        cells(page, (from, 512), PageKind::TableLeaf, PAGE).cells.iter().map(|cell| cell.rowid).collect()
    }

    #[test]
    fn the_pointers_of_an_emptied_page_lead_to_its_cells() {
        assert_eq!(rowids(&emptied(), 8), [5, 6, 7]);
    }

    #[test]
    fn pointers_that_a_trunk_has_overwritten_cost_their_own_cells_only() {
        let mut page = emptied();
        page[..10].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(rowids(&page, 8), [6, 7]);
    }

    #[test]
    fn a_pointer_alone_must_lead_to_the_end_of_the_page() {
        let mut page = emptied();
        assert!(rowids(&page, 12).is_empty());
        page[10..14].fill(0);
        assert_eq!(rowids(&page, 8), [5]);
    }

    #[test]
    fn the_pointers_behind_those_of_new_rows_lead_to_what_these_left_of_the_old_ones() {
        let mut page = emptied();
        // A new row takes the first pointer and the end of the page.
        page[501..512].fill(9);
        page[8..10].copy_from_slice(&[1, 245]);
        let found = cells(&page, (10, 501), PageKind::TableLeaf, PAGE).cells;
        assert!(found.is_empty());
        page[500..506].copy_from_slice(&[4, 6, 2, 17, b'c', b'd']);
        let found = cells(&page, (10, 506), PageKind::TableLeaf, PAGE).cells;
        assert_eq!(found.iter().map(|cell| cell.rowid).collect::<Vec<_>>(), [6, 7]);
    }

    #[test]
    fn the_cells_that_are_left_are_found_though_most_sectors_of_a_page_are_lost() {
        let geometry = Geometry { page_size: 16384, reserved: 0 };
        let mut page = vec![0_u8; 16384];
        for row in 0..900_usize {
            let at = 16384 - 6 * (row + 1);
            page[8 + 2 * row..10 + 2 * row].copy_from_slice(&(at as u16).to_be_bytes());
            page[at..at + 6].copy_from_slice(&[4, row as u8 & 0x7f, 2, 17, b'o', b'k']);
            // Row ids of one byte ascend by 1 up to 127; the rest is lost.
            if row >= 120 || row % 3 != 0 {
                page[at..at + 6].fill(0);
            }
        }
        let found = cells(&page, (8, 16384), PageKind::TableLeaf, geometry).cells;
        assert_eq!(found.len(), 40);
    }

    #[test]
    fn cells_that_overlap_are_none() {
        let mut page = emptied();
        page[14..16].copy_from_slice(&[1, 245]);
        page[501..503].copy_from_slice(&[9, 8]);
        assert!(!rowids(&page, 8).contains(&8));
    }

    #[test]
    fn bytes_that_lead_nowhere_give_no_cells() {
        assert!(rowids(&[0; 512], 8).is_empty());
        assert!(rowids(&[255; 512], 8).is_empty());
        assert!(rowids(&[], 8).is_empty());
    }
}
