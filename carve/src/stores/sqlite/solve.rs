//! Records whose header is damaged, solved from what surrounds them.
//!
//! A record says its length three times: the payload length of its cell, the sum of its serial types, and the place
//! where the next cell begins. When one of the three disagrees, the other two give it back. When a single serial type
//! is wrong, its length follows from the others; cells that every remaining solution agrees on are known, the
//! others are not.

use super::catalogue::TableDef;
use super::shape::{Fit, fit_cell};
use mudlark_parsers::sqlite::record::RecordHeader;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::sqlite::varint::{varint_at, varint_len};
use mudlark_parsers::value::TextEncoding;

/// The solved columns of a record, by stored position: serial type, and offset in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Solution {
    pub columns: Vec<Option<(Serial, u64)>>,
}

/// The solution that has the shape of another record.
pub(super) fn shaped_like(header: &RecordHeader<'_>) -> Solution {
    let serials: Vec<Serial> = header.serials().collect();
    Solution { columns: places(&serials, header.len as u64) }
}

/// Solves a record whose payload is whole on its page. `room` is the number of bytes from the payload's start to
/// whatever comes next on the page.
pub(super) fn solve(
    payload: &[u8],
    payload_len: u64,
    room: u64,
    table: &TableDef,
    encoding: TextEncoding,
) -> Option<Solution> {
    let (header_len, first) = varint_at(payload, 0)?;
    let header = payload.get(..usize::try_from(header_len).ok()?)?;
    let mut serials = Vec::new();
    let mut at = first;
    while at < header.len() {
        let (number, len) = varint_at(header, at)?;
        serials.push(Serial(number));
        at += len;
    }
    if serials.is_empty() || serials.len() > table.stored.len() {
        return None;
    }
    let sum = |serials: &[Serial]| serials.iter().fold(header_len, |sum, s| sum.saturating_add(s.len()));
    let reserved = serials.iter().filter(|serial| serial.kind() == SerialKind::Reserved).count();
    let fits = |serials: &[Serial]| {
        let by_column = serials.iter().zip(&table.stored);
        by_column.map(|(serial, column)| fit_cell(*serial, *column, table)).min().unwrap_or(Fit::No)
    };
    // The payload length is wrong, the record ends where the next cell begins.
    if reserved == 0 && sum(&serials) == room && fits(&serials) != Fit::No {
        let valid = texts_valid(&serials, header_len, payload, encoding);
        return valid.then(|| Solution { columns: places(&serials, header_len) });
    }
    let end = if payload_len <= room { payload_len } else { return None };
    let mut best: Vec<Vec<Serial>> = Vec::new();
    let mut best_fit = Fit::Odd;
    for (number, wrong) in serials.iter().enumerate() {
        if reserved > 1 || reserved == 1 && wrong.kind() != SerialKind::Reserved {
            continue;
        }
        let Some(len) = end.checked_sub(sum(&serials) - wrong.len()) else { continue };
        for serial in Serial::of_len(len) {
            if varint_len(serial.0) != varint_len(wrong.0) {
                continue;
            }
            let mut candidate = serials.clone();
            if let Some(slot) = candidate.get_mut(number) {
                *slot = serial;
            }
            let fit = fits(&candidate);
            if fit < best_fit || !texts_valid(&candidate, header_len, payload, encoding) {
                continue;
            }
            if fit > best_fit {
                best.clear();
                best_fit = fit;
            }
            best.push(candidate);
        }
    }
    let mut solutions = best.iter().map(|serials| places(serials, header_len));
    let mut columns = solutions.next()?;
    for other in solutions {
        for (column, other) in columns.iter_mut().zip(other) {
            if *column != other {
                *column = None;
            }
        }
    }
    columns.iter().any(Option::is_some).then_some(Solution { columns })
}

fn places(serials: &[Serial], header_len: u64) -> Vec<Option<(Serial, u64)>> {
    let mut at = header_len;
    let place = |serial: &Serial| {
        let here = at;
        at = at.saturating_add(serial.len());
        Some((*serial, here))
    };
    serials.iter().map(place).collect()
}

fn texts_valid(serials: &[Serial], header_len: u64, payload: &[u8], encoding: TextEncoding) -> bool {
    places(serials, header_len).into_iter().flatten().all(|(serial, at)| {
        if serial.kind() != SerialKind::Text {
            return true;
        }
        let range = usize::try_from(at).ok().zip(usize::try_from(at + serial.len()).ok());
        let text = range.and_then(|(from, to)| payload.get(from..to));
        text.is_some_and(|text| {
            // Control characters stand in texts so seldom that a boundary which brings one is wrong.
            let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
            encoding.decode(text).is_some_and(|text| !text.chars().any(control))
        })
    })
}
