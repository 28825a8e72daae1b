//! Is a log that belongs to another database told from one that belongs, and nothing of it mixed in?

use crate::support::{Done, Ran, folder, mudlark, overwrite, recovered_lines, rows_in_state, snapshot};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

/// A copy of a store in use, whose last change stands in its log alone.
fn in_use(folder: &Path, name: &str, word: &str, rows: u32) -> Done<PathBuf> {
    let (used, copy) = (folder.join("used.db"), folder.join(name));
    let connection = Connection::open(&used)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO people SELECT i, '{word} number ' || i FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE people SET name = '{word} changed' WHERE id = 3;"
    ))?;
    fs::copy(&used, &copy)?;
    fs::copy(folder.join("used.db-wal"), copy.with_extension("db-wal"))?;
    drop(connection);
    fs::remove_file(used)?;
    Ok(copy)
}

/// Two stores of one application; the first has the log of the second beside it. The path of its own log comes last.
fn exchanged(folder: &Path) -> Done<(PathBuf, PathBuf)> {
    let store = in_use(folder, "store.db", "ada", 100)?;
    let other = in_use(folder, "other.db", "grace", 300)?;
    let own = folder.join("own.log");
    fs::rename(store.with_extension("db-wal"), &own)?;
    fs::rename(other.with_extension("db-wal"), store.with_extension("db-wal"))?;
    fs::remove_file(other)?;
    Ok((store, own))
}

fn ran(command: &str, store: &Path, further: &[&str]) -> Done<Ran> {
    let store = store.to_str().ok_or("path")?;
    mudlark([&[command, store][..], further].concat())
}

const FOREIGN: &str = "store.db-wal belongs to another database, or another state of this one";

#[test]
fn no_row_of_another_databases_log_is_put_out() -> Done {
    let folder = folder()?;
    let (store, _) = exchanged(folder.path())?;
    let before = snapshot(folder.path())?;
    let text: Vec<String> =
        recovered_lines(&store, &["--min-confidence", "0"])?.iter().map(Json::to_string).collect();
    assert_eq!(text.iter().filter(|line| line.contains("ada number")).count(), 100);
    assert!(!text.iter().any(|line| line.contains("grace")));
    assert_eq!(snapshot(folder.path())?, before);
    Ok(())
}

#[test]
fn a_log_whose_header_was_zeroed_is_read_as_its_first_frame_proves_it() -> Done {
    let folder = folder()?;
    let store = in_use(folder.path(), "store.db", "ada", 100)?;
    overwrite(&store.with_extension("db-wal"), 0..32, 0)?;
    let lines = recovered_lines(&store, &[])?;
    let live: Vec<&Json> = rows_in_state(&lines, "people", "live").collect();
    assert_eq!((live.len(), &live[2]["values"]["name"]), (100, &Json::from("ada changed")));
    let ran = ran("timeline", &store, &[])?;
    assert!(ran.out.contains("commit:1"), "{} {}", ran.out, ran.err);
    Ok(())
}

#[test]
fn every_command_says_that_a_log_is_of_another_database() -> Done {
    let folder = folder()?;
    let (store, _) = exchanged(folder.path())?;
    let assessed = ran("assess", &store, &[])?;
    assert!(assessed.out.contains(FOREIGN) && assessed.out.contains("is left out"), "{}", assessed.out);
    assert!(assessed.out.contains("--log "), "{}", assessed.out);
    let verified = ran("verify", &store, &[])?;
    assert!(verified.out.contains("a log of this database; the log is left out"), "{}", verified.out);
    let told = ran("timeline", &store, &[])?;
    assert!(told.out.contains(FOREIGN) && !told.out.contains("commit:1"), "{}", told.out);
    let inspected = ran("inspect", &store, &["--page", "2"])?;
    assert!(inspected.out.contains(FOREIGN), "{}", inspected.out);
    let out = folder.path().join("out.db");
    let replayed = ran("replay", &store, &["--until", "last", "-o", out.to_str().ok_or("path")?])?;
    assert_eq!(replayed.status, Some(2), "{}", replayed.err);
    assert!(replayed.err.contains(FOREIGN) && !out.exists(), "{}", replayed.err);
    Ok(())
}

#[test]
fn a_log_that_the_user_names_is_believed_with_a_warning() -> Done {
    let folder = folder()?;
    let (store, own) = exchanged(folder.path())?;
    let beside = store.with_extension("db-wal");
    let named = ran("assess", &store, &["--log", beside.to_str().ok_or("path")?])?;
    assert!(named.out.contains("is read since it was named"), "{}", named.out);
    assert!(named.out.contains("through its log (1 commit applied)"), "{}", named.out);
    let named = ran("assess", &store, &["--log", own.to_str().ok_or("path")?])?;
    assert!(named.out.contains("through its log (1 commit applied)"), "{}", named.out);
    assert!(!named.out.contains("another database"), "{}", named.out);
    Ok(())
}

#[test]
fn a_databases_own_log_is_read_without_a_word() -> Done {
    let folder = folder()?;
    let store = in_use(folder.path(), "store.db", "ada", 100)?;
    let assessed = ran("assess", &store, &[])?;
    assert!(assessed.out.contains("through its log (1 commit applied)\n"), "{}", assessed.out);
    let lines = recovered_lines(&store, &[])?;
    assert!(lines.iter().any(|line| line.to_string().contains("ada changed")));
    Ok(())
}

#[test]
fn of_a_log_that_changes_every_row_it_is_said_that_nothing_proves_it() -> Done {
    let folder = folder()?;
    let store = in_use(folder.path(), "store.db", "ada", 3)?;
    let connection = Connection::open(&store)?;
    connection.execute_batch(
        "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA wal_autocheckpoint = 0; UPDATE people SET name = 'new ' || id;",
    )?;
    let copy = folder.path().join("copy.db");
    fs::copy(&store, &copy)?;
    fs::copy(store.with_extension("db-wal"), copy.with_extension("db-wal"))?;
    drop(connection);
    let assessed = ran("assess", &copy, &[])?;
    assert!(assessed.out.contains("nothing proves that copy.db-wal belongs to it: "), "{}", assessed.out);
    let lines = recovered_lines(&copy, &[])?;
    assert_eq!(lines.iter().filter(|line| line.to_string().contains("\"new ")).count(), 3);
    Ok(())
}

#[test]
fn the_log_of_a_database_that_was_empty_is_its_own() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    // The main file is written before the first table, which makes sqlite_sequence along with itself.
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE);
         PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE members(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT);
         INSERT INTO members(name) VALUES ('Anna Lund'), ('Bert Holm');",
    )?;
    let lines = ran("recover", &path, &["--jsonl", "-"])?.lines()?;
    drop(connection);
    assert_eq!(rows_in_state(&lines, "members", "live").count(), 2);
    Ok(())
}

#[test]
fn what_is_not_proved_of_a_log_is_said_where_its_states_are_asked_for() -> Done {
    let folder = folder()?;
    let (used, store) = (folder.path().join("used.db"), folder.path().join("store.db"));
    let connection = Connection::open(&used)?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         INSERT INTO people SELECT i, 'number ' || i FROM n; PRAGMA wal_checkpoint(TRUNCATE);",
    )?;
    let copy = || -> Done {
        fs::copy(&used, &store)?;
        fs::copy(folder.path().join("used.db-wal"), store.with_extension("db-wal"))?;
        Ok(())
    };
    const CAUTION: &str = "bring both files from one place";
    connection.execute_batch("UPDATE people SET name = 'changed' WHERE id = 800")?;
    copy()?;
    let told = ran("timeline", &store, &[])?;
    assert!(told.out.contains(CAUTION), "{}", told.out);
    // Once a checkpoint has copied all of it, nothing can be mixed; what comes later may be of a copy from that time.
    let reader = Connection::open(&used)?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM people;")?;
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE);")?;
    copy()?;
    let told = ran("timeline", &store, &[])?;
    assert!(!told.out.contains(CAUTION) && !told.out.contains("nothing proves"), "{}", told.out);
    connection.execute_batch("UPDATE people SET name = 'more' WHERE id = 1;")?;
    copy()?;
    drop(reader);
    let told = ran("timeline", &store, &[])?;
    assert!(told.out.contains(CAUTION), "{}", told.out);
    connection.execute_batch(
        "PRAGMA wal_checkpoint(TRUNCATE); UPDATE people SET name = hex(randomblob(9)) || id * 7;",
    )?;
    copy()?;
    let out = folder.path().join("out.db").display().to_string();
    let undecided = "nothing proves that store.db-wal belongs to it";
    for (command, further) in [
        ("timeline", vec![]),
        ("replay", vec!["--until", "commit:1", "-o", &out]),
        ("diff", vec!["--from", "commit:0", "--to", "commit:1"]),
        ("replay", vec!["--undo", "commit:1", "-o", &out, "--force"]),
        ("recover", vec!["--until", "commit:1", "-o", &out, "--force"]),
    ] {
        let ran = ran(command, &store, &further)?;
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(said.matches(undecided).count(), 1, "{command}: {said}");
    }
    Ok(())
}

#[test]
fn a_definition_that_is_damaged_is_no_other_one() -> Done {
    // A sector that is lost, and a few bytes that are no letters.
    for (at, new) in [(3072, [0; 512].as_slice()), (3500, &[0xf1, 7, 0xa0, 0x81])] {
        let folder = folder()?;
        let (used, store) = (folder.path().join("used.db"), folder.path().join("store.db"));
        let connection = Connection::open(&used)?;
        let remark = "what the office needs to know of people ".repeat(40);
        connection.execute_batch(&format!(
            "PRAGMA page_size = 4096; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT /* {remark} */);
             INSERT INTO people VALUES (1, 'Ada'); PRAGMA wal_checkpoint(TRUNCATE);
             PRAGMA user_version = 7; INSERT INTO people VALUES (2, 'Grace');"
        ))?;
        fs::copy(folder.path().join("used.db-wal"), folder.path().join("store.db-wal"))?;
        let mut bytes = fs::read(&used)?;
        bytes[at..at + new.len()].copy_from_slice(new);
        fs::write(&store, bytes)?;
        let lines = recovered_lines(&store, &[])?;
        let live: Vec<&str> = lines
            .iter()
            .filter(|line| line["state"] == "live" && line["table"] == "people")
            .filter_map(|line| line["values"]["name"].as_str())
            .collect();
        assert_eq!(live, ["Ada", "Grace"], "bytes {at}");
    }
    Ok(())
}
