//! Do index entries in free space give back what is left of rows, and do they tell no live row as gone?

use crate::support::{Done, folder, recovered_lines, store};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::path::Path;

/// The rows in part that `method` gives as gone, by their ids and names.
fn parts(path: &Path) -> Done<Vec<(i64, String, String)>> {
    let lines = recovered_lines(path, &["--min-confidence", "0"])?;
    let of_index = |line: &&Json| line["state"] != "live" && line["evidence"][0]["method"] == "index_entry";
    let part = |line: &Json| {
        let name = line["values"]["name"].as_str()?.to_owned();
        Some((line["rowid"].as_i64()?, name, line["state"].as_str()?.to_owned()))
    };
    Ok(lines.iter().filter(of_index).filter_map(part).collect())
}

const FILL: &str = "PRAGMA secure_delete = off;
    CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, points INTEGER);
    CREATE INDEX by_name ON people(name);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO people SELECT i, printf('a name of some length %05d', i * 7919 % 10007), i * 31 FROM n;";

/// The name of a row as it was filled in.
fn name(id: i64) -> String {
    format!("a name of some length {:05}", id * 7919 % 10007)
}

#[test]
fn an_entry_outlives_the_cell_of_its_row() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The new names are as long, so that the rows take the places of the old ones; their entries go elsewhere.
    let replace = "UPDATE people SET name = printf('z name of some length %05d', id) WHERE id % 40 = 0;";
    store(&path, &format!("{FILL}{replace}"))?;
    let parts = parts(&path)?;
    assert!(parts.len() >= 40, "{} of 75", parts.len());
    for (id, known, state) in &parts {
        assert_eq!((known.as_str(), id % 40), (name(*id).as_str(), 0));
        // The id may have been another row's.
        assert!(matches!(state.as_str(), "superseded" | "unknown"), "{state}");
    }
    let ids: BTreeSet<i64> = parts.iter().map(|(id, ..)| *id).collect();
    assert_eq!(ids.len(), parts.len(), "a version is put out once");
    Ok(())
}

#[test]
fn an_earlier_version_of_a_row_that_is_gone_is_told_as_one_of_several() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let change = "UPDATE people SET name = printf('z name of some length %05d', id) WHERE id % 40 = 0;
        DELETE FROM people WHERE id % 40 = 0;";
    store(&path, &format!("{FILL}{change}"))?;
    let parts = parts(&path)?;
    assert!(parts.len() >= 30, "{} of 75", parts.len());
    for (id, known, state) in parts {
        assert_eq!((known, id % 40), (name(id), 0));
        assert_eq!(state, "unknown", "which of two versions came last, nothing tells");
    }
    Ok(())
}

#[test]
fn an_entry_of_a_row_that_was_found_is_no_row_of_its_own() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, &format!("{FILL} DELETE FROM people WHERE id % 40 = 0;"))?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    let gone: Vec<&Json> = lines.iter().filter(|line| line["state"] != "live").collect();
    assert_eq!(gone.len(), 75);
    assert!(gone.iter().all(|row| row["values"]["points"].is_i64()), "rows in part beside whole ones");
    Ok(())
}

#[test]
fn entries_of_rows_that_stand_are_no_rows_that_are_gone() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Rebuilding moves all entries; the pages that the index had are full of copies.
    store(&path, &format!("{FILL} DROP INDEX by_name; CREATE INDEX by_name ON people(name); REINDEX;"))?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    assert!(lines.iter().all(|line| line["state"] == "live"));
    Ok(())
}

#[test]
fn old_pages_of_an_index_hold_no_rows_of_a_table_without_row_ids() -> Done {
    for mode in ["persist", "wal"] {
        let folder = folder()?;
        let path = folder.path().join("store.db");
        let connection = Connection::open(&path)?;
        // What the index holds, narrower than the table, could be the first columns of its rows.
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = {mode}; PRAGMA secure_delete = off;
             CREATE TABLE settings(key TEXT PRIMARY KEY NOT NULL, value ANY, changed INTEGER, remarks TEXT) WITHOUT ROWID;
             CREATE TABLE media(id INTEGER PRIMARY KEY, title TEXT, taken INTEGER, path TEXT);
             CREATE INDEX by_title ON media(title, taken);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
             INSERT INTO media SELECT i, printf('title %05d', i * 7919 % 10007), 1400000000 + i * 7717 % 100003,
                 'path ' || i FROM n;
             INSERT INTO settings SELECT printf('setting.%04d', id), id * 31, 1500000000 + id, 'a remark ' || id
                 FROM media WHERE id < 300;
             UPDATE media SET title = printf('other %05d', id * 13 % 10007), taken = taken + 5;"
        ))?;
        let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
        let gone_of = |table: &str| {
            let gone = lines.iter().filter(|line| line["table"] == table && line["state"] != "live");
            gone.count()
        };
        assert_eq!((gone_of("settings"), gone_of("media")), (0, 1500), "{mode}");
    }
    Ok(())
}

#[test]
fn pages_of_an_index_that_went_with_its_table_hold_no_rows_of_a_table_of_other_values() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The rows of the new table have other row ids than the entries that the old one's index left.
    store(
        &path,
        "PRAGMA page_size = 1024; PRAGMA secure_delete = off;
         CREATE TABLE data(key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID;
         CREATE TABLE people(name TEXT PRIMARY KEY, age TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO people SELECT 'k:' || i || ':' || (i * 7919), 'aged ' || (i % 90) FROM n;
         INSERT INTO data SELECT CAST('key ' || rowid AS BLOB), CAST('value ' || (rowid * 31) AS BLOB) FROM people;
         CREATE TABLE anew(name TEXT PRIMARY KEY, age TEXT);
         INSERT INTO anew SELECT * FROM people WHERE rowid % 5 <> 2 ORDER BY age;
         DROP TABLE people;
         ALTER TABLE anew RENAME TO people;",
    )?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    let entries = lines.iter().filter(|line| line["table"] == "data" && line["values"]["value"].is_i64());
    assert_eq!(entries.count(), 0);
    assert_eq!(lines.iter().filter(|line| line["table"] == "data" && line["state"] == "live").count(), 300);
    Ok(())
}

#[test]
fn entries_of_the_indexes_of_a_dropped_table_are_no_rows_of_tables_that_take_any_value() -> Done {
    for page_size in [512, 4096, 32768] {
        let folder = folder()?;
        let path = folder.path().join("store.db");
        store(
            &path,
            &format!(
                "PRAGMA page_size = {page_size}; PRAGMA secure_delete = off;
                 CREATE TABLE config(k PRIMARY KEY, v) WITHOUT ROWID; INSERT INTO config VALUES ('version', 4);
                 CREATE TABLE segments(segid, term, pgno, PRIMARY KEY(segid, term)) WITHOUT ROWID;
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11)
                 INSERT INTO segments SELECT 1, CAST('term ' || i AS BLOB), i * 2 FROM n;
                 CREATE TABLE tracks(id INTEGER PRIMARY KEY, path TEXT UNIQUE, year INT, rating INT);
                 CREATE INDEX by_year ON tracks(year, rating);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
                 INSERT INTO tracks SELECT i, '/music/' || (i * 7919 % 10007) || '.flac', 1950 + i * 31 % 70, i % 6 FROM n;
                 DROP TABLE tracks;"
            ),
        )?;
        let lines = recovered_lines(&path, &[])?;
        for table in ["config", "segments"] {
            let made_up = lines.iter().filter(|row| row["table"] == table && row["state"] != "live");
            assert_eq!(made_up.count(), 0, "{table}, pages of {page_size}");
        }
        // The definition of the table may be lost as well.
        let back = lines.iter().filter(|row| row["state"] == "deleted");
        assert!(back.count() >= 1950, "pages of {page_size}");
    }
    Ok(())
}
