//! The output database: tables under their own names, every version with its evidence, findings and losses.

mod names;
mod schema;
mod tables;

use super::jsonl::partial_json;
use super::{Ending, Keeper, Pending, Sink, Story, Target, Weighed};
use crate::confidence;
use crate::error::Error;
use crate::model::{Cell, Point, State, Transaction};
use mudlark_parsers::value::TextEncoding;
use names::Names;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params, params_from_iter};
use serde_json::json;
use std::path::PathBuf;
use tables::OutputTable;

/// Writes a database.
#[derive(Debug)]
pub struct DatabaseSink {
    connection: Connection,
    pending: Pending,
    keeper: Option<Keeper>,
    tables: Vec<OutputTable>,
    names: Names,
    /// Fragments are numbered in the order in which they come.
    fragments: u64,
    contradictions: u64,
}

impl DatabaseSink {
    /// Opens the output.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn open(target: &Target) -> Result<Self, Error> {
        let (path, keeper) = match target {
            Target::File(path) => (path, None),
            Target::OneOfMany(path, keeper) => (path, Some(keeper.clone())),
            Target::Stdout => {
                return Err(Error::Usage("a database can't be written to standard output".to_owned()));
            }
        };
        let pending = Pending::new(path)?;
        let failed = |error| Error::Database { path: path.clone(), error };
        let connection = Connection::open(pending.temporary()).map_err(failed)?;
        // The file is not yet under its name: a crash leaves nothing to repair.
        connection
            .execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-16384; BEGIN")
            .map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(256);
        Ok(Self {
            connection,
            pending,
            keeper,
            tables: Vec::new(),
            names: Names::default(),
            fragments: 0,
            contradictions: 0,
        })
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path: PathBuf = self.pending.path().to_owned();
        move |error| Error::Database { path: path.clone(), error }
    }

    fn begin_tables(&mut self, story: &Story<'_>) -> rusqlite::Result<()> {
        schema::create(&self.connection)?;
        for (number, source) in story.sources.iter().enumerate() {
            let size = source.size() as i64;
            self.connection.execute(
                "INSERT INTO mudlark_source VALUES (?, ?, ?, ?, NULL, ?)",
                params![
                    number as i64,
                    source.name(),
                    source.path().display().to_string(),
                    size,
                    story.taken_for.get(number)
                ],
            )?;
        }
        for (number, table) in story.tables.iter().enumerate() {
            let output = OutputTable::create(&self.connection, &mut self.names, number, table, story)?;
            self.tables.push(output);
        }
        for (kind, name, text) in &story.kept_sql {
            self.connection.execute(
                "INSERT INTO mudlark_schema (kind, name, origin, found, issued, changes) \
                 VALUES (?, ?, 'catalogue', ?, NULL, 'kept as text, never executed')",
                params![kind, name, text],
            )?;
        }
        Ok(())
    }

    fn write_rows(&mut self, story: &Story<'_>, weighed: &Weighed<'_>, least: f64) -> rusqlite::Result<()> {
        let batch = weighed.batch;
        let number = batch.table.0 as usize;
        let (Some(table), Some(described)) = (self.tables.get(number), story.tables.get(number)) else {
            return Ok(());
        };
        let connection = &self.connection;
        let mut version_insert = connection.prepare_cached(
            "INSERT INTO mudlark_version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let mut evidence_insert = connection
            .prepare_cached("INSERT INTO mudlark_evidence VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        let mut lifetime_insert =
            connection.prepare_cached("INSERT INTO mudlark_lifetime VALUES (?, ?, ?, ?)")?;
        let mut live_insert = connection.prepare_cached(&table.insert_live)?;
        let mut rest_insert = connection.prepare_cached(&table.insert_rest)?;
        for (index, (row, weight)) in batch.rows.iter().zip(&weighed.weights).enumerate() {
            if weight.confidence < least {
                continue;
            }
            let version = (weighed.first_version + index as u64) as i64;
            let cells = batch.cells_of(row);
            let full = described.is_full(cells);
            let mut stored = None;
            if full && row.state == State::Live && row.transaction == Transaction::Committed {
                let rowid = table.takes_rowid.then_some(row.rowid);
                let bound = rowid.map(Bound::Rowid).into_iter();
                let bound = bound.chain(cells.iter().map(|cell| Bound::Cell(cell, batch.encoding)));
                match live_insert.insert(params_from_iter(bound)) {
                    // Without a name for the row id, the views can't find the row there.
                    Ok(_) if !table.joinable => {}
                    Ok(at) => stored = Some(("table", at)),
                    Err(error) if is_contradiction(&error) => self.contradictions += 1,
                    Err(error) => return Err(error),
                }
            }
            let (place, at) = match stored {
                Some(stored) => stored,
                None => {
                    let bound = cells.iter().map(|cell| Bound::Cell(cell, batch.encoding));
                    ("rest", rest_insert.insert(params_from_iter(bound))?)
                }
            };
            let missing = table.missing(cells);
            for (column, cell) in table.columns.iter().zip(cells) {
                if let Cell::Partial(partial) = cell {
                    self.fragments += 1;
                    connection.execute(
                        "INSERT INTO mudlark_fragment VALUES (?, ?, ?, ?)",
                        params![
                            self.fragments as i64,
                            version,
                            column,
                            partial_json(partial, batch).to_string()
                        ],
                    )?;
                }
            }
            let lifetimes = batch.lifetimes_of(row);
            let latest = lifetimes.last();
            let text = |point: Option<Point>| point.map(|point| point.to_string());
            let [claims, more_claims] = row.claims.columns();
            version_insert.execute(params![
                version,
                number as i64 + 1,
                number as i64 + 1,
                row.state.name(),
                row.transaction.name(),
                weight.known(weight.confidence),
                weight.known(weight.content),
                weight.known(weight.placement),
                row.rowid,
                place,
                at,
                text(latest.and_then(|lifetime| lifetime.from)),
                text(latest.and_then(|lifetime| lifetime.to)),
                missing,
                claims,
                more_claims,
            ])?;
            for (ordinal, lifetime) in lifetimes.iter().enumerate().filter(|_| lifetimes.len() > 1) {
                let (from, to) = (text(lifetime.from), text(lifetime.to));
                lifetime_insert.execute(params![version, ordinal as i64, from, to])?;
            }
            for (ordinal, evidence) in batch.evidence_of(row).iter().enumerate() {
                let inferred = (ordinal == 0).then(|| inferred(weighed, table, index)).flatten();
                for (place, span) in batch.spans_of(evidence).iter().enumerate() {
                    evidence_insert.execute(params![
                        version,
                        ordinal as i64,
                        place as i64,
                        evidence.method,
                        evidence.page,
                        evidence.commit,
                        i64::from(span.source.0),
                        story.place(span) as i64,
                        span.length as i64,
                        inferred,
                    ])?;
                }
            }
        }
        Ok(())
    }

    fn end_tables(&mut self, ending: &Ending, story: &Story<'_>) -> rusqlite::Result<()> {
        let connection = &self.connection;
        for (number, hash) in ending.hashes.iter().enumerate() {
            connection.execute(
                "UPDATE mudlark_source SET hash = ? WHERE source = ?",
                params![hash, number as i64],
            )?;
        }
        {
            let mut insert =
                connection.prepare("INSERT INTO mudlark_finding VALUES (NULL, ?, ?, ?, ?, ?, ?, ?)")?;
            for finding in &ending.findings {
                insert.execute(params![
                    finding.source.map(|source| i64::from(source.0)),
                    finding.page,
                    finding.offset.map(|offset| offset as i64),
                    finding.field,
                    finding.rule,
                    finding.found,
                    finding.expected
                ])?;
            }
        }
        for loss in &ending.losses {
            let (proved, possible) = match loss.kind {
                crate::model::LossKind::Proved => (Some(loss.rows as i64), None),
                crate::model::LossKind::Possible => (None, Some(loss.rows as i64)),
            };
            connection.execute(
                "INSERT INTO mudlark_loss VALUES (?, ?, ?, ?)",
                params![loss.table.map(|table| i64::from(table.0) + 1), proved, possible, loss.basis],
            )?;
        }
        for table in &self.tables {
            table.finish(connection, &mut self.names, story)?;
        }
        let mut totals: serde_json::Map<String, serde_json::Value> =
            ending.totals.iter().map(|(name, total)| ((*name).to_owned(), json!(total))).collect();
        totals.insert("contradictions".to_owned(), json!(self.contradictions));
        connection.execute(
            "INSERT INTO mudlark_run VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            params![
                env!("CARGO_PKG_VERSION"),
                confidence::MODEL.name,
                json!(story.arguments).to_string(),
                story.store,
                story.what,
                story.started,
                ending.finished,
                serde_json::Value::Object(totals).to_string()
            ],
        )?;
        connection.execute_batch(schema::INDEX_DELETED)?;
        connection.execute_batch("COMMIT")
    }
}

impl Sink for DatabaseSink {
    fn begin(&mut self, story: &Story<'_>) -> Result<(), Error> {
        let failed = self.failed();
        self.begin_tables(story).map_err(failed)
    }

    fn write(&mut self, story: &Story<'_>, weighed: &Weighed<'_>, _: &[u8], least: f64) -> Result<(), Error> {
        let failed = self.failed();
        self.write_rows(story, weighed, least).map_err(failed)
    }

    fn finish(mut self: Box<Self>, story: &Story<'_>, ending: &Ending) -> Result<(), Error> {
        let failed = self.failed();
        self.end_tables(ending, story).map_err(&failed)?;
        let Self { connection, pending, keeper, .. } = *self;
        connection.close().map_err(|(_, error)| failed(error))?;
        match keeper {
            Some(keeper) => keeper.keep(pending),
            None => pending.keep()?,
        }
        Ok(())
    }
}

/// Whether an insert failed because of what the row holds: another row contradicts it, or a rule of the table does.
fn is_contradiction(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::ConstraintViolation | rusqlite::ErrorCode::TypeMismatch)
    )
}

fn inferred(weighed: &Weighed<'_>, table: &OutputTable, row: usize) -> Option<String> {
    let cells = weighed.batch.inferred_of(row);
    let list: Vec<_> =
        cells.map(|cell| json!({"column": table.columns.get(cell.column), "from": cell.from})).collect();
    (!list.is_empty()).then(|| json!(list).to_string())
}

/// A value to bind, borrowed from the evidence where it can be.
enum Bound<'b> {
    Rowid(Option<i64>),
    Cell(&'b Cell<'b>, TextEncoding),
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let borrowed = ToSqlOutput::Borrowed;
        Ok(match self {
            Self::Rowid(rowid) => ToSqlOutput::Owned(rowid.map_or(Value::Null, Value::Integer)),
            Self::Cell(cell, encoding) => match cell {
                Cell::Null | Cell::Missing | Cell::Partial(_) => borrowed(ValueRef::Null),
                Cell::Int(value) => borrowed(ValueRef::Integer(*value)),
                Cell::Real(value) => borrowed(ValueRef::Real(*value)),
                Cell::Blob(bytes) => borrowed(ValueRef::Blob(bytes)),
                Cell::Text(bytes) if *encoding == TextEncoding::Utf8 => borrowed(ValueRef::Text(bytes)),
                Cell::Text(bytes) => match encoding.decode(bytes) {
                    Some(text) => ToSqlOutput::Owned(Value::Text(text.into_owned())),
                    // Not text in its own encoding: the bytes are kept as they are.
                    None => borrowed(ValueRef::Blob(bytes)),
                },
            },
        })
    }
}
