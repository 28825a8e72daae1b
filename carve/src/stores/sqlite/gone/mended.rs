//! Live rows in which bits were flipped, and an older copy that still has them as they were.
//!
//! That two copies of a row differ in single bits says that one of them is damaged, and not which. An index can, whose entry
//! has the value of the one; so can text that is not valid in its encoding, and a third copy. Numbers are updated by a single
//! bit as often as damaged, a flag always: there a third copy tells nothing.

use super::super::chains;
use super::super::database::{Database, Output};
use super::super::emit::Reader;
use super::super::entries::{Entries, Near, Testimony};
use super::super::leaf::Spot;
use super::super::settle::{self, Place};
use super::Kept;
use crate::model::Batch;
use crate::model::TableId;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::SerialKind;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Bytes of a record to each one of which a bit was flipped: where more differ it is another version.
const BYTES_A_FLIP: usize = 16;

/// A row where it lies.
type Found = (Place, Cell);

/// What an old page says of a live row.
enum Says {
    /// It has the same record.
    Same(i64),
    /// It has one that differs in single bits: the live one, and the copy.
    Flipped(i64, Found, Found),
}

/// The rows of a table that were damaged, each by its row id, with where it lies and the copy that has it whole.
pub(in super::super) fn find(
    database: &Database<'_>,
    (output, reader): (&Output, &Reader<'_, '_>),
    entries: &Entries,
    kept: &Kept,
) -> Vec<(i64, Place, Found)> {
    let ground = database.ground();
    let pages = database.places.of(output.tree).pages;
    let settled = settle::settled(&database.forest, ground, &reader.tree.pages);
    let standing = |rowid: i64| {
        let kept = kept.by_rowid.get(&rowid).copied();
        kept.or_else(|| settle::settled_cell(ground, &settled, rowid))
    };
    let local = |(place, cell): Found| Some(cell.local_payload(ground.view.page(place.0)?.bytes));
    // No bit of a frame whose checksum holds was flipped.
    let is_proved = |page: u32| {
        ground.view.page(page).is_some_and(|shown| shown.commit.is_some() && ground.view.is_proved(page))
    };
    let says = |copy: Found| -> Option<Says> {
        let rowid = copy.1.rowid;
        let row = standing(rowid).filter(|row| row.0 != copy.0 && !is_proved(row.0.0))?;
        let alike = row.1.payload_len == copy.1.payload_len && row.1.overflow == 0 && copy.1.overflow == 0;
        let (one, other) = local(row).zip(local(copy)).filter(|_| alike)?;
        match flips(one, other)? {
            0 => Some(Says::Same(rowid)),
            _ => Some(Says::Flipped(rowid, row, copy)),
        }
    };
    let of_place = |place: &Spot| {
        let mut cells = Vec::new();
        reader.copies(*place, &mut cells);
        cells
            .into_iter()
            .filter_map(|found| says(((place.page, found.cell.at), found.cell)))
            .collect::<Vec<Says>>()
    };
    let old = pages.iter().map(|page| Spot { page: *page, remnants: false });
    let below = reader.tree.pages.iter().chain(&reader.tree.interior).chain(pages);
    let below = below.map(|page| Spot { page: *page, remnants: true });
    let places: Vec<Spot> = old.chain(below).collect();
    let said: Vec<Says> = places.par_iter().with_min_len(16).flat_map_iter(of_place).collect();
    let mut same: HashSet<i64> = HashSet::new();
    let mut flipped: Vec<(i64, Found, Found)> = Vec::new();
    for says in said {
        match says {
            Says::Same(rowid) => _ = same.insert(rowid),
            Says::Flipped(rowid, row, copy) => flipped.push((rowid, row, copy)),
        }
    }
    flipped.sort_by_key(|(rowid, _, copy)| (*rowid, copy.0));
    // The same change of several rows is an update.
    let mut changes: HashMap<(u8, u8), HashSet<i64>> = HashMap::new();
    let change = |row: Found, copy: Found| {
        let (one, other) = local(row).zip(local(copy))?;
        one.iter().zip(other).find(|(one, other)| one != other).map(|(one, other)| (*one, *other))
    };
    for (rowid, row, copy) in &flipped {
        if let Some(change) = change(*row, *copy) {
            changes.entry(change).or_default().insert(*rowid);
        }
    }
    let judge = Judge { reader, entries };
    let rows = flipped.chunk_by(|(one, _, _), (other, _, _)| one == other);
    let mended = rows.filter_map(|copies| {
        let (rowid, row, _) = *copies.first()?;
        let of_row = judge.hear(row)?;
        let vouched = |copy: Found| {
            let Some(of_copy) = judge.hear(copy).filter(|of_copy| !of_copy.index.disagrees) else {
                return false;
            };
            let by_index = of_row.index.disagrees && of_copy.index.agrees;
            let by_text = of_row.garbled && !of_copy.garbled;
            let is_own = change(row, copy).is_some_and(|change| {
                changes.get(&change).is_some_and(|rows| rows.len() == 1) && !same.contains(&rowid)
            });
            let alike = |other: &&(i64, Found, Found)| local(other.2) == local(copy);
            let in_words = || {
                let pair = local(row).zip(local(copy));
                pair.is_some_and(|(one, other)| is_in_words(one, other, row.1.payload_len))
            };
            let is_third = || copies.iter().filter(alike).count() > 1 && in_words();
            let by_third = is_own && !of_row.index.agrees && is_third();
            by_index || by_text || by_third
        };
        let copy = copies.iter().map(|(_, _, copy)| *copy).find(|copy| vouched(*copy))?;
        Some((rowid, row.0, copy))
    });
    mended.collect()
}

/// What speaks for and against a record.
struct Heard {
    index: Testimony,
    /// Text is not valid in its encoding.
    garbled: bool,
}

struct Judge<'j, 'r, 'a> {
    reader: &'j Reader<'r, 'a>,
    entries: &'j Entries,
}

impl Judge<'_, '_, '_> {
    fn hear(&self, (place, cell): Found) -> Option<Heard> {
        let ground = self.reader.ground;
        let version = ground.view.page(place.0)?;
        let payload = chains::read(ground.view, ground.survey, &version, &cell);
        let mut batch = Batch::new(TableId(0), self.reader.encoding);
        let rowid = Some(cell.rowid);
        let doubt = self.reader.layout.row(&payload, cell.payload_len, rowid, 0, true, &mut batch)?;
        let mut near = Near::default();
        let index = self.entries.ask(ground, (cell.rowid, false), &batch.cells, &mut near, &mut Vec::new());
        Some(Heard { index, garbled: doubt.has(Claim::TextInvalid) })
    }
}

/// In how many bytes two records differ, where it is by one bit in each, and in few; `None` of others.
fn flips(one: &[u8], other: &[u8]) -> Option<usize> {
    let most = 1 + one.len() / BYTES_A_FLIP;
    let differing = one.iter().zip(other).filter(|(one, other)| one != other);
    let mut count = 0;
    for (one, other) in differing {
        count += 1;
        if (one ^ other).count_ones() > 1 || count > most {
            return None;
        }
    }
    (one.len() == other.len()).then_some(count)
}

/// Whether two records of one length differ in texts and BLOBs only.
fn is_in_words(one: &[u8], other: &[u8], payload_len: u64) -> bool {
    let Ok(header) = record::header(one, payload_len) else { return false };
    if one.get(..header.len) != other.get(..header.len) {
        return false;
    }
    let cells = |record| record::cells(header.serials(), header.len, record);
    let mut pairs = cells(one).zip(cells(other));
    pairs.all(|((serial, one), (_, other))| {
        matches!(serial.kind(), SerialKind::Text | SerialKind::Blob) || one == other
    })
}

#[cfg(test)]
mod tests {
    use super::{flips, is_in_words};

    #[test]
    fn few_single_bits_are_flips_and_another_word_is_another_version() {
        assert_eq!(flips(b"paid late", b"paid late"), Some(0));
        assert_eq!(flips(b"paid late", b"qaid late"), Some(1));
        assert_eq!(flips(b"paid late", b"sent late"), None);
        assert_eq!(flips(b"paid late", b"qahd late"), None);
    }

    #[test]
    fn numbers_and_types_are_no_words() {
        // A flag as a type, a number of one byte, a text of two.
        let row = [4, 8, 1, 17, 20, b'o', b'k'];
        let with = |at: usize, byte: u8| {
            let mut other = row;
            other[at] = byte;
            is_in_words(&row, &other, row.len() as u64)
        };
        assert_eq!([with(5, b'm'), with(4, 21), with(1, 9)], [true, false, false]);
    }
}
