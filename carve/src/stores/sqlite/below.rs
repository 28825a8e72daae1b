//! Tables whose rows lie below the cells of another table's page: it was theirs, was freed, and given to the other one.
//!
//! The array of cell pointers grows from the front, so behind the pointers of now stand those of before. They lead to rows
//! that don't fit the table which has the page.

use super::catalogue::TableDef;
use super::forest::{Ground, Object, Tree};
use super::shape::{self, Fit};
use mudlark_parsers::bytes::be_u16_at;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;

/// Pointers of before that are followed on a page.
const MOST_POINTERS: usize = 16;

/// Rows that fit another table by no accident.
const ENOUGH: usize = 2;

/// Tables that are asked whether the rows of a page are theirs.
const MOST_TABLES: usize = 64;

/// The pages of other tables below whose cells rows of one lie, each with its number among `tables`, which are those with
/// row ids and their trees.
pub(super) fn find<'t>(
    ground: Ground<'_, '_>,
    trees: impl Iterator<Item = (usize, &'t Tree)>,
    tables: &[(usize, &TableDef)],
) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    if tables.len() < 2 || tables.len() > MOST_TABLES {
        return found;
    }
    for (number, tree) in trees.filter(|(_, tree)| tree.rowids && matches!(tree.object, Object::Table(_))) {
        let Some((_, own)) = tables.iter().find(|(other, _)| *other == number) else { continue };
        let others = || tables.iter().filter(|(other, _)| *other != number);
        let pages = tree.pages.iter().filter(|page| ground.survey.page(**page).spare);
        found.extend(pages.filter_map(|page| Some((owner(ground, *page, own, others())?, *page))));
    }
    found
}

/// The one of `others` that all rows below the cells of a page fit, none of which fits the page's own table.
fn owner<'t>(
    ground: Ground<'_, '_>,
    number: u32,
    own: &TableDef,
    others: impl Iterator<Item = &'t (usize, &'t TableDef)>,
) -> Option<usize> {
    let version = ground.view.page(number)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let cells = before(&page);
    let fits = |cell: &Cell, table: &TableDef| {
        let header = record::header(cell.local_payload(page.bytes), cell.payload_len);
        header.is_ok_and(|header| shape::fit(&header, table) == Fit::Yes)
    };
    if cells.len() < ENOUGH || cells.iter().any(|cell| fits(cell, own)) {
        return None;
    }
    let mut fitting = others.filter(|(_, table)| cells.iter().all(|cell| fits(cell, table)));
    let (owner, _) = fitting.next()?;
    fitting.next().is_none().then_some(*owner)
}

/// The cells that pointers of before lead to.
fn before(page: &Page<'_>) -> Vec<Cell> {
    if page.header.kind != PageKind::TableLeaf {
        return Vec::new();
    }
    let gap = page.gap();
    let pointers = (gap.from as usize..gap.to as usize).step_by(2).map_while(|at| be_u16_at(page.bytes, at));
    let leads = |pointer: &u16| u32::from(*pointer) > gap.from && u32::from(*pointer) < gap.to;
    let cells =
        pointers.take_while(leads).take(MOST_POINTERS).filter_map(|at| page.cell(usize::from(at)).ok());
    cells.filter(|cell| cell.end <= gap.to && cell.overflow == 0).collect()
}
