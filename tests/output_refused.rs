//! Is every output refused that would write into the evidence, or over what exists?

use crate::support::{Done, folder, listing, mudlark, small_store, snapshot};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A folder with one store, for evidence.
fn evidence() -> Done<(TempDir, PathBuf)> {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    Ok((folder, path))
}

/// Asks for outputs that must be refused with status 2 and a message that names `output`, with and without `--force`;
/// nothing in `evidence` may change.
fn refused_even_with_force(evidence: &Path, source: &Path, further: &[&str], output: &str) -> Done {
    let before = snapshot(evidence)?;
    for force in [&[][..], &["--force"]] {
        let source = text(source);
        let ran = mudlark(["recover", &source].iter().chain(further).chain(force))?;
        assert_eq!(snapshot(evidence)?, before, "{further:?} {force:?}: {}{}", ran.out, ran.err);
        assert_eq!(ran.status, Some(2), "{further:?} {force:?}: {}{}", ran.out, ran.err);
        assert!(ran.err.contains(output), "{output} is not named: {}", ran.err);
    }
    Ok(())
}

#[test]
fn an_output_that_is_a_source_is_refused() -> Done {
    let (folder, path) = evidence()?;
    let output = text(&path);
    refused_even_with_force(folder.path(), &path, &["-o", &output], &output)?;
    refused_even_with_force(folder.path(), &path, &["--jsonl", &output], &output)
}

#[test]
fn an_output_that_is_a_link_to_a_source_is_refused() -> Done {
    let ((folder, path), elsewhere) = (evidence()?, folder()?);
    let soft = elsewhere.path().join("soft.db");
    symlink(&path, &soft)?;
    let output = text(&soft);
    refused_even_with_force(folder.path(), &path, &["-o", &output], &output)?;
    refused_even_with_force(folder.path(), &soft, &["-o", &text(&path)], &text(&path))?;
    let below = elsewhere.path().join("linked");
    symlink(folder.path(), &below)?;
    let output = text(&below.join("store.db"));
    refused_even_with_force(folder.path(), &path, &["-o", &output], &output)
}

#[test]
fn an_output_that_is_another_name_of_a_source_is_refused() -> Done {
    let ((folder, path), elsewhere) = (evidence()?, folder()?);
    let hard = elsewhere.path().join("hard.db");
    fs::hard_link(&path, &hard)?;
    let output = text(&hard);
    refused_even_with_force(folder.path(), &path, &["-o", &output], &output)?;
    refused_even_with_force(folder.path(), &path, &["--jsonl", &output], &output)?;
    assert_eq!(fs::read(&hard)?, fs::read(&path)?);
    Ok(())
}

#[test]
fn an_output_that_is_a_log_beside_a_source_is_refused() -> Done {
    let (folder, path) = evidence()?;
    let log = folder.path().join("store.db-wal");
    fs::write(&log, b"a log that was read")?;
    refused_even_with_force(folder.path(), &path, &["-o", &text(&log)], &text(&log))
}

#[test]
fn an_output_that_would_be_taken_for_a_journal_of_a_source_is_refused() -> Done {
    let (folder, path) = evidence()?;
    for ending in ["-wal", "-journal", "-shm"] {
        let output = text(&folder.path().join(format!("store.db{ending}")));
        refused_even_with_force(folder.path(), &path, &["-o", &output], &output)?;
    }
    Ok(())
}

#[test]
fn an_output_inside_a_source_folder_is_refused() -> Done {
    let (folder, _) = evidence()?;
    fs::create_dir(folder.path().join("below"))?;
    for name in ["out.db", "below/out.db"] {
        let output = text(&folder.path().join(name));
        refused_even_with_force(folder.path(), folder.path(), &["-o", &output], &output)?;
        refused_even_with_force(folder.path(), folder.path(), &["--jsonl", &output], &output)?;
    }
    Ok(())
}

#[test]
fn an_output_folder_inside_a_source_folder_is_refused_whether_it_exists_or_not() -> Done {
    let (folder, _) = evidence()?;
    fs::create_dir(folder.path().join("below"))?;
    for name in ["below/", "new/", "new/newer/", "./"] {
        let output = format!("{}/{name}", text(folder.path()));
        refused_even_with_force(
            folder.path(),
            folder.path(),
            &["-o", &output],
            output.trim_end_matches('/'),
        )?;
    }
    Ok(())
}

#[test]
fn a_database_of_an_output_folder_that_would_replace_a_source_is_refused() -> Done {
    let (folder, path) = evidence()?;
    let (plain, twin) = (folder.path().join("store"), folder.path().join("store.db"));
    fs::copy(&path, &plain)?;
    let (output, other) = (format!("{}/", text(folder.path())), text(&twin));
    refused_even_with_force(folder.path(), &plain, &[&other, "-o", &output], &text(folder.path()))
}

#[test]
fn a_folder_given_as_a_database_is_refused() -> Done {
    let ((folder, path), elsewhere) = (evidence()?, folder()?);
    let output = text(elsewhere.path());
    refused_even_with_force(folder.path(), &path, &["-o", &output], &output)?;
    refused_even_with_force(folder.path(), &path, &["--jsonl", &output], &output)?;
    assert_eq!(listing(elsewhere.path())?, [""; 0]);
    Ok(())
}

#[test]
fn one_file_for_both_outputs_is_refused() -> Done {
    let ((folder, path), elsewhere) = (evidence()?, folder()?);
    let output = text(&elsewhere.path().join("out"));
    refused_even_with_force(folder.path(), &path, &["-o", &output, "--jsonl", &output], &output)?;
    assert_eq!(listing(elsewhere.path())?, [""; 0]);
    Ok(())
}

#[test]
fn an_output_that_exists_is_replaced_with_force_only() -> Done {
    let ((_folder, path), elsewhere) = (evidence()?, folder()?);
    for kind in ["-o", "--jsonl"] {
        let output = elsewhere.path().join("out");
        fs::write(&output, "what was there")?;
        let arguments = ["recover", &text(&path), kind, &text(&output)];
        let ran = mudlark(arguments)?;
        assert_eq!(ran.status, Some(2), "{}", ran.err);
        assert!(ran.err.contains(&text(&output)) && ran.err.contains("--force"), "{}", ran.err);
        assert_eq!(fs::read(&output)?, b"what was there");
        assert_eq!(mudlark(arguments.iter().chain(&["--force"]))?.status, Some(0));
        assert_ne!(fs::read(&output)?, b"what was there");
        assert_eq!(listing(elsewhere.path())?, ["out"]);
    }
    Ok(())
}

#[test]
fn no_file_of_an_output_folder_is_replaced_without_force() -> Done {
    let ((folder, path), elsewhere) = (evidence()?, folder()?);
    fs::copy(&path, folder.path().join("twin.db"))?;
    let out = elsewhere.path().join("out");
    let rows = text(&elsewhere.path().join("rows.jsonl"));
    fs::create_dir(&out)?;
    for existing in ["out/store.db", "out/twin.db", "out/index.json", "rows.jsonl", "rows.jsonl.1"] {
        let existing = elsewhere.path().join(existing);
        fs::write(&existing, "what was there")?;
        let ran =
            mudlark(["recover", &text(folder.path()), "-o", &format!("{}/", text(&out)), "--jsonl", &rows])?;
        assert_eq!(fs::read_to_string(&existing)?, "what was there", "{}", existing.display());
        assert_eq!(ran.status, Some(2), "{}: {}", existing.display(), ran.err);
        assert!(ran.err.contains(&text(&existing)), "{}", ran.err);
        fs::remove_file(&existing)?;
        assert_eq!(listing(&out)?, [""; 0], "nothing is written when one output is refused");
    }
    Ok(())
}
