//! Rows of `sqlite_schema` (section 2.6).

use crate::value::{TextEncoding, Value};

/// Columns of `sqlite_schema`.
pub const COLUMNS: usize = 5;

/// One row of `sqlite_schema`.
///
/// | column | field      | note                              |
/// |-------:|------------|-----------------------------------|
/// |      0 | `kind`     | table, index, view or trigger     |
/// |      1 | `name`     |                                   |
/// |      2 | `table`    | the table it belongs to           |
/// |      3 | `root`     | root page; 0 or NULL without one  |
/// |      4 | `sql`      | NULL for automatic indexes        |
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct SchemaRow {
    pub kind: SchemaKind,
    pub name: String,
    pub table: String,
    pub root: Option<u32>,
    pub sql: Option<String>,
}

/// What a row of `sqlite_schema` describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaKind {
    /// A table, virtual ones too.
    Table,
    /// An index.
    Index,
    /// A view.
    View,
    /// A trigger.
    Trigger,
}

impl SchemaKind {
    /// The kind that `sqlite_schema.type` names.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text {
            "table" => Some(Self::Table),
            "index" => Some(Self::Index),
            "view" => Some(Self::View),
            "trigger" => Some(Self::Trigger),
            _ => None,
        }
    }

    /// The kind, as `sqlite_schema.type` names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Index => "index",
            Self::View => "view",
            Self::Trigger => "trigger",
        }
    }
}

/// Reads a row of `sqlite_schema` from its cells; `None` when they can't be one. SQL that is not valid text is
/// read as far as it is valid.
#[must_use]
pub fn schema_row(values: &[Value<'_>], encoding: TextEncoding) -> Option<SchemaRow> {
    let text = |value: &Value<'_>| match value {
        Value::Text(bytes) => encoding.decode(bytes).map(String::from),
        _ => None,
    };
    let [kind, name, table, root, sql] = values else { return None };
    let kind = SchemaKind::from_text(&text(kind)?)?;
    let root = match root {
        Value::Int(page) => u32::try_from(*page).ok(),
        _ => None,
    };
    let sql = match sql {
        Value::Text(bytes) => Some(
            encoding.decode(bytes).map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), String::from),
        ),
        _ => None,
    };
    Some(SchemaRow { kind, name: text(name)?, table: text(table)?, root, sql })
}
