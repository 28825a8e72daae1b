//! The database as it stood behind a commit of its log.

use super::commits::Commits;
use super::pages::{Pages, Seen};
use super::timeline::encoding_at;
use super::walk::Walk;
use crate::error::Error;
use crate::model::{Point, Replayed, Until};
use crate::source::{Source, SourceId};
use crate::stores::sqlite::belongs::Judged;
use crate::stores::sqlite::database::Roles;
use crate::stores::sqlite::detect;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::{header, wal};
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
    let path = || sources.first().map(|source| source.path().to_owned()).unwrap_or_default();
    let refused = |reason: String| Error::Replay { path: path(), reason };
    let roles = Roles::of(sources);
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    let put = |out: &mut dyn Write, bytes: &[u8]| {
        let failed = |error| Error::Output { path: PathBuf::from(output), what: "can't be written", error };
        out.write_all(bytes).map_err(failed)
    };
    if until == Until::Checkpoint {
        let main = roles.main.map(bytes).ok_or_else(|| refused("the main file is not there".to_owned()))?;
        put(out, main)?;
        return Ok(Replayed { point: None, pages: 0, from_log: 0, behind: 0 });
    }
    let (id, log) = match roles.log.map(|id| (id, wal::wal(bytes(id)))) {
        Some((id, Ok(log))) => (id, log),
        Some((_, Err(_))) => return Err(refused("the header of its log is broken or missing".to_owned())),
        None => return Err(refused("no write-ahead log: there is no point but `checkpoint`".to_owned())),
    };
    let detected = roles.main.and_then(|main| detect::detect(bytes(main)));
    let geometry =
        detected.map_or(Geometry { page_size: log.header.page_size, reserved: 0 }, |found| found.geometry);
    if geometry.page_size != log.header.page_size {
        return Err(refused(format!(
            "the log is of another database: its pages are of {} bytes, those of the database of {}",
            log.header.page_size, geometry.page_size
        )));
    }
    let judged = Judged::of(sources, &roles, Some((id, &log))).filter(Judged::is_left_out);
    if let Some(told) = judged.as_ref().and_then(Judged::told) {
        return Err(refused(told));
    }
    let commits = Commits::of(&log);
    let pages = Pages::of(sources, roles.main, (id, &log), geometry, &commits);
    let state = state_of(&pages, until).ok_or_else(|| refused(no_such_point(&pages, until)))?;
    let count =
        page_count(&pages, state).ok_or_else(|| refused("how many pages it had is lost".to_owned()))?;
    let lost: Vec<u32> = (1..=count).filter(|page| matches!(pages.at(*page, state), Seen::Unknown)).collect();
    if !lost.is_empty() {
        return Err(refused(unreachable(&pages, state, until, &lost)));
    }
    let zeros = vec![0; geometry.page_size as usize];
    let mut from_log = 0;
    for page in 1..=count {
        match pages.at(page, state).image() {
            Some(image) => {
                from_log += u64::from(image.source == id);
                put(out, image.bytes)?;
            }
            // Counted and never written: a free page. A file system gives zeros for it.
            None => put(out, &zeros)?,
        }
    }
    let behind = pages.last() - state;
    let point = if state == pages.before_current() { Point::Commit(0) } else { pages.point(state) };
    Ok(Replayed { point: Some(point), pages: count.into(), from_log, behind: behind.into() })
}

/// The state behind a point.
fn state_of(pages: &Pages<'_>, until: Until) -> Option<u32> {
    match until {
        Until::Checkpoint => None,
        Until::Last => (pages.last() > pages.before_current()).then_some(pages.last()),
        Until::Point(Point::BeforeLog | Point::Commit(0)) => Some(pages.before_current()),
        Until::Point(point) => (1..=pages.last()).find(|state| pages.point(*state) == point),
    }
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

fn no_such_point(pages: &Pages<'_>, until: Until) -> String {
    let name = |state: u32| pages.point(state).to_string();
    let held = match (pages.before_current(), pages.last()) {
        (_, 0) => "its log holds no commit".to_owned(),
        (before, last) if before == last => "its log holds no commit of the current generation".to_owned(),
        (before, last) => {
            let older = if before > 0 {
                format!(", and of an older one {} to {}", name(1), name(before))
            } else {
                String::new()
            };
            format!("its log holds commit:0 to {}{older}", name(last))
        }
    };
    format!("{until}: no such point; {held}")
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
