//! Do gone rows come back from pages of which damage took a part, and is no live one told as gone there?

use crate::support::{Done, folder, overwrite, recovered_lines, rows_in_state, store};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::fs;

#[test]
fn deleted_rows_come_back_on_both_sides_of_a_sector_that_took_freeblocks_and_live_rows() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 8192; PRAGMA secure_delete = off;
         CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT, number INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120)
         INSERT INTO notes SELECT i, 'what note ' || i || ' says, in some more words', 7919 * i FROM n;
         DELETE FROM notes WHERE id % 3 = 0;",
    )?;
    // Rows fill a page from its end, so that the chain of freeblocks begins with those of the last rows.
    overwrite(&path, 2 * 8192 - 4096..2 * 8192 - 3584, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let number = |line: &Json| Some((line["values"]["number"].as_i64()? / 7919, line["state"] == "live"));
    let found: Vec<(i64, bool)> = lines.iter().filter_map(number).collect();
    // A sector holds ten rows, and an edge of it one more at most.
    let deleted = found.iter().filter(|(id, live)| !live && id % 3 == 0).count();
    assert!(deleted >= 35, "{deleted} of 40 deleted rows");
    let live = found.iter().filter(|(id, live)| *live && id % 3 != 0).count();
    assert!(live >= 71, "{live} of 80 live rows");
    assert_eq!(found.len(), deleted + live, "{found:?}");
    Ok(())
}

#[test]
fn a_dropped_column_is_told_by_the_rows_of_a_leaf_whose_header_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Rows of one size leave hardly an old one on the leaves, but those with which the root began: these are of the first leaf.
    store(
        &path,
        "PRAGMA secure_delete = off;
         CREATE TABLE numbers(id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, c INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO numbers SELECT i, 1000000007 * i, 900000011 * i, 20000 + i FROM n;
         ALTER TABLE numbers DROP COLUMN c;",
    )?;
    // The interior page of the root leads to the first leaf by its first cell, the last on the page.
    let bytes = fs::read(&path)?;
    let root = &bytes[4096..8192];
    assert_eq!(root[0], 5, "the root is an interior page");
    let first = usize::from(u16::from_be_bytes([root[12], root[13]]));
    let leaf = 4096 * (usize::from(u16::from_be_bytes([root[first + 2], root[first + 3]])) - 1);
    overwrite(&path, leaf..leaf + 8, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let of = |line: &Json| {
        Some((line["values"]["a"].as_i64()? / 1_000_000_007, line["values"]["dropped"].as_i64()?))
    };
    let gone = lines.iter().filter(|line| line["state"] != "live");
    let found: Vec<(i64, i64)> = gone.filter_map(of).collect();
    assert!(found.len() >= 100, "{} rows with the dropped column", found.len());
    assert!(found.iter().all(|(id, c)| *c == 20000 + id), "{found:?}");
    assert_eq!(rows_in_state(&lines, "numbers", "live").count(), 1000);
    Ok(())
}

#[test]
fn live_rows_of_a_page_without_a_header_are_not_read_as_gone_ones_of_another_shape() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Small integers alone read in many ways, with the column that was dropped and without.
    store(
        &path,
        "PRAGMA page_size = 4096; PRAGMA secure_delete = off;
         CREATE TABLE pairs(x INT, y INT, z INT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         INSERT INTO pairs SELECT 7919 * i % 30011, i * i % 2, 1000000007 * i % 100003 FROM n;
         DELETE FROM pairs WHERE rowid % 5 = 2;
         ALTER TABLE pairs DROP COLUMN z;
         DELETE FROM pairs WHERE rowid % 7 = 3;",
    )?;
    // The last leaf loses its header with most of its pointers, and a sector of its cells.
    let leaf = fs::read(&path)?.len() - 4096;
    overwrite(&path, leaf..leaf + 512, 0)?;
    overwrite(&path, leaf + 2048..leaf + 2560, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let rows: HashSet<(i64, i64)> = (1..=900).map(|i| (7919 * i % 30011, i * i % 2)).collect();
    let of = |line: &Json| Some((line["values"]["x"].as_i64()?, line["values"]["y"].as_i64()?));
    let gone: Vec<(i64, i64)> = lines.iter().filter(|line| line["state"] != "live").filter_map(of).collect();
    let right = gone.iter().filter(|row| rows.contains(row)).count();
    assert!(right >= 480 && gone.len() - right <= 15, "{right} of {}", gone.len());
    Ok(())
}

#[test]
fn deleted_rows_do_not_stand_in_on_a_leaf_that_lost_its_header_and_no_row() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 4096; PRAGMA secure_delete = off;
         CREATE TABLE pairs(x INT, y INT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         INSERT INTO pairs SELECT 7919 * i % 30011, i * i % 2 FROM n;
         DELETE FROM pairs WHERE rowid % 5 = 2;",
    )?;
    // The root, page 2, still has copies of the rows that it began with: they are those of the first leaf, page 3.
    overwrite(&path, 2 * 4096..2 * 4096 + 8, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let deleted: HashSet<i64> = (1..=900).filter(|i| i % 5 == 2).map(|i| 7919 * i % 30011).collect();
    let is_deleted = |line: &&Json| line["values"]["x"].as_i64().is_some_and(|x| deleted.contains(&x));
    assert_eq!(rows_in_state(&lines, "pairs", "live").count(), 720);
    assert_eq!(rows_in_state(&lines, "pairs", "live").filter(is_deleted).count(), 0);
    let gone = rows_in_state(&lines, "pairs", "deleted");
    assert!(gone.clone().all(|line| is_deleted(&line)) && gone.count() >= 170);
    Ok(())
}

#[test]
fn a_copy_from_which_a_live_row_without_row_id_differs_by_flipped_bits_is_no_older_version() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The journal stays, with the page as it was before the last row came.
    store(
        &path,
        "PRAGMA page_size = 8192; PRAGMA secure_delete = off; PRAGMA journal_mode = persist;
         CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO settings SELECT 'setting ' || i, 'value number ' || i || ' of this store' FROM n;
         INSERT INTO settings VALUES ('zoo', 'the last one');",
    )?;
    let mut bytes = fs::read(&path)?;
    let of_value = |i: usize| format!("value number {i} of this store").into_bytes();
    for i in [7, 21, 33, 48] {
        let value = of_value(i);
        let at = bytes.windows(value.len()).position(|seen| seen == value).ok_or("a value")?;
        bytes[at + 2] ^= 2;
    }
    // A pointer tells that the page is damaged.
    bytes[8192 + 8 + 10] ^= 0x80;
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let gone: Vec<&Json> = lines.iter().filter(|line| line["state"] != "live").collect();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(rows_in_state(&lines, "settings", "live").count() >= 60);
    Ok(())
}

#[test]
fn rows_that_a_log_deleted_come_back_though_live_ones_have_the_same_cells_and_another_table_lost_a_page()
-> Done {
    let folder = folder()?;
    let live = folder.path().join("live.db");
    let connection = Connection::open(&live)?;
    connection.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT);
         CREATE TABLE letters(letter TEXT, flag INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO letters SELECT char(97 + i % 20), i % 2 FROM n;
         INSERT INTO words SELECT rowid, 'the word with number ' || rowid FROM letters;
         PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM letters WHERE rowid BETWEEN 100 AND 150;",
    )?;
    let path = folder.path().join("store.db");
    fs::copy(&live, &path)?;
    fs::copy(folder.path().join("live.db-wal"), folder.path().join("store.db-wal"))?;
    drop(connection);
    let bytes = fs::read(&path)?;
    let is_of_words = |page: &&usize| {
        let page = &bytes[**page * 1024..(**page + 1) * 1024];
        page[0] == 13 && page.windows(14).any(|text| text == b"with number 25")
    };
    let lost = (1..bytes.len() / 1024).find(|page| is_of_words(&page)).expect("a leaf of words");
    overwrite(&path, lost * 1024..(lost + 1) * 1024, 0x5a)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(rows_in_state(&lines, "letters", "live").count(), 349);
    assert_eq!(rows_in_state(&lines, "letters", "deleted").count(), 51);
    Ok(())
}

#[test]
fn short_rows_that_vacuum_gave_other_ids_are_known_by_their_order_where_the_catalogue_of_before_is_lost()
-> Done {
    let folder = folder()?;
    let live = folder.path().join("live.db");
    let connection = Connection::open(&live)?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA secure_delete = off;
         CREATE TABLE letters(letter TEXT, flag INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO letters SELECT char(97 + (i * i) % 23), i * 7 % 5 = 2 FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM letters WHERE rowid % 3 = 0;
         VACUUM;",
    )?;
    let path = folder.path().join("store.db");
    fs::copy(&live, &path)?;
    fs::copy(folder.path().join("live.db-wal"), folder.path().join("store.db-wal"))?;
    drop(connection);
    overwrite(&path, 0..512, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let count = |state: &str| rows_in_state(&lines, "letters", state).count();
    assert_eq!((count("live"), count("deleted"), count("superseded")), (200, 100, 0));
    Ok(())
}
