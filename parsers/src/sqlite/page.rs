//! B-tree pages (section 1.6).

use super::cell::{Cell, MIN_CELL, cell, good_cell};
use super::geometry::Geometry;
use super::header;
use crate::bytes::{be_u16_at, be_u32_at};
use crate::damage::{Damage, DamageKind};

/// More fragmented bytes than this make SQLite defragment the page.
pub const MAX_FRAGMENTED: u8 = 60;

/// The kind of a b-tree page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PageKind {
    /// Keys and children of an index.
    IndexInterior = 2,
    /// Row ids and children of a table.
    TableInterior = 5,
    /// Entries of an index, or rows of a WITHOUT ROWID table.
    IndexLeaf = 10,
    /// Rows of a table.
    TableLeaf = 13,
}

impl PageKind {
    /// The kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::IndexInterior),
            5 => Some(Self::TableInterior),
            10 => Some(Self::IndexLeaf),
            13 => Some(Self::TableLeaf),
            _ => None,
        }
    }

    /// Whether pages of this kind have children.
    #[must_use]
    pub const fn is_interior(self) -> bool {
        matches!(self, Self::IndexInterior | Self::TableInterior)
    }

    /// Whether pages of this kind belong to a table with row ids.
    #[must_use]
    pub const fn is_table(self) -> bool {
        matches!(self, Self::TableInterior | Self::TableLeaf)
    }

    /// The kind in words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IndexInterior => "index interior page",
            Self::TableInterior => "table interior page",
            Self::IndexLeaf => "index leaf page",
            Self::TableLeaf => "table leaf page",
        }
    }
}

/// B-tree page header.
///
/// | offset | size | field              | note                        |
/// |-------:|-----:|--------------------|-----------------------------|
/// |      0 |    1 | `kind`             | 2, 5, 10 or 13              |
/// |      1 |    2 | `first_freeblock`  | 0 when there is none        |
/// |      3 |    2 | `cell_count`       |                             |
/// |      5 |    2 | `content_start`    | 0 means 65536               |
/// |      7 |    1 | `fragmented_bytes` | at most 60 when sound       |
/// |      8 |    4 | `right_child`      | interior pages only, else 0 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct PageHeader {
    pub kind: PageKind,
    pub first_freeblock: u16,
    pub cell_count: u16,
    pub content_start: u32,
    pub fragmented_bytes: u8,
    pub right_child: u32,
}

impl PageHeader {
    /// Bytes of the header.
    #[must_use]
    pub const fn len(&self) -> usize {
        if self.kind.is_interior() { 12 } else { 8 }
    }

    /// Never: a header has bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }
}

/// Reads a b-tree page header; `None` when the kind is not one of the four, or the input ends.
///
/// By offset, since it is read each time that a page is looked at.
#[must_use]
#[inline]
pub fn page_header(input: &[u8]) -> Option<PageHeader> {
    let &[kind, freeblock_0, freeblock_1, count_0, count_1, start_0, start_1, fragmented_bytes] =
        input.first_chunk()?;
    let kind = PageKind::from_number(kind)?;
    let content_start = u16::from_be_bytes([start_0, start_1]);
    Some(PageHeader {
        kind,
        first_freeblock: u16::from_be_bytes([freeblock_0, freeblock_1]),
        cell_count: u16::from_be_bytes([count_0, count_1]),
        // Zero means 65536: the field is two bytes wide.
        content_start: if content_start == 0 { 65536 } else { u32::from(content_start) },
        fragmented_bytes,
        right_child: if kind.is_interior() { be_u32_at(input, 8)? } else { 0 },
    })
}

/// A b-tree page whose header could be read.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// The page's bytes; fewer than the page size when the file is cut.
    pub bytes: &'a [u8],
    /// Offset of the page header: 100 on page 1, else 0.
    pub header_at: usize,
    /// The header.
    pub header: PageHeader,
    /// Page size and reserved bytes.
    pub geometry: Geometry,
}

/// A run of bytes on a page, `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Extent {
    /// First byte.
    pub from: u32,
    /// Behind the last byte.
    pub to: u32,
}

/// What a page's parts add up to.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Every byte has one owner.
    pub sound: bool,
    /// Broken rules, offsets from the page's start.
    pub damage: Vec<Damage>,
    /// Runs in the cell content area that nothing owns, longer than a fragment.
    pub unaccounted: Vec<Extent>,
}

impl<'a> Page<'a> {
    /// Reads the page numbered `number`; `None` when its header names no kind.
    #[must_use]
    pub fn parse(bytes: &'a [u8], number: u32, geometry: Geometry) -> Option<Self> {
        let header_at = if number == 1 { header::LEN } else { 0 };
        let header = page_header(bytes.get(header_at..)?)?;
        Some(Self { bytes, header_at, header, geometry })
    }

    /// Offset of the cell pointer array.
    #[must_use]
    pub const fn pointers_at(&self) -> usize {
        self.header_at + self.header.len()
    }

    /// The most cells that fit: four bytes each and a pointer of two.
    #[must_use]
    pub fn most_cells(&self) -> usize {
        (self.geometry.usable() as usize).saturating_sub(self.pointers_at()) / (MIN_CELL + 2)
    }

    /// The number of cell pointers to read: what the header says, bounded by the page.
    #[must_use]
    pub fn pointer_count(&self) -> usize {
        usize::from(self.header.cell_count).min(self.most_cells())
    }

    /// The cell pointers, in key order.
    #[inline]
    pub fn pointers(&self) -> impl Iterator<Item = usize> + '_ {
        let (pointers, _) = self.bytes.get(self.pointers_at()..).unwrap_or_default().as_chunks();
        pointers.iter().take(self.pointer_count()).map(|pointer| u16::from_be_bytes(*pointer).into())
    }

    /// At most so many of the cell pointers, from all over the array.
    pub fn some_pointers(&self, most: usize) -> impl Iterator<Item = usize> + '_ {
        let count = self.pointer_count();
        let step = count.div_ceil(most.max(1)).max(1);
        (0..count).step_by(step).map_while(|index| self.pointer(index))
    }

    /// The run between the cell pointers and the cells, which no cell takes.
    #[must_use]
    pub fn gap(&self) -> Extent {
        Extent {
            from: (self.pointers_at() + 2 * self.pointer_count()) as u32,
            to: self.header.content_start.min(self.geometry.usable()),
        }
    }

    /// The cell with this row id, on a sound page of a table: there pointers are in the order of the row ids.
    #[must_use]
    pub fn row(&self, rowid: i64) -> Option<Cell> {
        self.row_at(rowid).map(|(_, cell)| cell)
    }

    /// The same, with the number of its cell pointer.
    #[must_use]
    pub fn row_at(&self, rowid: i64) -> Option<(usize, Cell)> {
        let (mut low, mut high) = (0, self.pointer_count());
        while low < high {
            let middle = low.midpoint(high);
            let cell = self.good_cell(self.pointer(middle)?)?;
            match cell.rowid.cmp(&rowid) {
                std::cmp::Ordering::Equal => return Some((middle, cell)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The cell pointer with this number, from 0.
    #[must_use]
    pub fn pointer(&self, index: usize) -> Option<usize> {
        if index >= self.pointer_count() {
            return None;
        }
        be_u16_at(self.bytes, self.pointers_at() + 2 * index).map(usize::from)
    }

    /// The cell at `pointer`.
    ///
    /// # Errors
    /// When the pointer leads into the header or the cell past the page.
    #[inline]
    pub fn cell(&self, pointer: usize) -> Result<Cell, Damage> {
        let least = self.pointers_at() + 2 * self.pointer_count();
        if pointer < least {
            let most = u64::from(self.geometry.usable());
            let kind = DamageKind::OutOfRange { found: pointer as u64, least: least as u64, most };
            return Err(Damage::new("btree_page.cell_pointer", self.pointers_at() as u64, kind));
        }
        cell(self.bytes, pointer, self.header.kind, self.geometry)
    }

    /// The same, without the damage.
    #[inline]
    #[must_use]
    pub fn good_cell(&self, pointer: usize) -> Option<Cell> {
        let least = self.pointers_at() + 2 * self.pointer_count();
        let pointer = Some(pointer).filter(|pointer| *pointer >= least)?;
        good_cell(self.bytes, pointer, self.header.kind, self.geometry)
    }

    /// Reads the first byte of every cell: they then come from memory at a time, rather than each when its turn comes.
    pub fn touch_cells(&self) {
        let first = self.pointers().map(|at| self.bytes.get(at).copied().unwrap_or(0));
        std::hint::black_box(first.fold(0, |all, byte| all ^ byte));
    }

    /// Every cell, in key order; damage where a pointer leads nowhere.
    pub fn cells(&self) -> impl Iterator<Item = Result<Cell, Damage>> + '_ {
        self.pointers().map(|pointer| self.cell(pointer))
    }

    /// The cells that read, in key order.
    pub fn good_cells(&self) -> impl Iterator<Item = Cell> + '_ {
        let least = self.pointers_at() + 2 * self.pointer_count();
        let pointers = self.pointers().filter(move |pointer| *pointer >= least);
        pointers.filter_map(|pointer| good_cell(self.bytes, pointer, self.header.kind, self.geometry))
    }

    /// The freeblocks, in order; what broke the chain, if anything did.
    #[must_use]
    pub fn freeblocks(&self) -> (Vec<Extent>, Option<Damage>) {
        // Most pages have none, and those that have some have several.
        let mut blocks = Vec::with_capacity(if self.header.first_freeblock == 0 { 0 } else { 8 });
        let damage = self.add_freeblocks(&mut blocks);
        (blocks, damage)
    }

    /// Adds the freeblocks to others; returns what broke their chain.
    fn add_freeblocks(&self, blocks: &mut Vec<Extent>) -> Option<Damage> {
        let mut field_at = self.header_at + 1;
        let mut at = usize::from(self.header.first_freeblock);
        let usable = self.geometry.usable() as usize;
        let mut least = self.pointers_at() + 2 * self.pointer_count();
        // The chain ascends, so it cannot loop.
        while at != 0 {
            let bad = |found: usize, least: usize| {
                let kind =
                    DamageKind::OutOfRange { found: found as u64, least: least as u64, most: usable as u64 };
                Some(Damage::new("freeblock.next", field_at as u64, kind))
            };
            if at < least || at + 4 > usable {
                return bad(at, least);
            }
            let Some((next, size)) = be_u16_at(self.bytes, at).zip(be_u16_at(self.bytes, at + 2)) else {
                return bad(at, least);
            };
            let end = at + usize::from(size);
            if size < 4 || end > usable {
                let kind =
                    DamageKind::OutOfRange { found: u64::from(size), least: 4, most: (usable - at) as u64 };
                return Some(Damage::new("freeblock.size", at as u64 + 2, kind));
            }
            blocks.push(Extent { from: at as u32, to: end as u32 });
            field_at = at;
            least = end;
            at = usize::from(next);
        }
        None
    }

    /// The page with the number of cells with which they, freeblocks and fragments fill the content area to the byte; the
    /// page as it says where no number does. Each further cell takes more bytes, so that no more than one can.
    #[must_use]
    pub fn with_solved_count(self) -> Self {
        let usable = self.geometry.usable();
        let none = Self { header: PageHeader { cell_count: 0, ..self.header }, ..self };
        let (freeblocks, fault) = none.freeblocks();
        let free: u32 = freeblocks.iter().map(|block| block.to - block.from).sum();
        let other = free + u32::from(self.header.fragmented_bytes);
        let content = usable.checked_sub(self.header.content_start);
        let Some(expected) = content.and_then(|content| content.checked_sub(other)) else { return self };
        let (mut cells, mut taken) = (Vec::new(), 0);
        for count in 1..=self.most_cells() {
            let solved = Self { header: PageHeader { cell_count: count as u16, ..self.header }, ..self };
            let cell = solved.pointer(count - 1).and_then(|pointer| solved.good_cell(pointer));
            let Some(cell) = cell.filter(|cell| cell.at >= self.header.content_start) else { break };
            taken += cell.end - cell.at;
            cells.push(cell);
            if taken >= expected {
                let fits = fault.is_none() && solved.account(&cells).sound;
                return if fits { solved } else { self };
            }
        }
        self
    }

    /// Adds up the page: cells, freeblocks and fragments must fill the content area without overlap.
    #[must_use]
    pub fn account(&self, cells: &[Cell]) -> Account {
        let mut account = Account::default();
        let mut owned: Vec<Extent> = Vec::with_capacity(cells.len() + 8);
        owned.extend(cells.iter().map(|cell| Extent { from: cell.at, to: cell.end }));
        // SQLite fills a page from its end.
        if owned.first() > owned.last() {
            owned.reverse();
        }
        account.damage.extend(self.add_freeblocks(&mut owned));
        let usable = self.geometry.usable();
        let start = self.header.content_start;
        let least = (self.pointers_at() + 2 * self.pointer_count()) as u32;
        if start < least || start > usable.max(least) {
            let kind = DamageKind::OutOfRange {
                found: u64::from(start),
                least: u64::from(least),
                most: u64::from(usable),
            };
            let at = self.header_at as u64 + 5;
            account.damage.push(Damage::new("btree_page.content_start", at, kind));
        }
        owned.sort_unstable();
        let (mut at, mut fragmented) = (start.clamp(least, usable.max(least)), 0_u32);
        for extent in &owned {
            if extent.from < at {
                let kind = DamageKind::OutOfRange {
                    found: u64::from(extent.from),
                    least: u64::from(at),
                    most: u64::from(usable),
                };
                account.damage.push(Damage::new("btree_page.cell", extent.from.into(), kind));
            } else {
                self.note_gap(at, extent.from, &mut fragmented, &mut account);
            }
            at = at.max(extent.to);
        }
        self.note_gap(at, usable, &mut fragmented, &mut account);
        if fragmented != u32::from(self.header.fragmented_bytes) && account.unaccounted.is_empty() {
            let kind = DamageKind::Mismatch {
                found: u64::from(self.header.fragmented_bytes),
                expected: u64::from(fragmented),
            };
            let at = self.header_at as u64 + 7;
            account.damage.push(Damage::new("btree_page.fragmented_bytes", at, kind));
        }
        account.sound = account.damage.is_empty() && account.unaccounted.is_empty();
        account
    }

    fn note_gap(&self, from: u32, to: u32, fragmented: &mut u32, account: &mut Account) {
        let bytes = to.saturating_sub(from);
        // A fragment is what is too small for a freeblock; fragments can lie side by side.
        let fragments = u32::from(self.header.fragmented_bytes.min(MAX_FRAGMENTED));
        if bytes > 3 && *fragmented + bytes > fragments {
            let kind = DamageKind::Unaccounted { bytes: u64::from(bytes) };
            account.damage.push(Damage::new("btree_page.content", u64::from(from), kind));
            account.unaccounted.push(Extent { from, to });
        } else {
            *fragmented += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Extent, Page};
    use crate::sqlite::cell::Cell;
    use crate::sqlite::geometry::Geometry;

    const PAGE: Geometry = Geometry { page_size: 512, reserved: 0 };

    /// Two cells at the end of a leaf; `holes` are left between them.
    fn leaf(first_freeblock: u16, content_start: u16, pointers: &[u16]) -> Vec<u8> {
        let mut page = vec![0_u8; 512];
        page[0] = 13;
        page[1..3].copy_from_slice(&first_freeblock.to_be_bytes());
        page[4] = pointers.len() as u8;
        page[5..7].copy_from_slice(&content_start.to_be_bytes());
        for (index, pointer) in pointers.iter().enumerate() {
            page[8 + 2 * index..10 + 2 * index].copy_from_slice(&pointer.to_be_bytes());
            let at = usize::from(*pointer);
            page[at..at + 6].copy_from_slice(&[4, index as u8 + 1, 2, 17, b'o', b'k']);
        }
        page
    }

    fn cells(page: &Page<'_>) -> Vec<Cell> {
        page.good_cells().collect()
    }

    #[test]
    fn a_page_without_damage_is_accounted_for_to_the_last_byte() {
        let bytes = leaf(0, 500, &[506, 500]);
        let page = Page::parse(&bytes, 2, PAGE).unwrap();
        let account = page.account(&cells(&page));
        assert!(account.sound, "{account:?}");
    }

    #[test]
    fn a_cell_whose_pointer_is_lost_leaves_bytes_that_nothing_accounts_for() {
        let mut bytes = leaf(0, 500, &[506, 500]);
        bytes[4] = 1;
        let page = Page::parse(&bytes, 2, PAGE).unwrap();
        let account = page.account(&cells(&page));
        assert_eq!(account.unaccounted, [Extent { from: 500, to: 506 }]);
    }

    #[test]
    fn a_wrong_number_of_cells_is_solved_where_cells_fill_the_page() {
        for wrong in [0, 1, 3, 200] {
            let mut bytes = leaf(0, 500, &[506, 500]);
            bytes[4] = wrong;
            let page = Page::parse(&bytes, 2, PAGE).unwrap();
            assert_eq!(page.with_solved_count().pointer_count(), 2, "{wrong}");
        }
        let mut bytes = leaf(0, 494, &[506, 500]);
        bytes[4] = 1;
        assert_eq!(Page::parse(&bytes, 2, PAGE).unwrap().with_solved_count().pointer_count(), 1);
    }

    #[test]
    fn a_cell_pointer_past_the_page_is_reported_and_the_other_cells_are_read() {
        let mut bytes = leaf(0, 500, &[506, 500]);
        bytes[8..10].copy_from_slice(&[0xff, 0xff]);
        let page = Page::parse(&bytes, 2, PAGE).unwrap();
        let read: Vec<_> = page.cells().collect();
        assert!(read[0].is_err());
        assert_eq!(read[1].unwrap().rowid, 2);
    }

    #[test]
    fn a_freeblock_that_points_back_ends_the_chain_with_damage() {
        let mut bytes = leaf(490, 490, &[506, 500]);
        bytes[490..494].copy_from_slice(&[1, 0xea, 0, 10]);
        let page = Page::parse(&bytes, 2, PAGE).unwrap();
        let (blocks, damage) = page.freeblocks();
        assert_eq!(blocks, [Extent { from: 490, to: 500 }]);
        assert_eq!(damage.unwrap().field, "freeblock.next");
    }
}
