//! Cells in free space: freeblocks, the gap, and what earlier uses of a page have left.
//!
//! Freeing a cell writes the next freeblock's offset and a size over its first four bytes (SQLite's `freeSpace`). Lost
//! are, in order, the payload length, the row id, the length of the record's header and its first serial types, as far
//! as four bytes reach. What is left determines them: the lengths of all columns add up to the payload length, and the
//! cell ends where the block or the next cell does. Neighbouring freeblocks are joined, so that one block may hold
//! several cells, some of which were swallowed whole.

use super::cell::{Cell, MIN_CELL};
use super::geometry::Geometry;
use super::page::{Extent, PageKind};
use super::serial::{Serial, SerialKind};
use super::serial_list::SerialList;
use super::varint::{varint_at, varint_len};
use crate::bytes::{all_zero, at_least, at_most, each_pair, equal};
use std::cell::Cell as StdCell;
use std::iter::once;
use std::ops::Range;

/// Bytes that freeing a cell overwrites.
pub const LOST: usize = 4;

/// Places in a block at which a cell without its header is tried: no block holds so many.
const MOST_STARTS: usize = 4096;

/// Cells behind a place that are tried as its neighbour.
const MOST_NEXT: usize = 6;

/// Places in a block at which a cell is tried that lost two serial types, which takes long.
const MOST_PAIR_STARTS: usize = 2048;

/// Bytes of text that are read in one step.
const TEXT_STEP: usize = 16;

/// Steps that it takes to keep a possible cell, besides one for each of its columns.
const CELL_STEPS: usize = 8;

/// How long a page is searched: bytes that were made to be read in many ways would take the square of its length, times
/// the columns. All runs of free bytes of a page share what it is worth, several times what rows of a table have needed.
#[derive(Debug)]
pub struct Effort(StdCell<usize>);

impl Effort {
    const LEAST: usize = 1 << 17;
    const STEPS_PER_BYTE: usize = 256;
    /// Bytes behind these are worth less: most rows of a large page stand whole, or have long cells.
    const DEAR_BYTES: usize = 4096;
    const STEPS_PER_FURTHER_BYTE: usize = 32;

    /// What a page of so many bytes is worth.
    #[must_use]
    pub fn of_page(bytes: usize) -> Self {
        let dear = bytes.min(Self::DEAR_BYTES);
        let further = bytes.saturating_sub(dear).saturating_mul(Self::STEPS_PER_FURTHER_BYTE);
        Self(StdCell::new(further.saturating_add(Self::LEAST + dear * Self::STEPS_PER_BYTE)))
    }

    /// What a page is worth that is searched for the rows of several tables.
    #[must_use]
    pub fn shared(bytes: usize) -> Self {
        let Self(one) = Self::of_page(bytes);
        Self(StdCell::new(one.get().saturating_mul(8)))
    }

    /// Steps that are left: one reads a serial type, tries a place where a cell may end, or reads a few bytes of a text.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.get()
    }

    /// Takes steps; `None` when too few are left.
    fn spend(&self, steps: usize) -> Option<()> {
        let left = self.left().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ())
    }
}

/// What is left of a row id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowidLeft {
    /// All of it.
    Whole(i64),
    /// Its low bits: their value, and how many they are.
    Low(u64, u32),
    /// Nothing, but that it took this many bytes.
    Length(u32),
    /// The kind of page has none.
    None,
}

/// A cell that was found in free space.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreedCell {
    /// Its parts on the page; `rowid` is 0 where it is not whole.
    pub cell: Cell,
    /// The serial types, in stored order.
    pub serials: SerialList,
    /// Bytes of the record's header.
    pub header_len: u32,
    /// What is left of the row id.
    pub rowid: RowidLeft,
    /// The first four bytes were overwritten.
    pub rebuilt: bool,
    /// The first serial type was overwritten, and follows from the others and the cell's length.
    pub first_solved: bool,
    /// The end was overwritten: the cell's bytes reach to the extent's end only.
    pub cut: bool,
    /// It begins where a block or a cell does, and ends where the extent or the next one does.
    pub fitted: bool,
    /// It begins where a freeblock does, or where the head of one that was joined to another still stands.
    pub at_head: bool,
    /// It is one of at least so many cells that lie side by side without a gap: [`RUN`].
    pub in_run: bool,
    /// How likely the shape has its values, of a cell whose first bytes were overwritten, as [`Shape::odds`]; 0 for others.
    pub odds: i32,
}

/// Cells side by side that are no accident.
pub const RUN: usize = 4;

impl FreedCell {
    /// How much the cell explains, in sixteenths of a byte: more is better, among the shapes that its bytes may be read
    /// with.
    #[must_use]
    pub fn worth(&self) -> i64 {
        let bytes = 16 * i64::from(self.cell.end.saturating_sub(self.cell.at));
        let less = |holds: bool, worth: i64| if holds { worth } else { 0 };
        bytes - less(self.rebuilt, 72) - less(self.first_solved, 24) - less(self.cut, 40)
            + self.serials.len() as i64
    }

    /// The same, with how likely its values are: among shapes of which both are known by rows.
    #[must_use]
    pub fn likely_worth(&self) -> i64 {
        self.worth() + i64::from(self.odds) / ODDS_PER_WORTH
    }
}

/// What the records of a table look like.
pub struct Shape<'s> {
    /// Fewest columns of a record.
    pub least: usize,
    /// Most columns of a record.
    pub most: usize,
    /// The serial type of the first column where all records have the same.
    pub first: Option<Serial>,
    /// Whether a column, by its stored position, can hold this.
    pub fits: &'s dyn Fn(usize, Serial) -> bool,
    /// Whether bytes can be a text.
    pub reads: &'s dyn Fn(&[u8]) -> bool,
    /// How likely a column, by its stored position, has a value of this serial type and these bytes, in sixteenths of a
    /// bit: greater is likelier.
    pub odds: &'s dyn Fn(usize, Serial, &[u8]) -> i64,
    /// The same of any table's values, where no row of this one tells: it chooses among the ways to read one cell.
    pub prior: &'s dyn Fn(Serial, &[u8]) -> i64,
    /// The least of them, at most 0, where it need not be known how likely a cell is that must be one: its length mostly
    /// outweighs them, which takes no look at its values.
    pub least_odds: Option<i64>,
    /// How likely a row stands on the page of whose row id this is left, in sixteenths of a bit.
    pub rowid_odds: &'s dyn Fn(RowidLeft) -> i64,
    /// How long a page is searched for them.
    pub effort: &'s Effort,
}

impl std::fmt::Debug for Shape<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shape").field("least", &self.least).field("most", &self.most).finish_non_exhaustive()
    }
}

/// What a run of free bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// A freeblock: its first four bytes are not a cell's.
    Freeblock,
    /// Anything else: cells lie there whole.
    Other,
}

/// What is kept from one run of free bytes to the next, to allocate once: pages have many short ones.
#[derive(Default)]
pub struct Scratch {
    found: Vec<Possible>,
    joints: Vec<usize>,
    heads: Vec<Head>,
    places: Vec<bool>,
    starts: Vec<usize>,
    ends: Vec<usize>,
    next_starts: Vec<usize>,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Finds the cells that `extent` held. `is_edge` says whether a cell or a block of the page begins or ends at a place today.
#[must_use]
pub fn cells(
    page: &[u8],
    (extent, space): (Extent, Space),
    kind: PageKind,
    geometry: Geometry,
    shape: &Shape<'_>,
    is_edge: &dyn Fn(u32) -> bool,
    scratch: &mut Scratch,
) -> Vec<FreedCell> {
    let to = (extent.to as usize).min(page.len()).min(geometry.usable() as usize);
    let from = extent.from as usize;
    if kind == PageKind::TableInterior || from + MIN_CELL > to || shape.most == 0 {
        return Vec::new();
    }
    let Scratch { found, joints, heads, places, starts, ends, next_starts } = scratch;
    found.clear();
    joints.clear();
    let walk = Walk { page, from, to, joints: &[], space, kind, geometry, shape };
    match shape.first {
        // Two bytes rule out most places.
        Some(Serial(first @ 0..0x80)) => {
            let least = shape.least.max(1) + 1;
            let bytes = page.get(from..(to + 1).min(page.len())).unwrap_or_default();
            let least = u8::try_from(least).unwrap_or(u8::MAX);
            let is_one = |lens, seconds| equal(seconds, first as u8) & at_least(lens, least);
            each_pair(bytes, 1, is_one, |at| walk.by_header(from + at, found));
        }
        _ => (from..to).for_each(|at| walk.by_header(at, found)),
    }
    find_joints(page, from..to, found, is_edge, (heads, places), joints);
    let walk = Walk { joints, ..walk };
    walk.without_header(found, (starts, next_starts, places));
    walk.cut_at_whole_cells(found, starts);
    walk.choose(found, starts, ends)
}

struct Walk<'w> {
    page: &'w [u8],
    from: usize,
    to: usize,
    /// Where blocks began that were joined to this one, in order.
    joints: &'w [usize],
    space: Space,
    kind: PageKind,
    geometry: Geometry,
    shape: &'w Shape<'w>,
}

/// What may be the head of a freeblock: where it stands, the next block, and its end.
type Head = (usize, usize, usize);

/// Where freeblocks began that are no longer in the chain: a block in front of them has swallowed them, or the page was
/// emptied. Their heads still stand there: the next block's offset, which is greater or 0, and a size that leads to the
/// end of the extent, to another such head, or to a cell.
fn find_joints(
    page: &[u8],
    Range { start: from, end: to }: Range<usize>,
    cells: &[Possible],
    is_edge: &dyn Fn(u32) -> bool,
    (heads, known): (&mut Vec<Head>, &mut Vec<bool>),
    found: &mut Vec<usize>,
) {
    heads.clear();
    find_heads(page, from..to, heads);
    // Mostly the block's own head is all there is.
    if let [(at, _, end)] = heads[..] {
        let met = |end: usize| {
            end == to || end > to && is_edge(end as u32) || cells.iter().any(|possible| possible.at == end)
        };
        found.extend(Some(at).filter(|_| (end..end + LOST).any(met)));
        return;
    }
    if heads.is_empty() {
        return;
    }
    // A block that swallows others again and again leaves heads that lead to one end and one next block.
    let inner = heads.iter().filter(|(_, next, _)| *next != 0);
    let mut leads: Vec<(usize, usize)> = inner.map(|(_, next, end)| (*next, *end)).collect();
    leads.sort_unstable();
    let met_again = |lead: (usize, usize)| {
        let first = leads.partition_point(|other| *other < lead);
        leads.get(first) == Some(&lead) && leads.get(first + 1) == Some(&lead)
    };
    none_of(known, to + 1 - from);
    for at in cells.iter().map(|possible| possible.at).chain([to]) {
        mark(known, at.wrapping_sub(from));
    }
    for (at, next, end) in heads.iter().copied().rev() {
        // Up to three bytes between two blocks are a fragment, which the joined block takes in. The end may have been
        // given to new cells since.
        let met =
            |end: usize| known.get(end - from).copied().unwrap_or(false) || end > to && is_edge(end as u32);
        if (end..end + LOST).any(met) || met_again((next, end)) {
            found.push(at);
            mark(known, at - from);
        }
    }
    found.reverse();
}

/// The places that may hold the head of a freeblock.
fn find_heads(page: &[u8], Range { start: from, end: to }: Range<usize>, heads: &mut Vec<Head>) {
    let bytes = page.get(from..to).unwrap_or_default();
    // Few places hold an offset on the page and a size: their first bytes are less than those of any text.
    let last = u8::try_from(page.len() / 256).unwrap_or(u8::MAX);
    each_pair(
        bytes,
        2,
        |offsets, sizes| at_most(offsets, last) & at_most(sizes, last),
        |at| {
            let Some(&[a, b, c, d]) = bytes.get(at..).and_then(|bytes| bytes.first_chunk()) else { return };
            let (next, size) = (u16::from_be_bytes([a, b]).into(), usize::from(u16::from_be_bytes([c, d])));
            let end = from + at + size;
            if size >= MIN_CELL && (next == 0 || next >= end) && next < page.len() && end <= page.len() {
                heads.push((from + at, next, end));
            }
        },
    );
}

/// So many places, none of them noted.
fn none_of(places: &mut Vec<bool>, count: usize) {
    places.clear();
    places.resize(count, false);
}

/// Notes a place; whether it was new.
fn mark(places: &mut [bool], place: usize) -> bool {
    places.get_mut(place).is_some_and(|known| !std::mem::replace(known, true))
}

/// Sixteenths of a bit that a cell's values must be less likely to outweigh a sixteenth of a byte that it explains: a
/// byte that reads as its column's is worth a quarter of its bits. What counts against values of which none reads.
const ODDS_PER_WORTH: i64 = 2;
const LEAST_ODDS: i64 = -100_000;

/// How much less likely a cell ends before a fragment than right where the next one begins, in sixteenths of a bit.
const FRAGMENT: i64 = 48;

/// A possible cell: where it begins and ends, and what it is made of.
struct Possible {
    at: usize,
    end: usize,
    freed: FreedCell,
}

/// A record's serial types: where they stand, how many they are, their length in bytes, and the length of its body.
struct Types {
    at: usize,
    count: usize,
    len: usize,
    body: u64,
}

impl Walk<'_> {
    /// Whether a block begins here, or began: its head stands in place of a cell's first bytes.
    fn begins(&self, at: usize) -> bool {
        self.space == Space::Freeblock && at == self.from || self.joints.binary_search(&at).is_ok()
    }

    /// Serial types from `at` on, until `done` says so; `None` where one doesn't fit the table.
    fn types(&self, at: usize, first: usize, done: impl Fn(usize, usize) -> bool) -> Option<Types> {
        let bytes = self.page.get(..self.to)?;
        let (mut next, mut count, mut body) = (at, 0, 0_u64);
        while !done(first + count, next - at) {
            self.shape.effort.spend(1)?;
            let (number, size) = varint_at(bytes, next)?;
            let (serial, column) = (Serial(number), first + count);
            let first_fits = column > 0 || self.shape.first.is_none_or(|first| first == serial);
            let fits = column < self.shape.most && first_fits && size == varint_len(number);
            if !fits || serial.kind() == SerialKind::Reserved || !(self.shape.fits)(column, serial) {
                return None;
            }
            body = body.saturating_add(serial.len());
            count += 1;
            next += size;
        }
        Some(Types { at, count, len: next - at, body })
    }

    /// Serial types that were read, once more: most ways to read bytes come to nothing, and take no memory.
    fn serials(&self, types: &Types) -> impl Iterator<Item = Serial> + Clone {
        let bytes = self.page.get(..self.to).unwrap_or_default();
        let mut next = types.at;
        (0..types.count).map_while(move |_| {
            let (number, size) = varint_at(bytes, next)?;
            next += size;
            Some(Serial(number))
        })
    }

    /// Cells whose record header stands whole at `at`.
    fn by_header(&self, at: usize, found: &mut Vec<Possible>) {
        // Two bytes rule out most places.
        let (Some(first), Some(second)) = (self.page.get(at), self.page.get(at + 1)) else { return };
        let least = self.shape.least.max(1) + 1;
        if usize::from(*first) < least
            || self.shape.first.is_some_and(|s| s.0 < 0x80 && s.0 != u64::from(*second))
        {
            return;
        }
        let Some((header_len, size)) = varint_at(self.page, at) else { return };
        let Ok(header_len) = usize::try_from(header_len) else { return };
        // No column's serial type takes more than nine bytes.
        if header_len <= size
            || header_len > size + 9 * self.shape.most
            || size != varint_len(header_len as u64)
        {
            return;
        }
        let Some(types) = self.types(at + size, 0, |_, len| len + size >= header_len) else { return };
        if types.len + size != header_len || types.count < self.shape.least {
            return;
        }
        let payload_len = types.body.saturating_add(header_len as u64);
        let length_len = varint_len(payload_len);
        let serials = self.serials(&types);
        // Where a row id may begin in several places the texts are the same.
        let mut texts = None;
        let rowid_lens = if self.kind.is_table() { 1..=9 } else { 0..=0 };
        for rowid_len in rowid_lens {
            let Some(start) = at.checked_sub(length_len + rowid_len).filter(|start| *start >= self.from)
            else {
                break;
            };
            let own = varint_at(self.page, start) == Some((payload_len, length_len));
            let rowid = varint_at(self.page, start + length_len).filter(|(_, len)| *len == rowid_len);
            let damaged = self.begins(start);
            let left = match rowid {
                _ if rowid_len == 0 => Some(RowidLeft::None).filter(|_| own && !damaged),
                Some((rowid, _)) if own && !damaged && varint_len(rowid) == rowid_len => {
                    Some(RowidLeft::Whole(rowid as i64))
                }
                _ => None,
            };
            if let Some(left) = left {
                let serials = (types.count, &serials);
                self.add(start, at, payload_len, header_len, serials, left, false, &mut texts, found);
            } else if start + LOST <= at
                && let Some(left) = self.rowid_left(start + length_len, rowid_len, start + LOST)
            {
                let serials = (types.count, &serials);
                self.add(start, at, payload_len, header_len, serials, left, true, &mut texts, found);
            }
        }
    }

    /// What is left of a row id of `len` bytes at `at` of which the bytes from `kept` on survive; `None` where they are
    /// no end of one.
    fn rowid_left(&self, at: usize, len: usize, kept: usize) -> Option<RowidLeft> {
        let kept = kept.max(at);
        let bytes = self.page.get(kept..at + len)?;
        let (last, before) = match bytes.split_last() {
            None => return Some(RowidLeft::Length(len as u32)),
            Some(split) => split,
        };
        let ends = len == 9 || last & 0x80 == 0;
        if !ends || before.iter().any(|byte| byte & 0x80 == 0) {
            return None;
        }
        let low = before.iter().fold(0_u64, |low, byte| low << 7 | u64::from(byte & 0x7f));
        let (low, bits) = if len == 9 {
            (low << 8 | u64::from(*last), 8 + 7 * before.len() as u32)
        } else {
            (low << 7 | u64::from(*last), 7 * bytes.len() as u32)
        };
        Some(RowidLeft::Low(low, bits))
    }

    /// Cells of which the header's length was overwritten as well: at the start of a freeblock, and where another one
    /// may have been joined to it, behind a cell.
    fn without_header(
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
    fn keep_likeliest(&self, found: &mut Vec<Possible>, known: usize, next_starts: &[usize]) {
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
    fn headless(&self, start: usize, next_starts: &[usize], found: &mut Vec<Possible>) {
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

    /// Cells whose first serial type is lost.
    fn lost_type(
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

    /// How likely any table has the values of a body at `at`, as [`Shape::prior`].
    fn prior(&self, serials: &[Serial], at: usize) -> i64 {
        let mut next = at;
        serials.iter().fold(0, |prior: i64, serial| {
            let from = next;
            next = next.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            prior.saturating_add((self.shape.prior)(*serial, self.page.get(from..next).unwrap_or_default()))
        })
    }

    /// How likely a cell has its values and what is left of its row id.
    fn odds_of(&self, freed: &FreedCell) -> i64 {
        let body_at = (freed.cell.payload_at + freed.header_len) as usize;
        self.odds(&freed.serials, body_at).saturating_add((self.shape.rowid_odds)(freed.rowid))
    }

    /// How likely these serial types have the values of a body at `at`, as [`Shape::odds`]; of texts that don't read
    /// not at all.
    fn odds(&self, serials: &[Serial], at: usize) -> i64 {
        let mut next = at;
        serials.iter().enumerate().fold(0, |odds: i64, (column, serial)| {
            let from = next;
            next = next.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            let value = self.page.get(from..next).unwrap_or_default();
            let unread = serial.kind() == SerialKind::Text && !(self.shape.reads)(value);
            // Many texts may not read.
            odds.saturating_add(if unread {
                i64::MIN / 1024
            } else {
                (self.shape.odds)(column, *serial, value)
            })
        })
    }

    /// Cells of an index tree whose first two serial types are lost, behind a payload length of one byte: all pairs are
    /// tried that fill the cell to its end, and the one is taken that the table's rows have most often.
    fn lost_pair(&self, start: usize, columns: usize, next_starts: &[usize], found: &mut Vec<Possible>) {
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
                let Some((first, second)) = self.best_pair(body_at, room, low) else { continue };
                let serials = (types.count + 2, &once(first).chain(once(second)).chain(self.serials(&types)));
                self.add_headless(start, 1, serials, types.len + pair_len, types.body + room, true, found);
            }
        }
    }

    /// The likeliest first two serial types of a body at `at` that take `room` bytes together. `low` are the low bits of
    /// the second where it takes two bytes.
    fn best_pair(&self, at: usize, room: u64, low: Option<u8>) -> Option<(Serial, Serial)> {
        let second_size = if low.is_some() { 2 } else { 1 };
        let is_first = |first: Serial| varint_len(first.0) == 1;
        let is_second = |second: Serial| {
            varint_len(second.0) == second_size && low.is_none_or(|low| second.0 & 0x7f == u64::from(low))
        };
        let mut best: Option<(i64, Serial, Serial)> = None;
        // Where the second begins is all that the two have to do with one another.
        for first_len in 0..=room {
            self.shape.effort.spend(1)?;
            let second_at = at.saturating_add(usize::try_from(first_len).ok()?);
            let Some(second) = self.likeliest(1, second_at, room - first_len, &is_second) else { continue };
            let Some(first) = self.likeliest(0, at, first_len, &is_first) else { continue };
            let odds = first.0 + second.0;
            if best.is_none_or(|(most, _, _)| odds > most) {
                best = Some((odds, first.1, second.1));
            }
        }
        best.map(|(_, first, second)| (first, second))
    }

    /// The likeliest serial type of so many bytes for the value of a column at `at`, with its odds.
    fn likeliest(
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
    fn add_headless(
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

    /// Adds a cell. `texts` is whether its texts read that end before a place, of the last cell with this header.
    #[expect(clippy::too_many_arguments, reason = "the parts of a cell")]
    fn add(
        &self,
        start: usize,
        payload_at: usize,
        payload_len: u64,
        header_len: usize,
        (columns, serials): (usize, &(impl Iterator<Item = Serial> + Clone)),
        rowid: RowidLeft,
        rebuilt: bool,
        texts: &mut Option<(usize, bool)>,
        found: &mut Vec<Possible>,
    ) {
        let spill = self.geometry.spill(self.kind == PageKind::TableLeaf, payload_len);
        let local_end = payload_at.saturating_add(spill.local as usize);
        let pointer = if spill.overflow > 0 { 4 } else { 0 };
        let end = (local_end + pointer).max(start + MIN_CELL);
        let cut = end > self.to;
        let overflow = match self.page.get(local_end..local_end + 4).and_then(|bytes| bytes.first_chunk()) {
            Some(bytes) if pointer > 0 && !cut => u32::from_be_bytes(*bytes),
            _ => 0,
        };
        // Of a cut cell something of the body must be left, or it says nothing.
        if cut && payload_at + header_len >= self.to || pointer > 0 && !cut && overflow == 0 {
            return;
        }
        let end = end.min(self.to);
        if self.shape.effort.spend(CELL_STEPS + columns + (end - start) / TEXT_STEP).is_none() {
            return;
        }
        // Zeros are what wiped space holds, and read as NULLs and as texts of NUL characters.
        let kept = self.page.get(start + LOST..end).unwrap_or_default();
        if rebuilt && (serials.clone().all(|serial| serial == Serial::NULL) || all_zero(kept)) {
            return;
        }
        // What was put together from parts must read.
        if rebuilt || cut {
            let to = end.min(local_end);
            let known = texts.filter(|(known, _)| *known == to).map(|(_, read)| read);
            let read = known.unwrap_or_else(|| self.texts_read(serials.clone(), payload_at + header_len, to));
            *texts = Some((to, read));
            if !read {
                return;
            }
        }
        let cell = Cell {
            at: start as u32,
            end: end as u32,
            payload_at: payload_at as u32,
            local: (end.min(local_end).saturating_sub(payload_at)) as u32,
            payload_len,
            rowid: if let RowidLeft::Whole(rowid) = rowid { rowid } else { 0 },
            left_child: 0,
            overflow,
        };
        let header_len = header_len as u32;
        let freed = FreedCell {
            cell,
            serials: serials.clone().collect(),
            header_len,
            rowid,
            rebuilt,
            first_solved: false,
            cut,
            fitted: false,
            at_head: self.begins(start),
            in_run: false,
            odds: 0,
        };
        found.push(Possible { at: start, end, freed });
    }

    /// Whether the texts of a body read that stand whole between `at` and `end`.
    fn texts_read(&self, mut serials: impl Iterator<Item = Serial>, mut at: usize, end: usize) -> bool {
        serials.all(|serial| {
            let from = at;
            at = at.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            let text = self.page.get(from..at).filter(|_| at <= end && serial.kind() == SerialKind::Text);
            text.is_none_or(|text| (self.shape.reads)(text))
        })
    }

    /// Where a cell that was put together reaches over one that stands whole, the whole one was written over its end; and so
    /// where one does that stands whole itself, and of which a text doesn't read.
    fn cut_at_whole_cells(&self, found: &mut Vec<Possible>, whole: &mut Vec<usize>) {
        let is_whole = |possible: &&Possible| !possible.freed.rebuilt && !possible.freed.cut;
        whole.clear();
        whole.extend(found.iter().filter(is_whole).map(|possible| possible.at));
        whole.sort_unstable();
        found.retain_mut(|possible| {
            let body_at = (possible.freed.cell.payload_at + possible.freed.header_len) as usize;
            let local_end = (possible.freed.cell.payload_at + possible.freed.cell.local) as usize;
            let reads = || self.texts_read(possible.freed.serials.iter().copied(), body_at, local_end);
            if !possible.freed.rebuilt && (possible.freed.cut || reads()) {
                return true;
            }
            let inner = whole.get(whole.partition_point(|at| *at <= possible.at)).copied();
            inner.filter(|at| *at < possible.end).is_none_or(|at| self.cut(possible, at))
        });
    }

    /// Cuts a cell short at `end`; false where nothing of its body is left.
    fn cut(&self, possible: &mut Possible, end: usize) -> bool {
        let freed = &mut possible.freed;
        let payload_at = freed.cell.payload_at as usize;
        let body_at = payload_at + freed.header_len as usize;
        freed.cut = true;
        freed.cell.end = end as u32;
        freed.cell.overflow = 0;
        freed.cell.local = freed.cell.local.min(end.saturating_sub(payload_at) as u32);
        possible.end = end;
        body_at < end && self.texts_read(freed.serials.iter().copied(), body_at, end)
    }

    /// The set of cells that explains most bytes without overlap.
    fn choose(
        &self,
        possible: &mut Vec<Possible>,
        starts: &mut Vec<usize>,
        ends: &mut Vec<usize>,
    ) -> Vec<FreedCell> {
        if possible.is_empty() {
            return Vec::new();
        }
        starts.clear();
        starts.extend(possible.iter().map(|possible| possible.at));
        ends.clear();
        ends.extend(possible.iter().map(|possible| possible.end));
        starts.sort_unstable();
        ends.sort_unstable();
        // Whether one of them lies in this range.
        let any = |places: &[usize], from: usize, to: usize| {
            places.get(places.partition_point(|place| *place < from)).is_some_and(|place| *place < to)
        };
        let touches_before = |at: usize| at == self.from || any(ends, at.saturating_sub(LOST - 1), at + 1);
        let touches_behind = |end: usize| end + LOST > self.to || any(starts, end, end + LOST);
        // A rebuilt cell must stand where one can: at the start of the block, or between others.
        possible.retain(|possible| {
            let freed = &possible.freed;
            !freed.rebuilt
                || self.begins(possible.at)
                || touches_before(possible.at) && possible.at > self.from && touches_behind(possible.end)
        });
        for possible in &mut *possible {
            let begins = self.begins(possible.at) || !possible.freed.rebuilt || touches_before(possible.at);
            possible.freed.fitted = begins && touches_behind(possible.end) && !possible.freed.cut;
        }
        // Zeros behind a header's length read as NULLs: a row of nothing else must have others beside it.
        let is_null = |freed: &FreedCell| freed.serials.iter().all(|serial| *serial == Serial::NULL);
        possible.retain(|possible| possible.freed.fitted || !is_null(&possible.freed));
        possible.sort_by_key(|possible| (possible.end, possible.at));
        self.weigh(possible);
        if possible.len() < 2 {
            possible.retain(|only| self.worth(only) > 0);
            return possible.pop().map(|only| only.freed).into_iter().collect();
        }
        // best[i]: the most that the first i of them explain, and which it takes.
        let mut best: Vec<(i64, Option<usize>, usize)> = vec![(0, None, 0)];
        for (index, this) in possible.iter().enumerate() {
            let before = possible.partition_point(|other| other.end <= this.at);
            let worth = best.get(before).map_or(0, |best| best.0) + self.worth(this);
            let skip = best.last().map_or(0, |best| best.0);
            best.push(if worth > skip { (worth, Some(index), before) } else { (skip, None, index) });
        }
        let mut chosen = Vec::new();
        let mut at = possible.len();
        while at > 0 {
            let Some((_, taken, before)) = best.get(at).copied() else { break };
            chosen.extend(taken);
            at = before;
        }
        chosen.reverse();
        let mut cells = Vec::with_capacity(chosen.len());
        let mut chosen = chosen.into_iter().peekable();
        let taken = possible.drain(..).enumerate().filter(|(index, _)| chosen.next_if_eq(index).is_some());
        cells.extend(taken.map(|(_, possible)| possible.freed));
        for run in cells.chunk_by_mut(|a, b| a.cell.end == b.cell.at).filter(|run| run.len() >= RUN) {
            run.iter_mut().for_each(|cell| cell.in_run = true);
        }
        cells
    }

    /// Notes how likely cells are that were put together, in the order of their ends; not of those that are taken
    /// whatever they hold, since they overlap no other one.
    fn weigh(&self, possible: &mut [Possible]) {
        // Where the first one of those behind begins.
        let mut next = usize::MAX;
        for index in (0..possible.len()).rev() {
            let before = index.checked_sub(1).and_then(|before| possible.get(before));
            let before = before.map_or(0, |before| before.end);
            let Some(this) = possible.get_mut(index) else { continue };
            let is_alone = before <= this.at && this.end <= next;
            next = next.min(this.at);
            if this.freed.rebuilt && !(is_alone && self.is_sure(&this.freed)) {
                this.freed.odds = self.odds_of(&this.freed).max(LEAST_ODDS) as i32;
            }
        }
    }

    /// Whether a cell is worth something however unlikely its values are. Of one whose end is elsewhere texts may not read.
    fn is_sure(&self, freed: &FreedCell) -> bool {
        let whole = !freed.cut && freed.cell.overflow == 0;
        self.shape.least_odds.filter(|_| whole).is_some_and(|least| {
            let values = (freed.serials.len() as i64).saturating_mul(least);
            let odds = values.saturating_add((self.shape.rowid_odds)(freed.rowid));
            freed.worth() + odds.min(0) / ODDS_PER_WORTH > 0
        })
    }

    /// What a cell explains at its place.
    fn worth(&self, possible: &Possible) -> i64 {
        let freed = &possible.freed;
        // A head that must be there is no doubt, and a cell that ends where the block does is more than one that ends
        // anywhere.
        let begins = freed.rebuilt && self.begins(possible.at);
        let exact =
            (possible.end == self.to || self.joints.binary_search(&possible.end).is_ok()) && !freed.cut;
        freed.likely_worth() + if begins { 56 } else { 0 } + if exact { 24 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Effort, Extent, FreedCell, Geometry, PageKind, RowidLeft, Scratch, Serial, SerialKind, Shape, Space,
        cells,
    };

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    /// Rows of an INTEGER PRIMARY KEY, a text and an integer.
    fn found(page: &[u8], from: u32, to: u32, space: Space) -> Vec<FreedCell> {
        let fits = |column: usize, serial: Serial| match column {
            0 => serial == Serial::NULL,
            1 => serial.kind() == SerialKind::Text,
            _ => serial.kind() == SerialKind::Int,
        };
        let reads = |text: &[u8]| text.is_ascii();
        let shape = Shape {
            least: 3,
            most: 3,
            first: Some(Serial::NULL),
            fits: &fits,
            reads: &reads,
            odds: &|_, _, _| 0,
            prior: &|_, _| 0,
            least_odds: None,
            rowid_odds: &|_| 0,
            effort: &Effort::of_page(page.len()),
        };
        let place = (Extent { from, to }, space);
        cells(page, place, PageKind::TableLeaf, PAGE, &shape, &|_| false, &mut Scratch::default())
    }

    fn cell(rowid: &[u8], text: &[u8], number: u8) -> Vec<u8> {
        let mut cell = vec![(4 + text.len() + 1) as u8];
        cell.extend(rowid);
        cell.extend([4, 0, 13 + 2 * text.len() as u8, 1]);
        cell.extend(text);
        cell.push(number);
        cell
    }

    #[test]
    fn the_four_lost_bytes_of_a_small_row_follow_from_the_rest() {
        let mut page = vec![0_u8; 512];
        let row = cell(&[7], b"Li Wei", 42);
        page[400..400 + row.len()].copy_from_slice(&row);
        page[400..404].copy_from_slice(&[0, 0, 0, row.len() as u8]);
        let cells = found(&page, 400, 400 + row.len() as u32, Space::Freeblock);
        let [freed] = &cells[..] else { panic!("{cells:?}") };
        assert_eq!(*freed.serials, [Serial::NULL, Serial::text(6), Serial(1)]);
        assert_eq!((freed.rowid, freed.rebuilt, freed.cut), (RowidLeft::Length(1), true, false));
        assert_eq!(&page[404 + 2..404 + 8], b"Li Wei");
    }

    #[test]
    fn low_bits_of_a_long_row_id_survive() {
        let mut page = vec![0_u8; 512];
        // Row id 0x12345 takes three bytes, of which one is left behind the length and its own first two.
        let long = [b'x'; 60];
        let mut row = vec![0x80 | 1, 0];
        row.extend([0x84, 0xc6, 0x45]);
        let text_type = 13 + 2 * 120_u64;
        row.extend([5, 0, 0x80 | (text_type >> 7) as u8, (text_type & 0x7f) as u8, 1]);
        row.extend(long.iter().chain(&long));
        row.push(9);
        row[0..2].copy_from_slice(&[0x80, 126]);
        // The payload length in its shortest form takes one byte up to 127: here 5 + 120 + 1 = 126.
        let row: Vec<u8> = [126].into_iter().chain(row[2..].iter().copied()).collect();
        page[300..300 + row.len()].copy_from_slice(&row);
        page[300..304].copy_from_slice(&[0, 0, 0, row.len() as u8]);
        let cells = found(&page, 300, 300 + row.len() as u32, Space::Freeblock);
        assert_eq!(cells.iter().map(|freed| freed.rowid).collect::<Vec<_>>(), [RowidLeft::Length(3)]);
    }

    #[test]
    fn blocks_that_were_joined_are_walked_cell_by_cell() {
        let mut page = vec![0_u8; 512];
        let (first, second) = (cell(&[7], b"Li Wei", 42), cell(&[8], b"Zoe", 43));
        let (middle, end) = (400 + first.len(), 400 + first.len() + second.len());
        page[400..middle].copy_from_slice(&first);
        page[middle..end].copy_from_slice(&second);
        page[middle..middle + 4].copy_from_slice(&[0, 0, 0, second.len() as u8]);
        page[400..404].copy_from_slice(&[0, 0, 0, (end - 400) as u8]);
        let cells = found(&page, 400, end as u32, Space::Freeblock);
        let ends: Vec<u32> = cells.iter().map(|freed| freed.cell.end).collect();
        assert_eq!(ends, [middle as u32, end as u32]);
    }

    #[test]
    fn a_row_whose_end_was_given_to_another_is_cut() {
        let mut page = vec![0_u8; 512];
        let row = cell(&[7], b"a name of some length", 42);
        page[400..400 + row.len()].copy_from_slice(&row);
        let cells = found(&page, 390, 415, Space::Other);
        let [freed] = &cells[..] else { panic!("{cells:?}") };
        assert_eq!((freed.rowid, freed.cut, freed.cell.end), (RowidLeft::Whole(7), true, 415));
    }

    #[test]
    fn bytes_made_to_be_read_in_many_ways_are_not_searched_without_end() {
        let fits = |_: usize, serial: Serial| serial.kind() != SerialKind::Reserved;
        for size in [512, 65536] {
            let geometry = Geometry { page_size: size as u32, reserved: 0 };
            for pattern in [&[8][..], &[12, 13], &[5, 0, 1, 13, 12]] {
                let page: Vec<u8> = pattern.iter().copied().cycle().take(size).collect();
                for kind in [PageKind::TableLeaf, PageKind::IndexLeaf] {
                    let effort = Effort::of_page(size);
                    let shape = Shape {
                        least: 1,
                        most: 2000,
                        first: None,
                        fits: &fits,
                        reads: &|_| true,
                        odds: &|_, _, _| 0,
                        prior: &|_, _| 0,
                        least_odds: None,
                        rowid_odds: &|_| 0,
                        effort: &effort,
                    };
                    let mut scratch = Scratch::default();
                    // Many short blocks share what the page is worth.
                    for from in (8..size as u32).step_by(size / 8) {
                        let place = (Extent { from, to: from + size as u32 / 8 }, Space::Freeblock);
                        let found = cells(&page, place, kind, geometry, &shape, &|_| false, &mut scratch);
                        assert!(found.windows(2).all(|pair| pair[0].cell.end <= pair[1].cell.at));
                    }
                    assert!(effort.left() < Effort::of_page(size).left());
                }
            }
        }
    }

    #[test]
    fn zeros_and_noise_hold_no_rows() {
        assert!(found(&[0; 512], 8, 512, Space::Other).is_empty());
        let noise: Vec<u8> = (0..512_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        assert!(found(&noise, 8, 512, Space::Freeblock).iter().all(|freed| freed.rebuilt || freed.cut));
    }
}
