//! Pages that hold the same bytes: they fit alike wherever one of them does, so that one is asked for all.

use foldhash::fast::RandomState;
use mudlark_parsers::bytes::slice_at;
use mudlark_parsers::sqlite::page::PageKind;
use rayon::prelude::*;
use std::collections::HashMap;

/// What a page of a tree shows of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub offset: u64,
    pub kind: PageKind,
    pub first: i64,
    pub last: i64,
    /// Of an index the beginnings of its first and its last entry.
    pub prefixes: (u64, u64),
}

impl Shown {
    const fn key(&self) -> (u8, i64, i64, (u64, u64)) {
        (self.kind as u8, self.first, self.last, self.prefixes)
    }
}

/// The copies of pages that lie more than once, by the first one.
#[derive(Debug)]
pub(in super::super) struct Copies(Option<HashMap<u64, Vec<u64>, RandomState>>);

impl Copies {
    /// Of no page.
    pub(super) const NONE: Self = Self(None);

    /// Leaves of pages of so many bytes one of each content, the first in the image.
    pub(super) fn collapse(image: &[u8], page_size: u32, pages: &mut Vec<Shown>) -> Self {
        let bytes = |page: &Shown| {
            let from = usize::try_from(page.offset).unwrap_or(usize::MAX);
            slice_at(image, from, page_size as usize).unwrap_or_default()
        };
        pages.par_sort_unstable_by_key(|page| (page.key(), page.offset));
        // Only what shows the same can be the same.
        pages.par_chunk_by_mut(|a, b| a.key() == b.key()).filter(|alike| alike.len() > 1).for_each(|alike| {
            alike.par_sort_by(|a, b| bytes(a).cmp(bytes(b)).then(a.offset.cmp(&b.offset)));
        });
        let is_same = |a: &Shown, b: &Shown| a.key() == b.key() && bytes(a) == bytes(b);
        let copied = pages.par_chunk_by(is_same).filter_map(|same| {
            let offsets: Vec<u64> = same.iter().map(|page| page.offset).collect();
            Some((*offsets.first()?, offsets)).filter(|(_, offsets)| offsets.len() > 1)
        });
        let copied: HashMap<u64, Vec<u64>, RandomState> = copied.collect();
        let mut further: Vec<u64> = copied.values().flat_map(|same| same.iter().skip(1)).copied().collect();
        further.sort_unstable();
        pages.retain(|page| further.binary_search(&page.offset).is_err());
        Self(Some(copied))
    }

    /// All places of the content of a page, in order, where that is more than its own.
    pub(super) fn of(&self, first: u64) -> Option<&[u64]> {
        self.0.as_ref()?.get(&first).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::{Copies, Shown};
    use mudlark_parsers::sqlite::page::PageKind;

    #[test]
    fn of_pages_with_the_same_bytes_one_is_left_and_leads_to_all() {
        let mut image = vec![0; 4 * 512];
        image[512] = 1;
        image[3 * 512] = 1;
        let shown = |number: u64| Shown {
            offset: number * 512,
            kind: PageKind::TableLeaf,
            first: 1,
            last: 9,
            prefixes: (0, 0),
        };
        let mut pages = vec![shown(3), shown(0), shown(1)];
        let copies = Copies::collapse(&image, 512, &mut pages);
        let mut left: Vec<u64> = pages.iter().map(|page| page.offset).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 512]);
        assert_eq!(copies.of(512), Some([512, 3 * 512].as_slice()));
        assert_eq!(copies.of(0), None);
    }
}
