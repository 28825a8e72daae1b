//! SQL that makes the later point out of the earlier one. All rows that differ are held.

use super::{Counts, Named};
use crate::error::Error;
use crate::model::{Became, RowDelta};
use crate::sql::constraints::{Constraints, children_first, detach, shape};
use crate::sql::patch::{self, Patch, Row, Table};
use crate::stores::Difference;
use crate::words::grouped_count;

/// Writes the SQL; counts the rows that differ, by table.
///
/// # Errors
/// When the output can't be written.
pub fn write(
    difference: &dyn Difference<'_>,
    named: Named<'_>,
    put: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Vec<Counts>, Error> {
    let between = difference.between();
    let [from, to] = between.points;
    let mut head = vec![
        format!("Makes {to} of {} out of a database as it stood at {from}: its rows.", named.instance),
        "All is done in one transaction, or nothing where a row differs. It needs SQLite 3.24 or later."
            .to_owned(),
        String::new(),
    ];
    for delta in &between.schema {
        let event = &delta.event;
        head.push(format!("  left: {} {} {}", event.what, event.kind, event.name));
    }
    let mut counts = Vec::new();
    let mut rows: Vec<Vec<RowDelta<'_>>> = Vec::new();
    for number in 0..between.tables.len() {
        let (mut of_table, mut deltas) = (Counts::new(), Vec::new());
        difference.rows(number, &mut |row| {
            *of_table.entry(row.became).or_default() += 1;
            deltas.push(row);
            Ok(())
        })?;
        counts.push(of_table);
        rows.push(deltas);
    }
    let mut tables = Vec::new();
    for (delta, rows) in between.tables.iter().zip(&rows) {
        if rows.is_empty() || delta.internal {
            continue;
        }
        let (name, all) = (delta.name(), grouped_count(rows.len() as u64, "row"));
        let left = |why: &str| format!("  {name}: {all} left: {why}");
        let (Some(before), Some(after)) = (&delta.before, &delta.after) else {
            head.push(left("it is not there at both points"));
            continue;
        };
        if before.columns != after.columns {
            head.push(left("its columns differ"));
            continue;
        }
        if rows.iter().any(|row| row.became == Became::Unknown) {
            head.push(left("what some were at one point is lost"));
            continue;
        }
        let constraints = Constraints::of(before, &between.referring);
        let (key, columns) = match shape(before, &constraints) {
            Ok(shape) => shape,
            Err(why) => {
                head.push(left(&why));
                continue;
            }
        };
        head.push(format!("  {name}: {all}"));
        let row = |row: &'_ RowDelta<'_>| constraints.way(row.before.as_ref(), row.after.as_ref());
        let rows = rows.iter().map(|delta| Row {
            now: delta.before.as_ref(),
            then: delta.after.as_ref(),
            way: row(delta),
        });
        let (name, sql) = (before.name.clone(), before.sql.clone().unwrap_or_default());
        tables.push(Table { name, sql, key, columns, detached: Vec::new(), rows: rows.collect() });
    }
    let mut tables = children_first(tables, &between.referring);
    detach(&mut tables, &between.referring);
    let is_touched = |name: &str| tables.iter().any(|table| table.name.eq_ignore_ascii_case(name));
    let refers = between.referring.iter().filter(|(ddl, _)| {
        is_touched(&ddl.name) || ddl.references.iter().any(|reference| is_touched(&reference.table))
    });
    let patch = Patch {
        head,
        refusal: "nothing is changed",
        referring: refers.map(|(ddl, _)| ddl.name.clone()).collect(),
        definitions: Vec::new(),
        sequences: Vec::new(),
        triggers: false,
        encoding: between.encoding,
        tables,
    };
    patch::write(&patch, put)?;
    Ok(counts)
}
