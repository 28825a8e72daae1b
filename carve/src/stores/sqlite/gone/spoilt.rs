//! Copies of rows that damage has changed: they are no versions of their own.
//!
//! A log and freed pages are full of copies. Where bytes of one were flipped, zeroed or read as another type since, it
//! differs from the row in a way in which nobody changes a value.

use super::super::chains;
use super::super::view::PageVersion;
use super::Search;
use super::judge::Judged;
use super::live::Live;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use rayon::prelude::*;
use std::collections::HashMap;

/// Bytes of equal cells that two rows seldom share by accident.
const TELLING: usize = 8;

/// Bytes of a value of which one flipped bit is damage rather than a change.
const LONG: usize = 4;

/// Zeros that are no text.
const ZEROS: usize = 4;

/// The cells of a row that is there as a whole.
type Cells = Vec<(Serial, Vec<u8>)>;

/// What two versions of one row tell of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoilt {
    /// The first was damaged.
    First,
    /// One of both was.
    Either,
    /// A bit was flipped in one of both, where the one has the first of these bytes and the other the second.
    Flipped(u8, u8),
}

/// Takes out the versions that are damaged copies of the live row of their id, or of another version.
pub(super) fn leave_out(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, judged: &mut Vec<Judged>) {
    if search.as_live.is_some() || !search.tree.rowids {
        return;
    }
    // Those of one id stand side by side.
    let is_same_row = |a: &Judged, b: &Judged| a.dead.rowid.is_some() && a.dead.rowid == b.dead.rowid;
    let groups: Vec<&[Judged]> = judged.chunk_by(is_same_row).collect();
    let told = groups.par_iter().with_min_len(64).flat_map_iter(|group| told(search, live, group));
    let told: Vec<Option<Spoilt>> = told.collect();
    // The same change of several rows is an update, as of `send` to `sent`, and so may any be where nothing else is broken.
    let mut flips: HashMap<(u8, u8), usize> = HashMap::new();
    for told in told.iter().flatten() {
        if let Spoilt::Flipped(one, other) = told {
            *flips.entry((*one.min(other), *one.max(other))).or_default() += 1;
        }
    }
    let mut told = told.into_iter();
    judged.retain(|_| match told.next().flatten() {
        Some(Spoilt::Flipped(one, other)) => {
            !search.damaged || flips.get(&(one.min(other), one.max(other))).is_some_and(|rows| *rows > 1)
        }
        told => told.is_none(),
    });
}

/// Which versions of one row are damaged copies of others.
fn told(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, group: &[Judged]) -> Vec<Option<Spoilt>> {
    let is_read = |judged: &&Judged| matches!(judged.dead.freed.rowid, RowidLeft::Whole(_));
    let rowid = group.first().filter(is_read).and_then(|first| first.dead.rowid);
    let standing = rowid.and_then(|rowid| live.find(rowid)).and_then(|(page, cell)| {
        live.with_record(page, &cell, |header, payload| apart(header.serials(), header.len, payload))
    });
    let standing = standing.flatten();
    if rowid.is_none() || standing.is_none() && group.len() < 2 {
        return vec![None; group.len()];
    }
    let all: Vec<Option<Cells>> = group.iter().map(|judged| cells(search, judged)).collect();
    let view = &search.database.view;
    let is_proven = |judged: &Judged| view.page(judged.dead.page).is_some_and(|page| page.commit.is_some());
    let told = |(judged, own): (&Judged, &Option<Cells>)| {
        // The checksums of a log are proof.
        let own = own.as_ref().filter(|_| !is_proven(judged))?;
        let of_live = standing.as_ref().and_then(|standing| compare(own, standing));
        let of_other = || all.iter().flatten().filter_map(|other| compare(own, other));
        of_live.or_else(|| of_other().find(|told| *told == Spoilt::First))
    };
    group.iter().zip(&all).map(told).collect()
}

/// The cells of a version; `None` where they are not whole.
fn cells(search: &Search<'_, '_>, judged: &Judged) -> Option<Cells> {
    let dead = &judged.dead;
    if dead.content.is_none() || dead.projection.is_some() {
        return None;
    }
    let view = &search.database.view;
    let version = view.page(dead.page).map(PageVersion::then)?;
    let payload = chains::read(view, &search.database.survey, &version, &dead.freed.cell);
    apart(dead.freed.serials.iter(), dead.freed.header_len as usize, &payload.bytes)
}

fn apart(serials: impl Iterator<Item = Serial>, header_len: usize, payload: &[u8]) -> Option<Cells> {
    let cells = record::cells(serials, header_len, payload);
    cells.map(|(serial, bytes)| Some((serial, bytes?.to_vec()))).collect()
}

/// Whether two rows are one, and differ as damage makes them differ.
fn compare(first: &Cells, second: &Cells) -> Option<Spoilt> {
    let (mut told, mut same) = (None, 0);
    for (one, other) in first.iter().zip(second) {
        if one == other {
            same += one.1.len();
            continue;
        }
        let damage = damage(one, other)?;
        told = if told == Some(Spoilt::First) { told } else { Some(damage) };
    }
    told.filter(|_| first.len() == second.len() && same >= TELLING)
}

/// Whether a value is another one, damaged.
fn damage((serial, bytes): &(Serial, Vec<u8>), (other, other_bytes): &(Serial, Vec<u8>)) -> Option<Spoilt> {
    if bytes.len() != other_bytes.len() || bytes.is_empty() {
        return None;
    }
    if serial != other {
        // The same bytes as a value of another kind.
        return (bytes == other_bytes).then_some(match (serial.kind(), other.kind()) {
            (SerialKind::Blob, SerialKind::Text) => Spoilt::First,
            _ => Spoilt::Either,
        });
    }
    let differing: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes.get(*at) != other_bytes.get(*at)).collect();
    let (from, to) = (*differing.first()?, *differing.last()?);
    let zeroed = |value: &[u8]| to - from >= ZEROS && value.get(from..=to).is_some_and(all_zero);
    if zeroed(bytes) || zeroed(other_bytes) {
        return Some(if zeroed(bytes) { Spoilt::First } else { Spoilt::Either });
    }
    let mut pairs = bytes.iter().zip(other_bytes);
    let flipped = pairs.all(|(one, other)| (one ^ other).count_ones() <= 1)
        && differing.len() <= 1 + bytes.len() / LONG;
    let told = match serial.kind() {
        SerialKind::Blob => bytes.len() >= LONG,
        SerialKind::Text => bytes.len() >= LONG && !is_edit(bytes.get(from), other_bytes.get(from)),
        // Of a round number one bit is easily changed.
        SerialKind::Real => bytes.last_chunk::<2>().is_some_and(|low| *low != [0; 2]),
        _ => false,
    };
    let (one, other) = bytes.get(from).zip(other_bytes.get(from))?;
    (flipped && told).then_some(Spoilt::Flipped(*one, *other))
}

/// Whether characters are two digits, or the two cases of a letter: those are one bit apart, and changed by hand.
fn is_edit(one: Option<&u8>, other: Option<&u8>) -> bool {
    one.zip(other).is_some_and(|(one, other)| {
        one.is_ascii_digit() && other.is_ascii_digit() || one.eq_ignore_ascii_case(other)
    })
}

#[cfg(test)]
mod tests {
    use super::{Cells, Spoilt, compare};
    use mudlark_parsers::sqlite::serial::Serial;

    fn row(note: (Serial, &[u8])) -> Cells {
        let name = b"Ann Lund of Oslo".to_vec();
        vec![(Serial::text(name.len() as u64), name), (note.0, note.1.to_vec())]
    }

    fn text(note: &str) -> Cells {
        row((Serial::text(note.len() as u64), note.as_bytes()))
    }

    #[test]
    fn a_flipped_bit_zeros_and_another_type_are_damage() {
        assert_eq!(compare(&text("qaid late"), &text("paid late")), Some(Spoilt::Flipped(b'q', b'p')));
        assert_eq!(compare(&text("paid\0\0\0\0\0"), &text("paid late")), Some(Spoilt::First));
        assert_eq!(compare(&row((Serial(12 + 18), b"paid late")), &text("paid late")), Some(Spoilt::First));
    }

    #[test]
    fn another_word_and_another_number_are_a_change() {
        assert_eq!(compare(&text("paid soon"), &text("paid late")), None);
        assert_eq!(compare(&text("paid late"), &text("Paid late")), None);
        assert_eq!(compare(&text("note 4 late"), &text("note 5 late")), None);
        let real = |value: f64| row((Serial(7), &value.to_be_bytes()));
        assert_eq!(compare(&real(12.5), &real(12.75)), None);
        assert_eq!(compare(&row((Serial(1), &[4])), &row((Serial(1), &[5]))), None);
    }
}
