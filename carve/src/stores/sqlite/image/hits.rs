//! Places of an image that look like parts of SQLite stores.

use crate::scan::Mark;
use mudlark_parsers::sqlite::page::PageKind;
use mudlark_parsers::sqlite::probe::Sizes;
use mudlark_parsers::sqlite::wal::FRAME_HEADER_LEN;

/// What a place looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub(in crate::stores::sqlite) enum HitKind {
    /// Page 1 with its database header, one of which may be damaged.
    Header = 1,
    /// A b-tree page of a kind, with cells.
    IndexInterior = 2,
    /// The same.
    TableInterior = 5,
    /// The same.
    IndexLeaf = 10,
    /// The same.
    TableLeaf = 13,
    /// A leaf of an index that holds no cell: its eight bytes say little where nothing else is known of a database.
    EmptyIndex = 26,
    /// The same, of a table.
    EmptyTable = 29,
    /// The header of a write-ahead log.
    WalHeader = 32,
    /// The header of a frame; its page follows.
    Frame = 33,
    /// The header of a segment of a rollback journal.
    Journal = 34,
    /// A record of a rollback journal: the number of a page, the page and a checksum.
    Record = 35,
}

impl HitKind {
    const ALL: [Self; 11] = [
        Self::Header,
        Self::IndexInterior,
        Self::TableInterior,
        Self::IndexLeaf,
        Self::TableLeaf,
        Self::EmptyIndex,
        Self::EmptyTable,
        Self::WalHeader,
        Self::Frame,
        Self::Journal,
        Self::Record,
    ];

    /// What a b-tree page is, with cells or without.
    pub(super) const fn of_page(kind: PageKind, empty: bool) -> Self {
        match (kind, empty) {
            (PageKind::IndexInterior, _) => Self::IndexInterior,
            (PageKind::TableInterior, _) => Self::TableInterior,
            (PageKind::IndexLeaf, false) => Self::IndexLeaf,
            (PageKind::TableLeaf, false) => Self::TableLeaf,
            (PageKind::IndexLeaf, true) => Self::EmptyIndex,
            (PageKind::TableLeaf, true) => Self::EmptyTable,
        }
    }

    /// The kind of b-tree page that lies at the very place: not behind a header of a frame or a record.
    pub(super) const fn page_kind(self) -> Option<PageKind> {
        match self {
            Self::IndexInterior => Some(PageKind::IndexInterior),
            Self::TableInterior => Some(PageKind::TableInterior),
            Self::IndexLeaf | Self::EmptyIndex => Some(PageKind::IndexLeaf),
            Self::TableLeaf | Self::EmptyTable => Some(PageKind::TableLeaf),
            _ => None,
        }
    }

    /// Bytes from the place to the page that belongs to it; `None` for headers of logs and journals, which have none.
    pub(super) const fn page_behind(self) -> Option<u64> {
        match self {
            Self::WalHeader | Self::Journal => None,
            Self::Frame => Some(FRAME_HEADER_LEN as u64),
            Self::Record => Some(4),
            _ => Some(0),
        }
    }
}

/// A place of an image that looks like a part of a SQLite store. Eight bytes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::stores::sqlite) struct Hit(Mark);

impl Hit {
    pub(super) const fn new(offset: u64, kind: HitKind, sizes: Sizes) -> Self {
        Self(Mark::new(offset, (kind as u16) << 8 | sizes.bits() as u16))
    }

    /// The hit that a mark of this store stands for; `None` for one that this version of the program doesn't make.
    pub(super) fn of(mark: Mark) -> Option<Self> {
        let hit = Self(mark);
        HitKind::ALL.iter().any(|kind| *kind as u16 == mark.tag() >> 8).then_some(hit)
    }

    pub(super) const fn mark(self) -> Mark {
        self.0
    }

    /// Where it begins in the image: of a frame or a record where its header does.
    pub(super) const fn offset(self) -> u64 {
        self.0.offset()
    }

    pub(super) fn kind(self) -> HitKind {
        let number = self.0.tag() >> 8;
        HitKind::ALL.into_iter().find(|kind| *kind as u16 == number).unwrap_or(HitKind::Header)
    }

    /// The page sizes at which the bytes hold up.
    pub(super) const fn sizes(self) -> Sizes {
        Sizes::from_bits(self.0.tag() as u8)
    }

    /// Whether a page begins at the very place, and holds up as one of so many bytes.
    pub(super) fn is_page_of(self, page_size: u32) -> bool {
        self.kind().page_behind() == Some(0) && self.sizes().has(page_size)
    }

    /// Where the page of it begins in the image.
    pub(super) fn page_at(self) -> Option<u64> {
        Some(self.offset() + self.kind().page_behind()?)
    }
}
