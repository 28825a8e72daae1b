//! The links of an interior page, and the row ids that lie between them.

use super::forest::{Ground, KeyRange};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::{record, salvage};
use std::collections::HashSet;

/// The children of an interior page with their key ranges, in key order. A link that is lost stands as page 0.
pub(super) fn links(
    ground: Ground<'_, '_>,
    number: u32,
    range: KeyRange,
    rowids: bool,
) -> Vec<(u32, KeyRange)> {
    let Some(version) = ground.view.page(number) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else {
        return Vec::new();
    };
    // A link out of the file is no link, and the key beside it no better, unless it is in order.
    let in_file = |cell: &Cell| (1..=ground.view.page_count).contains(&cell.left_child);
    let mut cells: Vec<Option<Cell>> = page.cells().map(Result::ok).collect();
    if rowids {
        sort_exchanged(ground, &mut cells);
    }
    let named_children: Vec<u32> = cells.iter().map(|cell| cell.map_or(0, |cell| cell.left_child)).collect();
    // For each cell the key of the next good one behind it.
    let mut behind = vec![range.upto; cells.len()];
    let mut next = range.upto;
    for (cell, behind) in cells.iter().zip(&mut behind).rev() {
        *behind = next;
        next = cell.filter(in_file).map(|cell| cell.rowid).or(next);
    }
    let mut last_good = range.above;
    for (cell, after) in cells.iter_mut().zip(behind) {
        let before = last_good;
        last_good = cell.filter(in_file).map(|cell| cell.rowid).or(last_good);
        let fits =
            |key: i64| before.is_some_and(|before| before < key) && after.is_some_and(|after| key < after);
        *cell = cell.filter(|cell| in_file(cell) || rowids && fits(cell.rowid));
    }
    if !ground.survey.page(number).sound {
        add_lost_links(ground, &page, &mut cells);
    }
    let keys: Vec<i64> = cells.iter().flatten().map(|cell| cell.rowid).collect();
    // Keys out of order tell nothing about the children: then the parent's own range holds for all.
    let ordered = rowids
        && keys.is_sorted()
        && keys.first().zip(keys.last()).is_none_or(|(first, last)| range.holds(*first, *last));
    let mut above = range.above;
    let mut found = Vec::with_capacity(cells.len() + 1);
    // The page that a broken link names.
    let mut broken: Option<u32> = None;
    for (cell, named) in cells.into_iter().zip(named_children.into_iter().chain(std::iter::repeat(0))) {
        let Some(cell) = cell else {
            broken = Some(named);
            continue;
        };
        let upto = Some(cell.rowid);
        let bounds = if ordered { KeyRange { above, upto } } else { range };
        if let Some(child) = broken.take() {
            found.push((child, bounds));
        }
        found.push((cell.left_child, bounds));
        if ordered {
            above = upto;
        }
    }
    let bounds = if ordered { KeyRange { above, upto: range.upto } } else { range };
    if let Some(child) = broken {
        found.push((child, bounds));
    }
    found.push((page.header.right_child, bounds));
    found
}

/// Puts the cells of an interior page in the order of their keys, where pointers to them were exchanged: all keys are good then,
/// and the rows of the children lie between them.
fn sort_exchanged(ground: Ground<'_, '_>, cells: &mut [Option<Cell>]) {
    if cells.iter().flatten().map(|cell| cell.rowid).is_sorted() || cells.contains(&None) {
        return;
    }
    let mut sorted = cells.to_vec();
    sorted.sort_by_key(|cell| cell.map(|cell| cell.rowid));
    let mut above = None;
    let all_hold = sorted.iter().flatten().all(|cell| {
        let range = KeyRange { above: above.replace(cell.rowid), upto: Some(cell.rowid) };
        let info = ground.survey.page(cell.left_child);
        range.above < range.upto && (info.cells == 0 || range.holds(info.first, info.last))
    });
    if all_hold {
        cells.copy_from_slice(&sorted);
    }
}

/// Adds the cells of an interior page that no pointer names, and puts all in key order where they have row ids.
fn add_lost_links(ground: Ground<'_, '_>, page: &Page<'_>, cells: &mut Vec<Option<Cell>>) {
    let named: Vec<Cell> = cells.iter().flatten().copied().collect();
    let children: HashSet<u32> = named.iter().map(|cell| cell.left_child).collect();
    for extent in page.account(&named).unaccounted {
        let kind = page.header.kind;
        // The child's own keys must lie below the key of the cell.
        let accept = |cell: &Cell| {
            let child = ground.survey.page(cell.left_child);
            let same_kind = child.kind.is_some_and(|child| child.is_table() == kind.is_table());
            let key_fits = if kind.is_table() {
                child.cells > 0 && child.last <= cell.rowid
            } else {
                record::header(cell.local_payload(page.bytes), cell.payload_len).is_ok()
            };
            same_kind && key_fits && !children.contains(&cell.left_child)
        };
        let tiled = salvage::interior_tiles(page.bytes, extent, kind, page.geometry, ground.view.page_count);
        let found = if tiled.is_empty() {
            salvage::interior_cells(page.bytes, extent, kind, page.geometry, &accept)
        } else {
            tiled
        };
        if !found.is_empty() && kind.is_table() {
            // What is found this way takes the place of pointers that lead nowhere.
            cells.retain(Option::is_some);
        }
        cells.extend(found.into_iter().map(Some));
    }
    if page.header.kind.is_table() && cells.len() > named.len() && cells.iter().all(Option::is_some) {
        cells.sort_by_key(|cell| cell.map(|cell| cell.rowid));
    }
}
