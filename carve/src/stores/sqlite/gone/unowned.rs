//! What no cell owns of a page whose chain of freeblocks is broken.

use super::super::cleared;
use super::super::database::Database;
use super::super::leaf::FoundCell;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::cell::{Cell, MIN_CELL};
use mudlark_parsers::sqlite::freed::Space;
use mudlark_parsers::sqlite::page::{Extent, Page};

/// Whether the freeblocks of a page don't tell its free space, and its pointers don't lead to all of its live rows.
pub(in super::super) fn is_broken(database: &Database<'_>, number: u32) -> bool {
    let info = database.survey.page(number);
    let version = database.view.page(number).filter(|_| !info.sound && info.bad > 0);
    let page = version.and_then(|page| Page::parse(page.bytes, page.number, database.view.geometry));
    page.is_some_and(|page| page.freeblocks().1.is_some())
}

/// What no cell owns of a page's content; `live` are the cells of a page some of whose pointers are bad.
pub(super) fn extents(page: &Page<'_>, live: Option<&[FoundCell]>) -> Vec<Extent> {
    let content = Extent { from: page.gap().to, to: page.geometry.usable() };
    let mut found = match live {
        None => cleared::untaken(content, page.good_cells()),
        Some(live) => cleared::untaken(content, owners(live).into_iter()),
    };
    found.retain(|extent| extent.from + MIN_CELL as u32 <= extent.to);
    found
}

/// What the live cells of a page without a header leave of an extent: behind one of them a freed block may begin.
pub(super) fn on_bare(page: &[u8], extent: Extent, live: Option<&[FoundCell]>) -> Vec<(Extent, Space)> {
    let live = live.unwrap_or_default();
    let cells =
        live.iter().map(|found| found.cell).filter(|cell| extent.from <= cell.at && cell.end <= extent.to);
    let left = cleared::untaken(extent, cells).into_iter();
    let space = |part: &Extent| if is_block(page, *part) { Space::Freeblock } else { Space::Other };
    left.filter(|part| part.from + MIN_CELL as u32 <= part.to).map(|part| (part, space(&part))).collect()
}

/// Whether an extent begins with the head of a freeblock that takes all of it but for a fragment.
fn is_block(page: &[u8], extent: Extent) -> bool {
    let head = page.get(extent.from as usize..).and_then(|bytes| bytes.first_chunk());
    head.is_some_and(|&[a, b, c, d]| {
        let (next, size) = (u32::from(u16::from_be_bytes([a, b])), u32::from(u16::from_be_bytes([c, d])));
        let left = (extent.to - extent.from).checked_sub(size);
        size >= MIN_CELL as u32
            && left.is_some_and(|left| left < MIN_CELL as u32)
            && (next == 0 || next > extent.from)
    })
}

/// Those of the cells that own their bytes. One that doesn't read may be a row whose header is damaged, or random bytes to
/// which a pointer leads: the former is in order, and takes nothing of another.
fn owners(live: &[FoundCell]) -> Vec<Cell> {
    let own = |index: usize, found: &FoundCell| {
        let overlaps = |other: &FoundCell| other.cell.at < found.cell.end && found.cell.at < other.cell.end;
        let (before, behind) = live.split_at(index);
        let behind = behind.get(1..).unwrap_or_default();
        let is_before =
            |other: Option<&FoundCell>| other.is_none_or(|other| other.cell.rowid <= found.cell.rowid);
        let is_behind =
            |other: Option<&FoundCell>| other.is_none_or(|other| found.cell.rowid <= other.cell.rowid);
        let pointed = |other: &&FoundCell| other.reads && !other.claims.has(Claim::PointerLost);
        found.reads
            || is_before(before.iter().rev().find(pointed))
                && is_behind(behind.iter().find(pointed))
                && !before.iter().chain(behind).any(overlaps)
    };
    live.iter().enumerate().filter(|(index, found)| own(*index, found)).map(|(_, found)| found.cell).collect()
}
