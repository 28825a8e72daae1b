//! Columns that were dropped: `ALTER TABLE … DROP COLUMN` writes every row anew, and the old ones stay in free space.
//!
//! Where no definition from before survives, the rows tell it. A freed record with one column more than the table has
//! is put beside the live rows: the column without which most of these records are one of them was dropped.

use super::catalogue::{Catalogue, TableDef};
use super::chains;
use super::forest::{Forest, Object, Tree};
use super::prints::content;
use super::sample;
use super::survey::Survey;
use super::view::View;
use crate::model::SchemaOrigin;
use mudlark_parsers::sqlite::ddl::Column;
use mudlark_parsers::sqlite::freed::{self, Shape, Space};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashSet};

/// Pages of a table whose free space is looked through: an altered table has old rows on all of them.
const PAGES: usize = 64;

/// Columns beyond which a table is not looked at: each of them would be tried.
const MOST_COLUMNS: usize = 256;

/// Old records that must be live rows but for a column: fewer may be so by accident.
const ENOUGH: usize = 3;

/// A record with its cells apart.
type Cells = Vec<(Serial, Vec<u8>)>;

/// A column that a table had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Its position in the records.
    pub position: usize,
    /// A bit for each kind of value that was seen in it.
    pub kinds: u8,
}

/// Adds the earlier shapes that rows tell of, each with a tree of its own that has no pages.
pub(super) fn add_shapes(catalogue: &mut Catalogue, forest: &mut Forest, view: &View<'_>, survey: &Survey) {
    let numbers = 1..catalogue.tables.len();
    let found: Vec<(usize, Dropped)> = numbers
        .filter_map(|number| Some((number, dropped(catalogue, forest, view, survey, number)?)))
        .collect();
    for (number, dropped) in found {
        let Some(def) = catalogue.tables.get(number).map(|table| earlier(table, number, dropped)) else {
            continue;
        };
        let tree = forest.add_empty(!def.without_rowid());
        if let Some(tree) = forest.trees.get_mut(tree) {
            tree.object = Object::Table(catalogue.tables.len());
        }
        catalogue.tables.push(def);
    }
}

/// The definition of a table with a column more. It stands last among the columns, so that none changes its number.
fn earlier(table: &TableDef, number: usize, dropped: Dropped) -> TableDef {
    let mut def = table.clone();
    let place = def.ddl.columns.len();
    let mut column = Column::unknown(place);
    column.name = (0..)
        .map(|more| "_".repeat(more) + "dropped")
        .find(|name| !def.ddl.columns.iter().any(|other| other.name.eq_ignore_ascii_case(name)))
        .unwrap_or_default();
    def.ddl.columns.push(column);
    def.stored.insert(dropped.position, place);
    let origin = SchemaOrigin::Shape;
    TableDef { root: None, origin, dropped: true, successor: Some(number), lost_column: Some(dropped), ..def }
}

/// The column that a table had, when its old rows tell.
fn dropped(
    catalogue: &Catalogue,
    forest: &Forest,
    view: &View<'_>,
    survey: &Survey,
    number: usize,
) -> Option<Dropped> {
    let table = catalogue.tables.get(number)?;
    let columns = table.stored.len() + 1;
    let known =
        catalogue.tables.iter().any(|other| other.successor == Some(number) && other.stored.len() == columns);
    if table.dropped || known || columns > MOST_COLUMNS {
        return None;
    }
    let tree = forest.trees.iter().find(|tree| tree.object == Object::Table(number))?;
    let old = old_records(forest, view, survey, tree, columns);
    if old.len() < ENOUGH {
        return None;
    }
    let live = live_contents(view, survey, tree);
    let without = |record: &Cells, position: usize| {
        let kept = record.iter().enumerate().filter(|(column, _)| *column != position).map(|(_, cell)| cell);
        let body: Vec<u8> = kept.clone().flat_map(|(_, bytes)| bytes.iter().copied()).collect();
        content(kept.map(|(serial, _)| serial.0), &body)
    };
    let matches = |position: usize| -> Vec<&Cells> {
        old.iter().filter(|record| live.contains(&without(record, position))).collect()
    };
    let positions = if table.ddl.rowid_alias == Some(0) { 1..columns } else { 0..columns };
    let best = positions
        .map(|position| (matches(position).len(), position))
        .max_by_key(|(count, position)| (*count, std::cmp::Reverse(*position)))?;
    let (count, position) = best;
    let kinds = matches(position).into_iter().filter_map(|record| record.get(position));
    let kinds = kinds.fold(0, |kinds, (serial, _)| kinds | 1 << serial.kind() as u8);
    (count >= ENOUGH).then_some(Dropped { position, kinds })
}

/// Records with so many columns in the free space of a tree's pages, and on earlier versions of them.
fn old_records(
    forest: &Forest,
    view: &View<'_>,
    survey: &Survey,
    tree: &Tree,
    columns: usize,
) -> BTreeSet<Cells> {
    let spare: Vec<u32> = tree.pages.iter().copied().filter(|page| survey.page(*page).spare).collect();
    let step = spare.len().div_ceil(PAGES).max(1);
    let pages: Vec<u32> = spare.into_iter().step_by(step).collect();
    let mut found: BTreeSet<Cells> = pages
        .into_par_iter()
        .flat_map_iter(|page| freed_records(view, survey, tree, page, columns))
        .collect();
    let own = |number: u32| {
        let place = view.page(number).and_then(|page| forest.place(page.number));
        place.is_some_and(|(number, _)| {
            forest.trees.get(number as usize).is_some_and(|other| other.object == tree.object)
        })
    };
    let earlier = survey.old().filter(|(number, info)| usize::from(info.columns) == columns && own(*number));
    for (number, _) in earlier.take(PAGES) {
        sample::records(view, survey, number, sample::ROWS, |_, header, payload| {
            let serials: Vec<Serial> = header.serials().collect();
            found.extend((serials.len() == columns).then(|| apart(&serials, header.len, payload)).flatten());
        });
    }
    found
}

/// The records in the free space of one page.
fn freed_records(view: &View<'_>, survey: &Survey, tree: &Tree, number: u32, columns: usize) -> Vec<Cells> {
    let Some(version) = view.page(number) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return Vec::new() };
    let fits = |_: usize, serial: Serial| serial.kind() != SerialKind::Reserved;
    let shape = Shape { least: columns, most: columns, first: None, fits: &fits, reads: &|_: &[u8]| true };
    let kind = if tree.rowids { PageKind::TableLeaf } else { PageKind::IndexLeaf };
    let blocks = page.freeblocks().0.into_iter().map(|block| (block, Space::Freeblock));
    let mut found = Vec::new();
    for (extent, space) in blocks.chain([(page.gap(), Space::Other)]) {
        for freed in freed::cells(version.bytes, extent, space, kind, view.geometry, &shape, &HashSet::new())
        {
            let payload = chains::read(view, survey, &version, &freed.cell);
            found.extend(apart(&freed.serials, freed.header_len as usize, &payload.bytes));
        }
    }
    found
}

/// A record's cells; `None` where its bytes end before they do.
fn apart(serials: &[Serial], header_len: usize, payload: &[u8]) -> Option<Cells> {
    let mut at = header_len;
    let cell = |serial: &Serial| {
        let from = at;
        at = at.checked_add(usize::try_from(serial.len()).ok()?)?;
        Some((*serial, payload.get(from..at)?.to_vec()))
    };
    serials.iter().map(cell).collect()
}

/// The contents of all rows of a tree.
fn live_contents(view: &View<'_>, survey: &Survey, tree: &Tree) -> HashSet<u64> {
    let of_page = |number: &u32| {
        let mut found = Vec::new();
        let version = view.page(*number);
        let page = version.and_then(|version| Page::parse(version.bytes, version.number, view.geometry));
        for (version, cell) in version.zip(page).into_iter().flat_map(|(version, page)| {
            page.cells().filter_map(Result::ok).map(|cell| (version, cell)).collect::<Vec<_>>()
        }) {
            let payload = chains::read(view, survey, &version, &cell);
            if let Ok(header) = record::header(&payload.bytes, cell.payload_len) {
                let body = payload.bytes.get(header.len..).unwrap_or_default();
                found.push(content(header.serials().map(|serial| serial.0), body));
            }
        }
        found
    };
    tree.pages.par_iter().flat_map_iter(of_page).collect()
}
