//! How many columns rows have on pages that lost their headers.

use super::forest::Tree;
use super::leaf;
use super::survey::Survey;
use super::view::View;
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::{record, salvage};
use std::collections::BTreeMap;

/// How many columns most rows have on the pages of a tree that lost their headers, where it has no others.
pub(super) fn of_lost(view: &View<'_>, survey: &Survey, tree: &Tree) -> usize {
    let lost = tree.gaps.iter().filter(|gap| gap.child > 1 && survey.page(gap.child).kind.is_none());
    let kind = leaf::leaf_kind(tree.rowids);
    lost.map(|gap| on(view, gap.child, kind)).max().unwrap_or(0)
}

/// How many columns most of what reads as rows has on a page that lost its header.
pub(super) fn on(view: &View<'_>, number: u32, kind: PageKind) -> usize {
    let Some(version) = view.page(number) else { return 0 };
    let extent = Extent { from: 0, to: view.geometry.usable() };
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for cell in salvage::cells(version.bytes, extent, kind, view.geometry, &|_, _| true) {
        if let Ok(header) = record::header_only(cell.local_payload(version.bytes)) {
            *widths.entry(header.columns).or_default() += 1;
        }
    }
    widths.into_iter().max_by_key(|(_, rows)| *rows).map_or(0, |(width, _)| width)
}
