//! Where the first table of a database stands.
//!
//! The first object that is created takes page 2, or page 3 behind the pointer map, and VACUUM puts the first table of the
//! schema there again. While the schema was not changed often enough for a table to have been dropped, a root elsewhere
//! was tampered with: where another table has that page as its root, the two were exchanged. Of tables of one shape
//! nothing else may tell.
//!
//! Source: <https://sqlite.org/fileformat2.html> ("The Schema Cookie"), and files that SQLite wrote.

use super::before;
use super::forest::{Forest, Ground, Object, fit_object};
use super::shape::Fit;

/// The first table's tree and the one that has its page, when their roots were exchanged.
pub(super) fn exchanged(forest: &Forest, ground: Ground<'_, '_>) -> Option<(usize, usize)> {
    if !ground.catalogue.whole || !before::keeps_all_tables(ground.view, ground.catalogue) {
        return None;
    }
    let page = if ground.auto_vacuum { 3 } else { 2 };
    let trees = || forest.trees.iter().enumerate();
    let (first, of_first) = trees().find(|(_, tree)| tree.object != Object::Table(0) && tree.root > 0)?;
    let mut having = trees().filter(|(_, tree)| tree.root == page);
    let (other, of_other) = having.next().filter(|_| having.next().is_none())?;
    let is_table = |object: Object| matches!(object, Object::Table(_));
    let fits = |object: Object, root: u32| {
        forest
            .leaf_below(ground, root, of_first.rowids)
            .is_none_or(|leaf| fit_object(ground, object, leaf) != Fit::No)
    };
    let exchanged = first != other
        && of_first.rowids == of_other.rowids
        && is_table(of_first.object)
        && is_table(of_other.object)
        && fits(of_first.object, of_other.root)
        && fits(of_other.object, of_first.root);
    exchanged.then_some((first, other))
}
