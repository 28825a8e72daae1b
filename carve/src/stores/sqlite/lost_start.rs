//! Files of which whole pages are lost at the beginning: all others lie as many places too far in front.

use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use std::collections::HashMap;

/// Links that agree on how many pages are lost: fewer may by accident.
const ENOUGH: usize = 3;

/// Leaves that end with the same row id: of more a link tells nothing.
const MOST_ALIKE: usize = 4;

/// Pages may be lost for each that is there, and in any file: what it takes to look at a file is in proportion to it.
const MOST_FOR_EACH: usize = 16;
const MOST: usize = 4096;

/// How many pages are lost before the first that is there; `None` where none are, or nothing tells.
///
/// A link of an interior page holds the number of a leaf and the row id that it ends with, and the leaf with this row id
/// lies somewhere: each such pair says how far it lies from its place.
pub(super) fn pages(bytes: &[u8], geometry: Geometry) -> Option<usize> {
    let mut ends: HashMap<i64, Vec<usize>> = HashMap::new();
    let mut links: Vec<(usize, i64)> = Vec::new();
    let count = bytes.len() / geometry.page_size as usize;
    for (index, page) in bytes.chunks_exact(geometry.page_size as usize).enumerate() {
        let Some(page) = Page::parse(page, 2, geometry) else { continue };
        match page.header.kind {
            PageKind::TableLeaf => {
                let last = page.good_cells().last();
                ends.entry(last.map_or(0, |cell| cell.rowid)).or_default().push(index);
            }
            PageKind::TableInterior => {
                links.extend(page.good_cells().map(|cell| (cell.left_child as usize, cell.rowid)));
            }
            _ => {}
        }
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (child, key) in links {
        let leaves = ends.get(&key).filter(|leaves| leaves.len() <= MOST_ALIKE);
        for leaf in leaves.into_iter().flatten() {
            if let Some(lost) = child.checked_sub(leaf + 1) {
                *votes.entry(lost).or_default() += 1;
            }
        }
    }
    let mut votes: Vec<(usize, usize)> = votes.into_iter().map(|(lost, votes)| (votes, lost)).collect();
    votes.sort_unstable_by(|a, b| b.cmp(a));
    let (most, lost) = votes.first().copied()?;
    let next = votes.get(1).map_or(0, |(votes, _)| *votes);
    let is_told = most >= ENOUGH && 2 * most >= 3 * next;
    (is_told && lost > 0 && lost <= MOST.max(MOST_FOR_EACH * count)).then_some(lost)
}
