//! Rows of which a lost sector took a part, and that an older copy still has whole: the sector is zeros, or holds bytes that
//! were never the page's.

use super::forest::Ground;
use super::settle::Place;
use super::survey::{self, SECTOR};
use super::view::PageVersion;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record;
use std::collections::HashSet;

/// The fewest bytes of a row by which other bytes that were written over a sector can be told.
const LEAST_OVERWRITTEN: usize = 2;

/// Of bytes that were written over a sector one in so many, and less, is the one that stood there.
const EQUAL_BY_CHANCE: usize = 16;

/// Sectors of a page that lost what they held, or may have.
struct LostSectors {
    /// All zeros.
    zeros: Vec<Extent>,
    /// Of a page with cells that can't be read: those to which no pointer of a good cell leads.
    unvouched: Vec<Extent>,
}

impl LostSectors {
    fn of(ground: Ground<'_, '_>, version: &PageVersion<'_>, number: u32) -> Option<Self> {
        let (info, geometry) = (ground.survey.page(number), ground.view.geometry);
        let is_overwritten = info.bad > 0 && info.kind == Some(PageKind::TableLeaf);
        if !info.zero_sector && !is_overwritten {
            return None;
        }
        let page = Page::parse(version.bytes, version.number, geometry)?;
        let zeros: Vec<Extent> = survey::zero_sectors(version, page.header.content_start, geometry).collect();
        let unvouched = if is_overwritten { unvouched(ground, version, &page) } else { Vec::new() };
        Some(Self { zeros, unvouched })
    }
}

/// The sectors of a page that hold cell content and in which no good cell begins, or a bad one does.
fn unvouched(ground: Ground<'_, '_>, version: &PageVersion<'_>, page: &Page<'_>) -> Vec<Extent> {
    let before = (version.offset % u64::from(SECTOR)) as u32;
    let sector = |at: usize| (at as u32 + before) / SECTOR;
    let (mut good, mut bad) = (HashSet::new(), HashSet::new());
    for pointer in page.pointers() {
        let cell = page.good_cell(pointer).filter(|cell| survey::reads(page, cell, ground.view.page_count));
        if cell.is_some() {
            good.insert(sector(pointer))
        } else {
            bad.insert(sector(pointer))
        };
    }
    let usable = ground.view.geometry.usable();
    (sector(page.header.content_start as usize)..=sector(usable as usize - 1))
        .filter(|sector| bad.contains(sector) || !good.contains(sector))
        .map(|sector| Extent {
            from: (sector * SECTOR).saturating_sub(before),
            to: ((sector + 1) * SECTOR - before).min(usable),
        })
        .collect()
}

/// The cells of a page of which a sector may have taken a part.
pub(super) fn damaged(ground: Ground<'_, '_>, number: u32) -> Vec<Cell> {
    let Some(version) = ground.view.page(number) else { return Vec::new() };
    let Some(sectors) = LostSectors::of(ground, &version, number) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else {
        return Vec::new();
    };
    let overlaps = |cell: &Cell, of: &[Extent]| !within(cell, of.iter().copied()).is_empty();
    // The keys of cells that can't be read are between those of their neighbours.
    let reads = |cell: &Cell| survey::reads(&page, cell, ground.view.page_count);
    let is_damaged = |cell: &Cell| {
        let is_lost = overlaps(cell, &sectors.zeros) || overlaps(cell, &sectors.unvouched) && reads(cell);
        cell.overflow == 0 && is_lost
    };
    page.good_cells().filter(is_damaged).collect()
}

/// Whether a copy of a row has what a lost sector took of it: all else of the two is the same.
pub(super) fn has_lost(ground: Ground<'_, '_>, row: (Place, Cell), copy: (Place, Cell)) -> bool {
    let (number, cell) = (row.0.0, &row.1);
    if (cell.payload_len, cell.local) != (copy.1.payload_len, copy.1.local) || cell.overflow != 0 {
        return false;
    }
    let (Some(version), Some(other)) = (ground.view.page(number), ground.view.page(copy.0.0)) else {
        return false;
    };
    let Some(sectors) = LostSectors::of(ground, &version, number) else { return false };
    let (now, then) = (cell.local_payload(version.bytes), copy.1.local_payload(other.bytes));
    if record::header(now, cell.payload_len).is_err() || now.len() != then.len() || now == then {
        return false;
    }
    let parts = |of: &[Extent]| -> Vec<(usize, usize)> {
        let on_row =
            |lost: Extent| ((lost.from - cell.payload_at) as usize, (lost.to - cell.payload_at) as usize);
        within(cell, of.iter().copied()).into_iter().map(on_row).collect()
    };
    let (zeros, unvouched) = (parts(&sectors.zeros), parts(&sectors.unvouched));
    let is_lost = |at: usize| {
        zeros
            .iter()
            .chain(unvouched.iter().filter(|part| is_overwritten(now, then, **part)))
            .any(|(from, to)| (*from..*to).contains(&at))
    };
    now.iter().zip(then).enumerate().filter(|(_, (now, then))| now != then).all(|(at, _)| is_lost(at))
}

/// Whether other bytes stand in a part of a row, from its first to its last.
fn is_overwritten(now: &[u8], then: &[u8], (from, to): (usize, usize)) -> bool {
    let (Some(now), Some(then)) = (now.get(from..to), then.get(from..to)) else { return false };
    let equal = now.iter().zip(then).filter(|(now, then)| now == then).count();
    now.len() >= LEAST_OVERWRITTEN && equal <= now.len() / EQUAL_BY_CHANCE
}

/// The parts of sectors that lie within a cell's record on its page: behind it a long one goes on elsewhere.
pub(super) fn within(cell: &Cell, sectors: impl Iterator<Item = Extent>) -> Vec<Extent> {
    let (from, to) = (cell.payload_at, cell.payload_at + cell.local);
    let clipped = sectors.map(|lost| Extent { from: lost.from.max(from), to: lost.to.min(to) });
    clipped.filter(|lost| lost.from < lost.to).collect()
}
