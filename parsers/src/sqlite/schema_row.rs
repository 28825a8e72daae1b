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

    /// The kind that a damaged `sqlite_schema.type` named: the one that the statement creates, or the one whose name has
    /// one other letter.
    fn from_damaged(text: &str, sql: Option<&str>) -> Option<Self> {
        let words = sql.into_iter().flat_map(|sql| sql.split_ascii_whitespace().take(3));
        let words: Vec<String> = words.map(str::to_ascii_lowercase).collect();
        let created = words.split_first().filter(|(first, _)| *first == "create");
        let created = created.and_then(|(_, rest)| rest.iter().find_map(|word| Self::from_text(word)));
        let is_near = |kind: &&Self| {
            let name = kind.name();
            name.len() == text.chars().count()
                && name.chars().zip(text.chars()).filter(|(a, b)| a != b).count() == 1
        };
        let near = [Self::Table, Self::Index, Self::View, Self::Trigger].iter().find(is_near).copied();
        near.filter(|near| created.is_none_or(|created| created == *near))
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
/// read as far as it is valid, and so is a name beside SQL.
#[must_use]
pub fn schema_row(values: &[Value<'_>], encoding: TextEncoding) -> Option<SchemaRow> {
    let text = |value: &Value<'_>| match value {
        Value::Text(bytes) => encoding.decode(bytes).map(String::from),
        _ => None,
    };
    let lossy = |value: &Value<'_>| match value {
        Value::Text(bytes) => Some(encoding.decode_lossy(bytes)),
        _ => None,
    };
    let [kind, name, table, root, sql] = values else { return None };
    let sql = lossy(sql);
    let kind = lossy(kind)?;
    let kind = SchemaKind::from_text(&kind).or_else(|| SchemaKind::from_damaged(&kind, sql.as_deref()))?;
    let root = match root {
        Value::Int(page) => u32::try_from(*page).ok(),
        _ => None,
    };
    let told = |value: &Value<'_>| if sql.is_some() { lossy(value) } else { text(value) };
    Some(SchemaRow { kind, name: told(name)?, table: told(table)?, root, sql })
}

#[cfg(test)]
mod tests {
    use super::{SchemaKind, schema_row};
    use crate::value::{TextEncoding, Value};

    fn kind(text: &[u8], sql: &str) -> Option<SchemaKind> {
        let name = Value::Text(b"t");
        let values = [Value::Text(text), name, name, Value::Int(2), Value::Text(sql.as_bytes())];
        schema_row(&values, TextEncoding::Utf8).map(|row| row.kind)
    }

    #[test]
    fn a_type_with_one_wrong_letter_is_told_by_the_others_unless_the_statement_creates_something_else() {
        assert_eq!(kind(b"tabme", "CREATE TABLE t(a)"), Some(SchemaKind::Table));
        assert_eq!(kind(b"inde\xf8", "CREATE UNIQUE INDEX i ON t(a)"), Some(SchemaKind::Index));
        assert_eq!(kind(b"tabme", "CREATE INDEX i ON t(a)"), None);
        assert_eq!(kind(b"tabms", "CREATE TABLE t(a)"), None);
    }

    #[test]
    fn a_name_that_is_no_text_is_read_beside_a_statement_and_alone_makes_no_row() {
        let row = |sql| {
            let name = Value::Text(b"person\xf3");
            let values = [Value::Text(b"table"), name, Value::Text(b"persons"), Value::Int(2), sql];
            schema_row(&values, TextEncoding::Utf8)
        };
        assert_eq!(row(Value::Text(b"CREATE TABLE persons(a)")).map(|row| row.table), Some("persons".into()));
        assert_eq!(row(Value::Null), None);
    }
}
