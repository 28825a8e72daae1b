//! The database header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::header::{fields, header};

fuzz_target!(|data: &[u8]| {
    for (_, read) in header(data).into_iter().chain(fields(data)) {
        if let Some(geometry) = read.geometry() {
            assert!(geometry.usable() >= 480 && geometry.usable() <= 65536);
            let _ = (geometry.lock_byte_page(), geometry.is_pointer_map(read.page_count));
            for length in [0, 1, u64::from(read.change_counter), u64::from(read.page_count) << 31, u64::MAX] {
                for leaf in [false, true] {
                    let spill = geometry.spill(leaf, length);
                    assert!(spill.local <= geometry.usable());
                    assert_eq!(u64::from(spill.local) + spill.overflow, length);
                    let _ = geometry.overflow_pages(spill.overflow);
                }
            }
        }
        let _ = (read.text_encoding(), read.auto_vacuum(), read.believed_page_count());
    }
});
