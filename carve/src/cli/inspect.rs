//! `mudlark inspect`.

use super::{Common, Exit, gather};
use crate::error::Error;
use crate::source::Source;
use crate::stores::{self, Place};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The file
    #[arg(value_name = "SOURCE")]
    source: PathBuf,
    /// The page with this number
    #[arg(long, value_name = "N", conflicts_with = "offset")]
    page: Option<u32>,
    /// The page that holds this offset; 0x… for hex
    #[arg(long, value_name = "X", value_parser = offset)]
    offset: Option<u64>,
    #[command(flatten)]
    pub(super) common: Common,
}

fn offset(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text} is no offset: give bytes, as 8192 or 0x2000"))
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let source = Source::open(&arguments.source)?;
    let Some((store, _)) = stores::recognise(&source) else {
        eprintln!("mudlark: {}: {}", arguments.source.display(), gather::describe(&source));
        return Ok(Exit::Nothing);
    };
    let place = match (arguments.page, arguments.offset) {
        (Some(page), _) => Place::Page(page),
        (None, Some(offset)) => Place::Offset(offset),
        (None, None) => Place::Header,
    };
    gather::check_logs(&arguments.common)?;
    let mut refused = Vec::new();
    let sources = gather::with_sidecars(store, source, &arguments.common, &mut refused);
    for error in &refused {
        eprintln!("mudlark: {error}");
    }
    super::put(&store.inspect(&sources, place)?)?;
    Ok(if refused.is_empty() { Exit::Done } else { Exit::InPart })
}
