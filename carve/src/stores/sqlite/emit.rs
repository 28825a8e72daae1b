//! From pages to batches of row versions.

mod indexed;
mod overrun;

use super::catalogue::TableDef;
use super::chains::{self, Chained};
use super::entries::{Entries, Entry, Near};
use super::forest::{Forest, Ground, How, KeyRange, Tree};
use super::history::OfTable;
use super::ids::RowIds;
use super::layout::Layout;
use super::leaf::{self, FoundCell, Spot};
use super::lost_keys::LostKeys;
use super::outdated::Outdated;
use super::prints::content;
use super::rank::{Rank, Ranked};
use super::rejoined;
use super::restored;
use super::settle::{self, Verdict, Verdicts};
use super::shape::{self, Fit};
use super::solve;
use super::strays::Strays;
use super::survey;
use super::view::PageVersion;
use super::zeroed;
use crate::confidence;
use crate::model::{Batch, Evidence, Lifetime, Point, Row, State, Transaction, are_full};
use crate::source::Span;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Extent, Page};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::value::TextEncoding;
use std::borrow::Cow;
use std::collections::HashMap;

/// What reading the rows of one table needs.
pub(super) struct Reader<'r, 'a> {
    pub ground: Ground<'r, 'a>,
    pub forest: &'r Forest,
    pub def: Option<&'r TableDef>,
    pub layout: &'r Layout,
    pub rowids: bool,
    pub encoding: TextEncoding,
    /// Claims that all rows share.
    pub claims: Claims,
    /// Whether a log is in use: then the time at which a row was written is not known from its page alone.
    pub logged: bool,
    /// Pages whose header is lost, and the range of keys that they held.
    pub bare: HashMap<u32, KeyRange>,
    /// Where rows of lost pages may be found.
    pub strays: Option<&'r Strays>,
    /// The overflow pages of all rows.
    pub chained: &'r Chained,
    /// The table's tree.
    pub tree: &'r Tree,
    /// When its rows stood, when a log tells.
    pub lifetimes: Option<OfTable<'r>>,
}

/// The lifetime of a row that was there before the log, and still is.
const BEFORE_LOG: [Lifetime; 1] = [Lifetime { from: Some(Point::BeforeLog), to: None }];

/// What the rows of a table are checked against.
#[derive(Default)]
pub(super) struct Witnesses {
    pub verdicts: Verdicts,
    pub entries: Entries,
    /// The row ids of the rows that were read.
    pub ids: RowIds,
    /// What is known of the rows of old places.
    pub outdated: Outdated,
}

/// What is kept from row to row, to allocate once.
#[derive(Default)]
struct Scratch {
    /// Where the index entries of the last row were.
    near: Near,
    /// The entries that agree with the row.
    seen: Vec<Entry>,
    /// The cells of the page that reach into noise.
    overrun: Vec<(u32, Extent)>,
}

impl<'a> Reader<'_, 'a> {
    /// The places beside the tree's own pages where its rows may be found, in order.
    pub(super) fn further_pages(&self) -> Vec<Spot> {
        let mut pages: Vec<u32> = self.bare.keys().copied().collect();
        let mut remnants = Vec::new();
        if let Some(strays) = self.strays {
            pages.extend(strays.leaves.iter().chain(strays.bare.keys()));
            remnants.extend(strays.gaps.iter().chain(&strays.leaves));
        }
        let in_order = |mut pages: Vec<u32>, remnants: bool| {
            pages.sort_unstable();
            pages.dedup();
            pages.into_iter().map(move |page| Spot { page, remnants })
        };
        in_order(pages, false).chain(in_order(remnants, true)).collect()
    }

    /// The cells at a place, however it can be read.
    pub(super) fn cells(&self, place: Spot, out: &mut Vec<FoundCell>) {
        out.clear();
        let number = place.page;
        let Some(version) = self.ground.view.page(number) else { return };
        let geometry = self.ground.view.geometry;
        let info = self.ground.survey.page(number);
        let accept = |_: &Cell, header: &RecordHeader<'_>| self.accepts_record(header);
        let kind = leaf::leaf_kind(self.rowids);
        let missing = |cell: &Cell| {
            let keys = self.strays.map(|strays| &strays.keys);
            keys.is_some_and(|keys| {
                keys.hold(self.tree, cell.rowid) && !keys.was_gone(self.ground, number, cell)
            })
        };
        let accept_missing =
            |cell: &Cell, header: &RecordHeader<'_>| missing(cell) && self.accepts(cell, header);
        if place.remnants {
            leaf::remnant_cells(&version, &info, kind, geometry, &accept_missing, out);
            // A division takes rows from an end of the page: others were deleted from it.
            let is_beyond = |rowid: i64| info.cells == 0 || rowid < info.first || info.last < rowid;
            let is_elsewhere = |cell: &Cell| {
                let keys = self.strays.map(|strays| &strays.keys);
                let may_be = |keys: &LostKeys| keys.is_elsewhere(cell.rowid, number) && is_beyond(cell.rowid);
                keys.is_some_and(|keys| !self.rowids || may_be(keys))
            };
            let accept_moved =
                |cell: &Cell, header: &RecordHeader<'_>| is_elsewhere(cell) && accept_missing(cell, header);
            leaf::add_moved_cells(&version, &info, kind, geometry, &accept_moved, out);
            return;
        }
        if let Some(range) = self.bare.get(&number) {
            let is_held = |rowid: i64| {
                let keys = self.strays.map(|strays| &strays.keys);
                keys.is_some_and(|keys| keys.is_held(rowid) && !keys.hold(self.tree, rowid))
            };
            let accept = |cell: &Cell, header: &RecordHeader<'_>| {
                let fits = range.holds(cell.rowid, cell.rowid) && !is_held(cell.rowid);
                (!self.rowids || fits) && self.accepts(cell, header)
            };
            leaf::bare_cells(&version, None, kind, geometry, &accept, out);
            return;
        }
        let Some(strays) = self.strays.filter(|_| self.is_stray(number)) else {
            leaf::cells(&version, &info, geometry, self.ground.view.page_count, &accept, out);
            return;
        };
        if let Some(places) = strays.bare.get(&number) {
            let is_anothers = |header: &RecordHeader<'_>| {
                self.def.is_some_and(|def| shape::fits_another(header, def, self.ground.catalogue))
            };
            let accept_own =
                |cell: &Cell, header: &RecordHeader<'_>| accept_missing(cell, header) && !is_anothers(header);
            leaf::bare_cells(&version, Some(places), kind, geometry, &accept_own, out);
            if !leaf::is_convincing(out) {
                out.clear();
            }
            // A tree that has all of its pages misses none: this one is old, as a free one is that no link names.
            let (gaps, is_free) = (&self.tree.gaps, self.ground.free.pages.contains(&number));
            let is_named = || gaps.iter().any(|gap| gap.child == number);
            if gaps.is_empty() || (is_free || self.forest.all_named) && !is_named() {
                out.iter_mut().for_each(|found| found.claims = found.claims.with(Claim::OldPage));
            }
            return;
        }
        leaf::cells(&version, &info, geometry, self.ground.view.page_count, &accept, out);
        out.retain(|found| found.reads && missing(&found.cell));
        for found in out {
            let earlier = self.ground.view.is_old(number);
            found.claims = found.claims.with(Claim::OldPage).with_if(earlier, Claim::EarlierVersion);
        }
    }

    /// The cells of an old place whose rows can't be missing from the tree; all of a table without row ids.
    pub(super) fn others(&self, place: Spot, out: &mut Vec<FoundCell>) {
        out.clear();
        let Some(strays) = self.strays.filter(|strays| place.remnants || strays.leaves.contains(&place.page))
        else {
            return;
        };
        self.copies(place, out);
        let may_be_missing = |rowid: i64| self.rowids && strays.keys.hold(self.tree, rowid);
        out.retain(|found| !may_be_missing(found.cell.rowid));
    }

    /// All cells of an old page, or below the cells of any.
    pub(super) fn copies(&self, place: Spot, out: &mut Vec<FoundCell>) {
        out.clear();
        let Some(version) = self.ground.view.page(place.page) else { return };
        let (geometry, info) = (self.ground.view.geometry, self.ground.survey.page(place.page));
        let accept = |cell: &Cell, header: &RecordHeader<'_>| self.accepts(cell, header);
        if place.remnants {
            leaf::remnant_cells(&version, &info, leaf::leaf_kind(self.rowids), geometry, &accept, out);
        } else {
            leaf::cells(&version, &info, geometry, self.ground.view.page_count, &accept, out);
        }
        out.retain(|found| found.reads);
    }

    fn is_stray(&self, page: u32) -> bool {
        self.strays.is_some_and(|strays| strays.leaves.contains(&page) || strays.bare.contains_key(&page))
    }

    /// Whether bytes that nothing points to can be a cell of this table.
    fn accepts(&self, cell: &Cell, header: &RecordHeader<'_>) -> bool {
        leaf::is_linked(cell, self.ground.view.page_count) && self.accepts_record(header)
    }

    /// Whether bytes can be a record of this table.
    fn accepts_record(&self, header: &RecordHeader<'_>) -> bool {
        match self.def {
            Some(def) => shape::fit(header, def) != Fit::No,
            None => header.columns == self.layout.columns.len(),
        }
    }

    /// Reads pages into a batch that is empty.
    pub(super) fn read(&self, places: &[Spot], witnesses: &Witnesses, batch: &mut Batch<'a>) {
        let rows = places.iter().map(|place| usize::from(self.ground.survey.page(place.page).cells)).sum();
        batch.reserve(rows, self.layout.columns.len());
        let (mut cells, mut scratch) = (Vec::new(), Scratch::default());
        for place in places {
            let Some(version) = self.ground.view.page(place.page) else { continue };
            self.cells(*place, &mut cells);
            witnesses.ids.note(cells.iter().map(|found| found.cell.rowid));
            if self.ground.survey.page(place.page).rebuilt {
                scratch.overrun = overrun::cells(&version, &cells, self.ground.view.geometry.usable());
            }
            let open = self.ground.view.may_be_uncommitted(place.page);
            let placed = self
                .placed(*place, &version)
                .and(witnesses.outdated.claims(*place))
                .with_if(open, Claim::RecordsLost);
            for (index, found) in cells.iter().enumerate() {
                let verdict = witnesses.verdicts.get(&(place.page, found.cell.at));
                if verdict.is_some_and(|verdict| {
                    verdict.merged || verdict.contested && found.claims.has(Claim::OldPage)
                }) {
                    continue;
                }
                let room = room(&cells, index, self.ground.view.geometry.usable());
                let mut cell = *found;
                cell.claims = cell.claims.and(self.claims).and(placed);
                self.row(place.page, &version, &cell, room, verdict, witnesses, &mut scratch, batch);
            }
        }
        witnesses.entries.share(&mut scratch.near);
    }

    fn placed(&self, place: Spot, version: &PageVersion<'_>) -> Claims {
        if place.remnants || self.is_stray(place.page) {
            return Claims::NONE.with(Claim::PlacedByKeys);
        }
        let claim = match self.forest.place(place.page) {
            Some((_, How::Linked)) if self.ground.view.is_guessed(version) => Claim::PlacedByKeys,
            Some((_, How::Linked)) => Claim::InTree,
            Some((_, How::Keys)) | None => Claim::PlacedByKeys,
            Some((_, How::PointerMap)) => Claim::PlacedByPointerMap,
            Some((_, How::Shape)) => Claim::PlacedByShape,
        };
        Claims::NONE.with(claim)
    }

    #[expect(clippy::too_many_arguments, reason = "one row and all that is known of it")]
    fn row(
        &self,
        number: u32,
        version: &PageVersion<'a>,
        found: &FoundCell,
        room: u64,
        verdict: Option<&Verdict>,
        witnesses: &Witnesses,
        scratch: &mut Scratch,
        batch: &mut Batch<'a>,
    ) {
        let cell = &found.cell;
        let row_index = batch.rows.len() as u32;
        let (first_cell, first_evidence) = (batch.cells.len(), batch.evidence.len() as u32);
        let rowid = self.rowids.then_some(cell.rowid);
        let mut claims = found.claims;
        // Of most rows no commit tells anything: then they were there before.
        let mut lifetimes = None;
        if found.reads {
            let mut payload = chains::read(self.ground.view, self.ground.survey, version, cell);
            let restored = verdict.and_then(|verdict| verdict.restored_from.as_ref());
            let restored =
                restored.and_then(|(((page, _), copy), by)| Some((self.ground.view.page(*page)?, copy, *by)));
            if let Some((page, copy, by)) = &restored {
                payload = chains::read(self.ground.view, self.ground.survey, page, copy);
                claims = claims.with(*by);
            }
            if cell.spilled() > 0 {
                payload.check_end(cell.payload_len, self.encoding);
                let older = verdict.and_then(|verdict| verdict.chain_from.as_ref());
                let older = older.and_then(|(place, copy)| Some((self.ground.view.page(place.0)?, copy)));
                if let Some((page, copy)) = older.filter(|_| !payload.whole || payload.doubtful) {
                    let other = chains::read(self.ground.view, self.ground.survey, &page, copy);
                    if other.whole && !other.doubtful {
                        payload = other;
                    }
                }
                let rejoined = self.chained.rejoined((number, cell.at));
                let rejoined =
                    rejoined.and_then(|chain| rejoined::read(self.ground, version.bytes, cell, chain));
                let is_rejoined = rejoined.is_some();
                payload = rejoined.unwrap_or(payload);
                claims = claims
                    .with_if(is_rejoined, Claim::ChainRejoined)
                    .with(if payload.whole { Claim::ChainWhole } else { Claim::ChainBroken })
                    .with_if(
                        payload.doubtful || !is_rejoined && self.chained.is_shared(&payload.pages),
                        Claim::ChainDoubtful,
                    );
            }
            // A commit may write overflow pages only.
            let of_log = |page: &u32| self.ground.view.page(*page).is_some_and(|page| page.commit.is_some());
            // What an older generation wrote stands in the main file.
            let older = || {
                let of_table = self.lifetimes.as_ref().filter(|of_table| of_table.has_older());
                let is_older = |page: &u32| of_table.is_some_and(|of_table| !of_table.is_base(*page));
                is_older(&version.number) || payload.pages.iter().any(is_older)
            };
            let chosen = self.ground.view.is_chosen();
            let logged = || chosen || version.commit.is_some() || older() || payload.pages.iter().any(of_log);
            // What is read anew for ranges of row ids is asked for in their order.
            let is_told = |of_table: &&OfTable<'_>| {
                of_table.is_held() || settle::is_settled(self.forest, self.ground, number)
            };
            if let Some(of_table) = self.lifetimes.as_ref().filter(|_| logged()).filter(is_told) {
                lifetimes = self.told(of_table, cell, &payload);
            }
            let spans_from = batch.spans.len();
            chains::spans(self.ground.view, version, cell, &payload.pages, &mut batch.spans);
            // Applications store text that is no text; it only says something where other things are broken, or
            // where the row is put together from several pages.
            let alone = claims.has(Claim::PageSound) && cell.overflow == 0 && !claims.has(Claim::FileDamaged);
            let read = self.layout.row(&payload, cell.payload_len, rowid, row_index, !alone, batch);
            let Some(doubt) = read else {
                batch.spans.truncate(spans_from);
                batch.cells.truncate(first_cell);
                return;
            };
            claims = claims.and(doubt);
            if self.ground.survey.page(number).zero_sector && restored.is_none() {
                self.blank_lost_sectors(version, cell, first_cell, batch);
            }
            if claims.has(Claim::FileDamaged) && restored.is_none() {
                self.blank_zeros(cell, &payload.bytes, spans_from, first_cell, batch);
            }
            if claims.has(Claim::TextInvalid) && claims.has(Claim::PageDamaged) {
                self.blank_overwritten_sectors(version, cell, first_cell, batch);
            }
            if self.ground.survey.page(number).rebuilt && restored.is_none() {
                self.blank_noise(cell, &payload.bytes, &scratch.overrun, first_cell, batch);
            }
            self.add_evidence(version, method(claims, self.rowids), spans_from, batch);
            if let Some((page, copy, _)) = &restored {
                let spans_from = batch.spans.len();
                batch.spans.push(page.span(copy.at, copy.end - copy.at));
                self.add_evidence(page, "page_copy", spans_from, batch);
            }
        } else {
            let like = verdict.and_then(|verdict| verdict.shape_from.as_ref());
            let solution = like.and_then(|(place, copy)| self.shaped_like(*place, copy));
            let Some(solution) = solution.or_else(|| self.solve(version, cell, room)) else { return };
            let payload = version.bytes.get(cell.payload_at as usize..).unwrap_or_default();
            let borrow = &|bytes| Cow::Borrowed(bytes);
            self.layout.solved(&solution, payload, rowid, row_index, batch, borrow);
            claims = claims.with(Claim::HeaderSolved);
            let spans_from = batch.spans.len();
            batch.spans.push(version.span(cell.at, cell.end - cell.at));
            self.add_evidence(version, "solved_record", spans_from, batch);
        }
        let contested = verdict.is_some_and(|verdict| verdict.contested);
        let crowded = verdict.is_some_and(|verdict| verdict.crowded);
        let is_proved = version.commit.is_some() && self.ground.view.is_proved(number);
        claims = claims
            .with_if(contested, Claim::KeyContested)
            .with_if(crowded, Claim::Crowded)
            .with_if(is_proved, Claim::ChecksumValid);
        for ((page, _), copy) in verdict.map(|verdict| &verdict.also_at).into_iter().flatten() {
            if let Some(other) = self.ground.view.page(*page) {
                let spans_from = batch.spans.len();
                batch.spans.push(other.span(copy.at, copy.end - copy.at));
                self.add_evidence(&other, "page_copy", spans_from, batch);
            }
        }
        let mut lacks = false;
        if let Some(rowid) = rowid
            && !witnesses.entries.is_empty()
        {
            claims = self.ask(rowid, first_cell, claims, witnesses, scratch, batch);
            self.fill(rowid, first_cell, row_index, witnesses, batch);
            lacks = claims.has(Claim::IndexLacks);
        }
        if verdict.is_some_and(|verdict| verdict.unsure) && !claims.has(Claim::IndexAgrees) {
            batch.cells.truncate(first_cell);
            batch.evidence.truncate(first_evidence as usize);
            while batch.inferred.last().is_some_and(|(row, _)| *row == row_index) {
                batch.inferred.pop();
            }
            return;
        }
        let row_cells = batch.cells.get(first_cell..).unwrap_or_default();
        let gone = claims.has(Claim::OldPage)
            && !contested
            && !lacks
            && confidence::is_likelier_gone(are_full(&self.layout.columns, row_cells), claims);
        claims = claims.with_if(gone, Claim::LikelierGone);
        let floating = !claims.has(Claim::InTree) || claims.has(Claim::PointerLost);
        let state = if contested {
            State::Unknown
        } else if floating && lacks || gone {
            State::Deleted
        } else {
            State::Live
        };
        let quiet = [self.quiet(version, number)];
        let lifetimes = if state == State::Live { lifetimes.as_deref().unwrap_or(&quiet) } else { &[] };
        let lifetimes = batch.add_lifetimes(lifetimes);
        batch.rows.push(Row {
            rowid,
            state,
            transaction: Transaction::Committed,
            claims,
            cells: first_cell as u32..batch.cells.len() as u32,
            evidence: first_evidence..batch.evidence.len() as u32,
            lifetimes,
        });
    }

    /// The lifetime of a live row of which nothing more is known than where it lies.
    fn quiet(&self, version: &PageVersion<'_>, number: u32) -> Lifetime {
        let view = self.ground.view;
        let unlogged = version.commit.is_none() && !view.is_old(number) && !view.is_chosen();
        let before = !self.logged || unlogged;
        Lifetime { from: before.then_some(Point::BeforeLog), to: None }
    }

    /// What the commits of the log tell of a live row; `None` when its key or its cells can't be read.
    fn told(
        &self,
        of_table: &OfTable<'_>,
        cell: &Cell,
        payload: &chains::Payload<'_>,
    ) -> Option<Cow<'static, [Lifetime]>> {
        if self.rowids && of_table.is_quiet(Ranked::of_rowid(cell.rowid)) {
            return Some(Cow::Borrowed(&BEFORE_LOG));
        }
        let header = record::header(&payload.bytes, cell.payload_len).ok().filter(|_| payload.whole)?;
        let serials = || header.serials().map(|serial| serial.0);
        let body = payload.bytes.get(header.len..)?;
        let key = if self.rowids {
            Ranked::of_rowid(cell.rowid)
        } else {
            let cells = self.def?.ddl.primary_key.len();
            let len: u64 = header.serials().take(cells).map(|serial| serial.len()).sum();
            let bytes = body.get(..usize::try_from(len).ok()?)?;
            let rank = Rank::of_key(header.serials().take(cells), bytes);
            Ranked { key: content(serials().take(cells), bytes) as i64, rank }
        };
        Some(Cow::Owned(of_table.of_live(key, content(serials(), body))))
    }

    /// Takes back what was read from sectors of zeros: they were lost.
    fn blank_lost_sectors(
        &self,
        version: &PageVersion<'a>,
        cell: &Cell,
        first_cell: usize,
        batch: &mut Batch<'a>,
    ) {
        let geometry = self.ground.view.geometry;
        let Some(page) = Page::parse(version.bytes, version.number, geometry) else { return };
        let local = cell.local_payload(version.bytes);
        let Ok(header) = record::header(local, cell.payload_len) else { return };
        let sectors = survey::zero_sectors(version, page.header.content_start, geometry);
        let told = sectors.filter(|lost| lost.to - lost.from >= survey::LEAST_PART);
        let lost = restored::within(cell, told);
        // A BLOB may well hold zeros; text and numbers don't for a whole sector.
        let row = batch.cells.get_mut(first_cell..).unwrap_or_default();
        self.layout.blank((header.len, header.serials()), cell, &lost, false, row);
    }

    /// Takes back zeros in any cells that are those of lost sectors.
    fn blank_zeros(
        &self,
        cell: &Cell,
        payload: &[u8],
        spans_from: usize,
        first_cell: usize,
        batch: &mut Batch<'a>,
    ) {
        let spans = batch.spans.get(spans_from..).unwrap_or_default().iter().enumerate();
        // The first one holds more than the payload.
        let before = cell.payload_at - cell.at;
        let places = spans.map(|(number, span)| match number {
            0 => Span { offset: span.offset + u64::from(before), length: cell.local.into(), ..*span },
            _ => *span,
        });
        let lost = zeroed::parts(payload, places);
        if lost.is_empty() {
            return;
        }
        let Ok(header) = record::header(payload, cell.payload_len) else { return };
        let on_page = |at: u32| at.saturating_add(cell.payload_at);
        let lost: Vec<Extent> =
            lost.iter().map(|part| Extent { from: on_page(part.from), to: on_page(part.to) }).collect();
        let row = batch.cells.get_mut(first_cell..).unwrap_or_default();
        self.layout.blank((header.len, header.serials()), cell, &lost, true, row);
    }

    /// Takes back what a cell that ends amid noise has of it; `overrun` are those of its page that do.
    fn blank_noise(
        &self,
        cell: &Cell,
        payload: &[u8],
        overrun: &[(u32, Extent)],
        first_cell: usize,
        batch: &mut Batch<'a>,
    ) {
        let Some((_, noise)) = overrun.iter().find(|(at, _)| *at == cell.at) else { return };
        let Ok(header) = record::header(payload, cell.payload_len) else { return };
        let row = batch.cells.get_mut(first_cell..).unwrap_or_default();
        self.layout.blank((header.len, header.serials()), cell, &[*noise], true, row);
    }

    /// Takes back what was read from sectors of a damaged page in which text doesn't read: other bytes stand there.
    fn blank_overwritten_sectors(
        &self,
        version: &PageVersion<'a>,
        cell: &Cell,
        first_cell: usize,
        batch: &mut Batch<'a>,
    ) {
        let local = cell.local_payload(version.bytes);
        let Ok(header) = record::header(local, cell.payload_len) else { return };
        let lost = self.layout.unread_sectors(&header, cell, local, version.offset);
        let row = batch.cells.get_mut(first_cell..).unwrap_or_default();
        self.layout.blank((header.len, header.serials()), cell, &lost, true, row);
    }

    /// The shape of an older copy of a cell.
    fn shaped_like(&self, place: settle::Place, copy: &Cell) -> Option<solve::Solution> {
        let page = self.ground.view.page(place.0)?;
        let header = record::header(copy.local_payload(page.bytes), copy.payload_len).ok()?;
        Some(solve::shaped_like(&header))
    }

    /// Solves a record whose header is damaged.
    fn solve(&self, version: &PageVersion<'_>, cell: &Cell, room: u64) -> Option<solve::Solution> {
        let def = self.def.filter(|_| cell.overflow == 0)?;
        let from = cell.payload_at as usize;
        let payload = version.bytes.get(from..from + usize::try_from(room).ok()?)?;
        solve::solve(payload, cell.payload_len, room, def, self.encoding)
    }

    fn add_evidence(
        &self,
        version: &PageVersion<'_>,
        method: &'static str,
        spans_from: usize,
        batch: &mut Batch<'a>,
    ) {
        let spans = spans_from as u32..batch.spans.len() as u32;
        let (page, commit) = (Some(version.number), version.commit);
        batch.evidence.push(Evidence { method, page, commit, spans });
    }
}

fn method(claims: Claims, rowids: bool) -> &'static str {
    if claims.has(Claim::PointerLost) {
        "salvaged_cell"
    } else if rowids {
        "table_leaf"
    } else {
        "index_tree"
    }
}

/// Bytes from a cell's payload to whatever comes next on the page.
fn room(cells: &[FoundCell], index: usize, usable: u32) -> u64 {
    let Some(this) = cells.get(index).filter(|found| !found.reads).map(|found| found.cell) else {
        return 0;
    };
    let next = cells.iter().map(|found| found.cell.at).filter(|at| *at > this.at).min();
    u64::from(next.unwrap_or(usable).saturating_sub(this.payload_at))
}
