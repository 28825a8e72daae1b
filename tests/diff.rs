//! Is the difference of two points that of the states that the engine itself saw there?

use crate::support::{Done, Ran, folder, mudlark, rows, snapshot};
use crate::workload::{Numbers, Rows, SETTINGS, State, cells, copied, named, state, text, worked};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What became of a row, and its values before and after, without those of columns that were added with a default.
type Delta = (String, String, String);

/// All that differs, by table.
type Deltas = BTreeMap<String, Vec<Delta>>;

fn diff(store: &Path, from: &str, to: &str, further: &[&str]) -> Done<Ran> {
    let path = store.display().to_string();
    mudlark(["diff", &path, "--from", from, "--to", to].iter().chain(further))
}

/// What lies between two recorded states.
fn expected(before: &State, after: &State) -> Done<Deltas> {
    let none = Rows::new();
    let tables: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut all = Deltas::new();
    for table in tables {
        let (old, new) = (before.get(table).unwrap_or(&none), after.get(table).unwrap_or(&none));
        let name = table.strip_suffix(" again").unwrap_or(table);
        let of = |row: Option<&String>| -> Done<String> {
            row.map_or(Ok("null".to_owned()), |row| Ok(text(name, cells(row)?)))
        };
        for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let (before, after) = (of(old.get(key))?, of(new.get(key))?);
            let became = match (before.as_str(), after.as_str()) {
                ("null", _) => "added",
                (_, "null") => "removed",
                (old, new) if old == new => continue,
                _ => "changed",
            };
            all.entry(name.to_owned()).or_default().push((became.to_owned(), before, after));
        }
    }
    all.values_mut().for_each(|deltas| deltas.sort());
    Ok(all)
}

/// What the command says.
fn told(ran: &Ran) -> Done<Deltas> {
    let mut all = Deltas::new();
    for line in ran.lines()? {
        let (Some(table), Some(became)) = (line["table"].as_str(), line["change"].as_str()) else { continue };
        if table.starts_with("sqlite_") {
            continue;
        }
        let table = if table == "extra" { "further" } else { table };
        let of = |side: &str| {
            let values = line[side].as_object()?;
            Some(text(table, values.values().cloned().collect()))
        };
        let of = |side: &str| of(side).unwrap_or_else(|| "null".to_owned());
        assert_eq!(line["missing"], json!({}), "{line}");
        all.entry(table.to_owned()).or_default().push((became.to_owned(), of("before"), of("after")));
    }
    all.values_mut().for_each(|deltas| deltas.sort());
    Ok(all)
}

#[test]
fn the_difference_of_any_two_points_is_that_of_the_recorded_states() -> Done {
    let mut numbers = Numbers(7);
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate() {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let worked = worked(&connection, &folder.path().join("live.db-wal"), seed)?;
        let steps: Vec<u64> = worked.commits.iter().map(|(step, _)| *step).collect();
        assert!(steps.len() >= 40, "{} commits", steps.len());
        let states = named(&worked.states, &steps);
        let store = copied(folder.path())?;
        let seen = snapshot(folder.path())?;
        let last = states.len() - 1;
        let mut pairs = vec![(0, last), (last, 0), (0, 1), (last, last)];
        pairs.extend((0..60).map(|_| {
            let end = || numbers.below(last as u64 + 1) as usize;
            let mut end = end;
            (end(), end())
        }));
        for (from, to) in pairs {
            let (from_point, to_point) = (format!("commit:{from}"), format!("commit:{to}"));
            let ran = diff(&store, &from_point, &to_point, &["--jsonl", "-", "--quiet"])?;
            let expected = expected(&states[from], &states[to])?;
            assert!(matches!(ran.status, Some(0 | 1)), "{:?}: {}", ran.status, ran.err);
            assert_eq!(told(&ran)?, expected, "page size {page_size}, {from_point} to {to_point}");
        }
        assert_eq!(snapshot(folder.path())?, seen);
    }
    Ok(())
}

const SMALL: &str = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data); CREATE TABLE k(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID;
    INSERT INTO t VALUES (1, 'one', x'00ff'), (2, 'two', 1.5), (3, 'three', NULL); INSERT INTO k VALUES ('x', 1, 'old');
    PRAGMA wal_checkpoint(TRUNCATE);";

/// A copy of a store whose log holds these commits.
fn committed(folder: &Path, commits: &[&str]) -> Done<std::path::PathBuf> {
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(SMALL)?;
    for commit in commits {
        connection.execute_batch(commit)?;
    }
    copied(folder)
}

#[test]
fn a_row_that_came_and_went_between_the_points_does_not_show() -> Done {
    let folder = folder()?;
    let commits = [
        "INSERT INTO t VALUES (4, 'four', NULL); UPDATE t SET name = 'uno' WHERE id = 1;",
        "DELETE FROM t WHERE id = 4; UPDATE t SET name = 'one' WHERE id = 1;",
    ];
    let store = committed(folder.path(), &commits)?;
    let ran = diff(&store, "commit:0", "commit:4", &["--jsonl", "-"])?;
    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(ran.err.contains("no difference"), "{}", ran.err);
    let ran = diff(&store, "commit:0", "commit:2", &[])?;
    assert!(
        ran.out.contains("t: 1 added, 1 changed\n    ~ 1: name 'one' -> 'uno'\n    + 4: "),
        "{}",
        ran.out
    );
    Ok(())
}

#[test]
fn every_form_tells_of_old_and_new_values() -> Done {
    let folder = folder()?;
    let commits = [
        "BEGIN; UPDATE t SET data = 'a, \"b\"' WHERE id = 2; DELETE FROM t WHERE id = 1; UPDATE k SET c = NULL; COMMIT",
        "ALTER TABLE k ADD COLUMN d DEFAULT 5",
        "ALTER TABLE t RENAME TO u",
    ];
    let store = committed(folder.path(), &commits)?;
    let ran = diff(&store, "commit:0", "last", &["--format", "jsonl"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let lines = ran.lines()?;
    let schema: Vec<_> = lines.iter().filter(|line| line["change"] == "schema").collect();
    let told = |line: &Json| json!([line["what"], line["kind"], line["name"], line["previous"]]);
    assert_eq!(
        schema.iter().map(|line| told(line)).collect::<Vec<_>>(),
        [json!(["renamed", "table", "u", "t"]), json!(["altered", "table", "k", null])]
    );
    assert!(schema[1]["after"].as_str().is_some_and(|sql| sql.contains("DEFAULT 5")));
    let rows: Vec<_> = lines.iter().filter(|line| line["change"] != "schema").collect();
    let keys: Vec<&String> = rows[0].as_object().into_iter().flat_map(|object| object.keys()).collect();
    assert_eq!(
        keys,
        [
            "format",
            "store",
            "instance",
            "from",
            "to",
            "namespace",
            "table",
            "change",
            "rowid",
            "before",
            "after",
            "changed",
            "missing"
        ]
    );
    let told = |line: &Json| {
        json!([line["table"], line["change"], line["rowid"], line["before"], line["after"], line["changed"]])
    };
    let one = json!({"id": 1, "name": "one", "data": {"$hex": "00ff"}});
    let (two, new) =
        (json!({"id": 2, "name": "two", "data": 1.5}), json!({"id": 2, "name": "two", "data": "a, \"b\""}));
    assert_eq!(
        rows.iter().map(|line| told(line)).collect::<Vec<_>>(),
        [
            json!(["u", "removed", 1, one, null, []]),
            json!(["u", "changed", 2, two, new, ["data"]]),
            json!(["k", "changed", null, {"a": "x", "b": 1, "c": "old"}, {"a": "x", "b": 1, "c": null, "d": 5}, ["c"]]),
        ]
    );
    let ran = diff(&store, "commit:0", "last", &["--format", "csv", "--quiet"])?;
    let expected = "change,table,key,column,before,after\nremoved,u,1,id,1,\nremoved,u,1,name,one,\n\
        removed,u,1,data,00ff,\nchanged,u,2,data,1.5,\"a, \"\"b\"\"\"\nchanged,k,\"x,1\",c,old,\n";
    assert_eq!(ran.out, expected);
    Ok(())
}

#[test]
fn what_a_checkpoint_has_overwritten_is_told_and_not_guessed() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(SMALL)?;
    connection.execute_batch("UPDATE t SET name = 'uno' WHERE id = 1; DELETE FROM t WHERE id = 2")?;
    // The reader keeps the log from beginning anew.
    let reader = Connection::open(folder.path().join("live.db"))?;
    reader.execute_batch("BEGIN; SELECT count(*) FROM t")?;
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE); INSERT INTO k VALUES ('y', 2, 'new')")?;
    let store = copied(folder.path())?;
    let ran = diff(&store, "commit:0", "last", &["--jsonl", "-"])?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    let lines = ran.lines()?;
    assert_eq!(
        (&lines[0]["change"], &lines[0]["table"], &lines[0]["at"]),
        (&json!("lost"), &json!("t"), &json!("commit:0"))
    );
    assert_eq!(lines[0]["pages"].as_array().map(Vec::len), Some(1));
    // What stands now may have stood before: no row of the table is said to be new.
    let became: Vec<&Json> =
        lines.iter().filter(|line| line["table"] == "t").map(|line| &line["change"]).collect();
    assert_eq!(became, ["lost", "unknown", "unknown"]);
    assert_eq!(lines.iter().filter(|line| line["table"] == "k" && line["change"] == "added").count(), 1);
    assert!(
        ran.err.contains("lost    rows of t at commit:0: a later checkpoint has overwritten pages"),
        "{}",
        ran.err
    );
    // Between the commits that the log holds nothing is lost.
    let ran = diff(&store, "commit:1", "last", &["--jsonl", "-"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(
        ran.lines()?
            .iter()
            .filter(|line| line["table"] == "t")
            .map(|line| &line["change"])
            .collect::<Vec<_>>(),
        ["removed"]
    );
    Ok(())
}

#[test]
fn a_point_that_does_not_exist_is_refused_and_no_output_is_left() -> Done {
    let folder = folder()?;
    let store = committed(folder.path(), &["DELETE FROM t"])?;
    let out = folder.path().join("out.jsonl");
    let ran = diff(&store, "commit:7", "last", &["--jsonl", &out.display().to_string()])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("commit:7: no such point"), "{}", ran.err);
    assert!(!out.exists());
    let over = diff(&store, "commit:0", "last", &["--jsonl", &store.display().to_string(), "--force"])?;
    assert_eq!(over.status, Some(2));
    assert!(over.err.contains("would overwrite a source"), "{}", over.err);
    Ok(())
}

#[test]
fn the_sql_of_a_difference_makes_the_second_point_out_of_the_first() -> Done {
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate().take(3) {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let worked = worked(&connection, &folder.path().join("live.db-wal"), seed)?;
        let store = copied(folder.path())?;
        let (path, out) = (store.display().to_string(), store.with_file_name("out.db").display().to_string());
        // No definition changes between these.
        for (from, to) in [(0, 9), (9, 2), (3, 12), (38, 44), (44, 37)] {
            let (from_point, to_point) = (format!("commit:{from}"), format!("commit:{to}"));
            let ran = mudlark(["replay", &path, "--until", &from_point, "-o", &out, "--force", "--quiet"])?;
            assert_eq!(ran.status, Some(0), "{}", ran.err);
            let ran = diff(&store, &from_point, &to_point, &["--format", "sql", "--quiet"])?;
            assert_eq!(ran.status, Some(0), "{}", ran.err);
            let first = Connection::open(&out)?;
            first.execute_batch(&ran.out)?;
            assert!(state(&first)? == worked.states[to], "page size {page_size}, {from_point} to {to_point}");
            // What it finds now is not what it expects.
            let standing = state(&first)?;
            assert!(first.execute_batch(&ran.out).is_err());
            assert!(state(&first)? == standing && first.is_autocommit());
        }
    }
    Ok(())
}

/// Runs the SQL of a difference between two points over the store as it stood at the first.
fn made(store: &Path, [from, to]: [&str; 2], further: &[&str]) -> Done<(Ran, Connection)> {
    let (path, out) = (store.display().to_string(), store.with_file_name("out.db").display().to_string());
    let ran = mudlark(["replay", &path, "--until", from, "-o", &out, "--force", "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let further: Vec<&str> = ["--format", "sql"].iter().chain(further).copied().collect();
    let ran = diff(store, from, to, &further)?;
    let first = Connection::open(&out)?;
    first.execute_batch(&ran.out)?;
    Ok((ran, first))
}

#[test]
fn the_sql_of_a_difference_counts_keys_on_as_they_were_counted() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE u(id INTEGER PRIMARY KEY AUTOINCREMENT);
         INSERT INTO t(a) VALUES ('x'); PRAGMA wal_checkpoint(TRUNCATE);
         INSERT INTO t VALUES (70, 'y'); INSERT INTO u VALUES (5); UPDATE sqlite_sequence SET seq = 900 WHERE name = 't'",
    )?;
    let store = copied(folder.path())?;
    for points in
        [["commit:0", "last"], ["last", "commit:0"], ["commit:2", "commit:3"], ["commit:3", "commit:1"]]
    {
        let (ran, made) = made(&store, points, &[])?;
        assert_eq!(ran.status, Some(0), "{points:?}: {}", ran.err);
        let out = store.with_file_name("to.db").display().to_string();
        let path = store.display().to_string();
        mudlark(["replay", &path, "--until", points[1], "-o", &out, "--force", "--quiet"])?;
        let counters = "SELECT name, seq FROM sqlite_sequence ORDER BY name";
        let (is, wanted) = (rows(&made, counters)?, rows(&Connection::open(out)?, counters)?);
        assert_eq!(is, wanted, "{points:?}");
    }
    // Only a counter differs.
    let ran = diff(&store, "commit:2", "commit:3", &[])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(ran.out.contains("the engine's own tables: 1 row\n"), "{}", ran.out);
    Ok(())
}

#[test]
fn what_the_sql_of_a_difference_leaves_is_told() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE TABLE u(a); CREATE TABLE log(a);
         CREATE TRIGGER changed AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.a); END;
         INSERT INTO t VALUES (1, 'x'); PRAGMA wal_checkpoint(TRUNCATE);
         BEGIN; INSERT INTO t VALUES (2, 'y'); INSERT INTO u VALUES (1); COMMIT; ALTER TABLE log ADD COLUMN b",
    )?;
    let store = copied(folder.path())?;
    let counts = |made: &Connection| rows(made, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)");
    let (ran, first) = made(&store, ["commit:0", "commit:1"], &[])?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    let left = "t: 1 row left: its trigger changed would fire; --allow triggers lets it";
    assert!(ran.err.contains(&format!("  left    {left}\n")), "{}", ran.err);
    assert!(ran.out.contains(&format!("--   left: {left}\n")), "{}", ran.out);
    assert_eq!(counts(&first)?, [json!([1, 1])]);
    drop(first);
    let (ran, first) = made(&store, ["commit:0", "commit:1"], &["--allow", "triggers"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(counts(&first)?, [json!([2, 1])]);
    drop(first);
    let (ran, _) = made(&store, ["commit:1", "commit:2"], &[])?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert!(ran.err.contains("  left    altered table log\n"), "{}", ran.err);
    Ok(())
}

#[test]
fn the_sql_of_a_difference_over_a_vacuum_leaves_row_ids_that_nobody_sees_as_they_are() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a, b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60) INSERT INTO t SELECT i, 'x' FROM n;
         DELETE FROM t WHERE a < 20; PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM t WHERE a = 30; VACUUM;
         BEGIN; INSERT INTO t VALUES (100, 'new'), (101, 'new'); UPDATE t SET b = 'y' WHERE a > 55; COMMIT",
    )?;
    let store = copied(folder.path())?;
    let all = "SELECT a, b FROM t ORDER BY a";
    for [from, to] in [["commit:0", "last"], ["last", "commit:0"], ["commit:1", "last"]] {
        let wanted = rows(&made(&store, [to, to], &[])?.1, all)?;
        let (ran, made) = made(&store, [from, to], &[])?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert_eq!(rows(&made, all)?, wanted, "{from} to {to}");
    }
    Ok(())
}
