//! What no cell owns of a page whose chain of freeblocks is broken.

use super::super::cleared;
use super::super::database::Database;
use super::super::leaf::FoundCell;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::cell::{Cell, MIN_CELL};
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
