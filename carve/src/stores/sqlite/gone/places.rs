//! Pages outside of the trees on which rows of a table may have stood.

use super::super::database::Database;
use super::super::forest::{Ground, Object, fit_object};
use super::super::sample;
use super::super::shape::{Fit, Profile};
use mudlark_parsers::sqlite::page::PageKind;
use std::collections::HashMap;

/// For each tree, pages that were its own, or look like it.
#[derive(Debug, Default)]
pub struct Places {
    by_tree: HashMap<usize, Vec<u32>>,
    /// Pages without a header of their own: any table's rows may lie there.
    bare: Vec<u32>,
}

/// The further places of one tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfTree<'p> {
    pub pages: &'p [u32],
    pub bare: &'p [u32],
}

impl Places {
    pub(super) fn of(&self, tree: usize) -> OfTree<'_> {
        OfTree { pages: self.by_tree.get(&tree).map(Vec::as_slice).unwrap_or_default(), bare: &self.bare }
    }
}

/// The likeness to a tree of which no row is left.
const NOTHING_LIKE: f64 = -6.0;

/// What it counts, in likeness, that an old version of a page has the number of a page of the tree.
const SAME_OWNER: f64 = 1.0;

/// Sorts free pages, pages that hang in no tree and old versions of pages by the table that they fit best.
pub fn find(database: &Database<'_>) -> Places {
    let ground = database.ground();
    let mut places = Places::default();
    let mut profiles: HashMap<usize, Profile> = HashMap::new();
    let outputs: Vec<usize> = database.outputs.iter().map(|output| output.tree).collect();
    for (number, info) in ground.survey.iter().chain(ground.survey.old()) {
        let old = ground.view.is_old(number);
        let placed = database.forest.place(number).filter(|(tree, _)| {
            database.forest.trees.get(*tree as usize).is_some_and(|tree| tree.object != Object::Stale)
        });
        if placed.is_some() && !old || number == 1 {
            continue;
        }
        let Some(kind) = info.kind else {
            let trunk = ground.free.trunks.contains(&number);
            if !info.zero
                && (trunk || !database.chained.contains(number))
                && ground.view.page(number).is_some()
            {
                places.bare.push(number);
            }
            continue;
        };
        let own = ground.view.page(number).and_then(|page| database.forest.place(page.number));
        let own = own.map(|(tree, _)| tree as usize).filter(|_| old);
        if kind == PageKind::TableInterior || info.cells == 0 {
            // What lies below its cells is of the table that had the page.
            if let Some(own) = own {
                places.by_tree.entry(own).or_default().push(number);
            } else {
                places.bare.push(number);
            }
            continue;
        }
        let mut best: Option<(f64, usize)> = None;
        for tree_number in &outputs {
            let Some(tree) = database.forest.trees.get(*tree_number) else { continue };
            let wrong_width =
                tree.object == Object::Unknown && !same_width(ground, &tree.pages, info.columns);
            if kind.is_table() != tree.rowids
                || wrong_width
                || fit_object(ground, tree.object, number) == Fit::No
            {
                continue;
            }
            let profile = profiles
                .entry(*tree_number)
                .or_insert_with(|| sample::profile(ground.view, ground.survey, &tree.pages));
            let likeness = if profile.rows() == 0 {
                NOTHING_LIKE
            } else {
                sample::likeness(ground.view, ground.survey, number, profile).unwrap_or(NOTHING_LIKE)
            };
            let likeness = likeness + if own == Some(*tree_number) { SAME_OWNER } else { 0.0 };
            if best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, *tree_number));
            }
        }
        if let Some((_, tree)) = best {
            places.by_tree.entry(tree).or_default().push(number);
        }
    }
    places
}

fn same_width(ground: Ground<'_, '_>, pages: &[u32], columns: u16) -> bool {
    pages.first().is_none_or(|first| ground.survey.page(*first).columns == columns)
}
