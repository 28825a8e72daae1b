//! Is every live row of a sound store there, equal to the last bit, and nothing else called live?

use crate::support::{Done, folder, plan, recovered_lines, root, rows, scored, store};
use mudlark_fixtures::generate::{DamageChoice, Plan};
use mudlark_fixtures::sqlite::schema::quoted;
use mudlark_fixtures::sqlite::{Journal, Workload};
use rusqlite::{Connection, OpenFlags};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Holds every case to its truth: all live rows, no other, each once.
fn all_live_rows_and_no_other(plan: &Plan) -> Done {
    for case in scored(plan, false)? {
        let counts = &case.score.counts;
        let said = format!("{}: {:?}", case.name, case.score.notes);
        assert_eq!(counts.failed, 0, "{said}");
        assert_eq!(counts.bits_hit, counts.rec_live, "live rows of {said}");
        assert_eq!(counts.bits_wrong, 0, "wrong live rows of {said}");
        assert_eq!(counts.live_full, counts.rec_live, "live rows are put out once: {said}");
        assert_eq!(counts.rereads, 0, "live rows called gone: {said}");
        // Rows of a table that was dropped may be all that is left of it.
        if !case.name.contains("drop") {
            assert_eq!(counts.named, counts.found, "tables of {said}");
        }
    }
    Ok(())
}

#[test]
fn every_live_row_of_every_kind_of_store_is_read_to_the_last_bit() -> Done {
    all_live_rows_and_no_other(&plan(11, 66, DamageChoice::None))
}

#[test]
fn live_rows_are_those_of_the_last_commit_whatever_the_journal_holds() -> Done {
    let plan = Plan {
        journals: Journal::ALL.to_vec(),
        workloads: vec![Workload::Churn, Workload::Update, Workload::DropRecreate],
        rows: Some(120),
        ..plan(12, 48, DamageChoice::None)
    };
    all_live_rows_and_no_other(&plan)
}

#[test]
fn a_store_altered_since_it_was_made_gives_every_row_under_its_present_columns() -> Done {
    let plan = Plan {
        workloads: vec![Workload::AddColumn, Workload::DropColumn, Workload::Vacuum],
        rows: Some(80),
        ..plan(13, 44, DamageChoice::None)
    };
    all_live_rows_and_no_other(&plan)
}

#[test]
fn sectors_of_zeros_in_the_values_of_a_sound_store_are_part_of_the_values() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a BLOB);
         INSERT INTO t(a) VALUES (zeroblob(1500)), (CAST('A' || zeroblob(1500) AS BLOB)),
           (CAST(hex(randomblob(400)) || zeroblob(9000) AS BLOB)), (CAST(zeroblob(700) || 'A' AS BLOB)), ('x')",
    )?;
    assert_eq!(as_recovered(&path)?, as_sqlite_reads(&path)?);
    Ok(())
}

/// Rows by table, each as its values in JSON form, sorted.
type Tables = BTreeMap<String, Vec<String>>;

/// The tables of a copy of `path`, as SQLite reads them.
fn as_sqlite_reads(path: &Path) -> Done<Tables> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("copy.db");
    fs::write(&copy, fs::read(path)?)?;
    let connection = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite~_%' ESCAPE '~'",
    )?;
    let names: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let mut tables = Tables::new();
    for name in names {
        let found = rows(&connection, &format!("SELECT * FROM {} NOT INDEXED", quoted(&name)))?;
        let mut found: Vec<String> = found.iter().map(Json::to_string).collect();
        found.sort_unstable();
        tables.insert(name, found);
    }
    Ok(tables)
}

/// The live rows that the command gives.
fn as_recovered(path: &Path) -> Done<Tables> {
    let mut tables = Tables::new();
    for line in recovered_lines(path, &["--min-confidence", "0", "--quiet"])? {
        let name = line["table"].as_str().unwrap_or_default().to_owned();
        if line["state"] != "live" || name.starts_with("sqlite_") {
            continue;
        }
        let values = line["values"].as_object().into_iter().flat_map(|values| values.values().cloned());
        tables.entry(name).or_default().push(Json::Array(values.collect()).to_string());
    }
    for rows in tables.values_mut() {
        rows.sort_unstable();
    }
    Ok(tables)
}

#[test]
fn the_samples_of_the_forensic_corpus_give_the_rows_that_sqlite_reads() -> Done {
    let mut samples = 0;
    for entry in fs::read_dir(root().join("tests/corpus/sqlite"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "db") {
            let mut expected = as_sqlite_reads(&path)?;
            expected.retain(|_, rows| !rows.is_empty());
            assert_eq!(as_recovered(&path)?, expected, "{}", path.display());
            samples += 1;
        }
    }
    assert!(samples >= 16, "only {samples} samples");
    Ok(())
}

#[test]
fn a_torn_log_that_a_checkpoint_has_overtaken_takes_nothing_back() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
         INSERT INTO t(a) VALUES ('first'), ('second'), ('third');
         UPDATE t SET a = 'changed' WHERE id = 2; PRAGMA wal_checkpoint(PASSIVE)",
    )?;
    let mut log = fs::read(folder.path().join("store.db-wal"))?;
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy)?;
    // The checksum of the last frame, so that nothing proves its commit.
    let at = log.len() - 4096 - 4;
    log[at] ^= 1;
    fs::write(folder.path().join("copy.db-wal"), log)?;
    let rows = as_recovered(&copy)?;
    assert_eq!(rows, as_sqlite_reads(&copy)?);
    assert!(rows["t"].iter().any(|row| row.contains("changed")));
    Ok(())
}

#[test]
fn a_long_row_beside_wiped_space_is_whole() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Deleting wipes whole sectors behind cells that go on in overflow pages.
    store(
        &path,
        "PRAGMA secure_delete = on; CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO t SELECT i, replace(hex(zeroblob(1800 + 37 * i)), '0', char(96 + i % 26)) FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO t SELECT 100 + i, replace(hex(zeroblob(300 + 5 * i)), '0', 'x') FROM n;
         DELETE FROM t WHERE id % 2 = 0;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let live: Vec<&Json> = lines.iter().filter(|line| line["state"] == "live").collect();
    assert_eq!(live.len(), 120);
    assert!(live.iter().all(|row| row["values"]["body"].is_string()), "a row is in part");
    Ok(())
}

#[test]
fn rows_that_lack_columns_or_hold_text_in_numeric_ones_stay_with_their_table_beside_one_of_their_shape()
-> Done {
    let folder = folder()?;
    for (name, definitions) in [
        ("short.db", "CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT, note); INSERT INTO a VALUES(1, 'Ada', 'x');
            CREATE TABLE b(id INTEGER PRIMARY KEY, name TEXT, note); ALTER TABLE a ADD COLUMN sort DEFAULT 4"),
        ("dates.db", "CREATE TABLE a(id INTEGER PRIMARY KEY, name TEXT, made DATETIME);
            INSERT INTO a VALUES(1, 'Ada', '2026-11-20 12:00:00');
            CREATE TABLE b(id INTEGER PRIMARY KEY, name TEXT, note TEXT); INSERT INTO b VALUES(1, 'Bo', NULL)"),
    ] {
        let path = folder.path().join(name);
        store(&path, definitions)?;
        let mut read = as_sqlite_reads(&path)?;
        read.retain(|_, rows| !rows.is_empty());
        assert_eq!(as_recovered(&path)?, read, "{name}");
    }
    Ok(())
}
