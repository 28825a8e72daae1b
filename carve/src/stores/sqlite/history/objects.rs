//! Tables and indexes over time: each incarnation from the commit that made it to the one that dropped it.

use super::super::catalogue::TableDef;
use super::super::layout::Layout;
use super::pages::{Pages, Seen};
use super::rows::{self, Keys};
use crate::model::SchemaOrigin;
use mudlark_parsers::sqlite::ddl::{self, Statement, TableDdl};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow, schema_row};
use mudlark_parsers::value::TextEncoding;

/// The deepest tree that is followed: one of 2^32 pages with two children each.
pub(super) const MOST_DEPTH: usize = 32;

/// A table or an index.
#[derive(Clone, Debug)]
pub struct Object {
    pub name: String,
    /// Names that it had before.
    pub former: Vec<String>,
    pub kind: SchemaKind,
    pub sql: Option<String>,
    pub root: u32,
    pub keys: Keys,
    /// Its definition, when it is a table that can be read.
    pub ddl: Option<TableDdl>,
    /// How its records become rows.
    pub layout: Option<Layout>,
    /// The state from which on it is there, when that is known to be behind state 0.
    pub born: Option<u32>,
    /// The state from which on it is gone.
    pub died: Option<u32>,
    /// In some state before the last not all that became of its rows is known.
    pub incomplete: bool,
    /// The first state in which pages that may be its own were not counted as such: what came there was not seen.
    pub blind: Option<u32>,
    /// One of its pages breaks a rule: nothing about its rows is certain.
    pub broken: bool,
}

impl Object {
    /// The table that holds the definitions.
    pub fn schema() -> Self {
        Self {
            name: "sqlite_schema".to_owned(),
            former: Vec::new(),
            kind: SchemaKind::Table,
            sql: None,
            root: 1,
            keys: Keys::Rowid,
            ddl: None,
            layout: None,
            born: None,
            died: None,
            incomplete: false,
            blind: None,
            broken: false,
        }
    }

    pub fn of(row: &SchemaRow, born: Option<u32>, encoding: TextEncoding) -> Self {
        let statement = row.sql.as_deref().and_then(|sql| ddl::read(sql.as_bytes()).ok());
        let ddl = match statement {
            Some(Statement::Table(ddl)) if row.kind == SchemaKind::Table => Some(ddl),
            _ => None,
        };
        let keys = match (&ddl, row.kind) {
            (Some(ddl), _) if ddl.without_rowid => Keys::Cells(ddl.primary_key.len()),
            (_, SchemaKind::Table) => Keys::Rowid,
            _ => Keys::None,
        };
        let def = |ddl: &TableDdl| {
            TableDef::new(row.name.clone(), ddl.clone(), row.root, SchemaOrigin::Catalogue, String::new())
        };
        let layout = ddl.as_ref().map(|ddl| Layout::of(&def(ddl), encoding));
        Self {
            layout,
            name: row.name.clone(),
            former: Vec::new(),
            kind: row.kind,
            sql: row.sql.clone(),
            root: row.root.unwrap_or(0),
            keys,
            ddl,
            born,
            died: None,
            incomplete: false,
            blind: None,
            broken: false,
        }
    }

    /// Whether a row's id shows as a column.
    pub fn has_alias(&self) -> bool {
        self.ddl.as_ref().is_some_and(|ddl| ddl.rowid_alias.is_some())
    }
}

/// The rows of `sqlite_schema` in a state, and whether all of them could be read.
pub fn schema_at(pages: &Pages<'_>, state: u32, encoding: TextEncoding) -> (Vec<SchemaRow>, bool) {
    let (mut found, mut whole) = (Vec::new(), true);
    let mut next = vec![(1_u32, 0_usize)];
    // A tree names each of its pages once: more than there are would be a loop.
    let mut left = pages.main_pages as usize + pages.commits.len() + 1024;
    while let Some((number, depth)) = next.pop() {
        if left == 0 || depth > MOST_DEPTH {
            return (found, false);
        }
        left -= 1;
        let seen = pages.at(number, state);
        whole &= !matches!(seen, Seen::Unknown);
        let version = seen.image().or_else(|| pages.at_or_later(number, state).image());
        let page = version.and_then(|version| Page::parse(version.bytes, number, pages.geometry));
        let Some(page) = page else {
            whole = false;
            continue;
        };
        if page.header.kind == PageKind::TableInterior {
            let mut children = children(&page);
            children.reverse();
            next.extend(children.into_iter().map(|child| (child, depth + 1)));
            continue;
        }
        let mut chained = Vec::new();
        for cell in page.cells() {
            let read = cell.ok().and_then(|cell| {
                let payload = rows::payload(pages, page.bytes, &cell, state, &mut chained)?;
                let header = record::header(&payload, cell.payload_len).ok()?;
                let mut values = Vec::new();
                record::decode(&header, &payload, &mut values);
                schema_row(&values, encoding)
            });
            whole &= read.is_some();
            found.extend(read);
        }
    }
    (found, whole)
}

/// The pages that an interior page leads to; none for other pages. A link that can't be read is 0.
pub fn children(page: &Page<'_>) -> Vec<u32> {
    if !page.header.kind.is_interior() {
        return Vec::new();
    }
    let cells = page.cells().map(|cell| cell.map_or(0, |cell| cell.left_child));
    cells.chain([page.header.right_child]).collect()
}
