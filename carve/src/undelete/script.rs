//! The SQL file around the INSERTs: what it is, what has to hold before it does anything, and what it came to.

use super::target::Target;
use super::{Outcome, TableOutcome};
use crate::sql::literal;
use crate::words::grouped_count as count;
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use std::fmt::Write;

/// What the header names.
#[derive(Debug)]
pub(super) struct Header<'h> {
    /// The file name of the recovered database.
    pub from: String,
    /// The version of the program that wrote it.
    pub program: &'h str,
    /// When it was written.
    pub finished: &'h str,
    /// What was recovered.
    pub what: &'h str,
    /// The least confidence of a row.
    pub least: f64,
    /// For tables that are written: triggers of the evidence that an INSERT fires.
    pub triggers: &'h [(String, String)],
}

/// The comment that begins the file.
pub(super) fn header(header: &Header<'_>, outcome: &Outcome) -> String {
    let mut sql = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(sql, "{}", format!("-- {}", comment(text)).trim_end());
    };
    line(&format!(
        "{} of {}, to be added to a current copy of the database.",
        count(outcome.rows(), "deleted row"),
        count(outcome.written_tables(), "table"),
    ));
    line(&format!("From {}, written by mudlark {} at {}:", header.from, header.program, header.finished));
    line(header.what);
    line("");
    for table in &outcome.tables {
        line(&format!("  {}: {}", table.name, describe(table, header.least)));
    }
    line("");
    line(
        "Adds rows that are missing. Changes and removes nothing: a row whose key is taken, or that is there",
    );
    line("already, is skipped. To run it twice does no harm. Try it on a copy first:");
    line("  sqlite3 COPY.db < THIS_FILE");
    line(
        "It says at its end how many rows it has added to each table. It needs SQLite 3.24 or later. All is done in",
    );
    line(
        "one transaction, and nothing unless every table above is there with the columns that are used here.",
    );
    if !header.triggers.is_empty() {
        line("");
        line(
            "Triggers on INSERT are fired by each row that is added; in the sqlite3 shell, .dbconfig enable_trigger off",
        );
        line("before .read THIS_FILE keeps them silent. When the rows were deleted there were these:");
        for (trigger, table) in header.triggers {
            line(&format!("  {trigger} on {table}"));
        }
    }
    sql
}

/// The beginning of the transaction. The table in `temp` gets a row for each table that is found as expected; a
/// client that goes on after errors then runs INSERTs whose first condition is false.
pub(super) fn begin(sql: &mut String, targets: &[(&Target, u64)]) {
    sql.push_str(
        "\nBEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\nDROP TABLE IF EXISTS temp.mudlark_undelete;\n\
         CREATE TEMP TABLE mudlark_undelete(\"table\" TEXT, \"rows\" INTEGER, \"before\" INTEGER, type TEXT,\n  \
         CONSTRAINT \"the name is that of a table\" CHECK(type IS 'table'));\n",
    );
    for (target, rows) in targets {
        let mut columns: Vec<String> =
            target.columns.iter().map(|column| format!("t.{}", quoted(&column.name))).collect();
        columns.extend(target.rowid.map(|name| format!("t.{name}")));
        let name = literal::text(&target.name);
        let _ = writeln!(
            sql,
            "INSERT INTO temp.mudlark_undelete SELECT {name}, {rows},\n  \
             (SELECT count(*) FROM (SELECT {} FROM main.{} AS t)),\n  \
             (SELECT type FROM main.sqlite_master WHERE name={name} COLLATE NOCASE AND type IN ('table','view'));",
            columns.join(","),
            quoted(&target.name),
        );
    }
}

/// The end of the transaction, with the number of rows that came to each table.
pub(super) fn end(sql: &mut String, targets: &[(&Target, u64)]) {
    sql.push('\n');
    for (target, _) in targets {
        let _ = writeln!(
            sql,
            "SELECT \"table\", (SELECT count(*) FROM main.{})-\"before\" AS added, \"rows\" AS of FROM \
             temp.mudlark_undelete WHERE \"table\"={};",
            quoted(&target.name),
            literal::text(&target.name)
        );
    }
    sql.push_str("DROP TABLE temp.mudlark_undelete;\nCOMMIT;\n");
}

/// A comment line of its own.
pub(super) fn remark(sql: &mut String, text: &str) {
    let _ = writeln!(sql, "-- {}", comment(text));
}

/// What came of a table, in words.
#[must_use]
pub fn describe(table: &TableOutcome, least: f64) -> String {
    if let Some(reason) = &table.left_out {
        return format!("{} left out: {reason}", count(table.deleted, "row"));
    }
    let mut text = count(table.rows, "row");
    let mut left_out = Vec::new();
    if table.partial > 0 {
        left_out.push(format!("{} in part", count(table.partial, "row")));
    }
    if table.unsure > 0 {
        left_out.push(format!("{} below confidence {least}", count(table.unsure, "row")));
    }
    if table.unwritable > 0 {
        left_out.push(format!("{} that SQL can't hold", count(table.unwritable, "row")));
    }
    if !left_out.is_empty() {
        let _ = write!(text, " (left out: {})", left_out.join(", "));
    }
    text
}

/// Text that stays in its comment: without line ends and other control characters.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::remark;

    #[test]
    fn a_name_can_t_end_the_comment_that_it_stands_in() {
        let mut sql = String::new();
        remark(&mut sql, "t\r\n; DROP TABLE customers; --");
        assert_eq!(sql.lines().count(), 1);
        assert!(sql.starts_with("-- t"));
    }
}
