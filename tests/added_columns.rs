//! Are rows from before a column was added known for what they are, where the first page is lost?

use crate::support::{Done, folder, overwrite, recovered_with_schema, rows_in_state, store};
use serde_json::Value as Json;
use std::path::Path;

fn table(name: &str) -> String {
    format!("CREATE TABLE {name}(id INTEGER PRIMARY KEY, name TEXT, amount INTEGER")
}

/// Rows of `name`, the greater part of which lack the column that is added; something further was done before.
fn rows(name: &str, further: &str) -> String {
    format!(
        "{0});
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO {name} SELECT i, '{name} number ' || i || ' of a name that takes some bytes', i * 7919 FROM n;
         {further}
         ALTER TABLE {name} ADD COLUMN added TEXT DEFAULT 'none';
         WITH RECURSIVE n(i) AS (SELECT 201 UNION ALL SELECT i + 1 FROM n WHERE i < 220)
         INSERT INTO {name} SELECT i, '{name} ' || i, i * 7919, 'told' FROM n;",
        table(name)
    )
}

/// Makes a store of which so many bytes at the beginning are lost, and reads it with what defines its tables now.
fn recovered(folder: &Path, sql: &str, lost: usize, tables: &[&str]) -> Done<Vec<Json>> {
    let path = folder.join("store.db");
    store(&path, sql)?;
    overwrite(&path, 0..lost, 0)?;
    let tables = tables.iter().map(|name| table(name) + ", added TEXT DEFAULT 'none');");
    recovered_with_schema(&path, &tables.collect::<String>())
}

#[test]
fn deleted_rows_that_lack_a_later_column_come_back_where_nothing_tells_tables_of_one_shape_apart() -> Done {
    let folder = folder()?;
    let deleted = |name: &str| rows(name, "") + &format!("DELETE FROM {name} WHERE id % 8 = 0;");
    let sql = format!("PRAGMA secure_delete = off; {} {}", deleted("north"), deleted("south"));
    let lines = recovered(folder.path(), &sql, 4096, &["north", "south"])?;
    let gone = lines.iter().filter(|line| line["state"] == "deleted");
    let short = gone.filter(|line| line["values"]["c3"] == "none").count();
    // 25 of each were deleted that lack it.
    assert_eq!(short, 50);
    Ok(())
}

#[test]
fn a_schema_with_a_later_column_counts_before_a_definition_that_is_left_from_before_it_was_added() -> Done {
    let folder = folder()?;
    // The later definition stands before those of other tables, in the first sector, the one that it replaced behind them.
    let others: String = (0..8).map(|n| format!("CREATE TABLE other_{n}(a, b, c);")).collect();
    let sql = format!("PRAGMA secure_delete = off; PRAGMA page_size = 1024; {}", rows("north", &others));
    let lines = recovered(folder.path(), &sql, 512, &["north"])?;
    let added = |value: &str| {
        rows_in_state(&lines, "north", "live").filter(|line| line["values"]["added"] == value).count()
    };
    assert_eq!((added("none"), added("told")), (200, 20));
    Ok(())
}
