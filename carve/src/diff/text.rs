//! What differs, for a person.

use super::{Counts, Named, key};
use crate::model::{Became, Between, Cell, ColumnDelta, RowDelta, SchemaDelta, TableDelta};
use crate::words::{grouped, grouped_count};
use mudlark_parsers::value::TextEncoding;
use std::fmt::Write;

/// Rows of a table that are shown; a person reads no more.
pub(super) const MOST_ROWS: usize = 20;

/// Characters of a value that are shown.
const MOST_CHARACTERS: usize = 60;

/// Pages that are named when they are lost.
const MOST_PAGES: usize = 8;

/// The counts of each table, with their first rows where they are given.
pub(super) fn summary(
    between: &Between,
    named: Named<'_>,
    counts: &[Counts],
    rows: Option<&[Vec<String>]>,
) -> String {
    let mut text = String::new();
    let [from, to] = between.points;
    let _ = writeln!(text, "{}: {}, from {from} to {to}", printable(named.instance), between.what);
    for delta in &between.schema {
        let _ = writeln!(text, "  {}", of_schema(delta));
    }
    let mut any = !between.schema.is_empty();
    for (number, (table, counts)) in between.tables.iter().zip(counts).enumerate() {
        if counts.is_empty() || table.internal {
            continue;
        }
        any = true;
        let _ = writeln!(text, "  {}: {}", printable(table.name()), of_counts(counts));
        let Some(rows) = rows.and_then(|rows| rows.get(number)) else { continue };
        for row in rows {
            let _ = writeln!(text, "    {row}");
        }
        let all: u64 = counts.values().sum();
        let further = all.saturating_sub(rows.len() as u64);
        if further > 0 {
            let _ =
                writeln!(text, "    and {}; --format jsonl shows all", grouped_count(further, "further row"));
        }
    }
    let of_engine = between.tables.iter().zip(counts).filter(|(table, _)| table.internal);
    let of_engine: u64 = of_engine.flat_map(|(_, counts)| counts.values()).sum();
    if of_engine > 0 {
        any = true;
        let _ = writeln!(text, "  the engine's own tables: {}", grouped_count(of_engine, "row"));
    }
    if !any && between.is_known() {
        text.push_str("  no difference\n");
    }
    for line in lost(between) {
        let _ = writeln!(text, "  lost    {line}");
    }
    text
}

fn of_schema(delta: &SchemaDelta) -> String {
    let event = &delta.event;
    let from = event.from.as_deref().map(|from| format!(", before {}", printable(from)));
    format!("{} {} {}{}", event.what, event.kind, printable(&event.name), from.unwrap_or_default())
}

fn of_counts(counts: &Counts) -> String {
    let part = |(became, count): (&Became, &u64)| match became {
        Became::Unknown => {
            format!("{} of which one side is lost", grouped_count(*count, "row"))
        }
        became => format!("{} {}", grouped(*count), became.name()),
    };
    counts.iter().map(part).collect::<Vec<_>>().join(", ")
}

/// What is lost, by table and point.
fn lost(between: &Between) -> Vec<String> {
    let mut lines = Vec::new();
    let why = |what: &str| match between.is_short {
        true => format!("neither the main file nor the log has {what}, or not as they were then"),
        false => format!("a later checkpoint has overwritten {what}, or may have"),
    };
    for (point, name) in between.points.iter().enumerate() {
        if between.schema_known.get(point) == Some(&false) {
            lines.push(format!("definitions at {name}: {}", why("them")));
        }
        for table in between.tables.iter().filter(|table| table.known.get(point) == Some(&false)) {
            let pages = table.lost.get(point).map_or(&[][..], Vec::as_slice);
            let numbers: Vec<String> = pages.iter().take(MOST_PAGES).map(u32::to_string).collect();
            let more = match pages.len().saturating_sub(MOST_PAGES) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let table = printable(table.name());
            lines.push(if pages.is_empty() {
                format!("rows of {table} at {name}: which of its pages it had then is not known for sure")
            } else {
                let why = why(&format!("pages {}{more}", numbers.join(", ")));
                format!("rows of {table} at {name}: {why}")
            });
        }
    }
    lines
}

/// A row on one line.
pub(super) fn row(
    between: &Between,
    table: &TableDelta,
    columns: &[ColumnDelta<'_>],
    row: &RowDelta<'_>,
) -> String {
    let encoding = between.encoding;
    let value =
        |cell: Option<&Cell<'_>>| cell.map_or_else(|| "nothing".to_owned(), |cell| shown(cell, encoding));
    let sign = match row.became {
        Became::Added => '+',
        Became::Changed => '~',
        Became::Removed => '-',
        Became::Unknown => '?',
    };
    let rowid = [&row.after, &row.before].into_iter().flatten().find_map(|row| row.rowid);
    let key = rowid.map_or_else(
        || key(table, row).into_iter().map(|cell| shown(cell, encoding)).collect::<Vec<_>>().join(", "),
        |rowid| rowid.to_string(),
    );
    let both = row.before.is_some() && row.after.is_some();
    let parts = columns.iter().filter_map(|column| {
        let ([before, after], name) = (column.cells(row), printable(column.name));
        if both {
            column.differs(row).then(|| format!("{name} {} -> {}", value(before), value(after)))
        } else {
            before.or(after).map(|cell| format!("{name} {}", shown(cell, encoding)))
        }
    });
    format!("{sign} {key}: {}", parts.collect::<Vec<_>>().join(", "))
}

/// A cell on one line, cut where it is long.
#[must_use]
pub fn shown(cell: &Cell<'_>, encoding: TextEncoding) -> String {
    let cut = |text: &str| {
        let kept: String = text.chars().take(MOST_CHARACTERS).collect();
        let more = if kept.len() < text.len() { "…" } else { "" };
        (kept, more)
    };
    match cell {
        Cell::Null => "NULL".to_owned(),
        Cell::Int(value) => value.to_string(),
        Cell::Real(value) => format!("{value:?}"),
        Cell::Text(bytes) => match encoding.decode(bytes) {
            Some(text) => {
                let (kept, more) = cut(&text);
                format!("'{}{more}'", printable(&kept))
            }
            None => {
                let digits = hex::encode(bytes);
                let (kept, more) = cut(&digits);
                format!("invalid text x'{kept}{more}'")
            }
        },
        Cell::Blob(bytes) => {
            let head = bytes.get(..bytes.len().min(MOST_CHARACTERS / 2)).unwrap_or_default();
            let more = if head.len() < bytes.len() {
                format!("… ({})", grouped_count(bytes.len() as u64, "byte"))
            } else {
                String::new()
            };
            format!("x'{}'{more}", hex::encode(head))
        }
        Cell::Missing => "(lost)".to_owned(),
        Cell::Partial(_) => "(lost in part)".to_owned(),
    }
}

/// Text from the evidence, safe for a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
