//! Does the SQL text of a point load into what stood there?

use crate::support::{Done, folder, mudlark, names, rows};
use crate::workload::{SETTINGS, copied, state, worked};
use rusqlite::Connection;
use serde_json::json;
use std::fs;
use std::path::Path;

/// The SQL text of a store at a point.
fn dumped(store: &Path, point: &str) -> Done<String> {
    let (path, out) = (store.display().to_string(), store.with_file_name("out.sql").display().to_string());
    let ran = mudlark(["replay", &path, "--until", point, "-o", &out, "--force", "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    Ok(fs::read_to_string(out)?)
}

#[test]
fn the_sql_of_a_point_loads_into_the_recorded_state() -> Done {
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate().take(3) {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let states = worked(&connection, &folder.path().join("live.db-wal"), seed)?.states;
        let store = copied(folder.path())?;
        for number in (0..states.len()).step_by(7) {
            let script = dumped(&store, &format!("commit:{number}"))?;
            let loaded = Connection::open_in_memory()?;
            loaded.execute_batch(&script)?;
            assert!(state(&loaded)? == states[number], "page size {page_size}, commit:{number}");
        }
        let left: Vec<_> =
            fs::read_dir(folder.path())?.filter_map(Result::ok).map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| !name.to_string_lossy().contains(".part")), "{left:?}");
    }
    Ok(())
}

#[test]
fn definitions_come_back_as_far_as_they_are_data_and_others_as_comments() -> Done {
    for encoding in ["UTF-8", "UTF-16be"] {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        connection.execute_batch(&format!(
            "PRAGMA encoding = '{encoding}'; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT COLLATE NOCASE NOT NULL DEFAULT 'x' UNIQUE);
             CREATE TABLE pairs(v, a TEXT, b INT, PRIMARY KEY(b, a)) WITHOUT ROWID;
             CREATE TABLE firm(a INT, b TEXT) STRICT; CREATE TABLE loose(a INT, b ANY) STRICT; CREATE TABLE hidden(\"rowid\", a CHECK(a <> 'evil'));
             CREATE INDEX of_pairs ON pairs(v DESC); CREATE INDEX odd ON hidden(a || 'x');
             CREATE VIEW seen AS SELECT * FROM counted; CREATE TABLE empty(a);
             CREATE TRIGGER fires AFTER INSERT ON counted BEGIN DELETE FROM pairs; END;
             INSERT INTO counted(a) VALUES ('one'), ('two'); DELETE FROM counted WHERE id = 2;
             INSERT INTO pairs VALUES (NULL, 'k', 1), (9e999, 'a' || char(10, 0) || '''', 2);
             INSERT INTO firm VALUES (1, 'x'), (9007199254740993, NULL); INSERT INTO loose VALUES (1, x'00ff'), (2, 0.1), (3, '4');
             INSERT INTO hidden(_rowid_, \"rowid\", a) VALUES (-7, 'r', CAST(x'd800' AS TEXT)), (70, 1.0, 5);
             PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO empty VALUES (1); DELETE FROM empty;"
        ))?;
        let store = copied(folder.path())?;
        let script = dumped(&store, "last")?;
        let loaded = Connection::open_in_memory()?;
        loaded.execute_batch(&script)?;
        let queries = [
            "SELECT id, a FROM counted",
            "SELECT v, hex(a), b FROM pairs",
            "SELECT a, b FROM firm",
            "SELECT a, b, typeof(b) FROM loose",
            "SELECT _rowid_, \"rowid\", typeof(a), hex(a) FROM hidden",
            "SELECT * FROM sqlite_sequence",
            "PRAGMA table_xinfo(counted)",
            "PRAGMA table_xinfo(pairs)",
            "PRAGMA index_xinfo(of_pairs)",
            "SELECT wr, strict FROM pragma_table_list('pairs')",
            "SELECT wr, strict FROM pragma_table_list('firm')",
            "PRAGMA encoding",
        ];
        for query in queries {
            assert_eq!(rows(&loaded, query)?, rows(&connection, query)?, "{encoding}: {query}");
        }
        assert_eq!(names(&loaded, "table")?, names(&connection, "table")?);
        assert_eq!(
            rows(&loaded, "SELECT count(*) FROM sqlite_schema WHERE type IN ('view', 'trigger')")?,
            [json!([0])]
        );
        for text in [
            "-- CREATE VIEW seen AS",
            "-- CREATE TRIGGER fires",
            "-- CREATE INDEX odd",
            "-- CREATE TABLE hidden",
        ] {
            assert!(script.contains(text), "{text}: {script}");
        }
        assert_eq!(rows(&loaded, "PRAGMA integrity_check")?, [json!(["ok"])]);
    }
    Ok(())
}

#[test]
fn a_point_that_can_t_be_reached_leaves_no_sql() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t(a); INSERT INTO t VALUES (1)")?;
    let store = copied(folder.path())?;
    let (path, out) = (store.display().to_string(), store.with_file_name("out.sql").display().to_string());
    let ran = mudlark(["replay", &path, "--until", "commit:9", "-o", &out])?;
    assert_eq!(ran.status, Some(2));
    assert!(!Path::new(&out).exists());
    Ok(())
}
