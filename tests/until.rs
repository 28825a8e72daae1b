//! Are the rows of a point those of the store that is brought to it, and the others told as before or after it?

use crate::support::{Done, folder, mudlark, recovered_lines};
use crate::workload::{SETTINGS, copied, with_journal, worked};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// The live rows of all tables, in order.
fn live(lines: &[Json]) -> Vec<String> {
    let live = lines.iter().filter(|line| line["state"] == "live");
    let mut rows: Vec<String> = live
        .map(|line| format!("{} {} {} {}", line["table"], line["rowid"], line["values"], line["missing"]))
        .collect();
    rows.sort_unstable();
    rows
}

/// Brings the store to the point, and recovers both; `None` when the point is refused, which must be by both alike.
fn both(folder: &Path, store: &Path, point: &str) -> Done<Option<Vec<String>>> {
    let out = folder.join("replayed.db");
    let replayed = mudlark([
        "replay".as_ref(),
        store.as_os_str(),
        "--until".as_ref(),
        point.as_ref(),
        "--force".as_ref(),
        "-o".as_ref(),
        out.as_os_str(),
    ])?;
    let until = ["recover".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref()];
    let until = mudlark(until.into_iter().chain(["--jsonl".as_ref(), "-".as_ref()]))?;
    if replayed.status != Some(0) {
        assert_eq!((until.status, &until.err), (Some(2), &replayed.err), "{point}");
        return Ok(None);
    }
    let rows = live(&until.lines()?);
    let expected = live(&recovered_lines(&out, &[])?);
    let first = rows.iter().zip(&expected).find(|(found, expected)| found != expected);
    assert!(rows == expected, "{point}: {} rows of {}, {first:?}", rows.len(), expected.len());
    Ok(Some(rows))
}

#[test]
fn the_rows_of_each_point_are_those_of_the_store_that_is_brought_to_it() -> Done {
    let (mut reached, mut refused) = (0, 0);
    for (seed, (page_size, _)) in SETTINGS.into_iter().enumerate().take(4) {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        worked(&connection, &folder.path().join("live.db-wal"), seed)?;
        let store = copied(folder.path())?;
        for number in (0..43).step_by(9) {
            assert!(
                both(folder.path(), &store, &format!("commit:{number}"))?.is_some(),
                "page size {page_size}"
            );
        }
        // A checkpoint that a reader stops, and work behind it.
        let other = Connection::open(folder.path().join("live.db"))?;
        other.execute_batch("BEGIN; SELECT count(*) FROM people;")?;
        connection.execute_batch(
            "INSERT INTO people(name) VALUES ('later'); DELETE FROM loose WHERE rowid % 3 = 0;
             PRAGMA wal_checkpoint(PASSIVE); INSERT INTO people(name) VALUES ('last');",
        )?;
        let store = copied(folder.path())?;
        let points = (0..43).step_by(15).map(|number| format!("commit:{number}"));
        for point in points.chain(["last".to_owned(), "checkpoint".to_owned()]) {
            match both(folder.path(), &store, &point)? {
                Some(_) => reached += 1,
                None => refused += 1,
            }
        }
    }
    assert!(reached >= 8 && refused > 0, "{reached} reached, {refused} refused");
    Ok(())
}

/// State and lifetimes of the version of a row with this name.
fn version<'l>(lines: &'l [Json], name: &str) -> Vec<(&'l Json, &'l Json, &'l Json)> {
    let same = lines.iter().filter(|line| line["values"]["name"] == name);
    same.map(|line| (&line["state"], &line["transaction"], &line["lifetimes"])).collect()
}

#[test]
fn states_are_told_relative_to_the_point() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, more TEXT);
         INSERT INTO t VALUES (1, 'the first as it was', 'a'), (2, 'the second', 'b'), (3, 'the third', 'c');
         PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE t SET name = 'the first as it is' WHERE id = 1;
         DELETE FROM t WHERE id = 2;
         UPDATE t SET name = 'the first as it will be' WHERE id = 1;
         INSERT INTO t VALUES (4, 'the fourth', 'd'); DELETE FROM t WHERE id = 3;",
    )?;
    let store = copied(folder.path())?;
    let lines = recovered_lines(&store, &["--until", "commit:2"])?;
    let committed = json!("committed");
    let told = |name: &str, state: &str, from: &str, to: Json| {
        let expected = (json!(state), json!([{"from": from, "to": to}]));
        let found = version(&lines, name);
        assert_eq!(found, [(&expected.0, &committed, &expected.1)], "{name}");
    };
    told("the first as it was", "superseded", "before-log", json!("commit:1"));
    told("the first as it is", "live", "commit:1", json!("commit:3"));
    told("the first as it will be", "later", "commit:3", Json::Null);
    told("the second", "deleted", "before-log", json!("commit:2"));
    told("the third", "live", "before-log", json!("commit:5"));
    told("the fourth", "later", "commit:4", Json::Null);
    let lines = recovered_lines(&store, &["--until", "last"])?;
    assert_eq!(live(&lines), live(&recovered_lines(&store, &[])?));
    assert!(lines.iter().all(|line| line["state"] != "later"));
    // The same in the database that it writes.
    let out = folder.path().join("out.db");
    let arguments = ["recover".as_ref(), store.as_os_str(), "--until".as_ref(), "commit:2".as_ref()];
    let ran = mudlark(arguments.into_iter().chain(["-o".as_ref(), out.as_os_str()]))?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert!(ran.out.contains(", as of commit:2 (3 later commits left out)\n"), "{}", ran.out);
    assert!(ran.out.contains("2 live, 1 superseded, 1 deleted, 2 later"), "{}", ran.out);
    let written = Connection::open(&out)?;
    let deleted: String =
        written.query_row("SELECT group_concat(name) FROM t_deleted", [], |row| row.get(0))?;
    assert_eq!(deleted, "the second");
    Ok(())
}

#[test]
fn a_table_that_is_made_dropped_or_renamed_later_is_told_as_it_was() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a row of the first table');
         CREATE TABLE u(id INTEGER PRIMARY KEY, name TEXT, note TEXT); INSERT INTO u VALUES (7, 'of the second', 'x');
         PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (2, 'another row');
         ALTER TABLE t RENAME TO renamed; DROP TABLE u; CREATE TABLE v(a, b, name, d);
         INSERT INTO v VALUES (1, 2, 'of the third', 4); VACUUM;",
    )?;
    let store = copied(folder.path())?;
    for number in 0..=6 {
        assert!(both(folder.path(), &store, &format!("commit:{number}"))?.is_some());
    }
    let lines = recovered_lines(&store, &["--until", "commit:1"])?;
    let of =
        |name: &str| version(&lines, name).into_iter().map(|(state, ..)| state.clone()).collect::<Vec<_>>();
    assert_eq!(of("a row of the first table"), ["live"]);
    assert_eq!(of("of the second"), ["live"]);
    assert!(of("of the third").iter().all(|state| state == "later"), "{:?}", of("of the third"));
    Ok(())
}

#[test]
fn the_points_of_a_journal_are_before_and_behind_its_transaction() -> Done {
    let work = "DELETE FROM t WHERE id > 1990; UPDATE t SET name = 'changed' WHERE id < 6; INSERT INTO u VALUES (1), (2);";
    let hot = folder()?;
    let store = with_journal(
        hot.path(),
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;",
        &format!("BEGIN; {work} UPDATE t SET name = name WHERE id = 1000; SELECT count(*) FROM t;"),
    )?;
    let rolled_back = both(hot.path(), &store, "last")?;
    assert_eq!(both(hot.path(), &store, "commit:0")?, rolled_back);
    assert!(rolled_back.is_some_and(|rows| rows.len() == 2000));
    let kept = folder()?;
    let store =
        with_journal(kept.path(), "PRAGMA journal_mode = persist;", &format!("BEGIN; {work} COMMIT;"))?;
    let before = both(kept.path(), &store, "commit:0")?;
    let behind = both(kept.path(), &store, "last")?;
    assert_eq!(both(kept.path(), &store, "commit:1")?, behind);
    assert_eq!(both(kept.path(), &store, "checkpoint")?, behind);
    assert_ne!(before, behind);
    let lines = recovered_lines(&store, &["--until", "commit:0"])?;
    let changed: Vec<&Json> = lines.iter().filter(|line| line["values"]["name"] == "changed").collect();
    assert_eq!(changed.len(), 5);
    assert!(changed.iter().all(|line| line["state"] == "later" && line["transaction"] == "committed"));
    Ok(())
}

#[test]
fn a_point_that_a_checkpoint_has_overwritten_is_given_in_part_and_marked() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         CREATE TABLE u(a); INSERT INTO t VALUES (1, 'one'); INSERT INTO u VALUES (5);
         PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET name = 'two';",
    )?;
    let other = Connection::open(folder.path().join("live.db"))?;
    other.execute_batch("BEGIN; SELECT count(*) FROM t;")?;
    connection.execute_batch("UPDATE u SET a = 6; PRAGMA wal_checkpoint(PASSIVE);")?;
    let store = copied(folder.path())?;
    assert!(both(folder.path(), &store, "commit:0")?.is_none());
    let out = folder.path().join("out.db");
    let options = ["--until", "commit:0", "--partial"].map(AsRef::as_ref);
    let arguments = ["replay".as_ref(), store.as_os_str(), "-o".as_ref(), out.as_os_str()];
    let ran = mudlark(arguments.into_iter().chain(options))?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert!(ran.err.contains("partial   1 page not as of this point:"), "{}", ran.err);
    assert!(ran.err.contains("page 2 of t: as of commit:1, in store.db-wal at 0x"), "{}", ran.err);
    let replayed = Connection::open(&out)?;
    let both: (String, i64) =
        replayed.query_row("SELECT name, a FROM t, u", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    assert_eq!(both, ("two".to_owned(), 5));
    let recovered = folder.path().join("recovered.db");
    let arguments = ["recover".as_ref(), store.as_os_str(), "-o".as_ref(), recovered.as_os_str()];
    let ran = mudlark(arguments.into_iter().chain(options))?;
    assert_eq!(ran.status, Some(3), "{}", ran.err);
    assert!(ran.out.contains("page 2 of t: as of commit:1"), "{}", ran.out);
    let written = Connection::open(&recovered)?;
    let found: String =
        written.query_row("SELECT found FROM mudlark_finding WHERE page = 2", [], |row| row.get(0))?;
    assert!(found.starts_with("as of commit:1"), "{found}");
    let _ = fs::remove_file(out);
    Ok(())
}
