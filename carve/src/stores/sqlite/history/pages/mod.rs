//! The versions of each page: the main file, and what each commit of the log made of it.

mod bases;
mod made;
mod short;

use super::super::view::PageVersion;
use super::commits::{Held, LogCommit};
use crate::model::Point;
use crate::source::{Source, SourceId};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::Page;
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
    /// The main file ends before it, or is not there.
    NotThere,
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
    /// How many it must have had.
    had: u32,
    /// The commits between the states, in order.
    pub commits: Vec<LogCommit>,
    /// By page: the states from which on it was this, in order.
    versions: HashMap<u32, Vec<Version>>,
    /// The commit of an older generation behind which state 0 is.
    first: Option<Point>,
    /// The state before the first commit of the current generation.
    before_current: u32,
    /// More pages than there were.
    pub most: u32,
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
                Seen::Absent if self.is_cut_off(page, state) || self.is_behind_end(page) => Seen::Unknown,
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

    /// A page in a state, or as it was first known later.
    pub fn at_or_later(&self, page: u32, state: u32) -> Seen<'a> {
        match self.at(page, state) {
            Seen::Unknown => {
                let versions = self.versions.get(&page).map(Vec::as_slice).unwrap_or_default();
                let next = versions.iter().find(|version| version.state > state && version.sound);
                // What no commit wrote the main file may hold as it was, or newer.
                let is_main = versions.is_empty() && !self.is_behind_end(page);
                let in_main = || if is_main { self.in_main(page) } else { Seen::Unknown };
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
        match is_held {
            true => Lost::Damaged,
            false if self.is_behind_end(page) => Lost::NotThere,
            false => Lost::Overwritten,
        }
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
