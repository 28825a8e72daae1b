//! Is bad input answered by a message that names the path, the right status, and nothing half-written?

use crate::support::{Done, MUDLARK, Ran, command, folder, listing, mudlark, small_store, store};
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Runs `mudlark` with these arguments; the message must name `named`, and the status be as given.
fn refused(arguments: &[&str], named: &Path, status: i32) -> Done<Ran> {
    let ran = mudlark(arguments)?;
    assert_eq!(ran.status, Some(status), "{arguments:?}: {}", ran.err);
    assert!(ran.err.contains(&named.display().to_string()), "{} is not named: {}", named.display(), ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
    Ok(ran)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Every command on a source that holds no store: each reads it, finds nothing and says what it found instead.
fn no_store(source: &Path, says: &str) -> Done {
    let out = folder()?;
    let (source_text, output) = (text(source), text(&out.path().join("out.db")));
    for arguments in [
        vec!["recover", &source_text, "-o", &output],
        vec!["recover", &source_text, "--jsonl", &output],
        vec!["assess", &source_text],
        vec!["verify", &source_text],
        vec!["timeline", &source_text],
    ] {
        let ran = refused(&arguments, source, 1)?;
        assert!(ran.err.contains(says), "{says} is not in {}", ran.err);
        assert_eq!(listing(out.path())?, [""; 0], "{arguments:?}");
    }
    Ok(())
}

#[test]
fn a_file_that_is_no_store_is_named_with_what_it_is_instead() -> Done {
    let folder = folder()?;
    for (name, bytes, says) in [
        ("notes.txt", b"just some text\n".repeat(400), "text"),
        ("empty.db", Vec::new(), "empty"),
        ("zeros.db", vec![0; 40_000], "zeros"),
        ("picture.jpg", [&[0xff, 0xd8, 0xff, 0xe0][..], &[7; 9000]].concat(), "no store"),
        ("short", vec![b'S'], "no store"),
        ("begun-wal", [&[0x37, 0x7f, 6, 0x82][..], &[7; 9000]].concat(), "wal.page_size at 0x8"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes)?;
        no_store(&path, says)?;
    }
    Ok(())
}

#[test]
fn a_folder_without_stores_is_named() -> Done {
    let folder = folder()?;
    no_store(folder.path(), "no store")?;
    fs::write(folder.path().join("readme.txt"), "text")?;
    fs::create_dir(folder.path().join("below"))?;
    no_store(folder.path(), "no store")
}

#[test]
fn a_source_that_is_not_there_or_no_file_is_named() -> Done {
    let folder = folder()?;
    let missing = folder.path().join("missing.db");
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    let out = text(&folder.path().join("out.db"));
    refused(&["recover", &text(&missing), "-o", &out], &missing, 2)?;
    refused(&["assess", &text(&missing)], &missing, 2)?;
    refused(&["verify", &text(&missing)], &missing, 2)?;
    refused(&["inspect", &text(&missing), "--page", "1"], &missing, 2)?;
    refused(&["recover", &text(&folder.path().join("pipe")), "-o", &out], &pipe, 2)?;
    assert_eq!(listing(folder.path())?, ["pipe"]);
    Ok(())
}

#[test]
fn a_folder_in_the_place_of_a_file_and_a_file_in_that_of_a_folder_are_told() -> Done {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    let (inside, out) = (text(folder.path()), text(&folder.path().join("out")));
    for command in ["carve", "undelete"] {
        let ran = refused(&[command, &inside, "-o", &out], folder.path(), 2)?;
        assert!(ran.err.contains("is a folder"), "{}", ran.err);
    }
    let ran = refused(&["inspect", &inside], folder.path(), 2)?;
    assert!(ran.err.contains("is a folder"), "{}", ran.err);
    let ran = refused(&["batch", &text(&path), "-o", &out], &path, 2)?;
    assert!(ran.err.contains("give a folder"), "{}", ran.err);
    Ok(())
}

#[test]
fn one_bad_source_of_two_leaves_a_run_done_in_part() -> Done {
    let folder = folder()?;
    let source = text(&small_store(folder.path())?);
    let missing = folder.path().join("missing.db");
    let out = folder.path().join("out.db");
    refused(&["recover", &source, &text(&missing), "-o", &text(&out)], &missing, 3)?;
    assert!(out.is_file());
    Ok(())
}

#[test]
fn a_store_without_rows_ends_with_status_1() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, "CREATE TABLE t(a)")?;
    let ran = mudlark(["recover", &text(&path), "-o", &text(&folder.path().join("out.db"))])?;
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    Ok(())
}

#[test]
fn options_that_make_no_sense_are_refused() -> Done {
    let folder = folder()?;
    let source = text(&small_store(folder.path())?);
    for further in [
        &[][..],
        &["--min-confidence", "1.5", "--jsonl", "-"],
        &["--min-confidence", "NaN", "--jsonl", "-"],
        &["--hash", "md5", "--jsonl", "-"],
        &["--threads", "many", "--jsonl", "-"],
        &["--threads", "100000", "--jsonl", "-"],
        &["--no-such-option"],
    ] {
        let ran = mudlark(["recover", &source].iter().chain(further))?;
        assert_eq!(ran.status, Some(2), "{further:?}: {}", ran.err);
        assert!(ran.out.is_empty() && !ran.err.is_empty());
    }
    assert_eq!(listing(folder.path())?, ["store.db"]);
    Ok(())
}

#[test]
fn a_log_that_is_none_is_named_and_nothing_is_written() -> Done {
    let folder = folder()?;
    let source = text(&small_store(folder.path())?);
    let (log, out) = (folder.path().join("notes.txt"), folder.path().join("out.db"));
    let missing = folder.path().join("missing-wal");
    for (bytes, says) in [
        (&b"just some text"[..], "found a file that is text"),
        (b"", "found a file that is empty"),
        (&fs::read(&source)?, "found SQLite database, page size 4096; give it as a SOURCE"),
    ] {
        fs::write(&log, bytes)?;
        for arguments in [
            vec!["recover", &source, "-o", &text(&out)],
            vec!["assess", &source],
            vec!["verify", &source],
            vec!["inspect", &source],
        ] {
            let ran = refused(&[&arguments[..], &["--log", &text(&log)]].concat(), &log, 2)?;
            assert!(ran.err.contains("expects a write-ahead log") && ran.err.contains(says), "{}", ran.err);
            refused(&[&arguments[..], &["--log", &text(&missing)]].concat(), &missing, 2)?;
        }
    }
    assert_eq!(listing(folder.path())?, ["notes.txt", "store.db"]);
    Ok(())
}

#[test]
fn a_page_that_is_not_there_can_not_be_inspected() -> Done {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    for place in [["--page", "3"], ["--page", "0"], ["--page", "4294967295"], ["--offset", "8192"]] {
        refused(&["inspect", &text(&path), place[0], place[1]], &path, 2)?;
    }
    Ok(())
}

#[test]
fn several_stores_and_one_output_are_listed_and_refused() -> Done {
    let (case, elsewhere) = (folder()?, folder()?);
    small_store(case.path())?;
    fs::copy(case.path().join("store.db"), case.path().join("other.db"))?;
    let out = elsewhere.path().join("out.db");
    let ran = mudlark(["recover", &text(case.path()), "-o", &text(&out)])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("store.db") && ran.err.contains("other.db"), "{}", ran.err);
    assert!(!out.exists());
    Ok(())
}

#[test]
fn a_file_name_too_long_or_in_no_folder_is_an_error_that_names_it() -> Done {
    let folder = folder()?;
    let source = text(&small_store(folder.path())?);
    let long = folder.path().join("x".repeat(400));
    refused(&["recover", &source, "-o", &text(&long)], &long, 2)?;
    let nowhere = folder.path().join("no/such/out.db");
    refused(&["recover", &source, "-o", &text(&nowhere)], &nowhere, 2)?;
    refused(&["recover", &source, "--jsonl", &text(&nowhere)], &nowhere, 2)?;
    assert_eq!(listing(folder.path())?, ["store.db"]);
    Ok(())
}

/// Runs a command on a file system of so many KiB, mounted at `at` for this command only; `None` where that can't be
/// done. Then it prints what is left there.
fn on_a_small_disk(at: &Path, kibibytes: u32, arguments: &[&str]) -> Option<Ran> {
    let script = "mount -t tmpfs -o size=\"$1\"k none \"$2\" || exit 99; shift 2; \"$@\"; status=$?; \
                  ls -A \"$AT\"; exit $status";
    for namespace in ["-m", "-rm"] {
        let mut run = Command::new("unshare");
        run.args([namespace, "sh", "-c", script, "sh", &kibibytes.to_string(), &text(at), MUDLARK]);
        let ran: Ran = run.args(arguments).env("AT", at).output().ok()?.into();
        if !matches!(ran.status, Some(1 | 99)) {
            return Some(ran);
        }
    }
    None
}

#[test]
fn a_full_disk_is_an_error_that_names_the_output_and_leaves_nothing() -> Done {
    let (evidence, disk) = (folder()?, folder()?);
    let path = evidence.path().join("store.db");
    store(
        &path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
         INSERT INTO t SELECT i, hex(randomblob(30)) FROM n",
    )?;
    let output = disk.path().join("out");
    for kind in ["-o", "--jsonl"] {
        let Some(ran) = on_a_small_disk(disk.path(), 256, &["recover", &text(&path), kind, &text(&output)])
        else {
            println!("skipped: no file system can be mounted here");
            return Ok(());
        };
        assert_eq!(ran.status, Some(2), "{kind}: {}", ran.err);
        assert!(ran.err.contains(&text(&output)), "{kind}: {}", ran.err);
        assert!(ran.err.contains("full") || ran.err.contains("space"), "{kind}: {}", ran.err);
        assert_eq!(ran.out, "", "{kind}: nothing is left");
    }
    Ok(())
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_names_the_output_and_leaves_nothing() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let path = evidence.path().join("store.db");
    store(&path, "CREATE TABLE t(a); INSERT INTO t VALUES (hex(zeroblob(200000)))")?;
    let output = out.path().join("out");
    for kind in ["-o", "--jsonl"] {
        let script = "trap '' XFSZ; ulimit -f 20; exec \"$@\"";
        let mut run = Command::new("sh");
        run.args(["-c", script, "sh", MUDLARK, "recover", &text(&path), kind, &text(&output)]);
        let ran: Ran = run.output()?.into();
        assert_eq!(ran.status, Some(2), "{kind}: {}", ran.err);
        assert!(ran.err.contains(&text(&output)), "{kind}: {}", ran.err);
        assert_eq!(listing(out.path())?, [""; 0], "{kind}");
    }
    Ok(())
}

#[test]
fn rows_that_standard_output_can_not_take_end_the_run() -> Done {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    let full = File::options().write(true).open("/dev/full")?;
    let ran: Ran = command(["recover", &text(&path), "--jsonl", "-"]).stdout(full).output()?.into();
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    assert!(ran.err.contains("standard output"), "{}", ran.err);
    Ok(())
}

/// A user without rights.
const NOBODY: u32 = 65_534;

#[test]
fn a_source_or_a_folder_without_permission_is_named() -> Done {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    let closed = folder.path().join("closed");
    fs::create_dir(&closed)?;
    fs::set_permissions(&closed, Permissions::from_mode(0o555))?;
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let run = |arguments: &[&str]| -> Done<Option<Ran>> {
        let mut command = command(arguments);
        if fs::metadata(folder.path())?.uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ok(command.output().ok().map(Ran::from))
    };
    if run(&["--version"])?.is_none_or(|ran| ran.status != Some(0)) {
        println!("skipped: permissions don't bind this user, and another can't run {MUDLARK}");
        return Ok(());
    }
    let output = closed.join("out.db");
    for kind in ["-o", "--jsonl"] {
        let ran = run(&["recover", &text(&path), kind, &text(&output)])?.ok_or("it ran before")?;
        assert_eq!(ran.status, Some(2), "{}", ran.err);
        assert!(ran.err.contains(&text(&output)), "{}", ran.err);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o000))?;
    for command in ["assess", "verify"] {
        let ran = run(&[command, &text(&path)])?.ok_or("it ran before")?;
        assert_eq!(ran.status, Some(2), "{}", ran.err);
        assert!(ran.err.contains(&text(&path)), "{}", ran.err);
    }
    assert_eq!(listing(&closed)?, [""; 0]);
    Ok(())
}

#[test]
fn a_pipe_or_a_device_given_as_output_is_never_replaced_by_a_file() -> Done {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status()?.success());
    for further in [&[][..], &["--force"]] {
        // Open at both ends, so that neither side waits for the other.
        let ends = File::options().read(true).write(true).open(&pipe)?;
        let arguments = ["recover", &text(&path), "--jsonl", &text(&pipe)];
        mudlark(arguments.iter().chain(further))?;
        drop(ends);
        assert!(fs::symlink_metadata(&pipe)?.file_type().is_fifo(), "with {further:?}");
        assert_eq!(listing(folder.path())?, ["pipe", "store.db"]);
    }
    Ok(())
}

#[test]
fn names_that_are_no_text_are_names_all_the_same() -> Done {
    let folder = folder()?;
    let named = |bytes: &[u8]| folder.path().join(OsStr::from_bytes(bytes));
    let (source, out) = (named(b"a\xff\nb.db"), named(b"out\xfe.db"));
    store(&source, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES(1, 'Ada')")?;
    let arguments = [OsStr::new("recover"), source.as_os_str(), OsStr::new("-o"), out.as_os_str()];
    let ran = mudlark(arguments)?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(out.exists());
    Ok(())
}

#[test]
fn an_output_that_may_not_grow_so_far_is_told_and_nothing_is_left_of_it() -> Done {
    let (evidence, out) = (folder()?, folder()?);
    let source = evidence.path().join("store.db");
    store(&source, "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES(1, 'Ada')")?;
    let output = out.path().join("out.db");
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"ulimit -f 8; exec "$0" "$@""#, MUDLARK, "recover"])
        .arg(&source)
        .arg("-o")
        .arg(&output);
    let ran = command.output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(2), "{said}");
    assert!(said.contains(&text(&output)) && said.contains("can't be written"), "{said}");
    assert_eq!(listing(out.path())?, [""; 0]);
    Ok(())
}
