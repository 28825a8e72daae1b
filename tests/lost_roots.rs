//! Does a table get back its own rows when its root was exchanged, lost, or can't be told from free pages?

use crate::support::{Done, folder, recovered_lines, rows_in_state, store};
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

/// Rows of a table in a state, by their names.
fn names<'l>(lines: &'l [Json], table: &str, state: &str) -> Vec<&'l str> {
    rows_in_state(lines, table, state).filter_map(|line| line["values"]["name"].as_str()).collect()
}

/// Two tables of one shape and their rows.
const ALIKE: &str = "PRAGMA page_size = 1024; PRAGMA secure_delete = off; PRAGMA journal_mode = persist;
    CREATE TABLE north(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE south(id INTEGER PRIMARY KEY, name TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
    INSERT INTO north SELECT i, 'north ' || i FROM n; INSERT INTO south SELECT id, 'south ' || id FROM north;";

fn all_of(table: &str, lines: &[Json]) -> bool {
    let live = names(lines, table, "live");
    live.len() == 20 && live.iter().all(|name| name.starts_with(table))
}

#[test]
fn tables_of_one_shape_that_exchanged_roots_keep_their_rows_because_the_first_has_the_first_page() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        &format!("{ALIKE} PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 5 - rootpage"),
    )?;
    let lines = recovered_lines(&path, &[])?;
    assert!(all_of("north", &lines) && all_of("south", &lines), "{lines:#?}");
    Ok(())
}

#[test]
fn a_table_that_was_made_anew_keeps_its_root_behind_that_of_the_next() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let south = "CREATE TABLE south(id INTEGER PRIMARY KEY, name TEXT);
        INSERT INTO south SELECT id, 'south ' || id FROM north;";
    // The page of the first root was another table's when north was made, and is south's since.
    store(
        &path,
        &format!(
            "CREATE TABLE first(a); CREATE TABLE north(id INTEGER PRIMARY KEY, name TEXT); DROP TABLE first;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20)
             INSERT INTO north SELECT i, 'north ' || i FROM n; {south}"
        ),
    )?;
    let lines = recovered_lines(&path, &[])?;
    assert!(all_of("north", &lines) && all_of("south", &lines), "{lines:#?}");
    Ok(())
}

#[test]
fn an_old_page_is_that_of_the_table_which_misses_its_number() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        &format!("{ALIKE} UPDATE north SET name = name || ' b'; UPDATE south SET name = name || ' b';"),
    )?;
    // Only the last transaction is in the journal: with another one of both tables it is that of both.
    store(
        &path,
        "PRAGMA journal_mode = persist; BEGIN; DELETE FROM north WHERE id = 3; DELETE FROM south WHERE id = 3; COMMIT",
    )?;
    let mut bytes = fs::read(&path)?;
    bytes[1024..2048].fill(0);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let (north, south) = (names(&lines, "north", "live"), names(&lines, "south", "live"));
    assert!(north.len() >= 19 && north.iter().all(|name| name.starts_with("north")), "{lines:#?}");
    assert!(south.len() == 19 && south.iter().all(|name| name.starts_with("south")), "{lines:#?}");
    Ok(())
}

/// The number of the first trunk of the list of free pages.
fn first_trunk(path: &Path) -> Done<usize> {
    let bytes = fs::read(path)?;
    Ok(u32::from_be_bytes(bytes[32..36].try_into()?) as usize)
}

#[test]
fn pages_beyond_the_number_of_those_in_use_are_free_though_no_list_names_them() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 512; PRAGMA secure_delete = off; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         CREATE INDEX i ON t(name);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
         INSERT INTO t SELECT i, 'row number ' || i || ' of many' FROM n; DELETE FROM t;
         PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 5 - rootpage",
    )?;
    let mut bytes = fs::read(&path)?;
    // The second trunk counts more leaves than it has room for, which leaves half of the free pages unnamed.
    let at = (first_trunk(&path)? - 1) * 512;
    let second = u32::from_be_bytes(bytes[at..at + 4].try_into()?) as usize;
    bytes[(second - 1) * 512 + 4] = 0x40;
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    assert_eq!(names(&lines, "t", "live").len(), 0);
    let deleted = names(&lines, "t", "deleted").len();
    assert!(deleted >= 3900, "{deleted} of 4000");
    Ok(())
}

#[test]
fn a_freed_page_without_its_header_holds_no_live_rows_of_a_table_that_has_all_of_its_pages() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 4096; PRAGMA secure_delete = off; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO t SELECT i * 1000 % 7919, 'row number ' || i || ' of many' FROM n;
         DELETE FROM t WHERE id % 60 > 0;",
    )?;
    let before = recovered_lines(&path, &[])?;
    let standing = names(&before, "t", "live").len();
    assert!((5..20).contains(&standing), "{standing}");
    let mut bytes = fs::read(&path)?;
    let trunk = first_trunk(&path)?;
    let pages = bytes.len() / 4096;
    let leaves = (3..=pages).filter(|page| *page != trunk && bytes[(page - 1) * 4096] == 0x0d);
    for page in leaves.collect::<Vec<_>>() {
        bytes[(page - 1) * 4096..(page - 1) * 4096 + 512].fill(0);
    }
    // The root loses rows, and the list of free pages its leaves.
    bytes[8192 - 512..8192].fill(0);
    bytes[(trunk - 1) * 4096..trunk * 4096].fill(0);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let live = names(&lines, "t", "live").len();
    assert!(live <= 2 * standing, "{live} of {standing}");
    Ok(())
}

/// A table that was dropped and made anew with ten rows; the new root and three of the old leaves lose their first half.
fn made_anew(path: &Path, is_list_lost: bool) -> Done<Vec<Json>> {
    store(
        path,
        "PRAGMA page_size = 1024; PRAGMA secure_delete = off; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO t SELECT i, 'old row number ' || i FROM n;
         DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
         INSERT INTO t SELECT i * 30, 'new row number ' || i || ', a little longer than the old ones were' FROM n;",
    )?;
    let mut bytes = fs::read(path)?;
    let trunk = first_trunk(path)?;
    let leaves = (3..=bytes.len() / 1024).filter(|page| *page != trunk && bytes[(page - 1) * 1024] == 0x0d);
    for page in leaves.take(3).collect::<Vec<_>>().into_iter().chain([2]) {
        bytes[(page - 1) * 1024..(page - 1) * 1024 + 512].fill(0);
    }
    if is_list_lost {
        bytes[(trunk - 1) * 1024..trunk * 1024].fill(0xa7);
    }
    fs::write(path, bytes)?;
    recovered_lines(path, &[])
}

#[test]
fn a_free_page_without_its_header_holds_no_live_rows_of_a_table_whose_root_lost_its_own() -> Done {
    for is_list_lost in [false, true] {
        let folder = folder()?;
        let lines = made_anew(&folder.path().join("store.db"), is_list_lost)?;
        let live = names(&lines, "t", "live");
        assert!(live.len() > 3 && live.iter().all(|name| name.starts_with("new")), "{live:?}");
        let deleted = names(&lines, "t", "deleted");
        assert!(deleted.iter().filter(|name| name.starts_with("old")).count() > 250, "{deleted:?}");
    }
    Ok(())
}

#[test]
fn a_page_of_the_pointer_map_is_no_lost_page_that_old_rows_may_have_stood_on() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA auto_vacuum = full; PRAGMA secure_delete = off; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
         INSERT INTO t SELECT i, 'old row number ' || i FROM n; DELETE FROM t;
         INSERT INTO t SELECT id, 'new row number ' || id FROM (SELECT 1 AS id UNION SELECT 2 UNION SELECT 3);
         PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 99",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let live = names(&lines, "t", "live");
    assert!(live.len() == 3 && live.iter().all(|name| name.starts_with("new")), "{live:?}");
    assert!(names(&lines, "t", "deleted").len() > 60);
    Ok(())
}
