//! How much of generated damaged stores comes back, and is what comes back right?

use crate::support::{Done, MUDLARK, folder, overwrite, plan, recovered_lines, rows_in_state, store};
use mudlark_fixtures::damage::Op;
use mudlark_fixtures::generate::DamageChoice;
use mudlark_fixtures::score::{self, Counts, Emitted, Options, report};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Cases: each operator has its turn five times and more.
const CASES: usize = 200;

/// What the command puts out when it is not told otherwise.
const LEAST_CONFIDENCE: f64 = 0.5;

// The numbers below lie a little beyond what was measured when they were set, to show when something gets worse.

/// Of the live rows whose bytes survive, the share that must come back as full live rows; the aim is 0.999.
const LEAST_RECALL: f64 = 0.975;

/// Full live rows that equal no version of any table, nor what the damaged bytes say, in all cases together: wrong
/// cells. The aim is none.
const MOST_WRONG: usize = 10;

/// Full live rows that equal a version of another table of the case. Tables of one shape can't always be told apart.
const MOST_MISPLACED: usize = 120;

/// Full live rows that equal a version of their table that is gone: where the damage took what said so, as the list
/// of free pages, nothing tells.
const MOST_STALE: usize = 450;

/// Of the cells of partial rows, the share that may be wrong.
const MOST_WRONG_CELLS: f64 = 0.01;

/// What the rows of a table were and read as, each as the JSON text of its values.
#[derive(Default)]
struct Known {
    columns: Vec<String>,
    live: HashSet<String>,
    gone: HashSet<String>,
    altered: HashSet<String>,
}

/// The answer key of a case, by table.
fn known(case: &Path) -> Done<BTreeMap<String, Known>> {
    let truth: Json = serde_json::from_str(&fs::read_to_string(case.join("truth.json"))?)?;
    let mut tables = BTreeMap::new();
    for (name, table) in truth["tables"].as_object().ok_or("no tables")? {
        let list = |part: &str| table[part].as_array().cloned().unwrap_or_default();
        let rows = |part: &str| list(part).iter().map(|entry| entry["row"].to_string()).collect();
        let known = Known {
            columns: list("columns").iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            live: rows("live"),
            gone: rows("gone"),
            altered: list("altered").iter().map(Json::to_string).collect(),
        };
        tables.insert(name.clone(), known);
    }
    Ok(tables)
}

/// Full live rows under a known name that are not live rows of that table, by what they are instead.
#[derive(Default)]
struct NotLive {
    wrong: Vec<String>,
    misplaced: usize,
    stale: usize,
    altered: usize,
}

impl NotLive {
    fn take(&mut self, case: &str, tables: &BTreeMap<String, Known>, row: &Emitted) {
        let Some(known) = row.table.as_ref().and_then(|name| tables.get(name)) else { return };
        let cells: Option<Vec<Json>> =
            known.columns.iter().map(|column| row.values.get(column).cloned()).collect();
        let put_out = row.confidence.is_none_or(|confidence| confidence >= LEAST_CONFIDENCE);
        let given = put_out && row.state == "live" && row.transaction == "committed";
        let Some(cells) = cells.filter(|_| given) else { return };
        let text = Json::Array(cells).to_string();
        if known.live.contains(&text) {
            return;
        }
        let elsewhere = |other: &Known| other.live.contains(&text) || other.gone.contains(&text);
        if known.gone.contains(&text) {
            self.stale += 1;
        } else if known.altered.contains(&text) {
            self.altered += 1;
        } else if tables.values().any(elsewhere) {
            self.misplaced += 1;
        } else {
            let name = row.table.as_deref().unwrap_or_default();
            self.wrong.push(format!("{case}: {name} {}", text.chars().take(120).collect::<String>()));
        }
    }
}

#[test]
fn live_rows_whose_bytes_survive_any_damage_come_back_and_full_rows_are_right() -> Done {
    let folder = folder()?;
    plan(31, CASES, DamageChoice::All).write(folder.path())?;
    let cases = score::cases(folder.path())?;
    let options = Options { tool: PathBuf::from(MUDLARK), at: LEAST_CONFIDENCE, with_schema: true, jobs: 0 };
    let scores = score::score_cases(&cases, &options)?;
    let failed: Vec<&str> =
        scores.iter().filter(|case| case.score.counts.failed > 0).map(|case| case.name.as_str()).collect();
    assert!(failed.is_empty(), "the program failed on {failed:?}");
    let (counts, ..) = report::total(&scores);
    let mut not_live = NotLive::default();
    for (case, score) in cases.iter().zip(&scores) {
        let tables = known(case)?;
        let (rows, ..) = score::emitted(case, "store.db", &options)?;
        rows.iter().for_each(|row| not_live.take(&score.name, &tables, row));
    }
    holds(&counts, &not_live);
    Ok(())
}

fn holds(counts: &Counts, not_live: &NotLive) {
    let wrong_cells = counts.wrong_cells as f64 / counts.cells.max(1) as f64;
    println!(
        "{} of {} live rows ({:.5}); full live rows that are wrong {}, of another table {}, gone {}, changed by the \
         damage {}; wrong cells in partial rows {wrong_cells:.5}",
        counts.live_hit,
        counts.rec_live,
        counts.live_recall(),
        not_live.wrong.len(),
        not_live.misplaced,
        not_live.stale,
        not_live.altered,
    );
    assert!(counts.live_recall() >= LEAST_RECALL, "live recall {:.5}", counts.live_recall());
    assert!(not_live.wrong.len() <= MOST_WRONG, "wrong full rows: {:#?}", not_live.wrong);
    assert!(not_live.misplaced <= MOST_MISPLACED, "{} rows of another table", not_live.misplaced);
    assert!(not_live.stale <= MOST_STALE, "{} gone rows called live", not_live.stale);
    assert!(wrong_cells <= MOST_WRONG_CELLS, "wrong cells in partial rows {wrong_cells:.5}");
}

#[test]
fn every_kind_of_damage_has_its_turn() -> Done {
    let plan = plan(31, CASES, DamageChoice::All);
    let mut met = BTreeSet::new();
    for number in 0..CASES {
        met.extend(plan.case(number)?.damage);
    }
    let never: Vec<&str> =
        Op::in_turn().iter().map(|op| op.name()).filter(|name| !met.contains(*name)).collect();
    assert!(never.is_empty(), "never met: {never:?}");
    Ok(())
}

/// The first link of the interior page with this number: where it stands in the file, and where it leads.
fn first_link(bytes: &[u8], page_size: usize, page: usize) -> (usize, [u8; 4]) {
    let start = (page - 1) * page_size;
    assert_eq!(bytes[start], 5, "an interior page of a table");
    let cell = start + usize::from(u16::from_be_bytes([bytes[start + 12], bytes[start + 13]]));
    (cell, bytes[cell..cell + 4].try_into().unwrap())
}

#[test]
fn first_children_that_two_tables_have_exchanged_are_set_right() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 1024; CREATE TABLE people(name TEXT, city TEXT, born INT); CREATE TABLE log(at REAL);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO people SELECT 'person number ' || i, 'city', i FROM n;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO log(rowid, at) SELECT 1000 + i * 20, i * 1.5 FROM n;",
    )?;
    let mut bytes = fs::read(&path)?;
    let (people, log) = (first_link(&bytes, 1024, 2), first_link(&bytes, 1024, 3));
    bytes[people.0..people.0 + 4].copy_from_slice(&log.1);
    bytes[log.0..log.0 + 4].copy_from_slice(&people.1);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    for (table, column) in [("people", "born"), ("log", "at")] {
        let rows = lines.iter().filter(|line| line["state"] == "live" && line["table"] == table);
        let right = rows.filter(|line| line["values"][column].is_number()).count();
        assert_eq!(right, 200, "rows of {table}");
    }
    Ok(())
}

#[test]
fn the_words_of_the_schema_tell_the_encoding_when_the_header_is_wrong() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, "CREATE TABLE t(a INT, b INT); INSERT INTO t VALUES (1, 2), (3, 4)")?;
    let mut bytes = fs::read(&path)?;
    // The encoding, at offset 56: UTF-16le.
    bytes[56..60].copy_from_slice(&2_u32.to_be_bytes());
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(rows_in_state(&lines, "t", "live").count(), 2);
    Ok(())
}

#[test]
fn rows_that_were_deleted_are_not_live_because_a_root_leads_out_of_the_file() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA secure_delete = off; CREATE TABLE t(a TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
         INSERT INTO t SELECT 'row number ' || i FROM n;
         DELETE FROM t; PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 2000000 WHERE name = 't'",
    )?;
    let lines = recovered_lines(&path, &["--min-confidence", "0"])?;
    assert!(lines.iter().all(|line| line["state"] != "live"), "{lines:#?}");
    let deleted = lines.iter().filter(|line| line["state"] == "deleted").count();
    assert!((48..=52).contains(&deleted), "{deleted} of 50");
    Ok(())
}

#[test]
fn a_file_of_zeros_is_read_through_the_log_beside_it() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE t(a TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
         INSERT INTO t SELECT 'row number ' || i FROM n;",
    )?;
    let evidence = folder.path().join("evidence.db");
    fs::write(&evidence, vec![0; fs::metadata(&path)?.len() as usize])?;
    fs::copy(folder.path().join("store.db-wal"), folder.path().join("evidence.db-wal"))?;
    let lines = recovered_lines(&evidence, &[])?;
    assert_eq!(lines.iter().filter(|line| line["state"] == "live" && line["table"] == "t").count(), 50);
    Ok(())
}

#[test]
fn a_lost_page_can_have_held_more_rows_than_any_that_is_left() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 4096; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
         INSERT INTO t SELECT i, 'row number ' || i || ' of a table that has two pages' FROM n;",
    )?;
    let mut bytes = fs::read(&path)?;
    // The root kept the rows of its first leaf below its links when it was divided.
    let (_, first) = first_link(&bytes, 4096, 2);
    let leaf = u32::from_be_bytes(first) as usize;
    bytes[(leaf - 1) * 4096..leaf * 4096].fill(0xa5);
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    // Of the first one the links took the end: whether it stands they don't tell.
    let told =
        |line: &Json| line["state"] == "live" || line["state"] == "unknown" && line["partial"] != json!({});
    assert!(lines.iter().all(told), "live rows are told as gone");
    Ok(())
}

#[test]
fn a_page_that_was_taken_back_behind_the_last_commit_is_no_sign_of_a_later_checkpoint() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT);
         INSERT INTO t VALUES (1, 'as it was at first'), (2, 'as it was at first');
         PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE t SET a = 'as it is now';",
    )?;
    let evidence = folder.path().join("evidence.db");
    let main = fs::read(&path)?;
    let mut log = fs::read(folder.path().join("store.db-wal"))?;
    // A frame of the log's own that ends no transaction, and whose checksum is wrong: page 2 as the main file has it.
    let salts = log[16..24].to_vec();
    log.extend([&2_u32.to_be_bytes()[..], &[0; 4], &salts, &[7; 8], &main[4096..8192]].concat());
    fs::write(&evidence, &main)?;
    fs::write(folder.path().join("evidence.db-wal"), log)?;
    drop(connection);
    let lines = recovered_lines(&evidence, &[])?;
    let live: Vec<&Json> = lines.iter().filter(|line| line["state"] == "live").collect();
    assert!(live.len() == 2 && live.iter().all(|line| line["values"]["a"] == "as it is now"), "{live:?}");
    Ok(())
}

#[test]
fn sectors_of_zeros_in_blobs_and_on_overflow_pages_are_no_content() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA page_size = 4096; PRAGMA secure_delete = on;
         CREATE TABLE files(id INTEGER PRIMARY KEY, body BLOB);
         INSERT INTO files VALUES (1, CAST(replace(hex(zeroblob(6000)), '00', 'x') AS BLOB)),
             (2, CAST(replace(hex(zeroblob(900)), '00', 'y') AS BLOB)), (3, zeroblob(3000)), (4, x'01');
         CREATE TABLE other(id INTEGER PRIMARY KEY, word TEXT);
         INSERT INTO other VALUES (1, 'word');",
    )?;
    let bytes = fs::read(&path)?;
    let full_of = |byte: u8| bytes.chunks(512).position(|sector| sector.iter().all(|other| *other == byte));
    let sector = |byte: u8| full_of(byte).map(|number| number * 512..(number + 1) * 512);
    for byte in *b"xy" {
        overwrite(&path, sector(byte).expect("a sector of it"), 0)?;
    }
    // Something else is lost, too.
    let page =
        bytes.chunks(4096).position(|page| page.ends_with(b"word")).expect("a page of the other table");
    overwrite(&path, page * 4096..page * 4096 + 512, 0)?;
    let lines = recovered_lines(&path, &[])?;
    let partial = |id: i64| {
        let line = lines.iter().find(|line| line["table"] == "files" && line["rowid"] == id);
        line.map(|line| line["partial"]["body"].clone())
    };
    for id in [1, 2] {
        assert!(partial(id).is_some_and(|body| body.is_object()), "{id}: {:?}", partial(id));
    }
    for id in [3, 4] {
        assert!(partial(id).is_some_and(|body| body.is_null()), "{id}: {:?}", partial(id));
    }
    Ok(())
}
