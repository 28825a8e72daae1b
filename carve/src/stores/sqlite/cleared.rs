//! Cells of pages that were cleared, made trunks of the freelist, or filled anew: pointers that are left lead to them.

use super::leaf::leaf_kind;
use super::survey::Survey;
use super::view::View;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::page::{Extent, Page};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::stale_pointers::{self, Stale};
use std::collections::BTreeSet;

/// Cells to which pointers behind those of the live rows lead, when the page was cleared before these filled it.
const REFILLED: usize = 5;

/// The cells of a page of which its header says nothing, for tables with or without row ids.
pub(super) fn cells(view: &View<'_>, survey: &Survey, number: u32, rowids: bool) -> Stale {
    let geometry = view.geometry;
    let info = survey.page(number);
    let Some(version) = view.page(number).filter(|_| !info.zero) else {
        return Stale::default();
    };
    let kind = leaf_kind(rowids);
    let page = Page::parse(version.bytes, version.number, geometry);
    let usable = geometry.usable() as usize;
    let extent = match page.filter(|_| info.kind.is_some()) {
        // A root that was divided was a leaf before.
        Some(page) if page.header.kind.is_table() != kind.is_table() => return Stale::default(),
        Some(page) if page.header.cell_count == 0 => (page.pointers_at(), usable),
        Some(page) => {
            let gap = page.gap();
            let stale =
                stale_pointers::cells(version.bytes, (gap.from as usize, gap.to as usize), kind, geometry);
            // The last pointers stay behind when rows are deleted, too, and lead anywhere soon.
            return if stale.cells.len() >= REFILLED { stale } else { Stale::default() };
        }
        None => {
            let trunk = freelist::plausible_trunk(version.bytes, geometry.usable(), view.page_count);
            (trunk.map_or(8, |trunk| 8 + 4 * trunk.leaves.len()), usable)
        }
    };
    stale_pointers::cells(version.bytes, extent, kind, geometry)
}

/// How many columns the rows have whose pointers a page kept when it was cleared: all the same, or they are of no table
/// with row ids.
pub(super) fn width(view: &View<'_>, survey: &Survey, number: u32) -> Option<u16> {
    let bytes = view.page(number)?.bytes;
    let cells = cells(view, survey, number, true).cells.into_iter();
    let width = |cell: Cell| Some(record::header(cell.local_payload(bytes), cell.payload_len).ok()?.columns);
    let widths: BTreeSet<usize> = cells.filter_map(width).collect();
    widths.first().filter(|_| widths.len() == 1).and_then(|width| u16::try_from(*width).ok())
}

/// What of an extent neither the pointers nor the cells take.
pub(super) fn between(extent: Extent, stale: &Stale) -> Vec<Extent> {
    let from = extent.from.max(stale.end as u32);
    untaken(Extent { from, ..extent }, stale.cells.iter().copied())
}

/// What of an extent none of these cells takes.
pub(super) fn untaken(extent: Extent, cells: impl Iterator<Item = Cell>) -> Vec<Extent> {
    let mut taken: Vec<Extent> = cells.map(|cell| Extent { from: cell.at, to: cell.end }).collect();
    taken.sort_unstable();
    let mut from = extent.from;
    let mut left = Vec::with_capacity(taken.len() + 1);
    for cell in taken.into_iter().chain([Extent { from: extent.to, to: extent.to }]) {
        if from < cell.from.min(extent.to) {
            left.push(Extent { from, to: cell.from.min(extent.to) });
        }
        from = from.max(cell.to);
    }
    left
}
