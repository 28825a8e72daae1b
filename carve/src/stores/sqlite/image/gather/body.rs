//! A database that is being put together, and what is expected of each of its pages.

use super::search::Index;
use super::shape::Shape;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::value::TextEncoding;

/// What every part of the search for a database's pages knows of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'i> {
    pub image: &'i [u8],
    pub geometry: Geometry,
    /// The pages of its size by their content.
    pub index: &'i Index,
    /// Pages of the database.
    pub count: u32,
    /// The greatest number that its links may name.
    pub linked: u32,
    pub encoding: TextEncoding,
    pub auto_vacuum: bool,
    /// Where page 1 lies.
    pub first: Option<u64>,
}

impl<'i> Body<'i> {
    /// The whole page at an offset of the image.
    pub(super) fn bytes(&self, offset: u64) -> Option<&'i [u8]> {
        let from = usize::try_from(offset).ok()?;
        self.image.get(from..from.checked_add(self.geometry.page_size as usize)?)
    }

    /// Bytes a page.
    pub(super) const fn size(&self) -> u64 {
        self.geometry.page_size as u64
    }
}

/// A bound of the keys of a page, as the page above it has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// No bound is known.
    Open,
    /// A row id.
    Row(i64),
    /// The bytes of an index entry that lie on its page: their offset in the image, and how many.
    Entry(u64, u32),
}

/// What a page is expected to be, from what leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Expect {
    /// Nothing that is known leads to it.
    Unknown,
    /// The database header.
    Header,
    /// A page of a tree whose keys lie above `low`, up to `high`.
    Tree {
        /// Whether it is a page of a table with row ids, where that is known.
        table: Option<bool>,
        /// Whether it is a leaf, where that is known.
        leaf: Option<bool>,
        /// What the definition says of its records.
        shape: Shape,
        low: Key,
        high: Key,
        /// The page that leads to it; 0 for a root.
        parent: u32,
    },
    /// A page of an overflow chain.
    Chain {
        /// Bytes that the chain holds from here on.
        left: u64,
        /// How many of them, from the first on, are text.
        text: u64,
        /// The page before it in the chain was not found: SQLite mostly writes a chain in the order of the numbers.
        guessed: bool,
        parent: u32,
    },
    /// A page that lists free pages.
    Trunk,
    /// A free page: its content is of no account to the database.
    Free,
    /// A page of the pointer map.
    Map,
    /// The page of the lock byte, which is never written.
    Lock,
}
