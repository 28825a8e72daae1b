//! What an image holds of stores: files, put together from where their bytes lie.

use std::ops::Range;

/// What a file in an image is to its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartRole {
    /// A main file.
    Database,
    /// A write-ahead log.
    Log,
    /// A rollback journal.
    Journal,
    /// Pages that belong to no file that is known, one after the other.
    Orphans,
}

impl PartRole {
    /// Its name in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Log => "log",
            Self::Journal => "journal",
            Self::Orphans => "orphans",
        }
    }
}

/// A run of a file's bytes, and where it lies in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Offset in the file.
    pub at: u64,
    /// Offset in the image; `None` where nothing of it was found.
    pub offset: Option<u64>,
    /// Bytes.
    pub length: u64,
}

/// Another place where bytes of a file may lie, and how likely it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    /// Offset in the file.
    pub at: u64,
    /// Offset in the image.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// How likely these are the bytes, from 0 to 1; the rest is for what was chosen.
    pub weight: f64,
}

/// Pages that nothing tells apart: each of them lies in one of some places, and any order is as likely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interchangeable {
    /// Offsets in the file.
    pub at: Vec<u64>,
    /// Offsets in the image, those that were chosen among them.
    pub offsets: Vec<u64>,
    /// Bytes a page.
    pub length: u64,
}

impl Interchangeable {
    /// How likely it is for each page that it lies in a certain one of the places, from 0 to 1.
    #[must_use]
    pub fn weight(&self) -> f64 {
        1.0 / self.offsets.len().max(1) as f64
    }
}

/// How a file was put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The bytes of the image leave one way to put it together, all of it is there, and all its links hold.
    Intact,
    /// All of it seems to be there, and other ways to put it together are about as likely.
    Ambiguous,
    /// Bytes of it were not found, or links of it don't hold.
    Damaged,
}

impl Standing {
    /// Its name in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Intact => "intact",
            Self::Ambiguous => "ambiguous",
            Self::Damaged => "damaged",
        }
    }
}

/// A file of a store in an image.
#[derive(Clone, Debug)]
pub struct Part {
    /// The store's name.
    pub store: &'static str,
    /// What it is to its store.
    pub role: PartRole,
    /// What it is, for a person.
    pub what: String,
    /// Offset in the image by which it is named: of its first byte where that was found.
    pub place: u64,
    /// Bytes of the file.
    pub length: u64,
    /// Bytes a page.
    pub page_size: u32,
    /// Its bytes, in their order in the file, without a gap.
    pub extents: Vec<Extent>,
    /// Its first bytes, where they were not found and follow from the others.
    pub head: Vec<u8>,
    /// How it was put together.
    pub standing: Standing,
    /// Why it does not stand better.
    pub reasons: Vec<String>,
    /// Other places of some of its bytes.
    pub alternatives: Vec<Alternative>,
    /// Pages of which only the places that they share are known.
    pub interchangeable: Vec<Interchangeable>,
    /// Offsets in the file of pages that may lie elsewhere as well, and whose rows stand by themselves: which file they are of is
    /// a guess, in order.
    pub guessed: Vec<u64>,
    /// The part that this log or journal belongs to, by its number in the list of parts.
    pub of: Option<usize>,
}

impl Part {
    /// The pages that were not found, from 1; logs and journals have pages of any number.
    #[must_use]
    pub fn missing(&self) -> Vec<Range<u64>> {
        let size = u64::from(self.page_size.max(1));
        let absent = self.extents.iter().filter(|extent| extent.offset.is_none() && !self.is_log());
        absent.map(|extent| extent.at / size + 1..(extent.at + extent.length).div_ceil(size) + 1).collect()
    }

    /// The extents without the pages that may as well lie elsewhere, of which rows have no more than a part: it can't be read from
    /// a guess.
    #[must_use]
    pub fn decided(&self) -> Vec<Extent> {
        let shared = self.interchangeable.iter().flat_map(|pages| &pages.at).copied();
        let mut open: Vec<u64> = self.alternatives.iter().map(|other| other.at).chain(shared).collect();
        open.retain(|at| self.guessed.binary_search(at).is_err());
        open.sort_unstable();
        open.dedup();
        let mut extents: Vec<Extent> = Vec::with_capacity(self.extents.len() + 2 * open.len());
        let size = u64::from(self.page_size);
        for extent in &self.extents {
            let (mut at, end) = (extent.at, extent.at + extent.length);
            let from = open.partition_point(|open| *open < at);
            for hole in open.iter().skip(from).take_while(|open| **open < end) {
                let part = |from: u64| extent.offset.map(|offset| offset + (from - extent.at));
                extents.push(Extent { at, offset: part(at), length: hole - at });
                extents.push(Extent { at: *hole, offset: None, length: size });
                at = hole + size;
            }
            let offset = extent.offset.map(|offset| offset + (at - extent.at));
            extents.push(Extent { at, offset, length: end.saturating_sub(at) });
        }
        extents.retain(|extent| extent.length > 0);
        extents
    }

    /// Whether it is a log or a journal.
    #[must_use]
    pub const fn is_log(&self) -> bool {
        matches!(self.role, PartRole::Log | PartRole::Journal)
    }

    /// How many pages were not found.
    #[must_use]
    pub fn missing_pages(&self) -> u64 {
        self.missing().iter().map(|range| range.end - range.start).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::{Alternative, Extent, Interchangeable, Part, PartRole, Standing};

    #[test]
    fn pages_that_may_lie_elsewhere_are_left_out_of_what_is_decided() {
        let other = |at| Alternative { at, offset: 0, length: 512, weight: 0.5 };
        let part = Part {
            store: "sqlite",
            role: PartRole::Database,
            what: String::new(),
            place: 512,
            length: 2048,
            page_size: 512,
            extents: vec![Extent { at: 0, offset: Some(512), length: 2048 }],
            head: Vec::new(),
            standing: Standing::Ambiguous,
            reasons: Vec::new(),
            alternatives: vec![other(512), other(512), other(1024)],
            interchangeable: vec![Interchangeable { at: vec![1536], offsets: vec![0, 2048], length: 512 }],
            guessed: vec![1024],
            of: None,
        };
        let extent = |at, offset, length| Extent { at, offset, length };
        let expected = [
            extent(0, Some(512), 512),
            extent(512, None, 512),
            extent(1024, Some(1536), 512),
            extent(1536, None, 512),
        ];
        assert_eq!(part.decided(), expected);
    }
}
