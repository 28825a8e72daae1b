//! Cells at every place of a page, as each kind.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::{KINDS, PageInput};
use mudlark_parsers::sqlite::cell::cell;

/// Places that are tried, from the start and the end of the page.
const PLACES: usize = 64;

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let len = input.bytes.len();
    let places = (0..len.min(PLACES)).chain(len.saturating_sub(PLACES)..len + 2).chain([usize::MAX >> 32]);
    for at in places {
        for kind in KINDS {
            let Ok(read) = cell(input.bytes, at, kind, input.geometry) else { continue };
            assert_eq!(read.at as usize, at);
            assert!(read.end as usize <= len && read.end <= input.geometry.usable() && read.at < read.end);
            assert_eq!(read.local_payload(input.bytes).len(), read.local as usize);
        }
    }
});
