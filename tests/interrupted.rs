//! What does a run that is stopped leave behind?

use crate::support::{Done, Ran, command, folder, listing, store};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a run may take to begin or end: far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store that takes a while: about 60 MB, half a million rows.
fn large_store(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("store.db");
    store(
        &path,
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500000)
         INSERT INTO t SELECT i, 'name ' || i, hex(zeroblob(40)) FROM n",
    )?;
    Ok(path)
}

/// The same with three times as many rows, all of them in a log: commands on time take less time for each.
fn large_log(folder: &Path) -> Done<PathBuf> {
    let live = folder.join("live.db");
    let connection = Connection::open(&live)?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note TEXT); PRAGMA wal_checkpoint(TRUNCATE);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
         INSERT INTO t SELECT i, 'name ' || i, hex(zeroblob(40)) FROM n",
    )?;
    let store = folder.join("store.db");
    fs::copy(&live, &store)?;
    fs::copy(folder.join("live.db-wal"), folder.join("store.db-wal"))?;
    Ok(store)
}

/// Starts a recovery into `out/`, and waits until its temporary file grows.
fn begun(source: &Path, out: &Path, further: &[&str]) -> Done<Child> {
    begun_with("recover", source, out, further)
}

/// Starts a command that writes into `out/`, and waits until its temporary file grows.
fn begun_with(name: &str, source: &Path, out: &Path, further: &[&str]) -> Done<Child> {
    let mut command = command([name, "--quiet", "--hash", "none"]);
    command.arg(source).arg("-o").arg(out.join("out.db")).args(further);
    grown(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?, out)
}

/// Waits until the temporary file of a run in `out/` grows.
fn grown(child: Child, out: &Path) -> Done<Child> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        for name in listing(out)? {
            let grown = fs::metadata(out.join(&name)).is_ok_and(|file| file.len() > 1 << 20);
            if name.ends_with(".part") && grown {
                return Ok(child);
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err("the run has written nothing".into())
}

/// Sends a signal and waits for the end.
fn signalled(child: Child, signal: &str) -> Done<Ran> {
    let sent = Command::new("kill").arg(signal).arg(child.id().to_string()).status()?;
    assert!(sent.success());
    let start = Instant::now();
    let ran = child.wait_with_output()?.into();
    assert!(start.elapsed() < PATIENCE);
    Ok(ran)
}

#[test]
fn an_interrupted_run_leaves_nothing_and_says_so() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = large_store(evidence.path())?;
    let ran = signalled(begun(&source, out.path(), &[])?, "-INT")?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert!(ran.err.contains("interrupted"), "{}", ran.err);
    assert_eq!(listing(out.path())?, [""; 0]);
    assert_eq!(listing(evidence.path())?, ["store.db"]);
    Ok(())
}

#[test]
fn what_brings_a_store_back_or_lists_its_changes_can_be_interrupted_too() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = large_log(evidence.path())?;
    for (name, further) in [
        ("diff", &["--from", "commit:0", "--format", "jsonl"][..]),
        ("diff", &["--from", "commit:0", "--format", "sql"]),
        ("replay", &["--undo", "commit:1"]),
    ] {
        let ran = signalled(begun_with(name, &source, out.path(), further)?, "-INT")?;
        assert_eq!(ran.status, Some(3), "{name}: {}", ran.err);
        assert!(ran.err.contains("interrupted"), "{}", ran.err);
        assert_eq!(listing(out.path())?, [""; 0], "{name}");
    }
    Ok(())
}

#[test]
fn an_interrupted_run_leaves_the_old_output_as_it_was() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = large_store(evidence.path())?;
    fs::write(out.path().join("out.db"), "the old output")?;
    let ran = signalled(begun(&source, out.path(), &["--force"])?, "-INT")?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert_eq!(fs::read(out.path().join("out.db"))?, b"the old output");
    assert_eq!(listing(out.path())?, ["out.db"]);
    Ok(())
}

#[test]
fn a_run_that_is_terminated_or_loses_its_terminal_leaves_nothing_and_says_so() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = large_store(evidence.path())?;
    for signal in ["-TERM", "-HUP"] {
        let ran = signalled(begun(&source, out.path(), &[])?, signal)?;
        assert_eq!(ran.status, Some(3), "{signal}: {}", ran.err);
        assert!(ran.err.contains("interrupted"), "{}", ran.err);
        assert_eq!(listing(out.path())?, [""; 0], "{signal}");
    }
    Ok(())
}

#[test]
fn a_run_that_is_to_outlive_its_terminal_does() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = large_store(evidence.path())?;
    let program = command([""; 0]);
    let mut command = Command::new("nohup");
    command.arg(program.get_program()).args(["recover", "--quiet", "--hash", "none"]).arg(&source);
    command.arg("-o").arg(out.path().join("out.db")).stdin(Stdio::null());
    let child = grown(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?, out.path())?;
    let ran = signalled(child, "-HUP")?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(listing(out.path())?, ["out.db"]);
    Ok(())
}

#[test]
fn a_killed_run_leaves_the_old_output_and_at_most_a_file_that_says_it_is_a_part() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = large_store(evidence.path())?;
    fs::write(out.path().join("out.db"), "the old output")?;
    let ran = signalled(begun(&source, out.path(), &["--force"])?, "-KILL")?;
    assert_eq!(ran.status, None);
    assert_eq!(fs::read(out.path().join("out.db"))?, b"the old output");
    let others = listing(out.path())?.into_iter().filter(|name| name != "out.db");
    assert!(others.into_iter().all(|name| name.ends_with(".part")));
    Ok(())
}
