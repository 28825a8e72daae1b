//! The cells of one page: those that its pointers name, and those that only their own bytes show.

use super::survey::PageInfo;
use super::view::PageVersion;
use mudlark_parsers::bytes::touch;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freeblock_chain::{self, MOST_OF_A_FRAGMENT};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record::{self, MAX_COLUMNS, RecordFault, RecordHeader};
use mudlark_parsers::sqlite::salvage;
use mudlark_parsers::sqlite::varint::varint_at;
use std::collections::HashMap;

/// The kind of page on which rows of a table lie, with or without row ids.
pub(super) const fn leaf_kind(rowids: bool) -> PageKind {
    if rowids { PageKind::TableLeaf } else { PageKind::IndexLeaf }
}

/// Where cells are read: a page, or what lies below its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub page: u32,
    /// Only what earlier cells have left on the page.
    pub remnants: bool,
}

/// A cell and what speaks for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundCell {
    pub cell: Cell,
    pub claims: Claims,
    /// Its record reads; else it has to be solved.
    pub reads: bool,
}

/// Reads the cells of a page into `out`, in the order of their pointers; salvaged ones follow.
///
/// `accept` knows what a record of this table can look like; it is only asked on damaged pages.
pub(super) fn cells(
    page: &PageVersion<'_>,
    info: &PageInfo,
    geometry: Geometry,
    page_count: u32,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
    out: &mut Vec<FoundCell>,
) {
    out.clear();
    touch(page.bytes);
    let Some(parsed) = Page::parse(page.bytes, page.number, geometry) else { return };
    if info.sound {
        let claims = Claims::NONE.with(Claim::PageSound);
        let cells = parsed.good_cells();
        out.extend(cells.map(|cell| FoundCell { cell, claims, reads: true }));
        return;
    }
    let parsed = parsed.with_solved_count();
    // Whether a cell of an interior page leads into the file.
    let linked = |cell: &Cell| {
        parsed.header.kind != PageKind::IndexInterior || (2..=page_count).contains(&cell.left_child)
    };
    let accept = &|cell: &Cell, header: &RecordHeader<'_>| linked(cell) && accept(cell, header);
    let claims = Claims::NONE.with(Claim::PageDamaged).with_if(info.rebuilt, Claim::PageHeaderLost);
    let mut previous = None;
    for cell in parsed.good_cells() {
        if out.iter().any(|found| found.cell.at == cell.at) {
            continue;
        }
        // SQLite writes one form of each record only; random bytes that read as a cell seldom have it.
        let at = cell.at as usize;
        let strict = salvage::strict_cell(page.bytes, at, parsed.header.kind, geometry, accept).is_some();
        let reads = strict || cell.overflow <= page_count && header_spills(page.bytes, &cell);
        let out_of_order =
            parsed.header.kind.is_table() && previous.is_some_and(|previous| previous >= cell.rowid);
        previous = Some(cell.rowid);
        let claims = claims.with_if(out_of_order, Claim::KeyOutOfOrder);
        out.push(FoundCell { cell, claims, reads });
    }
    drop_inner(out);
    let good: Vec<Cell> = out.iter().filter(|found| found.reads).map(|found| found.cell).collect();
    let account = parsed.account(&good);
    let from_index = out.len();
    let slots = (parsed.header.kind == PageKind::TableLeaf).then(|| Slots::of(&parsed, out));
    let accept_unnamed =
        &|cell: &Cell, header: &RecordHeader<'_>| is_linked(cell, page_count) && accept(cell, header);
    // What such a page shows beside its pointers was looked at when these were made.
    let unaccounted = if info.rebuilt { Vec::new() } else { account.unaccounted };
    for extent in unaccounted {
        let claims = claims.with(Claim::PointerLost);
        let found = salvage::cells(page.bytes, extent, parsed.header.kind, geometry, accept_unnamed);
        let is_filled = are_side_by_side(&found, extent) && !out.iter().any(|known| is_among(known, &found));
        let has_room = |cell: &Cell| slots.as_ref().is_none_or(|slots| slots.have_room_for(cell.rowid));
        let found = found.into_iter().filter(|cell| is_filled || has_room(cell));
        out.extend(found.map(|cell| FoundCell { cell, claims, reads: true }));
    }
    // A cell that doesn't read and whose bytes turn out to be other, whole cells was a wrong pointer.
    let salvaged: Vec<Cell> = out.iter().skip(from_index).map(|found| found.cell).collect();
    out.retain(|found| {
        found.reads || !salvaged.iter().any(|cell| cell.at < found.cell.end && found.cell.at < cell.end)
    });
}

/// Whether cells fill an extent from its first byte on, but for fragments. In the cell content area SQLite makes a
/// freeblock of what it frees, whose first four bytes are its own: where whole cells stand instead none was freed, and
/// their pointers are lost, even if those that are left stand side by side.
fn are_side_by_side(cells: &[Cell], extent: Extent) -> bool {
    let ends = std::iter::once(extent.from).chain(cells.iter().map(|cell| cell.end));
    let begins = cells.iter().map(|cell| cell.at).chain([extent.to]);
    let between: Vec<u32> = ends.zip(begins).map(|(end, begin)| begin.saturating_sub(end)).collect();
    between.first() == Some(&0) && between.iter().all(|bytes| *bytes <= MOST_OF_A_FRAGMENT)
}

/// Whether one of the cells has the row id of one that is known.
fn is_among(known: &FoundCell, cells: &[Cell]) -> bool {
    known.reads && cells.iter().any(|cell| cell.rowid == known.cell.rowid)
}

/// Whether a cell's overflow chain begins in the file, where it has one.
pub(super) const fn is_linked(cell: &Cell, page_count: u32) -> bool {
    cell.overflow <= page_count
}

/// The row ids of a table leaf's good pointers, in order, each with the number of its pointer. Pointers stand in the order
/// of their rows, so that a row whose pointer is lost has its place between two of these that are not side by side.
struct Slots(Vec<(i64, usize)>);

impl Slots {
    fn of(page: &Page<'_>, found: &[FoundCell]) -> Self {
        let good = found.iter().filter(|found| found.reads && !found.claims.has(Claim::KeyOutOfOrder));
        let rowids: HashMap<u32, i64> = good.map(|found| (found.cell.at, found.cell.rowid)).collect();
        let mut good: Vec<(i64, usize)> = Vec::with_capacity(rowids.len());
        let mut times: HashMap<usize, usize> = HashMap::new();
        page.pointers().for_each(|pointer| *times.entry(pointer).or_default() += 1);
        for (number, pointer) in page.pointers().enumerate() {
            // Of two that are the same either may be the wrong one.
            let once = times.get(&pointer) == Some(&1);
            let rowid = u32::try_from(pointer).ok().filter(|_| once).and_then(|at| rowids.get(&at));
            let in_order = |rowid: &&i64| good.last().is_none_or(|(before, _)| before < rowid);
            good.extend(rowid.filter(in_order).map(|rowid| (*rowid, number)));
        }
        Self(good)
    }

    /// Whether the pointer to a row with this id can be lost. Behind the last good one any can, where the number of cells
    /// was changed.
    fn have_room_for(&self, rowid: i64) -> bool {
        let Self(good) = self;
        let behind = good.partition_point(|(other, _)| *other < rowid);
        let after =
            behind.checked_sub(1).and_then(|index| good.get(index)).map_or(0, |(_, number)| number + 1);
        good.get(behind).is_none_or(|(other, number)| *other != rowid && *number > after)
    }
}

/// Reads the cells of a page whose header is lost, but for those in freeblocks; `places` are those at which cells may begin,
/// where they are known.
pub(super) fn bare_cells(
    page: &PageVersion<'_>,
    places: Option<&[u16]>,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
    out: &mut Vec<FoundCell>,
) {
    out.clear();
    let extent = Extent { from: 0, to: geometry.usable() };
    let claims = Claims::NONE.with(Claim::PageDamaged).with(Claim::PageHeaderLost).with(Claim::PointerLost);
    let found = match places {
        Some(places) => salvage::cells_at(page.bytes, places, kind, geometry, accept),
        None => salvage::cells(page.bytes, extent, kind, geometry, accept),
    };
    let free = freeblock_chain::told(page.bytes, &found, geometry.usable());
    let is_free = |cell: &Cell| free.iter().any(|block| block.from < cell.end && cell.at < block.to);
    let found = found.into_iter().filter(|cell| !is_free(cell));
    out.extend(found.map(|cell| FoundCell { cell, claims, reads: true }));
}

/// Reads what earlier cells have left below the current ones, and on a page that became an interior one.
pub(super) fn remnant_cells(
    page: &PageVersion<'_>,
    info: &PageInfo,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
    out: &mut Vec<FoundCell>,
) {
    out.clear();
    // What lies before the rows of such a leaf was looked at when it got its header.
    if info.rebuilt && info.kind.is_some_and(|kind| !kind.is_interior()) {
        return;
    }
    if let Some(parsed) = Page::parse(page.bytes, page.number, geometry).filter(|_| info.kind.is_some()) {
        add_remnants(page, parsed.gap(), kind, geometry, accept, out);
    }
}

/// Adds what cells have left in freeblocks: those that a division of the page moved to another are freed one by one.
pub(super) fn add_moved_cells(
    page: &PageVersion<'_>,
    info: &PageInfo,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
    out: &mut Vec<FoundCell>,
) {
    let parsed = Page::parse(page.bytes, page.number, geometry);
    let Some(parsed) = parsed.filter(|page| info.kind.is_some() && page.header.kind == kind) else { return };
    let (blocks, _) = parsed.freeblocks();
    // A block's link and size have overwritten the head of its first cell.
    let blocks = blocks.into_iter().map(|block| Extent { from: block.from + 4, to: block.to });
    for extent in blocks.filter(|extent| extent.from < extent.to) {
        add_remnants(page, extent, kind, geometry, accept, out);
    }
}

fn add_remnants(
    page: &PageVersion<'_>,
    extent: Extent,
    kind: PageKind,
    geometry: Geometry,
    accept: &dyn Fn(&Cell, &RecordHeader<'_>) -> bool,
    out: &mut Vec<FoundCell>,
) {
    let claims = Claims::NONE.with(Claim::PointerLost).with(Claim::OldPage);
    let found = salvage::cells(page.bytes, extent, kind, geometry, accept);
    out.extend(found.into_iter().map(|cell| FoundCell { cell, claims, reads: true }));
}

/// Whether cells found on a page that names no table are more than an accident: they touch one another, or are long.
pub(super) fn is_convincing(found: &[FoundCell]) -> bool {
    let touching = found.windows(2).filter(|pair| matches!(pair, [a, b] if a.cell.end == b.cell.at));
    // A record's lengths agree by accident about once in 2^16 places; two that touch, once in 2^32.
    touching.count() >= 1 || found.iter().any(|found| found.cell.payload_len >= 64)
}

/// Whether the record header of a wide row may continue in the overflow chain: then it can't be judged here.
fn header_spills(page: &[u8], cell: &Cell) -> bool {
    let local = cell.local_payload(page);
    // The header of the widest table takes nine bytes a column.
    let header_fits = varint_at(local, 0).is_some_and(|(len, _)| len <= 9 * MAX_COLUMNS as u64);
    cell.overflow != 0
        && header_fits
        && record::header(local, cell.payload_len).err() == Some(RecordFault::Truncated)
}

/// A pointer into the middle of another cell is wrong, even where the bytes there read as a cell.
fn drop_inner(found: &mut Vec<FoundCell>) {
    let outer: Vec<(u32, u32)> =
        found.iter().filter(|found| found.reads).map(|found| (found.cell.at, found.cell.end)).collect();
    found.retain(|inner| !outer.iter().any(|(at, end)| *at < inner.cell.at && inner.cell.at < *end));
}
