//! Records with their cells apart, and those of live rows.

use super::super::chains;
use super::super::prints::{Endings, content, ending};
use super::super::survey::Survey;
use super::super::view::View;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::salvage;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::sqlite::serial_list::SerialList;
use rayon::prelude::*;
use std::collections::HashSet;

/// A record with its cells apart.
pub(super) type Cells = Vec<(Serial, Vec<u8>)>;

/// A record's cells; `None` where its bytes end before they do. The integers 0 and 1 have two forms, of which the file's
/// format may allow one: they get the longer one.
pub(super) fn apart(serials: &SerialList, header_len: usize, payload: &[u8]) -> Option<Cells> {
    let cell = |(serial, bytes): (Serial, Option<&[u8]>)| {
        Some(match serial.0 {
            8 => (Serial(1), vec![0]),
            9 => (Serial(1), vec![1]),
            _ => (serial, bytes?.to_vec()),
        })
    };
    record::cells(serials.iter(), header_len, payload).map(cell).collect()
}

/// The cells of a record but for one of them; all where there is no such cell.
fn kept(record: &Cells, position: Option<usize>) -> impl Iterator<Item = &(Serial, Vec<u8>)> {
    record.iter().enumerate().filter(move |(column, _)| Some(*column) != position).map(|(_, cell)| cell)
}

/// The bytes of these.
pub(super) fn body(record: &Cells, position: Option<usize>) -> Vec<u8> {
    let mut body = Vec::with_capacity(kept(record, position).map(|(_, bytes)| bytes.len()).sum());
    kept(record, position).for_each(|(_, bytes)| body.extend_from_slice(bytes));
    body
}

/// A fingerprint of a record without one of its cells.
pub(super) fn without(record: &Cells, position: usize) -> u64 {
    let position = Some(position);
    content(kept(record, position).map(|(serial, _)| serial.0), &body(record, position))
}

/// The contents of the rows on these pages that have one of the endings; on a page without a header of the cells of this
/// kind and with so many columns that it holds.
pub(super) fn live_contents(
    view: &View<'_>,
    survey: &Survey,
    (kind, columns): (PageKind, usize),
    pages: &[u32],
    endings: &Endings,
) -> HashSet<u64> {
    let of_page = |number: &u32| {
        let mut found = Vec::new();
        let Some(version) = view.page(*number) else { return found };
        let cells: Vec<Cell> = match Page::parse(version.bytes, version.number, view.geometry) {
            Some(page) => {
                page.touch_cells();
                page.good_cells().collect()
            }
            None => {
                let all = Extent { from: 0, to: view.geometry.usable() };
                let is_own = |_: &Cell, header: &RecordHeader<'_>| header.columns == columns;
                salvage::cells(version.bytes, all, kind, view.geometry, &is_own)
            }
        };
        for cell in cells {
            let payload = chains::read(view, survey, &version, &cell);
            let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
            // Most records need not be taken apart: they have none of the integers of two forms.
            if header.serials().any(|serial| matches!(serial.0, 8 | 9)) {
                let serials: SerialList = header.serials().collect();
                let record = apart(&serials, header.len, &payload.bytes);
                found.extend(record.and_then(|record| {
                    let body = body(&record, None);
                    let serials = record.iter().map(|(serial, _)| serial.0);
                    endings.contain(ending(&body)).then(|| content(serials, &body))
                }));
            } else if payload.whole
                && let Some(body) = payload.bytes.get(header.len..)
                && endings.contain(ending(body))
            {
                found.push(content(header.serials().map(|serial| serial.0), body));
            }
        }
        found
    };
    pages.par_iter().flat_map_iter(of_page).collect()
}
