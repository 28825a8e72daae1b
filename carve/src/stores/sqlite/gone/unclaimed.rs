//! Tables without row ids that were dropped, and of whose definition nothing is left.
//!
//! Their pages look like those of an index, and an index that was dropped leaves many more of them. What tells them apart:
//! no column of a primary key of such a table holds NULL; the row id at the end of an entry is no other's; an entry repeats
//! cells of a row, which stands elsewhere ([`contained`]); and of a table and an index over all of its columns, the table
//! has the shorter key.

use super::super::catalogue::IndexDef;
use super::super::chains;
use super::super::database::Database;
use super::super::prints::Print;
use super::super::sample;
use super::super::shape::Fit;
use super::super::untold::{self, Told};
use super::contained;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use std::collections::HashSet;

/// A table that was dropped.
#[derive(Clone, Debug)]
pub(super) struct Unclaimed {
    pub columns: usize,
    /// Columns of its primary key, which come first: so many as all rows of a page differ in.
    pub key_cells: usize,
    pub pages: Vec<u32>,
}

/// Rows of a table from which something can be told.
const FEW: usize = 3;

/// One of so many rows that holds NULL in its first column may be damaged.
const NULLS: usize = 16;

/// A page of an index b-tree that fits no tree.
#[derive(Debug)]
pub(super) struct Leaf {
    pub page: u32,
    /// For each column a bit for each kind of value in it; integers stand for whole reals.
    kinds: Vec<u8>,
    /// The prints of the cells of its rows.
    pub rows: Vec<Vec<Print>>,
    /// Rows without a value in the first column.
    nulls: usize,
    /// Which of the groups of one shape it is in.
    pub group: usize,
}

/// The tables whose rows stand on these pages.
pub(super) fn tables(database: &Database<'_>, pages: &[u32]) -> Vec<Unclaimed> {
    let is_entries = |page: &u32| {
        let told = untold::tell(database.ground(), &[*page]);
        told == Told::Entries || is_of_known_index(database, *page, told)
    };
    let read = pages.iter().filter(|page| !is_entries(page));
    let mut leaves: Vec<Leaf> = read.filter_map(|page| leaf(database, *page)).collect();
    let mut shapes = group(&mut leaves);
    for (number, shape) in shapes.iter_mut().enumerate() {
        let own = leaves.iter().filter(|leaf| leaf.group == number);
        shape.key_cells = key_cells(own, shape.kinds.len());
    }
    let key_cells: Vec<usize> = shapes.iter().map(|shape| shape.key_cells).collect();
    let repeat = contained::leaves(database, &leaves, &key_cells);
    let is_of_table = |(leaf, repeats): &(&Leaf, bool)| !repeats && leaf.nulls * NULLS <= leaf.rows.len();
    let mut tables = Vec::new();
    for (number, shape) in shapes.into_iter().enumerate() {
        let own = leaves.iter().zip(repeat.iter().copied()).filter(|(leaf, _)| leaf.group == number);
        let own: Vec<&Leaf> = own.filter(is_of_table).map(|(leaf, _)| leaf).collect();
        let pages: Vec<u32> = own.iter().map(|leaf| leaf.page).collect();
        let rows: usize = own.iter().map(|leaf| leaf.rows.len()).sum();
        if rows >= FEW && untold::tell(database.ground(), &pages) == Told::Rows {
            tables.push(Unclaimed { columns: shape.kinds.len(), key_cells: shape.key_cells, pages });
        }
    }
    tables
}

/// Whether a page, of which this is told, may hold entries of an index that is known.
fn is_of_known_index(database: &Database<'_>, number: u32, told: Told) -> bool {
    let (view, survey, catalogue) = (&database.view, &database.survey, &database.catalogue);
    let fits = |index: &IndexDef| {
        let ends_with_rowid = index.fields.last() == Some(&IndexField::Rowid);
        !(ends_with_rowid && told == Told::Rows)
            && sample::fit_index(view, survey, number, index, catalogue, sample::ROWS) != Fit::No
    };
    catalogue.indexes.iter().any(fits)
}

/// The rows of a page; `None` where they are too few, or of several widths.
fn leaf(database: &Database<'_>, number: u32) -> Option<Leaf> {
    let (view, survey) = (&database.view, &database.survey);
    let version = view.page(number)?;
    let page = Page::parse(version.bytes, version.number, view.geometry)?;
    let mut leaf = Leaf { page: number, kinds: Vec::new(), rows: Vec::new(), nulls: 0, group: 0 };
    for cell in page.cells().filter_map(Result::ok) {
        let payload = chains::read(view, survey, &version, &cell);
        let header = record::header(&payload.bytes, cell.payload_len).ok()?;
        if leaf.kinds.is_empty() {
            leaf.kinds.resize(header.columns, 0);
        }
        if header.columns != leaf.kinds.len() {
            return None;
        }
        for (kinds, serial) in leaf.kinds.iter_mut().zip(header.serials()) {
            *kinds |= kind_bit(serial);
        }
        leaf.nulls += usize::from(header.serials().next() == Some(Serial::NULL));
        leaf.rows.push(contained::prints(&header, &payload.bytes));
    }
    (!leaf.rows.is_empty()).then_some(leaf)
}

fn kind_bit(serial: Serial) -> u8 {
    match serial.kind() {
        SerialKind::Null => 0,
        SerialKind::Int | SerialKind::Real => 1,
        SerialKind::Text => 2,
        _ => 4,
    }
}

/// Pages whose columns hold values of the same kinds.
struct Shape {
    kinds: Vec<u8>,
    key_cells: usize,
}

/// Gives each leaf its group.
fn group(leaves: &mut [Leaf]) -> Vec<Shape> {
    let mut shapes: Vec<Shape> = Vec::new();
    for leaf in leaves {
        let agree = |(one, other): (&u8, &u8)| one & other != 0 || *one == 0 || *other == 0;
        let is_alike = |shape: &Shape| {
            shape.kinds.len() == leaf.kinds.len() && shape.kinds.iter().zip(&leaf.kinds).all(agree)
        };
        leaf.group = shapes.iter().position(is_alike).unwrap_or(shapes.len());
        match shapes.get_mut(leaf.group) {
            Some(shape) => shape.kinds.iter_mut().zip(&leaf.kinds).for_each(|(all, own)| *all |= own),
            None => shapes.push(Shape { kinds: leaf.kinds.clone(), key_cells: 0 }),
        }
    }
    shapes
}

/// The fewest first columns in which all rows of each page differ.
fn key_cells<'l>(leaves: impl Iterator<Item = &'l Leaf>, columns: usize) -> usize {
    let least = |leaf: &Leaf| {
        (1..columns).find(|cells| {
            let mut seen = HashSet::new();
            leaf.rows.iter().all(|row| row.get(..*cells).is_some_and(|key| seen.insert(key)))
        })
    };
    leaves.map(|leaf| least(leaf).unwrap_or(columns)).max().unwrap_or(columns)
}
