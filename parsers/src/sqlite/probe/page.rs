//! Whether bytes are a b-tree page, and of which size.

use super::Sizes;
use crate::bytes::{be_u16_at, be_u32_at, slice_at};
use crate::sqlite::cell::MIN_CELL;
use crate::sqlite::geometry::{Geometry, MIN_USABLE, PAGE_SIZES};
use crate::sqlite::header;
use crate::sqlite::page::{MAX_FRAGMENTED, PageHeader, PageKind, page_header};
use crate::sqlite::record::{self, RecordFault};
use crate::sqlite::varint::varint_at;

/// The most bytes that a page takes.
pub const MOST: usize = 65536;

/// The most cells of a page: on one of 64 KiB, four bytes each and a pointer of two.
const MOST_CELLS: u16 = 10_921;

/// Cells of a page that are read, spread over all of them.
const SAMPLE: usize = 12;

/// Pointers that tell what is no page without a look at more of it.
const FIRST: usize = 16;

/// Good cells that are no accident on a page which breaks a rule elsewhere.
const CONVINCING: usize = 3;

/// Bytes at the end of pages that extensions reserve: none, those of checksums and of ciphers, in multiples of four.
const RESERVED: [u8; 17] = [0, 8, 16, 32, 12, 48, 80, 64, 4, 20, 24, 28, 36, 40, 44, 52, 56];

/// The longest payload that SQLite writes.
const MOST_PAYLOAD: u64 = 0x7fff_ffff;

/// The longest record header: of the most columns, each as long as a serial type is.
const MOST_HEADER: u64 = 9 * record::MAX_COLUMNS as u64;

/// What a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Its kind.
    pub kind: PageKind,
    /// The page sizes at which it holds up: one, unless damage leaves more.
    pub sizes: Sizes,
    /// A leaf without cells.
    pub empty: bool,
}

/// Whether the first eight bytes can be a page's header. Most of what is no page ends here.
#[inline]
#[must_use]
pub fn may_begin(bytes: &[u8]) -> bool {
    let Some(head) = bytes.first_chunk::<8>() else { return false };
    let &[kind, block_0, block_1, count_0, count_1, start_0, start_1, fragmented] = head;
    if !matches!(kind, 2 | 5 | 10 | 13) {
        return false;
    }
    let block = u16::from_be_bytes([block_0, block_1]);
    let count = u16::from_be_bytes([count_0, count_1]);
    let start = u16::from_be_bytes([start_0, start_1]);
    if count == 0 {
        return u32::from(start) >= MIN_USABLE;
    }
    if count > MOST_CELLS {
        return false;
    }
    let least = 8 + 2 * count;
    let faults = u8::from(start < least) + u8::from(block != 0 && block < least);
    faults + u8::from(fragmented > MAX_FRAGMENTED) <= 1
}

/// Whether the header and the first cell pointers that begin `bytes` can be those of a page: what is none mostly shows it
/// here.
#[must_use]
pub fn may_go_on(bytes: &[u8]) -> bool {
    let Some(head) = page_header(bytes).filter(|_| may_begin(bytes)) else { return false };
    if head.cell_count == 0 {
        return empty_leaf(bytes.len().max(MOST), &head).is_some();
    }
    let (from, count) = (head.len(), usize::from(head.cell_count));
    let (start, least) = (head.content_start as usize, from + 2 * count);
    let floor = if start < least { least } else { start };
    let pointers = bytes.get(from..bytes.len().min(from + 2 * count.min(FIRST))).unwrap_or_default();
    let mut low = 0;
    pointers.as_chunks::<2>().0.iter().enumerate().all(|(index, pointer)| {
        low += usize::from(usize::from(u16::from_be_bytes(*pointer)) < floor);
        low <= may_be_low(index)
    })
}

/// How many of the first pointers, up to the one with this number, may lead nowhere: of bytes that are no pointers, the
/// first few show it.
const fn may_be_low(index: usize) -> usize {
    1 + index / 4
}

/// What the page is that begins `bytes`, which may go on behind it; `None` when it is none. Numbers of pages up to
/// `most_pages` are believed.
#[must_use]
pub fn page(bytes: &[u8], most_pages: u32) -> Option<Probed> {
    page_from(bytes, 0, most_pages)
}

/// The same of page 1, the header of which is not looked at.
#[must_use]
pub fn first_page(bytes: &[u8], most_pages: u32) -> Option<Probed> {
    page_from(bytes, header::LEN, most_pages)
}

fn page_from(bytes: &[u8], header_at: usize, most_pages: u32) -> Option<Probed> {
    let bytes = bytes.get(..bytes.len().min(MOST)).unwrap_or(bytes);
    let from = bytes.get(header_at..)?;
    if !may_begin(from) {
        return None;
    }
    let head = page_header(from)?;
    if head.cell_count == 0 {
        return empty_leaf(bytes.len(), &head);
    }
    Layout::of(bytes, header_at, &head, most_pages)?.judge()
}

/// A leaf that holds no cell, as SQLite leaves it: its content begins where the usable part of the page ends.
fn empty_leaf(len: usize, head: &PageHeader) -> Option<Probed> {
    if head.first_freeblock != 0 || head.fragmented_bytes != 0 || head.kind.is_interior() {
        return None;
    }
    let size = head.content_start.next_power_of_two();
    let reserved = u8::try_from(size - head.content_start).ok()?;
    // At 65536 the header is but a ten or thirteen in eight bytes, of which any file may be full.
    let fits = Geometry::new(size, reserved).is_some_and(|geometry| (geometry.page_size as usize) < MOST);
    let fits = fits && RESERVED.contains(&reserved) && len >= size as usize;
    fits.then_some(Probed { kind: head.kind, sizes: Sizes::only(size), empty: true })
}

/// What the header and the cell pointers of a page come to.
struct Layout<'a> {
    bytes: &'a [u8],
    header_at: usize,
    head: PageHeader,
    most_pages: u32,
    /// Pointers that lead into the header or before the content.
    low: usize,
    /// How many pointers need so many bits, from 0 to 16.
    widths: [u16; 17],
    /// Fields of the header that can't be.
    faults: usize,
}

impl<'a> Layout<'a> {
    /// Reads the pointers; `None` when too many of them lead nowhere.
    fn of(bytes: &'a [u8], header_at: usize, head: &PageHeader, most_pages: u32) -> Option<Self> {
        let count = usize::from(head.cell_count);
        let pointers_at = header_at + head.len();
        let least = pointers_at + 2 * count;
        let start = head.content_start as usize;
        let bad_start = start < least;
        let block = usize::from(head.first_freeblock);
        let bad_block = block != 0 && (block < least || block < start && !bad_start);
        let bad_right = head.kind.is_interior() && !(1..=most_pages).contains(&head.right_child);
        let faults = [bad_start, bad_block, head.fragmented_bytes > MAX_FRAGMENTED, bad_right];
        let faults = faults.into_iter().filter(|bad| *bad).count();
        if faults > 1 {
            return None;
        }
        let floor = if bad_start { least } else { start };
        let (mut low, mut widths) = (0, [0_u16; 17]);
        let pointers = bytes.get(pointers_at..least)?;
        for (index, pointer) in pointers.as_chunks::<2>().0.iter().enumerate() {
            let pointer = u16::from_be_bytes(*pointer);
            if usize::from(pointer) < floor {
                low += 1;
                if low > may_be_low(index) {
                    return None;
                }
            } else if let Some(width) = widths.get_mut(16 - pointer.leading_zeros() as usize) {
                *width += 1;
            }
        }
        Some(Self { bytes, header_at, head: *head, most_pages, low, widths, faults })
    }

    fn count(&self) -> usize {
        usize::from(self.head.cell_count)
    }

    fn pointer(&self, index: usize) -> usize {
        let at = self.header_at + self.head.len() + 2 * index;
        be_u16_at(self.bytes, at).map_or(0, usize::from)
    }

    fn pointers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count()).map(|index| self.pointer(index))
    }

    /// Pointers that lead past a page of `512 << step` bytes.
    fn high(&self, step: usize) -> usize {
        self.widths.iter().skip(step + 10).map(|count| usize::from(*count)).sum()
    }

    fn judge(&self) -> Option<Probed> {
        let mut sizes = Sizes::NONE;
        for (step, size) in PAGE_SIZES.into_iter().enumerate() {
            let astray = self.low + self.high(step);
            let start = self.head.content_start;
            if astray * 4 > self.count()
                || start > size && self.faults == 0
                || size as usize > self.bytes.len()
            {
                continue;
            }
            match self.at_size(size, astray) {
                Fit::Exact => {
                    sizes = Sizes::only(size);
                    break;
                }
                // A page that lost cells may have been larger, though hardly four times as large.
                Fit::Loose => sizes = sizes.or(Sizes::only(size)).or(Sizes::only(2 * size)),
                Fit::Not => {}
            }
        }
        (!sizes.is_empty()).then_some(Probed { kind: self.head.kind, sizes, empty: false })
    }

    /// How the page holds up at a size, at which so many pointers lead nowhere.
    fn at_size(&self, size: u32, astray: usize) -> Fit {
        let limit = size as usize;
        let count = self.count();
        let (mut last, mut first) = (0, usize::MAX);
        for pointer in self.pointers().filter(|pointer| pointer + 4 <= limit) {
            last = last.max(pointer);
            first = first.min(pointer);
        }
        let Some(blocks_end) = self.blocks_end(limit) else { return Fit::Not };
        // The cell that lies furthest ends where the usable part of the page does, unless that was freed.
        let seen = self.geometry_by(last, size, blocks_end);
        let Some(geometry) = seen.or(Geometry::new(size, 0)) else { return Fit::Not };
        let furthest = self.cell(last, geometry);
        let end = furthest.as_ref().map_or(last + 4, |cell| cell.end).max(blocks_end);
        let (mut read, mut good, mut ordered, mut previous) = (0_usize, 0_usize, 0_usize, None);
        let step = count.div_ceil(SAMPLE).max(1);
        for index in (0..count).step_by(step) {
            read += 1;
            let Some(cell) = self.cell(self.pointer(index), geometry) else { continue };
            good += 1;
            // Keys of indexes have no numbers.
            let ascends = previous.is_none_or(|previous| previous < cell.key) || !self.head.kind.is_table();
            ordered += usize::from(ascends);
            previous = Some(cell.key);
        }
        let in_order = ordered == good;
        let whole = astray == 0 && self.faults == 0 && good == read && furthest.is_some() && in_order;
        // Nothing but fragments lies before the first cell.
        let block = usize::from(self.head.first_freeblock);
        let top = if block == 0 { first } else { first.min(block) };
        let flush =
            top.wrapping_sub(self.head.content_start as usize) <= usize::from(self.head.fragmented_bytes);
        if whole && flush && (seen.is_some() || good > CONVINCING && end * 2 > limit) {
            return Fit::Exact;
        }
        let mostly = ordered + 1 >= good && good > CONVINCING || in_order && good == CONVINCING;
        let enough = if self.faults == 0 { good * 2 > read } else { good * 4 >= read * 3 };
        if good >= CONVINCING && enough && mostly && end * 2 > limit {
            return Fit::Loose;
        }
        Fit::Not
    }

    /// The geometry by which the content of a page of this size ends where the usable part does: by the cell at `last`, or
    /// the freeblock behind it.
    fn geometry_by(&self, last: usize, size: u32, blocks_end: usize) -> Option<Geometry> {
        RESERVED.into_iter().filter_map(|reserved| Geometry::new(size, reserved)).find(|geometry| {
            let usable = geometry.usable() as usize;
            let fragments = usize::from(self.head.fragmented_bytes.min(MAX_FRAGMENTED));
            let end = self.cell(last, *geometry).map_or(0, |cell| cell.end).max(blocks_end);
            end <= usable && (end == usable || usable - end <= fragments.min(3))
        })
    }

    /// Where the furthest freeblock ends, as far as the chain of them holds up; `None` when one reaches past the page, and is
    /// as those of a larger page are.
    fn blocks_end(&self, limit: usize) -> Option<usize> {
        let (mut at, mut end) = (usize::from(self.head.first_freeblock), 0);
        // The chain ascends, so it cannot loop.
        while at >= end && at != 0 {
            let Some((next, size)) = be_u16_at(self.bytes, at).zip(be_u16_at(self.bytes, at + 2)) else {
                break;
            };
            let to = at + usize::from(size);
            if size < 4 || to > MOST {
                break;
            }
            if to > limit {
                return None;
            }
            end = to;
            at = usize::from(next);
        }
        Some(end)
    }

    /// The cell at `at`, when what it says can be.
    fn cell(&self, at: usize, geometry: Geometry) -> Option<Cell> {
        let kind = self.head.kind;
        let page = self.bytes.get(..geometry.usable() as usize)?;
        if at < self.header_at + self.head.len() + 2 * self.count() {
            return None;
        }
        let mut next = at;
        if kind.is_interior() {
            let child = be_u32_at(page, next)?;
            if !(1..=self.most_pages).contains(&child) || child == self.head.right_child {
                return None;
            }
            next += 4;
        }
        let mut payload = 0;
        if kind != PageKind::TableInterior {
            let (len, size) = varint_at(page, next)?;
            payload = len;
            next += size;
        }
        let mut key = 0;
        if kind.is_table() {
            let (rowid, size) = varint_at(page, next)?;
            key = rowid as i64;
            next += size;
        }
        if kind == PageKind::TableInterior {
            return (next <= page.len()).then_some(Cell { key, end: next });
        }
        let spill = geometry.spill(kind == PageKind::TableLeaf, payload);
        let local = slice_at(page, next, spill.local as usize)?;
        next += local.len();
        let spills = spill.overflow > 0;
        if spills {
            let overflow = be_u32_at(page, next)?;
            if payload > MOST_PAYLOAD || !(1..=self.most_pages).contains(&overflow) {
                return None;
            }
            next += 4;
        }
        match record::header(local, payload) {
            Ok(header) if header.columns > 0 => {}
            // The header of a wide row may itself spill.
            Err(RecordFault::Truncated) if spills && may_be_wide(local, payload) => {}
            _ => return None,
        }
        let end = next.max(at + MIN_CELL);
        (end <= page.len()).then_some(Cell { key, end })
    }
}

/// Whether a record's header of which the first bytes are there goes on behind them.
fn may_be_wide(local: &[u8], payload: u64) -> bool {
    let Some((len, first)) = varint_at(local, 0) else { return false };
    let serials = local.get(first..).unwrap_or_default();
    len <= payload
        && len <= MOST_HEADER
        && !serials.iter().take(SAMPLE).any(|serial| matches!(serial, 10 | 11))
}

/// A cell that can be one.
struct Cell {
    /// Its row id.
    key: i64,
    /// Behind its last byte.
    end: usize,
}

/// How a page holds up at a size.
enum Fit {
    /// It was written so.
    Exact,
    /// It may have been, before it was damaged.
    Loose,
    /// It was not.
    Not,
}

#[cfg(test)]
mod tests {
    use super::{may_begin, may_go_on, page};
    use crate::sqlite::probe::Sizes;

    const MOST_PAGES: u32 = 1 << 20;

    /// A leaf of a table with cells of six bytes, and reserved bytes behind them.
    fn leaf(size: usize, reserved: usize, cells: usize) -> Vec<u8> {
        let mut page = vec![0_u8; size];
        let start = size - reserved - 6 * cells;
        page[0] = 13;
        page[3..5].copy_from_slice(&(cells as u16).to_be_bytes());
        page[5..7].copy_from_slice(&(start as u16).to_be_bytes());
        for index in 0..cells {
            let at = size - reserved - 6 * (index + 1);
            page[8 + 2 * index..10 + 2 * index].copy_from_slice(&(at as u16).to_be_bytes());
            page[at..at + 6].copy_from_slice(&[4, index as u8 + 1, 2, 17, b'o', b'k']);
        }
        page
    }

    #[test]
    fn a_page_has_the_size_at_whose_end_its_cells_do() {
        for size in [512, 1024, 4096, 32768] {
            for reserved in [0, 8, 32, 80] {
                for cells in [1, 2, 20] {
                    let mut bytes = leaf(size, reserved, cells);
                    // What lies behind it is no part of it.
                    bytes.extend(leaf(size, reserved, cells));
                    bytes.resize(70_000, 7);
                    if size == 512 && reserved > 32 {
                        continue;
                    }
                    let probed = page(&bytes, MOST_PAGES).unwrap();
                    assert_eq!(probed.sizes, Sizes::only(size as u32), "{size} {reserved} {cells}");
                }
            }
        }
    }

    #[test]
    fn a_damaged_page_is_one_while_most_of_its_cells_read() {
        let sound = leaf(1024, 0, 30);
        let damages: [(usize, &[u8]); 4] = [(700, &[0; 200]), (5, &[0, 1]), (7, &[200]), (20, &[9; 6])];
        for (at, damage) in damages {
            let mut bytes = sound.clone();
            bytes[at..at + damage.len()].copy_from_slice(damage);
            assert!(page(&bytes, MOST_PAGES).is_some_and(|probed| probed.sizes.has(1024)), "{at}");
        }
        let mut bytes = sound;
        bytes[500..].fill(0x41);
        assert_eq!(page(&bytes, MOST_PAGES), None);
    }

    #[test]
    fn an_empty_leaf_is_one_at_the_size_that_its_header_says() {
        let mut bytes = vec![0; 8192];
        bytes[..8].copy_from_slice(&[13, 0, 0, 0, 0, 16, 0, 0]);
        assert!(page(&bytes, MOST_PAGES).is_some_and(|probed| probed.empty && probed.sizes.has(4096)));
        for (at, byte) in [(0, 5), (1, 1), (5, 17), (6, 9), (7, 1)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(page(&other, MOST_PAGES), None, "{at}");
        }
        assert_eq!(page(&13_u64.to_le_bytes().repeat(9000), MOST_PAGES), None);
    }

    #[test]
    fn what_is_a_page_is_rejected_by_no_shorter_look() {
        for cells in [1, 3, 60] {
            let bytes = leaf(1024, 0, cells);
            assert!(may_begin(&bytes[..8]) && may_go_on(&bytes[..40]) && page(&bytes, MOST_PAGES).is_some());
        }
        assert!(!may_go_on(&b"\nsome text that begins with the end of a line".repeat(4)));
    }
}
