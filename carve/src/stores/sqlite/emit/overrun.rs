//! Cells that reach into what was encrypted, on pages that lost their headers with it: there they end amid noise.
//!
//! On other damaged pages noise is as a rule a BLOB of the application.

use super::super::leaf::FoundCell;
use super::super::noise::is_noise;
use super::super::survey::Sectors;
use super::super::view::PageVersion;
use mudlark_parsers::sqlite::freeblock_chain::MOST_OF_A_FRAGMENT;
use mudlark_parsers::sqlite::page::Extent;

/// The cells of a page that end amid noise in which no other cell begins, by their places, each with what it has of the
/// noise.
pub(super) fn cells(page: &PageVersion<'_>, cells: &[FoundCell], usable: u32) -> Vec<(u32, Extent)> {
    let sectors = Sectors::of_page_at(page.offset);
    let mut begins: Vec<u32> = cells.iter().filter(|found| found.reads).map(|found| found.cell.at).collect();
    begins.sort_unstable();
    let begins_within =
        |from: u32, to: u32| begins.get(begins.partition_point(|at| *at < from)).is_some_and(|at| *at < to);
    let noisy = |sector: u32| {
        let extent = sectors.extent(sector, usable);
        let bytes = page.bytes.get(extent.from as usize..extent.to as usize);
        bytes.is_some_and(is_noise)
    };
    let overrun = |found: &FoundCell| {
        let (at, end) = (found.cell.at, found.cell.end);
        let (first, last) = (sectors.of(at), sectors.of(end.checked_sub(1)?));
        // What stands behind it shows that it ends where it should.
        let is_followed = end >= usable || begins_within(end, end + 1 + MOST_OF_A_FRAGMENT);
        if first == last || is_followed {
            return None;
        }
        let lost = (first + 1..=last).rev().take_while(|sector| {
            let extent = sectors.extent(*sector, usable);
            !begins_within(extent.from, extent.to) && noisy(*sector)
        });
        let from = lost.last().map(|sector| sectors.start(sector))?;
        Some((at, Extent { from, to: end }))
    };
    cells.iter().filter(|found| found.reads).filter_map(overrun).collect()
}
