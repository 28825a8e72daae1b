//! Is a JSON line of the stable form that scripts rely on?

use crate::support::{Done, folder, mudlark, store};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// The keys of a line, in their order.
const KEYS: [&str; 18] = [
    "format",
    "version",
    "store",
    "instance",
    "namespace",
    "table",
    "schema",
    "state",
    "transaction",
    "confidence",
    "content",
    "placement",
    "rowid",
    "values",
    "missing",
    "partial",
    "lifetimes",
    "evidence",
];

/// The lines of a store made by these statements.
fn lines(sql: &str) -> Done<Vec<String>> {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, sql)?;
    text_lines(&path)
}

fn text_lines(path: &Path) -> Done<Vec<String>> {
    let path = path.display().to_string();
    let ran = mudlark(["recover", &path, "--jsonl", "-", "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    Ok(ran.out.lines().map(str::to_owned).collect())
}

/// The text that stands between two others.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let rest = text.split_once(before).map_or("", |(_, rest)| rest);
    rest.split_once(after).map_or("", |(part, _)| part)
}

#[test]
fn a_line_has_its_keys_in_the_order_of_the_form() -> Done {
    let lines =
        lines("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (17, 'Li Wei')")?;
    assert_eq!(lines.len(), 1);
    let line: Json = serde_json::from_str(&lines[0])?;
    let keys: Vec<&str> = line.as_object().into_iter().flat_map(|o| o.keys()).map(String::as_str).collect();
    assert_eq!(keys, KEYS);
    assert_eq!(line["format"], 1);
    assert_eq!(line["version"], 1);
    assert_eq!(line["store"], "sqlite");
    assert_eq!(line["instance"], "store.db");
    assert_eq!(line["namespace"], Json::Null);
    assert_eq!(line["table"], "t");
    assert_eq!(line["schema"], 1);
    assert_eq!(line["state"], "live");
    assert_eq!(line["transaction"], "committed");
    assert_eq!(line["rowid"], 17);
    assert_eq!(line["values"], json!({"id": 17, "name": "Li Wei"}));
    assert_eq!(line["missing"], json!([]));
    assert_eq!(line["partial"], json!({}));
    let lifetimes = line["lifetimes"].as_array().map_or(0, Vec::len);
    assert_eq!(lifetimes, 1);
    for part in ["confidence", "content", "placement"] {
        let number = line[part].as_f64().unwrap_or(-1.0);
        assert!((0.0..=1.0).contains(&number), "{part} {number}");
    }
    // 3 bytes of header, a NULL for the key, six characters; two varints before them.
    let evidence = json!([{"method": "table_leaf", "page": 2, "commit": null,
        "spans": [{"source": "store.db", "offset": 8192 - 11, "length": 11}]}]);
    assert_eq!(line["evidence"], evidence);
    let keys: Vec<&str> =
        line["evidence"][0].as_object().into_iter().flat_map(|o| o.keys()).map(String::as_str).collect();
    assert_eq!(keys, ["method", "page", "commit", "spans"]);
    Ok(())
}

#[test]
fn values_stand_in_the_order_of_the_columns() -> Done {
    let lines = lines("CREATE TABLE t(z, m, \"a b\", \"q\"\"q\"); INSERT INTO t VALUES (1, 2, 3, 4)")?;
    assert_eq!(between(&lines[0], "\"values\":", ",\"missing\""), r#"{"z":1,"m":2,"a b":3,"q\"q":4}"#);
    Ok(())
}

#[test]
fn a_without_rowid_row_has_no_row_id_and_its_columns_in_declared_order() -> Done {
    let lines = lines(
        "CREATE TABLE t(v TEXT, k INTEGER, PRIMARY KEY(k)) WITHOUT ROWID; INSERT INTO t VALUES ('x', 9)",
    )?;
    assert_eq!(between(&lines[0], "\"rowid\":", ","), "null");
    assert_eq!(between(&lines[0], "\"values\":", ",\"missing\""), r#"{"v":"x","k":9}"#);
    Ok(())
}

/// The JSON text of a column's values, for the rows of an untyped table, in order.
fn forms(expressions: &[&str]) -> Done<Vec<String>> {
    let rows: Vec<String> = expressions.iter().map(|expression| format!("({expression})")).collect();
    let lines = lines(&format!("CREATE TABLE t(x); INSERT INTO t VALUES {}", rows.join(",")))?;
    Ok(lines.iter().map(|line| between(line, "\"values\":{\"x\":", "},\"missing\"").to_owned()).collect())
}

#[test]
fn integers_are_numbers_up_to_2_to_the_53_and_text_in_int_beyond() -> Done {
    let found = forms(&[
        "0",
        "-1",
        "9007199254740992",
        "-9007199254740992",
        "9007199254740993",
        "-9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
    ])?;
    let expected = [
        "0",
        "-1",
        "9007199254740992",
        "-9007199254740992",
        r#"{"$int":"9007199254740993"}"#,
        r#"{"$int":"-9007199254740993"}"#,
        r#"{"$int":"9223372036854775807"}"#,
        r#"{"$int":"-9223372036854775808"}"#,
    ];
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn a_row_id_beyond_2_to_the_53_is_written_like_any_integer() -> Done {
    let lines =
        lines("CREATE TABLE t(id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (9223372036854775807, 1)")?;
    let line: Json = serde_json::from_str(&lines[0])?;
    assert_eq!(line["values"]["id"], json!({"$int": "9223372036854775807"}));
    assert_eq!(line["rowid"], json!({"$int": "9223372036854775807"}));
    Ok(())
}

#[test]
fn reals_show_a_point_or_an_exponent_and_those_json_lacks_a_name() -> Done {
    let found = forms(&["0.1", "5.0", "-0.0", "1e300", "1.5e-9", "9e999", "-9e999", "9007199254740993.0"])?;
    for (real, expected) in found.iter().zip([0.1, 5.0, -0.0, 1e300, 1.5e-9]) {
        assert!(real.contains(['.', 'e']), "{real}");
        let read: f64 = real.parse()?;
        assert_eq!(read.to_bits(), f64::to_bits(expected), "{real}");
    }
    assert_eq!(found[5], r#"{"$real":"inf"}"#);
    assert_eq!(found[6], r#"{"$real":"-inf"}"#);
    assert!(found[7].contains(['.', 'e']), "{}", found[7]);
    Ok(())
}

#[test]
fn a_whole_number_in_a_real_column_is_a_real() -> Done {
    let lines = lines("CREATE TABLE t(x REAL); INSERT INTO t VALUES (3)")?;
    assert_eq!(between(&lines[0], "\"values\":{\"x\":", "}"), "3.0");
    Ok(())
}

#[test]
fn blobs_are_hex_and_text_is_json_text() -> Done {
    let found =
        forms(&["x'ffd8'", "x''", "NULL", "''", "'a\"b\\c'", "'l1' || char(10) || 'l2'", "'Grüße 🦀'"])?;
    let expected = [
        r#"{"$hex":"ffd8"}"#,
        r#"{"$hex":""}"#,
        "null",
        "\"\"",
        r#""a\"b\\c""#,
        r#""l1\nl2""#,
        "\"Grüße 🦀\"",
    ];
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn text_that_is_not_valid_in_its_encoding_is_kept_as_hex_with_the_encoding() -> Done {
    let found = forms(&["CAST(x'41ff42' AS TEXT)", "'a' || char(0) || 'b'"])?;
    assert_eq!(found, [r#"{"$text":{"hex":"41ff42","encoding":"UTF-8"}}"#, r#""a\u0000b""#]);
    let lone = lines(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(x); INSERT INTO t VALUES ('ä€'), (CAST(x'00d84100' AS TEXT))",
    )?;
    assert_eq!(between(&lone[0], "\"values\":{\"x\":", "},\"missing\""), "\"ä€\"");
    let form: Json = serde_json::from_str(&lone[1])?;
    assert_eq!(form["values"]["x"]["$text"]["hex"], "00d84100");
    assert_eq!(form["values"]["x"]["$text"]["encoding"], "UTF-16le");
    Ok(())
}

#[test]
fn lost_cells_are_missing_and_cut_cells_are_partial_with_what_is_known() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(
        &path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, body TEXT, tail INTEGER);
         INSERT INTO t VALUES (1, 'head-' || hex(zeroblob(9000)), 77), (2, 'whole', 78)",
    )?;
    let mut bytes = fs::read(&path)?;
    // Page 2 is the leaf; the chain that holds the rest of the text and the last column begins at page 3.
    bytes[2 * 4096..].fill(0);
    fs::write(&path, bytes)?;
    let path = path.display().to_string();
    let ran = mudlark(["recover", &path, "--jsonl", "-", "--quiet", "--min-confidence", "0"])?;
    let lines = ran.lines()?;
    let row = |id: i64| lines.iter().find(|line| line["rowid"] == id).cloned().unwrap_or_default();
    assert_eq!(row(2)["values"], json!({"id": 2, "body": "whole", "tail": 78}));
    let cut = row(1);
    assert_eq!(cut["values"], json!({"id": 1}), "{cut}");
    assert_eq!(cut["missing"], json!(["tail"]));
    assert_eq!(cut["partial"]["body"]["length"], 18_005);
    let known = &cut["partial"]["body"]["known"][0];
    assert_eq!(known["offset"], 0);
    assert!(known["hex"].as_str().is_some_and(|hex| hex.starts_with("686561642d3030")), "{known}");
    Ok(())
}

#[test]
fn rows_on_standard_output_are_all_that_stands_there() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    store(&path, "CREATE TABLE t(a); INSERT INTO t VALUES (1), (2)")?;
    let path = path.display().to_string();
    let ran = mudlark(["recover", &path, "--jsonl", "-"])?;
    assert_eq!(ran.lines()?.len(), 2);
    assert!(ran.err.contains("recovered 2 rows"), "the summary goes to standard error: {}", ran.err);
    Ok(())
}
