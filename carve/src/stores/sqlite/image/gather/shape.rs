//! What the records of a tree look like: how many values they have, and which kinds of value never stand in a column.

use super::order::{Keys, Order};
use mudlark_parsers::sqlite::ddl::{Affinity, IndexField, TableDdl};
use mudlark_parsers::sqlite::record;
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    /// Values of a record; 0 where that is not known.
    columns: u16,
    /// The least that a record may have.
    least: u16,
    /// The kinds that a column never holds, for the first columns.
    never: u64,
    /// The kinds that a column may hold and seldom does.
    seldom: u64,
    /// How entries are ordered.
    pub order: Order,
}

/// The kinds of value that a column never holds, and those that it may hold and seldom does.
#[derive(Clone, Copy, Debug, Default)]
struct Kinds {
    never: u64,
    seldom: u64,
}

/// Of a row id.
const ROWID: Kinds = Kinds { never: NULL | TEXT | BLOB, seldom: 0 };

/// How a record agrees with a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agrees {
    Wholly,
    /// It has fewer values, as those have that were written before a column was added, or a value of a kind that its column may
    /// hold and seldom does.
    Barely,
    Not,
}

impl Shape {
    /// Of the rows of a table.
    pub(super) fn of_table(table: &TableDdl, keys: Keys) -> Self {
        let stored = table.stored_columns();
        let kinds = |column: &usize| kinds(table, *column, table.rowid_alias == Some(*column));
        let shape = Self::of(stored.iter().map(kinds));
        // Rows lack columns that were added behind them.
        let is_first = |column: &usize| !may_be_added(table, *column);
        let least = stored.iter().rposition(is_first).map_or(1, |last| last + 1);
        let order =
            if table.without_rowid { Order::of(&table.primary_key, 0, keys) } else { Order::default() };
        Self { least: u16::try_from(least).unwrap_or(shape.columns), order, ..shape }
    }

    /// Of the entries of an index, which all hold these fields; nothing is known of one without any.
    pub(super) fn of_index(table: &TableDdl, fields: &[IndexField], order: Order) -> Self {
        let shape = Self::of(fields.iter().map(|field| match field {
            IndexField::Rowid => ROWID,
            IndexField::Column(column) if table.rowid_alias == Some(*column) => ROWID,
            IndexField::Column(column) => kinds(table, *column, false),
            IndexField::Expression => Kinds::default(),
        }));
        Self { least: shape.columns, order, ..shape }
    }

    fn of(columns: impl Iterator<Item = Kinds>) -> Self {
        let at = |bits: u64, column: usize| if column < COLUMNS { bits << (BITS * column) } else { 0 };
        columns.enumerate().fold(Self::default(), |shape, (column, kinds)| Self {
            columns: shape.columns.saturating_add(1),
            least: 0,
            never: shape.never | at(kinds.never, column),
            seldom: shape.seldom | at(kinds.seldom, column),
            order: Order::default(),
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
        let any = |of: u64| kinds.clone().enumerate().any(|(at, kind)| of >> (BITS * at) & kind != 0);
        let (least, most) = (usize::from(self.least), usize::from(self.columns));
        Some(if !(least..=most).contains(&found) || any(self.never) {
            Agrees::Not
        } else if found < most || any(self.seldom) {
            Agrees::Barely
        } else {
            Agrees::Wholly
        })
    }
}

fn kinds(table: &TableDdl, column: usize, is_alias: bool) -> Kinds {
    if is_alias {
        // The row id itself stands before the record.
        return Kinds { never: NUMBER | TEXT | BLOB, seldom: 0 };
    }
    let Some(column) = table.columns.get(column) else { return Kinds::default() };
    let null = if column.not_null { NULL } else { 0 };
    match column.affinity {
        Affinity::Text => Kinds { never: null | NUMBER, seldom: 0 },
        // What can't be read as a number stays as it is.
        Affinity::Integer | Affinity::Real => Kinds { never: null, seldom: TEXT | BLOB },
        Affinity::Blob | Affinity::Numeric => Kinds { never: null, seldom: 0 },
    }
}

/// Whether a column may have been added to a table that had rows: it is in no key, and NULL or its default stands for it in those.
fn may_be_added(table: &TableDdl, column: usize) -> bool {
    let keys = table.uniques.iter().chain([&table.primary_key]);
    let in_key = keys.flatten().any(|part| part.column == Some(column));
    let Some(column) = table.columns.get(column) else { return true };
    !in_key && column.generated.is_none() && (!column.not_null || column.default.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::order::Keys;
    use super::{Agrees, Shape};
    use mudlark_parsers::sqlite::ddl::{self, Statement};
    use mudlark_parsers::value::TextEncoding;

    fn shape(sql: &str) -> Shape {
        let Ok(Statement::Table(table)) = ddl::read(sql.as_bytes()) else { panic!("no table: {sql}") };
        Shape::of_table(&table, Keys { descends: true, encoding: TextEncoding::Utf8 })
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
        assert_eq!(shape.agrees(&[2, 1, 7]), Some(Agrees::Barely));
        assert_eq!(shape.agrees(&[4, 1, 1, 1, 7, 7, 7]), Some(Agrees::Not));
    }
}
