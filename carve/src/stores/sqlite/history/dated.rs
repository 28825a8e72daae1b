//! Moments in the rows that a commit wrote: it is not before the latest of them.

use super::objects::Object;
use super::pages::Pages;
use super::rows::{self, RowAt};
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
    // Of rows with row ids the later ones are those with the greater ids.
    let mut written: Vec<(RowAt, Option<RowAt>)> = Vec::new();
    for part in (0..change.parts()).rev().map(|part| change.part(pages, part)) {
        let rows = part.rows.iter().rev().filter_map(|row| row.after.map(|after| (after, row.before)));
        written.extend(rows.take(ASKED - written.len()));
        if written.len() == ASKED {
            break;
        }
    }
    let mut best: Option<(i64, &str)> = None;
    for (row, before) in written {
        let read = |row: RowAt, state: u32| {
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

/// Microseconds from 1601, with which Windows and WebKit begin to count, to 1970.
const SINCE_1601: i64 = 11_644_473_600_000_000;

/// The Julian day of 1970 (<https://www.sqlite.org/lang_datefunc.html>).
const JULIAN_1970: f64 = 2_440_587.5;

/// A value as a moment: text with a date and a time; seconds, milliseconds, microseconds or nanoseconds since 1970;
/// microseconds since 1601 (WebKit) or tenths of them (Windows); a Julian day. Which of them a number is, its length tells
/// for all moments from 1990 to 2100. Where it counts from a later year it is taken for an earlier moment, which bounds less.
fn moment(value: &Value<'_>, encoding: TextEncoding) -> Option<i64> {
    let micros = match value {
        Value::Text(bytes) => moments::parse(&encoding.decode(bytes)?)?,
        Value::Int(number @ 100_000_000..10_000_000_000) => number * 1_000_000,
        Value::Int(number @ 100_000_000_000..10_000_000_000_000) => number * 1000,
        Value::Int(number @ 100_000_000_000_000..10_000_000_000_000_000) => *number,
        Value::Int(number @ 12_000_000_000_000_000..16_000_000_000_000_000) => number - SINCE_1601,
        Value::Int(number @ 120_000_000_000_000_000..160_000_000_000_000_000) => number / 10 - SINCE_1601,
        Value::Int(number @ 600_000_000_000_000_000..4_200_000_000_000_000_000) => number / 1000,
        Value::Real(number) if (1e8..1e10).contains(number) => (number * 1e6) as i64,
        // A day with its fraction is told to about 40 microseconds: to the millisecond before it.
        Value::Real(number) if (2_447_892.5..2_490_000.0).contains(number) && number.fract() != 0.0 => {
            ((number - JULIAN_1970) * 86_400_000.0).floor() as i64 * 1000
        }
        _ => return None,
    };
    (micros >= FIRST).then_some(micros)
}

#[cfg(test)]
mod tests {
    use super::moment;
    use mudlark_parsers::value::{TextEncoding, Value};

    #[test]
    fn one_moment_is_told_in_all_forms_in_which_applications_write_it() {
        let of = |value: &Value<'_>| moment(value, TextEncoding::Utf8);
        let micros = 1_763_640_000_000_000;
        let numbers = [
            1_763_640_000,
            1_763_640_000_000,
            1_763_640_000_000_000,
            1_763_640_000_000_000_000,
            13_408_113_600_000_000,
            134_081_136_000_000_000,
        ];
        for number in numbers {
            assert_eq!(of(&Value::Int(number)), Some(micros), "{number}");
        }
        assert_eq!(of(&Value::Text(b"2025-11-20 12:00:00")), Some(micros));
        assert_eq!(of(&Value::Real(1_763_640_000.0)), Some(micros));
        let julian = of(&Value::Real(2_461_000.25)).map(|told| told - micros);
        assert_eq!(julian, Some(21_600_000_000));
        // Counts, amounts and numbers of orders are none, nor is a day without a time of day.
        for number in [0, 17, 99_999_999, i64::MAX, 11_000_000_000_000_000] {
            assert_eq!(of(&Value::Int(number)), None, "{number}");
        }
        assert_eq!([2_461_000.0, 12.5, f64::NAN].map(|number| of(&Value::Real(number))), [None; 3]);
    }
}
