//! A b-tree page: pointers, cells, freeblocks, the account, and the regions of every kind of page.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::regions::{self, Region};

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let PageInput { geometry, number, bytes, .. } = input;
    for found in [
        regions::trunk(bytes, geometry),
        regions::pointer_map(bytes, number, geometry),
        regions::overflow(bytes, geometry),
        regions::opaque(bytes, geometry, "owner"),
    ] {
        covered(&found, bytes.len());
    }
    let Some(page) = Page::parse(bytes, number, geometry) else { return };
    let cells: Vec<Cell> = page.cells().filter_map(Result::ok).collect();
    for cell in &cells {
        assert!(cell.at < cell.end && cell.end as usize <= bytes.len() && cell.end <= geometry.usable());
        assert_eq!(cell.local_payload(bytes).len(), cell.local as usize);
    }
    let (blocks, _) = page.freeblocks();
    assert!(blocks.windows(2).all(|pair| pair[0].to <= pair[1].from));
    let account = page.account(&cells);
    for extent in &account.unaccounted {
        assert!(extent.from < extent.to && extent.to <= geometry.usable());
    }
    assert!(!account.sound || account.damage.is_empty());
    for damage in &account.damage {
        let _ = (damage.to_string(), damage.kind.rule());
    }
    covered(&regions::btree(&page), bytes.len());
});

/// No byte of the page is left out.
fn covered(regions: &[Region], len: usize) {
    let mut at = 0;
    for region in regions {
        assert!(region.at <= at, "bytes {at:#x} to {:#x} have no region", region.at);
        at = at.max(region.at + region.len);
    }
    assert!(at as usize >= len, "bytes from {at:#x} have no region");
}
