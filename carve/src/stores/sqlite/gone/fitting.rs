//! Whether the records of a page outside of the trees can be a table's, by more than its columns allow.

use super::super::catalogue::TableDef;
use super::super::database::Database;
use super::super::forest::{Object, Tree};
use super::super::key_order::KeyOrder;
use super::super::sample;
use super::super::shape::{Fit, fit_cell};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record::RecordHeader;
use std::cell::OnceCell;
use std::cmp::Ordering;

/// What some rows of a tree are like.
#[derive(Clone, Copy, Debug)]
struct Seen {
    rows: usize,
    /// The fewest columns of one.
    fewest: usize,
    /// Rows with cells of kinds that are rare in their columns.
    odd: usize,
}

/// Rows of a table that tell that it has none with odd cells.
const FEW: usize = 3;

/// Asks for pages; keeps what is known of tables.
pub(super) struct Fitting<'d, 'a> {
    database: &'d Database<'a>,
    /// For each tree what is seen of its rows.
    seen: Vec<OnceCell<Seen>>,
}

impl<'d, 'a> Fitting<'d, 'a> {
    pub(super) fn of(database: &'d Database<'a>) -> Self {
        Self { database, seen: vec![OnceCell::new(); database.forest.trees.len()] }
    }

    /// Whether the records of a page are of another table, or of an index, than this tree: they are narrower than its
    /// rows, or in another order, or have values of other kinds.
    pub(super) fn is_of_another(&self, number: usize, page: u32) -> bool {
        let Some(tree) = self.database.forest.trees.get(number) else { return false };
        let Some(def) = table_of(self.database, tree) else { return false };
        let narrow = usize::from(self.database.survey.page(page).columns) < def.stored.len();
        let odd = || is_odd(self.database, def, page);
        if tree.rowids {
            return narrow
                && !tree.pages.is_empty()
                && odd()
                && self
                    .seen(number, tree, def)
                    .is_some_and(|seen| seen.rows > 0 && seen.is_wider(self.database, page));
        }
        // A narrow record may be a row from before a column was added, but also an entry of an index.
        is_out_of_order(self.database, def, page)
            || self.seen(number, tree, def).is_some_and(|seen| {
                narrow && seen.is_wider(self.database, page) || seen.odd == 0 && seen.rows >= FEW && odd()
            })
    }

    /// Whether most records of a page have cells of kinds that are rare in their columns of this tree's table.
    pub(super) fn are_odd(&self, tree: usize, number: u32) -> bool {
        let tree = self.database.forest.trees.get(tree);
        let def = tree.and_then(|tree| table_of(self.database, tree));
        def.is_some_and(|def| is_odd(self.database, def, number))
    }

    /// What is seen of the rows of the tree that has this number.
    fn seen(&self, number: usize, tree: &Tree, def: &TableDef) -> Option<&Seen> {
        Some(self.seen.get(number)?.get_or_init(|| seen(self.database, tree, def)))
    }
}

impl Seen {
    /// Whether all rows have more columns than the records of a page.
    fn is_wider(&self, database: &Database<'_>, page: u32) -> bool {
        usize::from(database.survey.page(page).columns) < self.fewest
    }
}

fn seen(database: &Database<'_>, tree: &Tree, def: &TableDef) -> Seen {
    let mut seen = Seen { rows: 0, fewest: usize::MAX, odd: 0 };
    for page in sample::profile_pages(&tree.pages) {
        sample::records(&database.view, &database.survey, page, sample::ROWS, |_, header, _| {
            seen.rows += 1;
            seen.fewest = seen.fewest.min(header.columns);
            seen.odd += usize::from(has_odd_cell(header, def));
        });
    }
    seen
}

fn is_odd(database: &Database<'_>, def: &TableDef, number: u32) -> bool {
    let (mut odd, mut all) = (0, 0);
    sample::records(&database.view, &database.survey, number, sample::ROWS, |_, header, _| {
        all += 1;
        odd += usize::from(has_odd_cell(header, def));
    });
    2 * odd > all
}

fn has_odd_cell(header: &RecordHeader<'_>, def: &TableDef) -> bool {
    header.serials().zip(&def.stored).any(|(serial, column)| fit_cell(serial, *column, def) != Fit::Yes)
}

fn table_of<'d>(database: &'d Database<'_>, tree: &Tree) -> Option<&'d TableDef> {
    let Object::Table(def) = tree.object else { return None };
    database.catalogue.tables.get(def)
}

/// Of the pairs of neighbours on a page one of so many may stand in the wrong order through damage.
const DISORDER: usize = 8;

/// Whether records of a page do not stand in the order of a table's key, or share keys.
fn is_out_of_order(database: &Database<'_>, def: &TableDef, number: u32) -> bool {
    let Some(version) = database.view.page(number).filter(|_| def.ddl.complete) else { return false };
    let Some(page) = Page::parse(version.bytes, version.number, database.view.geometry) else { return false };
    let order = KeyOrder::new(&def.ddl.primary_key, database.encoding);
    let cells: Vec<Cell> = page.good_cells().collect();
    let (mut wrong, mut all) = (0, 0);
    for pair in cells.windows(2) {
        let [one, other] = pair else { continue };
        let payloads = (one.local_payload(version.bytes), other.local_payload(version.bytes));
        if let Some(order) = order.compare(payloads.0, payloads.1) {
            all += 1;
            wrong += usize::from(order != Ordering::Less);
        }
    }
    wrong * DISORDER > all
}
