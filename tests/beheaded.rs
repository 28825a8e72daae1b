//! Does a file come back of which every page has lost its beginning?

use crate::support::{Done, folder, mudlark, recovered_lines, rows_in_state, store};
use mudlark_fixtures::rng::Rng;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

/// What ransomware encrypts that takes every other block.
const BLOCK: usize = 4096;

/// Two tables of unlike shapes, an index, and every other block of the file overwritten from the first one on.
fn encrypted(path: &Path, page_size: u32) -> Done {
    store(
        path,
        &format!(
            "PRAGMA page_size={page_size};
             CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, mail TEXT, age INTEGER);
             CREATE TABLE visits(id INTEGER PRIMARY KEY, at INTEGER, page TEXT);
             CREATE INDEX mails ON people(mail);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO people SELECT i, 'Name of ' || i, 'someone' || i || '@example.org', i % 90 FROM n;
             INSERT INTO visits SELECT id, 1600000000 + id * 7, '/shop/item/' || id FROM people;"
        ),
    )?;
    let mut bytes = fs::read(path)?;
    let noise = Rng::new(1).bytes(bytes.len());
    for (block, noise) in bytes.chunks_mut(BLOCK).zip(noise.chunks(BLOCK)).step_by(2) {
        block.copy_from_slice(noise);
    }
    Ok(fs::write(path, bytes)?)
}

#[test]
fn rows_of_pages_that_all_lost_their_headers_come_back_under_their_names() -> Done {
    for page_size in [8192, 16384, 65536] {
        let folder = folder()?;
        let path = folder.path().join("shop.db");
        encrypted(&path, page_size)?;
        let before = fs::read(&path)?;
        let lines = recovered_lines(&path, &[])?;
        assert!(fs::read(&path)? == before, "the file was written to");
        let whole = |row: &&Json| row["missing"].as_array().is_some_and(Vec::is_empty);
        // Half of each page is lost; rows that reach into it are lost with it.
        let people: Vec<&Json> = rows_in_state(&lines, "people", "live").filter(whole).collect();
        let visits = rows_in_state(&lines, "visits", "live").filter(whole).count();
        assert!(people.len() > 1200 && visits > 1200, "{page_size}: {} and {visits}", people.len());
        for row in people {
            let id = row["rowid"].as_i64().unwrap_or_default();
            assert_eq!(row["values"]["name"], format!("Name of {id}"), "{row}");
            assert_eq!(row["values"]["mail"], format!("someone{id}@example.org"), "{row}");
        }
        // What may be missing is said.
        let said = mudlark(["recover".as_ref(), path.as_os_str(), "--jsonl".as_ref(), "-".as_ref()])?.err;
        assert!(said.contains("without header, as full as what is left of them"), "{said}");
        // An index still names rows of which nothing else is left: these are lost, and not deleted.
        let gone: Vec<&Json> = rows_in_state(&lines, "people", "deleted").collect();
        assert!(gone.is_empty(), "{page_size}: {gone:#?}");
    }
    Ok(())
}

#[test]
fn noise_is_no_store_though_it_is_as_long_as_one() -> Done {
    let folder = folder()?;
    let path = folder.path().join("noise.bin");
    fs::write(&path, Rng::new(2).bytes(1 << 20))?;
    let ran = mudlark(["recover".as_ref(), path.as_os_str(), "--jsonl".as_ref(), "-".as_ref()])?;
    assert!(ran.out.is_empty(), "{}", ran.out);
    Ok(())
}
