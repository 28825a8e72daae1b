//! Records that hold columns of rows, but are no rows of the table: index entries, and what temp files hold.
//!
//! They name a row by its id. Most are copies of the row that stands, or of one that was found; the others are what is
//! left of a row, or of a version of it.

use super::super::agree::same;
use super::super::chains;
use super::super::entries::cells;
use super::super::prints::Print;
use super::also::Also;
use super::entries::Indexes;
use super::judge::Judged;
use super::live::Live;
use super::noted::{Matched, Noted};
use super::{Candidate, Dead, Search};
use crate::model::{Cell as RowCell, State, Transaction};
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;
use rayon::prelude::*;
use std::borrow::Cow;
use std::cell::LazyCell;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Where the columns of a table stand in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Projection {
    /// For each stored column its position in the record.
    pub columns: Vec<Option<usize>>,
    /// Where the row id stands; `None` where it is that of the cell.
    pub rowid: Option<usize>,
}

impl Projection {
    /// The columns that a record holds, in the order of their positions; without `alias`, for which the row id stands.
    fn held(&self, alias: Option<usize>) -> impl Iterator<Item = (usize, usize)> {
        let positions = self.columns.iter().flatten().max().map_or(0..0, |last| 0..last + 1);
        let column = |position: usize| self.columns.iter().position(|held| *held == Some(position));
        let columns = positions.filter_map(move |position| Some((position, column(position)?)));
        columns.filter(move |(_, column)| alias != Some(*column))
    }

    /// The print of a record's columns; none where it holds no column or not all of them whole.
    pub(super) fn print<'p>(
        &self,
        mut cells: impl Iterator<Item = (Serial, Option<&'p [u8]>)>,
        alias: Option<usize>,
    ) -> Print {
        let mut held = self.held(alias).peekable();
        if held.peek().is_none() {
            return Print::NONE;
        }
        let mut next = 0;
        Print::of_values(held.map(|(position, _)| {
            let cell = cells.nth(position - next);
            next = position + 1;
            cell.and_then(|(serial, bytes)| Some(serial.decode(bytes?))).unwrap_or(Value::Missing)
        }))
    }

    /// The print that a record would have that holds these columns of a row; `cell` gives one of its cells.
    fn print_of<'p>(
        &self,
        alias: Option<usize>,
        cell: impl Fn(usize) -> Option<(Serial, Option<&'p [u8]>)>,
    ) -> Print {
        let value = |(serial, bytes): (Serial, Option<&'p [u8]>)| Some(serial.decode(bytes?));
        let columns = self.held(alias).map(|(_, column)| cell(column).and_then(value));
        Print::of_values(columns.map(|value| value.unwrap_or(Value::Missing)))
    }

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
type Known<'a> = Vec<(usize, RowCell<'a>)>;

/// Rows without an id that a record is compared with: those that share its rarest cell.
const MOST_NAMELESS: usize = 64;

/// Groups that a thread takes at a time.
const SHARE: usize = 64;

/// The index entries of rows that may be gone.
pub(super) struct OfIndexes<'e> {
    pub indexes: &'e Indexes<'e>,
    pub noted: Vec<Noted>,
    /// Reads them again, as candidates.
    pub again: &'e dyn Fn(Vec<Noted>) -> Vec<Candidate>,
    /// The rows will be held against other ones: nothing of them is kept by its place only.
    pub are_all_asked: bool,
}

/// Adds what is left of rows to those that were found, which are in the order of their row ids; records that are copies
/// of these become their evidence. Returns the entries that are, and are not among it.
pub(super) fn judge<'a>(
    search: &Search<'_, 'a>,
    live: &Live<'_, '_, 'a>,
    mut projected: Vec<Candidate>,
    entries: OfIndexes<'_>,
    judged: &mut Vec<Judged>,
) -> Matched {
    projected.retain(|dead| !dead.uncommitted && !dead.later && dead.rowid.is_some());
    if projected.is_empty() && entries.noted.is_empty() {
        return Matched::default();
    }
    let found = Found::of(search, judged);
    let (matched, asked) = match entries.are_all_asked {
        true => (Matched::default(), entries.noted),
        false => Matched::of(search, live, &found, entries.indexes, entries.noted),
    };
    projected.extend((entries.again)(asked));
    // They lie all over memory: each is asked once.
    projected.par_sort_by_cached_key(|dead| {
        let place = (dead.page, dead.freed.cell.at);
        (dead.rowid, Reverse(dead.newness), dead.freed.rebuilt, place)
    });
    let groups: Vec<&[Candidate]> = projected.chunk_by(|a, b| a.rowid == b.rowid).collect();
    let told: Vec<Told<'_>> = groups
        .par_iter()
        .with_min_len(SHARE)
        .map(|group| told(search, live, &found, (&matched, entries.indexes), group))
        .collect();
    let mut parts: Vec<Judged> = Vec::new();
    let mut projected = projected.into_iter();
    for told in told {
        for number in &told.contradicted {
            let row = judged.get_mut(*number).map(|judged| &mut judged.dead.claims);
            row.into_iter().for_each(|claims| *claims = claims.with(Claim::IndexDisagrees));
        }
        let mut versions: Vec<(Known<'_>, Judged)> = Vec::new();
        for (said, dead) in told.said.into_iter().zip(&mut projected) {
            let known = match said {
                Said::Nothing => continue,
                Said::Again(number) => {
                    // A row that lost its id may be another one.
                    let same = judged.get_mut(number).filter(|judged| judged.dead.rowid.is_some());
                    same.map(|judged| judged.also.push(dead)).unwrap_or_default();
                    continue;
                }
                Said::New(known) => known,
            };
            let is_same = |(other, version): &&mut (Known<'_>, Judged)| {
                *other == known && version.dead.projection == dead.projection
            };
            if let Some((_, version)) = versions.iter_mut().find(is_same) {
                version.dead.undecided &= dead.undecided;
                version.also.push(dead);
                continue;
            }
            let (state, transaction) = (State::Deleted, Transaction::Committed);
            versions.push((known, Judged { state, transaction, dead, also: Also::default() }));
        }
        if !told.stands && !told.known_gone {
            join(&mut versions);
        }
        let state = if told.stands {
            State::Superseded
        } else if told.known_gone || versions.len() > 1 {
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
    matched
}

/// Holds index entries against rows of an earlier shape, which `judged` are: those that hold the same become their evidence.
/// Others are of later versions of these rows.
pub(super) fn settle_entries(search: &Search<'_, '_>, judged: &mut [Judged], entries: &mut Vec<Judged>) {
    let Some(as_live) = &search.as_live else { return };
    let with_id = judged.partition_point(|judged| judged.dead.rowid.is_some());
    let alias = search.alias();
    let alias = alias.and_then(|alias| as_live.iter().position(|position| *position == Some(alias)));
    let holds_same = |row: &Dead, entry: &Dead| {
        let Some(projection) = entry.projection.as_deref() else { return false };
        let Some(payload) = payload(search, row) else { return false };
        let (serials, body_at) = (row.freed.serials.iter(), row.freed.header_len as usize);
        let cells: Vec<_> = record::cells(serials, body_at, &payload).collect();
        let cell = |column: usize| cells.get(as_live.get(column).copied().flatten()?).copied();
        projection.print_of(alias, cell).shows(entry.print)
    };
    let mut later: HashSet<usize> = HashSet::new();
    let mut same: HashSet<usize> = HashSet::new();
    let is_entry =
        |entry: &Judged| entry.dead.projection.is_some() && !entry.dead.claims.has(Claim::FromTempFile);
    for entry in std::mem::take(entries) {
        let Some(rowid) = entry.dead.rowid.filter(|_| is_entry(&entry)) else {
            entries.push(entry);
            continue;
        };
        let known = judged.get(..with_id).unwrap_or_default();
        let from = known.partition_point(|row| row.dead.rowid < Some(rowid));
        let of_id =
            from..from + known.iter().skip(from).take_while(|row| row.dead.rowid == Some(rowid)).count();
        let row_of = |entry: &Dead| {
            of_id.clone().find(|row| known.get(*row).is_some_and(|row| holds_same(&row.dead, entry)))
        };
        let row = row_of(&entry.dead).filter(|_| entry.also.iter().all(|also| row_of(also).is_some()));
        let Some(row) = row else {
            later.extend(of_id);
            entries.push(entry);
            continue;
        };
        same.insert(row);
        if let Some(row) = judged.get_mut(row) {
            row.also.push(entry.dead);
            row.also.append(entry.also);
        }
    }
    for row in later.difference(&same) {
        let deleted = judged.get_mut(*row).filter(|row| row.state == State::Deleted);
        deleted.into_iter().for_each(|row| row.state = State::Superseded);
    }
}

/// What a record says.
enum Said<'a> {
    /// Nothing, or what the live row explains.
    Nothing,
    /// The same as a row that was found, by its number.
    Again(usize),
    /// What these columns held.
    New(Known<'a>),
}

/// What the records of one row id say.
struct Told<'a> {
    /// A row with this id is live.
    stands: bool,
    /// A row with this id was found.
    known_gone: bool,
    /// Of each of them.
    said: Vec<Said<'a>>,
    /// The rows with this id, by their numbers, of which an index holds no entry but one with other cells.
    contradicted: Vec<usize>,
}

fn told<'a>(
    search: &Search<'_, 'a>,
    live: &Live<'_, '_, 'a>,
    found: &Found<'_, 'a>,
    matched: (&Matched, &Indexes<'_>),
    group: &[Candidate],
) -> Told<'a> {
    let Some(rowid) = group.first().and_then(|dead| dead.rowid) else {
        return Told { stands: false, known_gone: false, said: Vec::new(), contradicted: Vec::new() };
    };
    let standing = live.find(rowid);
    let may_stand = standing.is_none() && search.may_be_named(rowid);
    let of_id = found.of_id(rowid);
    // What the live row and those that were found hold, where prints don't show that it is the same.
    let live_cells = LazyCell::new(|| live.cells_of(rowid));
    let own = LazyCell::new(|| {
        let known = of_id.clone().filter_map(|number| Some((number, known(search, found.dead(number)?))));
        known.collect::<Vec<(usize, Known<'a>)>>()
    });
    let print = |projection: &Projection| print_of(search, live, standing, found.first(&of_id), projection);
    let of_one = |dead: &Candidate| {
        if may_stand {
            return Said::Nothing;
        }
        let projection = dead.projection.as_deref().filter(|_| dead.print != Print::NONE);
        if projection.and_then(print).is_some_and(|print| print.shows(dead.print)) {
            return if standing.is_some() { Said::Nothing } else { Said::Again(of_id.start) };
        }
        let known = known(search, dead);
        let is_copy =
            |cells: &Vec<RowCell<'_>>| agrees(&known, |column| cells.get(column).map(RowCell::value));
        if known.is_empty() || standing.is_some() && live_cells.as_ref().is_some_and(is_copy) {
            return Said::Nothing;
        }
        let same = own.iter().find(|(_, row)| agrees(&known, |column| value_in(row, column)));
        let same = same.map(|(number, _)| *number).or_else(|| found.without_id(&known));
        same.map_or(Said::New(known), Said::Again)
    };
    let said: Vec<Said<'_>> = group.iter().map(of_one).collect();
    let contradicted =
        of_id.clone().filter(|number| is_contradicted(*number, matched, group, &said)).collect();
    Told { stands: standing.is_some(), known_gone: !of_id.is_empty(), said, contradicted }
}

/// The print that a record would have that holds these columns of the live row, or else of one that was found.
pub(super) fn print_of(
    search: &Search<'_, '_>,
    live: &Live<'_, '_, '_>,
    standing: Option<(u32, Cell)>,
    row: Option<&Dead>,
    projection: &Projection,
) -> Option<Print> {
    let alias = search.alias();
    match standing {
        Some((page, cell)) => live.with_record(page, &cell, |header, payload| {
            let cells = || record::cells(header.serials(), header.len, payload);
            projection.print_of(alias, |column| cells().nth(column))
        }),
        None => {
            let row = row?;
            let (payload, body_at) = (payload(search, row)?, row.freed.header_len as usize);
            let cells = || record::cells(row.freed.serials.iter(), body_at, &payload);
            Some(projection.print_of(alias, |column| cells().nth(column)))
        }
    }
}

/// Whether an index has entries with cells that no row that was found has under this id, and none of the row with this
/// number.
fn is_contradicted(
    number: usize,
    (matched, indexes): (&Matched, &Indexes<'_>),
    group: &[Candidate],
    said: &[Said<'_>],
) -> bool {
    let entries = || group.iter().zip(said).filter(|(dead, _)| dead.claims.has(Claim::FromIndex));
    let is_of_row =
        |(_, said): &(&Candidate, &Said<'_>)| matches!(said, Said::Again(other) if *other == number);
    let mut others = entries().filter(|(_, said)| matches!(said, Said::New(_)));
    others.any(|(dead, _)| {
        let mut of_index = entries().filter(|(other, _)| other.projection == dead.projection);
        let mut matched = matched.of_row(number).iter().map(|noted| indexes.projection(noted.index));
        !of_index.any(|entry| is_of_row(&entry)) && !matched.any(|other| other == dead.projection.as_deref())
    })
}

/// Joins what several indexes hold of one row: each has one entry for it, and they don't contradict one another.
fn join(versions: &mut Vec<(Known<'_>, Judged)>) {
    let fit = |one: &(Known<'_>, Judged), other: &(Known<'_>, Judged)| {
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
            first.also.append(part.also);
        }
    }
}

/// The rows that were found, to be asked for those that hold what a record does.
pub(super) struct Found<'j, 'a> {
    judged: &'j [Judged],
    /// The row ids of those that have one, which come first.
    ids: Vec<i64>,
    /// What rows without an id hold, and where their cells stand among them, by their prints.
    nameless: Vec<Known<'a>>,
    by_cell: HashMap<Print, Vec<usize>>,
}

impl<'j, 'a> Found<'j, 'a> {
    fn of(search: &Search<'_, 'a>, judged: &'j [Judged]) -> Self {
        let ids: Vec<i64> = judged.iter().map_while(|judged| judged.dead.rowid).collect();
        let nameless = judged.get(ids.len()..).unwrap_or_default().par_iter().with_min_len(SHARE);
        let nameless: Vec<Known<'a>> = nameless.map(|judged| known(search, &judged.dead)).collect();
        let mut by_cell: HashMap<Print, Vec<usize>> = HashMap::new();
        for (number, cells) in nameless.iter().enumerate() {
            for (_, cell) in cells {
                by_cell.entry(Print::of_cell(cell)).or_default().push(number);
            }
        }
        Self { judged, ids, nameless, by_cell }
    }

    /// The numbers of the rows with this id.
    pub(super) fn of_id(&self, rowid: i64) -> Range<usize> {
        let from = self.ids.partition_point(|id| *id < rowid);
        let same = self.ids.get(from..).unwrap_or_default().iter().take_while(|id| **id == rowid);
        from..from + same.count()
    }

    /// The first of these rows.
    pub(super) fn first(&self, rows: &Range<usize>) -> Option<&'j Dead> {
        self.dead(rows.start).filter(|_| !rows.is_empty())
    }

    fn dead(&self, number: usize) -> Option<&'j Dead> {
        self.judged.get(number).map(|judged| &*judged.dead)
    }

    /// The row without an id that holds the same, by its number.
    fn without_id(&self, known: &Known<'_>) -> Option<usize> {
        if self.nameless.is_empty() {
            return None;
        }
        let holds = |number: &usize| {
            self.nameless.get(*number).is_some_and(|row| agrees(known, |column| value_in(row, column)))
        };
        let of_cell = |(_, cell): &(usize, RowCell<'_>)| {
            self.by_cell.get(&Print::of_cell(cell)).map(Vec::as_slice).unwrap_or_default()
        };
        let fewest = known.iter().map(of_cell).min_by_key(|rows| rows.len())?;
        let same = fewest.iter().take(MOST_NAMELESS).copied().find(holds);
        same.map(|number| self.ids.len() + number)
    }
}

/// The payload of a candidate, as far as it is there.
fn payload<'a>(search: &Search<'_, 'a>, dead: &Dead) -> Option<Cow<'a, [u8]>> {
    let view = &search.database.view;
    let payload =
        chains::read(view, &search.database.survey, &view.page(dead.page)?.then(), &dead.freed.cell);
    Some(payload.bytes)
}

/// The stored columns that a candidate holds whole.
fn known<'a>(search: &Search<'_, 'a>, dead: &Dead) -> Known<'a> {
    let Some(payload) = payload(search, dead) else { return Vec::new() };
    let serials = dead.freed.serials.iter();
    let cells = cells(serials, dead.freed.header_len as usize, payload);
    let alias = search.alias();
    let whole = |(column, cell): (usize, RowCell<'a>)| {
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
fn agrees<'o>(known: &Known<'_>, other: impl Fn(usize) -> Option<Value<'o>>) -> bool {
    known.iter().all(|(column, cell)| other(*column).is_none_or(|other| same(&cell.value(), &other)))
}

fn value_in<'k>(known: &'k Known<'_>, column: usize) -> Option<Value<'k>> {
    known.iter().find(|(other, _)| *other == column).map(|(_, cell)| cell.value())
}
