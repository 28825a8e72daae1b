//! Whether bytes are a record of a rollback journal, without the journal's header.

use super::Sizes;
use super::page::{self, MOST, Probed};
use crate::bytes::{be_u32_at, slice_at};
use crate::sqlite::journal::checksum;

/// Bytes of the page's number, which the page follows.
pub const NUMBER_LEN: usize = 4;

/// Bytes of a record beside its page: the number before and a checksum behind.
pub const FRAME_LEN: usize = 8;

/// Whether a record of a b-tree page may begin with these eight bytes, as a number in the order of the file's bytes.
#[inline]
#[must_use]
pub const fn may_begin(first: u64) -> bool {
    let [number, _, _, _, kind, ..] = first.to_le_bytes();
    number == 0 && matches!(kind, 2 | 5 | 10 | 13)
}

/// The page in a record that begins at `at`; `None` when nothing shows that there is one.
#[must_use]
pub fn page_at(image: &[u8], at: usize, most_pages: u32) -> Option<Probed> {
    let number = be_u32_at(image, at)?;
    if !(1..=most_pages).contains(&number) {
        return None;
    }
    let from = at + NUMBER_LEN;
    let page = page::page(image.get(from..image.len().min(from + MOST))?, most_pages)?;
    // Eight bytes alone are an accident at a place that may be any.
    (!page.empty).then_some(page)
}

/// The nonce by which the record at `at` was summed up, if it is one of pages of `size` bytes. Records of one transaction
/// agree in it.
#[must_use]
pub fn nonce(image: &[u8], at: usize, size: u32) -> Option<u32> {
    let page = slice_at(image, at + NUMBER_LEN, size as usize)?;
    let stored = be_u32_at(image, at + NUMBER_LEN + size as usize)?;
    Some(stored.wrapping_sub(checksum(page, 0)))
}

/// The sizes of `among` at which a record before or behind the one at `at` agrees with it in the nonce.
#[must_use]
pub fn agreed(image: &[u8], at: usize, among: Sizes) -> Sizes {
    let agrees = |size: &u32| {
        let len = *size as usize + FRAME_LEN;
        let own = nonce(image, at, *size);
        let beside = [at.checked_add(len), at.checked_sub(len)];
        own.is_some() && beside.into_iter().flatten().any(|next| nonce(image, next, *size) == own)
    };
    among.iter().filter(agrees).fold(Sizes::NONE, |all, size| all.or(Sizes::only(size)))
}
