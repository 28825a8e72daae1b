//! Whether the pages of a database hold together: what leads to each page, and what tables and indexes say of one another.
//!
//! SQLite keeps all of this in every commit. A log of a copy that went its own way breaks it as soon as pages of both lie
//! side by side that should tell of the same rows, or of the same free pages.

use super::super::catalogue::Catalogue;
use super::laid::Laid;
use super::tally::Tallies;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::ptrmap::{self, PointerKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow, schema_row};
use mudlark_parsers::value::{TextEncoding, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// Every page is read of a database of up to so many; else interior pages, and leaves where main file and log meet.
const MOST_WHOLE: u32 = 8192;

/// More pages are not looked at: what leads to each is kept in memory.
const MOST: u32 = 1 << 22;

/// The deepest tree that is followed: one of 2^32 pages with two children each.
const MOST_DEPTH: usize = 32;

/// What is wrong, in words.
type Checked<T = ()> = Result<T, String>;

/// Looks at all of a database, or at no leaves of a large one but those where main file and log meet; says the first thing
/// that contradicts another.
///
/// # Errors
/// With what is wrong.
pub fn check(laid: &Laid<'_, '_>, all: bool) -> Checked {
    if laid.count > MOST {
        return Ok(());
    }
    let mut check = Check {
        laid,
        whole: all || laid.count <= MOST_WHOLE,
        claims: vec![None; laid.count as usize + 1],
        encoding: laid.header.text_encoding().ok_or("the text encoding is none")?,
        tallies: None,
        counted: HashMap::new(),
        greatest: HashMap::new(),
    };
    check.database()
}

/// The definitions of a database.
///
/// # Errors
/// With what is wrong.
pub fn definitions(laid: &Laid<'_, '_>) -> Checked<Vec<SchemaRow>> {
    let encoding = laid.header.text_encoding().ok_or("the text encoding is none")?;
    let (mut rows, mut next, mut left) = (Vec::new(), vec![1], laid.count);
    while let Some(number) = next.pop() {
        left = left.checked_sub(1).ok_or("the definitions have no end")?;
        let page = parsed(laid, number)?;
        let interior = page.header.kind == PageKind::TableInterior;
        if interior {
            next.push(page.header.right_child);
        } else if page.header.kind != PageKind::TableLeaf {
            return Err(format!("page {number} is a {} among the definitions", page.header.kind.name()));
        }
        for cell in page.cells() {
            let cell = cell.map_err(|_| unreadable(number))?;
            if interior {
                next.push(cell.left_child);
                continue;
            }
            let (payload, _) = laid.payload(page.bytes, &cell).ok_or_else(|| unreadable(number))?;
            let row = values(&payload).and_then(|values| schema_row(&values, encoding));
            rows.push(row.ok_or_else(|| unreadable(number))?);
        }
    }
    Ok(rows)
}

struct Check<'c, 's, 'a> {
    laid: &'c Laid<'s, 'a>,
    /// All leaves are read.
    whole: bool,
    /// By page: what leads to it.
    claims: Vec<Option<(PointerKind, u32)>>,
    encoding: TextEncoding,
    tallies: Option<Tallies>,
    /// By the name of a table: the greatest row id that it ever had, as SQLite keeps it.
    counted: HashMap<String, i64>,
    /// By the number of a table: the greatest row id on a page of the main file.
    greatest: HashMap<usize, i64>,
}

/// A tree, by the number of what it holds in the catalogue.
#[derive(Clone, Copy)]
enum Of {
    Table { number: Option<usize>, is_sequence: bool },
    Index(Option<usize>),
}

/// A page to be read: its row ids lie behind `above`, up to `upto`.
#[derive(Clone, Copy)]
struct Next {
    page: u32,
    above: Option<i64>,
    upto: Option<i64>,
    depth: usize,
}

impl<'a> Check<'_, '_, 'a> {
    fn database(&mut self) -> Checked {
        let rows = definitions(self.laid)?;
        let catalogue = Catalogue::of_rows(&rows);
        self.tallies = self.whole.then(|| Tallies::of(&catalogue));
        self.tree(1, Of::Table { number: None, is_sequence: false })?;
        for row in rows.iter().filter(|row| matches!(row.kind, SchemaKind::Table | SchemaKind::Index)) {
            let root = row.root.ok_or_else(|| format!("{} has no root page", row.name))?;
            if root == 0 && row.kind == SchemaKind::Table {
                // A virtual table.
                continue;
            }
            self.claim(root, PointerKind::Root, 0)?;
            let table = catalogue.tables.iter().position(|def| def.root == Some(root));
            let is_rows =
                table.and_then(|table| catalogue.tables.get(table)).is_none_or(|def| !def.ddl.without_rowid);
            let of = match row.kind {
                SchemaKind::Table if is_rows => {
                    Of::Table { number: table, is_sequence: row.name == "sqlite_sequence" }
                }
                SchemaKind::Table => Of::Index(None),
                _ => Of::Index(catalogue.indexes.iter().position(|def| def.root == Some(root))),
            };
            self.tree(root, of)?;
        }
        self.free()?;
        if !self.whole {
            return Ok(());
        }
        self.every_page()?;
        if let Some(index) = self.tallies.as_ref().and_then(Tallies::disagreeing)
            && let Some(index) = catalogue.indexes.get(index)
        {
            let table = catalogue.tables.get(index.table).map_or("", |def| def.name.as_str());
            return Err(format!("the entries of {} are not the rows of {table}", index.name));
        }
        for (number, def) in catalogue.tables.iter().enumerate().filter(|(_, def)| def.ddl.autoincrement) {
            let (counted, greatest) = (self.counted.get(&def.name), self.greatest.get(&number));
            if let Some((counted, greatest)) =
                counted.zip(greatest).filter(|(counted, greatest)| counted < greatest)
            {
                return Err(format!("{} has row {greatest} and has counted up to {counted}", def.name));
            }
        }
        Ok(())
    }

    fn claim(&mut self, page: u32, kind: PointerKind, parent: u32) -> Checked {
        let geometry = self.laid.geometry;
        let is_map = self.laid.header.auto_vacuum() && geometry.is_pointer_map(page);
        let slot = self
            .claims
            .get_mut(page as usize)
            .filter(|_| page > 1 && !is_map && page != geometry.lock_byte_page());
        match slot {
            None => Err(format!("page {parent} leads to page {page}, which can't be there")),
            Some(Some((_, other))) => Err(format!("pages {other} and {parent} both lead to page {page}")),
            Some(slot) => {
                *slot = Some((kind, parent));
                Ok(())
            }
        }
    }

    fn tree(&mut self, root: u32, of: Of) -> Checked {
        let mut next = vec![Next { page: root, above: None, upto: None, depth: 0 }];
        while let Some(at) = next.pop() {
            if at.depth > MOST_DEPTH {
                return Err(format!("the tree at page {root} has no end"));
            }
            let page = self.read(at.page, of)?;
            if !page.header.kind.is_interior() {
                self.leaf(&page, at, of)?;
                continue;
            }
            let mut above = at.above;
            let mut children = Vec::new();
            for cell in page.cells() {
                let cell = cell.map_err(|_| unreadable(at.page))?;
                let upto = if matches!(of, Of::Table { .. }) { Some(cell.rowid) } else { None };
                children.push(Next { page: cell.left_child, above, upto, depth: at.depth + 1 });
                above = upto;
                if let Of::Index(index) = of {
                    self.entry(&page, at.page, &cell, index)?;
                }
            }
            children.push(Next { page: page.header.right_child, above, upto: at.upto, depth: at.depth + 1 });
            for child in &children {
                self.claim(child.page, PointerKind::Tree, at.page)?;
            }
            let first = children.first().map(|child| parsed(self.laid, child.page)).transpose()?;
            let leaves = first.is_some_and(|first| !first.header.kind.is_interior());
            let meets = |page: u32| self.laid.is_of_log(at.page) != self.laid.is_of_log(page);
            children.retain(|child| self.whole || !leaves || meets(child.page));
            next.append(&mut children);
        }
        Ok(())
    }

    fn read(&self, number: u32, of: Of) -> Checked<Page<'a>> {
        let page = parsed(self.laid, number)?;
        let kind = page.header.kind;
        if kind.is_table() == matches!(of, Of::Table { .. }) {
            Ok(page)
        } else {
            Err(format!("page {number} is a {} in a tree of the other kind", kind.name()))
        }
    }

    fn leaf(&mut self, page: &Page<'a>, at: Next, of: Of) -> Checked {
        let mut above = at.above;
        for cell in page.cells() {
            let cell = cell.map_err(|_| unreadable(at.page))?;
            let (number, is_sequence) = match of {
                Of::Index(index) => {
                    self.entry(page, at.page, &cell, index)?;
                    continue;
                }
                Of::Table { number, is_sequence } => (number, is_sequence),
            };
            if above.is_some_and(|above| cell.rowid <= above) || at.upto.is_some_and(|upto| cell.rowid > upto)
            {
                return Err(format!("row {} on page {} lies out of order", cell.rowid, at.page));
            }
            above = Some(cell.rowid);
            let Some(payload) = self.payload(page, at.page, &cell)? else { continue };
            if let Some((number, tallies)) = number.zip(self.tallies.as_mut()) {
                tallies.row(number, cell.rowid, &payload).ok_or_else(|| unreadable(at.page))?;
                // An update that changes row ids leaves the count: one in the log may have gone beyond it.
                if !self.laid.is_of_log(at.page) {
                    let greatest = self.greatest.entry(number).or_insert(cell.rowid);
                    *greatest = cell.rowid.max(*greatest);
                }
            }
            if is_sequence && let Some([Value::Text(name), Value::Int(counted)]) = values(&payload).as_deref()
            {
                let name = self.encoding.decode(name).ok_or_else(|| unreadable(at.page))?;
                self.counted.insert(name.into(), *counted);
            }
        }
        Ok(())
    }

    fn entry(&mut self, page: &Page<'a>, number: u32, cell: &Cell, index: Option<usize>) -> Checked {
        let payload = self.payload(page, number, cell)?;
        if let Some(((index, payload), tallies)) = index.zip(payload).zip(self.tallies.as_mut()) {
            tallies.entry(index, &payload).ok_or_else(|| unreadable(number))?;
        }
        Ok(())
    }

    /// The payload of a cell, when all pages are read: then its overflow pages are no others'.
    fn payload(&mut self, page: &Page<'a>, number: u32, cell: &Cell) -> Checked<Option<Cow<'a, [u8]>>> {
        if !self.whole {
            return Ok(None);
        }
        let (payload, chain) = self.laid.payload(page.bytes, cell).ok_or_else(|| unreadable(number))?;
        let (mut kind, mut parent) = (PointerKind::FirstOverflow, number);
        for page in chain {
            self.claim(page, kind, parent)?;
            (kind, parent) = (PointerKind::LaterOverflow, page);
        }
        Ok(Some(payload))
    }

    /// The freelist: as many pages as it is said to have, none of them in use.
    fn free(&mut self) -> Checked {
        let (mut trunk, mut parent, mut found) = (self.laid.header.first_trunk, 1, 0_u64);
        while trunk != 0 {
            self.claim(trunk, PointerKind::Free, parent)?;
            let bytes = self.laid.page(trunk).ok_or_else(|| unreadable(trunk))?;
            let read =
                freelist::trunk(bytes, self.laid.geometry.usable()).ok_or_else(|| unreadable(trunk))?;
            for leaf in &read.leaves {
                self.claim(*leaf, PointerKind::Free, trunk)?;
            }
            found += 1 + read.leaves.len() as u64;
            (trunk, parent) = (read.next, trunk);
        }
        let counted = self.laid.header.freelist_count;
        if found == u64::from(counted) {
            Ok(())
        } else {
            Err(format!("{counted} pages are said to be free, {found} are"))
        }
    }

    /// Something leads to every page, and the pointer map says what.
    fn every_page(&self) -> Checked {
        let (laid, geometry) = (self.laid, self.laid.geometry);
        let is_mapped = laid.header.auto_vacuum();
        for (page, claim) in (0..=laid.count).zip(&self.claims).skip(2) {
            if page == geometry.lock_byte_page() || is_mapped && geometry.is_pointer_map(page) {
                continue;
            }
            let (kind, parent) = claim.ok_or_else(|| format!("nothing leads to page {page}"))?;
            if !is_mapped {
                continue;
            }
            let entry = ptrmap::entry_of(page, geometry, |map| laid.page(map));
            let is_told = entry.is_some_and(|entry| {
                entry.kind == kind
                    && (entry.parent == parent || matches!(kind, PointerKind::Root | PointerKind::Free))
            });
            if !is_told {
                return Err(format!("the pointer map does not say that page {parent} leads to page {page}"));
            }
        }
        Ok(())
    }
}

fn unreadable(page: u32) -> String {
    format!("page {page} can't be read")
}

/// A page all of whose cell pointers are there.
fn parsed<'a>(laid: &Laid<'_, 'a>, number: u32) -> Checked<Page<'a>> {
    let page = laid.page(number).and_then(|bytes| Page::parse(bytes, number, laid.geometry));
    page.filter(|page| page.pointer_count() == usize::from(page.header.cell_count))
        .ok_or_else(|| unreadable(number))
}

/// The values of a record.
pub fn values(payload: &[u8]) -> Option<Vec<Value<'_>>> {
    let header = record::header(payload, payload.len() as u64).ok()?;
    let mut values = Vec::new();
    record::decode(&header, payload, &mut values);
    Some(values)
}
