//! Looks for parts of databases at every sector of an image.

use super::super::survey::look;
use super::hits::{Hit, HitKind};
use crate::progress::Progress;
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::page::PageKind;
use mudlark_parsers::sqlite::{header, journal, wal};
use rayon::prelude::*;

/// Where parts of files can begin.
const SECTOR: usize = 512;

/// Bytes that a thread looks through at a time.
const WINDOW: usize = 4 << 20;

/// The hits of an image, in the order of their offsets.
pub(in super::super) fn scan(image: &[u8], progress: &dyn Progress) -> Vec<Hit> {
    let windows = image.len().div_ceil(WINDOW);
    let hits: Vec<Vec<Hit>> = (0..windows)
        .into_par_iter()
        .map(|window| {
            let (from, to) = (window * WINDOW, ((window + 1) * WINDOW).min(image.len()));
            let found = (from..to).step_by(SECTOR).filter_map(|at| hit(image, at)).collect();
            progress.advance((to - from) as u64);
            found
        })
        .collect();
    hits.concat()
}

fn hit(image: &[u8], at: usize) -> Option<Hit> {
    let bytes = image.get(at..)?;
    let offset = at as u64;
    match bytes.first()? {
        b'S' if bytes.starts_with(header::MAGIC) => {
            let head = header::header(bytes).ok()?.1;
            let size = head.geometry()?.page_size;
            Some(Hit::new(offset, HitKind::Header, 1 << (size / 512).trailing_zeros()))
        }
        0x37 if wal::wal_header(bytes).is_ok() => Some(Hit::new(offset, HitKind::WalHeader, 0)),
        0xd9 if journal::segment_header(bytes).is_ok() => Some(Hit::new(offset, HitKind::Journal, 0)),
        2 | 5 | 10 | 13 => page(bytes, offset),
        _ => None,
    }
}

fn page(bytes: &[u8], offset: u64) -> Option<Hit> {
    let (mut sizes, mut kind) = (0, None);
    let mut scratch = Vec::new();
    let most = usize::from(u16::from_be_bytes([*bytes.get(3)?, *bytes.get(4)?]));
    for (index, page_size) in PAGE_SIZES.into_iter().enumerate() {
        let Some(page) = bytes.get(..page_size as usize).filter(|_| most * 6 < page_size as usize) else {
            continue;
        };
        let geometry = Geometry { page_size, reserved: 0 };
        let info = look(page, 2, geometry, u32::MAX, &mut scratch);
        if info.sound && info.kind.is_some() {
            sizes |= 1 << index;
            kind = info.kind;
        }
    }
    let kind = match kind? {
        PageKind::IndexInterior => HitKind::IndexInterior,
        PageKind::TableInterior => HitKind::TableInterior,
        PageKind::IndexLeaf => HitKind::IndexLeaf,
        PageKind::TableLeaf => HitKind::TableLeaf,
    };
    Some(Hit::new(offset, kind, sizes))
}
