//! Links of an interior page that was made a leaf, and cells to which stale pointers lead.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::sqlite::former::links;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::stale_pointers;

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    for kind in [PageKind::TableLeaf, PageKind::IndexLeaf] {
        for from in [0, 8, 24] {
            let stale = stale_pointers::cells(input.bytes, (from, input.bytes.len()), kind, input.geometry);
            let mut extents: Vec<(u32, u32)> = stale.cells.iter().map(|cell| (cell.at, cell.end)).collect();
            extents.sort_unstable();
            assert!(extents.windows(2).all(|pair| pair[0].1 <= pair[1].0));
            assert!(extents.iter().all(|(at, end)| stale.end <= *at as usize && *end <= input.geometry.usable()));
        }
    }
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
