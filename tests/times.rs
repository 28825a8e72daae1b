//! Do the times of files bound commits, and no more than they prove?

use crate::support::{Done, folder, mudlark};
use crate::workload::{copied, timeline};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const SETUP: &str = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, created_at TEXT); INSERT INTO t(name) VALUES ('first');
    PRAGMA wal_checkpoint(TRUNCATE);";

/// When the main file and the log were last written, as the command prints it.
const MAIN: (u64, &str) = (1_700_000_000, "2023-11-14T22:13:20Z");
const LOG: (u64, &str) = (1_700_003_600, "2023-11-14T23:13:20Z");

fn set_written(path: &Path, seconds: u64) -> Done {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Ok(File::options().write(true).open(path)?.set_modified(time)?)
}

fn opened(folder: &Path) -> Done<Connection> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
    Ok(connection)
}

/// A copy of the store whose files were last written at these times.
fn written(folder: &Path, main: u64, log: u64) -> Done<PathBuf> {
    let store = copied(folder)?;
    set_written(&store, main)?;
    set_written(&folder.join("store.db-wal"), log)?;
    Ok(store)
}

/// For each commit the two ends of its interval.
fn intervals(store: &Path) -> Done<Vec<[Json; 2]>> {
    let told = timeline(store)?;
    let commits = told["commits"].as_array().cloned().unwrap_or_default();
    let ends = |commit: &Json| [commit["not_before"]["time"].clone(), commit["not_after"]["time"].clone()];
    Ok(commits.iter().map(ends).collect())
}

#[test]
fn a_log_of_which_no_checkpoint_copied_a_page_began_after_the_main_file_was_written() -> Done {
    let folder = folder()?;
    let connection = opened(folder.path())?;
    connection.execute_batch(SETUP)?;
    connection.execute_batch("INSERT INTO t(name) VALUES ('second')")?;
    connection.execute_batch("DELETE FROM t WHERE name = 'first'")?;
    let store = written(folder.path(), MAIN.0, LOG.0)?;
    assert_eq!(intervals(&store)?, [[MAIN.1, LOG.1], [MAIN.1, LOG.1]]);
    let replay = |time: &str| {
        let out = folder.path().join("out.db");
        let path = store.as_os_str();
        mudlark([
            "replay".as_ref(),
            path,
            "--until".as_ref(),
            time.as_ref(),
            "--force".as_ref(),
            "-o".as_ref(),
            out.as_os_str(),
        ])
    };
    let before = replay("time:2023-11-14T22:00:00Z")?;
    assert_eq!(before.status, Some(2));
    assert!(before.err.contains(&format!("which lie between {} and {}", MAIN.1, LOG.1)), "{}", before.err);
    let amid = replay("time:2023-11-14T23:00:00Z")?;
    assert!(amid.err.contains("the evidence leaves several commits"), "{}", amid.err);
    assert_eq!(replay("time:2023-11-14T23:30:00Z")?.status, Some(0));
    Ok(())
}

#[test]
fn the_times_of_a_copy_that_lost_those_of_the_files_bound_nothing_from_below() -> Done {
    let folder = folder()?;
    let connection = opened(folder.path())?;
    connection.execute_batch(SETUP)?;
    connection.execute_batch("INSERT INTO t(name) VALUES ('second')")?;
    // Both were made within moments.
    let store = written(folder.path(), MAIN.0, MAIN.0 + 3)?;
    assert_eq!(intervals(&store)?[0][0], Json::Null);
    // A row says that it was written before the main file was.
    connection.execute_batch("INSERT INTO t(created_at) VALUES ('2023-11-01 10:00:00')")?;
    let store = written(folder.path(), MAIN.0, LOG.0)?;
    let ends = intervals(&store)?;
    assert_eq!((&ends[0][0], &ends[1][0]), (&Json::Null, &Json::from("2023-11-01T10:00:00Z")));
    Ok(())
}

#[test]
fn what_a_checkpoint_copied_by_the_count_of_changes_was_committed_before_the_main_file_was_written() -> Done {
    let folder = folder()?;
    let first = opened(folder.path())?;
    first.execute_batch(SETUP)?;
    // Each connection counts on from what it read, where a commit writes page 1.
    let others = [opened(folder.path())?, opened(folder.path())?];
    let add = |connection: &Connection, name: &str| {
        connection.execute("INSERT INTO t(name) VALUES (? || hex(zeroblob(4000)))", [name])
    };
    add(&first, "second")?;
    add(&others[0], "third")?;
    add(&others[1], "fourth")?;
    let reader = opened(folder.path())?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM t;")?;
    // It writes no page 1: what a page becomes behind the reader's state keeps all of it out of the main file.
    first.execute_batch("UPDATE t SET name = 'First' WHERE id = 1")?;
    first.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
    let store = written(folder.path(), MAIN.0, LOG.0)?;
    let ends: Vec<Json> = intervals(&store)?.into_iter().map(|[_, end]| end).collect();
    assert_eq!(ends, [MAIN.1, MAIN.1, MAIN.1, LOG.1]);
    let why = timeline(&store)?["commits"][0]["not_after"]["evidence"].to_string();
    assert!(why.contains("which counts changes up to"), "{why}");
    Ok(())
}

#[test]
fn a_moment_in_rows_behind_the_last_time_of_the_file_that_holds_them_is_not_believed() -> Done {
    let folder = folder()?;
    let connection = opened(folder.path())?;
    connection.execute_batch(SETUP)?;
    connection.execute_batch("INSERT INTO t(created_at) VALUES ('2023-11-14 23:59:00')")?;
    let store = written(folder.path(), LOG.0, LOG.0)?;
    assert_eq!(intervals(&store)?, [[Json::Null, Json::from(LOG.1)]]);
    Ok(())
}
