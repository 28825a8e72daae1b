//! Cells in free space.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_fuzz::layout::PageInput;
use mudlark_parsers::sqlite::freed::{Effort, Scratch, Shape, Space, cells};
use mudlark_parsers::sqlite::page::Extent;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};

fuzz_target!(|data: &[u8]| {
    let Some(input) = PageInput::split(data) else { return };
    let PageInput { geometry, kind, number, bytes } = input;
    let most = number as usize % 16;
    let fits = |column: usize, serial: Serial| match number % 3 {
        0 => true,
        1 => serial.kind() != SerialKind::Blob,
        _ => column % 2 == 0 || serial.kind() == SerialKind::Text,
    };
    let reads = |text: &[u8]| std::str::from_utf8(text).is_ok();
    let odds = |_: usize, serial: Serial, value: &[u8]| serial.0 as i64 % 64 - value.len() as i64;
    let edges = [number, number * 2, geometry.usable()];
    let is_edge = |at: u32| edges.contains(&at);
    let mut scratch = Scratch::default();
    for first in [None, Some(Serial::NULL)] {
        let shape = Shape {
            least: most / 2,
            most,
            first,
            fits: &fits,
            reads: &reads,
            odds: &odds,
            prior: &|_, bytes| bytes.len() as i64,
            rowid_odds: &|_| 0,
            least_odds: None,
            effort: &Effort::of_page(0),
        };
        let part = Extent { from: number * 2, to: number * 2 + bytes.len() as u32 / 2 };
        let whole = Extent { from: 0, to: geometry.usable() };
        for extent in [whole, part, Extent { from: whole.to, to: number }, Extent { from: 0, to: u32::MAX }] {
            for space in [Space::Freeblock, Space::Other] {
                let effort = &Effort::of_page(bytes.len());
                let shape = Shape { effort, ..shape };
                let found = cells(bytes, (extent, space), kind, geometry, &shape, &is_edge, &mut scratch);
                assert!(found.windows(2).all(|pair| pair[0].cell.end <= pair[1].cell.at));
                assert!(
                    found.iter().all(|freed| freed.cell.at >= extent.from && freed.cell.end <= extent.to)
                );
                assert!(found.iter().all(|freed| (shape.least..=most).contains(&freed.serials.len())));
            }
        }
    }
});
