//! Old rows of WITHOUT ROWID tables: which of them may be missing from the tree, told by their primary keys.

use super::chains;
use super::forest::Ground;
use super::leaf::{FoundCell, Spot};
use super::lost_entries::{LostEntries, Room};
use super::prints;
use super::settle::{Place, Verdict, Verdicts, same_payload};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::record;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The rows that are put out, by the fingerprints of their keys: where each lies.
pub(super) type KeptByKey = HashMap<u64, (Place, Cell)>;

/// The rows on pages of a tree by the fingerprints of their keys.
pub(super) fn rows(
    ground: Ground<'_, '_>,
    key_cells: usize,
    pages: impl Iterator<Item = u32>,
    read: &dyn Fn(Spot, &mut Vec<FoundCell>),
) -> KeptByKey {
    let mut cells = Vec::new();
    let mut known = KeptByKey::new();
    for page in pages {
        read(Spot { page, remnants: false }, &mut cells);
        for found in cells.iter().filter(|found| found.reads) {
            let place = (page, found.cell.at);
            if let Some(key) = key(ground, place, &found.cell, key_cells) {
                known.insert(key, (place, found.cell));
            }
        }
    }
    known
}

/// Compares the rows of the tree's own pages, which are `known`, with those found elsewhere, of which `lost` tells whether
/// they may be missing. `key_cells` are stored first in each record; `read` gives a place's cells. Returns the verdicts,
/// and the rows that are put out by the fingerprints of their keys.
pub(super) fn settle(
    ground: Ground<'_, '_>,
    key_cells: usize,
    mut known: KeptByKey,
    further: &[Spot],
    lost: &LostEntries<'_, '_>,
    read: &dyn Fn(Spot, &mut Vec<FoundCell>),
) -> (Verdicts, KeptByKey) {
    let mut verdicts = Verdicts::new();
    let mut cells = Vec::new();
    // Rows that were found of each range so far: of more than can be missing those of older places were deleted.
    let mut found_of = vec![0; lost.count()];
    // What stood on a page that a log or a journal still has is younger than what lies on freed pages, and that is younger
    // than what lies beneath cells.
    let mut further = further.to_vec();
    further.sort_by_key(|spot| (spot.remnants, !ground.view.is_old(spot.page)));
    for spot in &further {
        read(*spot, &mut cells);
        let mut added: Vec<(u64, Place, Vec<usize>)> = Vec::new();
        for found in &cells {
            let place = (spot.page, found.cell.at);
            let key = key(ground, place, &found.cell, key_cells).filter(|_| found.reads);
            let Some(key) = key else {
                verdicts.entry(place).or_default().merged = true;
                continue;
            };
            match known.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert((place, found.cell));
                    let ranges: Vec<usize> = lost.holding((place, found.cell)).collect();
                    for range in &ranges {
                        found_of.get_mut(*range).into_iter().for_each(|found| *found += 1);
                    }
                    added.push((key, place, ranges));
                }
                Entry::Occupied(other) => {
                    let (other_place, other_cell) = *other.get();
                    let verdict: &mut Verdict = verdicts.entry(place).or_default();
                    if same_payload(ground, (other_place, other_cell), (place, found.cell)) {
                        verdict.merged = true;
                        verdicts.entry(other_place).or_default().also_at.push((place, found.cell));
                    } else {
                        verdict.contested = true;
                    }
                }
            }
        }
        for (key, place, ranges) in added {
            let room = lost.room(&ranges, &found_of);
            if room == Room::Enough {
                continue;
            }
            let verdict = verdicts.entry(place).or_default();
            verdict.crowded = true;
            verdict.unsure = room == Room::None;
            if verdict.unsure {
                known.remove(&key);
            }
        }
    }
    (verdicts, known)
}

/// A fingerprint of a record's key.
pub(super) fn key(ground: Ground<'_, '_>, place: Place, cell: &Cell, key_cells: usize) -> Option<u64> {
    let version = ground.view.page(place.0)?;
    let payload = chains::read(ground.view, ground.survey, &version, cell);
    let header = record::header(&payload.bytes, cell.payload_len).ok()?;
    let serials = || header.serials().take(key_cells);
    let len = serials().fold(0_u64, |sum, serial| sum.saturating_add(serial.len()));
    let end = header.len.checked_add(usize::try_from(len).ok()?)?;
    let cells = payload.bytes.get(header.len..end)?;
    Some(prints::content(serials().map(|serial| serial.0), cells))
}
