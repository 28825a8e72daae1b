//! One row through all its versions: those that a recovery finds of it, in the order of time as far as that is known.

use crate::error::Error;
use crate::model::{Batch, Cell, Lifetime, Point, Row, Table};
use crate::progress::Progress;
use crate::recover::{self, Request};
use crate::sinks::{Ending, Sink, Story, Weighed, jsonl};
use crate::source::{HashChoice, Source};
use crate::stores::{AskedRow, Options, Store};
use mudlark_parsers::value::TextEncoding;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// What names the row.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The table, by its name.
    pub table: String,
    /// What tells the row from others.
    pub key: Key,
    /// Versions below this confidence are left out.
    pub min_confidence: f64,
    /// What the user adds to the evidence.
    pub options: Options,
}

/// What tells a row from others, as the user gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The row id, or the values of the primary key.
    Values(Vec<String>),
    /// The values of these columns; `rowid` is the row id.
    Columns(Vec<(String, String)>),
}

impl Key {
    /// The row id that it is, in a table whose row ids a column shows.
    fn rowid(&self) -> Option<i64> {
        let value = match self {
            Self::Values(values) => values.as_slice(),
            Self::Columns(columns) => match columns.as_slice() {
                [(name, value)] if name.eq_ignore_ascii_case("rowid") => std::slice::from_ref(value),
                _ => return None,
            },
        };
        let [value] = value else { return None };
        value.trim().parse().ok()
    }
}

/// A version.
#[derive(Clone, Debug)]
pub struct Version {
    /// The version, as JSON lines have it.
    pub line: Json,
    /// The stretch of time over which it stood.
    pub lifetime: Lifetime,
    /// The columns whose values differ from those of the version before.
    pub changed: Vec<String>,
}

/// What was found of the row.
#[derive(Clone, Debug, Default)]
pub struct Versions {
    /// What the store is.
    pub what: String,
    /// The versions of which it is known when they stood, in the order of time; one that stood twice comes twice.
    pub dated: Vec<Version>,
    /// The others: in free space, and of which the log tells at most that they had ended before it.
    pub undated: Vec<Version>,
    /// Versions below the least confidence, left out.
    pub left_out: u64,
}

/// Finds the versions of a row.
///
/// # Errors
/// When there is no such table or column, or a source can't be read.
pub fn find(
    store: &dyn Store,
    name: &str,
    sources: &[Source],
    wanted: &Wanted,
    progress: &dyn Progress,
) -> Result<Versions, Error> {
    let run = |ids: Option<BTreeSet<Id>>| -> Result<Found, Error> {
        let found = Arc::new(Mutex::new(Found::default()));
        let sink = Collector { wanted: wanted.clone(), ids, tables: Vec::new(), found: Arc::clone(&found) };
        let row = wanted.key.rowid().map(|rowid| AskedRow { table: wanted.table.clone(), rowid });
        let request = Request {
            min_confidence: 0.0,
            hash: HashChoice::None,
            options: Options { row, ..wanted.options.clone() },
            arguments: Vec::new(),
            table: Some(wanted.table.clone()),
        };
        let outcome = recover::recover(store, name, sources, &request, vec![Box::new(sink)], progress)?;
        let mut found = std::mem::take(&mut *found.lock().unwrap_or_else(PoisonError::into_inner));
        found.what = outcome.what;
        Ok(found)
    };
    let mut found = run(None)?;
    if found.by_value {
        // A value may change: all versions of the rows that had it once are wanted.
        let ids = std::mem::take(&mut found.ids);
        found = run(Some(ids))?;
    }
    Ok(ordered(found))
}

/// What tells a row from others of its table: its row id, or the values of its primary key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Rowid(i64),
    Key(Vec<String>),
}

#[derive(Debug, Default)]
struct Found {
    what: String,
    versions: Vec<(Json, Vec<Lifetime>)>,
    left_out: u64,
    /// The rows that were found by the value of a column that is not their key.
    ids: BTreeSet<Id>,
    by_value: bool,
}

/// How a row of a table is told.
#[derive(Clone, Debug)]
struct Told {
    /// Row id, or places of columns, each with the value that the user gives.
    wanted: Vec<(Option<usize>, String)>,
    /// The columns of the primary key of a table without row ids.
    key: Option<Vec<usize>>,
    /// The wanted columns are not what tells rows apart.
    by_value: bool,
}

/// A sink that keeps the versions of one row.
struct Collector {
    wanted: Wanted,
    ids: Option<BTreeSet<Id>>,
    /// By table: how the row is told, when it may be of that.
    tables: Vec<Option<Told>>,
    found: Arc<Mutex<Found>>,
}

impl Sink for Collector {
    fn begin(&mut self, story: &Story<'_>) -> Result<(), Error> {
        let named = |table: &Table| table.is_called(&self.wanted.table);
        if !story.tables.iter().any(named) {
            let names: Vec<&str> = story.tables.iter().map(|table| table.label.as_str()).collect();
            let table = &self.wanted.table;
            let others = if names.is_empty() {
                "there is none".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            return Err(Error::Usage(format!("--table {table}: no such table; {others}")));
        }
        let told: Vec<Option<Result<Told, String>>> =
            story.tables.iter().map(|table| named(table).then(|| told(table, &self.wanted.key))).collect();
        // Of several tables of one name, those that have the columns.
        if told.iter().flatten().all(Result::is_err)
            && let Some(Err(why)) = told.iter().flatten().next()
        {
            return Err(Error::Usage(why.clone()));
        }
        self.tables = told.into_iter().map(|told| told.and_then(Result::ok)).collect();
        Ok(())
    }

    fn write(&mut self, story: &Story<'_>, weighed: &Weighed<'_>, _: &[u8], _: f64) -> Result<(), Error> {
        let batch = weighed.batch;
        let Some(Some(told)) = self.tables.get(batch.table.0 as usize) else { return Ok(()) };
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.by_value |= told.by_value;
        for (index, (row, weight)) in batch.rows.iter().zip(&weighed.weights).enumerate() {
            let is_one = match &self.ids {
                Some(ids) => id(told, batch, row).is_some_and(|id| ids.contains(&id)) || told.is(batch, row),
                None => told.is(batch, row),
            };
            if !is_one {
                continue;
            }
            if weight.confidence < self.wanted.min_confidence {
                found.left_out += 1;
                continue;
            }
            found.ids.extend(id(told, batch, row));
            let line = jsonl::line(story, weighed, index);
            let line = serde_json::from_slice(&line).unwrap_or(Json::Null);
            found.versions.push((line, batch.lifetimes_of(row).to_vec()));
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Story<'_>, _: &Ending) -> Result<(), Error> {
        Ok(())
    }
}

/// How the row is told in a table; or why the key fits no row of it.
fn told(table: &Table, key: &Key) -> Result<Told, String> {
    let place = |name: &str| table.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
    let ddl = table.create.as_ref().map(|create| &create.parsed);
    let primary: Vec<usize> = ddl
        .map(|ddl| {
            let names = ddl.primary_key.iter().filter_map(|part| ddl.columns.get(part.column?));
            names.filter_map(|column| place(&column.name)).collect()
        })
        .unwrap_or_default();
    let own_key = ddl.filter(|ddl| ddl.without_rowid).map(|_| primary.clone());
    let alias = table.columns.iter().position(|column| column.hidden_key);
    match key {
        Key::Values(values) => {
            // A row id, unless the table has another key.
            let columns: Vec<Option<usize>> = if primary.is_empty() || alias.is_some() {
                vec![None]
            } else {
                primary.iter().map(|place| Some(*place)).collect()
            };
            let values = match values.as_slice() {
                [one] if columns.len() > 1 => one.split(',').map(str::to_owned).collect(),
                _ => values.clone(),
            };
            if values.len() != columns.len() {
                let names: Vec<&str> = columns
                    .iter()
                    .map(|place| {
                        place.and_then(|place| table.columns.get(place)).map_or("rowid", |c| &c.name)
                    })
                    .collect();
                return Err(format!("--key: the key of {} is {}", table.label, names.join(", ")));
            }
            Ok(Told { wanted: columns.into_iter().zip(values).collect(), key: own_key, by_value: false })
        }
        Key::Columns(columns) => {
            let mut wanted = Vec::new();
            for (name, value) in columns {
                let place = place(name);
                if place.is_none() && !name.eq_ignore_ascii_case("rowid") {
                    let names: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
                    return Err(format!(
                        "--key {name}: {} has no such column; it has {}",
                        table.label,
                        names.join(", ")
                    ));
                }
                // The column that is the row id may be missing where the row id is known.
                wanted.push((place.filter(|place| Some(*place) != alias), value.clone()));
            }
            let places: BTreeSet<Option<usize>> = wanted.iter().map(|(place, _)| *place).collect();
            let of_key: BTreeSet<Option<usize>> = primary.iter().map(|place| Some(*place)).collect();
            let by_value = places != BTreeSet::from([None]) && (alias.is_some() || places != of_key);
            Ok(Told { wanted, key: own_key, by_value })
        }
    }
}

impl Told {
    /// Whether a row has the values that the user gives.
    fn is(&self, batch: &Batch<'_>, row: &Row) -> bool {
        let cells = batch.cells_of(row);
        self.wanted.iter().all(|(place, value)| match place {
            None => row.rowid.is_some_and(|rowid| value.trim().parse() == Ok(rowid)),
            Some(place) => cells.get(*place).is_some_and(|cell| is_value(cell, value, batch.encoding)),
        })
    }
}

/// Whether a cell holds the value that a user means by this text.
fn is_value(cell: &Cell<'_>, text: &str, encoding: TextEncoding) -> bool {
    match cell {
        Cell::Null => text.eq_ignore_ascii_case("NULL"),
        Cell::Int(value) => text.trim().parse() == Ok(*value),
        Cell::Real(value) => text.trim().parse::<f64>().is_ok_and(|parsed| parsed == *value),
        Cell::Text(bytes) => encoding.decode(bytes).is_some_and(|decoded| decoded == text),
        Cell::Blob(bytes) => {
            let digits =
                text.strip_prefix(['x', 'X']).and_then(|rest| rest.strip_prefix('\'')?.strip_suffix('\''));
            digits.and_then(|digits| hex::decode(digits).ok()).is_some_and(|parsed| parsed == **bytes)
        }
        Cell::Missing | Cell::Partial(_) => false,
    }
}

fn id(told: &Told, batch: &Batch<'_>, row: &Row) -> Option<Id> {
    let Some(key) = &told.key else { return row.rowid.map(Id::Rowid) };
    let cells = batch.cells_of(row);
    let part = |place: &usize| {
        let cell = cells.get(*place)?;
        cell.is_whole().then(|| format!("{cell:?}"))
    };
    key.iter().map(part).collect::<Option<_>>().map(Id::Key)
}

/// Puts versions in the order of time, and tells what each changed.
fn ordered(found: Found) -> Versions {
    let mut versions = Versions { what: found.what, left_out: found.left_out, ..Versions::default() };
    for (line, lifetimes) in found.versions {
        // What stood and ended before the log may have done so in any order.
        let known = |lifetime: &&Lifetime| {
            let Lifetime { from, to } = lifetime;
            (from.is_some() || to.is_some()) && *to != Some(Point::BeforeLog)
        };
        let version = |lifetime| Version { line: line.clone(), lifetime, changed: Vec::new() };
        let dated: Vec<Version> = lifetimes.iter().filter(known).map(|lifetime| version(*lifetime)).collect();
        if dated.is_empty() {
            versions.undated.push(version(lifetimes.first().copied().unwrap_or_default()));
        }
        versions.dated.extend(dated);
    }
    // One whose beginning is not known comes before the one that it ended for.
    let when = |version: &Version| -> (Option<Point>, bool) {
        let Lifetime { from, to } = version.lifetime;
        (from.or(to), from.is_some())
    };
    versions.dated.sort_by_key(when);
    let mut before: Option<Json> = None;
    for version in &mut versions.dated {
        let values = version.line.get("values").cloned().unwrap_or_default();
        if let Some(before) = &before {
            let of = |values: &Json| values.as_object().cloned().unwrap_or_default();
            let (old, new) = (of(before), of(&values));
            let changed = new.iter().filter(|(name, value)| old.get(*name) != Some(*value));
            version.changed = changed.map(|(name, _)| name.clone()).collect();
        }
        before = Some(values);
    }
    versions
}
