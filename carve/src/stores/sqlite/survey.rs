//! One pass over all pages: what each is by its own bytes.

use super::crowded;
use super::view::{PageVersion, View};
use mudlark_parsers::bytes::{all_zero, touch};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record;
use rayon::prelude::*;
use std::collections::HashSet;

/// What a page is by its own bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageInfo {
    /// The kind, when header and cells bear it out.
    pub kind: Option<PageKind>,
    /// Every byte is accounted for, every record reads, keys ascend.
    pub sound: bool,
    /// All bytes are zero.
    pub zero: bool,
    /// A sector of the content area is all zeros: it was lost, unless a BLOB of zeros lies there.
    pub zero_sector: bool,
    /// Bytes that no cell owns may hold something: freeblocks, or a gap that is not all zeros.
    pub spare: bool,
    /// Its header was lost, and stands for what its cells tell.
    pub rebuilt: bool,
    /// The header names a kind, though too little on the page bears it out.
    pub doubtful: bool,
    /// Most columns of a record.
    pub columns: u16,
    /// Cells that read.
    pub cells: u16,
    /// Cells, or pointers to them, that don't.
    pub bad: u16,
    /// Cells that continue in overflow pages.
    pub spilled: u16,
    /// Bytes that these claim to have in overflow pages, each no more than there are.
    pub spilled_bytes: u64,
    /// Least row id; meaningless in an index.
    pub first: i64,
    /// Greatest row id.
    pub last: i64,
}

/// The infos of all pages of a view; page 1 stands first.
#[derive(Debug)]
pub(super) struct Survey {
    pages: Vec<PageInfo>,
    /// Those of old versions.
    old: Vec<PageInfo>,
    /// The number of the first old version.
    first_old: u32,
    /// Overflow pages of more chains than can be right.
    crowded: HashSet<u32>,
}

impl PageInfo {
    /// The same, of a page with such content in its sectors.
    fn in_sectors(self, version: &PageVersion<'_>, geometry: Geometry) -> Self {
        let page = self.kind.and_then(|_| Page::parse(version.bytes, version.number, geometry));
        let is_lost =
            |page: Page<'_>| zero_sectors(version, page.header.content_start, geometry).next().is_some();
        Self { zero_sector: page.is_some_and(is_lost), ..self }
    }
}

impl Survey {
    /// Looks at every page, in parallel.
    pub(super) fn of(view: &View<'_>, advance: &(dyn Fn(u64) + Sync)) -> Self {
        let mut pages = Vec::new();
        (0..view.page_count as usize)
            .into_par_iter()
            .with_min_len(64)
            .map_init(Vec::new, |scratch, index| {
                let number = index as u32 + 1;
                if number.is_multiple_of(256) {
                    advance(256 * u64::from(view.geometry.page_size));
                }
                view.page(number).map_or_else(PageInfo::default, |page| {
                    let rebuilt = view.is_rebuilt(&page);
                    let info = look(page.bytes, number, view.geometry, view.page_count, scratch)
                        .in_sectors(&page, view.geometry);
                    PageInfo { sound: info.sound && !rebuilt, rebuilt, ..info }
                })
            })
            .collect_into_vec(&mut pages);
        let first_old = view.old().start;
        let mut survey = Self { pages, old: Vec::new(), first_old, crowded: HashSet::new() };
        survey.crowded = crowded::pages(view, &survey);
        survey
    }

    /// Looks at the old versions of pages as well.
    pub(super) fn add_old(&mut self, view: &View<'_>) {
        let old = view.old().into_par_iter().with_min_len(64);
        let look = |scratch: &mut Vec<Cell>, number: u32| {
            view.page(number).map_or_else(PageInfo::default, |page| {
                look(page.bytes, page.number, view.geometry, view.last_linked(number), scratch)
                    .in_sectors(&page, view.geometry)
            })
        };
        old.map_init(Vec::new, look).collect_into_vec(&mut self.old);
    }

    /// The old versions with their numbers.
    pub(super) fn old(&self) -> impl Iterator<Item = (u32, &PageInfo)> {
        (self.first_old..).zip(&self.old)
    }

    /// Whether so many chains lead through an overflow page that none is believed.
    pub(super) fn is_crowded(&self, page: u32) -> bool {
        !self.crowded.is_empty() && self.crowded.contains(&page)
    }

    /// What the page is; nothing for a page that is not there.
    #[inline]
    pub(super) fn page(&self, number: u32) -> PageInfo {
        let index = (number as usize).wrapping_sub(1);
        let old = || self.old.get(number.checked_sub(self.first_old)? as usize);
        self.pages.get(index).or_else(old).copied().unwrap_or_default()
    }

    /// All current pages with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &PageInfo)> {
        (1..).zip(&self.pages)
    }
}

/// Looks at one page.
pub(super) fn look(
    bytes: &[u8],
    number: u32,
    geometry: Geometry,
    page_count: u32,
    scratch: &mut Vec<Cell>,
) -> PageInfo {
    touch(bytes);
    let Some(page) = Page::parse(bytes, number, geometry) else {
        return PageInfo { zero: all_zero(bytes), ..PageInfo::default() };
    };
    let info = look_at(&page, page_count, scratch);
    if info.sound {
        return info;
    }
    let solved = page.with_solved_count();
    if solved.header == page.header {
        return info;
    }
    PageInfo { sound: false, ..look_at(&solved, page_count, scratch) }
}

/// Looks at a page whose header reads.
fn look_at(page: &Page<'_>, page_count: u32, scratch: &mut Vec<Cell>) -> PageInfo {
    let (mut info, bytes, geometry) = (PageInfo::default(), page.bytes, page.geometry);
    scratch.clear();
    let kind = page.header.kind;
    let (mut ordered, mut previous) = (true, None);
    let (mut first, mut last) = (i64::MAX, i64::MIN);
    let mut good_cells = 0;
    for pointer in page.pointers() {
        let cell = page.good_cell(pointer);
        let good = cell.and_then(|cell| columns(page, &cell, page_count));
        info.bad += u16::from(good.is_none());
        // Of a row whose chain is lost the page holds the beginning.
        let begun = || cell.filter(|_| !kind.is_interior()).and_then(|cell| record_columns(page, &cell));
        let Some((cell, columns)) = cell.zip(good.or_else(|| begun().filter(|columns| *columns > 0))) else {
            // The bytes of a link that leads nowhere are accounted for all the same.
            scratch.extend(cell.filter(|_| kind.is_interior()));
            continue;
        };
        good_cells += 1;
        info.columns = info.columns.max(columns);
        if kind.is_table() {
            ordered &= previous.is_none_or(|previous| previous < cell.rowid);
            previous = Some(cell.rowid);
            first = first.min(cell.rowid);
            last = last.max(cell.rowid);
        }
        info.spilled += u16::from(cell.spilled() > 0);
        let most = u64::from(page_count) * u64::from(geometry.page_size);
        info.spilled_bytes = info.spilled_bytes.saturating_add(cell.spilled().min(most));
        scratch.push(cell);
    }
    info.cells = good_cells;
    (info.first, info.last) = (first, last);
    let gap = page.gap();
    let gap = bytes.get(gap.from as usize..gap.to as usize);
    info.spare = page.header.first_freeblock != 0 || gap.is_none_or(|gap| !all_zero(gap));
    let account = page.account(scratch);
    let whole = bytes.len() >= geometry.page_size as usize;
    let right = page.header.right_child;
    let right_fits = !kind.is_interior() || (1..=page_count).contains(&right);
    let count_fits = usize::from(page.header.cell_count) <= page.most_cells();
    info.sound = account.sound && info.bad == 0 && ordered && whole && right_fits && count_fits;
    let borne_out = if kind.is_interior() && right_fits && info.bad == 1 {
        // A small root, one link of which is broken.
        account.damage.is_empty() || info.cells > 0
    } else if info.cells == 0 {
        info.sound
    } else if kind.is_interior() {
        info.cells + 1 >= info.bad && right_fits || info.cells > 2 * info.bad
    } else {
        true
    };
    if borne_out {
        info.kind = Some(kind);
    } else {
        info.doubtful = true;
    }
    info
}

/// Bytes of a sector, the least that a disk loses.
pub(super) const SECTOR: u32 = 512;

/// The sectors of a page. Those of a page of a log or a journal don't begin where it does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sectors {
    /// Bytes of the first one that lie before the page.
    before: u32,
}

impl Sectors {
    /// Of a page at this offset in its file.
    pub(super) const fn of_page_at(offset: u64) -> Self {
        Self { before: (offset % SECTOR as u64) as u32 }
    }

    /// The number of the sector in which a byte of the page lies, from 0.
    pub(super) const fn of(self, at: u32) -> u32 {
        (at + self.before) / SECTOR
    }

    /// The first sector that begins at a byte of the page, or behind it.
    pub(super) const fn from(self, at: u32) -> u32 {
        (at + self.before).div_ceil(SECTOR)
    }

    /// Where on the page a sector begins.
    pub(super) const fn start(self, sector: u32) -> u32 {
        (sector * SECTOR).saturating_sub(self.before)
    }

    /// What a page of so many bytes has of a sector.
    pub(super) fn extent(self, sector: u32, page: u32) -> Extent {
        Extent { from: self.start(sector), to: self.start(sector + 1).min(page) }
    }
}

/// The least part of a sector, of which the rest lies off the page, that tells by itself of a loss: numbers may hold fewer
/// zeros.
pub(super) const LEAST_PART: u32 = 64;

/// The sectors of a page that hold cell content and are all zeros.
pub(super) fn zero_sectors<'v>(
    version: &PageVersion<'v>,
    content_start: u32,
    geometry: Geometry,
) -> impl Iterator<Item = Extent> + use<'v> {
    let (bytes, usable) = (version.bytes, geometry.usable());
    let sectors = Sectors::of_page_at(version.offset);
    (sectors.from(content_start)..sectors.from(usable)).filter_map(move |sector| {
        let extent = sectors.extent(sector, usable);
        all_zero(bytes.get(extent.from as usize..extent.to as usize)?).then_some(extent)
    })
}

/// Whether a cell's record, or its link, can be one.
pub(super) fn reads(page: &Page<'_>, cell: &Cell, page_count: u32) -> bool {
    columns(page, cell, page_count).is_some()
}

/// The columns of a cell's record, 0 where there is none; `None` when record or child can't be one.
fn columns(page: &Page<'_>, cell: &Cell, page_count: u32) -> Option<u16> {
    let kind = page.header.kind;
    if kind.is_interior() && !(1..=page_count).contains(&cell.left_child) {
        return None;
    }
    if cell.overflow > page_count || cell.overflow == 0 && cell.spilled() > 0 {
        // The row's local part may still be of use, but the cell is not as SQLite wrote it.
        return None;
    }
    if kind == PageKind::TableInterior {
        return Some(0);
    }
    record_columns(page, cell)
}

/// The columns of a cell's record, whatever its link, 0 where its header spills.
fn record_columns(page: &Page<'_>, cell: &Cell) -> Option<u16> {
    match record::header(cell.local_payload(page.bytes), cell.payload_len) {
        Ok(header) => (header.columns > 0).then_some(header.columns as u16),
        // The header of a wide row may itself spill.
        Err(record::RecordFault::Truncated) => (cell.spilled() > 0).then_some(0),
        Err(_) => None,
    }
}
