//! The index entry that a freeblock held, when it held one.
//!
//! Freeing an entry overwrites its payload length, the length of its record's header and the first serial types. All
//! columns add up to the block's length, so that what is lost follows where one way to read the block is left over.

use super::cell::Cell;
use super::freed::{FreedCell, LOST, RowidLeft};
use super::page::Extent;
use super::serial::{Serial, SerialKind};
use super::serial_list::SerialList;
use super::varint::{varint_at, varint_len};
use crate::bytes::slice_at;

/// Whether a value can be that of an entry's column, by its position, its serial type and its bytes.
pub type IsLike<'l> = dyn Fn(usize, Serial, &[u8]) -> bool + 'l;

/// What the entries of an index look like.
#[derive(Clone, Copy)]
pub struct Shape<'s> {
    /// How many columns they have.
    pub columns: usize,
    /// Whether a column, by its position, can hold values of the kind of a serial type.
    pub fits: &'s dyn Fn(usize, Serial) -> bool,
    /// Whether it can hold a value.
    pub is_like: &'s IsLike<'s>,
}

impl std::fmt::Debug for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shape").field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// The only entry that fills a freeblock; `None` when there is none, or several.
#[must_use]
pub fn only_entry(page: &[u8], block: Extent, shape: Shape<'_>) -> Option<FreedCell> {
    let (from, to) = (block.from as usize, block.to as usize);
    let cell = slice_at(page, from, to.checked_sub(from)?)?;
    let mut found = Readings::default();
    // A payload of three bytes' length spills.
    for length_len in [1, 2] {
        let Some(payload_len) = cell.len().checked_sub(length_len) else { continue };
        if varint_len(payload_len as u64) == length_len && shape.columns >= 2 {
            readings(cell, length_len, shape, &mut found);
        }
    }
    let (serials, header_len) = found.first.filter(|_| !found.several)?;
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
        doubtful_pair: false,
        cut: false,
        fitted: true,
        at_head: true,
        in_run: false,
        odds: 0,
    })
}

/// The ways to read a cell.
#[derive(Default)]
struct Readings {
    /// The serial types of the first one, and the length of its header.
    first: Option<(SerialList, usize)>,
    several: bool,
}

/// The first types of an entry, which are lost: how many bytes each of them takes, and where the others stand.
type Heads = (&'static [usize], usize);

/// Adds the ways to read a cell whose payload length takes so many bytes, until there are several.
fn readings(cell: &[u8], length_len: usize, shape: Shape<'_>, found: &mut Readings) {
    let lost = LOST - length_len - 1;
    // How many bytes the first types take: one that is lost, or two of which the second may be left.
    let heads: &[Heads] = match lost {
        1 => &[(&[1], LOST), (&[2], LOST + 1)],
        _ => &[(&[2], LOST), (&[1, 2], LOST + 1), (&[1, 1], LOST)],
    };
    for (lengths, rest_at) in heads.iter().filter(|(lengths, _)| lengths.len() <= shape.columns) {
        let Some(rest) = Rest::read(cell, *rest_at, shape.columns - lengths.len()) else { continue };
        let header_len = rest.end - length_len;
        let known = (header_len as u64).saturating_add(rest.body);
        let payload_len = (cell.len() - length_len) as u64;
        let Some(room) = payload_len.checked_sub(known).filter(|_| header_len < 128) else { continue };
        let way = Way { cell, rest, header_len, lengths, room, shape };
        match lengths {
            [_] => Serial::of_len(room).for_each(|serial| way.add(&[serial], found)),
            _ => way.add_pairs(found),
        }
        if found.several {
            return;
        }
    }
}

/// The serial types that are left of an entry.
struct Rest<'c> {
    types: &'c [u8],
    /// Where they end on the cell, and the body begins.
    end: usize,
    /// Bytes of their values.
    body: u64,
}

impl<'c> Rest<'c> {
    /// So many serial types from `from` on.
    fn read(cell: &'c [u8], from: usize, count: usize) -> Option<Self> {
        let (mut end, mut body) = (from, 0_u64);
        for _ in 0..count {
            let (number, len) = varint_at(cell, end).filter(|(number, len)| varint_len(*number) == *len)?;
            let serial = Serial(number);
            if serial.kind() == SerialKind::Reserved {
                return None;
            }
            body = body.saturating_add(serial.len());
            end += len;
        }
        Some(Self { types: cell.get(from..end)?, end, body })
    }

    fn serials(&self) -> impl Iterator<Item = Serial> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (number, len) = varint_at(self.types, at)?;
            at += len;
            Some(Serial(number))
        })
    }
}

/// One way to read a cell: with first types of so many bytes each, whose values take `room` bytes together.
struct Way<'w> {
    cell: &'w [u8],
    rest: Rest<'w>,
    header_len: usize,
    lengths: &'w [usize],
    room: u64,
    shape: Shape<'w>,
}

impl Way<'_> {
    /// Adds all pairs of first types.
    fn add_pairs(&self, found: &mut Readings) {
        let &[one_len, other_len] = self.lengths else { return };
        let body_at = self.rest.end;
        let is_last = self.rest.types.is_empty();
        let is_wide = [Serial::text(0), Serial::blob(0)].iter().any(|wide| (self.shape.fits)(1, *wide));
        if is_last && !is_wide {
            return self.add_short_lasts(found);
        }
        for first_len in 0..=self.room {
            let middle = body_at.saturating_add(usize::try_from(first_len).unwrap_or(usize::MAX));
            let value = self.cell.get(body_at..middle).unwrap_or_default();
            // Few lengths and bytes can be a row id: the last column is asked first.
            let last = self.cell.get(middle..).unwrap_or_default();
            let others = || Serial::of_len(self.room - first_len);
            if is_last && !others().any(|other| (self.shape.is_like)(1, other, last)) {
                continue;
            }
            // Most lengths give no first value that is like the index: then the second need not be asked.
            let firsts = Serial::of_len(first_len)
                .filter(|one| varint_len(one.0) == one_len && (self.shape.is_like)(0, *one, value));
            for one in firsts {
                let others = others().filter(|other| varint_len(other.0) == other_len);
                others.for_each(|other| self.add(&[one, other], found));
            }
            if found.several {
                return;
            }
        }
    }

    /// The same, where the second type is the last one and that of a number: it mostly is the row id, which few lengths
    /// and bytes can be.
    fn add_short_lasts(&self, found: &mut Readings) {
        // The type of a number takes one byte.
        if self.lengths.last() != Some(&1) {
            return;
        }
        for last in (0..=9).map(Serial) {
            let Some(first_len) = self.room.checked_sub(last.len()) else { continue };
            let middle = self.rest.end.saturating_add(usize::try_from(first_len).unwrap_or(usize::MAX));
            if (self.shape.is_like)(1, last, self.cell.get(middle..).unwrap_or_default()) {
                Serial::of_len(first_len).for_each(|one| self.add(&[one, last], found));
            }
        }
    }

    /// Adds the reading with these first types, if it is one.
    fn add(&self, first: &[Serial], found: &mut Readings) {
        let fits = first.iter().zip(self.lengths).all(|(serial, len)| varint_len(serial.0) == *len);
        // What is left of a type of two bytes.
        let rest_at = self.rest.end - self.rest.types.len();
        let low = (rest_at > LOST).then(|| self.cell.get(LOST)).flatten();
        let low_fits =
            low.is_none_or(|low| first.last().is_some_and(|last| last.0 & 0x7f == u64::from(*low)));
        if fits && low_fits && self.reads(first) {
            found.several |= found.first.is_some();
            let serials = first.iter().copied().chain(self.rest.serials()).collect();
            found.first.get_or_insert((serials, self.header_len));
        }
    }

    /// Whether all values are like those of the index; none of the first types may be without length, which fits anywhere.
    fn reads(&self, first: &[Serial]) -> bool {
        let mut at = self.rest.end;
        first.iter().copied().chain(self.rest.serials()).enumerate().all(|(position, serial)| {
            let from = at;
            at = at.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            let value = self.cell.get(from..at);
            (position >= first.len() || !serial.is_empty())
                && value.is_some_and(|value| (self.shape.is_like)(position, serial, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{IsLike, Shape, only_entry};
    use crate::sqlite::freed::FreedCell;
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

    fn only(cell: &[u8], (from, to): (u32, u32), is_like: &IsLike<'_>) -> Option<FreedCell> {
        let kinds = [SerialKind::Text, SerialKind::Int];
        let fits = |position: usize, serial: Serial| kinds.get(position) == Some(&serial.kind());
        only_entry(cell, Extent { from, to }, Shape { columns: 2, fits: &fits, is_like })
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
        let entry = only(&cell, (0, cell.len() as u32), &is_like).unwrap();
        assert!(entry.serials.iter().eq([Serial::text(6), Serial(2)]));
        assert_eq!((entry.header_len, entry.cell.payload_at, entry.cell.payload_len), (3, 1, 11));
    }

    #[test]
    fn a_block_that_reads_in_two_ways_is_none() {
        // The row id may be 0x21, behind "Li Wei", or behind nothing less.
        let cell = freed("Li Wei", &[b' ' + 1, b'0']);
        let both = |position: usize, serial: Serial, value: &[u8]| {
            position == 0 && serial.kind() == SerialKind::Text && value.is_ascii()
                || position == 1 && serial.kind() == SerialKind::Int && value.len() < 3
        };
        assert_eq!(only(&cell, (0, cell.len() as u32), &both), None);
        assert_eq!(only(&[0; 4], (0, 4), &both), None);
        assert_eq!(only(&cell, (4, 90), &both), None);
    }
}
