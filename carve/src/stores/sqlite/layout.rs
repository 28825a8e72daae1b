//! From stored records to rows: which stored cell goes to which column.

use super::catalogue::TableDef;
use super::chains::Payload;
use super::solve;
use super::survey::Sectors;
use crate::model::{Batch, Cell as RowCell, Column, Inferred, Partial};
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::ddl::{self, Affinity, DefaultValue, Generated};
use mudlark_parsers::sqlite::page::Extent;
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::{OwnedValue, TextEncoding, Value};
use std::borrow::Cow;

/// What a column of the output takes its cells from.
#[derive(Clone, Debug)]
struct Slot {
    /// Position in the stored record.
    position: usize,
    /// The row id stands here.
    alias: bool,
    /// Whole numbers are stored as integers and read as reals.
    real: bool,
    /// Takes text only, by its affinity.
    text: bool,
    /// What rows read that were written before the column was added.
    default: RowCell<'static>,
}

/// How the records of a table become rows.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub columns: Vec<Column>,
    slots: Vec<Slot>,
    encoding: TextEncoding,
    /// Columns are stored in the order in which they are put out.
    in_order: bool,
}

impl Layout {
    /// The layout of a table of the catalogue: its columns in declaration order, without those that are not stored.
    pub(super) fn of(table: &TableDef, encoding: TextEncoding) -> Self {
        let (mut columns, mut slots) = (Vec::new(), Vec::new());
        for (number, column) in table.ddl.columns.iter().enumerate() {
            let Some(position) = table.stored.iter().position(|stored| *stored == number) else {
                debug_assert!(column.generated == Some(Generated::Virtual));
                continue;
            };
            let alias = table.ddl.rowid_alias == Some(number);
            columns.push(Column { name: column.name.clone(), hidden_key: alias });
            let default = match &column.default {
                Some(DefaultValue::Value(value)) => {
                    default_cell(ddl::apply_affinity(value.clone(), column.affinity), encoding)
                }
                _ => RowCell::Null,
            };
            slots.push(Slot {
                position,
                alias,
                real: column.affinity == Affinity::Real,
                text: column.affinity == Affinity::Text,
                default,
            });
        }
        let in_order = slots.iter().enumerate().all(|(number, slot)| slot.position == number);
        Self { columns, slots, encoding, in_order }
    }

    /// The layout of a table whose name and columns are lost. What rows read in a column that was added after they were
    /// written is not known.
    pub(super) fn unnamed(columns: usize, encoding: TextEncoding) -> Self {
        let name = |number| Column { name: format!("c{number}"), hidden_key: false };
        let slot =
            |position| Slot { position, alias: false, real: false, text: false, default: RowCell::Missing };
        Self {
            columns: (0..columns).map(name).collect(),
            slots: (0..columns).map(slot).collect(),
            encoding,
            in_order: true,
        }
    }

    /// The same, with the defaults on which all of the tables agree that it may be.
    pub(super) fn with_defaults_of(mut self, tables: &[&TableDef]) -> Self {
        let layouts: Vec<Self> = tables.iter().map(|table| Self::of(table, self.encoding)).collect();
        for slot in &mut self.slots {
            let mut defaults = layouts.iter().map(|layout| layout.default_at(slot.position));
            if let Some(Some(first)) = defaults.next()
                && defaults.all(|other| other == Some(first))
            {
                slot.default = first.clone();
            }
        }
        self
    }

    /// The entries of an index whose table is not known: their cells, and one for all else that the row held.
    pub(super) fn of_entries(cells: usize, encoding: TextEncoding) -> Self {
        let mut layout = Self::unnamed(cells + 1, encoding);
        if let Some((column, slot)) = layout.columns.last_mut().zip(layout.slots.last_mut()) {
            column.name = "others".to_owned();
            slot.default = RowCell::Missing;
        }
        layout
    }

    /// The output column of a stored position.
    pub(super) fn column_of(&self, position: usize) -> Option<usize> {
        self.slots.iter().position(|slot| slot.position == position)
    }

    /// The column that shows the row id.
    pub(super) fn alias(&self) -> Option<usize> {
        self.slots.iter().position(|slot| slot.alias)
    }

    /// The stored position of the column that shows the row id.
    pub(super) fn alias_position(&self) -> Option<usize> {
        self.slots.iter().find(|slot| slot.alias).map(|slot| slot.position)
    }

    /// What rows read at a stored position that were written before its column was added.
    pub(super) fn default_at(&self, position: usize) -> Option<&RowCell<'static>> {
        self.slots.iter().find(|slot| slot.position == position).map(|slot| &slot.default)
    }

    /// What rows read in each column that were written before it was added.
    pub(super) fn all_defaults(&self) -> Vec<RowCell<'static>> {
        self.slots.iter().map(|slot| slot.default.clone()).collect()
    }

    /// Whether a value is what rows read that were written before the column was added.
    pub(super) fn is_default(&self, position: usize, value: &Value<'_>) -> bool {
        let slot = self.slots.iter().find(|slot| slot.position == position);
        slot.is_some_and(|slot| match (&slot.default, value) {
            (RowCell::Null, Value::Null) => true,
            (RowCell::Int(default), Value::Int(value)) => default == value,
            (RowCell::Real(default), Value::Real(value)) => default == value,
            (RowCell::Real(default), Value::Int(value)) => *default == *value as f64,
            (RowCell::Text(default), Value::Text(value)) | (RowCell::Blob(default), Value::Blob(value)) => {
                default == value
            }
            _ => false,
        })
    }

    /// Decodes a record into the cells of a row; returns what its cells say for or against it. `None` when it is
    /// no record at all. Whether text is valid is only asked with `check_text`.
    pub(super) fn row<'a>(
        &self,
        payload: &Payload<'a>,
        payload_len: u64,
        rowid: Option<i64>,
        row_index: u32,
        check_text: bool,
        batch: &mut Batch<'a>,
    ) -> Option<Claims> {
        let whole = payload.whole;
        match &payload.bytes {
            Cow::Borrowed(bytes) => {
                let header = record::header(bytes, payload_len).ok()?;
                Some(self.cells(&header, bytes, whole, rowid, row_index, check_text, batch, |bytes| {
                    Cow::Borrowed(bytes)
                }))
            }
            Cow::Owned(bytes) => {
                let header = record::header(bytes, payload_len).ok()?;
                Some(self.cells(&header, bytes, whole, rowid, row_index, check_text, batch, |bytes| {
                    Cow::Owned(bytes.to_vec())
                }))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call for two lifetimes of the bytes")]
    fn cells<'p, 'a>(
        &self,
        header: &RecordHeader<'_>,
        payload: &'p [u8],
        whole: bool,
        rowid: Option<i64>,
        row_index: u32,
        check_text: bool,
        batch: &mut Batch<'a>,
        keep: impl Fn(&'p [u8]) -> Cow<'a, [u8]>,
    ) -> Claims {
        let mut claims = Claims::NONE;
        if self.in_order && header.columns == self.slots.len() {
            let mut at = header.len as u64;
            for (serial, slot) in header.serials().zip(&self.slots) {
                let put = |cell| batch.cells.push(cell);
                claims =
                    claims.and(self.cell(slot, serial, at, payload, whole, rowid, check_text, &keep, put));
                at = at.saturating_add(serial.len());
            }
            return claims;
        }
        let base = batch.cells.len();
        batch.cells.resize(base + self.slots.len(), RowCell::Missing);
        // Most tables store their columns in the order of their declaration; then one walk serves.
        let (mut at, mut position, mut next) = (header.len as u64, 0_usize, 0_usize);
        for serial in header.serials() {
            let slot_number = match self.slots.get(next) {
                Some(slot) if slot.position == position => Some(next),
                _ => self.slots.iter().position(|slot| slot.position == position),
            };
            if let Some(number) = slot_number
                && let (Some(slot), Some(cell)) = (self.slots.get(number), batch.cells.get_mut(base + number))
            {
                next = number + 1;
                let put = |value| *cell = value;
                claims =
                    claims.and(self.cell(slot, serial, at, payload, whole, rowid, check_text, &keep, put));
            }
            at = at.saturating_add(serial.len());
            position += 1;
        }
        if position < self.slots.len() {
            self.defaults(position, rowid, row_index, base, batch, &mut claims);
        }
        claims
    }

    /// Decodes one cell and gives it to `put`; returns what it says for or against its row.
    #[expect(clippy::too_many_arguments, reason = "the parts of one cell")]
    #[inline(always)]
    fn cell<'p, 'a>(
        &self,
        slot: &Slot,
        serial: Serial,
        at: u64,
        payload: &'p [u8],
        whole: bool,
        rowid: Option<i64>,
        check_text: bool,
        keep: impl Fn(&'p [u8]) -> Cow<'a, [u8]>,
        put: impl FnOnce(RowCell<'a>),
    ) -> Claims {
        let end = at.saturating_add(serial.len());
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        let to = usize::try_from(end).unwrap_or(usize::MAX);
        let none = Claims::NONE;
        if slot.alias && serial.kind() == SerialKind::Null {
            put(rowid.map_or(RowCell::Missing, RowCell::Int));
            return none;
        }
        let Some(bytes) = payload.get(from..to) else {
            debug_assert!(!whole || payload.len() < to);
            put(partial(serial, from, payload));
            return none;
        };
        let unlikely = none.with_if(slot.text, Claim::TypeUnlikely);
        // Each kind is put where it belongs at once: a cell that is moved twice waits for memory.
        match serial.decode(bytes) {
            Value::Null => put(RowCell::Null),
            Value::Int(value) if slot.real => put(RowCell::Real(as_real(value))),
            Value::Int(value) => {
                put(RowCell::Int(value));
                return unlikely;
            }
            Value::Real(value) => {
                put(RowCell::Real(value));
                return unlikely;
            }
            Value::Text(bytes) => {
                put(RowCell::Text(keep(bytes)));
                let invalid = check_text && !self.is_valid(bytes);
                return none.with_if(invalid, Claim::TextInvalid);
            }
            Value::Blob(bytes) => put(RowCell::Blob(keep(bytes))),
            Value::Missing => put(RowCell::Missing),
        }
        none
    }

    fn is_valid(&self, text: &[u8]) -> bool {
        match self.encoding {
            TextEncoding::Utf8 => text.is_ascii() || std::str::from_utf8(text).is_ok(),
            encoding => encoding.decode(text).is_some(),
        }
    }

    /// Columns that were added after the row was written read as their default.
    fn defaults(
        &self,
        stored: usize,
        rowid: Option<i64>,
        row_index: u32,
        base: usize,
        batch: &mut Batch<'_>,
        claims: &mut Claims,
    ) {
        for (number, slot) in self.slots.iter().enumerate() {
            if slot.position < stored {
                continue;
            }
            let Some(cell) = batch.cells.get_mut(base + number) else { continue };
            if slot.alias {
                *cell = rowid.map_or(RowCell::Missing, RowCell::Int);
                continue;
            }
            *cell = slot.default.clone();
            if matches!(slot.default, RowCell::Missing) {
                continue;
            }
            *claims = claims.with(Claim::DefaultUsed);
            let from = "the column's default: the row was written before the column was added";
            batch.inferred.push((row_index, Inferred { column: number, from }));
        }
    }

    /// Takes back the parts of a row's cells that lie in `lost` extents of its page; of BLOBs only where told so. The row's
    /// record has a header of this length, with these types.
    pub(super) fn blank(
        &self,
        (header_len, serials): (usize, impl Iterator<Item = Serial>),
        cell: &Cell,
        lost: &[Extent],
        blobs: bool,
        row: &mut [RowCell<'_>],
    ) {
        let mut at = header_len as u64;
        for (position, serial) in serials.enumerate() {
            let (from, to) = (at, at.saturating_add(serial.len()));
            at = to;
            let on_page = |at: u64| at + u64::from(cell.payload_at);
            let hits: Vec<(u64, u64)> = lost
                .iter()
                .map(|extent| (on_page(from).max(extent.from.into()), on_page(to).min(extent.to.into())))
                .filter(|(from, to)| from < to)
                .collect();
            let column = self.column_of(position).and_then(|column| row.get_mut(column));
            let (Some(value), false) = (column, hits.is_empty()) else { continue };
            if blobs || !matches!(value, RowCell::Blob(_)) {
                *value = without(value, on_page(from), &hits);
            }
        }
    }

    /// The sectors of a page in which texts of a record don't read, each from the first wrong byte to the text's end.
    pub(super) fn unread_sectors(
        &self,
        header: &RecordHeader<'_>,
        cell: &Cell,
        payload: &[u8],
        offset: u64,
    ) -> Vec<Extent> {
        let sectors = Sectors::of_page_at(offset);
        let (mut at, mut found) = (header.len, Vec::new());
        for serial in header.serials() {
            let from = at;
            at = at.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            let Some(text) = payload.get(from..at).filter(|_| serial.kind() == SerialKind::Text) else {
                continue;
            };
            let good = match self.encoding {
                TextEncoding::Utf8 => {
                    std::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len)
                }
                encoding => encoding.decode(text).map_or(0, |_| text.len()),
            };
            if good < text.len() {
                let on_page = |at: usize| cell.payload_at + at as u32;
                let (first, behind) = (sectors.of(on_page(from + good)), sectors.from(on_page(at)));
                found.push(Extent { from: sectors.start(first), to: sectors.start(behind) });
            }
        }
        found
    }

    /// Puts solved cells into a row: those of a record whose header was damaged, or lies where nothing points to.
    /// Returns what the cells say against it.
    pub(super) fn solved<'p, 'a>(
        &self,
        solution: &solve::Solution,
        payload: &'p [u8],
        rowid: Option<i64>,
        row_index: u32,
        batch: &mut Batch<'a>,
        keep: impl Fn(&'p [u8]) -> Cow<'a, [u8]> + Copy,
    ) -> Claims {
        let mut claims = Claims::NONE;
        let base = batch.cells.len();
        batch.cells.resize(base + self.slots.len(), RowCell::Missing);
        for (number, slot) in self.slots.iter().enumerate() {
            let Some(Some((serial, at))) = solution.columns.get(slot.position) else { continue };
            if let Some(cell) = batch.cells.get_mut(base + number) {
                let put = |value| *cell = value;
                claims = claims.and(self.cell(slot, *serial, *at, payload, false, rowid, true, keep, put));
            }
        }
        if solution.columns.len() < self.slots.len() {
            self.defaults(solution.columns.len(), rowid, row_index, base, batch, &mut claims);
        }
        claims
    }
}

/// A cell without the bytes in `lost`, which are given as offsets of the same origin as `from`.
fn without<'a>(cell: &RowCell<'_>, from: u64, lost: &[(u64, u64)]) -> RowCell<'a> {
    let (bytes, text) = match cell {
        RowCell::Text(bytes) => (bytes, true),
        RowCell::Blob(bytes) => (bytes, false),
        _ => return RowCell::Missing,
    };
    let mut known = Vec::new();
    let mut at = 0_usize;
    let ends = lost.iter().map(|(first, last)| ((first - from) as usize, (last - from) as usize));
    for (first, last) in ends.chain([(bytes.len(), bytes.len())]) {
        if let Some(part) = bytes.get(at..first).filter(|part| !part.is_empty()) {
            known.push((at as u64, part.to_vec()));
        }
        at = last;
    }
    if known.is_empty() {
        return RowCell::Missing;
    }
    RowCell::Partial(Box::new(Partial { length: bytes.len() as u64, text, known }))
}

/// What is known of a cell that reaches past the bytes that survive.
fn partial<'a>(serial: Serial, from: usize, payload: &[u8]) -> RowCell<'a> {
    let known = payload.get(from..).unwrap_or_default();
    let text = serial.kind() == SerialKind::Text;
    if known.is_empty() || !(text || serial.kind() == SerialKind::Blob) {
        return RowCell::Missing;
    }
    let known = vec![(0, known.to_vec())];
    RowCell::Partial(Box::new(Partial { length: serial.len(), text, known }))
}

/// The number that an integer in a column of reals stands for. SQLite stores a whole number as one only where it is the
/// same (`sqlite3VdbeIntegerAffinity` in its source): another integer is the bytes of a real number, whose serial type, 7,
/// was made the one before it. Those of the integers of an application read as numbers next to nothing, or without end.
fn as_real(value: i64) -> f64 {
    let read = f64::from_bits(value as u64);
    let is_usual = (1e-30..1e30).contains(&read.abs());
    if value as f64 as i64 != value && is_usual { read } else { value as f64 }
}

/// A default as a cell, its text in the encoding of the store as all cells are.
fn default_cell(value: OwnedValue, encoding: TextEncoding) -> RowCell<'static> {
    match value {
        OwnedValue::Null => RowCell::Null,
        OwnedValue::Int(value) => RowCell::Int(value),
        OwnedValue::Real(value) => RowCell::Real(value),
        OwnedValue::Text(value) => RowCell::Text(Cow::Owned(encoding.encode(&value))),
        OwnedValue::Blob(value) => RowCell::Blob(Cow::Owned(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::as_real;

    #[test]
    fn an_integer_that_is_no_real_number_is_the_bytes_of_one() {
        for whole in [0, -7, 1 << 47, 1 << 60, i64::MIN, i64::MAX] {
            assert_eq!(as_real(whole), whole as f64);
        }
        for real in [-105.56, 0.1, 1e-5, 16_528.07] {
            assert_eq!(as_real(f64::to_bits(real) as i64), real);
        }
        // The number of a message, counted from a time in milliseconds.
        assert_eq!(as_real(1_727_549_302_177_423_361), 1_727_549_302_177_423_361_i64 as f64);
    }
}
