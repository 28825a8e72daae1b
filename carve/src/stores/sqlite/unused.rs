//! Why a log that stands beside a database can't be used.

use mudlark_parsers::damage::Damage;
use mudlark_parsers::sqlite::wal::Wal;

/// What a person is told of a log of this name and content that is none of a database with pages of this size.
pub(super) fn why(
    name: &str,
    bytes: &[u8],
    log: Result<&Wal, &Damage>,
    page_size: Option<u32>,
) -> Option<String> {
    match (log, page_size) {
        (Err(_), _) if bytes.is_empty() => Some(format!("{name} is empty: the database alone is served")),
        (Err(damage), _) => Some(format!(
            "the header of {name} is broken ({} at {:#x}): the database alone is served, as SQLite itself would",
            damage.field, damage.at
        )),
        (Ok(log), Some(page_size)) if log.header.page_size != page_size => Some(format!(
            "{name} is of another database: its pages are of {} bytes, those of the database of {page_size}; the database \
             alone is served",
            log.header.page_size
        )),
        (Ok(_), _) => None,
    }
}
