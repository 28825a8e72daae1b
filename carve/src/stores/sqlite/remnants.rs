//! Remnants of `sqlite_schema`: rows on pages that no longer hang in its tree, and bare CREATE text.

use super::chains;
use super::noise;
use super::survey::Survey;
use super::view::{PageVersion, View};
use memchr::memmem;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::ddl::{self, Statement};
use mudlark_parsers::sqlite::freeblock_chain;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Extent, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::salvage;
use mudlark_parsers::sqlite::schema_row::{COLUMNS, SchemaKind, SchemaRow, schema_row};
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::TextEncoding;
use std::cell::LazyCell;

/// The longest CREATE text that is looked for: SQLite's default limit on SQL is 10^9 bytes, real schemas stay below
/// a page or two.
const MAX_SQL: usize = 1 << 20;

/// Statements without an end that are followed as far as that on one page; each next one no further than
/// [`SHORT_SQL`], for all of them together would take the square of the page's length.
const MAX_ENDLESS: usize = 64;

/// Bytes that nearly all CREATE statements stay below.
const SHORT_SQL: usize = 4096;

/// What is lost or overwritten at a time.
const SECTOR: usize = 512;

/// Bytes at the end of the names that tell a row of `sqlite_schema` from text with a statement in it.
const LEAST_OF_NAMES: usize = 3;

/// Finds what is left of `sqlite_schema`. Rows with a whole header come first; among rows of the same object the
/// first that is found counts.
pub(super) fn schema_rows(view: &View<'_>, survey: &Survey, encoding: TextEncoding) -> Vec<SchemaRow> {
    let mut found = Vec::new();
    for (number, info) in survey.iter().chain(survey.old()) {
        let leaf = info.kind == Some(PageKind::TableLeaf) && usize::from(info.columns) == COLUMNS;
        let bare = view.page(number).is_some_and(|page| page.number == 1) || info.doubtful;
        if (leaf || bare)
            && let Some(page) = view.page(number)
        {
            page_rows(view, survey, &page, encoding, &mut found);
        }
    }
    for (number, info) in survey.iter().chain(survey.old()) {
        if (info.kind.is_none() || !info.sound)
            && !info.zero
            && let Some(page) = view.page(number)
        {
            // What stands in a freeblock was dropped. Most pages hold no statement: of these that is not asked.
            let free = LazyCell::new(|| freeblocks(view, &page));
            let is_free =
                |at: usize| free.iter().any(|block| (block.from as usize..block.to as usize).contains(&at));
            bare_text(page.bytes, &is_free, encoding, view.page_count, &mut found);
        }
    }
    found
}

/// The freeblocks of a page of `sqlite_schema` whose header is lost, as far as the rows beside them tell.
pub(super) fn freeblocks(view: &View<'_>, page: &PageVersion<'_>) -> Vec<Extent> {
    freeblock_chain::told(page.bytes, &cells(view, page), view.geometry.usable())
}

/// What reads as rows of `sqlite_schema` on a page, whatever its header says.
fn cells(view: &View<'_>, page: &PageVersion<'_>) -> Vec<Cell> {
    let from = if page.number == 1 { header::LEN as u16 } else { 0 };
    let mut places = noise::places_outside(page.bytes);
    places.retain(|at| *at >= from);
    let accept = |_: &Cell, header: &RecordHeader<'_>| looks_like_schema(header);
    salvage::cells_at(page.bytes, &places, PageKind::TableLeaf, view.geometry, &accept)
}

fn page_rows(
    view: &View<'_>,
    survey: &Survey,
    page: &PageVersion<'_>,
    encoding: TextEncoding,
    found: &mut Vec<SchemaRow>,
) {
    let cells = cells(view, page);
    let free = freeblock_chain::told(page.bytes, &cells, view.geometry.usable());
    let is_free = |cell: &&Cell| free.iter().any(|block| block.from < cell.end && cell.at < block.to);
    for cell in cells.iter().filter(|cell| !is_free(cell)) {
        let payload = chains::read(view, survey, page, cell);
        let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
        let mut values = Vec::new();
        record::decode(&header, &payload.bytes, &mut values);
        found.extend(schema_row(&values, encoding));
    }
}

fn looks_like_schema(header: &RecordHeader<'_>) -> bool {
    let serials: Vec<Serial> = header.serials().take(COLUMNS + 1).collect();
    let kinds: Vec<SerialKind> = serials.iter().map(|serial| serial.kind()).collect();
    let root = |kind| matches!(kind, SerialKind::Int | SerialKind::Null);
    let sql = |kind| matches!(kind, SerialKind::Text | SerialKind::Null);
    matches!(kinds[..], [SerialKind::Text, SerialKind::Text, SerialKind::Text, r, s] if root(r) && sql(s))
}

/// CREATE text whose record header is gone: the names before it must be those of what it creates, as far as they lie in
/// the same sector. What stands where `is_free` says so is left out.
fn bare_text(
    bytes: &[u8],
    is_free: &dyn Fn(usize) -> bool,
    encoding: TextEncoding,
    page_count: u32,
    found: &mut Vec<SchemaRow>,
) {
    let mut endless = 0;
    for at in memmem::find_iter(bytes, &encoding.encode("CREATE ")).filter(|at| !is_free(*at)) {
        let most = if endless < MAX_ENDLESS { MAX_SQL } else { SHORT_SQL };
        let text = bytes.get(at..bytes.len().min(at + most)).unwrap_or_default();
        let Some(sql) = statement(text, encoding) else {
            endless = (endless + 1).min(MAX_ENDLESS);
            continue;
        };
        let (kind, name, table) = match ddl::read(sql.as_bytes()) {
            Ok(Statement::Table(table)) => (SchemaKind::Table, table.name.clone(), table.name),
            Ok(Statement::Index(index)) => (SchemaKind::Index, index.name.clone(), index.table),
            _ => continue,
        };
        let names = encoding.encode(&[kind.name(), &name, &table].concat());
        let Some(root) = root_before(bytes, at, &names, page_count) else { continue };
        found.push(SchemaRow { kind, name, table, root, sql: Some(sql) });
    }
}

/// The statement at the beginning of `text`.
fn statement(text: &[u8], encoding: TextEncoding) -> Option<String> {
    if encoding == TextEncoding::Utf8 {
        let len = ddl::statement_length(text)?;
        return std::str::from_utf8(text.get(..len)?).ok().map(str::to_owned);
    }
    let text = encoding.decode_start(text);
    // What follows it reads as characters of some script, which may be those of a word.
    let plain = text.split(|char: char| !char.is_ascii()).next().unwrap_or_default();
    let len = ddl::statement_length(plain.as_bytes()).max(ddl::statement_length(text.as_bytes()))?;
    text.get(..len).map(str::to_owned)
}

/// The root page that stands between the names and the CREATE text of a body; `None` when the names don't stand
/// there, so that text of a user's row is not taken for a schema. Another sector, where a part of them would stand, may
/// have been lost.
fn root_before(bytes: &[u8], at: usize, names: &[u8], page_count: u32) -> Option<Option<u32>> {
    for len in [1_u64, 2, 3, 4, 0] {
        let root_at = at.checked_sub(len as usize)?;
        let number = bytes.get(root_at..at).unwrap_or_default();
        let root = number.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        let sector = root_at.saturating_sub(1) / SECTOR * SECTOR;
        let there = (root_at - sector).min(names.len());
        let (from, lost) = (root_at - there, names.len() - there);
        let fits = bytes.get(from..root_at) == names.get(lost..);
        if fits && (lost == 0 || there >= LEAST_OF_NAMES && root <= page_count) {
            return Some((root > 0).then_some(root));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::bare_text;
    use mudlark_parsers::value::TextEncoding;

    #[test]
    fn a_page_full_of_statements_without_an_end_is_searched_without_delay() {
        let mut bytes = b"CREATE TABLE a(".repeat(4000);
        bytes.extend(b"tabletutu\x07CREATE TABLE tu(x)\0");
        let mut found = Vec::new();
        bare_text(&bytes, &|_| false, TextEncoding::Utf8, 9, &mut found);
        let found: Vec<_> = found.iter().map(|row| (row.name.as_str(), row.root)).collect();
        assert_eq!(found, [("tu", Some(7))]);
    }

    #[test]
    fn a_statement_is_known_by_what_its_sector_holds_of_the_names_in_any_encoding() {
        for encoding in [TextEncoding::Utf8, TextEncoding::Utf16le, TextEncoding::Utf16be] {
            let sql = encoding.encode("CREATE TABLE words(a, PRIMARY KEY(a)) WITHOUT ROWID");
            let row = |names: &str| [encoding.encode(names), vec![3], sql.clone(), vec![0x82, 0x5c]].concat();
            let roots = |before: usize, row: &[u8]| {
                let mut bytes = vec![0; before];
                bytes.extend(row);
                let mut found = Vec::new();
                bare_text(&bytes, &|_| false, encoding, 9, &mut found);
                found.into_iter().map(|row| (row.name, row.root)).collect::<Vec<_>>()
            };
            let known = [("words".to_owned(), Some(3))];
            assert_eq!(roots(40, &row("tablewordswords")), known, "{encoding:?}");
            assert_eq!(roots(512, &row("ords")), known, "{encoding:?}");
            assert_eq!(roots(500, &row("ords")), [], "{encoding:?}");
            assert_eq!(roots(512, &row("swords")), known, "{encoding:?}");
            assert_eq!(roots(512, &row("text")), [], "{encoding:?}");
        }
    }
}
