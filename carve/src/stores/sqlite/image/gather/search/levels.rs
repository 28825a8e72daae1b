//! Levels of trees: what lies between two row ids, a leaf or a page above leaves.

use super::super::body::{Body, Expect, Key};
use super::super::fit::{STRONG, covered};
use super::super::keys;
use super::super::known::Links;
use super::super::order::Order;
use super::super::shape::Shape;
use super::{Index, MOST_ASKED, range};
use mudlark_parsers::bytes::slice_at;

/// Levels below a page that are looked through: a table of 10^12 rows has no more.
const MOST_LEVELS: usize = 6;

/// Pages that are tried for the end of a subtree, and for the pages above it.
const MOST_TRIED: usize = 6;

/// Pages between two entries that are counted.
const MOST_COUNTED: usize = 1024;

/// Children that tell the level of a page: one may be another tree's by accident.
const LEAST_FOUND: usize = 2;

/// From such a score on a subtree lies between two row ids by no accident.
const SPANS: f32 = 1.0;

/// Row ids are mostly left out nowhere, or all over.
const GAP: f32 = 0.5;

/// How much likelier a page of so many row ids, the first one so far behind another, follows this one than it does by accident: the
/// logarithm of how often such a gap fits into the page; `most` where no row id is left out.
pub(in super::super) fn follows(gap: u64, width: u64, most: f32) -> f32 {
    if gap <= 1 {
        return most;
    }
    let often = (width.saturating_add(1) as f64 / gap as f64).ln() as f32;
    (often.min(most) - GAP).max(0.0)
}

impl Index {
    /// How surely there is a subtree that begins behind `low` and ends with `high`; 0 where nothing tells it.
    pub(in super::super) fn spans(&self, low: i64, high: i64, most: f32) -> f32 {
        self.spans_within(low, high, most, MOST_LEVELS)
    }

    fn spans_within(&self, low: i64, high: i64, most: f32, levels: usize) -> f32 {
        let ends = range(&self.last, high, high).filter(|leaf| leaf.2 > low);
        let leaf = ends.map(|leaf| follows(leaf.2.abs_diff(low), leaf.0.abs_diff(leaf.2), most));
        let leaf = leaf.fold(0.0, f32::max);
        if leaf >= most || levels == 0 {
            leaf
        } else {
            self.interior_spans(Some(low), high, most, levels - 1).max(leaf)
        }
    }

    /// The same of a subtree whose first page is an interior one.
    fn interior_spans(&self, low: Option<i64>, high: i64, most: f32, levels: usize) -> f32 {
        let least = low.map_or(i64::MIN, |low| low.saturating_add(1));
        let mut best: f32 = 0.0;
        // The leaf with which a subtree ends is the last child of the page above, whose last row id it follows.
        for leaf in range(&self.last, high, high).take(MOST_TRIED) {
            let above = range(&self.interior, least, leaf.2.saturating_sub(1)).rev().take(MOST_TRIED);
            for page in above.filter(|page| page.2 >= least) {
                let ends = follows(leaf.2.abs_diff(page.0), leaf.0.abs_diff(leaf.2), most);
                if ends > best {
                    let begins = low.map_or(most, |low| self.spans_within(low, page.2, most, levels));
                    best = best.max(begins.min(ends));
                }
            }
        }
        best
    }

    /// Whether the children of an interior page of a table, whose row ids lie above `low`, are leaves: these leave as many row ids
    /// to one child as they have rows, and interior pages as many as their own children. `None` where neither is found.
    fn has_row_leaves(&self, low: Key, children: &[(u32, Key)]) -> Option<bool> {
        let lows = || [low].into_iter().chain(children.iter().map(|child| child.1));
        let step = children.len().div_ceil(MOST_ASKED).max(1);
        let (mut leaves, mut interior) = ((0, 0.0), (0, 0.0));
        for (low, (_, high)) in lows().zip(children).step_by(step) {
            let (Key::Row(low), Key::Row(high)) = (low, *high) else { continue };
            for (pages, sum) in [(&self.last, &mut leaves), (&self.interior, &mut interior)] {
                let within = range(pages, low.saturating_add(1), high).rev().take(MOST_ASKED);
                let covered =
                    within.filter(|page| page.2 > low).map(|page| covered(page.2, page.0, low, high));
                if let Some(most) = covered.max_by(f32::total_cmp) {
                    *sum = (sum.0 + 1, sum.1 + most);
                }
            }
        }
        // Of the children that are bounded on one side interior pages tell it whose own children reach to the bound.
        let first = children.first().filter(|_| low == Key::Open).map(|child| child.1);
        let ends = matches!(first, Some(Key::Row(high)) if self.reaches_to(high));
        let begins = matches!(lows().last(), Some(Key::Row(low)) if self.reaches_from(low));
        interior.0 += usize::from(ends) + usize::from(begins);
        interior.1 += f32::from(u8::from(ends) + u8::from(begins));
        let asked = children.len().div_ceil(step);
        if interior.0 * 2 >= asked && interior.1 > leaves.1 * 2.0 {
            Some(false)
        } else if leaves.0 * 2 >= asked && leaves.1 > interior.1 * 2.0 {
            Some(true)
        } else {
            None
        }
    }

    /// Whether there is an interior page whose last child is the leaf that ends with a row id.
    fn reaches_to(&self, high: i64) -> bool {
        self.interior_spans(None, high, 2.0 * SPANS, 0) >= SPANS
    }

    /// Whether there is an interior page whose first child begins behind a row id.
    fn reaches_from(&self, low: i64) -> bool {
        let behind = range(&self.interior_first, low.saturating_add(1), i64::MAX).take(MOST_TRIED);
        behind.into_iter().any(|page| self.spans_within(low, page.0, 2.0 * SPANS, 1) >= SPANS)
    }

    /// Whether there are interior pages between the bounds of the children of an interior page of an index, which hold most of what
    /// lies there: those of another tree, of which many may lie between the bounds of a leaf, don't.
    fn has_interior_entries(&self, body: &Body<'_>, children: &[(u32, Key)]) -> bool {
        let step = children.len().div_ceil(MOST_ASKED).max(1);
        let bounds = children.windows(2).filter_map(|pair| Some((pair.first()?.1, pair.last()?.1)));
        let (mut asked, mut found) = (0, 0);
        for (low, high) in bounds.step_by(step) {
            asked += 1;
            let (least, most) = body.prefixes(low, high, Order::default());
            if least == most {
                continue;
            }
            let pages = || range(&self.entries, least, most).filter(|page| page.2 <= most).take(MOST_COUNTED);
            let all = pages().count();
            let covers = |first: u64, last: u64| {
                pages().filter(|page| page.0 >= first && page.2 <= last).count() * 2 >= all
            };
            let mut within = range(&self.inner, least, most).filter(|page| page.2 <= most).take(MOST_ASKED);
            let is_child =
                |page: &(u64, u64, u64)| covers(page.0, page.2) && body.lies_between(page.1, low, high);
            found += usize::from(within.any(is_child));
        }
        found * 4 >= asked * 3 && found >= LEAST_FOUND
    }
}

impl Body<'_> {
    /// Whether the children of an interior page, whose keys lie above `low`, are leaves; `None` where that can't be told.
    pub(in super::super) fn has_leaves(&self, low: Key, links: &Links) -> Option<bool> {
        if links.is_table {
            self.index.has_row_leaves(low, &links.children)
        } else {
            self.index.has_interior_entries(self, &links.children).then_some(false)
        }
    }

    /// Between which numbers the beginnings of the entries lie that are ordered between two others.
    pub(super) fn prefixes(&self, low: Key, high: Key, order: Order) -> (u64, u64) {
        let prefix = |key: Key| match key {
            Key::Entry(at, len) => {
                slice_at(self.image, usize::try_from(at).ok()?, len as usize).map(keys::prefix)
            }
            _ => None,
        };
        let (mut low, mut high) = (prefix(low), prefix(high));
        let descends = low.zip(high).is_some_and(|(low, high)| low > high);
        if order.first_falls().unwrap_or(descends) {
            std::mem::swap(&mut low, &mut high);
        }
        let fold = |prefix: u64| if order.first_folds() { keys::folded(prefix) } else { (prefix, prefix) };
        (low.map_or(0, |low| fold(low).0), high.map_or(u64::MAX, |high| fold(high).1))
    }

    /// Whether the page of an index at an offset has its entries between two others.
    fn lies_between(&self, offset: u64, low: Key, high: Key) -> bool {
        let expect =
            Expect::Tree { table: Some(false), leaf: None, shape: Shape::default(), low, high, parent: 1 };
        self.fit(offset, 2, &expect) >= STRONG
    }
}
