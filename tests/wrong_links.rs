//! What comes back where a page's own numbers are wrong: links to overflow pages, and how many cells there are?

use crate::support::{Done, folder, recovered_lines, rows_in_state};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

const PAGE: Geometry = Geometry { page_size: 1024, reserved: 0 };

/// The bodies of live rows that are whole, by id.
fn live(lines: &[Json]) -> BTreeMap<i64, String> {
    let whole = lines.iter().filter(|line| line["state"] == "live" && line["partial"] == json!({}));
    let row = |line: &Json| Some((line["rowid"].as_i64()?, line["values"]["body"].as_str()?.to_owned()));
    whole.filter_map(row).collect()
}

/// Documents of one to twenty pages each, two of each length.
fn documents(path: &Path) -> Done {
    Connection::open(path)?.execute_batch(
        "PRAGMA page_size = 1024;
         CREATE TABLE documents(id INTEGER PRIMARY KEY, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO documents(body) SELECT replace(hex(zeroblob(100 * (i / 2))), '00', 'page ' || i || ' ') FROM n;",
    )?;
    Ok(())
}

/// Where the links to the first overflow pages lie in the file, by row id, with what they name.
fn first_links(bytes: &[u8]) -> BTreeMap<i64, (usize, u32)> {
    let mut found = BTreeMap::new();
    for (index, page) in bytes.chunks(1024).enumerate().skip(1) {
        let Some(parsed) = Page::parse(page, index as u32 + 1, PAGE) else { continue };
        if parsed.header.kind != PageKind::TableLeaf {
            continue;
        }
        for cell in parsed.cells().filter_map(Result::ok).filter(|cell| cell.overflow != 0) {
            found.insert(cell.rowid, (index * 1024 + cell.end as usize - 4, cell.overflow));
        }
    }
    found
}

#[test]
fn rows_whose_links_lead_nowhere_or_to_another_row_get_their_chains_back() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    documents(&path)?;
    let before = live(&recovered_lines(&path, &[])?);
    let mut bytes = fs::read(&path)?;
    let links = first_links(&bytes);
    let other = links.get(&31).ok_or("row 31 has no chain")?.1;
    for (row, link) in [(12, 0), (18, 70_000), (24, other)] {
        let (at, _) = links.get(&row).copied().ok_or("a row without a chain")?;
        bytes[at..at + 4].copy_from_slice(&u32::to_be_bytes(link));
    }
    fs::write(&path, bytes)?;
    let after = live(&recovered_lines(&path, &[])?);
    assert_eq!(before.len(), 40);
    assert_eq!(after, before);
    Ok(())
}

#[test]
fn of_two_chains_of_one_length_none_is_taken_for_a_row_that_lacks_text() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Random bytes tell nothing of what comes next.
    Connection::open(&path)?.execute_batch(
        "PRAGMA page_size = 1024; CREATE TABLE blobs(id INTEGER PRIMARY KEY, body BLOB);
         INSERT INTO blobs(body) VALUES (randomblob(3000)), (randomblob(3000)), (randomblob(3000));",
    )?;
    let mut bytes = fs::read(&path)?;
    for (at, _) in first_links(&bytes).values().take(2) {
        bytes[*at..*at + 4].fill(0xff);
    }
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let partial = lines.iter().filter(|line| line["partial"]["body"]["length"] == 3000).count();
    assert_eq!((lines.iter().filter(|line| line["state"] == "live").count(), partial), (3, 2));
    Ok(())
}

#[test]
fn a_wrong_number_of_cells_makes_no_deleted_row_live_and_loses_none_that_is() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    Connection::open(&path)?.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA secure_delete = OFF;
         CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30)
         INSERT INTO notes(body) SELECT 'note number ' || i FROM n;
         DELETE FROM notes WHERE id % 4 = 0;",
    )?;
    let sound = fs::read(&path)?;
    let expected: BTreeSet<i64> = (1..=30).filter(|id| id % 4 != 0).collect();
    let count = u16::from_be_bytes([sound[1024 + 3], sound[1024 + 4]]);
    assert_eq!(usize::from(count), expected.len());
    for wrong in [count - 9, count - 1, count + 1, count + 7, 300] {
        let mut bytes = sound.clone();
        bytes[1024 + 3..1024 + 5].copy_from_slice(&wrong.to_be_bytes());
        fs::write(&path, bytes)?;
        let rows = live(&recovered_lines(&path, &[])?);
        assert_eq!(rows.into_keys().collect::<BTreeSet<_>>(), expected, "{wrong} cells");
    }
    Ok(())
}

#[test]
fn roots_that_were_exchanged_before_a_log_wrote_page_1_anew_mix_no_rows_of_their_tables() -> Done {
    let folder = folder()?;
    let (path, taken) = (folder.path().join("live.db"), folder.path().join("store.db"));
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE flags(id INTEGER PRIMARY KEY, flag INTEGER); CREATE TABLE letters(letter TEXT, flag INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO flags SELECT i, i % 5 FROM n;
         INSERT INTO letters SELECT 'letter ' || id, flag FROM flags;
         PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM flags WHERE id % 3 = 0; DELETE FROM letters WHERE rowid % 4 = 0; PRAGMA user_version = 7;",
    )?;
    let mut main = fs::read(&path)?;
    let root =
        |name: &[u8]| main.windows(name.len()).position(|bytes| bytes == name).map(|at| at + name.len());
    let flags = root(b"tableflagsflags").ok_or("no definition of flags")?;
    let letters = root(b"tablelettersletters").ok_or("no definition of letters")?;
    main.swap(flags, letters);
    fs::write(&taken, main)?;
    fs::copy(folder.path().join("live.db-wal"), folder.path().join("store.db-wal"))?;
    let lines = recovered_lines(&taken, &[])?;
    let count = |table, state| rows_in_state(&lines, table, state).count();
    assert_eq!([count("flags", "live"), count("flags", "deleted")], [40, 20]);
    assert_eq!([count("letters", "live"), count("letters", "deleted")], [45, 15]);
    assert_eq!(lines.len(), 120);
    Ok(())
}

#[test]
fn a_page_that_two_tables_claim_is_of_the_one_that_its_rows_fit() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    Connection::open(&path)?.execute_batch(
        "PRAGMA page_size = 1024;
         CREATE TABLE users(number INT, name TEXT, city TEXT); CREATE TABLE log(at TEXT, line TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO users SELECT i * 7, 'a name with the number ' || i, 'Bremen' FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO log(rowid, line, at) SELECT 1000 + i, 'what happened at step ' || i, '2026-01-' || (10 + i % 20) FROM n;",
    )?;
    let before = recovered_lines(&path, &[])?;
    let mut bytes = fs::read(&path)?;
    // The links to the last children stand in the headers of the two roots, pages 2 and 3.
    let last_of_log = bytes.get(2048 + 8..2048 + 12).ok_or("no page 3")?.to_vec();
    assert_eq!([bytes.get(1024), bytes.get(2048)], [Some(&5); 2]);
    bytes.get_mut(1024 + 8..1024 + 12).ok_or("no page 2")?.copy_from_slice(&last_of_log);
    fs::write(&path, bytes)?;
    let count = |lines, table| rows_in_state(lines, table, "live").count();
    let after = recovered_lines(&path, &[])?;
    assert_eq!([count(&before, "users"), count(&before, "log")], [60, 60]);
    assert_eq!([count(&after, "users"), count(&after, "log")], [60, 60]);
    Ok(())
}

#[test]
fn a_leaf_whose_link_is_lost_stays_its_tables_where_pointers_above_it_were_exchanged_as_well() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    Connection::open(&path)?.execute_batch(
        "PRAGMA page_size = 1024;
         CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO notes(body) SELECT 'what note number ' || i || ' says' FROM n;",
    )?;
    let mut bytes = fs::read(&path)?;
    let root = &mut bytes[1024..2048];
    assert_eq!(root[0], 5, "the root is an interior page");
    let first = usize::from(u16::from_be_bytes([root[12], root[13]]));
    root[first..first + 4].fill(0);
    let (one, other) = root[12..16].split_at_mut(2);
    one.swap_with_slice(other);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(rows_in_state(&lines, "notes", "live").count(), 100);
    // The rows with which the root began lie in it still.
    assert_eq!(lines.len(), 100);
    Ok(())
}
