//! Rows of which a lost sector took a part, and that an older copy still has whole.

use super::forest::Ground;
use super::settle::Place;
use super::survey;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Extent, Page};
use mudlark_parsers::sqlite::record;

/// The cells of a page in which a sector is zeros.
pub(super) fn damaged(ground: Ground<'_, '_>, number: u32) -> Vec<Cell> {
    if !ground.survey.page(number).zero_sector {
        return Vec::new();
    }
    let Some(version) = ground.view.page(number) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else {
        return Vec::new();
    };
    let sectors: Vec<Extent> =
        survey::zero_sectors(&version, page.header.content_start, ground.view.geometry).collect();
    let is_damaged = |cell: &Cell| cell.overflow == 0 && !within(cell, sectors.iter().copied()).is_empty();
    page.good_cells().filter(is_damaged).collect()
}

/// Whether a copy of a row has what a lost sector took of it: all else of the two is the same.
pub(super) fn has_lost(ground: Ground<'_, '_>, row: (Place, Cell), copy: (Place, Cell)) -> bool {
    let lost = lost(ground, row.0, &row.1);
    if lost.is_empty() || (row.1.payload_len, row.1.local) != (copy.1.payload_len, copy.1.local) {
        return false;
    }
    let local = |(place, cell): (Place, Cell)| Some(cell.local_payload(ground.view.page(place.0)?.bytes));
    let (Some(now), Some(then)) = (local(row), local(copy)) else { return false };
    let is_lost = |at: u32| lost.iter().any(|lost| (lost.from..lost.to).contains(&at));
    let mut differing = (row.1.payload_at..).zip(now.iter().zip(then)).filter(|(_, (now, then))| now != then);
    record::header(now, row.1.payload_len).is_ok()
        && differing.clone().next().is_some()
        && differing.all(|(at, _)| is_lost(at))
}

/// The parts of a cell's record that lie in sectors which are zeros; none of one that goes on elsewhere.
fn lost(ground: Ground<'_, '_>, (number, _): Place, cell: &Cell) -> Vec<Extent> {
    let geometry = ground.view.geometry;
    let version = ground.view.page(number).filter(|_| cell.overflow == 0);
    let Some(version) = version.filter(|_| ground.survey.page(number).zero_sector) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, geometry) else { return Vec::new() };
    within(cell, survey::zero_sectors(&version, page.header.content_start, geometry))
}

/// The parts of sectors that lie within a cell's record on its page: behind it a long one goes on elsewhere.
pub(super) fn within(cell: &Cell, sectors: impl Iterator<Item = Extent>) -> Vec<Extent> {
    let (from, to) = (cell.payload_at, cell.payload_at + cell.local);
    let clipped = sectors.map(|lost| Extent { from: lost.from.max(from), to: lost.to.min(to) });
    clipped.filter(|lost| lost.from < lost.to).collect()
}
