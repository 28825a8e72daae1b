//! Cells of b-tree pages (section 1.6).

use super::geometry::Geometry;
use super::page::PageKind;
use super::varint::varint_at;
use crate::bytes::{be_u32_at, slice_at};
use crate::damage::{Damage, DamageKind};

/// The fewest bytes that a cell takes: a freeblock must fit in its place.
pub const MIN_CELL: usize = 4;

/// A cell, by where its parts lie on the page.
///
/// | part          | table leaf | table interior | index leaf | index interior |
/// |---------------|:----------:|:--------------:|:----------:|:--------------:|
/// | `left_child`  |            |       4        |            |       4        |
/// | `payload_len` |   varint   |                |   varint   |     varint     |
/// | `rowid`       |   varint   |     varint     |            |                |
/// | payload       |   local    |                |   local    |     local      |
/// | `overflow`    |     4      |                |     4      |       4        |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Offset of the cell on its page.
    pub at: u32,
    /// Offset behind its last byte; at least four behind `at`.
    pub end: u32,
    /// Offset of the payload.
    pub payload_at: u32,
    /// Bytes of payload on this page.
    pub local: u32,
    /// Bytes of payload in all.
    pub payload_len: u64,
    /// Row id of a table cell; 0 in an index.
    pub rowid: i64,
    /// The page of lesser keys, on interior pages; else 0.
    pub left_child: u32,
    /// First overflow page; 0 when the payload is whole here.
    pub overflow: u32,
}

impl Cell {
    /// The payload's bytes on this page.
    #[inline]
    #[must_use]
    pub fn local_payload<'a>(&self, page: &'a [u8]) -> &'a [u8] {
        slice_at(page, self.payload_at as usize, self.local as usize).unwrap_or_default()
    }

    /// Bytes of payload that lie in overflow pages.
    #[must_use]
    pub const fn spilled(&self) -> u64 {
        self.payload_len.saturating_sub(self.local as u64)
    }
}

/// Reads the cell at `at`; `page` may be cut short.
///
/// # Errors
/// When the cell would reach past the usable part of the page.
#[inline]
pub fn cell(page: &[u8], at: usize, kind: PageKind, geometry: Geometry) -> Result<Cell, Damage> {
    let limit = (geometry.usable() as usize).min(page.len());
    let usable = page.get(..limit).unwrap_or_default();
    let cut = || {
        let have = limit.saturating_sub(at) as u64;
        Damage::new("btree_page.cell", at as u64, DamageKind::Truncated { need: have + 1, have })
    };
    let mut read = Cell {
        at: at as u32,
        end: 0,
        payload_at: 0,
        local: 0,
        payload_len: 0,
        rowid: 0,
        left_child: 0,
        overflow: 0,
    };
    let mut next = at;
    if kind.is_interior() {
        read.left_child = be_u32_at(usable, next).ok_or_else(cut)?;
        next += 4;
    }
    if kind != PageKind::TableInterior {
        let (len, size) = varint_at(usable, next).ok_or_else(cut)?;
        read.payload_len = len;
        next += size;
    }
    if kind.is_table() {
        let (rowid, size) = varint_at(usable, next).ok_or_else(cut)?;
        read.rowid = rowid as i64;
        next += size;
    }
    read.payload_at = next as u32;
    let spill = geometry.spill(kind == PageKind::TableLeaf, read.payload_len);
    if spill.local as usize > limit.saturating_sub(next) {
        return Err(Damage::new(
            "cell.payload_len",
            at as u64,
            DamageKind::OutOfRange {
                found: read.payload_len,
                least: 0,
                most: limit.saturating_sub(next) as u64,
            },
        ));
    }
    read.local = spill.local;
    next += spill.local as usize;
    if spill.overflow > 0 {
        read.overflow = be_u32_at(usable, next).ok_or_else(cut)?;
        next += 4;
    }
    read.end = next.max(at + MIN_CELL) as u32;
    if read.end as usize > limit {
        return Err(cut());
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::cell;
    use crate::sqlite::geometry::Geometry;
    use crate::sqlite::page::PageKind;

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    #[test]
    fn a_cell_takes_four_bytes_at_least() {
        let mut page = [0_u8; 512];
        page[500..503].copy_from_slice(&[1, 9, 1]);
        let read = cell(&page, 500, PageKind::TableLeaf, PAGE).unwrap();
        assert_eq!((read.rowid, read.local, read.end), (9, 1, 504));
    }

    #[test]
    fn a_cell_that_reaches_past_the_page_is_damage() {
        let mut page = [0_u8; 512];
        page[508..].copy_from_slice(&[9, 1, 2, 1]);
        assert!(cell(&page, 508, PageKind::TableLeaf, PAGE).is_err());
        assert!(cell(&page, 511, PageKind::IndexInterior, PAGE).is_err());
        assert!(cell(&page, 9999, PageKind::TableLeaf, PAGE).is_err());
    }
}
