//! Does each version say when it stood, and never more than the evidence proves?

use crate::support::{Done, folder, mudlark, plan, recovered_lines, scored, store};
use crate::workload::copied;
use mudlark_fixtures::generate::DamageChoice;
use mudlark_fixtures::score::report;
use mudlark_fixtures::sqlite::Journal;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Points that generated stores with a log must get right at least: that none is wrong says little when none is stated.
const LEAST_RIGHT: u64 = 5_000;

/// A table of a hundred rows in the main file, and no log yet.
const FILL: &str = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, data BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
    INSERT INTO t SELECT i, 'name number ' || i, NULL FROM n;";

/// A store whose statements are a commit each, and its files as they lie after the last.
struct Caught {
    _folder: TempDir,
    path: PathBuf,
}

fn caught(setup: &str, commits: &[&str]) -> Done<Caught> {
    let folder = folder()?;
    let live = folder.path().join("live.db");
    let connection = Connection::open(&live)?;
    connection.execute_batch(setup)?;
    for commit in commits {
        connection.execute_batch(&format!("BEGIN; {commit}; COMMIT;"))?;
    }
    let path = copied(folder.path())?;
    Ok(Caught { _folder: folder, path })
}

/// The lifetimes of the versions of a row whose name is this.
fn lifetimes(lines: &[Json], id: i64, name: &str) -> Vec<Json> {
    let same = |line: &&Json| line["values"]["id"] == id && line["values"]["name"] == name;
    lines.iter().filter(same).map(|line| line["lifetimes"].clone()).collect()
}

fn truncated() -> String {
    format!("{FILL} PRAGMA wal_checkpoint(TRUNCATE);")
}

#[test]
fn a_version_that_came_back_stood_over_two_stretches() -> Done {
    let commits = [
        "UPDATE t SET name = 'other' WHERE id = 5",
        "UPDATE t SET name = 'name number 5' WHERE id = 5; DELETE FROM t WHERE id = 7",
        "INSERT INTO t VALUES (7, 'name number 7', NULL), (200, 'late', NULL)",
        "DELETE FROM t WHERE id = 200",
    ];
    let store = caught(&truncated(), &commits)?;
    let lines = recovered_lines(&store.path, &[])?;
    let of = |id, name| lifetimes(&lines, id, name);
    let twice = |end, again| json!([{"from": "before-log", "to": end}, {"from": again, "to": null}]);
    assert_eq!(of(5, "name number 5"), [twice("commit:1", "commit:2")]);
    assert_eq!(of(5, "other"), [json!([{"from": "commit:1", "to": "commit:2"}])]);
    assert_eq!(of(7, "name number 7"), [twice("commit:2", "commit:3")]);
    assert_eq!(of(200, "late"), [json!([{"from": "commit:3", "to": "commit:4"}])]);
    assert_eq!(of(6, "name number 6"), [json!([{"from": "before-log", "to": null}])]);
    Ok(())
}

#[test]
fn an_update_that_writes_overflow_pages_only_is_dated() -> Done {
    let fill =
        format!("{FILL} UPDATE t SET data = zeroblob(20000) WHERE id = 9; PRAGMA wal_checkpoint(TRUNCATE);");
    let store = caught(&fill, &["UPDATE t SET data = CAST(zeroblob(19999) || 'x' AS BLOB) WHERE id = 9"])?;
    let lines = recovered_lines(&store.path, &[])?;
    let live: Vec<&Json> =
        lines.iter().filter(|line| line["values"]["id"] == 9 && line["state"] == "live").collect();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0]["lifetimes"], json!([{"from": "commit:1", "to": null}]));
    Ok(())
}

#[test]
fn what_a_checkpoint_has_overwritten_is_not_dated() -> Done {
    let commits = ["UPDATE t SET name = 'first' WHERE id = 5", "UPDATE t SET name = 'second' WHERE id = 6"];
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(&truncated())?;
    for commit in commits {
        connection.execute_batch(commit)?;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
    let lines = recovered_lines(&copied(folder.path())?, &[])?;
    // The page as it was before the first commit is nowhere.
    assert_eq!(lifetimes(&lines, 5, "first"), [json!([{"from": null, "to": null}])]);
    assert_eq!(lifetimes(&lines, 6, "second"), [json!([{"from": "commit:2", "to": null}])]);
    assert_eq!(lifetimes(&lines, 6, "name number 6"), [json!([{"from": null, "to": "commit:2"}])]);
    Ok(())
}

#[test]
fn a_renamed_table_and_one_that_vacuum_moved_keep_their_past() -> Done {
    let commits = [
        "INSERT INTO t VALUES (300, 'new', NULL)",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE u ADD COLUMN more TEXT DEFAULT 'm'",
        "UPDATE u SET name = 'changed' WHERE id = 300",
    ];
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(&format!(
        "{FILL} CREATE TABLE gone(a); DROP TABLE gone; PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    for commit in commits {
        connection.execute_batch(commit)?;
    }
    connection.execute_batch("VACUUM; DELETE FROM u WHERE id = 300;")?;
    let lines = recovered_lines(&copied(folder.path())?, &[])?;
    let live = lines.iter().find(|line| line["values"]["id"] == 8 && line["state"] == "live");
    assert_eq!(live.map(|line| &line["lifetimes"]), Some(&json!([{"from": "before-log", "to": null}])));
    // Under its former name the table's rows did not end.
    let of_eight = lines.iter().filter(|line| line["values"]["id"] == 8 && line["table"] == "t");
    let ended = of_eight.clone().any(|line| !line["lifetimes"][0]["to"].is_null());
    assert!(!ended);
    let changed = lifetimes(&lines, 300, "changed");
    assert!(!changed.is_empty());
    assert!(
        changed.iter().all(|stood| *stood == json!([{"from": "commit:4", "to": "commit:6"}])),
        "{changed:?}"
    );
    Ok(())
}

#[test]
fn commits_of_an_older_generation_date_what_they_wrote() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(&truncated())?;
    // More frames than the next generation writes.
    connection.execute_batch("UPDATE t SET data = zeroblob(100000) WHERE id < 3")?;
    for commit in [
        "INSERT INTO t VALUES (400, 'short', NULL)",
        "UPDATE t SET name = 'shorter' WHERE id = 400",
        "DELETE FROM t WHERE id = 400",
    ] {
        connection.execute_batch(commit)?;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(RESTART); UPDATE t SET name = 'now' WHERE id = 50;")?;
    let path = copied(folder.path())?;
    let log = fs::read(folder.path().join("store.db-wal"))?;
    let salts = |at: usize| format!("{}-{}", hex(&log[at..at + 4]), hex(&log[at + 4..at + 8]));
    let last = log.len() - 24 - 4096;
    assert_ne!(salts(16), salts(last + 8), "the older generation is gone");
    let point = |number: u32| format!("g{}:{number}", salts(last + 8));
    let lines = recovered_lines(&path, &[])?;
    // The first commit of which frames are left is the one that wrote the blobs.
    let stood = |from: u32, to: u32| vec![json!([{"from": point(from), "to": point(to)}])];
    assert_eq!(lifetimes(&lines, 400, "short"), stood(2, 3));
    assert_eq!(lifetimes(&lines, 400, "shorter"), stood(3, 4));
    assert_eq!(lifetimes(&lines, 50, "now"), [json!([{"from": "commit:1", "to": null}])]);
    let before = json!([{"from": "before-log", "to": "commit:1"}]);
    assert_eq!(lifetimes(&lines, 50, "name number 50"), [before]);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn without_a_log_what_is_gone_stood_before_one() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a row that stays'),
        (2, 'a row that is to be deleted'); DELETE FROM t WHERE id = 2;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let gone: Vec<&Json> = lines.iter().filter(|line| line["state"] != "live").collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0]["lifetimes"], json!([{"from": "before-log", "to": "before-log"}]));
    Ok(())
}

#[test]
fn a_version_that_was_never_committed_stood_never() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(&truncated())?;
    connection.execute_batch("UPDATE t SET name = 'kept' WHERE id = 1; PRAGMA cache_size = 2;")?;
    // A cache that is too small writes frames before the commit that never comes.
    connection.execute_batch("BEGIN; UPDATE t SET name = 'open', data = randomblob(900);")?;
    let lines = recovered_lines(&copied(folder.path())?, &[])?;
    let open: Vec<&Json> = lines.iter().filter(|line| line["values"]["name"] == "open").collect();
    assert!(!open.is_empty());
    assert!(open.iter().all(|line| line["lifetimes"] == json!([])));
    assert_eq!(lifetimes(&lines, 1, "kept"), [json!([{"from": "commit:1", "to": null}])]);
    Ok(())
}

#[test]
fn no_stated_point_is_wrong_in_generated_stores_with_a_log() -> Done {
    let journals = vec![Journal::Wal, Journal::WalPartial, Journal::WalRestart, Journal::WalTail];
    let mut plan = plan(1_117, 40, DamageChoice::parse("none")?);
    plan.journals = journals;
    let scores = scored(&plan, false)?;
    let (counts, ..) = report::total(&scores);
    assert_eq!(counts.points.wrong, 0, "{}", report::text(&scores, true));
    assert!(counts.points.right >= LEAST_RIGHT, "{:?}", counts.points);
    Ok(())
}

#[test]
fn of_more_versions_than_are_held_at_once_each_is_told_once_and_when_it_stood() -> Done {
    const ROWS: i64 = 6000;
    const COMMITS: i64 = 90;
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF;
         CREATE TABLE t(id INTEGER PRIMARY KEY, n);
         WITH RECURSIVE x(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM x WHERE i < {ROWS})
         INSERT INTO t SELECT i, i * 1000 FROM x; PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    for _ in 0..COMMITS {
        connection.execute_batch("UPDATE t SET n = n + 1")?;
    }
    let store = copied(folder.path())?;
    let ran = mudlark(["recover", &store.display().to_string(), "--jsonl", "-", "--quiet"])?;
    let mut told: Vec<(i64, i64)> = Vec::new();
    for line in ran.out.lines() {
        let line: Json = serde_json::from_str(line)?;
        let (id, n) =
            (line["values"]["id"].as_i64().ok_or("no id")?, line["values"]["n"].as_i64().ok_or("no n")?);
        let commit = n - 1000 * id;
        let point =
            |number: i64| if number == 0 { "before-log".to_owned() } else { format!("commit:{number}") };
        let to = if commit == COMMITS { Json::Null } else { json!(point(commit + 1)) };
        assert_eq!(line["lifetimes"], json!([{ "from": point(commit), "to": to }]), "{line}");
        assert_eq!(line["state"], if commit == COMMITS { "live" } else { "superseded" });
        told.push((id, commit));
    }
    told.sort_unstable();
    assert!(told.into_iter().eq((1..=ROWS).flat_map(|id| (0..=COMMITS).map(move |commit| (id, commit)))));
    Ok(())
}
