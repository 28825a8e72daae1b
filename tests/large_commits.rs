//! Commits that change more rows than are held at once, and VACUUMs one after the other: is each change told, and once?

use crate::support::{Done, folder, mudlark, recovered_lines, rows_in_state};
use crate::workload::{copied, timeline};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::path::Path;

/// A store with a log of which no commit was copied into the main file, and so many rows before it.
fn with_log(folder: &Path, table: &str, count: usize, commits: &[&str]) -> Done<std::path::PathBuf> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(&format!(
        "PRAGMA secure_delete = off; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; {table};
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO t(name, amount) SELECT 'name number ' || i, i % 97 FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    for commit in commits {
        connection.execute_batch(commit)?;
    }
    copied(folder)
}

fn counts(told: &Json) -> Vec<[u64; 3]> {
    let commits = told["commits"].as_array().into_iter().flatten();
    let count = |row: &Json, what: &str| row[what].as_u64().unwrap_or(u64::MAX);
    let of_row = |row: &Json| ["inserted", "updated", "deleted"].map(|what| count(row, what));
    commits.flat_map(|commit| commit["tables"].as_array().into_iter().flatten().map(of_row)).collect()
}

#[test]
fn a_commit_that_changes_more_rows_than_are_held_is_told_row_by_row() -> Done {
    let folder = folder()?;
    let store = with_log(
        folder.path(),
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, amount INT)",
        300_000,
        &[
            "BEGIN; UPDATE t SET amount = amount + 1; DELETE FROM t WHERE id % 1000 = 7;
             INSERT INTO t VALUES (1000000, 'the last', 1); COMMIT;",
            "ALTER TABLE t DROP COLUMN amount",
            "UPDATE t SET name = 'changed' WHERE id = 77",
        ],
    )?;
    assert_eq!(counts(&timeline(&store)?), [[1, 299_700, 300], [0, 299_701, 0], [0, 1, 0]]);
    let ran = mudlark([
        "diff".as_ref(),
        store.as_os_str(),
        "--from".as_ref(),
        "commit:0".as_ref(),
        "--to".as_ref(),
        "commit:1".as_ref(),
        "--jsonl".as_ref(),
        "-".as_ref(),
    ])?;
    let kinds = ["added", "changed", "removed"]
        .map(|kind| ran.out.lines().filter(|line| line.contains(&format!("\"change\":\"{kind}\""))).count());
    assert_eq!(kinds, [1, 299_700, 300]);
    let ran = mudlark([
        "history".as_ref(),
        store.as_os_str(),
        "--table".as_ref(),
        "t".as_ref(),
        "--key".as_ref(),
        "77".as_ref(),
        "--json".as_ref(),
    ])?;
    for expected in ["name number 77", "changed", "commit:1", "commit:3"] {
        assert!(ran.out.contains(expected), "{expected} is not in {}", ran.out);
    }
    Ok(())
}

#[test]
fn a_row_that_was_deleted_between_two_vacuums_is_told_once_by_its_last_id() -> Done {
    for count in [3_000, 280_000] {
        let folder = folder()?;
        let store = with_log(
            folder.path(),
            "CREATE TABLE t(name TEXT, amount INT)",
            count,
            &[
                "DELETE FROM t WHERE rowid % 20 = 3",
                "VACUUM",
                "DELETE FROM t WHERE rowid % 500 = 3",
                "VACUUM",
                "DELETE FROM t WHERE rowid = 1000",
                "VACUUM",
            ],
        )?;
        let left = count - count / 20;
        let gone = count / 20 + (left + 497) / 500 + 1;
        let lines = recovered_lines(&store, &[])?;
        let deleted: Vec<&Json> = rows_in_state(&lines, "t", "deleted").collect();
        let names: HashSet<&str> = deleted.iter().filter_map(|row| row["values"]["name"].as_str()).collect();
        assert_eq!((deleted.len(), names.len(), lines.len()), (gone, gone, count), "of {count}");
        let last = deleted.iter().find(|row| row["lifetimes"][0]["to"] == json!("commit:5"));
        assert_eq!(last.map(|row| &row["rowid"]), Some(&json!(1000)));
    }
    Ok(())
}
