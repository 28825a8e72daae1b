//! The live rows as SQL text, as a shell's `.dump`: tables with their rows, and plain indexes. Definitions are written anew
//! from what was read of them; those that can't be, and views and triggers, stand in comments, as nobody executes SQL of the
//! evidence unread.

use super::{Ending, Out, Sink, Story, Target, Weighed};
use crate::error::Error;
use crate::model::{Cell, SchemaOrigin, State, Table};
use crate::sql::literal;
use crate::sql::patch::put_cell;
use mudlark_parsers::sqlite::ddl::{self, quote_identifier as quoted};
use mudlark_parsers::value::TextEncoding;
use std::fmt::Write;

/// Writes live rows as SQL text.
#[derive(Debug)]
pub struct SqlText {
    out: Out,
    /// What an INSERT of each table begins with, and whether the row id comes first; `None` before the table is made.
    tables: Vec<Option<(String, bool)>>,
    /// Its encoding has been told.
    encoded: bool,
    /// What sets the counters of keys: they come once their tables have their rows.
    counters: String,
}

impl SqlText {
    /// Opens the output.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn open(target: &Target) -> Result<Self, Error> {
        Ok(Self { out: Out::open(target)?, tables: Vec::new(), encoded: false, counters: String::new() })
    }
}

/// A comment: each line of the text on a line of its own.
fn comment(sql: &mut String, text: &str) {
    for line in text.split(['\n', '\r']) {
        let line: String = line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let _ = writeln!(sql, "{}", format!("-- {line}").trim_end());
    }
}

/// Makes a table; gives what its INSERTs begin with, and whether the row id comes first.
fn create(sql: &mut String, table: &Table) -> (String, bool) {
    let name = quoted(&table.label);
    sql.push('\n');
    let Some(create) = &table.create else {
        let columns: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let columns = columns.join(",");
        let _ = writeln!(sql, "CREATE TABLE {name}({columns});");
        return (format!("INSERT INTO {name}({columns})"), false);
    };
    let issued = ddl::create_table(&create.parsed, &table.label);
    let mut options = Vec::new();
    let ddl = &create.parsed;
    options.extend((ddl.without_rowid && issued.sql.contains("PRIMARY KEY")).then_some("WITHOUT ROWID"));
    // ANY stands in STRICT tables only, and is left out.
    let is_typed =
        |kind: &Option<String>| kind.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("ANY"));
    let typed = ddl.columns.iter().all(|column| is_typed(&column.declared_type));
    options.extend((ddl.strict && typed).then_some("STRICT"));
    let changes: Vec<&str> = issued
        .changes
        .iter()
        .map(String::as_str)
        .filter(|change| !options.iter().any(|option| change.starts_with(option)))
        .collect();
    if !changes.is_empty() {
        comment(sql, &format!("{}: {}. As it was:", table.label, changes.join("; ")));
        comment(sql, table.schema.found.as_deref().unwrap_or_default());
    }
    let options = if options.is_empty() { String::new() } else { format!(" {}", options.join(", ")) };
    let _ = writeln!(sql, "{}{options};", issued.sql);
    let mut columns: Vec<String> = issued.columns.iter().map(|(_, column)| quoted(column)).collect();
    let is_taken = |name: &str| issued.columns.iter().any(|(_, column)| column.eq_ignore_ascii_case(name));
    let free = ["rowid", "_rowid_", "oid"].into_iter().find(|name| !is_taken(name));
    let rowid = free.filter(|_| !ddl.without_rowid && ddl.rowid_alias.is_none());
    if let Some(rowid) = rowid {
        columns.insert(0, rowid.to_owned());
    }
    (format!("INSERT INTO {name}({})", columns.join(",")), rowid.is_some())
}

impl Sink for SqlText {
    fn begin(&mut self, story: &Story<'_>) -> Result<(), Error> {
        let mut sql = String::new();
        comment(&mut sql, &format!("{}: {}", story.instance, story.what));
        comment(
            &mut sql,
            "Tables, rows and plain indexes; views, triggers and what else is more than data as comments.",
        );
        sql.push_str("PRAGMA foreign_keys = OFF;\n");
        self.tables = story.tables.iter().map(|_| None).collect();
        self.out.put(sql.as_bytes())
    }

    fn write(&mut self, story: &Story<'_>, weighed: &Weighed<'_>, _: &[u8], least: f64) -> Result<(), Error> {
        let batch = weighed.batch;
        let number = batch.table.0 as usize;
        let Some(table) = story.tables.get(number) else { return Ok(()) };
        let mut sql = String::new();
        if !self.encoded {
            self.encoded = true;
            let _ = writeln!(sql, "PRAGMA encoding = '{}';\nBEGIN;", batch.encoding.name());
        }
        for (row, weight) in batch.rows.iter().zip(&weighed.weights) {
            if row.state != State::Live || weight.confidence < least {
                continue;
            }
            if table.internal {
                counter(&mut self.counters, table, batch.cells_of(row), batch.encoding);
                continue;
            }
            let Some(place) = self.tables.get_mut(number) else { continue };
            let (insert, rowid) = place.get_or_insert_with(|| create(&mut sql, table));
            sql.push_str(insert);
            sql.push_str(" VALUES(");
            let mut first = true;
            if *rowid {
                let _ = match row.rowid {
                    Some(rowid) => write!(sql, "{rowid}"),
                    None => write!(sql, "NULL"),
                };
                first = false;
            }
            for cell in batch.cells_of(row) {
                if !first {
                    sql.push(',');
                }
                first = false;
                put_cell(&mut sql, cell, batch.encoding);
            }
            sql.push_str(");\n");
        }
        self.out.put(sql.as_bytes())
    }

    fn finish(mut self: Box<Self>, story: &Story<'_>, _: &Ending) -> Result<(), Error> {
        let mut sql = String::new();
        if !self.encoded {
            sql.push_str("BEGIN;\n");
        }
        for (table, made) in story.tables.iter().zip(&mut self.tables) {
            // One that was dropped has no rows either.
            if made.is_none() && !table.internal && table.origin == SchemaOrigin::Catalogue {
                *made = Some(create(&mut sql, table));
            }
        }
        let made = story.tables.iter().zip(&self.tables).filter(|(_, made)| made.is_some());
        for (table, _) in made {
            let Some(create) = &table.create else { continue };
            for index in &table.indexes {
                match ddl::create_index(&index.parsed, &create.parsed, &index.name, &table.label) {
                    Ok(issued) => {
                        let _ = writeln!(sql, "{issued};");
                    }
                    Err(why) => {
                        comment(&mut sql, &format!("{}: {why}. As it was:", index.name));
                        comment(&mut sql, &index.found);
                    }
                }
            }
        }
        let counts = |(table, made): (&Table, &Option<_>)| {
            made.is_some() && table.create.as_ref().is_some_and(|create| create.parsed.autoincrement)
        };
        if story.tables.iter().zip(&self.tables).any(counts) {
            sql.push_str(&self.counters);
        }
        for (kind, name, text) in &story.kept_sql {
            comment(&mut sql, &format!("{kind} {name}:"));
            comment(&mut sql, text);
        }
        sql.push_str("COMMIT;\n");
        self.out.put(sql.as_bytes())?;
        self.out.finish()
    }
}

/// Sets what the engine counts keys up with.
fn counter(sql: &mut String, table: &Table, cells: &[Cell<'_>], encoding: TextEncoding) {
    let is_sequence = table.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case("sqlite_sequence"));
    let [Cell::Text(name), Cell::Int(seq)] = cells else { return };
    let Some(name) = encoding.decode(name).filter(|_| is_sequence) else { return };
    let name = literal::text(&name);
    let _ = writeln!(
        sql,
        "DELETE FROM sqlite_sequence WHERE name={name};\nINSERT INTO sqlite_sequence VALUES({name},{seq});"
    );
}
