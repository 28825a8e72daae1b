//! The links of an interior page that was made a leaf.
//!
//! When SQLite clears a tree, or moves its last rows up to the root, the root becomes a leaf: `zeroPage` in its source
//! sets the kind, the number of cells and where they begin, and leaves all other bytes. So the right child stands
//! where a leaf's first pointers go, and the pointers and cells of the links stand until rows are written over them.

use super::cell::cell;
use super::page::{Page, PageKind};
use crate::bytes::{be_u16_at, be_u32_at};

/// A link that once stood on a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormerLink {
    /// The page that it led to, within the file.
    pub child: u32,
    /// In a table, keys of rows below it are greater than this,
    pub above: Option<i64>,
    /// and not greater than this.
    pub upto: Option<i64>,
}

/// Bytes of an interior page's header, and of its last field.
const INTERIOR_HEADER: usize = 12;
const RIGHT_CHILD_AT: usize = 8;

/// The links that a leaf still holds of the time when it was an interior page, in key order, into a file of
/// `page_count` pages.
#[must_use]
pub fn links(page: &Page<'_>, page_count: u32) -> Vec<FormerLink> {
    let kind = match page.header.kind {
        PageKind::TableLeaf => PageKind::TableInterior,
        PageKind::IndexLeaf => PageKind::IndexInterior,
        _ => return Vec::new(),
    };
    let in_file = |child: &u32| (2..=page_count).contains(child);
    let (from, to) = (page.header_at + INTERIOR_HEADER, page.geometry.usable() as usize);
    // The pointers of the leaf's own cells lie over the first of those.
    let own = page.pointers_at() + 2 * page.pointer_count();
    let slots = (from.max(own)..to).step_by(2);
    let pointers = slots.map_while(|slot| be_u16_at(page.bytes, slot).map(usize::from));
    let pointers = pointers.take_while(|pointer| (from..to).contains(pointer)).take(page.most_cells());
    let read = |pointer: usize| {
        let found = cell(page.bytes, pointer, kind, page.geometry).ok()?;
        Some(found).filter(|cell| in_file(&cell.left_child))
    };
    let mut found: Vec<FormerLink> = Vec::new();
    let mut above = None;
    for link in pointers.map_while(read) {
        let upto = (kind == PageKind::TableInterior).then_some(link.rowid);
        if above.zip(upto).is_some_and(|(above, upto)| upto <= above) {
            break;
        }
        found.push(FormerLink { child: link.left_child, above, upto });
        above = upto;
    }
    let right = be_u32_at(page.bytes, page.header_at + RIGHT_CHILD_AT);
    if let Some(child) = right.filter(in_file).filter(|_| page.header.cell_count == 0 && !found.is_empty()) {
        found.push(FormerLink { child, above, upto: None });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{FormerLink, links};
    use crate::sqlite::geometry::Geometry;
    use crate::sqlite::page::Page;

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    fn emptied() -> Vec<u8> {
        let mut page = vec![0_u8; 512];
        page[0] = 13;
        page[5..7].copy_from_slice(&512_u16.to_be_bytes());
        page[8..12].copy_from_slice(&9_u32.to_be_bytes());
        page[12..16].copy_from_slice(&[0x01, 0xfb, 0x01, 0xf6]);
        page[507..512].copy_from_slice(&[0, 0, 0, 7, 20]);
        page[502..507].copy_from_slice(&[0, 0, 0, 8, 40]);
        page
    }

    #[test]
    fn an_emptied_root_still_tells_the_pages_below_it() {
        let bytes = emptied();
        let found = links(&Page::parse(&bytes, 2, PAGE).unwrap(), 9);
        let link = |child, above, upto| FormerLink { child, above, upto };
        assert_eq!(found, [link(7, None, Some(20)), link(8, Some(20), Some(40)), link(9, Some(40), None)]);
    }

    #[test]
    fn links_out_of_the_file_and_keys_out_of_order_are_none() {
        let mut bytes = emptied();
        assert_eq!(links(&Page::parse(&bytes, 2, PAGE).unwrap(), 7).len(), 1);
        bytes[506] = 10;
        assert_eq!(links(&Page::parse(&bytes, 2, PAGE).unwrap(), 9).len(), 2);
    }
}
