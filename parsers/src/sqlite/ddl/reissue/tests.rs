#![allow(clippy::panic)]

use super::super::index::resolve;
use super::super::statement::{Statement, read, read_cut};
use super::super::table::TableDdl;
use super::{Reissued, create_index, create_table};

fn table(sql: &str) -> TableDdl {
    match read(sql.as_bytes()) {
        Ok(Statement::Table(table)) => table,
        other => panic!("{sql}: {other:?}"),
    }
}

fn reissued(sql: &str) -> Reissued {
    create_table(&table(sql), "out")
}

/// The statement on one line.
fn line(reissued: &Reissued) -> String {
    reissued.sql.replace("\n  ", "").replace('\n', "")
}

#[test]
fn a_plain_table_is_written_anew_unchanged() {
    let plain = reissued(
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, n VARCHAR(10) NOT NULL DEFAULT 'it''s' COLLATE nocase, x, UNIQUE(n, x DESC))",
    );
    assert_eq!(
        line(&plain),
        "CREATE TABLE \"out\" (\"id\" INTEGER PRIMARY KEY AUTOINCREMENT,\"n\" VARCHAR(10) NOT NULL DEFAULT 'it''s' COLLATE NOCASE,\"x\",UNIQUE (\"n\", \"x\" DESC))"
    );
    assert_eq!(plain.changes, [""; 0]);
}

#[test]
fn a_key_of_damaged_text_that_has_no_columns_is_not_written_anew() {
    for sql in
        ["CREATE TABLE t(x, y, UNIQUE() COHLATE RTRIM)", "CREATE TABLE t(x, y, PRIMARY KEY(), UNIQUE(y)"]
    {
        let Some(Statement::Table(damaged)) = read_cut(sql.as_bytes()) else { panic!("{sql}") };
        let anew = create_table(&damaged, "out");
        assert!(read(anew.sql.as_bytes()).is_ok(), "{}", anew.sql);
        assert!(!damaged.complete && damaged.uniques.iter().all(|key| !key.is_empty()));
    }
}

#[test]
fn each_thing_left_out_is_named() {
    let changed = reissued(
        "CREATE TABLE t(a INT CHECK(a>0) REFERENCES p, b DEFAULT (random()), c COLLATE german UNIQUE, d AS (a), e AS (a) STORED, CHECK(b), FOREIGN KEY(a) REFERENCES p(x), UNIQUE(d))",
    );
    assert_eq!(line(&changed), "CREATE TABLE \"out\" (\"a\" INT,\"b\",\"c\",\"e\",UNIQUE (\"c\"))");
    assert_eq!(
        changed.changes,
        [
            "\"d\": virtual generated column left out",
            "\"a\": CHECK left out",
            "\"a\": REFERENCES left out",
            "\"b\": DEFAULT (random()) left out",
            "\"c\": unknown collation \"german\" left out",
            "\"e\": stored generated column made a plain one",
            "UNIQUE: left out, it needs a column that is not in the output",
            "CHECK of the table left out",
            "FOREIGN KEY of the table left out",
        ]
    );
    let names: Vec<_> = changed.columns.iter().map(|(index, name)| (*index, name.as_str())).collect();
    assert_eq!(names, [(0, "a"), (1, "b"), (2, "c"), (4, "e")]);
}

#[test]
fn a_key_that_was_not_the_rowid_doesn_t_become_it() {
    let desc = reissued("CREATE TABLE t(a INTEGER PRIMARY KEY DESC)");
    assert_eq!(line(&desc), "CREATE TABLE \"out\" (\"a\" INTEGER PRIMARY KEY DESC)");
    let keyed = reissued("CREATE TABLE t(a INTEGER PRIMARY KEY, b) WITHOUT ROWID");
    assert_eq!(line(&keyed), "CREATE TABLE \"out\" (\"a\" INTEGER PRIMARY KEY DESC NOT NULL,\"b\")");
    assert!(keyed.changes.contains(&"WITHOUT ROWID left out".to_owned()));
}

#[test]
fn any_loses_its_meaning_with_strict() {
    let strict = reissued("CREATE TABLE t(a ANY, b INT) STRICT");
    assert_eq!(line(&strict), "CREATE TABLE \"out\" (\"a\",\"b\" INT)");
}

#[test]
fn a_second_column_of_a_name_gets_a_number() {
    let Some(Statement::Table(table)) = read_cut(b"CREATE TABLE t(a, A, a_2") else { panic!() };
    let twice = create_table(&table, "out");
    assert_eq!(line(&twice), "CREATE TABLE \"out\" (\"a\",\"A_2\")");
}

#[test]
fn text_from_the_evidence_stays_inside_its_quotes() {
    let sly = reissued("CREATE TABLE t(\"a\"\"); DROP\" \"INT); DROP TABLE x; --\" DEFAULT \"');--\")");
    assert_eq!(
        line(&sly),
        "CREATE TABLE \"out\" (\"a\"\"); DROP\" \"INT); DROP TABLE x; --\" DEFAULT ''');--')"
    );
}

#[test]
fn only_plain_indexes_are_written_anew() {
    let table = table("CREATE TABLE t(a COLLATE nocase, b, c AS (a), d COLLATE german)");
    let index = |sql: &str| match read(sql.as_bytes()) {
        Ok(Statement::Index(raw)) => create_index(&resolve(&raw, &table), &table, "i", "out"),
        other => panic!("{sql}: {other:?}"),
    };
    assert_eq!(
        index("CREATE UNIQUE INDEX x ON t(a, b COLLATE rtrim DESC, a COLLATE binary)").as_deref(),
        Ok("CREATE UNIQUE INDEX \"i\" ON \"out\" (\"a\", \"b\" COLLATE RTRIM DESC, \"a\" COLLATE BINARY)")
    );
    for refused in
        ["x ON t(lower(a))", "x ON t(a) WHERE a > 1", "x ON t(c)", "x ON t(d)", "x ON t(a COLLATE german)"]
    {
        assert!(index(&format!("CREATE INDEX {refused}")).is_err(), "{refused}");
    }
}
