//! Which live row a gone one is a version of, by the cells that they share.
//!
//! An UPDATE leaves most cells of a row as they were, and mostly the row on its page. So a candidate whose row id was
//! overwritten is a version of the one live row beside it that has most of its cells.

use super::super::chains;
use super::super::prints::content;
use super::common::Common;
use super::live::Live;
use super::rowids;
use super::{Candidate, Dead, Search};
use mudlark_parsers::bytes::{slice_at, touch};
use mudlark_parsers::claim::Claim;
use mudlark_parsers::short_list::ShortList;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::sqlite::varint::varint_at;
use rayon::prelude::*;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::OnceLock;

/// Pages whose neighbours are read once for all of them.
const CHUNK: usize = 32;

/// Bytes of a cell that two rows seldom share by accident; fewer say nothing.
const TELLING: usize = 2;

/// Bytes of a cell that count: a long text is one cell of several all the same.
const MOST_OF_CELL: usize = 16;

/// Bytes that a row must share with the one that it is a version of: a short word may stand in many rows.
const LEAST_SHARED: usize = 8;

/// Of the rows beside a gone one so many may share its cells by accident, at most, where it is taken for a version of one.
const MOST_BY_ACCIDENT: f64 = 0.125;

/// Row ids of a page that are asked for at most, before its rows are read, and low bits of one that are many.
const MOST_ASKED: u64 = 64;
const SOME_BITS: u32 = 32;

/// What two rows have in common: telling cells and, of these, bytes that count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shared {
    pub cells: usize,
    pub bytes: usize,
    /// Telling cells of the gone row, and their bytes that count.
    pub of_cells: usize,
    pub of_bytes: usize,
}

/// A cell: its serial type, and where its bytes stand in the row's payload.
#[derive(Clone, Copy, Debug)]
struct Known {
    serial: Serial,
    from: u32,
}

/// A row's cells, in the order of the live rows' columns; `None` where it lacks one.
#[derive(Debug)]
struct Cells<'p> {
    payload: Cow<'p, [u8]>,
    cells: ShortList<Option<Known>>,
}

impl Cells<'_> {
    /// The serial type and the bytes of each cell. The integers 0 and 1 have two forms, and altering a table may write the
    /// other one: they get the longer.
    fn iter(&self) -> impl Iterator<Item = Option<(Serial, &[u8])>> {
        self.cells.iter().map(|cell| match (*cell)? {
            Known { serial: Serial(8), .. } => Some((Serial(1), &[0][..])),
            Known { serial: Serial(9), .. } => Some((Serial(1), &[1][..])),
            Known { serial, from } => {
                Some((serial, slice_at(&self.payload, from as usize, serial.len() as usize)?))
            }
        })
    }

    /// A fingerprint of all cells.
    fn print(&self) -> u64 {
        let prints = self
            .iter()
            .map(|cell| cell.map_or(0, |(serial, bytes)| content(std::iter::once(serial.0), bytes)));
        content(prints, &[])
    }
}

/// Pages the rows of which are kept: one, and those beside it.
const KEPT: usize = 3;

/// The rows of the last pages that were asked.
#[derive(Default)]
pub(super) struct Read<'r, 'a>(Vec<(u32, Vec<Row<'r, 'a>>)>);

impl<'r, 'a> Read<'r, 'a> {
    /// Reads the rows of a few pages, as far as they are not known.
    fn read(&mut self, search: &'r Search<'r, 'a>, pages: &[u32]) {
        let Self(known) = self;
        for page in pages {
            if known.iter().any(|(known, _)| known == page) {
                continue;
            }
            let is_past = |(known, _): &(u32, _)| !pages.contains(known);
            let past = known.iter().position(is_past).filter(|_| known.len() >= KEPT);
            let mut rows = past.map(|past| known.swap_remove(past).1).unwrap_or_default();
            page_rows(search, *page, &mut rows);
            known.push((*page, rows));
        }
    }

    /// The rows of pages that were read, in their order.
    fn of<'k>(&'k self, pages: &'k [u32]) -> impl Iterator<Item = &'k Row<'r, 'a>> {
        pages
            .iter()
            .filter_map(|page| self.0.iter().find(|(known, _)| known == page))
            .flat_map(|(_, rows)| rows)
    }
}

/// Finds the live rows of which candidates without a row id are versions, among those beside them.
pub(super) struct Kin<'r, 'a> {
    search: &'r Search<'r, 'a>,
    common: OnceLock<Common>,
    /// Where a row may have gone anywhere.
    equals: Option<&'r Equals>,
}

/// Fingerprints of all cells of live rows, each with the row's id; in order.
#[derive(Debug)]
pub(super) struct Equals(Vec<(u64, i64)>);

impl Equals {
    fn of(mut rows: Vec<(u64, i64)>) -> Self {
        rows.par_sort_unstable();
        rows.dedup();
        Self(rows)
    }

    /// The only row that has these cells and an id of which this can be left, where no other has it by accident.
    fn only(&self, cells: &Cells<'_>, left: RowidLeft) -> Option<i64> {
        let Self(rows) = self;
        let print = cells.print();
        let first = rows.partition_point(|(other, _)| *other < print);
        let equal = rows.get(first..).unwrap_or_default();
        let equal = equal.get(..equal.partition_point(|(other, _)| *other == print)).unwrap_or_default();
        let bits = if let RowidLeft::Low(_, bits) = left { bits } else { 0 };
        if equal.len() > 1 && equal.len() as f64 > MOST_BY_ACCIDENT * 2_f64.powi(bits as i32) {
            return None;
        }
        let mut fitting = equal.iter().filter(|(_, rowid)| fits(left, *rowid));
        fitting.next().filter(|_| fitting.next().is_none()).map(|(_, rowid)| *rowid)
    }
}

impl<'r, 'a> Kin<'r, 'a> {
    pub(super) fn of(search: &'r Search<'r, 'a>) -> Self {
        Self { search, common: OnceLock::new(), equals: None }
    }

    /// Gives the candidates of a page the row ids of these rows. When columns are dropped or added all rows are written
    /// anew, wherever there is room: then nothing is done.
    pub(super) fn restore(
        &self,
        live: &Live<'_, '_, '_>,
        page: u32,
        dead: &mut [Candidate],
        read: &mut Read<'r, 'a>,
    ) {
        if !self.search.tree.rowids || self.search.as_live.is_some() {
            return;
        }
        let open = (0..).zip(&*dead).filter(|(_, dead)| dead.rowid.is_none()).map(|(index, _)| index);
        let open: Vec<usize> = open.collect();
        if !open.is_empty() {
            let found = self.on_page(page, dead, open.into_iter(), read);
            found.into_iter().for_each(|(index, rowid)| infer(live, dead, index, rowid));
        }
    }

    /// The candidates of a page that are versions of a live row, with its id.
    fn on_page(
        &self,
        page: u32,
        known: &[Candidate],
        open: impl Iterator<Item = usize> + Clone,
        read: &mut Read<'r, 'a>,
    ) -> Vec<(usize, i64)> {
        let Self { search, common, equals } = self;
        let equals = equals.filter(|equals| !equals.0.is_empty());
        let leaves = search.leaves();
        // A row that grew may stand on the page before or behind by now.
        let near = leaves.near(page);
        let mut asked = open.clone().filter_map(|index| known.get(index));
        if equals.is_none() && !asked.any(|dead| may_fit(search, near, dead.freed.rowid)) {
            return Vec::new();
        }
        read.read(search, near);
        let rows: Vec<(i64, &Row<'_, '_>)> = read.of(near).map(|row| (row.cell.rowid, row)).collect();
        let of_one = |index: usize| {
            let dead = known.get(index)?;
            // Most row ids rule out all rows, which then need not be read.
            let fits = |(rowid, _): &&(i64, &Row<'_, '_>)| fits(dead.freed.rowid, *rowid);
            if equals.is_none() && !rows.iter().any(|row| fits(&row)) {
                return None;
            }
            let cells = dead_cells(search, dead)?;
            let equal = equals.and_then(|equals| equals.only(&cells, dead.freed.rowid));
            let telling = Telling::of(&cells);
            let rows = rows.iter().filter(fits);
            let rows = rows.filter_map(|(rowid, row)| Some((*rowid, row.shares(&telling)?, *row)));
            let is_accident = |shared: &[usize], rows| {
                let common = common.get_or_init(|| Common::of(search, &leaves.pages));
                common.by_accident(shared.iter().copied(), rows) > MOST_BY_ACCIDENT
            };
            Some((index, equal.or_else(|| kin(rows, |row| row.cells(), &cells, &is_accident))?))
        };
        open.filter_map(of_one).collect()
    }
}

/// Gives a candidate the row id of a live row.
fn infer(live: &Live<'_, '_, '_>, dead: &mut [Candidate], index: usize, rowid: i64) {
    if let Some(dead) = dead.get_mut(index).filter(|_| live.find(rowid).is_some()) {
        dead.rowid = Some(rowid);
        dead.claims = dead.claims.with(Claim::RowidInferred);
    }
}

/// Gives candidates of an earlier shape without a row id that of the live row of which they are a version. `equals` are the
/// cells of the live rows, once they are known.
pub(super) fn restore<'r>(
    search: &'r Search<'r, '_>,
    live: &Live<'_, '_, '_>,
    dead: &mut [Candidate],
    equals: &'r OnceLock<Equals>,
) {
    if !search.tree.rowids || search.as_live.is_none() {
        return;
    }
    let open = dead.iter().enumerate().filter(|(_, dead)| dead.rowid.is_none());
    let mut by_page: Vec<(u32, usize)> = open.map(|(index, dead)| (dead.page, index)).collect();
    by_page.sort_unstable();
    let known: &[Candidate] = dead;
    let mut beside = Kin::of(search);
    if !by_page.is_empty() {
        beside.equals = Some(equals.get_or_init(|| self::equals(search)));
    }
    let pages: Vec<&[(u32, usize)]> = by_page.chunk_by(|(a, _), (b, _)| a == b).collect();
    let found = pages.par_chunks(CHUNK).flat_map_iter(|pages| {
        let mut read = Read::default();
        let mut found = Vec::new();
        for indexes in pages {
            let page = indexes.first().map_or(0, |(page, _)| *page);
            let open = indexes.iter().map(|(_, index)| *index);
            found.extend(beside.on_page(page, known, open, &mut read));
        }
        found
    });
    let found: Vec<(usize, i64)> = found.collect();
    found.into_iter().for_each(|(index, rowid)| infer(live, dead, index, rowid));
}

fn equals(search: &Search<'_, '_>) -> Equals {
    let rows = search.leaves().pages.par_iter().flat_map_iter(|page| {
        let mut rows = Vec::new();
        page_rows(search, *page, &mut rows);
        rows.into_iter().filter_map(|row| Some((row.cells()?.print(), row.cell.rowid)))
    });
    Equals::of(rows.collect())
}

/// What a candidate has in common with a live row.
pub(super) fn shared_with(search: &Search<'_, '_>, dead: &Dead, (page, cell): (u32, Cell)) -> Option<Shared> {
    Some(shared(&live_cells(search, page, &cell)?, &dead_cells(search, dead)?))
}

/// Whether a row id can be the one of which this is left.
const fn fits(left: RowidLeft, rowid: i64) -> bool {
    match left {
        RowidLeft::Low(low, bits) => bits >= 64 || rowid as u64 & ((1 << bits) - 1) == low,
        _ => true,
    }
}

/// Whether a row on these pages may have the row id of which this is left: told without a look at the pages, where their
/// ids are known and few of them have these bits.
fn may_fit(search: &Search<'_, '_>, pages: &[u32], left: RowidLeft) -> bool {
    let (Some(ids), RowidLeft::Low(low, bits @ 1..SOME_BITS)) = (search.ids, left) else { return true };
    pages.iter().any(|page| {
        let info = search.database.survey.page(*page);
        if !info.sound || info.first.abs_diff(info.last) >> bits > MOST_ASKED {
            return true;
        }
        let first = rowids::first_with(low, 1 << bits, info.first).unwrap_or(i64::MAX);
        let mut with_bits = (first..=info.last).step_by(1 << bits);
        with_bits.any(|rowid| ids.may_hold(rowid))
    })
}

/// The cells of a row that tell it from others: the column, the cell, and its bytes that count.
struct Telling<'p> {
    cells: ShortList<(usize, Serial, &'p [u8], usize)>,
    bytes: usize,
}

/// What another row still may have of a row's telling cells while they are compared.
#[derive(Clone, Copy)]
struct Left {
    /// All cells and bytes that are compared.
    all: (usize, usize),
    cells: usize,
    bytes: usize,
}

impl Left {
    const fn of(cells: usize, bytes: usize) -> Self {
        Self { all: (cells, bytes), cells, bytes }
    }

    /// Without a cell that differs; `None` where what is left is too little. An UPDATE changes few cells, but one of them may
    /// hold most of the bytes.
    fn without(self, weight: usize) -> Option<Self> {
        let left = Self { cells: self.cells - 1, bytes: self.bytes - weight, ..self };
        (2 * left.bytes > left.all.1 || 2 * left.cells > left.all.0).then_some(left)
    }

    /// The bytes that are shared, where they are enough.
    fn shared(self) -> Option<usize> {
        (self.bytes >= LEAST_SHARED).then_some(self.bytes)
    }
}

impl<'p> Telling<'p> {
    fn of(row: &'p Cells<'_>) -> Self {
        let cells = row.iter().enumerate().filter_map(|(column, cell)| {
            let (serial, bytes) = cell.filter(|(_, bytes)| bytes.len() >= TELLING)?;
            Some((column, serial, bytes, bytes.len().min(MOST_OF_CELL)))
        });
        let cells: ShortList<_> = cells.collect();
        let bytes = cells.iter().map(|(.., weight)| weight).sum();
        Self { cells, bytes }
    }

    /// The bytes that another row has too, where they are most of them, or those of most cells.
    fn most_in(&self, live: &Cells<'_>) -> Option<usize> {
        let columns = live.cells.len();
        let cells = || self.cells.iter().filter(|(column, ..)| *column < columns);
        let mut left = match self.cells.last() {
            Some((last, ..)) if *last >= columns => {
                Left::of(cells().count(), cells().map(|(.., weight)| weight).sum())
            }
            _ => Left::of(self.cells.len(), self.bytes),
        };
        for (column, serial, bytes, weight) in cells() {
            let is_same = |known: &Known| {
                known.serial == *serial
                    && slice_at(&live.payload, known.from as usize, bytes.len()) == Some(*bytes)
            };
            if !live.cells.get(*column).copied().flatten().is_some_and(|known| is_same(&known)) {
                left = left.without(*weight)?;
            }
        }
        left.shared()
    }

    /// The same of a record that reads, all of which is given: most rows differ in their first cells, and the others need
    /// not be set apart. The outer `None` where it has too few columns to tell.
    fn most_in_record(&self, record: &[u8]) -> Option<Option<usize>> {
        let (len, mut next) = varint_at(record, 0)?;
        let header = record.get(..usize::try_from(len).ok()?)?;
        let (mut position, mut at) = (0, header.len());
        let mut left = Left::of(self.cells.len(), self.bytes);
        for (column, serial, bytes, weight) in self.cells.iter() {
            let mut here = (Serial::NULL, at);
            while position <= *column {
                let (number, size) = varint_at(header, next)?;
                here = (Serial(number), at);
                next += size;
                at = at.saturating_add(usize::try_from(here.0.len()).ok()?);
                position += 1;
            }
            if here.0 != *serial || slice_at(record, here.1, bytes.len()) != Some(*bytes) {
                let Some(less) = left.without(*weight) else { return Some(None) };
                left = less;
            }
        }
        Some(left.shared())
    }
}

/// The only row that has most of the telling cells or bytes, and more bytes than any other; none where `is_accident` says
/// that one of so many rows may well share the cells of these columns. With each row comes what it has of these bytes,
/// where it has most of them.
fn kin<'r, 'c: 'r, R>(
    rows: impl Iterator<Item = (i64, Option<usize>, R)>,
    cells_of: impl FnOnce(R) -> Option<&'r Cells<'c>>,
    dead: &Cells<'_>,
    is_accident: &dyn Fn(&[usize], usize) -> bool,
) -> Option<i64> {
    let mut best: Option<(usize, i64, R)> = None;
    let (mut tied, mut asked) = (false, 0);
    for (rowid, shared, row) in rows {
        asked += 1;
        let Some(shared) = shared else { continue };
        match best {
            Some((most, ..)) if shared < most => {}
            Some((most, ..)) if shared == most => tied = true,
            _ => {
                best = Some((shared, rowid, row));
                tied = false;
            }
        }
    }
    let (_, rowid, row) = best.filter(|_| !tied)?;
    let cells = cells_of(row)?;
    let pairs = cells.iter().zip(dead.iter()).enumerate();
    let same = pairs
        .filter(|(_, (live, dead))| live == dead && dead.is_some_and(|(_, bytes)| bytes.len() >= TELLING));
    let columns: Vec<usize> = same.map(|(column, _)| column).collect();
    (!is_accident(&columns, asked)).then_some(rowid)
}

fn shared(live: &Cells<'_>, dead: &Cells<'_>) -> Shared {
    let mut shared = Shared::default();
    for (live, dead) in live.iter().zip(dead.iter()) {
        let Some(cell) = dead.filter(|(_, bytes)| bytes.len() >= TELLING) else { continue };
        let weight = cell.1.len().min(MOST_OF_CELL);
        shared.of_cells += 1;
        shared.of_bytes += weight;
        if live == Some(cell) {
            shared.cells += 1;
            shared.bytes += weight;
        }
    }
    shared
}

/// A live row, whose cells are read when they are asked for.
pub(super) struct Row<'r, 'a> {
    search: &'r Search<'r, 'a>,
    page: u32,
    cell: Cell,
    /// Its record, where it is known to read and stands on its page.
    record: Option<&'a [u8]>,
    cells: OnceCell<Option<Box<Cells<'a>>>>,
}

impl<'a> Row<'_, 'a> {
    fn cells(&self) -> Option<&Cells<'a>> {
        let read = || live_cells(self.search, self.page, &self.cell).map(Box::new);
        self.cells.get_or_init(read).as_deref()
    }

    /// What it has of a row's telling bytes, where it has most of them; the outer `None` where it doesn't read.
    fn shares(&self, telling: &Telling<'_>) -> Option<Option<usize>> {
        let at_once = self.record.and_then(|record| telling.most_in_record(record));
        at_once.or_else(|| Some(telling.most_in(self.cells()?)))
    }
}

/// Puts the rows of a page in place of others.
fn page_rows<'r, 'a>(search: &'r Search<'r, 'a>, number: u32, rows: &mut Vec<Row<'r, 'a>>) {
    rows.clear();
    let view = &search.database.view;
    let Some(version) = view.page(number) else { return };
    touch(version.bytes);
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return };
    let cells = page.good_cells();
    // Every record of a sound page was read.
    let sound = search.database.survey.page(number).sound;
    rows.extend(cells.map(|cell| {
        let record = (sound && cell.overflow == 0).then(|| cell.local_payload(version.bytes));
        Row { search, page: number, cell, record, cells: OnceCell::new() }
    }));
}

fn live_cells<'a>(search: &Search<'_, 'a>, page: u32, cell: &Cell) -> Option<Cells<'a>> {
    let view = &search.database.view;
    let payload = chains::read(view, &search.database.survey, &view.page(page)?, cell);
    let header = record::header(&payload.bytes, cell.payload_len).ok()?;
    let cells = apart(header.serials(), header.len, &payload.bytes);
    Some(Cells { payload: payload.bytes, cells })
}

fn dead_cells<'a>(search: &Search<'_, 'a>, dead: &Dead) -> Option<Cells<'a>> {
    let view = &search.database.view;
    let payload =
        chains::read(view, &search.database.survey, &view.page(dead.page)?.then(), &dead.freed.cell);
    let serials = dead.freed.serials.iter();
    let mut cells = apart(serials, dead.freed.header_len as usize, &payload.bytes);
    if let Some(positions) = &search.as_live {
        cells = positions.iter().map(|position| cells.get((*position)?).copied().flatten()).collect();
    }
    Some(Cells { payload: payload.bytes, cells })
}

/// The cells of a record of which the payload holds all bytes.
fn apart(
    serials: impl Iterator<Item = Serial>,
    header_len: usize,
    payload: &[u8],
) -> ShortList<Option<Known>> {
    let mut next = header_len as u64;
    let cells = serials.map(|serial| {
        let from = next;
        next = next.saturating_add(serial.len());
        let from = u32::try_from(from).ok().filter(|_| next <= payload.len() as u64)?;
        Some(Known { serial, from })
    });
    cells.collect()
}

#[cfg(test)]
mod tests {
    use super::{Cells, Telling, apart, fits, kin};
    use mudlark_parsers::sqlite::freed::RowidLeft;
    use mudlark_parsers::sqlite::serial::Serial;

    fn kin_among(rows: &[(i64, Cells<'static>)], dead: &Cells<'_>) -> Option<i64> {
        let telling = Telling::of(dead);
        let shares = rows.iter().map(|(rowid, cells)| (*rowid, telling.most_in(cells), cells));
        kin(shares, Some, dead, &|_, _| false)
    }

    fn row(texts: &[&str]) -> Cells<'static> {
        let payload: Vec<u8> = texts.concat().into_bytes();
        let serials = texts.iter().map(|text| Serial::text(text.len() as u64));
        let cells = apart(serials, 0, &payload);
        Cells { payload: payload.into(), cells }
    }

    #[test]
    fn a_row_is_a_version_of_the_one_that_has_most_of_its_cells() {
        let rows = [(1, row(&["Ann Lund", "Oslo", "new"])), (2, row(&["Bob Lund", "Rome", "new"]))];
        assert_eq!(kin_among(&rows, &row(&["Bob Lund", "Rome", "old"])), Some(2));
        assert_eq!(kin_among(&rows, &row(&["Eve", "Bonn", "new"])), None);
        assert!(
            !fits(RowidLeft::Low(1, 7), 2)
                && fits(RowidLeft::Low(2, 7), 130)
                && fits(RowidLeft::Length(1), 2)
        );
    }

    #[test]
    fn a_row_of_which_one_long_cell_was_changed_is_a_version_all_the_same() {
        let rows =
            [(1, row(&["Ann Lund", "Oslo", "new", "called twice, no answer"])), (2, row(&["Bob Rossi"]))];
        assert_eq!(kin_among(&rows, &row(&["Ann Lund", "Oslo", "new", "wants her money back"])), Some(1));
        assert_eq!(kin_among(&rows, &row(&["Ann Lund", "Rome", "old", "wants her money back"])), None);
    }

    #[test]
    fn of_two_rows_that_share_as_much_neither_is_chosen() {
        let rows = [(1, row(&["Ann Lund", "Oslo", "new"])), (2, row(&["Ann Lund", "Oslo", "old"]))];
        assert_eq!(kin_among(&rows, &row(&["Ann Lund", "Oslo", "sent"])), None);
    }

    #[test]
    fn a_record_that_is_not_set_apart_shares_what_its_cells_do() {
        let record = |texts: &[&str]| {
            let types = texts.iter().map(|text| Serial::text(text.len() as u64).0 as u8);
            let header: Vec<u8> = [texts.len() as u8 + 1].into_iter().chain(types).collect();
            [&header, texts.concat().as_bytes()].concat()
        };
        let dead = row(&["Bob Lund", "a", "Rome", "old"]);
        let telling = Telling::of(&dead);
        for live in
            [&["Bob Lund", "b", "Rome", "new"][..], &["Bob Lund", "a", "Bonn", "new"], &["", "", "", ""]]
        {
            assert_eq!(telling.most_in_record(&record(live)), Some(telling.most_in(&row(live))), "{live:?}");
        }
        assert_eq!(telling.most_in_record(&record(&["Bob Lund", "a"])), None);
    }
}
