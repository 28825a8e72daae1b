//! Versions of a page outside of the main file, for a person.

use super::belongs::Judged;
use super::database::Roles;
use super::open::beside;
use crate::source::{Source, SourceId};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::{journal, wal};

/// What a log and a journal among the sources hold of the page.
pub(super) fn versions(sources: &[Source], geometry: Geometry, page: u32) -> Vec<String> {
    let roles = Roles::of(sources);
    let source = |id: SourceId| sources.get(usize::from(id.0));
    let mut found = Vec::new();
    let log = roles.log.and_then(|id| Some((id, source(id)?)));
    let read = log.and_then(|(id, log)| Some((id, wal::wal(log.bytes()).ok()?)));
    let judged = Judged::of(sources, &roles, read.as_ref().map(|(id, log)| (*id, log)));
    match judged.filter(Judged::is_left_out) {
        Some(judged) => found.extend(judged.told()),
        None => found.extend(log.and_then(|(_, log)| in_log(log, geometry, page))),
    }
    let journal = roles.journal.and_then(|id| in_journal(sources, id, source(id)?, geometry, page));
    found.extend(journal);
    found
}

fn in_log(source: &Source, geometry: Geometry, page: u32) -> Option<String> {
    let log = wal::wal(source.bytes()).ok().filter(|log| log.header.page_size == geometry.page_size)?;
    let (committed, rest) = log.frames.split_at_checked(log.committed)?;
    let of_page = |frames: &[wal::Frame]| frames.iter().rfind(|frame| frame.page == page).copied();
    let name = source.name();
    if let Some(frame) = of_page(committed) {
        let (number, commit, at) = (frame.number, frame.commit_number, frame.offset);
        return Some(format!(
            "{name} holds a newer version of this page: frame {number} of commit {commit}, page at {at:#x}"
        ));
    }
    let frame = of_page(rest)?;
    let (number, at) = (frame.number, frame.offset);
    Some(format!(
        "{name} holds a version of this page that no commit followed: frame {number}, page at {at:#x}"
    ))
}

fn in_journal(
    sources: &[Source],
    id: SourceId,
    source: &Source,
    geometry: Geometry,
    page: u32,
) -> Option<String> {
    let journal = journal::journal(source.bytes()).ok()?;
    let counts = journal.header.page_size == geometry.page_size
        && journal.super_journal.as_ref().is_none_or(|name| beside(sources, id, name));
    let record = journal.records.iter().find(|record| counts && record.page == page)?;
    Some(format!(
        "{} holds this page as it was before the unfinished transaction, at {:#x}; a rollback puts it back",
        source.name(),
        record.offset
    ))
}
