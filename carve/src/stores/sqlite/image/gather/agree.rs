//! Whether the entries of a page of an index are those of the rows of its table: the one thing that tells the pages of two
//! indexes apart whose entries look alike.

use super::super::super::agree::same;
use super::body::{Body, Key};
use super::fit::EVIDENCE;
use super::known::Known;
use super::schema::Indexed;
use super::work;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::Value;

/// Entries of a page that are looked up.
const ENTRIES: usize = 12;

/// Levels of a table: one of 10^12 rows has no more.
const MOST_LEVELS: usize = 8;

/// Where the pages of a database lie, as far as they do.
pub(super) struct Placed<'p> {
    pub body: &'p Body<'p>,
    pub known: &'p mut Known,
    pub places: &'p [Option<u64>],
    pub fits: &'p [f32],
}

impl Placed<'_> {
    /// How many entries of the page at an offset hold the same values as the rows that they name, and how many don't; those whose
    /// rows are not found, or that hold nothing of them, don't count.
    pub(super) fn agree(&mut self, offset: u64, indexed: &Indexed) -> (usize, usize) {
        self.known.work.add(work::AGREE);
        let bytes = self.body.bytes(offset).unwrap_or_default();
        let Some(page) = Page::parse(bytes, 2, self.body.geometry) else { return (0, 0) };
        let cells = page.some_pointers(ENTRIES).filter_map(|pointer| page.good_cell(pointer));
        cells.fold((0, 0), |(same, other), cell| match self.is_of_row(cell.local_payload(bytes), indexed) {
            Some(true) => (same + 1, other),
            Some(false) => (same, other + 1),
            None => (same, other),
        })
    }

    /// Whether an entry holds the values of the row that it names.
    fn is_of_row(&mut self, entry: &[u8], indexed: &Indexed) -> Option<bool> {
        let entry = values(entry)?;
        let (rowid, entry) = entry.split_last().filter(|(_, entry)| entry.len() == indexed.places.len())?;
        let Some(Value::Int(rowid)) = rowid else { return None };
        let leaf = self.leaf(indexed.table, *rowid)?;
        let bytes = self.body.bytes(leaf)?;
        let page = Page::parse(bytes, 2, self.body.geometry)?;
        // A page that covers the row id has the row.
        let Some(cell): Option<Cell> = page.row(*rowid) else { return Some(false) };
        let row = values(cell.local_payload(bytes))?;
        let pairs = entry.iter().zip(&indexed.places).filter_map(|(value, place)| {
            let stored = row.get((*place)?)?;
            value.as_ref().zip(stored.as_ref())
        });
        let mut tells = None;
        for (value, stored) in pairs {
            if !same(value, stored) {
                return Some(false);
            }
            if !matches!(value, Value::Null) {
                tells = Some(true);
            }
        }
        tells
    }

    /// Where the leaf of a table lies that has a row id between its bounds, when all pages above it, and its own bytes, tell it.
    fn leaf(&mut self, root: u32, rowid: i64) -> Option<u64> {
        let mut number = root;
        for _ in 0..MOST_LEVELS {
            let at = (number as usize).checked_sub(1)?;
            let offset = self.places.get(at).copied().flatten()?;
            let fits =
                self.fits.get(at).is_some_and(|fit| *fit >= if number == root { 0.0 } else { EVIDENCE });
            let kind = self.body.bytes(offset).and_then(|bytes| PageKind::from_number(*bytes.first()?));
            match kind.filter(|_| fits)? {
                PageKind::TableLeaf => return Some(offset),
                PageKind::TableInterior => {
                    let links = self.known.links(self.body, number, offset)?;
                    let below = |child: &(u32, Key)| matches!(child.1, Key::Row(last) if last < rowid);
                    let child = links.children.get(links.children.partition_point(below));
                    number = child.map_or(links.right_child, |child| child.0);
                }
                PageKind::IndexLeaf | PageKind::IndexInterior => return None,
            }
        }
        None
    }
}

/// The values of a record as far as they lie on the page.
fn values(payload: &[u8]) -> Option<Vec<Option<Value<'_>>>> {
    let header = record::header_only(payload).ok()?;
    let cells = record::cells(header.serials(), header.len, payload);
    Some(cells.map(|(serial, bytes)| Some(serial.decode(bytes?))).collect())
}
