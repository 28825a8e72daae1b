//! What temp files hold beside pages of the database: what sorters spill, and the rows of temporary databases.
//!
//! Such records are what a statement had read: columns of a table's rows in any order, often with the row id among
//! them, or the rows themselves. Which columns they are is told by the live rows that they repeat: those are most of
//! them. Where no row is live, the shape tells if it fits one table or index only.

use super::super::agree::same;
use super::super::catalogue::TableDef;
use super::super::chains;
use super::super::database::{Database, Output};
use super::super::entries::owned;
use super::super::forest::Object;
use super::super::prints::{Print, content};
use super::super::settle;
use super::super::temp::{self, Temp};
use super::collect::whole;
use super::method::Method;
use super::projected::Projection;
use super::shape::Kinds;
use super::{Candidate, Dead, Fingerprints, Numbering, Search};
use crate::model::Cell as RowCell;
use crate::source::SourceId;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::Value;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// What temp files hold, by table.
#[derive(Debug, Default)]
pub struct Streams {
    by_tree: HashMap<usize, Vec<Stream>>,
    /// Of no table, by the number of columns.
    lost: BTreeMap<usize, Vec<Stream>>,
}

/// Records of one kind that lie side by side.
#[derive(Clone, Debug)]
struct Stream {
    /// The number of the bytes in the view, and the cells there.
    page: u32,
    source: SourceId,
    cells: Vec<Cell>,
    method: Method,
    /// They have row ids of their own.
    rowids: bool,
    columns: usize,
    /// Where a table's columns stand in them; `None` where they are its rows, or the table is not known.
    projection: Option<Arc<Projection>>,
}

/// A record that is asked: its row id and its cells.
type Asked = (Option<i64>, Vec<RowCell<'static>>);

/// Records of a stream that are asked.
const ASKED: usize = 48;

/// Records that repeat live rows, when they are no accident.
const CONVINCING: usize = 3;

/// Records of a stretch: its offsets are of 32 bits.
const STRETCH: usize = 1 << 30;

/// What streams of one kind share: the file, how they are read, whether they have row ids, and their width.
type Likeness = (SourceId, Method, bool, usize);

/// What a stream is of: a tree, and where the columns stand, unless the records are the table's own.
type Owner = (usize, Option<Arc<Projection>>);

impl Stream {
    fn likeness(&self) -> Likeness {
        (self.source, self.method, self.rowids, self.columns)
    }
}

/// Adds an owner that is not among the others.
fn add(owners: &mut Vec<Option<Owner>>, owner: Option<Owner>) {
    if !owners.contains(&owner) {
        owners.push(owner);
    }
}

impl Streams {
    /// The widths of records that fit no table.
    pub(in super::super) fn lost_widths(&self) -> Vec<usize> {
        self.lost.keys().copied().collect()
    }

    /// Gives the records of a width that fit no table to a tree.
    pub(in super::super) fn take_lost(&mut self, columns: usize, tree: usize) {
        if let Some(streams) = self.lost.remove(&columns) {
            self.by_tree.insert(tree, streams);
        }
    }
}

/// Sorts what temp files hold by the table that it is of.
pub fn find(database: &mut Database<'_>) -> Streams {
    let mut all = Vec::new();
    for (source, temp) in database.roles.temps.clone() {
        let bytes = database.sources.get(usize::from(source.0)).map_or(&[][..], |source| source.bytes());
        match temp {
            // Its pages are old versions of the database's.
            Temp::Statement { .. } => {}
            Temp::Spill(records) => {
                let mut records = records.as_slice();
                while let Some(first) = records.first() {
                    let fits = |end: usize| end - first.at <= STRETCH;
                    let count = records.iter().take_while(|spilled| fits(spilled.end())).count().max(1);
                    let (taken, rest) = records.split_at_checked(count).unwrap_or((records, &[]));
                    records = rest;
                    let length = taken.last().map_or(0, |last| last.end() - first.at);
                    let page = database.view.add_stretch(source, first.at as u64, length as u64);
                    let cell = |record_at: usize, at: usize, len: usize| Cell {
                        at: (at - first.at) as u32,
                        end: (record_at + len - first.at) as u32,
                        payload_at: (record_at - first.at) as u32,
                        local: len as u32,
                        payload_len: len as u64,
                        rowid: 0,
                        left_child: 0,
                        overflow: 0,
                    };
                    let cells = taken.iter().filter(|spilled| fits(spilled.end()));
                    let cells = cells.map(|spilled| cell(spilled.record_at, spilled.at, spilled.len));
                    all.extend(streams(database, page, cells.collect(), Method::SpilledRecord, false));
                }
            }
            Temp::Database(geometry) => {
                let space = database.view.add_space(source, geometry);
                // Page 1 is its catalogue.
                for number in temp::leaves(bytes, geometry).into_iter().filter(|number| *number > 1) {
                    let view_number = space.start.saturating_add(number - 1);
                    let Some(version) =
                        database.view.page(view_number).filter(|_| space.contains(&view_number))
                    else {
                        continue;
                    };
                    let Some(page) = Page::parse(version.bytes, number, geometry) else { continue };
                    let rowids = page.header.kind.is_table();
                    let cells = page.good_cells().collect();
                    all.extend(streams(database, view_number, cells, Method::TempPage, rowids));
                }
            }
        }
    }
    sort(database, all)
}

/// The streams of one stretch: records of one width each.
fn streams(
    database: &Database<'_>,
    page: u32,
    cells: Vec<Cell>,
    method: Method,
    rowids: bool,
) -> Vec<Stream> {
    let Some(version) = database.view.page(page) else { return Vec::new() };
    let source = version.source;
    let mut by_width: BTreeMap<usize, Vec<Cell>> = BTreeMap::new();
    for cell in cells {
        if let Ok(header) = record::header(cell.local_payload(version.bytes), cell.payload_len) {
            by_width.entry(header.columns).or_default().push(cell);
        }
    }
    let stream = |(columns, cells)| Stream { page, source, cells, method, rowids, columns, projection: None };
    by_width.into_iter().map(stream).collect()
}

/// Gives each stream to its table.
fn sort(database: &Database<'_>, all: Vec<Stream>) -> Streams {
    let tables: Vec<Table<'_>> =
        database.outputs.iter().filter_map(|output| Table::of(database, output)).collect();
    let owners: Vec<Option<Owner>> = all.par_iter().map(|stream| owner(database, &tables, stream)).collect();
    // Pages all of whose rows are gone are like others of the file.
    let mut like: HashMap<Likeness, Vec<Option<Owner>>> = HashMap::new();
    for (stream, owner) in all.iter().zip(&owners).filter(|(_, owner)| owner.is_some()) {
        add(like.entry(stream.likeness()).or_default(), owner.clone());
    }
    let alone: Vec<&Stream> = all.iter().filter(|stream| !like.contains_key(&stream.likeness())).collect();
    let shapes: Vec<Option<Owner>> =
        alone.par_iter().map(|stream| by_shape(database, &tables, stream)).collect();
    for (stream, owner) in alone.iter().zip(shapes) {
        add(like.entry(stream.likeness()).or_default(), owner);
    }
    let mut found = Streams::default();
    for (stream, owner) in all.iter().zip(&owners) {
        let owner = owner.clone().or_else(|| match like.get(&stream.likeness()).map(Vec::as_slice) {
            Some([only]) => only.clone(),
            _ => None,
        });
        let mut stream = stream.clone();
        match owner {
            Some((tree, projection)) => {
                stream.projection = projection;
                found.by_tree.entry(tree).or_default().push(stream);
            }
            None => found.lost.entry(stream.columns).or_default().push(stream),
        }
    }
    drop_copies(database, &mut found.lost);
    found
}

/// Drops records of no table that hold nothing but what is live: what statements sort and gather are mostly values of
/// live rows.
fn drop_copies(database: &Database<'_>, lost: &mut BTreeMap<usize, Vec<Stream>>) {
    let prints = |stream: &Stream, cell: &Cell| -> Vec<Print> {
        let cells = read(database, stream.page, cell).map(|(_, _, cells)| cells).unwrap_or_default();
        cells.iter().filter(|cell| telling(cell) >= TELLING).map(Print::of_cell).collect()
    };
    let streams = || lost.values().flatten();
    let wanted: HashSet<Print> =
        streams().flat_map(|stream| stream.cells.iter().flat_map(|cell| prints(stream, cell))).collect();
    if wanted.is_empty() {
        return;
    }
    let pages: Vec<u32> = database
        .outputs
        .iter()
        .filter_map(|output| database.tree(output))
        .flat_map(|tree| tree.pages.iter().copied())
        .collect();
    let on_page = |page: &u32| {
        let mut held = Vec::new();
        each_record(database, *page, |serials, body| {
            for (serial, bytes) in record::cells(serials.iter().copied(), 0, body) {
                let cell = owned(&bytes.map_or(Value::Missing, |bytes| serial.decode(bytes)));
                held.extend(Some(Print::of_cell(&cell)).filter(|print| wanted.contains(print)));
            }
        });
        held
    };
    let live: HashSet<Print> = pages.par_iter().flat_map_iter(on_page).collect();
    for streams in lost.values_mut() {
        for stream in &mut *streams {
            let mut cells = std::mem::take(&mut stream.cells);
            cells.retain(|cell| {
                let prints = prints(stream, cell);
                prints.is_empty() || prints.iter().any(|print| !live.contains(print))
            });
            stream.cells = cells;
        }
        streams.retain(|stream| !stream.cells.is_empty());
    }
    lost.retain(|_, streams| !streams.is_empty());
}

/// A table that records may be of.
struct Table<'t> {
    tree: usize,
    rowids: bool,
    def: Option<&'t TableDef>,
    /// Columns of a whole record.
    stored: usize,
    alias: Option<usize>,
    kinds: Kinds,
    /// Fingerprints of its rows, in a table without row ids.
    contents: HashSet<u64>,
}

impl<'t> Table<'t> {
    fn of(database: &'t Database<'_>, output: &Output) -> Option<Self> {
        let def = output.def.and_then(|def| database.catalogue.tables.get(def));
        let tree = database.tree(output)?;
        if tree.object == Object::Table(0) || def.is_some_and(|def| def.successor.is_some()) {
            return None;
        }
        let mut contents = HashSet::new();
        if !tree.rowids {
            for page in &tree.pages {
                each_record(database, *page, |serials, body| {
                    contents.insert(content(serials.iter().map(|serial| serial.0), body));
                });
            }
        }
        let stored = def.map_or(output.layout.columns.len(), |def| def.stored.len());
        let alias = output.layout.alias_position().filter(|_| tree.rowids);
        let kinds = Kinds::of(database, output);
        Some(Self { tree: output.tree, rowids: tree.rowids, def, stored, alias, kinds, contents })
    }
}

/// Calls `each` with the serial types and the body of each record of a page.
fn each_record(database: &Database<'_>, number: u32, mut each: impl FnMut(&[Serial], &[u8])) {
    let Some(version) = database.view.page(number) else { return };
    let Some(page) = Page::parse(version.bytes, version.number, database.view.geometry) else { return };
    for cell in page.good_cells() {
        let payload = chains::read(&database.view, &database.survey, &version, &cell);
        let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
        let serials: Vec<Serial> = header.serials().collect();
        each(&serials, payload.bytes.get(header.len..).unwrap_or_default());
    }
}

/// The serial types, the body and the cells of a record of a stream.
fn read(
    database: &Database<'_>,
    page: u32,
    cell: &Cell,
) -> Option<(Vec<Serial>, Vec<u8>, Vec<RowCell<'static>>)> {
    let version = database.view.page(page)?;
    let payload = chains::read(&database.view, &database.survey, &version, cell);
    let header = record::header(&payload.bytes, cell.payload_len).ok()?;
    let mut values = Vec::new();
    record::decode(&header, &payload.bytes, &mut values);
    let body = payload.bytes.get(header.len..).unwrap_or_default().to_vec();
    Some((header.serials().collect(), body, values.iter().map(owned).collect()))
}

/// The table of a stream, by the live rows that it repeats.
fn owner(database: &Database<'_>, tables: &[Table<'_>], stream: &Stream) -> Option<Owner> {
    let step = stream.cells.len().div_ceil(ASKED).max(1);
    let sample: Vec<_> = stream
        .cells
        .iter()
        .step_by(step)
        .filter_map(|cell| Some((cell.rowid, read(database, stream.page, cell)?)))
        .collect();
    if sample.is_empty() {
        return None;
    }
    let mut best: Option<(usize, Owner)> = None;
    let mut take = |worth: usize, owner: Owner| {
        if best.as_ref().is_none_or(|(most, _)| worth > *most) {
            best = Some((worth, owner));
        }
    };
    let asked: Vec<Asked> = sample
        .iter()
        .map(|(rowid, (_, _, cells))| (stream.rowids.then_some(*rowid), cells.clone()))
        .collect();
    for table in tables {
        if !table.rowids {
            let holds = |(serials, body): (&[Serial], &[u8])| {
                table.contents.contains(&content(serials.iter().map(|serial| serial.0), body))
            };
            let equal = sample.iter().filter(|(_, (serials, body, _))| holds((serials, body))).count();
            if !stream.rowids && equal > 0 && (equal >= CONVINCING || equal == sample.len()) {
                take(equal * (stream.columns + 1), (table.tree, None));
            }
            continue;
        }
        let keys = stream.rowids.then_some(None).into_iter().chain((0..stream.columns).map(Some));
        for key in keys {
            if let Some((worth, columns)) = projection(database, table, &asked, key) {
                let projection = Projection { columns, rowid: key };
                take(worth, (table.tree, Some(Arc::new(projection))));
            }
        }
    }
    best.map(|(_, owner)| owner)
}

/// Where the columns of a table stand in records whose row id stands at `key`, and how much speaks for it.
fn projection(
    database: &Database<'_>,
    table: &Table<'_>,
    asked: &[Asked],
    key: Option<usize>,
) -> Option<(usize, Vec<Option<usize>>)> {
    let tree = database.forest.trees.get(table.tree)?;
    let width = asked.first()?.1.len();
    let mut rows: Vec<(&[RowCell<'static>], Vec<RowCell<'static>>)> = Vec::new();
    for (rowid, cells) in asked {
        let Some(rowid) = rowid_of(*rowid, cells, key) else { continue };
        let Some(((page, _), cell)) = settle::settled_cell(database.ground(), &tree.pages, rowid) else {
            continue;
        };
        if let Some((_, _, row)) = read(database, page, &cell) {
            rows.push((cells, row));
        }
    }
    if rows.is_empty() {
        return None;
    }
    let mut columns: Vec<Option<usize>> = vec![None; table.stored];
    for position in (0..width).filter(|position| key != Some(*position)) {
        // A column at its own place comes before others that hold the same.
        let order = std::iter::once(position).chain(0..table.stored).filter(|column| *column < table.stored);
        let share = |column: usize| {
            let (mut equal, mut told) = (0_usize, 0_usize);
            for (cells, row) in &rows {
                let (Some(cell), Some(other)) = (cells.get(position), row.get(column)) else { continue };
                let (cell, other) = (cell.value(), other.value());
                if cell != Value::Null || other != Value::Null {
                    told += 1;
                    equal += usize::from(same(&cell, &other));
                }
            }
            (equal * 10 >= told * 7 && told > 0).then_some(equal)
        };
        let free = order.filter(|column| columns.get(*column) == Some(&None) && table.alias != Some(*column));
        let best = free
            .filter_map(|column| Some((share(column)?, column)))
            .reduce(|best, other| if other.0 > best.0 { other } else { best });
        if let Some((_, column)) = best
            && let Some(slot) = columns.get_mut(column)
        {
            *slot = Some(position);
        }
    }
    let mapped = || columns.iter().enumerate().filter_map(|(column, position)| Some((column, (*position)?)));
    let agrees = |(cells, row): &&(&[RowCell<'static>], Vec<RowCell<'static>>)| {
        let mut told = 0;
        let equal = mapped().all(|(column, position)| {
            let (Some(cell), Some(other)) = (cells.get(position), row.get(column)) else { return true };
            told += telling(cell);
            same(&cell.value(), &other.value())
        });
        equal && told >= TELLING
    };
    let agreeing = rows.iter().filter(agrees).count();
    if agreeing == 0 || agreeing < CONVINCING && agreeing < asked.len() || agreeing * 2 < rows.len() {
        return None;
    }
    // Columns that are NULL in all rows tell nothing, but those of whole rows stand where they do in the table.
    let whole = width == table.stored && mapped().all(|(column, position)| column == position);
    if whole && key.is_none() {
        columns.iter_mut().enumerate().filter(|(column, _)| table.alias != Some(*column)).for_each(
            |(column, slot)| {
                *slot = Some(column);
            },
        );
    }
    let mapped = columns.iter().flatten().count();
    Some((agreeing * (mapped + 1), columns))
}

/// The row id of a record: its own, or the integer that stands at `key`.
fn rowid_of(own: Option<i64>, cells: &[RowCell<'_>], key: Option<usize>) -> Option<i64> {
    match key.map(|key| cells.get(key)) {
        None => own,
        Some(Some(RowCell::Int(rowid))) => Some(*rowid),
        Some(_) => None,
    }
}

/// Bytes of values that two rows seldom share by accident.
const TELLING: usize = 3;

/// How much a value tells, in bytes.
fn telling(cell: &RowCell<'_>) -> usize {
    match cell {
        RowCell::Int(int) => (64 - int.unsigned_abs().leading_zeros() as usize).div_ceil(8),
        RowCell::Real(_) => 8,
        RowCell::Text(bytes) | RowCell::Blob(bytes) => bytes.len(),
        RowCell::Null | RowCell::Missing | RowCell::Partial(_) => 0,
    }
}

/// The only table or index that the records fit by their shape.
fn by_shape(database: &Database<'_>, tables: &[Table<'_>], stream: &Stream) -> Option<Owner> {
    let step = stream.cells.len().div_ceil(ASKED).max(1);
    let sample: Vec<Vec<Serial>> = stream
        .cells
        .iter()
        .step_by(step)
        .filter_map(|cell| Some(read(database, stream.page, cell)?.0))
        .collect();
    let mut found: Vec<Owner> = Vec::new();
    for table in tables.iter().filter(|table| table.def.is_some()) {
        let columns = (0..table.stored).map(|column| Some(column).filter(|_| table.alias != Some(column)));
        let own = |rowid| Arc::new(Projection { columns: columns.clone().collect(), rowid });
        let fits = |serials: &Vec<Serial>| table.kinds.fit(&serials.iter().copied().collect());
        let is_row = stream.columns == table.stored && sample.iter().all(fits);
        if is_row && stream.rowids == table.rowids {
            found.push((table.tree, table.rowids.then(|| own(None))));
            continue;
        }
        // All columns of a table, as `SELECT *` gives them: with the row id where its column stands.
        let is_all = |serials: &Vec<Serial>| {
            serials.iter().enumerate().all(|(column, serial)| match table.alias {
                Some(alias) if alias == column => serial.kind() == SerialKind::Int,
                _ => table.kinds.fits(column, *serial),
            })
        };
        if table.alias.is_some() && stream.columns == table.stored && sample.iter().all(is_all) {
            found.push((table.tree, Some(own(table.alias))));
        }
    }
    for index in database.catalogue.indexes.iter().filter(|_| !stream.rowids) {
        let own = |table: &&Table<'_>| {
            database
                .forest
                .trees
                .get(table.tree)
                .is_some_and(|tree| tree.object == Object::Table(index.table))
        };
        let Some(table) = tables.iter().find(own).filter(|table| table.rowids) else { continue };
        let Some(projection) = of_index(table.def, &index.fields) else { continue };
        let fits = |serials: &Vec<Serial>| fits_index(&table.kinds, &projection, serials);
        if stream.columns == index.fields.len() && sample.iter().all(fits) {
            found.push((table.tree, Some(Arc::new(projection))));
        }
    }
    // Live rows with these ids hold other cells, or they would have told the table.
    found.retain(|(tree, projection)| {
        projection.as_ref().is_none_or(|projection| !meets_live(database, *tree, projection, stream))
    });
    match &found[..] {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// Whether rows with the ids of the records are live.
fn meets_live(database: &Database<'_>, tree: usize, projection: &Projection, stream: &Stream) -> bool {
    let Some(tree) = database.forest.trees.get(tree) else { return true };
    let step = stream.cells.len().div_ceil(ASKED).max(1);
    stream.cells.iter().step_by(step).any(|cell| {
        let cells = read(database, stream.page, cell).map(|(_, _, cells)| cells).unwrap_or_default();
        let rowid = rowid_of(stream.rowids.then_some(cell.rowid), &cells, projection.rowid);
        rowid.is_some_and(|rowid| settle::settled_cell(database.ground(), &tree.pages, rowid).is_some())
    })
}

/// Where the columns of a table stand in the entries of one of its indexes.
pub(super) fn of_index(def: Option<&TableDef>, fields: &[IndexField]) -> Option<Projection> {
    let def = def?;
    let (IndexField::Rowid, keys) = fields.split_last()? else { return None };
    let position = |stored: &usize| {
        keys.iter().position(|field| matches!(field, IndexField::Column(column) if column == stored))
    };
    let alias = def.ddl.rowid_alias;
    let columns = def.stored.iter().map(|stored| position(stored).filter(|_| alias != Some(*stored)));
    Some(Projection { columns: columns.collect(), rowid: Some(keys.len()) })
}

/// Whether a record can be an entry of an index.
pub(super) fn fits_index(kinds: &Kinds, projection: &Projection, serials: &[Serial]) -> bool {
    let rowid = projection.rowid.and_then(|rowid| serials.get(rowid));
    let key = |(column, position): (usize, &Option<usize>)| {
        position.and_then(|position| serials.get(position)).is_none_or(|serial| kinds.fits(column, *serial))
    };
    rowid.is_some_and(|serial| serial.kind() == SerialKind::Int)
        && projection.columns.iter().enumerate().all(key)
}

/// The records of temp files that are of a table, as candidates.
pub(super) fn dead(search: &Search<'_, '_>, tree: usize) -> Vec<Candidate> {
    let streams = search.database.streams.by_tree.get(&tree).map(Vec::as_slice).unwrap_or_default();
    let all = streams
        .par_iter()
        .flat_map_iter(|stream| stream.cells.iter().filter_map(|cell| candidate(search, stream, cell)));
    all.collect()
}

fn candidate(search: &Search<'_, '_>, stream: &Stream, cell: &Cell) -> Option<Candidate> {
    let version = search.database.view.page(stream.page)?;
    let freed = whole(version.bytes, *cell)?;
    let Fingerprints { content, ending, key, taken } = match stream.projection {
        None => search.fingerprints(stream.page, &freed),
        Some(_) => Fingerprints::default(),
    };
    let rowid = match &stream.projection {
        None => None,
        Some(projection) => {
            let (_, _, cells) = read(search.database, stream.page, cell)?;
            Some(rowid_of(stream.rowids.then_some(cell.rowid), &cells, projection.rowid)?)
        }
    };
    let spilled = cell.overflow != 0;
    let alias = search.alias();
    let in_part = stream.projection.as_ref().is_some_and(|projection| {
        let mut columns = projection.columns.iter().enumerate();
        columns.any(|(column, position)| position.is_none() && alias != Some(column))
    });
    let claims = Claims::NONE
        .with(Claim::FromTempFile)
        .with(Claim::EarlierVersion)
        .with(Claim::Fitted)
        .with_if(in_part, Claim::FromIndex)
        .with_if(spilled && content.is_some(), Claim::ChainWhole);
    Some(Box::new(Dead {
        page: stream.page,
        freed,
        method: stream.method,
        claims,
        rowid,
        content,
        key,
        newness: -1,
        uncommitted: false,
        later: false,
        undecided: true,
        numbering: Numbering::Unknown,
        print: Print::NONE,
        projection: stream.projection.clone(),
        ending,
        tail: None,
        taken,
    }))
}
