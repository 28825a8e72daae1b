//! A main file and a log beside it, and the fingerprints by which pages of both are compared.

use crate::source::Source;
use foldhash::fast::RandomState;
use foldhash::quality::FixedState;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::wal::{Frame, Wal};
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;

/// Pages of the log that are held against those of the main file: more would tell nothing new.
pub const MOST_PAGES: usize = 1024;

/// Bytes of a record that tell it from others: two small integers are equal by accident.
const TELLING: usize = 6;

/// Main file and log.
pub struct Sides<'a> {
    pub main: &'a Source,
    bytes: &'a [u8],
    pub log: &'a Wal,
    pub geometry: Geometry,
    pub by_page: BTreeMap<u32, Vec<&'a Frame>>,
}

impl<'a> Sides<'a> {
    pub fn of(main: &'a Source, bytes: &'a [u8], log: &'a Wal, geometry: Geometry) -> Self {
        let mut by_page: BTreeMap<u32, Vec<&Frame>> = BTreeMap::new();
        for frame in log.frames.iter().chain(&log.older) {
            by_page.entry(frame.page).or_default().push(frame);
        }
        Self { main, bytes, log, geometry, by_page }
    }

    pub fn image(&self, frame: &Frame) -> Option<&'a [u8]> {
        let from = usize::try_from(frame.offset).ok()?;
        self.bytes.get(from..from.checked_add(self.geometry.page_size as usize)?)
    }

    pub fn page(&self, number: u32) -> Option<&'a [u8]> {
        let size = self.geometry.page_size as usize;
        let from = u64::from(number.checked_sub(1)?) * u64::from(self.geometry.page_size);
        self.main.get(from, size).filter(|page| page.len() == size)
    }

    /// Pages that the main file holds.
    pub fn held(&self) -> usize {
        self.main.len().div_ceil(u64::from(self.geometry.page_size)) as usize
    }

    /// Whether the main file holds a page as a frame has it; of the log's current generation only, when `own`.
    pub fn is_copied(&self, number: u32, own: bool) -> bool {
        let frames = self.by_page.get(&number).map(Vec::as_slice).unwrap_or_default();
        let page = self.page(number);
        page.is_some() && frames.iter().any(|frame| (frame.own || !own) && self.image(frame) == page)
    }

    /// Whether the main file holds cells on a page.
    pub fn is_filled(&self, number: u32) -> bool {
        let mut found = HashSet::default();
        cells(self.page(number).unwrap_or_default(), number, self.geometry, &mut found);
        !found.is_empty()
    }

    /// Whether the main file is what a checkpoint made of it that copied the log's frames up to one of them, and nothing
    /// that wrote to it since. Page 1 and pages without cells may be alike where copies of a database went their own ways.
    pub fn is_checkpoint(&self) -> bool {
        // The last frame of each page, and the first that the main file has it from.
        let framed: Vec<(u32, u32, Option<u32>)> = self
            .by_page
            .iter()
            .filter_map(|(page, frames)| {
                let main = self.page(*page);
                let own = || frames.iter().filter(|frame| frame.own && frame.commit_number > 0);
                let copied = own().find(|frame| main.is_some() && self.image(frame) == main);
                Some((*page, own().next_back()?.number, copied.map(|frame| frame.number)))
            })
            .collect();
        let telling = framed.iter().filter(|(page, ..)| *page > 1 && self.is_filled(*page));
        let reached = telling.filter_map(|(.., copied)| *copied).max();
        reached.is_some_and(|reached| {
            framed.iter().all(|(page, last, copied)| {
                // A page that the log wrote again behind that a checkpoint passes over.
                copied.is_some() || *last > reached && !self.has_later_cells(*page)
            })
        })
    }

    /// Whether the main file has a cell of a page that not the first frame but a later one of the log's current generation
    /// has: it is no longer what it was before the log.
    fn has_later_cells(&self, number: u32) -> bool {
        let frames = self.by_page.get(&number).map(Vec::as_slice).unwrap_or_default();
        let mut own = frames.iter().filter(|frame| frame.own).take(MOST_PAGES);
        let found = |bytes: Option<&[u8]>| {
            let mut found = HashSet::default();
            cells(bytes.unwrap_or_default(), number, self.geometry, &mut found);
            found
        };
        let Some(first) = own.next().map(|frame| found(self.image(frame))) else { return false };
        let main = found(self.page(number));
        let main: Prints = main.difference(&first).copied().collect();
        !main.is_empty() && own.any(|frame| !main.is_disjoint(&found(self.image(frame))))
    }

    /// The transactions of the current generation.
    pub fn commits(&self) -> impl Iterator<Item = &'a [Frame]> {
        let committed = self.log.frames.get(..self.log.committed).unwrap_or_default();
        committed.split_inclusive(|frame| frame.commit != 0)
    }

    /// Those before the first that wrote page 1.
    pub fn before_page_1(&self) -> impl Iterator<Item = &'a [Frame]> {
        self.commits().take_while(|commit| commit.iter().all(|frame| frame.page != 1))
    }

    /// The header of the main file when it is that from before the log and its counters agree; of a damaged log a frame
    /// that a checkpoint copied may be lost.
    pub fn base(&self) -> Option<Header> {
        let head = header_of(self.page(1)?).filter(|head| head.change_counter == head.version_valid_for)?;
        (!self.is_copied(1, true)).then_some(head)
    }
}

pub fn header_of(page: &[u8]) -> Option<Header> {
    header::header(page).ok().map(|(_, header)| header)
}
/// Whether no frame of the log is damaged or torn.
pub fn is_whole(log: &Wal) -> bool {
    !log.torn && log.frames.iter().all(|frame| frame.sound)
}

pub type Prints = HashSet<u64, RandomState>;

/// Adds the fingerprints of a page's cells.
pub fn cells(bytes: &[u8], number: u32, geometry: Geometry, out: &mut Prints) {
    each_record(bytes, number, geometry, |kind, rowid, payload| {
        if payload.len() >= TELLING {
            out.insert(FixedState::with_seed(0).hash_one((kind.is_table(), rowid, payload)));
        }
    });
}

/// What the names of SQLite's own tables begin with.
const INTERNAL: &[u8] = b"sqlite_";

/// The names of tables on a page 1, as fingerprints. Those of SQLite's own are made along with the first that needs them,
/// and change the schema no more than that one does.
pub fn tables(bytes: &[u8], geometry: Geometry) -> Prints {
    let mut found = Prints::default();
    each_record(bytes, 1, geometry, |_, _, payload| {
        let Ok(header) = record::header_only(payload) else { return };
        let mut cells = record::cells(header.serials(), header.len, payload).map(|cell| cell.1);
        if let (Some(Some(kind)), Some(Some(name))) = (cells.next(), cells.next())
            && matches!(kind, b"table" | b"t\0a\0b\0l\0e\0" | b"\0t\0a\0b\0l\0e")
            && !name.iter().filter(|byte| **byte != 0).take(INTERNAL.len()).eq(INTERNAL)
        {
            found.insert(FixedState::with_seed(0).hash_one(name));
        }
    });
    found
}

fn each_record(bytes: &[u8], number: u32, geometry: Geometry, mut each: impl FnMut(PageKind, i64, &[u8])) {
    let Some(page) = Page::parse(bytes, number, geometry) else { return };
    let kind = page.header.kind;
    if kind == PageKind::TableInterior {
        return;
    }
    for cell in page.good_cells() {
        let payload = cell.local_payload(bytes);
        if record::header(payload, cell.payload_len).is_ok() {
            each(kind, cell.rowid, payload);
        }
    }
}
