//! The WAL index.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::shm::index_header;

fuzz_target!(|data: &[u8]| {
    let _ = index_header(data);
});
