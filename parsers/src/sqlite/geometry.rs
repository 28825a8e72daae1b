//! Page sizes, and how much of a payload stays on its page (section 1.6).

/// The page sizes that SQLite writes, in bytes.
pub const PAGE_SIZES: [u32; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];

/// The fewest usable bytes of a page that the format allows.
pub const MIN_USABLE: u32 = 480;

/// The file offset whose page SQLite never uses: the lock byte.
pub const LOCK_BYTE: u64 = 1 << 30;

/// Page size and reserved bytes: what turns lengths into layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Bytes a page, 512 to 65536.
    pub page_size: u32,
    /// Bytes at the end of every page that SQLite leaves to extensions.
    pub reserved: u8,
}

/// Where a payload's bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spill {
    /// Bytes on the b-tree page itself.
    pub local: u32,
    /// Bytes in overflow pages.
    pub overflow: u64,
}

impl Geometry {
    /// The geometry, when the format allows it.
    #[must_use]
    pub fn new(page_size: u32, reserved: u8) -> Option<Self> {
        let geometry = Self { page_size, reserved };
        (PAGE_SIZES.contains(&page_size) && geometry.usable() >= MIN_USABLE).then_some(geometry)
    }

    /// Usable bytes a page: U.
    #[inline]
    #[must_use]
    pub const fn usable(self) -> u32 {
        self.page_size.saturating_sub(self.reserved as u32)
    }

    /// Bytes of payload that an overflow page carries.
    #[inline]
    #[must_use]
    pub const fn overflow_capacity(self) -> u32 {
        self.usable().saturating_sub(4)
    }

    /// Splits a payload of `length` bytes; `table_leaf` tells the two kinds of limit apart.
    #[inline]
    #[must_use]
    pub const fn spill(self, table_leaf: bool, length: u64) -> Spill {
        let usable = self.usable() as u64;
        let most = if table_leaf {
            usable.saturating_sub(35)
        } else {
            ((usable.saturating_sub(12)) * 64 / 255).saturating_sub(23)
        };
        if length <= most {
            return Spill { local: length as u32, overflow: 0 };
        }
        let least = ((usable.saturating_sub(12)) * 32 / 255).saturating_sub(23);
        let wanted = least + length.saturating_sub(least) % usable.saturating_sub(4);
        let local = if wanted <= most { wanted } else { least };
        Spill { local: local as u32, overflow: length.saturating_sub(local) }
    }

    /// Overflow pages that `bytes` need.
    #[must_use]
    pub const fn overflow_pages(self, bytes: u64) -> u64 {
        bytes.div_ceil(self.overflow_capacity() as u64)
    }

    /// The page that holds the lock byte, when the file reaches that far.
    #[must_use]
    pub const fn lock_byte_page(self) -> u32 {
        (LOCK_BYTE / self.page_size as u64) as u32 + 1
    }

    /// Whether `page` is a pointer-map page of an auto-vacuum database (section 1.8).
    #[must_use]
    pub const fn is_pointer_map(self, page: u32) -> bool {
        if page < 2 {
            return false;
        }
        let group = self.usable() / 5 + 1;
        let mut at = (page - 2) / group * group + 2;
        if at == self.lock_byte_page() {
            at += 1;
        }
        at == page
    }
}

#[cfg(test)]
mod tests {
    use super::{Geometry, Spill};

    const PAGE: Geometry = Geometry { page_size: 4096, reserved: 0 };

    #[test]
    fn a_payload_at_the_limit_stays_whole_and_one_byte_more_spills() {
        assert_eq!(PAGE.spill(true, 4061), Spill { local: 4061, overflow: 0 });
        assert_eq!(PAGE.spill(true, 4062), Spill { local: 489, overflow: 3573 });
        assert_eq!(PAGE.spill(false, 1002), Spill { local: 1002, overflow: 0 });
        assert_eq!(PAGE.spill(false, 1003).local, 489);
    }

    #[test]
    fn pointer_map_pages_come_at_two_and_after_every_group() {
        let pages: Vec<u32> = (1..2000).filter(|page| PAGE.is_pointer_map(*page)).collect();
        assert_eq!(pages, [2, 822, 1642]);
    }
}
