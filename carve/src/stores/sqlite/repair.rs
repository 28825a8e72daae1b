//! Rows of `sqlite_schema` with flipped bits, mended from what else says the same.

use mudlark_parsers::sqlite::ddl::{self, Statement};
use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow};

/// Characters that may differ between a statement and its damaged copy: bit rot leaves few.
const FEW: usize = 4;

/// The row under the names that two of three places agree on: `name`, `tbl_name`, and the statement.
pub(super) fn with_agreed_name(row: SchemaRow) -> SchemaRow {
    if row.kind != SchemaKind::Table || row.name == row.table {
        return row;
    }
    let stated = row.sql.as_ref().and_then(|sql| statement(sql)).and_then(|statement| match statement {
        Statement::Table(table) => Some(table.name),
        _ => None,
    });
    match stated {
        Some(name) if name == row.table || name == row.name => SchemaRow { table: name.clone(), name, ..row },
        _ => row,
    }
}

/// Whether a row's statement does not read to its end.
pub(super) fn is_broken(row: &SchemaRow) -> bool {
    let kept = matches!(row.kind, SchemaKind::View | SchemaKind::Trigger);
    row.sql.as_ref().is_some_and(|sql| !kept && ddl::read(sql.as_bytes()).is_err())
}

/// Whether two rows are of one object.
pub(super) fn is_same(a: &SchemaRow, b: &SchemaRow) -> bool {
    a.kind == b.kind && a.name == b.name
}

/// Whether a row found in the file is a damaged copy of the one that the user gives; one of another name only where none
/// of this name was found.
pub(super) fn is_damaged(found: &SchemaRow, given: &SchemaRow, is_new: bool) -> bool {
    let (Some(sql), Some(other)) = (&found.sql, &given.sql) else { return false };
    let (sql, other) = (sql.trim_end_matches(';'), other.trim_end().trim_end_matches(';'));
    let same = is_same(found, given);
    if found.kind != given.kind || sql == other && same || !same && !is_new {
        return false;
    }
    differing(sql, other).is_some() || same && is_broken(found)
}

/// Whether a definition of a table is from before columns were added that another one has.
pub(super) fn is_outgrown(old: &SchemaRow, new: &SchemaRow) -> bool {
    let table = |row: &SchemaRow| match row.sql.as_ref().and_then(|sql| ddl::read(sql.as_bytes()).ok()) {
        Some(Statement::Table(table)) => Some(table),
        _ => None,
    };
    let (true, Some(old), Some(new)) = (is_same(old, new), table(old), table(new)) else { return false };
    let mut names = old.columns.iter().zip(&new.columns).map(|(old, new)| old.name == new.name);
    old.without_rowid == new.without_rowid && old.columns.len() < new.columns.len() && names.all(|same| same)
}

/// The characters in which two texts of as many differ, each with the other, where they are few. In UTF-16 a flipped bit
/// makes a character of another length in UTF-8.
fn differing(one: &str, other: &str) -> Option<Vec<(char, char)>> {
    let pairs = one.chars().zip(other.chars()).filter(|(a, b)| a != b);
    let differing: Vec<(char, char)> = pairs.take(FEW + 1).collect();
    (differing.len() <= FEW && one.chars().count() == other.chars().count()).then_some(differing)
}

/// Whether two rows are one, in few characters of which bits were flipped. Another name stands at all three places.
pub(super) fn differ_by_flips(one: &SchemaRow, other: &SchemaRow) -> bool {
    let text = |row: &SchemaRow| {
        let sql = row.sql.as_deref().unwrap_or_default();
        [&row.name, "\0", &row.table, "\0", sql].concat()
    };
    let is_consistent = |row: &SchemaRow| row.sql.as_ref().is_some_and(|sql| sql.contains(&row.name));
    let is_renamed = one.name != other.name && is_consistent(one) && is_consistent(other);
    let differing = differing(&text(one), &text(other));
    one.kind == other.kind
        && !is_renamed
        && differing.is_some_and(|pairs| pairs.iter().all(|(a, b)| is_flipped(*a, *b)))
}

/// Whether a flipped bit makes one character of another, or of any one that is none.
fn is_flipped(a: char, b: char) -> bool {
    let unread = char::REPLACEMENT_CHARACTER;
    (u32::from(a) ^ u32::from(b)).count_ones() == 1 || a == unread || b == unread
}

fn statement(sql: &str) -> Option<Statement> {
    ddl::read(sql.as_bytes()).ok().or_else(|| ddl::read_cut(sql.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::{differ_by_flips, is_damaged};
    use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow};

    fn row(sql: &str) -> SchemaRow {
        let (name, sql) = ("t".to_owned(), Some(sql.to_owned()));
        SchemaRow { kind: SchemaKind::Table, table: name.clone(), name, root: Some(2), sql }
    }

    #[test]
    fn letters_that_flipped_bits_made_longer_leave_a_statement_a_copy_of_the_one_that_is_given() {
        let given = row("CREATE TABLE t(member_id INTEGER PRIMARY KEY, code TEXT)");
        let flipped = row("CREATE TABLE t(m\u{465}mber_id INTEGER PRIMARY KEY, cod\u{4065} TEXT)");
        assert!(is_damaged(&flipped, &given, false));
        assert!(!is_damaged(&row("CREATE TABLE t(other, columns, altogether)"), &given, false));
    }

    #[test]
    fn rows_with_a_flipped_bit_are_one_and_tables_of_other_names_are_not() {
        let sql = "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT)";
        let flipped = SchemaRow { name: "\u{fffd}".to_owned(), ..row(sql) };
        assert!(differ_by_flips(&row(sql), &flipped));
        assert!(differ_by_flips(&row(sql), &row("CREATE TABLE t(id INTEGER PRIMARY KEY, bode TEXT)")));
        assert!(!differ_by_flips(&row(sql), &row("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT)")));
        let renamed =
            SchemaRow { name: "u".to_owned(), table: "u".to_owned(), ..row(&sql.replace("t(", "u(")) };
        assert!(!differ_by_flips(&row(sql), &renamed));
    }
}
