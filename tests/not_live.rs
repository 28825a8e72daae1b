//! Are rows that are gone kept from passing as live where damage hides that they are?

use crate::support::{Done, folder, overwrite, recovered_lines, recovered_with_schema, rows_in_state, store};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// The number in four bytes of a file.
fn number(path: &Path, at: usize) -> Done<usize> {
    let bytes = fs::read(path)?;
    let found = bytes.get(at..at + 4).ok_or("the file is too short")?;
    Ok(u32::from_be_bytes(found.try_into()?) as usize)
}

/// Makes a store of 1024-byte pages, and takes the definitions on its first page and the first list of free pages.
fn without_list(path: &Path, sql: &str) -> Done {
    store(path, &format!("PRAGMA page_size = 1024; {sql}"))?;
    let trunk = number(path, 32)?;
    assert!(trunk > 1, "nothing is free");
    let trunk_at = (trunk - 1) * 1024;
    overwrite(path, 512..1024, 0)?;
    overwrite(path, trunk_at..trunk_at + 512, 0)
}

const NOTES: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)";

#[test]
fn a_dropped_table_is_not_live_where_the_count_of_free_pages_tells_that_its_pages_are_free() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let script = format!(
        "CREATE TABLE orders(id INTEGER PRIMARY KEY, customer TEXT, total REAL, status TEXT);
         CREATE TABLE items(id INTEGER PRIMARY KEY, sku TEXT);
         {NOTES} INSERT INTO orders SELECT i, 'customer ' || i, i * 1.25, 'paid' FROM n;
         {NOTES} INSERT INTO items SELECT i, 'item ' || i FROM n;
         DROP TABLE orders;"
    );
    without_list(&path, &script)?;
    let lines = recovered_with_schema(&path, "CREATE TABLE items(id INTEGER PRIMARY KEY, sku TEXT);")?;
    assert_eq!(rows_in_state(&lines, "items", "live").count(), 1200);
    assert_eq!(rows_in_state(&lines, "lost_1", "live").count(), 0);
    let deleted = rows_in_state(&lines, "lost_1", "deleted").count();
    assert!(deleted > 1100, "{deleted} of 1200");
    Ok(())
}

#[test]
fn rows_on_pages_that_the_pointer_map_calls_free_are_not_live_where_the_list_of_them_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let table = "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT, kind TEXT);";
    let script = format!(
        "PRAGMA auto_vacuum = incremental; {table}
         {NOTES} INSERT INTO notes SELECT i, 'note ' || i || ' about ' || (i * i), 'kind' FROM n;
         DELETE FROM notes;"
    );
    without_list(&path, &script)?;
    let lines = recovered_with_schema(&path, table)?;
    assert_eq!(rows_in_state(&lines, "notes", "live").count(), 0);
    let deleted = rows_in_state(&lines, "notes", "deleted").count();
    assert!(deleted > 1100, "{deleted} of 1200");
    Ok(())
}

#[test]
fn a_page_that_was_free_before_the_last_transaction_stands_in_for_no_page() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let table = "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);";
    store(
        &path,
        &format!(
            "PRAGMA journal_mode = persist; {table}
             {NOTES} INSERT INTO notes SELECT i, 'note ' || i FROM n WHERE i < 100;
             DROP TABLE notes;
             BEGIN; {table} INSERT INTO notes VALUES (200, 'the only one'); COMMIT;"
        ),
    )?;
    overwrite(&path, 4096..2 * 4096, 0xa5)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(rows_in_state(&lines, "notes", "live").count(), 0);
    let deleted = rows_in_state(&lines, "notes", "deleted").count();
    assert!(deleted > 90, "{deleted} of 99");
    Ok(())
}

#[test]
fn a_row_that_its_leaf_had_lost_already_is_not_live_when_the_leaf_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        &format!(
            "PRAGMA journal_mode = persist; CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
             {NOTES} INSERT INTO notes SELECT i, 'note ' || i FROM n;
             DELETE FROM notes WHERE id % 3 = 2;
             UPDATE notes SET body = 'mine' WHERE id % 50 = 1;"
        ),
    )?;
    overwrite(&path, 2 * 4096..3 * 4096, 0xa5)?;
    let lines = recovered_lines(&path, &[])?;
    let live = rows_in_state(&lines, "notes", "live").filter_map(|line| line["values"]["id"].as_i64());
    let gone: Vec<i64> = live.filter(|id| id % 3 == 2).collect();
    assert!(gone.is_empty(), "{gone:?}");
    assert!(rows_in_state(&lines, "notes", "live").count() >= 790);
    Ok(())
}

#[test]
fn only_rows_between_the_cells_beside_lost_ones_come_back_live_of_a_without_rowid_table() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        &format!(
            "CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT) WITHOUT ROWID;
             {NOTES} INSERT INTO words SELECT i, 'word ' || i || ' of ' || (i * i) FROM n WHERE i < 300;
             DELETE FROM words WHERE id < 40;"
        ),
    )?;
    let ids = |lines: &[Json]| -> Vec<i64> {
        rows_in_state(lines, "words", "live").filter_map(|line| line["values"]["id"].as_i64()).collect()
    };
    let mut before = ids(&recovered_lines(&path, &[])?);
    before.sort_unstable();
    assert_eq!(before.len(), 260);
    // The root still has the rows that stood on it before it led to leaves, those that were deleted since too. A sector of
    // the first leaf goes.
    overwrite(&path, 2 * 4096 + 2048..2 * 4096 + 2560, 0)?;
    let mut after = ids(&recovered_lines(&path, &[])?);
    after.sort_unstable();
    assert_eq!(after, before);
    Ok(())
}

#[test]
fn rows_that_a_division_moved_to_a_lost_page_come_back_from_the_freeblocks_that_it_left() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Ids in between divide leaves in their middle.
    store(
        &path,
        &format!(
            "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
             {NOTES} INSERT INTO notes SELECT i * 10, 'note ' || i FROM n WHERE i < 400;
             {NOTES} INSERT INTO notes SELECT i * 10 + 5, 'late note ' || i FROM n WHERE i < 150;"
        ),
    )?;
    let pages = fs::metadata(&path)?.len() as usize / 4096;
    overwrite(&path, (pages - 1) * 4096..pages * 4096, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let on_freed = |line: &&Json| line["evidence"][0]["method"] == "freeblock";
    // The first cell of a block has lost its head, and with it its id.
    assert!(rows_in_state(&lines, "notes", "deleted").filter(on_freed).count() <= 1);
    let moved =
        |line: &&Json| line["evidence"][0]["page"] == 4 && line["evidence"][0]["method"] == "salvaged_cell";
    let moved: Vec<i64> = rows_in_state(&lines, "notes", "live")
        .filter(moved)
        .filter_map(|line| line["rowid"].as_i64())
        .collect();
    assert!(moved.len() >= 5, "{moved:?}");
    Ok(())
}

#[test]
fn rows_of_a_lost_root_come_back_from_a_trunk_of_the_freelist_where_an_index_has_them() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        &format!(
            "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
             CREATE INDEX by_body ON notes(body);
             {NOTES} INSERT INTO notes SELECT i, 'note ' || (i * 7919 % 1201) FROM n WHERE i < 500;
             DELETE FROM notes WHERE id > 150;"
        ),
    )?;
    assert!(number(&path, 32)? > 2, "no page is free");
    overwrite(&path, 4096..2 * 4096, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let whole = |line: &&Json| line["missing"] == json!([]);
    let ids = rows_in_state(&lines, "notes", "live").filter(whole).filter_map(|line| line["rowid"].as_i64());
    let mut ids: Vec<i64> = ids.collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=150).collect::<Vec<i64>>());
    Ok(())
}
