//! Payloads, with their overflow chains followed.

use super::survey::Survey;
use super::view::{PageVersion, View};
use crate::source::Span;
use mudlark_parsers::bytes::{all_zero, be_u32_at, slice_at};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashSet;

/// A payload, as far as it could be read.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    /// The bytes from the payload's start on, until the chain broke.
    pub bytes: Cow<'a, [u8]>,
    /// The chain's pages, in order.
    pub pages: Vec<u32>,
    /// Whether all bytes are there.
    pub whole: bool,
    /// All bytes are there, but a link says that the chain goes on.
    pub doubtful: bool,
}

/// Reads the payload of a cell; a local one is borrowed.
pub(super) fn read<'a>(view: &View<'a>, survey: &Survey, page: &PageVersion<'a>, cell: &Cell) -> Payload<'a> {
    let local = slice_at(page.bytes, cell.payload_at as usize, cell.local as usize);
    let local = local.unwrap_or_default();
    if cell.overflow == 0 {
        let whole = local.len() as u64 == cell.payload_len;
        return Payload { bytes: Cow::Borrowed(local), pages: Vec::new(), whole, doubtful: false };
    }
    let mut walk = Walk { bytes: local.to_vec(), pages: Vec::new(), seen: HashSet::new(), doubtful: false };
    let whole = walk.follow(view, survey, cell.overflow, cell.spilled());
    Payload { bytes: Cow::Owned(walk.bytes), pages: walk.pages, whole, doubtful: walk.doubtful }
}

/// The spans of a payload that was read: its cell, and its bytes in the pages of its chain.
pub(super) fn spans(
    view: &View<'_>,
    page: &PageVersion<'_>,
    cell: &Cell,
    chain: &[u32],
    out: &mut Vec<Span>,
) {
    out.push(page.span(cell.at, cell.end - cell.at));
    let mut left = cell.spilled();
    for number in chain {
        let take = left.min(u64::from(view.geometry.overflow_capacity()));
        left -= take;
        out.extend(view.page(*number).map(|page| page.span(4, take as u32)));
    }
}

/// The overflow pages of a database, as far as their chains hold together, in order.
#[derive(Debug, Default)]
pub(super) struct Chained {
    /// Pages of any chain.
    pub pages: Vec<u32>,
    /// Pages of more than one chain: at most one of the rows is right.
    pub shared: Vec<u32>,
}

impl Chained {
    /// The chains that begin on these pages.
    pub(super) fn from(view: &View<'_>, survey: &Survey, tree_pages: &[u32]) -> Self {
        let mut pages: Vec<u32> = tree_pages
            .par_iter()
            .filter(|page| survey.page(**page).spilled > 0)
            .flat_map_iter(|number| pages_from(view, survey, *number))
            .collect();
        pages.par_sort_unstable();
        let twice = pages.windows(2).filter(|pair| matches!(pair, [a, b] if a == b));
        let mut shared: Vec<u32> = twice.filter_map(|pair| pair.first().copied()).collect();
        shared.dedup();
        pages.dedup();
        Self { pages, shared }
    }

    pub(super) fn contains(&self, page: u32) -> bool {
        self.pages.binary_search(&page).is_ok()
    }

    /// Whether a chain shares a page with another row's.
    pub(super) fn is_shared(&self, chain: &[u32]) -> bool {
        !self.shared.is_empty() && chain.iter().any(|page| self.shared.binary_search(page).is_ok())
    }
}

/// The pages of all chains that begin on one page.
fn pages_from(view: &View<'_>, survey: &Survey, number: u32) -> Vec<u32> {
    let Some(version) = view.page(number) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return Vec::new() };
    let cells = page.cells().filter_map(Result::ok).filter(|cell| cell.overflow != 0);
    cells.flat_map(|cell| read(view, survey, &version, &cell).pages).collect()
}

struct Walk {
    bytes: Vec<u8>,
    pages: Vec<u32>,
    /// The same, of a long chain.
    seen: HashSet<u32>,
    doubtful: bool,
}

impl Walk {
    /// Follows a chain for `left` bytes; `false` where it breaks. The bytes of the page at which it breaks are
    /// not taken: a page whose pointer is wrong is no longer the page that was written.
    fn follow(&mut self, view: &View<'_>, survey: &Survey, first: u32, mut left: u64) -> bool {
        let capacity = u64::from(view.geometry.overflow_capacity());
        let mut next = first;
        while left > 0 {
            let take = left.min(capacity);
            let is_tree_page = survey.page(next).kind.is_some() && survey.page(next).sound;
            if is_tree_page || self.visited(next) {
                return false;
            }
            let Some(page) = view.page(next) else { return false };
            let Some(content) = slice_at(page.bytes, 4, take as usize) else { return false };
            let Some(link) = be_u32_at(page.bytes, 0) else { return false };
            left -= take;
            // The last page's link is zero. Another one into the file may be all that is wrong with the page, one
            // that leads out of it is not.
            let link_fits = link <= view.page_count && (left == 0 || link != 0);
            self.doubtful |= left == 0 && link != 0;
            // A wiped page has a zero link, as the last page of a chain has: but text does not turn to zeros there.
            let before = self.bytes.get(self.bytes.len().saturating_sub(16)..);
            let wiped = left == 0
                && all_zero(page.bytes)
                && !before.is_some_and(|before| !before.is_empty() && all_zero(before));
            if !link_fits || wiped {
                return false;
            }
            self.bytes.extend_from_slice(content);
            self.pages.push(next);
            next = link;
        }
        true
    }

    /// Notes a page; whether the chain has been there. Most chains are short, and need no set.
    fn visited(&mut self, page: u32) -> bool {
        if self.pages.len() <= 64 {
            return self.pages.contains(&page);
        }
        if self.seen.is_empty() {
            self.seen.extend(&self.pages);
        }
        !self.seen.insert(page)
    }
}

#[cfg(test)]
mod tests {
    use super::{Survey, View, Walk};
    use crate::source::{Source, SourceId};
    use mudlark_parsers::sqlite::geometry::Geometry;
    use std::collections::HashSet;

    #[test]
    fn a_long_chain_that_comes_back_to_its_middle_ends() {
        let mut bytes = Vec::new();
        for page in 1..=200_u32 {
            let next = if page < 200 { page + 1 } else { 50 };
            bytes.extend(next.to_be_bytes());
            bytes.extend([b'x'; 508]);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let sources = [Source::open(file.path()).unwrap()];
        let view = View::main(&sources, Some(SourceId(0)), Geometry { page_size: 512, reserved: 0 });
        let survey = Survey::of(&view, &|_| {});
        let mut walk = Walk { bytes: Vec::new(), pages: Vec::new(), seen: HashSet::new(), doubtful: false };
        assert!(!walk.follow(&view, &survey, 2, 1 << 50));
        assert_eq!((walk.pages.len(), walk.bytes.len()), (199, 199 * 508));
    }
}
