//! Does a summary say what a user must know, and in right words?

use crate::support::{Done, folder, mudlark, store};
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
    let mut bytes = std::fs::read(&path)?;
    // The count of free pages in the header.
    bytes[39] = 7;
    std::fs::write(&path, bytes)?;
    let verified = said("verify", &path, &[])?;
    assert!(verified.contains("  1 finding\n"), "{verified}");
    let assessed = said("assess", &path, &[])?;
    assert!(assessed.contains("damage  1 finding; `mudlark verify` lists it\n"), "{assessed}");
    Ok(())
}
