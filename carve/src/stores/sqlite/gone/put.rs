//! Rows that are gone, as batches.

use super::super::chains::{self, Payload};
use super::super::database::Database;
use super::super::history::OfTable;
use super::super::layout::Layout;
use super::super::rank::Ranked;
use super::super::solve::Solution;
use super::super::view::PageVersion;
use super::super::windows;
use super::judge::Judged;
use super::method::Method;
use super::noted::{Matched, Noted, Order};
use super::{Candidate, Dead, Numbering, zeroed};
use crate::confidence;
use crate::error::Error;
use crate::model::{
    Batch, Cell, Evidence, Inferred, Lifetime, Point, Row, State, TableId, Transaction, are_full,
};
use crate::stores::RowSink;
use mudlark_parsers::bytes::touch;
use mudlark_parsers::claim::{Claim, Claims};
use rayon::prelude::*;
use std::borrow::Cow;
use std::cmp::Reverse;

/// Where rows are put out.
pub(super) struct Target<'t, 'a> {
    pub database: &'t Database<'a>,
    pub layout: &'t Layout,
    pub table: TableId,
    /// Whether its rows have row ids.
    pub rowids: bool,
    /// Claims that all rows share.
    pub claims: Claims,
    /// When the rows stood, when a log tells.
    pub lifetimes: Option<OfTable<'t>>,
}

/// Rows of one batch.
const ROWS: usize = 512;

/// Versions whose parts, which lie all over memory, are asked for before the first of them is put: they then come at a time,
/// rather than each when its turn comes.
const AHEAD: usize = 16;

/// Reads a byte of every line of memory in which a version lies, and of the cell on its page.
fn touch_ahead(target: &Target<'_, '_>, judged: &Judged) {
    let dead = &*judged.dead;
    std::hint::black_box((dead.claims.bits(), dead.newness, dead.freed.serials.len()));
    judged.also.iter().for_each(|also| _ = std::hint::black_box((also.page, also.claims.bits())));
    let page = target.database.view.page(dead.page);
    let cell =
        page.and_then(|page| page.bytes.get(dead.freed.cell.at as usize..dead.freed.cell.end as usize));
    touch(cell.unwrap_or_default());
}

/// Hands the rows to `sink`, a window of batches at a time.
pub(super) fn all<'s, 'a: 's>(
    target: &Target<'_, 'a>,
    judged: &[Judged],
    matched: &Matched,
    sink: &mut RowSink<'_, 's>,
) -> Result<(), Error> {
    let empty = || Batch::new(target.table, target.database.encoding);
    let width = 2 * rayon::current_num_threads();
    let fill = |(first, window): (usize, &[Judged]), batches: &mut Vec<Batch<'s>>| {
        batches.resize_with(window.len().div_ceil(ROWS), empty);
        window.par_chunks(ROWS).zip(&mut *batches).enumerate().for_each(|(chunk, (versions, batch))| {
            batch.clear();
            batch.reserve(versions.len(), target.layout.columns.len());
            let mut solution = Solution { columns: Vec::new() };
            let mut numbers = first + chunk * ROWS..;
            for few in versions.chunks(AHEAD) {
                few.iter().for_each(|version| touch_ahead(target, version));
                for (version, number) in few.iter().zip(&mut numbers) {
                    put(target, (version, matched.of_row(number)), &mut solution, batch);
                }
            }
        });
    };
    let firsts = (0..).step_by(ROWS * width);
    windows::put(firsts.zip(judged.chunks(ROWS * width)), fill, sink)
}

/// Adds a version to a batch, with the index entries that hold the same.
fn put<'s, 'a: 's>(
    target: &Target<'_, 'a>,
    (judged, noted): (&Judged, &[Noted]),
    solution: &mut Solution,
    batch: &mut Batch<'s>,
) {
    let dead = &judged.dead;
    let is_entry = |also: &Candidate| also.projection.is_some() && also.claims.has(Claim::FromIndex);
    let (first_cell, first_evidence) = (batch.cells.len() as u32, batch.evidence.len() as u32);
    let row_index = batch.rows.len() as u32;
    let rowid = dead.rowid;
    let Some(doubt) = cells(target, dead, row_index, solution, batch) else { return };
    // What other indexes hold of the row.
    let others = judged.also.iter().filter(|also| also.projection.is_some() && dead.projection.is_some());
    for also in others.filter(|also| also.projection != dead.projection) {
        let from = batch.cells.len();
        cells(target, also, row_index, solution, batch);
        let further: Vec<Cell<'s>> = batch.cells.drain(from..).collect();
        let own = batch.cells.get_mut(first_cell as usize..).unwrap_or_default();
        for (cell, other) in own.iter_mut().zip(further).filter(|(cell, _)| !cell.is_whole()) {
            *cell = other;
        }
    }
    let in_index = dead.projection.is_none() && (!noted.is_empty() || judged.also.iter().any(is_entry));
    places(target, judged, noted, batch);
    if dead.claims.has(Claim::RowidInferred)
        && let Some(alias) = target.layout.alias()
    {
        batch.inferred.push((row_index, Inferred { column: alias, from: "the row ids beside it" }));
    }
    let unknown = target.rowids && rowid.is_none();
    let claims = dead
        .claims
        .and(doubt)
        .and(target.claims)
        .with_if(unknown, Claim::RowidUnknown)
        .with_if(in_index, Claim::IndexAgrees)
        .with_if(judged.also.iter().any(|also| also.projection == dead.projection), Claim::SeenAgain);
    let row = batch.cells.get(first_cell as usize..).unwrap_or_default();
    let (state, claims) = settled(judged.state, are_full(&target.layout.columns, row), claims);
    let lifetimes = batch.add_lifetimes(&lifetimes(target, judged));
    batch.rows.push(Row {
        rowid,
        state,
        transaction: judged.transaction,
        claims,
        cells: first_cell..batch.cells.len() as u32,
        evidence: first_evidence..batch.evidence.len() as u32,
        lifetimes,
    });
}

/// Adds the cells of a candidate to a batch; returns what they say against it, and `None` where its page is not there.
/// `solution` is room for where they stand.
fn cells<'s, 'a: 's>(
    target: &Target<'_, 'a>,
    dead: &Dead,
    row_index: u32,
    solution: &mut Solution,
    batch: &mut Batch<'s>,
) -> Option<Claims> {
    let view = &target.database.view;
    let version = view.page(dead.page)?.then();
    let first_cell = batch.cells.len();
    let payload = payload(target.database, &version, dead);
    let mut at = u64::from(dead.freed.header_len);
    let columns = dead.freed.serials.iter().map(|serial| {
        let here = at;
        at = at.saturating_add(serial.len());
        Some((serial, here))
    });
    solution.columns.clear();
    solution.columns.extend(columns);
    if let Some(projection) = &dead.projection {
        solution.columns = projection.columns(&solution.columns, target.layout.alias_position());
    }
    let rowid = dead.rowid;
    let doubt = match payload.bytes {
        Cow::Borrowed(bytes) => target.layout.solved(solution, bytes, rowid, row_index, batch, Cow::Borrowed),
        Cow::Owned(bytes) => {
            target
                .layout
                .solved(solution, &bytes, rowid, row_index, batch, |bytes: &[u8]| Cow::Owned(bytes.to_vec()))
        }
    };
    let lost = zeroed::sectors(&version, &dead.freed);
    if !lost.is_empty() && dead.projection.is_none() {
        let record = (dead.freed.header_len as usize, dead.freed.serials.iter());
        let row = batch.cells.get_mut(first_cell..).unwrap_or_default();
        target.layout.blank(record, &dead.freed.cell, &lost, false, row);
    }
    Some(doubt)
}

/// The lifetime of a row that was gone before the log.
const BEFORE_LOG: [Lifetime; 1] = [Lifetime { from: Some(Point::BeforeLog), to: Some(Point::BeforeLog) }];

/// When a version stood. One that was never committed never did.
fn lifetimes(target: &Target<'_, '_>, judged: &Judged) -> Cow<'static, [Lifetime]> {
    let dead = &judged.dead;
    if judged.transaction != Transaction::Committed {
        return Cow::Borrowed(&[]);
    }
    let Some(of_table) = &target.lifetimes else {
        // Without a log all that ended did so before one.
        let before = judged.state != State::Later && !target.database.is_logged();
        return Cow::Borrowed(if before { &BEFORE_LOG } else { &[] });
    };
    // Where an entry lies is not where the row stood, whose page's commits tell when.
    if dead.projection.is_some() {
        return Cow::Borrowed(&[]);
    }
    let view = &target.database.view;
    let own = |dead: &&Candidate| dead.projection.is_none();
    let mut places = std::iter::once(dead).chain(judged.also.iter()).filter(own);
    let in_base = places.any(|dead| {
        let version = view.page(dead.page).filter(|_| !dead.uncommitted);
        let roles = &target.database.roles;
        version.is_some_and(|version| {
            let in_main = Some(version.source) == roles.main;
            // A journal beside a log is older than it.
            Some(version.source) == roles.journal || in_main && of_table.is_base(version.number)
        })
    });
    let key = if target.rowids { dead.rowid.map(Ranked::of_rowid) } else { dead.key.as_deref().copied() };
    let sure = key.is_some() && !dead.claims.has(Claim::RowidInferred);
    let of_now = dead.numbering != Numbering::Unknown;
    Cow::Owned(of_table.of_gone((key, sure), dead.content, in_base, of_now))
}

/// The state, or that it isn't known: where of rows with these claims fewer than half had it.
fn settled(state: State, full: bool, claims: Claims) -> (State, Claims) {
    let perhaps = match state {
        State::Deleted => Claim::PerhapsDeleted,
        State::Superseded => Claim::PerhapsSuperseded,
        _ => return (state, claims),
    };
    // No case that was counted has a temp file.
    if !claims.has(Claim::FromTempFile) && confidence::is_state_unsure(state, full, claims) {
        (State::Unknown, claims.with(perhaps))
    } else {
        (state, claims)
    }
}

/// Adds all places where a version was seen: those of index entries in their order among others of records.
fn places(target: &Target<'_, '_>, judged: &Judged, noted: &[Noted], batch: &mut Batch<'_>) {
    evidence(target, &judged.dead, batch);
    let first = judged.also.iter().position(|also| also.projection.is_some() && !noted.is_empty());
    let (rows, records) = judged.also.split_at(first.unwrap_or(judged.also.len()));
    rows.iter().for_each(|dead| evidence(target, dead, batch));
    let mut noted: Vec<(Order, Noted)> =
        noted.iter().map(|noted| (noted.order(target.database), *noted)).collect();
    noted.sort_by_key(|(order, _)| *order);
    let mut noted = noted.into_iter().peekable();
    for record in records {
        let order = (Reverse(record.newness), record.freed.rebuilt, (record.page, record.freed.cell.at));
        while let Some((_, entry)) = noted.next_if(|(entry, _)| *entry < order) {
            of_entry(target, &entry, batch);
        }
        evidence(target, record, batch);
    }
    noted.for_each(|(_, entry)| of_entry(target, &entry, batch));
}

fn of_entry(target: &Target<'_, '_>, entry: &Noted, batch: &mut Batch<'_>) {
    let Some(version) = target.database.view.page(entry.page) else { return };
    let from = batch.spans.len() as u32;
    batch.spans.push(version.span(entry.at.into(), entry.len.into()));
    let (page, commit, spans) = (Some(version.number), version.commit, from..from + 1);
    batch.evidence.push(Evidence { method: Method::IndexEntry.name(), page, commit, spans });
}

/// The payload of a row: of a chain that a live row has taken pages of since, what stands before them.
fn payload<'a>(database: &Database<'a>, version: &PageVersion<'a>, dead: &Dead) -> Payload<'a> {
    let (view, survey) = (&database.view, &database.survey);
    match dead.taken {
        true => chains::read_gone(view, survey, &database.chained, version, &dead.freed.cell),
        false => chains::read(view, survey, version, &dead.freed.cell),
    }
}

fn evidence(target: &Target<'_, '_>, dead: &Dead, batch: &mut Batch<'_>) {
    let view = &target.database.view;
    let Some(version) = view.page(dead.page).map(PageVersion::then) else { return };
    let from = batch.spans.len();
    let chain = payload(target.database, &version, dead).pages;
    chains::spans(view, &version, &dead.freed.cell, &chain, &mut batch.spans);
    let spans = from as u32..batch.spans.len() as u32;
    // What a sorter spills lies on no page.
    let (page, commit) = (Some(version.number).filter(|page| *page > 0), version.commit);
    batch.evidence.push(Evidence { method: dead.method.name(), page, commit, spans });
}
