//! The index entry that a freeblock held, when it held one.
//!
//! Freeing an entry overwrites its payload length, the length of its record's header and the first serial types. All
//! columns add up to the block's length, so that what is lost follows where one way to read the block is left over.

use super::cell::Cell;
use super::freed::{FreedCell, LOST, RowidLeft};
use super::page::Extent;
use super::serial::{Serial, SerialKind};
use super::varint::{varint_at, varint_len};
use crate::bytes::slice_at;

/// Whether a value can be that of an entry's column, by its position, its serial type and its bytes.
pub type IsLike<'l> = dyn Fn(usize, Serial, &[u8]) -> bool + 'l;

/// The only entry of `columns` that fills a freeblock; `None` when there is none, or several.
#[must_use]
pub fn only_entry(page: &[u8], block: Extent, columns: usize, is_like: &IsLike<'_>) -> Option<FreedCell> {
    let (from, to) = (block.from as usize, block.to as usize);
    let cell = slice_at(page, from, to.checked_sub(from)?)?;
    let mut found: Vec<(Vec<Serial>, usize)> = Vec::new();
    // A payload of three bytes' length spills.
    for length_len in [1, 2] {
        let Some(payload_len) = cell.len().checked_sub(length_len) else { continue };
        if varint_len(payload_len as u64) == length_len && columns >= 2 {
            readings(cell, length_len, columns, is_like, &mut found);
        }
    }
    let (serials, header_len) = found.pop().filter(|_| found.is_empty())?;
    let payload_len = cell.len() - if cell.len() > 128 { 2 } else { 1 };
    let payload_at = to - payload_len;
    Some(FreedCell {
        cell: Cell {
            at: block.from,
            end: block.to,
            payload_at: payload_at as u32,
            local: payload_len as u32,
            payload_len: payload_len as u64,
            rowid: 0,
            left_child: 0,
            overflow: 0,
        },
        serials,
        header_len: header_len as u32,
        rowid: RowidLeft::None,
        rebuilt: true,
        first_solved: true,
        cut: false,
        fitted: true,
        at_head: true,
        in_run: false,
    })
}

/// The ways to read a cell whose payload length takes so many bytes: serial types, and the length of the header.
fn readings(
    cell: &[u8],
    length_len: usize,
    columns: usize,
    is_like: &IsLike<'_>,
    found: &mut Vec<(Vec<Serial>, usize)>,
) {
    let payload_len = (cell.len() - length_len) as u64;
    let lost = LOST - length_len - 1;
    // How many bytes the first types take: one that is lost, or two of which the second may be left.
    let mut heads: Vec<(&[usize], usize)> = vec![(&[2], LOST.max(length_len + 3)), (&[1, 2], LOST + 1)];
    if lost == 1 {
        heads = vec![(&[1], LOST), (&[2], LOST + 1)];
    } else {
        heads.push((&[1, 1], LOST));
    }
    for (lengths, rest_at) in heads.into_iter().filter(|(lengths, _)| lengths.len() <= columns) {
        let Some((rest, end)) = types(cell, rest_at, columns - lengths.len()) else { continue };
        let header_len = end - length_len;
        let known = rest.iter().fold(header_len as u64, |sum, serial| sum.saturating_add(serial.len()));
        let Some(room) = payload_len.checked_sub(known).filter(|_| header_len < 128) else { continue };
        for first_len in 0..=room {
            let pairs: Vec<Vec<Serial>> = match lengths {
                [_] if first_len == room => {
                    Serial::of_len(room).into_iter().map(|serial| vec![serial]).collect()
                }
                [one_len, other_len] => {
                    let middle = end.saturating_add(usize::try_from(first_len).unwrap_or(usize::MAX));
                    let value = cell.get(end..middle).unwrap_or_default();
                    // The last column is the row id, which few lengths and bytes can be: it is asked first.
                    let last = cell.get(middle..).unwrap_or_default();
                    let may_be_last = |serial: &Serial| is_like(1, *serial, last);
                    if rest.is_empty() && !Serial::of_len(room - first_len).iter().any(may_be_last) {
                        continue;
                    }
                    // Most lengths give no first value that is like the index: then the second need not be asked.
                    let firsts = Serial::of_len(first_len).into_iter();
                    let mut firsts = firsts
                        .filter(|one| varint_len(one.0) == *one_len && is_like(0, *one, value))
                        .peekable();
                    let second = firsts.peek().map_or_else(Vec::new, |_| Serial::of_len(room - first_len));
                    let second: Vec<Serial> =
                        second.into_iter().filter(|other| varint_len(other.0) == *other_len).collect();
                    firsts.flat_map(|one| second.iter().map(move |other| vec![one, *other])).collect()
                }
                _ => Vec::new(),
            };
            for head in pairs {
                let fits = head.iter().zip(lengths).all(|(serial, len)| varint_len(serial.0) == *len);
                // What is left of a type of two bytes.
                let low = (rest_at > LOST).then(|| cell.get(LOST)).flatten();
                let low_fits =
                    low.is_none_or(|low| head.last().is_some_and(|last| last.0 & 0x7f == u64::from(*low)));
                let serials: Vec<Serial> = head.into_iter().chain(rest.iter().copied()).collect();
                if fits && low_fits && reads(cell, end, &serials, lengths.len(), is_like) {
                    found.push((serials, header_len));
                }
            }
        }
    }
}

/// So many serial types from `at` on, and where they end.
fn types(cell: &[u8], mut at: usize, count: usize) -> Option<(Vec<Serial>, usize)> {
    let mut found = Vec::new();
    for _ in 0..count {
        let (number, len) = varint_at(cell, at).filter(|(number, len)| varint_len(*number) == *len)?;
        let serial = Serial(number);
        if serial.kind() == SerialKind::Reserved {
            return None;
        }
        found.push(serial);
        at += len;
    }
    Some((found, at))
}

/// Whether all values are like those of the index; of the first `lost` types none may be without length, which fits
/// anywhere.
fn reads(cell: &[u8], body_at: usize, serials: &[Serial], lost: usize, is_like: &IsLike<'_>) -> bool {
    let mut at = body_at;
    serials.iter().enumerate().all(|(position, serial)| {
        let from = at;
        at = at.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
        let value = cell.get(from..at);
        (position >= lost || !serial.is_empty())
            && value.is_some_and(|value| is_like(position, *serial, value))
    })
}

#[cfg(test)]
mod tests {
    use super::only_entry;
    use crate::sqlite::page::Extent;
    use crate::sqlite::serial::{Serial, SerialKind};

    /// Entries of a text and a row id below 1000.
    fn is_like(position: usize, serial: Serial, value: &[u8]) -> bool {
        if position == 0 {
            return serial.kind() == SerialKind::Text
                && value.is_ascii()
                && value.iter().all(|byte| *byte >= b' ');
        }
        let id = value.iter().fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
        serial.kind() == SerialKind::Int && id < 1000
    }

    fn freed(text: &str, id: &[u8]) -> Vec<u8> {
        let mut cell = vec![0, 0, 0, 0];
        cell.extend(text.bytes().chain(id.iter().copied()));
        cell[3] = cell.len() as u8;
        cell
    }

    #[test]
    fn what_is_lost_follows_where_one_reading_is_left() {
        let cell = freed("Li Wei", &[1, 2]);
        let block = Extent { from: 0, to: cell.len() as u32 };
        let entry = only_entry(&cell, block, 2, &is_like).unwrap();
        assert_eq!(entry.serials, [Serial::text(6), Serial(2)]);
        assert_eq!((entry.header_len, entry.cell.payload_at, entry.cell.payload_len), (3, 1, 11));
    }

    #[test]
    fn a_block_that_reads_in_two_ways_is_none() {
        // The row id may be 0x21, behind "Li Wei", or behind nothing less.
        let cell = freed("Li Wei", &[b' ' + 1, b'0']);
        let block = Extent { from: 0, to: cell.len() as u32 };
        let both = |position: usize, serial: Serial, value: &[u8]| {
            position == 0 && serial.kind() == SerialKind::Text && value.is_ascii()
                || position == 1 && serial.kind() == SerialKind::Int && value.len() < 3
        };
        assert_eq!(only_entry(&cell, block, 2, &both), None);
        assert_eq!(only_entry(&[0; 4], Extent { from: 0, to: 4 }, 2, &both), None);
        assert_eq!(only_entry(&cell, Extent { from: 4, to: 90 }, 2, &both), None);
    }
}
