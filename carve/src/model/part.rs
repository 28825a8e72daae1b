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
    /// How it was put together.
    pub standing: Standing,
    /// Why it does not stand better.
    pub reasons: Vec<String>,
    /// Other places of some of its bytes.
    pub alternatives: Vec<Alternative>,
    /// The part that this log or journal belongs to, by its number in the list of parts.
    pub of: Option<usize>,
}

impl Part {
    /// The pages that were not found, from 1.
    #[must_use]
    pub fn missing(&self) -> Vec<Range<u64>> {
        let size = u64::from(self.page_size.max(1));
        let absent = self.extents.iter().filter(|extent| extent.offset.is_none());
        absent.map(|extent| extent.at / size + 1..(extent.at + extent.length).div_ceil(size) + 1).collect()
    }

    /// How many pages were not found.
    #[must_use]
    pub fn missing_pages(&self) -> u64 {
        self.missing().iter().map(|range| range.end - range.start).sum()
    }
}
