//! Tables: one incarnation each, with its schema as far as it is known.

use super::Cell;

/// Number of a table within a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// How the schema of a table came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOrigin {
    /// Read from the store's own catalogue.
    Catalogue,
    /// Found in remnants of the catalogue: free space, pages that no longer hang in its tree, a log.
    Remnant,
    /// Given by the user.
    Given,
    /// Unknown: only the shape of the rows tells it.
    Shape,
}

impl SchemaOrigin {
    /// The origin in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Catalogue => "catalogue",
            Self::Remnant => "remnant",
            Self::Given => "given",
            Self::Shape => "shape",
        }
    }
}

/// A column of a table's rows, in the order in which rows are put out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; `c0…` when unknown.
    pub name: String,
    /// Whether it is the hidden key (an `INTEGER PRIMARY KEY`): a row counts as full without it.
    pub hidden_key: bool,
}

/// SQL of the store that is issued anew for the output.
#[derive(Clone, Debug, Default)]
pub struct SchemaText {
    /// The DDL as found.
    pub found: Option<String>,
    /// What was changed in it for the output, and why.
    pub changes: Vec<String>,
}

/// A table: one incarnation.
#[derive(Clone, Debug)]
pub struct Table {
    /// Database or schema it belongs to, in stores that have such.
    pub namespace: Option<String>,
    /// The original name; `None` when no trace of it survives.
    pub name: Option<String>,
    /// The name that stands in the output: the original one, or `lost_N`.
    pub label: String,
    /// The columns of its rows.
    pub columns: Vec<Column>,
    /// How the schema is known.
    pub origin: SchemaOrigin,
    /// Its DDL.
    pub schema: SchemaText,
    /// Makes the table in the output, under a given name; `None`: columns without types.
    pub create: Option<TableDdl>,
    /// Plain indexes to make once the rows are in.
    pub indexes: Vec<IndexText>,
    /// Internal bookkeeping of the engine, as `sqlite_sequence`.
    pub internal: bool,
}

impl Table {
    /// Whether a user means this table by a name: its own or that in the output.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        is(&self.label) || self.name.as_deref().is_some_and(is)
    }

    /// Whether nothing but a hidden key is missing from a row.
    #[must_use]
    pub fn is_full(&self, cells: &[Cell<'_>]) -> bool {
        are_full(&self.columns, cells)
    }
}

/// Whether nothing but a hidden key is missing from a row of these columns.
#[must_use]
pub fn are_full(columns: &[Column], cells: &[Cell<'_>]) -> bool {
    columns.iter().zip(cells).all(|(column, cell)| column.hidden_key || cell.is_whole())
}

/// A table's definition, that a sink can issue under a name of its choice.
///
/// Outputs are SQLite databases, so definitions are held in SQLite's terms; a store with another dialect translates
/// into them.
#[derive(Clone, Debug)]
pub struct TableDdl {
    /// Columns, keys and constraints.
    pub parsed: mudlark_parsers::sqlite::ddl::TableDdl,
}

/// An index of a table.
#[derive(Clone, Debug)]
pub struct IndexText {
    /// Its name.
    pub name: String,
    /// The DDL as found.
    pub found: String,
    /// What it says.
    pub parsed: mudlark_parsers::sqlite::ddl::IndexDdl,
}
