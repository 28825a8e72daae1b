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
    good_cell(page, at, kind, geometry).ok_or_else(|| damage(page, at, kind, geometry))
}

/// The same, without the damage.
#[inline(always)]
#[must_use]
pub fn good_cell(page: &[u8], at: usize, kind: PageKind, geometry: Geometry) -> Option<Cell> {
    let limit = (geometry.usable() as usize).min(page.len());
    let usable = page.get(..limit)?;
    let (left_child, payload_len, rowid, payload_at) = head(usable, at, kind)?;
    let spill = geometry.spill(kind == PageKind::TableLeaf, payload_len);
    let mut next = payload_at.checked_add(spill.local as usize).filter(|next| *next <= limit)?;
    let mut overflow = 0;
    if spill.overflow > 0 {
        overflow = be_u32_at(usable, next)?;
        next += 4;
    }
    let end = next.max(at + MIN_CELL);
    (end <= limit).then_some(Cell {
        at: at as u32,
        end: end as u32,
        payload_at: payload_at as u32,
        local: spill.local,
        payload_len,
        rowid,
        left_child,
        overflow,
    })
}

/// What stands before the payload of a cell: its left child, the length of its payload and its row id, each 0 where the
/// kind has none; and where they end.
#[inline(always)]
fn head(usable: &[u8], at: usize, kind: PageKind) -> Option<(u32, u64, i64, usize)> {
    let (mut left_child, mut payload_len, mut rowid, mut next) = (0, 0, 0, at);
    if kind.is_interior() {
        left_child = be_u32_at(usable, next)?;
        next += 4;
    }
    if kind != PageKind::TableInterior {
        let (len, size) = varint_at(usable, next)?;
        payload_len = len;
        next += size;
    }
    if kind.is_table() {
        let (read, size) = varint_at(usable, next)?;
        rowid = read as i64;
        next += size;
    }
    Some((left_child, payload_len, rowid, next))
}

/// Why no cell can be read at `at`.
#[cold]
fn damage(page: &[u8], at: usize, kind: PageKind, geometry: Geometry) -> Damage {
    let limit = (geometry.usable() as usize).min(page.len());
    let usable = page.get(..limit).unwrap_or_default();
    if let Some((_, payload_len, _, payload_at)) = head(usable, at, kind) {
        let most = limit.saturating_sub(payload_at);
        if geometry.spill(kind == PageKind::TableLeaf, payload_len).local as usize > most {
            let kind = DamageKind::OutOfRange { found: payload_len, least: 0, most: most as u64 };
            return Damage::new("cell.payload_len", at as u64, kind);
        }
    }
    let have = limit.saturating_sub(at) as u64;
    Damage::new("btree_page.cell", at as u64, DamageKind::Truncated { need: have + 1, have })
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
