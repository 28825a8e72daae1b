//! Are rows and entries kept apart where nothing but their bytes tells whose they are?

use crate::support::{Done, folder, overwrite, recovered_lines, rows_in_state, store};
use serde_json::Value as Json;
use std::fs;

#[test]
fn small_indexes_of_one_width_are_told_apart_where_the_first_page_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The entries of both indexes are three small integers, on a page each.
    store(
        &path,
        "CREATE TABLE tags(note INTEGER, tag INTEGER, PRIMARY KEY(note, tag));
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16)
         INSERT INTO tags SELECT i * 5 + 9, i % 2 FROM n;
         CREATE TABLE messages(id INTEGER PRIMARY KEY, sort INTEGER, mine INTEGER, body TEXT);
         CREATE INDEX by_sort ON messages(sort DESC, mine);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)
         INSERT INTO messages SELECT i, i, (i * 7) % 2, 'message number ' || i FROM n;",
    )?;
    let mut bytes = fs::read(&path)?;
    bytes[..4096].fill(0);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    let of_width = |width: usize| {
        let rows = lines.iter().filter_map(|line| line["values"].as_object());
        rows.filter(|values| values.len() == width).count()
    };
    assert_eq!((of_width(2), of_width(4), lines.len()), (16, 80, 96));
    Ok(())
}

#[test]
fn what_the_catalogue_left_on_a_page_is_no_row_of_the_table_that_has_the_page_now() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The journal keeps the pages that the catalogue had before the file was made anew.
    let fillers = (0..12).map(|n| {
        format!("CREATE TABLE filler_{n}(title TEXT, body TEXT, written TEXT, author TEXT, place TEXT);")
    });
    let sql = format!(
        "PRAGMA page_size = 512; PRAGMA journal_mode = persist; PRAGMA secure_delete = off;
         CREATE TABLE notes(a, b, c, d, e, f);
         {}
         DROP TABLE filler_0;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO notes SELECT 'text ' || i, 'some further words', i, i * i, NULL, 1 FROM n;
         VACUUM;",
        fillers.collect::<String>()
    );
    store(&path, &sql)?;
    let lines = recovered_lines(&path, &[])?;
    let definitions = |line: &&Json| line["values"].to_string().contains("CREATE TABLE");
    assert_eq!(lines.iter().find(definitions), None);
    assert_eq!(rows_in_state(&lines, "notes", "live").count(), 60);
    Ok(())
}

#[test]
fn a_table_whose_definition_lies_in_freed_bytes_is_dropped_though_the_head_of_the_catalogue_is_lost() -> Done
{
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name}(id INTEGER PRIMARY KEY, body TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
             INSERT INTO {name} SELECT i, '{name} ' || i FROM n;"
        )
    };
    let tables: String = ["drafts", "notes", "letters", "tasks"].map(table).concat();
    let sql = format!("PRAGMA secure_delete = off; {tables} DROP TABLE drafts; DROP TABLE letters;");
    store(&path, &sql)?;
    overwrite(&path, 0..512, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let count = |table: &str, state: &str| rows_in_state(&lines, table, state).count();
    for dropped in ["drafts", "letters"] {
        assert_eq!((count(dropped, "live"), count(dropped, "deleted")), (0, 40), "{dropped}");
    }
    for kept in ["notes", "tasks"] {
        assert_eq!((count(kept, "live"), count(kept, "deleted")), (40, 0), "{kept}");
    }
    Ok(())
}

/// Overwrites what follows a text in a file.
fn overwrite_behind(path: &std::path::Path, text: &str, count: usize) -> Done {
    let mut bytes = fs::read(path)?;
    let at = bytes.windows(text.len()).position(|part| part == text.as_bytes()).ok_or("not there")?;
    bytes[at + text.len()..at + text.len() + count].fill(0xff);
    fs::write(path, bytes)?;
    Ok(())
}

/// The names of the tables whose rows are live, with their number and that of their columns.
fn live_tables(lines: &[Json]) -> Vec<(String, usize, usize)> {
    let mut tables: Vec<(String, usize, usize)> = Vec::new();
    for line in lines.iter().filter(|line| line["state"] == "live") {
        let name = line["table"].as_str().unwrap_or_default();
        let columns = line["values"].as_object().map_or(0, serde_json::Map::len);
        match tables.iter_mut().find(|(known, ..)| known == name) {
            Some((_, rows, _)) => *rows += 1,
            None => tables.push((name.to_owned(), 1, columns)),
        }
    }
    tables.sort();
    tables
}

#[test]
fn a_table_keeps_its_name_where_no_column_of_its_definition_can_be_read() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "CREATE TABLE people(identity INTEGER PRIMARY KEY, name TEXT, city TEXT);
         CREATE TABLE words(id INTEGER PRIMARY KEY, word TEXT, meaning TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO people SELECT i, 'name ' || i, 'city ' || i FROM n;
         INSERT INTO words SELECT identity, 'word ' || identity, 'meaning' FROM people;",
    )?;
    overwrite_behind(&path, "CREATE TABLE people(ide", 30)?;
    let expected = vec![("people".to_owned(), 40, 3), ("words".to_owned(), 40, 3)];
    assert_eq!(live_tables(&recovered_lines(&path, &[])?), expected);
    // Neither does it lose it with the header of its page.
    let mut bytes = fs::read(&path)?;
    bytes[4096..4104].fill(0xff);
    fs::write(&path, bytes)?;
    assert_eq!(live_tables(&recovered_lines(&path, &[])?), expected);
    Ok(())
}

#[test]
fn a_table_without_row_ids_keeps_its_name_and_rows_where_the_end_of_its_definition_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "CREATE TABLE members(note TEXT, room TEXT, user TEXT, PRIMARY KEY(room, user)) WITHOUT ROWID;
         CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO members SELECT 'note ' || i, 'room ' || (i % 7), 'user ' || i FROM n;
         INSERT INTO settings VALUES ('version', '4'), ('colour', 'blue');",
    )?;
    overwrite_behind(&path, "CREATE TABLE members(note TEXT, room TEXT, ", 20)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(live_tables(&lines), vec![("members".to_owned(), 300, 3), ("settings".to_owned(), 2, 2)]);
    // The key comes first in a record: no cell is put into a column that is only next in the definition.
    let notes = lines.iter().filter_map(|line| line["values"]["note"].as_str());
    assert_eq!(notes.filter(|note| !note.starts_with("note ")).count(), 0);
    Ok(())
}
