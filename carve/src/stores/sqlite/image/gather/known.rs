//! What was read of the pages of a database, kept: their bytes stay what they are while it is put together.

use super::body::{Body, Expect, Key};
use super::order::Keys;
use super::schema::{self, Tree};
use super::walk;
use super::work::Work;
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::{SchemaRow, schema_row};
use std::collections::HashMap;
use std::sync::Arc;

/// The first schema format in which keys fall where their definition says so (SQLite file format, section 1.3.10).
const DESCENDS: u32 = 4;

/// Places of one page that are kept: of more, asking for the bytes costs no more than finding the answer.
const MOST_PLACES: usize = 64;

/// How well places fit, and what the pages in them lead to.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// By the number of a page, from 0.
    fits: Vec<Fits>,
    /// By the offset of a page.
    links: HashMap<u64, Arc<Links>, RandomState>,
    /// Whether the children of the page at an offset are leaves, where that was asked and told.
    levels: HashMap<u64, Option<bool>, RandomState>,
    /// The trees that the schema names, with the leaves of `sqlite_schema` that were read.
    trees: (Vec<u64>, Arc<Vec<Tree>>),
    /// The work that was done for the database.
    pub work: Work,
}

/// How well places fit a page, as long as the same is expected of it.
#[derive(Clone, Debug)]
struct Fits {
    expect: Expect,
    places: Vec<(u64, f32)>,
}

/// What a page of a tree leads to.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Its children, with the greatest key of each.
    pub children: Vec<(u32, Key)>,
    /// The child behind all keys; 0 for a leaf.
    pub right_child: u32,
    /// Whether the children are of a table with row ids.
    pub is_table: bool,
    /// The chains of its cells.
    pub chains: Vec<ChainStart>,
}

impl Links {
    /// Its children.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.children.iter().map(|child| child.0).chain([self.right_child]).filter(|child| *child != 0)
    }
}

/// The first page of a chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChainStart {
    pub number: u32,
    /// Bytes in the chain.
    pub left: u64,
    /// How many of them, from the first on, are text.
    pub text: u64,
}

impl Known {
    /// For a database of so many pages; what was known before stays.
    pub(super) fn grow(&mut self, count: u32) {
        let fits = Fits { expect: Expect::Unknown, places: Vec::new() };
        let len = self.fits.len().max(count as usize + 1);
        self.fits.resize(len, fits);
    }

    /// Nothing, for a database on which so much work may be done.
    pub(super) fn of_work(work: Work) -> Self {
        Self { work, ..Self::default() }
    }

    /// How well the page at `offset` fits what is expected of the page `number`.
    pub(super) fn fit(&mut self, body: &Body<'_>, offset: u64, number: u32, expect: &Expect) -> f32 {
        self.fits(body, number, expect).at(offset)
    }

    /// How well places fit what is expected of the page `number`.
    pub(super) fn fits<'k>(
        &'k mut self,
        body: &'k Body<'k>,
        number: u32,
        expect: &'k Expect,
    ) -> PageFits<'k> {
        let known = self.fits.get_mut(number as usize);
        let known = known.map(|fits| {
            if fits.expect != *expect {
                fits.expect = *expect;
                fits.places.clear();
            }
            &mut fits.places
        });
        PageFits { body, number, expect, known }
    }

    /// The trees that the leaves of `sqlite_schema` at these offsets name.
    pub(super) fn trees(&mut self, body: &Body<'_>, leaves: Vec<u64>) -> Arc<Vec<Tree>> {
        if self.trees.0 != leaves {
            let rows: Vec<SchemaRow> = leaves.iter().flat_map(|leaf| schema_rows(body, *leaf)).collect();
            let head = body.first.and_then(|first| body.bytes(first));
            let head = head.and_then(|bytes| Some(header::header(bytes).ok()?.1));
            let descends = head.is_none_or(|head| head.schema_format >= DESCENDS);
            let keys = Keys { descends, encoding: body.encoding };
            self.trees = (leaves, Arc::new(schema::trees(&rows, keys)));
        }
        Arc::clone(&self.trees.1)
    }

    /// The trees that the schema names, as far as it was read.
    pub(super) fn known_trees(&self) -> Arc<Vec<Tree>> {
        Arc::clone(&self.trees.1)
    }

    /// Whether the children of the interior page at an offset are leaves, where that is known.
    pub(super) fn has_leaves(&self, offset: u64) -> Option<bool> {
        self.levels.get(&offset).copied().flatten()
    }

    /// Whether it was asked before if the children of the page at an offset are leaves.
    pub(super) fn was_asked(&self, offset: u64) -> bool {
        self.levels.contains_key(&offset)
    }

    /// Keeps whether the children of the page at an offset are leaves.
    pub(super) fn keep_level(&mut self, offset: u64, leaves: Option<bool>) {
        self.levels.insert(offset, leaves);
    }

    /// What the page at an offset leads to, when it is one of a tree.
    pub(super) fn links(&mut self, body: &Body<'_>, number: u32, offset: u64) -> Option<Arc<Links>> {
        if let Some(links) = self.links.get(&offset) {
            return Some(Arc::clone(links));
        }
        let links = Arc::new(links(body, number, offset)?);
        // What is asked once only isn't kept.
        if !self.fits.is_empty() && number > 1 {
            self.links.insert(offset, Arc::clone(&links));
        }
        Some(links)
    }
}

/// How well places fit one page.
pub(super) struct PageFits<'k> {
    body: &'k Body<'k>,
    number: u32,
    expect: &'k Expect,
    known: Option<&'k mut Vec<(u64, f32)>>,
}

impl PageFits<'_> {
    /// Bytes a page.
    pub(super) const fn size(&self) -> u64 {
        self.body.size()
    }

    /// Whether the page at an offset is of a chain and leads to a page that is of something else.
    pub(super) fn crosses(&self, offset: u64, expects: &[Expect]) -> bool {
        self.body.crosses(offset, self.number, self.expect, expects)
    }

    /// How well the page at an offset fits.
    pub(super) fn at(&mut self, offset: u64) -> f32 {
        let asked = || self.body.fit(offset, self.number, self.expect);
        let Some(known) = &mut self.known else { return asked() };
        if let Some((_, fit)) = known.iter().find(|(place, _)| *place == offset) {
            return *fit;
        }
        if known.len() >= MOST_PLACES {
            known.clear();
        }
        let fit = asked();
        known.push((offset, fit));
        fit
    }
}

fn links(body: &Body<'_>, number: u32, offset: u64) -> Option<Links> {
    let bytes = body.bytes(offset)?;
    let page = Page::parse(bytes, number, body.geometry)?;
    let kind = page.header.kind;
    let mut links = Links { is_table: kind.is_table(), ..Links::default() };
    if kind.is_interior() {
        links.right_child = page.header.right_child;
    }
    for cell in page.good_cells() {
        if kind.is_interior() {
            links.children.push((cell.left_child, walk::key(&cell, kind, offset)));
        }
        if kind != PageKind::TableInterior {
            links.chains.extend(walk::chain_start(bytes, &cell));
        }
    }
    Some(links)
}

/// The rows of `sqlite_schema` on a leaf, as far as they lie on it.
fn schema_rows(body: &Body<'_>, offset: u64) -> Vec<SchemaRow> {
    let number = if Some(offset) == body.first { 1 } else { 2 };
    let page = body.bytes(offset).and_then(|bytes| Page::parse(bytes, number, body.geometry));
    let cells = page.iter().flat_map(Page::good_cells);
    let row = |cell: Cell| {
        let local = cell.local_payload(body.bytes(offset)?);
        let mut values = Vec::new();
        record::decode(&record::header_only(local).ok()?, local, &mut values);
        schema_row(&values, body.encoding)
    };
    cells.filter_map(row).collect()
}
