//! Do deleted rows and older versions come back, and is no live row told as gone?

use crate::support::{Done, folder, plan, recovered_lines, scored, store};
use mudlark_fixtures::generate::DamageChoice;
use mudlark_fixtures::score::report;
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::fs;

// The numbers below lie a little beyond what was measured when they were set, to show when something gets worse.

/// Of the gone rows whose bytes survive in stores of all kinds; the aim is 0.97.
const LEAST_RECALL: f64 = 0.94;

/// Of the rows told as gone, those that are; the aim is 0.985.
const LEAST_PRECISION: f64 = 0.985;

const FILL: &str = "PRAGMA secure_delete = off;
    CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT, city TEXT, balance REAL);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO customers SELECT i, 'customer number ' || i, 'city ' || (i % 97), i * 1.25 FROM n;";

fn in_state<'l>(lines: &'l [Json], state: &str) -> Vec<&'l Json> {
    lines.iter().filter(|line| line["state"] == state).collect()
}

#[test]
fn rows_of_a_wrong_delete_come_back_with_their_keys() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, &format!("{FILL} DELETE FROM customers WHERE id % 5 = 0;"))?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(in_state(&lines, "live").len(), 2400);
    let gone = in_state(&lines, "deleted");
    assert!(gone.len() >= 590, "{} of 600", gone.len());
    for row in gone {
        let id = row["values"]["id"].as_i64();
        if let Some(id) = id {
            assert_eq!(id % 5, 0, "a live row told as deleted: {row}");
            assert_eq!(row["values"]["name"], format!("customer number {id}"), "the wrong key: {row}");
        }
    }
    Ok(())
}

#[test]
fn the_version_before_an_update_stands_in_the_log() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = wal; {FILL} UPDATE customers SET balance = -1.5 WHERE id BETWEEN 100 AND 199;"
    ))?;
    let lines = recovered_lines(&path, &[])?;
    let older: Vec<i64> = in_state(&lines, "superseded")
        .into_iter()
        .filter(|row| row["values"]["balance"].as_f64().is_some_and(|balance| balance > 0.0))
        .filter_map(|row| row["rowid"].as_i64())
        .collect();
    assert_eq!(older, (100..200).collect::<Vec<i64>>());
    Ok(())
}

#[test]
fn a_dropped_table_comes_back_under_its_name() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        &format!("{FILL} CREATE TABLE kept(a); INSERT INTO kept VALUES (1); DROP TABLE customers;"),
    )?;
    let lines = recovered_lines(&path, &[])?;
    let gone = in_state(&lines, "deleted");
    let named = gone.iter().filter(|row| row["table"] == "customers").count();
    assert!(named >= 2900, "{named} of 3000 under their name, {} in all", gone.len());
    Ok(())
}

#[test]
fn a_dropped_column_whose_definition_is_lost_comes_back_with_the_old_rows() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The many tables and their removal take the place of the old definition in the schema.
    let others: String = (0..60).map(|n| format!("CREATE TABLE other_{n}(a, b, c);")).collect();
    let dropped: String = (0..60).map(|n| format!("DROP TABLE other_{n};")).collect();
    store(
        &path,
        &format!(
            "{FILL} DELETE FROM customers WHERE id % 10 = 0;
             ALTER TABLE customers DROP COLUMN city; {others} {dropped}"
        ),
    )?;
    assert!(
        !fs::read(&path)?.windows(15).any(|bytes| bytes == b"TEXT, city TEXT"),
        "the definition survives"
    );
    let lines = recovered_lines(&path, &[])?;
    let old: Vec<&Json> = lines.iter().filter(|line| !line["values"]["dropped"].is_null()).collect();
    assert!(old.len() >= 600, "{} rows with the dropped column", old.len());
    for row in &old {
        let id = row["values"]["id"].as_i64();
        let Some(id) = id else { continue };
        assert_eq!(row["values"]["dropped"], format!("city {}", id % 97), "{row}");
        assert_eq!(row["state"], if id % 10 == 0 { "deleted" } else { "superseded" }, "{row}");
    }
    Ok(())
}

#[test]
fn rows_of_a_dropped_column_that_held_null_are_older_versions_too() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // The log keeps the pages on which the old rows stand whole.
    let connection = Connection::open(&path)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = wal; {FILL} UPDATE customers SET balance = NULL WHERE id % 3 = 0;
         ALTER TABLE customers DROP COLUMN balance"
    ))?;
    let lines = recovered_lines(&path, &[])?;
    let older = in_state(&lines, "superseded");
    let of_null = older.iter().filter(|row| row["values"].get("balance").is_some_and(Json::is_null));
    let rowids: HashSet<i64> = of_null.filter_map(|row| row["rowid"].as_i64()).collect();
    assert_eq!(rowids.len(), 1000, "rows that had no balance");
    assert!(rowids.iter().all(|id| id % 3 == 0));
    Ok(())
}

#[test]
fn rows_of_a_dropped_table_are_given_to_no_other_of_its_shape() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let table = |name: &str, step: u32, unit: u32| {
        format!(
            "CREATE TABLE {name}(id INTEGER PRIMARY KEY, who TEXT, amount INTEGER, note TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO {name} SELECT i * {step}, '{name} person ' || i, i * {unit}, '{name} note ' || i FROM n;"
        )
    };
    let tables = [table("north", 1, 1001), table("south", 1, 1302), table("west", 11, 703)].concat();
    store(
        &path,
        // In-page space is wiped, the definition with it; the freed pages keep their rows.
        &format!("PRAGMA secure_delete = fast; {tables} DROP TABLE north;"),
    )?;
    let lines = recovered_lines(&path, &[])?;
    let gone: Vec<&Json> = lines.iter().filter(|line| line["state"] != "live").collect();
    assert!(gone.len() >= 290, "{} of 300 rows", gone.len());
    for row in gone {
        let table = row["table"].as_str().unwrap_or_default();
        assert!(table == "north" || table.starts_with("lost_"), "{row}");
    }
    Ok(())
}

#[test]
fn keys_whose_lengths_are_lost_are_told_apart_though_no_row_is_left() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA secure_delete = off;
         CREATE TABLE items(quantity INTEGER NOT NULL, item INTEGER, price REAL, sku TEXT, PRIMARY KEY(sku, item))
             WITHOUT ROWID;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60)
         INSERT INTO items SELECT i % 13, i + 200, i * 12.5 + 0.25, 'SKU-' || (10000 + i) FROM n;
         DELETE FROM items;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let full = |row: &&Json| row["missing"].as_array().is_some_and(Vec::is_empty);
    let right = lines.iter().filter(full).filter(|row| {
        let item = row["values"]["item"].as_i64().unwrap_or_default();
        row["values"]["sku"] == format!("SKU-{}", 10000 + item - 200)
    });
    let right = right.count();
    assert!(right >= 55, "{right} of 60");
    Ok(())
}

#[test]
fn the_version_before_an_update_is_told_by_the_cells_that_it_shares() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, &format!("{FILL} UPDATE customers SET name = name || ' the second' WHERE id % 7 = 0;"))?;
    let lines = recovered_lines(&path, &[])?;
    let older = in_state(&lines, "superseded");
    // Most old cells were written over when their pages were put in order. No id is free: where a row's own is lost, it
    // was replaced all the same.
    assert!(older.len() >= 100, "{} rows", older.len());
    assert!(in_state(&lines, "deleted").is_empty());
    for row in older {
        let name = row["values"]["name"].as_str().unwrap_or_default();
        let number: i64 = name.trim_start_matches("customer number ").parse()?;
        assert!(number % 7 == 0 && row["rowid"].as_i64().is_none_or(|id| id == number), "{row}");
    }
    Ok(())
}

#[test]
fn rows_deleted_from_a_table_without_row_ids_come_back() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let fill = FILL
        .replace("id INTEGER PRIMARY KEY", "id INTEGER")
        .replace("REAL)", "REAL, PRIMARY KEY(id, name)) WITHOUT ROWID");
    store(&path, &format!("{fill} DELETE FROM customers WHERE id % 5 = 0;"))?;
    let lines = recovered_lines(&path, &[])?;
    let gone = in_state(&lines, "deleted");
    let right = gone.iter().filter(|row| {
        let id = row["values"]["id"].as_i64().unwrap_or(1);
        id % 5 == 0 && row["values"]["name"] == format!("customer number {id}")
    });
    let right = right.count();
    assert!(right >= 560 && gone.len() - right <= 6, "{right} of 600, {} wrong", gone.len() - right);
    Ok(())
}

#[test]
fn what_secure_delete_has_wiped_is_not_invented() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let fill = FILL.replace("secure_delete = off", "secure_delete = on");
    store(&path, &format!("{fill} DELETE FROM customers WHERE id % 5 = 0;"))?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!((in_state(&lines, "live").len(), lines.len()), (2400, 2400));
    Ok(())
}

#[test]
fn rows_of_an_emptied_table_are_told_from_those_of_others_of_its_shape() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let fill = |table: &str| {
        format!(
            "CREATE TABLE {table}(id INTEGER PRIMARY KEY, name TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO {table} SELECT i, 'number ' || (i * 7919 % 10007) || ' of {table}' FROM n;"
        )
    };
    let filled = ["north", "south", "west"].map(fill).concat();
    store(&path, &format!("PRAGMA secure_delete = off; {filled} DELETE FROM south;"))?;
    let lines = recovered_lines(&path, &[])?;
    let gone = in_state(&lines, "deleted");
    let right = gone.iter().filter(|row| {
        row["table"] == "south"
            && row["values"]["name"].as_str().is_some_and(|name| name.ends_with("of south"))
    });
    let right = right.count();
    assert!(right >= 1990 && right + 1 >= gone.len(), "{right} of 2000, {} in all", gone.len());
    Ok(())
}

#[test]
fn rows_that_vacuum_gave_other_ids_are_not_deleted() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA secure_delete = off; PRAGMA journal_mode = persist; CREATE TABLE t(name TEXT, city TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO t SELECT 'customer number ' || i, 'city ' || (i % 13) FROM n;
         DELETE FROM t WHERE rowid % 3 = 0; VACUUM;",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let name = |row: &Json| row["values"]["name"].as_str().unwrap_or_default().to_owned();
    let live: HashSet<String> = in_state(&lines, "live").into_iter().map(name).collect();
    let deleted = in_state(&lines, "deleted");
    assert_eq!(live.len(), 200);
    assert!(deleted.iter().all(|row| !live.contains(&name(row))), "a live row is told as deleted");
    assert!(deleted.len() >= 50, "{} of 100", deleted.len());
    Ok(())
}

#[test]
fn rows_below_those_of_a_table_that_took_the_place_of_a_dropped_one_are_of_neither_name() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "PRAGMA secure_delete = off; CREATE TABLE old_members(a INT, name TEXT);
         INSERT INTO old_members VALUES (70001, 'Anna Lund'), (70002, 'Bert Holm'), (70003, 'Carla Berg'),
             (70004, 'Dora Falk'), (70005, 'Emil Ek'), (70006, 'Frida Dahl');
         DROP TABLE old_members; CREATE TABLE members_of_today(a INT, name TEXT);
         INSERT INTO members_of_today VALUES (80001, 'Gustav Vik'), (80002, 'Hanna Sand'), (80003, 'Ivar Norberg')",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let gone = in_state(&lines, "deleted");
    assert!(gone.len() >= 2, "{gone:?}");
    assert!(
        gone.iter().all(|row| row["table"] == "lost_1" && row["values"]["c0"].as_i64() < Some(80000)),
        "{gone:?}"
    );
    assert_eq!(in_state(&lines, "live").len(), 3);
    Ok(())
}

#[test]
fn rows_of_a_dropped_table_of_one_page_come_back_though_its_definition_is_lost() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let others: String =
        (0..60).map(|n| format!("CREATE TABLE other_{n}(a, b, c); DROP TABLE other_{n};")).collect();
    store(
        &path,
        &format!(
            "PRAGMA secure_delete = off; CREATE TABLE kept(a);
             CREATE TABLE members(name TEXT, city TEXT, fee REAL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
             INSERT INTO members SELECT 'member ' || i, 'city ' || (i % 7), i * 1.5 FROM n;
             INSERT INTO kept VALUES (1); DROP TABLE members; {others}"
        ),
    )?;
    assert!(!fs::read(&path)?.windows(12).any(|bytes| bytes == b"members(name"), "the definition survives");
    let lines = recovered_lines(&path, &[])?;
    let gone = in_state(&lines, "deleted");
    let is_member =
        |row: &&&Json| row["values"]["c0"].as_str().is_some_and(|name| name.starts_with("member "));
    let members = gone.iter().filter(is_member).count();
    assert!(members >= 36 && members == gone.len(), "{members} of 40, {} in all", gone.len());
    Ok(())
}

#[test]
fn rows_of_a_dropped_table_without_row_ids_come_back_though_its_definition_is_lost_and_its_index_is_no_table()
-> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let others: String =
        (0..60).map(|n| format!("CREATE TABLE other_{n}(a, b, c); DROP TABLE other_{n};")).collect();
    store(
        &path,
        &format!(
            "PRAGMA page_size = 1024; PRAGMA secure_delete = off;
             CREATE TABLE filler(a); CREATE TABLE kept(a);
             CREATE TABLE fees(note TEXT, city TEXT, year INT, fee REAL, PRIMARY KEY(year, city)) WITHOUT ROWID;
             CREATE INDEX by_fee ON fees(fee);
             CREATE TABLE seen(at INT, who TEXT); CREATE INDEX by_who ON seen(who);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
             INSERT INTO fees SELECT 'note ' || i, 'city ' || (i * 7 % 600), 2000 + i % 9, i * 1.5 FROM n;
             INSERT INTO seen SELECT year * 1000, note FROM fees;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
             INSERT INTO filler SELECT zeroblob(900) FROM n;
             INSERT INTO kept VALUES (1); DROP TABLE filler; DROP TABLE fees; DROP TABLE seen; {others}"
        ),
    )?;
    let lines = recovered_lines(&path, &[])?;
    assert!(lines.iter().all(|row| row["table"] != "fees"), "the definition survives");
    let is_lost = |row: &&Json| row["table"].as_str().is_some_and(|table| table.starts_with("lost_"));
    let is_whole = |row: &&Json| row["missing"] == Json::Array(Vec::new());
    let lost = in_state(&lines, "deleted").into_iter().filter(is_lost).filter(is_whole);
    let lost: Vec<&Json> = lost.collect();
    // The key stands first, as it is stored.
    let is_fee = |row: &&&Json| {
        let note =
            row["values"]["c2"].as_str().and_then(|note| note.strip_prefix("note ")?.parse::<i64>().ok());
        note.is_some_and(|n| row["values"]["c1"] == format!("city {}", n * 7 % 600))
    };
    let fees = lost.iter().filter(is_fee).count();
    // Rows of free space are read in other ways now and then; of the entries of the indexes there are 1,200.
    assert!(fees >= 590 && lost.len() <= fees + 5, "{fees} of 600, {} in all", lost.len());
    Ok(())
}

#[test]
fn deleted_rows_come_back_where_the_chain_of_freeblocks_is_broken() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, &format!("{FILL} DELETE FROM customers WHERE id % 5 = 0;"))?;
    let mut bytes = fs::read(&path)?;
    for page in bytes.chunks_mut(4096).skip(1).filter(|page| page[0] == 13 && page[1..3] != [0, 0]) {
        // The first freeblock names itself as the next one.
        let first = usize::from(u16::from_be_bytes([page[1], page[2]]));
        page.copy_within(1..3, first);
    }
    fs::write(&path, bytes)?;
    let lines = recovered_lines(&path, &[])?;
    assert_eq!(in_state(&lines, "live").len(), 2400);
    let gone = in_state(&lines, "deleted");
    let right = gone.iter().filter(|row| {
        let name = row["values"]["name"].as_str().and_then(|name| name.strip_prefix("customer number "));
        name.and_then(|number| number.parse::<i64>().ok()).is_some_and(|number| number % 5 == 0)
    });
    let right = right.count();
    assert!(right >= 590 && right == gone.len(), "{right} of 600, {} in all", gone.len());
    Ok(())
}

#[test]
fn gone_rows_of_sound_stores_of_every_kind_come_back() -> Done {
    let scores = scored(&plan(41, 110, DamageChoice::None), false)?;
    let (counts, ..) = report::total(&scores);
    let recall = counts.hit as f64 / counts.rec_gone.max(1) as f64;
    let told = counts.tp + counts.phantoms + counts.rereads;
    let precision = counts.tp as f64 / told.max(1) as f64;
    println!("{} of {} gone rows ({recall:.4}), precision {precision:.4}", counts.hit, counts.rec_gone);
    assert_eq!(counts.failed, 0);
    assert!(recall >= LEAST_RECALL, "recall {recall:.4}");
    assert!(precision >= LEAST_PRECISION, "precision {precision:.4}");
    assert!(counts.rereads * 1000 <= told, "{} live rows told as gone", counts.rereads);
    Ok(())
}

#[test]
fn rows_of_a_table_that_was_emptied_and_filled_anew_come_back_whatever_their_columns_hold() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    // A column that is declared to hold times is of numeric affinity, and holds text.
    store(
        &path,
        "PRAGMA page_size = 32768; PRAGMA secure_delete = off;
         CREATE TABLE visits(id INTEGER PRIMARY KEY, at DATETIME, minutes INTEGER);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO visits SELECT i, '2025-03-' || (10 + i % 20) || ' visit ' || i, i * 3 FROM n;
         DELETE FROM visits;
         INSERT INTO visits VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3);",
    )?;
    let lines = recovered_lines(&path, &[])?;
    let gone = lines.iter().filter(|line| {
        let at = line["values"]["at"].as_str().unwrap_or_default();
        line["state"] != "live" && at.ends_with(&format!("visit {}", line["values"]["id"]))
    });
    let gone = gone.count();
    assert!(gone >= 390, "{gone} of 400");
    Ok(())
}

#[test]
fn a_renamed_table_is_one_table_whatever_columns_it_got_since() -> Done {
    for further in ["", "ALTER TABLE orders_of_today ADD COLUMN note TEXT;"] {
        let folder = folder()?;
        let path = folder.path().join("store.db");
        store(
            &path,
            &format!(
                "PRAGMA secure_delete = off; CREATE TABLE orders(id INTEGER PRIMARY KEY, what TEXT);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
                 INSERT INTO orders SELECT i, 'order number ' || i FROM n;
                 ALTER TABLE orders RENAME TO orders_of_today; {further}
                 DELETE FROM orders_of_today WHERE id % 10 = 3;"
            ),
        )?;
        let lines = recovered_lines(&path, &[])?;
        assert!(lines.iter().all(|row| row["table"] == "orders_of_today"), "{further}");
        assert_eq!(in_state(&lines, "live").len(), 270);
        assert!(in_state(&lines, "deleted").len() >= 28, "{}", in_state(&lines, "deleted").len());
    }
    Ok(())
}

#[test]
fn rows_of_a_table_that_was_made_anew_are_its_own_where_those_of_its_shape_are_numbered_otherwise() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let make = "CREATE TABLE far(id INTEGER PRIMARY KEY, name TEXT, n INT);";
    store(
        &path,
        &format!(
            "PRAGMA secure_delete = off; {make} CREATE TABLE near(id INTEGER PRIMARY KEY, name TEXT, n INT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
             INSERT INTO far SELECT -i * 1000000000037, 'member ' || i, i * 7919 % 1000 FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
             INSERT INTO near SELECT i, 'member ' || (i + 900), i * 7919 % 1000 FROM n;
             DROP TABLE far; {make}"
        ),
    )?;
    let lines = recovered_lines(&path, &[])?;
    let gone = in_state(&lines, "deleted");
    let own = gone.iter().filter(|row| row["table"] == "far" && row["rowid"].as_i64() < Some(-1_000_000));
    let own = own.count();
    assert!(own >= 800 && own + 20 >= gone.len(), "{own} of 900, {} in all", gone.len());
    Ok(())
}
