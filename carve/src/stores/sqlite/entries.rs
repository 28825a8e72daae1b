//! Index entries: they vouch for rows, and name the rows that are gone.

use super::agree::{self, Agreement, same};
use super::chains;
use super::forest::{Forest, Ground, Object, Tree};
use super::ids::RowIds;
use super::layout::Layout;
use super::prints::Print;
use super::ranges::Ranges;
use crate::model::Cell as RowCell;
use mudlark_parsers::bytes::touch;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

/// Entries of which the first one's row id is asked before all of them: few lines of memory, as each step of a search among
/// them waits for one.
const BLOCK: usize = 16;

/// An entry: the row it names, and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub rowid: i64,
    /// Index into [`Entries::indexes`].
    pub index: u16,
    pub at: u16,
    pub page: u32,
    /// Bytes of its cell.
    pub len: u16,
    /// Of its key cells.
    print: Print,
}

/// What an entry says: the row, the index, and the print of its key cells.
#[derive(Clone, Copy, Debug)]
struct Named {
    rowid: i64,
    index: u16,
    print: Print,
}

/// Where an entry lies: the page, the offset there, and the bytes of its cell.
#[derive(Clone, Copy, Debug)]
struct Place {
    page: u32,
    at: u16,
    len: u16,
}

/// An index of the table, as its entries are read.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    /// For each cell of an entry but the last, the column of the table's rows.
    pub keys: Vec<Option<usize>>,
    /// Its number in the catalogue.
    pub number: Option<usize>,
    /// Every row has an entry, and all of the index was read.
    pub whole: bool,
}

/// All entries of all indexes of one table, sorted by row id.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub indexes: Vec<Keyed>,
    entries: Vec<Named>,
    /// Where each of them lies.
    places: Vec<Place>,
    /// The row id of each first one of so many: a search looks at these before it looks at them.
    firsts: Vec<i64>,
    /// The row ids that they name.
    ids: RowIds,
    /// A bit for each entry: a row with its id was seen.
    seen: Vec<AtomicU64>,
    /// A bit for each entry: the only row that can have its id was seen, and its cells are the entry's.
    borne_out: Vec<AtomicU64>,
}

/// Where the last row's entries are, and what was seen of those near them that is not yet shared with other threads:
/// each such step waits until all that was written before has reached memory.
#[derive(Debug, Default)]
pub(super) struct Near {
    from: usize,
    /// Which 64 entries the bits below are of.
    word: usize,
    seen: u64,
    borne_out: u64,
}

/// What the indexes say of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Testimony {
    pub agrees: bool,
    pub disagrees: bool,
    pub lacks: bool,
}

/// Pages of an index that are held against the rows of its table before any of its entries is.
const ASKED: usize = 8;

/// Whether the entries on the pages of an index agree with no row of its table, and disagree with some: a wrong root leads to
/// another index, which says nothing about the rows.
fn is_another(forest: &Forest, ground: Ground<'_, '_>, index: usize, pages: &[u32]) -> bool {
    let asked = pages.iter().step_by((pages.len() / ASKED).max(1));
    let mut disagrees = false;
    for page in asked {
        match agree::index_page(forest, ground, index, *page) {
            Agreement::Agrees => return false,
            Agreement::Disagrees => disagrees = true,
            Agreement::Unknown => {}
        }
    }
    disagrees
}

impl Entries {
    /// Collects the entries of a table's indexes. `unnamed` lists trees of indexes that were found without a name,
    /// with the position of each key cell.
    pub(super) fn of(
        forest: &Forest,
        ground: Ground<'_, '_>,
        table: Object,
        unnamed: &[(usize, Vec<usize>)],
        layout: &Layout,
    ) -> Self {
        let mut trees: Vec<(&Tree, Keyed)> = Vec::new();
        if let Object::Table(number) = table
            && let Some(def) = ground.catalogue.tables.get(number)
        {
            for tree in &forest.trees {
                let Object::Index(index_number) = tree.object else { continue };
                let Some(index) = ground.catalogue.indexes.get(index_number) else { continue };
                let Some((IndexField::Rowid, fields)) = index.fields.split_last() else { continue };
                if index.table != number || is_another(forest, ground, index_number, &tree.pages) {
                    continue;
                }
                let keys = fields.iter().map(|field| match field {
                    IndexField::Column(column) if def.ddl.rowid_alias != Some(*column) => {
                        let position = def.stored.iter().position(|stored| stored == column);
                        position.and_then(|position| layout.column_of(position))
                    }
                    _ => None,
                });
                let sound = |page: &u32| ground.survey.page(*page).sound;
                let whole = !index.partial
                    && index.root.is_some()
                    && tree.gaps.is_empty()
                    && tree.pages.iter().all(sound);
                trees.push((tree, Keyed { keys: keys.collect(), number: Some(index_number), whole }));
            }
        }
        for (number, positions) in unnamed {
            let Some(tree) = forest.trees.get(*number) else { continue };
            let keys = positions.iter().map(|position| layout.column_of(*position)).collect();
            trees.push((tree, Keyed { keys, number: None, whole: false }));
        }
        let mut entries: Vec<Entry> = Vec::new();
        for (number, (tree, keyed)) in trees.iter().enumerate() {
            let pages = tree.pages.par_iter().with_min_len(16);
            let parts = pages.fold(Vec::new, |mut found, page| {
                page_entries(ground, *page, number as u16, keyed, &mut found);
                found
            });
            let parts: Vec<Vec<Entry>> = parts.collect();
            entries.reserve(parts.iter().map(Vec::len).sum());
            parts.into_iter().for_each(|part| entries.extend_from_slice(&part));
        }
        entries.par_sort_unstable();
        let named =
            |Entry { rowid, index, print, .. }: &Entry| Named { rowid: *rowid, index: *index, print: *print };
        let named: Vec<Named> = entries.iter().map(named).collect();
        let place = |Entry { page, at, len, .. }| Place { page, at, len };
        let mut places: Vec<Place> = entries.into_iter().map(place).collect();
        places.shrink_to_fit();
        let entries = named;
        let firsts = entries.iter().step_by(BLOCK).map(|entry| entry.rowid).collect();
        let no_bits = || (0..entries.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let (seen, borne_out) = (no_bits(), no_bits());
        let ids = entries.first().zip(entries.last()).map_or_else(RowIds::default, |(first, last)| {
            RowIds::between(first.rowid, last.rowid, entries.len() as u64)
        });
        ids.note(entries.iter().map(|entry| entry.rowid));
        Self {
            indexes: trees.into_iter().map(|(_, keyed)| keyed).collect(),
            entries,
            places,
            firsts,
            ids,
            seen,
            borne_out,
        }
    }

    /// Gives back what tells where the entries lie. What they say is told as before.
    pub(super) fn forget_places(&mut self) {
        self.places = Vec::new();
    }

    fn entry(&self, number: usize, named: &Named) -> Option<Entry> {
        let Named { rowid, index, print } = *named;
        let Place { page, at, len } = *self.places.get(number)?;
        Some(Entry { rowid, index, at, page, len, print })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Asks the indexes about a row, whose cells are given; `seen` receives the entries that agree. `settled` when no other
    /// row can have its id. What is noted of entries counts once `near` is [shared](Self::share).
    pub(super) fn ask(
        &self,
        ground: Ground<'_, '_>,
        (rowid, settled): (i64, bool),
        row: &[RowCell<'_>],
        near: &mut Near,
        seen: &mut Vec<Entry>,
    ) -> Testimony {
        let mut testimony = Testimony::default();
        // Rows mostly come in order, so the place of the last answer is a good start.
        let start = self.seek(rowid, near.from);
        near.from = start;
        let mut lacking: u64 = 0;
        for (number, index) in self.indexes.iter().enumerate().take(64) {
            lacking |= u64::from(index.whole) << number;
        }
        for (number, entry) in self.entries.iter().enumerate().skip(start) {
            if entry.rowid != rowid {
                break;
            }
            lacking &= !(1_u64.checked_shl(u32::from(entry.index)).unwrap_or(0));
            if near.word != number / 64 {
                self.share(near);
                near.word = number / 64;
            }
            near.seen |= 1 << (number % 64);
            let Some(index) = self.indexes.get(usize::from(entry.index)) else { continue };
            let shown = entry.print.shows(Print::of_row(row, &index.keys));
            near.borne_out |= u64::from(shown && settled) << (number % 64);
            let entry = self.entry(number, entry);
            let held = || agrees(ground, entry.as_ref()?, index, row);
            let agrees = if shown { Some(true) } else { held() };
            if agrees == Some(true) {
                seen.extend(entry);
            }
            testimony.agrees |= agrees == Some(true);
            testimony.disagrees |= agrees == Some(false);
        }
        testimony.lacks = lacking != 0;
        testimony
    }

    /// Adds what was noted of entries to what is known of them.
    pub(super) fn share(&self, near: &mut Near) {
        for (bits, noted) in [(&self.seen, &mut near.seen), (&self.borne_out, &mut near.borne_out)] {
            if let Some(word) = bits.get(near.word).filter(|_| *noted != 0) {
                word.fetch_or(*noted, Ordering::Relaxed);
            }
            *noted = 0;
        }
    }

    /// The cells that index entries give for the columns of a row: column, cell, and the entry.
    pub(super) fn cells(&self, ground: Ground<'_, '_>, entries: &[Entry]) -> Vec<(usize, RowCell<'static>)> {
        let mut found: Vec<(usize, RowCell<'static>)> = Vec::new();
        for entry in entries {
            let Some(index) = self.indexes.get(usize::from(entry.index)) else { continue };
            with_entry(ground, entry, |values| {
                for (column, value) in index.keys.iter().zip(values) {
                    if let Some(column) = column
                        && !found.iter().any(|(known, _)| known == column)
                    {
                        found.push((*column, owned(value)));
                    }
                }
            });
        }
        found
    }

    /// The entries that name a row.
    pub(super) fn of_row(&self, rowid: i64) -> Vec<Entry> {
        let behind = self.entries.iter().enumerate().skip(self.first_from(rowid));
        let of_row = behind.take_while(|(_, entry)| entry.rowid == rowid);
        of_row.filter_map(|(number, entry)| self.entry(number, entry)).collect()
    }

    /// Whether an index of the catalogue has an entry of this print for a row, and the row bears it out.
    pub(super) fn bear_out(&self, index: usize, rowid: i64, print: Print) -> bool {
        if print == Print::NONE || !self.ids.may_hold(rowid) {
            return false;
        }
        let from = self.first_from(rowid);
        let of_row = self.entries.iter().enumerate().skip(from).take_while(|(_, entry)| entry.rowid == rowid);
        let same = |entry: &Named| {
            let keyed = self.indexes.get(usize::from(entry.index));
            entry.print == print && keyed.is_some_and(|keyed| keyed.number == Some(index))
        };
        let is_set = |number: usize| {
            self.borne_out
                .get(number / 64)
                .is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
        };
        let mut of_row = of_row;
        of_row.any(|(number, entry)| same(entry) && is_set(number))
    }

    /// Whether any entry names a row.
    pub(super) fn names(&self, rowid: i64) -> bool {
        let first = || self.entries.get(self.first_from(rowid));
        self.ids.may_hold(rowid) && first().is_some_and(|entry| entry.rowid == rowid)
    }

    /// The number of the first entry with this row id or a greater one.
    fn first_from(&self, rowid: i64) -> usize {
        let block = self.firsts.partition_point(|first| *first < rowid);
        let from = block.saturating_sub(1) * BLOCK;
        let entries = self.entries.get(from..self.entries.len().min(from + BLOCK)).unwrap_or_default();
        from + entries.partition_point(|entry| entry.rowid < rowid)
    }

    fn seek(&self, rowid: i64, from: usize) -> usize {
        // Look a little ahead before searching the whole.
        let near = self.entries.get(from..self.entries.len().min(from + 32)).unwrap_or_default();
        let before_fits = from == 0 || self.entries.get(from - 1).is_some_and(|entry| entry.rowid < rowid);
        if before_fits && let Some(ahead) = near.iter().position(|entry| entry.rowid >= rowid) {
            return from + ahead;
        }
        self.first_from(rowid)
    }

    /// Entries whose row was not seen, grouped by row id.
    pub(super) fn unseen(&self) -> Vec<Vec<Entry>> {
        let is_seen = |number: usize| {
            self.seen
                .get(number / 64)
                .is_some_and(|word| word.load(Ordering::Relaxed) >> (number % 64) & 1 == 1)
        };
        let unseen: Vec<Entry> = self
            .entries
            .iter()
            .enumerate()
            .filter(|(number, _)| !is_seen(*number))
            .filter_map(|(number, entry)| self.entry(number, entry))
            .collect();
        unseen.chunk_by(|a, b| a.rowid == b.rowid).map(<[Entry]>::to_vec).collect()
    }
}

/// Whether the entry's key cells are the row's.
fn agrees(ground: Ground<'_, '_>, entry: &Entry, index: &Keyed, row: &[RowCell<'_>]) -> Option<bool> {
    let version = ground.view.page(entry.page)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let cell = page.good_cell(usize::from(entry.at))?;
    let payload = chains::read(ground.view, ground.survey, &version, &cell);
    let header = record::header(&payload.bytes, cell.payload_len).ok()?;
    let mut at = header.len;
    for (serial, column) in header.serials().zip(&index.keys) {
        let end = at.saturating_add(usize::try_from(serial.len()).ok()?);
        let value = payload.bytes.get(at..end).map_or(Value::Missing, |bytes| serial.decode(bytes));
        at = end;
        let other = column.and_then(|column| row.get(column));
        if !other.is_none_or(|other| same_cell(&value, other)) {
            return Some(false);
        }
    }
    Some(true)
}

/// Whether an index cell and a row's cell hold the same; a cell that is not whole contradicts nothing.
fn same_cell(value: &Value<'_>, cell: &RowCell<'_>) -> bool {
    match cell {
        RowCell::Null => same(value, &Value::Null),
        RowCell::Int(int) => same(value, &Value::Int(*int)),
        RowCell::Real(real) => same(value, &Value::Real(*real)),
        RowCell::Text(bytes) => *value == Value::Text(bytes),
        RowCell::Blob(bytes) => *value == Value::Blob(bytes),
        RowCell::Missing | RowCell::Partial(_) => true,
    }
}

pub(super) fn owned(value: &Value<'_>) -> RowCell<'static> {
    match value {
        Value::Null => RowCell::Null,
        Value::Int(int) => RowCell::Int(*int),
        Value::Real(real) => RowCell::Real(*real),
        Value::Text(bytes) => RowCell::Text(Cow::Owned(bytes.to_vec())),
        Value::Blob(bytes) => RowCell::Blob(Cow::Owned(bytes.to_vec())),
        Value::Missing => RowCell::Missing,
    }
}

/// The cells of a record whose body begins at `body_at` of its payload, as far as they are there whole.
pub(super) fn cells<'a>(
    serials: impl Iterator<Item = Serial>,
    body_at: usize,
    payload: Cow<'a, [u8]>,
) -> Vec<RowCell<'a>> {
    let missing = Value::Missing;
    match payload {
        Cow::Borrowed(bytes) => {
            let cells = record::cells(serials, body_at, bytes);
            cells
                .map(|(serial, bytes)| borrowed(bytes.map_or(missing, |bytes| serial.decode(bytes))))
                .collect()
        }
        Cow::Owned(bytes) => {
            let cells = record::cells(serials, body_at, &bytes);
            cells.map(|(serial, bytes)| owned(&bytes.map_or(missing, |bytes| serial.decode(bytes)))).collect()
        }
    }
}

const fn borrowed(value: Value<'_>) -> RowCell<'_> {
    match value {
        Value::Null => RowCell::Null,
        Value::Int(int) => RowCell::Int(int),
        Value::Real(real) => RowCell::Real(real),
        Value::Text(bytes) => RowCell::Text(Cow::Borrowed(bytes)),
        Value::Blob(bytes) => RowCell::Blob(Cow::Borrowed(bytes)),
        Value::Missing => RowCell::Missing,
    }
}

/// Adds the entries on one page.
fn page_entries(ground: Ground<'_, '_>, number: u32, index: u16, keyed: &Keyed, found: &mut Vec<Entry>) {
    let Some(version) = ground.view.page(number) else { return };
    touch(version.bytes);
    let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else { return };
    found.reserve(page.pointer_count());
    for cell in page.good_cells() {
        let read = if cell.overflow == 0 {
            read_entry(cell.local_payload(version.bytes), cell.payload_len, keyed)
        } else {
            let payload = chains::read(ground.view, ground.survey, &version, &cell);
            payload.whole.then(|| read_entry(&payload.bytes, cell.payload_len, keyed)).flatten()
        };
        if let Some((rowid, print)) = read {
            let len = (cell.end - cell.at) as u16;
            found.push(Entry { rowid, index, at: cell.at as u16, page: number, len, print });
        }
    }
}

/// The row id and the print of an entry.
fn read_entry(payload: &[u8], payload_len: u64, keyed: &Keyed) -> Option<(i64, Print)> {
    let header = record::header(payload, payload_len).ok()?;
    let serial = header.serials().last()?;
    let from = payload.len().checked_sub(usize::try_from(serial.len()).ok()?)?;
    match serial.decode(payload.get(from..)?) {
        Value::Int(rowid) => Some((rowid, Print::of_entry(&header, payload, &keyed.keys))),
        _ => None,
    }
}

/// Calls `with` with the cells of an entry.
fn with_entry<T>(ground: Ground<'_, '_>, entry: &Entry, with: impl FnOnce(&[Value<'_>]) -> T) -> Option<T> {
    let version = ground.view.page(entry.page)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let cell = page.good_cell(usize::from(entry.at))?;
    let payload = chains::read(ground.view, ground.survey, &version, &cell);
    let header = record::header(&payload.bytes, cell.payload_len).ok()?;
    let mut values = Vec::new();
    record::decode(&header, &payload.bytes, &mut values);
    Some(with(&values))
}

/// Index trees without a name, each with the table tree that it points into.
pub(super) fn unnamed_indexes(forest: &Forest, ground: Ground<'_, '_>) -> Vec<(usize, usize, Vec<usize>)> {
    let ranges = Ranges::of(forest, ground);
    let unnamed = forest.trees.iter().enumerate();
    let unnamed = unnamed.filter(|(_, tree)| !tree.rowids && tree.object == Object::Unknown);
    unnamed
        .filter_map(|(number, tree)| {
            let (table, positions) = agree::find_table(forest, ground, &ranges, &tree.pages)?;
            Some((number, table, positions))
        })
        .collect()
}
