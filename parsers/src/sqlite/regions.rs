//! Every byte of a page, and who owns it.

use super::freelist;
use super::geometry::Geometry;
use super::header;
use super::page::Page;
use super::ptrmap;

/// A run of bytes on a page and its owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Offset on the page, in bytes.
    pub at: u32,
    /// Bytes.
    pub len: u32,
    /// The owner, as `cell 3`.
    pub owner: String,
    /// What its fields say.
    pub detail: String,
}

impl Region {
    fn new(at: usize, len: usize, owner: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { at: at as u32, len: len as u32, owner: owner.into(), detail: detail.into() }
    }
}

/// The regions of a b-tree page, in order, without a byte left out.
#[must_use]
pub fn btree(page: &Page<'_>) -> Vec<Region> {
    let head = &page.header;
    let mut found = Vec::new();
    if page.header_at > 0 {
        found.push(Region::new(0, header::LEN, "database header", ""));
    }
    let detail = format!(
        "{}, {} cell{}, content from {}, first freeblock {}, {} fragmented byte{}",
        head.kind.name(),
        head.cell_count,
        s(u64::from(head.cell_count)),
        head.content_start,
        head.first_freeblock,
        head.fragmented_bytes,
        s(u64::from(head.fragmented_bytes))
    );
    found.push(Region::new(page.header_at, head.len(), "page header", detail));
    let pointers = 2 * page.pointer_count();
    found.push(Region::new(page.pointers_at(), pointers, "cell pointers", ""));
    for (index, read) in page.cells().enumerate() {
        let Ok(cell) = read else { continue };
        let mut detail = String::new();
        if head.kind.is_table() {
            detail = format!("row id {}", cell.rowid);
        }
        if head.kind.is_interior() {
            detail = format!("{detail} left child {}", cell.left_child);
        }
        if cell.payload_len > 0 {
            detail = format!("{detail} payload {} byte{}", cell.payload_len, s(cell.payload_len));
        }
        if cell.overflow != 0 {
            detail = format!("{detail}, {} here, overflow page {}", cell.local, cell.overflow);
        }
        let (at, len) = (cell.at as usize, (cell.end - cell.at) as usize);
        found.push(Region::new(at, len, format!("cell {index}"), detail.trim()));
    }
    for block in page.freeblocks().0 {
        found.push(Region::new(block.from as usize, (block.to - block.from) as usize, "freeblock", ""));
    }
    fill(found, page.geometry, page.bytes.len(), |at, to| {
        if at < page.header.content_start as usize {
            "gap"
        } else if to - at <= 3 {
            "fragment"
        } else {
            "unaccounted"
        }
    })
}

/// The ending of a noun behind a number.
const fn s(number: u64) -> &'static str {
    if number == 1 { "" } else { "s" }
}

/// The regions of a freelist trunk page.
#[must_use]
pub fn trunk(bytes: &[u8], geometry: Geometry) -> Vec<Region> {
    let mut found = Vec::new();
    if let Some(read) = freelist::trunk(bytes, geometry.usable()) {
        let leaves = if read.leaf_count == 1 { "leaf" } else { "leaves" };
        let detail = format!("next trunk {}, {} {leaves}", read.next, read.leaf_count);
        found.push(Region::new(0, 8, "trunk header", detail));
        let leaves: Vec<String> = read.leaves.iter().map(u32::to_string).collect();
        found.push(Region::new(8, 4 * read.leaves.len(), "freelist leaves", leaves.join(" ")));
    }
    fill(found, geometry, bytes.len(), |_, _| "unused")
}

/// The regions of pointer-map page `number`.
#[must_use]
pub fn pointer_map(bytes: &[u8], number: u32, geometry: Geometry) -> Vec<Region> {
    let mut found = Vec::new();
    for page in number.saturating_add(1)..=u32::MAX {
        let Some(entry) = ptrmap::entry(bytes, number, page, geometry) else { break };
        let at = (page - number - 1) as usize * ptrmap::ENTRY_LEN;
        let detail = format!("{:?}, parent {}", entry.kind, entry.parent);
        found.push(Region::new(at, ptrmap::ENTRY_LEN, format!("entry of page {page}"), detail));
    }
    fill(found, geometry, bytes.len(), |_, _| "unused")
}

/// The regions of an overflow page.
#[must_use]
pub fn overflow(bytes: &[u8], geometry: Geometry) -> Vec<Region> {
    let next = crate::bytes::be_u32_at(bytes, 0).unwrap_or(0);
    let body = (geometry.usable() as usize).min(bytes.len()).saturating_sub(4);
    let found =
        vec![Region::new(0, 4, "next overflow page", next.to_string()), Region::new(4, body, "payload", "")];
    fill(found, geometry, bytes.len(), |_, _| "unused")
}

/// One region over the whole page.
#[must_use]
pub fn opaque(bytes: &[u8], geometry: Geometry, owner: &str) -> Vec<Region> {
    let owner = owner.to_owned();
    fill(Vec::new(), geometry, bytes.len(), move |_, _| owner.clone())
}

/// Sorts regions and names what lies between them; bytes with two owners are named as such.
fn fill<T: Into<String>>(
    mut found: Vec<Region>,
    geometry: Geometry,
    len: usize,
    name: impl Fn(usize, usize) -> T,
) -> Vec<Region> {
    found.retain(|region| region.len > 0);
    found.sort_by_key(|region| (region.at, region.len));
    let usable = (geometry.usable() as usize).min(len);
    let mut whole = Vec::with_capacity(found.len() * 2);
    let mut at = 0_usize;
    for mut region in found {
        let from = region.at as usize;
        if from > at {
            whole.push(Region::new(at, from - at, name(at, from), ""));
        } else if from < at {
            region.owner = format!("{} (overlaps)", region.owner);
        }
        at = at.max(from + region.len as usize);
        whole.push(region);
    }
    if at < usable {
        whole.push(Region::new(at, usable - at, name(at, usable), ""));
    }
    if usable < len {
        whole.push(Region::new(usable, len - usable, "reserved", ""));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::pointer_map;
    use crate::sqlite::geometry::Geometry;

    #[test]
    fn a_pointer_map_at_the_last_page_numbers_ends_with_them() {
        let geometry = Geometry { page_size: 512, reserved: 0 };
        let owners = |number: u32| {
            let regions = pointer_map(&[1; 512], number, geometry);
            regions.iter().map(|region| region.owner.clone()).collect::<Vec<_>>()
        };
        assert_eq!(owners(u32::MAX), ["unused"]);
        assert_eq!(owners(u32::MAX - 1), [format!("entry of page {}", u32::MAX), "unused".to_owned()]);
    }
}
