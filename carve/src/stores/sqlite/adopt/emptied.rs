//! Roots of emptied tables whose names are known and whose roots are not: what their pointers still lead to tells them.

use super::super::cleared;
use super::super::forest::{Forest, Ground, How, Object};
use super::super::shape::{self, Fit};
use super::loose;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::record;

/// Gives roots without rows to the one table without a page that can have had the rows which stood there.
pub(super) fn join(forest: &mut Forest, ground: Ground<'_, '_>, named: usize) {
    for number in loose(forest, named) {
        let Some(tree) = forest.trees.get(number).filter(|tree| tree.rowids) else { continue };
        let [root] = tree.pages[..] else { continue };
        let info = ground.survey.page(root);
        // What a damaged page holds between its cells may be live.
        if info.cells > 0 || !info.sound {
            continue;
        }
        let Some(version) = ground.view.page(root) else { continue };
        let cells = cleared::cells(ground.view, ground.survey, root, true).cells;
        let lost = forest.trees.iter().enumerate().take(named).filter(|(_, tree)| tree.pages.is_empty());
        let lost = lost.filter(|(_, tree)| tree.rowids && tree.root == 0);
        let mut lost = lost.filter(|(_, tree)| may_be(ground, tree.object, (version.bytes, &cells)));
        if let (Some((target, _)), None) = (lost.next(), lost.next()) {
            forest.join(ground, number, target, How::Shape);
            // No other page was the root, so none is lost with the rows of the table.
            if let Some(tree) = forest.trees.get_mut(target) {
                tree.gaps.retain(|gap| gap.parent != 0);
            }
        }
    }
}

/// Whether all rows to which the pointers of an emptied page lead can be those of a table that is not dropped.
fn may_be(ground: Ground<'_, '_>, object: Object, (page, cells): (&[u8], &[Cell])) -> bool {
    let Object::Table(def @ 1..) = object else { return false };
    let Some(table) = ground.catalogue.tables.get(def).filter(|table| !table.dropped) else { return false };
    let fits = |cell: &Cell| {
        let header = record::header(cell.local_payload(page), cell.payload_len);
        header.is_ok_and(|header| shape::fit(&header, table) != Fit::No)
    };
    !cells.is_empty() && cells.iter().all(fits)
}
