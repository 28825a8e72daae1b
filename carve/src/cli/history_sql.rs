//! The versions of a row as SQL: one statement, which makes a table of them. It reads and changes no other table, and does
//! nothing where there is one of that name.

use crate::sql::{literal, patch::comment};
use crate::versions::{Version, Versions};
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use rusqlite::types::ValueRef;
use serde_json::Value as Json;

/// What stands behind the columns of the table, as in a recovered database.
const FURTHER: [&str; 8] =
    ["_version", "_state", "_transaction", "_confidence", "_rowid", "_from", "_to", "_lost"];

/// The versions, those in the order of time first.
pub(super) fn text(name: &str, table: &str, versions: &Versions) -> String {
    let all = || versions.dated.iter().chain(&versions.undated);
    let columns = super::history_csv::columns(versions);
    let made = quoted(&format!("{table}_versions"));
    let mut sql = format!("-- {}: {} of {}\n", comment(name), versions_of(all().count()), comment(table));
    if all().next().is_none() {
        return sql;
    }
    put_back(&mut sql, table, &made, &columns, all());
    let names: Vec<String> = columns.iter().chain(&FURTHER).map(|name| quoted(name)).collect();
    sql.push_str(&format!("CREATE TABLE {made} AS WITH v({}) AS (VALUES\n", names.join(",")));
    for (number, version) in all().enumerate() {
        sql.push_str(if number == 0 { "  (" } else { ",\n  (" });
        for column in &columns {
            put(&mut sql, &version.line["values"][*column]);
            sql.push(',');
        }
        literal::put(&mut sql, ValueRef::Integer(number as i64 + 1));
        for name in ["state", "transaction", "confidence", "rowid"] {
            sql.push(',');
            put(&mut sql, &version.line[name]);
        }
        for point in [version.lifetime.from, version.lifetime.to] {
            sql.push(',');
            put(&mut sql, &point.map_or(Json::Null, |point| Json::String(point.to_string())));
        }
        sql.push(',');
        put(&mut sql, &lost(version));
        sql.push(')');
    }
    sql.push_str("\n) SELECT * FROM v;\n");
    sql
}

fn versions_of(count: usize) -> String {
    crate::words::grouped_count(count as u64, "version")
}

/// How a row that is there gets the values of a version: for a person, who looks at them first.
fn put_back<'v>(
    sql: &mut String,
    table: &str,
    made: &str,
    columns: &[&str],
    versions: impl Iterator<Item = &'v Version>,
) {
    let mut versions = versions.peekable();
    let by_rowid = versions.peek().is_some() && versions.all(|version| !version.line["rowid"].is_null());
    if !by_rowid || columns.is_empty() {
        return;
    }
    let names = comment(&columns.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(","));
    let (table, made) = (comment(&quoted(table)), comment(made));
    sql.push_str(&format!(
        "-- Version N is given back to a row that is there, where _lost is NULL, by:\n\
         --   UPDATE {table} SET ({names})=(SELECT {names} FROM {made} WHERE _version=N)\n\
         --   WHERE rowid=(SELECT _rowid FROM {made} WHERE _version=N);\n"
    ));
}

/// The columns that are lost, as a whole or in part: NULL stands for each.
fn lost(version: &Version) -> Json {
    let missing = version.line["missing"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let partial = version.line["partial"].as_object().into_iter().flat_map(|partial| partial.keys());
    let all: Vec<&str> = missing.chain(partial.map(String::as_str)).collect();
    if all.is_empty() { Json::Null } else { Json::String(all.join(", ")) }
}

/// A value of a JSON line as a literal.
fn put(sql: &mut String, value: &Json) {
    let form = value.as_object().and_then(|form| form.iter().next());
    let of_text = |text: &Json| text.get("hex").and_then(Json::as_str).and_then(|hex| hex::decode(hex).ok());
    match (value, form) {
        (Json::Bool(_) | Json::Array(_) | Json::Null, _) => literal::put(sql, ValueRef::Null),
        (Json::String(text), _) => literal::put(sql, ValueRef::Text(text.as_bytes())),
        (Json::Number(number), _) => match number.as_i64() {
            Some(whole) => literal::put(sql, ValueRef::Integer(whole)),
            None => literal::put(sql, number.as_f64().map_or(ValueRef::Null, ValueRef::Real)),
        },
        (_, Some((kind, Json::String(text)))) => match kind.as_str() {
            "$hex" => literal::put(sql, ValueRef::Blob(&hex::decode(text).unwrap_or_default())),
            "$int" => literal::put(sql, text.parse().map_or(ValueRef::Null, ValueRef::Integer)),
            "$real" => literal::put(sql, text.parse().map_or(ValueRef::Null, ValueRef::Real)),
            _ => literal::put(sql, ValueRef::Text(text.as_bytes())),
        },
        (_, Some((kind, text))) if kind == "$text" => {
            // As SQLite reads a BLOB that is cast to text.
            sql.push_str("CAST(");
            literal::put(sql, ValueRef::Blob(&of_text(text).unwrap_or_default()));
            sql.push_str(" AS TEXT)");
        }
        (Json::Object(_), _) => literal::put(sql, ValueRef::Null),
    }
}
