//! Rows whose end another row has overwritten: its last bytes are those of a live row, where they are other cells.

use super::super::database::Database;
use super::super::forest::Tree;
use super::super::prints::tail;
use super::{Candidate, Dead};
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use std::collections::HashMap;

/// Of tables with more pages the ends of rows are not compared: it would take as much memory as the keys of all rows.
const MOST_PAGES: usize = 1 << 14;

/// An end that so many rows have says nothing.
const MOST_ALIKE: usize = 8;

/// The end of a live row: a fingerprint, its page, and where it lies on it.
pub(super) type Tail = (u32, u32, u32);

/// The live rows that end as candidates do.
#[derive(Debug, Default)]
pub(super) struct Ends(HashMap<u32, Vec<(u32, u32)>, RandomState>);

/// Whether the ends of a table's rows are compared.
pub(super) fn are_compared(tree: &Tree) -> bool {
    tree.pages.len() <= MOST_PAGES
}

/// The ends of the rows on a page.
pub(super) fn of_page(number: u32, page: &Page<'_>) -> impl Iterator<Item = Tail> {
    let whole = page.cells().filter_map(Result::ok).filter(|cell| cell.overflow == 0);
    whole.filter_map(move |cell| Some((tail(cell.local_payload(page.bytes))?, number, cell.at)))
}

impl Ends {
    /// Those among the `live` ends that one of the candidates has.
    pub(super) fn of<'t>(dead: &[Candidate], live: impl Iterator<Item = &'t Tail>) -> Self {
        let mut ends: HashMap<u32, Vec<(u32, u32)>, RandomState> =
            dead.iter().filter_map(|dead| Some((dead.tail?, Vec::new()))).collect();
        if !ends.is_empty() {
            for (tail, page, at) in live {
                let rows = ends.get_mut(tail).filter(|rows| rows.len() < MOST_ALIKE);
                rows.into_iter().for_each(|rows| rows.push((*page, *at)));
            }
        }
        Self(ends)
    }

    /// Whether the last bytes of a candidate are those of a live row, where they are other cells.
    pub(super) fn are_anothers(&self, database: &Database<'_>, dead: &Dead) -> bool {
        let Self(ends) = self;
        let rows = dead.tail.and_then(|tail| ends.get(&tail)).filter(|rows| rows.len() < MOST_ALIKE);
        let Some(version) = database.view.page(dead.page) else { return false };
        let own = dead.freed.cell.local_payload(version.bytes);
        let is_other = |(number, at): &(u32, u32)| {
            let version = database.view.page(*number)?;
            let page = Page::parse(version.bytes, version.number, database.view.geometry)?;
            let cell = page.cell(*at as usize).ok()?;
            let payload = cell.local_payload(page.bytes);
            let header = record::header(payload, cell.payload_len).ok()?;
            let shared = own.iter().rev().zip(payload.iter().rev()).take_while(|(a, b)| a == b).count();
            let others: Vec<Serial> = header.serials().collect();
            let own: Vec<Serial> = dead.freed.serials.iter().copied().collect();
            Some(!are_same_cells(&own, &others, shared as u64))
        };
        rows.into_iter().flatten().any(|row| is_other(row) == Some(true))
    }
}

/// Whether so many bytes at the end of two records are the same cells, as far as these begin there.
fn are_same_cells(own: &[Serial], other: &[Serial], bytes: u64) -> bool {
    // Cells without bytes may be of any number.
    let mut own = own.iter().rev().filter(|serial| !serial.is_empty());
    let mut other = other.iter().rev().filter(|serial| !serial.is_empty());
    let mut left = bytes;
    loop {
        match (own.next(), other.next()) {
            (Some(a), Some(b)) if a == b && a.len() < left => left -= a.len(),
            (a, b) => return [a, b].into_iter().flatten().all(|serial| serial.len() >= left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::are_same_cells;
    use mudlark_parsers::sqlite::serial::Serial;

    /// Texts of these lengths.
    fn texts(lengths: &[u64]) -> Vec<Serial> {
        lengths.iter().map(|len| Serial(13 + 2 * len)).collect()
    }

    #[test]
    fn bytes_that_two_rows_share_are_the_same_cells_unless_one_was_written_over_the_other() {
        assert!(are_same_cells(&texts(&[9, 4, 6]), &texts(&[7, 4, 6]), 10));
        assert!(are_same_cells(&texts(&[9, 4, 6]), &texts(&[7, 8, 6]), 8), "the end of a longer text");
        assert!(!are_same_cells(&texts(&[9, 4, 6]), &texts(&[9, 5, 5]), 10));
        assert!(!are_same_cells(&texts(&[9, 4, 6]), &texts(&[19]), 12));
    }
}
