//! Definitions that the user gives: what can be read of them.

use crate::stores::{SchemaRead, Unreadable};
use mudlark_parsers::sqlite::ddl::{self, Statement};

/// Statements of dumps that define nothing; what they do is of no use here.
const NO_DEFINITIONS: [&str; 17] = [
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "DELETE",
    "DROP",
    "END",
    "INSERT",
    "LOCK",
    "PRAGMA",
    "RELEASE",
    "REPLACE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "SET",
    "UNLOCK",
    "UPDATE",
];

/// Characters of a statement that a message shows.
const SHOWN: usize = 60;

/// Reads a script of definitions.
pub(super) fn read(script: &str) -> SchemaRead {
    let mut found = SchemaRead::default();
    for statement in ddl::split_statements(script) {
        match ddl::read(statement.as_bytes()) {
            Ok(Statement::Table(table)) if !table.columns.is_empty() => found.tables += 1,
            Ok(Statement::Table(_)) => {
                found.unreadable.push(unreadable(script, statement, "it has no columns"))
            }
            Ok(_) => {}
            Err(_) if defines_nothing(statement) => {}
            Err(fault) => found.unreadable.push(unreadable(script, statement, &fault.to_string())),
        }
    }
    found
}

fn defines_nothing(statement: &str) -> bool {
    let word = statement.split(|c: char| !c.is_ascii_alphabetic()).next().unwrap_or_default();
    NO_DEFINITIONS.iter().any(|other| other.eq_ignore_ascii_case(word))
}

fn unreadable(script: &str, statement: &str, why: &str) -> Unreadable {
    let start = (statement.as_ptr() as usize).saturating_sub(script.as_ptr() as usize);
    let line = script.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
    let words: Vec<&str> = statement.split_whitespace().collect();
    let words = words.join(" ");
    let mut text: String = words.chars().take(SHOWN).collect();
    if text.len() < words.len() {
        text.push('…');
    }
    Unreadable { line, text, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_dump_is_read_for_its_tables_and_what_defines_nothing_is_passed_over() {
        let found = read(
            "PRAGMA foreign_keys=OFF; BEGIN TRANSACTION;\nCREATE TABLE t(a);\nINSERT INTO t VALUES(1);COMMIT;",
        );
        assert_eq!((found.tables, found.unreadable.len()), (1, 0));
    }

    #[test]
    fn a_statement_that_can_not_be_read_is_told_with_its_line() {
        let found = read("CREATE TABLE t(a);\n\nCREATE TABLE u(b,,);\nALTER TABLE t ADD COLUMN c");
        let lines: Vec<usize> = found.unreadable.iter().map(|statement| statement.line).collect();
        assert_eq!((found.tables, lines), (1, vec![3, 4]));
        assert_eq!(found.unreadable[0].text, "CREATE TABLE u(b,,)");
    }
}
