//! Moments in the rows that a commit wrote: it is not before the latest of them.

use super::objects::Object;
use super::pages::Pages;
use super::rows;
use super::walk::TableChange;
use crate::model::Bound;
use crate::moments;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::{TextEncoding, Value};

/// Rows of a table that are asked, of one commit: the latest ones come last.
const ASKED: usize = 4096;

/// Words in the names of columns that applications fill with the time of writing. Others, as of due dates, may lie in the
/// future of the commit.
const WRITTEN: [&str; 18] = [
    "created",
    "inserted",
    "updated",
    "deleted",
    "modified",
    "changed",
    "sent",
    "received",
    "logged",
    "timestamp",
    "ctime",
    "mtime",
    "added",
    "placed",
    "posted",
    "saved",
    "recorded",
    "registered",
];

/// Whole names of such columns, and the end of those that say what was done at a time (`closed_at`).
const NAMES: [&str; 2] = ["at", "ts"];
const DONE: &str = "ed_at";

/// Words that speak against them.
const NOT_WRITTEN: [&str; 11] =
    ["due", "expir", "valid", "until", "schedule", "birth", "next", "plan", "expect", "estimat", "promis"];

/// The earliest moment that is believed: 1990. Smaller numbers are counts more often than times.
const FIRST: i64 = 631_152_000_000_000;

/// The latest moment in what a commit wrote to a table, not after `last`.
pub fn latest(
    pages: &Pages<'_>,
    state: u32,
    object: &Object,
    change: &TableChange,
    encoding: TextEncoding,
    last: i64,
) -> Option<Bound> {
    let ddl = object.ddl.as_ref()?;
    let named = |name: &str| {
        let name = name.to_ascii_lowercase();
        let is_written = WRITTEN.iter().any(|word| name.contains(word));
        let is_written = is_written || NAMES.contains(&name.as_str()) || name.ends_with(DONE);
        is_written && !NOT_WRITTEN.iter().any(|word| name.contains(word))
    };
    let stored = ddl.stored_columns();
    let columns: Vec<(usize, &str)> = stored
        .iter()
        .enumerate()
        .filter_map(|(position, column)| Some((position, ddl.columns.get(*column)?.name.as_str())))
        .filter(|(_, name)| named(name))
        .collect();
    if columns.is_empty() {
        return None;
    }
    let written = change.rows.iter().rev().filter_map(|row| row.after.map(|after| (after, row.before)));
    let mut best: Option<(i64, &str)> = None;
    for (row, before) in written.take(ASKED) {
        let read = |row: rows::RowAt, state: u32| {
            let version = pages.at(row.page, state).image()?;
            let page = Page::parse(version.bytes, row.page, pages.geometry)?;
            let cell = page.good_cell(row.at as usize)?;
            let payload = rows::payload(pages, version.bytes, &cell, state, &mut Vec::new())?;
            let header = record::header(&payload, cell.payload_len).ok()?;
            let mut values = Vec::new();
            record::decode(&header, &payload, &mut values);
            let moment = |(position, _): &(usize, &str)| moment(values.get(*position)?, encoding);
            Some(columns.iter().map(moment).collect::<Vec<Option<i64>>>())
        };
        let Some(after) = read(row, state) else { continue };
        // A moment that an update left as it was is that of an earlier commit.
        let before = before.and_then(|before| read(before, state - 1)).unwrap_or_default();
        for (index, ((_, name), moment)) in columns.iter().zip(after).enumerate() {
            let Some(moment) = moment.filter(|moment| before.get(index).copied().flatten() != Some(*moment))
            else {
                continue;
            };
            if moment <= last && best.is_none_or(|(most, _)| moment > most) {
                best = Some((moment, *name));
            }
        }
    }
    let (micros, column) = best?;
    Some(Bound { micros, evidence: format!("the latest {column} in rows that it wrote to {}", object.name) })
}

/// A value as a moment: text with a date and a time, or seconds, milliseconds or microseconds since 1970.
fn moment(value: &Value<'_>, encoding: TextEncoding) -> Option<i64> {
    let micros = match value {
        Value::Text(bytes) => moments::parse(&encoding.decode(bytes)?)?,
        // Ten digits are seconds, thirteen milliseconds, sixteen microseconds.
        Value::Int(number @ 100_000_000..10_000_000_000) => number * 1_000_000,
        Value::Int(number @ 100_000_000_000..10_000_000_000_000) => number * 1000,
        Value::Int(number @ 100_000_000_000_000..10_000_000_000_000_000) => *number,
        Value::Real(number) if (1e8..1e10).contains(number) => (number * 1e6) as i64,
        _ => return None,
    };
    (micros >= FIRST).then_some(micros)
}
