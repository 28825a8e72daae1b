//! What happened to a store, transaction by transaction, as its logs tell.

use super::{Point, Until};
use crate::moments;

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitState {
    /// It committed, and all that it wrote is there.
    Committed,
    /// The log ends before it does, or it would be rolled back.
    InDoubt,
    /// It is behind a record that is broken: what wrote it may have committed it, but the store would not read it.
    Torn,
    /// It committed; newer records may have taken the place of its first ones.
    PartlyOverwritten,
}

impl CommitState {
    /// The state, as outputs name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::InDoubt => "in_doubt",
            Self::Torn => "torn",
            Self::PartlyOverwritten => "partly_overwritten",
        }
    }
}

/// What a transaction did to the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// The table, as it was called then.
    pub table: String,
    /// It is the engine's own.
    pub internal: bool,
    /// Rows that were not there before.
    pub inserted: u64,
    /// Rows with other cells than before.
    pub updated: u64,
    /// Rows that are not there any more.
    pub deleted: u64,
    /// Rows of which it is not known whether they were there before, or were left.
    pub unknown: u64,
    /// The counts are those of the rows themselves: nothing is unknown, and no page breaks a rule.
    pub exact: bool,
    /// So many rows were deleted that a person should look.
    pub bulk: bool,
    /// The table has no row left.
    pub emptied: bool,
    /// So many rows were updated, and no row of the table was left as it was.
    pub all_updated: bool,
}

/// A change of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaEvent {
    /// `created`, `dropped`, `altered` or `renamed`.
    pub what: &'static str,
    /// `table`, `index`, `view` or `trigger`.
    pub kind: String,
    /// Its name behind the transaction.
    pub name: String,
    /// Its name before, when that is another.
    pub from: Option<String>,
}

/// An end of an interval of time, and why it can't be further out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Microseconds since 1970 in UTC.
    pub micros: i64,
    /// What says so.
    pub evidence: String,
}

/// One transaction.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its name; `None` when it is no commit.
    pub point: Option<Point>,
    /// What holds it: `current`, the name of an older generation of a log, or `journal`.
    pub generation: String,
    /// What became of it.
    pub state: CommitState,
    /// Its first and last record in the log.
    pub records: Option<(u32, u32)>,
    /// Of its records, those that are damaged.
    pub damaged: u32,
    /// Pages that it wrote.
    pub pages: u64,
    /// Pages of the store behind it.
    pub page_count: Option<u32>,
    /// The store's own count of changes behind it, where it wrote that.
    pub change_counter: Option<u32>,
    /// What it did to rows; `None` when what was before is not known at all.
    pub rows: Option<Vec<RowCounts>>,
    /// What it did to definitions.
    pub schema: Vec<SchemaEvent>,
    /// It is not before this.
    pub not_before: Option<Bound>,
    /// It is not after this.
    pub not_after: Option<Bound>,
}

/// What the logs of a store tell.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The store, for a person.
    pub what: String,
    /// The transactions, the oldest first; those of older generations of a log first.
    pub commits: Vec<Commit>,
    /// What the logs can't tell, and why.
    pub notes: Vec<String>,
}

/// Commits that are named when a moment leaves several; a person reads no more.
const MOST_NAMED: usize = 12;

impl History {
    /// The last commit that is surely before a moment, when no other may be the last before it.
    ///
    /// # Errors
    /// Which commits may be the last before it, each with its interval; or what the logs cover, when the moment is before
    /// all of that.
    pub fn last_before(&self, micros: i64) -> Result<Until, String> {
        let until = Until::Time(micros);
        let commits = || self.commits.iter().filter(|commit| commit.point.is_some());
        if commits().next().is_none() {
            return Err(format!("{until}: the logs hold no commit, so nothing tells what stood then"));
        }
        let is_before = |commit: &Commit| commit.not_after.as_ref().is_some_and(|end| end.micros < micros);
        let is_after = |commit: &Commit| commit.not_before.as_ref().is_some_and(|from| from.micros >= micros);
        if commits().all(is_after) {
            return Err(format!(
                "{until}: before all commits that the logs hold, {}: what stood then is not known; commit:0 is the state \
                 before the first commit of the current generation",
                self.covered()
            ));
        }
        // Commits follow one another: what comes before a sure one is sure.
        let sure = self.commits.iter().rposition(|commit| commit.point.is_some() && is_before(commit));
        let from = sure.map_or(0, |sure| sure + 1);
        let rest = self.commits.get(from..).unwrap_or_default();
        let open: Vec<&Commit> = rest
            .iter()
            .filter(|commit| commit.point.is_some())
            .take_while(|commit| !is_after(commit))
            .collect();
        let sure = sure.and_then(|sure| self.commits.get(sure));
        match (open.as_slice(), sure.and_then(|sure| sure.point)) {
            ([], Some(point)) => return Ok(Until::Point(point)),
            ([], None) => return Ok(Until::Point(Point::BeforeLog)),
            _ => {}
        }
        let first = match (sure, open.first().and_then(|first| first.point)) {
            (Some(sure), _) => format!("\n  {}", named(sure)),
            (None, Some(Point::Commit(_))) => "\n  commit:0: the state before them".to_owned(),
            // Nothing names what was before an older generation.
            _ => String::new(),
        };
        let mut others: Vec<String> = open.iter().map(|commit| format!("\n  {}", named(commit))).collect();
        if others.len() > MOST_NAMED {
            let left = others.len() - MOST_NAMED;
            // The latest are the likeliest.
            others.drain(..left);
            others.insert(0, format!("\n  and {left} further commits between these"));
        }
        Err(format!(
            "{until}: the evidence leaves several commits that may be the last before it; give one of these points:{first}{}",
            others.concat()
        ))
    }

    /// What the logs cover, for a moment that is behind all of it.
    #[must_use]
    pub fn is_before(&self, micros: i64) -> Option<String> {
        let commits = || self.commits.iter().filter(|commit| commit.point.is_some());
        let is_before = |commit: &Commit| commit.not_after.as_ref().is_some_and(|end| end.micros < micros);
        let until = Until::Time(micros);
        (commits().next().is_some() && commits().all(is_before)).then(|| {
            format!(
                "{until}: behind all commits that the logs hold, {}: what was written since is not there",
                self.covered()
            )
        })
    }

    /// What lies between the first and the last moment that commits are known to be bound by.
    fn covered(&self) -> String {
        let commits = || self.commits.iter().filter(|commit| commit.point.is_some());
        let first = commits().filter_map(|commit| commit.not_before.as_ref()).map(|bound| bound.micros).min();
        let last = commits().filter_map(|commit| commit.not_after.as_ref()).map(|bound| bound.micros).max();
        match (first.map(moments::text), last.map(moments::text)) {
            (Some(first), Some(last)) => format!("which lie between {first} and {last}"),
            (Some(first), None) => format!("of which the first is not before {first}"),
            (None, Some(last)) => format!("of which the last is not after {last}"),
            (None, None) => "of which nothing tells the time".to_owned(),
        }
    }
}

/// A commit with its interval, for a person.
fn named(commit: &Commit) -> String {
    let point = commit.point.map(|point| point.to_string()).unwrap_or_default();
    format!("{point}: {}", interval(commit).unwrap_or_else(|| "at an unknown time".to_owned()))
}

/// When a commit was, and why it can't have been further out; `None` when nothing tells.
#[must_use]
pub fn interval(commit: &Commit) -> Option<String> {
    let bound = |bound: &Bound| {
        let evidence: String =
            bound.evidence.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        format!("{} ({evidence})", moments::text(bound.micros))
    };
    match (&commit.not_before, &commit.not_after) {
        (Some(from), Some(to)) => Some(format!("between {} and {}", bound(from), bound(to))),
        (Some(from), None) => Some(format!("not before {}", bound(from))),
        (None, Some(to)) => Some(format!("not after {}", bound(to))),
        (None, None) => None,
    }
}

/// To which point a store is brought, and what the user takes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// The point.
    pub until: Until,
    /// Pages that are lost may be those of another point, which is told.
    pub partial: bool,
    /// Goes on behind damaged records of a log or a journal.
    pub force_frames: bool,
}

impl From<Until> for Goal {
    fn from(until: Until) -> Self {
        Self { until, partial: false, force_frames: false }
    }
}

/// A page that is not known as it was at a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Its number.
    pub page: u32,
    /// The table or index that it is of, as it was called then.
    pub table: Option<String>,
    /// What stands in for it.
    pub by: String,
}

/// A store that was brought to a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// The point; `None` for the main file as it lies.
    pub point: Option<Point>,
    /// Pages that were written.
    pub pages: u64,
    /// Of these, the ones that the log held.
    pub from_log: u64,
    /// What held them: `log` or `journal`.
    pub held_by: &'static str,
    /// Later commits that were left out.
    pub behind: u64,
    /// Pages that are not as they were at the point.
    pub stands: Vec<Stand>,
    /// What a person should know of the log.
    pub notes: Vec<String>,
}
