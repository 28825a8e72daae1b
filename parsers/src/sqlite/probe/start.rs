//! Whether bytes are the first page of a database, or the header of a log or a journal.

use super::page::{MOST, Probed, first_page};
use super::{Effort, Sizes, frame};
use crate::bytes::slice_at;
use crate::sqlite::geometry::PAGE_SIZES;
use crate::sqlite::header::{self, Header, LEN, MAGIC};
use crate::sqlite::journal;
use crate::sqlite::schema_row::SchemaKind;
use crate::sqlite::wal;

/// The payload fractions of the database header, at their offset: no engine ever wrote others.
const FRACTIONS: [u8; 3] = [64, 32, 32];
const FRACTIONS_AT: usize = 21;

/// Bytes of the b-tree page behind the database header in which the first words of a definition are looked for.
const LOOKED_AT: usize = 4096;

/// The page sizes that the first page of a database at the start of `bytes` may have; `None` when there is none. Either
/// the header or the b-tree page behind it may be damaged.
#[must_use]
pub fn first_page_sizes(bytes: &[u8], most_pages: u32) -> Option<Sizes> {
    let magic = bytes.starts_with(MAGIC);
    let fractions = slice_at(bytes, FRACTIONS_AT, FRACTIONS.len())? == FRACTIONS;
    let stated =
        bytes.get(MAGIC.len()..).and_then(|fields| header::fields(fields).ok()).map(|(_, head)| head);
    let stated_size = stated.and_then(|head| Some(Sizes::only(head.geometry()?.page_size)));
    let behind = first_page(bytes, most_pages);
    if magic {
        return match (stated_size, behind) {
            (Some(size), _) if fractions || stated.is_some_and(|head| is_plausible(&head)) => Some(size),
            (Some(size), Some(behind)) => Some(size.or(behind.sizes)),
            (None, Some(behind)) => Some(behind.sizes),
            _ => None,
        };
    }
    let behind = behind.filter(|behind| fractions || holds_definitions(bytes, behind))?;
    Some(stated_size.filter(|_| fractions).unwrap_or(behind.sizes))
}

/// Whether fields that take few values have one of them.
fn is_plausible(head: &Header) -> bool {
    matches!(head.write_version, 1 | 2)
        && matches!(head.read_version, 1 | 2)
        && head.schema_format <= 4
        && head.encoding <= 3
}

/// Whether one of the words that begin the rows of `sqlite_schema` stands on the page.
fn holds_definitions(bytes: &[u8], behind: &Probed) -> bool {
    let Some(size) = behind.sizes.iter().next_back() else { return false };
    let page = bytes.get(LEN..bytes.len().min(size as usize)).unwrap_or_default();
    let page = page.get(page.len().saturating_sub(LOOKED_AT)..).unwrap_or_default();
    let kinds = [SchemaKind::Table, SchemaKind::Index, SchemaKind::View, SchemaKind::Trigger];
    kinds.iter().any(|kind| memchr::memmem::find(page, kind.name().as_bytes()).is_some())
        && memchr::memmem::find(page, b"CREATE ").is_some()
}

/// The page size of a log whose header begins `bytes`. Where its checksum is wrong, the first frame must show itself.
#[must_use]
pub fn log_size(bytes: &[u8], most_pages: u32) -> Option<Sizes> {
    let (_, head) = wal::wal_header(bytes).ok()?;
    let sum = wal::checksum(bytes.get(..24)?, head.big_endian, [0, 0]);
    let size = PAGE_SIZES.contains(&head.page_size).then(|| Sizes::only(head.page_size))?;
    let has_frame = || {
        let sizes = frame::sizes_at(bytes, wal::HEADER_LEN, most_pages, &mut Effort::new(MOST));
        sizes.is_some_and(|sizes| !sizes.and(size).is_empty())
    };
    (sum == head.checksum || has_frame()).then_some(size)
}

/// The page size of a segment of a journal whose header begins `bytes`.
#[must_use]
pub fn journal_size(bytes: &[u8]) -> Option<Sizes> {
    let (_, head) = journal::segment_header(bytes).ok()?;
    let sector = head.sector_size.is_power_of_two() && (32..=65536).contains(&head.sector_size);
    (sector && PAGE_SIZES.contains(&head.page_size)).then(|| Sizes::only(head.page_size))
}
