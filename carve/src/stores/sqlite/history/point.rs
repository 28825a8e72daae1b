//! Points that a user names, and the states of a store that they are.

use super::commits::{self, Commits};
use super::pages::{Pages, Seen};
use super::timeline;
use crate::error::Error;
use crate::model::{Goal, Point, Until};
use crate::source::{Source, SourceId};
use crate::stores::sqlite::belongs::Judged;
use crate::stores::sqlite::database::Roles;
use crate::stores::sqlite::detect;
use crate::stores::sqlite::open::beside;
use crate::stores::sqlite::unused;
use crate::words::grouped_count;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::journal::{self, Record};
use mudlark_parsers::sqlite::wal::{self, Wal};

/// Points that are named when there is none of the name that the user gives; a person reads no more.
const MOST_NAMED: usize = 4;

/// What tells of the states of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// A write-ahead log.
    Log,
    /// A hot journal: state 0 is after its rollback, state 1 the main file as it lies.
    Hot,
    /// A journal whose header was zeroed by a commit, or whose super-journal is gone: state 0 is before that, state 1 the main
    /// file.
    Committed,
    /// Nothing: the main file is the only state.
    Nothing,
}

/// The states of a store that its log or its journal holds.
#[derive(Debug)]
pub struct States<'a> {
    sources: &'a [Source],
    pub told: Told,
    pub pages: Pages<'a>,
    /// The log or the journal.
    pub source: Option<SourceId>,
    /// The last state that is proved without a gap.
    proved: u32,
    /// Commits of older generations, between which and the main file frames are gone.
    cut_off: Vec<Point>,
    /// Where the first damaged record lies.
    damaged_at: Option<u64>,
    /// Frames behind the last commit that no commit is proved to end.
    torn: u64,
    /// What a person should know of the log or the journal.
    pub notes: Vec<String>,
    /// That nothing proves that the log belongs to the main file, or that it seems not to.
    doubt: Option<String>,
    /// Why nothing proves what was before the last transaction of a journal.
    unproved: Option<String>,
}

/// Why a store can't be brought to a point.
pub fn refused(sources: &[Source], reason: String) -> Error {
    let path = sources.first().map(|source| source.path().to_owned()).unwrap_or_default();
    Error::Replay { path, reason }
}

impl<'a> States<'a> {
    /// The states that the log or the journal among the sources holds.
    ///
    /// # Errors
    /// When there is none, or the log is of another database.
    pub fn of(sources: &'a [Source]) -> Result<Self, Error> {
        let roles = Roles::of(sources);
        let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
        let detected = roles.main.and_then(|main| detect::detect(bytes(main)));
        let name = |id: SourceId| sources.get(usize::from(id.0)).map_or("", Source::name);
        let log = roles.log.map(|id| (id, wal::wal(bytes(id))));
        let mut unused = Vec::new();
        match log {
            Some((id, Ok(log))) => {
                let geometry = detected
                    .as_ref()
                    .map_or(Geometry { page_size: log.header.page_size, reserved: 0 }, |found| {
                        found.geometry
                    });
                let is_empty = log.frames.is_empty() && log.older.is_empty();
                let why = unused::why(name(id), bytes(id), Ok(&log), Some(geometry.page_size));
                if why.is_some() {
                    unused.extend(why);
                } else if !is_empty || roles.journal.is_none() {
                    return Self::of_log(sources, &roles, (id, &log), geometry);
                }
            }
            Some((id, Err(damage))) => unused.extend(unused::why(name(id), bytes(id), Err(&damage), None)),
            None => {}
        }
        let (Some(main), Some(detected)) = (roles.main, detected) else {
            let why = unused.pop().unwrap_or_else(|| "the main file is not there".to_owned());
            return Err(refused(sources, why));
        };
        let of_journal = roles.journal.and_then(|id| Self::of_journal(sources, main, id, detected.geometry));
        let mut unproved = None;
        let states = match of_journal {
            Some(Ok(states)) => Some(states),
            Some(Err(why)) => {
                unproved =
                    roles.journal.filter(|id| journal::journal(bytes(*id)).is_err()).map(|_| why.clone());
                unused.push(why);
                None
            }
            None => None,
        };
        if states.is_none() && unused.is_empty() {
            let reason = "no write-ahead log: there is no point but `checkpoint`";
            return Err(refused(sources, reason.to_owned()));
        }
        let only = || {
            let pages = Pages::of_main(sources, main, detected.geometry);
            Self::new(sources, Told::Nothing, pages, None, 0)
        };
        let mut states = states.unwrap_or_else(only);
        states.notes.splice(0..0, unused);
        states.unproved = unproved;
        Ok(states)
    }

    fn of_log(
        sources: &'a [Source],
        roles: &Roles,
        (id, log): (SourceId, &Wal),
        geometry: Geometry,
    ) -> Result<Self, Error> {
        let judged = Judged::of(sources, roles, Some((id, log)));
        let doubt = judged.as_ref().and_then(Judged::told);
        if let Some(told) = doubt.as_ref().filter(|_| judged.as_ref().is_some_and(Judged::is_left_out)) {
            return Err(refused(sources, told.clone()));
        }
        let commits = Commits::of(log);
        let pages = Pages::of(sources, roles.main, (id, log), geometry, &commits);
        let proved = pages.before_current() + commits.proved as u32;
        let previous = commits.previous(log).and_then(|previous| Some(previous.first()?.salts));
        let older = commits.older.iter().flatten().filter(|commit| Some(commit.salts) != previous);
        let cut_off = older.filter_map(|commit| commit.point).collect();
        let mut states = Self::new(sources, Told::Log, pages, Some(id), proved);
        states.notes.extend(states.pages.told_short());
        Ok(Self {
            cut_off,
            doubt,
            damaged_at: log.damage.first().map(|damage| damage.at),
            torn: if log.torn { log.beyond } else { 0 },
            ..states
        })
    }

    fn new(
        sources: &'a [Source],
        told: Told,
        pages: Pages<'a>,
        source: Option<SourceId>,
        proved: u32,
    ) -> Self {
        let (cut_off, notes) = (Vec::new(), Vec::new());
        Self {
            sources,
            told,
            pages,
            source,
            proved,
            cut_off,
            damaged_at: None,
            torn: 0,
            notes,
            doubt: None,
            unproved: None,
        }
    }

    /// The states around the transaction of a journal; `None` when it holds nothing, and why it is of no use.
    pub(super) fn of_journal(
        sources: &'a [Source],
        main: SourceId,
        id: SourceId,
        geometry: Geometry,
    ) -> Option<Result<Self, String>> {
        let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
        let name = sources.get(usize::from(id.0)).map_or("", Source::name);
        let Ok(hot) = journal::journal(bytes(id)) else {
            let records = match whole_transaction(bytes(id), bytes(main), geometry.page_size)? {
                Ok(records) => records,
                Err(why) => return Some(Err(format!("{name}: {why}: the database alone is served"))),
            };
            let (records, before) = records;
            let pages = Pages::of_journal(sources, main, (id, &records, &[]), before, geometry);
            return Some(Ok(Self::new(sources, Told::Committed, pages, Some(id), 1)));
        };
        if hot.header.page_size != geometry.page_size {
            return Some(Err(format!(
                "{name} is of another database: its pages are of {} bytes, those of the database of {}; the database alone \
                 is served",
                hot.header.page_size, geometry.page_size
            )));
        }
        let before = hot.header.page_count;
        if hot.super_journal.as_ref().is_some_and(|of| !beside(sources, id, of)) {
            let told =
                format!("{name} names a super-journal that is not there, which SQLite takes for a commit");
            if !hot.damage.is_empty() {
                return Some(Err(format!("{told}, and is damaged: the database alone is served")));
            }
            let pages = Pages::of_journal(sources, main, (id, &hot.records, &[]), before, geometry);
            let states = Self::new(sources, Told::Committed, pages, Some(id), 1);
            return Some(Ok(Self { notes: vec![told], ..states }));
        }
        let pages = Pages::of_journal(sources, main, (id, &hot.records, &hot.damaged), before, geometry);
        let mut states = Self::new(sources, Told::Hot, pages, Some(id), 0);
        states.notes.extend(states.pages.told_short());
        Some(Ok(Self { damaged_at: hot.damage.first().map(|damage| damage.at), ..states }))
    }

    /// The state that a point is.
    ///
    /// # Errors
    /// When there is no such point, with the nearest ones; when a moment leaves several, with these; when it lies behind
    /// a damaged record, unless the user goes on over that.
    pub fn find(&self, goal: Goal) -> Result<u32, Error> {
        let refused = |reason| refused(self.sources, reason);
        let until = match goal.until {
            Until::Time(micros) => timeline::read(self.sources)?.last_before(micros).map_err(refused)?,
            until => until,
        };
        let (before, last) = (self.pages.before_current(), self.pages.last());
        let reached = if goal.force_frames { last } else { self.proved };
        let state = match (self.told, until) {
            (_, Until::Time(_)) => None,
            (_, Until::Checkpoint) => Some(self.of_main().ok_or_else(|| {
                refused(
                    "checkpoint: the main file is none of the states that the log tells of, as amid a checkpoint"
                        .to_owned(),
                )
            })?),
            // SQLite rolls a hot journal back.
            (Told::Hot | Told::Nothing, Until::Last) => Some(0),
            (Told::Hot, Until::Point(Point::Commit(_))) => None,
            (Told::Committed, Until::Last | Until::Point(Point::Commit(1))) => Some(1),
            (_, Until::Last) => (reached > before).then_some(reached),
            (_, Until::Point(Point::BeforeLog | Point::Commit(0))) => Some(before),
            (_, Until::Point(point)) if self.pages.first() == Some(point) => Some(0),
            (_, Until::Point(point)) => (1..=last).find(|state| self.pages.point(*state) == point),
        };
        if let Until::Point(point) = until
            && self.cut_off.contains(&point)
        {
            return Err(refused(format!(
                "{until} can't be reached: frames of the generation that came behind it are gone, so nothing tells which \
                 pages of the main file were written since"
            )));
        }
        let is_before = matches!(until, Until::Point(Point::BeforeLog | Point::Commit(0)));
        if let Some(why) = self.unproved.as_ref().filter(|_| is_before) {
            return Err(refused(format!("{until} can't be proved: {why}")));
        }
        let state = state.ok_or_else(|| refused(self.no_such_point(until)))?;
        let is_damaged = match self.told {
            Told::Log => state > reached,
            Told::Hot => state == 0 && self.damaged_at.is_some() && !goal.force_frames,
            Told::Committed | Told::Nothing => false,
        };
        if is_damaged && until != Until::Checkpoint { Err(refused(self.damaged(until))) } else { Ok(state) }
    }

    /// The point that a state is.
    pub fn point(&self, state: u32) -> Point {
        match (self.told, state) {
            (Told::Committed, 1) => Point::Commit(1),
            _ if state == self.pages.before_current() => Point::Commit(0),
            _ => self.pages.point(state),
        }
    }

    /// The last state.
    pub fn last(&self) -> u32 {
        self.pages.last()
    }

    /// Later commits than a state. What a hot journal takes back is none.
    pub fn behind(&self, state: u32) -> u32 {
        if self.told == Told::Hot { 0 } else { self.pages.last().saturating_sub(state) }
    }

    /// That nothing proves that the log belongs to the main file, or that it seems not to.
    pub fn doubt(&self) -> Option<String> {
        self.doubt.clone()
    }

    /// What a person should know who is given a state, but for [`Self::doubt`].
    pub fn told_of(&self, goal: Goal, state: u32) -> Vec<String> {
        let mut notes = self.notes.clone();
        let at = self.damaged_at.map(|at| format!(" at {at:#x}")).unwrap_or_default();
        let behind = self.pages.last().saturating_sub(self.proved);
        if self.told == Told::Log && behind > 0 && goal.until == Until::Last {
            let which = [self.point(self.proved + 1), self.point(self.pages.last())];
            notes.push(if goal.force_frames {
                let which = commits::names(which);
                format!("{which}: behind a damaged frame{at}, each frame proved only by the one before it")
            } else {
                commits::beyond(which, behind.into(), self.damaged_at)
            });
        }
        if let Until::Time(micros) = goal.until {
            notes.extend(timeline::read(self.sources).ok().and_then(|history| history.is_before(micros)));
        }
        if self.torn > 0 && state == self.pages.last() {
            notes.push(format!(
                "behind the last commit the log goes on{at} with {} of which no commit can be proved",
                grouped_count(self.torn, "frame")
            ));
        }
        notes
    }

    /// Whether a frame of the log is of a commit behind a state; without one, behind what the main file holds of its page.
    pub fn is_later(&self, frame: &wal::Frame, state: Option<u32>) -> bool {
        if self.told != Told::Log {
            return false;
        }
        let own = self.pages.before_current() as usize;
        let (older, current) = self.pages.commits.split_at_checked(own).unwrap_or_default();
        let (first, commits) = if frame.own { (own, current) } else { (0, older) };
        let at = commits.partition_point(|commit| commit.frames.1 < frame.number);
        let commit = commits.get(at).filter(|commit| commit.salts == frame.salts);
        let is_in = commit.is_some_and(|commit| commit.frames.0 <= frame.number);
        let limit = || state.unwrap_or_else(|| self.pages.state_of_main(frame.page));
        is_in && (first + at) as u32 + 1 > limit()
    }

    /// Whether what the main file holds of a page was written behind a state.
    pub fn is_main_later(&self, page: u32, state: u32) -> bool {
        match self.told {
            Told::Log => self.pages.is_main_later(page, state),
            Told::Committed => state == 0,
            Told::Hot | Told::Nothing => false,
        }
    }

    /// The latest of the states that the main file is in, as it lies.
    fn of_main(&self) -> Option<u32> {
        let pages = &self.pages;
        if self.told != Told::Log {
            return Some(pages.last());
        }
        // Of how many pages the main file holds what they are in a state: how many more than in the state before.
        let mut fits = vec![0_i64; pages.last() as usize + 2];
        let mut add = |state: u32, more: i64| {
            if let Some(count) = fits.get_mut(state as usize) {
                *count += more;
            }
        };
        let written = pages.all_written();
        for page in &written {
            let main = pages.in_main(*page).image().map(|image| image.bytes);
            let is_main = |state: u32| match pages.at(*page, state) {
                Seen::Image(image) => Some(image.bytes) == main,
                Seen::Absent => main.is_none(),
                Seen::Unknown => false,
            };
            let changed = pages.changes(*page);
            let ends = changed.iter().skip(1).copied().chain([pages.last() + 1]);
            for (from, to) in changed.iter().zip(ends).filter(|(from, _)| is_main(**from)) {
                add(*from, 1);
                add(to, -1);
            }
        }
        let (mut all, mut found) = (0, None);
        for (state, more) in (0..=pages.last()).zip(&fits) {
            all += more;
            found = if all == written.len() as i64 { Some(state) } else { found };
        }
        found
    }

    fn damaged(&self, until: Until) -> String {
        let at = self.damaged_at.map(|at| format!(" at {at:#x}")).unwrap_or_default();
        if self.told == Told::Hot {
            return format!(
                "{until} can't be proved: the journal is damaged{at}, where SQLite would stop to put pages back and leave a \
                 mix; `replay --force-frames` goes on with what else its nonce proves"
            );
        }
        let proved = self.point(self.proved);
        format!(
            "{until} can't be proved: it lies behind a damaged frame{at}; the log is proved up to {proved}, as far as SQLite \
             itself reads it; `replay --force-frames` goes on over frames that are proved only by the ones before them"
        )
    }

    fn no_such_point(&self, until: Until) -> String {
        let pages = &self.pages;
        let name = |state: u32| pages.point(state).to_string();
        let held = match (self.told, pages.before_current(), pages.last()) {
            (Told::Hot, ..) => {
                "its journal was never committed: commit:0 and last are the state after rollback, \
                                checkpoint is the main file as it lies"
                    .to_owned()
            }
            (Told::Committed, ..) => "its journal holds commit:0 to commit:1".to_owned(),
            (Told::Nothing, ..) => {
                "the database alone has commit:0, which is last and checkpoint too".to_owned()
            }
            (_, _, 0) => "its log holds no commit".to_owned(),
            (_, before, last) if before == last => {
                "its log holds no commit of the current generation".to_owned()
            }
            (_, before, _) if until == Until::Last => {
                format!("its log holds no commit that can be proved behind {}", self.point(before))
            }
            (_, before, last) => {
                let older = if before > 0 {
                    format!(", and of an older one {} to {}", name(1), name(before))
                } else {
                    String::new()
                };
                format!("its log holds commit:0 to {}{older}", name(last))
            }
        };
        let nearest = self.nearest(until);
        let nearest = match nearest.as_slice() {
            [] => String::new(),
            [only] => format!("; the nearest is {only}"),
            [most @ .., last] => format!("; the nearest are {} and {last}", most.join(", ")),
        };
        let notes: String = self.notes.iter().map(|note| format!("; {note}")).collect();
        format!("{until}: no such point; {held}{nearest}{notes}")
    }

    /// The points that are next to one that does not exist: those of its generation, by number, or of all.
    fn nearest(&self, until: Until) -> Vec<String> {
        let Until::Point(wanted) = until else { return Vec::new() };
        if self.told != Told::Log {
            return Vec::new();
        }
        let number = |point: Point| match point {
            Point::BeforeLog => 0,
            Point::Commit(number) | Point::Older { commit: number, .. } => number,
        };
        let same = |point: &Point| match (point, wanted) {
            (Point::Older { salts, .. }, Point::Older { salts: wanted, .. }) => *salts == wanted,
            (Point::BeforeLog | Point::Commit(_), Point::BeforeLog | Point::Commit(_)) => true,
            _ => false,
        };
        let all: Vec<Point> = (0..=self.pages.last())
            .map(|state| self.point(state))
            .filter(|point| *point != Point::BeforeLog)
            .collect();
        let mut near: Vec<Point> = all.iter().copied().filter(same).collect();
        if near.is_empty() {
            near = all;
        }
        near.sort_by_key(|point| (number(*point).abs_diff(number(wanted)), number(*point)));
        near.truncate(MOST_NAMED);
        near.sort_by_key(|point| number(*point));
        near.iter().map(ToString::to_string).collect()
    }
}

/// The pages around the last transaction, of a journal whose header was zeroed when it committed.
pub(in super::super) fn last_transaction<'a>(
    sources: &'a [Source],
    main: SourceId,
    id: SourceId,
    geometry: Geometry,
) -> Option<Pages<'a>> {
    let bytes = |id: SourceId| sources.get(usize::from(id.0)).map_or(&[][..], Source::bytes);
    if journal::journal(bytes(id)).is_ok() {
        return None;
    }
    let (records, before) = whole_transaction(bytes(id), bytes(main), geometry.page_size)?.ok()?;
    Some(Pages::of_journal(sources, main, (id, &records, &[]), before, geometry))
}

/// The records of the last transaction of a journal whose header was zeroed, and how many pages there were before it;
/// `None` when there are none, and why they can't be taken for all of it.
fn whole_transaction(
    journal: &[u8],
    main: &[u8],
    page_size: u32,
) -> Option<Result<(Vec<Record>, u32), &'static str>> {
    let records = journal::last_records(journal, page_size);
    let Some((first, last)) = records.first().zip(records.last()) else {
        let is_zeroed = journal.len() > page_size as usize && journal.iter().take(8).all(|byte| *byte == 0);
        return is_zeroed.then_some(Err("its header is zeroed, and no two of its records prove one another"));
    };
    let header = |bytes: &[u8]| header::header(bytes).ok().map(|(_, header)| header);
    let before = records.iter().find(|record| record.page == 1);
    let before = before.and_then(|before| header(journal.get(usize::try_from(before.offset).ok()?..)?));
    let Some(before) = before else {
        return Some(Err("its transaction lacks page 1, which says how many pages there were before it"));
    };
    // SQLite counts each transaction, in whatever mode it is journalled.
    let counts_on = header(main).is_some_and(|after| {
        after.change_counter == before.change_counter.wrapping_add(1)
            && after.read_version == before.read_version
    });
    if !counts_on {
        return Some(Err("its transaction is not the last one, by the change counter of the main file"));
    }
    // Behind a segment that was synced lies a further one, or the end.
    let sector = first.offset.saturating_sub(4).max(1);
    let end = last.offset + u64::from(page_size) + 4;
    let next = usize::try_from(end.next_multiple_of(sector)).ok()?;
    if journal.get(next..).is_some_and(|rest| rest.starts_with(&journal::MAGIC)) {
        return Some(Err("its transaction may have further segments, which its zeroed header does not tell"));
    }
    Some(Ok((records, before.page_count)))
}
