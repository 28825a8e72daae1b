//! Roots that damage exchanged in the first page 1 that is known: the rows below them fit the definition of the other table.

use super::super::super::catalogue::TableDef;
use super::super::super::shape::{self, Fit};
use super::super::objects::{MOST_DEPTH, Object, children};
use super::super::pages::Pages;
use super::super::rows::Keys;
use crate::model::SchemaOrigin;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::SchemaKind;

/// Objects that are held against all others.
const MOST_MISFITS: usize = 16;

/// Rows of a leaf that are asked.
const ROWS: usize = 16;

/// Gives objects the roots of one another where what lies below them in state 0 fits better so.
pub(super) fn take_back(pages: &Pages<'_>, objects: &mut [Object]) {
    let defs: Vec<Option<TableDef>> = objects.iter().map(def).collect();
    let leaves: Vec<Option<Page<'_>>> = objects.iter().map(|object| first_leaf(pages, object.root)).collect();
    let fit = |object: usize, root: usize| {
        let (Some(own), Some(def), Some(leaf)) = (objects.get(object), defs.get(object), leaves.get(root))
        else {
            return Fit::Yes;
        };
        leaf.as_ref().map_or(Fit::Yes, |leaf| fit(own, def.as_ref(), leaf))
    };
    let misfits = (1..objects.len()).filter(|object| fit(*object, *object) == Fit::No);
    let misfits: Vec<usize> = misfits.take(MOST_MISFITS).collect();
    let mut exchanged: Vec<(usize, usize)> = Vec::new();
    for one in misfits {
        let is_done = |object: usize| exchanged.iter().any(|(a, b)| *a == object || *b == object);
        if is_done(one) {
            continue;
        }
        let worth = |a: Fit, b: Fit| a as u8 + b as u8;
        let mut others = (1..objects.len()).filter(|other| *other != one && !is_done(*other));
        let other = others.find(|other| {
            let crosswise = worth(fit(one, *other), fit(*other, one));
            leaves.get(*other).is_some_and(Option::is_some)
                && crosswise > worth(fit(one, one), fit(*other, *other))
        });
        exchanged.extend(other.map(|other| (one, other)));
    }
    for (one, other) in exchanged {
        let root = |object: usize| objects.get(object).map_or(0, |object| object.root);
        let roots = [(one, root(other)), (other, root(one))];
        for (object, root) in roots {
            if let Some(object) = objects.get_mut(object) {
                object.root = root;
            }
        }
    }
}

fn def(object: &Object) -> Option<TableDef> {
    let ddl = object.ddl.clone()?;
    Some(TableDef::new(object.name.clone(), ddl, None, SchemaOrigin::Catalogue, String::new()))
}

/// How what stands on a leaf fits an object: its kind, and most of its rows.
fn fit(object: &Object, def: Option<&TableDef>, leaf: &Page<'_>) -> Fit {
    let is_table = object.kind == SchemaKind::Table && object.keys == Keys::Rowid;
    if leaf.header.kind.is_table() != is_table {
        return Fit::No;
    }
    let Some(def) = def else { return Fit::Yes };
    let mut fits: Vec<Fit> = Vec::new();
    for cell in leaf.good_cells().take(ROWS) {
        let header = record::header(cell.local_payload(leaf.bytes), cell.payload_len).ok();
        fits.extend(header.map(|header| shape::fit(&header, def)));
    }
    fits.sort_unstable();
    fits.get(fits.len() / 2).copied().unwrap_or(Fit::Yes)
}

/// The first leaf of a tree that has rows in state 0.
fn first_leaf<'a>(pages: &Pages<'a>, root: u32) -> Option<Page<'a>> {
    let mut number = root;
    for _ in 0..MOST_DEPTH {
        let page = Page::parse(pages.at(number, 0).image()?.bytes, number, pages.geometry)?;
        if !page.header.kind.is_interior() {
            return Some(page).filter(|page| page.header.cell_count > 0);
        }
        number = *children(&page).first()?;
    }
    None
}
