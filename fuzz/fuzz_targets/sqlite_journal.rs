//! Rollback journals, as they come and with their checksums made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::mend;
use mudlark_parsers::sqlite::geometry::PAGE_SIZES;
use mudlark_parsers::sqlite::journal::{journal, old_records};

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut mended = data.to_vec();
    mend::journal(&mut mended);
    check(&mended);
});

fn check(bytes: &[u8]) {
    for page_size in PAGE_SIZES {
        let old = old_records(bytes, page_size);
        assert!(old.windows(2).all(|pair| pair[0].offset + u64::from(page_size) <= pair[1].offset));
        let ends = old.iter().map(|record| record.offset + u64::from(page_size));
        assert!(ends.max().is_none_or(|end| end <= bytes.len() as u64));
    }
    let Ok(read) = journal(bytes) else { return };
    let page_size = u64::from(read.header.page_size);
    for record in &read.records {
        assert!(record.page != 0 && record.offset + page_size <= bytes.len() as u64);
    }
    for damage in &read.damage {
        let _ = damage.to_string();
    }
}
