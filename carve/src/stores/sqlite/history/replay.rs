//! The database as it stood behind a commit of its log.

use super::pages::{Pages, Seen};
use super::point::{States, refused};
use super::timeline::encoding_at;
use super::walk::Walk;
use crate::error::Error;
use crate::model::{Replayed, Until};
use crate::source::Source;
use crate::stores::sqlite::database::Roles;
use mudlark_parsers::sqlite::header;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Pages of a table that are named when they are lost; a person reads no more.
const MOST_NAMED: usize = 8;

/// Writes the pages of a point, unless one of them is lost: then nothing is written.
pub(in super::super) fn write(
    sources: &[Source],
    until: Until,
    output: &Path,
    out: &mut dyn Write,
) -> Result<Replayed, Error> {
    let put = |out: &mut dyn Write, bytes: &[u8]| {
        let failed = |error| Error::Output { path: PathBuf::from(output), what: "can't be written", error };
        out.write_all(bytes).map_err(failed)
    };
    if until == Until::Checkpoint {
        let main = Roles::of(sources).main.and_then(|id| sources.get(usize::from(id.0)));
        let main = main.ok_or_else(|| refused(sources, "the main file is not there".to_owned()))?;
        put(out, main.bytes())?;
        return Ok(Replayed { point: None, pages: 0, from_log: 0, behind: 0 });
    }
    let states = States::of(sources)?;
    let refused = |reason| refused(sources, reason);
    let state = states.find(until)?;
    let pages = &states.pages;
    let count =
        page_count(pages, state).ok_or_else(|| refused("how many pages it had is lost".to_owned()))?;
    let lost: Vec<u32> = (1..=count).filter(|page| matches!(pages.at(*page, state), Seen::Unknown)).collect();
    if !lost.is_empty() {
        return Err(refused(unreachable(pages, state, until, &lost)));
    }
    let zeros = vec![0; pages.geometry.page_size as usize];
    let mut from_log = 0;
    for page in 1..=count {
        match pages.at(page, state).image() {
            Some(image) => {
                from_log += u64::from(image.source == states.log);
                put(out, image.bytes)?;
            }
            // Counted and never written: a free page. A file system gives zeros for it.
            None => put(out, &zeros)?,
        }
    }
    let behind = pages.last() - state;
    Ok(Replayed { point: Some(states.point(state)), pages: count.into(), from_log, behind: behind.into() })
}

/// Pages of the database in a state: what the commit says, or page 1 before the first.
fn page_count(pages: &Pages<'_>, state: u32) -> Option<u32> {
    let commit = (state as usize).checked_sub(1).and_then(|index| pages.commits.get(index));
    if let Some(commit) = commit {
        // No more than what the files hold, and the free pages between.
        return Some(commit.page_count).filter(|count| *count <= pages.most().saturating_mul(2));
    }
    let stated = pages.at(1, state).image().and_then(|first| header::header(first.bytes).ok());
    let stated = stated.and_then(|(_, header)| header.believed_page_count());
    // SQLite leaves the main file as long as it is.
    Some(stated.unwrap_or(0).max(pages.main_pages)).filter(|count| *count <= pages.most())
}

/// Why a point can't be reached: the pages that are lost, by table.
fn unreachable(pages: &Pages<'_>, state: u32, until: Until, lost: &[u32]) -> String {
    let mut walk = Walk::begin(pages, encoding_at(pages, 0));
    for state in 1..=state {
        walk.step(state);
    }
    let mut by_table: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for page in lost {
        let name = walk.object_of(*page).map_or_else(|| "no table that is known".to_owned(), str::to_owned);
        by_table.entry(name).or_default().push(*page);
    }
    let named = by_table.iter().map(|(table, pages)| {
        let numbers: Vec<String> = pages.iter().take(MOST_NAMED).map(u32::to_string).collect();
        let more = if pages.len() > MOST_NAMED {
            format!(" and {} more", pages.len() - MOST_NAMED)
        } else {
            String::new()
        };
        format!("{table} (pages {}{more})", numbers.join(", "))
    });
    format!(
        "{until} can't be reached: a later checkpoint has overwritten {} pages that it needs, or may have, and no frame \
         of the log holds them: {}",
        lost.len(),
        named.collect::<Vec<_>>().join("; ")
    )
}
