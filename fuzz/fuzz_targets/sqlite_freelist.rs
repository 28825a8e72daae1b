//! Freelist trunk pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::sqlite::freelist::{plausible_trunk, trunk};

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let usable = input.geometry.usable();
    if let Some(read) = trunk(input.bytes, usable) {
        assert!(read.leaves.len() <= usable as usize / 4 - 2);
    }
    for pages in [0, input.number, u32::MAX] {
        if let Some(read) = plausible_trunk(input.bytes, usable, pages) {
            assert!(read.leaves.iter().all(|leaf| (2..=pages).contains(leaf)));
        }
    }
    let _ = (trunk(data, 0), plausible_trunk(data, u32::MAX, u32::MAX));
});
