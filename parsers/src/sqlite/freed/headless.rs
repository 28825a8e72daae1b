//! Cells of which the length of the record's header was overwritten as well.

use super::joints::{mark, none_of};
use super::{LOST, Possible, RowidLeft, Space, TEXT_STEP, Walk};
use crate::sqlite::serial::{Serial, SerialKind};
use crate::sqlite::varint::varint_len;
use std::iter::once;

/// Places in a block at which a cell without its header is tried: no block holds so many.
const MOST_STARTS: usize = 4096;

/// Cells behind a place that are tried as its neighbour.
const MOST_NEXT: usize = 6;

/// Places in a block at which a cell is tried that lost two serial types, which takes long.
const MOST_PAIR_STARTS: usize = 2048;

/// How much less likely a cell ends before a fragment than right where the next one begins, in sixteenths of a bit.
const FRAGMENT: i64 = 48;

/// So many times as likely as a pair of types all others together may be, where it is sure.
const DOUBTFUL: f64 = 0.25;

/// Two types that follow from lengths.
#[derive(Clone, Copy, Debug)]
struct Pair {
    first: Serial,
    second: Serial,
    /// How many times as likely as these the others are, all together.
    others: f64,
}

/// What odds in sixteenths of a bit are as a factor.
fn times(odds: i64) -> f64 {
    (odds as f64 / 16.0).exp2()
}

impl Walk<'_> {
    /// Cells of which the header's length was overwritten as well: at the start of a freeblock, and where another one
    /// may have been joined to it, behind a cell.
    pub(super) fn without_header(
        &self,
        found: &mut Vec<Possible>,
        (starts, next_starts, tried): (&mut Vec<usize>, &mut Vec<usize>, &mut Vec<bool>),
    ) {
        if self.space == Space::Other && self.joints.is_empty() {
            return;
        }
        next_starts.clear();
        next_starts.extend(found.iter().map(|possible| possible.at));
        next_starts.extend(self.joints);
        next_starts.sort_unstable();
        next_starts.dedup();
        starts.clear();
        starts.extend(self.joints);
        if self.space == Space::Freeblock {
            starts.extend(found.iter().map(|possible| possible.end));
            starts.push(self.from);
        }
        none_of(tried, self.to - self.from);
        let (mut tries, mut pairs) = (0, 0);
        while let Some(start) = starts.pop().filter(|_| self.shape.effort.left() > 0) {
            // Up to three bytes between two cells are a fragment, which a freeblock absorbs.
            for start in start..start + LOST {
                if start + LOST > self.to
                    || tries >= MOST_STARTS
                    || !mark(tried, start.wrapping_sub(self.from))
                {
                    continue;
                }
                tries += 1;
                let known = found.len();
                self.headless(start, next_starts, found);
                self.with_half_a_length(start, found);
                pairs += 1;
                if !self.kind.is_table() && pairs <= MOST_PAIR_STARTS {
                    for columns in (self.shape.least.max(2)..=self.shape.most).rev() {
                        self.lost_pair(start, columns, next_starts, found);
                    }
                }
                self.keep_likeliest(found, known, next_starts);
                starts.extend(found.iter().skip(known).map(|possible| possible.end));
            }
        }
    }

    /// Of the ways to read one cell, from `known` on in `found`, the likeliest for each place where it may end; places
    /// that only a fragment lies between are one.
    pub(super) fn keep_likeliest(&self, found: &mut Vec<Possible>, known: usize, next_starts: &[usize]) {
        if found.len() < known + 2 {
            return;
        }
        let mut ways = found.split_off(known);
        ways.sort_by_key(|way| way.end);
        let odds = |way: &Possible| {
            let exact = way.end == self.to || next_starts.binary_search(&way.end).is_ok();
            let body_at = (way.freed.cell.payload_at + way.freed.header_len) as usize;
            self.odds_of(&way.freed) + self.prior(&way.freed.serials, body_at)
                - if exact { 0 } else { FRAGMENT }
        };
        let mut ways = ways.into_iter().peekable();
        while let Some(first) = ways.next() {
            let mut group = vec![first];
            while let Some(way) =
                ways.next_if(|way| group.last().is_some_and(|before| way.end - before.end < LOST))
            {
                group.push(way);
            }
            // One alone need not be weighed; of equals the one that ends first is kept.
            found.extend(if group.len() == 1 {
                group.pop()
            } else {
                group.into_iter().rev().max_by_key(odds)
            });
        }
    }

    /// Cells at `start` whose first four bytes reach into the header.
    pub(super) fn headless(&self, start: usize, next_starts: &[usize], found: &mut Vec<Possible>) {
        let types_at = start + LOST;
        // Bytes before the header, and whether the first serial type is lost behind its length.
        let prefixes = if self.kind.is_table() { [(3, false), (2, true)] } else { [(2, true), (3, false)] };
        for (prefix, first_lost) in prefixes {
            for columns in (self.shape.least..=self.shape.most).rev() {
                if !first_lost {
                    let Some(types) = self.types(types_at, 0, |count, _| count >= columns) else { continue };
                    let serials = (types.count, &self.serials(&types));
                    self.add_headless(start, prefix, serials, types.len, types.body, false, found);
                } else {
                    self.lost_type(start, prefix, columns, next_starts, found);
                }
            }
        }
    }

    /// Rows of a wide table behind a row id of one byte: of the two bytes of their header's length the second is left.
    fn with_half_a_length(&self, start: usize, found: &mut Vec<Possible>) {
        if !self.kind.is_table() || !self.shape.may_have_long_header() {
            return;
        }
        let types_at = start + LOST + 1;
        for columns in (self.shape.least..=self.shape.most).rev() {
            let Some(types) = self.types(types_at, 0, |count, _| count >= columns) else { continue };
            let header_len = types.len + 2;
            let payload_len = types.body.saturating_add(header_len as u64);
            let left = self.page.get(start + LOST).copied().map(usize::from);
            let lengths = [header_len as u64, payload_len].map(varint_len);
            if lengths == [2, 2] && left == Some(header_len & 0x7f) {
                let serials = (types.count, &self.serials(&types));
                let (header_at, rowid) = (start + LOST - 1, RowidLeft::Length(1));
                self.add(start, header_at, payload_len, header_len, serials, rowid, true, &mut None, found);
            }
        }
    }

    /// Cells whose first serial type is lost.
    pub(super) fn lost_type(
        &self,
        start: usize,
        prefix: usize,
        columns: usize,
        next_starts: &[usize],
        found: &mut Vec<Possible>,
    ) {
        let types_at = start + LOST;
        if let Some(first) = self.shape.first.filter(|first| varint_len(first.0) == 1) {
            if let Some(types) = self.types(types_at, 1, |count, _| count >= columns) {
                let serials = once(first).chain(self.serials(&types));
                self.add_headless(
                    start,
                    prefix,
                    (types.count + 1, &serials),
                    types.len + 1,
                    types.body.saturating_add(first.len()),
                    false,
                    found,
                );
            }
            return;
        }
        // The first type took one byte, which is lost, or two, of which the second stands first here.
        for (second, rest_at) in [(None, types_at), (self.page.get(types_at).copied(), types_at + 1)] {
            if second.is_some_and(|byte| byte & 0x80 != 0) {
                continue;
            }
            let Some(types) = self.types(rest_at, 1, |count, _| count >= columns) else { continue };
            let first_len = if second.is_some() { 2 } else { 1 };
            let header_len = 1 + first_len + types.len;
            let fixed = types.body.saturating_add((prefix + header_len) as u64);
            // The cell ends where the extent does, but for a fragment, or where the next cell begins.
            let behind = next_starts.partition_point(|at| *at <= start);
            let next = next_starts.iter().skip(behind).take(MOST_NEXT).copied();
            let ends =
                next.chain([self.to]).flat_map(|next| (0..LOST).map(move |left| next.saturating_sub(left)));
            for end in ends {
                if self.shape.effort.spend(1).is_none() {
                    return;
                }
                let room = end.checked_sub(start).and_then(|room| (room as u64).checked_sub(fixed));
                for serial in room.into_iter().flat_map(Serial::of_len) {
                    let matches = second.is_none_or(|byte| serial.0 & 0x7f == u64::from(byte));
                    if !matches || varint_len(serial.0) != first_len || !(self.shape.fits)(0, serial) {
                        continue;
                    }
                    let serials = (types.count + 1, &once(serial).chain(self.serials(&types)));
                    let (types_len, body) = (types.len + first_len, types.body + serial.len());
                    self.add_headless(start, prefix, serials, types_len, body, true, found);
                }
            }
        }
    }

    /// Cells of an index tree whose first two serial types are lost, behind a payload length of one byte: all pairs are
    /// tried that fill the cell to its end, and the one is taken that the table's rows have most often.
    pub(super) fn lost_pair(
        &self,
        start: usize,
        columns: usize,
        next_starts: &[usize],
        found: &mut Vec<Possible>,
    ) {
        let types_at = start + LOST;
        let behind = next_starts.partition_point(|at| *at <= start);
        let next = next_starts.iter().skip(behind).take(2).copied().chain([self.to]);
        let ends: Vec<usize> =
            next.flat_map(|end| (0..LOST).map(move |fragment| end.saturating_sub(fragment))).collect();
        // The second type took one byte, which is lost, or two, of which the second stands first here.
        for (low, rest_at) in [(None, types_at), (self.page.get(types_at).copied(), types_at + 1)] {
            if low.is_some_and(|byte| byte & 0x80 != 0) {
                continue;
            }
            let Some(types) = self.types(rest_at, 2, |count, _| count >= columns) else { continue };
            let pair_len = if low.is_some() { 3 } else { 2 };
            let fixed = 1 + 1 + pair_len + types.len;
            let body_at = start + fixed;
            for end in &ends {
                let room = end.checked_sub(body_at).and_then(|room| (room as u64).checked_sub(types.body));
                let Some(room) = room.filter(|_| end - start <= 0x7f) else { continue };
                let Some(Pair { first, second, others }) = self.best_pair(body_at, room, low) else {
                    continue;
                };
                let known = found.len();
                let serials = (types.count + 2, &once(first).chain(once(second)).chain(self.serials(&types)));
                self.add_headless(start, 1, serials, types.len + pair_len, types.body + room, true, found);
                for possible in found.iter_mut().skip(known) {
                    possible.freed.doubtful_pair = others > DOUBTFUL;
                }
            }
        }
    }

    /// The likeliest first two serial types of a body at `at` that take `room` bytes together. `low` are the low bits of
    /// the second where it takes two bytes.
    fn best_pair(&self, at: usize, room: u64, low: Option<u8>) -> Option<Pair> {
        let second_size = if low.is_some() { 2 } else { 1 };
        let is_first = |first: Serial| varint_len(first.0) == 1;
        let is_second = |second: Serial| {
            varint_len(second.0) == second_size && low.is_none_or(|low| second.0 & 0x7f == u64::from(low))
        };
        let mut best: Option<(i64, Pair)> = None;
        // Where the second begins is all that the two have to do with one another.
        for first_len in 0..=room {
            self.shape.effort.spend(1)?;
            let second_at = at.saturating_add(usize::try_from(first_len).ok()?);
            let Some(second) = self.likeliest(1, second_at, room - first_len, &is_second) else { continue };
            let Some(first) = self.likeliest(0, at, first_len, &is_first) else { continue };
            let odds = first.0 + second.0;
            let pair = |others| Pair { first: first.1, second: second.1, others };
            best = Some(match best {
                None => (odds, pair(0.0)),
                Some((most, best)) if odds > most => (odds, pair((best.others + 1.0) * times(most - odds))),
                Some((most, best)) => (most, Pair { others: best.others + times(odds - most), ..best }),
            });
        }
        best.map(|(_, pair)| pair)
    }

    /// The likeliest serial type of so many bytes for the value of a column at `at`, with its odds.
    pub(super) fn likeliest(
        &self,
        column: usize,
        at: usize,
        len: u64,
        can_be: &dyn Fn(Serial) -> bool,
    ) -> Option<(i64, Serial)> {
        let mut best: Option<(i64, Serial)> = None;
        for serial in Serial::of_len(len) {
            if !can_be(serial) || !(self.shape.fits)(column, serial) {
                continue;
            }
            self.shape.effort.spend(1 + len as usize / TEXT_STEP)?;
            let value = self.page.get(at..at + len as usize);
            if serial.kind() == SerialKind::Text && !value.is_some_and(|text| (self.shape.reads)(text)) {
                continue;
            }
            let value = value.unwrap_or_default();
            let odds = (self.shape.odds)(column, serial, value) + (self.shape.prior)(serial, value);
            if best.is_none_or(|(most, _)| odds > most) {
                best = Some((odds, serial));
            }
        }
        best
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a record's header")]
    pub(super) fn add_headless(
        &self,
        start: usize,
        prefix: usize,
        serials: (usize, &(impl Iterator<Item = Serial> + Clone)),
        types_len: usize,
        body: u64,
        first_solved: bool,
        found: &mut Vec<Possible>,
    ) {
        let header_len = types_len + 1;
        if header_len >= 0x80 || serials.0 < self.shape.least {
            return;
        }
        let payload_len = body.saturating_add(header_len as u64);
        let length_len = varint_len(payload_len);
        let Some(rowid_len) = prefix.checked_sub(length_len) else { return };
        if (rowid_len > 0) != self.kind.is_table() {
            return;
        }
        let left = if rowid_len == 0 { RowidLeft::None } else { RowidLeft::Length(rowid_len as u32) };
        let known = found.len();
        self.add(start, start + prefix, payload_len, header_len, serials, left, true, &mut None, found);
        for possible in found.iter_mut().skip(known) {
            possible.freed.first_solved = first_solved;
        }
    }
}
