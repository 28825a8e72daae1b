//! Places in an image that look like a part of a store.

/// What a place looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) enum HitKind {
    /// The first page of a database: its header.
    Header,
    TableLeaf,
    TableInterior,
    IndexLeaf,
    IndexInterior,
    /// The header of a write-ahead log.
    WalHeader,
    /// The header of a rollback journal.
    Journal,
}

/// A place in an image that looks like a part of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Hit {
    offset: u64,
    kind: HitKind,
    /// Bit `i`: the bytes hold up as a page of `512 << i` bytes.
    sizes: u8,
}

impl Hit {
    pub(super) const fn new(offset: u64, kind: HitKind, sizes: u8) -> Self {
        Self { offset, kind, sizes }
    }

    pub(super) const fn offset(self) -> u64 {
        self.offset
    }

    pub(super) const fn kind(self) -> HitKind {
        self.kind
    }

    /// Whether the bytes hold up as a page of so many bytes.
    pub(super) fn is_page_of(self, page_size: u32) -> bool {
        let bit = (page_size / 512).trailing_zeros();
        self.sizes >> bit & 1 == 1
    }
}
