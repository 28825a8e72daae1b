//! Recovers the rows of damaged stores, each with its evidence and a confidence.
//!
//! Data flows one way: sources ([`source`]) are recognised and opened by a store ([`stores`]), which hands out
//! batches of row versions ([`model`]); these are weighed ([`confidence`]) and written ([`sinks`]). Only [`cli`] knows
//! that there is a terminal.

pub mod assess;
pub mod batch;
pub mod carved;
pub mod cli;
pub mod confidence;
pub mod diff;
pub mod error;
pub mod explain;
pub mod model;
pub mod moments;
pub mod progress;
pub mod recover;
pub mod scan;
pub mod score;
pub mod sinks;
pub mod source;
pub mod sql;
pub mod stores;
pub mod undelete;
pub mod undo;
pub mod versions;
pub mod words;
