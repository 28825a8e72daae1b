//! Do rows come back from files into which bytes were inserted, or of which some are lost amid others?

use crate::support::{Done, folder, mudlark, recovered_lines, store};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROWS: usize = 3000;

/// A store of two tables and an index, with long rows among the others.
fn members(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("store.db");
    store(
        &path,
        &format!(
            "PRAGMA page_size = 1024;
             CREATE TABLE members(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
             CREATE TABLE visits(id INTEGER PRIMARY KEY, member INTEGER, day TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
             INSERT INTO members SELECT i, 'Name ' || i, CASE i % 97 WHEN 0 THEN hex(zeroblob(1500)) ELSE 'note ' || i END
             FROM n;
             INSERT INTO visits SELECT id, id % 50, '2024-01-' || (10 + id % 20) FROM members;
             CREATE INDEX by_name ON members(name);"
        ),
    )?;
    Ok(path)
}

fn live<'l>(lines: &'l [Json], table: &str) -> Vec<&'l Json> {
    lines.iter().filter(|line| line["state"] == "live" && line["table"] == table).collect()
}

/// Whether nearly all rows are there, none is told as gone, and the evidence lies where it says.
fn check(path: &Path) -> Done {
    let lines = recovered_lines(path, &[])?;
    let bytes = fs::read(path)?;
    for table in ["members", "visits"] {
        let rows = live(&lines, table).len();
        assert!((ROWS - 60..=ROWS).contains(&rows), "{rows} rows of {table}");
    }
    let gone = lines.iter().filter(|line| line["state"] != "live").count();
    assert!(gone <= 10, "{gone} rows told as gone");
    for line in live(&lines, "members") {
        let name = line["values"]["name"].as_str().unwrap_or_default();
        assert_eq!(Some(name), line["rowid"].as_i64().map(|id| format!("Name {id}")).as_deref());
        let span = &line["evidence"][0]["spans"][0];
        let (Some(offset), Some(length)) = (span["offset"].as_u64(), span["length"].as_u64()) else {
            continue;
        };
        let cell = bytes.get(offset as usize..(offset + length) as usize).unwrap_or_default();
        assert!(cell.windows(name.len()).any(|part| part == name.as_bytes()), "{name} at {offset}");
    }
    Ok(())
}

#[test]
fn rows_behind_inserted_bytes_come_back_with_their_places_in_the_file() -> Done {
    for (at, count) in [(40_300, 1), (61_000, 100), (90_123, 3 * 1024 + 77), (150_000, 600)] {
        let folder = folder()?;
        let path = members(folder.path())?;
        let mut bytes = fs::read(&path)?;
        bytes.splice(at..at, vec![b'x'; count]);
        fs::write(&path, bytes)?;
        check(&path)?;
        let verified = mudlark(["verify".as_ref(), path.as_os_str()])?;
        assert!(verified.out.contains("bytes were inserted there"), "{}", verified.out);
    }
    Ok(())
}

#[test]
fn rows_behind_lost_bytes_come_back() -> Done {
    for (at, count) in [(40_300, 1), (61_000, 100), (90_123, 500)] {
        let folder = folder()?;
        let path = members(folder.path())?;
        let mut bytes = fs::read(&path)?;
        bytes.drain(at..at + count);
        fs::write(&path, bytes)?;
        check(&path)?;
        let verified = mudlark(["verify".as_ref(), path.as_os_str()])?;
        assert!(verified.out.contains("bytes were lost there"), "{}", verified.out);
    }
    Ok(())
}

#[test]
fn a_file_that_is_only_cut_short_has_its_pages_in_their_places() -> Done {
    let folder = folder()?;
    let path = members(folder.path())?;
    let bytes = fs::read(&path)?;
    fs::write(&path, &bytes[..bytes.len() - 1500])?;
    let verified = mudlark(["verify".as_ref(), path.as_os_str()])?;
    assert!(!verified.out.contains("there\n"), "{}", verified.out);
    Ok(())
}

#[test]
fn a_file_whose_first_pages_are_lost_has_its_chains_whole_and_its_rows_in_one_table_each() -> Done {
    for lost in [1, 2] {
        let folder = folder()?;
        let path = members(folder.path())?;
        let whole = fs::read(&path)?;
        fs::write(&path, &whole[lost * 1024..])?;
        let lines = recovered_lines(&path, &[])?;
        let leaves = lines.iter().filter(|line| line["evidence"][0]["method"] == "table_leaf");
        let live = leaves.filter(|line| line["state"] == "live" && line["missing"] == Json::Array(vec![]));
        let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
        live.for_each(|line| *rows.entry(line["table"].as_str().unwrap_or_default()).or_default() += 1);
        assert!(rows.len() == 2 && rows.values().all(|rows| *rows == ROWS), "{rows:?}");
        let verified = mudlark(["verify".as_ref(), path.as_os_str()])?;
        let found = format!("{} bytes less before page {}", lost * 1024, lost + 1);
        assert!(verified.out.contains(&found), "{}", verified.out);
    }
    Ok(())
}

#[test]
fn a_file_that_begins_amid_a_page_gives_the_rows_behind_it() -> Done {
    // Any number of bytes, those of page 1 among them.
    for lost in [1777, 2049, 5003] {
        let folder = folder()?;
        let path = members(folder.path())?;
        let whole = fs::read(&path)?;
        fs::write(&path, &whole[lost..])?;
        let lines = recovered_lines(&path, &[])?;
        let live =
            lines.iter().filter(|line| line["state"] == "live" && line["missing"] == Json::Array(vec![]));
        let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
        live.for_each(|line| *rows.entry(line["table"].as_str().unwrap_or_default()).or_default() += 1);
        // Their names went with page 1.
        let mut most: Vec<usize> = rows.values().copied().filter(|rows| *rows > 100).collect();
        most.sort_unstable();
        let nearly_all = |rows: &usize| (ROWS - 100..=ROWS).contains(rows);
        assert!(most.len() == 2 && most.iter().all(nearly_all), "{lost}: {rows:?}");
    }
    Ok(())
}

#[test]
fn rows_behind_lost_bytes_come_back_though_the_header_reserves_most_of_each_page() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 512; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, 'name number ' || i FROM n;",
    )?;
    let mut bytes = fs::read(&path)?;
    bytes[20] = 0x31;
    // Two bytes of the page behind page 1.
    bytes.drain(700..702);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let found = live(&lines, "t").len();
    assert!(found >= 1900, "{found} of 2000");
    Ok(())
}

#[test]
fn of_an_image_in_which_no_store_is_found_it_is_said() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, "PRAGMA page_size = 512; CREATE TABLE t(a); INSERT INTO t VALUES (1)")?;
    // A first page that states what no database has, amid other bytes.
    let mut bytes = vec![b'x'; 3 << 20];
    let first = fs::read(&path)?;
    bytes[1 << 20..(1 << 20) + 512].copy_from_slice(&first[..512]);
    bytes[(1 << 20) + 16..(1 << 20) + 18].fill(0xff);
    fs::write(&path, bytes)?;
    let ran = mudlark(["recover".as_ref(), path.as_os_str(), "--jsonl".as_ref(), "-".as_ref()])?;
    assert_eq!(ran.status, Some(1));
    assert!(ran.out.is_empty() && ran.err.contains("no store found in it"), "{}", ran.err);
    Ok(())
}
