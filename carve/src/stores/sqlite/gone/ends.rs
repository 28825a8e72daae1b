//! Rows whose end another row has overwritten: its last bytes are those of a live row, where they are other cells, or cells
//! that no two rows share.

use super::super::database::Database;
use super::super::forest::Tree;
use super::super::prints::tail;
use super::{Candidate, Dead};
use foldhash::fast::RandomState;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::sqlite::serial_list::SerialList;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;

/// Of tables with more pages the ends of rows are not compared: it would take as much memory as the keys of all rows.
const MOST_PAGES: usize = 1 << 14;

/// An end that so many rows have says nothing.
const MOST_ALIKE: usize = 8;

/// So many live rows are looked at to learn whether ends tell rows apart; of fewer than the second nothing is learned.
const SAMPLE: usize = 4096;
const FEWEST: usize = 16;

/// Ends tell rows apart where of so many rows no more than one has that of another.
const ONE_OF: usize = 64;

/// The end of a live row: a fingerprint, its page, and where it lies on it.
pub(super) type Tail = (NonZeroU32, u32, u32);

/// The live rows that end as candidates do.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Their places, by these ends.
    rows: HashMap<NonZeroU32, Vec<(u32, u32)>, RandomState>,
    /// Hardly any two live rows end alike.
    telling: bool,
}

/// Whether the ends of a table's rows are compared.
pub(super) fn are_compared(tree: &Tree) -> bool {
    tree.pages.len() <= MOST_PAGES
}

/// The ends of the rows on a page.
pub(super) fn of_page(number: u32, page: &Page<'_>) -> impl Iterator<Item = Tail> {
    let whole = page.good_cells().filter(|cell| cell.overflow == 0);
    whole.filter_map(move |cell| Some((tail(cell.local_payload(page.bytes))?, number, cell.at)))
}

impl Ends {
    /// Those among the `live` ends that one of the candidates has.
    pub(super) fn of<'t>(dead: &[Candidate], live: impl Iterator<Item = &'t Tail>) -> Self {
        let mut live = live.peekable();
        if live.peek().is_none() {
            return Self::default();
        }
        let mut ends: HashMap<NonZeroU32, Vec<(u32, u32)>, RandomState> =
            dead.iter().filter_map(|dead| Some((dead.tail?, Vec::new()))).collect();
        let (mut seen, mut sample) = (0, HashSet::<NonZeroU32, RandomState>::default());
        if !ends.is_empty() {
            for (tail, page, at) in live {
                if seen < SAMPLE {
                    seen += 1;
                    sample.insert(*tail);
                }
                let rows = ends.get_mut(tail).filter(|rows| rows.len() < MOST_ALIKE);
                rows.into_iter().for_each(|rows| rows.push((*page, *at)));
            }
        }
        Self { rows: ends, telling: seen >= FEWEST && (seen - sample.len()) * ONE_OF <= seen }
    }

    /// What the last bytes of a candidate say of it: they may be those of a live row, where they are other cells, or the
    /// same ones of a row that begins otherwise.
    pub(super) fn claims(&self, database: &Database<'_>, dead: &Dead) -> Claims {
        let rows = dead.tail.and_then(|tail| self.rows.get(&tail)).filter(|rows| rows.len() < MOST_ALIKE);
        let rows = rows.map(Vec::as_slice).unwrap_or_default();
        let Some(version) = database.view.page(dead.page).filter(|_| !rows.is_empty()) else {
            return Claims::NONE;
        };
        let payload = dead.freed.cell.local_payload(version.bytes);
        let own = &dead.freed.serials;
        let told = rows.iter().filter_map(|(number, at)| {
            let version = database.view.page(*number)?;
            let page = Page::parse(version.bytes, version.number, database.view.geometry)?;
            let cell = page.good_cell(*at as usize)?;
            let other = cell.local_payload(page.bytes);
            let header = record::header(other, cell.payload_len).ok()?;
            let shared = payload.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
            let others: SerialList = header.serials().collect();
            let are_same = are_same_cells(own, &others, shared as u64);
            let begins_alike =
                first(own, dead.freed.header_len as usize, payload) == first(&others, header.len, other);
            let is_another = dead.rowid.is_none_or(|rowid| rowid != cell.rowid) && !begins_alike;
            Some((!are_same, are_same && is_another))
        });
        let (shared, anothers) = told.fold((false, false), |any, told| (any.0 | told.0, any.1 | told.1));
        Claims::NONE
            .with_if(shared, Claim::EndShared)
            .with_if(anothers && self.telling && rows.len() == 1, Claim::EndOfAnother)
    }
}

/// The first cell of a record that has bytes: its type, and these.
fn first<'p>(serials: &SerialList, body_at: usize, payload: &'p [u8]) -> Option<(Serial, &'p [u8])> {
    let serial = serials.iter().find(|serial| !serial.is_empty())?;
    let end = body_at.checked_add(usize::try_from(serial.len()).ok()?)?;
    Some((serial, payload.get(body_at..end)?))
}

/// Whether so many bytes at the end of two records are the same cells, as far as these begin there.
fn are_same_cells(own: &SerialList, other: &SerialList, bytes: u64) -> bool {
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
    use mudlark_parsers::sqlite::serial_list::SerialList;

    /// Texts of these lengths.
    fn texts(lengths: &[u64]) -> SerialList {
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
