//! Cells found by their own bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::salvage::{cells, interior_cells, interior_tiles, strict_cell};

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let PageInput { geometry, kind, number, bytes } = input;
    let whole = Extent { from: 0, to: geometry.usable() };
    let part = Extent { from: number * 2, to: number * 2 + bytes.len() as u32 / 2 };
    for extent in [whole, part, Extent { from: whole.to, to: number }, Extent { from: 0, to: u32::MAX }] {
        if kind.is_interior() {
            let children = |found: &mudlark_parsers::sqlite::cell::Cell| found.left_child <= 255;
            let found = interior_cells(
                bytes,
                Extent { to: extent.to.min(65536), ..extent },
                kind,
                geometry,
                &children,
            );
            assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].at));
            let tiles = interior_tiles(bytes, extent, kind, geometry, 255);
            assert!(tiles.windows(2).all(|pair| pair[0].end == pair[1].at));
            assert!(tiles.first().is_none_or(|tile| tile.at == extent.from));
            assert!(tiles.last().is_none_or(|tile| tile.end == extent.to));
        }
        let columns = number as usize % 16;
        let found =
            cells(bytes, extent, kind, geometry, &|_, header| columns == 0 || header.columns == columns);
        assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].at));
        assert!(found.iter().all(|cell| cell.at >= extent.from && cell.end <= extent.to));
    }
    let any = |kind: PageKind, at| strict_cell(bytes, at, kind, geometry, &|_, _| true).is_some();
    let _ = (any(kind, 0), any(kind, bytes.len()), any(kind, number as usize));
});
