//! Does the timeline tell what each commit did, as the engine itself saw it?

use crate::support::{Done, folder, mudlark, names, rows};
use mudlark_fixtures::sqlite::schema::quoted;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of a table by what tells them apart.
pub type Rows = BTreeMap<String, String>;

/// All tables.
pub type State = BTreeMap<String, Rows>;

/// Inserted, updated, deleted.
pub type Counts = BTreeMap<String, (u64, u64, u64)>;

/// Numbers that look random and are the same in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

pub fn state(connection: &Connection) -> Done<State> {
    let mut all = State::new();
    for name in names(connection, "table")?.into_iter().filter(|name| !name.starts_with("sqlite_")) {
        let key = if name == "pairs" { "a || '/' || b" } else { "rowid" };
        let found = rows(connection, &format!("SELECT {key}, * FROM {}", quoted(&name)))?;
        let row = |row: &Json| Some((row.get(0)?.to_string(), row.to_string()));
        all.insert(name, found.iter().filter_map(row).collect());
    }
    Ok(all)
}

/// What lies between two states.
fn difference(before: &State, after: &State) -> Counts {
    let empty = Rows::new();
    let tables: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let of = |table: &String| {
        let (old, new) = (before.get(table).unwrap_or(&empty), after.get(table).unwrap_or(&empty));
        let inserted = new.keys().filter(|key| !old.contains_key(*key)).count() as u64;
        let deleted = old.keys().filter(|key| !new.contains_key(*key)).count() as u64;
        let updated =
            new.iter().filter(|(key, row)| old.get(*key).is_some_and(|old| old != *row)).count() as u64;
        (table.clone(), (inserted, updated, deleted))
    };
    tables.into_iter().map(of).filter(|(_, counts)| *counts != (0, 0, 0)).collect()
}

/// The timeline of a store, as JSON.
pub fn timeline(path: &Path) -> Done<Json> {
    let ran = mudlark(["timeline".as_ref(), "--json".as_ref(), path.as_os_str()])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let told: Json = serde_json::from_str(&ran.out)?;
    Ok(told["stores"][0].clone())
}

fn told(commit: &Json) -> Counts {
    let number = |table: &Json, what: &str| table[what].as_u64().unwrap_or(u64::MAX);
    let tables = commit["tables"].as_array().into_iter().flatten().filter(|table| table["internal"] == false);
    tables
        .map(|table| {
            assert_eq!(table["exact"], true, "{commit}");
            let counts = (number(table, "inserted"), number(table, "updated"), number(table, "deleted"));
            (table["table"].as_str().unwrap_or("").to_owned(), counts)
        })
        .collect()
}

pub fn copied(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("store.db");
    fs::copy(folder.join("live.db"), &path)?;
    fs::copy(folder.join("live.db-wal"), folder.join("store.db-wal"))?;
    Ok(path)
}

pub const TABLES: &str = "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
    CREATE INDEX people_name ON people(name);
    CREATE TABLE loose(a, b);
    CREATE TABLE pairs(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID;
    CREATE TABLE wide(id INTEGER PRIMARY KEY, data BLOB);";

/// One statement of a workload.
fn statement(numbers: &mut Numbers, step: u64) -> String {
    let (low, many) = (numbers.below(400), 1 + numbers.below(60));
    let high = low + many;
    let series =
        format!("WITH RECURSIVE n(i) AS (SELECT {low} UNION ALL SELECT i + 1 FROM n WHERE i < {high}) ");
    match numbers.below(12) {
        0 | 1 => format!(
            "{series} INSERT OR REPLACE INTO people(id, name, note) SELECT i, 'name {step} ' || i, hex(randomblob(i % 40)) FROM n"
        ),
        2 => format!("UPDATE people SET note = note || '{step}' WHERE id BETWEEN {low} AND {high}"),
        3 => format!("DELETE FROM people WHERE id BETWEEN {low} AND {high}"),
        4 => format!("{series} INSERT INTO loose SELECT i * 3, 'loose {step}' FROM n"),
        5 => format!("DELETE FROM loose WHERE rowid % 7 = {}", step % 7),
        6 => format!("{series} INSERT OR REPLACE INTO pairs SELECT 'p' || (i % 9), i, '{step}' FROM n"),
        7 => format!("DELETE FROM pairs WHERE b BETWEEN {low} AND {high}"),
        8 => format!("{series} INSERT OR REPLACE INTO wide SELECT i % 50, randomblob(i * 30) FROM n"),
        9 => format!(
            "UPDATE wide SET data = CAST(substr(data, 1, length(data) - 1) || x'{:02x}' AS BLOB) WHERE id < {}",
            step % 256,
            many % 9
        ),
        10 => "DELETE FROM wide WHERE id % 3 = 0".to_owned(),
        _ => format!("UPDATE loose SET b = 'changed {step}' WHERE rowid < {many}"),
    }
}

/// The statements of each step of a workload: inserts, updates, deletes, changes of definitions, and a `VACUUM`.
pub fn steps(seed: usize) -> Vec<(u64, String)> {
    let mut numbers = Numbers(seed as u64);
    let step = |step: u64| {
        let several = 1 + numbers.below(4);
        let work: Vec<String> = (0..several).map(|_| statement(&mut numbers, step)).collect();
        let work = match step {
            15 => "ALTER TABLE people ADD COLUMN age INTEGER DEFAULT 7".to_owned(),
            20 => "VACUUM".to_owned(),
            25 => "CREATE TABLE extra(x); INSERT INTO extra VALUES (1), (2)".to_owned(),
            30 => "DROP TABLE wide".to_owned(),
            31 => "CREATE TABLE wide(id INTEGER PRIMARY KEY, data BLOB); INSERT INTO wide VALUES (1, zeroblob(9000))".to_owned(),
            35 => "ALTER TABLE extra RENAME TO further".to_owned(),
            40 => "DELETE FROM people".to_owned(),
            _ => work.join(";"),
        };
        (step, if step == 20 { work } else { format!("BEGIN; {work}; COMMIT;") })
    };
    (0..48).map(step).collect()
}

/// Page sizes, and auto-vacuum.
pub const SETTINGS: [(u32, u32); 5] = [(512, 0), (1024, 1), (4096, 0), (4096, 2), (65536, 0)];

/// What was done to a store.
pub struct Worked {
    /// For each commit the step, and what lies between the states around it.
    pub commits: Vec<(u64, Counts)>,
    /// The states before the first and behind each.
    pub states: Vec<State>,
}

/// Fills a log with commits of all kinds.
pub fn worked(connection: &Connection, log: &Path, seed: usize) -> Done<Worked> {
    let (page_size, auto_vacuum) = SETTINGS[seed];
    connection.execute_batch(&format!(
        "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA journal_mode = wal;
         PRAGMA wal_autocheckpoint = 0; {TABLES} PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    let mut worked = Worked { commits: Vec::new(), states: vec![state(connection)?] };
    for (step, batch) in steps(seed) {
        let length = fs::metadata(log)?.len();
        connection.execute_batch(&batch)?;
        if fs::metadata(log)?.len() == length {
            // Nothing was to be written.
            continue;
        }
        let after = state(connection)?;
        let before = worked.states.last().ok_or("no state")?;
        let mut counts = difference(before, &after);
        match step {
            // The default is read and not written.
            15 => _ = counts.remove("people"),
            // VACUUM gives other row ids to rows that have none of their own.
            20 => counts.clear(),
            35 => counts.clear(),
            _ => {}
        }
        worked.commits.push((step, counts));
        worked.states.push(after);
    }
    Ok(worked)
}

#[test]
fn every_commit_of_a_log_has_the_row_counts_of_the_states_around_it() -> Done {
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate() {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let expected = worked(&connection, &folder.path().join("live.db-wal"), seed)?.commits;
        let told_all = timeline(&copied(folder.path())?)?;
        let commits = told_all["commits"].as_array().cloned().unwrap_or_default();
        assert_eq!(commits.len(), expected.len());
        for (number, (commit, (step, counts))) in commits.iter().zip(&expected).enumerate() {
            assert_eq!(commit["point"], format!("commit:{}", number + 1));
            assert_eq!(commit["state"], "committed");
            assert_eq!(&told(commit), counts, "page size {page_size}, step {step}: {commit}");
            let schema = |what: &str, kind: &str, name: &str, from: Json| json!({"what": what, "kind": kind, "name": name, "from": from});
            let changed = match step {
                15 => json!([schema("altered", "table", "people", Json::Null)]),
                25 => json!([schema("created", "table", "extra", Json::Null)]),
                30 => json!([schema("dropped", "table", "wide", Json::Null)]),
                31 => json!([schema("created", "table", "wide", Json::Null)]),
                35 => json!([schema("renamed", "table", "further", json!("extra"))]),
                _ => json!([]),
            };
            assert_eq!(commit["schema"], changed, "page size {page_size}, step {step}");
            if *step == 40 {
                let emptied = commit["tables"].as_array().into_iter().flatten().any(|t| t["emptied"] == true);
                assert!(emptied, "{commit}");
            }
        }
    }
    Ok(())
}

const SMALL: &str = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, created_at TEXT, due_at TEXT, data BLOB);
    INSERT INTO t(name) VALUES ('first'); PRAGMA wal_checkpoint(TRUNCATE);";

fn committed(folder: &Path, commits: &[&str]) -> Done<Connection> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(SMALL)?;
    for commit in commits {
        connection.execute_batch(commit)?;
    }
    Ok(connection)
}

fn of<'c>(told: &'c Json, what: &str) -> Vec<&'c Json> {
    told["commits"].as_array().into_iter().flatten().map(|commit| &commit[what]).collect()
}

#[test]
fn commits_of_an_older_generation_are_listed_behind_the_one_that_lost_frames() -> Done {
    let folder = folder()?;
    let connection = committed(
        folder.path(),
        &[
            "UPDATE t SET data = zeroblob(60000)",
            "UPDATE t SET name = 'again'",
            "INSERT INTO t(name) VALUES ('second'), ('third')",
            "DELETE FROM t WHERE name = 'second'",
            "PRAGMA wal_checkpoint(RESTART)",
            "UPDATE t SET name = 'changed' WHERE name = 'third'",
        ],
    )?;
    let told_all = timeline(&copied(folder.path())?)?;
    assert_eq!(
        of(&told_all, "state"),
        ["partly_overwritten", "committed", "committed", "committed", "committed"]
    );
    let commits = told_all["commits"].as_array().cloned().unwrap_or_default();
    let points: Vec<String> =
        commits.iter().map(|commit| commit["point"].as_str().unwrap_or("").to_owned()).collect();
    let generation = points[0].strip_suffix(":1").ok_or("no older generation")?.to_owned();
    assert!(generation.starts_with('g'));
    let older = (2..=4).map(|number| format!("{generation}:{number}"));
    assert!(points[1..].iter().cloned().eq(older.chain(["commit:1".to_owned()])), "{points:?}");
    // What the first wrote in frames that are gone is not known, so nor is what it did.
    assert_eq!(commits[0]["tables"], Json::Null);
    let counts = |commit: &Json| told(commit).into_values().collect::<Vec<_>>();
    assert_eq!(commits[1]["tables"][0]["exact"], false);
    assert_eq!(counts(&commits[2]), [(2, 0, 0)]);
    assert_eq!(counts(&commits[3]), [(0, 0, 1)]);
    assert_eq!(counts(&commits[4]), [(0, 1, 0)]);
    drop(connection);
    Ok(())
}

#[test]
fn a_log_that_ends_within_a_commit_lists_it_as_none() -> Done {
    let folder = folder()?;
    let connection = committed(
        folder.path(),
        &["INSERT INTO t(name) VALUES ('second')", "UPDATE t SET data = zeroblob(30000)"],
    )?;
    let path = copied(folder.path())?;
    let log = folder.path().join("store.db-wal");
    let bytes = fs::read(&log)?;
    fs::write(&log, &bytes[..bytes.len() - 5000])?;
    let told_all = timeline(&path)?;
    assert_eq!(of(&told_all, "point"), [&json!("commit:1"), &Json::Null]);
    assert_ne!(told_all["commits"][1]["state"], "committed");
    assert_eq!(told_all["commits"][1]["tables"], Json::Null);
    drop(connection);
    Ok(())
}

#[test]
fn what_a_checkpoint_has_overwritten_makes_counts_unknown_and_not_wrong() -> Done {
    let folder = folder()?;
    let connection = committed(
        folder.path(),
        &["UPDATE t SET name = 'a'", "UPDATE t SET name = 'b'", "PRAGMA wal_checkpoint(PASSIVE)"],
    )?;
    let told_all = timeline(&copied(folder.path())?)?;
    let first = &told_all["commits"][0]["tables"][0];
    assert_eq!((&first["unknown"], &first["exact"]), (&json!(1), &json!(false)));
    assert_eq!(told(&told_all["commits"][1]).into_values().collect::<Vec<_>>(), [(0, 1, 0)]);
    drop(connection);
    Ok(())
}

#[test]
fn a_commit_lies_between_the_times_in_its_rows_and_that_of_the_log() -> Done {
    let folder = folder()?;
    let connection = committed(
        folder.path(),
        &[
            "INSERT INTO t(name, created_at, due_at) VALUES ('x', '2024-05-06 07:08:09', '2025-01-01 00:00:00')",
            "DELETE FROM t WHERE name = 'first'",
        ],
    )?;
    let told_all = timeline(&copied(folder.path())?)?;
    for commit in told_all["commits"].as_array().into_iter().flatten() {
        // A later commit is not before an earlier one.
        assert_eq!(commit["not_before"]["time"], "2024-05-06T07:08:09Z");
        let until = commit["not_after"]["time"].as_str().unwrap_or("");
        assert!(until > "2024-05-06T07:08:09Z", "{until}");
        assert!(commit["not_after"]["evidence"].as_str().unwrap_or("").contains("store.db-wal"));
    }
    drop(connection);
    Ok(())
}

#[test]
fn a_store_without_a_log_has_no_commits_to_list() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    crate::support::store(&path, "CREATE TABLE t(a); INSERT INTO t VALUES (1)")?;
    let ran = mudlark(["timeline".as_ref(), path.as_os_str()])?;
    assert_eq!(ran.status, Some(1), "{}", ran.err);
    assert!(ran.out.contains("no write-ahead log"), "{}", ran.out);
    Ok(())
}

/// A store in rollback mode, caught with its journal as the batch leaves it.
pub fn with_journal(folder: &Path, setup: &str, batch: &str) -> Done<PathBuf> {
    let live = folder.join("live.db");
    let connection = Connection::open(&live)?;
    connection.execute_batch(&format!(
        "{setup} CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE u(a);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, 'a name of some length ' || i FROM n;"
    ))?;
    connection.execute_batch(batch)?;
    let path = folder.join("store.db");
    fs::copy(&live, &path)?;
    fs::copy(folder.join("live.db-journal"), folder.join("store.db-journal"))?;
    Ok(path)
}

#[test]
fn the_transaction_of_a_hot_journal_is_in_doubt_and_that_of_a_zeroed_one_committed() -> Done {
    let work = "DELETE FROM t WHERE id > 1990; UPDATE t SET name = 'changed' WHERE id < 6; INSERT INTO u VALUES (1), (2);";
    let counts = [("t".to_owned(), (0, 5, 10)), ("u".to_owned(), (2, 0, 0))];
    let hot = folder()?;
    // The cache is flushed, and the commit never comes.
    let path = with_journal(
        hot.path(),
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;",
        &format!("BEGIN; {work} UPDATE t SET name = name WHERE id = 1000; SELECT count(*) FROM t;"),
    )?;
    let told_all = timeline(&path)?;
    assert_eq!(of(&told_all, "state"), ["in_doubt"]);
    assert_eq!(of(&told_all, "generation"), ["journal"]);
    let kept = folder()?;
    let path =
        with_journal(kept.path(), "PRAGMA journal_mode = persist;", &format!("BEGIN; {work} COMMIT;"))?;
    let told_all = timeline(&path)?;
    assert_eq!(of(&told_all, "state"), ["committed"]);
    assert_eq!(told(&told_all["commits"][0]), Counts::from(counts));
    Ok(())
}
