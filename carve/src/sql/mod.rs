//! SQL that others run: values as literals, and statements that change rows under guard.

pub(crate) mod constraints;
pub mod literal;
pub mod patch;
