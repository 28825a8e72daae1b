//! The SQLite file format, and the files beside a database.
//!
//! Facts are from <https://www.sqlite.org/fileformat2.html> unless a comment names another source.

pub mod cell;
pub mod ddl;
pub mod former;
pub mod freeblock_chain;
pub mod freed;
pub mod freed_entry;
pub mod freelist;
pub mod geometry;
pub mod header;
pub mod journal;
pub mod page;
pub mod probe;
pub mod ptrmap;
pub mod record;
pub mod regions;
pub mod salvage;
pub mod schema_row;
pub mod serial;
pub mod serial_list;
pub mod shm;
pub mod spill;
pub mod stale_pointers;
pub mod statement_journal;
pub mod varint;
pub mod wal;
