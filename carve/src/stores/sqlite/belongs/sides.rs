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
use std::ops::Range;

/// Pages of the log that are held against those of the main file: more would tell nothing new.
pub const MOST_PAGES: usize = 1024;

/// Bytes of a record that tell it from others: two small integers are equal by accident.
const TELLING: usize = 6;

/// Of so many bytes one at most is flipped on a page that can be known again.
const LEAST_SAME: usize = 64;

/// Where the header has what transactions count, from the change counter on.
const COUNTED: Range<usize> = 24..header::LEN;

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

    /// Whether the main file holds all that the log's current generation committed. As long as it lacks a page, it may be of
    /// a copy of the database that has the first commits in common, and went its own way behind them.
    pub fn is_all_copied(&self) -> bool {
        let last: BTreeMap<u32, &Frame> = self.commits().flatten().map(|frame| (frame.page, frame)).collect();
        let count = self.commits().flatten().last().map_or(0, |frame| frame.commit);
        let of_database = last.iter().filter(|(page, _)| **page <= count);
        !last.is_empty()
            && of_database.into_iter().all(|(page, frame)| {
                let image = self.image(frame);
                image.is_some() && image == self.page(*page)
            })
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
        (!self.is_copied(1, true) && !self.is_checkpointed()).then_some(head)
    }

    /// Whether page 1 of the main file counts what one of the log's does, and most pages that the log writes were copied: so
    /// was page 1, and damaged since. What a later transaction changes of it, it counts there: pages, free ones, definitions.
    fn is_checkpointed(&self) -> bool {
        let frames = self.by_page.get(&1).into_iter().flatten();
        let mut of_log =
            frames.filter(|frame| frame.own && frame.sound).filter_map(|frame| self.image(frame));
        let counted = |page: &'a [u8]| page.get(COUNTED);
        let own = self.page(1).and_then(counted);
        if own.is_none() || !of_log.any(|image| counted(image) == own) {
            return false;
        }
        let written = self.by_page.iter().filter(|(_, frames)| frames.iter().any(|frame| frame.own));
        let written: Vec<u32> = written.map(|(page, _)| *page).take(MOST_PAGES).collect();
        let copied = written.iter().filter(|page| self.is_copied_but_for_flips(**page)).count();
        copied * 2 > written.len()
    }

    /// Whether the main file holds a page as a frame of the log's current generation has it, but for flipped bits.
    fn is_copied_but_for_flips(&self, number: u32) -> bool {
        let frames = self.by_page.get(&number).map(Vec::as_slice).unwrap_or_default();
        let Some(page) = self.page(number) else { return false };
        let is_same = |image: &[u8]| {
            let differing =
                image.iter().zip(page).map(|(a, b)| (a ^ b).count_ones()).filter(|bits| *bits > 0);
            let (mut bytes, mut flips) = (0, 0);
            differing.for_each(|bits| (bytes, flips) = (bytes + 1, flips + u32::from(bits == 1)));
            bytes == flips && flips as usize * LEAST_SAME <= page.len()
        };
        frames.iter().filter(|frame| frame.own).filter_map(|frame| self.image(frame)).any(is_same)
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
