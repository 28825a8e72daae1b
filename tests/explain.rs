//! Does `explain` say what a confidence is made of?

use crate::support::{Done, folder, mudlark, rows, store};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::path::{Path, PathBuf};

/// Recovers a store with live rows, deleted ones and replaced ones into a folder.
fn recovered(folder: &Path) -> Done<PathBuf> {
    let (path, out) = (folder.join("store.db"), folder.join("out.db"));
    store(
        &path,
        "PRAGMA secure_delete = off; CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO customers SELECT i, 'customer number ' || i, 'city ' || i * 7919 FROM n;
         DELETE FROM customers WHERE id % 7 = 3; UPDATE customers SET city = 'elsewhere, far away' WHERE id % 11 = 5;",
    )?;
    let path = path.display().to_string();
    let ran = mudlark(["recover", &path, "-o", &out.display().to_string(), "--min-confidence", "0"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    Ok(out)
}

fn explained(out: &Path, version: i64, further: &[&str]) -> Done<(Option<i32>, String, String)> {
    let (out, version) = (out.display().to_string(), version.to_string());
    let mut arguments = vec!["explain", &out, "--version", &version];
    arguments.extend(further);
    let ran = mudlark(arguments)?;
    Ok((ran.status, ran.out, ran.err))
}

#[test]
fn the_terms_of_a_row_add_up_and_its_numbers_are_those_of_the_database() -> Done {
    let folder = folder()?;
    let out = recovered(folder.path())?;
    let some = rows(
        &Connection::open(&out)?,
        "SELECT min(version), confidence, content, placement FROM mudlark_version GROUP BY state, claims, missing IS NULL",
    )?;
    assert!(some.len() > 3, "{some:?}");
    for row in some {
        let version = row[0].as_i64().unwrap_or_default();
        let (status, text, err) = explained(&out, version, &["--json"])?;
        assert_eq!(status, Some(0), "{err}");
        let said: Json = serde_json::from_str(&text)?;
        assert_eq!([&said["confidence"], &said["content"], &said["placement"]], [&row[1], &row[2], &row[3]]);
        let terms = said["terms"].as_array().cloned().unwrap_or_default();
        for part in ["content", "placement", "state"] {
            let sum: f64 = terms.iter().filter_map(|term| term["log_odds"][part].as_f64()).sum();
            assert!((sum - said["sum"][part].as_f64().unwrap_or(f64::NAN)).abs() < 1e-9, "{said}");
        }
    }
    Ok(())
}

#[test]
fn a_row_in_a_freeblock_is_explained_in_words() -> Done {
    let folder = folder()?;
    let out = recovered(folder.path())?;
    let found = rows(
        &Connection::open(&out)?,
        "SELECT min(version) FROM mudlark_evidence JOIN mudlark_version USING (version)
         WHERE method = 'freeblock' AND state = 'deleted'",
    )?;
    let (_, text, _) = explained(&out, found[0][0].as_i64().unwrap_or_default(), &[])?;
    for wanted in
        ["deleted, read in a freeblock", "sum, in log-odds", "seen      freeblock, page", "confidence 0."]
    {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    Ok(())
}

#[test]
fn a_row_that_is_not_there_and_numbers_of_another_model_are_refused() -> Done {
    let folder = folder()?;
    let out = recovered(folder.path())?;
    let (status, _, err) = explained(&out, 1_000_000, &[])?;
    assert_eq!(status, Some(2));
    assert!(err.contains("has no such row"), "{err}");
    Connection::open(&out)?.execute("UPDATE mudlark_version SET confidence = 0.123 WHERE version = 1", [])?;
    let (status, _, err) = explained(&out, 1, &[])?;
    assert_eq!(status, Some(2));
    assert!(err.contains("were changed"), "{err}");
    Connection::open(&out)?.execute("UPDATE mudlark_run SET model_version = 'older'", [])?;
    let (status, _, err) = explained(&out, 2, &[])?;
    assert_eq!(status, Some(2));
    assert!(err.contains("another model"), "{err}");
    Ok(())
}
