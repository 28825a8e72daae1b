//! SQL that changes rows from what is expected to what is wanted, all of them or none.
//!
//! The rows are loaded into tables in `temp` first: `now` holds each as it is expected to stand, `then` as it is to stand
//! afterwards. What they must agree with is then asked for, and each answer noted; one more table holds the verdict, and
//! gets its row only when all answers are good. Every statement that changes a row of the database asks for that row
//! first, so that a client that goes on after errors changes nothing either. Behind them all is compared once more: when
//! one statement failed, when a trigger or a foreign key did more, or a unique key did less, `OR ROLLBACK` takes all back.
//!
//! That a transaction is open can be told from `defer_foreign_keys`, which the end of each transaction switches off
//! (<https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys>): without one the first statement ends it.

mod change;
mod check;
mod load;
mod rows;

pub(crate) use load::put_cell;

use crate::error::Error;
use crate::model::{Counters, RowThen};
use change::{change, end};
use check::check;
use load::{begin, load};
use mudlark_parsers::value::TextEncoding;
use std::fmt::Write;

/// What tells the rows of a table apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The row id, under this name.
    Rowid(String),
    /// These of the columns, by their places.
    Columns(Vec<usize>),
}

/// How a row comes to be as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is updated.
    Update,
    /// It is removed and put back, since another row may still hold a value of its unique keys.
    Anew,
    /// It is updated once those that hold values of its unique keys have others: removing it would remove what refers
    /// to it.
    Parked,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row<'r, 'a> {
    /// As it stands; `None` when it is not there.
    pub now: Option<&'r RowThen<'a>>,
    /// As it is to stand; `None` when it is to go.
    pub then: Option<&'r RowThen<'a>>,
    /// How, when it is there and is to stay.
    pub way: Way,
}

/// A column that can be set.
#[derive(Clone, Debug)]
pub struct Settable {
    /// Its name.
    pub name: String,
    /// Its place in the cells of a row.
    pub place: usize,
    /// It is in a unique key.
    pub unique: bool,
    /// It takes no NULL.
    pub not_null: bool,
}

/// A table whose rows change.
#[derive(Clone, Debug)]
pub struct Table<'r, 'a> {
    /// Its name.
    pub name: String,
    /// Its definition.
    pub sql: String,
    /// What tells its rows apart.
    pub key: Key,
    /// Its columns, but for the one that is the row id, and those that are computed.
    pub columns: Vec<Settable>,
    /// The places of columns by which its rows refer to others that change: foreign keys would act on the rows meanwhile.
    pub detached: Vec<usize>,
    /// Its rows.
    pub rows: Vec<Row<'r, 'a>>,
}

/// All that changes.
#[derive(Clone, Debug)]
pub struct Patch<'r, 'a> {
    /// What is done, for a person: the comment that begins the file.
    pub head: Vec<String>,
    /// What the program says when it stops: what is not done.
    pub refusal: &'static str,
    /// The tables, those that refer to others first.
    pub tables: Vec<Table<'r, 'a>>,
    /// Tables that must refer to nothing that is not there more often than before.
    pub referring: Vec<String>,
    /// Other tables that must be as they were, with their definitions.
    pub definitions: Vec<(String, String)>,
    /// What the engine counts keys up with, by table: as it stands, as it is to stand.
    pub sequences: Counters,
    /// Triggers may fire.
    pub triggers: bool,
    /// The encoding of text cells.
    pub encoding: TextEncoding,
}

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;

/// The longest statement that SQLite takes unless told otherwise (<https://www.sqlite.org/limits.html>).
const LONGEST: usize = 1_000_000_000;

/// What every statement asks for that changes a row.
const ARMED: &str = "(SELECT holds FROM temp.mudlark_verdict)";

/// Writes the statements.
///
/// # Errors
/// When the output can't be written, or a row is longer than SQLite takes.
pub fn write(patch: &Patch<'_, '_>, put: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let mut sql = String::new();
    for line in &patch.head {
        let _ = writeln!(sql, "{}", format!("-- {}", comment(line)).trim_end());
    }
    begin(patch, &mut sql);
    let (mut raw, mut checks) = (false, 0);
    for (number, table) in patch.tables.iter().enumerate() {
        for row in &table.rows {
            let at = sql.len();
            raw |= load(&mut sql, number, table, row, patch.encoding, checks);
            if sql.len() - at > LONGEST {
                return Err(Error::Usage(format!("a row of {} is longer than SQL can hold", table.name)));
            }
            checks += 1;
            if sql.len() > BUFFER {
                put(sql.as_bytes())?;
                sql.clear();
            }
        }
    }
    check(patch, raw, &mut sql);
    change(patch, &mut sql);
    end(patch, &mut sql);
    put(sql.as_bytes())
}

/// Text that stays in its comment.
#[must_use]
pub fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
