//! What differs between two points of a store, written in one of several forms.

mod csv;
mod jsonl;
mod sql;
mod text;

pub use text::{printable, shown};

pub(crate) use csv::field as csv_field;

use crate::error::Error;
use crate::model::{Became, Between, Cell, RowDelta, TableDelta};
use crate::stores::Difference;
use std::collections::BTreeMap;

/// A form in which rows that differ are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// A line for each cell that differs.
    Csv,
    /// Statements that make the later point out of the earlier one.
    Sql {
        /// Also of tables with triggers, which fire then.
        triggers: bool,
    },
}

/// What was written.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// How many rows became what, by table.
    pub counts: Vec<Counts>,
    /// What the SQL leaves as it is, each with the reason.
    pub left: Vec<String>,
}

/// How many rows became what, of a table.
pub type Counts = BTreeMap<Became, u64>;

/// The store that is written of.
#[derive(Clone, Copy, Debug)]
pub struct Named<'n> {
    /// The store's kind.
    pub store: &'n str,
    /// Its name.
    pub instance: &'n str,
}

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;

/// Writes all that differs, and counts it: by table, in their order.
///
/// # Errors
/// When the output can't be written.
pub fn write(
    difference: &dyn Difference<'_>,
    named: Named<'_>,
    format: Format,
    put: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Written, Error> {
    if let Format::Sql { triggers } = format {
        return sql::write(difference, named, triggers, put);
    }
    let between = difference.between();
    let mut out = Vec::new();
    let head = jsonl::head(named, between);
    match format {
        Format::Jsonl => jsonl::others(&head, between, &mut out),
        Format::Csv | Format::Sql { .. } => out.extend_from_slice(csv::HEAD),
    }
    let mut all = Vec::new();
    for (number, table) in between.tables.iter().enumerate() {
        let mut counts = Counts::new();
        let columns = table.columns();
        difference.rows(number, &mut |row| {
            *counts.entry(row.became).or_default() += 1;
            match format {
                Format::Jsonl => jsonl::row(&head, between, table, &columns, &row, &mut out),
                Format::Csv | Format::Sql { .. } => csv::row(between, table, &columns, &row, &mut out),
            }
            if out.len() > BUFFER {
                put(&out)?;
                out.clear();
            }
            Ok(())
        })?;
        all.push(counts);
    }
    put(&out)?;
    Ok(Written { counts: all, left: Vec::new() })
}

/// What differs, for a person: the counts of each table, and its first rows when asked for.
///
/// # Errors
/// When the rows can't be read.
pub fn text(difference: &dyn Difference<'_>, named: Named<'_>) -> Result<(String, Vec<Counts>), Error> {
    let mut all = Vec::new();
    let mut rows = Vec::new();
    for (number, table) in difference.between().tables.iter().enumerate() {
        let (mut counts, mut first) = (Counts::new(), Vec::new());
        let columns = table.columns();
        difference.rows(number, &mut |row| {
            *counts.entry(row.became).or_default() += 1;
            if first.len() < text::MOST_ROWS {
                first.push(text::row(difference.between(), table, &columns, &row));
            }
            Ok(())
        })?;
        all.push(counts);
        rows.push(first);
    }
    Ok((text::summary(difference.between(), named, &all, Some(&rows)), all))
}

/// The counts of each table, for a person.
#[must_use]
pub fn summary(between: &Between, named: Named<'_>, counts: &[Counts]) -> String {
    text::summary(between, named, counts, None)
}

/// What tells a row from others of its table: the cells of its primary key, where it has no row id.
fn key<'r, 'a>(table: &TableDelta, row: &'r RowDelta<'a>) -> Vec<&'r Cell<'a>> {
    let (then, row) = match (&table.after, &row.after) {
        (Some(then), Some(row)) => (then, row),
        _ => match (&table.before, &row.before) {
            (Some(then), Some(row)) => (then, row),
            _ => return Vec::new(),
        },
    };
    let Some(ddl) = &then.ddl else { return Vec::new() };
    let names = ddl.parsed.primary_key.iter().filter_map(|part| ddl.parsed.columns.get(part.column?));
    let places = names.filter_map(|named| then.columns.iter().position(|column| column.name == named.name));
    places.filter_map(|place| row.cells.get(place)).collect()
}
