//! A line for each cell that differs, for spreadsheets. Types are not told: NULL is an empty field, an empty text two
//! quotes, and a BLOB its hexadecimal digits.

use super::key;
use crate::model::{Between, Cell, ColumnDelta, RowDelta, TableDelta};
use mudlark_parsers::value::TextEncoding;

/// The first line.
pub(super) const HEAD: &[u8] = b"change,table,key,column,before,after\n";

/// Writes a row.
pub(super) fn row(
    between: &Between,
    table: &TableDelta,
    columns: &[ColumnDelta<'_>],
    row: &RowDelta<'_>,
    out: &mut Vec<u8>,
) {
    let rowid = [&row.after, &row.before].into_iter().flatten().find_map(|row| row.rowid);
    let key = match rowid {
        Some(rowid) => rowid.to_string(),
        None => {
            let parts = key(table, row).into_iter().map(|cell| plain(cell, between.encoding));
            parts.map(Option::unwrap_or_default).collect::<Vec<_>>().join(",")
        }
    };
    for column in columns {
        if row.before.is_some() && row.after.is_some() && !column.differs(row) {
            continue;
        }
        field(row.became.name(), out);
        for text in [table.name(), &key, column.name] {
            out.push(b',');
            field(text, out);
        }
        for cell in column.cells(row) {
            out.push(b',');
            if let Some(text) = cell.and_then(|cell| plain(cell, between.encoding)) {
                field(&text, out);
            }
        }
        out.push(b'\n');
    }
}

/// A cell as text; `None` for NULL, and for what is lost.
fn plain(cell: &Cell<'_>, encoding: TextEncoding) -> Option<String> {
    match cell {
        Cell::Null | Cell::Missing | Cell::Partial(_) => None,
        Cell::Int(value) => Some(value.to_string()),
        Cell::Real(value) => Some(format!("{value:?}")),
        Cell::Text(bytes) => {
            Some(encoding.decode(bytes).map_or_else(|| hex::encode(bytes), std::borrow::Cow::into_owned))
        }
        Cell::Blob(bytes) => Some(hex::encode(bytes)),
    }
}

/// A field of RFC 4180.
pub(crate) fn field(text: &str, out: &mut Vec<u8>) {
    let quoted = text.is_empty() || text.contains(['"', ',', '\n', '\r']);
    if quoted {
        out.push(b'"');
        out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(text.as_bytes());
    }
}
