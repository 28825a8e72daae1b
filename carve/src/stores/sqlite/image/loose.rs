//! Logs and journals whose headers are lost or lie elsewhere, and logs that lie in pieces.
//!
//! A frame's checksum continues that of the frame before, so that the first frame of a run tells what it goes on from: the
//! frame at the end of another run, or the header of the log. The header follows from the first frame, too.

use super::hits::{Hit, HitKind};
use super::logs;
use crate::model::{Extent, Part, PartRole, Standing};
use crate::words::grouped_count;
use mudlark_parsers::bytes::slice_at;
use mudlark_parsers::sqlite::probe::record;
use mudlark_parsers::sqlite::wal::{self, FRAME_HEADER_LEN, FrameHeader, HEADER_LEN};
use std::collections::{HashMap, HashSet};

/// Bytes before the first record of a journal, where SQLite knows no other sector size.
const SECTOR: u64 = 512;

/// Frames that follow one another in the image.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: u64,
    frames: u64,
    page_size: u32,
    first: FrameHeader,
    last: FrameHeader,
    /// The byte order of the checksums, where a frame of it continues the one before.
    big_endian: Option<bool>,
}

/// What a frame goes on from, and what a run ends with: page size, salts and checksum.
type Link = (u32, [u32; 2], [u32; 2]);

impl Run {
    fn ends(&self) -> Link {
        (self.page_size, self.last.salts, self.last.checksum)
    }

    /// What it goes on from, in each byte order that it can have.
    fn begins(&self, image: &[u8]) -> Vec<Link> {
        let orders = match self.big_endian {
            Some(known) => vec![known],
            None => vec![false, true],
        };
        let frame = frame_at(image, self.from, self.page_size).unwrap_or_default();
        let before = orders.into_iter().filter_map(|big_endian| wal::before_frame(frame, big_endian));
        before.map(|sum| (self.page_size, self.first.salts, sum)).collect()
    }

    const fn length(&self) -> u64 {
        self.frames * step(self.page_size)
    }
}

const fn step(page_size: u32) -> u64 {
    FRAME_HEADER_LEN as u64 + page_size as u64
}

fn frame_at(image: &[u8], at: u64, page_size: u32) -> Option<&[u8]> {
    slice_at(image, usize::try_from(at).ok()?, step(page_size) as usize)
}

fn head_at(image: &[u8], at: u64) -> Option<FrameHeader> {
    wal::frame_header(image.get(usize::try_from(at).ok()?..)?).ok().map(|(_, head)| head)
}

/// Puts frames of no log to the one that they continue, and makes logs of the others.
pub(super) fn frames(image: &[u8], hits: &[Hit], logs: &mut Vec<Part>) {
    let runs = runs(image, hits);
    let begins: Vec<Vec<Link>> = runs.iter().map(|run| run.begins(image)).collect();
    let mut by_link: HashMap<Link, usize> = HashMap::new();
    for (number, links) in begins.iter().enumerate() {
        for link in links {
            by_link.entry(*link).or_insert(number);
        }
    }
    let ends: HashSet<Link> = runs.iter().map(Run::ends).collect();
    let mut used = vec![false; runs.len()];
    // All runs that go on from `link`, one after the other.
    let mut follow = |mut link: Link| {
        let mut chain = Vec::new();
        while let Some((number, run)) =
            by_link.get(&link).and_then(|number| Some((*number, runs.get(*number)?)))
            && let Some(free) = used.get_mut(number).filter(|used| !**used)
        {
            *free = true;
            chain.push(*run);
            link = run.ends();
        }
        chain
    };
    let mut by_salts: HashMap<(u32, [u32; 2]), usize> = HashMap::new();
    for (number, log) in logs.iter_mut().enumerate().filter(|(_, log)| log.role == PartRole::Log) {
        let Some((salts, end)) = end_of(image, log) else { continue };
        by_salts.entry((log.page_size, salts)).or_insert(number);
        let chain = follow(end);
        append(log, &chain, true);
    }
    for (run, begins) in runs.iter().zip(&begins) {
        // Only what nothing is before begins a log.
        let is_behind = begins.iter().any(|link| ends.contains(link) && *link != run.ends());
        let chain = begins.first().filter(|_| !is_behind).map(|link| follow(*link)).unwrap_or_default();
        let Some(first) = chain.first() else { continue };
        let own = (first.page_size, first.first.salts);
        if let Some(log) = by_salts.get(&own).and_then(|number| logs.get_mut(*number)) {
            append(log, &chain, false);
        } else if let Some(log) = headless(image, &chain) {
            by_salts.insert(own, logs.len());
            logs.push(log);
        }
    }
}

/// The frames among some hits that follow one another.
fn runs(image: &[u8], hits: &[Hit]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for hit in hits.iter().filter(|hit| hit.kind() == HitKind::Frame) {
        let Some(page_size) = hit.sizes().one() else { continue };
        let from = hit.offset();
        let Some(head) = frame_at(image, from, page_size).and_then(|_| head_at(image, from)) else {
            continue;
        };
        match runs.last_mut() {
            Some(run) if run.page_size == page_size && run.from + run.length() == from => {
                if run.big_endian.is_none() && run.last.salts == head.salts {
                    let frame = frame_at(image, from, page_size).unwrap_or_default();
                    let continues =
                        |big_endian: &bool| wal::before_frame(frame, *big_endian) == Some(run.last.checksum);
                    run.big_endian = [false, true].into_iter().find(continues);
                }
                run.frames += 1;
                run.last = head;
            }
            // What lies within a frame is a part of its page.
            Some(run) if from < run.from + run.length() => {}
            _ => runs.push(Run { from, frames: 1, page_size, first: head, last: head, big_endian: None }),
        }
    }
    runs
}

/// The salts of a log that has a header, and what its last frame, or the header, ends with.
fn end_of(image: &[u8], log: &Part) -> Option<([u32; 2], Link)> {
    let head = wal::wal_header(image.get(usize::try_from(log.place).ok()?..)?).ok()?.1;
    let end = (log.place + log.length).checked_sub(step(log.page_size));
    let last = end.filter(|_| log.length > HEADER_LEN as u64).and_then(|at| head_at(image, at));
    let (salts, sum) = last.map_or((head.salts, head.checksum), |last| (last.salts, last.checksum));
    Some((head.salts, (log.page_size, salts, sum)))
}

/// Puts runs behind what is known of a log.
fn append(log: &mut Part, chain: &[Run], linked: bool) {
    let Some(first) = chain.first() else { return };
    for run in chain {
        log.extents.push(Extent { at: log.length, offset: Some(run.from), length: run.length() });
        log.length += run.length();
    }
    if log.extents.iter().all(|extent| extent.offset.is_none_or(|offset| offset >= first.from)) {
        log.place = first.from;
    }
    log.standing = Standing::Damaged;
    let open = "what stood behind its last frame is not known";
    let lacking = "frames between its pieces are lacking, and nothing tells their order";
    let reason = if linked { open } else { lacking };
    if !log.reasons.iter().any(|known| known == reason) {
        log.reasons.push(reason.to_owned());
    }
    let frames = (log.length - HEADER_LEN as u64) / step(log.page_size);
    log.what = what(frames, log.page_size);
}

fn what(frames: u64, page_size: u32) -> String {
    format!("SQLite write-ahead log, {} of {page_size} bytes", grouped_count(frames, "frame"))
}

/// A log whose header is lost. `None` where a frame proves neither the header nor another frame.
fn headless(image: &[u8], chain: &[Run]) -> Option<Part> {
    let first = chain.first()?;
    let header = wal::header_before(frame_at(image, first.from, first.page_size)?);
    let proved = chain.iter().find_map(|run| run.big_endian);
    let (head, reason) = match header {
        Some(header) => (header, "its header is lost or broken: it follows from the first frame"),
        None => {
            let salts = first.first.salts;
            let made = wal::header_bytes(proved?, first.page_size, 0, salts);
            (
                made,
                "its header and first frames are lost or broken: one of no checkpoint stands for the header",
            )
        }
    };
    let mut log = logs::part(PartRole::Log, String::new(), first.from, HEADER_LEN as u64, first.page_size);
    log.extents = vec![Extent { at: 0, offset: None, length: HEADER_LEN as u64 }];
    log.head = head.to_vec();
    log.reasons.push(reason.to_owned());
    append(&mut log, chain, true);
    Some(log)
}

/// Journals whose headers are lost: records that agree in their nonce.
pub(super) fn records(image: &[u8], hits: &[Hit]) -> Vec<Part> {
    let mut runs: Vec<(u64, u64, u32, u32)> = Vec::new();
    for hit in hits.iter().filter(|hit| hit.kind() == HitKind::Record) {
        let Some(page_size) = hit.sizes().one() else { continue };
        let at = usize::try_from(hit.offset()).unwrap_or(usize::MAX);
        let Some(nonce) = record::nonce(image, at, page_size) else { continue };
        let step = u64::from(page_size) + record::FRAME_LEN as u64;
        match runs.last_mut() {
            Some((from, length, size, known))
                if (*size, *known) == (page_size, nonce) && *from + *length == hit.offset() =>
            {
                *length += step;
            }
            _ => runs.push((hit.offset(), step, page_size, nonce)),
        }
    }
    runs.retain(|(_, length, page_size, _)| *length > u64::from(*page_size) + record::FRAME_LEN as u64);
    let journal = |(from, length, page_size, _): (u64, u64, u32, u32)| {
        let pages = length / (u64::from(page_size) + record::FRAME_LEN as u64);
        let what = format!("SQLite rollback journal, {} of {page_size} bytes", grouped_count(pages, "page"));
        let mut journal = logs::part(PartRole::Journal, what, from, SECTOR + length, page_size);
        journal.extents = vec![
            Extent { at: 0, offset: None, length: SECTOR },
            Extent { at: SECTOR, offset: Some(from), length },
        ];
        journal.standing = Standing::Damaged;
        journal.reasons.push("its header was not found".to_owned());
        journal
    };
    runs.into_iter().map(journal).collect()
}

/// Leaves out journals that have neither a header nor a database: nothing tells whether anything is to be rolled back.
pub(super) fn give_up(parts: &mut Vec<Part>) {
    let is_lost = |part: &Part| {
        let headless = part.extents.first().is_some_and(|extent| extent.offset.is_none());
        part.role == PartRole::Journal && headless && part.of.is_none()
    };
    let kept: Vec<bool> = parts.iter().map(|part| !is_lost(part)).collect();
    let numbers: Vec<usize> = kept
        .iter()
        .scan(0, |next, kept| {
            let number = *next;
            *next += usize::from(*kept);
            Some(number)
        })
        .collect();
    let mut kept = kept.into_iter();
    parts.retain(|_| kept.next().unwrap_or(true));
    for part in parts {
        part.of = part.of.and_then(|of| numbers.get(of).copied());
    }
}

/// The places of an image that logs and journals hold.
pub(super) struct Places(Vec<(u64, u64)>);

impl Places {
    pub(super) fn of(parts: &[Part]) -> Self {
        let extents = parts.iter().filter(|part| part.is_log()).flat_map(|log| &log.extents);
        let found = extents.filter_map(|extent| extent.offset.map(|from| (from, from + extent.length)));
        let mut runs: Vec<(u64, u64)> = found.collect();
        runs.sort_unstable();
        Self(runs)
    }

    pub(super) fn hold(&self, offset: u64) -> bool {
        let behind = self.0.partition_point(|(from, _)| *from <= offset);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, to)| offset < *to)
    }
}
