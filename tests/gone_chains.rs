//! Do long rows that are gone come back whole, whatever became of the pages that they spilled to?

use crate::support::{Done, folder, recovered_lines};
use crate::workload::copied;
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::HashSet;

#[test]
fn a_row_from_before_the_log_is_read_with_the_pages_that_its_chain_had_then() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let rows = |word: &str, count: u32| {
        format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
             INSERT INTO documents(body) SELECT replace(hex(zeroblob(700)), '00', '{word} ' || i || ' ') FROM n;"
        )
    };
    let connection = Connection::open(&path)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE documents(id INTEGER PRIMARY KEY, body TEXT);
         {} PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM documents; {} DELETE FROM documents WHERE id > 3; {}",
        rows("first", 20),
        rows("second", 20),
        rows("third", 10)
    ))?;
    let lines = recovered_lines(&path, &[])?;
    let bodies = |word: &str| -> HashSet<String> {
        let gone = lines.iter().filter(|line| line["state"] != "live");
        let body = |line: &Json| line["values"]["body"].as_str().map(str::to_owned);
        gone.filter_map(body).filter(|body| body.starts_with(word)).collect()
    };
    assert_eq!(bodies("first").len(), 20, "rows of the main file under the log");
    assert_eq!(bodies("second").len(), 17, "rows of the log");
    Ok(())
}

#[test]
fn a_row_that_was_changed_where_its_chain_was_not_is_whole_as_it_was() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE notes(id INTEGER PRIMARY KEY, folder INT, body TEXT);",
    )?;
    for note in 1..=20 {
        connection.execute(
            "INSERT INTO notes VALUES (?1, 7, ?2)",
            (note, format!("note {note}: {}", "what was to be remembered ".repeat(300))),
        )?;
    }
    connection.execute_batch("UPDATE notes SET folder = 3")?;
    let lines = recovered_lines(&copied(folder.path())?, &[])?;
    let before: Vec<_> = lines.iter().filter(|row| row["state"] == "superseded").collect();
    assert_eq!(before.len(), 20);
    for row in before {
        assert_eq!(row["values"]["folder"], 7);
        let body = row["values"]["body"].as_str().ok_or("the body is lost")?;
        assert!(body.starts_with(&format!("note {}: ", row["values"]["id"])) && body.len() > 7_800, "{body}");
    }
    Ok(())
}
