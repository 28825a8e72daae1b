//! What the bytes of damaged stores mean.
//!
//! Parsers here take any bytes and never fail, panic or loop: they return what they read and a list of
//! [`damage::Damage`]. Nothing in this crate does I/O, starts threads, asks the time or is `unsafe`.

pub mod bytes;
pub mod claim;
pub mod damage;
pub mod short_list;
pub mod sqlite;
pub mod value;
