//! What do the commands on time tell of a rollback journal that is out of the ordinary?

use crate::support::{Done, Ran, dump, folder, mudlark};
use crate::workload::with_journal;
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

/// More than the cache holds, so that the journal is synced, and goes on in further segments.
const SPILLS: &str = "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;";

fn replay(store: &Path, point: &str) -> Done<Ran> {
    let (path, out) = (store.display().to_string(), store.with_file_name("out.db").display().to_string());
    mudlark(["replay", &path, "--until", point, "-o", &out, "--force"])
}

fn timeline(store: &Path) -> Done<(Vec<Json>, String)> {
    let ran = mudlark(["timeline", "--json", &store.display().to_string()])?;
    let told: Json = serde_json::from_str(&ran.out)?;
    let told = &told["stores"][0];
    Ok((told["commits"].as_array().cloned().unwrap_or_default(), told["notes"].to_string()))
}

#[test]
fn a_journal_whose_super_journal_is_gone_is_of_a_transaction_that_committed() -> Done {
    let folder = folder()?;
    let work = "DELETE FROM t WHERE id > 1990; UPDATE t SET name = 'changed' WHERE id < 6;";
    let store = with_journal(folder.path(), SPILLS, &format!("BEGIN; {work} SELECT count(*) FROM t;"))?;
    let path = folder.path().join("store.db-journal");
    let mut journal = fs::read(&path)?;
    let before = folder.path().join("before.db");
    assert_eq!(replay(&store, "last")?.status, Some(0));
    fs::rename(store.with_file_name("out.db"), &before)?;
    // The transaction ends, and the journal is deleted only once the super-journal is.
    fs::remove_file(&path)?;
    fs::copy(&before, &store)?;
    let connection = Connection::open(&store)?;
    connection.execute_batch(&format!("PRAGMA journal_mode = memory; BEGIN; {work} COMMIT"))?;
    drop(connection);
    let name = b"other.db-mj0123456789";
    let sum: u32 = name.iter().map(|byte| u32::from(*byte)).sum();
    journal.extend(262_145_u32.to_be_bytes());
    journal.extend(name);
    journal.extend((name.len() as u32).to_be_bytes());
    journal.extend(sum.to_be_bytes());
    journal.extend([0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    fs::write(&path, journal)?;
    let (commits, notes) = timeline(&store)?;
    assert_eq!(commits[0]["state"], "committed");
    assert!(notes.contains("names a super-journal that is not there"), "{notes}");
    assert_eq!(
        (&commits[0]["tables"][0]["deleted"], &commits[0]["tables"][0]["updated"]),
        (&10.into(), &5.into())
    );
    assert_eq!(replay(&store, "last")?.status, Some(0));
    assert!(fs::read(store.with_file_name("out.db"))? == fs::read(&store)?);
    let ran = replay(&store, "commit:0")?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let (replayed, before) = (Connection::open(store.with_file_name("out.db"))?, Connection::open(before)?);
    assert_eq!(dump(&replayed)?, dump(&before)?);
    Ok(())
}

#[test]
fn a_zeroed_journal_that_may_have_further_segments_gives_no_state_before_it() -> Done {
    let folder = folder()?;
    let work = "UPDATE t SET name = 'changed' WHERE id % 7 = 0; DELETE FROM t WHERE id > 1500;";
    let setup = format!("PRAGMA journal_mode = persist; {SPILLS}");
    let store = with_journal(folder.path(), &setup, &format!("BEGIN; {work} COMMIT;"))?;
    let (_, notes) = timeline(&store)?;
    assert!(notes.contains("store.db-journal: its "), "{notes}");
    let ran = replay(&store, "commit:0")?;
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    assert!(ran.err.contains("commit:0 can't be proved: store.db-journal: its "), "{}", ran.err);
    assert!(!store.with_file_name("out.db").exists());
    for point in ["last", "checkpoint"] {
        assert_eq!(replay(&store, point)?.status, Some(0));
        assert!(fs::read(store.with_file_name("out.db"))? == fs::read(&store)?, "{point}");
    }
    Ok(())
}

#[test]
fn rows_of_a_hot_journal_whose_main_file_was_cut_off_are_not_told_as_deleted() -> Done {
    let folder = folder()?;
    let work = "BEGIN; UPDATE t SET name = 'changed'; SELECT count(*) FROM t;";
    let store = with_journal(folder.path(), SPILLS, work)?;
    let engine = folder.path().join("engine.db");
    fs::copy(folder.path().join("store.db-journal"), folder.path().join("engine.db-journal"))?;
    let bytes = fs::read(&store)?;
    for path in [&store, &engine] {
        fs::write(path, &bytes[..6 * 4096])?;
    }
    let (commits, notes) = timeline(&store)?;
    let counts = &commits[0]["tables"][0];
    assert_eq!((&counts["deleted"], &counts["exact"]), (&0.into(), &false.into()), "{counts}");
    assert!(counts["unknown"].as_u64() > Some(0), "{counts}");
    assert!(notes.contains("the main file ends behind page 6 of "), "{notes}");
    // The journal has all that is missing.
    assert_eq!(replay(&store, "last")?.status, Some(0));
    let rolled_back = fs::read(store.with_file_name("out.db"))?;
    let connection = Connection::open(&engine)?;
    let rows: i64 =
        connection.query_row("SELECT count(*) FROM t WHERE name = 'changed'", [], |row| row.get(0))?;
    assert_eq!(rows, 0);
    assert!(fs::read(&engine)? == rolled_back);
    Ok(())
}
