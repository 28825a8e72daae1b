//! The DDL that SQLite keeps in `sqlite_schema.sql`, read from untrusted text.
//!
//! [`read`] takes one whole `CREATE` statement and is strict: the text must be UTF-8, of sane size and nesting, and
//! pass SQLite's grammar. [`read_cut`] takes what a damaged page left of one and says by
//! [`TableDdl::complete`] whether the end was there. Both give the same model. Nothing here is ever executed;
//! [`create_table`] and [`create_index`] write plain statements anew from the model.
//!
//! Facts: <https://www.sqlite.org/lang_createtable.html>, <https://www.sqlite.org/lang_createindex.html>,
//! <https://www.sqlite.org/datatype3.html>, <https://www.sqlite.org/withoutrowid.html>.

mod affinity;
mod column;
mod constraint;
mod cursor;
mod default;
mod extent;
mod fault;
mod grammar;
mod index;
mod key;
mod quote;
mod reissue;
mod script;
mod statement;
mod table;
mod token;

pub use affinity::{Affinity, apply_affinity};
pub use default::DefaultValue;
pub use extent::statement_length;
pub use fault::DdlFault;
pub use grammar::MAX_LENGTH;
pub use index::{IndexDdl, IndexField, RawIndex, index_fields, resolve};
pub use key::{KeyPart, RawKeyPart};
pub use quote::quote_identifier;
pub use reissue::{Reissued, create_index, create_table};
pub use script::split_statements;
pub use statement::{Statement, read, read_cut};
pub use table::{Column, Generated, Reference, TableDdl};

#[cfg(test)]
mod hostile_tests;
