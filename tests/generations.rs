//! Is every transaction of an older generation whose frames survive listed, with the versions that it wrote?

use crate::support::{Done, folder, mudlark, rows};
use crate::workload::{copied, timeline};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;

/// Commits of the older generation.
const COMMITS: i64 = 40;

/// Each row is changed so many commits after the one that made it, and deleted as many after that.
const STEP: i64 = 3;

/// The number of frames of a log that carry the salts of its header, from the first on.
fn own_frames(log: &[u8], page_size: usize) -> u64 {
    let frames = log.get(32..).unwrap_or_default().chunks_exact(24 + page_size);
    frames.take_while(|frame| frame.get(8..16) == log.get(16..24)).count() as u64
}

#[test]
fn what_survives_of_an_older_generation_is_listed_and_its_versions_have_their_lifetimes() -> Done {
    for (page_size, later) in [(512, 2), (512, 4), (1024, 4), (2048, 2), (2048, 6), (4096, 1), (4096, 12)] {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        connection.execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE INDEX t_name ON t(name);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
             INSERT INTO t SELECT i, 'there from the start ' || i FROM n; PRAGMA wal_checkpoint(TRUNCATE);"
        ))?;
        let log = folder.path().join("live.db-wal");
        // The last frame of each commit.
        let mut ends = vec![0];
        for commit in 1..=COMMITS {
            connection.execute_batch(&format!(
                "BEGIN; INSERT INTO t VALUES ({}, 'row {commit} as it was made');
                 UPDATE t SET name = 'row {} as it was changed' WHERE id = {};
                 DELETE FROM t WHERE id = {}; COMMIT;",
                1000 + commit,
                commit - STEP,
                1000 + commit - STEP,
                1000 + commit - 2 * STEP,
            ))?;
            ends.push(own_frames(&fs::read(&log)?, page_size));
        }
        connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
        for step in 0..later {
            connection
                .execute_batch(&format!("UPDATE t SET name = 'later {step}' WHERE id = {}", 10 + step))?;
        }
        let store = copied(folder.path())?;
        let overwritten = own_frames(&fs::read(&log)?, page_size);
        let told = timeline(&store)?;
        // By its number each commit's point, and whether all of its frames survive.
        let mut points: BTreeMap<i64, String> = BTreeMap::new();
        let listed = told["commits"].as_array().into_iter().flatten();
        for listed in listed.filter(|listed| listed["generation"] != "current") {
            let frames = (listed["frames"]["first"].as_u64(), listed["frames"]["last"].as_u64());
            let number = ends.iter().position(|end| Some(*end) == frames.1).ok_or("no such commit")?;
            let whole = frames.0 == Some(ends[number - 1] + 1);
            assert!(whole || points.is_empty(), "{listed}");
            assert_eq!(listed["state"], if points.is_empty() { "partly_overwritten" } else { "committed" });
            points.insert(number as i64, listed["point"].as_str().ok_or("no point")?.to_owned());
        }
        let surviving: Vec<i64> =
            (1..=COMMITS).filter(|commit| ends[*commit as usize - 1] >= overwritten).collect();
        assert!(surviving.len() > 20, "pages of {page_size}: {overwritten} of {ends:?} overwritten");
        assert!(surviving.iter().all(|commit| points.contains_key(commit)), "{points:?}");
        let out = folder.path().join("out.db");
        let ran = mudlark(["recover".as_ref(), store.as_os_str(), "-o".as_ref(), out.as_os_str()])?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        let recovered = Connection::open(&out)?;
        let mut asked = recovered
            .prepare("SELECT _state, _transaction, _from, _to FROM t_versions WHERE id = ? AND name = ?")?;
        let (mut checked, mut unstated) = (0, 0);
        // Behind the first commit of which frames are left what each did is known.
        for commit in surviving.iter().skip(1) {
            for (made, name) in [
                (*commit, format!("row {commit} as it was made")),
                (*commit - STEP, format!("row {} as it was changed", commit - STEP)),
            ] {
                if made < 1 {
                    continue;
                }
                let found = asked.query_map((1000 + made, &name), |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })?;
                type Version = (String, String, Option<String>, Option<String>);
                let found: Vec<Version> = found.collect::<Result<_, _>>()?;
                let ended = commit + STEP;
                let state = match (ended > COMMITS, made == *commit) {
                    (true, _) => "live",
                    (false, true) => "superseded",
                    (false, false) => "deleted",
                };
                let to = points.get(&ended).cloned();
                let expected = (state.to_owned(), "committed".to_owned(), points.get(commit).cloned(), to);
                let [version] = found.as_slice() else { return Err(format!("{name}: {found:?}").into()) };
                assert_eq!(
                    (&version.0, &version.1),
                    (&expected.0, &expected.1),
                    "pages of {page_size}, {name}"
                );
                for (found, expected) in [(&version.2, &expected.2), (&version.3, &expected.3)] {
                    assert!(
                        found.is_none() || found == expected,
                        "pages of {page_size}, {name}: {version:?}"
                    );
                    unstated += usize::from(found != expected);
                }
                checked += 1;
            }
        }
        println!(
            "pages of {page_size}, {later} later commits: {unstated} of {} points not stated",
            2 * checked
        );
        // One commit wrote all leaves of the table, of two of which nothing holds what they were before: the row that it
        // added may have stood there.
        let most = u32::from(page_size == 2048);
        assert!(checked > 40 && unstated <= most as usize, "{unstated} of {checked}");
        for point in points.values() {
            let replayed = folder.path().join("replayed.db");
            let arguments = ["replay".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref()];
            let ran = mudlark(arguments.into_iter().chain([
                "-o".as_ref(),
                replayed.as_os_str(),
                "--force".as_ref(),
            ]))?;
            // What the lost frames wrote may be needed.
            assert!(matches!(ran.status, Some(0 | 2)), "{}", ran.err);
        }
    }
    Ok(())
}

#[test]
fn rows_of_a_dropped_table_whose_page_another_one_took_have_no_points_in_that() -> Done {
    for (page_size, index) in
        [(512, ""), (1024, ""), (512, "CREATE INDEX of_t ON t(name); CREATE INDEX of_y ON y(name);")]
    {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        connection.execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); CREATE TABLE y(id INTEGER PRIMARY KEY, name TEXT); {index}
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) INSERT INTO t SELECT i, 'there ' || i FROM n;
             INSERT INTO y SELECT 1000 + id, 'of y ' || id FROM t WHERE id < 9; PRAGMA wal_checkpoint(TRUNCATE);"
        ))?;
        for commit in 1..6 {
            connection.execute_batch(&format!("UPDATE y SET name = 'changed {commit}' WHERE id = 1003"))?;
        }
        // The first that writes page 1: the rows go to the other table, which takes the page that they stood on.
        connection.execute_batch(
            "BEGIN; CREATE TEMP TABLE kept AS SELECT * FROM y; DROP TABLE y; INSERT INTO t SELECT * FROM kept;
             INSERT INTO t SELECT 2000 + id, name || ' and more of it' FROM kept; COMMIT",
        )?;
        for later in 0..20 {
            connection.execute_batch(&format!(
                "UPDATE t SET name = 'later {later}' WHERE id = {}",
                1001 + later % 5
            ))?;
        }
        connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE); UPDATE t SET name = 'z' WHERE id = 5")?;
        let (store, out) = (copied(folder.path())?, folder.path().join("out.db"));
        let ran = mudlark(["recover".as_ref(), store.as_os_str(), "-o".as_ref(), out.as_os_str()])?;
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        let recovered = Connection::open(&out)?;
        let told = rows(
            &recovered,
            "SELECT id, name, _from FROM t_versions WHERE name IN ('changed 2', 'changed 3', 'changed 4') AND _from IS NOT NULL",
        )?;
        assert!(told.is_empty(), "pages of {page_size}: {told:?}");
    }
    Ok(())
}

#[test]
fn the_last_state_is_reached_where_a_new_generation_wrote_page_1_as_the_one_before_left_it() -> Done {
    for (page_size, kept) in [(1024, 150), (1024, 200), (2048, 250), (4096, 250)] {
        let folder = folder()?;
        let connection = Connection::open(folder.path().join("live.db"))?;
        let made = |from: i64| {
            format!(
                "WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < 300)
                 INSERT INTO t SELECT i, 'row ' || i || ' as it was' FROM n;"
            )
        };
        connection.execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT); CREATE TABLE u(id INTEGER PRIMARY KEY, body TEXT);
             {} INSERT INTO u SELECT * FROM t; PRAGMA wal_checkpoint(TRUNCATE);
             UPDATE t SET body = body || '!'; UPDATE u SET body = body || '!';
             UPDATE t SET body = body || '?' WHERE id % 3 = 0; PRAGMA wal_checkpoint(PASSIVE);
             DELETE FROM t WHERE id > {kept}; {}",
            made(1),
            made(kept + 1),
        ))?;
        let store = copied(folder.path())?;
        let out = folder.path().join("last.db").display().to_string();
        let ran = mudlark(["replay", &store.display().to_string(), "--until", "last", "-o", &out])?;
        assert_eq!(ran.status, Some(0), "pages of {page_size} bytes, {kept} rows kept: {}", ran.err);
        for table in ["t", "u"] {
            let all = format!("SELECT * FROM {table} ORDER BY id");
            assert_eq!(rows(&Connection::open(&out)?, &all)?, rows(&connection, &all)?);
        }
    }
    Ok(())
}
