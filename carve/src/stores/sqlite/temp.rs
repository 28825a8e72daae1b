//! Temp files: statement journals, what sorters spill, and temporary databases.
//!
//! SQLite writes them where `SQLITE_TMPDIR` says and unlinks them at once, so that they are met in images, in copies of
//! open files, and where a system keeps them. Content tells what each is. A temporary database, of `VACUUM` or of temp
//! tables and materialised results, is a database like others, mostly without its page 1: then its name tells that it
//! goes with another one, as the names of logs do.

use super::detect;
use super::survey::look;
use crate::source::Source;
use foldhash::quality::FixedState;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::journal::Record;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::serial::SerialKind;
use mudlark_parsers::sqlite::spill::{self, Spilled};
use mudlark_parsers::sqlite::{header, journal, statement_journal, wal};
use std::collections::HashSet;
use std::hash::BuildHasher;

/// What the names of SQLite's temp files begin with (`SQLITE_TEMP_FILE_PREFIX`); who copies one may put more before it.
const PREFIX: &str = "etilqs_";

/// What a temp file holds.
#[derive(Clone, Debug)]
pub(super) enum Temp {
    /// Pages as they stood before a statement.
    Statement { page_size: u32, records: Vec<Record> },
    /// Records that a sorter spilled.
    Spill(Vec<Spilled>),
    /// Pages of a temporary database.
    Database(Geometry),
}

/// What bytes are a temp file by themselves: a statement journal, or a sorter's.
pub(super) fn read(bytes: &[u8]) -> Option<Temp> {
    if header::header(bytes).is_ok() || wal::wal_header(bytes).is_ok() || bytes.starts_with(&journal::MAGIC) {
        return None;
    }
    if spill::is_spill(bytes) {
        return Some(Temp::Spill(spill::records(bytes)));
    }
    let page_size = statement_journal::page_size(bytes)?;
    Some(Temp::Statement { page_size, records: statement_journal::records(bytes, page_size) })
}

/// Whether a file has the name of a temp file.
pub(super) fn is_named(source: &Source) -> bool {
    source.name().contains(PREFIX)
}

impl Temp {
    /// A temporary database.
    pub(super) fn database(bytes: &[u8]) -> Option<Self> {
        detect::detect(bytes)
            .filter(|detected| detected.borne_out)
            .map(|detected| Self::Database(detected.geometry))
    }

    /// What it is, for a person.
    pub(super) fn what(&self) -> String {
        match self {
            Self::Statement { page_size, .. } => format!("SQLite statement journal, page size {page_size}"),
            Self::Spill(records) => format!("SQLite sorter's temp file, {} records", records.len()),
            Self::Database(geometry) => format!("SQLite temp database, page size {}", geometry.page_size),
        }
    }

    /// The same, as a role beside others.
    pub(super) const fn role(&self) -> &'static str {
        match self {
            Self::Statement { .. } => "SQLite statement journal",
            Self::Spill(_) => "SQLite sorter's temp file",
            Self::Database(_) => "SQLite temp database",
        }
    }
}

/// Values of a temp file that are looked for in main files.
const VALUES: usize = 4096;

/// How many values of a temp file a main file holds too; `None` where the page size rules it out.
pub(super) fn kinship(main: &[u8], temp: &[u8]) -> Option<u64> {
    let geometry = detect::detect(main)?.geometry;
    let mut wanted: HashSet<u64> = HashSet::new();
    let mut want = |header: &RecordHeader<'_>, payload: &[u8]| {
        each_value(header, payload, |value| {
            if wanted.len() < VALUES {
                wanted.insert(value);
            }
        });
    };
    match read(temp).or_else(|| Temp::database(temp))? {
        Temp::Statement { page_size, .. } if page_size != geometry.page_size => return None,
        Temp::Statement { page_size, records } => {
            for record in &records {
                let from = record.offset as usize;
                let page = temp.get(from..temp.len().min(from.saturating_add(page_size as usize)));
                each_record(page.unwrap_or_default(), record.page, geometry, &mut want);
            }
        }
        Temp::Spill(records) => {
            for spilled in &records {
                let payload = temp.get(spilled.record_at..spilled.end()).unwrap_or_default();
                if let Ok(header) = record::header(payload, spilled.len as u64) {
                    want(&header, payload);
                }
            }
        }
        Temp::Database(own) => pages(temp, own, &mut want),
    }
    let mut held: HashSet<u64> = HashSet::new();
    pages(main, geometry, &mut |header, payload| {
        each_value(header, payload, |value| {
            if wanted.contains(&value) {
                held.insert(value);
            }
        });
    });
    Some(held.len() as u64)
}

/// Calls `each` with the records of the leaves of a file.
fn pages(bytes: &[u8], geometry: Geometry, each: &mut dyn FnMut(&RecordHeader<'_>, &[u8])) {
    for (page, number) in bytes.chunks(geometry.page_size as usize).zip(1..) {
        each_record(page, number, geometry, each);
    }
}

/// Calls `each` with the records of a page.
fn each_record(
    bytes: &[u8],
    number: u32,
    geometry: Geometry,
    each: &mut dyn FnMut(&RecordHeader<'_>, &[u8]),
) {
    let Some(page) = Page::parse(bytes, number, geometry) else { return };
    if page.header.kind == PageKind::TableInterior {
        return;
    }
    for cell in page.good_cells() {
        let payload = cell.local_payload(bytes);
        if let Ok(header) = record::header(payload, cell.payload_len) {
            each(&header, payload);
        }
    }
}

/// Bytes of a value that tell it from others.
const TELLING: usize = 4;

/// Calls `each` with the fingerprints of texts and BLOBs that tell.
fn each_value(header: &RecordHeader<'_>, payload: &[u8], mut each: impl FnMut(u64)) {
    for (serial, bytes) in record::cells(header.serials(), header.len, payload) {
        let bytes = bytes.filter(|bytes| bytes.len() >= TELLING && !all_zero(bytes));
        if let Some(bytes) = bytes.filter(|_| matches!(serial.kind(), SerialKind::Text | SerialKind::Blob)) {
            each(FixedState::with_seed(0).hash_one(bytes));
        }
    }
}

/// The pages of a temp database that hold records, and how many cells of each read.
pub(super) fn leaves(bytes: &[u8], geometry: Geometry) -> Vec<u32> {
    let pages = u32::try_from(bytes.len().div_ceil(geometry.page_size as usize)).unwrap_or(u32::MAX);
    let mut scratch = Vec::new();
    let holds = |(page, number): &(&[u8], u32)| {
        let info = look(page, *number, geometry, pages, &mut scratch);
        info.cells > info.bad && info.kind.is_some_and(|kind| kind != PageKind::TableInterior)
    };
    bytes.chunks(geometry.page_size as usize).zip(1..).filter(holds).map(|(_, number)| number).collect()
}
