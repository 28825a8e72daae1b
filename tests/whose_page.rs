//! Is a page outside of the trees read as one of the table that had it, and as no other's?

use crate::support::{Done, folder, recovered_lines, rows_in_state, store};
use serde_json::Value as Json;
use std::fs;

/// A series of so many numbers, `n(i)`.
fn numbers(count: usize) -> String {
    format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})")
}

fn gone<'l>(lines: &'l [Json], table: &str) -> Vec<&'l Json> {
    lines.iter().filter(|line| line["table"] == table && line["state"] != "live").collect()
}

#[test]
fn entries_of_an_index_that_was_dropped_are_no_rows_of_a_table_without_row_ids() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let numbers = numbers(400);
    let create = "CREATE TABLE parts(sku TEXT, note, weight INTEGER, PRIMARY KEY(sku)) WITHOUT ROWID;";
    store(
        &path,
        &format!(
            "PRAGMA page_size = 1024; PRAGMA secure_delete = off; {create}
             {numbers} INSERT INTO parts
             SELECT 'Part ' || (i * 7 % 400), 'note ' || (i * 11 % 400), i % 50 FROM n;
             CREATE INDEX by_note ON parts(note); DROP TABLE parts; {create}
             INSERT INTO parts
             VALUES ('Part A', 'x', 1), ('Part B', 'y', 2), ('Part C', 'z', 3), ('Part D', 'u', 4);"
        ),
    )?;
    let lines = recovered_lines(&path, &[])?;
    let parts = gone(&lines, "parts");
    let is_part = |row: &&&Json| row["values"]["sku"].as_str().is_some_and(|sku| sku.starts_with("Part "));
    let right = parts.iter().filter(is_part).count();
    assert!(right >= 380 && right == parts.len(), "{right} of 400, {} in all", parts.len());
    Ok(())
}

#[test]
fn rows_of_other_kinds_are_not_of_an_emptied_table() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let (few, many) = (numbers(40), numbers(400));
    store(
        &path,
        &format!(
            "PRAGMA page_size = 1024; PRAGMA secure_delete = off;
             CREATE TABLE tiles(zoom INTEGER, x INTEGER, y INTEGER, image BLOB);
             CREATE TABLE words(id TEXT, word TEXT);
             {few} INSERT INTO tiles SELECT 5, i, i * 3, randomblob(90) FROM n;
             {many} INSERT INTO words SELECT 'w-' || (i * 7919), 'word number ' || i FROM n;
             DELETE FROM tiles; DELETE FROM words WHERE rowid > 20;"
        ),
    )?;
    let lines = recovered_lines(&path, &[])?;
    let (tiles, words) = (gone(&lines, "tiles"), gone(&lines, "words"));
    assert!(tiles.iter().all(|row| row["values"]["zoom"].is_i64()), "a word is read as a tile");
    assert!(tiles.len() >= 38 && words.len() >= 375, "{} and {} rows", tiles.len(), words.len());
    Ok(())
}

#[test]
fn rows_of_a_narrow_table_are_no_rows_of_a_wide_one_where_bytes_were_inserted() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let (few, many) = (numbers(20), numbers(200));
    store(
        &path,
        &format!(
            "PRAGMA page_size = 4096;
             CREATE TABLE visits(rank REAL, flag, note TEXT, tag TEXT DEFAULT 'x', place TEXT NOT NULL DEFAULT '');
             CREATE TABLE terms(id INTEGER PRIMARY KEY, price NUMERIC, word TEXT);
             {many} INSERT INTO terms SELECT i, i * 1.25, 'word number ' || i FROM n;
             {few} INSERT INTO visits SELECT i, i, 'note ' || i, 'tag', 'place ' || i FROM n;"
        ),
    )?;
    let mut bytes = fs::read(&path)?;
    bytes.splice(4096..4096, [0; 100]);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let live = |table| rows_in_state(&lines, table, "live");
    assert!(live("terms").count() >= 195, "{} of 200", live("terms").count());
    let notes = live("visits").filter_map(|row| row["values"]["note"].as_str());
    assert!(notes.clone().all(|note| note.starts_with("note ")), "{:?}", notes.collect::<Vec<_>>());
    assert!(live("visits").count() <= 20);
    Ok(())
}

/// Edges of a graph with an index on their ends, whose entries look like edges.
fn edges() -> String {
    format!(
        "PRAGMA page_size = 1024; PRAGMA secure_delete = off;
         CREATE TABLE edges(a INTEGER, b INTEGER, PRIMARY KEY(a, b)) WITHOUT ROWID;
         CREATE TABLE settings(name BLOB PRIMARY KEY, value) WITHOUT ROWID;
         {} INSERT INTO edges SELECT i * 7, 5000 + i * 13 % 401 FROM n;
         INSERT INTO settings VALUES (x'01', 2), (x'02', 3);
         CREATE INDEX by_end ON edges(b);",
        numbers(400)
    )
}

#[test]
fn entries_of_a_dropped_index_that_name_rows_that_stand_are_no_deleted_rows() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, &format!("{} DROP INDEX by_end;", edges()))?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    assert_eq!(lines.iter().filter(|line| line["state"] == "live").count(), 402);
    let turned = lines.iter().filter(|line| line["values"]["a"].as_i64() >= Some(5000)).count();
    assert_eq!(turned, 0, "of {} rows", lines.len());
    Ok(())
}

#[test]
fn entries_on_pages_that_lost_their_headers_are_no_rows() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, &edges())?;
    let mut bytes = fs::read(&path)?;
    // All leaves and roots of trees without row ids, but for the one of the settings.
    for page in bytes.chunks_exact_mut(1024).filter(|page| matches!(page[0], 2 | 10) && page[4] > 2) {
        page[..8].fill(0);
    }
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    let settings = lines.iter().filter(|line| line["table"] == "settings").count();
    assert_eq!(settings, 2, "of {} rows", lines.len());
    let edges = rows_in_state(&lines, "edges", "live").count();
    assert!(edges >= 380, "{edges} edges");
    Ok(())
}

#[test]
fn entries_of_an_index_that_went_with_its_table_are_no_settings_of_a_full_text_index() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // As FTS5 makes it: with one row, of columns without types.
    store(
        &path,
        &format!(
            "PRAGMA page_size = 1024; PRAGMA secure_delete = off;
             CREATE TABLE 'mail_config'(k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO mail_config VALUES ('version', 4);
             CREATE TABLE mail(id INTEGER PRIMARY KEY, sender TEXT UNIQUE, subject TEXT);
             {} INSERT INTO mail SELECT i, 'sender ' || (i * 7919 % 400), 'subject ' || i FROM n;
             DROP TABLE mail;",
            numbers(400)
        ),
    )?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(gone(&lines, "mail_config").len(), 0, "of {} rows", lines.len());
    assert!(gone(&lines, "mail").len() >= 350, "{} rows of mail", gone(&lines, "mail").len());
    Ok(())
}
