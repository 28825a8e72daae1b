//! Findings and losses: what a report says that is not a row.

use super::TableId;
use mudlark_parsers::damage::Damage;

/// Damage or an anomaly: where, which field, which rule, found and expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Number of the source, when it concerns one.
    pub source: Option<crate::source::SourceId>,
    /// The page, when it concerns one.
    pub page: Option<u32>,
    /// Offset in the source, in bytes.
    pub offset: Option<u64>,
    /// The structure and field.
    pub field: String,
    /// The broken rule.
    pub rule: &'static str,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl Finding {
    /// A finding from a parser's damage, in a source, with `offset` the place of what was parsed.
    #[must_use]
    pub fn from_damage(
        damage: &Damage,
        source: crate::source::SourceId,
        page: Option<u32>,
        offset: u64,
    ) -> Self {
        Self {
            source: Some(source),
            page,
            offset: Some(offset.saturating_add(damage.at)),
            field: damage.field.to_owned(),
            rule: damage.kind.rule(),
            found: damage.kind.found(),
            expected: damage.kind.expected(),
        }
    }

    /// A finding about the store as a whole.
    #[must_use]
    pub fn note(field: &str, rule: &'static str, found: String, expected: String) -> Self {
        Self { source: None, page: None, offset: None, field: field.to_owned(), rule, found, expected }
    }
}

/// How sure a loss is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// Something names the row, and the row is not there.
    Proved,
    /// Rows may have stood there.
    Possible,
}

/// Rows of a table that are missing, on one basis. Losses on several bases overlap: they are never added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The table; `None` when unknown.
    pub table: Option<TableId>,
    /// Proved or possible.
    pub kind: LossKind,
    /// Rows.
    pub rows: u64,
    /// What tells so.
    pub basis: String,
}
