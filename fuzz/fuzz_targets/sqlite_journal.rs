//! Rollback journals, as they come and with their checksums made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::mend;
use mudlark_parsers::sqlite::journal::journal;

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut mended = data.to_vec();
    mend::journal(&mut mended);
    check(&mended);
});

fn check(bytes: &[u8]) {
    let Ok(read) = journal(bytes) else { return };
    let page_size = u64::from(read.header.page_size);
    for record in &read.records {
        assert!(record.page != 0 && record.offset + page_size <= bytes.len() as u64);
    }
    for damage in &read.damage {
        let _ = damage.to_string();
    }
}
