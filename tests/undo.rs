//! Does an undo take back just what some commits did, and nothing at all where that can't be?

use crate::support::{Done, Ran, dump, folder, mudlark, rows};
use crate::workload::{Rows, SETTINGS, State, cells, copied, named, state, text, worked};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub fn undo(store: &Path, range: &str, further: &[&str]) -> Done<Ran> {
    let (path, out) = (store.display().to_string(), store.with_file_name("undo.sql").display().to_string());
    mudlark(["replay", &path, "--undo", range, "-o", &out, "--force"].iter().chain(further))
}

/// The statements of a script, as a client takes them that knows nothing of SQL.
pub fn statements(script: &str) -> impl Iterator<Item = &str> {
    script.split_inclusive(";\n")
}

/// How a client takes errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Stops,
    GoesOn,
}

/// Runs a script statement by statement; whether all of them succeeded.
pub fn run(connection: &Connection, script: &str, client: Client) -> bool {
    let mut all = true;
    for statement in statements(script) {
        let done = connection.execute_batch(statement).is_ok();
        all &= done;
        if !done && client == Client::Stops {
            break;
        }
    }
    all
}

/// A copy of a store with its log, under another name.
fn copy_of(store: &Path, name: &str) -> Done<PathBuf> {
    let copy = store.with_file_name(name);
    fs::copy(store, &copy)?;
    fs::copy(store.with_file_name("store.db-wal"), store.with_file_name(format!("{name}-wal")))?;
    Ok(copy)
}

/// A connection to a fresh copy of a store.
pub fn current(store: &Path) -> Done<Connection> {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(store.with_file_name(format!("current.db{ending}")));
    }
    Ok(Connection::open(copy_of(store, "current.db")?)?)
}

/// A state without the default of the column that was added last, and without the row ids that nobody sees.
fn plain(state: &State) -> Done<Vec<(String, Vec<String>)>> {
    let table = |(name, rows): (&String, &Rows)| -> Done<(String, Vec<String>)> {
        let plain: Done<Vec<String>> = rows.values().map(|row| Ok(text(name, cells(row)?))).collect();
        let mut plain = plain?;
        plain.sort();
        Ok((name.strip_suffix(" again").unwrap_or(name).to_owned(), plain))
    };
    state.iter().filter(|(_, rows)| !rows.is_empty()).map(table).collect()
}

/// The last state with what the commit did taken back, but for the rows that differ since.
fn taken_back(before: &State, after: &State, last: &State) -> State {
    let none = Rows::new();
    let mut wanted = last.clone();
    for (name, rows) in &mut wanted {
        let (old, new) = (before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
        let same = |one: Option<&String>, other: Option<&String>| {
            let plain = |row: Option<&String>| row.and_then(|row| Some(text(name, cells(row).ok()?)));
            plain(one) == plain(other)
        };
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (was, did, is) = (old.get(key), new.get(key), rows.get(key).cloned());
            if same(was, did) {
                continue;
            }
            match (was, did) {
                // Nobody sees which id the row has.
                (Some(row), None) if name == "loose" => _ = rows.insert(format!("back {key}"), row.clone()),
                _ if !same(is.as_ref(), did) => {}
                (Some(row), _) => _ = rows.insert(key.clone(), row.clone()),
                (None, _) => _ = rows.remove(key),
            }
        }
    }
    wanted
}

#[test]
fn every_commit_of_a_log_can_be_taken_back_and_later_changes_stay() -> Done {
    let (mut undone, mut conflicts) = (0, 0);
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate() {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let worked = worked(&connection, &folder.path().join("live.db-wal"), seed)?;
        let steps: Vec<u64> = worked.commits.iter().map(|(step, _)| *step).collect();
        let states = named(&worked.states, &steps);
        let last = states.last().ok_or("no state")?;
        let store = copied(folder.path())?;
        for (index, step) in steps.iter().enumerate() {
            let point = format!("commit:{}", index + 1);
            let ran = undo(&store, &point, &[])?;
            if [15, 20, 25, 30, 31, 35].contains(step) {
                assert_eq!(ran.status, Some(2), "{step}: {}", ran.err);
                assert!(ran.err.contains("--allow "), "{}", ran.err);
                continue;
            }
            assert!(matches!(ran.status, Some(0 | 1 | 3)), "{point}: {}", ran.err);
            let script = fs::read_to_string(store.with_file_name("undo.sql"))?;
            let wanted = taken_back(&states[index], &states[index + 1], last);
            for client in [Client::Stops, Client::GoesOn] {
                let current = current(&store)?;
                assert!(run(&current, &script, client), "page size {page_size}, {point}");
                assert_eq!(
                    plain(&state(&current)?)?,
                    plain(&wanted)?,
                    "page size {page_size}, {point}, step {step}"
                );
                assert_eq!(rows(&current, "PRAGMA integrity_check")?, [json!(["ok"])]);
            }
            undone += u64::from(ran.status != Some(1));
            // A change that the evidence knows nothing of.
            let after = worked.states[index + 1].get("people").cloned().unwrap_or_default();
            let before = worked.states[index].get("people").cloned().unwrap_or_default();
            let of_last =
                worked.states.last().and_then(|state| state.get("people")).cloned().unwrap_or_default();
            let touched = after
                .iter()
                .find(|(key, row)| before.get(*key) != Some(*row) && of_last.get(*key) == Some(*row));
            let Some((id, _)) = touched else { continue };
            for client in [Client::Stops, Client::GoesOn] {
                let current = current(&store)?;
                current.execute_batch(&format!("UPDATE people SET name = 'of today' WHERE id = {id}"))?;
                let standing = dump(&current)?;
                assert!(!run(&current, &script, client), "{point}");
                assert_eq!(dump(&current)?, standing, "page size {page_size}, {point}");
                assert!(current.is_autocommit());
            }
            conflicts += 1;
        }
    }
    assert!(undone >= 100 && conflicts >= 10, "{undone} undone, {conflicts} conflicts");
    Ok(())
}

/// A store whose log holds these commits behind its first state.
pub struct Case {
    /// Vanishes with the case.
    _folder: TempDir,
    pub store: PathBuf,
    /// The state before them.
    pub before: std::collections::BTreeMap<String, Vec<String>>,
}

impl Case {
    pub fn new(setup: &str, commits: &[&str]) -> Done<Self> {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        connection.execute_batch(&format!(
            "{setup}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA wal_checkpoint(TRUNCATE)"
        ))?;
        let before = dump(&connection)?;
        for commit in commits {
            connection.execute_batch(&format!("BEGIN; {commit}; COMMIT"))?;
        }
        let store = copied(folder.path())?;
        Ok(Self { _folder: folder, store, before })
    }

    pub fn script(&self, range: &str, further: &[&str]) -> Done<String> {
        let ran = undo(&self.store, range, further)?;
        assert!(matches!(ran.status, Some(0 | 3)), "{:?}: {}", ran.status, ran.err);
        Ok(fs::read_to_string(self.store.with_file_name("undo.sql"))?)
    }

    /// That the undo of all its commits brings the state before them back, with foreign keys enforced and not.
    pub fn check_all_taken_back(&self, range: &str) -> Done {
        let script = self.script(range, &[])?;
        for enforced in ["ON", "OFF"] {
            let current = current(&self.store)?;
            current.execute_batch(&format!("PRAGMA foreign_keys = {enforced}"))?;
            for statement in statements(&script) {
                current.execute_batch(statement).map_err(|error| format!("{statement}: {error}"))?;
            }
            assert_eq!(dump(&current)?, self.before, "foreign keys {enforced}");
            assert_eq!(rows(&current, "PRAGMA foreign_key_check")?, [Json::Null; 0]);
        }
        Ok(())
    }

    /// That the script changes nothing once this has happened, and says so.
    pub fn check_refused(&self, script: &str, since: &str) -> Done {
        for client in [Client::Stops, Client::GoesOn] {
            let current = current(&self.store)?;
            current.execute_batch(since)?;
            let standing = dump(&current)?;
            assert!(!run(&current, script, client), "{since}");
            if !current.is_autocommit() {
                current.execute_batch("ROLLBACK")?;
            }
            assert_eq!(dump(&current)?, standing, "{since}, client {client:?}");
        }
        Ok(())
    }
}

#[test]
fn every_value_is_taken_back_to_the_last_bit() -> Done {
    let values = "(1, 0.1 + 0.2, 'a'), (2, 9e999, 1), (3, -9e999, 2), (4, 5e-324, 3), (5, 9007199254740993, 4),
        (6, -9223372036854775808, 5), (7, x'00ff', 6), (8, 'it''s \"odd\"' || char(13, 10, 0, 27) || 'x', 7),
        (9, CAST(x'ff41' AS TEXT), 8), (10, '', 9), (11, x'', 10), (12, NULL, 11), (13, 123456.789e-11, 12), (14, 1e300, 13),
        (15, zeroblob(30000), 14), (16, 5.0, 15), (17, '; DROP TABLE t; --', 16), (18, 'é漢😀', 17), (19, -0.0, 18)";
    for encoding in ["UTF-8", "UTF-16le", "UTF-16be"] {
        for strict in ["", "STRICT"] {
            let case = Case::new(
                &format!(
                    "PRAGMA encoding = '{encoding}'; CREATE TABLE t(id INTEGER PRIMARY KEY, a ANY, b ANY, r REAL DEFAULT 5) {strict};
                     INSERT INTO t(id, a, b) VALUES {values}"
                ),
                &["UPDATE t SET a = b, b = a, r = 7 WHERE id % 2", "DELETE FROM t WHERE id % 3 = 0"],
            )?;
            case.check_all_taken_back("commit:1..commit:2")?;
        }
    }
    Ok(())
}

#[test]
fn rows_of_all_kinds_of_tables_are_taken_back() -> Done {
    let case = Case::new(
        "CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, a);
         CREATE TABLE pairs(v, a TEXT COLLATE NOCASE, b INT, PRIMARY KEY(b, a)) WITHOUT ROWID;
         CREATE TABLE hidden(\"rowid\" TEXT, a);
         CREATE TABLE \"a\"\"b; DROP -- '\"(\"c\"\"\n,d\" INTEGER PRIMARY KEY, \"n\", g AS (\"n\" * 2), s AS (\"n\" * 3) STORED UNIQUE);
         INSERT INTO counted(a) VALUES ('x'), ('y'); INSERT INTO pairs VALUES (1, 'k', 1), (2, 'l', 2);
         INSERT INTO hidden(_rowid_, \"rowid\", a) VALUES (-5, 'one', 1), (70, 'two', 2);
         INSERT INTO \"a\"\"b; DROP -- '\" VALUES (1, 7), (2, 8)",
        &[
            "INSERT INTO counted(a) VALUES ('z'); DELETE FROM counted WHERE id = 1;
             UPDATE pairs SET a = 'K' WHERE b = 1; UPDATE pairs SET v = 'new' WHERE b = 2; INSERT INTO pairs VALUES (3, 'm', 3);
             UPDATE hidden SET a = 'changed' WHERE _rowid_ = -5; DELETE FROM hidden WHERE _rowid_ = 70;
             UPDATE \"a\"\"b; DROP -- '\" SET n = n + 10; DELETE FROM \"a\"\"b; DROP -- '\" WHERE n = 18",
        ],
    )?;
    case.check_all_taken_back("commit:1")?;
    let current = current(&case.store)?;
    assert!(run(&current, &case.script("commit:1", &[])?, Client::Stops));
    assert_eq!(rows(&current, "SELECT _rowid_, a FROM hidden ORDER BY 1")?, [json!([-5, 1]), json!([70, 2])]);
    assert_eq!(rows(&current, "SELECT seq FROM sqlite_sequence")?, [json!([2])]);
    Ok(())
}

#[test]
fn rows_that_swapped_unique_values_come_back() -> Done {
    let swap = |table: &str| {
        format!(
            "UPDATE {table} SET u = -1 WHERE id = 1; UPDATE {table} SET u = 1 WHERE id = 2; UPDATE {table} SET u = 2 WHERE id = 1;
             DELETE FROM {table} WHERE id = 3; UPDATE {table} SET u = 3 WHERE id = 4; INSERT INTO {table}(id, u) VALUES (9, 4)"
        )
    };
    let case = Case::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u INT NOT NULL UNIQUE ON CONFLICT REPLACE CHECK(typeof(u) = 'integer'), e);
         CREATE TABLE w(id INT PRIMARY KEY, u INT) WITHOUT ROWID; CREATE UNIQUE INDEX of_w ON w(u) WHERE u > 0;
         CREATE TABLE p(id INTEGER PRIMARY KEY, u UNIQUE); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON DELETE CASCADE);
         INSERT INTO t(id, u) VALUES (1, 1), (2, 2), (3, 3), (4, 4); INSERT INTO w SELECT id, u FROM t;
         INSERT INTO p SELECT id, u FROM t; INSERT INTO c VALUES (1, 1), (2, 2)",
        &[&swap("t"), &swap("w"), &swap("p")],
    )?;
    case.check_all_taken_back("commit:1..commit:3")?;
    case.check_all_taken_back("commit:1..commit:3")
}

#[test]
fn foreign_keys_hold_in_what_is_taken_back() -> Done {
    let case = Case::new(
        "PRAGMA foreign_keys = ON;
         CREATE TABLE child(id INTEGER PRIMARY KEY, code REFERENCES parent(code) ON UPDATE CASCADE ON DELETE SET NULL, of REFERENCES parent);
         CREATE TABLE parent(id INTEGER PRIMARY KEY, code TEXT UNIQUE, up REFERENCES parent ON DELETE CASCADE);
         INSERT INTO parent VALUES (1, 'a', NULL), (2, 'b', 1), (3, 'c', 2);
         INSERT INTO child VALUES (1, 'a', 1), (2, 'b', NULL), (3, 'c', NULL)",
        &[
            "UPDATE parent SET code = 'z' WHERE id = 1",
            "DELETE FROM parent WHERE id = 2",
            "INSERT INTO parent VALUES (8, 'n', 1); INSERT INTO child VALUES (8, 'n', 8)",
        ],
    )?;
    case.check_all_taken_back("commit:1..commit:3")?;
    // What refers to a row that is to go came since.
    let script = case.script("commit:3", &[])?;
    case.check_refused(&script, "PRAGMA foreign_keys = ON; INSERT INTO child VALUES (9, NULL, 8)")?;
    case.check_refused(&script, "PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (9, NULL, 8)")?;
    case.check_refused(&script, "PRAGMA foreign_keys = ON; INSERT INTO child VALUES (9, 'n', NULL)")
}

#[test]
fn rows_that_refer_to_rows_of_their_own_table_are_taken_back() -> Done {
    for action in ["SET NULL", "CASCADE", "SET DEFAULT", "RESTRICT", "NO ACTION"] {
        let gone = if action.ends_with('N') || action == "RESTRICT" { "id > 30" } else { "id IN (2, 9)" };
        let case = Case::new(
            &format!(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE t(id INTEGER PRIMARY KEY, up INT DEFAULT NULL REFERENCES t ON DELETE {action} ON UPDATE CASCADE, n TEXT);
                 WITH RECURSIVE x(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM x WHERE i < 60)
                 INSERT INTO t SELECT i, nullif(i / 2, 0), 'n' || i FROM x"
            ),
            &["UPDATE t SET n = 'z' WHERE id = 7", &format!("DELETE FROM t WHERE {gone}")],
        )?;
        case.check_all_taken_back("commit:1..commit:2")?;
    }
    // By a key that rows swap, and that one row has after another.
    for (action, commit) in [
        (
            "SET NULL",
            "UPDATE t SET code = 'x' WHERE id = 1; DELETE FROM t WHERE id = 2; INSERT INTO t VALUES (4, 'b', 'x')",
        ),
        (
            "CASCADE",
            "UPDATE t SET code = 'w' WHERE id = 1; UPDATE t SET code = 'a' WHERE id = 2; UPDATE t SET code = 'b' WHERE id = 1",
        ),
    ] {
        let case = Case::new(
            &format!(
                "PRAGMA foreign_keys = ON;
                 CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT UNIQUE, up TEXT REFERENCES t(code) ON DELETE {action} ON UPDATE CASCADE);
                 INSERT INTO t VALUES (1, 'a', NULL), (2, 'b', 'a'), (3, 'c', 'b')"
            ),
            &[commit],
        )?;
        case.check_all_taken_back("commit:1")?;
    }
    Ok(())
}

#[test]
fn rows_whose_keys_changed_and_those_of_computed_keys_are_taken_back() -> Done {
    let case = Case::new(
        "PRAGMA foreign_keys = ON;
         CREATE TABLE p(id INTEGER PRIMARY KEY, n UNIQUE); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p ON UPDATE CASCADE ON DELETE CASCADE);
         CREATE TABLE pair(a INT, b INT, v, PRIMARY KEY(a, b));
         CREATE TABLE of_pair(id INTEGER PRIMARY KEY, a INT, b INT, FOREIGN KEY(a, b) REFERENCES pair ON DELETE SET NULL ON UPDATE CASCADE);
         CREATE TABLE e(id INTEGER PRIMARY KEY, a TEXT, b INT, g AS (b * 2) STORED UNIQUE);
         CREATE UNIQUE INDEX lowered ON e(lower(a)); CREATE UNIQUE INDEX some ON e(b) WHERE b > 1;
         INSERT INTO p VALUES (1, 'a'), (2, 'b'); INSERT INTO c VALUES (1, 1), (2, 2), (3, 1);
         INSERT INTO pair VALUES (1, 1, 'x'), (1, 2, 'y'); INSERT INTO of_pair VALUES (1, 1, 1), (2, 1, 2);
         INSERT INTO e(id, a, b) VALUES (1, 'A', 1), (2, 'B', 2), (3, 'C', 3)",
        &[
            "UPDATE p SET id = id + 100",
            "UPDATE p SET id = 1 WHERE id = 102",
            "UPDATE pair SET b = b + 10; DELETE FROM pair WHERE b = 11; INSERT INTO pair VALUES (1, 1, 'new')",
            "UPDATE e SET a = 'w', b = 9 WHERE id = 1; UPDATE e SET a = 'a', b = 1 WHERE id = 2; UPDATE e SET a = 'b', b = 2 WHERE id = 1;
             DELETE FROM e WHERE id = 3; INSERT INTO e(id, a, b) VALUES (9, 'c', 3)",
        ],
    )?;
    case.check_all_taken_back("commit:1..commit:4")
}
