//! Are rows and entries kept apart where nothing but their bytes tells whose they are?

use crate::support::{Done, folder, recovered_lines, store};
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
    assert_eq!(lines.iter().filter(|line| line["table"] == "notes" && line["state"] == "live").count(), 60);
    Ok(())
}
