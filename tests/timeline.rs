//! Does the timeline tell what each commit did, as the engine itself saw it?

use crate::support::{Done, folder, mudlark};
use crate::workload::{Counts, SETTINGS, copied, timeline, with_journal, worked};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

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

#[test]
fn a_bulk_delete_stands_out_and_the_commands_that_show_it_and_what_was_before_it_can_be_run() -> Done {
    let folder = folder()?;
    let series = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)";
    let connection = committed(
        folder.path(),
        &[
            &format!("{series} INSERT INTO t(name) SELECT 'row ' || i FROM n"),
            "DELETE FROM t WHERE id = 9",
            "DELETE FROM t WHERE id > 40",
            "INSERT INTO t(name) VALUES ('later')",
        ],
    )?;
    let store = copied(folder.path())?;
    drop(connection);
    let told_all = timeline(&store)?;
    let bulk = of(&told_all, "tables").into_iter().map(|tables| tables[0]["bulk_delete"].clone());
    assert_eq!(bulk.collect::<Vec<_>>(), [json!(false), json!(false), json!(true), json!(false)]);
    let ran = mudlark(["timeline".as_ref(), store.as_os_str()])?;
    let marked: Vec<&str> = ran.out.lines().filter(|line| line.contains("<==")).collect();
    assert_eq!(marked, ["      t: 361 deleted   <== bulk delete"], "{}", ran.out);
    assert!(ran.out.contains("\n  look at commit:3\n"), "{}", ran.out);
    let commands: Vec<&str> =
        ran.out.lines().filter_map(|line| line.trim().strip_prefix("mudlark ")).collect();
    assert_eq!(commands.len(), 2, "{}", ran.out);
    let before = folder.path().join("before.db").display().to_string();
    for command in commands {
        let words = command.split("   ").next().unwrap_or_default().split(' ').map(|word| match word {
            "store.db" => store.display().to_string(),
            "before.db" => before.clone(),
            other => other.to_owned(),
        });
        let ran = mudlark(words.collect::<Vec<_>>())?;
        assert_eq!(ran.status, Some(0), "{command}: {}", ran.err);
    }
    let rows: i64 = Connection::open(&before)?.query_row("SELECT count(*) FROM t", [], |row| row.get(0))?;
    assert_eq!(rows, 400);
    Ok(())
}
