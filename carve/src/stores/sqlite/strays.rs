//! Old pages that may hold the rows of lost ones.
//!
//! When SQLite moves rows to another page it leaves the old one as it was, on the freelist or behind a link that was
//! replaced. If the new page is lost, the old one is the next best.

use super::forest::{Forest, Gap, Ground, Object, Tree, fit_object};
use super::sample;
use super::shape::{Fit, Profile};
use mudlark_parsers::sqlite::page::PageKind;
use std::collections::HashMap;

/// Pages of a tree that make up its profile.
const PROFILE_PAGES: usize = 48;

/// For each tree that has lost pages, the old pages whose rows could have stood on them.
pub(super) fn find(forest: &Forest, ground: Ground<'_, '_>) -> HashMap<usize, Vec<u32>> {
    let mut found: HashMap<usize, Vec<u32>> = HashMap::new();
    let losers: Vec<(usize, &Tree)> = forest
        .trees
        .iter()
        .enumerate()
        .filter(|(_, tree)| tree.rowids && !matches!(tree.object, Object::Stale | Object::Table(0)))
        .filter(|(_, tree)| tree.gaps.iter().any(|gap| is_lost(ground, gap)))
        .collect();
    if losers.is_empty() {
        return found;
    }
    let mut profiles: HashMap<usize, Profile> = HashMap::new();
    for (number, info) in ground.survey.iter().chain(ground.survey.old()) {
        let stale = forest.place(number).is_some_and(|(tree, _)| {
            forest.trees.get(tree as usize).is_some_and(|tree| tree.object == Object::Stale)
        });
        let old = number > ground.view.page_count
            || stale
            || ground.free.pages.contains(&number) && forest.place(number).is_none();
        if !old || info.kind != Some(PageKind::TableLeaf) || info.cells == 0 {
            continue;
        }
        let mut best: Option<(f64, usize)> = None;
        for (tree_number, tree) in &losers {
            let meets = tree.gaps.iter().any(|gap| {
                is_lost(ground, gap)
                    && gap.range.above.is_none_or(|above| above < info.last)
                    && gap.range.upto.is_none_or(|upto| info.first <= upto)
                    && (tree.is_open(gap, info.first, info.first) || tree.is_open(gap, info.last, info.last))
            });
            if !meets
                || !same_width(ground, tree, number)
                || fit_object(ground, tree.object, number) == Fit::No
            {
                continue;
            }
            let profile = profiles.entry(*tree_number).or_insert_with(|| profile(ground, tree));
            let likeness = sample::likeness(ground.view, ground.survey, number, profile);
            let likeness = likeness.unwrap_or(f64::MIN);
            if best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, *tree_number));
            }
        }
        if let Some((_, tree)) = best {
            found.entry(tree).or_default().push(number);
        }
    }
    found
}

/// Whether any tree has lost a page.
pub(super) fn any_lost(forest: &Forest, ground: Ground<'_, '_>) -> bool {
    let trees = forest.trees.iter().filter(|tree| tree.object != Object::Stale);
    trees.flat_map(|tree| &tree.gaps).any(|gap| is_lost(ground, gap))
}

/// Whether a gap stands for a page that can't be read.
pub(super) fn is_lost(ground: Ground<'_, '_>, gap: &Gap) -> bool {
    ground.survey.page(gap.child).kind.is_none()
}

/// Whether a row could have stood on a page that is lost.
pub(super) fn could_hold(ground: Ground<'_, '_>, tree: &Tree, rowid: i64) -> bool {
    tree.gaps.iter().any(|gap| is_lost(ground, gap) && tree.is_open(gap, rowid, rowid))
}

/// Rows of a table without a name have all the same number of columns.
fn same_width(ground: Ground<'_, '_>, tree: &Tree, page: u32) -> bool {
    let width = |page: u32| ground.survey.page(page).columns;
    tree.object != Object::Unknown || tree.pages.first().is_none_or(|first| width(*first) == width(page))
}

fn profile(ground: Ground<'_, '_>, tree: &Tree) -> Profile {
    let mut profile = Profile::default();
    let step = (tree.pages.len() / PROFILE_PAGES).max(1);
    for page in tree.pages.iter().step_by(step) {
        sample::profile(ground.view, ground.survey, *page, &mut profile);
    }
    profile
}
