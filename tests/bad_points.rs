//! What is said of a log or a journal that is of no use, and of points that are none?

use crate::support::{Done, Ran, folder, mudlark, store};
use crate::workload::{copied, with_journal};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

/// A store whose main file holds one row, and whose log two commits.
fn logged(folder: &Path) -> Done<PathBuf> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a); INSERT INTO t VALUES ('main');
         PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES ('one'); INSERT INTO t VALUES ('two');",
    )?;
    copied(folder)
}

fn replay(store: &Path, point: &str, further: &[&str]) -> Done<Ran> {
    let out = store.with_file_name("out.db");
    let _ = fs::remove_file(&out);
    let arguments = ["replay".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref(), "-o".as_ref()];
    mudlark(
        arguments.into_iter().chain([out.as_os_str()]).chain(further.iter().map(|option| option.as_ref())),
    )
}

/// Every command that takes a point serves the database alone, and names what is wrong with its log.
fn serves_the_database_alone(store: &Path, named: &str) -> Done {
    for point in ["last", "commit:0", "checkpoint"] {
        let ran = replay(store, point, &[])?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert_eq!(fs::read(store.with_file_name("out.db"))?, fs::read(store)?);
        assert!(point == "checkpoint" || ran.err.contains(named), "{}", ran.err);
        assert!(point == "checkpoint" || ran.err.contains("the database alone is served"), "{}", ran.err);
        let recover = ["recover".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref()];
        let ran = mudlark(recover.into_iter().chain(["--jsonl".as_ref(), "-".as_ref()]))?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert_eq!(ran.lines()?.iter().filter(|line| line["state"] == "live").count(), 1);
        assert!(point == "checkpoint" || ran.err.contains(named), "{}", ran.err);
    }
    let ran = mudlark(["timeline".as_ref(), store.as_os_str()])?;
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(ran.out.contains(named) && ran.out.contains("the database alone is served"), "{}", ran.out);
    assert!(!ran.out.contains("commit:"), "{}", ran.out);
    let all = ["--from", "commit:0", "--to", "last"].map(AsRef::as_ref);
    let ran = mudlark(["diff".as_ref(), store.as_os_str()].into_iter().chain(all))?;
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(ran.out.contains("no difference") && ran.err.contains(named), "{} {}", ran.out, ran.err);
    let ran = replay(store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    assert!(ran.err.contains("commit:1: no such point; the database alone has commit:0"), "{}", ran.err);
    assert!(!store.with_file_name("out.db").exists());
    Ok(())
}

#[test]
fn a_log_without_a_byte_is_named_and_the_database_alone_is_served() -> Done {
    let folder = folder()?;
    let store = logged(folder.path())?;
    fs::write(folder.path().join("store.db-wal"), b"")?;
    serves_the_database_alone(&store, "store.db-wal is empty: ")
}

#[test]
fn a_log_with_a_broken_header_that_no_frame_proves_is_named_and_the_database_alone_is_served() -> Done {
    let folder = folder()?;
    let store = logged(folder.path())?;
    let log = folder.path().join("store.db-wal");
    let sound = fs::read(&log)?;
    for (at, named) in [(0, "wal.magic at 0x0"), (20, "wal.checksum at 0x18")] {
        let mut bytes = sound.clone();
        bytes[at] ^= 1 << 6;
        bytes[100] ^= 1;
        fs::write(&log, &bytes)?;
        serves_the_database_alone(&store, &format!("the header of store.db-wal is broken ({named}): "))?;
    }
    Ok(())
}

#[test]
fn a_log_of_another_page_size_is_named_and_the_database_alone_is_served() -> Done {
    let folder = folder()?;
    let path = logged(folder.path())?;
    let other = folder.path().join("other");
    fs::create_dir(&other)?;
    let connection = Connection::open(other.join("live.db"))?;
    connection.execute_batch("PRAGMA page_size = 512; PRAGMA journal_mode = wal; CREATE TABLE u(x);")?;
    fs::copy(other.join("live.db-wal"), folder.path().join("store.db-wal"))?;
    let named = "its pages are of 512 bytes, those of the database of 4096";
    serves_the_database_alone(&path, named)
}

#[test]
fn a_store_without_a_log_has_no_point_but_its_main_file() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")?;
    let ran = replay(&path, "last", &[])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("no write-ahead log: there is no point but `checkpoint`"), "{}", ran.err);
    assert_eq!(replay(&path, "checkpoint", &[])?.status, Some(0));
    let ran = replay(&path, "time:2026-11-20T12:00:00Z", &[])?;
    assert_eq!(ran.status, Some(2));
    Ok(())
}

#[test]
fn a_point_of_a_generation_that_is_not_there_is_refused_with_the_nearest_ones() -> Done {
    let folder = folder()?;
    let store = logged(folder.path())?;
    for (point, nearest) in [
        ("commit:3", "the nearest are commit:0, commit:1 and commit:2"),
        ("commit:4000000000", "the nearest are commit:0, commit:1 and commit:2"),
        ("g00000001-00000002:1", "the nearest are commit:0, commit:1 and commit:2"),
    ] {
        let ran = replay(&store, point, &["--partial", "--force-frames"])?;
        assert_eq!(ran.status, Some(2), "{}", ran.err);
        assert!(
            ran.err.contains(&format!("{point}: no such point; ")) && ran.err.contains(nearest),
            "{}",
            ran.err
        );
    }
    Ok(())
}

#[test]
fn a_damaged_journal_is_not_rolled_back_in_part_unless_that_is_asked_for() -> Done {
    let folder = folder()?;
    let work = "UPDATE t SET name = 'changed' WHERE id % 100 = 3;";
    let store = with_journal(
        folder.path(),
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;",
        &format!("BEGIN; {work} UPDATE t SET name = name WHERE id = 1000; SELECT count(*) FROM t;"),
    )?;
    assert_eq!(replay(&store, "last", &[])?.status, Some(0));
    let rolled_back = fs::read(folder.path().join("out.db"))?;
    let engine = folder.path().join("engine.db");
    fs::copy(&store, &engine)?;
    fs::copy(folder.path().join("store.db-journal"), folder.path().join("engine.db-journal"))?;
    let connection = Connection::open(&engine)?;
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM t WHERE name = 'changed'", [], |row| row.get(0))?;
    assert_eq!(rows, 0);
    assert!(fs::read(&engine)? == rolled_back);
    // A byte that the checksum covers, of the second record, which may be the first one of the second segment.
    let journal = folder.path().join("store.db-journal");
    let mut bytes = fs::read(&journal)?;
    let second = 512 + if bytes[11] > 1 { 8 + 4096 } else { (512_usize + 8 + 4096).next_multiple_of(512) };
    bytes[second + 4 + 4096 - 200] ^= 1;
    fs::write(&journal, &bytes)?;
    let ran = replay(&store, "last", &[])?;
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    assert!(ran.err.contains("last can't be proved: the journal is damaged at 0x"), "{}", ran.err);
    let ran = replay(&store, "last", &["--force-frames"])?;
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    assert!(ran.err.contains("the records of the journal are damaged: t (pages "), "{}", ran.err);
    let ran = replay(&store, "last", &["--force-frames", "--partial"])?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert!(ran.err.contains(": its damaged bytes in store.db-journal at 0x"), "{}", ran.err);
    let given = fs::read(folder.path().join("out.db"))?;
    let other = given.iter().zip(&rolled_back).filter(|(given, sound)| given != sound).count();
    assert_eq!((given.len(), other), (rolled_back.len(), 1));
    Ok(())
}

#[test]
fn a_journal_from_before_the_log_stands_in_for_no_page_that_a_checkpoint_has_overwritten() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    // Its last transaction before the log leaves a journal whose header is zeros.
    connection.execute_batch(
        "PRAGMA journal_mode = persist; CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES ('first');
         INSERT INTO u VALUES (1);",
    )?;
    connection.execute_batch("UPDATE t SET a = 'before the log'")?;
    let journal = fs::read(folder.path().join("live.db-journal"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; UPDATE t SET a = 'in the log';",
    )?;
    let reader = Connection::open(folder.path().join("live.db"))?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM t;")?;
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE); UPDATE u SET a = 2;")?;
    let store = copied(folder.path())?;
    fs::write(folder.path().join("store.db-journal"), journal)?;
    let ran = replay(&store, "commit:0", &[])?;
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    assert!(
        ran.err.contains("a later checkpoint has overwritten") && ran.err.contains("t (pages "),
        "{}",
        ran.err
    );
    let ran = replay(&store, "commit:1", &[])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let replayed = Connection::open(folder.path().join("out.db"))?;
    let found: (String, i64) =
        replayed.query_row("SELECT t.a, u.a FROM t, u", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    assert_eq!(found, ("in the log".to_owned(), 1));
    Ok(())
}
