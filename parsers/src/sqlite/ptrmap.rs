//! Pointer-map pages of auto-vacuum databases (section 1.8).

use super::geometry::Geometry;
use crate::bytes::{be_u32_at, u8_at};

/// Bytes of an entry: a type and a parent.
pub const ENTRY_LEN: usize = 5;

/// What a pointer map says of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerKind {
    /// 1: the root of a b-tree.
    Root,
    /// 2: on the freelist.
    Free,
    /// 3: the first page of an overflow chain; the parent is the b-tree page of its cell.
    FirstOverflow,
    /// 4: a later page of an overflow chain; the parent is the page before it.
    LaterOverflow,
    /// 5: a b-tree page; the parent is its parent.
    Tree,
}

/// An entry of a pointer map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the page is.
    pub kind: PointerKind,
    /// The page that names it; 0 for roots and free pages.
    pub parent: u32,
}

/// The pointer-map page that describes `page`.
#[must_use]
pub fn map_page_of(page: u32, geometry: Geometry) -> Option<u32> {
    if page < 3 {
        return None;
    }
    let group = geometry.usable() / 5 + 1;
    let mut map = (page - 2) / group * group + 2;
    if map == geometry.lock_byte_page() {
        map += 1;
    }
    (map < page).then_some(map)
}

/// The entry of `page`, of whose map page `bytes` gives the bytes.
#[must_use]
pub fn entry_of<'p>(
    page: u32,
    geometry: Geometry,
    bytes: impl FnOnce(u32) -> Option<&'p [u8]>,
) -> Option<Entry> {
    let map = map_page_of(page, geometry)?;
    entry(bytes(map)?, map, page, geometry)
}

/// The entry of `page` in the map page `map`, whose bytes are given.
#[must_use]
pub fn entry(map_bytes: &[u8], map: u32, page: u32, geometry: Geometry) -> Option<Entry> {
    let index = page.checked_sub(map)?.checked_sub(1)? as usize;
    let at = index * ENTRY_LEN;
    if at + ENTRY_LEN > geometry.usable() as usize {
        return None;
    }
    let kind = match u8_at(map_bytes, at)? {
        1 => PointerKind::Root,
        2 => PointerKind::Free,
        3 => PointerKind::FirstOverflow,
        4 => PointerKind::LaterOverflow,
        5 => PointerKind::Tree,
        _ => return None,
    };
    Some(Entry { kind, parent: be_u32_at(map_bytes, at + 1)? })
}

#[cfg(test)]
mod tests {
    use super::{Entry, PointerKind, entry, map_page_of};
    use crate::sqlite::geometry::Geometry;

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    #[test]
    fn the_first_entry_describes_the_page_behind_the_map() {
        let bytes = [1, 0, 0, 0, 0, 5, 0, 0, 0, 3];
        assert_eq!(map_page_of(3, PAGE), Some(2));
        assert_eq!(entry(&bytes, 2, 3, PAGE), Some(Entry { kind: PointerKind::Root, parent: 0 }));
        assert_eq!(entry(&bytes, 2, 4, PAGE), Some(Entry { kind: PointerKind::Tree, parent: 3 }));
        assert_eq!(entry(&bytes, 2, 5, PAGE), None);
    }

    #[test]
    fn map_pages_and_the_first_page_have_no_entry() {
        assert_eq!(map_page_of(1, PAGE), None);
        assert_eq!(map_page_of(2, PAGE), None);
        assert_eq!(map_page_of(105, PAGE), None);
        assert_eq!(map_page_of(106, PAGE), Some(105));
    }
}
