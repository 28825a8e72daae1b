//! Records that hold columns of rows, but are no rows of the table: index entries, and what temp files hold.
//!
//! They name a row by its id. Most are copies of the row that stands, or of one that was found; the others are what is
//! left of a row, or of a version of it.

use super::super::agree::same;
use super::super::chains;
use super::super::entries::owned;
use super::super::prints::Print;
use super::judge::Judged;
use super::live::Live;
use super::{Candidate, Dead, Search};
use crate::model::{Cell as RowCell, State, Transaction};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::HashMap;

/// Where the columns of a table stand in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Projection {
    /// For each stored column its position in the record.
    pub columns: Vec<Option<usize>>,
    /// Where the row id stands; `None` where it is that of the cell.
    pub rowid: Option<usize>,
}

impl Projection {
    /// The stored columns in the order of the table, each with its serial type and its offset in the payload; `alias` is
    /// the one that the row id stands for.
    pub(super) fn columns(
        &self,
        stored: &[Option<(Serial, u64)>],
        alias: Option<usize>,
    ) -> Vec<Option<(Serial, u64)>> {
        let column = |(column, position): (usize, &Option<usize>)| {
            if alias == Some(column) {
                return Some((Serial::NULL, 0));
            }
            stored.get((*position)?).copied().flatten()
        };
        self.columns.iter().enumerate().map(column).collect()
    }
}

/// Stored columns of a table, and what they hold.
type Known = Vec<(usize, RowCell<'static>)>;

/// Rows without an id that a record is compared with: those that share its rarest cell.
const MOST_NAMELESS: usize = 64;

/// Groups that a thread takes at a time.
const SHARE: usize = 64;

/// Adds what is left of rows to those that were found; records that are copies of these become their evidence.
pub(super) fn judge(
    search: &Search<'_, '_>,
    live: &Live<'_, '_, '_>,
    mut projected: Vec<Candidate>,
    judged: &mut Vec<Judged>,
) {
    projected.retain(|dead| !dead.uncommitted && dead.rowid.is_some());
    projected.par_sort_by_key(|dead| {
        let place = (dead.page, dead.freed.cell.at);
        (dead.rowid, Reverse(dead.newness), dead.freed.rebuilt, place)
    });
    if projected.is_empty() {
        return;
    }
    let found = Found::of(search, judged, &projected);
    let groups: Vec<&[Candidate]> = projected.chunk_by(|a, b| a.rowid == b.rowid).collect();
    let told: Vec<Told> =
        groups.par_iter().with_min_len(SHARE).map(|group| told(search, live, group)).collect();
    let mut parts: Vec<Judged> = Vec::new();
    for (group, told) in groups.into_iter().zip(told) {
        let Some(rowid) = group.first().and_then(|dead| dead.rowid) else { continue };
        let mut versions: Vec<(Known, Judged)> = Vec::new();
        for (dead, known) in group.iter().zip(told.known) {
            let Some(known) = known else { continue };
            if let Some(number) = found.same(&known, rowid) {
                // A row that lost its id may be another one.
                let same = judged.get_mut(number).filter(|judged| judged.dead.rowid.is_some());
                same.map(|judged| judged.also.push(dead.clone())).unwrap_or_default();
                continue;
            }
            let is_same = |(other, version): &&mut (Known, Judged)| {
                *other == known && version.dead.projection == dead.projection
            };
            if let Some((_, version)) = versions.iter_mut().find(is_same) {
                version.dead.undecided &= dead.undecided;
                version.also.push(dead.clone());
                continue;
            }
            let judged = Judged {
                state: State::Deleted,
                transaction: Transaction::Committed,
                dead: dead.clone(),
                also: Vec::new(),
            };
            versions.push((known, judged));
        }
        let known_gone = found.by_rowid.contains_key(&rowid);
        if !told.stands && !known_gone {
            join(&mut versions);
        }
        let state = if told.stands {
            State::Superseded
        } else if known_gone || versions.len() > 1 {
            // Which of several came last, nothing tells.
            State::Unknown
        } else {
            State::Deleted
        };
        parts.extend(versions.into_iter().map(|(_, mut version)| {
            version.state = state;
            if version.dead.undecided {
                version.transaction = Transaction::Unknown;
            }
            version
        }));
    }
    judged.append(&mut parts);
}

/// What the records of one row id hold that no live row explains.
struct Told {
    /// A row with this id is live.
    stands: bool,
    /// For each of them the columns that it holds; `None` for a copy of the live row.
    known: Vec<Option<Known>>,
}

fn told(search: &Search<'_, '_>, live: &Live<'_, '_, '_>, group: &[Candidate]) -> Told {
    let Some(rowid) = group.first().and_then(|dead| dead.rowid) else {
        return Told { stands: false, known: Vec::new() };
    };
    let standing = live.cells_of(rowid);
    // A row whose page is lost stands as long as an index names it, and one whose page may be lost is no row that is gone.
    let may_stand =
        || search.may_stand(rowid) || live.find(rowid).is_none() && !search.entries.of_row(rowid).is_empty();
    let may_stand = standing.is_none() && may_stand();
    let of_one = |dead: &Candidate| {
        let known = known(search, dead);
        let is_copy = |cells: &[RowCell<'_>]| agrees(&known, |column| cells.get(column).map(RowCell::value));
        let explained = known.is_empty() || may_stand || standing.as_deref().is_some_and(is_copy);
        (!explained).then_some(known)
    };
    Told { stands: standing.is_some(), known: group.iter().map(of_one).collect() }
}

/// Joins what several indexes hold of one row: each has one entry for it, and they don't contradict one another.
fn join(versions: &mut Vec<(Known, Judged)>) {
    let fit = |one: &(Known, Judged), other: &(Known, Judged)| {
        one.1.dead.projection != other.1.dead.projection
            && one.1.dead.undecided == other.1.dead.undecided
            && agrees(&one.0, |column| value_in(&other.0, column))
    };
    let mut pairs = versions.iter().enumerate();
    if !pairs.all(|(at, one)| versions.iter().skip(at + 1).all(|other| fit(one, other))) {
        return;
    }
    for (_, part) in versions.split_off(versions.len().min(1)) {
        if let Some((_, first)) = versions.first_mut() {
            first.also.push(part.dead);
            first.also.extend(part.also);
        }
    }
}

/// The rows that were found, to be asked for those that hold what a record does.
struct Found {
    rows: Vec<Known>,
    by_rowid: HashMap<i64, Vec<usize>>,
    /// Rows without an id, by the prints of their cells.
    by_cell: HashMap<Print, Vec<usize>>,
}

impl Found {
    /// `projected` are in the order of their row ids.
    fn of(search: &Search<'_, '_>, judged: &[Judged], projected: &[Candidate]) -> Self {
        // Rows of other ids are never asked for.
        let is_asked = |dead: &Dead| {
            dead.rowid.is_none()
                || projected.binary_search_by_key(&dead.rowid, |projected| projected.rowid).is_ok()
        };
        let cells =
            |judged: &Judged| if is_asked(&judged.dead) { known(search, &judged.dead) } else { Vec::new() };
        let mut found = Self {
            rows: judged.par_iter().with_min_len(SHARE).map(cells).collect(),
            by_rowid: HashMap::new(),
            by_cell: HashMap::new(),
        };
        for (number, (judged, cells)) in judged.iter().zip(&found.rows).enumerate() {
            match judged.dead.rowid {
                Some(rowid) => found.by_rowid.entry(rowid).or_default().push(number),
                None => {
                    for (_, cell) in cells {
                        found.by_cell.entry(Print::of_cell(cell)).or_default().push(number);
                    }
                }
            }
        }
        found
    }

    /// The row with this id, or without one, that holds the same.
    fn same(&self, known: &Known, rowid: i64) -> Option<usize> {
        let holds = |number: &usize| {
            self.rows.get(*number).is_some_and(|row| agrees(known, |column| value_in(row, column)))
        };
        let own = self.by_rowid.get(&rowid).into_iter().flatten().copied().find(holds);
        own.or_else(|| {
            let of_cell = |(_, cell): &(usize, RowCell<'_>)| {
                self.by_cell.get(&Print::of_cell(cell)).map(Vec::as_slice).unwrap_or_default()
            };
            let fewest = known.iter().map(of_cell).min_by_key(|rows| rows.len())?;
            fewest.iter().take(MOST_NAMELESS).copied().find(holds)
        })
    }
}

/// The stored columns that a candidate holds whole.
fn known(search: &Search<'_, '_>, dead: &Dead) -> Known {
    let view = &search.database.view;
    let Some(version) = view.page(dead.page) else { return Vec::new() };
    let payload = chains::read(view, &search.database.survey, &version, &dead.freed.cell);
    let serials = dead.freed.serials.iter().copied();
    let cells = record::cells(serials, dead.freed.header_len as usize, &payload.bytes);
    let cells: Vec<RowCell<'static>> = cells
        .map(|(serial, bytes)| owned(&bytes.map_or(Value::Missing, |bytes| serial.decode(bytes))))
        .collect();
    let alias = search.alias();
    let whole = |(column, cell): (usize, RowCell<'static>)| {
        (cell.is_whole() && alias != Some(column)).then_some((column, cell))
    };
    match &dead.projection {
        None => cells.into_iter().enumerate().filter_map(whole).collect(),
        Some(projection) => {
            let cell = |(column, position): (usize, &Option<usize>)| {
                Some((column, cells.get((*position)?)?.clone()))
            };
            projection.columns.iter().enumerate().filter_map(cell).filter_map(whole).collect()
        }
    }
}

/// Whether what is known is also what `other` holds; a cell that is not whole there contradicts nothing.
fn agrees<'o>(known: &Known, other: impl Fn(usize) -> Option<Value<'o>>) -> bool {
    known.iter().all(|(column, cell)| other(*column).is_none_or(|other| same(&cell.value(), &other)))
}

fn value_in<'k>(known: &'k Known, column: usize) -> Option<Value<'k>> {
    known.iter().find(|(other, _)| *other == column).map(|(_, cell)| cell.value())
}
