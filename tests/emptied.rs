//! Do the rows of emptied tables come back where the first page is lost, and nothing else tells of these tables?

use crate::support::{Done, folder, overwrite, recovered_lines, recovered_with_schema, store};
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

/// A store with so large pages whose first bytes are lost, as it is read.
fn recovered(folder: &Path, (page_size, lost): (usize, usize), sql: &str) -> Done<Vec<Json>> {
    let path = folder.join(format!("store{page_size}.db"));
    store(&path, &format!("PRAGMA page_size = {page_size}; PRAGMA secure_delete = off; {sql}"))?;
    let mut bytes = fs::read(&path)?;
    bytes[..lost].fill(0);
    fs::write(&path, bytes)?;
    recovered_lines(&path, &[])
}

fn table(name: &str) -> String {
    format!(
        "CREATE TABLE {name}(id INTEGER PRIMARY KEY, name TEXT, amount INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO {name} SELECT i, '{name} ' || i, i * 7919 FROM n;"
    )
}

fn count(lines: &[Json], table: &str, state: &str, text: &str) -> usize {
    let is_one = |line: &&Json| {
        line["table"] == table
            && line["state"] == state
            && line["values"].as_object().is_some_and(|values| {
                values.values().any(|value| value.as_str().is_some_and(|found| found.starts_with(text)))
            })
    };
    lines.iter().filter(is_one).count()
}

#[test]
fn the_rows_of_a_store_in_which_no_row_is_live_come_back_without_its_header() -> Done {
    let folder = folder()?;
    for (page_size, lost) in [(4096, 100), (4096, 4096), (65536, 65536)] {
        let sql = table("visits") + "DELETE FROM visits;";
        let lines = recovered(folder.path(), (page_size, lost), &sql)?;
        let name = if lost == 100 { "visits" } else { "lost_1" };
        assert_eq!((count(&lines, name, "deleted", "visits"), lines.len()), (60, 60), "{page_size} {lost}");
        fs::remove_file(folder.path().join(format!("store{page_size}.db")))?;
    }
    Ok(())
}

#[test]
fn the_text_of_rows_that_are_all_gone_tells_its_encoding_without_the_header() -> Done {
    let folder = folder()?;
    for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
        let sql = format!("PRAGMA encoding = '{encoding}'; {} DELETE FROM visits;", table("visits"));
        let lines = recovered(folder.path(), (4096, 4096), &sql)?;
        assert_eq!(count(&lines, "lost_1", "deleted", "visits"), 60, "{encoding}");
        fs::remove_file(folder.path().join("store4096.db"))?;
    }
    Ok(())
}

#[test]
fn an_emptied_table_without_a_name_has_its_rows_to_itself_beside_others_of_its_shape() -> Done {
    let folder = folder()?;
    let sql = ["north", "south", "west"].map(table).concat() + "DELETE FROM south;";
    let lines = recovered(folder.path(), (4096, 4096), &sql)?;
    let counted = [("lost_1", "live", "north"), ("lost_2", "deleted", "south"), ("lost_3", "live", "west")]
        .map(|(table, state, text)| count(&lines, table, state, text));
    assert_eq!((counted, lines.len()), ([60; 3], 180));
    Ok(())
}

#[test]
fn rows_on_a_page_that_was_freed_are_of_the_emptied_one_of_tables_of_one_shape() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let table = |(name, step): (&str, u32)| {
        format!(
            "CREATE TABLE {name}(id INTEGER PRIMARY KEY, name TEXT, amount INTEGER);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO {name} SELECT (i + 100) * {step}, '{name} number ' || i, i * 7919 FROM n;"
        )
    };
    let tables = [("north", 1), ("south", 1), ("west", 13)].map(table).concat();
    // Row by row, so that the root is filled anew before it is empty.
    store(&path, &format!("PRAGMA secure_delete = off; {tables} DELETE FROM west WHERE amount >= 0;"))?;
    // The last page, which is free, is the other one that tells whose rows these are.
    let mut bytes = fs::read(&path)?;
    let last = bytes.len() - 4096;
    bytes[last..].fill(0);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(count(&lines, "north", "deleted", "west"), 0);
    assert!(count(&lines, "west", "deleted", "west") >= 140, "{}", count(&lines, "west", "deleted", "west"));
    Ok(())
}

#[test]
fn an_emptied_table_of_a_given_schema_gets_its_rows_under_its_name() -> Done {
    const SCHEMA: &str = "CREATE TABLE visits(who TEXT, amount INTEGER, at INTEGER, note TEXT);
         CREATE TABLE log(at TEXT, line INTEGER);";
    for rows in [60, 900] {
        let folder = folder()?;
        let path = folder.path().join("store.db");
        let sql = format!(
            "PRAGMA secure_delete = off; {SCHEMA}
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO visits SELECT 'person ' || i, i * 7919, i, 'note' FROM n;
             INSERT INTO log VALUES ('today', 1), ('later', 2);
             DELETE FROM visits;"
        );
        store(&path, &sql)?;
        overwrite(&path, 0..4096, 0)?;
        let lines = recovered_with_schema(&path, SCHEMA)?;
        assert_eq!((count(&lines, "visits", "deleted", "person"), lines.len()), (rows, rows + 2));
    }
    Ok(())
}

#[test]
fn pages_of_the_largest_size_are_told_where_no_page_shows_it_but_what_the_header_and_page_1_say() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    for (sql, lost) in [
        // Nothing but page 1 and an emptied page are left, and no header.
        ("PRAGMA auto_vacuum = 2; CREATE TABLE other(a); DELETE FROM visits", 0..100),
        // No table is left: the count of pages in the header says how large they are; or where page 1 has its content.
        ("PRAGMA auto_vacuum = 2; DROP TABLE visits", 16..18),
        ("DROP TABLE visits", 16..32),
    ] {
        let _ = fs::remove_file(&path);
        store(
            &path,
            &format!("PRAGMA page_size = 65536; PRAGMA secure_delete = off; {}{sql};", table("visits")),
        )?;
        overwrite(&path, lost.clone(), 0)?;
        let lines = recovered_lines(&path, &[])?;
        assert_eq!((count(&lines, "visits", "deleted", "visits"), lines.len()), (60, 60), "{lost:?} {sql}");
    }
    Ok(())
}
