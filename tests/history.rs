//! Does the history of a row tell all its versions, in the order in which they stood?

use crate::support::{Done, Ran, folder, mudlark};
use crate::workload::{SETTINGS, State, cells, copied, text, worked};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

fn history(store: &Path, table: &str, keys: &[&str]) -> Done<Ran> {
    let path = store.display().to_string();
    let keys = keys.iter().flat_map(|key| ["--key", key]);
    mudlark(["history", &path, "--table", table, "--json", "--quiet"].into_iter().chain(keys))
}

/// Each version: the points where it began and ended, and its values.
fn told(ran: &Ran, table: &str, which: &str) -> Done<Vec<Json>> {
    assert!(matches!(ran.status, Some(0 | 1)), "{}", ran.err);
    let all: Json = serde_json::from_str(&ran.out)?;
    let version = |version: &Json| {
        let values = version["version"]["values"].as_object();
        let values = values.into_iter().flat_map(|values| values.values().cloned()).collect();
        json!([version["from"], version["to"], text(table, values)])
    };
    Ok(all[which].as_array().into_iter().flatten().map(version).collect())
}

/// What the recorded states say of a row.
fn expected(states: &[State], table: &str, key: &str) -> Done<Vec<Json>> {
    let point = |state: usize| if state == 0 { "before-log".to_owned() } else { format!("commit:{state}") };
    let mut found: Vec<(String, Option<String>, String)> = Vec::new();
    let mut standing: Option<String> = None;
    for (number, state) in states.iter().enumerate() {
        let row = state.get(table).and_then(|rows| rows.get(key));
        let row = row.map(|row| Ok::<_, Box<dyn std::error::Error>>(text(table, cells(row)?))).transpose()?;
        if row == standing {
            continue;
        }
        if standing.is_some()
            && let Some(last) = found.last_mut()
        {
            last.1 = Some(point(number));
        }
        found.extend(row.clone().map(|row| (point(number), None, row)));
        standing = row;
    }
    Ok(found.into_iter().map(|version| json!([version.0, version.1, version.2])).collect())
}

#[test]
fn the_versions_of_a_row_are_those_of_the_recorded_states() -> Done {
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate().take(2) {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let states = worked(&connection, &folder.path().join("live.db-wal"), seed)?.states;
        let store = copied(folder.path())?;
        let mut several = 0;
        for table in ["people", "pairs"] {
            let mut keys: Vec<&String> =
                states.iter().flat_map(|state| state.get(table)).flat_map(|rows| rows.keys()).collect();
            keys.sort();
            keys.dedup();
            let step = keys.len().div_ceil(6).max(1);
            for key in keys.into_iter().step_by(step) {
                let expected = expected(&states, table, key)?;
                let given = key.trim_matches('"').replace('/', ",");
                let ran = history(&store, table, &[&given])?;
                assert_eq!(told(&ran, table, "versions")?, expected, "page size {page_size}, {table} {key}");
                several += usize::from(expected.len() > 1);
            }
        }
        assert!(several >= 3, "{several} rows with several versions");
    }
    Ok(())
}

#[test]
fn a_row_is_found_by_each_of_its_keys_and_its_changes_are_marked() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, mail TEXT UNIQUE, n REAL); CREATE TABLE named(k TEXT PRIMARY KEY, a);
         CREATE TABLE pairs(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID;
         INSERT INTO t VALUES (7, 'old@x', 1.5), (8, 'other@x', 2); INSERT INTO named VALUES ('x', 1);
         INSERT INTO pairs VALUES ('a,b', 2, x'ff'); PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE t SET mail = 'new@x' WHERE id = 7; UPDATE named SET a = 2; UPDATE pairs SET c = NULL;",
    )?;
    let store = copied(folder.path())?;
    let of_seven = |key: &str| told(&history(&store, "t", &[key])?, "t", "versions");
    let expected = [
        json!(["before-log", "commit:1", "[7,\"old@x\",1.5]"]),
        json!(["commit:1", null, "[7,\"new@x\",1.5]"]),
    ];
    // Whichever value it has or had names the row.
    for key in ["7", "id=7", "rowid=7", "mail=old@x", "mail=new@x", "mail=new@x,n=1.5"] {
        assert_eq!(of_seven(key)?, expected, "{key}");
    }
    assert_eq!(told(&history(&store, "NAMED", &["x"])?, "named", "versions")?.len(), 2);
    assert_eq!(told(&history(&store, "pairs", &["a,b", "2"])?, "pairs", "versions")?.len(), 2);
    let path = store.display().to_string();
    let ran = mudlark(["history", &path, "--table", "t", "--key", "7"])?;
    assert!(ran.out.contains("from before-log to commit:1"), "{}", ran.out);
    assert!(ran.out.contains("from commit:1 to now"), "{}", ran.out);
    assert!(
        ran.out.contains("\n    * mail  'new@x'\n") && ran.out.contains("\n      mail  'old@x'\n"),
        "{}",
        ran.out
    );
    for (table, keys, why) in [
        ("nobody", &["7"][..], "no such table; there are t, named, pairs"),
        ("t", &["nothing=7"], "has no such column; it has id, mail, n"),
        ("pairs", &["a"], "the key of pairs is a, b"),
    ] {
        let ran = history(&store, table, keys)?;
        assert_eq!(ran.status, Some(2));
        assert!(ran.err.contains(why), "{}", ran.err);
    }
    assert_eq!(history(&store, "t", &["99"])?.status, Some(1));
    Ok(())
}

#[test]
fn versions_in_free_space_are_listed_apart() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA secure_delete = OFF; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
         INSERT INTO t SELECT i, 'a name of some length ' || i FROM n; DELETE FROM t WHERE id = 5;",
    )?;
    drop(connection);
    let ran = history(&path, "t", &["5"])?;
    assert_eq!(told(&ran, "t", "versions")?, [Json::Null; 0]);
    assert_eq!(
        told(&ran, "t", "undated")?,
        [json!(["before-log", "before-log", "[5,\"a name of some length 5\"]"])]
    );
    let ran = mudlark(["history", &path.display().to_string(), "--table", "t", "--key", "5"])?;
    assert!(
        ran.out.contains("the order of these is not known:\n  deleted, ended before the log"),
        "{}",
        ran.out
    );
    Ok(())
}

#[test]
fn every_form_tells_of_all_versions_in_the_order_of_time() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB, n);
         INSERT INTO t VALUES (7, 'one, \"two\"', x'00ff', NULL), (8, 'another', NULL, 1); PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE t SET name = '', n = 2.5 WHERE id = 7; DELETE FROM t WHERE id = 7;",
    )?;
    let store = copied(folder.path())?.display().to_string();
    let form = |form: &str| mudlark(["history", &store, "--table", "t", "--key", "7", "--format", form]);
    let csv = form("csv")?.out;
    let lines: Vec<&str> = csv.lines().collect();
    let [head, first, second] = lines.as_slice() else { return Err(csv.into()) };
    assert_eq!(*head, "from,to,state,transaction,confidence,rowid,id,name,data,n");
    assert!(first.starts_with("before-log,commit:1,superseded,committed,0."), "{csv}");
    assert!(first.ends_with(",7,7,\"one, \"\"two\"\"\",00ff,"), "{csv}");
    assert!(second.starts_with("commit:1,commit:2,deleted,committed,0."), "{csv}");
    assert!(second.ends_with(",7,7,\"\",00ff,2.5"), "{csv}");
    let lines = form("jsonl")?.lines()?;
    let told: Vec<_> = lines.iter().map(|line| (&line["from"], &line["to"], &line["changed"])).collect();
    let (start, one, two) = (json!("before-log"), json!("commit:1"), json!("commit:2"));
    assert_eq!(told, [(&start, &one, &json!([])), (&one, &two, &json!(["name", "n"]))]);
    assert_eq!(lines[0]["version"]["values"]["data"], json!({ "$hex": "00ff" }));
    // Beside the rows of today, which it leaves alone.
    let current = Connection::open_in_memory()?;
    current.execute_batch(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB, n); INSERT INTO t(id) VALUES (7)",
    )?;
    let sql = form("sql")?.out;
    current.execute_batch(&sql)?;
    let told = |of: &str| -> Done<String> {
        let what =
            format!("SELECT group_concat(v, '|') FROM (SELECT {of} AS v FROM t_versions ORDER BY _version)");
        Ok(current.query_row(&what, [], |row| row.get(0))?)
    };
    assert_eq!(told("quote(name) || quote(data) || quote(n)")?, "'one, \"two\"'X'00FF'NULL|''X'00FF'2.5");
    assert_eq!(
        told("_from || ' ' || _to || ' ' || _state || ' ' || _rowid")?,
        "before-log commit:1 superseded 7|commit:1 commit:2 deleted 7"
    );
    assert!(current.execute_batch(&sql).is_err(), "a table of that name is left alone");
    assert_eq!(told("_version")?, "1|2");
    // What the comment says gives the row its values back.
    let back: String =
        sql.lines().filter_map(|line| line.strip_prefix("--   ")).collect::<Vec<_>>().join(" ");
    current.execute_batch(&back.replace("_version=N", "_version=1"))?;
    let name: String = current.query_row("SELECT name FROM t", [], |row| row.get(0))?;
    assert_eq!(name, "one, \"two\"", "{back}");
    Ok(())
}

#[test]
fn of_a_long_log_that_writes_all_rows_in_each_commit_the_versions_of_one_row_are_all_there() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA page_size = 512; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
         CREATE TABLE t(id INTEGER PRIMARY KEY, n, name TEXT); CREATE TABLE loose(n, name TEXT);
         WITH RECURSIVE x(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM x WHERE i < 600)
         INSERT INTO t SELECT i, i * 1000, 'row ' || i FROM x; INSERT INTO loose VALUES (0, 'of no key');
         PRAGMA wal_checkpoint(TRUNCATE);",
    )?;
    let mut commits = 0;
    // More pages than those of which all rows are kept.
    while fs::metadata(folder.path().join("live.db-wal"))?.len() < 17_000 * (512 + 24) {
        connection.execute_batch("BEGIN; UPDATE t SET n = n + 1; UPDATE loose SET n = n + 1; COMMIT")?;
        commits += 1;
    }
    let store = copied(folder.path())?;
    for key in ["77", "rowid=77", "id=77"] {
        let mut versions = told(&history(&store, "t", &[key])?, "t", "versions")?;
        assert_eq!(versions.len(), commits + 1, "{key}");
        let last = versions.pop().ok_or("none")?;
        assert_eq!(last[0], json!(format!("commit:{commits}")));
        for (number, version) in versions.iter().enumerate() {
            let from = if number == 0 { "before-log".to_owned() } else { format!("commit:{number}") };
            let row = format!("[77,{},\"row 77\"]", 77_000 + number);
            assert_eq!(*version, json!([from, format!("commit:{}", number + 1), row]), "{key}");
        }
    }
    assert_eq!(told(&history(&store, "loose", &["1"])?, "loose", "versions")?.len(), commits + 1);
    Ok(())
}
