//! Is a store read from its log where the main file is lost, or nothing in it can be read?

use crate::support::{Done, folder, mudlark, recovered_lines, rows_in_state};
use crate::workload::copied;
use mudlark_fixtures::rng::Rng;
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: usize = 400;

fn noise(length: usize) -> Vec<u8> {
    Rng::new(7).bytes(length)
}

/// A store whose first rows are in the log, which `later` goes on from.
fn store(folder: &Path, later: &str) -> Done<PathBuf> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(&format!(
        "PRAGMA secure_delete = off; PRAGMA page_size = 1024; PRAGMA journal_mode = wal;
         PRAGMA wal_autocheckpoint = 0; CREATE TABLE members(id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE tags(id INTEGER PRIMARY KEY, tag TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
         INSERT INTO members SELECT i, 'member number ' || i FROM n;
         INSERT INTO tags SELECT id, 'tag ' || id FROM members; {later}"
    ))?;
    copied(folder)
}

#[test]
fn a_main_file_of_noise_gives_way_to_the_log_beside_it() -> Done {
    let folder = folder()?;
    let path = store(folder.path(), "")?;
    fs::write(&path, noise(4096))?;
    let lines = recovered_lines(&path, &[])?;
    for table in ["members", "tags"] {
        assert_eq!(rows_in_state(&lines, table, "live").count(), ROWS, "{table}");
    }
    assert_eq!(lines.len(), 2 * ROWS);
    Ok(())
}

#[test]
fn an_encrypted_database_with_its_log_is_named_as_such() -> Done {
    let folder = folder()?;
    let path = store(folder.path(), "")?;
    let log = path.with_file_name("store.db-wal");
    let mut bytes = fs::read(&log)?;
    let encrypted = noise(bytes.len());
    for (frame, noise) in bytes[32..].chunks_exact_mut(24 + 1024).zip(encrypted.chunks_exact(1024)) {
        frame[24..].copy_from_slice(noise);
    }
    fs::write(&log, bytes)?;
    fs::write(&path, noise(40_960))?;
    for source in [&path, &log] {
        let ran = mudlark(["recover".as_ref(), source.as_os_str(), "--jsonl".as_ref(), "-".as_ref()])?;
        assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
        assert!(ran.err.contains("an encrypted database"), "{}", ran.err);
    }
    Ok(())
}

#[test]
fn pages_that_only_the_generation_before_still_holds_are_live() -> Done {
    let folder = folder()?;
    // Once all is copied the log begins anew, and overwrites its first frames.
    let later = "DELETE FROM tags WHERE id > 390; PRAGMA wal_checkpoint(FULL);
                 UPDATE members SET name = 'changed' WHERE id = 399;";
    let path = store(folder.path(), later)?;
    fs::remove_file(&path)?;
    let lines = recovered_lines(&path.with_file_name("store.db-wal"), &[])?;
    assert_eq!(rows_in_state(&lines, "tags", "live").count(), 390);
    assert_eq!(rows_in_state(&lines, "tags", "deleted").count(), 10);
    assert_eq!(rows_in_state(&lines, "members", "live").count(), ROWS);
    let superseded: Vec<_> = rows_in_state(&lines, "members", "superseded").collect();
    assert_eq!(superseded.len(), 1);
    assert_eq!(superseded[0]["values"]["name"], "member number 399");
    assert_eq!(rows_in_state(&lines, "members", "deleted").count(), 0);
    Ok(())
}

#[test]
fn what_an_open_transaction_of_an_older_generation_wrote_may_have_been_written_again() -> Done {
    let folder = folder()?;
    let later = "UPDATE members SET name = name || ' of old'; UPDATE members SET name = name || ' and more';
                 PRAGMA wal_checkpoint(FULL); UPDATE tags SET tag = 'changed' WHERE id = 399;";
    let path = store(folder.path(), later)?;
    // The file ends before the last transaction of the generation before does.
    let log = path.with_file_name("store.db-wal");
    let bytes = fs::read(&log)?;
    fs::write(&log, &bytes[..bytes.len() - 3 * (24 + 1024)])?;
    fs::remove_file(&path)?;
    let lines = recovered_lines(&log, &[])?;
    let outdated = rows_in_state(&lines, "members", "live")
        .filter(|row| row["values"]["name"].as_str().is_some_and(|name| name.ends_with("of old")));
    assert_eq!(outdated.count(), 0);
    Ok(())
}
