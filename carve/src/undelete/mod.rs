//! Guarded SQL that adds the deleted rows of a recovered database to a current one, and changes nothing there.

mod choose;
mod insert;
mod parents;
mod recovered;
mod script;
mod target;

pub(crate) use choose::is_shadow;
pub use recovered::{Recovered, sidecars};
pub use script::describe;

use crate::error::Error;
use crate::progress::Progress;
use insert::{Insert, Values};
use mudlark_parsers::claim::Claim;
use recovered::{DeletedRow, RecoveredTable};
use rusqlite::types::ValueRef;
use script::Header;
use std::collections::HashMap;
use target::Target;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The tables to write; none: all that can go back without a question.
    pub tables: Vec<String>,
    /// Rows below this confidence are counted and left out.
    pub min_confidence: f64,
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The tables with deleted rows, and those that the user named.
    pub tables: Vec<TableOutcome>,
}

/// What came of a table.
#[derive(Clone, Debug, Default)]
pub struct TableOutcome {
    /// Its name.
    pub name: String,
    /// Its deleted rows.
    pub deleted: u64,
    /// Rows written.
    pub rows: u64,
    /// Rows with missing cells, left out.
    pub partial: u64,
    /// Rows below the least confidence, left out.
    pub unsure: u64,
    /// Rows that can't be written as SQL, left out.
    pub unwritable: u64,
    /// Why the whole table is left out.
    pub left_out: Option<String>,
}

impl Outcome {
    /// Rows written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Tables of which rows are written.
    #[must_use]
    pub fn written_tables(&self) -> u64 {
        self.tables.iter().filter(|table| table.rows > 0).count() as u64
    }
}

/// The longest statement that SQLite takes unless told otherwise (<https://www.sqlite.org/limits.html>).
const LONGEST: usize = 1_000_000_000;

/// Writes the SQL.
///
/// # Errors
/// When the recovered database can't be read, a table is not in it, the output can't be written, or the user
/// interrupts.
pub fn undelete(
    recovered: &Recovered,
    request: &Request,
    progress: &dyn Progress,
    put: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Outcome, Error> {
    let run = recovered.run()?;
    let virtual_tables = choose::virtual_tables(&recovered.kept("virtual table")?);
    let tables = recovered.tables()?;
    let known: Vec<Target> = tables.iter().map(Target::of).collect();
    let chosen = choose::choose(&tables, &request.tables, &virtual_tables)?;
    let mut outcome = Outcome::default();
    let mut plans = Vec::new();
    for chosen in chosen {
        let rows = recovered.deleted(&chosen.table)?;
        if rows.is_empty() && request.tables.is_empty() {
            continue;
        }
        let target = Target::of(&chosen.table);
        let mut of_table = TableOutcome {
            name: if target.named { target.name.clone() } else { chosen.table.output_name.clone() },
            deleted: rows.len() as u64,
            left_out: chosen.left_out,
            ..TableOutcome::default()
        };
        if of_table.left_out.is_some() {
            of_table.name.clone_from(&chosen.table.output_name);
        } else {
            let mut plan =
                Plan { table: chosen.table, target, rows: Vec::new(), utf16: run.what.contains("UTF-16") };
            plan.choose_rows(recovered, rows, request.min_confidence, &mut of_table, progress)?;
            if !plan.rows.is_empty() {
                plans.push(plan);
            }
        }
        outcome.tables.push(of_table);
    }
    let mut triggers = choose::insert_triggers(&recovered.kept("trigger")?);
    triggers.retain(|(_, table)| plans.iter().any(|plan| plan.target.name.eq_ignore_ascii_case(table)));
    let from = recovered.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (program, finished, what) = (&run.program, &run.finished, &run.what);
    let header = Header { from, program, finished, what, least: request.min_confidence, triggers: &triggers };
    put(script::header(&header, &outcome).as_bytes())?;
    if plans.is_empty() {
        return Ok(outcome);
    }
    let order = parents::order(&plans.iter().map(|plan| &plan.target).collect::<Vec<_>>());
    let targets: Vec<(&Target, u64)> =
        plans.iter().map(|plan| (&plan.target, plan.rows.len() as u64)).collect();
    let mut sql = String::new();
    script::begin(&mut sql, &targets);
    put(sql.as_bytes())?;
    progress.stage("writing", outcome.rows());
    for (done, number) in order.iter().enumerate() {
        let Some(plan) = plans.get(*number) else { continue };
        let later = order.iter().skip(done).filter_map(|number| Some(&plans.get(*number)?.target));
        let later: Vec<&Target> = later.collect();
        let insert = Insert::new(&plan.target, parents::parents(&plan.target, &later, &known));
        plan.write(recovered, &insert, plans.len(), progress, put)?;
    }
    sql.clear();
    script::end(&mut sql, &targets);
    put(sql.as_bytes())?;
    Ok(outcome)
}

/// The rows of one table that are written.
struct Plan {
    table: RecoveredTable,
    target: Target,
    rows: Vec<PlannedRow>,
    /// The text of the evidence is UTF-16.
    utf16: bool,
}

struct PlannedRow {
    at: i64,
    rowid: Option<i64>,
    /// Of how many equal rows without a key it is the last.
    twin: usize,
}

impl Plan {
    /// Chooses the rows that are whole, sure, and can be written.
    fn choose_rows(
        &mut self,
        recovered: &Recovered,
        rows: Vec<DeletedRow>,
        least: f64,
        outcome: &mut TableOutcome,
        progress: &dyn Progress,
    ) -> Result<(), Error> {
        let mut needed: Vec<&str> = Vec::new();
        for (place, column) in self.target.columns.iter().enumerate() {
            if self.target.alias != Some(place) {
                needed.extend(self.table.columns.get(column.from).map(String::as_str));
            }
        }
        let invalid = 1_i64 << Claim::TextInvalid as u8;
        let insert = Insert::new(&self.target, Vec::new());
        let mut twins: HashMap<blake3::Hash, Vec<i64>> = HashMap::new();
        let mut planned = Vec::new();
        progress.stage("choosing", rows.len() as u64);
        let query = recovered.cells_query(&self.table)?;
        for row in rows {
            check_interrupt(progress)?;
            if row.missing.iter().any(|missing| needed.contains(&missing.as_str())) {
                outcome.partial += 1;
                continue;
            }
            if row.confidence < least {
                outcome.unsure += 1;
                continue;
            }
            let values = self.values(recovered, &query, &insert, row.at, row.rowid)?;
            let mut sql = String::new();
            insert.put(&mut sql, &values, usize::MAX, 1);
            // Text that is not valid UTF-16 stands in the recovered database as a BLOB.
            let text_as_blob = self.utf16 && row.claims & invalid != 0 && values.blobs;
            if sql.len() > LONGEST || text_as_blob {
                outcome.unwritable += 1;
                continue;
            }
            let mut twin = 1;
            if !insert.has_key(&values) {
                // Equal rows under different row ids are different rows; without row ids nobody can tell.
                let known = twins.entry(blake3::hash(values.list.as_bytes())).or_default();
                if let Some(rowid) = row.rowid
                    && !known.contains(&rowid)
                {
                    known.push(rowid);
                }
                twin = known.len().max(1);
            }
            planned.push(PlannedRow { at: row.at, rowid: row.rowid, twin });
        }
        outcome.rows = planned.len() as u64;
        self.rows = planned;
        Ok(())
    }

    fn values(
        &self,
        recovered: &Recovered,
        query: &str,
        insert: &Insert<'_>,
        at: i64,
        rowid: Option<i64>,
    ) -> Result<Values, Error> {
        recovered.reading(|connection| {
            connection.prepare_cached(query)?.query_row([at], |row| {
                insert.values(rowid, |place| -> rusqlite::Result<ValueRef<'_>> { row.get_ref(place) })
            })
        })
    }

    fn write(
        &self,
        recovered: &Recovered,
        insert: &Insert<'_>,
        tables: usize,
        progress: &dyn Progress,
        put: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let query = recovered.cells_query(&self.table)?;
        let mut sql = "\n".to_owned();
        let rows = crate::words::grouped_count(self.rows.len() as u64, "row");
        script::remark(&mut sql, &format!("{}: {rows}", self.target.name));
        for row in &self.rows {
            check_interrupt(progress)?;
            let values = self.values(recovered, &query, insert, row.at, row.rowid)?;
            insert.put(&mut sql, &values, tables, row.twin);
            if sql.len() > BUFFER {
                put(sql.as_bytes())?;
                sql.clear();
            }
            progress.advance(1);
        }
        put(sql.as_bytes())
    }
}

fn check_interrupt(progress: &dyn Progress) -> Result<(), Error> {
    if progress.interrupted() { Err(Error::Interrupted) } else { Ok(()) }
}

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;
