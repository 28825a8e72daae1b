//! Page size and reserved bytes: from the header, or from the pages where it is gone or lies.

use super::beheaded;
use super::shifted;
use super::survey::look;
use crate::source::Source;
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::page::{Page, PageKind, page_header};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::stale_pointers;
use std::collections::BTreeMap;

/// Pages that are looked at to tell the page size: enough for a tree page among many overflow pages.
const SAMPLE: usize = 512;

/// How the pages of a file show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pages {
    /// At multiples of their size, if at all.
    #[default]
    InPlace,
    /// All have lost their beginning: the cells at their ends tell how large they are.
    Beheaded,
    /// At other offsets only.
    Shifted,
}

/// What a main file is.
#[derive(Clone, Debug)]
pub(super) struct Detected {
    pub header: Option<Header>,
    pub geometry: Geometry,
    /// Whether pages were found that can only be an SQLite database's.
    pub borne_out: bool,
    /// How its pages show.
    pub pages: Pages,
    /// What the header says and the pages disprove, or what had to be found without it.
    pub notes: Vec<(&'static str, String, String)>,
}

impl Detected {
    /// The same, where the page 1 that a log or a journal holds says how large pages are: as the pages lie counts only where
    /// nothing says so.
    pub(super) fn told(mut self, beside: Geometry) -> Self {
        let stated = self.header.and_then(|header| header.geometry());
        if stated != Some(self.geometry) && self.geometry != beside {
            let expected =
                format!("{} with {} reserved, as page 1 beside it says", beside.page_size, beside.reserved);
            let of_size = |note: &&mut (&str, String, String)| note.0 == "database_header.page_size";
            if let Some(note) = self.notes.iter_mut().find(of_size) {
                note.2 = expected;
            }
            self.geometry = beside;
        }
        self
    }
}

/// Tells what a source is. Of one that was put together out of an image that is known already.
pub(super) fn of(source: &Source) -> Option<Detected> {
    let Some(page_size) = source.scattered() else { return detect(source.bytes()) };
    let header =
        source.get(0, header::LEN).and_then(|bytes| header::header(bytes).ok()).map(|(_, header)| header);
    let geometry = header.and_then(|header| header.geometry()).filter(|stated| stated.page_size == page_size);
    let reserved = || Geometry::new(page_size, reserved_of_all(source, page_size));
    let geometry = geometry.or_else(reserved).unwrap_or(Geometry { page_size, reserved: 0 });
    Some(Detected { header, geometry, borne_out: true, pages: Pages::InPlace, notes: Vec::new() })
}

/// Tells what the main file is; `None` when nothing about it is an SQLite database.
pub(super) fn detect(bytes: &[u8]) -> Option<Detected> {
    let header = header::header(bytes).ok().map(|(_, header)| header);
    let stated = header.and_then(|header| header.geometry());
    let mut notes = Vec::new();
    let magic_only = bytes.starts_with(header::MAGIC);
    let geometry = match stated {
        Some(stated) if is_borne_out(bytes, stated, Health::Sound) => stated,
        stated => match (best_geometry(bytes), stated) {
            (Some(found), Some(stated)) => {
                notes.push((
                    "database_header.page_size",
                    format!("{} with {} reserved", stated.page_size, stated.reserved),
                    format!("{} with {} reserved, as the pages lie", found.page_size, found.reserved),
                ));
                found
            }
            (Some(found), None) => {
                let found_text = if magic_only { "a value that the format forbids" } else { "no header" };
                notes.push((
                    "database_header.page_size",
                    found_text.to_owned(),
                    format!("{} with {} reserved, as the pages lie", found.page_size, found.reserved),
                ));
                found
            }
            (None, stated) => {
                let told = header.and_then(|header| by_length(bytes, &header));
                match (told, stated) {
                    (Some(told), _) => told,
                    (None, Some(stated)) => stated,
                    (None, None) if magic_only => by_first_page(bytes, header)?,
                    (None, None) => return out_of_place(bytes, header),
                }
            }
        },
    };
    let borne_out = HEALTHS.into_iter().any(|health| is_borne_out(bytes, geometry, health));
    Some(Detected { header, geometry, borne_out, pages: Pages::InPlace, notes })
}

/// A file in which no page begins where one should, by the pages that lie elsewhere, or the cells with which they end.
fn out_of_place(bytes: &[u8], header: Option<Header>) -> Option<Detected> {
    let shifted =
        || Some((shifted::geometry(bytes)?, Pages::Shifted, "pages read that lie beside their places"));
    let beheaded = || Some((beheaded::geometry(bytes)?, Pages::Beheaded, "pages end with cells"));
    let (geometry, pages, why) = shifted().or_else(beheaded)?;
    let expected = format!("{}, as {why}", geometry.page_size);
    let notes = vec![("database_header.page_size", "no header".to_owned(), expected)];
    Some(Detected { header, geometry, borne_out: true, pages, notes })
}

/// The geometry by which the file is as long as its header counts pages: where no page shows its size.
fn by_length(bytes: &[u8], header: &Header) -> Option<Geometry> {
    let pages = usize::try_from(header.believed_page_count()?).ok()?;
    let size = u32::try_from(bytes.len() / pages).ok()?;
    bytes.len().is_multiple_of(pages).then(|| Geometry::new(size, header.reserved))?
}

/// The page size that SQLite takes where none is chosen.
const USUAL_SIZE: u32 = 4096;

/// The geometry of a file of which no page shows its size: what the header states, but for reserved bytes that leave too few;
/// the usual one, or where page 1 says that its content begins behind such a page the least in which it can.
fn by_first_page(bytes: &[u8], header: Option<Header>) -> Option<Geometry> {
    if let Some(stated) = header.and_then(|header| Header { reserved: 0, ..header }.geometry()) {
        return Some(stated);
    }
    let head = bytes.get(header::LEN..).and_then(page_header);
    let content = head.filter(|head| head.kind.is_table()).map_or(0, |head| head.content_start);
    let can_be = |size: &u32| *size >= content && bytes.len().is_multiple_of(*size as usize);
    let least = PAGE_SIZES.into_iter().filter(|size| *size > USUAL_SIZE).find(can_be);
    let size = if content <= USUAL_SIZE { USUAL_SIZE } else { least.unwrap_or(USUAL_SIZE) };
    Geometry::new(size, 0)
}

/// Page numbers to look at: the first ones and an even sample of the rest.
pub(super) fn sample(pages: usize) -> impl Iterator<Item = usize> {
    let step = (pages / SAMPLE).max(1);
    (0..pages.min(16)).chain((16..pages).step_by(step))
}

/// Which pages are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// Those of which every byte is accounted for.
    Sound,
    /// Those of which most cells read, too: where no page is sound.
    Damaged,
    /// Those that were emptied, and whose pointers still lead to cells: where no row is live.
    Emptied,
}

/// All of them, in the order in which they are asked.
const HEALTHS: [Health; 3] = [Health::Sound, Health::Damaged, Health::Emptied];

/// Good cells of a damaged page that are no accident.
const CONVINCING_CELLS: u16 = 4;

/// The b-tree pages of a health in a sample of the file, each with its weight by cells.
fn tree_pages(bytes: &[u8], geometry: Geometry, health: Health) -> impl Iterator<Item = u64> {
    let size = geometry.page_size as usize;
    let pages = bytes.len() / size;
    let mut scratch = Vec::new();
    sample(pages).filter_map(move |index| {
        let (page, number) = (bytes.get(index * size..(index + 1) * size)?, index as u32 + 1);
        if health == Health::Emptied {
            let cells = emptied_cells(page, number, geometry);
            return (cells >= usize::from(CONVINCING_CELLS)).then_some(cells as u64 + 1);
        }
        let info = look(page, number, geometry, pages as u32, &mut scratch);
        // An empty page is easily met by accident, one with cells is not.
        let good = info.sound && info.cells > 0
            || health == Health::Damaged && info.cells >= CONVINCING_CELLS && info.cells > info.bad;
        (info.kind.is_some() && good).then(|| u64::from(info.cells) + 1)
    })
}

/// Cells to which the pointers of a leaf without rows still lead.
fn emptied_cells(page: &[u8], number: u32, geometry: Geometry) -> usize {
    let page = Page::parse(page, number, geometry).filter(|page| {
        !page.header.kind.is_interior()
            && page.header.cell_count == 0
            && page.header.content_start == geometry.usable()
    });
    let cells = |page: Page<'_>| {
        let extent = (page.pointers_at(), geometry.usable() as usize);
        stale_pointers::cells(page.bytes, extent, page.header.kind, geometry).cells.len()
    };
    page.map_or(0, cells)
}

/// Whether any page of the sample is one: of a sound file the first ones tell.
fn is_borne_out(bytes: &[u8], geometry: Geometry, health: Health) -> bool {
    tree_pages(bytes, geometry, health).next().is_some()
}

/// One in so many pages of a store of which no page is sound reads as a damaged one: of other bytes, in which anything may
/// read so by accident, far fewer do.
const SHARE: usize = 16;

/// Whether a file in which no sound part shows, and no header, can be a store all the same: enough of it reads as damaged
/// pages.
pub(super) fn may_be_damaged(bytes: &[u8]) -> bool {
    let Some(geometry) = best_geometry(bytes) else { return false };
    let pages = sample(bytes.len() / geometry.page_size as usize).count();
    let read = |health| tree_pages(bytes, geometry, health).count();
    HEALTHS.into_iter().any(|health| SHARE * read(health) >= pages)
}

/// Whether a file is a store, though no page of it begins where one should.
pub(super) fn is_out_of_place(bytes: &[u8]) -> bool {
    detect(bytes).is_some_and(|detected| detected.pages != Pages::InPlace)
}

/// The geometry under which most pages read, without the header's help.
fn best_geometry(bytes: &[u8]) -> Option<Geometry> {
    let mut best: Option<(u64, Geometry)> = None;
    for health in HEALTHS {
        for page_size in PAGE_SIZES {
            for reserved in [0, seen_reserved(bytes, page_size)] {
                let Some(geometry) = Geometry::new(page_size, reserved) else { continue };
                let cells: u64 = tree_pages(bytes, geometry, health).sum();
                let score = cells * u64::from(page_size).isqrt();
                if score > 0 && best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, geometry));
                }
            }
        }
        if best.is_some() {
            break;
        }
    }
    best.map(|(_, geometry)| geometry)
}

/// Reserved bytes: SQLite fills pages from the end of the usable part, so the furthest cell end tells it.
fn seen_reserved(bytes: &[u8], page_size: u32) -> u8 {
    let size = page_size as usize;
    let mut ends = BTreeMap::new();
    for index in sample(bytes.len() / size) {
        let Some(page) = bytes.get(index * size..(index + 1) * size) else { break };
        if let Some(end) = furthest_end(page, index as u32 + 1, page_size) {
            *ends.entry(end).or_insert(0_u32) += 1;
        }
    }
    let all: u32 = ends.values().sum();
    // The furthest end that is no accident of one page.
    let furthest = ends.iter().rev().find(|(_, count)| **count * 10 >= all).map(|(end, _)| *end);
    furthest.map_or(0, |end| u8::try_from(page_size.saturating_sub(end)).unwrap_or(0))
}

/// Where the cells of a table's leaf end that surely don't spill: whether others do depends on the usable bytes. The
/// header of a page that was emptied says it.
fn furthest_end(page: &[u8], number: u32, page_size: u32) -> Option<u32> {
    let page = Page::parse(page, number, Geometry::new(page_size, 0)?)?;
    if page.header.kind != PageKind::TableLeaf {
        return None;
    }
    if page.header.cell_count == 0 && page.header.first_freeblock == 0 {
        let end = page.header.content_start;
        return (end <= page_size && end + u32::from(u8::MAX) >= page_size).then_some(end);
    }
    let cells = page.good_cells();
    let whole = cells.filter(|cell| {
        cell.overflow == 0 && record::header(cell.local_payload(page.bytes), cell.payload_len).is_ok()
    });
    whole.map(|cell| cell.end).max()
}

/// Leaves that must end at the same place for it to be no accident.
const ENOUGH_LEAVES: u32 = 8;

/// Reserved bytes of pages that no header tells of, and that lie anywhere in an image: nearly all leaves tell them.
fn reserved_of_all(source: &Source, page_size: u32) -> u8 {
    let size = page_size as usize;
    let mut ends = BTreeMap::new();
    let pages = (0..u32::MAX).map(|index| (index, u64::from(index) * u64::from(page_size)));
    let pages = pages.take_while(|(_, at)| *at < source.len());
    let there = pages.filter_map(|(index, at)| Some((index, source.get(at, size)?)));
    for (index, page) in there.filter(|(_, page)| page.len() == size).take(SAMPLE) {
        if let Some(end) = furthest_end(page, index.saturating_add(1), page_size) {
            *ends.entry(end).or_insert(0_u32) += 1;
        }
    }
    let all: u32 = ends.values().sum();
    let nearly_all = |(_, count): &(&u32, &u32)| **count >= ENOUGH_LEAVES && **count * 10 >= all * 9;
    let end = ends.iter().find(nearly_all).map_or(page_size, |(end, _)| *end);
    u8::try_from(page_size.saturating_sub(end)).unwrap_or(0)
}
