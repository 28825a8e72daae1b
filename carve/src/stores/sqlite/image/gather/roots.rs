//! Roots of trees that lie by themselves: nothing but what they lead to tells them.

use super::body::{Body, Expect, Key};
use super::known::Known;
use super::search::Index;
use std::collections::HashSet;

/// Children of a page that are looked for.
const MOST_ASKED: usize = 12;

/// A page that may be a root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Root {
    /// How well the children fit that are found, all together.
    fits: f32,
    /// Children in all.
    children: usize,
    pub offset: u64,
}

impl Root {
    /// Whether more speaks for it than for another one.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let order = self.fits.total_cmp(&other.fits).then(self.children.cmp(&other.children));
        order.then(self.offset.cmp(&other.offset)).is_gt()
    }
}

/// The interior page that is the root `number`, when one leads to more than any other: to pages of which nothing else is
/// known, most of which are found. `is_open` tells of which pages nothing is known.
pub(super) fn root(
    index: &Index,
    body: &Body<'_>,
    known: &mut Known,
    number: u32,
    root: &Expect,
    is_open: &dyn Fn(u32) -> bool,
    is_free: &dyn Fn(u64) -> bool,
) -> Option<Root> {
    let Expect::Tree { table, shape, .. } = *root else { return None };
    let mut best: Option<Root> = None;
    for offset in index.interior_pages(table).filter(|offset| is_free(*offset)) {
        if body.fit(offset, number, root) < 0.0 {
            continue;
        }
        let Some(links) = known.links(body, number, offset) else { continue };
        let numbers = || links.children.iter().map(|child| child.0).chain([links.right_child]);
        let children = links.children.len() + 1;
        let mut seen = HashSet::new();
        let fits = |child: u32| child >= 2 && child <= body.count && child != number && is_open(child);
        if !numbers().all(|child| fits(child) && seen.insert(child)) {
            continue;
        }
        let leaf = if links.is_table { index.has_leaves(Key::Open, &links.children) } else { None };
        let step = links.children.len().div_ceil(MOST_ASKED).max(1);
        let (mut asked, mut found, mut fits) = (0, 0, 0.0);
        let lows = [Key::Open].into_iter().chain(links.children.iter().map(|child| child.1));
        for (low, (child, high)) in lows.zip(&links.children).step_by(step) {
            let expect =
                Expect::Tree { table: Some(links.is_table), shape, leaf, low, high: *high, parent: number };
            asked += 1;
            if let Some(best) = index.find(body, known, *child, &expect, 1).first() {
                found += 1;
                fits += body.fit(*best, *child, &expect);
            }
        }
        let root = Root { fits, children, offset };
        if found * 4 >= asked * 3 && best.is_none_or(|best| root.is_better_than(&best)) {
            best = Some(root);
        }
    }
    best
}
