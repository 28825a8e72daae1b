//! Inputs of page-level targets: four bytes that choose, then the page.

use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::page::PageKind;

/// Bytes in front of the page.
pub const PREFIX: usize = 4;

/// The kinds, in the order of their numbers.
pub const KINDS: [PageKind; 4] =
    [PageKind::IndexInterior, PageKind::TableInterior, PageKind::IndexLeaf, PageKind::TableLeaf];

/// A page-level input.
///
/// | offset | size | field    | note                                           |
/// |-------:|-----:|----------|------------------------------------------------|
/// |      0 |    1 | size     | 512 << (low three bits)                        |
/// |      1 |    1 | reserved |                                                |
/// |      2 |    1 | kind     | low two bits                                   |
/// |      3 |    1 | number   | the page's number; 0 counts as 1               |
/// |      4 |      | bytes    | cut behind the page size; may be shorter       |
#[derive(Clone, Copy, Debug)]
pub struct PageInput<'a> {
    pub geometry: Geometry,
    pub kind: PageKind,
    pub number: u32,
    pub bytes: &'a [u8],
}

impl<'a> PageInput<'a> {
    /// Splits an input; `None` when it is too short or its geometry impossible.
    pub fn split(data: &'a [u8]) -> Option<Self> {
        let ([size, reserved, kind, number], rest) = data.split_first_chunk()?;
        let geometry = Geometry::new(PAGE_SIZES[usize::from(size & 7)], *reserved)?;
        let bytes = &rest[..rest.len().min(geometry.page_size as usize)];
        let number = u32::from(*number).max(1);
        Some(Self { geometry, kind: KINDS[usize::from(kind & 3)], number, bytes })
    }

    /// The input that splits into this page.
    pub fn join(geometry: Geometry, kind: u8, number: u32, bytes: &[u8]) -> Vec<u8> {
        let size = PAGE_SIZES.iter().position(|size| *size == geometry.page_size).unwrap_or(0);
        let number = u8::try_from(number).unwrap_or(u8::MAX);
        let mut input = vec![size as u8, geometry.reserved, kind, number];
        input.extend_from_slice(bytes);
        input
    }
}
