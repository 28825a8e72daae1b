use super::{Effort, Extent, FreedCell, Geometry, PageKind, RowidLeft, Scratch, Serial, Shape, Space, cells};
use crate::sqlite::serial::SerialKind;

/// Rows of so many columns, the first of which is an INTEGER PRIMARY KEY; `fits` is asked of the others.
fn found_of(
    page: &[u8],
    place: (Extent, Space),
    columns: usize,
    fits: impl Fn(usize, Serial) -> bool,
    reads: impl Fn(&[u8]) -> bool,
) -> Vec<FreedCell> {
    let fits = |column: usize, serial: Serial| {
        if column == 0 { serial == Serial::NULL } else { fits(column, serial) }
    };
    let shape = Shape {
        least: columns,
        most: columns,
        first: Some(Serial::NULL),
        fits: &fits,
        reads: &reads,
        odds: &|_, _, _| 0,
        prior: &|_, _| 0,
        least_odds: None,
        rowid_odds: &|_| 0,
        effort: &Effort::of_page(page.len()),
    };
    let geometry = Geometry { page_size: page.len() as u32, reserved: 0 };
    cells(page, place, PageKind::TableLeaf, geometry, &shape, &|_| false, &mut Scratch::default())
}

/// Rows of an INTEGER PRIMARY KEY, a text and an integer.
fn found(page: &[u8], from: u32, to: u32, space: Space) -> Vec<FreedCell> {
    let fits = |column: usize, serial: Serial| match column {
        1 => serial.kind() == SerialKind::Text,
        _ => serial.kind() == SerialKind::Int,
    };
    found_of(page, (Extent { from, to }, space), 3, fits, <[u8]>::is_ascii)
}

fn cell(rowid: &[u8], text: &[u8], number: u8) -> Vec<u8> {
    let mut cell = vec![(4 + text.len() + 1) as u8];
    cell.extend(rowid);
    cell.extend([4, 0, 13 + 2 * text.len() as u8, 1]);
    cell.extend(text);
    cell.push(number);
    cell
}

#[test]
fn the_four_lost_bytes_of_a_small_row_follow_from_the_rest() {
    let mut page = vec![0_u8; 512];
    let row = cell(&[7], b"Li Wei", 42);
    page[400..400 + row.len()].copy_from_slice(&row);
    page[400..404].copy_from_slice(&[0, 0, 0, row.len() as u8]);
    let cells = found(&page, 400, 400 + row.len() as u32, Space::Freeblock);
    let [freed] = &cells[..] else { panic!("{cells:?}") };
    assert!(freed.serials.iter().eq([Serial::NULL, Serial::text(6), Serial(1)]));
    assert_eq!((freed.rowid, freed.rebuilt, freed.cut), (RowidLeft::Length(1), true, false));
    assert_eq!(&page[404 + 2..404 + 8], b"Li Wei");
}

#[test]
fn low_bits_of_a_long_row_id_survive() {
    let mut page = vec![0_u8; 512];
    // Row id 0x12345 takes three bytes, of which one is left behind the length and its own first two.
    let long = [b'x'; 60];
    let mut row = vec![0x80 | 1, 0];
    row.extend([0x84, 0xc6, 0x45]);
    let text_type = 13 + 2 * 120_u64;
    row.extend([5, 0, 0x80 | (text_type >> 7) as u8, (text_type & 0x7f) as u8, 1]);
    row.extend(long.iter().chain(&long));
    row.push(9);
    row[0..2].copy_from_slice(&[0x80, 126]);
    // The payload length in its shortest form takes one byte up to 127: here 5 + 120 + 1 = 126.
    let row: Vec<u8> = [126].into_iter().chain(row[2..].iter().copied()).collect();
    page[300..300 + row.len()].copy_from_slice(&row);
    page[300..304].copy_from_slice(&[0, 0, 0, row.len() as u8]);
    let cells = found(&page, 300, 300 + row.len() as u32, Space::Freeblock);
    assert_eq!(cells.iter().map(|freed| freed.rowid).collect::<Vec<_>>(), [RowidLeft::Length(3)]);
}

#[test]
fn blocks_that_were_joined_are_walked_cell_by_cell() {
    let mut page = vec![0_u8; 512];
    let (first, second) = (cell(&[7], b"Li Wei", 42), cell(&[8], b"Zoe", 43));
    let (middle, end) = (400 + first.len(), 400 + first.len() + second.len());
    page[400..middle].copy_from_slice(&first);
    page[middle..end].copy_from_slice(&second);
    page[middle..middle + 4].copy_from_slice(&[0, 0, 0, second.len() as u8]);
    page[400..404].copy_from_slice(&[0, 0, 0, (end - 400) as u8]);
    let cells = found(&page, 400, end as u32, Space::Freeblock);
    let ends: Vec<u32> = cells.iter().map(|freed| freed.cell.end).collect();
    assert_eq!(ends, [middle as u32, end as u32]);
}

#[test]
fn a_row_whose_end_was_given_to_another_is_cut() {
    let mut page = vec![0_u8; 512];
    let row = cell(&[7], b"a name of some length", 42);
    page[400..400 + row.len()].copy_from_slice(&row);
    let cells = found(&page, 390, 415, Space::Other);
    let [freed] = &cells[..] else { panic!("{cells:?}") };
    assert_eq!((freed.rowid, freed.cut, freed.cell.end), (RowidLeft::Whole(7), true, 415));
}

#[test]
fn a_text_of_which_the_part_that_is_left_does_not_read_takes_in_no_other_row() {
    let mut page = vec![0_u8; 512];
    // A row of a text of 150 bytes, which ends beyond the block.
    page[400..408].copy_from_slice(&[0x81, 0x1c, 8, 5, 0, 0x82, 0x39, 1]);
    let row = cell(&[7], b"Li Wei", 42);
    let end = 420 + row.len();
    page[420..end].copy_from_slice(&row);
    let of_byte = |byte: u8| {
        let mut page = page.clone();
        page[410] = byte;
        let cells = found(&page, 400, end as u32, Space::Other);
        cells.iter().map(|freed| (freed.rowid, freed.cut)).collect::<Vec<_>>()
    };
    assert_eq!(of_byte(b'a'), [(RowidLeft::Whole(8), true)]);
    assert_eq!(of_byte(0xff), [(RowidLeft::Whole(7), false)]);
}

#[test]
fn bytes_made_to_be_read_in_many_ways_are_not_searched_without_end() {
    let fits = |_: usize, serial: Serial| serial.kind() != SerialKind::Reserved;
    for size in [512, 65536] {
        let geometry = Geometry { page_size: size as u32, reserved: 0 };
        for pattern in [&[8][..], &[12, 13], &[5, 0, 1, 13, 12]] {
            let page: Vec<u8> = pattern.iter().copied().cycle().take(size).collect();
            for kind in [PageKind::TableLeaf, PageKind::IndexLeaf] {
                let effort = Effort::of_page(size);
                let shape = Shape {
                    least: 1,
                    most: 2000,
                    first: None,
                    fits: &fits,
                    reads: &|_| true,
                    odds: &|_, _, _| 0,
                    prior: &|_, _| 0,
                    least_odds: None,
                    rowid_odds: &|_| 0,
                    effort: &effort,
                };
                let mut scratch = Scratch::default();
                // Many short blocks share what the page is worth.
                for from in (8..size as u32).step_by(size / 8) {
                    let place = (Extent { from, to: from + size as u32 / 8 }, Space::Freeblock);
                    let found = cells(&page, place, kind, geometry, &shape, &|_| false, &mut scratch);
                    assert!(found.windows(2).all(|pair| pair[0].cell.end <= pair[1].cell.at));
                }
                assert!(effort.left() < Effort::of_page(size).left());
            }
        }
    }
}

/// What is found of a freed row of 140 numbers behind an INTEGER PRIMARY KEY, whose row id is this.
fn found_of_wide(rowid: &[u8]) -> Vec<FreedCell> {
    let numbers: Vec<u8> = (0..140).collect();
    // The header takes 2 bytes of length and 141 of serial types, the payload of 283 bytes 2 of length.
    let mut row = vec![0x82, 0x1b];
    row.extend(rowid);
    row.extend([0x81, 0x0f, 0]);
    row.extend([1].repeat(140));
    row.extend(&numbers);
    let mut page = vec![0_u8; 1024];
    let end = 500 + row.len();
    page[500..end].copy_from_slice(&row);
    page[500..504].copy_from_slice(&[0, 0, (row.len() >> 8) as u8, row.len() as u8]);
    let place = (Extent { from: 500, to: end as u32 }, Space::Freeblock);
    found_of(&page, place, 141, |_, serial| serial == Serial(1), |_| true)
}

#[test]
fn rows_of_wide_tables_are_found_whose_header_length_takes_two_bytes() {
    // Behind a row id of one byte the second of them is left, behind one of two bytes both are.
    for (rowid, header_at) in [(&[7][..], 503), (&[0x87, 9], 504)] {
        let cells = found_of_wide(rowid);
        let [freed] = &cells[..] else { panic!("{cells:?}") };
        assert_eq!((freed.serials.len(), freed.header_len, freed.cell.payload_at), (141, 143, header_at));
        assert_eq!(freed.rowid, RowidLeft::Length(rowid.len() as u32));
    }
}

#[test]
fn zeros_and_noise_hold_no_rows() {
    assert!(found(&[0; 512], 8, 512, Space::Other).is_empty());
    let noise: Vec<u8> = (0..512_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    assert!(found(&noise, 8, 512, Space::Freeblock).iter().all(|freed| freed.rebuilt || freed.cut));
}

#[test]
fn one_serial_type_alone_makes_no_row_in_the_middle_of_free_bytes() {
    // Of a row of an INTEGER PRIMARY KEY and a BLOB four bytes are lost, and any byte can be the fifth.
    let fits = |_, serial: Serial| matches!(serial.kind(), SerialKind::Blob | SerialKind::Int);
    let of = |page: &[u8], to: u32| {
        let place = (Extent { from: 400, to }, Space::Freeblock);
        found_of(page, place, 2, fits, |_| true)
    };
    let mut page = vec![0_u8; 512];
    let row = [9, 7, 3, 0, 24, 1, 2, 3, 4, 5, 6];
    page[400..411].copy_from_slice(&row);
    page[400..404].copy_from_slice(&[0, 0, 0, 11]);
    assert_eq!(of(&page, 411).len(), 1);
    // The same bytes with others behind them that read as such rows, one after the other.
    page[411..422].copy_from_slice(&[9, 9, 9, 9, 24, 1, 2, 3, 4, 5, 6]);
    page[422..433].copy_from_slice(&[9, 9, 9, 9, 24, 1, 2, 3, 4, 5, 6]);
    page[400..404].copy_from_slice(&[0, 0, 0, 33]);
    assert_eq!(of(&page, 433).len(), 0);
}

/// A page with two rows side by side, the first of which a freeblock has begun that led far behind the second one.
fn page_with_a_lone_head(behind: &[u8]) -> (Vec<u8>, u32) {
    let (first, second) = (cell(&[7], b"Li Wei of the lake", 42), cell(&[8], b"Hana", 9));
    let mut page = vec![0_u8; 512];
    page[300..300 + first.len()].copy_from_slice(&first);
    page[300..304].copy_from_slice(&[0, 0, 0, 111]);
    let next = 300 + first.len();
    page[next..next + second.len()].copy_from_slice(&second);
    page[next + second.len()..next + second.len() + behind.len()].copy_from_slice(behind);
    (page, next as u32)
}

#[test]
fn the_head_of_a_freeblock_that_leads_nowhere_is_borne_out_by_a_row_that_ends_where_another_begins() {
    let (page, next) = page_with_a_lone_head(&[0xff; 20]);
    let cells = found(&page, 250, 400, Space::Other);
    let places: Vec<_> = cells.iter().map(|freed| (freed.cell.at, freed.rebuilt, freed.at_head)).collect();
    assert_eq!(places, [(300, true, true), (next, false, false)]);
    let (mut page, next) = page_with_a_lone_head(&[0xff; 20]);
    page[305] += 2;
    assert!(found(&page, 250, 400, Space::Other).iter().all(|freed| freed.cell.at == next));
}

#[test]
fn nothing_that_begins_amid_links_of_a_former_interior_page_is_a_row() {
    let mut page = vec![0_u8; 512];
    let links: Vec<u8> = (1..=20).rev().flat_map(|key| [0, 0, 0, key + 9, key * 3]).collect();
    page[300..400].copy_from_slice(&links);
    let found =
        |page: &[u8]| found_of(page, (Extent { from: 250, to: 480 }, Space::Other), 2, |_, _| true, |_| true);
    assert_eq!(found(&page), []);
    page[304] = 0xff;
    page[420..429].copy_from_slice(&[7, 1, 3, 0, 21, b'H', b'a', b'n', b'a']);
    assert_eq!(found(&page).len(), 1);
}
