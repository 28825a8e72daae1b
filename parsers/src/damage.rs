//! Damage: which field broke which rule, and where.

use std::fmt;

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// The field holds a number outside of what the format allows.
    OutOfRange {
        /// What stands there.
        found: u64,
        /// The least that may stand there.
        least: u64,
        /// The most that may stand there.
        most: u64,
    },
    /// The field disagrees with what follows from other bytes.
    Mismatch {
        /// What stands there.
        found: u64,
        /// What was computed.
        expected: u64,
    },
    /// The bytes end before the field does.
    Truncated {
        /// Bytes that the field needs.
        need: u64,
        /// Bytes that are there.
        have: u64,
    },
    /// A pointer leads to where the walk has already been.
    Loop {
        /// The page that comes again.
        page: u64,
    },
    /// Two owners name the same bytes.
    SharedBy {
        /// The other owner: a page number.
        page: u64,
    },
    /// Bytes that no structure accounts for.
    Unaccounted {
        /// How many.
        bytes: u64,
    },
    /// A pointer leads to bytes that are not what it promises.
    NotA {
        /// What should stand there.
        expected: &'static str,
    },
}

/// A broken rule: the field, where it stands, and how it is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The structure and field, as `btree_page.cell_count`.
    pub field: &'static str,
    /// Offset of the field, in bytes from the start of what was parsed.
    pub at: u64,
    /// The broken rule.
    pub kind: DamageKind,
}

impl Damage {
    /// Damage of `field` at `at`.
    #[must_use]
    pub const fn new(field: &'static str, at: u64, kind: DamageKind) -> Self {
        Self { field, at, kind }
    }

    /// The same damage, placed in a larger whole.
    #[must_use]
    pub const fn shifted(self, base: u64) -> Self {
        Self { at: self.at.wrapping_add(base), ..self }
    }
}

impl DamageKind {
    /// The rule's short name.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::OutOfRange { .. } => "out_of_range",
            Self::Mismatch { .. } => "mismatch",
            Self::Truncated { .. } => "truncated",
            Self::Loop { .. } => "loop",
            Self::SharedBy { .. } => "shared",
            Self::Unaccounted { .. } => "unaccounted",
            Self::NotA { .. } => "not_a",
        }
    }

    /// What was found, in words.
    #[must_use]
    pub fn found(self) -> String {
        match self {
            Self::OutOfRange { found, .. } | Self::Mismatch { found, .. } => found.to_string(),
            Self::Truncated { have, .. } => bytes(have),
            Self::Loop { page } => format!("page {page} again"),
            Self::SharedBy { page } => format!("also named by page {page}"),
            Self::Unaccounted { bytes: number } => bytes(number),
            Self::NotA { .. } => "something else".to_owned(),
        }
    }

    /// What was expected, in words.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::OutOfRange { least, most, .. } => format!("{least} to {most}"),
            Self::Mismatch { expected, .. } => expected.to_string(),
            Self::Truncated { need, .. } => bytes(need),
            Self::Loop { .. } => "a page not visited yet".to_owned(),
            Self::SharedBy { .. } => "one owner".to_owned(),
            Self::Unaccounted { .. } => "none".to_owned(),
            Self::NotA { expected } => expected.to_owned(),
        }
    }
}

fn bytes(number: u64) -> String {
    if number == 1 { "1 byte".to_owned() } else { format!("{number} bytes") }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (found, expected) = (self.kind.found(), self.kind.expected());
        write!(f, "{} at {:#x}: found {found}, expected {expected}", self.field, self.at)
    }
}
