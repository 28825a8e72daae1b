//! The leaves of a table's tree, in the order of their row ids.

use super::super::forest::Tree;
use super::super::survey::Survey;
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::page::PageKind;
use std::collections::HashMap;

/// The leaves of a tree, and the place of each.
#[derive(Debug)]
pub(super) struct Leaves {
    pub pages: Vec<u32>,
    places: HashMap<u32, usize, RandomState>,
}

impl Leaves {
    pub(super) fn of(tree: &Tree, survey: &Survey) -> Self {
        let leaf = |page: &&u32| survey.page(**page).kind == Some(PageKind::TableLeaf);
        let pages: Vec<u32> = tree.pages.iter().filter(leaf).copied().collect();
        let places = pages.iter().enumerate().map(|(place, page)| (*page, place)).collect();
        Self { pages, places }
    }

    /// The place of a page among them.
    pub(super) fn place(&self, page: u32) -> Option<usize> {
        self.places.get(&page).copied()
    }

    /// The page and those beside it; none for a page that is no leaf.
    pub(super) fn near(&self, page: u32) -> &[u32] {
        let near = self.place(page).map_or(0..0, |at| at.saturating_sub(1)..(at + 2).min(self.pages.len()));
        self.pages.get(near).unwrap_or_default()
    }
}
