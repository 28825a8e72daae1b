//! Pages that may be of overflow chains, list free pages or map pointers, by their links: all bytes of an image are asked, as nothing else marks them.
//!
//! SQLite mostly writes a chain in the order of the numbers, so that the page before or behind goes with a link. The last
//! page links to none, and what it doesn't fill is zeros.

use super::pointers;
use crate::progress::Progress;
use crate::scan::{Window, again};
use crate::source::Source;
use mudlark_parsers::bytes::slice_at;
use mudlark_parsers::sqlite::freelist;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Where parts of files can begin.
const SECTOR: usize = 512;

/// Places that are kept for pages of chains that nothing beside them bears out: what begins with a small number is
/// common in some files.
const MOST_LONE: usize = 1 << 20;

/// The pages of chains of one size.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Their offsets, by the number that they link to.
    pub links: Vec<(u32, u64)>,
    /// Pages that may be the last of a chain, by the end of what they hold.
    pub ends: Vec<(u32, u64)>,
    /// Pages that may be trunks of a freelist, by the number that they link to.
    pub trunks: Vec<(u32, u64)>,
    /// Pages that may be of a pointer map.
    pub maps: Vec<u64>,
}

/// What a part of an image holds of one size.
#[derive(Debug, Default)]
struct Found {
    /// Links beside which another one goes with them.
    runs: Vec<(u32, u64)>,
    lone: Vec<(u32, u64)>,
    ends: Vec<(u32, u64)>,
    trunks: Vec<(u32, u64)>,
    maps: Vec<u64>,
}

impl Found {
    fn extend(&mut self, other: Self) {
        self.runs.extend(other.runs);
        self.lone.extend(other.lone);
        self.ends.extend(other.ends);
        self.trunks.extend(other.trunks);
        self.maps.extend(other.maps);
    }

    fn into_links(self) -> Links {
        let Self { runs: mut links, lone, mut ends, mut trunks, maps } = self;
        if lone.len() <= MOST_LONE {
            links.extend(lone);
        }
        if ends.len() > MOST_LONE {
            ends.clear();
        }
        links.par_sort_unstable();
        ends.par_sort_unstable();
        trunks.par_sort_unstable();
        Links { links, ends, trunks, maps }
    }
}

/// The links of pages of some sizes, each with the most pages that a database of it has, without those that are `taken`.
pub(super) fn links(
    image: &Source,
    sizes: &BTreeMap<u32, u32>,
    taken: &(dyn Fn(u64) -> bool + Sync),
    progress: &dyn Progress,
) -> BTreeMap<u32, Links> {
    let mut all: BTreeMap<u32, Found> = sizes.keys().map(|size| (*size, Found::default())).collect();
    let look = |window: &Window<'_>| {
        let mut found: Vec<Found> = sizes.iter().map(|_| Found::default()).collect();
        look(window, sizes, taken, &mut found);
        found
    };
    let mut take = |found: Vec<Found>| all.values_mut().zip(found).for_each(|(all, found)| all.extend(found));
    if !sizes.is_empty() {
        again(image, look, &mut take, progress);
    }
    all.into_iter().map(|(size, found)| (size, found.into_links())).collect()
}

fn look(
    window: &Window<'_>,
    sizes: &BTreeMap<u32, u32>,
    taken: &(dyn Fn(u64) -> bool + Sync),
    found: &mut [Found],
) {
    let most = sizes.values().copied().max().unwrap_or(0);
    let number = |at: usize| window.array_of_image(at).map(|bytes| u32::from_be_bytes(*bytes));
    for (index, sector) in window.bytes.chunks(SECTOR).enumerate() {
        let Some(link) = sector.first_chunk().map(|link| u32::from_be_bytes(*link)) else { continue };
        let at = window.from + index * SECTOR;
        // The first entry of a map begins with its kind.
        if (1 << 24..6 << 24).contains(&link) && !taken(at as u64) {
            for ((size, most), found) in sizes.iter().zip(&mut *found) {
                let is_map =
                    page(window, at, *size as usize).is_some_and(|page| pointers::is_map(page, *size, *most));
                found.maps.extend(is_map.then_some(at as u64));
            }
        }
        let holds_some = || link >= 2 || link == 0 && sector.get(4..8).is_some_and(|bytes| bytes != [0; 4]);
        if link > most || !holds_some() || taken(at as u64) {
            continue;
        }
        for ((size, most), found) in sizes.iter().zip(&mut *found) {
            let size = *size as usize;
            if is_trunk(window, at, size, *most) {
                found.trunks.push((link, at as u64));
            }
            if link == 0 {
                found.ends.extend(end(window, at, size).map(|end| (end, at as u64)));
            } else if (3..=*most).contains(&link) {
                let behind = number(at + size) == Some(link + 1);
                let before = || at.checked_sub(size).and_then(number) == Some(link - 1);
                let list = if behind || before() { &mut found.runs } else { &mut found.lone };
                list.push((link, at as u64));
            }
        }
    }
}

fn is_trunk(window: &Window<'_>, at: usize, size: usize, most_pages: u32) -> bool {
    let page = page(window, at, size);
    page.is_some_and(|page| freelist::plausible_trunk(page, size as u32, most_pages).is_some())
}

fn page<'w>(window: &Window<'w>, at: usize, size: usize) -> Option<&'w [u8]> {
    let near = window.bytes.get(at - window.from..).and_then(|bytes| bytes.get(..size));
    near.or_else(|| slice_at(window.image, at, size))
}

/// Where the zeros begin that fill a page, its end when it is full.
fn end(window: &Window<'_>, at: usize, size: usize) -> Option<u32> {
    let page = page(window, at, size)?;
    page.iter().rposition(|byte| *byte != 0).map(|last| last as u32 + 1)
}
