//! Cells in free space: freeblocks, the gap, and what earlier uses of a page have left.
//!
//! Freeing a cell writes the next freeblock's offset and a size over its first four bytes (SQLite's `freeSpace`). Lost
//! are, in order, the payload length, the row id, the length of the record's header and its first serial types, as far
//! as four bytes reach. What is left determines them: the lengths of all columns add up to the payload length, and the
//! cell ends where the block or the next cell does. Neighbouring freeblocks are joined, so that one block may hold
//! several cells, some of which were swallowed whole.

mod add;
mod choose;
mod effort;
mod headless;
mod joints;
mod links;
mod odds;
#[cfg(test)]
mod tests;
mod whole;

pub use effort::Effort;

use super::cell::{Cell, MIN_CELL};
use super::geometry::Geometry;
use super::page::{Extent, PageKind};
use super::serial::Serial;
use super::serial_list::SerialList;
use crate::bytes::each_pair;
use joints::{Head, find_joints};
use odds::ODDS_PER_WORTH;

/// Bytes that freeing a cell overwrites.
pub const LOST: usize = 4;

/// Bytes of text that are read in one step.
const TEXT_STEP: usize = 16;

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
    /// Of two types that follow from lengths others are about as likely.
    pub doubtful_pair: bool,
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

impl Shape<'_> {
    /// Whether the length of a record's header may take two bytes: serial types of 126 bytes or more.
    pub(crate) const fn may_have_long_header(&self) -> bool {
        9 * self.most >= 126
    }
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
            let is_one = |len: u8, second: u8| (second == first as u8) & (len >= least);
            if shape.may_have_long_header() {
                // The second byte of a longer length stands before the first type.
                let is_one = |len, second| is_one(len, second) | (len >= 0x80);
                each_pair(bytes, 1, is_one, |at| walk.by_header(from + at, found));
            } else {
                each_pair(bytes, 1, is_one, |at| walk.by_header(from + at, found));
            }
        }
        _ => (from..to).for_each(|at| walk.by_header(at, found)),
    }
    let links = if kind.is_table() { links::runs(page, from..to) } else { Vec::new() };
    links::leave_out(&links, found);
    find_joints(page, from..to, found, is_edge, (heads, places), joints);
    walk.add_borne_out(found, heads, joints);
    let walk = Walk { joints, ..walk };
    walk.without_header(found, (starts, next_starts, places));
    links::leave_out(&links, found);
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
}
