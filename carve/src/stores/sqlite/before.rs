//! Rows that stood on a page before its table did.
//!
//! A table that is created takes a free page for its root, and so does one whose predecessor was dropped just before. Of
//! the predecessor the name may be gone, while its rows lie below those of the table. Nothing on the page tells the two
//! apart where they have one shape, but this does: the schema was changed more often than the objects that are there
//! explain, no dropped table is known, the table was the last to be created, and its rows fill the page afresh, over
//! the end of one that stood there.
//!
//! In a file with pointer maps the last root moves into the place of one that is dropped. Its page stays as it was until
//! another table takes it, and then holds copies of rows that are live elsewhere.

use super::catalogue::Catalogue;
use super::database::Database;
use super::forest::{Object, Tree};
use super::view::View;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Page, PageKind};

/// Changes of the schema for a table of which nothing else is known: it was created, and dropped.
const CREATED_AND_DROPPED: usize = 2;

/// The output whose root may hold rows of a table that was dropped, and that page.
pub(super) fn find(database: &Database<'_>) -> Option<(usize, u32)> {
    let catalogue = &database.catalogue;
    if !catalogue.whole || !lacks_a_table(database) {
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

/// Whether the schema was changed often enough for a table that was dropped and of which nothing else is known.
pub(super) fn lacks_a_table(database: &Database<'_>) -> bool {
    let catalogue = &database.catalogue;
    !any_dropped(catalogue) && has_room_for_a_table(&database.view, catalogue) == Some(true)
}

/// Whether the schema may have been changed often enough for a table that was dropped, besides those that are known.
pub(super) fn may_lack_a_table(database: &Database<'_>) -> bool {
    let catalogue = &database.catalogue;
    !catalogue.whole || has_room_for_a_table(&database.view, catalogue) != Some(false)
}

/// Whether the schema was changed too seldom for a table to have been dropped since the database was made.
pub(super) fn keeps_all_tables(view: &View<'_>, catalogue: &Catalogue) -> bool {
    !any_dropped(catalogue) && has_room_for_a_table(view, catalogue) == Some(false)
}

fn any_dropped(catalogue: &Catalogue) -> bool {
    catalogue.tables.iter().any(|table| table.dropped)
}

/// Whether the schema cookie counts enough changes for a further table, which was created and dropped; `None` without a
/// header.
fn has_room_for_a_table(view: &View<'_>, catalogue: &Catalogue) -> Option<bool> {
    let (_, header) = header::header(view.page(1)?.bytes).ok()?;
    Some(header.schema_cookie as usize >= objects(catalogue) + CREATED_AND_DROPPED)
}

/// Cells that two pages have alike in one place, when they are no accident.
const ALIKE: usize = 3;

/// Roots that are asked which pages hold copies of them.
const MOST_ROOTS: usize = 64;

/// Trees whose root was moved, and the pages of others below whose cells it stood.
pub(super) fn moved(database: &Database<'_>) -> Vec<(usize, u32)> {
    let roots = database.outputs.iter().filter(|_| database.auto_vacuum);
    let roots = roots.filter_map(|output| Some((output.tree, only_leaf(database.tree(output)?)?)));
    let mut moved = Vec::new();
    for (number, root) in roots.take(MOST_ROOTS) {
        let Some(standing) = leaf(database, root) else { continue };
        let cells: Vec<Cell> = standing.good_cells().collect();
        let trees = database.forest.trees.iter().enumerate();
        let others = trees.filter(|(other, tree)| *other != number && tree.object != Object::Stale);
        let pages = others.flat_map(|(_, tree)| tree.pages.iter().copied()).filter(|page| *page > 1);
        moved.extend(
            pages.filter(|page| lies_below(database, &standing, &cells, *page)).map(|page| (number, page)),
        );
    }
    moved
}

/// Whether cells of a page lie in the same places below those of another one, most of all that reach there.
fn lies_below(database: &Database<'_>, standing: &Page<'_>, cells: &[Cell], number: u32) -> bool {
    if !database.survey.page(number).spare {
        return false;
    }
    let Some(page) = leaf(database, number) else { return false };
    let gap = page.gap();
    let mut asked = 0;
    let mut alike = 0;
    for cell in cells.iter().filter(|cell| gap.from <= cell.at && cell.end <= gap.to) {
        let place = cell.at as usize..cell.end as usize;
        asked += 1;
        alike += usize::from(page.bytes.get(place.clone()) == standing.bytes.get(place));
        // Most pages hold no copy at all.
        if asked >= 2 * ALIKE && alike == 0 {
            return false;
        }
    }
    alike >= ALIKE && 2 * alike >= asked
}

/// A leaf of a table.
fn leaf<'a>(database: &Database<'a>, number: u32) -> Option<Page<'a>> {
    let version = database.view.page(number)?;
    let page = Page::parse(version.bytes, number, database.view.geometry)?;
    (page.header.kind == PageKind::TableLeaf).then_some(page)
}

/// Tables, indexes, views and triggers, each of which changed the schema when it was created. `sqlite_sequence` comes with
/// the first table that needs it.
fn objects(catalogue: &Catalogue) -> usize {
    let indexes = catalogue.indexes.iter().filter(|index| index.ddl.is_some());
    let tables = catalogue.tables.iter().skip(1).filter(|table| table.name != "sqlite_sequence");
    tables.count() + indexes.count() + catalogue.kept.len()
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
    let Some(page) = leaf(database, number) else { return false };
    let cells: Vec<Cell> = page.good_cells().collect();
    let sound = database.survey.page(number).sound;
    let whole = page.header.first_freeblock == 0 && page.header.fragmented_bytes == 0;
    let side_by_side = cells.windows(2).all(|pair| matches!(pair, [a, b] if b.end == a.at));
    let to_the_end = cells.first().is_some_and(|cell| cell.end == page.geometry.usable());
    sound && whole && side_by_side && to_the_end
}
