//! The rows that differ between two points, with their cells.

use super::super::chains::Payload;
use super::super::layout::Layout;
use super::between::{LostPages, Trees};
use super::objects::Object;
use super::pages::Pages;
use super::point::{States, refused};
use super::rows::{self, RowAt};
use super::timeline::{encoding_at, event};
use super::walk::{RowChange, TableChange, Walk};
use crate::error::Error;
use crate::model::{
    Batch, Became, Between, Cell, RowDelta, RowThen, SchemaDelta, TableDdl, TableDelta, TableId, TableThen,
    Until,
};
use crate::source::Source;
use crate::stores::{DeltaSink, Difference};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::value::TextEncoding;
use std::collections::BTreeMap;

/// What differs between two points of a database.
#[derive(Debug)]
pub struct Changes<'a> {
    pages: Pages<'a>,
    between: Between,
    /// As many as there are tables.
    tables: Vec<OfTable>,
    /// The earlier and the later state.
    states: [u32; 2],
    /// The later one comes first.
    reversed: bool,
}

/// The rows of a table.
#[derive(Debug)]
struct OfTable {
    change: TableChange,
    layouts: [Layout; 2],
    known: [bool; 2],
    broken: bool,
    rowids: bool,
}

/// What differs between two points.
pub(in super::super) fn read(sources: &[Source], points: [Until; 2]) -> Result<Changes<'_>, Error> {
    let found = States::of(sources)?;
    let [first, second] = [found.find(points[0].into())?, found.find(points[1].into())?];
    let (from, to, reversed) = (first.min(second), first.max(second), second < first);
    let names = [found.point(from), found.point(to)];
    let notes = found.told_of(points[usize::from(!reversed)].into(), to);
    let notes = found.doubt().into_iter().chain(notes).collect();
    let pages = found.pages;
    let encoding = encoding_at(&pages, to);
    let mut walk = Walk::begin(&pages, encoding_at(&pages, 0));
    for state in 1..=from {
        walk.step(state);
    }
    let mut earlier = Trees::of(&walk, from);
    for state in from + 1..=to {
        let step = walk.step(state);
        earlier.note(&step.tables);
    }
    let (changes, lost) = if from < to { walk.since(&earlier, to) } else { Default::default() };
    if walk.overrun {
        return Err(refused(sources, "its pages refer to one another without end".to_owned()));
    }
    let later = Trees::of(&walk, to);
    let schema = earlier.schema_changes(&later).into_iter().map(|(index, change)| {
        let sql = |trees: &Trees| {
            trees.objects.get(index).filter(|_| trees.has(index)).and_then(|object| object.sql.clone())
        };
        SchemaDelta { event: event(&change), before: sql(&earlier), after: sql(&later) }
    });
    let mut between = Between {
        what: format!("SQLite database, pages of {} bytes", pages.geometry.page_size),
        points: names,
        encoding,
        notes,
        schema: schema.collect(),
        schema_known: [earlier.whole, later.whole],
        tables: Vec::new(),
        referring: if reversed { later.referring() } else { earlier.referring() },
        is_short: pages.is_short(),
        triggers: if reversed { later.triggers() } else { earlier.triggers() },
    };
    let mut tables = Vec::new();
    for change in changes {
        if let Some((delta, rows)) = table(&pages, [&earlier, &later], change, &lost, encoding) {
            between.tables.push(delta);
            tables.push(rows);
        }
    }
    if reversed {
        reverse(&mut between);
    }
    drop(walk);
    Ok(Changes { pages, between, tables, states: [from, to], reversed })
}

/// A table's rows that differ; `None` for what is no table of rows.
fn table(
    pages: &Pages<'_>,
    trees: [&Trees; 2],
    change: TableChange,
    lost: &BTreeMap<usize, LostPages>,
    encoding: TextEncoding,
) -> Option<(TableDelta, OfTable)> {
    let objects = trees.map(|trees| trees.objects.get(change.object).filter(|_| trees.has(change.object)));
    let [before, after] = objects;
    let object = after.or(before).filter(|object| object.kind == SchemaKind::Table && object.root != 1)?;
    let known = change.read.known;
    if change.is_empty() && change.gone.is_empty() && known == [true; 2] {
        return None;
    }
    let widest = || {
        let of_row = |row: RowChange| {
            let rows = [(row.before, trees[0].state), (row.after, trees[1].state)].into_iter();
            rows.filter_map(|(row, state)| stored_columns(pages, row?, state)).max()
        };
        change.all(pages).filter_map(of_row).max().unwrap_or(0)
    };
    let layout = |of: Option<&Object>| {
        let object = of.unwrap_or(object);
        object.layout.clone().unwrap_or_else(|| Layout::unnamed(widest(), encoding))
    };
    let layouts = [layout(before), layout(after)];
    let then = |object: Option<&Object>, layout: &Layout, trees: &Trees| {
        object.map(|object| TableThen {
            name: object.name.clone(),
            columns: layout.columns.clone(),
            defaults: layout.all_defaults(),
            ddl: object.ddl.clone().map(|parsed| TableDdl { parsed }),
            sql: object.sql.clone(),
            uniques: trees.uniques(object),
        })
    };
    let [of_before, of_after] = &layouts;
    let lost = lost.get(&change.object).cloned().unwrap_or_default();
    let broken = trees[1].objects.get(change.object).is_some_and(|object| object.broken);
    let delta = TableDelta {
        before: then(before, of_before, trees[0]),
        after: then(after, of_after, trees[1]),
        renumbered: trees[0].is_renumbered(change.object),
        internal: object.name.to_ascii_lowercase().starts_with("sqlite_"),
        lost: [lost.before.into_iter().collect(), lost.after.into_iter().collect()],
        known: known.map(|known| known && !broken),
    };
    let rowids = object.keys == rows::Keys::Rowid;
    Some((delta, OfTable { change, layouts, known, broken, rowids }))
}

fn stored_columns(pages: &Pages<'_>, row: RowAt, state: u32) -> Option<usize> {
    let (cell, payload) = rows::read(pages, &row, state)?;
    record::header(&payload, cell.payload_len).ok().map(|header| header.columns)
}

fn reverse(between: &mut Between) {
    between.points.reverse();
    between.schema_known.reverse();
    for delta in &mut between.schema {
        std::mem::swap(&mut delta.before, &mut delta.after);
        let event = &mut delta.event;
        event.what = match event.what {
            "created" => "dropped",
            "dropped" => "created",
            what => what,
        };
        if let Some(from) = &mut event.from {
            std::mem::swap(from, &mut event.name);
        }
    }
    for table in &mut between.tables {
        std::mem::swap(&mut table.before, &mut table.after);
        table.lost.reverse();
        table.known.reverse();
    }
}

/// A row in a state, and whether all of it can be read.
pub(super) fn row_then<'a>(
    pages: &Pages<'a>,
    row: RowAt,
    state: u32,
    layout: &Layout,
    encoding: TextEncoding,
    rowids: bool,
) -> (RowThen<'a>, bool) {
    let nothing =
        || RowThen { rowid: rowids.then_some(row.key), cells: vec![Cell::Missing; layout.columns.len()] };
    let Some((cell, payload)) = rows::read(pages, &row, state) else { return (nothing(), false) };
    let payload_len = cell.payload_len;
    let payload = Payload::whole(payload);
    let mut batch = Batch::new(TableId(0), encoding);
    let rowid = rowids.then_some(cell.rowid);
    match layout.row(&payload, payload_len, rowid, 0, false, &mut batch) {
        Some(_) => (RowThen { rowid, cells: batch.cells }, true),
        None => (nothing(), false),
    }
}

impl<'a> Difference<'a> for Changes<'a> {
    fn between(&self) -> &Between {
        &self.between
    }

    fn rows(&self, table: usize, sink: &mut DeltaSink<'_, 'a>) -> Result<(), Error> {
        let (Some(of), Some(delta)) = (self.tables.get(table), self.between.tables.get(table)) else {
            return Ok(());
        };
        let encoding = self.between.encoding;
        let columns = delta.columns();
        let [from, to] = self.states;
        let [earlier, later] = &of.layouts;
        for change in of.change.all(&self.pages) {
            self.pages.begin();
            let read = |row: Option<RowAt>, state, layout| {
                row.map(|row| row_then(&self.pages, row, state, layout, encoding, of.rowids))
            };
            let (before, after) = (read(change.before, from, earlier), read(change.after, to, later));
            let whole = [&before, &after].into_iter().flatten().all(|(_, whole)| *whole) && !of.broken;
            let became = match (&before, &after) {
                (None, Some(_)) if whole && of.known[0] => Became::Added,
                (Some(_), None) if whole && of.known[1] => Became::Removed,
                (Some(_), Some(_)) if whole => Became::Changed,
                _ => Became::Unknown,
            };
            let (mut before, mut after) = (before.map(|(row, _)| row), after.map(|(row, _)| row));
            let mut became = became;
            if self.reversed {
                std::mem::swap(&mut before, &mut after);
                became = became.reversed();
            }
            let row = RowDelta { became, before, after };
            if became == Became::Changed && !columns.iter().any(|column| column.differs(&row)) {
                continue;
            }
            sink(row)?;
        }
        Ok(())
    }
}
