//! Are the rows from before a column was dropped told by what is left of them?

use crate::support::{Done, folder, recovered_lines, rows_in_state, store};
use serde_json::Value as Json;
use std::fs;

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

#[test]
fn an_index_entry_of_a_row_is_no_later_version_of_it_though_the_row_has_a_column_more() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA secure_delete = off;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, mail TEXT, fax TEXT);
         CREATE INDEX people_mail ON people(mail);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO people SELECT i, 'person number ' || i, 'mail' || i || '@example.org', '+49 30 ' || 7919 * i FROM n;
         DELETE FROM people WHERE id % 7 = 3;
         ALTER TABLE people DROP COLUMN fax;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let is_deleted = |line: &&Json| line["rowid"].as_i64().is_some_and(|id| id % 7 == 3);
    let deleted: Vec<&Json> = lines.iter().filter(is_deleted).collect();
    assert!(deleted.len() >= 20, "{} deleted rows", deleted.len());
    let whole = deleted.iter().filter(|line| line["values"]["dropped"].is_string()).count();
    assert!(whole >= 10, "{whole} of {} whole", deleted.len());
    let wrong: Vec<&&Json> = deleted.iter().filter(|line| line["state"] != "deleted").collect();
    assert!(wrong.is_empty(), "{} of {}: {:?}", wrong.len(), deleted.len(), wrong.first());
    Ok(())
}

#[test]
fn a_dropped_column_is_told_by_the_rows_that_a_journal_has_of_a_page_that_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 16384; PRAGMA secure_delete = off; PRAGMA journal_mode = persist;
         CREATE TABLE numbers(id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER, fax TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO numbers SELECT i, 1000000007 * i, 900000011 * i, 20000 * (i % 7), 't' || i FROM n;
         DELETE FROM numbers WHERE id % 3 = 0;
         ALTER TABLE numbers DROP COLUMN fax;
         UPDATE numbers SET a = 0 WHERE id = 1;",
    )?;
    let mut bytes = fs::read(&path)?;
    bytes[16384..32768].fill(0x90);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let gone: Vec<&Json> = lines.iter().filter(|line| line["state"] != "live").collect();
    let of =
        |line: &&&Json| Some((line["values"]["a"].as_i64()?, line["values"]["dropped"].as_str()?.to_owned()));
    let is_right = |(a, fax): &(i64, String)| *fax == format!("t{}", a / 1_000_000_007);
    let right = gone.iter().filter_map(|line| of(&line)).filter(is_right).count();
    assert!(right >= 80 && gone.len() - right <= 3, "{right} of {}", gone.len());
    Ok(())
}

#[test]
fn what_is_left_of_a_row_id_tells_whose_older_version_a_row_is_where_many_have_its_cells() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA secure_delete = off;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, n INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO people SELECT 100000000007 * (i * 7919 % 10007), 'name ' || (i * i % 23), 1000000000039 * i FROM n;
         ALTER TABLE people DROP COLUMN n;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let of = |line: &Json| Some((line["values"]["dropped"].as_i64()?, line["rowid"].as_i64()));
    let is_right = |(n, rowid): &(i64, Option<i64>)| {
        *rowid == Some(100_000_000_007 * (n / 1_000_000_000_039 * 7919 % 10007))
    };
    let older: Vec<(i64, Option<i64>)> =
        rows_in_state(&lines, "people", "superseded").filter_map(of).collect();
    assert!(older.len() >= 400 && older.iter().all(is_right), "{} rows: {older:?}", older.len());
    // No row was deleted.
    assert!(rows_in_state(&lines, "people", "deleted").count() <= 3);
    Ok(())
}
