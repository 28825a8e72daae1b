//! SQL that makes the later point out of the earlier one. All rows that differ are held.

use super::{Counts, Named, Written};
use crate::error::Error;
use crate::model::{Became, RowDelta, SchemaEvent, counters};
use crate::sql::constraints::{Constraints, children_first, detach, shape};
use crate::sql::patch::{self, Patch, Row, Table};
use crate::stores::Difference;
use crate::words::grouped_count;

/// Writes the SQL; counts the rows that differ, by table, and says what is left. Triggers may fire if that is asked for.
///
/// # Errors
/// When the output can't be written.
pub fn write(
    difference: &dyn Difference<'_>,
    named: Named<'_>,
    triggers: bool,
    put: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Written, Error> {
    let between = difference.between();
    let [from, to] = between.points;
    let mut head = vec![
        format!("Makes {to} of {} out of a database as it stood at {from}: its rows.", named.instance),
        "All is done in one transaction, or nothing where a row differs. It needs SQLite 3.24 or later."
            .to_owned(),
        String::new(),
    ];
    let event = |event: &SchemaEvent| format!("{} {} {}", event.what, event.kind, event.name);
    let mut left: Vec<String> = between.schema.iter().map(|delta| event(&delta.event)).collect();
    let mut counts = Vec::new();
    let mut rows: Vec<Vec<RowDelta<'_>>> = Vec::new();
    for number in 0..between.tables.len() {
        let (mut of_table, mut deltas) = (Counts::new(), Vec::new());
        let renumbered = between.tables.get(number).is_some_and(|table| table.renumbered);
        difference.rows(number, &mut |mut row| {
            *of_table.entry(row.became).or_default() += 1;
            if let Some(after) = row.after.as_mut().filter(|_| renumbered) {
                // The rows that don't differ keep the ids of the first point, among which one of the second may be taken.
                after.rowid = row.before.as_ref().and_then(|before| before.rowid);
            }
            deltas.push(row);
            Ok(())
        })?;
        counts.push(of_table);
        rows.push(deltas);
    }
    let mut tables = Vec::new();
    let mut sequences = Vec::new();
    for (delta, rows) in between.tables.iter().zip(&rows) {
        if delta.name().eq_ignore_ascii_case("sqlite_sequence") {
            let pairs = rows.iter().map(|row| [row.before.as_ref(), row.after.as_ref()]);
            sequences = counters(pairs, between.encoding);
        }
        if rows.is_empty() || delta.internal {
            continue;
        }
        let (name, all) = (delta.name(), grouped_count(rows.len() as u64, "row"));
        let mut leave = |why: &str| left.push(format!("{name}: {all} left: {why}"));
        let fires = |(_, table): &&(String, String)| table.is_empty() || table.eq_ignore_ascii_case(name);
        if let Some((trigger, _)) = between.triggers.iter().find(fires).filter(|_| !triggers) {
            leave(&format!("its trigger {trigger} would fire; --allow triggers lets it"));
            continue;
        }
        let (Some(before), Some(after)) = (&delta.before, &delta.after) else {
            leave("it is not there at both points");
            continue;
        };
        if before.columns != after.columns {
            leave("its columns differ");
            continue;
        }
        if rows.iter().any(|row| row.became == Became::Unknown) {
            leave("what some were at one point is lost");
            continue;
        }
        let constraints = Constraints::of(before, &between.referring);
        let (key, columns) = match shape(before, &constraints) {
            Ok(shape) => shape,
            Err(why) => {
                leave(&why);
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
    head.extend(left.iter().map(|left| format!("  left: {left}")));
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
        sequences,
        triggers,
        encoding: between.encoding,
        tables,
    };
    patch::write(&patch, put)?;
    Ok(Written { counts, left })
}
