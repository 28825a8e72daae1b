//! What the records of a tree look like: how many values they have, and which kinds of value never stand in a column.

use mudlark_parsers::sqlite::ddl::{self, Affinity, IndexField, Statement, TableDdl};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::SchemaRow;
use mudlark_parsers::sqlite::serial::SerialKind;

/// Kinds of value, a bit each.
const NULL: u64 = 1;
const NUMBER: u64 = 2;
const TEXT: u64 = 4;
const BLOB: u64 = 8;

/// Bits for a column.
const BITS: usize = 4;

/// Columns whose kinds are known.
const COLUMNS: usize = u64::BITS as usize / BITS;

/// What a definition says of its records; nothing is known by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Values of a record; 0 where that is not known.
    columns: u16,
    /// The kinds that a column never holds, for the first columns.
    never: u64,
}

/// How a record agrees with a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agrees {
    Wholly,
    /// It has fewer values, as those have that were written before a column was added.
    Fewer,
    Not,
}

impl Shape {
    /// Of the rows of a table.
    pub(super) fn of_table(table: &TableDdl) -> Self {
        let stored = table.stored_columns();
        Self::of(stored.iter().map(|column| never(table, *column, table.rowid_alias == Some(*column))))
    }

    /// Of the entries of an index; nothing is known of one that no statement made.
    pub(super) fn of_index(row: &SchemaRow, table: &TableDdl) -> Self {
        let Some(Ok(Statement::Index(index))) = row.sql.as_deref().map(|sql| ddl::read(sql.as_bytes()))
        else {
            return Self::default();
        };
        let fields = ddl::index_fields(table, &ddl::resolve(&index, table).parts);
        Self::of(fields.iter().map(|field| match field {
            IndexField::Rowid => NULL | TEXT | BLOB,
            IndexField::Column(column) if table.rowid_alias == Some(*column) => NULL | TEXT | BLOB,
            IndexField::Column(column) => never(table, *column, false),
            IndexField::Expression => 0,
        }))
    }

    fn of(columns: impl Iterator<Item = u64>) -> Self {
        columns.enumerate().fold(Self::default(), |shape, (at, never)| Self {
            columns: shape.columns.saturating_add(1),
            never: if at < COLUMNS { shape.never | never << (BITS * at) } else { shape.never },
        })
    }

    /// How the record with which a payload begins agrees with it; `None` where there is none.
    pub(super) fn agrees(self, payload: &[u8]) -> Option<Agrees> {
        let header = record::header_only(payload).ok()?;
        if self.columns == 0 {
            return Some(Agrees::Wholly);
        }
        let found = header.columns;
        let bit = |kind: SerialKind| match kind {
            SerialKind::Null => NULL,
            SerialKind::Int | SerialKind::Real => NUMBER,
            SerialKind::Text => TEXT,
            SerialKind::Blob => BLOB,
            SerialKind::Reserved => 0,
        };
        let kinds = header.serials().take(COLUMNS).map(|serial| bit(serial.kind()));
        let wrong = kinds.enumerate().any(|(at, kind)| self.never >> (BITS * at) & kind != 0);
        Some(if wrong || found > usize::from(self.columns) {
            Agrees::Not
        } else if found < usize::from(self.columns) {
            Agrees::Fewer
        } else {
            Agrees::Wholly
        })
    }
}

/// The kinds of value that a column never holds.
fn never(table: &TableDdl, column: usize, is_alias: bool) -> u64 {
    if is_alias {
        // The row id itself stands before the record.
        return NUMBER | TEXT | BLOB;
    }
    let Some(column) = table.columns.get(column) else { return 0 };
    let null = if column.not_null { NULL } else { 0 };
    null | match column.affinity {
        Affinity::Text => NUMBER,
        // What can't be read as a number stays as it is.
        Affinity::Blob | Affinity::Numeric | Affinity::Integer | Affinity::Real => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::{Agrees, Shape};
    use mudlark_parsers::sqlite::ddl::{self, Statement};

    fn shape(sql: &str) -> Shape {
        let Ok(Statement::Table(table)) = ddl::read(sql.as_bytes()) else { panic!("no table: {sql}") };
        Shape::of_table(&table)
    }

    #[test]
    fn a_text_column_holds_no_number_and_a_row_id_is_stored_as_null() {
        let shape = shape("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n INTEGER NOT NULL)");
        assert_eq!(shape.agrees(&[4, 0, 15, 1, b'a', 7]), Some(Agrees::Wholly));
        assert_eq!(shape.agrees(&[4, 1, 15, 1, 9, b'a', 7]), Some(Agrees::Not), "a row id in the record");
        assert_eq!(shape.agrees(&[4, 0, 1, 1, 9, 7]), Some(Agrees::Not), "a number in a text column");
        assert_eq!(shape.agrees(&[4, 0, 15, 0, b'a']), Some(Agrees::Not), "no value where one must be");
    }

    #[test]
    fn rows_from_before_a_column_was_added_have_fewer_values() {
        let shape = shape("CREATE TABLE t(a, b)");
        assert_eq!(shape.agrees(&[2, 1, 7]), Some(Agrees::Fewer));
        assert_eq!(shape.agrees(&[4, 1, 1, 1, 7, 7, 7]), Some(Agrees::Not));
    }
}
