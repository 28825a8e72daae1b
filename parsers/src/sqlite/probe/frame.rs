//! Whether bytes are a frame of a write-ahead log, without the log's header.

use super::page::{self, MOST};
use super::start::first_page_sizes;
use super::{Effort, Sizes};
use crate::bytes::{all_zero, be_u32_at, slice_at};
use crate::sqlite::geometry::PAGE_SIZES;
use crate::sqlite::header::MAGIC;
use crate::sqlite::wal::{FRAME_HEADER_LEN, FrameHeader, checksum, frame_header};

/// Zeros among the sixteen bytes of salts and checksum: of four numbers of less than three bytes each there are more.
const MOST_ZEROS: usize = 6;

/// Whether a frame's header may begin with these eight bytes, as a number in the order of the file's bytes.
///
/// Numbers of pages have less than 25 bits, but for databases that no one keeps; so have counts of pages.
#[inline]
#[must_use]
pub const fn may_begin(first: u64) -> bool {
    let [page, _, _, _, commit, ..] = first.to_le_bytes();
    page == 0 && commit == 0 && first != 0
}

/// Whether these sixteen bytes can be salts and a checksum.
#[inline]
fn may_go_on(random: &[u8; 16]) -> bool {
    random.iter().filter(|byte| **byte == 0).count() <= MOST_ZEROS
}

/// Whether a frame's header can have these bytes.
#[inline]
#[must_use]
pub fn may_be(bytes: &[u8; FRAME_HEADER_LEN], most_pages: u32) -> bool {
    let number = |at: usize| be_u32_at(bytes, at).unwrap_or(0);
    let (page, commit) = (number(0), number(4));
    let fits = page.wrapping_sub(1) < most_pages && (commit == 0 || page <= commit && commit <= most_pages);
    fits && bytes.last_chunk().is_some_and(may_go_on)
        && number(8) != number(12)
        && bytes.get(8..16) != bytes.get(16..)
}

/// The frame's header at `at`, when it can be one.
#[must_use]
pub fn header_at(image: &[u8], at: usize, most_pages: u32) -> Option<FrameHeader> {
    let bytes: &[u8; FRAME_HEADER_LEN] = image.get(at..)?.first_chunk()?;
    if !may_be(bytes, most_pages) {
        return None;
    }
    frame_header(bytes).ok().map(|(_, head)| head)
}

/// The page sizes of a frame that begins at `at`; `None` when nothing shows that there is one.
///
/// A frame shows by the page in it, or by the frames before and behind it, which carry the same salts; then the checksum,
/// which runs from one to the next, proves it. `effort` bounds the proofs.
#[must_use]
pub fn sizes_at(image: &[u8], at: usize, most_pages: u32, effort: &mut Effort) -> Option<Sizes> {
    let head = header_at(image, at, most_pages)?;
    let page = page_sizes(image, at, most_pages);
    let beside = beside(image, at, &head, most_pages);
    let both = page.and(beside);
    if !both.is_empty() {
        return Some(both);
    }
    // Where pages of a database lie too, the end of one page can look like the header before the next.
    let stands_alone = !(at + FRAME_HEADER_LEN).is_multiple_of(512);
    if !page.is_empty() && stands_alone {
        return Some(page);
    }
    let size = beside.iter().find(|size| {
        neighbours(at, *size).into_iter().flatten().any(|next| {
            same_salts(image, next, &head, most_pages)
                && (page_sizes(image, next, most_pages).has(*size)
                    || continues(image, at.min(next), at.max(next), *size as usize, effort))
        })
    })?;
    Some(Sizes::only(size))
}

/// The sizes at which the page of a frame at `at` is one that shows what it is.
fn page_sizes(image: &[u8], at: usize, most_pages: u32) -> Sizes {
    let from = at + FRAME_HEADER_LEN;
    let bytes = image.get(from..image.len().min(from.saturating_add(MOST))).unwrap_or_default();
    if bytes.starts_with(MAGIC) {
        return first_page_sizes(bytes, most_pages).unwrap_or_default();
    }
    let page = page::page(bytes, most_pages).filter(|page| !page.empty);
    page.map(|page| page.sizes).unwrap_or_default()
}

/// Where the frames before and behind one at `at` begin, of a log of pages of `size` bytes.
fn neighbours(at: usize, size: u32) -> [Option<usize>; 2] {
    let len = FRAME_HEADER_LEN + size as usize;
    [at.checked_add(len), at.checked_sub(len)]
}

/// The sizes at which there is a frame of the same log before or behind.
fn beside(image: &[u8], at: usize, head: &FrameHeader, most_pages: u32) -> Sizes {
    let there = |size: &u32| {
        neighbours(at, *size).into_iter().flatten().any(|next| same_salts(image, next, head, most_pages))
    };
    PAGE_SIZES.into_iter().filter(there).fold(Sizes::NONE, |all, size| all.or(Sizes::only(size)))
}

/// Whether the frame at `second`, whatever else its header says, has the salts of the one at `first`, and all of a page of
/// `size` bytes.
///
/// Where a transaction writes a page twice, SQLite leaves salts and checksum zeros until it commits.
#[must_use]
pub fn is_of_the_same_log(image: &[u8], first: usize, second: usize, size: u32, most_pages: u32) -> bool {
    let salts = |at: usize| slice_at(image, at.checked_add(8)?, 8);
    let Some(frame) = slice_at(image, second, FRAME_HEADER_LEN + size as usize) else { return false };
    let unsealed = || {
        frame.get(8..FRAME_HEADER_LEN).is_some_and(all_zero)
            && page_sizes(image, second, most_pages).has(size)
    };
    !frame.starts_with(&[0; 4]) && (salts(first) == salts(second) || unsealed())
}

fn same_salts(image: &[u8], at: usize, head: &FrameHeader, most_pages: u32) -> bool {
    let salts = slice_at(image, at + 8, 8).and_then(|salts| salts.first_chunk::<8>());
    let [a, b] = head.salts.map(u32::to_be_bytes);
    salts.is_some_and(|salts| *salts == [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]])
        && header_at(image, at, most_pages).is_some()
}

/// Whether the checksum of the frame at `second` continues that of the one at `first`.
fn continues(image: &[u8], first: usize, second: usize, size: usize, effort: &mut Effort) -> bool {
    let frame = |at: usize| slice_at(image, at, FRAME_HEADER_LEN).and_then(|bytes| frame_header(bytes).ok());
    let Some(((_, before), (_, after))) = frame(first).zip(frame(second)) else { return false };
    let (head, page) = (slice_at(image, second, 8), slice_at(image, second + FRAME_HEADER_LEN, size));
    let Some((head, page)) = head.zip(page) else { return false };
    [false, true].into_iter().any(|big_endian| {
        effort.spend(page.len())
            && checksum(page, big_endian, checksum(head, big_endian, before.checksum)) == after.checksum
    })
}
