//! Mutations that know of pages: what damaged disks and crashed writers do, and what a byte-wise mutator rarely does.

use crate::store::{self, StoreInput};

/// Small numbers and limits that fields like to trip over.
const NUMBERS: [u16; 12] = [0, 1, 2, 3, 5, 8, 100, 480, 511, 512, 0x7fff, 0xffff];

/// Numbers in a fixed order, from a seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// Changes a store-level input in place, once to four times; its length stays.
pub fn store(data: &mut [u8], seed: u32) -> usize {
    let mut numbers = Numbers(u64::from(seed) << 17 | 0x9e37_79b9);
    let Some(input) = StoreInput::split(data) else { return data.len() };
    let (main_len, page) = (input.main.len(), page_size(input.main));
    if numbers.below(16) == 0 {
        data[0] ^= 1 << numbers.below(8);
    }
    for _ in 0..=numbers.below(4) {
        if let Some(main) = data.get_mut(store::PREFIX..store::PREFIX + main_len) {
            change(main, page, &mut numbers);
        }
    }
    data.len()
}

/// The page size that the header states, 512 when it states none.
fn page_size(main: &[u8]) -> usize {
    let stated = main.get(16..18).map_or(512, |size| usize::from(u16::from_be_bytes([size[0], size[1]])));
    if stated.is_power_of_two() && (512..=32768).contains(&stated) { stated } else { 512 }
}

fn change(main: &mut [u8], page: usize, numbers: &mut Numbers) {
    let count = main.len() / page;
    if count == 0 {
        return;
    }
    let (here, there) = (numbers.below(count), numbers.below(count));
    let at = here * page;
    let head = if here == 0 { 100 } else { 0 };
    let any_page = (numbers.below(count + 2) as u32).to_be_bytes();
    let number = NUMBERS[numbers.below(NUMBERS.len())].to_be_bytes();
    match numbers.below(9) {
        // A write that went to the wrong place, or an old copy of a page.
        0 => main.copy_within(there * page..(there + 1) * page, at),
        // A lost sector.
        1 => {
            let sector = at + numbers.below(page / 512) * 512;
            main[sector..sector + 512].fill(0);
        }
        // A torn write.
        2 => {
            let from = there * page + page / 2;
            main.copy_within(from..from + page / 2, at + page / 2);
        }
        // A field of the page header or a cell pointer.
        3 => {
            let field = head + [1, 3, 5, 6, 8, 10, 12, 14][numbers.below(8)];
            main[at + field..at + field + 2].copy_from_slice(&number);
        }
        // The kind.
        4 => main[at + head] = [2, 5, 10, 13, 0, 1, 255][numbers.below(7)],
        // The right child.
        5 => main[at + head + 8..at + head + 12].copy_from_slice(&any_page),
        // The first four bytes: the next overflow page or trunk.
        6 if here > 0 => main[at..at + 4].copy_from_slice(&any_page),
        // A cell: its pointer is right, its first bytes are not.
        7 => {
            let pointer = at + head + 8 + 2 * numbers.below(6);
            let cell =
                usize::from(u16::from_be_bytes([main[pointer], main[pointer + 1]])) + numbers.below(12);
            if let Some(byte) = main.get_mut(at + cell) {
                *byte = [0, 1, 0x7f, 0x80, 0x81, 0xff][numbers.below(6)];
            }
        }
        // A page number anywhere: children and overflow pages at the end of cells.
        _ => {
            let field = at + numbers.below(page - 4);
            main[field..field + 4].copy_from_slice(&any_page);
        }
    }
}
