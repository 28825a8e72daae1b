//! Interior pages that nothing but what they lead to tells, as roots of trees that lie by themselves.

use super::body::{Body, Expect, Key};
use super::fit::STRONG;
use super::known::{Known, Links};
use super::shape::Shape;
use super::work;
use std::collections::HashSet;
use std::sync::Arc;

/// Children of a page that are looked for.
const MOST_ASKED: usize = 12;

/// Children that are asked whether their records are as the definition has them.
const MOST_READ: usize = 3;

/// Levels of a tree: a table of 10^12 rows has no more.
const MOST_LEVELS: usize = 6;

/// A page that may be a root, or another interior page that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    /// How well the children fit that are found, on average.
    fits: f32,
    /// Pages below it, all levels together.
    pages: f32,
    told: Told,
    pub offset: u64,
}

/// By what a page is told to be the one that is looked for, beside that what it leads to is there; the surest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// The order of entries, as many an index has it.
    Order,
    /// Row ids.
    Rowids,
    /// The rows of the table that it is an index of.
    Rows,
}

/// From such a fit on, on average, children are as good as others.
const GOOD: f32 = 4.0;

impl Root {
    /// The same, told by more.
    pub(super) const fn told(self, told: Told) -> Self {
        Self { told, ..self }
    }

    /// Whether more speaks for it than for another one: a page below the root leads to as fitting pages, but to fewer.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let score = |root: &Self| root.pages * (root.fits / GOOD).min(1.0);
        let by_score = score(self).total_cmp(&score(other));
        self.told.cmp(&other.told).then(by_score).then(self.offset.cmp(&other.offset)).is_gt()
    }
}

/// The one of some interior pages that is the page `number`, when one leads to more than any other: to pages of which nothing
/// else is known, most of which are found. `is_open` tells of which pages nothing is known.
pub(super) fn root(
    body: &Body<'_>,
    known: &mut Known,
    pages: impl Iterator<Item = u64>,
    number: u32,
    expect: &Expect,
    is_open: &dyn Fn(u32) -> bool,
) -> Option<Root> {
    let Expect::Tree { shape, low, high, .. } = *expect else { return None };
    let mut best: Option<Root> = None;
    for offset in pages {
        known.work.add(1);
        if known.work.is_over() {
            break;
        }
        if body.fit(offset, number, expect) < 0.0 {
            continue;
        }
        let mut tree = Tree { body, known: &mut *known, is_open, seen: HashSet::from([number]) };
        let Some(links) = tree.take(number, offset) else { continue };
        let Below { asked, found, fits, pages } =
            tree.below(&links, Page { number, shape, low, high }, MOST_LEVELS);
        if found * 4 < asked * 3 || found == 0 {
            continue;
        }
        let root = Root { fits: fits / found as f32, pages, told: Told::Order, offset };
        if best.is_none_or(|best| root.is_better_than(&best)) {
            best = Some(root);
        }
    }
    best
}

/// What is known of an interior page of a tree.
#[derive(Clone, Copy)]
struct Page {
    number: u32,
    shape: Shape,
    low: Key,
    high: Key,
}

/// What lies below a page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Below {
    /// Children that were looked for.
    asked: usize,
    found: usize,
    /// How well those fit, all together.
    fits: f32,
    /// Pages in all, as many of each child that was not looked for as of the others.
    pages: f32,
}

/// A tree whose pages are looked for.
struct Tree<'t, 'i> {
    body: &'t Body<'i>,
    known: &'t mut Known,
    is_open: &'t dyn Fn(u32) -> bool,
    /// Pages that are of it.
    seen: HashSet<u32>,
}

impl Tree<'_, '_> {
    /// What an interior page leads to, when nothing else leads there.
    fn take(&mut self, number: u32, offset: u64) -> Option<Arc<Links>> {
        let links = self.known.links(self.body, number, offset)?;
        let fits = |child: u32| child >= 2 && child <= self.body.count && (self.is_open)(child);
        let mut own = HashSet::new();
        let is_new =
            links.numbers().all(|child| fits(child) && !self.seen.contains(&child) && own.insert(child));
        self.seen.extend(own.into_iter().filter(|_| is_new));
        is_new.then_some(links)
    }

    /// Looks for children of a page, for theirs where they are no leaves, and so on.
    fn below(&mut self, links: &Links, page: Page, levels: usize) -> Below {
        let Page { shape, low, high, number: parent } = page;
        let leaf = self.body.has_leaves(low, links);
        let lows = [low].into_iter().chain(links.children.iter().map(|child| child.1));
        let last = links.children.last().map_or(low, |child| child.1);
        let children = lows.zip(&links.children).map(|(low, (child, high))| (*child, low, *high));
        let children = children.chain([(links.right_child, last, high)]);
        // Of leaves some tell as much as all.
        let most = if leaf == Some(false) || levels == MOST_LEVELS { MOST_ASKED } else { MOST_READ };
        let count = links.children.len() + 1;
        let mut below = Below::default();
        for (child, low, high) in children.step_by(count.div_ceil(most).max(1)) {
            let expect = |leaf| Expect::Tree { table: Some(links.is_table), shape, leaf, low, high, parent };
            below.asked += 1;
            let wanted = leaf != Some(true) && levels > 0;
            let mut interior = wanted.then(|| self.find(child, &expect(Some(false)))).into_iter().flatten();
            // The last leaf below an interior page ends as this does. The best one may be that of another state of the database,
            // whose children are pages of other trees in this one.
            let taken = interior.find_map(|(offset, fit)| {
                let told = leaf == Some(false) || fit >= STRONG;
                told.then(|| self.take(child, offset)).flatten().map(|links| (links, fit))
            });
            if let Some((links, fit)) = taken {
                below.found += 1;
                below.fits += fit;
                let page = Page { number: child, shape, low, high };
                below.pages += 1.0 + self.below(&links, page, levels - 1).pages;
            } else if let Some((_, fit)) =
                (leaf != Some(false)).then(|| self.find(child, &expect(Some(true))).next()).flatten()
            {
                below.found += 1;
                below.fits += fit;
                below.pages += 1.0;
            }
        }
        below.pages *= count as f32 / below.asked.max(1) as f32;
        below
    }

    /// The best places of a page, the best one first. Links are taken for such up to a power of two, so that databases of about the same size share what is
    /// found.
    fn find(&mut self, number: u32, expect: &Expect) -> impl Iterator<Item = (u64, f32)> + use<> {
        self.known.work.add(work::FIND);
        let linked = self.body.linked.checked_next_power_of_two().unwrap_or(u32::MAX);
        self.body.index.best(&Body { linked, ..*self.body }, number, expect)
    }
}
