//! Write-ahead logs, as they come and with their checksums made right.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::mend;
use mudlark_parsers::sqlite::wal::{HEADER_LEN, wal};

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut mended = data.to_vec();
    mend::log(&mut mended);
    check(&mended);
});

fn check(bytes: &[u8]) {
    let Ok(read) = wal(bytes) else { return };
    assert!(read.committed <= read.frames.len());
    let page_size = u64::from(read.header.page_size);
    for frame in &read.frames {
        assert!(frame.offset >= HEADER_LEN as u64 && frame.offset + page_size <= bytes.len() as u64);
    }
    for damage in &read.damage {
        let _ = damage.to_string();
    }
}
