//! What a CREATE INDEX says about the records of its b-tree.

use super::key::{KeyPart, RawKeyPart};
use super::table::TableDdl;

/// A CREATE INDEX statement, its columns known by name only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawIndex {
    /// The index's name, quotes removed.
    pub name: String,
    /// The table's name, quotes removed.
    pub table: String,
    /// UNIQUE.
    pub unique: bool,
    /// The key as written.
    pub parts: Vec<RawKeyPart>,
    /// It has a WHERE clause: not every row is in it.
    pub partial: bool,
    /// The key was there to its end. When not, there may have been further parts and a WHERE clause.
    pub complete: bool,
}

/// An index whose columns are known by their position in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexDdl {
    /// The index's name, quotes removed.
    pub name: String,
    /// The table's name, quotes removed.
    pub table: String,
    /// UNIQUE.
    pub unique: bool,
    /// The key.
    pub parts: Vec<KeyPart>,
    /// It has a WHERE clause: not every row is in it.
    pub partial: bool,
    /// The key was there to its end.
    pub complete: bool,
}

/// What a position of an index record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IndexField {
    /// The value of this column; for the rowid alias that is the rowid, not NULL.
    Column(usize),
    /// The value of an expression, or of a column that the table doesn't have.
    Expression,
    /// The rowid of the row.
    Rowid,
}

/// Finds the index's columns in its table.
#[must_use]
pub fn resolve(index: &RawIndex, table: &TableDdl) -> IndexDdl {
    IndexDdl {
        name: index.name.clone(),
        table: index.table.clone(),
        unique: index.unique,
        parts: index.parts.iter().map(|part| table.resolve_part(part)).collect(),
        partial: index.partial,
        complete: index.complete,
    }
}

/// What each position of an index record holds: the key, then what leads to the row. That is the rowid, or for a
/// WITHOUT ROWID table those parts of its primary key that are not yet in the index under the same collation
/// (<https://www.sqlite.org/fileformat2.html>, section 2.5).
#[must_use]
pub fn index_fields(table: &TableDdl, parts: &[KeyPart]) -> Vec<IndexField> {
    let field = |part: &KeyPart| part.column.map_or(IndexField::Expression, IndexField::Column);
    let mut fields: Vec<IndexField> = parts.iter().map(field).collect();
    if table.without_rowid {
        let missing = table.primary_key.iter().filter(|key| !parts.iter().any(|part| part.same_key(key)));
        fields.extend(missing.map(field));
    } else {
        fields.push(IndexField::Rowid);
    }
    fields
}
