//! Statement journals: pages as they stood before a statement or a savepoint, in a temp file.
//!
//! SQLite's pager calls them sub-journals. A record is a page's number and the page (`subjournalPage` in `pager.c`):
//! no header, no count, no checksum. The next statement writes over them from the front on, so that behind its records
//! may lie those of earlier ones.

use super::geometry::{Geometry, PAGE_SIZES};
use super::journal::Record;
use super::page::{Page, PageKind};
use super::record;
use crate::bytes::be_u32_at;

/// Bytes of a record before its page.
const NUMBER_LEN: usize = 4;

/// A page number beyond that of any database that a statement was ever journalled of: 2^28 pages of 4096 bytes are a
/// tebibyte.
const GREATEST_PAGE: u32 = 1 << 28;

/// Records that are looked at.
const SAMPLE: usize = 256;

/// The page size of a statement journal; `None` when the bytes are none.
///
/// Nothing but the pages themselves tells: most records must name a page that can be, and enough must hold pages of
/// trees all of whose cells read. At a wrong size the records lie askew.
#[must_use]
pub fn page_size(bytes: &[u8]) -> Option<u32> {
    let counted = PAGE_SIZES.into_iter().filter_map(|size| Some((tree_pages(bytes, size)?, size)));
    counted.max_by_key(|(pages, size)| pages * (*size as usize)).map(|(_, size)| size)
}

/// The pages of trees among the records, if they are records.
fn tree_pages(bytes: &[u8], page_size: u32) -> Option<usize> {
    let geometry = Geometry::new(page_size, 0)?;
    let all = records(bytes, page_size);
    let (mut asked, mut possible, mut trees) = (0_usize, 0_usize, 0_usize);
    for record in all.iter().step_by((all.len() / SAMPLE).max(1)) {
        asked += 1;
        possible += usize::from(record.page <= GREATEST_PAGE);
        let page = bytes.get(record.offset as usize..).and_then(|rest| rest.get(..page_size as usize));
        trees += usize::from(page.is_some_and(|page| is_tree_page(page, record.page, geometry)));
    }
    (trees > 0 && possible * 10 >= asked * 9 && trees * 4 >= asked).then_some(trees)
}

/// Whether every cell of a page reads, and there is one.
fn is_tree_page(bytes: &[u8], number: u32, geometry: Geometry) -> bool {
    let Some(page) = Page::parse(bytes, number, geometry) else { return false };
    let reads = |cell: super::cell::Cell| {
        page.header.kind == PageKind::TableInterior
            || record::header(cell.local_payload(bytes), cell.payload_len).is_ok()
    };
    page.pointer_count() > 0 && page.cells().all(|cell| cell.is_ok_and(reads))
}

/// The records of a statement journal, the last one perhaps cut short.
#[must_use]
pub fn records(bytes: &[u8], page_size: u32) -> Vec<Record> {
    let starts = (0..bytes.len()).step_by(page_size as usize + NUMBER_LEN);
    let record = |at: usize| Some(Record { page: be_u32_at(bytes, at)?, offset: (at + NUMBER_LEN) as u64 });
    starts
        .filter_map(record)
        .filter(|record| record.page != 0 && record.offset < bytes.len() as u64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{page_size, records};

    /// A leaf with one row, the integer `value`.
    fn leaf(value: u8) -> Vec<u8> {
        let mut page = vec![0_u8; 512];
        page[..10].copy_from_slice(&[13, 0, 0, 0, 1, 1, 0xfb, 0, 1, 0xfb]);
        page[507..].copy_from_slice(&[3, 1, 2, 1, value]);
        page
    }

    fn journal(pages: &[u32]) -> Vec<u8> {
        pages.iter().flat_map(|page| [page.to_be_bytes().to_vec(), leaf(*page as u8)].concat()).collect()
    }

    #[test]
    fn the_pages_tell_their_size() {
        let bytes = journal(&[7, 4, 9]);
        assert_eq!(page_size(&bytes), Some(512));
        assert_eq!(records(&bytes, 512).iter().map(|record| record.page).collect::<Vec<_>>(), [7, 4, 9]);
    }

    #[test]
    fn pages_without_their_numbers_are_no_statement_journal() {
        let bytes: Vec<u8> = (0..40).flat_map(leaf).collect();
        assert_eq!(page_size(&bytes), None);
        assert_eq!(page_size(&[0; 5160]), None);
        assert_eq!(page_size(b"text"), None);
    }

    #[test]
    fn a_record_that_the_file_cuts_short_is_kept() {
        let bytes = journal(&[7, 4]);
        assert_eq!(records(&bytes[..900], 512).len(), 2);
        assert_eq!(records(&bytes[..518], 512).len(), 1);
    }
}
