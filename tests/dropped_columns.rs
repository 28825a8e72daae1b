//! Are the rows from before a column was dropped told by what is left of them?

use crate::support::{Done, folder, recovered_lines, store};
use serde_json::Value as Json;

#[test]
fn a_dropped_column_is_told_by_the_rows_that_a_root_had_before_it_got_leaves() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Rows of one size leave hardly an old one on the leaves, but those with which the root began.
    store(
        &path,
        "PRAGMA secure_delete = off;
         CREATE TABLE numbers(id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO numbers SELECT i, 1000000007 * i, 900000011 * i, 20000 + i FROM n;
         ALTER TABLE numbers DROP COLUMN c;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let of = |line: &Json| Some((line["values"]["id"].as_i64()?, line["values"]["dropped"].as_i64()?));
    let found: Vec<(i64, i64)> = lines.iter().filter_map(of).collect();
    assert!(found.len() >= 100, "{} rows with the dropped column", found.len());
    assert!(found.iter().all(|(id, c)| *c == 20000 + id), "{found:?}");
    Ok(())
}
