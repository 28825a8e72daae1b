//! Tables that were dropped: their rows in the free space of `sqlite_schema`, and in its freed and earlier pages.

use super::survey::Survey;
use super::view::{PageVersion, View};
use super::{chains, remnants};
use mudlark_parsers::sqlite::freed::{self, Effort, Scratch, Shape, Space};
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::{COLUMNS, SchemaKind, SchemaRow, schema_row};
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::{TextEncoding, Value};

/// Rows of `sqlite_schema` that once stood, whether or not they still do.
pub(super) fn schema_rows(view: &View<'_>, survey: &Survey, encoding: TextEncoding) -> Vec<SchemaRow> {
    let mut found = Vec::new();
    for (number, info) in survey.iter().chain(survey.old()) {
        let Some(version) = view.page(number).filter(|_| !view.is_uncommitted(number)) else { continue };
        let leaf = info.kind == Some(PageKind::TableLeaf);
        let wide = leaf && usize::from(info.columns) == COLUMNS;
        let parsed = Page::parse(version.bytes, version.number, view.geometry);
        if version.number == 1 && !leaf {
            let blocks =
                remnants::freeblocks(view, &version).into_iter().map(|block| (block, Space::Freeblock));
            free_rows(view, survey, &version, blocks, encoding, &mut found);
        }
        let Some(page) = parsed.filter(|_| version.number == 1 || wide) else { continue };
        let mut rows = Vec::new();
        for cell in page.good_cells().filter(|_| !page.header.kind.is_interior()) {
            let payload = chains::read(view, survey, &version, &cell);
            let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
            let mut values = Vec::new();
            record::decode(&header, &payload.bytes, &mut values);
            let row = schema_row(&values, encoding);
            let other = row.is_none();
            rows.extend(row);
            // A page of another table of five columns.
            if other && version.number != 1 {
                break;
            }
        }
        if version.number != 1 && rows.is_empty() {
            continue;
        }
        found.extend(rows);
        let blocks = page.freeblocks().0.into_iter().map(|block| (block, Space::Freeblock));
        let spaces = blocks.chain([(page.gap(), Space::Other)]);
        free_rows(view, survey, &version, spaces, encoding, &mut found);
    }
    found.retain(|row| row.kind == SchemaKind::Table && row.sql.is_some());
    found
}

/// Adds the rows of `sqlite_schema` in free parts of a page.
fn free_rows(
    view: &View<'_>,
    survey: &Survey,
    version: &PageVersion<'_>,
    spaces: impl Iterator<Item = (Extent, Space)>,
    encoding: TextEncoding,
    found: &mut Vec<SchemaRow>,
) {
    let fits = |column: usize, serial: Serial| match column {
        0..=2 => serial.kind() == SerialKind::Text,
        3 => matches!(serial.kind(), SerialKind::Int | SerialKind::Null),
        _ => matches!(serial.kind(), SerialKind::Text | SerialKind::Null),
    };
    let reads = |text: &[u8]| encoding.decode(text).is_some();
    let shape = Shape {
        least: COLUMNS,
        most: COLUMNS,
        first: None,
        fits: &fits,
        reads: &reads,
        odds: &|_, _, _| 0,
        prior: &|_, _| 0,
        least_odds: None,
        rowid_odds: &|_| 0,
        effort: &Effort::of_page(version.bytes.len()),
    };
    let mut scratch = Scratch::default();
    for place in spaces {
        let kind = PageKind::TableLeaf;
        let geometry = view.geometry;
        let cells = freed::cells(version.bytes, place, kind, geometry, &shape, &|_| false, &mut scratch);
        for cell in cells {
            let payload = chains::read(view, survey, version, &cell.cell);
            let cells = record::cells(cell.serials.iter(), cell.header_len as usize, &payload.bytes);
            let value = |(serial, bytes): (Serial, Option<_>)| {
                bytes.map_or(Value::Missing, |bytes| serial.decode(bytes))
            };
            let values: Vec<Value<'_>> = cells.map(value).collect();
            found.extend(schema_row(&values, encoding));
        }
    }
}
