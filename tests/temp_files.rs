//! Do rows come back from temp files, and is none of them told as live?
//!
//! SQLite unlinks its temp files when it opens them. While a statement runs they are copied from the descriptors of
//! this process, those of a test told from others by a word that its rows hold.

use crate::support::{Done, folder, mudlark, recovered_lines};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Rows of `people`, each with `word` in its name.
fn people(connection: &Connection, word: &str) -> Done {
    connection.execute_batch(&format!(
        "PRAGMA secure_delete = on; PRAGMA temp_store = file; PRAGMA cache_size = 8; PRAGMA temp.cache_size = 5;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, city TEXT, points INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
         INSERT INTO people SELECT i, '{word} ' || (i * 7919 % 10007), 'city ' || (i % 97), i * 31 FROM n;"
    ))?;
    Ok(())
}

/// Runs SQL, and copies the temp files that hold `word` while it runs; the longest copy of each is kept.
fn copied(connection: &mut Connection, word: &str, sql: &str, folder: &Path) -> Done<Vec<PathBuf>> {
    let (word, to) = (word.to_owned(), folder.to_owned());
    let copy = move || {
        let links = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
        for link in links.map(|entry| entry.path()) {
            let Ok(target) = fs::read_link(&link) else { continue };
            let target = target.to_string_lossy().into_owned();
            let Some(name) = target.strip_suffix(" (deleted)").and_then(|path| path.rsplit('/').next())
            else {
                continue;
            };
            // Newer versions of SQLite open temp files without a name.
            let name = format!("etilqs_{}", name.trim_start_matches("etilqs_").trim_start_matches('#'));
            let bytes = fs::read(&link).unwrap_or_default();
            let to = to.join(&name);
            let known = fs::metadata(&to).map_or(0, |known| known.len());
            let holds = bytes.windows(word.len()).any(|bytes| bytes == word.as_bytes());
            if bytes.len() as u64 > known && holds {
                fs::write(&to, bytes).unwrap();
            }
        }
        false
    };
    connection.progress_handler(4000, Some(copy))?;
    connection.execute_batch(sql)?;
    connection.progress_handler(0, None::<fn() -> bool>)?;
    let found = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Done<BTreeSet<_>>>()?;
    Ok(found.into_iter().filter(|path| path.file_name().is_some_and(|name| name != "store.db")).collect())
}

/// Recovers a store together with its temp files; rows below the confidence `least` are left out.
fn recovered(store: &Path, temps: &[PathBuf], least: &str) -> Done<Vec<Json>> {
    let mut further: Vec<&str> = temps.iter().filter_map(|path| path.to_str()).collect();
    further.extend(["--min-confidence", least]);
    recovered_lines(store, &further)
}

/// The rows of `people` by their ids.
fn rows(connection: &Connection) -> Done<BTreeMap<i64, Vec<Json>>> {
    let rows = crate::support::rows(connection, "SELECT id, name, city, points FROM people")?;
    let row = |row: Json| Some((row[0].as_i64()?, row.as_array()?.clone()));
    Ok(rows.into_iter().filter_map(row).collect())
}

const COLUMNS: [&str; 4] = ["id", "name", "city", "points"];

/// Checks that the live rows are those of the store, and that each row of `people` that is gone is one that stood
/// there before; returns the ids of these by their state.
fn checked(
    lines: &[Json],
    before: &BTreeMap<i64, Vec<Json>>,
    now: &BTreeMap<i64, Vec<Json>>,
    method: &str,
) -> BTreeMap<String, BTreeSet<i64>> {
    let mut gone: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut live = 0;
    for line in lines.iter().filter(|line| line["table"] == "people") {
        let state = line["state"].as_str().unwrap_or_default();
        let id = line["rowid"].as_i64().unwrap_or_default();
        let of = if state == "live" { now } else { before };
        let known = of.get(&id).map_or(&[][..], Vec::as_slice);
        let cells: Vec<&Json> = COLUMNS.iter().map(|column| &line["values"][column]).collect();
        for (column, (cell, known)) in COLUMNS.iter().zip(cells.iter().zip(known)) {
            assert!(cell.is_null() || *cell == known, "{column} of {line}");
        }
        assert!(!known.is_empty(), "{line}");
        if state == "live" {
            live += 1;
            continue;
        }
        assert_ne!(now.get(&id), Some(&known.to_vec()), "a live row told as gone: {line}");
        let evidence = line["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
        // Pages of an index are journalled, too.
        let of = |evidence: &Json| evidence["method"] == method || evidence["method"] == "index_entry";
        assert!(evidence.iter().any(of), "{line}");
        let source = evidence[0]["spans"][0]["source"].as_str().unwrap_or_default();
        assert!(source.starts_with("etilqs_"), "{line}");
        gone.entry(state.to_owned()).or_default().insert(id);
    }
    assert_eq!(live, now.len());
    gone
}

#[test]
fn a_statement_journal_holds_rows_as_they_were_before_the_statement() -> Done {
    for mode in ["delete", "wal"] {
        let folder = folder()?;
        let path = folder.path().join("store.db");
        let mut connection = Connection::open(&path)?;
        let word = format!("statement {mode}");
        connection.execute_batch(&format!("PRAGMA page_size = 1024; PRAGMA journal_mode = {mode};"))?;
        people(&connection, &word)?;
        connection.execute_batch(
            "CREATE UNIQUE INDEX named ON people(name); BEGIN; UPDATE people SET points = points + 1;",
        )?;
        let before = rows(&connection)?;
        let change = "UPDATE people SET name = 'another ' || id WHERE id % 2 = 0";
        let temps = copied(&mut connection, &word, change, folder.path())?;
        connection.execute_batch("COMMIT; PRAGMA wal_checkpoint(truncate);")?;
        let now = rows(&connection)?;
        connection.close().map_err(|(_, error)| error)?;
        assert_eq!(temps.iter().filter(|temp| temp.extension().is_none()).count(), 1);
        let lines = recovered(&path, &temps, "0.5")?;
        let gone = checked(&lines, &before, &now, "statement_journal");
        assert_eq!(gone.keys().map(String::as_str).collect::<Vec<_>>(), ["superseded"]);
        assert!(gone["superseded"].len() > 3000, "{}", gone["superseded"].len());
        assert!(
            lines.iter().all(|line| line["table"].as_str().is_some_and(|name| !name.starts_with("lost")))
        );
        assert!(lines.iter().all(|line| line["state"] == "live" || line["transaction"] == "unknown"));
        let alone = recovered_lines(&temps[0], &[])?;
        assert!(alone.len() > 3000 && alone.iter().all(|line| line["state"] != "live"), "{}", alone.len());
    }
    Ok(())
}

/// Deletes rows so that the store itself keeps no byte of them.
fn wipe(connection: &Connection) -> Done {
    connection.execute_batch("DELETE FROM people WHERE id % 3 = 0; VACUUM;")?;
    Ok(())
}

#[test]
fn what_a_vacuum_has_copied_holds_rows_that_were_deleted_since() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let mut connection = Connection::open(&path)?;
    people(&connection, "vacuumed row")?;
    let before = rows(&connection)?;
    let temps = copied(&mut connection, "vacuumed row", "VACUUM", folder.path())?;
    wipe(&connection)?;
    let now = rows(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    let gone = checked(&recovered(&path, &temps, "0.5")?, &before, &now, "temp_page");
    assert_eq!(gone.keys().map(String::as_str).collect::<Vec<_>>(), ["deleted"]);
    assert!(gone["deleted"].len() > 2000, "{}", gone["deleted"].len());
    // The folder that holds both is one store, too.
    let ran =
        mudlark([OsStr::new("recover"), folder.path().as_os_str(), OsStr::new("--jsonl"), OsStr::new("-")])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(checked(&ran.lines()?, &before, &now, "temp_page"), gone);
    Ok(())
}

#[test]
fn what_a_sorter_spilled_is_told_by_the_rows_that_still_stand() -> Done {
    for (word, sql, columns) in [
        ("sorted row", "SELECT name, points, id FROM people ORDER BY city || name", 3),
        ("indexed row", "CREATE INDEX by_name ON people(name, city)", 3),
    ] {
        let folder = folder()?;
        let path = folder.path().join("store.db");
        let mut connection = Connection::open(&path)?;
        connection.execute_batch("PRAGMA page_size = 512;")?;
        people(&connection, word)?;
        let before = rows(&connection)?;
        let temps = copied(&mut connection, word, sql, folder.path())?;
        connection.execute_batch("DROP INDEX IF EXISTS by_name")?;
        wipe(&connection)?;
        let now = rows(&connection)?;
        connection.close().map_err(|(_, error)| error)?;
        let lines = recovered(&path, &temps, "0")?;
        let gone = checked(&lines, &before, &now, "spilled_record");
        assert_eq!(gone.keys().map(String::as_str).collect::<Vec<_>>(), ["deleted"], "{word}");
        assert!(gone["deleted"].len() > 1500, "{word}: {}", gone["deleted"].len());
        let partial = lines.iter().filter(|line| line["state"] == "deleted");
        let given = |line: &&Json| line["values"].as_object().map_or(0, |values| values.len());
        assert!(partial.map(|line| given(&line)).all(|given| given == columns), "{word}");
        let alone = recovered_lines(&temps[0], &[])?;
        assert!(alone.iter().all(|line| line["table"] == "lost_1" && line["state"] == "unknown"));
        assert!(alone.len() > gone["deleted"].len());
    }
    Ok(())
}

#[test]
fn a_temp_table_that_was_made_of_rows_holds_those_that_were_deleted_since() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let mut connection = Connection::open(&path)?;
    connection.execute_batch("PRAGMA page_size = 1024;")?;
    people(&connection, "chosen row")?;
    let before = rows(&connection)?;
    let make = "CREATE TEMP TABLE chosen AS SELECT points, name, id FROM people;
        CREATE INDEX temp.chosen_name ON chosen(name);";
    let temps = copied(&mut connection, "chosen row", make, folder.path())?;
    wipe(&connection)?;
    let now = rows(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    let lines = recovered(&path, &temps, "0")?;
    let gone = checked(&lines, &before, &now, "temp_page");
    assert_eq!(gone.keys().map(String::as_str).collect::<Vec<_>>(), ["deleted"]);
    assert!(gone["deleted"].len() > 2000, "{}", gone["deleted"].len());
    Ok(())
}

#[test]
fn a_damaged_database_beside_another_one_is_no_temp_file() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    people(&connection, "sound row")?;
    connection.close().map_err(|(_, error)| error)?;
    let mut bytes = fs::read(&path)?;
    bytes[..4096].fill(0);
    let damaged = folder.path().join("damaged.db");
    fs::write(&damaged, bytes)?;
    let out = tempfile::tempdir()?;
    let folder_name = format!("{}/", out.path().join("out").display());
    let ran = mudlark([
        OsStr::new("recover"),
        folder.path().as_os_str(),
        OsStr::new("-o"),
        OsStr::new(&folder_name),
    ])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(ran.out.matches("9 000 live").count(), 2, "{}", ran.out);
    Ok(())
}
