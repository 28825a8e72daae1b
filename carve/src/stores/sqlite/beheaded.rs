//! Files of which every page has lost its beginning: what ransomware leaves that encrypts every other block of a file.
//!
//! A leaf keeps its cells at its end, one beside the other: the last of them ends where the page does. So the cells of a page
//! whose header and pointers are lost show its kind, and where pages end. Such pages get a header and pointers again, in
//! place of the bytes that are lost: all else then reads them as pages that are damaged.

mod links;

use super::database::Database;
use super::noise::{SECTOR, is_noise, places_outside};
use super::survey;
use crate::model::Finding;
use crate::source::Source;
use crate::words::count;
use links::{Link, Ranges};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freeblock_chain::{self, MOST_OF_A_FRAGMENT};
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::journal;
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::salvage;
use mudlark_parsers::sqlite::serial::SerialKind;
use mudlark_parsers::sqlite::wal;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// Pages that are looked at to tell the page size.
const SAMPLE: usize = 96;

/// Bytes at the end of a page that are looked at for it.
const TAIL: u32 = 2048;

/// Cells in all that end pages by accident nowhere.
const ENOUGH_CELLS: usize = 4;

/// One in so many pages ends with cells: others are interior pages, or of chains.
const SHARE: usize = 16;

/// The page size by which pages end where cells do, in a file in which no page begins as one, and the bytes behind them that
/// are reserved.
pub(super) fn geometry(bytes: &[u8]) -> Option<Geometry> {
    let told: Vec<Ends> = PAGE_SIZES.into_iter().filter_map(|size| Ends::of(bytes, size)).collect();
    // A page may end so by accident.
    let several = told.iter().any(|ends| ends.pages > 1);
    let told = || told.iter().filter(|ends| !several || ends.pages > 1);
    let most = told().map(|ends| ends.share).fold(0.0, f64::max);
    // Where pages end others of twice the size do as well, and half as many of half the size.
    told().find(|ends| ends.share > 0.75 * most).map(|ends| ends.geometry)
}

/// How the pages of a file end, if they are of a size.
struct Ends {
    geometry: Geometry,
    /// Pages of a sample that end with cells, and their share of it.
    pages: usize,
    share: f64,
}

impl Ends {
    /// `None` where pages of this size end anyhow, or too few are looked at for it to be no accident.
    fn of(bytes: &[u8], page_size: u32) -> Option<Self> {
        let size = page_size as usize;
        let geometry = Geometry::new(page_size, 0)?;
        let pages = bytes.len() / size;
        let step = pages.div_ceil(SAMPLE).max(1);
        // For each number of bytes behind the last cell the pages, and the cells on them.
        let mut ending: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        let mut asked = 0;
        for index in (0..pages).step_by(step) {
            let page = bytes.get(index * size..(index + 1) * size)?;
            let kinds = [PageKind::TableLeaf, PageKind::IndexLeaf];
            let runs = kinds.into_iter().filter_map(|kind| last_run(page, kind, geometry));
            let (cells, end) = runs.max().unwrap_or_default();
            asked += 1;
            if cells > 1 {
                let (pages, all_cells) = ending.entry(page_size - end).or_default();
                (*pages, *all_cells) = (*pages + 1, *all_cells + cells);
            }
        }
        let all: usize = ending.values().map(|(pages, _)| pages).sum();
        let most = ending.into_iter().max_by_key(|(reserved, (pages, _))| (*pages, Reverse(*reserved)));
        let (reserved, (ending, cells)) = most?;
        let geometry = Geometry::new(page_size, u8::try_from(reserved).ok()?)?;
        let enough = cells >= ENOUGH_CELLS && ending * SHARE >= asked && 2 * ending > all;
        // Page 1 holds no rows but those of the schema.
        let told = enough && (ending > 1 || reserved == 0) && pages > 1;
        told.then(|| Self {
            geometry,
            pages: ending,
            share: f64::from(ending as u32) / f64::from(asked as u32),
        })
    }
}

/// How many cells of one width stand side by side behind all others of a page, and where the last of them ends.
fn last_run(page: &[u8], kind: PageKind, geometry: Geometry) -> Option<(usize, u32)> {
    let extent = Extent { from: geometry.usable().saturating_sub(TAIL), to: geometry.usable() };
    if is_noise(page.get(page.len().saturating_sub(SECTOR)..)?) {
        return None;
    }
    let cells = salvage::cells(page, extent, kind, geometry, &|_, header| is_plausible(header));
    let last = cells.last()?;
    let width = columns(page, last);
    let mut at = last.end;
    let run = cells.iter().rev().take_while(|cell| {
        let touches = cell.end == at && columns(page, cell) == width;
        at = cell.at;
        touches
    });
    // Cells of one column are too short to tell much.
    Some((run.count(), last.end)).filter(|_| width > 1)
}

fn columns(page: &[u8], cell: &Cell) -> usize {
    record::header_only(cell.local_payload(page)).map_or(0, |header| header.columns)
}

fn is_plausible(header: &RecordHeader<'_>) -> bool {
    header.serials().all(|serial| serial.kind() != SerialKind::Reserved)
}

/// The main file, of which all pages have lost their headers, with headers and pointers again; `None` where that can't be done.
/// Its pages end as those of this geometry do; a log or a journal beside it may say better.
pub(super) fn rebuilt(main: &Source, told: Geometry, others: &[Source]) -> Option<Source> {
    let bytes = main.bytes();
    let beside = others.iter().find_map(page_size_of_log).filter(|size| *size != told.page_size);
    let beside = beside
        .and_then(|size| Geometry::new(size, Ends::of(bytes, size).map_or(0, |ends| ends.geometry.reserved)));
    let geometry = beside.unwrap_or(told);
    let size = geometry.page_size as usize;
    let pages = bytes.len().div_ceil(size);
    let page = |index: usize| {
        let number = u32::try_from(index + 1).ok()?;
        let page = bytes.get(index * size..((index + 1) * size).min(bytes.len()))?;
        let info = survey::look(page, number, geometry, pages as u32, &mut Vec::new());
        // A free page that lists others has lost its header as well, and what it holds is gone.
        let is_trunk = freelist::is_bare_trunk(page, pages as u32)
            || freelist::plausible_trunk(page, geometry.usable(), pages as u32).is_some();
        let lacks = info.kind.is_none() && !info.zero && !is_trunk;
        lacks.then(|| (number, page, leaf(page, geometry), links::side_by_side(page, geometry, pages as u32)))
    };
    let found: Vec<_> = (0..pages).into_par_iter().filter_map(page).collect();
    let of_rows = |leaf: &Leaf| {
        let ids = || leaf.cells.iter().map(|cell| cell.rowid);
        leaf.kind.is_table().then(|| ids().min().zip(ids().max())).flatten()
    };
    let mut ranges: Ranges =
        found.iter().filter_map(|(number, _, leaf, _)| Some((*number, of_rows(leaf)?))).collect();
    let mut interior: HashMap<u32, &[Link]> = HashMap::new();
    for _ in 0..MOST_LEVELS {
        for (number, _, _, links) in &found {
            let told = links::borne_out(links, &ranges);
            let (Some(first), Some(last)) = (told.first(), told.last()) else { continue };
            interior.insert(*number, told);
            let least = ranges.get(&first.child).map_or(first.key, |(least, _)| *least);
            // What rows the page holds besides are left from when it was a leaf.
            ranges.insert(*number, (least, last.key));
        }
    }
    let head = |(number, page, leaf, _): &(u32, &[u8], Leaf, Vec<Link>)| {
        let links = interior.get(number).copied();
        let head = links.map_or_else(|| leaf.head(page, geometry), of_links);
        let from = if *number == 1 { header::LEN } else { 0 };
        let room = head.as_ref().map_or(0, |(content, _)| *content as usize);
        let head = head.filter(|(_, head)| from + head.len() <= room)?.1;
        Some((u64::from(*number - 1) * size as u64 + from as u64, head))
    };
    let heads: Vec<(u64, Vec<u8>)> = found.par_iter().filter_map(head).collect();
    main.with_heads(heads, geometry.page_size)
}

/// The page size that a log or a journal states.
fn page_size_of_log(source: &Source) -> Option<u32> {
    let of_log = wal::sound_header(source.bytes()).ok().map(|header| header.page_size);
    of_log.or_else(|| journal::sound_header(source.bytes()).ok().map(|header| header.page_size))
}

/// Levels of interior pages that are told.
const MOST_LEVELS: usize = 3;

/// Where the content of a page begins, with its header and its pointers.
type Head = (u32, Vec<u8>);

/// Two bytes of a header; 65536 is written as 0.
fn two(number: u32) -> [u8; 2] {
    u16::try_from(number).unwrap_or(0).to_be_bytes()
}

/// A header with the pointers to cells; `right` is what interior pages have beside.
fn header_of(
    kind: PageKind,
    first_block: u32,
    content: u32,
    right: &[u8],
    at: impl Iterator<Item = u32>,
) -> Vec<u8> {
    let pointers: Vec<u8> = at.flat_map(two).collect();
    let mut head = vec![kind as u8];
    head.extend(two(first_block));
    head.extend(two(pointers.len() as u32 / 2));
    head.extend(two(content));
    head.push(0);
    head.extend(right);
    head.extend(pointers);
    head
}

/// The header of an interior page; the page on its right is lost.
fn of_links(links: &[Link]) -> Option<Head> {
    let content = links.iter().map(|link| link.at).min()?;
    Some((content, header_of(PageKind::TableInterior, 0, content, &[0; 4], links.iter().map(|link| link.at))))
}

/// What the bytes of a page without a header show of rows or entries.
struct Leaf {
    kind: PageKind,
    cells: Vec<Cell>,
}

/// The kind of which a page shows most.
fn leaf(page: &[u8], geometry: Geometry) -> Leaf {
    // A row can be read as an entry from its second byte on, and not the other way.
    let kinds = [PageKind::TableLeaf, PageKind::IndexLeaf, PageKind::IndexInterior];
    let places = places_outside(page);
    let weight = |leaf: &Leaf| leaf.cells.iter().map(|cell| cell.end - cell.at).sum::<u32>();
    let mut best = Leaf { kind: PageKind::TableLeaf, cells: Vec::new() };
    for kind in kinds {
        let leaf = Leaf { kind, cells: cells(page, &places, kind, geometry) };
        if weight(&leaf) > weight(&best) {
            best = leaf;
        }
        if weight(&best) as usize * 2 > places.len() {
            break;
        }
    }
    best
}

impl Leaf {
    fn head(&self, page: &[u8], geometry: Geometry) -> Option<Head> {
        let first = self.cells.iter().map(|cell| cell.at).min()?;
        let blocks = freeblock_chain::told(page, &self.cells, geometry.usable());
        let first_block = blocks.iter().map(|block| block.from).min();
        let mut cells = self.cells.clone();
        if self.kind.is_table() {
            cells.sort_by_key(|cell| cell.rowid);
        } else {
            // Entries were laid from the end of the page on.
            cells.reverse();
        }
        let right: &[u8] = if self.kind.is_interior() { &[0; 4] } else { &[] };
        let content = first.min(first_block.unwrap_or(first));
        let at = cells.iter().map(|cell| cell.at);
        Some((content, header_of(self.kind, first_block.unwrap_or(0), content, right, at)))
    }
}

/// The cells of a kind that a page without its header holds: those that stand side by side, and others of their width behind
/// the first of these.
fn cells(page: &[u8], places: &[u16], kind: PageKind, geometry: Geometry) -> Vec<Cell> {
    let mut cells = salvage::cells_at(page, places, kind, geometry, &|_, header| is_plausible(header));
    // For each cell whether another one, or the end of the page, stands right behind it.
    let touch = |pair: &[Cell]| matches!(pair, [one, next] if next.at - one.end <= MOST_OF_A_FRAGMENT);
    let ends_page = cells.last().is_some_and(|last| last.end == geometry.usable());
    let behind: Vec<bool> = cells.windows(2).map(touch).chain([ends_page]).collect();
    let before = std::iter::once(false).chain(behind.iter().copied());
    let beside: Vec<bool> = before.zip(&behind).map(|(before, behind)| before || *behind).collect();
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for (cell, _) in cells.iter().zip(&beside).filter(|(_, beside)| **beside) {
        *widths.entry(columns(page, cell)).or_default() += 1;
    }
    let width = widths.into_iter().max_by_key(|(_, count)| *count).map(|(width, _)| width);
    let first = cells.iter().zip(&beside).position(|(_, beside)| *beside).unwrap_or(cells.len());
    let mut beside = beside.into_iter().enumerate();
    cells.retain(|cell| {
        let (index, beside) = beside.next().unwrap_or((0, false));
        beside || index > first && Some(columns(page, cell)) == width
    });
    let free = freeblock_chain::told(page, &cells, geometry.usable());
    cells.retain(|cell| !free.iter().any(|block| block.from < cell.end && cell.at < block.to));
    cells
}

/// How many pages of the main file have lost their headers.
pub(super) fn finding(database: &Database<'_>) -> Option<Finding> {
    let id = database.roles.main?;
    let pages = database.sources.get(usize::from(id.0))?.rebuilt();
    let is = format!("{} without a header", count(pages as u64, "page"));
    let expected =
        "a header on each page: their rows are those that stand side by side at its end".to_owned();
    (pages > 0)
        .then(|| Finding { source: Some(id), ..Finding::note("page_header", "mismatch", is, expected) })
}
