//! A database as it lies, or with the commits of a log laid over it.

use super::sides::Sides;
use mudlark_parsers::bytes::{be_u32_at, slice_at};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::wal::Frame;
use std::borrow::Cow;
use std::collections::HashMap;

/// The pages of one state.
pub struct Laid<'s, 'a> {
    sides: &'s Sides<'a>,
    /// The last committed frame of each page, when the log lies over the main file.
    log: HashMap<u32, &'a Frame>,
    /// Pages of the database.
    pub count: u32,
    pub header: Header,
    pub geometry: Geometry,
}

impl<'s, 'a> Laid<'s, 'a> {
    /// The main file without its log.
    pub fn alone(sides: &'s Sides<'a>) -> Option<Self> {
        Self::new(sides, HashMap::new(), None)
    }

    /// The main file under these first commits of the log.
    pub fn under(sides: &'s Sides<'a>, commits: usize) -> Option<Self> {
        let frames = || sides.commits().take(commits).flatten();
        let count = frames().last()?.commit;
        Self::new(sides, frames().map(|frame| (frame.page, frame)).collect(), Some(count))
    }

    fn new(sides: &'s Sides<'a>, log: HashMap<u32, &'a Frame>, count: Option<u32>) -> Option<Self> {
        let first = match log.get(&1) {
            Some(frame) => sides.image(frame)?,
            None => sides.page(1)?,
        };
        let (_, header) = header::header(first).ok()?;
        let held = u32::try_from(sides.held()).unwrap_or(u32::MAX);
        let count = count.or_else(|| header.believed_page_count()).unwrap_or(held);
        Some(Self { sides, log, count, header, geometry: sides.geometry })
    }

    /// A page of the database.
    pub fn page(&self, number: u32) -> Option<&'a [u8]> {
        if !(1..=self.count).contains(&number) {
            return None;
        }
        match self.log.get(&number) {
            Some(frame) => self.sides.image(frame),
            None => self.sides.page(number),
        }
    }

    /// Whether the log holds a page.
    pub fn is_of_log(&self, number: u32) -> bool {
        self.log.contains_key(&number)
    }

    /// Whether the main file holds a page that the log leaves as it is.
    pub fn needs_main(&self) -> bool {
        (1..=self.count).any(|page| !self.is_of_log(page))
    }

    /// The payload of a cell, and the overflow pages that it goes on in; `None` where its chain does not hold it.
    pub fn payload(&self, page: &'a [u8], cell: &Cell) -> Option<(Cow<'a, [u8]>, Vec<u32>)> {
        let local = cell.local_payload(page);
        let (mut left, mut next) = (cell.spilled(), cell.overflow);
        if left == 0 {
            return Some((Cow::Borrowed(local), Vec::new()));
        }
        let room = self.geometry.usable().checked_sub(4)?;
        if left.div_ceil(room.into()) > self.count.into() {
            return None;
        }
        let (mut payload, mut chain) = (local.to_vec(), Vec::new());
        while left > 0 {
            let bytes = self.page(next)?;
            chain.push(next);
            let len = left.min(room.into());
            payload.extend_from_slice(slice_at(bytes, 4, len as usize)?);
            next = be_u32_at(bytes, 0)?;
            left -= len;
        }
        (next == 0).then_some((Cow::Owned(payload), chain))
    }
}
