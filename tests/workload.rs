//! A store at work: commits of all kinds, and the states that the engine itself saw behind each.

use crate::support::{Done, mudlark, names, rows};
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
    /// The next of them, below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The rows of all tables as they stand.
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

/// A copy of the files of a store that is still open.
pub fn copied(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("store.db");
    fs::copy(folder.join("live.db"), &path)?;
    fs::copy(folder.join("live.db-wal"), folder.join("store.db-wal"))?;
    Ok(path)
}

/// The tables of the workload.
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

/// The cells of a row as the engine gave it, without its key.
pub fn cells(row: &str) -> Done<Vec<Json>> {
    let row: Vec<Json> = serde_json::from_str(row)?;
    Ok(row.get(1..).unwrap_or_default().to_vec())
}

/// The values of a row without the default of the column that was added last.
pub fn text(table: &str, mut cells: Vec<Json>) -> String {
    if table == "people" && cells.len() == 4 && cells[3] == json!(7) {
        cells.pop();
    }
    json!(cells).to_string()
}

/// The states with each row under one name over all of them: the table's last name, which incarnation of it, and its last
/// row id.
pub fn named(states: &[State], steps: &[u64]) -> Vec<State> {
    let behind = |step: u64| steps.iter().position(|at| *at == step).map_or(usize::MAX, |index| index + 1);
    let (vacuumed, dropped) = (behind(20), behind(30));
    let no_rows = Rows::new();
    let loose = |state: usize| states.get(state).and_then(|state| state.get("loose")).unwrap_or(&no_rows);
    let ids = |rows: &Rows| {
        let mut ids: Vec<i64> = rows.keys().filter_map(|id| id.parse().ok()).collect();
        ids.sort_unstable();
        ids
    };
    let (old, new) = (ids(loose(vacuumed - 1)), ids(loose(vacuumed)));
    let given: BTreeMap<i64, i64> = old.into_iter().zip(new).collect();
    let of = |(index, state): (usize, &State)| {
        let table = |(name, rows): (&String, &Rows)| {
            let name = match name.as_str() {
                "extra" => "further".to_owned(),
                "wide" if index >= dropped => "wide again".to_owned(),
                name => name.to_owned(),
            };
            let key = |key: &String| {
                let id: Option<i64> = key.parse().ok().filter(|_| name == "loose" && index < vacuumed);
                id.map_or(key.clone(), |id| given.get(&id).map_or(format!("gone {id}"), i64::to_string))
            };
            let rows = rows.iter().map(|(id, row)| (key(id), row.clone())).collect();
            (name.clone(), rows)
        };
        state.iter().map(table).collect()
    };
    states.iter().enumerate().map(of).collect()
}
