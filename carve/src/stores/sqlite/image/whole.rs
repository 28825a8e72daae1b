//! Whether a file is one database, however damaged, or an image that holds several things.

use super::hits::{Hit, HitKind};
use crate::scan::Mark;
use crate::source::Source;
use crate::stores::sqlite::temp;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::{journal, wal};

/// The header at the start of `bytes`, with the database's length when the header can be believed.
fn stated(bytes: &[u8]) -> Option<(Header, Geometry, Option<u64>)> {
    let (_, head) = header::header(bytes).ok()?;
    let geometry = head.geometry()?;
    let len = head.believed_page_count().map(|pages| u64::from(pages) * u64::from(geometry.page_size));
    Some((head, geometry, len))
}

/// Whether a file that was taken for a store may be an image: one that is as long as its header says is none.
pub(super) fn may_be_an_image(bytes: &[u8]) -> bool {
    if wal::wal_header(bytes).is_ok() || journal::segment_header(bytes).is_ok() {
        return false;
    }
    match stated(bytes) {
        Some((_, _, len)) => len.is_some_and(|len| len < bytes.len() as u64),
        None => !bytes.starts_with(header::MAGIC),
    }
}

/// Whether it is one, by the hits in all of it.
///
/// A database whose header is damaged, or whose file has grown, holds no first page of another one. The first page of its
/// own may lie elsewhere in it, though, where pages were mixed up.
pub(super) fn is_an_image(source: &Source, marks: &[Mark]) -> bool {
    if marks.is_empty() {
        return false;
    }
    let bytes = source.bytes();
    let hits = marks.iter().filter_map(|mark| Hit::of(*mark));
    let own = stated(bytes).and_then(|(_, _, len)| len).unwrap_or(0);
    let all = bytes.len() as u64;
    let starts = hits.filter(|hit| hit.kind() == HitKind::Header && hit.offset() >= own.max(1));
    let of_another = |hit: &Hit| {
        let from = bytes.get(hit.offset() as usize..).unwrap_or_default();
        let Some((_, geometry, Some(len))) = stated(from) else { return false };
        let shifted = !hit.offset().is_multiple_of(u64::from(geometry.page_size));
        let fits = hit.offset().checked_add(len).is_some_and(|end| end <= all);
        own > 0 || shifted || fits && len < all - all / 8
    };
    if starts.clone().any(|hit| of_another(&hit)) {
        return true;
    }
    let is_temp = || temp::is_named(source) || temp::read(bytes).is_some();
    own == 0 && starts.count() == 0 && !is_one_without_header(bytes, marks) && !is_temp()
}

/// Links that are looked at.
const MOST_LINKS: usize = 1000;

/// Whether the pages of a file without any header are those of one database that begins where the file does: half of it
/// shows what it is, or the links of its pages say so. Overflow pages show nothing, and have none.
fn is_one_without_header(bytes: &[u8], marks: &[Mark]) -> bool {
    let hits =
        || marks.iter().filter_map(|mark| Hit::of(*mark)).filter(|hit| hit.kind().page_kind().is_some());
    let size_of = |hit: Hit| hit.sizes().iter().next().map_or(0, u64::from);
    let (all, shown) = (bytes.len() as u64, hits().map(size_of).sum::<u64>());
    if shown >= all / 2 {
        return true;
    }
    let (mut links, mut hold) = (0, 0);
    'pages: for hit in hits().filter(|hit| hit.kind().page_kind().is_some_and(PageKind::is_interior)) {
        let Some(geometry) = hit.sizes().one().and_then(|size| Geometry::new(size, 0)) else { continue };
        let size = u64::from(geometry.page_size);
        let from = bytes.get(hit.offset() as usize..).unwrap_or_default();
        let Some(page) = Page::parse(from.get(..size as usize).unwrap_or(from), 2, geometry) else {
            continue;
        };
        for cell in page.cells().filter_map(Result::ok) {
            if links == MOST_LINKS {
                break 'pages;
            }
            links += 1;
            let at = u64::from(cell.left_child).saturating_sub(1) * size;
            hold += usize::from(marks.binary_search_by_key(&at, |mark| mark.offset()).is_ok());
        }
    }
    if links == 0 { shown >= all / 8 } else { hold * 2 > links }
}
