//! Why a text is not taken for a statement.

use std::fmt;

/// Why [`super::read`] refused a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DdlFault {
    /// The bytes from here on are not UTF-8.
    NotUtf8 {
        /// Offset in the text.
        at: usize,
    },
    /// Longer than [`super::MAX_LENGTH`].
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Nested deeper, or with more terms in one expression, than the grammar is trusted with.
    TooDeep {
        /// Offset in the text where the limit was passed.
        at: usize,
    },
    /// More list items, or words in a type name, than the grammar is trusted with.
    TooMany {
        /// Offset in the text where the limit was passed.
        at: usize,
    },
    /// Not a `CREATE` statement of a kind that a schema holds.
    NotCreate,
    /// `CREATE TABLE … AS SELECT`: the text doesn't name the columns. SQLite never stores this form.
    AsSelect,
    /// Against SQLite's grammar.
    Syntax {
        /// What the grammar said.
        message: String,
    },
}

impl fmt::Display for DdlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { at } => write!(f, "not UTF-8 at byte {at:#x}"),
            Self::TooLong { length } => {
                write!(f, "{length} bytes long, expected at most {}", super::MAX_LENGTH)
            }
            Self::TooDeep { at } => write!(f, "nested too deep at byte {at:#x}"),
            Self::TooMany { at } => write!(f, "too many items at byte {at:#x}"),
            Self::NotCreate => f.write_str("not a CREATE statement"),
            Self::AsSelect => f.write_str("CREATE TABLE … AS SELECT doesn't name its columns"),
            Self::Syntax { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for DdlFault {}
