//! The tables in `temp`, and the rows that are loaded into them.

use super::{Key, Patch, Row, Table, Way};
use crate::model::Cell;
use crate::sql::literal;
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use mudlark_parsers::value::TextEncoding;
use rusqlite::types::ValueRef;
use std::fmt::Write;

pub(super) fn begin(patch: &Patch<'_, '_>, sql: &mut String) {
    sql.push_str("\nBEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\n");
    for name in ["check", "verdict", "done", "sure", "sequence", "links"] {
        let _ = writeln!(sql, "DROP TABLE IF EXISTS temp.mudlark_{name};");
    }
    let _ = writeln!(
        sql,
        "CREATE TEMP TABLE mudlark_check(what TEXT, holds INTEGER);\n\
         CREATE TEMP TABLE mudlark_verdict(holds INTEGER, start INTEGER,\n  CONSTRAINT {} CHECK(holds IS 1));\n\
         CREATE TEMP TABLE mudlark_done(holds INTEGER, CONSTRAINT {} CHECK(holds IS 1));\n\
         CREATE TEMP TABLE mudlark_sure(holds INTEGER, CONSTRAINT {} CHECK(holds IS 1));\n\
         CREATE TEMP TABLE mudlark_sequence(name TEXT, now INTEGER, \"then\" INTEGER, found INTEGER);\n\
         CREATE TEMP TABLE mudlark_links(name TEXT, broken INTEGER);",
        quoted(&format!("{}: the answers above say why", patch.refusal)),
        quoted(&format!("{}: it did not come out as intended", patch.refusal)),
        quoted(&format!("{}: what came out could not be compared", patch.refusal)),
    );
    for (number, table) in patch.tables.iter().enumerate() {
        let columns: String = table.columns.iter().map(|column| format!(", c{}", column.place)).collect();
        let key: String = match &table.key {
            Key::Rowid(_) => "k".to_owned(),
            Key::Columns(places) => {
                places.iter().map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ")
            }
        };
        for side in ["now", "then"] {
            let name = format!("mudlark_{side}_{number}");
            let _ = writeln!(
                sql,
                "DROP TABLE IF EXISTS temp.{name};\nCREATE TEMP TABLE {name}(n INTEGER PRIMARY KEY, way INTEGER, \
                 k{columns});\nCREATE INDEX temp.{name}_key ON {name}({key});"
            );
        }
    }
    sql.push('\n');
}

/// What is to be done with a row in `now`: it stays, or it is removed; in `then`: it is updated, added, updated late.
pub(super) const STAYS: u8 = 0;
pub(super) const GOES: u8 = 1;
pub(super) const ADDED: u8 = 1;
pub(super) const LATE: u8 = 2;

/// Loads a row; says whether it holds bytes that mean text in the evidence's encoding only.
pub(super) fn load(
    sql: &mut String,
    number: usize,
    table: &Table<'_, '_>,
    row: &Row<'_, '_>,
    encoding: TextEncoding,
    n: u64,
) -> bool {
    let of_now = if row.then.is_none() || row.way == Way::Anew { GOES } else { STAYS };
    let of_then = match (row.now, row.way) {
        (None, _) | (_, Way::Anew) => ADDED,
        (_, Way::Update) => STAYS,
        (_, Way::Parked) => LATE,
    };
    let mut raw = false;
    for (side, row, way) in [("now", row.now, of_now), ("then", row.then, of_then)] {
        let Some(row) = row else { continue };
        let _ = write!(sql, "INSERT INTO temp.mudlark_{side}_{number} VALUES({n},{way},");
        match row.rowid {
            Some(rowid) => {
                let _ = write!(sql, "{rowid}");
            }
            None => sql.push_str("NULL"),
        }
        for column in &table.columns {
            sql.push(',');
            raw |= put_cell(sql, row.cells.get(column.place).unwrap_or(&Cell::Null), encoding);
        }
        sql.push_str(");\n");
    }
    raw
}

/// A cell as a literal; says whether it is text whose bytes are not valid.
pub(crate) fn put_cell(sql: &mut String, cell: &Cell<'_>, encoding: TextEncoding) -> bool {
    match cell {
        Cell::Null | Cell::Missing | Cell::Partial(_) => literal::put(sql, ValueRef::Null),
        Cell::Int(value) => literal::put(sql, ValueRef::Integer(*value)),
        Cell::Real(value) => literal::put(sql, ValueRef::Real(*value)),
        Cell::Blob(bytes) => literal::put(sql, ValueRef::Blob(bytes)),
        Cell::Text(bytes) => match encoding.decode(bytes) {
            Some(text) => literal::put(sql, ValueRef::Text(text.as_bytes())),
            None => {
                // As SQLite reads a BLOB that is cast to text: in the encoding of the database.
                sql.push_str("CAST(");
                literal::put(sql, ValueRef::Blob(bytes));
                sql.push_str(" AS TEXT)");
                return true;
            }
        },
    }
    false
}
