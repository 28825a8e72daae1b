//! A plain CREATE TABLE written anew.
//!
//! Only names, types and constants are taken over from the evidence, each quoted; nothing that SQLite would compute.

use std::collections::{HashMap, HashSet};

use super::quote::quote_identifier;
use super::table::{Generated, TableDdl};

mod column;
mod index;

use column::{column_key, column_line, key_part, known_collation};
pub use index::create_index;

/// A CREATE TABLE written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reissued {
    /// The statement.
    pub sql: String,
    /// Each column of the output, as the column of the original and the name it got.
    pub columns: Vec<(usize, String)>,
    /// What was changed, one sentence each, in the order of the original.
    pub changes: Vec<String>,
}

/// Writes a CREATE TABLE for the table's rows: types, NOT NULL, keys, constant defaults and the collations every
/// SQLite knows stay, all else is left out and named in [`Reissued::changes`]. Rows that break NOT NULL or a key, as
/// damaged files hold them, don't fit.
#[must_use]
pub fn create_table(table: &TableDdl, output_name: &str) -> Reissued {
    let mut writer = Writer { table, columns: Vec::new(), changes: Vec::new() };
    let mut lines = writer.columns();
    lines.extend(writer.keys());
    writer.table_changes();
    Reissued {
        sql: format!("CREATE TABLE {} (\n  {}\n)", quote_identifier(output_name), lines.join(",\n  ")),
        columns: writer.columns,
        changes: writer.changes,
    }
}

struct Writer<'a> {
    table: &'a TableDdl,
    columns: Vec<(usize, String)>,
    changes: Vec<String>,
}

impl Writer<'_> {
    fn columns(&mut self) -> Vec<String> {
        self.columns = output_names(self.table);
        for column in &self.table.columns {
            if column.generated == Some(Generated::Virtual) {
                self.changes
                    .push(format!("{}: virtual generated column left out", quote_identifier(&column.name)));
            }
        }
        let mut lines = Vec::new();
        for (index, name) in &self.columns {
            if let Some(column) = self.table.columns.get(*index) {
                lines.push(column_line(self.table, *index, column, name, &mut self.changes));
            }
        }
        lines
    }

    fn keys(&mut self) -> Vec<String> {
        let table = self.table;
        let mut lines = Vec::new();
        for (place, parts) in table.uniques.iter().enumerate() {
            let primary = table.primary_key_unique == Some(place);
            let what = if primary { "PRIMARY KEY" } else { "UNIQUE" };
            let mut written = Vec::new();
            for part in parts {
                let column = part.column.and_then(|column| Some((column, table.columns.get(column)?)));
                let Some((_, name)) =
                    self.columns.iter().find(|(original, _)| Some(*original) == part.column)
                else {
                    break;
                };
                let Some((_, column)) = column else { break };
                if let Some(collation) =
                    part.collation.as_deref().filter(|name| known_collation(name).is_none())
                    && column.collation.as_deref() != Some(collation)
                {
                    self.changes
                        .push(format!("{what}: unknown collation {} left out", quote_identifier(collation)));
                }
                written.push(key_part(name, column, part));
            }
            if written.len() < parts.len() {
                self.changes.push(format!("{what}: left out, it needs a column that is not in the output"));
            } else if !(primary && column_key(table)) {
                lines.push(format!("{what} ({})", written.join(", ")));
            }
        }
        lines
    }

    fn table_changes(&mut self) {
        let table = self.table;
        let mut change = |here: bool, what: &str| {
            if here {
                self.changes.push(what.to_owned());
            }
        };
        change(table.checks > 0, "CHECK of the table left out");
        change(table.foreign_keys > 0, "FOREIGN KEY of the table left out");
        change(table.conflict_clause, "ON CONFLICT left out");
        change(table.without_rowid, "WITHOUT ROWID left out");
        change(table.strict, "STRICT left out");
        change(!table.complete, "the statement was not whole: columns or constraints may be missing");
    }
}

/// Columns of the output and their names. Damaged text can name two alike: the later one gets a number.
fn output_names(table: &TableDdl) -> Vec<(usize, String)> {
    let mut taken: HashSet<String> =
        table.columns.iter().map(|column| column.name.to_ascii_lowercase()).collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut names = Vec::new();
    for (index, column) in table.columns.iter().enumerate() {
        if column.generated == Some(Generated::Virtual) {
            continue;
        }
        let mut name = column.name.replace('\0', "\u{fffd}");
        let times = seen.entry(name.to_ascii_lowercase()).or_insert(0);
        *times += 1;
        while *times > 1 {
            let candidate = format!("{}_{times}", column.name);
            if taken.insert(candidate.to_ascii_lowercase()) {
                name = candidate;
                break;
            }
            *times += 1;
        }
        names.push((index, name));
    }
    names
}

#[cfg(test)]
mod tests;
