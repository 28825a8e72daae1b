//! Pointer-map pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::bytes::be_u32_at;
use mudlark_parsers::sqlite::ptrmap::{entry, map_page_of};
use mudlark_parsers::sqlite::regions;

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let PageInput { geometry, number, bytes, .. } = input;
    let any = be_u32_at(bytes, 0).unwrap_or(u32::MAX);
    for page in [0, 1, 2, 3, number, any, any.wrapping_add(number), geometry.lock_byte_page(), u32::MAX] {
        let Some(map) = map_page_of(page, geometry) else { continue };
        assert!(geometry.is_pointer_map(map) && map < page);
        let _ = entry(bytes, map, page, geometry);
        let _ = entry(bytes, page, map, geometry);
    }
    for number in [0, number, any, u32::MAX] {
        let _ = regions::pointer_map(bytes, number, geometry);
    }
});
