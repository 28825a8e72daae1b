//! The pages of a database at one point: the main file, overlaid by its log or its journal.
//!
//! What temp files hold is numbered behind the pages: the pages of statement journals as old versions, and what is no
//! version of a page as *stretches*.

use super::freelist;
use super::history::{Commits, Framed, Held, LogCommit, Reached, States, children};
use super::numbers;
use super::survey;
use crate::model::Point;
use crate::source::{Source, SourceId, Span};
use foldhash::fast::RandomState;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::journal::{Journal, Record};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::ptrmap;
use mudlark_parsers::sqlite::wal::{Frame, Wal};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Pages that a log or journal may count beyond those that the files hold: 4 GiB of pages of 4096 bytes. The count may
/// be a lie, and every page has its place in tables.
const MAX_ABSENT_PAGES: u32 = 1 << 20;

/// The number of the first old version of a page: SQLite's pages end far below it, so that no link can name one by
/// accident.
const FIRST_OLD: u32 = 0xc000_0000;

/// The number of the first stretch of a temp file.
const FIRST_STRETCH: u32 = 0xe000_0000;

/// A version of a page: its bytes and where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageVersion<'a> {
    pub number: u32,
    /// Fewer than the page size where the file is cut.
    pub bytes: &'a [u8],
    pub source: SourceId,
    pub offset: u64,
    /// The commit of the log that wrote it.
    pub commit: Option<u32>,
    /// The pages that its links lead to, where they are not the database's.
    pub space: Option<Space>,
    /// Its links lead to pages as they were when it was written, though the view shows it: to read what is gone of it.
    pub then: bool,
}

/// The pages of a temp file that is a database of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    /// The number of its page 1 in the view.
    pub first: u32,
    pub pages: u32,
    pub geometry: Geometry,
}

impl PageVersion<'_> {
    /// The same, with the links of its time.
    pub(super) const fn then(self) -> Self {
        Self { then: true, ..self }
    }

    /// The span of `length` bytes at `at` on the page.
    pub(super) fn span(&self, at: u32, length: u32) -> Span {
        Span { source: self.source, offset: self.offset + u64::from(at), length: u64::from(length) }
    }
}

/// What tells which versions of pages were committed after the point that the view shows.
pub(super) struct Later<'l> {
    /// Whether a frame of the log was.
    pub frame: &'l dyn Fn(&Frame) -> bool,
    /// Whether what the main file holds of a page was.
    pub main: &'l dyn Fn(u32) -> bool,
    /// What the main file holds beside the view was never committed.
    pub main_uncommitted: bool,
}

/// Bytes of a temp file that are no version of a page of the database.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    source: SourceId,
    offset: u64,
    length: u64,
    /// Its number in the temp file, where that is a database.
    page: u32,
    space: Option<Space>,
}

#[derive(Clone, Copy, Debug)]
struct Overlay {
    source: SourceId,
    offset: u64,
    commit: Option<u32>,
    /// The log's checksum of it holds.
    proved: bool,
}

/// A version of a page that the current view doesn't show.
#[derive(Clone, Copy, Debug)]
struct Old {
    page: u32,
    at: Overlay,
    /// Its transaction never committed.
    uncommitted: bool,
    /// A statement journal holds it: the page as it stood before a statement, perhaps amid a transaction.
    of_statement: bool,
    /// It was committed after the point that the view shows.
    later: bool,
    /// The version that the log has of the page before this one, and behind it, as numbers of old versions; the same where
    /// it is the first or the last.
    beside: [u32; 2],
}

/// The pages of a commit that can be proved.
fn proved(commit: &LogCommit) -> impl Iterator<Item = &Framed> {
    commit.pages.iter().filter(|framed| framed.sound && framed.placed)
}

/// The pages of a database at one point.
#[derive(Debug)]
pub(super) struct View<'a> {
    sources: &'a [Source],
    /// The main file; `None` when only its log or journal is there.
    main: Option<SourceId>,
    pub geometry: Geometry,
    /// Pages of the database at this point.
    pub page_count: u32,
    /// Pages that the main file holds, the last one perhaps in part.
    pub main_pages: u32,
    /// Pages of the main file of which nothing was found in the image that it lies in.
    lost: HashSet<u32, RandomState>,
    /// Not all records of a hot journal can be put back: the main file holds what an open transaction wrote.
    records_lost: bool,
    /// A header, a log or a journal counts the pages, so that none can be missing unseen.
    counted: bool,
    overlay: HashMap<u32, Overlay, RandomState>,
    /// Old versions of pages, numbered from [`FIRST_OLD`], and the numbers of each page's.
    old: Vec<Old>,
    old_by_page: HashMap<u32, Vec<u32>, RandomState>,
    /// The rollback journal among the sources.
    journal: Option<SourceId>,
    /// Stretches of temp files, numbered from [`FIRST_STRETCH`].
    stretches: Vec<Stretch>,
    /// The greatest page number of a statement journal.
    last_of_statement: u32,
    pub applied: Applied,
}

/// What was laid over the main file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Applied {
    #[default]
    Nothing,
    /// A log: its commits, and frames behind the last of them.
    Log { commits: u32, behind: u64 },
    /// A hot journal: the pages that were put back.
    Rollback { pages: u64 },
    /// What a log or a journal holds up to a point that the user chose; `None` is the main file as it lies.
    Chosen { point: Option<Point>, behind: u32 },
}

impl<'a> View<'a> {
    /// The main file as it lies.
    pub(super) fn main(sources: &'a [Source], main: Option<SourceId>, geometry: Geometry) -> Self {
        let file = main.and_then(|main| sources.get(usize::from(main.0)));
        let len = file.map_or(0, Source::len);
        let main_pages = u32::try_from(len.div_ceil(u64::from(geometry.page_size)))
            // SQLite's largest page number.
            .unwrap_or(u32::MAX - 1)
            .min(u32::MAX - 1);
        let size = u64::from(geometry.page_size);
        let scattered = file.filter(|file| file.scattered().is_some());
        let is_lost =
            |page: &u32| scattered.is_some_and(|file| file.get(u64::from(page - 1) * size, 1).is_none());
        let pages = 1..=if scattered.is_some() { main_pages } else { 0 };
        Self {
            sources,
            main,
            geometry,
            page_count: main_pages,
            main_pages,
            lost: pages.filter(is_lost).collect(),
            records_lost: false,
            counted: false,
            overlay: HashMap::default(),
            old: Vec::new(),
            old_by_page: HashMap::default(),
            journal: None,
            stretches: Vec::new(),
            last_of_statement: 0,
            applied: Applied::Nothing,
        }
    }

    /// The same, with the commits of a log.
    pub(super) fn with_log(mut self, log: &Wal, source: SourceId) -> Self {
        let committed = || log.frames.iter().take(log.committed);
        let behind = (log.frames.len() - log.committed) as u64 + if log.torn { log.beyond } else { 0 };
        let commits = committed().map(|frame| frame.commit_number).max().unwrap_or(0);
        if commits > 0 || behind > 0 {
            self.applied = Applied::Log { commits, behind };
        }
        if commits == 0 {
            return self;
        }
        for frame in committed() {
            // The header of a damaged frame may name any page; an older version of that page is better than none.
            if !frame.sound && frame.page > log.frames.len() as u32 + self.main_pages {
                continue;
            }
            let commit = Some(frame.commit_number);
            self.overlay
                .insert(frame.page, Overlay { source, offset: frame.offset, commit, proved: frame.sound });
            if frame.sound && frame.commit != 0 {
                self.page_count = frame.commit;
            }
        }
        if self.is_checkpointed_beyond(log, source) {
            // The main file has newer pages than the last commit that the log proves: those frames are history.
            self.overlay.clear();
            self.page_count = self.main_pages;
            return self;
        }
        self.counted = true;
        self.bound_page_count(log.frames.len());
        let count = self.page_count;
        self.overlay.retain(|page, _| *page <= count);
        self
    }

    /// The same, with what older generations of the log still hold of pages that the main file lacks, or that are damaged in it.
    /// A log begins anew only once all of its commits were copied into the main file, so that of the generation before this one
    /// what it wrote last is what the main file held, if it ends with a commit. What earlier ones wrote may have been written
    /// again: of theirs that counts which is not free since.
    pub(super) fn with_older_log(mut self, log: &Wal, source: SourceId) -> Self {
        let commits = Commits::of(log);
        let is_ended = |run: &&[LogCommit]| run.last().is_some_and(|commit| commit.held != Held::Open);
        let previous = commits.previous(log).filter(is_ended).unwrap_or_default();
        let open = commits.older.iter().flatten().filter(|commit| commit.held == Held::Open);
        let in_doubt: HashSet<u32> =
            open.flat_map(|commit| &commit.pages).map(|framed| framed.page).collect();
        let own = |commit: &&LogCommit| previous.first().is_some_and(|first| first.salts == commit.salts);
        let earlier: Vec<&LogCommit> =
            commits.older.iter().rev().flat_map(|run| run.iter().rev()).filter(|c| !own(c)).collect();
        for framed in previous.iter().rev().filter(|commit| commit.held != Held::Open).flat_map(proved) {
            let is_new =
                (1..=self.page_count).contains(&framed.page) && !self.overlay.contains_key(&framed.page);
            if is_new && (self.is_absent(framed.page) || self.is_better(framed, source)) {
                self.lay(framed, source, true);
            }
        }
        if earlier.is_empty() {
            return self;
        }
        let free = freelist::listed(&self);
        for framed in earlier.into_iter().filter(|commit| commit.held != Held::Open).flat_map(proved) {
            let version = self.version(framed.page, source, framed.offset, None);
            let page = version.and_then(|version| Page::parse(version.bytes, framed.page, self.geometry));
            let leads_to_free =
                || page.is_some_and(|page| children(&page).iter().any(|child| free.contains(child)));
            let is_other = free.contains(&framed.page) || in_doubt.contains(&framed.page);
            if self.is_absent(framed.page) && !is_other && !leads_to_free() {
                self.lay(framed, source, false);
            }
        }
        self
    }

    fn lay(&mut self, framed: &Framed, source: SourceId, proved: bool) {
        let offset = framed.offset;
        self.overlay.insert(framed.page, Overlay { source, offset, commit: None, proved });
    }

    /// Whether what a log holds of a page reads as one, where what the main file holds of it does not.
    fn is_better(&self, &Framed { page, offset, .. }: &Framed, source: SourceId) -> bool {
        let mut scratch = Vec::new();
        let mut is_sound = |version: Option<PageVersion<'_>>| {
            version.is_some_and(|version| {
                let info = survey::look(version.bytes, page, self.geometry, self.page_count, &mut scratch);
                info.kind.is_some() && info.sound
            })
        };
        let own = self.page(page);
        let is_zero = own.is_some_and(|own| all_zero(own.bytes));
        let other = self.version(page, source, offset, None);
        !is_sound(own) && (is_sound(other) || is_zero && other.is_some_and(|other| !all_zero(other.bytes)))
    }

    /// Whether a checkpoint took the main file beyond the commits that a damaged log still proves: a page of it is
    /// that of a later frame, byte for byte. A checkpoint copies committed frames only, and none before earlier ones.
    fn is_checkpointed_beyond(&self, log: &Wal, source: SourceId) -> bool {
        let later: Vec<&Frame> = log.older.iter().filter(|frame| log.torn && frame.own).collect();
        // What was never committed may bring a page back to what it was before the log.
        let committed = later.iter().rposition(|frame| frame.commit != 0).map_or(0, |last| last + 1);
        let mut later = later.into_iter().take(committed);
        let bytes = |source, offset| Some(self.version(1, source, offset, None)?.bytes);
        let is_main = |frame: &Frame| {
            let at = u64::from(frame.page.checked_sub(1)?) * u64::from(self.geometry.page_size);
            let image = bytes(source, frame.offset)?;
            let proved = self.overlay.get(&frame.page).and_then(|over| bytes(over.source, over.offset));
            Some(bytes(self.main?, at)? == image && proved.is_some_and(|proved| proved != image))
        };
        later.any(|frame| is_main(frame).unwrap_or(false))
    }

    /// The same, after a rollback of a hot journal.
    pub(super) fn with_rollback(mut self, journal: &Journal, source: SourceId) -> Self {
        self.page_count = journal.header.page_count;
        self.counted = true;
        self.bound_page_count(journal.records.len());
        for record in &journal.records {
            // The first record of a page is the one from before the transaction.
            if record.page <= self.page_count {
                let overlay = Overlay { source, offset: record.offset, commit: None, proved: false };
                self.overlay.entry(record.page).or_insert(overlay);
            }
        }
        // What is left of a page as it was is nearer to it than what the open transaction wrote, when it begins as a page.
        for record in &journal.damaged {
            let at = Overlay { source, offset: record.offset, commit: None, proved: false };
            let first = self.version(record.page, source, record.offset, None);
            let kind = first.and_then(|page| PageKind::from_number(*page.bytes.first()?));
            if kind.is_some() && (2..=self.page_count).contains(&record.page) {
                self.overlay.entry(record.page).or_insert(at);
            }
        }
        for (page, record) in numbers::of_lost(&self, &journal.damaged, source) {
            self.overlay.insert(page, Overlay { source, offset: record.offset, commit: None, proved: false });
        }
        let put_back: HashSet<u64> = self.overlay.values().map(|over| over.offset).collect();
        self.records_lost = journal.damaged.iter().any(|record| !put_back.contains(&record.offset));
        self.applied = Applied::Rollback { pages: self.overlay.len() as u64 };
        self
    }

    /// The same, with the pages that the header counts beyond the end of the file; a count beyond belief is not taken.
    pub(super) fn with_stated_count(mut self, stated: u32) -> Self {
        self.counted = stated > 0;
        if stated > self.page_count && stated - self.page_count <= MAX_ABSENT_PAGES {
            self.page_count = stated;
        }
        self
    }

    /// The same, at a point that the user chose.
    pub(super) fn with_point(mut self, states: &States<'a>, reached: &Reached<'a>) -> Self {
        (self.page_count, self.counted) = (reached.count, true);
        for page in states.pages.all_written().into_iter().chain(reached.stand_ins()) {
            let Some(version) = reached.page(&states.pages, page).filter(|_| page <= reached.count) else {
                continue;
            };
            let PageVersion { source, offset, commit, .. } = version;
            // What the main file holds in its place shows without an overlay.
            let natural = u64::from(page.saturating_sub(1)) * u64::from(self.geometry.page_size);
            if Some(source) != self.main || offset != natural || commit.is_some() {
                self.overlay.insert(page, Overlay { source, offset, commit, proved: commit.is_some() });
            }
        }
        let behind = states.behind(reached.state);
        self.applied = Applied::Chosen { point: Some(states.point(reached.state)), behind };
        self
    }

    /// The same, as the main file lies, whatever a log or a journal says.
    pub(super) fn with_nothing(mut self, stated: u32) -> Self {
        self = self.with_stated_count(stated);
        self.applied = Applied::Chosen { point: None, behind: 0 };
        self
    }

    /// Whether the view shows a point that the user chose.
    pub(super) const fn is_chosen(&self) -> bool {
        matches!(self.applied, Applied::Chosen { .. })
    }

    /// The last page of which any file holds something.
    pub(super) fn last_held(&self) -> u32 {
        let overlaid = self.overlay.keys().copied().max().unwrap_or(0);
        self.main_pages.max(overlaid).min(self.page_count)
    }

    /// Whether the page is counted, and no file holds anything of it.
    pub(super) fn is_absent(&self, number: u32) -> bool {
        let lacking =
            (self.main_pages + 1..=self.page_count).contains(&number) || self.lost.contains(&number);
        lacking && !self.overlay.contains_key(&number)
    }

    /// The pages that are counted and of which no file holds anything.
    pub(super) fn absent(&self) -> u32 {
        let overlaid = self.overlay.keys().filter(|page| **page > self.main_pages).count() as u32;
        let lost =
            self.lost.iter().filter(|page| **page <= self.page_count && !self.overlay.contains_key(page));
        self.page_count.saturating_sub(self.main_pages).saturating_sub(overlaid) + lost.count() as u32
    }

    /// Whether all pages that the database has are known to be there.
    pub(super) fn is_whole(&self) -> bool {
        self.counted && self.absent() == 0
    }

    /// The last page of the main file when the file ends within it: its number, and the bytes that are there.
    pub(super) fn cut_page(&self) -> Option<(u32, u32)> {
        let file = self.sources.get(usize::from(self.main?.0))?;
        let rest = (file.len() % u64::from(self.geometry.page_size)) as u32;
        let shown = self.main_pages <= self.page_count && !self.overlay.contains_key(&self.main_pages);
        (rest > 0 && shown).then_some((self.main_pages, rest))
    }

    /// Bounds the count that a log or journal of `held` pages claims.
    fn bound_page_count(&mut self, held: usize) {
        let held = u32::try_from(held).unwrap_or(u32::MAX).saturating_add(self.main_pages);
        self.page_count = self.page_count.min(held.saturating_add(MAX_ABSENT_PAGES)).min(u32::MAX - 1);
    }

    /// Whether it is a guess that a page is of this database, of an image.
    pub(super) fn is_guessed(&self, page: &PageVersion<'_>) -> bool {
        let source = self.sources.get(usize::from(page.source.0));
        source.is_some_and(|source| source.is_guessed(page.offset))
    }

    /// Whether the header of a page is not the file's, which has lost it.
    pub(super) fn is_rebuilt(&self, page: &PageVersion<'_>) -> bool {
        let source = self.sources.get(usize::from(page.source.0));
        source.is_some_and(|source| source.is_rebuilt(page.offset))
    }

    /// The page numbered `number`, as it stands at this point.
    #[inline]
    pub(super) fn page(&self, number: u32) -> Option<PageVersion<'a>> {
        if number == 0 {
            return None;
        }
        if number > self.page_count {
            if let Some(index) = number.checked_sub(FIRST_STRETCH) {
                return self.stretch(self.stretches.get(index as usize)?);
            }
            let Old { page, at, .. } = self.old.get(number.checked_sub(FIRST_OLD)? as usize)?;
            return self.version(*page, at.source, at.offset, at.commit);
        }
        if !self.overlay.is_empty()
            && let Some(over) = self.overlay.get(&number)
        {
            return self.version(number, over.source, over.offset, over.commit);
        }
        let offset = u64::from(number - 1) * u64::from(self.geometry.page_size);
        self.version(number, self.main?, offset, None)
    }

    /// Whether the checksum of a log's frame holds for the bytes of this version.
    pub(super) fn is_proved(&self, number: u32) -> bool {
        let old = || self.old.get(number.checked_sub(FIRST_OLD)? as usize).map(|old| &old.at);
        let at = if self.is_old(number) { old() } else { self.overlay.get(&number) };
        at.is_some_and(|at| at.proved)
    }

    /// The numbers of the old versions.
    pub(super) fn old(&self) -> Range<u32> {
        FIRST_OLD..FIRST_OLD + self.old.len() as u32
    }

    /// Whether a number is that of a version that was written and never committed: a frame behind the last commit, or a
    /// page of the main file that a hot journal takes back.
    pub(super) fn is_uncommitted(&self, number: u32) -> bool {
        let old = number.checked_sub(FIRST_OLD).and_then(|index| self.old.get(index as usize));
        old.is_some_and(|old| old.uncommitted)
    }

    /// Whether a number is that of a version that was committed after the point that the view shows.
    pub(super) fn is_later(&self, number: u32) -> bool {
        let old = number.checked_sub(FIRST_OLD).and_then(|index| self.old.get(index as usize));
        old.is_some_and(|old| old.later)
    }

    /// The versions of a page that the log has before and behind an old one, when it has both; all three were committed, and
    /// all up to the point that the view shows or all after it.
    pub(super) fn beside(&self, number: u32) -> Option<[PageVersion<'a>; 2]> {
        let old = self.old.get(number.checked_sub(FIRST_OLD)? as usize).filter(|_| self.is_old(number))?;
        let [before, behind] = old.beside;
        if before == number || behind == number {
            return None;
        }
        Some([self.page(before)?, self.page(behind)?])
    }

    /// Whether a number is that of what a temp file holds.
    pub(super) fn is_of_temp_file(&self, number: u32) -> bool {
        let old = number.checked_sub(FIRST_OLD).and_then(|index| self.old.get(index as usize));
        number >= FIRST_STRETCH && self.page_count < FIRST_OLD || old.is_some_and(|old| old.of_statement)
    }

    /// Whether a number is that of a version which a rollback journal holds: a page as it was before the last transaction, or
    /// before one of those that came before it.
    pub(super) fn is_of_journal(&self, number: u32) -> bool {
        let old = number.checked_sub(FIRST_OLD).and_then(|index| self.old.get(index as usize));
        old.is_some_and(|old| Some(old.at.source) == self.journal && !old.of_statement)
    }

    /// The greatest page number that a link on a version of a page can name.
    pub(super) fn last_linked(&self, number: u32) -> u32 {
        // A statement journal tells nothing of how many pages there were.
        if self.is_of_temp_file(number) {
            self.last_of_statement.max(self.page_count)
        } else {
            self.page_count
        }
    }

    /// The number by which the view knows the page that a link on a version of a page names: of an old version, the one of
    /// its time.
    pub(super) fn linked(&self, from: &PageVersion<'_>, link: u32) -> Option<u32> {
        if let Some(space) = from.space {
            return (1..=space.pages).contains(&link).then(|| space.first + (link - 1));
        }
        Some(self.of_time(from, link).unwrap_or(link))
    }

    /// The old version of a page that stood when this version of another one did; `None` where it is the one that the
    /// view shows.
    fn of_time(&self, from: &PageVersion<'_>, link: u32) -> Option<u32> {
        let shown = self.is_shown(from);
        let versions = self.old_by_page.get(&link).filter(|_| from.then || !shown)?;
        let version = |number: &u32| Some((*number, self.old.get(number.checked_sub(FIRST_OLD)? as usize)?));
        let mut versions = versions.iter().filter_map(version).filter(|(_, old)| !old.of_statement);
        let stood = |at: Option<u32>, commit: u32| at.is_some_and(|at| at <= commit);
        // Later ones come first.
        let found = match from.commit {
            Some(commit) => versions.find(|(_, old)| {
                !old.uncommitted && stood(old.at.commit, commit) || Some(old.at.source) == self.main
            }),
            None => versions.find(|(_, old)| {
                (old.at.source, old.at.commit) == (from.source, None) && !(shown && old.uncommitted)
            }),
        };
        let newest = self.page(link).and_then(|page| page.commit);
        let is_newest = from.commit.is_some_and(|commit| stood(newest, commit));
        found.filter(|_| !is_newest).map(|(number, _)| number)
    }

    /// Whether the view shows a version in the place of its page.
    fn is_shown(&self, version: &PageVersion<'_>) -> bool {
        let shown = self.page(version.number).filter(|_| version.number <= self.page_count);
        shown.is_some_and(|shown| (shown.source, shown.offset) == (version.source, version.offset))
    }

    /// The greatest page number that a link of an overflow page on a version's chain can name.
    pub(super) fn last_chained(&self, from: &PageVersion<'_>) -> u32 {
        match from.space {
            Some(space) => space.pages,
            None if !from.then && self.is_shown(from) => self.page_count,
            None => self.page_count.max(self.main_pages),
        }
    }

    /// Adds the pages of a statement journal to the old versions.
    pub(super) fn add_statement(&mut self, source: SourceId, records: &[Record]) {
        if self.page_count >= FIRST_OLD {
            return;
        }
        for record in records {
            let at = Overlay { source, offset: record.offset, commit: None, proved: false };
            self.old.push(Old {
                page: record.page,
                at,
                uncommitted: false,
                of_statement: true,
                later: false,
                beside: [FIRST_OLD + self.old.len() as u32; 2],
            });
            self.last_of_statement = self.last_of_statement.max(record.page);
        }
        self.old.truncate((FIRST_STRETCH - FIRST_OLD) as usize);
    }

    /// Adds bytes of a temp file, and returns the number that stands for them.
    pub(super) fn add_stretch(&mut self, source: SourceId, offset: u64, length: u64) -> u32 {
        self.stretches.push(Stretch { source, offset, length, page: 0, space: None });
        FIRST_STRETCH + (self.stretches.len() - 1) as u32
    }

    /// Adds the pages of a temp file that is a database of `geometry`, and returns their numbers.
    pub(super) fn add_space(&mut self, source: SourceId, geometry: Geometry) -> Range<u32> {
        let first = FIRST_STRETCH + self.stretches.len() as u32;
        let length = self.sources.get(usize::from(source.0)).map_or(0, |source| source.bytes().len() as u64);
        let size = u64::from(geometry.page_size);
        let pages = u32::try_from(length.div_ceil(size)).unwrap_or(u32::MAX).min(u32::MAX - first);
        let space = Some(Space { first, pages, geometry });
        let page = |index: u32| Stretch {
            source,
            offset: u64::from(index) * size,
            length: size,
            page: index + 1,
            space,
        };
        self.stretches.extend((0..pages).map(page));
        first..first + pages
    }

    fn stretch(&self, stretch: &Stretch) -> Option<PageVersion<'a>> {
        let bytes = self.sources.get(usize::from(stretch.source.0))?.bytes();
        let from = usize::try_from(stretch.offset).ok()?;
        let to = from.saturating_add(usize::try_from(stretch.length).ok()?).min(bytes.len());
        let bytes = bytes.get(from..to).filter(|bytes| !bytes.is_empty())?;
        let Stretch { source, offset, page, space, .. } = *stretch;
        Some(PageVersion { number: page, bytes, source, offset, commit: None, space, then: false })
    }

    /// What the pointer map says of a page, if the database has one.
    pub(super) fn map_entry(&self, page: u32) -> Option<ptrmap::Entry> {
        ptrmap::entry_of(page, self.geometry, |map| Some(self.page(map)?.bytes))
    }

    /// Whether a number is that of an old version.
    pub(super) const fn is_old(&self, number: u32) -> bool {
        number > self.page_count
    }

    /// Adds the versions of pages that the current view doesn't show.
    pub(super) fn add_old(
        &mut self,
        log: Option<(SourceId, &Wal)>,
        journal: Option<(SourceId, &[Record])>,
        later: &Later<'_>,
    ) {
        let shown = |page: u32, source: SourceId, offset: u64| {
            self.overlay.get(&page).is_some_and(|over| over.source == source && over.offset == offset)
        };
        let mut old: Vec<Old> = Vec::new();
        // By page the version that was added last.
        let mut before: HashMap<u32, u32, RandomState> = HashMap::default();
        if let Some((source, log)) = log {
            // Later ones first: what was written last is most likely to be what stood on the lost page.
            let (committed, open) = log.frames.split_at_checked(log.committed).unwrap_or((&log.frames, &[]));
            let groups = [(committed, false), (open, true), (&log.older, log.torn)];
            let frames =
                groups.iter().flat_map(|(frames, open)| frames.iter().rev().map(|frame| (frame, *open)));
            for (frame, uncommitted) in frames {
                // Behind the valid part a page number may be anything.
                let fits = frame.sound || frame.page <= self.page_count;
                if fits && !shown(frame.page, source, frame.offset) {
                    let commit = (frame.commit_number > 0).then_some(frame.commit_number);
                    let at = Overlay { source, offset: frame.offset, commit, proved: frame.sound };
                    let later = !uncommitted && (later.frame)(frame);
                    let number = FIRST_OLD + old.len() as u32;
                    let beside = [number; 2];
                    old.push(Old { page: frame.page, at, uncommitted, of_statement: false, later, beside });
                    if frame.commit_number == 0 || !frame.sound {
                        continue;
                    }
                    // Later ones came first.
                    if let Some(next) = before.insert(frame.page, number)
                        && let Some(behind) =
                            old.get_mut((next - FIRST_OLD) as usize).filter(|old| old.later == later)
                    {
                        behind.beside[0] = number;
                        if let Some(own) = old.last_mut() {
                            own.beside[1] = next;
                        }
                    }
                }
            }
        }
        self.journal = journal.map(|(source, _)| source);
        for record in journal.map(|(_, records)| records).unwrap_or_default() {
            let source = journal.map_or(SourceId(0), |(source, _)| source);
            if shown(record.page, source, record.offset) {
                continue;
            }
            let at = Overlay { source, offset: record.offset, commit: None, proved: false };
            let beside = [FIRST_OLD + old.len() as u32; 2];
            let (uncommitted, of_statement, later) = (false, false, false);
            old.push(Old { page: record.page, at, uncommitted, of_statement, later, beside });
        }
        // Under a log the main file holds what was before it; under a hot journal what was never committed.
        if let Some(source) = self.main.filter(|_| self.has_overlay() || self.is_chosen()) {
            let size = u64::from(self.geometry.page_size);
            let hidden = (1..=self.main_pages)
                .filter(|page| *page > self.page_count || self.overlay.contains_key(page));
            let uncommitted = matches!(self.applied, Applied::Rollback { .. }) || later.main_uncommitted;
            let first = FIRST_OLD + old.len() as u32;
            old.extend((first..).zip(hidden).map(|(number, page)| {
                let at = Overlay { source, offset: u64::from(page - 1) * size, commit: None, proved: false };
                let later = !uncommitted && (later.main)(page);
                Old { page, at, uncommitted, of_statement: false, later, beside: [number; 2] }
            }));
        }
        if self.page_count >= FIRST_OLD {
            old.clear();
        }
        old.truncate((FIRST_STRETCH - FIRST_OLD) as usize);
        self.old_by_page.clear();
        for (number, old) in (FIRST_OLD..).zip(&old) {
            self.old_by_page.entry(old.page).or_default().push(number);
        }
        self.old = old;
    }

    pub(super) fn version(
        &self,
        number: u32,
        source: SourceId,
        offset: u64,
        commit: Option<u32>,
    ) -> Option<PageVersion<'a>> {
        let file = self.sources.get(usize::from(source.0))?;
        let bytes = file.get(offset, self.geometry.page_size as usize)?;
        Some(PageVersion { number, bytes, source, offset, commit, space: None, then: false })
    }

    /// Whether what the view shows of a page may be what a transaction wrote that was never committed.
    pub(super) fn may_be_uncommitted(&self, number: u32) -> bool {
        self.records_lost && number <= self.page_count && self.is_of_main(number)
    }

    /// Whether a page shows as the main file holds it.
    pub(super) fn is_of_main(&self, number: u32) -> bool {
        self.main.is_some() && !self.overlay.contains_key(&number)
    }

    /// Whether anything overlays the main file.
    pub(super) fn has_overlay(&self) -> bool {
        !self.overlay.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_ABSENT_PAGES, View};
    use crate::source::SourceId;
    use mudlark_parsers::sqlite::geometry::Geometry;
    use mudlark_parsers::sqlite::journal::journal;
    use mudlark_parsers::sqlite::wal::{self, wal};

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn a_log_that_counts_four_billion_pages_takes_no_memory_for_them() {
        let mut bytes = words(&[wal::MAGIC, wal::FORMAT_VERSION, 512, 0, 7, 9]);
        let first = wal::checksum(&bytes, false, [0, 0]);
        let head = words(&[2, u32::MAX]);
        let sum = wal::checksum(&[0; 512], false, wal::checksum(&head, false, first));
        bytes.extend(words(&first));
        bytes.extend(head);
        bytes.extend(words(&[7, 9]));
        bytes.extend(words(&sum));
        bytes.extend([0; 512]);
        let view = View::main(&[], None, PAGE).with_log(&wal(&bytes).unwrap(), SourceId(0));
        assert_eq!((view.page_count, view.has_overlay()), (MAX_ABSENT_PAGES + 1, true));
    }

    #[test]
    fn a_journal_that_counts_four_billion_pages_takes_no_memory_for_them() {
        let mut bytes = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
        bytes.extend(words(&[0, 7, u32::MAX, 512, 512]));
        let view = View::main(&[], None, PAGE).with_rollback(&journal(&bytes).unwrap(), SourceId(0));
        assert_eq!(view.page_count, MAX_ABSENT_PAGES);
    }
}
