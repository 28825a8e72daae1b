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

/// The page numbers of overflow pages: those that begin with a link and go on with the text of `long`.
fn overflow_pages(bytes: &[u8]) -> Vec<usize> {
    let text = |page: &[u8]| page[4..64].iter().all(|byte| *byte == b'x');
    (1..).zip(bytes.chunks(PAGE)).filter(|(_, page)| text(page)).map(|(number, _)| number).collect()
}

#[test]
fn an_overflow_chain_that_is_wiped_or_broken_is_a_finding_that_names_the_page_and_the_row() -> Done {
    let folder = folder()?;
    let path = sound(folder.path())?;
    let whole = fs::read(&path)?;
    let pages = overflow_pages(&whole);
    let (first, second) = (pages[0], pages[1]);
    let link = |page: usize, to: u32| -> (usize, Vec<u8>) { ((page - 1) * PAGE, to.to_be_bytes().to_vec()) };
    for ((at, bytes), page, says) in [
        (((second - 1) * PAGE, vec![0; PAGE]), second, "all zeros"),
        (link(first, 9_999_999), first, "names page 9999999, beyond the end next"),
        (link(first, 0), first, "names no next page"),
        (link(first, 1), 1, "a page of a tree"),
        (link(second, first as u32), first, "where the chain has been already"),
    ] {
        let mut broken = whole.clone();
        broken[at..at + bytes.len()].copy_from_slice(&bytes);
        fs::write(&path, broken)?;
        let found = findings(&path)?;
        assert_eq!(found.len(), 1, "{says}: {found:#?}");
        let (said, expected) = (found[0]["found"].to_string(), found[0]["expected"].to_string());
        assert!(said.contains(&format!("page {page}, ")) && said.contains(says), "{says}: {said}");
        assert!(expected.contains("of row id 1\"") || expected.contains("of row id 2\""), "{expected}");
        assert!(found[0]["page"].is_number() && found[0]["offset"].is_number());
    }
    Ok(())
}

#[test]
fn a_great_many_broken_chains_are_summed_up() -> Done {
    let folder = folder()?;
    let path = folder.path().join("many.db");
    store(
        &path,
        "PRAGMA page_size = 512; CREATE TABLE t(a TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
         INSERT INTO t SELECT printf('%.*c', 600, 'x') FROM n",
    )?;
    let mut bytes = fs::read(&path)?;
    for page in bytes.chunks_mut(512).filter(|page| page[4..64].iter().all(|byte| *byte == b'x')) {
        page.fill(0);
    }
    fs::write(&path, bytes)?;
    let found = findings(&path)?;
    assert!(found.len() < 60, "{} findings", found.len());
    let last = found.iter().find(|finding| finding["found"] == "650 further overflow chains");
    assert!(last.is_some(), "{found:#?}");
    Ok(())
}
