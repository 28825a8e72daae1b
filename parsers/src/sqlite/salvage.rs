//! Cells found by their own bytes, where the pointers to them are lost.

use super::cell::{Cell, cell};
use super::geometry::Geometry;
use super::page::{Extent, PageKind};
use super::record::{self, RecordHeader};
use super::varint::{MAX_LEN, varint_at, varint_len};
use crate::bytes::{be_u32_at, each_pair};
use std::collections::HashSet;

/// Finds the cells of `kind` in `extent` of a page: the set that covers most bytes without overlap.
///
/// Interior pages of tables hold no records. A candidate must hold a record whose header and lengths agree in every byte, in the shortest varints (SQLite
/// writes no others), and that `accept` takes: the caller knows the shapes of the tables.
#[must_use]
pub fn cells(
    page: &[u8],
    extent: Extent,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
) -> Vec<Cell> {
    let Some((from, bounded)) = bounded(page, extent, kind, geometry) else { return Vec::new() };
    let places = from..bounded.len();
    most_bytes(places.filter_map(|at| strict_cell(bounded, at, kind, geometry, accept)).collect())
}

/// The places of a page at which a cell of `kind` may begin, whatever table it is of: what [`cells_at`] takes when a page is
/// read as that of many tables.
#[must_use]
pub fn places(page: &[u8], kind: PageKind, geometry: Geometry) -> Vec<u16> {
    let extent = Extent { from: 0, to: geometry.usable() };
    let Some((from, bounded)) = bounded(page, extent, kind, geometry) else { return Vec::new() };
    let begins = |at: &usize| strict_cell(bounded, *at, kind, geometry, &|_, _| true).is_some();
    // A page has 65536 bytes at most.
    (from..bounded.len()).filter(begins).filter_map(|at| u16::try_from(at).ok()).collect()
}

/// The same as [`cells`] of a whole page, of which the `places` are known.
#[must_use]
pub fn cells_at(
    page: &[u8],
    places: &[u16],
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
) -> Vec<Cell> {
    let extent = Extent { from: 0, to: geometry.usable() };
    let Some((_, bounded)) = bounded(page, extent, kind, geometry) else { return Vec::new() };
    let places = places.iter().map(|at| usize::from(*at));
    most_bytes(places.filter_map(|at| strict_cell(bounded, at, kind, geometry, accept)).collect())
}

/// The same, of leaves of indexes all of whose records have so many columns: two bytes then rule out most places.
#[must_use]
pub fn entries(
    page: &[u8],
    extent: Extent,
    geometry: Geometry,
    columns: usize,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
) -> Vec<Cell> {
    // A serial type takes nine bytes at most, and the length of a header that begins with a byte below 128 just that byte.
    let least = u8::try_from(columns.saturating_add(1)).unwrap_or(u8::MAX);
    let most = u8::try_from(columns.saturating_mul(MAX_LEN).saturating_add(1)).unwrap_or(u8::MAX);
    let may_begin =
        |len: u8, header: u8| (len >= 0x80) | (header >= 0x80) | (header >= least) & (header <= most);
    let accept = |cell: &Cell, header: &RecordHeader<'_>| header.columns == columns && accept(cell, header);
    let Some((from, bounded)) = bounded(page, extent, PageKind::IndexLeaf, geometry) else {
        return Vec::new();
    };
    let mut possible = Vec::new();
    // The last byte alone is no cell.
    each_pair(bounded.get(from..).unwrap_or_default(), 1, may_begin, |at| {
        possible.extend(strict_cell(bounded, from + at, PageKind::IndexLeaf, geometry, &accept));
    });
    most_bytes(possible)
}

/// Where the extent begins, and the page up to its end; `None` where no records lie.
fn bounded(page: &[u8], extent: Extent, kind: PageKind, geometry: Geometry) -> Option<(usize, &[u8])> {
    let to = (extent.to as usize).min(page.len()).min(geometry.usable() as usize);
    let from = extent.from as usize;
    let any = kind != PageKind::TableInterior && from < to;
    Some((from, page.get(..to)?)).filter(|_| any)
}

/// The set of cells that covers most bytes without overlap.
fn most_bytes(mut possible: Vec<Cell>) -> Vec<Cell> {
    if possible.is_empty() {
        return possible;
    }
    // covered[i]: bytes covered by the best set of the cells from i on, and whether that set begins with the i-th.
    let mut covered: Vec<(u64, bool)> = vec![(0, false); possible.len() + 1];
    for (index, cell) in possible.iter().enumerate().rev() {
        let best = |index: usize| covered.get(index).map_or(0, |best| best.0);
        let skip = best(index + 1);
        let behind =
            index + possible.get(index..).unwrap_or_default().partition_point(|next| next.at < cell.end);
        let taken = best(behind) + u64::from(cell.end - cell.at);
        if let Some(entry) = covered.get_mut(index) {
            *entry = if taken > skip { (taken, true) } else { (skip, false) };
        }
    }
    let mut at = 0;
    let mut covered = covered.into_iter();
    possible.retain(|cell| {
        let begins = covered.next().is_some_and(|(_, begins)| begins);
        let taken = begins && cell.at >= at;
        at = if taken { cell.end } else { at };
        taken
    });
    possible
}

/// Finds the cells of an interior page in `extent`. They are short, so `accept` must know the child.
#[must_use]
pub fn interior_cells(
    page: &[u8],
    extent: Extent,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell) -> bool,
) -> Vec<Cell> {
    let (mut found, mut at) = (Vec::new(), extent.from);
    while at < extent.to {
        let read = cell(page, at as usize, kind, geometry).ok();
        match read.filter(|read| read.end <= extent.to && accept(read)) {
            Some(read) => {
                at = read.end;
                found.push(read);
            }
            None => at += 1,
        }
    }
    found
}

/// The cells of an interior page that fill `extent` to the last byte, one behind the other, with links into the file
/// of which none comes twice; none where they don't.
#[must_use]
pub fn interior_tiles(
    page: &[u8],
    extent: Extent,
    kind: PageKind,
    geometry: Geometry,
    page_count: u32,
) -> Vec<Cell> {
    let (mut found, mut at): (Vec<Cell>, u32) = (Vec::new(), extent.from);
    let mut children = HashSet::new();
    while at < extent.to {
        let Ok(read) = cell(page, at as usize, kind, geometry) else { return Vec::new() };
        let record_fits = kind == PageKind::TableInterior
            || record::header(read.local_payload(page), read.payload_len).is_ok();
        let again = !children.insert(read.left_child);
        if !(2..=page_count).contains(&read.left_child) || again || !record_fits || read.end > extent.to {
            return Vec::new();
        }
        at = read.end;
        found.push(read);
    }
    found
}

/// The cell at `at`, when every one of its bytes is as SQLite would have written it.
#[must_use]
pub fn strict_cell(
    page: &[u8],
    at: usize,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
) -> Option<Cell> {
    // Two bytes rule out most places before any work is done: a payload has a header and its length.
    let link = if kind == PageKind::IndexInterior { 4 } else { 0 };
    let (payload_len, size) = varint_at(page, at + link)?;
    if payload_len < 2 || size != varint_len(payload_len) {
        return None;
    }
    let found = cell(page, at, kind, geometry).ok()?;
    let payload = found.local_payload(page);
    let header = record::header(payload, found.payload_len).ok()?;
    let minimal = varint_at(payload, 0)?.1 == varint_len(header.len as u64)
        && header.serials().map(|serial| varint_len(serial.0)).sum::<usize>()
            == header.len.checked_sub(varint_len(header.len as u64))?;
    let rowid_len = (found.payload_at as usize).checked_sub(at + size)?;
    let rowid_minimal = kind != PageKind::TableLeaf || rowid_len == varint_len(found.rowid as u64);
    (minimal && rowid_minimal && header.columns > 0 && accept(&found, &header)).then_some(found)
}

/// The link of an interior page of a table at `at`, as SQLite would have written it: the number of a page, a row id as the bits
/// of its varint, and where it ends. Nearly any bytes read as one: the caller knows which pages there are, and in which order row
/// ids stand.
#[must_use]
pub fn strict_link(page: &[u8], at: usize) -> Option<(u32, u64, usize)> {
    let child = be_u32_at(page, at)?;
    let (rowid, size) = varint_at(page, at + 4)?;
    (size == varint_len(rowid)).then_some((child, rowid, at + 4 + size))
}

#[cfg(test)]
mod tests {
    use super::{Cell, RecordHeader, cells};
    use crate::sqlite::geometry::Geometry;
    use crate::sqlite::page::{Extent, PageKind};

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    #[test]
    fn cells_that_touch_are_found_without_their_pointers() {
        let mut page = vec![0_u8; 512];
        page[300..312].copy_from_slice(&[10, 5, 3, 1, 25, 7, b'a', b'b', b'c', b'd', b'e', b'f']);
        page[312..317].copy_from_slice(&[3, 6, 2, 1, 77]);
        let extent = Extent { from: 290, to: 320 };
        let two = |_: &Cell, header: &RecordHeader<'_>| header.columns <= 2;
        let found = cells(&page, extent, PageKind::TableLeaf, PAGE, &two);
        assert_eq!(found.iter().map(|cell| cell.rowid).collect::<Vec<_>>(), [5, 6]);
    }

    #[test]
    fn places_that_are_known_give_the_same_cells() {
        let mut page = vec![0_u8; 512];
        page[300..312].copy_from_slice(&[10, 5, 3, 1, 25, 7, b'a', b'b', b'c', b'd', b'e', b'f']);
        page[312..317].copy_from_slice(&[3, 6, 2, 1, 77]);
        let places = super::places(&page, PageKind::TableLeaf, PAGE);
        assert_eq!(places, [300, 312]);
        let one = |_: &Cell, header: &RecordHeader<'_>| header.columns == 1;
        let found = super::cells_at(&page, &places, PageKind::TableLeaf, PAGE, &one);
        assert_eq!(found, cells(&page, Extent { from: 0, to: 512 }, PageKind::TableLeaf, PAGE, &one));
        assert_eq!(found.iter().map(|cell| cell.at).collect::<Vec<_>>(), [312]);
    }

    #[test]
    fn a_row_of_an_index_tree_is_found_behind_its_link() {
        let mut page = vec![0_u8; 512];
        page[300..314].copy_from_slice(&[0, 0, 0, 9, 9, 3, 1, 23, 7, b'a', b'b', b'c', b'd', b'e']);
        let extent = Extent { from: 290, to: 320 };
        let linked = |cell: &Cell, _: &RecordHeader<'_>| cell.left_child == 9;
        let found = cells(&page, extent, PageKind::IndexInterior, PAGE, &linked);
        assert_eq!(found.iter().map(|cell| (cell.at, cell.end)).collect::<Vec<_>>(), [(300, 314)]);
    }

    #[test]
    fn zeros_hold_no_cells() {
        let page = vec![0_u8; 512];
        let all = |_: &Cell, _: &RecordHeader<'_>| true;
        let extent = Extent { from: 8, to: 512 };
        assert!(cells(&page, extent, PageKind::TableLeaf, PAGE, &all).is_empty());
    }
}
