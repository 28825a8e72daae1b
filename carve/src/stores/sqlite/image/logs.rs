//! Logs and journals in an image, and the databases that they belong to.

use super::super::belongs::{self, Verdict};
use super::hits::{Hit, HitKind};
use crate::model::{Extent, Part, PartRole, Standing};
use crate::source::Source;
use crate::words::grouped_count;
use mudlark_parsers::bytes::{be_u32_at, slice_at};
use mudlark_parsers::sqlite::{journal, wal};
use rayon::prelude::*;
use std::collections::HashSet;

/// Databases of which it is asked whether a log is theirs.
const MOST_ASKED: usize = 4096;

/// Logs and journals of which it is asked.
const MOST_LOGS: usize = 4096;

/// Frames or records in a row that may be damaged amid others.
const MOST_DAMAGED: usize = 4;

/// The logs and journals whose headers are among the hits, in the order of their places.
pub(super) fn logs(image: &[u8], hits: &[Hit]) -> Vec<Part> {
    let frames: HashSet<u64> = places(hits, HitKind::Frame);
    let records: HashSet<u64> = places(hits, HitKind::Record);
    let mut parts: Vec<Part> = Vec::new();
    for hit in hits {
        let found = match hit.kind() {
            HitKind::WalHeader => log(image, hit.offset(), &frames),
            HitKind::Journal => rollback(image, hit.offset(), &records),
            _ => continue,
        };
        // The segments behind the first one of a journal are a part of it.
        let inside = |last: &Part| hit.offset() < last.place + last.length;
        if !parts.last().is_some_and(inside) {
            parts.extend(found);
        }
    }
    parts
}

fn places(hits: &[Hit], kind: HitKind) -> HashSet<u64> {
    hits.iter().filter(|hit| hit.kind() == kind).map(|hit| hit.offset()).collect()
}

/// How many steps from `from` on hold something, with few that don't amid them.
fn steps(from: usize, step: usize, end: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut held, mut lacking) = (0, 0);
    let mut places = (from..end).step_by(step).take_while(|at| at + step <= end).enumerate();
    while let Some((index, at)) = places.next().filter(|_| lacking <= MOST_DAMAGED) {
        if holds(at) {
            (held, lacking) = (index + 1, 0);
        } else {
            lacking += 1;
        }
    }
    held
}

/// The log whose header lies at a place; `None` where that is broken: the frames behind it are then found by themselves.
fn log(image: &[u8], place: u64, frames: &HashSet<u64>) -> Option<Part> {
    let from = usize::try_from(place).ok()?;
    let head = wal::sound_header(image.get(from..)?).ok()?;
    let step = wal::FRAME_HEADER_LEN + head.page_size as usize;
    let first = from + wal::HEADER_LEN;
    let own = |at: usize| {
        let frame = image.get(at..).and_then(|bytes| wal::frame_header(bytes).ok());
        frame.is_some_and(|(_, frame)| frame.page > 0 && frame.salts == head.salts)
    };
    let held = steps(first, step, image.len(), |at| own(at) || frames.contains(&(at as u64)));
    let length = wal::HEADER_LEN + held * step;
    let what = format!(
        "SQLite write-ahead log, {} of {} bytes",
        grouped_count(held as u64, "frame"),
        head.page_size
    );
    Some(part(PartRole::Log, what, place, length as u64, head.page_size))
}

fn rollback(image: &[u8], place: u64, records: &HashSet<u64>) -> Option<Part> {
    let from = usize::try_from(place).ok()?;
    let head = journal::sound_header(image.get(from..)?).ok()?;
    let (sector, size) = (head.sector_size as usize, head.page_size as usize);
    if sector < 512 {
        return None;
    }
    let (mut at, mut nonce, mut all) = (from + sector, head.nonce, 0);
    let mut end = at;
    loop {
        let proved = |at: usize| {
            let page = slice_at(image, at + 4, size);
            let sum = page.map(|page| journal::checksum(page, nonce));
            records.contains(&(at as u64)) || sum.is_some() && sum == be_u32_at(image, at + 4 + size)
        };
        let held = steps(at, size + 8, image.len(), proved);
        all += held;
        end = end.max(at + held * (size + 8));
        // A further segment of the same transaction begins at a sector.
        let next = from + (end - from).next_multiple_of(sector);
        let further = image.get(next..).and_then(|bytes| journal::segment_header(bytes).ok());
        match further.filter(|(_, further)| held > 0 && further.page_count == head.page_count) {
            Some((_, further)) => (at, nonce) = (next + sector, further.nonce),
            None => break,
        }
    }
    let what = format!("SQLite rollback journal, {} of {size} bytes", grouped_count(all as u64, "page"));
    let length = (end.min(image.len()) - from) as u64;
    Some(part(PartRole::Journal, what, place, length, head.page_size))
}

pub(super) fn part(role: PartRole, what: String, place: u64, length: u64, page_size: u32) -> Part {
    Part {
        store: "sqlite",
        role,
        what,
        place,
        length,
        page_size,
        extents: vec![Extent { at: 0, offset: Some(place), length }],
        head: Vec::new(),
        standing: Standing::Intact,
        reasons: Vec::new(),
        alternatives: Vec::new(),
        interchangeable: Vec::new(),
        guessed: Vec::new(),
        of: None,
    }
}

/// Finds the database of each log and journal: the one that holds most of what they hold.
pub(super) fn join(image: &Source, parts: &mut [Part]) {
    let logs: Vec<(usize, &Part)> =
        parts.iter().enumerate().filter(|(_, part)| part.is_log()).take(MOST_LOGS).collect();
    let of = |(number, part): &(usize, &Part)| {
        let log = image.log(part);
        let read = wal::wal(log.bytes()).ok();
        let database = |other: &&Part| other.role == PartRole::Database && other.page_size == part.page_size;
        let asked = parts.iter().enumerate().filter(|(_, other)| database(other)).take(MOST_ASKED);
        let fits = asked.filter_map(|(of, other)| {
            let main = image.part(&other.extents, other.page_size);
            let shared = match part.role {
                PartRole::Log => match belongs::judge(&main, &log, read.as_ref()?)? {
                    (Verdict::Belongs, shared) => shared,
                    _ => return None,
                },
                _ => alike(&main, &log, part.page_size),
            };
            (shared > 0).then_some((shared, of))
        });
        // Of equals the first.
        let best = fits.max_by_key(|(shared, of)| (*shared, std::cmp::Reverse(*of)))?;
        Some((*number, best.1))
    };
    let joined: Vec<(usize, usize)> = logs.par_iter().filter_map(of).collect();
    for (number, of) in joined {
        if let Some(part) = parts.get_mut(number) {
            part.of = Some(of);
        }
    }
}

/// Bytes that are held against each other at a time.
const BLOCK: usize = 64;

/// Pages of a journal of which the main file holds most bytes.
fn alike(main: &Source, journal: &Source, page_size: u32) -> usize {
    let size = page_size as usize;
    let records = match journal::journal(journal.bytes()) {
        Ok(read) => read.records,
        Err(_) => journal::old_records(journal.bytes(), page_size),
    };
    let same = |record: &&journal::Record| {
        let offset = u64::from(record.page - 1) * size as u64;
        let pages = journal.get(record.offset, size).zip(main.get(offset, size));
        pages.is_some_and(|(old, now)| {
            let blocks = old.chunks(BLOCK).zip(now.chunks(BLOCK));
            let told = blocks.filter(|(old, _)| old.iter().any(|byte| *byte != 0));
            let (mut all, mut equal) = (0, 0);
            for (old, now) in told {
                all += 1;
                equal += usize::from(old == now);
            }
            equal * 2 > all
        })
    };
    records.iter().filter(|record| record.page > 0).filter(same).count()
}
