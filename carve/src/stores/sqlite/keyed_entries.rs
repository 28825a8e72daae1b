//! Pages that hold entries of an index, beside tables without row ids: both are records on pages of one kind.
//!
//! An entry is a part of a row, so most entries of a page are told by the rows that stand. Those of a table without row ids
//! end with its key, those of another one with the row id.

use super::agree::same;
use super::catalogue::{IndexDef, TableDef};
use super::forest::{Forest, Ground, Object, Tree};
use super::prints::Print;
use super::sample;
use super::settle;
use super::shape::{Fit, fit, fit_entry};
use super::survey::PageInfo;
use super::untold::{Ends, Told};
use foldhash::quality::FixedState;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::salvage;
use mudlark_parsers::sqlite::serial::SerialKind;
use mudlark_parsers::value::Value;
use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::OnceLock;

/// Fewer entries of rows that stand may be there by accident.
const LEAST: usize = 2;

/// Rows that tell nothing of others.
const FEW_ROWS: usize = 8;

/// Pages of a table that tell what its rows look like.
const PAGES: usize = 16;

/// Records with more cells, and keys with more columns, are not asked: there are too many ways to find one in the other.
const MOST_CELLS: usize = 8;
const MOST_KEYS: usize = 3;

/// Of integers among the kinds of values.
const INT: u8 = 1;

/// A bit for each kind of value in each column.
#[derive(Default)]
struct Kinds(Vec<u8>);

impl Kinds {
    fn add(&mut self, header: &RecordHeader<'_>) {
        self.0.resize(self.0.len().max(header.columns), 0);
        for (kinds, serial) in self.0.iter_mut().zip(header.serials()) {
            *kinds |= match serial.kind() {
                SerialKind::Null | SerialKind::Reserved => 0,
                SerialKind::Int => INT,
                SerialKind::Real => 2,
                SerialKind::Text => 4,
                SerialKind::Blob => 8,
            };
        }
    }
}

/// The rows of tables without row ids, by their keys; read when they are first asked for.
pub(super) struct KeyedEntries<'g, 'a> {
    forest: &'g Forest,
    ground: Ground<'g, 'a>,
    known: OnceLock<Vec<Known>>,
    /// A table with row ids was dropped, and its indexes with it.
    any_dropped: OnceLock<bool>,
}

/// The rows of one table.
struct Known {
    /// Columns of the key, with which each row begins.
    key_cells: usize,
    /// Where the row with each key stands: its page, and its place on that.
    keys: HashMap<Print, (u32, u32)>,
}

impl<'g, 'a> KeyedEntries<'g, 'a> {
    pub(super) fn of(forest: &'g Forest, ground: Ground<'g, 'a>) -> Self {
        Self { forest, ground, known: OnceLock::new(), any_dropped: OnceLock::new() }
    }

    /// Whether a page holds entries of an index, which may have been dropped: of its records most are parts of rows that
    /// stand, and fewer are rows, or older versions of them, themselves. Of one without a header or cells all that reads as a record
    /// of a kind that the catalogue knows is asked.
    pub(super) fn are_on(&self, number: u32) -> bool {
        if !self.ground.catalogue.tables.iter().any(TableDef::without_rowid) {
            return false;
        }
        let known = self.known.get_or_init(|| known(self.forest, self.ground));
        let (mut all, mut rows, mut entries) = (0, 0, 0);
        self.each_record(number, &mut |header, payload| {
            let mut values = Vec::new();
            record::decode(header, payload, &mut values);
            all += 1;
            if known.iter().any(|table| table.has_row_of(&values)) {
                rows += 1;
            } else if known.iter().any(|table| self.is_part(table, &values))
                || self.names_a_row(header, payload)
            {
                entries += 1;
            }
        });
        entries >= LEAST && entries > rows && 2 * entries > all
    }

    /// Whether pages that fit a table without row ids hold entries of an index all the same: they end with integers that
    /// number rows, an index is known that they fit, or may have gone with its table where this one takes any values, and
    /// its own rows have no integer there, or other kinds of values in some column, or are too few to tell what others looked
    /// like.
    pub(super) fn are_rather_on(&self, numbers: &[u32], tree: usize) -> bool {
        let catalogue = self.ground.catalogue;
        let Some(tree) = self.forest.trees.get(tree).filter(|tree| !tree.rowids) else { return false };
        let cells = |page: &u32| usize::from(self.ground.survey.page(*page).cells);
        let Object::Table(table) = tree.object else { return false };
        let Some(table) = catalogue.tables.get(table) else { return false };
        let has_few = tree.pages.iter().map(cells).sum::<usize>() < FEW_ROWS;
        let takes_any = table.ddl.columns.iter().all(|column| column.declared_type.is_none());
        let any_dropped =
            takes_any && *self.any_dropped.get_or_init(|| any_dropped(self.forest, self.ground));
        let fits = |index: &IndexDef, header: &RecordHeader<'_>| {
            let table = catalogue.tables.get(index.table);
            index.fields.last() == Some(&IndexField::Rowid)
                && table.is_some_and(|table| fit_entry(header, index, table) == Fit::Yes)
        };
        let mut all = Ends::default();
        let (mut kinds, mut rows, mut others) = (Kinds::default(), 0, 0);
        for number in numbers {
            let mut on_page = Vec::new();
            self.each_record(*number, &mut |header, payload| {
                rows += 1;
                let mut values = Vec::new();
                record::decode(header, payload, &mut values);
                match values.split_last() {
                    Some((Value::Int(end), [_, ..]))
                        if any_dropped || catalogue.indexes.iter().any(|index| fits(index, header)) =>
                    {
                        kinds.add(header);
                        on_page.push((*end, FixedState::default().hash_one(payload)));
                    }
                    _ => others += 1,
                }
            });
            all.add_page(*number, &on_page);
        }
        // What only reads as a record, on a page without a header, is of any kind.
        let strange = if numbers.iter().all(|page| self.ground.survey.page(*page).kind.is_some()) {
            0
        } else {
            rows / 8
        };
        if others > strange || all.is_empty() {
            return false;
        }
        // An interior page has few, and from all over the index.
        let is_interior =
            |number: &u32| self.ground.survey.page(*number).kind == Some(PageKind::IndexInterior);
        let number_rows = all.told() == Told::Entries || numbers.iter().all(is_interior) && !all.any_twice();
        number_rows && (has_few || self.is_foreign(tree, &kinds))
    }

    /// Whether none of a tree's rows has an integer in the last column of records, or none has values of the kinds that they
    /// have in some column.
    fn is_foreign(&self, tree: &Tree, kinds: &Kinds) -> bool {
        let Ground { view, survey, .. } = self.ground;
        let mut own = Kinds::default();
        for page in tree.pages.iter().take(PAGES) {
            sample::records(view, survey, *page, sample::ROWS, |_, header, _| own.add(header));
        }
        let differ = |(one, other): (&u8, &u8)| *one != 0 && *other != 0 && one & other == 0;
        let last = kinds.0.len().saturating_sub(1);
        own.0.iter().zip(&kinds.0).any(differ) || own.0.get(last).is_none_or(|own| own & INT == 0)
    }

    /// Whether a record holds the key of a row, and beside it nothing but what the row holds as well.
    fn is_part(&self, table: &Known, values: &[Value<'_>]) -> bool {
        let key_cells = table.key_cells;
        if values.len() > MOST_CELLS || key_cells > MOST_KEYS || values.len() < key_cells {
            return false;
        }
        // A number with a digit for each column of the key: its place in the record.
        let mut ways = 0..values.len().pow(key_cells as u32);
        ways.any(|way| {
            let places: Vec<usize> =
                (0..key_cells as u32).map(|digit| way / values.len().pow(digit) % values.len()).collect();
            let twice = |at: usize| places.iter().skip(at + 1).any(|place| places.get(at) == Some(place));
            if (0..key_cells).any(twice) {
                return false;
            }
            let key = places.iter().filter_map(|place| values.get(*place).cloned());
            let Some(place) = table.row(key) else { return false };
            let others = values.iter().enumerate().filter(|(at, _)| !places.contains(at));
            self.row_holds(place, others.map(|(_, value)| value))
        })
    }

    fn row_holds<'v>(&self, (page, at): (u32, u32), mut others: impl Iterator<Item = &'v Value<'v>>) -> bool {
        let Some(version) = self.ground.view.page(page) else { return false };
        let page = Page::parse(version.bytes, version.number, self.ground.view.geometry);
        let Some(cell) = page.and_then(|page| page.cell(at as usize).ok()) else { return false };
        let payload = cell.local_payload(version.bytes);
        let Ok(header) = record::header(payload, cell.payload_len) else { return false };
        let mut row = Vec::new();
        record::decode(&header, payload, &mut row);
        others.all(|other| row.iter().any(|cell| same(cell, other)))
    }

    fn each_record(&self, number: u32, each: &mut dyn FnMut(&RecordHeader<'_>, &[u8])) {
        let (view, catalogue) = (self.ground.view, self.ground.catalogue);
        let info = self.ground.survey.page(number);
        if info.kind.is_some() && info.cells > 0 {
            sample::records(view, self.ground.survey, number, sample::ROWS, |_, header, payload| {
                each(header, payload);
            });
            return;
        }
        let Some(version) = view.page(number) else { return };
        let of_index = |index: &IndexDef, header: &RecordHeader<'_>| {
            let table = catalogue.tables.get(index.table);
            table.is_some_and(|table| fit_entry(header, index, table) != Fit::No)
        };
        let of_table = |table: &TableDef, header: &RecordHeader<'_>| {
            table.without_rowid() && fit(header, table) != Fit::No
        };
        let extent = Extent { from: 0, to: view.geometry.usable() };
        let found =
            salvage::cells(version.bytes, extent, PageKind::IndexLeaf, view.geometry, &|_, header| {
                catalogue.indexes.iter().any(|index| of_index(index, header))
                    || catalogue.tables.iter().any(|table| of_table(table, header))
            });
        for cell in found.iter().take(sample::ROWS) {
            let payload = cell.local_payload(version.bytes);
            if let Ok(header) = record::header(payload, cell.payload_len) {
                each(&header, payload);
            }
        }
    }

    /// Whether a record ends with the row id of a row that holds the same in the columns of an index.
    fn names_a_row(&self, header: &RecordHeader<'_>, payload: &[u8]) -> bool {
        let ground = self.ground;
        let mut values = Vec::new();
        record::decode(header, payload, &mut values);
        let Some((Value::Int(rowid), keys)) = values.split_last() else { return false };
        let is_of = |index: &&IndexDef| {
            let table = ground.catalogue.tables.get(index.table);
            index.fields.last() == Some(&IndexField::Rowid)
                && table.is_some_and(|table| fit_entry(header, index, table) != Fit::No)
        };
        ground.catalogue.indexes.iter().filter(is_of).any(|index| {
            let of_table = |object| object == Object::Table(index.table);
            let tree = self.forest.trees.iter().find(|tree| tree.rowids && of_table(tree.object));
            let place = tree.and_then(|tree| settle::settled_cell(ground, &tree.pages, *rowid));
            let Some(((page, _), cell)) = place else { return false };
            let Some(version) = ground.view.page(page) else { return false };
            let local = cell.local_payload(version.bytes);
            let (Ok(header), Some(table)) =
                (record::header(local, cell.payload_len), ground.catalogue.tables.get(index.table))
            else {
                return false;
            };
            let own = part_of(index, table, &header, local, *rowid);
            Print::of_values(keys.iter().cloned()).shows(Print::of_values(own.into_iter().take(keys.len())))
        })
    }
}

impl Known {
    /// Where the row with this key stands.
    fn row<'v>(&self, key: impl Iterator<Item = Value<'v>>) -> Option<(u32, u32)> {
        let print = Print::of_values(key);
        self.keys.get(&print).copied().filter(|_| print != Print::NONE)
    }

    /// Whether the values begin with the key of a row.
    fn has_row_of(&self, values: &[Value<'_>]) -> bool {
        let key = values.get(..self.key_cells);
        key.is_some_and(|key| self.row(key.iter().cloned()).is_some())
    }
}

/// Whether a table with row ids was dropped: its definition is left, or rows on pages outside of the trees that none of the
/// tables that stand can have had.
fn any_dropped(forest: &Forest, ground: Ground<'_, '_>) -> bool {
    let tables = || ground.catalogue.tables.iter().filter(|table| !table.without_rowid());
    let is_of_none = |(number, info): (u32, &PageInfo)| {
        info.kind == Some(PageKind::TableLeaf)
            && info.sound
            && usize::from(info.cells) >= FEW_ROWS
            && forest.standing(number).is_none()
            && tables().all(|table| {
                sample::fit_table(ground.view, ground.survey, number, table, sample::ROWS) == Fit::No
            })
    };
    tables().any(|table| table.dropped) || ground.survey.iter().any(is_of_none)
}

/// Reads the rows of all tables without row ids.
fn known(forest: &Forest, ground: Ground<'_, '_>) -> Vec<Known> {
    let tables = forest.trees.iter().filter(|tree| !tree.rowids);
    tables.filter_map(|tree| rows_of(tree, ground)).collect()
}

fn rows_of(tree: &Tree, ground: Ground<'_, '_>) -> Option<Known> {
    let Object::Table(table) = tree.object else { return None };
    let table = ground.catalogue.tables.get(table).filter(|table| table.without_rowid())?;
    let key_cells = table.ddl.primary_key.len();
    let mut keys = HashMap::new();
    for number in tree.pages.iter().filter(|_| key_cells > 0) {
        let Some(version) = ground.view.page(*number) else { continue };
        let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else { continue };
        for cell in page.good_cells() {
            let payload = cell.local_payload(version.bytes);
            let Ok(header) = record::header(payload, cell.payload_len) else { continue };
            let cells = record::cells(header.serials(), header.len, payload).take(key_cells);
            let key = cells.map(|(serial, bytes)| bytes.map_or(Value::Missing, |bytes| serial.decode(bytes)));
            keys.insert(Print::of_values(key), (*number, cell.at));
        }
    }
    Some(Known { key_cells, keys })
}

/// What an index holds of a row, as far as that is known.
fn part_of<'p>(
    index: &IndexDef,
    table: &TableDef,
    header: &RecordHeader<'_>,
    payload: &'p [u8],
    rowid: i64,
) -> Vec<Value<'p>> {
    let mut row = Vec::new();
    record::decode(header, payload, &mut row);
    let held = |field: &IndexField| match field {
        IndexField::Rowid => Some(Value::Int(rowid)),
        IndexField::Column(column) if table.ddl.rowid_alias == Some(*column) => Some(Value::Int(rowid)),
        IndexField::Column(column) => {
            let position = table.stored.iter().position(|stored| stored == column);
            position.and_then(|position| row.get(position).cloned())
        }
        IndexField::Expression => None,
    };
    index.fields.iter().map(|field| held(field).unwrap_or(Value::Missing)).collect()
}
