//! SQL that takes back what some commits did to rows of a current database, and leaves what happened since.

mod conflicts;

use crate::error::Error;
use crate::model::{RowThen, Undoable};
use crate::sql::constraints::{Constraints, children_first, detach, shape};
use crate::sql::patch::{self, Key, Patch, Row, Table, comment};
use crate::undelete::is_shadow;
use crate::words::{count, grouped_count};
use std::fmt::Write;

/// What the user lets happen that an undo refuses otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// The commits changed definitions.
    pub schema: bool,
    /// One of them was a VACUUM.
    pub vacuum: bool,
    /// Triggers fire for the rows that are changed.
    pub triggers: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The tables whose rows the commits changed.
    pub tables: Vec<TableOutcome>,
    /// What is not taken back besides, for a person.
    pub notes: Vec<String>,
}

/// What came of a table.
#[derive(Clone, Debug, Default)]
pub struct TableOutcome {
    /// Its name.
    pub name: String,
    /// Rows that are taken back.
    pub rows: u64,
    /// Rows that are left, each with the reason.
    pub left: Vec<(String, &'static str)>,
    /// Why the whole table is left.
    pub whole: Option<String>,
    /// Rows of a table that is left as a whole.
    pub of_whole: u64,
}

impl Outcome {
    /// Rows that are taken back.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }

    /// Rows that are left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.tables.iter().map(|table| table.left.len() as u64 + table.of_whole).sum()
    }
}

/// Rows that are named when they are left; a person reads no more.
const MOST_NAMED: usize = 1000;

/// Writes the SQL.
///
/// # Errors
/// When the commits did what an undo refuses, or the output can't be written.
pub fn write(
    undoable: &Undoable<'_>,
    allowed: Allowed,
    instance: &str,
    put: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Outcome, Error> {
    refuse(undoable, allowed)?;
    let reasons = conflicts::find(undoable);
    let constraints: Vec<Constraints> =
        undoable.tables.iter().map(|table| Constraints::of(&table.table, &undoable.referring)).collect();
    let mut outcome = Outcome::default();
    let mut tables = Vec::new();
    for ((table, reasons), constraints) in undoable.tables.iter().zip(&reasons).zip(&constraints) {
        let mut of_table = TableOutcome { name: table.table.name.clone(), ..TableOutcome::default() };
        let shape = shape(&table.table, constraints);
        let name = &table.table.name;
        let keeper = undoable.virtual_tables.iter().find(|of| is_shadow(name, of));
        let kept = keeper.map(|of| format!("it belongs to the virtual table {of}, which keeps it itself"));
        if let Some(why) = table.left.clone().or(kept).or_else(|| shape.as_ref().err().cloned()) {
            of_table.whole = Some(why);
            of_table.of_whole = table.rows.len() as u64;
            outcome.tables.push(of_table);
            continue;
        }
        let Ok((key, columns)) = shape else { continue };
        let mut rows = Vec::new();
        for (row, reason) in table.rows.iter().zip(reasons) {
            if let Some(reason) = reason {
                let shown = row.now.as_ref().or(row.then.as_ref());
                let named = shown.map(|row| label(row, &key, undoable)).unwrap_or_default();
                of_table.left.push((named, reason.text()));
                continue;
            }
            let way = constraints.way(row.now.as_ref(), row.then.as_ref());
            rows.push(Row { now: row.now.as_ref(), then: row.then.as_ref(), way });
        }
        of_table.rows = rows.len() as u64;
        outcome.tables.push(of_table);
        if !rows.is_empty() {
            let (name, sql) = (table.table.name.clone(), table.table.sql.clone().unwrap_or_default());
            tables.push(Table { name, sql, key, columns, detached: Vec::new(), rows });
        }
    }
    notes(undoable, &mut outcome);
    if outcome.rows() == 0 {
        let mut sql = String::new();
        for line in head(undoable, allowed, instance, &outcome) {
            let _ = writeln!(sql, "-- {}", comment(&line));
        }
        put(sql.as_bytes())?;
        return Ok(outcome);
    }
    let mut tables = children_first(tables, &undoable.referring);
    detach(&mut tables, &undoable.referring);
    let is_touched = |name: &str| tables.iter().any(|table| table.name.eq_ignore_ascii_case(name));
    let refers = undoable.referring.iter().filter(|(ddl, _)| {
        is_touched(&ddl.name) || ddl.references.iter().any(|reference| is_touched(&reference.table))
    });
    let definitions = refers.clone().filter(|(ddl, _)| !is_touched(&ddl.name));
    let patch = Patch {
        head: head(undoable, allowed, instance, &outcome),
        refusal: "nothing is taken back",
        referring: refers.map(|(ddl, _)| ddl.name.clone()).collect(),
        definitions: definitions.map(|(ddl, sql)| (ddl.name.clone(), sql.clone())).collect(),
        sequences: undoable.sequences.clone(),
        triggers: allowed.triggers,
        encoding: undoable.encoding,
        tables,
    };
    patch::write(&patch, put)?;
    Ok(outcome)
}

/// Refuses commits that did more than change rows.
fn refuse(undoable: &Undoable<'_>, allowed: Allowed) -> Result<(), Error> {
    let refused = |text: String| Err(Error::Usage(text));
    if let Some(delta) = undoable.schema.first().filter(|_| !allowed.schema) {
        let event = &delta.event;
        return refused(format!(
            "these commits changed definitions ({} {} {}), which is not taken back; `replay --until` with the point before \
             them gives the store with all that was dropped; --allow schema takes back what they did to rows of the other \
             tables",
            event.what, event.kind, event.name
        ));
    }
    if let Some(point) = undoable.vacuums.first().filter(|_| !allowed.vacuum) {
        return refused(format!(
            "{point} is a VACUUM; --allow vacuum takes back what the others did to rows"
        ));
    }
    let of_rows = |table: &str| {
        table.is_empty()
            || undoable.tables.iter().any(|changed| changed.table.name.eq_ignore_ascii_case(table))
    };
    if let Some((name, table)) =
        undoable.triggers.iter().find(|(_, table)| of_rows(table)).filter(|_| !allowed.triggers)
    {
        return refused(format!(
            "the trigger {name} on {table} would fire for rows that are taken back; --allow triggers lets it, after which \
             nobody checks what it changed"
        ));
    }
    Ok(())
}

/// A row's key, for a person.
fn label(row: &RowThen<'_>, key: &Key, undoable: &Undoable<'_>) -> String {
    match key {
        Key::Rowid(_) => row.rowid.map_or_else(
            || {
                let cells = row.cells.iter().map(|cell| crate::diff::shown(cell, undoable.encoding));
                format!("({})", cells.collect::<Vec<_>>().join(", "))
            },
            |rowid| rowid.to_string(),
        ),
        Key::Columns(places) => {
            let cells = places.iter().filter_map(|place| row.cells.get(*place));
            cells.map(|cell| crate::diff::shown(cell, undoable.encoding)).collect::<Vec<_>>().join(", ")
        }
    }
}

fn notes(undoable: &Undoable<'_>, outcome: &mut Outcome) {
    outcome.notes.extend_from_slice(&undoable.notes);
    for delta in &undoable.schema {
        let event = &delta.event;
        outcome.notes.push(format!("{} {} {}: not taken back", event.what, event.kind, event.name));
    }
    if undoable.internal > 0 {
        let rows = grouped_count(undoable.internal, "row");
        outcome.notes.push(format!("{rows} of the engine's own tables: it keeps them itself"));
    }
}

/// The comment that begins the file.
fn head(undoable: &Undoable<'_>, allowed: Allowed, instance: &str, outcome: &Outcome) -> Vec<String> {
    let [first, last] = undoable.commits;
    let which = if first == last { first.to_string() } else { format!("{first} to {last}") };
    let mut lines = vec![
        format!("Takes back what {which} of {instance} did to {}.", grouped_count(outcome.rows(), "row")),
        String::new(),
    ];
    for table in &outcome.tables {
        lines.push(format!("  {}", describe(table)));
        for (row, reason) in table.left.iter().take(MOST_NAMED) {
            lines.push(format!("    left: {row}: {reason}"));
        }
        if table.left.len() > MOST_NAMED {
            let further = (table.left.len() - MOST_NAMED) as u64;
            lines.push(format!("    and {} left", grouped_count(further, "further row")));
        }
    }
    lines.extend(outcome.notes.iter().map(|note| format!("  {note}")));
    lines.push(String::new());
    lines.push(format!(
        "For a database as {} left it, or later. First all is asked for that must hold: the rows must stand as these",
        undoable.today
    ));
    lines.push(
        "commits left them. If one answer is no, or one statement fails, nothing is changed: the rows that differ are"
            .to_owned(),
    );
    lines.push("printed. All is done in one transaction. Try it on a copy first:".to_owned());
    lines.push("  sqlite3 COPY.db < THIS_FILE".to_owned());
    lines.push("It needs SQLite 3.24 or later.".to_owned());
    if !undoable.referring.is_empty() {
        lines.push(
            "With PRAGMA foreign_keys = ON actions of foreign keys can stand in the way, and then nothing is changed: run it \
             with OFF, as the sqlite3 shell does. What refers to rows is compared all the same."
                .to_owned(),
        );
    }
    if allowed.triggers {
        lines.push(
            "Triggers fire: what they change is not checked. .dbconfig enable_trigger off in the sqlite3 shell keeps them \
             silent."
                .to_owned(),
        );
    }
    lines
}

/// What came of a table, in words.
#[must_use]
pub fn describe(table: &TableOutcome) -> String {
    if let Some(why) = &table.whole {
        return format!("{}: {} left: {why}", table.name, count(table.of_whole, "row"));
    }
    let mut text = format!("{}: {} taken back", table.name, count(table.rows, "row"));
    let mut by_reason: Vec<(&str, u64)> = Vec::new();
    for (_, reason) in &table.left {
        match by_reason.iter_mut().find(|(known, _)| known == reason) {
            Some((_, count)) => *count += 1,
            None => by_reason.push((reason, 1)),
        }
    }
    for (reason, rows) in by_reason {
        let _ = write!(text, ", {} left: {reason}", count(rows, "row"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::conflicts::Reason;

    #[test]
    fn every_reason_has_words_of_its_own() {
        let all = [Reason::Since, Reason::KeyTaken, Reason::ParentGone, Reason::ReferredTo];
        let mut texts: Vec<&str> = all.iter().map(|reason| reason.text()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), all.len());
    }
}
