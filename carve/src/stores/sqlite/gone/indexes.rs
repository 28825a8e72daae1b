//! Whether a page outside of the trees is one of an index: it looks like a page of a table without row ids.

use super::super::database::Database;
use super::super::forest::{Object, Tree};
use super::super::sample::{self, Profiles};
use super::super::shape::Fit;
use super::agreement::SAME_ROW;
use super::entries::{self, Index};

/// Indexes that are asked whether a page is theirs: the first that fit.
const MOST_INDEXES: usize = 256;

/// The trees of all indexes, and what their entries look like.
pub(super) struct Indexes<'d, 'a> {
    database: &'d Database<'a>,
    /// The number of each among the trees; its index, where the catalogue names it.
    trees: Vec<(usize, &'d Tree, Option<Index<'d>>)>,
    profiles: Profiles,
}

impl<'d, 'a> Indexes<'d, 'a> {
    pub(super) fn of(database: &'d Database<'a>) -> Self {
        let unnamed = || database.outputs.iter().flat_map(|output| &output.unnamed_indexes);
        let index = |(number, tree): (usize, &'d Tree)| match tree.object {
            Object::Index(index) => Some((number, tree, Index::of(database, index))),
            Object::Unknown if unnamed().any(|(index, _)| *index == number) => Some((number, tree, None)),
            _ => None,
        };
        let trees = database.forest.trees.iter().enumerate().filter(|(_, tree)| !tree.rowids);
        Self { database, trees: trees.filter_map(index).collect(), profiles: Profiles::default() }
    }

    /// How much a page looks like one of the index that it fits best, with what else speaks for that, as it is reckoned for
    /// tables; `None` when it fits none. `own` is the tree that has the page now.
    pub(super) fn likeness(&mut self, number: u32, own: Option<usize>) -> Option<f64> {
        let database = self.database;
        let (view, survey, catalogue) = (&database.view, &database.survey, &database.catalogue);
        let fits = |(_, tree, index): &&(usize, &Tree, Option<Index<'_>>)| {
            let Some(index) = index else {
                let columns = tree.pages.first().map(|page| survey.page(*page).columns);
                return columns == Some(survey.page(number).columns);
            };
            sample::fit_index(view, survey, number, index.def, catalogue, sample::ROWS) != Fit::No
        };
        let mut best: Option<f64> = None;
        for (tree_number, tree, index) in self.trees.iter().filter(fits).take(MOST_INDEXES) {
            let likeness = self.profiles.likeness((view, survey), (*tree_number, &tree.pages), number);
            let likeness = likeness.unwrap_or(sample::NOTHING_LIKE);
            let agreed = index.as_ref().map_or(0.0, |index| {
                let (agrees, known) = entries::agreement(database, index, number);
                SAME_ROW * (2.0 * f64::from(agrees) - f64::from(known)) / f64::from(known.max(1))
            });
            let same_owner = if own == Some(*tree_number) { sample::SAME_OWNER } else { 0.0 };
            let worth = likeness + agreed + same_owner;
            best = Some(best.map_or(worth, |best| best.max(worth)));
        }
        best
    }
}
