//! Which tables' deleted rows are written.

use super::recovered::RecoveredTable;
use crate::error::Error;
use mudlark_parsers::sqlite::ddl::{self, Statement};

/// A table, and why it is left out if it is.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub table: RecoveredTable,
    pub left_out: Option<String>,
}

/// Chooses among all tables: those that the user names, or all that can go back without a question.
///
/// # Errors
/// When a name is none of a table.
pub(super) fn choose(
    tables: &[RecoveredTable],
    named: &[String],
    virtual_tables: &[String],
) -> Result<Vec<Chosen>, Error> {
    if named.is_empty() {
        let reason = |table| reason(table, tables, virtual_tables);
        return Ok(tables
            .iter()
            .map(|table| Chosen { table: table.clone(), left_out: reason(table) })
            .collect());
    }
    let mut wanted = vec![false; tables.len()];
    for name in named {
        let is_output = |table: &RecoveredTable| table.output_name.eq_ignore_ascii_case(name);
        let is_original = |table: &RecoveredTable| {
            table.original_name.as_deref().is_some_and(|original| original.eq_ignore_ascii_case(name))
        };
        let found = tables.iter().position(is_output).or_else(|| tables.iter().position(is_original));
        let Some(wanted) = found.and_then(|found| wanted.get_mut(found)) else {
            return Err(Error::Usage(format!("--table {name}: no such table; {}", known(tables))));
        };
        *wanted = true;
    }
    let wanted = tables.iter().zip(wanted).filter(|(_, wanted)| *wanted);
    Ok(wanted.map(|(table, _)| Chosen { table: table.clone(), left_out: of_the_engine(table) }).collect())
}

/// Tables that a message names; a person reads no more.
const MOST_NAMED: usize = 20;

fn known(tables: &[RecoveredTable]) -> String {
    let names: Vec<&str> = tables.iter().take(MOST_NAMED).map(|table| table.output_name.as_str()).collect();
    let more = if tables.len() > MOST_NAMED { ", …" } else { "" };
    format!("there are {}{more}", names.join(", "))
}

fn reason(table: &RecoveredTable, all: &[RecoveredTable], virtual_tables: &[String]) -> Option<String> {
    let named = &table.output_name;
    let Some(original) = &table.original_name else {
        return Some(format!("its name is lost; --table {named} takes it in, under this name"));
    };
    if let Some(reason) = of_the_engine(table) {
        return Some(reason);
    }
    if let Some(of) = virtual_tables.iter().find(|of| is_shadow(original, of)) {
        return Some(format!(
            "it belongs to the virtual table {of}, which keeps it itself; --table {named} takes it in"
        ));
    }
    let same: Vec<&RecoveredTable> = all
        .iter()
        .filter(|other| {
            other.original_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(original))
        })
        .collect();
    let main = same.iter().find(|other| other.output_name == *original).or(same.first());
    if main.is_some_and(|main| main.id != table.id) {
        return Some(format!("an earlier table of the name {original}; --table {named} takes it in"));
    }
    None
}

/// SQLite's own tables can't be written.
fn of_the_engine(table: &RecoveredTable) -> Option<String> {
    let original = table.original_name.as_deref()?;
    let begins = original.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_"));
    begins.then(|| "SQLite keeps it itself".to_owned())
}

/// The names of virtual tables among these statements.
pub(super) fn virtual_tables(statements: &[String]) -> Vec<String> {
    let name = |sql: &String| match ddl::read(sql.as_bytes()) {
        Ok(Statement::VirtualTable { name, .. }) => Some(name),
        _ => None,
    };
    statements.iter().filter_map(name).collect()
}

/// The triggers among these statements that an INSERT fires, each with its table.
pub(super) fn insert_triggers(statements: &[String]) -> Vec<(String, String)> {
    let trigger = |sql: &String| match ddl::read(sql.as_bytes()) {
        Ok(Statement::Trigger { name, table }) => {
            let mut head = sql.split_whitespace().take_while(|word| !word.eq_ignore_ascii_case("BEGIN"));
            head.any(|word| word.eq_ignore_ascii_case("INSERT")).then_some((name, table))
        }
        _ => None,
    };
    statements.iter().filter_map(trigger).collect()
}

/// What the tables of SQLite's own modules end with: fts3, fts4, fts5, rtree and geopoly.
const SHADOWS: [&str; 12] = [
    "content", "segments", "segdir", "docsize", "stat", "data", "idx", "config", "node", "parent", "rowid",
    "instance",
];

/// Whether a table of this name belongs to a virtual table.
pub(crate) fn is_shadow(name: &str, of: &str) -> bool {
    let split = name.split_at_checked(of.len());
    split.is_some_and(|(start, rest)| {
        start.eq_ignore_ascii_case(of)
            && rest.strip_prefix('_').is_some_and(|end| SHADOWS.iter().any(|s| s.eq_ignore_ascii_case(end)))
    })
}
