//! Is what an undo can't take back, or must not, left as it is and told?

use crate::support::{Done, dump, folder, rows, snapshot};
use crate::undo::{Case, Client, current, run, statements, undo};
use crate::workload::copied;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;

#[test]
fn rows_that_changed_since_are_listed_and_left() -> Done {
    let case = Case::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, a); CREATE TABLE c(id INTEGER PRIMARY KEY, t REFERENCES t);
         INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2), (3, 'three', 3), (4, 'four', 4), (5, 'five', 5), (6, 'six', 6);
         INSERT INTO c VALUES (1, 6)",
        &[
            "UPDATE t SET a = 'bad' WHERE id < 4; DELETE FROM t WHERE id = 4; DELETE FROM c; INSERT INTO t VALUES (10, 'ten', 10)",
            "UPDATE t SET a = 'later' WHERE id = 1; INSERT INTO t VALUES (7, 'four', 7); INSERT INTO c VALUES (2, 10);
             DELETE FROM t WHERE id = 6; UPDATE t SET a = 'other' WHERE id = 5",
        ],
    )?;
    let ran = undo(&case.store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    let script = fs::read_to_string(case.store.with_file_name("undo.sql"))?;
    for left in [
        "left: 1: changed since",
        "left: 4: its unique key is another row's since",
        "left: 10: another row refers to it since",
        "left: 1: the row that it refers to is gone since",
    ] {
        assert!(script.contains(&format!("--     {left}\n")), "{left}: {script}");
        let said = left.replacen("left: ", "left  ", 1);
        assert!(ran.err.contains(&said), "{said}: {}", ran.err);
    }
    let current = current(&case.store)?;
    current.execute_batch("PRAGMA foreign_keys = ON")?;
    assert!(run(&current, &script, Client::Stops));
    let expected = [
        json!([1, "one", "later"]),
        json!([2, "two", 2]),
        json!([3, "three", 3]),
        json!([5, "five", "other"]),
        json!([7, "four", 7]),
        json!([10, "ten", 10]),
    ];
    assert_eq!(rows(&current, "SELECT * FROM t ORDER BY id")?, expected);
    assert_eq!(rows(&current, "SELECT * FROM c")?, [json!([2, 10])]);
    Ok(())
}

/// That the undo of the first commit leaves a row for this reason, and the engine takes all others back.
fn check_left(setup: &str, commits: &[&str], left: &str, query: &str, expected: &[Json]) -> Done {
    let case = Case::new(setup, commits)?;
    let script = case.script("commit:1", &[])?;
    assert!(script.contains(&format!("--     left: {left}\n")), "{left}: {script}");
    for enforced in ["ON", "OFF"] {
        let current = current(&case.store)?;
        current.execute_batch(&format!("PRAGMA foreign_keys = {enforced}"))?;
        assert!(run(&current, &script, Client::Stops), "foreign keys {enforced}: {script}");
        assert_eq!(rows(&current, query)?, expected, "foreign keys {enforced}");
    }
    Ok(())
}

#[test]
fn rows_linked_to_tables_that_only_later_commits_changed_are_listed_and_left() -> Done {
    let setup = "PRAGMA foreign_keys = ON; CREATE TABLE p(id INTEGER PRIMARY KEY, code TEXT COLLATE NOCASE UNIQUE);
                 CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE, code TEXT REFERENCES p(code));
                 INSERT INTO p VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1, NULL), (2, 2, NULL), (3, NULL, 'A')";
    check_left(
        setup,
        &["DELETE FROM c WHERE id < 3", "DELETE FROM p WHERE id = 2"],
        "2: the row that it refers to is gone since",
        "SELECT id FROM c",
        &[json!([1]), json!([3])],
    )?;
    // The parent's collation says which row is meant.
    check_left(
        setup,
        &["DELETE FROM c WHERE id <> 1", "UPDATE p SET code = 'z' WHERE id = 1"],
        "3: the row that it refers to is gone since",
        "SELECT id FROM c",
        &[json!([1]), json!([2])],
    )?;
    check_left(
        setup,
        &["INSERT INTO p VALUES (3, 'c'), (4, 'd')", "INSERT INTO c VALUES (9, 3, NULL)"],
        "3: another row refers to it since",
        "SELECT id FROM p",
        &[json!([1]), json!([2]), json!([3])],
    )
}

#[test]
fn a_key_without_row_id_that_another_row_has_in_another_form_since_is_listed_and_left() -> Done {
    check_left(
        "CREATE TABLE w(k TEXT COLLATE NOCASE PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES ('a', 1), ('b', 2)",
        &["DELETE FROM w", "INSERT INTO w VALUES ('A', 3)"],
        "'a': its unique key is another row's since",
        "SELECT k, v FROM w",
        &[json!(["A", 3]), json!(["b", 2])],
    )?;
    check_left(
        "CREATE TABLE w(k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO w VALUES (1, 1), (2, 2)",
        &["DELETE FROM w", "INSERT INTO w VALUES (1.0, 3)"],
        "1: its unique key is another row's since",
        "SELECT typeof(k), v FROM w",
        &[json!(["real", 3]), json!(["integer", 2])],
    )
}

#[test]
fn nothing_is_changed_where_a_condition_fails_even_by_a_client_that_goes_on() -> Done {
    let case = Case::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, a TEXT COLLATE NOCASE, r); CREATE TABLE other(a);
         INSERT INTO t VALUES (1, 'one', 'x', 1), (2, 'two', 'y', 2), (3, 'three', 'z', 3); INSERT INTO other VALUES (1)",
        &["UPDATE t SET a = 'bad' WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE other SET a = 2"],
    )?;
    let script = case.script("commit:1", &[])?;
    for since in [
        "UPDATE t SET a = 'later' WHERE id = 1",
        "UPDATE t SET a = 'BAD' WHERE id = 1",
        "UPDATE t SET r = 1.0 WHERE id = 1",
        "UPDATE t SET a = NULL WHERE id = 1",
        "DELETE FROM t WHERE id = 1",
        "INSERT INTO t VALUES (2, 'new', 'new', 2)",
        "INSERT INTO t VALUES (9, 'two', 'new', 2)",
        "ALTER TABLE t ADD COLUMN more DEFAULT 1",
        "ALTER TABLE other RENAME TO another",
        "DROP TABLE other",
        "CREATE TRIGGER fires AFTER UPDATE ON other BEGIN DELETE FROM t; END",
        "CREATE TEMP TRIGGER fires AFTER UPDATE ON main.other BEGIN DELETE FROM t; END",
        "CREATE TABLE refers(t REFERENCES t ON UPDATE CASCADE ON DELETE CASCADE); CREATE UNIQUE INDEX further ON t(r); UPDATE t SET r = 2 WHERE id = 3",
        "CREATE TEMP TABLE mudlark_check(other); UPDATE other SET a = 3",
    ] {
        case.check_refused(&script, since)?;
    }
    // A row that these commits never touched is of no account.
    let current = current(&case.store)?;
    current.execute_batch("UPDATE t SET a = 'later' WHERE id = 3; INSERT INTO other VALUES (5)")?;
    assert!(run(&current, &script, Client::Stops));
    assert_eq!(
        rows(&current, "SELECT id, a FROM t")?,
        [json!([1, "x"]), json!([2, "y"]), json!([3, "later"])]
    );
    Ok(())
}

#[test]
fn a_client_without_a_transaction_changes_nothing() -> Done {
    let case = Case::new("CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)", &["DELETE FROM t WHERE a = 1"])?;
    let script = case.script("commit:1", &[])?;
    let current = current(&case.store)?;
    let standing = dump(&current)?;
    for statement in statements(&script).filter(|statement| !statement.contains("BEGIN IMMEDIATE")) {
        let _ = current.execute_batch(statement);
    }
    assert_eq!(dump(&current)?, standing);
    // Nor does one that loses a statement.
    let all = statements(&script).count();
    for lost in 0..all {
        let current = self::current(&case.store)?;
        for (number, statement) in statements(&script).enumerate() {
            if number != lost {
                let _ = current.execute_batch(statement);
            }
        }
        let after = if current.is_autocommit() { dump(&current)? } else { standing.clone() };
        assert!(after == standing || after == case.before, "without statement {lost}");
    }
    Ok(())
}

#[test]
fn commits_that_did_more_than_change_rows_are_refused_unless_allowed() -> Done {
    let case = Case::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE TABLE log(line); CREATE TABLE u(a);
         CREATE TRIGGER noted AFTER INSERT ON t BEGIN INSERT INTO log VALUES (new.id); END;
         INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (1)",
        &[
            "DELETE FROM t",
            "UPDATE u SET a = 2; CREATE TABLE extra(x); INSERT INTO extra VALUES (1)",
            "UPDATE u SET a = 3",
        ],
    )?;
    let ran = undo(&case.store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("the trigger noted on t would fire"), "{}", ran.err);
    let ran = undo(&case.store, "commit:2", &[])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("changed definitions (created table extra)"), "{}", ran.err);
    // What was written since commit 2 to the same row stays.
    let script = case.script("commit:2..commit:3", &["--allow", "schema"])?;
    let current = current(&case.store)?;
    assert!(run(&current, &script, Client::Stops));
    assert_eq!(rows(&current, "SELECT a FROM u")?, [json!([1])]);
    assert_eq!(rows(&current, "SELECT x FROM extra")?, [json!([1])]);
    let script = case.script("commit:1", &["--allow", "triggers"])?;
    let current = self::current(&case.store)?;
    assert!(run(&current, &script, Client::Stops));
    assert_eq!(rows(&current, "SELECT * FROM t")?, [json!([1, "x"])]);
    for (range, why) in [
        ("commit:0", "commit:0 is no commit"),
        ("commit:9", "commit:9: no such point"),
        ("commit:3..commit:2", "give the earlier one first"),
        ("commit:1..", "is no point"),
    ] {
        let ran = undo(&case.store, range, &[])?;
        assert_eq!(ran.status, Some(2), "{range}");
        assert!(ran.err.contains(why), "{}", ran.err);
    }
    Ok(())
}

#[test]
fn what_a_virtual_table_keeps_is_left_to_it() -> Done {
    let case = Case::new(
        "CREATE VIRTUAL TABLE words USING fts5(body); CREATE TABLE t(a); INSERT INTO t VALUES (1)",
        &["INSERT INTO words VALUES ('hello'); DELETE FROM t"],
    )?;
    let ran = undo(&case.store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert!(ran.err.contains("it belongs to the virtual table words, which keeps it itself"), "{}", ran.err);
    let current = current(&case.store)?;
    assert!(run(&current, &fs::read_to_string(case.store.with_file_name("undo.sql"))?, Client::Stops));
    assert_eq!(rows(&current, "SELECT a FROM t")?, [json!([1])]);
    assert_eq!(rows(&current, "SELECT body FROM words WHERE words MATCH 'hello'")?, [json!(["hello"])]);
    Ok(())
}

#[test]
fn a_commit_of_which_something_is_lost_is_not_taken_back() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a); CREATE TABLE u(a);
         INSERT INTO t VALUES (1), (2); PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM t WHERE a = 1;",
    )?;
    let reader = Connection::open(folder.path().join("live.db"))?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM t")?;
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE); INSERT INTO u VALUES (1)")?;
    let store = copied(folder.path())?;
    let seen = snapshot(folder.path())?;
    let ran = undo(&store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("what became of the rows of t"), "{}", ran.err);
    assert!(!store.with_file_name("undo.sql").exists());
    let ran = undo(&store, "commit:2", &[])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    fs::remove_file(store.with_file_name("undo.sql"))?;
    let after = snapshot(folder.path())?;
    assert!(seen.iter().filter(|(name, _)| *name != ".").all(|(name, seen)| after.get(name) == Some(seen)));
    Ok(())
}

#[test]
fn a_range_with_a_vacuum_is_refused_unless_allowed_and_then_taken_back() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(id INTEGER PRIMARY KEY, a);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO t SELECT i, 'row ' || i FROM n;
         PRAGMA wal_checkpoint(TRUNCATE); DELETE FROM t WHERE id > 5; VACUUM; INSERT INTO t VALUES (2000, 'later');",
    )?;
    let store = copied(folder.path())?;
    for range in ["commit:1..commit:2", "commit:2"] {
        let ran = undo(&store, range, &[])?;
        assert_eq!(ran.status, Some(2), "{range}: {}", ran.err);
        assert!(
            ran.err.contains("commit:2 is a VACUUM") && ran.err.contains("--allow vacuum"),
            "{}",
            ran.err
        );
        assert!(!store.with_file_name("undo.sql").exists());
    }
    let ran = undo(&store, "commit:1..commit:2", &["--allow", "vacuum"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let current = current(&store)?;
    assert!(run(&current, &fs::read_to_string(store.with_file_name("undo.sql"))?, Client::Stops));
    assert_eq!(rows(&current, "SELECT count(*), max(id) FROM t")?, [json!([901, 2000])]);
    Ok(())
}

#[test]
fn a_name_out_of_the_evidence_stays_in_its_comment_where_no_row_is_taken_back() -> Done {
    let case = Case::new(
        "CREATE TABLE other(a); INSERT INTO other VALUES (1);
         CREATE TABLE \"t\nDROP TABLE other;\n--\"(id INTEGER PRIMARY KEY, a); INSERT INTO \"t\nDROP TABLE other;\n--\" VALUES (1, 1)",
        &[
            "UPDATE \"t\nDROP TABLE other;\n--\" SET a = 2",
            "UPDATE \"t\nDROP TABLE other;\n--\" SET a = 3",
        ],
    )?;
    let ran = undo(&case.store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    let script = fs::read_to_string(case.store.with_file_name("undo.sql"))?;
    assert!(script.lines().all(|line| line.starts_with("--")), "{script}");
    let current = current(&case.store)?;
    run(&current, &script, Client::GoesOn);
    assert_eq!(rows(&current, "SELECT a FROM other")?, [json!([1])]);
    Ok(())
}
