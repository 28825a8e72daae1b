//! The WAL index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::shm::{checkpoint, index_header};

fuzz_target!(|data: &[u8]| {
    let _ = index_header(data);
    let _ = checkpoint(data);
});
