//! Whether a record's shape fits a table: by rule, and by what the table's other rows look like.

use super::catalogue::{Catalogue, IndexDef, TableDef};
use mudlark_parsers::sqlite::ddl::{Affinity, Column, IndexField};
use mudlark_parsers::sqlite::record::RecordHeader;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use std::collections::HashMap;

/// How a record fits a table's DDL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It breaks a rule that SQLite keeps.
    No,
    /// It keeps the rules, with cells that are rare: text in a numeric column, columns left out.
    Odd,
    /// It fits.
    Yes,
}

/// Fits a record against a table by rule.
pub(super) fn fit(header: &RecordHeader<'_>, table: &TableDef) -> Fit {
    if header.columns > table.stored.len() && table.ddl.complete {
        return Fit::No;
    }
    let mut fit = if header.columns < table.stored.len() { Fit::Odd } else { Fit::Yes };
    for (serial, column) in header.serials().zip(&table.stored) {
        fit = fit.min(fit_cell(serial, *column, table));
        if fit == Fit::No {
            return Fit::No;
        }
    }
    // SQLite only leaves out columns that were added later, and a key column never was.
    let left_out = table.stored.get(header.columns..).unwrap_or_default();
    let required = left_out.iter().any(|column| {
        table.ddl.columns.get(*column).is_some_and(|column| column.not_null && column.default.is_none())
            || table.ddl.rowid_alias == Some(*column)
    });
    if required { Fit::No } else { fit }
}

/// Fits a record against an index of a table by rule.
pub(super) fn fit_entry(header: &RecordHeader<'_>, index: &IndexDef, table: &TableDef) -> Fit {
    if header.columns != index.fields.len() {
        return Fit::No;
    }
    let cells = header.serials().zip(&index.fields).map(|(serial, field)| match field {
        IndexField::Column(column) => fit_key(serial, *column, table),
        IndexField::Rowid if serial.kind() != SerialKind::Int => Fit::No,
        IndexField::Rowid | IndexField::Expression => Fit::Yes,
    });
    cells.min().unwrap_or(Fit::No)
}

/// Whether a record that is too narrow for a table fits another one, or an index, in all of its columns. A row from before
/// columns were added may as well, so this is asked where nothing else says whose it is.
pub(super) fn fits_another(header: &RecordHeader<'_>, table: &TableDef, catalogue: &Catalogue) -> bool {
    if header.columns >= table.stored.len() || !table.ddl.complete {
        return false;
    }
    let is_whole = |other: &&TableDef| {
        other.name != table.name
            && other.without_rowid() == table.without_rowid()
            && other.stored.len() == header.columns
    };
    let mut others = catalogue.tables.iter().filter(is_whole);
    let of_index = |index: &IndexDef| {
        let table = catalogue.tables.get(index.table);
        table.is_some_and(|table| fit_entry(header, index, table) != Fit::No)
    };
    others.any(|other| fit(header, other) == Fit::Yes)
        || table.without_rowid() && catalogue.indexes.iter().any(of_index)
}

/// Fits a key cell of an index: there the row id stands as an integer, and NOT NULL still holds.
pub(super) fn fit_key(serial: Serial, column: usize, table: &TableDef) -> Fit {
    if table.ddl.rowid_alias == Some(column) {
        return if serial.kind() == SerialKind::Int { Fit::Yes } else { Fit::No };
    }
    fit_cell(serial, column, table)
}

pub(super) fn fit_cell(serial: Serial, column: usize, table: &TableDef) -> Fit {
    let kind = serial.kind();
    if table.ddl.rowid_alias == Some(column) {
        // The row id stands in its place; old versions of SQLite stored it here as well.
        return if kind == SerialKind::Null { Fit::Yes } else { Fit::No };
    }
    let Some(column) = table.ddl.columns.get(column) else { return Fit::Odd };
    let any = || column.declared_type.as_ref().is_none_or(|name| name.eq_ignore_ascii_case("ANY"));
    match (kind, column.affinity) {
        (SerialKind::Reserved, _) => Fit::No,
        // A STRICT table takes no value of another kind; a whole number of a REAL column is stored as an integer.
        (SerialKind::Text | SerialKind::Blob, Affinity::Integer | Affinity::Real) if table.ddl.strict => {
            Fit::No
        }
        (SerialKind::Real, Affinity::Integer) | (SerialKind::Blob, Affinity::Text) if table.ddl.strict => {
            Fit::No
        }
        (SerialKind::Int | SerialKind::Real | SerialKind::Text, Affinity::Blob) if table.ddl.strict => {
            if any() { Fit::Yes } else { Fit::No }
        }
        (SerialKind::Null, _) => {
            if column.not_null {
                Fit::No
            } else {
                Fit::Yes
            }
        }
        // Numbers turn to text in a TEXT column.
        (SerialKind::Int | SerialKind::Real, Affinity::Text) => Fit::No,
        (SerialKind::Text | SerialKind::Blob, Affinity::Numeric) if !names_a_number(column) => Fit::Yes,
        (SerialKind::Text, Affinity::Integer | Affinity::Real | Affinity::Numeric)
        | (SerialKind::Real, Affinity::Integer)
        | (SerialKind::Blob, _) => {
            if column.affinity == Affinity::Blob {
                Fit::Yes
            } else {
                Fit::Odd
            }
        }
        _ => Fit::Yes,
    }
}

/// Whether the type of a column of numeric affinity speaks of numbers: names that SQLite does not know, as DATETIME, UUID
/// and JSON, give that affinity as well, and hold any kind of value.
fn names_a_number(column: &Column) -> bool {
    let name = column.declared_type.as_deref().unwrap_or_default().to_ascii_uppercase();
    ["NUM", "DEC", "BOOL", "MONEY", "CURRENCY"].iter().any(|part| name.contains(part))
}

/// What cells of a table look like: counts of features by column.
#[derive(Clone, Debug, Default)]
pub(super) struct Profile {
    counts: HashMap<(u16, u16), u32>,
    rows: u32,
}

/// The feature of a cell that holds nothing.
const NULL: u16 = 0;

/// Columns beyond this say nothing new about the table.
const PROFILE_COLUMNS: usize = 64;

impl Profile {
    /// Takes a row into account.
    pub(super) fn add(&mut self, header: &RecordHeader<'_>, payload: &[u8]) {
        self.rows += 1;
        features(header, payload, |column, feature| {
            *self.counts.entry((column, feature)).or_default() += 1;
        });
    }

    /// How much a row looks like the table's: mean log-likelihood of its cells.
    pub(super) fn likeness(&self, header: &RecordHeader<'_>, payload: &[u8]) -> f64 {
        let (mut sum, mut cells) = (0.0, 0_u32);
        features(header, payload, |column, feature| {
            let seen = f64::from(self.counts.get(&(column, feature)).copied().unwrap_or(0));
            // Half a row for each of some two hundred features: nothing is impossible.
            sum += ((seen + 0.5) / (f64::from(self.rows) + 100.0)).ln();
            cells += 1;
        });
        if cells == 0 { 0.0 } else { sum / f64::from(cells) }
    }

    pub(super) const fn rows(&self) -> u32 {
        self.rows
    }

    /// Whether no row holds anything in this column.
    pub(super) fn has_only_null(&self, column: usize) -> bool {
        let column = u16::try_from(column).unwrap_or(u16::MAX);
        self.counts.get(&(column, NULL)) == Some(&self.rows)
    }

    /// Whether a row holds nothing in this column.
    pub(super) fn has_null(&self, column: usize) -> bool {
        u16::try_from(column).is_ok_and(|column| self.counts.contains_key(&(column, NULL)))
    }
}

/// A feature a cell: its kind, the magnitude of its length, the class of its first character.
fn features(header: &RecordHeader<'_>, payload: &[u8], mut each: impl FnMut(u16, u16)) {
    let mut at = header.len;
    for (column, serial) in header.serials().enumerate().take(PROFILE_COLUMNS) {
        let len = usize::try_from(serial.len()).unwrap_or(usize::MAX);
        let first = payload.get(at).copied().filter(|_| len > 0);
        at = at.saturating_add(len);
        let kind = match serial.kind() {
            SerialKind::Null => 0,
            SerialKind::Int => 1,
            SerialKind::Real => 2,
            SerialKind::Text => 3,
            SerialKind::Blob => 4,
            SerialKind::Reserved => 5,
        };
        let magnitude = (len as u64 + 1).ilog2() as u16;
        let class = match (serial.kind(), first) {
            (SerialKind::Text, Some(byte)) => match byte {
                b'0'..=b'9' => 1,
                b'a'..=b'z' => 2,
                b'A'..=b'Z' => 3,
                0x80.. => 4,
                _ => 5,
            },
            _ => 0,
        };
        each(column as u16, kind * 256 + magnitude * 8 + class);
    }
}

#[cfg(test)]
mod tests {
    use super::super::catalogue::TableDef;
    use super::{Fit, fit_cell};
    use crate::model::SchemaOrigin;
    use mudlark_parsers::sqlite::ddl::{self, Statement};
    use mudlark_parsers::sqlite::serial::Serial;

    const INT: Serial = Serial(4);
    const REAL: Serial = Serial(7);
    const BLOB: Serial = Serial(20);

    /// How a value of this serial type fits each column.
    fn fits(sql: &str, serial: Serial) -> Vec<Fit> {
        let Ok(Statement::Table(ddl)) = ddl::read(sql.as_bytes()) else { panic!("{sql}") };
        let columns = ddl.columns.len();
        let def = TableDef::new("t".to_owned(), ddl, None, SchemaOrigin::Catalogue, sql.to_owned());
        (0..columns).map(|column| fit_cell(serial, column, &def)).collect()
    }

    #[test]
    fn a_strict_table_holds_nothing_but_values_of_its_types() {
        let table = "CREATE TABLE t(i INT, r REAL, t TEXT, b BLOB, a ANY) STRICT";
        assert_eq!(fits(table, INT), [Fit::Yes, Fit::Yes, Fit::No, Fit::No, Fit::Yes]);
        assert_eq!(fits(table, REAL), [Fit::No, Fit::Yes, Fit::No, Fit::No, Fit::Yes]);
        assert_eq!(fits(table, Serial::text(4)), [Fit::No, Fit::No, Fit::Yes, Fit::No, Fit::Yes]);
        assert_eq!(fits(table, BLOB), [Fit::No, Fit::No, Fit::No, Fit::Yes, Fit::Yes]);
    }

    #[test]
    fn only_types_that_speak_of_numbers_rarely_hold_text() {
        let table = "CREATE TABLE t(at DATETIME, id UUID, price DECIMAL(9, 2), done BOOLEAN, n NUMERIC)";
        assert_eq!(fits(table, Serial::text(4)), [Fit::Yes, Fit::Yes, Fit::Odd, Fit::Odd, Fit::Odd]);
        assert_eq!(fits(table, BLOB), [Fit::Yes, Fit::Yes, Fit::Odd, Fit::Odd, Fit::Odd]);
    }
}
