//! Links of an interior page that was made a leaf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::sqlite::former::links;
use mudlark_parsers::sqlite::page::{Page, PageKind};

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let Some(page) = Page::parse(input.bytes, input.number, input.geometry) else { return };
    for page_count in [0, input.number, 4096, u32::MAX] {
        let found = links(&page, page_count);
        assert!(found.len() <= page.most_cells() + 1);
        assert!(found.iter().all(|link| (2..=page_count).contains(&link.child)));
        assert!(!page.header.kind.is_interior() || found.is_empty());
        if page.header.kind == PageKind::TableLeaf {
            // The ranges follow one another, and none is empty.
            assert!(found.windows(2).all(|pair| pair[0].upto == pair[1].above));
            assert!(
                found.iter().all(|link| link.above.zip(link.upto).is_none_or(|(above, upto)| above < upto))
            );
        }
    }
});
