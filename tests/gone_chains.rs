//! Do long rows that are gone come back whole, whatever became of the pages that they spilled to?

use crate::support::{Done, folder, recovered_lines};
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
