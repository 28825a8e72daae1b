//! Rows of which a lost sector took a part, and that an older copy still has whole: the sector is zeros, or holds bytes that
//! were never the page's.

use super::forest::Ground;
use super::settle::Place;
use super::survey::{self, Sectors};
use super::view::PageVersion;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

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
    /// Of the page that has this number; `None` where no sector shows a loss.
    fn of(ground: Ground<'_, '_>, number: u32) -> Option<Self> {
        let (info, geometry) = (ground.survey.page(number), ground.view.geometry);
        let is_overwritten = !info.sound && info.kind == Some(PageKind::TableLeaf);
        if !info.zero_sector && !is_overwritten {
            return None;
        }
        let version = &ground.view.page(number)?;
        let page = Page::parse(version.bytes, version.number, geometry)?;
        let zeros: Vec<Extent> = survey::zero_sectors(version, page.header.content_start, geometry).collect();
        let unvouched = if is_overwritten { unvouched(ground, version, &page) } else { Vec::new() };
        Some(Self { zeros, unvouched })
    }
}

/// The sectors of a page that hold cell content and in which no good cell begins, or a bad one does.
fn unvouched(ground: Ground<'_, '_>, version: &PageVersion<'_>, page: &Page<'_>) -> Vec<Extent> {
    let sectors = Sectors::of_page_at(version.offset);
    let (mut good, mut bad) = (HashSet::new(), HashSet::new());
    for pointer in page.pointers() {
        let cell = page.good_cell(pointer).filter(|cell| survey::reads(page, cell, ground.view.page_count));
        let of_kind = if cell.is_some() { &mut good } else { &mut bad };
        of_kind.insert(sectors.of(pointer as u32));
    }
    let usable = ground.view.geometry.usable();
    (sectors.of(page.header.content_start)..sectors.from(usable))
        .filter(|sector| bad.contains(sector) || !good.contains(sector))
        .map(|sector| sectors.extent(sector, usable))
        .collect()
}

/// The cells of a page of which a sector may have taken a part.
pub(super) fn damaged(ground: Ground<'_, '_>, number: u32) -> Vec<Cell> {
    let Some(sectors) = LostSectors::of(ground, number) else { return Vec::new() };
    let Some(version) = ground.view.page(number) else { return Vec::new() };
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

/// Holds rows against older copies of them, and keeps which sectors of a page are lost: a page has many rows.
pub(super) struct Copies<'g, 'a> {
    ground: Ground<'g, 'a>,
    sectors: HashMap<u32, Option<LostSectors>>,
}

impl<'g, 'a> Copies<'g, 'a> {
    pub(super) fn of(ground: Ground<'g, 'a>) -> Self {
        Self { ground, sectors: HashMap::new() }
    }

    /// Whether a copy of a row has what a lost sector took of it: all else of the two is the same.
    pub(super) fn has_lost(&mut self, row: (Place, Cell), copy: (Place, Cell)) -> bool {
        let (ground, number, cell) = (self.ground, row.0.0, &row.1);
        if (cell.payload_len, cell.local) != (copy.1.payload_len, copy.1.local) || cell.overflow != 0 {
            return false;
        }
        let sectors = self.sectors.entry(number).or_insert_with(|| LostSectors::of(ground, number));
        let Some(sectors) = sectors else { return false };
        let (Some(version), Some(other)) = (ground.view.page(number), ground.view.page(copy.0.0)) else {
            return false;
        };
        let (now, then) = (cell.local_payload(version.bytes), copy.1.local_payload(other.bytes));
        if record::header(now, cell.payload_len).is_err() || now.len() != then.len() || now == then {
            return false;
        }
        let on_row =
            |lost: Extent| (lost.from - cell.payload_at) as usize..(lost.to - cell.payload_at) as usize;
        let parts = |of: &[Extent]| within(cell, of.iter().copied()).into_iter().map(on_row);
        let overwritten = parts(&sectors.unvouched).filter(|part| is_overwritten(now, then, part.clone()));
        let lost: Vec<Range<usize>> = parts(&sectors.zeros).chain(overwritten).collect();
        let mut differing = (0..now.len()).filter(|at| now.get(*at) != then.get(*at));
        differing.all(|at| lost.iter().any(|part| part.contains(&at)))
    }
}

/// Whether other bytes stand in a part of a row, from its first to its last.
fn is_overwritten(now: &[u8], then: &[u8], part: Range<usize>) -> bool {
    let (Some(now), Some(then)) = (now.get(part.clone()), then.get(part)) else { return false };
    let equal = now.iter().zip(then).filter(|(now, then)| now == then).count();
    now.len() >= LEAST_OVERWRITTEN && equal <= now.len() / EQUAL_BY_CHANCE
}

/// The parts of sectors that lie within a cell's record on its page: behind it a long one goes on elsewhere.
pub(super) fn within(cell: &Cell, sectors: impl Iterator<Item = Extent>) -> Vec<Extent> {
    let (from, to) = (cell.payload_at, cell.payload_at + cell.local);
    let clipped = sectors.map(|lost| Extent { from: lost.from.max(from), to: lost.to.min(to) });
    clipped.filter(|lost| lost.from < lost.to).collect()
}
