//! Cells that stand alike in one version of a page after another.
//!
//! A log has a page once for each commit that changed anything on it, and most of its cells stay as they are. Of the
//! versions that hold a cell in the same place, one after the other, the first and the last tell all that those between
//! them tell.

use super::super::view::{PageVersion, View};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use std::cell::OnceCell;

/// What the versions before and behind one of a page hold.
pub(super) struct Repeated<'v, 'a> {
    view: &'v View<'a>,
    number: u32,
    own: PageVersion<'a>,
    /// Both, with the places of their cells; made when first asked.
    beside: OnceCell<Option<[Beside<'a>; 2]>>,
}

struct Beside<'a> {
    bytes: &'a [u8],
    /// For each place on the page whether a cell pointer leads to it.
    cells: Vec<bool>,
}

impl<'a> Beside<'a> {
    fn of(view: &View<'a>, version: &PageVersion<'a>, own: &PageVersion<'a>) -> Option<Self> {
        let page = Page::parse(version.bytes, version.number, view.geometry)?;
        let kind = Page::parse(own.bytes, own.number, view.geometry)?.header.kind;
        if page.header.kind != kind {
            return None;
        }
        let mut cells = vec![false; version.bytes.len()];
        for pointer in page.pointers() {
            if let Some(cell) = cells.get_mut(pointer) {
                *cell = true;
            }
        }
        Some(Self { bytes: version.bytes, cells })
    }
}

impl<'v, 'a> Repeated<'v, 'a> {
    /// `number` is that of the version in the view.
    pub(super) const fn of(view: &'v View<'a>, number: u32, own: PageVersion<'a>) -> Self {
        Self { view, number, own, beside: OnceCell::new() }
    }

    /// Whether the versions before and behind hold a cell as this one does.
    pub(super) fn has(&self, cell: &Cell) -> bool {
        let (view, own) = (self.view, &self.own);
        let beside = self.beside.get_or_init(|| {
            let [before, behind] = view.beside(self.number)?;
            Some([Beside::of(view, &before, own)?, Beside::of(view, &behind, own)?])
        });
        let (from, to) = (cell.at as usize, cell.end as usize);
        let Some(bytes) = own.bytes.get(from..to) else { return false };
        // An overflow chain may be another one in each of them.
        cell.overflow == 0
            && beside.as_ref().is_some_and(|beside| {
                beside.iter().all(|page| {
                    page.cells.get(from) == Some(&true) && page.bytes.get(from..to) == Some(bytes)
                })
            })
    }
}
