//! Counted numbers of the confidence model. Written by `mudlark-fixtures count`; not to be edited.

use super::Counted;

/// Name of the model.
pub const MODEL: &str = "not yet counted";

/// Counts by combination, sorted by key.
pub(super) const COUNTED: &[Counted] = &[];
