//! The versions of pages, gathered from a main file and a log or a journal.

use super::bases::Damaged;
use super::{Pages, Version};
use crate::source::{Source, SourceId};
use crate::stores::sqlite::history::commits::{Commits, Framed, Held, LogCommit};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::journal::Record;
use mudlark_parsers::sqlite::wal::Wal;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;

/// Pages that are believed of a main file which is not there: 16 GiB in pages of 4096 bytes. What is kept of each takes a few
/// bytes, and a log of one frame may claim any number.
const MOST_NOT_THERE: u32 = 1 << 22;

impl<'a> Pages<'a> {
    /// The pages under a log. The generation before the current one counts, since it was copied to the main file as a
    /// whole before the current one began: the first commit that it still holds makes state 0.
    pub(in super::super::super) fn of(
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
        // Where the main file is not all there, commits say how many pages there were.
        let counted = commits.current.iter().filter(|commit| commit.held == Held::Whole);
        let counted = counted.map(|commit| commit.page_count).max().unwrap_or(0);
        let most = most.max(counted.min(MOST_NOT_THERE));
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
            had: 0,
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
        pages.had = pages.pages_before(first_count);
        pages.count(first_count);
        pages
    }

    /// The pages around the last transaction of a rollback journal: state 0 is before it, as its records say, state 1 what
    /// the main file holds. `before` is how many pages there were; pages behind them the transaction added. The `damaged`
    /// records can't be proved.
    pub(in super::super::super) fn of_journal(
        sources: &'a [Source],
        main: SourceId,
        (journal, records, damaged): (SourceId, &[Record], &[Record]),
        before: u32,
        geometry: Geometry,
    ) -> Self {
        let file = sources.get(usize::from(main.0));
        let len = file.map_or(0, Source::len);
        let main_pages = u32::try_from(len / u64::from(geometry.page_size)).unwrap_or(u32::MAX - 1);
        let most = main_pages.saturating_add(u32::try_from(records.len()).unwrap_or(u32::MAX));
        // A transaction that gives pages back says so on page 1 before it cuts the file.
        let head = file.and_then(|file| header::header(file.get(0, header::LEN)?).ok());
        let stated = head.and_then(|(_, head)| head.believed_page_count()).unwrap_or(0);
        let in_main = |page: u32| Version {
            state: 1,
            source: main,
            offset: u64::from(page - 1) * u64::from(geometry.page_size),
            sound: page <= main_pages || page > stated,
            absent: page > main_pages && page > stated,
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
            had: if before > most { 0 } else { before },
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
    pub(in super::super::super) fn of_main(
        sources: &'a [Source],
        main: SourceId,
        geometry: Geometry,
    ) -> Self {
        let mut pages = Self::of_journal(sources, main, (main, &[], &[]), u32::MAX, geometry);
        pages.commits.clear();
        pages.counts = vec![pages.main_pages];
        pages
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
}
