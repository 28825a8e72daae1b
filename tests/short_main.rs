//! Is what stood in the lost part of a main file ever made up, where its log is there?

use crate::support::{Done, Ran, folder, mudlark};
use crate::workload::copied;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Commits of the log.
const COMMITS: usize = 4;

/// A store of 23 pages with its log; each commit writes rows of a part of its table.
fn store(folder: &Path) -> Done<PathBuf> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE u(a);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
         INSERT INTO t SELECT i, 'a name of some length ' || i FROM n; PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE t SET name = 'one' WHERE id BETWEEN 100 AND 150; DELETE FROM t WHERE id BETWEEN 300 AND 400;
         INSERT INTO u VALUES (1); UPDATE t SET name = 'two' WHERE id > 690",
    )?;
    copied(folder)
}

/// The store with the first `pages` of its main file, and `further` bytes.
fn cut(folder: &Path, store: &Path, pages: usize, further: usize) -> Done<PathBuf> {
    let path = folder.join(format!("cut-{pages}-{further}.db"));
    let main = fs::read(store)?;
    fs::write(&path, &main[..pages * 1024 + further])?;
    fs::copy(format!("{}-wal", store.display()), format!("{}-wal", path.display()))?;
    Ok(path)
}

fn replay(store: &Path, point: &str, further: &[&str]) -> Done<(Ran, Vec<u8>)> {
    let (path, out) = (store.display().to_string(), store.with_extension("out").display().to_string());
    let ran = mudlark(["replay", &path, "--until", point, "-o", &out, "--force"].iter().chain(further))?;
    let bytes = if matches!(ran.status, Some(0 | 3)) { fs::read(&out)? } else { Vec::new() };
    Ok((ran, bytes))
}

fn timeline(store: &Path) -> Done<Vec<Json>> {
    let ran = mudlark(["timeline", "--json", &store.display().to_string()])?;
    let told: Json = serde_json::from_str(&ran.out)?;
    Ok(told["stores"][0]["commits"].as_array().cloned().unwrap_or_default())
}

#[test]
fn a_point_is_what_it_was_or_refused_however_much_of_the_main_file_is_there() -> Done {
    let folder = folder()?;
    let whole = store(folder.path())?;
    let pages = fs::metadata(&whole)?.len() as usize / 1024;
    let (mut refused, mut equal) = (0, 0);
    for (kept, further) in
        [(0, 0), (0, 700), (1, 0), (2, 0), (6, 0), (6, 500), (pages - 1, 1000), (pages - 1, 0)]
    {
        let store = cut(folder.path(), &whole, kept, further)?;
        for point in (0..=COMMITS).map(|number| format!("commit:{number}")).chain(["last".to_owned()]) {
            let (full, wanted) = replay(&whole, &point, &[])?;
            assert_eq!(full.status, Some(0), "{}", full.err);
            let (ran, bytes) = replay(&store, &point, &[])?;
            if ran.status == Some(0) {
                assert!(bytes == wanted, "{kept} pages, {point}");
                equal += 1;
                continue;
            }
            assert_eq!(ran.status, Some(2), "{kept} pages, {point}: {}", ran.err);
            let no_count = kept == 0
                && point == "commit:0"
                && ran.err.contains("how many pages it had is lost: the main file has not even one page");
            assert!(
                no_count || ran.err.contains("stood in a part of the main file that is not there: "),
                "{kept} pages, {point}: {}",
                ran.err
            );
            refused += 1;
            let (ran, bytes) = replay(&store, &point, &["--partial"])?;
            assert!(no_count || ran.status == Some(3) && bytes.len() == wanted.len(), "{kept}, {point}");
            assert!(no_count || ran.err.contains("partial   "), "{}", ran.err);
        }
    }
    assert!(refused > 20 && equal > 0, "{refused} refused, {equal} equal");
    Ok(())
}

#[test]
fn what_commits_did_is_counted_as_it_was_or_said_to_be_unknown() -> Done {
    let folder = folder()?;
    let whole = store(folder.path())?;
    let all = timeline(&whole)?;
    let of = |commit: &Json, table: &str| -> Option<Json> {
        let tables = commit["tables"].as_array()?;
        Some(tables.iter().find(|told| told["table"] == table).cloned().unwrap_or(json!({"exact": true})))
    };
    for kept in [0, 1, 2, 3, 6, 20] {
        let store = cut(folder.path(), &whole, kept, 0)?;
        let told = timeline(&store)?;
        assert_eq!(told.len(), COMMITS);
        for (told, full) in told.iter().zip(&all) {
            for table in ["t", "u"] {
                // Without definitions there is no count.
                let Some(counts) = of(told, table) else { continue };
                let exact = counts["exact"] == true;
                assert!(!exact || Some(counts) == of(full, table), "{kept} pages, {table}: {told}");
            }
        }
    }
    // The root of the table is lost, and with it which pages are the table's.
    let store = cut(folder.path(), &whole, 1, 0)?;
    let path = store.display().to_string();
    let ran = mudlark(["diff", &path, "--from", "commit:0", "--to", "commit:2"])?;
    assert_eq!(ran.status, Some(3), "{}", ran.out);
    assert!(ran.out.contains("  lost    rows of t at commit:0: "), "{}", ran.out);
    assert!(ran.err.contains("the main file ends behind page 1 of "), "{}", ran.err);
    let ran = mudlark(["replay", &path, "--undo", "commit:2", "-o", "-"])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("its pages are neither in the main file nor in the log"), "{}", ran.err);
    Ok(())
}
