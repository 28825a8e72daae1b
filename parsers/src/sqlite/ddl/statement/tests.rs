#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::super::index::{IndexField, index_fields, resolve};
use super::super::table::{Generated, TableDdl};
use super::{DdlFault, Statement, read, read_cut};

fn table(sql: &str) -> TableDdl {
    match read(sql.as_bytes()) {
        Ok(Statement::Table(table)) => table,
        other => panic!("{sql}: {other:?}"),
    }
}

fn cut_table(sql: &str) -> TableDdl {
    match read_cut(sql.as_bytes()) {
        Some(Statement::Table(table)) => table,
        other => panic!("{sql}: {other:?}"),
    }
}

fn names(table: &TableDdl) -> Vec<&str> {
    table.columns.iter().map(|column| column.name.as_str()).collect()
}

/// Columns of each unique key, in order.
fn keys(table: &TableDdl) -> Vec<Vec<usize>> {
    table.uniques.iter().map(|key| key.iter().filter_map(|part| part.column).collect()).collect()
}

#[test]
fn names_come_in_four_kinds_of_quotes_and_may_be_keywords() {
    let table =
        table("CREATE TABLE [my table](\"a \"\"b\"\"\" INT, 'c' TEXT, `d\n`, [select], key, ü, \"\")");
    assert_eq!(table.name, "my table");
    assert_eq!(names(&table), ["a \"b\"", "c", "d\n", "select", "key", "ü", ""]);
}

#[test]
fn only_a_type_of_exactly_integer_makes_the_rowid() {
    assert_eq!(table("CREATE TABLE t(a INTEGER PRIMARY KEY)").rowid_alias, Some(0));
    assert_eq!(table("CREATE TABLE t(b, a \"integer\", PRIMARY KEY(A))").rowid_alias, Some(1));
    assert_eq!(table("CREATE TABLE t(a INT PRIMARY KEY)").rowid_alias, None);
    assert_eq!(table("CREATE TABLE t(a INTEGER(4) PRIMARY KEY)").rowid_alias, None);
    assert_eq!(table("CREATE TABLE t(a BIG INTEGER PRIMARY KEY)").rowid_alias, None);
    assert_eq!(table("CREATE TABLE t(a INTEGER, b, PRIMARY KEY(a, b))").rowid_alias, None);
}

#[test]
fn an_integer_primary_key_desc_column_is_not_the_rowid() {
    let of_column = table("CREATE TABLE t(a INTEGER PRIMARY KEY DESC)");
    assert_eq!((of_column.rowid_alias, keys(&of_column)), (None, vec![vec![0]]));
}

#[test]
fn an_integer_primary_key_desc_constraint_of_the_table_is_the_rowid() {
    let of_table = table("CREATE TABLE t(a INTEGER, PRIMARY KEY(a DESC))");
    assert_eq!((of_table.rowid_alias, keys(&of_table)), (Some(0), vec![]));
    assert!(of_table.is_stored_as_null(0));
}

#[test]
fn autoincrement_is_found_in_both_places() {
    assert!(table("CREATE TABLE t(a INTEGER PRIMARY KEY ON CONFLICT FAIL AUTOINCREMENT)").autoincrement);
    assert!(table("CREATE TABLE t(a INTEGER, PRIMARY KEY(a AUTOINCREMENT))").autoincrement);
}

#[test]
fn equal_keys_share_one_index() {
    let merged = table(
        "CREATE TABLE t(a UNIQUE, b, UNIQUE(b, a), PRIMARY KEY(a DESC), UNIQUE(a COLLATE nocase), UNIQUE(b,a))",
    );
    assert_eq!(keys(&merged), [vec![0], vec![1, 0], vec![0]]);
    assert_eq!(merged.primary_key_unique, Some(0));
}

#[test]
fn a_collation_behind_unique_still_counts_for_it() {
    let late = table("CREATE TABLE t(a UNIQUE COLLATE nocase, UNIQUE(a))");
    assert_eq!(keys(&late), [vec![0]]);
    assert_eq!(late.uniques[0][0].collation.as_deref(), Some("nocase"));
}

#[test]
fn a_without_rowid_record_begins_with_the_primary_key() {
    let table = table("CREATE TABLE t(a, b, c AS (a), d, PRIMARY KEY(d, b, d)) WITHOUT ROWID");
    assert_eq!(table.stored_columns(), [3, 1, 0]);
    assert!(table.columns[1].not_null && table.columns[3].not_null && !table.columns[0].not_null);
}

#[test]
fn a_primary_key_may_hold_a_column_under_two_collations() {
    let table = table("CREATE TABLE t(a, b, PRIMARY KEY(b, b COLLATE nocase)) WITHOUT ROWID");
    assert_eq!(table.stored_columns(), [1, 1, 0]);
}

#[test]
fn an_integer_key_without_rowid_counts_as_the_last_index() {
    let table = table("CREATE TABLE t(a INTEGER PRIMARY KEY, b UNIQUE) WITHOUT ROWID");
    assert_eq!((table.rowid_alias, keys(&table)), (None, vec![vec![1], vec![0]]));
    assert_eq!(table.primary_key_unique, Some(1));
}

#[test]
fn virtual_columns_are_not_in_the_record() {
    let table = table("CREATE TABLE t(a, b INT GENERATED ALWAYS AS (a+1) VIRTUAL, c AS (a) STORED)");
    assert_eq!(table.stored_columns(), [0, 2]);
    assert_eq!(table.columns[1].generated, Some(Generated::Virtual));
}

#[test]
fn a_table_of_virtual_columns_only_is_no_table() {
    assert!(matches!(read(b"CREATE TABLE t(a AS (1))"), Err(DdlFault::Syntax { .. })));
    assert_eq!(read_cut(b"CREATE TABLE t(a AS (1))"), None);
}

#[test]
fn the_comma_between_table_constraints_may_be_missing() {
    let table = table(
        "CREATE TABLE t(a, b, CONSTRAINT x UNIQUE(a) CHECK(a) CONSTRAINT y FOREIGN KEY(a) REFERENCES t(b) PRIMARY KEY(b))",
    );
    assert_eq!(keys(&table), [vec![0], vec![1]]);
    assert_eq!((table.checks, table.foreign_keys), (1, 1));
}

#[test]
fn an_index_record_ends_with_the_rowid_or_the_rest_of_the_key() {
    let fields = |table_sql: &str, index_sql: &str| {
        let (table, index) = (table(table_sql), read(index_sql.as_bytes()));
        let Ok(Statement::Index(index)) = index else { panic!("{index:?}") };
        index_fields(&table, &resolve(&index, &table).parts)
    };
    use IndexField::{Column, Expression, Rowid};
    let index = "CREATE UNIQUE INDEX i ON t(b DESC, lower(a), gone)";
    assert_eq!(fields("CREATE TABLE t(a, b)", index), [Column(1), Expression, Expression, Rowid]);
    let keyed = "CREATE TABLE t(a, b, c, PRIMARY KEY(b, c COLLATE nocase)) WITHOUT ROWID";
    assert_eq!(fields(keyed, "CREATE INDEX i ON t(a, b)"), [Column(0), Column(1), Column(2)]);
    assert_eq!(fields(keyed, "CREATE INDEX i ON t(c)"), [Column(2), Column(1), Column(2)]);
    assert_eq!(fields(keyed, "CREATE INDEX i ON t(c COLLATE NOCASE)"), [Column(2), Column(1)]);
}

#[test]
fn an_index_with_a_where_clause_is_partial() {
    let Ok(Statement::Index(index)) = read(b"CREATE INDEX i ON \"t\"(a) WHERE a > 1") else { panic!() };
    assert!(index.partial && !index.unique && index.complete);
    assert_eq!(index.table, "t");
}

#[test]
fn other_objects_give_their_names() {
    let trigger = "CREATE TRIGGER 'g' INSTEAD OF UPDATE OF a, \"on\" ON main.v BEGIN SELECT 1; END";
    assert_eq!(
        read(trigger.as_bytes()),
        Ok(Statement::Trigger { name: "g".to_owned(), table: "v".to_owned() })
    );
    assert_eq!(read(b"CREATE VIEW v(a) AS SELECT 1"), Ok(Statement::View { name: "v".to_owned() }));
    assert_eq!(
        read(b"CREATE VIRTUAL TABLE f USING fts5(a, content='')"),
        Ok(Statement::VirtualTable { name: "f".to_owned(), module: "fts5".to_owned() })
    );
}

#[test]
fn a_text_that_is_no_statement_says_why() {
    assert_eq!(read(b"CREATE TABLE t(a \xff)"), Err(DdlFault::NotUtf8 { at: 17 }));
    assert_eq!(read(b"INSERT INTO t VALUES(1)"), Err(DdlFault::NotCreate));
    assert_eq!(read(b""), Err(DdlFault::NotCreate));
    assert_eq!(read(b"CREATE TABLE t AS SELECT 1 AS a"), Err(DdlFault::AsSelect));
    assert!(matches!(read(b"CREATE TABLE t(a,"), Err(DdlFault::Syntax { .. })));
    assert!(matches!(read(&[b'x'; 1_000_001]), Err(DdlFault::TooLong { length: 1_000_001 })));
    let deep = format!("CREATE TABLE t(a CHECK({}1{}))", "(".repeat(50_000), ")".repeat(50_000));
    assert!(matches!(read(deep.as_bytes()), Err(DdlFault::TooDeep { .. })));
    assert!(cut_table(&deep).complete);
}

#[test]
fn a_name_or_type_at_the_cut_is_not_used() {
    let of = |sql: &str| {
        let table = cut_table(sql);
        assert!(!table.complete);
        let columns = table.columns.into_iter();
        columns.map(|column| (column.name, column.declared_type.unwrap_or_default())).collect::<Vec<_>>()
    };
    let pairs = |list: &[(&str, &str)]| {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(of("CREATE TABLE t(id INTEGER, na"), pairs(&[("id", "INTEGER")]));
    assert_eq!(of("CREATE TABLE t(id INTEGER, name TEX"), pairs(&[("id", "INTEGER"), ("name", "")]));
    assert_eq!(of("CREATE TABLE t(id VARCHAR(1"), pairs(&[("id", "VARCHAR")]));
    assert_eq!(of("CREATE TABLE t(id INTEGER, \"na"), pairs(&[("id", "INTEGER")]));
    assert_eq!(of("CREATE TABLE t(id INTEGER DEFAULT 'x"), pairs(&[("id", "INTEGER")]));
    assert_eq!(read_cut(b"CREATE TABLE t(i"), None);
}

#[test]
fn a_key_whose_end_is_cut_off_is_not_used() {
    let table = cut_table("CREATE TABLE t(a, b, UNIQUE(a), PRIMARY KEY(a, b");
    assert_eq!(keys(&table), [vec![0]]);
    assert!(table.primary_key.is_empty() && !table.complete);
}

#[test]
fn an_option_that_is_cut_makes_the_statement_incomplete() {
    assert!(!cut_table("CREATE TABLE t(a PRIMARY KEY) WITHOUT ROW").complete);
    assert!(!cut_table("CREATE TABLE t(a PRIMARY KEY) STRIC").complete);
    let whole = cut_table("CREATE TABLE t(a PRIMARY KEY) STRICT, WITHOUT ROWID");
    assert!(whole.complete && whole.strict && whole.without_rowid);
}

#[test]
fn damage_inside_leaves_the_other_columns() {
    let mut sql = b"CREATE TABLE t(a INT, b TE\xff\xfe\x01T NOT NULL, c REAL)".to_vec();
    let Some(Statement::Table(table)) = read_cut(&sql) else { panic!() };
    assert_eq!(names(&table), ["a", "b", "c"]);
    assert!(!table.complete && table.columns[1].not_null);
    sql.truncate(28); // inside the damage
    assert!(matches!(read_cut(&sql), Some(Statement::Table(table)) if table.columns.len() == 2));
}

#[test]
fn foreign_keys_name_their_tables_and_columns() {
    let sql = "CREATE TABLE t(a REFERENCES p ON DELETE CASCADE, b, c REFERENCES \"q\"(x),
               FOREIGN KEY (B, a) REFERENCES r(y, z) DEFERRABLE, FOREIGN KEY (nobody) REFERENCES s)";
    let Ok(Statement::Table(table)) = read(sql.as_bytes()) else { panic!("no table") };
    let said: Vec<_> = table
        .references
        .iter()
        .map(|reference| (&reference.columns[..], reference.table.as_str(), reference.parent.join(" ")))
        .collect();
    let expected = [
        (&[0][..], "p", String::new()),
        (&[2][..], "q", "x".to_owned()),
        (&[1, 0][..], "r", "y z".to_owned()),
    ];
    assert_eq!(said, expected);
}
