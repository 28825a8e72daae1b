//! Rows of one table that claim the same row id.
//!
//! Pages that are sound and linked can't disagree: their key ranges are disjoint. So only the rows of the other
//! pages are compared, with one another and with the one linked page that could hold the same key.

use super::chains::{self, Chained};
use super::forest::{Forest, Ground, How};
use super::leaf::{FoundCell, Spot};
use super::lost_keys::LostKeys;
use super::restored;
use super::survey;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use std::collections::{HashMap, HashSet};

/// Where a cell lies: page and offset on it.
pub(super) type Place = (u32, u32);

/// What becomes of a cell whose key another cell has too. Cells without a verdict stand alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Verdict {
    /// The same cells stand elsewhere, and are put out there.
    pub merged: bool,
    /// Other cells under the same key are better founded.
    pub contested: bool,
    /// One of more old rows than can be missing.
    pub crowded: bool,
    /// One of so many that most were deleted: an index must vouch for it.
    pub unsure: bool,
    /// Further places of the same cells.
    pub also_at: Vec<(Place, Cell)>,
    /// An older copy of a cell whose record header is damaged: it tells the shape.
    pub shape_from: Option<(Place, Cell)>,
    /// An older copy of a cell whose overflow chain is broken: it may lead to the whole chain.
    pub chain_from: Option<(Place, Cell)>,
    /// An older copy that has what a lost sector, or flipped bits, took of a cell, and which of the two it was.
    pub restored_from: Option<((Place, Cell), Claim)>,
}

/// So many quarters of the rows that can be missing were found, that some of the old rows must have been deleted: that a
/// few more were found than can be missing tells less than how many the estimate is off.
const SOME_DELETED: usize = 5;

/// The same, that most of them were deleted.
const MOSTLY_DELETED: usize = 8;

/// The verdicts of a table.
pub(super) type Verdicts = HashMap<Place, Verdict>;

/// The rows that are put out of those that were compared, by row id: where each lies.
pub(super) type Kept = HashMap<i64, (Place, Cell)>;

/// Where rows are put out although others under the same row id are better founded.
pub(super) type Contested = HashSet<Place>;

/// A row that has to be compared.
#[derive(Clone, Copy)]
struct Doubtful {
    rowid: i64,
    rank: u8,
    old: bool,
    /// The record header is damaged.
    unread: bool,
    place: Place,
    cell: Cell,
}

/// Whether a page's rows need no comparison.
pub(super) fn is_settled(forest: &Forest, ground: Ground<'_, '_>, page: u32) -> bool {
    ground.survey.page(page).sound && forest.place(page).is_some_and(|(_, how)| how == How::Linked)
}

/// Those pages whose rows need no comparison.
pub(super) fn settled(forest: &Forest, ground: Ground<'_, '_>, pages: &[u32]) -> Vec<u32> {
    pages.iter().copied().filter(|page| is_settled(forest, ground, *page)).collect()
}

/// Compares the rows of the pages that are not settled. `read` gives a page's cells.
pub(super) fn settle(
    forest: &Forest,
    ground: Ground<'_, '_>,
    pages: &[u32],
    further: &[Spot],
    lost: Option<&LostKeys>,
    chained: &Chained,
    read: &dyn Fn(Spot, &mut Vec<FoundCell>),
) -> (Verdicts, Kept, Contested) {
    let (mut kept, mut contested) = (Kept::new(), Contested::new());
    let mut doubtful = Vec::new();
    let mut cells = Vec::new();
    let unsettled = pages.iter().filter(|page| !is_settled(forest, ground, **page));
    let unsettled = unsettled.map(|page| Spot { page: *page, remnants: false });
    for seen in unsettled.chain(further.iter().copied()) {
        read(seen, &mut cells);
        let page = &seen.page;
        let sound = ground.survey.page(*page).sound;
        for found in &cells {
            // Of old rows those that stood on a page which a log or a journal still has are younger than what lies on freed
            // pages, and that is younger than what lies beneath the cells of a page.
            let rank = if found.claims.has(Claim::OldPage) {
                if seen.remnants { 0 } else { 1 + u8::from(found.claims.has(Claim::EarlierVersion)) }
            } else if !found.reads {
                3
            } else if found.claims.has(Claim::PageHeaderLost) {
                4
            } else if found.claims.has(Claim::PointerLost) {
                5
            } else if sound {
                7
            } else {
                6
            };
            let place = (*page, found.cell.at);
            let (old, unread) = (found.claims.has(Claim::OldPage), !found.reads);
            doubtful.push(Doubtful { rowid: found.cell.rowid, rank, old, unread, place, cell: found.cell });
        }
    }
    let settled = settled(forest, ground, pages);
    let mut verdicts = Verdicts::new();
    doubtful.sort_by_key(|row| (row.rowid, std::cmp::Reverse(row.rank), row.place));
    let mut old: Vec<(i64, Place)> = Vec::new();
    let mut copies = restored::Copies::of(ground);
    for rows in doubtful.chunk_by(|a, b| a.rowid == b.rowid) {
        let Some(first) = rows.first() else { continue };
        let settled = settled_cell(ground, &settled, first.rowid);
        let rest = rows.get(1..).unwrap_or_default();
        let (winner, others) = match settled {
            Some(winner) => (winner, rows),
            None => ((first.place, first.cell), rest),
        };
        if settled.is_none()
            && first.unread
            && let Some(copy) = rest.iter().find(|other| !other.unread && is_older_copy(ground, first, other))
        {
            verdicts.entry(first.place).or_default().shape_from = Some((copy.place, copy.cell));
        }
        kept.insert(first.rowid, winner);
        if winner.0 == first.place && first.old {
            old.push((first.rowid, first.place));
        }
        let shape_from = verdicts.get(&winner.0).and_then(|verdict| verdict.shape_from);
        for other in others {
            let is_shape = shape_from.is_some_and(|(place, _)| place == other.place);
            if chained.is_faulty(winner.0) && same_local(ground, winner, (other.place, other.cell)) {
                let verdict = verdicts.entry(winner.0).or_default();
                verdict.chain_from.get_or_insert((other.place, other.cell));
                verdicts.entry(other.place).or_default().merged = true;
                continue;
            }
            let restored = verdicts.get(&winner.0).and_then(|verdict| verdict.restored_from);
            if other.old && restored.is_none() && copies.has_lost(winner, (other.place, other.cell)) {
                let restored = ((other.place, other.cell), Claim::SectorRestored);
                verdicts.entry(winner.0).or_default().restored_from = Some(restored);
                verdicts.entry(other.place).or_default().merged = true;
                // What else is found of the row is held against what it was before.
                kept.insert(first.rowid, (other.place, other.cell));
                continue;
            }
            let like = restored.map_or(winner, |(copy, _)| copy);
            let same = is_shape || same_payload(ground, like, (other.place, other.cell));
            let verdict = verdicts.entry(other.place).or_default();
            if same {
                verdict.merged = true;
                verdicts.entry(winner.0).or_default().also_at.push((other.place, other.cell));
            } else {
                verdict.contested = true;
                contested.extend((!other.old).then_some(other.place));
            }
        }
    }
    let rowids: Vec<i64> = old.iter().map(|(rowid, _)| *rowid).collect();
    let stand = old.iter().filter(|(_, place)| stands(ground, *place)).map(|(rowid, _)| *rowid).collect();
    let over = |quarters: usize| -> HashSet<i64> {
        lost.map(|lost| lost.too_many(&rowids, &stand, quarters)).unwrap_or_default().into_iter().collect()
    };
    let (some, most) = (over(SOME_DELETED), over(MOSTLY_DELETED));
    for (rowid, place) in old.iter().filter(|(rowid, _)| some.contains(rowid)) {
        let verdict = verdicts.entry(*place).or_default();
        verdict.crowded = true;
        verdict.unsure = most.contains(rowid);
        if verdict.unsure {
            kept.remove(rowid);
        }
    }
    (verdicts, kept, contested)
}

/// Whether a row of an earlier version of a page stands on it as it is now: where its cell lay lies one that can't be read.
fn stands(ground: Ground<'_, '_>, (earlier, at): Place) -> bool {
    let number = ground.view.page(earlier).filter(|_| ground.view.is_old(earlier)).map(|page| page.number);
    let Some(number) = number.filter(|number| ground.survey.page(*number).bad > 0) else { return false };
    let Some(version) = ground.view.page(number) else { return false };
    Page::parse(version.bytes, version.number, ground.view.geometry).is_some_and(|page| {
        let reads = |cell: &Cell| survey::reads(&page, cell, ground.view.page_count);
        page.header.kind == PageKind::TableLeaf
            && page.pointers().any(|pointer| pointer == at as usize)
            && page.good_cell(at as usize).is_none_or(|cell| !reads(&cell))
    })
}

/// Whether a whole cell is an older copy of one whose record header is damaged: as long, and with mostly the same body.
fn is_older_copy(ground: Ground<'_, '_>, damaged: &Doubtful, copy: &Doubtful) -> bool {
    let local = |row: &Doubtful| {
        let page = ground.view.page(row.place.0)?;
        Some(row.cell.local_payload(page.bytes))
    };
    let (Some(now), Some(then)) = (local(damaged), local(copy)) else { return false };
    let Ok(header) = record::header(then, copy.cell.payload_len) else { return false };
    let body = then.len().saturating_sub(header.len);
    let equal = now.iter().zip(then).skip(header.len).filter(|(now, then)| now == then).count();
    damaged.cell.payload_len == copy.cell.payload_len
        && damaged.cell.local == copy.cell.local
        && 2 * equal > body
}

/// The cell of a settled page that has this row id.
pub(super) fn settled_cell(ground: Ground<'_, '_>, settled: &[u32], rowid: i64) -> Option<(Place, Cell)> {
    let after = settled.partition_point(|page| ground.survey.page(*page).first <= rowid);
    let number = *settled.get(after.checked_sub(1)?)?;
    let version = ground.view.page(number)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let cell = page.row(rowid)?;
    Some(((number, cell.at), cell))
}

/// Whether two cells hold the same record as far as it lies on their pages.
fn same_local(ground: Ground<'_, '_>, a: (Place, Cell), b: (Place, Cell)) -> bool {
    let local = |((page, _), cell): (Place, Cell)| Some(cell.local_payload(ground.view.page(page)?.bytes));
    a.1.payload_len == b.1.payload_len && a.1.overflow != b.1.overflow && local(a) == local(b)
}

/// Whether two cells hold the same record.
pub(super) fn same_payload(ground: Ground<'_, '_>, a: (Place, Cell), b: (Place, Cell)) -> bool {
    let read = |((page, _), cell): (Place, Cell)| {
        let version = ground.view.page(page)?;
        Some(chains::read(ground.view, ground.survey, &version, &cell).bytes)
    };
    a.1.payload_len == b.1.payload_len && read(a).is_some_and(|bytes| Some(bytes) == read(b))
}
