//! The live rows of a table, to tell copies and older versions of them from rows that are gone.

use super::super::chains;
use super::super::entries::owned;
use super::super::prints::content;
use super::super::settle::{self, Place};
use super::{Kept, Search};
use crate::model::Cell as RowCell;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::OnceLock;

pub(super) struct Live<'l, 's, 'a> {
    search: &'l Search<'s, 'a>,
    /// First and last row id of each sound, linked leaf, in order.
    pages: Vec<(i64, i64, u32)>,
    kept: &'l Kept,
    /// In a table without row ids, by the fingerprint of the key: the fingerprint of the row.
    keyed: HashMap<u64, Option<u64>>,
    /// Fingerprints of the rows, and how many have them.
    contents: OnceLock<HashMap<u64, u32>>,
}

/// The fingerprints of a record, and of what it would have been before columns were added, down to `least` of them.
fn contents(serials: &[(u64, usize)], body: &[u8], least: usize) -> Vec<u64> {
    let lengths = least.clamp(1, serials.len().max(1))..=serials.len();
    let shorter = lengths.filter_map(|columns| {
        let kept = serials.get(..columns)?;
        let body = body.get(..kept.iter().map(|serial| serial.1).sum())?;
        Some(content(kept.iter().map(|serial| serial.0), body))
    });
    shorter.collect()
}

impl<'l, 's, 'a> Live<'l, 's, 'a> {
    pub(super) fn of(search: &'l Search<'s, 'a>, kept: &'l Kept) -> Self {
        let database = search.database;
        let mut live =
            Self { search, pages: Vec::new(), kept, keyed: HashMap::new(), contents: OnceLock::new() };
        if search.tree.rowids {
            let settled = |page: &&u32| settle::is_settled(&database.forest, database.ground(), **page);
            let infos = search.tree.pages.iter().filter(settled);
            let infos =
                infos.map(|page| (database.survey.page(*page), *page)).filter(|(info, _)| info.cells > 0);
            live.pages = infos.map(|(info, page)| (info.first, info.last, page)).collect();
            live.pages.sort_unstable();
        } else {
            let rows = search.tree.pages.par_iter().flat_map_iter(|page| live.keyed_page(*page));
            live.keyed = rows.collect::<Vec<_>>().into_iter().collect();
            let content = |page: u32, cell: &Cell| live.content_at(page, cell).flatten();
            let kept = kept.by_key.iter().map(|(key, ((page, _), cell))| (*key, content(*page, cell)));
            let kept: Vec<(u64, Option<u64>)> = kept.collect();
            live.keyed.extend(kept);
        }
        live
    }

    /// Keys and contents of a page of a table without row ids.
    fn keyed_page(&self, number: u32) -> Vec<(u64, Option<u64>)> {
        let mut found = Vec::new();
        self.each_record(number, |serials, body, whole| {
            let key_len: usize = serials.iter().take(self.search.key_cells).map(|serial| serial.1).sum();
            if let Some(key) = body.get(..key_len) {
                let numbers = || serials.iter().map(|serial| serial.0);
                let key = content(numbers().take(self.search.key_cells), key);
                found.push((key, whole.then(|| content(numbers(), body))));
            }
        });
        found
    }

    /// Calls `each` with the serial types, their lengths, the body of each record of a page, and whether it is whole.
    fn each_record(&self, number: u32, mut each: impl FnMut(&[(u64, usize)], &[u8], bool)) {
        let database = self.search.database;
        let Some(version) = database.view.page(number) else { return };
        let Some(page) = Page::parse(version.bytes, version.number, database.view.geometry) else { return };
        if page.header.kind == PageKind::TableInterior {
            return;
        }
        let mut serials = Vec::new();
        for cell in page.cells().filter_map(Result::ok) {
            let payload = chains::read(&database.view, &database.survey, &version, &cell);
            let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
            serials.clear();
            serials.extend(header.serials().map(|serial| (serial.0, serial.len() as usize)));
            let body = payload.bytes.get(header.len..).unwrap_or_default();
            each(&serials, body, payload.whole);
        }
    }

    /// The live row with this id: where it lies.
    pub(super) fn find(&self, rowid: i64) -> Option<(u32, Cell)> {
        if let Some(((page, _), cell)) = self.kept.by_rowid.get(&rowid) {
            return Some((*page, *cell));
        }
        let after = self.pages.partition_point(|(first, _, _)| *first <= rowid);
        let (_, last, number) = *self.pages.get(after.checked_sub(1)?)?;
        if rowid > last {
            return None;
        }
        let database = self.search.database;
        let version = database.view.page(number)?;
        let page = Page::parse(version.bytes, version.number, database.view.geometry)?;
        page.row(rowid).map(|cell| (number, cell))
    }

    /// The place of a live row among those that were put out although their pages are lost or damaged.
    pub(super) fn is_kept(&self, rowid: i64, place: Place) -> bool {
        self.kept.by_rowid.get(&rowid).is_some_and(|(kept, _)| *kept == place)
    }

    /// The fingerprint of the cells of the live row with this id; the inner `None` where it is not whole.
    pub(super) fn content_of(&self, rowid: i64) -> Option<Option<u64>> {
        let (page, cell) = self.find(rowid)?;
        self.content_at(page, &cell)
    }

    /// The fingerprint of the cells of a row.
    fn content_at(&self, page: u32, cell: &Cell) -> Option<Option<u64>> {
        let database = self.search.database;
        let version = database.view.page(page)?;
        let payload = chains::read(&database.view, &database.survey, &version, cell);
        let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { return Some(None) };
        let body = payload.bytes.get(header.len..).unwrap_or_default();
        Some(payload.whole.then(|| content(header.serials().map(|serial| serial.0), body)))
    }

    /// The cells of the live row with this id, in stored order, with the defaults of columns that were added since.
    pub(super) fn cells_of(&self, rowid: i64) -> Option<Vec<RowCell<'static>>> {
        let (page, cell) = self.find(rowid)?;
        let database = self.search.database;
        let version = database.view.page(page)?;
        let payload = chains::read(&database.view, &database.survey, &version, &cell);
        let header = record::header(&payload.bytes, cell.payload_len).ok();
        let cells =
            header.iter().flat_map(|header| record::cells(header.serials(), header.len, &payload.bytes));
        let value = |(serial, bytes): (Serial, Option<&[u8]>)| {
            owned(&bytes.map_or(Value::Missing, |bytes| serial.decode(bytes)))
        };
        let mut cells: Vec<RowCell<'static>> = cells.map(value).collect();
        if header.is_some() {
            cells.extend((cells.len()..).map_while(|at| self.search.layout.default_at(at).cloned()));
        }
        Some(cells)
    }

    /// Whether the live row with this id is a shorter record with the defaults of columns that were added since: `short`
    /// is the fingerprint of that record, of so many `columns`.
    pub(super) fn is_grown(&self, rowid: i64, short: u64, columns: usize) -> bool {
        let grown = || {
            let (page, cell) = self.find(rowid)?;
            let database = self.search.database;
            let version = database.view.page(page)?;
            let payload = chains::read(&database.view, &database.survey, &version, &cell);
            let header = record::header(&payload.bytes, cell.payload_len).ok()?;
            let mut at = header.len;
            let mut old_end = at;
            for (position, serial) in header.serials().enumerate() {
                let from = at;
                at = at.checked_add(usize::try_from(serial.len()).ok()?)?;
                let value = serial.decode(payload.bytes.get(from..at)?);
                if position < columns {
                    old_end = at;
                } else if !self.search.layout.is_default(position, &value) {
                    return Some(false);
                }
            }
            let body = payload.bytes.get(header.len..old_end)?;
            Some(content(header.serials().take(columns).map(|serial| serial.0), body) == short)
        };
        grown().unwrap_or(false)
    }

    /// Whether a live row has the same bytes as a cell, as far as both lie on their pages: the quick way to see a copy.
    pub(super) fn is_copy(&self, page: &[u8], cell: &Cell) -> bool {
        let same = |(number, live): (u32, Cell)| {
            let version = self.search.database.view.page(number)?;
            let same = live.payload_len == cell.payload_len
                && live.overflow == cell.overflow
                && live.local_payload(version.bytes) == cell.local_payload(page);
            Some(same)
        };
        self.find(cell.rowid).and_then(same).unwrap_or(false)
    }

    /// In a table without row ids: what is live under this key.
    pub(super) fn by_key(&self, key: u64) -> Option<Option<u64>> {
        self.keyed.get(&key).copied()
    }

    /// How many live rows have these cells.
    pub(super) fn holds(&self, fingerprint: u64) -> u32 {
        let contents = self.contents.get_or_init(|| {
            let least = self.search.least;
            let pages = self.search.tree.pages.par_iter();
            let read = pages.flat_map_iter(|page| {
                let mut found = Vec::new();
                self.each_record(*page, |serials, body, whole| {
                    if whole {
                        found.extend(contents(serials, body, least));
                    }
                });
                found
            });
            let mut contents: HashMap<u64, u32> = HashMap::new();
            for content in read.collect::<Vec<_>>() {
                *contents.entry(content).or_default() += 1;
            }
            for content in self.kept.by_rowid.keys().filter_map(|rowid| self.content_of(*rowid).flatten()) {
                contents.entry(content).or_insert(1);
            }
            contents
        });
        contents.get(&fingerprint).copied().unwrap_or(0)
    }
}
