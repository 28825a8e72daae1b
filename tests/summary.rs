//! Does a summary say what a user must know, and in right words?

use crate::support::{Done, folder, mudlark, snapshot, store};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What a command prints of a source.
fn said(command: &str, source: &Path, further: &[&str]) -> Done<String> {
    let ran = mudlark([command, &text(source)].iter().chain(further))?;
    Ok(format!("{}{}", ran.out, ran.err))
}

/// A store of one table of one row, on one page of its own.
fn one_row(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("one.db");
    store(&path, "CREATE TABLE t(a TEXT); INSERT INTO t VALUES ('one')")?;
    Ok(path)
}

#[test]
fn one_row_of_one_table_on_one_page_is_no_plural() -> Done {
    let folder = folder()?;
    let path = one_row(folder.path())?;
    let out = text(&folder.path().join("out.db"));
    let recovered = said("recover", &path, &["-o", &out])?;
    assert!(recovered.contains("recovered 1 row in 1 table (1 at"), "{recovered}");
    let assessed = said("assess", &path, &[])?;
    assert!(assessed.contains("t: 1 live row on 1 page\n"), "{assessed}");
    let inspected = said("inspect", &path, &["--page", "2"])?;
    assert!(inspected.contains(", 1 cell, "), "{inspected}");
    Ok(())
}

#[test]
fn one_finding_is_no_plural() -> Done {
    let folder = folder()?;
    let path = one_row(folder.path())?;
    let mut bytes = fs::read(&path)?;
    // The count of free pages in the header.
    bytes[39] = 7;
    fs::write(&path, bytes)?;
    let verified = said("verify", &path, &[])?;
    assert!(verified.contains("  1 finding\n"), "{verified}");
    let assessed = said("assess", &path, &[])?;
    assert!(assessed.contains("damage  1 finding; `mudlark verify` lists it\n"), "{assessed}");
    Ok(())
}

/// Rows enough for several pages.
const ROWS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
     INSERT INTO t(a) SELECT hex(zeroblob(100)) FROM n;";

/// A copy of a store in use, made in the middle of a transaction, with its log or its journal.
fn copied_in_use(folder: &Path, journal: &str, before: &[&str], during: &str) -> Done<PathBuf> {
    let (used, copy) = (folder.join("used.db"), folder.join("store.db"));
    let connection = Connection::open(&used)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = {journal}; PRAGMA wal_autocheckpoint = 0;
         PRAGMA synchronous = OFF; PRAGMA cache_size = 2; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);"
    ))?;
    for statements in before {
        connection.execute_batch(statements)?;
    }
    connection.execute_batch(&format!("BEGIN; {during}"))?;
    for ending in ["", "-wal", "-journal"] {
        let from = format!("{}{ending}", text(&used));
        if Path::new(&from).exists() {
            fs::copy(from, format!("{}{ending}", text(&copy)))?;
        }
    }
    connection.execute_batch("ROLLBACK")?;
    drop(connection);
    for ending in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(format!("{}{ending}", text(&used)));
    }
    Ok(copy)
}

#[test]
fn a_summary_says_how_many_commits_of_a_log_were_applied_and_what_was_left_out() -> Done {
    let folder = folder()?;
    let path = copied_in_use(folder.path(), "wal", &["INSERT INTO t(a) VALUES ('one')"; 3], "SELECT 1")?;
    for command in ["assess", "verify"] {
        let said = said(command, &path, &[])?;
        // Three, and the one that made the table.
        assert!(said.contains(", through its log (4 commits applied)\n"), "{said}");
    }
    let folder = crate::support::folder()?;
    let path = copied_in_use(folder.path(), "wal", &[], ROWS)?;
    let out = text(&folder.path().join("out.db"));
    let said = said("recover", &path, &["-o", &out])?;
    assert!(said.contains(", through its log (1 commit applied, "), "{said}");
    assert!(said.contains(" frames after the last one left out)\n"), "{said}");
    Ok(())
}

#[test]
fn a_summary_says_how_many_pages_a_rollback_put_back() -> Done {
    let folder = folder()?;
    let path = copied_in_use(folder.path(), "delete", &[ROWS], "UPDATE t SET a = 'gone'")?;
    let said = said("assess", &path, &[])?;
    assert!(said.contains("t: 300 live rows"), "{said}");
    let pages = said.split("after rollback of its journal (").nth(1).and_then(|rest| rest.split(' ').next());
    assert!(pages.is_some_and(|pages| pages.parse::<u32>().is_ok_and(|pages| pages > 20)), "{said}");
    Ok(())
}

#[test]
fn a_log_named_without_its_database_is_read_with_a_note_that_names_it() -> Done {
    let folder = folder()?;
    let path = copied_in_use(folder.path(), "wal", &[ROWS], "SELECT 1")?;
    let log = PathBuf::from(format!("{}-wal", text(&path)));
    let before = snapshot(folder.path())?;
    let alone = said("assess", &log, &[])?;
    let note = format!("{} stands beside it; `mudlark assess {}` reads both", text(&path), text(&path));
    assert!(alone.contains(&text(&log)) && alone.contains(&note), "{alone}");
    assert!(alone.contains("t: 300 live rows"), "{alone}");
    let both = mudlark(["assess", &text(&path), &text(&log)])?;
    assert_eq!((both.status, both.err.as_str()), (Some(0), ""));
    assert_eq!(
        both.out.matches("SQLite database").count(),
        1,
        "the log is read with its database: {}",
        both.out
    );
    assert_eq!(snapshot(folder.path())?, before);
    Ok(())
}

#[test]
fn a_log_whose_database_is_wiped_is_read_alone() -> Done {
    let folder = folder()?;
    let path = copied_in_use(folder.path(), "wal", &[ROWS], "SELECT 1")?;
    fs::write(&path, vec![0; fs::read(&path)?.len()])?;
    let log = format!("{}-wal", text(&path));
    for sources in [&[text(folder.path())][..], &[text(&path), log]] {
        let ran = mudlark(["assess".to_owned()].iter().chain(sources))?;
        assert!(ran.out.contains("t: 300 live rows"), "{}{}", ran.out, ran.err);
        assert!(!ran.err.contains("reads both"), "{}", ran.err);
    }
    Ok(())
}

#[test]
fn a_page_that_a_log_holds_anew_is_inspected_with_a_note_of_the_frame() -> Done {
    let folder = folder()?;
    let path = copied_in_use(
        folder.path(),
        "wal",
        &["PRAGMA wal_checkpoint", "INSERT INTO t(a) VALUES (1)"],
        "SELECT 1",
    )?;
    let shown = said("inspect", &path, &["--page", "2"])?;
    let log = fs::read(format!("{}-wal", text(&path)))?;
    let note =
        shown.lines().find(|line| line.contains("store.db-wal holds a newer version of this page: frame "));
    let at = note.and_then(|note| note.rsplit("0x").next()).ok_or_else(|| shown.clone())?;
    let at = usize::from_str_radix(at, 16)?;
    assert_eq!(log[at], 13, "a table leaf begins there: {shown}");
    let quiet = said("inspect", &path, &["--page", "1"])?;
    assert!(!quiet.contains("store.db-wal holds a newer"), "{quiet}");
    Ok(())
}

#[test]
fn a_page_that_a_rollback_would_put_back_is_inspected_with_a_note_of_the_journal() -> Done {
    let folder = folder()?;
    let path = copied_in_use(folder.path(), "delete", &[ROWS], "UPDATE t SET a = 'gone'")?;
    let shown = said("inspect", &path, &["--page", "3"])?;
    assert!(shown.contains("store.db-journal holds this page as it was before"), "{shown}");
    Ok(())
}

/// What `recover` says of a store that these statements made.
fn recovered(statements: &str) -> Done<String> {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, statements)?;
    said("recover", &path, &["-o", &text(&folder.path().join("out.db"))])
}

#[test]
fn when_no_row_that_is_gone_comes_back_the_summary_says_why() -> Done {
    let made = format!("CREATE TABLE t(a TEXT); {ROWS}");
    let wiped = recovered(&format!("PRAGMA secure_delete = ON; {made} DELETE FROM t WHERE rowid % 2 = 0"))?;
    assert!(wiped.contains("freeblocks hold nothing but zeros: PRAGMA secure_delete"), "{wiped}");
    let vacuumed =
        recovered(&format!("PRAGMA secure_delete = OFF; {made} DELETE FROM t WHERE rowid % 2 = 0; VACUUM"))?;
    assert!(vacuumed.contains("or since VACUUM last wrote it anew"), "{vacuumed}");
    let cut =
        recovered(&format!("PRAGMA auto_vacuum = FULL; PRAGMA secure_delete = ON; {made} DELETE FROM t"))?;
    assert!(cut.contains("auto_vacuum is on and cuts freed pages off"), "{cut}");
    let left = recovered(
        "PRAGMA secure_delete = OFF; CREATE TABLE t(a TEXT); INSERT INTO t VALUES ('the first of two rows'),
         ('the second of two rows'); DELETE FROM t WHERE rowid = 1",
    )?;
    assert!(left.contains("deleted") && !left.contains("none found"), "{left}");
    Ok(())
}
