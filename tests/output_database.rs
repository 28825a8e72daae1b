//! Does the output database hold what its description says, and run nothing that the evidence says?

use crate::support::{Done, dump, folder, mudlark, names, root, rows, store};
use mudlark_fixtures::sqlite::schema::quoted;
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A recovered store: its folder, and the output.
struct Recovered {
    folder: TempDir,
    output: Connection,
}

/// Makes a store by these statements and recovers it.
fn recovered(sql: &str) -> Done<Recovered> {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, sql)?;
    recovered_from(folder)
}

fn recovered_from(folder: TempDir) -> Done<Recovered> {
    let (path, out) = (folder.path().join("store.db"), folder.path().join("out.db"));
    let (path, out) = (path.display().to_string(), out.display().to_string());
    let ran = mudlark(["recover", &path, "-o", &out, "--min-confidence", "0"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let output = Connection::open(out)?;
    assert_eq!(rows(&output, "PRAGMA integrity_check")?, [json!(["ok"])]);
    Ok(Recovered { folder, output })
}

/// The names of a table's or view's columns.
fn columns(connection: &Connection, of: &str) -> Done<Vec<String>> {
    let statement = connection.prepare(&format!("SELECT * FROM {}", quoted(of)))?;
    Ok(statement.column_names().map(str::to_owned).collect())
}

/// The one value of a query.
fn one(connection: &Connection, sql: &str) -> Done<Json> {
    Ok(rows(connection, sql)?.first().and_then(|row| row.get(0)).cloned().unwrap_or_default())
}

#[test]
fn a_table_stands_under_its_name_with_its_types_keys_and_plain_indexes() -> Done {
    let made = recovered(
        "CREATE TABLE customers(id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'none', balance REAL);
         CREATE INDEX by_name ON customers(name COLLATE NOCASE, balance DESC);
         INSERT INTO customers VALUES (3, 'Ada', 5), (-9, 'Grace', NULL)",
    )?;
    let found = rows(&made.output, "SELECT *, typeof(balance) FROM customers ORDER BY id")?;
    assert_eq!(found, [json!([-9, "Grace", null, "null"]), json!([3, "Ada", 5.0, "real"])]);
    let info = rows(
        &made.output,
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('customers')",
    )?;
    let expected = [
        json!(["id", "INTEGER", 0, null, 1]),
        json!(["name", "TEXT", 1, "'none'", 0]),
        json!(["balance", "REAL", 0, null, 0]),
    ];
    assert_eq!(info, expected);
    assert_eq!(one(&made.output, "SELECT count(*) FROM pragma_index_list('customers')")?, 1);
    Ok(())
}

#[test]
fn the_versions_of_a_table_are_its_columns_and_seven_more() -> Done {
    let made = recovered("CREATE TABLE t(a, b); INSERT INTO t VALUES (1, 'x'), (2, 'y')")?;
    let expected = ["a", "b", "_version", "_state", "_transaction", "_confidence", "_rowid", "_from", "_to"];
    assert_eq!(columns(&made.output, "t_versions")?, expected);
    assert_eq!(columns(&made.output, "t_deleted")?, expected);
    let live = "SELECT a, b, _state, _transaction, _rowid FROM t_versions WHERE _state = 'live' ORDER BY a";
    let expected = [json!([1, "x", "live", "committed", 1]), json!([2, "y", "live", "committed", 2])];
    assert_eq!(rows(&made.output, live)?, expected);
    assert_eq!(one(&made.output, "SELECT count(*) FROM t_deleted")?, 0);
    assert_eq!(one(&made.output, "SELECT type FROM sqlite_schema WHERE name = 't_deleted'")?, "view");
    Ok(())
}

#[test]
fn a_row_has_the_same_confidence_in_the_database_and_in_its_json_line() -> Done {
    let (source, folder) = (root().join("samples/damaged.db").display().to_string(), folder()?);
    let out = folder.path().join("out.db").display().to_string();
    let ran = mudlark(["recover", &source, "-o", &out, "--jsonl", "-", "--min-confidence", "0"])?;
    let lines = ran.lines()?;
    let said = rows(
        &Connection::open(out)?,
        "SELECT version, confidence, content, placement FROM mudlark_version ORDER BY version",
    )?;
    let of_line =
        |line: &Json| json!([line["version"], line["confidence"], line["content"], line["placement"]]);
    assert_eq!(said, lines.iter().map(of_line).collect::<Vec<_>>());
    assert_eq!(said.len(), 1320);
    Ok(())
}

#[test]
fn every_bookkeeping_table_is_there() -> Done {
    let made = recovered("CREATE TABLE t(a); INSERT INTO t VALUES (1)")?;
    let all = names(&made.output, "table")?;
    for wanted in ["version", "evidence", "table", "schema", "source", "fragment", "finding", "loss", "run"] {
        assert!(all.contains(&format!("mudlark_{wanted}")), "mudlark_{wanted} is not in {all:?}");
    }
    let source = rows(&made.output, "SELECT name, size, hash, taken_for FROM mudlark_source")?;
    assert_eq!(source.len(), 1);
    assert_eq!(source[0][0], "store.db");
    assert_eq!(source[0][1], fs::metadata(made.folder.path().join("store.db"))?.len());
    let hash = source[0][2].as_str().unwrap_or_default();
    assert!(hash.starts_with("sha256") && hash.len() > 64, "{hash}");
    assert_eq!(rows(&made.output, "SELECT started <= finished FROM mudlark_run")?, [json!([1])]);
    Ok(())
}

#[test]
fn the_hash_of_a_source_is_that_of_its_bytes() -> Done {
    let made = recovered("CREATE TABLE t(a); INSERT INTO t VALUES (1)")?;
    let said = std::process::Command::new("sha256sum").arg(made.folder.path().join("store.db")).output();
    let Ok(said) = said else {
        println!("skipped: no sha256sum to compare with");
        return Ok(());
    };
    let said = String::from_utf8(said.stdout)?;
    let hash = one(&made.output, "SELECT hash FROM mudlark_source")?;
    let hash = hash.as_str().unwrap_or_default();
    assert!(hash.ends_with(said.split_whitespace().next().unwrap_or("?")), "{hash} {said}");
    Ok(())
}

#[test]
fn names_that_are_taken_get_a_suffix_that_the_output_records() -> Done {
    let made = recovered(
        "CREATE TABLE t(a); CREATE TABLE t_versions(b); CREATE TABLE t_deleted(c);
         CREATE TABLE mudlark_version(d); CREATE TABLE mudlark_rest_1(e);
         CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, f);
         INSERT INTO t VALUES ('a'); INSERT INTO t_versions VALUES ('b'); INSERT INTO t_deleted VALUES ('c');
         INSERT INTO mudlark_version VALUES ('d'); INSERT INTO mudlark_rest_1 VALUES ('e');
         INSERT INTO counted(f) VALUES ('f')",
    )?;
    let recorded =
        "SELECT original_name, output_name, versions_view, deleted_view FROM mudlark_table ORDER BY 1";
    let recorded = rows(&made.output, recorded)?;
    let text = |row: &Json, place: usize| row[place].as_str().unwrap_or_default().to_owned();
    let mut taken = Vec::new();
    for row in &recorded {
        taken.extend((1..4).map(|place| text(row, place).to_lowercase()));
        let original = text(row, 0);
        let content = rows(&made.output, &format!("SELECT * FROM {}", quoted(&text(row, 1))))?;
        let last = content.first().and_then(|row| row.as_array()?.last().cloned());
        let expected = match original.as_str() {
            "t" => "a",
            "t_versions" => "b",
            "t_deleted" => "c",
            "mudlark_version" => "d",
            "mudlark_rest_1" => "e",
            "counted" => "f",
            _ => continue,
        };
        assert_eq!(last, Some(json!(expected)), "{original}");
        let through = rows(&made.output, &format!("SELECT * FROM {}", quoted(&text(row, 2))))?;
        assert!(through.iter().any(|row| row.to_string().contains(&format!("\"{expected}\""))), "{original}");
    }
    assert!(recorded.len() >= 6, "{recorded:?}");
    let all = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), all, "names are taken twice: {recorded:?}");
    let own = columns(&made.output, "mudlark_version")?;
    assert!(own.contains(&"confidence".to_owned()), "mudlark_version is the program's own: {own:?}");
    Ok(())
}

#[test]
fn columns_that_are_called_like_those_of_the_versions_keep_their_names() -> Done {
    let made = recovered(
        "CREATE TABLE t(_state, _version, rowid, oid, _rowid_); INSERT INTO t VALUES (1, 2, 3, 4, 5)",
    )?;
    assert_eq!(
        rows(&made.output, "SELECT _state, _version, rowid, oid, _rowid_ FROM t")?,
        [json!([1, 2, 3, 4, 5])]
    );
    let versions = rows(&made.output, "SELECT _state, _version, rowid FROM t_versions")?;
    assert_eq!(versions, [json!([1, 2, 3])]);
    Ok(())
}

#[test]
fn rows_of_a_without_rowid_table_stand_in_its_table_and_its_versions() -> Done {
    let made = recovered(
        "CREATE TABLE k(v TEXT, b INTEGER, a TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;
         INSERT INTO k VALUES ('one', 1, 'x'), ('two', 2, 'x'), ('three', 1, 'y')",
    )?;
    let expected = [json!(["one", 1, "x"]), json!(["two", 2, "x"]), json!(["three", 1, "y"])];
    assert_eq!(rows(&made.output, "SELECT * FROM k ORDER BY a, b")?, expected);
    assert_eq!(rows(&made.output, "SELECT v, b, a FROM k_versions ORDER BY a, b")?, expected);
    Ok(())
}

#[test]
fn sql_of_the_evidence_is_kept_as_text_and_never_executed() -> Done {
    let made = recovered(
        "CREATE TABLE log(line TEXT);
         CREATE TABLE t(id INTEGER PRIMARY KEY, a INTEGER CHECK (a > 0), b TEXT DEFAULT (lower('X')),
           g INTEGER GENERATED ALWAYS AS (a * 2) STORED, w INTEGER AS (a * 3) VIRTUAL);
         CREATE INDEX by_expression ON t(lower(b));
         CREATE INDEX in_part ON t(a) WHERE b IS NOT NULL;
         CREATE VIEW seen AS SELECT load_extension('x') FROM t;
         CREATE TRIGGER watch AFTER INSERT ON t BEGIN INSERT INTO log VALUES ('fired'); END;
         CREATE VIRTUAL TABLE words USING fts5(body);
         INSERT INTO t(id, a, b) VALUES (1, 7, 'y');
         INSERT INTO words VALUES ('hello');
         DELETE FROM log",
    )?;
    let issued: Vec<String> = dump(&made.output)?.remove("(schema)").unwrap_or_default();
    for word in ["TRIGGER", "VIRTUAL TABLE", "CHECK", "GENERATED", "load_extension", "lower(", "WHERE b"] {
        assert!(!issued.iter().any(|sql| sql.contains(word)), "{word} in {issued:#?}");
    }
    let live = "SELECT count(*) FROM log_versions WHERE _state = 'live'";
    assert_eq!(one(&made.output, live)?, 0, "the trigger has not fired");
    assert_eq!(rows(&made.output, "SELECT id, a, b, g FROM t")?, [json!([1, 7, "y", 14])]);
    for (kind, name, word) in [
        ("view", "seen", "load_extension"),
        ("trigger", "watch", "'fired'"),
        ("table", "words", "fts5"),
        ("table", "t", "CHECK (a > 0)"),
        ("index", "by_expression", "lower(b)"),
    ] {
        let sql = format!("SELECT group_concat(found) FROM mudlark_schema WHERE name = '{name}'");
        let found = one(&made.output, &sql)?;
        assert!(found.as_str().is_some_and(|text| text.contains(word)), "the {kind} {name} is kept: {found}");
    }
    Ok(())
}

#[test]
fn a_row_that_breaks_a_check_or_a_key_is_kept_and_counted() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "CREATE TABLE t(a INTEGER CHECK (a > 0), k TEXT);
         PRAGMA ignore_check_constraints = ON;
         INSERT INTO t VALUES (-5, 'same'), (6, 'same');
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a INTEGER CHECK (a > 0), k TEXT NOT NULL UNIQUE)' WHERE name = 't';",
    )?;
    drop(connection);
    let made = recovered_from(folder)?;
    let all = "SELECT a, k FROM t_versions WHERE _state = 'live' ORDER BY a";
    assert_eq!(rows(&made.output, all)?, [json!([-5, "same"]), json!([6, "same"])]);
    Ok(())
}

#[test]
fn the_spans_of_a_version_lie_in_its_source_and_hold_the_bytes_of_its_cells() -> Done {
    let made = recovered(
        "PRAGMA page_size = 512;
         CREATE TABLE t(id INTEGER PRIMARY KEY, mark TEXT, body BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
         INSERT INTO t SELECT i, 'mark ' || i, randomblob(i * 60) FROM n",
    )?;
    let bytes = fs::read(made.folder.path().join("store.db"))?;
    let spans = "SELECT e.version, e.\"offset\", e.length, s.size FROM mudlark_evidence e
         JOIN mudlark_source s USING(source) ORDER BY 1, e.evidence, e.span";
    let number = |row: &Json, place: usize| row[place].as_u64().unwrap_or(u64::MAX) as usize;
    let mut held: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
    for row in rows(&made.output, spans)? {
        let (version, offset, length) = (number(&row, 0), number(&row, 1), number(&row, 2));
        assert!(offset.checked_add(length).is_some_and(|end| end <= number(&row, 3)), "{row}");
        held.entry(version).or_default().push(&bytes[offset..offset + length]);
    }
    let mut seen = 0;
    for row in rows(&made.output, "SELECT _version, mark, body FROM t_versions WHERE _state = 'live'")? {
        let mut spans = held.remove(&number(&row, 0)).unwrap_or_default();
        // A cell that spills ends with the number of its first overflow page.
        if let [first, _, ..] = spans.as_mut_slice() {
            *first = &first[..first.len() - 4];
        }
        let held = spans.concat();
        let body = hex::decode(row[2]["$hex"].as_str().unwrap_or_default())?;
        for cell in [row[1].as_str().unwrap_or("?").as_bytes(), &body] {
            assert!(holds(&held, cell), "version {} holds its cells", row[0]);
        }
        seen += 1;
    }
    assert_eq!(seen, 40);
    Ok(())
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn damage_and_what_is_missing_are_recorded() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note TEXT); CREATE INDEX by_name ON t(name);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, 'some name ' || i, 'note ' || i FROM n",
    )?;
    zero_page(&path, 4)?;
    let made = recovered_from(folder)?;
    assert!(one(&made.output, "SELECT count(*) FROM mudlark_finding")?.as_u64() > Some(0));
    let loss = "SELECT max(proved_missing), count(basis) FROM mudlark_loss JOIN mudlark_table USING(table_id) \
         WHERE original_name = 't'";
    let loss = rows(&made.output, loss)?;
    let live = one(&made.output, "SELECT count(*) FROM t")?.as_u64().unwrap_or(0);
    assert!(live < 2000);
    assert_eq!(loss[0][0], 2000 - live, "the index names every row whose page is lost");
    Ok(())
}

fn zero_page(path: &Path, page: usize) -> Done {
    let mut bytes = fs::read(path)?;
    bytes[(page - 1) * 4096..page * 4096].fill(0);
    Ok(fs::write(path, bytes)?)
}
