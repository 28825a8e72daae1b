//! Does the SQL that `undelete` writes bring deleted rows back, and touch nothing else?

use crate::support::{Done, Ran, dump, folder, mudlark, rows, small_store, snapshot, store};
use mudlark_fixtures::sqlite::schema::quoted;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A recovered store in which rows have been turned into deleted ones.
struct Case {
    folder: TempDir,
    sql: String,
}

impl Case {
    /// A store made by these statements, recovered.
    fn new(sql: &str) -> Done<Self> {
        let case = Self { folder: folder()?, sql: sql.to_owned() };
        let path = case.folder.path().join("store.db");
        store(&path, sql)?;
        let ran = mudlark([
            "recover",
            &case.path("store.db"),
            "-o",
            &case.path("out.db"),
            "--min-confidence",
            "0",
        ])?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        Ok(case)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn output(&self) -> Done<Connection> {
        Ok(Connection::open(self.path("out.db"))?)
    }

    /// Turns live rows of the output into deleted ones.
    fn delete(&self, table: &str, condition: &str) -> Done {
        let output = self.output()?;
        let found = "SELECT table_id, rest_table FROM mudlark_table WHERE output_name = ?";
        let (id, rest): (i64, String) =
            output.query_row(found, [table], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let at: Vec<i64> = output
            .prepare(&format!("SELECT _rowid_ FROM {} WHERE {condition}", quoted(table)))?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        assert!(!at.is_empty(), "{table} {condition}");
        for at in at {
            output.execute(
                &format!("INSERT INTO {rest} SELECT NULL, * FROM {} WHERE _rowid_ = {at}", quoted(table)),
                [],
            )?;
            output.execute(
                "UPDATE mudlark_version SET state = 'deleted', stored_in = 'rest', stored_at = ?, confidence = 0.9
                 WHERE table_id = ? AND stored_in = 'table' AND stored_at = ?",
                [output.last_insert_rowid(), id, at],
            )?;
            output.execute(&format!("DELETE FROM {} WHERE _rowid_ = {at}", quoted(table)), [])?;
        }
        Ok(())
    }

    fn undelete(&self, further: &[&str]) -> Done<Ran> {
        let (out, sql) = (self.path("out.db"), self.path("restore.sql"));
        mudlark(["undelete", &out, "-o", &sql, "--force"].iter().chain(further))
    }

    /// The SQL that is written.
    fn script(&self, further: &[&str]) -> Done<String> {
        let ran = self.undelete(further)?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        Ok(fs::read_to_string(self.path("restore.sql"))?)
    }

    /// The database as it stands today: the store, and these statements after it.
    fn current(&self, since: &str) -> Done<Connection> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA foreign_keys = OFF")?;
        connection.execute_batch(&self.sql)?;
        connection.execute_batch(since)?;
        Ok(connection)
    }
}

const SHOP: &str = "
    CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT UNIQUE COLLATE NOCASE);
    CREATE TABLE orders(no TEXT PRIMARY KEY, customer INTEGER REFERENCES customers(id), total REAL) WITHOUT ROWID;
    INSERT INTO customers VALUES (1, 'Li Wei', 'li@x'), (2, 'Ada', 'ada@x'), (3, 'Grace', 'grace@x');
    INSERT INTO orders VALUES ('a', 1, 5), ('b', 2, 0.1), ('c', 2, 7.25);";

#[test]
fn deleted_rows_come_back_and_a_second_run_adds_nothing() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id = 2")?;
    case.delete("orders", "customer = 2")?;
    let script = case.script(&[])?;
    let whole = dump(&case.current("")?)?;
    let current =
        case.current("DELETE FROM orders WHERE customer = 2; DELETE FROM customers WHERE id = 2")?;
    current.execute_batch(&script)?;
    assert_eq!(dump(&current)?, whole);
    current.execute_batch(&script)?;
    assert_eq!(dump(&current)?, whole, "the second run adds nothing");
    let untouched = case.current("")?;
    untouched.execute_batch(&script)?;
    assert_eq!(dump(&untouched)?, whole, "rows that are there are not added");
    Ok(())
}

#[test]
fn the_summary_and_the_header_say_how_many_rows_of_which_tables() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id = 2")?;
    case.delete("orders", "customer = 2")?;
    let ran = case.undelete(&[])?;
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), ""));
    assert!(ran.err.contains("  customers  1 row\n"), "{}", ran.err);
    assert!(ran.err.contains("  orders     2 rows\n"), "{}", ran.err);
    assert!(ran.err.contains("restore.sql: 3 rows of 2 tables\n"), "{}", ran.err);
    let script = fs::read_to_string(case.path("restore.sql"))?;
    assert!(script.starts_with("-- 3 deleted rows of 2 tables, "), "{script}");
    assert!(script.contains("--   customers: 1 row\n"), "{script}");
    let quiet = case.undelete(&["--quiet"])?;
    assert_eq!((quiet.out.as_str(), quiet.err.as_str()), ("", ""));
    let piped = mudlark(["undelete", &case.path("out.db"), "-o", "-"])?;
    assert_eq!((piped.status, piped.out), (Some(0), script));
    Ok(())
}

#[test]
fn a_row_whose_key_is_taken_is_skipped_and_the_others_come_back() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id >= 1")?;
    let since = "DELETE FROM customers;
        INSERT INTO customers VALUES (1, 'a new one', 'new@x'), (9, 'Ada again', 'ADA@X')";
    let current = case.current(since)?;
    current.execute_batch(&case.script(&[])?)?;
    let expected =
        [json!([1, "a new one", "new@x"]), json!([3, "Grace", "grace@x"]), json!([9, "Ada again", "ADA@X"])];
    assert_eq!(rows(&current, "SELECT * FROM customers ORDER BY id")?, expected);
    Ok(())
}

#[test]
fn a_unique_index_that_is_newer_than_the_evidence_skips_the_row_and_never_replaces_one() -> Done {
    let case =
        Case::new("CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 2, 3), (4, 5, 6)")?;
    case.delete("t", "id >= 1")?;
    let script = case.script(&[])?;
    let current = Connection::open_in_memory()?;
    current.execute_batch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY ON CONFLICT REPLACE, a UNIQUE ON CONFLICT REPLACE, b);
         CREATE UNIQUE INDEX part ON t(b) WHERE b > 0; INSERT INTO t VALUES (7, 2, 'old'), (8, 8, 6)",
    )?;
    let before = dump(&current)?;
    current.execute_batch(&script)?;
    assert_eq!(dump(&current)?, before);
    Ok(())
}

#[test]
fn a_trigger_fires_for_rows_that_are_added_and_for_no_others() -> Done {
    let case = Case::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE TABLE log(line);
         CREATE TRIGGER early BEFORE INSERT ON t BEGIN INSERT INTO log VALUES ('before ' || new.id); END;
         CREATE TRIGGER late AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('after ' || new.id); END;
         INSERT INTO t VALUES (1, 'x'), (2, 'y'); DELETE FROM log",
    )?;
    case.delete("t", "id >= 1")?;
    let script = case.script(&["--table", "t"])?;
    assert!(script.contains("--   early on t\n") && script.contains("--   late on t\n"), "{script}");
    let current = case.current("DELETE FROM t WHERE id = 2")?;
    current.execute_batch(&script)?;
    assert_eq!(rows(&current, "SELECT line FROM log")?, [json!(["before 2"]), json!(["after 2"])]);
    Ok(())
}

#[test]
fn foreign_keys_hold_whatever_the_order_of_the_tables() -> Done {
    let case = Case::new(
        "CREATE TABLE child(id INTEGER PRIMARY KEY, of INTEGER REFERENCES parent(id), boss REFERENCES child(id));
         CREATE TABLE parent(id INTEGER PRIMARY KEY);
         INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1, 2), (2, 1, NULL)",
    )?;
    case.delete("child", "id >= 1")?;
    case.delete("parent", "id >= 1")?;
    let current = case.current("DELETE FROM child; DELETE FROM parent; PRAGMA foreign_keys = ON")?;
    current.execute_batch(&case.script(&[])?)?;
    assert_eq!(dump(&current)?, dump(&case.current("")?)?);
    assert_eq!(rows(&current, "PRAGMA foreign_key_check")?, [Json::Null; 0]);
    Ok(())
}

#[test]
fn a_row_whose_parent_is_gone_is_skipped_where_foreign_keys_are_enforced() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("orders", "no >= 'a'")?;
    let script = case.script(&[])?;
    for (enforced, expected) in [("ON", 1), ("OFF", 3)] {
        let since = format!(
            "DELETE FROM orders; DELETE FROM customers WHERE id = 2; PRAGMA foreign_keys = {enforced}"
        );
        let current = case.current(&since)?;
        current.execute_batch(&script)?;
        assert_eq!(rows(&current, "SELECT count(*) FROM orders")?, [json!([expected])], "{enforced}");
    }
    Ok(())
}

#[test]
fn rows_without_a_key_are_told_by_all_their_cells_and_equal_ones_are_counted() -> Done {
    let case = Case::new(
        "CREATE TABLE t(a, b TEXT COLLATE NOCASE);
         INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, NULL), (2, 'y'), (3, 'Z')",
    )?;
    case.delete("t", "1")?;
    let script = case.script(&[])?;
    let current = case.current("DELETE FROM t; INSERT INTO t VALUES (2, 'y'), (3, 'z')")?;
    for _ in 0..2 {
        current.execute_batch(&script)?;
        let found = rows(&current, "SELECT a, b FROM t ORDER BY a, b COLLATE BINARY")?;
        let expected = [
            json!([null, null]),
            json!([1, "x"]),
            json!([1, "x"]),
            json!([2, "y"]),
            json!([3, "Z"]),
            json!([3, "z"]),
        ];
        assert_eq!(found, expected);
    }
    Ok(())
}

#[test]
fn a_key_with_a_null_tells_nothing_so_all_cells_do() -> Done {
    let case = Case::new("CREATE TABLE t(k TEXT PRIMARY KEY, a); INSERT INTO t VALUES (NULL, 1), (NULL, 2)")?;
    case.delete("t", "1")?;
    let current = case.current("DELETE FROM t WHERE a = 2")?;
    for _ in 0..2 {
        current.execute_batch(&case.script(&[])?)?;
        assert_eq!(rows(&current, "SELECT a FROM t ORDER BY a")?, [json!([1]), json!([2])]);
    }
    Ok(())
}

#[test]
fn a_hidden_row_id_is_restored_where_it_is_free() -> Done {
    let case = Case::new("CREATE TABLE t(a); INSERT INTO t(rowid, a) VALUES (5, 'x'), (7, 'y'), (-3, 'z')")?;
    case.delete("t", "1")?;
    let current = case.current("DELETE FROM t; INSERT INTO t(rowid, a) VALUES (7, 'new')")?;
    for _ in 0..2 {
        current.execute_batch(&case.script(&[])?)?;
        let found = rows(&current, "SELECT rowid, a FROM t ORDER BY rowid")?;
        assert_eq!(found, [json!([-3, "z"]), json!([5, "x"]), json!([7, "new"]), json!([8, "y"])]);
    }
    Ok(())
}

#[test]
fn a_column_that_is_called_rowid_is_a_column() -> Done {
    let case = Case::new("CREATE TABLE t(rowid TEXT, oid, a); INSERT INTO t VALUES ('one', 2, 3)")?;
    case.delete("t", "1")?;
    let current = case.current("DELETE FROM t")?;
    current.execute_batch(&case.script(&[])?)?;
    assert_eq!(rows(&current, "SELECT * FROM t")?, [json!(["one", 2, 3])]);
    Ok(())
}

#[test]
fn every_value_comes_back_to_the_last_bit() -> Done {
    let values = "(1, 0.1 + 0.2), (2, 9e999), (3, -9e999), (4, 5e-324), (5, 9007199254740993),
        (6, -9223372036854775808), (7, x'00ff'), (8, 'it''s \"odd\"' || char(13, 10, 0, 27) || 'x'),
        (9, CAST(x'ff41' AS TEXT)), (10, ''), (11, x''), (12, NULL), (13, 123456.789e-11), (14, 1e300),
        (15, zeroblob(300000)), (16, 5.0), (17, 193706846340233e-16), (18, '; DROP TABLE t; --')";
    for (encoding, rows) in [("UTF-8", 18), ("UTF-16le", 17)] {
        let case = Case::new(&format!(
            "PRAGMA encoding = '{encoding}'; CREATE TABLE t(id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES {values}"
        ))?;
        if encoding == "UTF-16le" {
            // Bytes that are no UTF-16 become a BLOB in the recovered database.
            let output = case.output()?;
            output.execute_batch("UPDATE t SET a = x'ff41' WHERE id = 9; UPDATE mudlark_version SET claims = claims | 1 << 17 WHERE version = 9")?;
        }
        case.delete("t", "1")?;
        let script = case.script(&[])?;
        assert_eq!(script.matches("\nINSERT INTO main.").count(), rows, "{encoding}");
        let wanted = case.current(if rows == 17 { "DELETE FROM t WHERE id = 9" } else { "" })?;
        let current = case.current("DELETE FROM t")?;
        current.execute_batch(&script)?;
        let exact =
            "SELECT id, typeof(a), CASE typeof(a) WHEN 'text' THEN hex(a) ELSE a END FROM t ORDER BY id";
        assert_eq!(
            crate::support::rows(&current, exact)?,
            crate::support::rows(&wanted, exact)?,
            "{encoding}"
        );
        let bits = |connection: &Connection| -> Done<Vec<u64>> {
            let mut found = connection.prepare("SELECT a FROM t WHERE typeof(a) = 'real' ORDER BY id")?;
            let found = found.query_map([], |row| Ok(row.get::<_, f64>(0)?.to_bits()))?;
            Ok(found.collect::<Result<_, _>>()?)
        };
        assert_eq!(bits(&current)?, bits(&wanted)?);
    }
    Ok(())
}

#[test]
fn odd_names_and_generated_columns_are_no_hindrance() -> Done {
    let case = Case::new(
        "CREATE TABLE \"a\"\"b; DROP -- '\"(\"c\"\"\n,d\" INTEGER PRIMARY KEY, \"select\" TEXT UNIQUE, \"column1\",
           g AS (\"column1\" * 2), s AS (\"column1\" * 3) STORED);
         INSERT INTO \"a\"\"b; DROP -- '\" VALUES (1, 'x', 7), (2, NULL, 8)",
    )?;
    case.delete("a\"b; DROP -- '", "1")?;
    let script = case.script(&[])?;
    let current = case.current("DELETE FROM \"a\"\"b; DROP -- '\"")?;
    for _ in 0..2 {
        current.execute_batch(&script)?;
        assert_eq!(dump(&current)?, dump(&case.current("")?)?);
    }
    Ok(())
}

#[test]
fn rows_in_part_and_unsure_ones_are_counted_and_not_written() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id >= 1")?;
    let output = case.output()?;
    output.execute_batch(
        "UPDATE mudlark_version SET missing = '[\"name\"]' WHERE table_id = 1 AND rowid_found = 1;
         UPDATE mudlark_version SET confidence = 0.3 WHERE table_id = 1 AND rowid_found = 2;
         UPDATE mudlark_version SET missing = '[\"id\"]' WHERE table_id = 1 AND rowid_found = 3;
         UPDATE mudlark_rest_1 SET id = NULL WHERE id = 3",
    )?;
    let ran = case.undelete(&[])?;
    let said = "customers  1 row (left out: 1 row in part, 1 row below confidence 0.5)\n";
    assert!(ran.err.contains(said), "{}", ran.err);
    let current = case.current("DELETE FROM customers")?;
    current.execute_batch(&fs::read_to_string(case.path("restore.sql"))?)?;
    assert_eq!(rows(&current, "SELECT * FROM customers")?, [json!([3, "Grace", "grace@x"])]);
    assert!(case.script(&["--min-confidence", "0.2"])?.contains("'Ada'"));
    Ok(())
}

#[test]
fn nothing_is_added_when_a_table_is_not_there_even_by_a_client_that_goes_on() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id = 2")?;
    case.delete("orders", "customer = 2")?;
    let script = case.script(&[])?;
    for since in [
        "DROP TABLE orders",
        "ALTER TABLE orders RENAME COLUMN total TO sum",
        "ALTER TABLE orders RENAME TO o; CREATE VIEW orders AS SELECT * FROM o",
    ] {
        let current = case.current(&format!("DELETE FROM customers WHERE id = 2; {since}"))?;
        let before = dump(&current)?;
        let mut failed = 0;
        for statement in script.split_inclusive(";\n") {
            failed += i32::from(current.execute_batch(statement).is_err());
        }
        assert!(failed > 0, "{since}");
        assert_eq!(dump(&current)?, before, "{since}");
    }
    let current = case.current("DELETE FROM customers WHERE id = 2; DROP TABLE orders")?;
    current.execute_batch(&case.script(&["--table", "customers"])?)?;
    assert_eq!(rows(&current, "SELECT count(*) FROM customers")?, [json!([3])]);
    Ok(())
}

#[test]
fn tables_that_sqlite_or_a_module_keeps_and_tables_without_a_name_are_left_out() -> Done {
    let case = Case::new(
        "CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('hello');
         CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t(a) VALUES ('x')",
    )?;
    case.delete("words_content", "1")?;
    case.delete("_sqlite_sequence", "1")?;
    case.delete("t", "1")?;
    case.output()?.execute_batch("UPDATE mudlark_table SET original_name = NULL WHERE output_name = 't'")?;
    let ran = case.undelete(&[])?;
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    for reason in ["virtual table words", "SQLite keeps it itself", "its name is lost; --table t takes it in"]
    {
        assert!(ran.err.contains(reason), "{reason}: {}", ran.err);
    }
    assert!(!fs::read_to_string(case.path("restore.sql"))?.contains("INSERT INTO"));
    let current = case.current("DELETE FROM t")?;
    current.execute_batch(&case.script(&["--table", "T"])?)?;
    assert_eq!(rows(&current, "SELECT * FROM t")?, [json!([1, "x"])]);
    let ran = case.undelete(&["--table", "nobody"])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("--table nobody: no such table; there are "), "{}", ran.err);
    Ok(())
}

#[test]
fn an_input_that_recover_did_not_write_is_refused() -> Done {
    let folder = folder()?;
    let other = small_store(folder.path())?;
    let (text, empty) = (folder.path().join("text"), folder.path().join("empty"));
    fs::write(&text, "no database, but long enough to be looked at".repeat(100))?;
    fs::write(&empty, "")?;
    let out = folder.path().join("restore.sql").display().to_string();
    for path in [&other, &text, &empty, &folder.path().join("missing"), &folder.path().to_path_buf()] {
        let ran = mudlark(["undelete", &path.display().to_string(), "-o", &out])?;
        assert_eq!(ran.status, Some(2), "{}", ran.err);
        assert!(ran.err.contains(&path.display().to_string()), "{}", ran.err);
        assert!(!Path::new(&out).exists());
    }
    Ok(())
}

#[test]
fn an_output_over_the_input_the_evidence_or_a_file_that_exists_is_refused() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id = 2")?;
    let input = case.path("out.db");
    for name in ["out.db", "out.db-wal", "store.db", "store.db-journal", "no/restore.sql", ""] {
        let before = snapshot(case.folder.path())?;
        let ran = mudlark(["undelete", &input, "-o", &case.path(name), "--force"])?;
        assert_eq!(ran.status, Some(2), "{name}: {}", ran.err);
        assert_eq!(snapshot(case.folder.path())?, before, "{name}");
    }
    let output = PathBuf::from(case.path("restore.sql"));
    fs::write(&output, "what was there")?;
    let ran = mudlark(["undelete", &input, "-o", &case.path("restore.sql")])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(fs::read_to_string(&output)?, "what was there");
    assert!(case.script(&[])?.contains("INSERT"));
    Ok(())
}

#[test]
fn the_recovered_database_is_only_read_and_one_with_a_log_beside_it_is_refused() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id = 2")?;
    let before = snapshot(case.folder.path())?;
    let ran = mudlark(["undelete", &case.path("out.db"), "-o", "-", "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(snapshot(case.folder.path())?, before);
    fs::write(case.path("out.db-wal"), "frames")?;
    let ran = mudlark(["undelete", &case.path("out.db"), "-o", "-"])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("out.db-wal"), "{}", ran.err);
    Ok(())
}

#[test]
fn deleted_rows_are_found_without_a_look_at_live_ones() -> Done {
    let case = Case::new(SHOP)?;
    case.delete("customers", "id = 2")?;
    let output = case.output()?;
    let plan = rows(&output, "EXPLAIN QUERY PLAN SELECT * FROM customers_deleted")?;
    assert!(
        plan.iter().all(|step| step[3].as_str().is_some_and(|step| step.starts_with("SEARCH"))),
        "{plan:?}"
    );
    let found = rows(&output, "SELECT id, name, _state, _rowid FROM customers_deleted")?;
    assert_eq!(found, [json!([2, "Ada", "deleted", 2])]);
    Ok(())
}
