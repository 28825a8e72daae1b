//! The versions of each page: the main file, and what each commit of the log made of it.

mod bases;

use super::super::view::PageVersion;
use super::commits::{Commits, Framed, Held, LogCommit};
use crate::model::Point;
use crate::source::{Source, SourceId};
use bases::Damaged;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::journal::Record;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::wal::Wal;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// What a page was in a state.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// These bytes.
    Image(PageVersion<'a>),
    /// No page of the database yet.
    Absent,
    /// Its bytes are lost, or can't be proved.
    Unknown,
}

impl<'a> Seen<'a> {
    pub fn image(self) -> Option<PageVersion<'a>> {
        match self {
            Self::Image(version) => Some(version),
            _ => None,
        }
    }
}

/// Why a page is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A checkpoint wrote a later version over it, or may have.
    Overwritten,
    /// Its frame or record is damaged.
    Damaged,
}

/// The pages of a database over time. State 0 is the oldest that is known, state N the one behind the N-th commit.
#[derive(Debug)]
pub struct Pages<'a> {
    sources: &'a [Source],
    main: Option<SourceId>,
    pub geometry: Geometry,
    pub main_pages: u32,
    /// The commits between the states, in order.
    pub commits: Vec<LogCommit>,
    /// By page: the states from which on it was this, in order.
    versions: HashMap<u32, Vec<Version>>,
    /// The commit of an older generation behind which state 0 is.
    first: Option<Point>,
    /// The state before the first commit of the current generation.
    before_current: u32,
    /// More pages than the files can hold.
    most: u32,
    /// Pages of which the main file holds none that is older than the versions, or may do so.
    lost_bases: HashSet<u32>,
    /// States whose commits wrote a page of which nothing tells which it was.
    unplaced: Vec<u32>,
    /// A checkpoint went beyond what the log still proves, so that any page of the main file may be newer.
    all_bases_lost: bool,
    /// The main file holds a page as a commit of the current generation left it.
    any_copied: bool,
    /// The first commit of the current generation that no checkpoint has copied as a whole.
    uncopied_from: u32,
    /// Pages of the database in each state; 0 when that is lost.
    counts: Vec<u32>,
    /// For each state the least of the counts behind it to which a checkpoint may have cut the main file.
    cut_to: Vec<u32>,
    /// Overflow pages that were followed since the last [`Pages::begin`], and how many may be.
    followed: AtomicU64,
    most_followed: u64,
}

#[derive(Clone, Copy, Debug)]
struct Version {
    state: u32,
    source: SourceId,
    offset: u64,
    sound: bool,
    /// There is no such page from here on.
    absent: bool,
}

impl<'a> Pages<'a> {
    /// The pages under a log. The generation before the current one counts, since it was copied to the main file as a
    /// whole before the current one began: the first commit that it still holds makes state 0.
    pub(in super::super) fn of(
        sources: &'a [Source],
        main: Option<SourceId>,
        (log, wal): (SourceId, &Wal),
        geometry: Geometry,
        commits: &Commits,
    ) -> Self {
        let file = main.and_then(|main| sources.get(usize::from(main.0)));
        let len = file.map_or(0, Source::len);
        let main_pages = u32::try_from(len / u64::from(geometry.page_size)).unwrap_or(u32::MAX - 1);
        // Frames name no page beyond what they and the file could hold, unless the log is damaged.
        let frames = wal.frames.len() + wal.older.len();
        let most = main_pages.saturating_add(u32::try_from(frames).unwrap_or(u32::MAX));
        let damaged = Damaged { sources, main: file, log, wal, page_size: geometry.page_size };
        let previous = commits.previous(wal).unwrap_or_default();
        let previous: Vec<&LogCommit> = previous.iter().filter(|commit| commit.point.is_some()).collect();
        let mut versions: HashMap<u32, Vec<Version>> = HashMap::new();
        let mut add = |commit: &LogCommit, state: u32| {
            // What a checkpoint copied of an unproved first commit stands in the main file.
            let counts = |framed: &&Framed| framed.page <= most && (framed.sound || state > 0);
            for framed in commit.pages.iter().filter(counts) {
                let (offset, sound) = (framed.offset, framed.sound);
                let mut version = Version { state, source: log, offset, sound, absent: false };
                if let Some((main, in_main)) = main.zip(damaged.whole_in_main(framed)) {
                    // A checkpoint copied the page before the frame was damaged.
                    version = Version { source: main, offset: in_main, sound: true, ..version };
                }
                versions.entry(framed.page).or_default().push(version);
            }
        };
        let mut counted: Vec<LogCommit> = Vec::new();
        let (mut first_count, mut first_point) = (None, None);
        if let Some((first, rest)) = previous.split_first() {
            add(first, 0);
            (first_count, first_point) = (Some(first.page_count), first.point);
            counted.extend(rest.iter().map(|commit| (*commit).clone()));
        }
        let before_current = counted.len() as u32;
        counted.extend(commits.current.iter().cloned());
        for (index, commit) in counted.iter().enumerate() {
            add(commit, index as u32 + 1);
        }
        let unplaced = counted.iter().zip(1..).filter(|(commit, state)| {
            *state > before_current && commit.pages.iter().any(|framed| !framed.placed || framed.page > most)
        });
        let unplaced = unplaced.map(|(_, state)| state).collect();
        for commit in &mut counted {
            commit.pages.retain(|framed| framed.page <= most);
        }
        let mut pages = Self {
            sources,
            main,
            geometry,
            main_pages,
            commits: counted,
            versions,
            first: first_point,
            before_current,
            most,
            unplaced,
            lost_bases: HashSet::new(),
            all_bases_lost: false,
            any_copied: false,
            uncopied_from: u32::MAX,
            counts: Vec::new(),
            cut_to: Vec::new(),
            followed: AtomicU64::new(0),
            // A page is in one chain at most, in each of the two states that are compared.
            most_followed: 4 * u64::from(most) + 1024,
        };
        pages.find_lost_bases(before_current, &damaged);
        pages.count(first_count);
        pages
    }

    /// The pages around the last transaction of a rollback journal: state 0 is before it, as its records say, state 1 what
    /// the main file holds. `before` is how many pages there were; pages behind them the transaction added. The `damaged`
    /// records can't be proved.
    pub(in super::super) fn of_journal(
        sources: &'a [Source],
        main: SourceId,
        (journal, records, damaged): (SourceId, &[Record], &[Record]),
        before: u32,
        geometry: Geometry,
    ) -> Self {
        let len = sources.get(usize::from(main.0)).map_or(0, Source::len);
        let main_pages = u32::try_from(len / u64::from(geometry.page_size)).unwrap_or(u32::MAX - 1);
        let most = main_pages.saturating_add(u32::try_from(records.len()).unwrap_or(u32::MAX));
        let in_main = |page: u32| Version {
            state: 1,
            source: main,
            offset: u64::from(page - 1) * u64::from(geometry.page_size),
            sound: true,
            absent: page > main_pages,
        };
        let mut versions: HashMap<u32, Vec<Version>> = HashMap::new();
        let records = records.iter().map(|record| (record, true));
        let records = records.chain(damaged.iter().map(|record| (record, false)));
        for (record, sound) in records.filter(|(record, _)| (1..=before.min(most)).contains(&record.page)) {
            let old = Version { state: 0, source: journal, offset: record.offset, sound, absent: false };
            // The first record of a page is the one from before the transaction.
            versions.entry(record.page).or_insert_with(|| vec![old, in_main(record.page)]);
        }
        for page in before.saturating_add(1)..=main_pages {
            let old = Version { state: 0, source: main, offset: 0, sound: true, absent: true };
            versions.entry(page).or_insert_with(|| vec![old, in_main(page)]);
        }
        let mut pages: Vec<Framed> = versions
            .keys()
            .map(|page| Framed { page: *page, offset: 0, sound: true, placed: true })
            .collect();
        pages.sort_unstable_by_key(|framed| framed.page);
        let commit = LogCommit {
            point: None,
            salts: [0; 2],
            frames: (0, 0),
            pages,
            page_count: main_pages,
            unsound: 0,
            held: Held::Open,
        };
        Self {
            sources,
            main: Some(main),
            geometry,
            main_pages,
            commits: vec![commit],
            versions,
            first: None,
            before_current: 0,
            most,
            unplaced: Vec::new(),
            lost_bases: HashSet::new(),
            all_bases_lost: false,
            any_copied: false,
            uncopied_from: u32::MAX,
            counts: vec![before.min(most), main_pages],
            cut_to: Vec::new(),
            followed: AtomicU64::new(0),
            most_followed: 4 * u64::from(most) + 1024,
        }
    }

    /// The main file alone, which is the only state.
    pub(in super::super) fn of_main(sources: &'a [Source], main: SourceId, geometry: Geometry) -> Self {
        let mut pages = Self::of_journal(sources, main, (main, &[], &[]), u32::MAX, geometry);
        pages.commits.clear();
        pages.counts = vec![pages.main_pages];
        pages
    }

    /// Counts overflow pages anew.
    pub fn begin(&self) {
        self.followed.store(0, Ordering::Relaxed);
    }

    /// Whether one more overflow page may be followed: chains of a damaged file may share pages without end.
    pub fn may_follow(&self) -> bool {
        self.followed.fetch_add(1, Ordering::Relaxed) < self.most_followed
    }

    /// Whether more overflow pages were asked for than there can be.
    pub fn is_overrun(&self) -> bool {
        self.followed.load(Ordering::Relaxed) > self.most_followed
    }

    /// The commit of an older generation behind which state 0 is.
    pub const fn first(&self) -> Option<Point> {
        self.first
    }

    /// The state before the first commit of the current generation.
    pub const fn before_current(&self) -> u32 {
        self.before_current
    }

    /// Number of the last state.
    pub fn last(&self) -> u32 {
        self.commits.len() as u32
    }

    /// The pages that the commit before a state wrote.
    pub fn written(&self, state: u32) -> impl Iterator<Item = u32> + '_ {
        let commit = (state as usize).checked_sub(1).and_then(|index| self.commits.get(index));
        commit.into_iter().flat_map(|commit| commit.pages.iter().map(|framed| framed.page))
    }

    /// The pages that any commit wrote, in order.
    pub fn all_written(&self) -> Vec<u32> {
        let mut pages: Vec<u32> = self.versions.keys().copied().collect();
        pages.sort_unstable();
        pages
    }

    /// The states from which on a page was something else, the first among them.
    pub fn changes(&self, page: u32) -> Vec<u32> {
        let versions = self.versions.get(&page).into_iter().flatten();
        let mut states: Vec<u32> = versions.map(|version| version.state).collect();
        if states.first() != Some(&0) {
            states.insert(0, 0);
        }
        states
    }

    /// How many frames all commits wrote, at most.
    pub fn written_in_all(&self) -> u32 {
        let frames = self.commits.iter().map(|commit| commit.pages.len() as u64).sum::<u64>();
        u32::try_from(frames).unwrap_or(u32::MAX)
    }

    /// The commit that made a state.
    pub fn point(&self, state: u32) -> Point {
        let commit = (state as usize).checked_sub(1).and_then(|index| self.commits.get(index));
        commit.and_then(|commit| commit.point).unwrap_or(Point::BeforeLog)
    }

    /// A page in a state.
    pub fn at(&self, page: u32, state: u32) -> Seen<'a> {
        let versions = self.versions.get(&page).map(Vec::as_slice).unwrap_or_default();
        let after = versions.partition_point(|version| version.state <= state);
        match after.checked_sub(1).and_then(|index| versions.get(index)) {
            Some(version) if version.absent => Seen::Absent,
            Some(version) if !version.sound || self.is_unplaced_since(version.state, state) => Seen::Unknown,
            Some(version) => self.framed(page, version),
            None if self.is_unplaced_since(0, state) => Seen::Unknown,
            None if self.is_lost_base(page) => Seen::Unknown,
            None => match self.in_main(page) {
                Seen::Absent if self.is_cut_off(page, state) => Seen::Unknown,
                seen => seen,
            },
        }
    }

    /// Pages of the database in a state, as the commit or the header says, and the main file's where it is longer, as
    /// SQLite leaves that as it is; `None` when it is lost, or beyond what the files can hold.
    pub fn page_count(&self, state: u32) -> Option<u32> {
        let count = self.counts.get(state as usize).copied().unwrap_or(0);
        // Pages that were counted and never written are free.
        (1..=self.most.saturating_mul(2)).contains(&count).then_some(count)
    }

    /// Whether a page that was there in a state may have been cut off the main file by a checkpoint since.
    fn is_cut_off(&self, page: u32, state: u32) -> bool {
        self.page_count(state).is_some_and(|count| page <= count)
            && self.cut_to.get(state as usize).is_some_and(|least| *least < page)
    }

    /// Whether a page that was written in a state may have been written again up to another one.
    fn is_unplaced_since(&self, from: u32, to: u32) -> bool {
        self.unplaced.iter().any(|state| (from..=to).contains(state))
    }

    fn is_lost_base(&self, page: u32) -> bool {
        self.lost_bases.contains(&page) || self.all_bases_lost
    }

    /// Counts the pages of each state.
    fn count(&mut self, first: Option<u32>) {
        let first = first.unwrap_or_else(|| {
            let stated = self.at(1, 0).image().and_then(|first| header::header(first.bytes).ok());
            let stated = stated.and_then(|(_, header)| header.believed_page_count()).unwrap_or(0);
            // What is longer in the main file is of a later state where a checkpoint wrote all of it.
            let copied = (stated + 1..=self.main_pages).all(|page| self.lost_bases.contains(&page));
            if stated > 0 && copied { stated } else { stated.max(self.main_pages) }
        });
        let counts = self.commits.iter().map(|commit| commit.page_count);
        self.counts = std::iter::once(first).chain(counts).collect();
        let mut least = u32::MAX;
        let mut cut_to: Vec<u32> = Vec::with_capacity(self.counts.len());
        for (state, count) in self.counts.iter().enumerate().rev() {
            cut_to.push(least);
            least = if (state as u32) < self.uncopied_from { least.min(*count) } else { least };
        }
        cut_to.reverse();
        self.cut_to = cut_to;
    }

    /// A page in a state, or as it was first known later.
    pub fn at_or_later(&self, page: u32, state: u32) -> Seen<'a> {
        match self.at(page, state) {
            Seen::Unknown => {
                let versions = self.versions.get(&page).map(Vec::as_slice).unwrap_or_default();
                let next = versions.iter().find(|version| version.state > state && version.sound);
                // What no commit wrote the main file may hold as it was, or newer.
                let in_main = || if versions.is_empty() { self.in_main(page) } else { Seen::Unknown };
                next.map_or_else(in_main, |version| self.framed(page, version))
            }
            seen => seen,
        }
    }

    /// The latest state of which the main file is known to hold a page.
    pub fn state_of_main(&self, page: u32) -> u32 {
        let states = self.states_in_main(page);
        if self.lost_bases.contains(&page) { states.last().copied() } else { None }
            .unwrap_or(self.before_current)
    }

    /// Whether the main file holds a page as a commit behind a state left it, and none before did.
    pub fn is_main_later(&self, page: u32, state: u32) -> bool {
        let states = self.states_in_main(page);
        self.lost_bases.contains(&page) && states.first().is_some_and(|first| *first > state)
    }

    /// The states whose commits wrote a page as the main file holds it.
    fn states_in_main(&self, page: u32) -> Vec<u32> {
        let Some(main) = self.in_main(page).image() else { return Vec::new() };
        let versions = self.versions.get(&page).into_iter().flatten();
        let is_main = |version: &&Version| {
            self.framed(page, version).image().is_some_and(|image| image.bytes == main.bytes)
        };
        versions.filter(is_main).map(|version| version.state).collect()
    }

    /// Why a page is not known in a state.
    pub fn why_lost(&self, page: u32, state: u32) -> Lost {
        let versions = self.versions.get(&page).map(Vec::as_slice).unwrap_or_default();
        let is_held = versions.iter().any(|version| version.state <= state);
        if is_held { Lost::Damaged } else { Lost::Overwritten }
    }

    /// What is nearest to a page that is not known in a state: its damaged bytes, where they begin as a page does; the next
    /// version; the one before; what the main file holds. With the state that it is of; `None` where that is not known.
    pub fn stand_in(&self, page: u32, state: u32) -> Option<(PageVersion<'a>, Option<u32>)> {
        let versions = self.versions.get(&page).map(Vec::as_slice).unwrap_or_default();
        let (before, after) = versions.split_at(versions.partition_point(|version| version.state <= state));
        let image = |version: &Version| self.framed(page, version).image();
        let own = before.last().filter(|own| !own.sound && !own.absent).and_then(image);
        let own = own.filter(|own| Page::parse(own.bytes, page, self.geometry).is_some());
        let sound = |version: &&Version| version.sound && !version.absent;
        let other = || {
            let found = after.iter().find(sound).or_else(|| before.iter().rfind(sound))?;
            Some((image(found)?, Some(found.state)))
        };
        let in_main = || self.in_main(page).image().map(|main| (main, None));
        own.map(|own| (own, Some(state))).or_else(other).or_else(in_main)
    }

    /// The first state behind this one in which a page is known that is not known in this one.
    pub fn first_known(&self, page: u32, state: u32) -> Option<u32> {
        let mut later = self.versions.get(&page)?.iter().filter(|version| version.state > state);
        later.find(|version| version.sound).map(|version| version.state)
    }

    /// Whether the commit that made a state wrote the page.
    pub fn is_written_by(&self, page: u32, state: u32) -> bool {
        let all = self.versions.get(&page).map(Vec::as_slice).unwrap_or_default();
        all.binary_search_by_key(&state, |version| version.state).is_ok()
    }

    /// Whether each page stays in its tree from a state to a later one, as none of the commits between writes page 1.
    pub fn keeps_owners(&self, from: u32, to: u32) -> bool {
        let leaves_alone = |state: u32| {
            // Nothing tells which pages damaged frames were, or the lost records of a journal.
            let commit = self.commits.get(state as usize - 1);
            commit.is_some_and(|commit| commit.held == Held::Whole && commit.unsound == 0)
                && !self.is_written_by(1, state)
        };
        (from.saturating_add(1)..=to).all(leaves_alone)
    }

    /// Whether the page was written, and the main file holds it as it was before.
    pub fn has_older_base(&self, page: u32) -> bool {
        self.versions.contains_key(&page) && self.is_base(page)
    }

    /// How many pages the main file does not hold as they were before the commits that wrote them.
    pub fn lost_bases(&self) -> u64 {
        self.lost_bases.len() as u64
    }

    /// The pages of which the main file does not hold what was in state 0.
    pub fn without_base(&self) -> HashSet<u32> {
        self.versions.keys().copied().filter(|page| !self.is_base(*page)).collect()
    }

    fn is_base(&self, page: u32) -> bool {
        !self.is_lost_base(page)
            && self.versions.get(&page).and_then(|v| v.first()).is_none_or(|first| first.state > 0)
    }

    fn framed(&self, page: u32, version: &Version) -> Seen<'a> {
        let commit = match self.point(version.state) {
            Point::Commit(number) => Some(number),
            _ => None,
        };
        let image = self.bytes(page, version.source, version.offset);
        image.map_or(Seen::Unknown, |image| Seen::Image(PageVersion { commit, ..image }))
    }

    /// A page as the main file has it.
    pub fn in_main(&self, page: u32) -> Seen<'a> {
        let Some((main, index)) = self.main.zip(page.checked_sub(1)) else { return Seen::Unknown };
        if page > self.main_pages {
            return Seen::Absent;
        }
        let offset = u64::from(index) * u64::from(self.geometry.page_size);
        self.bytes(page, main, offset).map_or(Seen::Unknown, Seen::Image)
    }

    fn bytes(&self, number: u32, source: SourceId, offset: u64) -> Option<PageVersion<'a>> {
        let size = self.geometry.page_size as usize;
        let file = self.sources.get(usize::from(source.0))?;
        let bytes = file.get(offset, size).filter(|bytes| bytes.len() == size)?;
        Some(PageVersion { number, bytes, source, offset, commit: None, space: None, then: false })
    }
}
