//! Is each damage told once, where it is, with what was expected?

use crate::support::{Done, folder, mudlark, store};
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of a page of the stores made here.
const PAGE: usize = 1024;

/// The findings of `mudlark verify`.
fn findings(source: &Path) -> Done<Vec<Json>> {
    let ran = mudlark(["verify", "--json", &source.display().to_string()])?;
    let said: Json = serde_json::from_str(&ran.out)?;
    let findings = said["stores"][0]["findings"].as_array().cloned().unwrap_or_default();
    assert_eq!(ran.status, Some(i32::from(!findings.is_empty())), "{}{}", ran.out, ran.err);
    Ok(findings)
}

/// A sound store of many pages: rows, an index, and rows that spill into overflow pages.
fn sound(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("store.db");
    store(
        &path,
        &format!(
            "PRAGMA page_size = {PAGE};
             CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX by_name ON t(name);
             CREATE TABLE long(id INTEGER PRIMARY KEY, body TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
             INSERT INTO t SELECT i, 'some name ' || i FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
             INSERT INTO long SELECT i, printf('%.*c', 4000, 'x') FROM n;
             DELETE FROM t WHERE id BETWEEN 200 AND 500"
        ),
    )?;
    assert_eq!(findings(&path)?, [Json::Null; 0]);
    Ok(path)
}

#[test]
fn a_file_that_is_cut_short_is_one_finding_with_the_bytes_that_are_missing() -> Done {
    let folder = folder()?;
    let path = sound(folder.path())?;
    let whole = fs::read(&path)?;
    for keep in [whole.len() / 3, whole.len() / 2 / PAGE * PAGE, whole.len() - 1, whole.len() - 30 * PAGE] {
        fs::write(&path, &whole[..keep])?;
        let found = findings(&path)?;
        assert_eq!(found.len(), 1, "{keep} of {}: {found:#?}", whole.len());
        let (pages, held) = (whole.len() / PAGE, keep / PAGE);
        let said = (found[0]["found"].as_str(), found[0]["expected"].as_str());
        let (Some(held_said), Some(expected)) = said else { return Err("nothing said".into()) };
        assert!(held_said.contains(&format!("holds {held} pages")), "{held_said}");
        assert!(expected.starts_with(&format!("{pages} pages, as the header counts")), "{expected}");
        let missing: String = expected
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .split("byte")
            .next()
            .unwrap_or_default()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        assert_eq!(missing.parse::<usize>()?, whole.len() - keep, "{expected}");
    }
    Ok(())
}

#[test]
fn a_page_count_beyond_belief_is_a_finding_and_takes_no_memory() -> Done {
    let folder = folder()?;
    let path = sound(folder.path())?;
    let mut bytes = fs::read(&path)?;
    bytes[28..32].fill(0xff);
    fs::write(&path, bytes)?;
    let found = findings(&path)?;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["found"], u32::MAX.to_string());
    Ok(())
}
