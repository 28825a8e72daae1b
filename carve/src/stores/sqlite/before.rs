//! Rows that stood on a page before its table did.
//!
//! A table that is created takes a free page for its root, and so does one whose predecessor was dropped just before. Of
//! the predecessor the name may be gone, while its rows lie below those of the table. Nothing on the page tells the two
//! apart where they have one shape, but this does: the schema was changed more often than the objects that are there
//! explain, no dropped table is known, the table was the last to be created, and its rows fill the page afresh, over
//! the end of one that stood there.

use super::catalogue::Catalogue;
use super::database::Database;
use super::forest::{Object, Tree};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Page, PageKind};

/// Changes of the schema for a table of which nothing else is known: it was created, and dropped.
const CREATED_AND_DROPPED: usize = 2;

/// The output whose root may hold rows of a table that was dropped, and that page.
pub(super) fn find(database: &Database<'_>) -> Option<(usize, u32)> {
    let first = database.view.page(1)?;
    let (_, header) = header::header(first.bytes).ok()?;
    let catalogue = &database.catalogue;
    let any_dropped = catalogue.tables.iter().any(|table| table.dropped);
    let changes = objects(catalogue) + CREATED_AND_DROPPED;
    if any_dropped || !catalogue.whole || (header.schema_cookie as usize) < changes {
        return None;
    }
    let number = database.outputs.iter().rposition(|output| {
        let def = output.def.and_then(|def| catalogue.tables.get(def));
        def.is_some_and(|def| def.root.is_some()) && output.def != Some(0)
    })?;
    let tree = database.outputs.get(number).and_then(|output| database.tree(output))?;
    let page = only_leaf(tree)?;
    fills_afresh(database, page).then_some((number, page))
}

/// Tables, indexes, views and triggers, each of which changed the schema when it was created.
fn objects(catalogue: &Catalogue) -> usize {
    let indexes = catalogue.indexes.iter().filter(|index| index.ddl.is_some());
    catalogue.tables.len().saturating_sub(1) + indexes.count() + catalogue.kept.len()
}

/// The root of a tree that has no other page.
fn only_leaf(tree: &Tree) -> Option<u32> {
    match (&tree.pages[..], tree.object) {
        ([page], Object::Table(_)) if tree.rowids && *page == tree.root => Some(*page),
        _ => None,
    }
}

/// Whether the rows of a page lie side by side from its end on, in their order, as they do when none was deleted since
/// the first was inserted.
fn fills_afresh(database: &Database<'_>, number: u32) -> bool {
    let Some(version) = database.view.page(number) else { return false };
    let Some(page) = Page::parse(version.bytes, number, database.view.geometry) else { return false };
    let cells: Vec<Cell> = page.cells().filter_map(Result::ok).collect();
    let sound = database.survey.page(number).sound && page.header.kind == PageKind::TableLeaf;
    let whole = page.header.first_freeblock == 0 && page.header.fragmented_bytes == 0;
    let side_by_side = cells.windows(2).all(|pair| matches!(pair, [a, b] if b.end == a.at));
    let to_the_end = cells.first().is_some_and(|cell| cell.end == page.geometry.usable());
    sound && whole && side_by_side && to_the_end
}
