//! Is a gone row told from earlier versions of live ones, and these from it?

use crate::support::{Done, folder, mudlark, plan, recovered_lines, rows_in_state, scored, store};
use mudlark_fixtures::damage::Op;
use mudlark_fixtures::generate::{DamageChoice, Plan};
use mudlark_fixtures::sqlite::{Journal, Kind, Workload};
use mudlark_parsers::claim::Claim;
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs;

fn states(lines: &[Json]) -> Vec<(i64, String)> {
    let gone = lines.iter().filter(|line| line["state"] != "live");
    let state = |line: &Json| line["state"].as_str().unwrap_or_default().to_owned();
    let mut states: Vec<(i64, String)> =
        gone.map(|line| (line["rowid"].as_i64().unwrap_or(-1), state(line))).collect();
    states.sort();
    states
}

#[test]
fn a_deleted_row_is_no_version_of_a_live_one_that_has_a_frequent_name() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Names from forty: in the two hundred rows beside it some other one has each of them.
    store(
        &path,
        "PRAGMA secure_delete = off; CREATE TABLE members(id INTEGER PRIMARY KEY, fee INTEGER, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
         INSERT INTO members SELECT i * 3, 1000 + (i * 7919) % 30011,
             'Maximiliane Hohenlohe ' || char(65 + (i * 31) % 40) FROM n;
         DELETE FROM members WHERE id % 11 = 0;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let states = states(&lines);
    assert!(states.len() >= 350, "{} of 363", states.len());
    let superseded = states.iter().filter(|(_, state)| state == "superseded").count();
    assert!(superseded <= 3, "{superseded} deleted rows told as replaced");
    Ok(())
}

#[test]
fn a_log_tells_whether_an_id_was_given_to_another_row() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    // Neither pair of rows shares a cell.
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE members(id INTEGER PRIMARY KEY, name TEXT, city TEXT);
         INSERT INTO members VALUES (1, 'Anna Lund', 'Oslo'), (2, 'Bert Holm', 'Bergen'), (3, 'Carla Berg', 'Bodø');
         UPDATE members SET name = 'Dora Falk', city = 'Tromsø' WHERE id = 1;
         DELETE FROM members WHERE id = 2;
         INSERT INTO members VALUES (2, 'Emil Ek', 'Ålesund');",
    )?;
    let lines = recovered_lines(&path, &[])?;
    drop(connection);
    assert_eq!(states(&lines), [(1, "superseded".to_owned()), (2, "deleted".to_owned())]);
    Ok(())
}

#[test]
fn copies_that_a_moved_root_left_below_a_new_table_are_not_its_deleted_rows() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let fill = |table: &str, rows: usize| {
        format!(
            "CREATE TABLE {table}(id INTEGER PRIMARY KEY, name TEXT, amount INTEGER);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO {table} SELECT i, 'of {table} ' || i, i * 7919 FROM n;"
        )
    };
    // The root of west moves into the place of south's, and south, made anew, takes the page that it left.
    let script = [
        "PRAGMA page_size = 16384; PRAGMA auto_vacuum = incremental; PRAGMA secure_delete = off;".to_owned(),
        fill("north", 300),
        fill("south", 300),
        fill("west", 300),
        "DROP TABLE south;".to_owned(),
        fill("south", 20),
    ];
    store(&path, &script.concat())?;
    let lines = recovered_lines(&path, &[])?;
    let told = |line: &&Json| {
        let name = line["values"]["name"].as_str().unwrap_or_default();
        line["state"] != "live" && name.starts_with("of west")
    };
    assert_eq!(lines.iter().filter(told).count(), 0);
    assert_eq!(lines.iter().filter(|line| line["state"] == "live").count(), 620);
    Ok(())
}

#[test]
fn rows_that_vacuum_gave_other_ids_are_not_gone_though_many_have_the_same_cells() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    // No column holds the row id, and of the cells there are fourteen kinds.
    connection.execute_batch(
        "PRAGMA page_size = 16384; PRAGMA secure_delete = off; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE letters(k TEXT, v INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700)
         INSERT INTO letters SELECT char(97 + (i * 31) % 7), i % 2 FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         DELETE FROM letters WHERE rowid % 3 = 0;
         VACUUM;
         DELETE FROM letters WHERE rowid = 5;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    drop(connection);
    let states = states(&lines);
    // The last was the seventh at first.
    let mut gone: Vec<i64> = (1..=700).filter(|id| id % 3 == 0).chain([5]).collect();
    gone.sort_unstable();
    let ids: Vec<i64> = states.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, gone);
    assert!(states.iter().all(|(_, state)| state == "deleted"));
    Ok(())
}

#[test]
fn rows_of_an_earlier_shape_are_versions_of_live_ones_on_a_damaged_page_too() -> Done {
    let plan = Plan {
        kinds: vec![Kind::Customers, Kind::Ledger],
        workloads: vec![Workload::DropColumn],
        journals: vec![Journal::Delete],
        ..plan(31, 12, DamageChoice::Of(vec![vec![Op::FreeblockLoop]]))
    };
    let cases = scored(&plan, false)?;
    let found: u64 = cases.iter().map(|case| case.score.counts.fated).sum();
    let right: u64 = cases.iter().map(|case| case.score.counts.fate).sum();
    assert!(found >= 500 && 10 * right >= 9 * found, "{right} of {found}");
    Ok(())
}

/// Rows of one leaf, page 2, with names and places that no two share, and an index over the names.
const MEMBERS: &str = "PRAGMA page_size = 4096; PRAGMA secure_delete = off;
    CREATE TABLE members(id INTEGER PRIMARY KEY, name TEXT, place TEXT);
    CREATE INDEX by_name ON members(name);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
    INSERT INTO members SELECT i, printf('%04d a member', i * 7919 % 10007), printf('at some place %04d', i * 6113 % 10007) FROM n;";

/// Where the cell of a row begins on page 2, by its place.
fn cell(page: &[u8], number: usize) -> usize {
    let pointer = page.get(8 + 2 * number..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
    usize::from(u16::from_be_bytes(pointer))
}

#[test]
fn a_live_row_whose_pointer_was_cut_out_is_not_deleted() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, MEMBERS)?;
    let mut bytes = fs::read(&path)?;
    let page = &mut bytes[4096..8192];
    // The pointers behind the tenth move up, and are one fewer.
    page.copy_within(8 + 2 * 10..8 + 2 * 40, 8 + 2 * 9);
    page[3..5].copy_from_slice(&39_u16.to_be_bytes());
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    assert_eq!(states(&lines), []);
    assert!(lines.iter().any(|line| line["rowid"] == 10));
    Ok(())
}

#[test]
fn a_deleted_row_that_ends_as_another_says_so_and_one_of_which_an_index_has_an_entry_too() -> Done {
    let folder = folder()?;
    let (path, out) = (folder.path().join("store.db"), folder.path().join("out.db"));
    store(
        &path,
        &format!("{MEMBERS} DELETE FROM members WHERE id IN (10, 21); DELETE FROM members WHERE id = 20;"),
    )?;
    let mut bytes = fs::read(&path)?;
    let page = &mut bytes[4096..8192];
    // Row 20 ends where row 19 begins, the eighteenth of those that are left. Row 21 lies before it in one freeblock, the
    // head of which took nothing of row 20.
    let (end, donor) = (cell(page, 17), cell(page, 4));
    page.copy_within(donor - 12..donor, end - 12);
    fs::write(&path, bytes)?;
    let arguments = ["recover".as_ref(), path.as_os_str(), "-o".as_ref(), out.as_os_str()];
    mudlark(arguments.into_iter().chain(["--min-confidence".as_ref(), "0".as_ref()]))?;
    let connection = Connection::open(&out)?;
    let claims = |id: i64| -> Done<i64> {
        let sql = "SELECT claims FROM mudlark_version JOIN members_versions ON version = _version
                   WHERE _rowid = ? AND _state = 'deleted'";
        Ok(connection.query_row(sql, [id], |row| row.get(0))?)
    };
    let has = |id: i64, claim: Claim| -> Done<bool> { Ok(claims(id)? >> claim as u8 & 1 == 1) };
    assert!(has(20, Claim::EndOfAnother)? && !has(10, Claim::EndOfAnother)?);
    assert!(has(10, Claim::IndexAgrees)? && !has(10, Claim::IndexDisagrees)?);
    Ok(())
}

#[test]
fn old_pages_of_a_dropped_table_are_not_those_of_the_one_whose_root_moved_to_its_place() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA auto_vacuum = full; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE flags(id INTEGER PRIMARY KEY, flag INTEGER); CREATE TABLE letters(k TEXT, v INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1800) INSERT INTO flags SELECT i, i % 6 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) INSERT INTO letters SELECT char(97 + i % 26), i % 2 FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         DROP TABLE flags; CREATE TABLE flags(id INTEGER PRIMARY KEY, flag INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1801 UNION ALL SELECT i + 1 FROM n WHERE i < 1840) INSERT INTO flags SELECT i, i % 6 FROM n;",
    )?;
    let mut bytes = fs::read(&path)?;
    // What the main file said of the first table is damaged: the type of its root is one that is never on disk.
    let entry = bytes.windows(10).position(|window| window == b"tableflags").ok_or("no entry")?;
    bytes[entry - 2] = 10;
    let copy = folder.path().join("copy.db");
    fs::write(&copy, bytes)?;
    fs::copy(folder.path().join("store.db-wal"), folder.path().join("copy.db-wal"))?;
    let lines = recovered_lines(&copy, &["--min-confidence", "0"])?;
    drop(connection);
    // The damaged root reads as a row or two of its own.
    let gone_of = |table: &str| {
        lines.iter().filter(|line| line["state"] == "deleted" && line["table"] == table).count()
    };
    assert_eq!((gone_of("flags"), gone_of("letters")), (1800, 0));
    Ok(())
}

#[test]
fn deleted_rows_whose_cells_many_live_rows_have_are_known_by_their_ids() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Without a column that shows them VACUUM may give other ids, but writes all pages anew when it does.
    store(
        &path,
        "PRAGMA secure_delete = off; CREATE TABLE letters(k TEXT, v INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         INSERT INTO letters SELECT char(97 + i * 7 % 13), i % 5 FROM n;
         DELETE FROM letters WHERE rowid BETWEEN 150 AND 199;",
    )?;
    let deleted: Vec<(i64, String)> = (150..200).map(|id| (id, "deleted".to_owned())).collect();
    assert_eq!(states(&recovered_lines(&path, &[])?), deleted);
    Ok(())
}

#[test]
fn short_rows_that_went_come_back_though_live_ones_have_the_same_cells() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // Of the row ids that are free fewer were given than the rows that went leave room for.
    store(
        &path,
        "PRAGMA page_size = 8192; PRAGMA secure_delete = off;
         CREATE TABLE letters(k TEXT, v INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO letters(rowid, k, v) SELECT 3 * i, substr('aeiou', i % 5 + 1, 1) ||
             CASE WHEN i % 3 = 0 THEN substr('bcdfghjklmnpqrstvwxyz', i * i % 21 + 1, 1) ELSE '' END, i % 2 FROM n;
         DELETE FROM letters WHERE rowid BETWEEN 420 AND 719;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(rows_in_state(&lines, "letters", "live").count(), 200);
    assert_eq!(rows_in_state(&lines, "letters", "deleted").count(), 100);
    Ok(())
}
