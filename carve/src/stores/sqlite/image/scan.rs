//! Pages, frames and records in an image, each by its own bytes.

use super::hits::{Hit, HitKind};
use super::whole;
use crate::scan::{Mark, Scanner, WINDOW, Window};
use crate::source::Source;
use mudlark_parsers::sqlite::geometry::PAGE_SIZES;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::journal;
use mudlark_parsers::sqlite::probe::page::{self, MOST};
use mudlark_parsers::sqlite::probe::{Effort, Sizes, frame, record, start};
use mudlark_parsers::sqlite::wal::{self, FRAME_HEADER_LEN};

/// Finds parts of SQLite stores.
#[derive(Debug)]
pub(in crate::stores::sqlite) struct ImageScanner;

/// Pages begin where a sector does.
const SECTOR: usize = 512;

/// Frames and records lie at multiples of this, since their lengths and those of the headers before them are.
const STEP: usize = 8;

/// Bytes that are looked at together for frames and records.
const BLOCK: usize = 64;

/// The bits that are zero in the first eight bytes of a frame and in those of a record with a b-tree page, as a
/// little-endian number: the first byte of the page's number, and most of the count of pages or of the page's kind.
const ZERO_BITS: u64 = 0x0000_00f0_0000_00ff;

/// Proofs by checksums take at most so many times a window's bytes. Those of frames take as much as their pages; more is
/// spent only on bytes made for it.
const EFFORT: usize = 4 * WINDOW;

/// What hits are counted as.
const KINDS: [(&str, &[HitKind]); 6] = [
    ("first page", &[HitKind::Header]),
    ("tree page", &[HitKind::TableLeaf, HitKind::TableInterior, HitKind::IndexLeaf, HitKind::IndexInterior]),
    ("empty page", &[HitKind::EmptyTable, HitKind::EmptyIndex]),
    ("log frame", &[HitKind::Frame]),
    ("journal record", &[HitKind::Record]),
    ("header of a log or journal", &[HitKind::WalHeader, HitKind::Journal]),
];

impl Scanner for ImageScanner {
    fn window(&self, window: &Window<'_>, marks: &mut Vec<Mark>) {
        let most_pages = most_pages(window.image);
        let mut look = Look { window, most_pages, effort: Effort::new(EFFORT), marks };
        for (index, sector) in window.bytes.chunks(SECTOR).enumerate() {
            look.sector(index * SECTOR, sector);
        }
    }

    fn complete(&self, image: &[u8], marks: &mut Vec<Mark>) {
        let mut more = Vec::new();
        for hit in marks.iter().filter_map(|mark| Hit::of(*mark)) {
            let Some(size) = hit.sizes().one() else { continue };
            match hit.kind() {
                HitKind::Frame => frames_beside(image, hit, size, marks, &mut more),
                HitKind::Record => records_beside(image, hit, size, marks, &mut more),
                _ => {}
            }
        }
        marks.extend(more);
        marks.sort_unstable();
        marks.dedup_by_key(|mark| mark.offset());
    }

    fn may_be_an_image(&self, source: &Source) -> bool {
        whole::may_be_an_image(source)
    }

    fn is_an_image(&self, source: &Source, marks: &[Mark]) -> bool {
        whole::is_an_image(source, marks)
    }

    fn may_be_a_store(&self, source: &Source, marks: &[Mark]) -> bool {
        whole::may_be_a_store(source, marks)
    }

    fn counts(&self, marks: &[Mark]) -> Vec<(&'static str, u64)> {
        let mut counts = [0_u64; KINDS.len()];
        for hit in marks.iter().filter_map(|mark| Hit::of(*mark)) {
            let kind = KINDS.iter().position(|(_, kinds)| kinds.contains(&hit.kind()));
            if let Some(count) = kind.and_then(|kind| counts.get_mut(kind)) {
                *count += 1;
            }
        }
        KINDS.iter().zip(counts).map(|((name, _), count)| (*name, count)).collect()
    }
}

/// The most pages that a database in an image can have: those of its bytes, and those that a file system keeps as holes.
fn most_pages(image: &[u8]) -> u32 {
    u32::try_from(image.len() / SECTOR).unwrap_or(u32::MAX).saturating_mul(4).max(1 << 20)
}

/// A window that is looked at.
struct Look<'w, 'a> {
    window: &'w Window<'a>,
    most_pages: u32,
    effort: Effort,
    marks: &'w mut Vec<Mark>,
}

impl<'a> Look<'_, 'a> {
    /// Looks at a sector at this offset of the window.
    #[inline]
    fn sector(&mut self, at: usize, sector: &[u8]) {
        match sector.first() {
            Some(2 | 5 | 10 | 13) => self.page(at),
            Some(b'S' | 0x37 | 0xd9) => self.start(at),
            _ => {}
        }
        // Page 1 whose header is damaged.
        if matches!(sector.get(header::LEN), Some(5 | 13)) {
            self.damaged_first_page(at, sector);
        }
        let whole: Option<&[u8; SECTOR]> = sector.first_chunk();
        if whole.is_none_or(any_may_begin) {
            self.blocks(at, sector);
        }
    }

    /// Looks for frames and records in a sector at this offset of the window.
    #[cold]
    fn blocks(&mut self, at: usize, sector: &[u8]) {
        let (blocks, rest) = sector.as_chunks::<BLOCK>();
        for (index, block) in blocks.iter().enumerate() {
            if any_may_begin(block) {
                self.words(at + index * BLOCK, block);
            }
        }
        self.words(at + blocks.len() * BLOCK, rest);
    }

    /// The image from an offset of the window on, as far as a page may reach. What lies behind the window is asked of the
    /// mapping.
    fn image_from(&self, at: usize) -> &'a [u8] {
        if let Some(near) = self.window.bytes.get(at..at + MOST) {
            return near;
        }
        let from = self.window.from + at;
        self.window
            .image
            .get(from..self.window.image.len().min(from.saturating_add(MOST)))
            .unwrap_or_default()
    }

    fn mark(&mut self, at: usize, kind: HitKind, sizes: Sizes) {
        self.marks.push(Hit::new((self.window.from + at) as u64, kind, sizes).mark());
    }

    #[cold]
    fn page(&mut self, at: usize) {
        if !self.window.bytes.get(at..).is_some_and(page::may_go_on) {
            return;
        }
        let Some(page) = page::page(self.image_from(at), self.most_pages) else { return };
        if self.is_in_a_frame(at, page.sizes) {
            return;
        }
        self.mark(at, HitKind::of_page(page.kind, page.empty), page.sizes);
    }

    /// Whether the page at an offset of the window is that of a frame, which is found by itself.
    fn is_in_a_frame(&mut self, at: usize, sizes: Sizes) -> bool {
        let Some(from) = (self.window.from + at).checked_sub(FRAME_HEADER_LEN) else { return false };
        let frame = frame::sizes_at(self.window.image, from, self.most_pages, &mut self.effort);
        frame.is_some_and(|frame| !frame.and(sizes).is_empty())
    }

    #[cold]
    fn start(&mut self, at: usize) {
        let Some(magic) = self.window.array::<16>(at) else { return };
        let of_a_log = magic.first_chunk().is_some_and(|magic| u32::from_be_bytes(*magic) & !1 == wal::MAGIC);
        if magic != header::MAGIC && !of_a_log && !magic.starts_with(&journal::MAGIC) {
            return;
        }
        let bytes = self.image_from(at);
        if magic == header::MAGIC {
            if let Some(sizes) = start::first_page_sizes(bytes, self.most_pages)
                && !self.is_in_a_frame(at, sizes)
            {
                self.mark(at, HitKind::Header, sizes);
            }
        } else if let Some(size) = start::log_size(bytes, self.most_pages) {
            self.mark(at, HitKind::WalHeader, size);
        } else if bytes.starts_with(&journal::MAGIC)
            && let Some(size) = start::journal_size(bytes)
        {
            self.mark(at, HitKind::Journal, size);
        }
    }

    #[cold]
    fn damaged_first_page(&mut self, at: usize, sector: &[u8]) {
        if sector.starts_with(header::MAGIC) || !sector.get(header::LEN..).is_some_and(page::may_begin) {
            return;
        }
        if let Some(sizes) = start::first_page_sizes(self.image_from(at), self.most_pages)
            && !self.is_in_a_frame(at, sizes)
        {
            self.mark(at, HitKind::Header, sizes);
        }
    }

    /// The same in some bytes of it.
    fn words(&mut self, at: usize, bytes: &[u8]) {
        for (index, word) in bytes.as_chunks::<STEP>().0.iter().enumerate() {
            let (at, word) = (at + index * STEP, u64::from_le_bytes(*word));
            if frame::may_begin(word) {
                self.frame(at);
            } else if record::may_begin(word) {
                self.record(at);
            }
        }
    }

    #[inline]
    fn frame(&mut self, at: usize) {
        let Some(head) = self.window.array::<FRAME_HEADER_LEN>(at) else { return };
        if !frame::may_be(head, self.most_pages) {
            return;
        }
        // Before the image is asked, what lies in fast memory: the start of the page, and the salts of frames beside this one.
        let from = self.window.from + at;
        let page = self.window.array::<8>(at + FRAME_HEADER_LEN);
        let may_show = page.is_some_and(|page| page::may_begin(page) || header::MAGIC.starts_with(page));
        if !may_show && !self.has_neighbours(from) {
            return;
        }
        if let Some(sizes) = frame::sizes_at(self.window.image, from, self.most_pages, &mut self.effort) {
            self.mark(at, HitKind::Frame, sizes);
        }
    }

    /// Whether the salts of a frame that begins here in the image stand once more where the one before or behind it would have
    /// them.
    fn has_neighbours(&self, from: usize) -> bool {
        let Some(own) = self.window.array_of_image::<8>(from + 8) else { return false };
        let is_there = |at: usize| self.window.array_of_image::<8>(at) == Some(own);
        for size in PAGE_SIZES {
            let len = FRAME_HEADER_LEN + size as usize;
            if is_there(from + 8 + len) || (from + 8).checked_sub(len).is_some_and(is_there) {
                return true;
            }
        }
        false
    }

    #[inline]
    fn record(&mut self, at: usize) {
        if !self.window.bytes.get(at + record::NUMBER_LEN..).is_some_and(page::may_go_on) {
            return;
        }
        let from = self.window.from + at;
        let Some(page) = record::page_at(self.window.image, from, self.most_pages) else { return };
        let agreed = record::agreed(self.window.image, from, page.sizes);
        self.mark(at, HitKind::Record, if agreed.is_empty() { page.sizes } else { agreed });
    }
}

/// Whether a frame or a record may begin at one of the words of some bytes; few others pass.
///
/// No word is asked by itself, so that an instruction looks at several. Of a word that passes, nothing is left but zero, and
/// one less than zero has the highest bit, which nothing else has. To take one from the upper bytes of the page's number
/// changes what passes only where they are zero: the count behind it then borrows. There is no page 0, so that zeros end here.
#[inline]
fn any_may_begin<const N: usize>(bytes: &[u8; N]) -> bool {
    let words = bytes.as_chunks::<STEP>().0.iter().map(|word| u64::from_le_bytes(*word));
    let left = words.map(|word| (word.wrapping_sub(0x100) & ZERO_BITS).wrapping_sub(1));
    left.fold(0, |any, left| any | left) >> 63 != 0
}

/// Whether a place is among marks that are in order.
fn is_marked(marks: &[Mark], at: usize) -> bool {
    marks.binary_search_by_key(&(at as u64), |mark| mark.offset()).is_ok()
}

/// Adds the frames before and behind one that carry its salts: of pages that show nothing, or damaged.
fn frames_beside(image: &[u8], hit: Hit, size: u32, marks: &[Mark], more: &mut Vec<Mark>) {
    let (own, len) = (hit.offset() as usize, FRAME_HEADER_LEN + size as usize);
    let is_one = |at: usize| frame::is_of_the_same_log(image, own, at, size, most_pages(image));
    for at in beside(own, len, is_one, marks) {
        more.push(Hit::new(at as u64, HitKind::Frame, hit.sizes()).mark());
    }
}

/// Adds the records before and behind one that agree with it in the nonce: of pages that show nothing.
fn records_beside(image: &[u8], hit: Hit, size: u32, marks: &[Mark], more: &mut Vec<Mark>) {
    let (own, len) = (hit.offset() as usize, record::FRAME_LEN + size as usize);
    let Some(nonce) = record::nonce(image, own, size) else { return };
    let is_one = |at: usize| {
        let numbered = image.get(at..at + record::NUMBER_LEN).is_some_and(|number| number != [0; 4]);
        numbered && record::nonce(image, at, size) == Some(nonce)
    };
    for at in beside(own, len, is_one, marks) {
        more.push(Hit::new(at as u64, HitKind::Record, hit.sizes()).mark());
    }
}

/// The places before and behind one, at steps of `len` bytes, up to one that is marked or is none.
fn beside<'m>(
    own: usize,
    len: usize,
    is_one: impl Fn(usize) -> bool + Copy + 'm,
    marks: &'m [Mark],
) -> impl Iterator<Item = usize> + 'm {
    let new = move |at: &usize| !is_marked(marks, *at) && is_one(*at);
    let behind = (1..).map_while(move |step| own.checked_add(len.checked_mul(step)?)).take_while(new);
    let before = (1..).map_while(move |step| own.checked_sub(len.checked_mul(step)?)).take_while(new);
    behind.chain(before)
}

#[cfg(test)]
mod tests {
    use super::any_may_begin;
    use mudlark_parsers::sqlite::probe::{frame, record};

    #[test]
    fn no_word_is_passed_over_at_which_a_frame_or_a_record_may_begin() {
        let bytes = [0, 1, 2, 5, 10, 13, 15, 16, 255];
        for page in [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 255, 255, 255], [0, 0, 0, 0], [1, 0, 0, 1]]
        {
            for (first, second) in bytes.iter().flat_map(|first| bytes.map(|second| (*first, second))) {
                let [a, b, c, d] = page;
                let word = [a, b, c, d, first, second, 255 - second, first];
                let may_begin =
                    frame::may_begin(u64::from_le_bytes(word)) || record::may_begin(u64::from_le_bytes(word));
                let mut around = [0x41; 64];
                around[40..48].copy_from_slice(&word);
                assert!(any_may_begin(&around) || !may_begin || page == [0; 4], "{word:?}");
            }
        }
        assert!(!any_may_begin(&[0; 64]) && !any_may_begin(&[0x41; 64]));
    }
}
