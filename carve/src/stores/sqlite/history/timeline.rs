//! The transactions that a log holds, with what each did.

use super::commits::{self, Commits, Held, LogCommit};
use super::dated;
use super::files::Files;
use super::pages::Pages;
use super::point::{self, States};
use super::walk::{SchemaAct, Step, TableChange, Walk};
use crate::error::Error;
use crate::model::{Bound, Commit, CommitState, History, RowCounts, SchemaEvent};
use crate::source::{Source, SourceId};
use crate::stores::sqlite::belongs::Judged;
use crate::stores::sqlite::database::Roles;
use crate::stores::sqlite::detect::{self, Detected};
use crate::stores::sqlite::unused;
use crate::words::{count, grouped_count};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::journal;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::wal;
use mudlark_parsers::value::TextEncoding;
use rayon::prelude::*;
use std::collections::HashMap;

/// As many deleted rows of one table in one commit as stand out: few programs delete so many at a time on purpose. So do as
/// many that were updated, when they are all.
const BULK: u64 = 100;

/// What the generation of the log is called that SQLite reads.
const CURRENT: &str = "current";

/// What the log in `sources` tells.
pub(in super::super) fn read(sources: &[Source]) -> Result<History, Error> {
    let roles = Roles::of(sources);
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    let name = |id: SourceId| sources.get(usize::from(id.0)).map_or("", Source::name);
    let detected = roles.main.and_then(|main| detect::detect(bytes(main)));
    let mut history = History::default();
    let log = roles.log.map(|id| (id, wal::wal(bytes(id))));
    let Some((id, Ok(log))) = log else {
        history.what = "SQLite database".to_owned();
        let unused = log.and_then(|(id, log)| unused::why(name(id), bytes(id), log.as_ref(), None));
        if unused.is_none() || roles.journal.is_some() {
            of_journal(sources, &roles, detected.as_ref(), &mut history);
        }
        history.notes.extend(unused);
        return Ok(history);
    };
    let geometry = detected
        .as_ref()
        .map_or(Geometry { page_size: log.header.page_size, reserved: 0 }, |detected| detected.geometry);
    history.what = format!("SQLite database, pages of {} bytes", geometry.page_size);
    if let Some(unused) = unused::why(name(id), bytes(id), Ok(&log), Some(geometry.page_size)) {
        history.notes.push(unused);
        return Ok(history);
    }
    let judged = Judged::of(sources, &roles, Some((id, &log)));
    history.notes.extend(judged.as_ref().and_then(Judged::told));
    if judged.as_ref().is_some_and(Judged::is_left_out) {
        return Ok(history);
    }
    let commits = Commits::of(&log);
    let pages = Pages::of(sources, roles.main, (id, &log), geometry, &commits);
    let (files, counted) = (Files::of(sources, &roles, id), pages.counted_in_main());
    let mut told = told(&pages, &files);
    let older = commits.older.iter().flatten();
    for (commit, current) in
        older.map(|c| (c, false)).chain(commits.current.iter().chain(&commits.open).map(|c| (c, true)))
    {
        let mut told = commit.point.and_then(|point| told.remove(&point)).unwrap_or_default();
        let not_after = files.not_after(commit, current, counted);
        // The clock that told the rows was ahead of the one that told the file.
        let ahead = |from: &Bound| not_after.as_ref().is_some_and(|end| from.micros > end.micros);
        told.not_before = told.not_before.filter(|from| !ahead(from));
        history.commits.push(listed(commit, current, log.torn, told, not_after));
    }
    let from_rows = history.commits.iter().filter_map(|commit| Some(commit.not_before.as_ref()?.micros));
    let began = files.log_began(&pages, from_rows.max());
    let own = history.commits.iter_mut().filter(|commit| commit.generation == CURRENT);
    for commit in own.filter(|_| began.is_some()) {
        let micros = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.micros);
        if micros(&commit.not_before) < micros(&began) {
            commit.not_before.clone_from(&began);
        }
    }
    // A later commit is not before an earlier one.
    let mut latest: Option<Bound> = None;
    for commit in &mut history.commits {
        match (&commit.not_before, &latest) {
            (Some(own), Some(before)) if own.micros < before.micros => commit.not_before = latest.clone(),
            (None, _) => commit.not_before.clone_from(&latest),
            _ => latest.clone_from(&commit.not_before),
        }
    }
    notes(&mut history, &commits, &log, &pages);
    history.notes.extend(judged.as_ref().and_then(Judged::caution));
    Ok(history)
}

/// Lists the transaction of a rollback journal: one that is hot was never committed, of one whose header is zeroed the
/// last that was. Without such a journal, or where it tells nothing, the reason is noted.
fn of_journal(sources: &[Source], roles: &Roles, detected: Option<&Detected>, history: &mut History) {
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    let none = || "no write-ahead log and no journal of use: nothing tells of single commits".to_owned();
    let Some(id) = roles.journal else {
        history.notes.push(none());
        return;
    };
    let (Some(main), Some(detected)) = (roles.main, detected) else {
        history.notes.push("the main file is not there, without which a journal tells nothing".to_owned());
        return;
    };
    let geometry = detected.geometry;
    history.what = format!("SQLite database, pages of {} bytes, with a rollback journal", geometry.page_size);
    let mut commit = Commit {
        point: None,
        generation: "journal".to_owned(),
        state: CommitState::Committed,
        records: None,
        damaged: 0,
        pages: 0,
        page_count: None,
        change_counter: None,
        rows: None,
        schema: Vec::new(),
        not_before: None,
        not_after: Files::of(sources, roles, id).log_written(),
    };
    match States::of_journal(sources, main, id, geometry) {
        None => {
            history.notes.push(none());
            return;
        }
        Some(Err(why)) => {
            history.notes.push(why);
            commit.pages = journal::last_records(bytes(id), geometry.page_size).len() as u64;
            if commit.pages == 0 {
                return;
            }
        }
        Some(Ok(states)) => {
            let pages = &states.pages;
            history.notes.extend(states.notes.iter().cloned());
            if states.told == point::Told::Hot {
                commit.state = CommitState::InDoubt;
                history.notes.push(
                    "the journal is hot: SQLite would roll its transaction back; `replay --until last` gives the state \
                     after that, `--until checkpoint` the one before"
                        .to_owned(),
                );
            } else {
                history.notes.push(
                    "the journal's last transaction committed; `replay --until commit:0` gives the state before it, \
                     `--until last` the one behind"
                        .to_owned(),
                );
            }
            let last = commit.not_after.as_ref().map_or(i64::MAX, |bound| bound.micros);
            let mut walk = Walk::begin(pages, encoding_at(pages, 0));
            let told = told_of(pages, &mut walk, 1, last).unwrap_or_default();
            (commit.pages, commit.page_count) = (pages.written(1).count() as u64, Some(pages.main_pages));
            (commit.rows, commit.schema) = (told.rows, told.schema);
            (commit.change_counter, commit.not_before) = (told.change_counter, told.not_before);
        }
    }
    history.commits.push(commit);
}

/// What following the pages told of a commit.
#[derive(Debug, Default)]
struct Told {
    rows: Option<Vec<RowCounts>>,
    schema: Vec<SchemaEvent>,
    not_before: Option<Bound>,
    change_counter: Option<u32>,
}

/// Follows all commits.
fn told(pages: &Pages<'_>, files: &Files<'_>) -> HashMap<crate::model::Point, Told> {
    let mut all = HashMap::new();
    let mut walk = Walk::begin(pages, encoding_at(pages, 0));
    let last = files.log_written().map_or(i64::MAX, |bound| bound.micros);
    for state in 1..=pages.last() {
        let Some(told) = told_of(pages, &mut walk, state, last) else { break };
        all.insert(pages.point(state), told);
    }
    all
}

pub(super) fn header_at(pages: &Pages<'_>, state: u32) -> Option<Header> {
    let first = pages.at_or_later(1, state).image()?;
    header::header(first.bytes).ok().map(|(_, header)| header)
}

pub(super) fn encoding_at(pages: &Pages<'_>, state: u32) -> TextEncoding {
    header_at(pages, state).as_ref().and_then(Header::text_encoding).unwrap_or_default()
}

/// Follows the commit that made a state; `None` when more would have to be read than it could need. No moment after
/// `last` is believed.
fn told_of(pages: &Pages<'_>, walk: &mut Walk<'_, '_>, state: u32, last: i64) -> Option<Told> {
    let step = walk.step(state);
    if walk.overrun {
        return None;
    }
    let mut told = Told { schema: step.schema.iter().map(event).collect(), ..Told::default() };
    told.rows =
        Some(counted(pages, state, walk, &step)).filter(|rows| !rows.is_empty() || !walk.hides_definitions());
    let encoding = encoding_at(pages, state);
    for change in &step.tables {
        let Some(object) = walk.objects.get(change.object) else { continue };
        let bound = dated::latest(pages, state, object, change, encoding, last);
        if bound.as_ref().map(|bound| bound.micros) > told.not_before.as_ref().map(|bound| bound.micros) {
            told.not_before = bound;
        }
    }
    if pages.is_written_by(1, state) {
        told.change_counter = header_at(pages, state).map(|header| header.change_counter);
    }
    Some(told)
}

pub(super) fn event(change: &super::walk::SchemaChange) -> SchemaEvent {
    let (what, from) = match &change.what {
        SchemaAct::Created => ("created", None),
        SchemaAct::Dropped => ("dropped", None),
        SchemaAct::Altered => ("altered", None),
        SchemaAct::Renamed(from) => ("renamed", Some(from.clone())),
    };
    SchemaEvent { what, kind: change.kind.name().to_owned(), name: change.name.clone(), from }
}

/// The rows that a commit changed, by table.
fn counted(pages: &Pages<'_>, state: u32, walk: &Walk<'_, '_>, step: &Step) -> Vec<RowCounts> {
    let mut all = Vec::new();
    for change in step.tables.iter().filter(|change| change.object > 0) {
        let Some(object) = walk.objects.get(change.object) else { continue };
        let mut counts = RowCounts {
            table: object.name.clone(),
            internal: object.name.to_ascii_lowercase().starts_with("sqlite_"),
            ..RowCounts::default()
        };
        count_rows(pages, change, &mut counts);
        let is_hidden = change.is_empty() && change.read.known == [false; 2];
        counts.exact = counts.unknown == 0 && !object.broken && !is_hidden;
        counts.bulk = counts.deleted >= BULK;
        counts.emptied =
            counts.deleted > 0 && (object.died == Some(state) || is_empty(pages, object.root, state));
        counts.all_updated = counts.updated >= BULK
            && counts.exact
            && walk.holds_no_more(change.object, state, counts.inserted + counts.updated);
        if is_hidden || counts.inserted + counts.updated + counts.deleted + counts.unknown > 0 {
            all.push(counts);
        }
    }
    all.sort_by(|a, b| a.table.cmp(&b.table));
    all
}

fn count_rows(pages: &Pages<'_>, change: &TableChange, counts: &mut RowCounts) {
    let [before_known, after_known] = change.read.known;
    let of_part = |part: usize| {
        let mut found = [0_u64; 4];
        for row in &change.part(pages, part).rows {
            let kind = match (row.before, row.after) {
                (Some(_), Some(_)) => 0,
                (None, Some(_)) if before_known => 1,
                (Some(_), None) if after_known => 2,
                _ => 3,
            };
            if let Some(count) = found.get_mut(kind) {
                *count += 1;
            }
        }
        found
    };
    let add = |a: [u64; 4], b: [u64; 4]| std::array::from_fn(|kind| a[kind] + b[kind]);
    let parts = (0..change.parts()).into_par_iter().map(of_part);
    [counts.updated, counts.inserted, counts.deleted, counts.unknown] = parts.reduce(|| [0; 4], add);
}

/// Whether a tree holds no row: its root is a leaf without cells.
fn is_empty(pages: &Pages<'_>, root: u32, state: u32) -> bool {
    let version = pages.at(root, state).image();
    let page = version.and_then(|version| Page::parse(version.bytes, root, pages.geometry));
    page.is_some_and(|page| !page.header.kind.is_interior() && page.header.cell_count == 0)
}

fn listed(commit: &LogCommit, current: bool, torn: bool, told: Told, not_after: Option<Bound>) -> Commit {
    let state = match commit.held {
        Held::Whole => CommitState::Committed,
        Held::TailOnly => CommitState::PartlyOverwritten,
        Held::Open if current && torn && commit.unsound > 0 => CommitState::Torn,
        Held::Open => CommitState::InDoubt,
    };
    let [first, second] = commit.salts;
    Commit {
        point: commit.point,
        generation: if current { CURRENT.to_owned() } else { format!("g{first:08x}-{second:08x}") },
        state,
        records: Some(commit.frames),
        damaged: if commit.held == Held::TailOnly { 0 } else { commit.unsound },
        pages: commit.pages.len() as u64,
        page_count: (commit.page_count > 0).then_some(commit.page_count),
        change_counter: told.change_counter,
        rows: told.rows,
        schema: told.schema,
        not_before: told.not_before,
        not_after,
    }
}

fn notes(history: &mut History, found: &Commits, log: &wal::Wal, pages: &Pages<'_>) {
    let (current, older) = (found.current.len() as u64, found.older.len() as u64);
    let mut what = vec![format!("{} in the log", grouped_count(current, "commit"))];
    if older > 0 {
        what.push(format!("remnants of {}", count(older, "older generation")));
    }
    history.what.push_str(&format!(", {}", what.join(", ")));
    if log.torn {
        let at = log.damage.last().map(|damage| format!(" at {:#x}", damage.at)).unwrap_or_default();
        history.notes.push(format!(
            "the log is torn or damaged{at}: commits behind that are told as torn or in doubt, and SQLite reads none of them"
        ));
    }
    let unproved = found.current.get(found.proved..).unwrap_or_default();
    let first = unproved.first().and_then(|commit| commit.point);
    if let Some(which) = first.zip(unproved.last().and_then(|commit| commit.point)) {
        let at = log.damage.first().map(|damage| damage.at);
        history.notes.push(commits::beyond(which.into(), unproved.len() as u64, at));
    }
    let short = pages.told_short();
    let lost = if short.is_some() { 0 } else { pages.lost_bases() };
    history.notes.extend(short);
    if lost > 0 {
        history.notes.push(format!(
            "of {} that commits wrote the main file no longer holds what was before them, since a checkpoint may have \
             copied them: what the first of these commits did to their rows is not known",
            grouped_count(lost, "page")
        ));
    }
    if history.commits.iter().any(|commit| commit.not_before.is_some() || commit.not_after.is_some()) {
        history.notes.push(
            "SQLite writes no time into its log: the intervals follow from file times, which a copy may have lost, and from \
             times in the rows as far as the application set them to the time of writing"
                .to_owned(),
        );
    }
}
