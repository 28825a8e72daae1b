//! The commits of a log: those of its current generation, and those of which older generations still hold frames.

use crate::model::Point;
use crate::words::count;
use mudlark_parsers::sqlite::wal::{Frame, Wal};
use std::collections::BTreeMap;

/// A page as a commit left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    pub page: u32,
    /// Where its bytes stand in the log.
    pub offset: u64,
    /// Whether checksums prove them.
    pub sound: bool,
    /// Whether the number of the page is believed.
    pub placed: bool,
}

/// What is known of a commit's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// All of them are there.
    Whole,
    /// Newer frames may have taken the place of its first ones.
    TailOnly,
    /// The log ends before the transaction does, or goes on behind a frame that can't be proved.
    Open,
}

/// A transaction of a log.
#[derive(Clone, Debug)]
pub struct LogCommit {
    /// Its name, when it is a commit.
    pub point: Option<Point>,
    pub salts: [u32; 2],
    /// Numbers of its first and its last frame.
    pub frames: (u32, u32),
    /// The last frame of each page, by page.
    pub pages: Vec<Framed>,
    /// Pages of the database behind it; 0 when it is no commit.
    pub page_count: u32,
    /// Frames whose checksum does not hold.
    pub unsound: u32,
    pub held: Held,
}

/// The commits of a log.
#[derive(Clone, Debug, Default)]
pub struct Commits {
    /// Older generations, each from its first to its last; those that the current one followed at once come last.
    pub older: Vec<Vec<LogCommit>>,
    /// The current generation.
    pub current: Vec<LogCommit>,
    /// Of these, the first ones that the running checksum proves, as far as SQLite itself reads. Behind a damaged frame
    /// each is proved by the one before only.
    pub proved: usize,
    /// Frames of the current generation behind its last commit.
    pub open: Vec<LogCommit>,
}

impl Commits {
    pub(in super::super) fn of(log: &Wal) -> Self {
        let (committed, rest) = log.frames.split_at_checked(log.committed).unwrap_or((&log.frames, &[]));
        let mut current = transactions(committed, false);
        let first_damaged = current.iter().position(|commit| commit.unsound > 0);
        let proved = first_damaged.unwrap_or(current.len());
        for (number, commit) in current.iter_mut().enumerate() {
            commit.point = Some(Point::Commit(number as u32 + 1));
        }
        let torn = log.older.iter().filter(|frame| frame.own);
        let rest: Vec<Frame> = rest.iter().chain(torn).copied().collect();
        let mut open = transactions(&rest, false);
        open.iter_mut().for_each(|commit| commit.held = Held::Open);
        let mut older: Vec<Vec<LogCommit>> = Vec::new();
        let others: Vec<Frame> = log.older.iter().filter(|frame| !frame.own).copied().collect();
        for run in others.chunk_by(|a, b| a.salts == b.salts && a.number + 1 == b.number) {
            let mut run = transactions(run, true);
            let commits = run.iter_mut().filter(|commit| commit.page_count > 0);
            for (number, commit) in (1..).zip(commits) {
                commit.point = Some(Point::Older { salts: commit.salts, commit: number });
            }
            older.push(run);
        }
        // How many generations ago: each begins with salts one up.
        let ago = |run: &Vec<LogCommit>| {
            run.first().map(|commit| log.header.salts[0].wrapping_sub(commit.salts[0]))
        };
        older.sort_by_key(|run| std::cmp::Reverse(ago(run)));
        Self { older, current, proved, open }
    }

    /// The generation that the current one followed at once.
    pub fn previous(&self, log: &Wal) -> Option<&[LogCommit]> {
        let salts = log.header.salts[0].wrapping_sub(1);
        let mut runs = self.older.iter().filter(|run| run.first().is_some_and(|c| c.salts[0] == salts));
        // Two runs of frames would be two guesses at what lies between.
        runs.next().filter(|_| runs.next().is_none()).map(Vec::as_slice)
    }
}

/// Frames, cut behind each commit; the first transaction may lack frames when `cut`. Of the current generation only a
/// proved frame ends one, as the numbers of its commits count.
fn transactions(frames: &[Frame], cut: bool) -> Vec<LogCommit> {
    let mut found = Vec::new();
    let ends = |frame: &Frame| frame.commit != 0 && (cut || frame.sound || frame.commit_number == 0);
    for (index, part) in frames.split_inclusive(|frame| ends(frame)).enumerate() {
        let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
        let mut pages: BTreeMap<u32, Framed> = BTreeMap::new();
        for frame in part {
            let framed =
                Framed { page: frame.page, offset: frame.offset, sound: frame.sound, placed: frame.placed };
            pages.insert(frame.page, framed);
        }
        let held = match (last.commit != 0, cut && index == 0) {
            (false, _) => Held::Open,
            (true, true) => Held::TailOnly,
            (true, false) => Held::Whole,
        };
        found.push(LogCommit {
            point: None,
            salts: first.salts,
            frames: (first.number, last.number),
            pages: pages.into_values().collect(),
            page_count: last.commit,
            unsound: part.iter().filter(|frame| !frame.sound || frame.mended).count() as u32,
            held,
        });
    }
    found
}

/// Commits from the first to the last.
pub fn names([first, last]: [Point; 2]) -> String {
    if first == last { first.to_string() } else { format!("{first} to {last}") }
}

/// That commits follow a damaged frame, for a person.
pub fn beyond(which: [Point; 2], commits: u64, damaged_at: Option<u64>) -> String {
    let at = damaged_at.map(|at| format!(" at {at:#x}")).unwrap_or_default();
    format!(
        "behind a damaged frame{at}, where SQLite stops reading, the log goes on with {} ({}) whose frames are proved only by \
         the ones before them; `replay --force-frames` goes on",
        count(commits, "commit"),
        names(which)
    )
}
