//! The files of an image, written out, with a manifest of where their bytes lie.

mod dfxml;
mod files;
mod lines;
mod names;

pub use dfxml::dfxml;
pub use files::{put, write};
pub use lines::line;
pub use names::names;

/// The manifest as DFXML.
pub const DFXML: &str = "manifest.xml";

/// The manifest as JSON lines.
pub const LINES: &str = "manifest.jsonl";
