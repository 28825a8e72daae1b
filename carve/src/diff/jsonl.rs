//! One JSON object a line: definitions that differ, what is lost, rows. The form is stable: others' scripts rely on it.

use super::Named;
use crate::model::{Between, Cell, ColumnDelta, RowDelta, RowThen, TableDelta};
use crate::sinks::jsonl::{int, value};
use serde_json::{Value as Json, json};
use std::io::Write;

/// How every line begins.
pub(super) fn head(named: Named<'_>, between: &Between) -> String {
    let [from, to] = between.points.map(|point| json!(point.to_string()));
    format!(
        "{{\"format\":1,\"store\":{},\"instance\":{},\"from\":{from},\"to\":{to}",
        json!(named.store),
        json!(named.instance)
    )
}

/// Writes what is no row: definitions, and what is lost.
pub(super) fn others(head: &str, between: &Between, out: &mut Vec<u8>) {
    let mut line = |text: String| out.extend_from_slice(text.as_bytes());
    for delta in &between.schema {
        let event = &delta.event;
        line(format!(
            "{head},\"change\":\"schema\",\"what\":\"{}\",\"kind\":{},\"name\":{},\"previous\":{},\"before\":{},\
             \"after\":{}}}\n",
            event.what,
            json!(event.kind),
            json!(event.name),
            json!(event.from),
            json!(delta.before),
            json!(delta.after)
        ));
    }
    let mut lost = |table: Option<&str>, point: usize, pages: &[u32]| {
        let at = between.points.get(point).map(ToString::to_string);
        line(format!(
            "{head},\"change\":\"lost\",\"table\":{},\"at\":{},\"pages\":{}}}\n",
            json!(table),
            json!(at),
            json!(pages)
        ));
    };
    for point in [0, 1] {
        if between.schema_known.get(point) == Some(&false) {
            lost(None, point, &[]);
        }
        for table in between.tables.iter().filter(|table| table.known.get(point) == Some(&false)) {
            lost(Some(table.name()), point, table.lost.get(point).map_or(&[], Vec::as_slice));
        }
    }
}

/// Writes a row.
pub(super) fn row(
    head: &str,
    between: &Between,
    table: &TableDelta,
    columns: &[ColumnDelta<'_>],
    row: &RowDelta<'_>,
    out: &mut Vec<u8>,
) {
    let text = |out: &mut Vec<u8>, text: std::fmt::Arguments<'_>| {
        // Writing to a vector can't fail.
        let _ = out.write_fmt(text);
    };
    text(out, format_args!("{head},\"namespace\":null,\"table\":{}", json!(table.name())));
    text(out, format_args!(",\"change\":\"{}\",\"rowid\":", row.became.name()));
    let [old, new] = [&row.before, &row.after].map(|row| row.as_ref().and_then(|row| row.rowid));
    rowid(new.or(old), out);
    if let (Some(before), Some(after)) = (old, new)
        && before != after
    {
        // VACUUM has given it another one.
        text(out, format_args!(",\"rowid_before\":"));
        int(before, out);
    }
    let mut missing = serde_json::Map::new();
    for (point, (name, row)) in [("before", &row.before), ("after", &row.after)].into_iter().enumerate() {
        text(out, format_args!(",\"{name}\":"));
        let Some(row) = row else {
            out.extend_from_slice(b"null");
            continue;
        };
        let lost = values(between, columns, point, row, out);
        if !lost.is_empty() {
            missing.insert(name.to_owned(), json!(lost));
        }
    }
    let changed: Vec<&str> = match (&row.before, &row.after) {
        (Some(_), Some(_)) => {
            columns.iter().filter(|column| column.differs(row)).map(|column| column.name).collect()
        }
        _ => Vec::new(),
    };
    text(out, format_args!(",\"changed\":{},\"missing\":{}}}\n", json!(changed), Json::Object(missing)));
}

fn rowid(id: Option<i64>, out: &mut Vec<u8>) {
    match id {
        Some(id) => int(id, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes the values of a row at a point, by the names of its columns; returns those that are lost.
fn values<'c>(
    between: &Between,
    columns: &[ColumnDelta<'c>],
    point: usize,
    row: &RowThen<'_>,
    out: &mut Vec<u8>,
) -> Vec<&'c str> {
    let mut lost = Vec::new();
    let mut own: Vec<(usize, &str)> = columns
        .iter()
        .filter_map(|column| Some((column.places.get(point).copied().flatten()?, column.name)))
        .collect();
    own.sort_unstable();
    let mut first = true;
    out.push(b'{');
    for (place, name) in own {
        let cell = row.cells.get(place).unwrap_or(&Cell::Missing);
        if !cell.is_whole() {
            lost.push(name);
            continue;
        }
        let comma = if first { "" } else { "," };
        first = false;
        // Writing to a vector can't fail.
        let _ = write!(out, "{comma}{}:", json!(name));
        value(cell, between.encoding, out);
    }
    out.push(b'}');
    lost
}
