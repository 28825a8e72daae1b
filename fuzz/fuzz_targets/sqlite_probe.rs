//! What bytes of unknown origin can be: pages, first pages, frames and records, at every place where one may begin.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::probe::{Effort, frame, page, record, start};

const MOST_PAGES: u32 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut effort = Effort::new(4 * data.len());
    for at in (0..data.len()).step_by(8) {
        let from = &data[at..];
        if let Some(probed) = page::page(from, MOST_PAGES) {
            assert!(page::may_begin(from) && page::may_go_on(from), "a page is rejected by its first bytes");
            assert!(!probed.sizes.is_empty());
            assert!(probed.sizes.iter().next().is_some_and(|size| size as usize <= from.len()));
            assert!(!probed.empty || !probed.kind.is_interior());
        }
        let _ = start::first_page_sizes(from, MOST_PAGES);
        let _ = (start::log_size(from, MOST_PAGES), start::journal_size(from));
        if frame::sizes_at(data, at, MOST_PAGES, &mut effort).is_some() {
            let first = from.first_chunk().map(|first| u64::from_le_bytes(*first));
            // Numbers of pages of 25 bits are those of neighbours only.
            assert!(first.is_some_and(|first| frame::may_begin(first) || first.to_be() >> 56 == 0));
        }
        if let Some(probed) = record::page_at(data, at, MOST_PAGES) {
            let agreed = record::agreed(data, at, probed.sizes);
            assert_eq!(agreed.and(probed.sizes), agreed);
        }
    }
});
