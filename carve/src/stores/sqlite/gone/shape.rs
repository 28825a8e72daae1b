//! What the records of a table can look like, for bytes that nothing points to.

use super::super::altered::Dropped;
use super::super::database::{Database, Output};
use super::super::leaf::leaf_kind;
use super::super::prints::content;
use super::super::sample;
use super::super::shape::{Fit, fit_cell};
use super::misread;
use super::places::Places;
use super::positions;
use super::rowids;
use crate::model::SchemaOrigin;
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::cell::MIN_CELL;
use mudlark_parsers::sqlite::ddl::Affinity;
use mudlark_parsers::sqlite::freed::{self, Effort, FreedCell, RowidLeft, Scratch, Shape, Space};
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::sqlite::serial_list::SerialList;
use mudlark_parsers::sqlite::varint::varint_len;
use mudlark_parsers::value::{TextEncoding, Value};
use std::collections::{HashMap, HashSet};

/// Rows that must have been seen before a kind of value that none of them has is taken for impossible.
const ENOUGH: u32 = 64;

/// The kinds of values that each column holds, and how many columns records have.
#[derive(Debug)]
pub(super) struct Kinds {
    encoding: TextEncoding,
    /// For each stored column a bit for each kind.
    allowed: Vec<u8>,
    /// The same, of what no rule forbids: rows that are known to be the table's can hold it.
    possible: Vec<u8>,
    pub(super) least: usize,
    most: usize,
    first: Option<Serial>,
    /// What is known of the values of each column, from so many rows.
    values: Vec<Values>,
    rows: u32,
    /// The odds of a serial type by how many of these rows have it.
    odds_by_rows: Vec<i64>,
    /// Of these rows, those with a text that is not valid.
    garbled: u32,
    /// The bytes of their texts.
    text_bytes: u64,
}

/// What is known of the values of a column.
#[derive(Clone, Debug, Default)]
struct Values {
    /// A bit for each kind.
    kinds: u8,
    /// Rows of which it was seen.
    rows: u32,
    /// How many rows have each serial type.
    often: HashMap<u64, u32, RandomState>,
    /// Least and greatest integer.
    ints: Option<(i64, i64)>,
    /// Least and greatest binary exponent of a double.
    exponents: Option<(i64, i64)>,
    /// Bytes of the shortest and of the longest text.
    text_lengths: Option<(u64, u64)>,
    /// Texts, as fingerprints.
    texts: HashSet<u64, RandomState>,
    /// Some text has characters that texts seldom have.
    odd_texts: bool,
}

/// Rows that must have been seen before their values say what others can be.
const TELLING: u32 = 16;

/// All but one of so many rows are nearly all.
const NEARLY_ALL: u64 = 20;

/// Texts that are not valid are many where one of so many rows has one.
const OFTEN: u32 = 32;

/// A flipped bit makes a text invalid in one of eight bytes of ASCII, and in most of other letters.
const FLIPS_OF_INVALID: f64 = 4.0;

/// How much less or greater a double's binary exponent is seldom than all that were seen.
const SELDOM_EXPONENT: i64 = 16;

/// The lesser likelihood of an integer beyond all that were seen, and the greater one of a text that was, in sixteenths
/// of a bit.
const BEYOND: i64 = 128;
const SEEN_TEXT: i64 = 48;

/// How much less likely a row stood on a page none of whose row ids can be its own, in sixteenths of a bit: a page may have
/// had other rows before.
const STRANGE_ROWID: i64 = 128;

/// How much less or greater a double's binary exponent may be than all that were seen.
const EXPONENT_SLACK: i64 = 64;

/// The binary exponent of a double, but for its bias; `None` for zero.
fn exponent(bytes: &[u8]) -> Option<i64> {
    let bits = u64::from_be_bytes(*bytes.first_chunk()?);
    (bits << 1 != 0).then_some((bits >> 52 & 0x7ff) as i64)
}

impl Values {
    /// What was seen of a column that was dropped since.
    fn of(encoding: TextEncoding, lost: &Dropped) -> Self {
        let mut values = Self::default();
        for (serial, bytes) in lost.values.iter() {
            values.see(encoding, *serial, Some(bytes));
        }
        values
    }

    fn see(&mut self, encoding: TextEncoding, serial: Serial, bytes: Option<&[u8]>) {
        self.kinds |= bit(serial.kind());
        self.rows += 1;
        *self.often.entry(serial.0).or_default() += 1;
        if serial.kind() == SerialKind::Text {
            let (least, most) = self.text_lengths.unwrap_or((u64::MAX, 0));
            self.text_lengths = Some((least.min(serial.len()), most.max(serial.len())));
        }
        let widen = |range: &mut Option<(i64, i64)>, value: i64| {
            *range = Some(range.map_or((value, value), |(least, most)| (least.min(value), most.max(value))));
        };
        let Some(bytes) = bytes else { return };
        match (serial.kind(), serial.decode(bytes)) {
            (SerialKind::Int, Value::Int(value)) => widen(&mut self.ints, value),
            (SerialKind::Real, _) => {
                if let Some(exponent) = exponent(bytes) {
                    widen(&mut self.exponents, exponent);
                }
            }
            (SerialKind::Text, _) => {
                self.texts.insert(content(std::iter::empty(), bytes));
                self.odd_texts |= has_controls(encoding, bytes);
            }
            _ => {}
        }
    }
}

impl Values {
    /// Whether a text is shorter or longer than all that were seen, by more than a quarter of what lies between these.
    fn is_of_other_length(&self, serial: Serial) -> bool {
        let beyond = |(least, most): (u64, u64)| {
            let slack = (most - least) / 4 + 1;
            !(least.saturating_sub(slack)..=most.saturating_add(slack)).contains(&serial.len())
        };
        serial.kind() == SerialKind::Text && self.text_lengths.is_some_and(beyond)
    }

    /// Whether a value is unlike all that were seen: a number far off, or a text with characters that none has.
    fn is_beyond(&self, encoding: TextEncoding, serial: Serial, bytes: &[u8]) -> bool {
        match (serial.kind(), serial.decode(bytes)) {
            (SerialKind::Int, Value::Int(int)) => self.ints.is_some_and(|(least, most)| {
                // Only some rows were seen.
                let slack = most.saturating_sub(least) / 4 + 1;
                // Counts, times and numbers of other rows are never negative.
                let floor = if least < 0 { i64::MIN } else { 0 };
                !(least.saturating_sub(slack).max(floor)..=most.saturating_add(slack)).contains(&int)
            }),
            (SerialKind::Real, _) => {
                let seen = exponent(bytes).zip(self.exponents);
                seen.is_some_and(|(exponent, (least, most))| {
                    !(least - SELDOM_EXPONENT..=most + SELDOM_EXPONENT).contains(&exponent)
                })
            }
            (SerialKind::Text, _) => !self.odd_texts && has_controls(encoding, bytes),
            _ => false,
        }
    }
}

/// Whether a text has control characters, but for those of lines and tabs.
pub(super) fn has_controls(encoding: TextEncoding, text: &[u8]) -> bool {
    let is_control = |unit: u16| unit < 0x20 && !matches!(unit, 9 | 10 | 13);
    let (pairs, _) = text.as_chunks::<2>();
    match encoding {
        TextEncoding::Utf8 => {
            // Few have any low byte, which the compiler asks of many at a time.
            let low = text.iter().fold(0, |any, byte| any | u8::from(*byte < 0x20));
            low != 0 && text.iter().any(|byte| is_control(u16::from(*byte)))
        }
        TextEncoding::Utf16le => pairs.iter().any(|pair| is_control(u16::from_le_bytes(*pair))),
        TextEncoding::Utf16be => pairs.iter().any(|pair| is_control(u16::from_be_bytes(*pair))),
    }
}

const fn bit(kind: SerialKind) -> u8 {
    1 << kind as u8
}

const ALL: [(SerialKind, Serial); 5] = [
    (SerialKind::Null, Serial(0)),
    (SerialKind::Int, Serial(1)),
    (SerialKind::Real, Serial(7)),
    (SerialKind::Text, Serial(13)),
    (SerialKind::Blob, Serial(12)),
];

/// How likely a serial type is that so many of the rows have, in sixteenths of a bit.
fn odds_of(seen: u32, rows: u32) -> i64 {
    let share = (f64::from(seen) + 0.25) / (f64::from(rows) + 1.0);
    (16.0 * share.log2()).round() as i64
}

/// Rows up to which odds are reckoned in advance.
const MOST_RECKONED: u32 = 4096;

/// The same, for each number of rows that may have it.
fn odds_by_rows(rows: u32) -> Vec<i64> {
    (0..=rows.min(MOST_RECKONED)).map(|seen| odds_of(seen, rows)).collect()
}

/// What was seen of some records.
#[derive(Debug)]
struct Seen {
    encoding: TextEncoding,
    values: Vec<Values>,
    rows: u32,
    /// Fewest columns.
    fewest: usize,
    /// Those with a text that is not valid.
    garbled: u32,
    /// The bytes of all texts.
    text_bytes: u64,
}

impl Seen {
    fn record<'p>(&mut self, cells: impl Iterator<Item = (Serial, Option<&'p [u8]>)>) {
        self.rows += 1;
        let (mut columns, mut garbled) = (0, false);
        for (column, (serial, bytes)) in cells.enumerate() {
            if self.values.len() <= column {
                self.values.push(Values::default());
            }
            if let Some(values) = self.values.get_mut(column) {
                values.see(self.encoding, serial, bytes);
            }
            let text = bytes.filter(|_| serial.kind() == SerialKind::Text);
            garbled |= text.is_some_and(|text| !is_valid(self.encoding, text));
            self.text_bytes += text.map_or(0, |text| text.len() as u64);
            columns += 1;
        }
        self.garbled += u32::from(garbled);
        self.fewest = self.fewest.min(columns);
    }
}

impl Kinds {
    pub(super) fn of(database: &Database<'_>, output: &Output) -> Self {
        Self::with_places(database, output, &database.places)
    }

    /// The same; of a table without a name and a row in its tree, what the pages among the `places` tell.
    pub(super) fn with_places(database: &Database<'_>, output: &Output, places: &Places) -> Self {
        let mut pages = database.tree(output).map(|tree| tree.pages.as_slice()).unwrap_or_default();
        if pages.iter().all(|page| database.survey.page(*page).cells == 0) && output.def.is_none() {
            pages = places.of(output.tree).pages;
        }
        let def = output.def.and_then(|def| database.catalogue.tables.get(def));
        let of_shape = def.filter(|def| def.origin == SchemaOrigin::Shape);
        if let Some((lost, successor)) =
            of_shape.and_then(|def| Some((def.lost_column.as_ref()?, def.successor?)))
            && let Some(successor) = database.outputs.iter().find(|output| output.def == Some(successor))
        {
            return Self::of(database, successor).with(lost);
        }
        let encoding = database.encoding;
        let mut seen =
            Seen { encoding, values: Vec::new(), rows: 0, fewest: usize::MAX, garbled: 0, text_bytes: 0 };
        for page in sample::profile_pages(pages) {
            sample::records(&database.view, &database.survey, page, sample::ROWS, |_, header, payload| {
                seen.record(record::cells(header.serials(), header.len, payload));
            });
        }
        let Seen { mut values, mut rows, fewest, garbled, text_bytes, .. } = seen;
        // Where an earlier shape has no rows of its own, those of the later one tell what its columns hold.
        let later = def.and_then(|def| database.catalogue.tables.get(def.successor?));
        if let Some((def, later)) = def.zip(later).filter(|_| rows == 0) {
            let successor = database.outputs.iter().find(|output| output.def == def.successor);
            if let Some(known) = successor.map(|successor| Self::of(database, successor)) {
                let positions = positions(later, def).into_iter();
                let of_later = |at: Option<usize>| known.values.get(at?).cloned();
                values = positions.map(|at| of_later(at).unwrap_or_default()).collect();
                rows = known.rows;
                if let Some(lost) = &def.lost_column
                    && let Some(values) = values.get_mut(lost.position)
                {
                    *values = Values::of(encoding, lost);
                }
            }
        }
        let kinds_of = |values: &[Values], column: usize| values.get(column).map_or(0, |values| values.kinds);
        match def {
            Some(def) => {
                let allow = |(position, column): (usize, &usize)| {
                    let seen = kinds_of(&values, position);
                    let rows = values.get(position).map_or(0, |values| values.rows);
                    let affinity = def.ddl.columns.get(*column).map(|column| column.affinity);
                    ALL.iter().fold(0_u8, |allowed, (kind, serial)| {
                        let was_seen = seen & bit(*kind) != 0;
                        let number = matches!(kind, SerialKind::Int | SerialKind::Real)
                            && matches!(affinity, Some(Affinity::Real | Affinity::Numeric));
                        let fits = match fit_cell(*serial, *column, def) {
                            Fit::No => false,
                            Fit::Odd => was_seen,
                            Fit::Yes => was_seen || number || *kind == SerialKind::Null || rows < ENOUGH,
                        };
                        allowed | if fits { bit(*kind) } else { 0 }
                    })
                };
                let possible = |column: &usize| {
                    let kinds = ALL.iter().filter(|(_, serial)| fit_cell(*serial, *column, def) != Fit::No);
                    kinds.fold(0, |possible, (kind, _)| possible | bit(*kind))
                };
                let allowed: Vec<u8> = def.stored.iter().enumerate().map(allow).collect();
                let possible = def.stored.iter().map(possible).collect();
                let alias =
                    def.ddl.rowid_alias.is_some() && def.stored.first().copied() == def.ddl.rowid_alias;
                let most = allowed.len();
                let first = alias.then_some(Serial::NULL);
                Self {
                    encoding,
                    allowed,
                    possible,
                    least: fewest.min(most),
                    most,
                    first,
                    values,
                    rows,
                    odds_by_rows: odds_by_rows(rows),
                    garbled,
                    text_bytes,
                }
            }
            None => {
                let most = output.layout.columns.len();
                values.resize_with(most, Values::default);
                let allowed: Vec<u8> =
                    (0..most).map(|column| kinds_of(&values, column) | bit(SerialKind::Null)).collect();
                let constant = allowed.first().copied() == Some(bit(SerialKind::Null)) && rows > 0;
                let first = constant.then_some(Serial::NULL);
                let possible = vec![u8::MAX; most];
                Self {
                    encoding,
                    allowed,
                    possible,
                    least: fewest.min(most),
                    most,
                    first,
                    values,
                    rows,
                    odds_by_rows: odds_by_rows(rows),
                    garbled,
                    text_bytes,
                }
            }
        }
    }

    /// Takes the values of rows that are gone into account, where few are live: each a page and a cell that stands on it
    /// with all its serial types. Returns whether there was any.
    pub(super) fn learn<'p>(&mut self, rows: impl Iterator<Item = (&'p [u8], &'p FreedCell)>) -> bool {
        let values = std::mem::take(&mut self.values);
        let (encoding, garbled, text_bytes) = (self.encoding, self.garbled, self.text_bytes);
        let mut seen = Seen { encoding, values, rows: self.rows, fewest: self.least, garbled, text_bytes };
        for (page, freed) in rows {
            seen.record(own_cells(page, freed));
        }
        let more = seen.rows > self.rows;
        (self.values, self.rows) = (seen.values, seen.rows);
        (self.garbled, self.text_bytes) = (seen.garbled, seen.text_bytes);
        self.odds_by_rows = odds_by_rows(self.rows);
        more
    }

    /// Whether any row told what its values look like.
    pub(super) const fn has_rows(&self) -> bool {
        self.rows > 0
    }

    /// Whether the first column of most rows holds NULL, as that of an `INTEGER PRIMARY KEY` does.
    pub(super) fn begins_with_null(&self) -> bool {
        let nulls = |values: &Values| 2 * values.often.get(&0).copied().unwrap_or(0) > values.rows;
        self.first == Some(Serial::NULL) || self.values.first().is_some_and(nulls)
    }

    /// Whether so few rows are live that those which are gone tell more.
    pub(super) const fn few_rows(&self) -> bool {
        self.rows < TELLING
    }

    /// The same, with a column that was dropped since.
    fn with(mut self, lost: &Dropped) -> Self {
        let at = lost.position.min(self.allowed.len());
        let values = Values::of(self.encoding, lost);
        self.allowed.insert(at, values.kinds | bit(SerialKind::Null));
        self.possible.insert(at.min(self.possible.len()), u8::MAX);
        self.values.insert(at.min(self.values.len()), values);
        self.first = self.first.filter(|_| at > 0);
        Self { least: self.least + 1, most: self.most + 1, ..self }
    }

    /// The cells that an extent of a page held, read as the table's records. The page is of this kind, and its rows have ids
    /// between these, as far as is known. `alone` where they are not held against those of another table.
    #[expect(clippy::too_many_arguments, reason = "an extent and all that says how it is read")]
    pub(super) fn cells(
        &self,
        database: &Database<'_>,
        page: &[u8],
        place: (Extent, Space),
        effort: &Effort,
        (kind, ids, alone): (PageKind, Option<(i64, i64)>, bool),
        is_edge: &dyn Fn(u32) -> bool,
        scratch: &mut Scratch,
    ) -> Vec<FreedCell> {
        let fits = |column: usize, serial| self.fits(column, serial);
        let reads = |text: &[u8]| reads(database.encoding, text);
        let odds = |column: usize, serial, bytes: &[u8]| self.odds(column, serial, bytes);
        let shape = Shape {
            least: self.least,
            most: self.most,
            first: self.first,
            fits: &fits,
            reads: &reads,
            odds: &odds,
            prior: &|serial, bytes| if self.rows == 0 { prior(self.encoding, serial, bytes) } else { 0 },
            least_odds: alone.then(|| self.least_odds()),
            rowid_odds: &|left| if ids.is_none_or(|ids| is_between(left, ids)) { 0 } else { -STRANGE_ROWID },
            effort,
        };
        let geometry = database.view.geometry;
        let mut cells = freed::cells(page, place, kind, geometry, &shape, is_edge, scratch);
        cells.retain(|freed| !freed.rebuilt || self.reals_fit(page, freed));
        cells
    }

    /// What reads as cells on a page without a header.
    pub(super) fn bare_cells(
        &self,
        database: &Database<'_>,
        page: &[u8],
        rowids: bool,
        effort: &Effort,
    ) -> Vec<FreedCell> {
        let usable = database.view.geometry.usable();
        let extent = Extent { from: freelist::list_end(page, usable, database.view.page_count), to: usable };
        let (place, kind) = ((extent, Space::Other), leaf_kind(rowids));
        self.cells(database, page, place, effort, (kind, None, true), &|_| false, &mut Scratch::default())
    }

    /// Whether a record can be one of the table's.
    pub(super) fn fit(&self, serials: &SerialList) -> bool {
        (self.least..=self.most).contains(&serials.len())
            && serials.iter().enumerate().all(|(column, serial)| self.fits(column, serial))
    }

    /// Whether no rule forbids that a record is one of the table's.
    pub(super) fn allow(&self, serials: &SerialList) -> bool {
        let kinds = self.possible.iter().zip(serials.iter());
        (self.least..=self.most).contains(&serials.len())
            && kinds.into_iter().all(|(possible, serial)| possible & bit(serial.kind()) != 0)
    }

    /// Whether a record whose header stands whole is one of the table's, rather than one of the `rivals`.
    pub(super) fn own(&self, serials: &SerialList, rivals: &[Self]) -> bool {
        self.fit(serials) || self.allow(serials) && !rivals.iter().any(|rival| rival.allow(serials))
    }

    /// How likely a column has a value, in sixteenths of a bit; serial types that were not seen are as rare as a quarter
    /// of a row. Without a row nothing is likelier than another.
    fn odds(&self, column: usize, serial: Serial, bytes: &[u8]) -> i64 {
        if self.rows == 0 {
            return 0;
        }
        let values = self.values.get(column);
        let seen = values.and_then(|values| values.often.get(&serial.0)).copied().unwrap_or(0);
        let rows = values.map_or(self.rows, |values| values.rows);
        let odds = self.odds_by_rows.get(seen as usize).copied().filter(|_| rows == self.rows);
        let odds = odds.unwrap_or_else(|| odds_of(seen, rows));
        let Some(values) = values else { return odds };
        if values.is_beyond(self.encoding, serial, bytes) {
            return odds - BEYOND;
        }
        let known =
            serial.kind() == SerialKind::Text && values.texts.contains(&content(std::iter::empty(), bytes));
        odds + if known { SEEN_TEXT } else { 0 }
    }

    /// The least that these odds come to.
    fn least_odds(&self) -> i64 {
        let unseen = |values: &Values| match self.odds_by_rows.first() {
            Some(odds) if values.rows == self.rows => *odds,
            _ => odds_of(0, values.rows),
        };
        let least = self.values.iter().map(unseen).min().unwrap_or(0);
        least.min(odds_of(0, self.rows)).min(0) - BEYOND
    }

    /// Whether a value is unlike all that were seen of its column.
    pub(super) fn is_beyond(&self, column: usize, serial: Serial, bytes: &[u8]) -> bool {
        self.rows >= TELLING
            && self.values.get(column).is_some_and(|values| values.is_beyond(self.encoding, serial, bytes))
    }

    /// Whether a cell has a value that is unlike all that were seen of its column.
    pub(super) fn is_unlike(&self, page: &[u8], freed: &FreedCell) -> bool {
        let mut cells = own_cells(page, freed).enumerate();
        self.rows >= TELLING
            && cells.any(|(column, (serial, bytes))| {
                let Some(values) = self.values.get(column) else { return false };
                // What follows from the bytes that are left is short where some of these are another cell's.
                let is_cut = || {
                    column == 0
                        && freed.first_solved
                        && self.rows >= ENOUGH
                        && values.is_of_other_length(serial)
                };
                self.is_new_kind(values, serial)
                    || is_cut()
                    || bytes.is_some_and(|bytes| values.is_beyond(self.encoding, serial, bytes))
            })
    }

    /// Whether no row that was looked at, of enough, has such a value in this column.
    fn is_new_kind(&self, values: &Values, serial: Serial) -> bool {
        self.rows >= ENOUGH && values.kinds != 0 && values.kinds & bit(serial.kind()) == 0
    }

    /// Whether a cell has a kind of value that none has in this column.
    pub(super) fn is_strange(&self, freed: &FreedCell) -> bool {
        let mut cells = self.values.iter().zip(freed.serials.iter());
        cells.any(|(values, serial)| self.is_new_kind(values, serial))
    }

    /// Whether some text of the rows that were looked at is not valid.
    pub(super) const fn is_garbled(&self) -> bool {
        self.garbled > 0
    }

    /// Whether texts of many of these rows are not valid.
    pub(super) const fn is_often_garbled(&self) -> bool {
        self.garbled > 1 && self.garbled.saturating_mul(OFTEN) >= self.rows
    }

    /// How many of `len` bytes are damaged, if as many of all are as those texts tell that are not valid.
    pub(super) fn damaged_bytes(&self, len: u64) -> f64 {
        FLIPS_OF_INVALID * f64::from(self.garbled) * len as f64 / self.text_bytes.max(1) as f64
    }

    /// How likely a record is one of the table's, in sixteenths of a bit; `None` where no row tells.
    pub(super) fn likeness(&self, page: &[u8], freed: &FreedCell) -> Option<i64> {
        let cells = own_cells(page, freed).enumerate();
        let odds =
            cells.map(|(column, (serial, bytes))| self.odds(column, serial, bytes.unwrap_or_default()));
        let fits = freed.serials.len() <= self.most;
        (self.rows >= TELLING).then(|| odds.sum::<i64>() - if fits { 0 } else { BEYOND })
    }

    /// Whether nearly all rows have these types first, of those that have as many bytes, or so few more or less as a fragment
    /// behind a cell has.
    pub(super) fn is_usual(&self, mut first: impl Iterator<Item = Serial>) -> bool {
        let mut values = self.values.iter();
        self.rows >= TELLING
            && first.all(|serial| {
                let Some(values) = values.next() else { return false };
                let len = |serial: u64| Serial(serial).len();
                let near = values
                    .often
                    .iter()
                    .filter(|(other, _)| len(**other).abs_diff(serial.len()) < MIN_CELL as u64);
                let all: u32 = near.map(|(_, rows)| rows).sum();
                let same = values.often.get(&serial.0).copied().unwrap_or(0);
                same > 0 && u64::from(same) * NEARLY_ALL >= u64::from(all) * (NEARLY_ALL - 1)
            })
    }

    /// Whether the doubles of a cell that was put together are of the magnitude of the column's others.
    fn reals_fit(&self, page: &[u8], freed: &FreedCell) -> bool {
        let mut cells = own_cells(page, freed).enumerate();
        cells.all(|(column, (serial, bytes))| {
            let seen = self.values.get(column).and_then(|values| values.exponents);
            let exponent = bytes.filter(|_| serial.kind() == SerialKind::Real).and_then(exponent);
            let far = |(exponent, (least, most)): (i64, (i64, i64))| {
                !(least - EXPONENT_SLACK..=most + EXPONENT_SLACK).contains(&exponent)
            };
            self.rows < ENOUGH || !exponent.zip(seen).is_some_and(far)
        })
    }

    pub(super) fn fits(&self, column: usize, serial: Serial) -> bool {
        self.allowed.get(column).is_some_and(|allowed| allowed & bit(serial.kind()) != 0)
    }
}

/// The cells of a record, as far as they lie on its page.
fn own_cells<'p>(page: &'p [u8], freed: &FreedCell) -> impl Iterator<Item = (Serial, Option<&'p [u8]>)> {
    let payload = freed.cell.local_payload(page);
    record::cells(freed.serials.iter(), freed.header_len as usize, payload)
}

/// Whether a row id of which this is left can be one between these.
fn is_between(left: RowidLeft, (first, last): (i64, i64)) -> bool {
    match left {
        RowidLeft::Length(len) => {
            let len_of = |rowid: i64| varint_len(rowid as u64) as u32;
            // Negative ones take as many bytes as the greatest.
            first < 0 || (len_of(first)..=len_of(last)).contains(&len)
        }
        RowidLeft::Low(low, bits) => rowids::modulus(bits)
            .is_none_or(|modulus| rowids::first_with(low, modulus, first).is_some_and(|next| next <= last)),
        RowidLeft::Whole(rowid) => (first..=last).contains(&rowid),
        RowidLeft::None => true,
    }
}

/// What kinds of values, and bytes of them, are likely in any table beside random bytes, in sixteenths of a bit.
const NULL: i64 = -48;
const TRUTH_VALUE: i64 = -64;
const SHORT_INT: i64 = -32;
const LONG_INT: i64 = -72;
const REAL: i64 = -48;
const FAR_REAL: i64 = -128;
const TEXT: i64 = -32;
const BLOB: i64 = -64;
/// An integer that takes fewer bytes is never written like this.
const TOO_LONG_INT: i64 = -512;
const TEXT_BYTE: i64 = 48;
const MARK_BYTE: i64 = 16;
const CONTROL_BYTE: i64 = -96;
const LATIN_UNIT: i64 = 144;
const MARK_UNIT: i64 = 112;
const SAME_SCRIPT_UNIT: i64 = 72;

/// Binary exponents of doubles that most columns keep between.
const NEAR_EXPONENTS: std::ops::RangeInclusive<i64> = 1023 - 40..=1023 + 70;

/// How likely a value is in any table.
fn prior(encoding: TextEncoding, serial: Serial, bytes: &[u8]) -> i64 {
    match serial.0 {
        0 => NULL,
        8 | 9 => TRUTH_VALUE,
        1 => SHORT_INT,
        2..=6 => {
            // There are no integers of five or of seven bytes.
            let more = if serial.0 >= 5 { 2 } else { 1 };
            let fits_less = bytes.split_at_checked(more).is_some_and(|(spare, rest)| {
                let sign = |first: &u8| if first & 0x80 == 0 { 0 } else { 0xff };
                rest.first().map(sign).is_some_and(|sign| spare.iter().all(|byte| *byte == sign))
            });
            if fits_less {
                TOO_LONG_INT
            } else if serial.0 >= 5 {
                LONG_INT
            } else {
                SHORT_INT
            }
        }
        7 => match exponent(bytes) {
            Some(exponent) if NEAR_EXPONENTS.contains(&exponent) => REAL,
            _ => FAR_REAL,
        },
        _ if serial.kind() == SerialKind::Text => TEXT + text_prior(encoding, bytes),
        _ => BLOB,
    }
}

/// Whether a character is none of those that most texts consist of.
const fn is_mark(character: u8) -> bool {
    character.is_ascii_punctuation() && !matches!(character, b',' | b'.' | b'-')
}

/// The same for the bytes of a text.
fn text_prior(encoding: TextEncoding, bytes: &[u8]) -> i64 {
    let of_units = |unit: fn([u8; 2]) -> u16| {
        let (units, _) = bytes.as_chunks::<2>();
        let units = units.iter().map(|pair| unit(*pair));
        let of_unit = |last: &mut u16, unit: u16| {
            let same_script = unit >> 8 == *last;
            *last = unit >> 8;
            Some(match unit {
                0..0x20 => CONTROL_BYTE,
                0x20..0x7f if is_mark(unit as u8) => MARK_UNIT,
                0x20..0x7f => LATIN_UNIT,
                _ if same_script => SAME_SCRIPT_UNIT,
                _ => 0,
            })
        };
        units.scan(0, of_unit).sum::<i64>()
    };
    match encoding {
        TextEncoding::Utf8 => {
            let of_byte = |byte: &u8| match byte {
                0..0x20 => CONTROL_BYTE,
                byte if is_mark(*byte) => MARK_BYTE,
                _ => TEXT_BYTE,
            };
            bytes.iter().map(of_byte).sum()
        }
        TextEncoding::Utf16le => of_units(u16::from_le_bytes),
        TextEncoding::Utf16be => of_units(u16::from_be_bytes),
    }
}

/// Whether a text is valid in its encoding.
fn is_valid(encoding: TextEncoding, text: &[u8]) -> bool {
    match encoding {
        TextEncoding::Utf8 => text.is_ascii() || std::str::from_utf8(text).is_ok(),
        _ => encoding.decode(text).is_some(),
    }
}

/// Whether bytes read as text of a database.
pub(super) fn reads(encoding: TextEncoding, text: &[u8]) -> bool {
    match encoding {
        TextEncoding::Utf8 => text.is_ascii() || std::str::from_utf8(text).is_ok(),
        // Nearly all pairs of bytes are some character, but few are such as texts consist of.
        _ => {
            !misread::is_misread(encoding, text)
                && encoding.decode(text).is_some_and(|text| {
                    let odd = |c: &char| {
                        c.is_control() || matches!(*c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}')
                    };
                    8 * text.chars().filter(odd).count() <= text.chars().count()
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Values;
    use mudlark_parsers::sqlite::serial::Serial;
    use mudlark_parsers::value::TextEncoding;

    #[test]
    fn a_negative_number_is_beyond_a_column_that_has_none_and_within_one_that_does() {
        let is_beyond = |least| {
            let values = Values { ints: Some((least, 400)), ..Values::default() };
            values.is_beyond(TextEncoding::Utf8, Serial(1), &[0xe5])
        };
        assert!(is_beyond(0));
        assert!(!is_beyond(-1));
    }
}
