//! Whether a file is one database, however damaged, or an image that holds several things.

use super::hits::{Hit, HitKind};
use crate::scan::Mark;
use crate::source::Source;
use crate::stores::Store;
use crate::stores::sqlite::{Sqlite, detect, temp};
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::{journal, wal};
use std::cmp::Reverse;

/// The header at the start of `bytes`, with the database's length when the header can be believed.
fn stated(bytes: &[u8]) -> Option<(Header, Geometry, Option<u64>)> {
    let (_, head) = header::header(bytes).ok()?;
    let geometry = head.geometry()?;
    let len = head.believed_page_count().map(|pages| u64::from(pages) * u64::from(geometry.page_size));
    Some((head, geometry, len))
}

/// Whether a file that was taken for a store may be an image: one that is as long as its header says is none.
/// Nor is a log or a journal, or what one of these stands beside; one whose header is broken is looked through for its frames.
pub(super) fn may_be_an_image(source: &Source) -> bool {
    let bytes = source.bytes();
    // The magic alone is no header.
    let may_be = stated(bytes).is_none_or(|(_, _, len)| len.is_some_and(|len| len < bytes.len() as u64));
    let is_sound_log = wal::sound_header(bytes).is_ok() || journal::sound_header(bytes).is_ok();
    may_be && !is_sound_log && !has_sidecar(source)
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
    own == 0
        && starts.count() == 0
        && !is_by_magic(bytes)
        && !is_one_without_header(marks, all)
        && !is_temp()
        && !detect::is_out_of_place(bytes)
}

/// A file of up to so many bytes that begins with the magic is taken for a store of which nothing is left.
const MOST_BY_MAGIC: usize = 1 << 20;

fn is_by_magic(bytes: &[u8]) -> bool {
    bytes.starts_with(header::MAGIC) && bytes.len() <= MOST_BY_MAGIC
}

/// Whether a file that is no image may be a store, where nothing of one shows in it at any place: by its header, by what
/// stands beside it, or by pages all of which are damaged.
pub(super) fn may_be_a_store(source: &Source, marks: &[Mark]) -> bool {
    let bytes = source.bytes();
    let by_start = || stated(bytes).is_some() || is_by_magic(bytes) || temp::read(bytes).is_some();
    !marks.is_empty()
        || by_start()
        || temp::is_named(source)
        || has_sidecar(source)
        || detect::may_be_damaged(bytes)
        || detect::is_out_of_place(bytes)
}

/// Of so many pages one at most may lie elsewhere than those of one database do.
const FEW: usize = 10;

/// Of so many pages of a database one at least shows what it is: the others are overflow pages, or damaged.
const SPARSE: u64 = 256;

/// Whether the pages of a file of `len` bytes without any header are those of one database that begins where the file does:
/// nearly all of them are of one size, and begin at a multiple of it, and there are enough of them. Where they don't lie as their links say it is read as one all the
/// same: the pages that the links lead to may be lost, and nothing tells of another database.
fn is_one_without_header(marks: &[Mark], len: u64) -> bool {
    let hits = marks.iter().filter_map(|mark| Hit::of(*mark));
    let is_page = |hit: &Hit| hit.kind().page_kind().is_some() || hit.kind() == HitKind::Header;
    let hits: Vec<Hit> = hits.filter(is_page).collect();
    let in_place = |size: u32| {
        let lies = |hit: &&Hit| hit.is_page_of(size) && hit.offset().is_multiple_of(u64::from(size));
        hits.iter().filter(lies).count()
    };
    let each = PAGE_SIZES.into_iter().map(|size| (in_place(size), Reverse(len / u64::from(size)), size));
    let (most, Reverse(pages), size) = each.max().unwrap_or_default();
    // Where the next page begins within what one reads as, it is a damaged one of another size; and where it lies at no multiple
    // of its own size, but of that of most.
    let is_misread = |(index, hit): &(usize, &Hit)| {
        let least = PAGE_SIZES.into_iter().filter(|size| hit.is_page_of(*size)).min().unwrap_or(0);
        let next = hits.get(index + 1).is_some_and(|next| next.offset() < hit.offset() + u64::from(least));
        let aligned = |size: u32| hit.offset().is_multiple_of(u64::from(size));
        least > size && aligned(size) && (next || !aligned(least))
    };
    let misread = hits.iter().enumerate().filter(is_misread).count();
    let others = hits.len() - most - misread.min(most);
    !hits.is_empty() && others * FEW <= hits.len() && most as u64 * SPARSE >= pages
}

/// Whether these are the bytes of a log or a journal, by its header.
fn is_log(bytes: &[u8]) -> bool {
    wal::wal_header(bytes).is_ok() || journal::segment_header(bytes).is_ok()
}

/// Whether a log or a journal stands beside a file: it is a database's.
fn has_sidecar(source: &Source) -> bool {
    let beside = Sqlite.sidecars(source.path()).into_iter().filter(|path| path.is_file());
    beside.filter_map(|path| Source::open(&path).ok()).any(|log| is_log(log.bytes()))
}
