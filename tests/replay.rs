//! Is a replayed store, to the byte, what its engine would have left, and is a point that is lost refused?

use crate::support::{Done, folder, mudlark, snapshot};
use crate::workload::{SETTINGS, copied, timeline, worked};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the engine makes of the store when its log is cut behind so many frames.
fn by_engine(folder: &Path, store: &Path, page_size: u32, frames: u64) -> Done<Vec<u8>> {
    let cut = folder.join("cut.db");
    fs::copy(store, &cut)?;
    let log = fs::read(store.with_file_name("store.db-wal"))?;
    let length = 32 + frames as usize * (24 + page_size as usize);
    fs::write(folder.join("cut.db-wal"), &log[..length])?;
    let connection = Connection::open(&cut)?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let bytes = fs::read(&cut)?;
    connection.close().map_err(|(_, error)| error)?;
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(format!("cut.db{ending}")));
    }
    Ok(bytes)
}

/// The store at a point, or why it can't be reached.
fn replayed(folder: &Path, store: &Path, point: &str) -> Done<Result<Vec<u8>, String>> {
    let out = folder.join("out.db");
    let arguments = ["replay".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref(), "-o".as_ref()];
    let ran = mudlark(arguments.into_iter().chain([out.as_os_str(), "--force".as_ref()]))?;
    match ran.status {
        Some(0) => Ok(Ok(fs::read(&out)?)),
        Some(2) => Ok(Err(ran.err)),
        other => Err(format!("{other:?}: {}", ran.err).into()),
    }
}

/// The last frame of each commit of the current generation.
fn ends(told: &Json) -> Vec<u64> {
    let commits = told["commits"].as_array().into_iter().flatten();
    commits.filter_map(|commit| commit["frames"]["last"].as_u64()).collect()
}

#[test]
fn every_point_of_a_log_is_byte_for_byte_what_the_engine_makes_of_a_log_that_is_cut_there() -> Done {
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate() {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        worked(&connection, &folder.path().join("live.db-wal"), seed)?;
        let store = copied(folder.path())?;
        let before = snapshot(folder.path())?;
        let ends = ends(&timeline(&store)?);
        assert!(ends.len() >= 40, "{} commits", ends.len());
        assert_eq!(replayed(folder.path(), &store, "commit:0")?, Ok(fs::read(&store)?));
        for (number, frames) in ends.iter().enumerate() {
            let point = format!("commit:{}", number + 1);
            let engine = by_engine(folder.path(), &store, page_size, *frames)?;
            let replayed = replayed(folder.path(), &store, &point)?;
            assert!(replayed.is_ok_and(|bytes| bytes == engine), "page size {page_size}, {point}");
        }
        fs::remove_file(folder.path().join("out.db"))?;
        let after = snapshot(folder.path())?;
        assert!(
            before.iter().filter(|(name, _)| *name != ".").all(|(name, seen)| after.get(name) == Some(seen))
        );
    }
    Ok(())
}

#[test]
fn a_point_that_a_checkpoint_has_overwritten_is_refused_and_never_mixed() -> Done {
    let (mut reached, mut refused) = (0, 0);
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate().take(3) {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        worked(&connection, &folder.path().join("live.db-wal"), seed)?;
        let store = copied(folder.path())?;
        let ends = ends(&timeline(&store)?);
        let engine: Vec<Vec<u8>> = ends
            .iter()
            .map(|frames| by_engine(folder.path(), &store, page_size, *frames))
            .collect::<Done<_>>()?;
        // A reader that keeps the checkpoint from going on, and work behind it.
        let other = Connection::open(folder.path().join("live.db"))?;
        other.execute_batch("BEGIN; SELECT count(*) FROM people;")?;
        let further: String = (0..20)
            .map(|step| format!("INSERT INTO people(name) VALUES ('later {step}'); UPDATE loose SET b = {step} WHERE rowid < 9;"))
            .collect();
        connection.execute_batch(&format!("{further} PRAGMA wal_checkpoint(PASSIVE);"))?;
        let store = copied(folder.path())?;
        for (number, engine) in engine.iter().enumerate() {
            match replayed(folder.path(), &store, &format!("commit:{}", number + 1))? {
                Ok(bytes) => {
                    assert!(bytes == *engine, "page size {page_size}, commit {}", number + 1);
                    reached += 1;
                }
                Err(why) => {
                    assert!(why.contains("can't be reached: a later checkpoint"), "{why}");
                    refused += 1;
                }
            }
        }
        assert!(replayed(folder.path(), &store, "last")?.is_ok());
    }
    assert!(reached > 0 && refused > 0, "{reached} reached, {refused} refused");
    Ok(())
}

#[test]
fn a_point_that_does_not_exist_is_refused_with_those_that_do() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE t(a); PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (1);
         INSERT INTO t VALUES (2);",
    )?;
    let store = copied(folder.path())?;
    let why = replayed(folder.path(), &store, "commit:9")?.err().unwrap_or_default();
    assert!(why.contains("commit:9: no such point; its log holds commit:0 to commit:2"), "{why}");
    assert!(why.contains("; the nearest are commit:0, commit:1 and commit:2"), "{why}");
    let why = replayed(folder.path(), &store, "yesterday")?.err().unwrap_or_default();
    assert!(why.contains("yesterday is no point"), "{why}");
    assert!(!folder.path().join("out.db").exists());
    fs::write(folder.path().join("out.db-wal"), b"of another database")?;
    let why = replayed(folder.path(), &store, "last")?.err().unwrap_or_default();
    assert!(why.contains("out.db-wal stands beside it"), "{why}");
    Ok(())
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_replaced() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t(a); INSERT INTO t VALUES (1);")?;
    let store = copied(folder.path())?;
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("out.db"))?;
    let why = replayed(folder.path(), &store, "last")?.err().unwrap_or_default();
    assert!(why.contains("is no regular file; a database needs one"), "{why}");
    Ok(())
}

/// A store whose first and third commits wrote a time, and whose log was last written at another.
fn dated(folder: &Path) -> Done<PathBuf> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE t(a, created_at); PRAGMA wal_checkpoint(TRUNCATE);
         INSERT INTO t VALUES (1, '2024-05-06 10:00:00'); INSERT INTO t VALUES (2, NULL);
         INSERT INTO t VALUES (3, '2024-05-06 12:00:00');",
    )?;
    let store = copied(folder)?;
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_715_000_000);
    fs::File::options().write(true).open(folder.join("store.db-wal"))?.set_modified(written)?;
    Ok(store)
}

#[test]
fn a_moment_is_the_last_commit_that_is_surely_before_it() -> Done {
    let folder = folder()?;
    let store = dated(folder.path())?;
    // The log was last written at 12:53:20.
    for moment in ["time:2024-05-06T12:53:21Z", "time:2024-05-06T14:53:21+02:00", "time:2031-01-01T00:00:00Z"]
    {
        let last = replayed(folder.path(), &store, "commit:3")?;
        assert_eq!(replayed(folder.path(), &store, moment)?, last, "{moment}");
    }
    let out = folder.path().join("out.db");
    let point = ["--until", "time:2031-01-01T00:00:00Z", "--force", "-o"].map(AsRef::as_ref);
    let arguments = ["replay".as_ref(), store.as_os_str()].into_iter().chain(point).chain([out.as_os_str()]);
    let told = mudlark(arguments)?.err;
    assert!(told.contains("as of commit:3: "), "{told}");
    let covered = "which lie between 2024-05-06T10:00:00Z and 2024-05-06T12:53:20Z: what was written since is not there";
    assert!(told.contains(covered), "{told}");
    Ok(())
}

#[test]
fn a_moment_that_leaves_several_commits_lists_them_with_their_intervals_and_writes_nothing() -> Done {
    let folder = folder()?;
    let store = dated(folder.path())?;
    let why = replayed(folder.path(), &store, "time:2024-05-06T11:00:00Z")?.err().unwrap_or_default();
    let lines: Vec<&str> = why.lines().skip(1).map(str::trim).collect();
    assert_eq!(lines.len(), 3, "{why}");
    assert_eq!(lines[0], "commit:0: the state before them");
    for (line, commit) in lines[1..].iter().zip(["commit:1: ", "commit:2: "]) {
        assert!(line.starts_with(&format!("{commit}between 2024-05-06T10:00:00Z (")), "{why}");
        assert!(line.contains(") and 2024-05-06T12:53:20Z (store.db-wal was last written)"), "{why}");
    }
    assert!(!folder.path().join("out.db").exists());
    Ok(())
}

#[test]
fn a_moment_before_all_commits_is_refused_with_what_is_covered() -> Done {
    let folder = folder()?;
    let store = dated(folder.path())?;
    let why = replayed(folder.path(), &store, "time:2024-05-06T09:00:00Z")?.err().unwrap_or_default();
    assert!(why.contains("which lie between 2024-05-06T10:00:00Z and 2024-05-06T12:53:20Z"), "{why}");
    let why = replayed(folder.path(), &store, "time:noon")?.err().unwrap_or_default();
    assert!(why.contains("time:noon is no point: a moment is given as time:2026-11-20T12:00:00Z"), "{why}");
    Ok(())
}
