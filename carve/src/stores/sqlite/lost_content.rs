//! Whether a leaf whose header is lost still has all of its cells.

use super::forest::{Ground, Tree};
use super::view::PageVersion;
use mudlark_parsers::bytes::be_u16_at;
use mudlark_parsers::sqlite::cell::{Cell, MIN_CELL};
use mudlark_parsers::sqlite::freeblock_chain;
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::record::RecordHeader;
use mudlark_parsers::sqlite::salvage;

/// What is lost of a page whose header is, at least: damage takes whole sectors.
const SECTOR: u32 = 512;

/// Whether the cells and freeblocks on page `number` fill it from the first one on, so that no row of the tree was lost with
/// its header: what lies before them is no cell, and was not lost.
pub(super) fn is_whole(ground: Ground<'_, '_>, tree: &Tree, number: u32) -> bool {
    let columns = tree.pages.iter().map(|page| ground.survey.page(*page).columns).max();
    let (Some(columns), Some(version)) = (columns, ground.view.page(number)) else { return false };
    if !tree.rowids || ground.survey.page(number).kind.is_some() {
        return false;
    }
    let geometry = ground.view.geometry;
    let usable = geometry.usable();
    let all = Extent { from: 0, to: usable };
    let is_own = |_: &Cell, header: &RecordHeader<'_>| header.columns == usize::from(columns);
    let cells = salvage::cells(version.bytes, all, PageKind::TableLeaf, geometry, &is_own);
    let mut taken = freeblock_chain::told(version.bytes, &cells, usable);
    taken.extend(cells.iter().map(|cell| Extent { from: cell.at, to: cell.end }));
    taken.sort_unstable();
    let Some(first) = taken.first().map(|extent| extent.from) else { return false };
    let mut at = first;
    for extent in &taken {
        // Between two of them a fragment may lie.
        if extent.from >= at + MIN_CELL as u32 {
            return false;
        }
        at = at.max(extent.to);
    }
    at + MIN_CELL as u32 > usable && is_before_content(&version, first, usable)
}

/// Whether what stands before `first` is what stands before the content of a page: cell pointers and zeros.
fn is_before_content(version: &PageVersion<'_>, first: u32, usable: u32) -> bool {
    let is_pointer = |value: u16| value == 0 || (first..usable).contains(&value.into());
    let mut before = (SECTOR..first.saturating_sub(1)).step_by(2);
    first > SECTOR + MIN_CELL as u32
        && before.all(|at| be_u16_at(version.bytes, at as usize).is_some_and(is_pointer))
}
