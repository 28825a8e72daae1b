//! Which pages the main file no longer holds as they were before a log: a checkpoint wrote later ones over them, or may
//! have.

use super::super::commits::Framed;
use super::{Pages, Seen, Version};
use crate::source::{Source, SourceId};
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::shm;
use mudlark_parsers::sqlite::wal::{self, Frame, Wal};
use std::collections::HashSet;

/// Pages that are asked whether a checkpoint passed them over, for each that it may have copied.
const MOST_ASKED: usize = 256;

impl Pages<'_> {
    /// Finds the pages whose older bytes a checkpoint has overwritten, or may have: those that an older generation wrote,
    /// and those that the main file holds as a commit of this log left them. SQLite copies the pages whose last frame is
    /// of some first commits, in the order of their numbers: one of those that it passed over shows that it didn't.
    pub(super) fn find_lost_bases(&mut self, before_current: u32, log: &Damaged<'_>) {
        let mut lost = HashSet::new();
        // The latest commit of which a checkpoint is known to have copied a page.
        let mut copied_to = 0;
        let mut any_copied = false;
        // Pages so far that no checkpoint reached.
        let mut passed_over: Vec<&[Version]> = Vec::new();
        // States in which a damaged frame holds a page that is nowhere else.
        let mut damaged: Vec<(u32, u32)> = Vec::new();
        for page in self.all_written() {
            let Some(versions) = self.versions.get(&page) else { continue };
            let main = match self.in_main(page) {
                Seen::Image(main) => Some(main.bytes),
                Seen::Absent => None,
                Seen::Unknown => {
                    lost.insert(page);
                    any_copied = true;
                    continue;
                }
            };
            let current = || versions.iter().filter(|version| version.state > before_current);
            let image = |version: &Version| self.framed(page, version).image().map(|image| image.bytes);
            let copies = || current().filter(|version| main.is_some() && image(version) == main);
            // Whether one of the pages before it would have been copied with this version: the log went no further then
            // than to where it has the page again.
            let is_disproved = |copied: &Version| {
                let again = versions.iter().map(|version| version.state).find(|state| *state > copied.state);
                let again = again.unwrap_or(u32::MAX);
                let would_be_copied = |other: &&[Version]| {
                    let mut states = other.iter().map(|version| version.state);
                    states.clone().any(|state| state > before_current && state <= copied.state)
                        && !states.any(|state| state > copied.state && state < again)
                };
                passed_over.iter().rev().take(MOST_ASKED).any(would_be_copied)
            };
            damaged.extend(current().filter(|version| !version.sound).map(|version| (page, version.state)));
            if copies().next().is_none() {
                if current().all(|version| version.sound) {
                    passed_over.push(versions);
                    let first = current().map(|version| version.state).next();
                    self.uncopied_from = self.uncopied_from.min(first.unwrap_or(u32::MAX));
                }
            } else if !copies().all(is_disproved) {
                lost.insert(page);
                any_copied = true;
                let first = copies().map(|version| version.state).find(|_| true);
                copied_to = copied_to.max(first.unwrap_or(0));
            }
            if versions.first().is_some_and(|first| (1..=before_current).contains(&first.state)) {
                lost.insert(page);
            }
        }
        // A checkpoint that went beyond a damaged frame copied its page, whose number may be damaged too.
        let is_explained = |(page, state): &(u32, u32)| {
            let main = self.in_main(*page).image().map(|image| image.bytes);
            let versions = self.versions.get(page).into_iter().flatten();
            versions.filter(|version| version.state >= *state).any(|version| {
                self.framed(*page, version).image().map(|image| image.bytes) == main && main.is_some()
            })
        };
        let beyond = damaged.iter().any(|seen| seen.1 <= copied_to && !is_explained(seen))
            || self.unplaced.iter().any(|state| *state <= copied_to);
        self.all_bases_lost =
            beyond || self.is_copied_beyond(log) || self.is_ahead(before_current) || log.is_index_ahead();
        self.any_copied = any_copied || self.all_bases_lost;
        self.lost_bases = lost;
    }

    /// Whether the main file holds, or may hold, a page as a commit of the current generation left it.
    pub fn is_any_copied(&self) -> bool {
        self.any_copied
    }

    /// How many changes the main file counts, and the last frame of the first commit that counted so many; `None` unless a
    /// checkpoint must have copied that. A connection that begins to write adds one to the count that it read: the first
    /// page 1 of a generation counts as much as the one before it or one more, and a greater count was copied from the log.
    pub fn counted_in_main(&self) -> Option<(u32, u32)> {
        let counter = |bytes| header::header(bytes).ok().map(|(_, header)| header.change_counter);
        let main = counter(self.in_main(1).image()?.bytes)?;
        let current = self.versions.get(&1)?.iter().filter(|version| version.state > self.before_current);
        let mut counted = current.map(|version| {
            let image = self.framed(1, version).image().filter(|_| version.sound);
            (version.state, image.and_then(|image| counter(image.bytes)))
        });
        let (_, first) = counted.next()?;
        first.filter(|first| main.wrapping_sub(*first).cast_signed() > 0)?;
        let (state, _) = counted.find(|(_, counted)| *counted == Some(main))?;
        Some((main, self.commits.get((state as usize).checked_sub(1)?)?.frames.1))
    }

    /// Whether the main file holds later pages than the log: of two pages that the log last wrote one before the other a
    /// checkpoint has copied the later one, and the main file holds the other as nothing in the log has it. Where the main
    /// file counts more changes than the log began with, its page 1 was copied, and so was what was written before. One
    /// connection counts no more changes than its first in a log, and often writes page 1 as it was: then that page tells
    /// nothing, and another one may be again what it was before the log.
    fn is_ahead(&self, before_current: u32) -> bool {
        let (mut copied, mut strange): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let mut first: Option<Option<u32>> = None;
        let is_counted = self.counted_in_main().is_some();
        for (page, versions) in &self.versions {
            let Some(main) = self.in_main(*page).image().filter(|_| versions.iter().all(|seen| seen.sound))
            else {
                continue;
            };
            let Some(last) = versions.last().filter(|last| last.state > before_current) else { continue };
            let image = |version: &Version| self.framed(*page, version).image().map(|image| image.bytes);
            let same = versions.iter().rfind(|version| image(version) == Some(main.bytes));
            let is_left =
                |version: &Version| version.state <= before_current && image(version) == Some(main.bytes);
            if *page == 1 {
                let copied = same.map(|same| same.state).filter(|state| *state > before_current);
                first = Some(copied).filter(|copied| copied.is_none() || is_counted);
            }
            match same {
                None => strange.push(last.state),
                // An older generation left it so, and perhaps no checkpoint of this one.
                Some(_) if versions.iter().any(is_left) => {}
                Some(same) if *page == 1 => copied.extend(is_counted.then_some(same.state)),
                // What was something else in between is so by a copy rather than by accident.
                Some(same)
                    if versions
                        .iter()
                        .any(|other| other.state < same.state && image(other) != Some(main.bytes)) =>
                {
                    copied.push(same.state)
                }
                Some(_) => {}
            }
        }
        copied.sort_unstable();
        let contradicted = |state: &u32| copied.last().is_some_and(|copied| copied >= state);
        match first {
            // No checkpoint has copied page 1.
            Some(None) => false,
            Some(Some(_)) => strange.iter().any(contradicted),
            None => {
                let strange = strange.iter().filter(|state| contradicted(state)).count();
                strange > 0 && copied.len() >= strange
            }
        }
    }

    /// Whether the main file holds a page as a frame has it that no commit of the log is proved to end: a checkpoint copies
    /// committed frames only, so the log has lost what proved it.
    fn is_copied_beyond(&self, log: &Damaged<'_>) -> bool {
        let is_copied = |frame: &Frame| {
            let image = self.bytes(frame.page, log.log, frame.offset)?;
            let main = self.in_main(frame.page).image()?;
            let proved = self.versions.get(&frame.page).into_iter().flatten();
            let mut proved = proved.filter_map(|version| self.framed(frame.page, version).image());
            let framed = Framed { page: frame.page, offset: frame.offset, sound: false, placed: true };
            let is_main = image.bytes == main.bytes || log.whole_in_main(&framed).is_some();
            Some(is_main && !proved.any(|proved| proved.bytes == main.bytes))
        };
        let open = log.wal.frames.get(log.wal.committed..).unwrap_or_default();
        let torn = log.wal.older.iter().filter(|frame| frame.own);
        log.wal.torn && open.iter().chain(torn).any(|frame| is_copied(frame) == Some(true))
    }
}

/// What is needed to prove the page of a damaged frame by what the main file holds.
pub(super) struct Damaged<'a> {
    pub sources: &'a [Source],
    pub main: Option<&'a Source>,
    pub log: SourceId,
    pub wal: &'a Wal,
    pub page_size: u32,
}

impl Damaged<'_> {
    /// Whether the log's index says that a checkpoint copied frames that are no longer there.
    fn is_index_ahead(&self) -> bool {
        let of_log = |source: &&Source| source.name().ends_with("-shm");
        let index = self.sources.iter().find(of_log).and_then(|index| shm::checkpoint(index.bytes()));
        index.is_some_and(|(header, copied)| {
            header.salts == self.wal.header.salts && copied as usize > self.wal.committed
        })
    }

    /// Where the main file holds the page that a damaged frame had: with it the frame's checksum continues that of the
    /// frame before.
    pub(super) fn whole_in_main(&self, framed: &Framed) -> Option<u64> {
        if framed.sound {
            return None;
        }
        let log = self.sources.get(usize::from(self.log.0))?.bytes();
        let at = usize::try_from(framed.offset).ok()?.checked_sub(wal::FRAME_HEADER_LEN)?;
        let (_, head) = wal::frame_header(log.get(at..)?).ok()?;
        let size = self.page_size as usize;
        let before = match at.checked_sub(wal::FRAME_HEADER_LEN + size) {
            Some(before) if before >= wal::HEADER_LEN => {
                wal::frame_header(log.get(before..)?).ok()?.1.checksum
            }
            _ => self.wal.header.checksum,
        };
        let in_main = u64::from(framed.page.checked_sub(1)?) * u64::from(self.page_size);
        let page = self.main?.get(in_main, size).filter(|page| page.len() == size)?;
        let big = self.wal.header.big_endian;
        let sum = wal::checksum(log.get(at..at + 8)?, big, before);
        (head.salts == self.wal.header.salts && wal::checksum(page, big, sum) == head.checksum)
            .then_some(in_main)
    }
}
