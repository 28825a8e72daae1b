//! The leaves of a table's tree, in the order of their row ids.

use super::super::forest::Tree;
use super::super::survey::Survey;
use mudlark_parsers::sqlite::page::PageKind;

/// The leaves of a tree, and the place of each.
#[derive(Debug)]
pub(super) struct Leaves {
    pub pages: Vec<u32>,
    /// The least of them.
    first: u32,
    /// For each page from the least to the greatest of them its place, from 1; 0 for one that is no leaf.
    places: Vec<u32>,
}

impl Leaves {
    pub(super) fn of(tree: &Tree, survey: &Survey) -> Self {
        let leaf = |page: &&u32| survey.page(**page).kind == Some(PageKind::TableLeaf);
        let pages: Vec<u32> = tree.pages.iter().filter(leaf).copied().collect();
        let (first, last) = (pages.iter().min().copied(), pages.iter().max().copied());
        let (first, width) = first.zip(last).map_or((0, 0), |(first, last)| (first, last - first + 1));
        let mut places = vec![0; width as usize];
        for (page, place) in pages.iter().zip(1..) {
            if let Some(known) = places.get_mut((page - first) as usize) {
                *known = place;
            }
        }
        Self { pages, first, places }
    }

    /// The place of a page among them.
    pub(super) fn place(&self, page: u32) -> Option<usize> {
        let place = self.places.get(page.checked_sub(self.first)? as usize)?;
        place.checked_sub(1).map(|place| place as usize)
    }

    /// The page and those beside it; none for a page that is no leaf.
    pub(super) fn near(&self, page: u32) -> &[u32] {
        let near = self.place(page).map_or(0..0, |at| at.saturating_sub(1)..(at + 2).min(self.pages.len()));
        self.pages.get(near).unwrap_or_default()
    }
}
