//! What is missing from a database: proved by something that names it, or possible.

use super::database::Database;
use super::forest::{Gap, How};
use crate::model::{Loss, LossKind, TableId};
use crate::words::{count, plural};
use mudlark_parsers::sqlite::page::Page;

/// The losses of all tables whose rows were read.
pub(super) fn all(database: &Database<'_>) -> Vec<Loss> {
    let mut found = Vec::new();
    let missing = database.missing.lock().map(|missing| missing.clone()).unwrap_or_default();
    for (table, gone, broken) in missing {
        let mut add = |kind, rows, basis: String| {
            if rows > 0 {
                found.push(Loss { table: Some(table), kind, rows, basis });
            }
        };
        let rows = |number| if number == 1 { "a row" } else { "rows" };
        let are = if gone == 1 { "an index entry is" } else { "index entries are" };
        add(LossKind::Proved, gone, format!("{} of which only {are} left: in part", rows(gone)));
        add(LossKind::Proved, broken, format!("{} whose overflow chain is broken: partial", rows(broken)));
        let (pages, ids) = gaps(database, table);
        if let Some(ids) = ids {
            let basis = format!(
                "{} in the key {} of {}, used or not",
                plural(ids, "row id"),
                plural(pages, "range"),
                count(pages, "lost page")
            );
            add(LossKind::Possible, ids, basis);
        }
        if let Some(estimate) = estimate(database, table, pages) {
            let basis = format!("{} at the mean number of rows of the others", count(pages, "lost page"));
            add(LossKind::Possible, estimate, basis);
        }
        if let Some((pages, estimate)) = beside(database, table) {
            let basis = format!("{} without header, as full as what is left of them", count(pages, "page"));
            add(LossKind::Possible, estimate, basis);
        }
    }
    found
}

/// Leaves of a table that lost a part with their headers, and the rows that these parts would hold if they were as full as what
/// is left.
fn beside(database: &Database<'_>, table: TableId) -> Option<(u64, u64)> {
    let tree = database.tree(database.outputs.get(table.0 as usize)?)?;
    let ground = database.ground();
    let rebuilt = tree.gaps.iter().filter(|gap| gap.is_of_rebuilt(ground)).filter_map(|gap| {
        let version = database.view.page(gap.parent)?;
        let page = Page::parse(version.bytes, gap.parent, database.view.geometry)?;
        let (rows, held) = page
            .good_cells()
            .fold((0_u64, 0_u64), |(rows, held), cell| (rows + 1, held + u64::from(cell.end - cell.at)));
        let lost = u64::from(database.view.geometry.usable()).saturating_sub(held);
        (rows * lost).checked_div(held)
    });
    let (pages, rows) = rebuilt.fold((0, 0_u64), |(pages, sum), rows| (pages + 1, sum.saturating_add(rows)));
    (pages > 0).then_some((pages, rows))
}

/// Lost pages of a table, and the row ids in their ranges where these are bounded.
fn gaps(database: &Database<'_>, table: TableId) -> (u64, Option<u64>) {
    let output = database.outputs.get(table.0 as usize);
    let Some(tree) = output.and_then(|output| database.tree(output)) else { return (0, None) };
    // Pages that were fitted in are no longer lost.
    let fitted = |gap: &Gap| {
        tree.pages.iter().any(|page| {
            let info = database.survey.page(*page);
            let how = database.forest.place(*page).map(|(_, how)| how);
            how != Some(How::Linked) && info.cells > 0 && gap.range.holds(info.first, info.last)
        })
    };
    let lost = tree
        .gaps
        .iter()
        .filter(|gap| !fitted(gap) && !gap.is_of_rebuilt(database.ground()))
        .filter(|gap| gap.parent != 0 && database.survey.page(gap.child).kind.is_none());
    let (mut pages, mut ids) = (0, tree.rowids.then_some(0_u64));
    for gap in lost {
        pages += 1;
        let span = gap.range.above.zip(gap.range.upto).map(|(above, upto)| upto.abs_diff(above));
        ids = ids.zip(span).map(|(ids, span)| ids.saturating_add(span));
    }
    (pages, ids.filter(|_| pages > 0))
}

/// Rows that the lost pages would hold if they were as full as the others.
fn estimate(database: &Database<'_>, table: TableId, lost: u64) -> Option<u64> {
    let tree = database.tree(database.outputs.get(table.0 as usize)?)?;
    let rows: u64 = tree.pages.iter().map(|page| u64::from(database.survey.page(*page).cells)).sum();
    let pages = tree.pages.len() as u64;
    (lost > 0 && pages > 0).then(|| lost.saturating_mul(rows) / pages)
}
