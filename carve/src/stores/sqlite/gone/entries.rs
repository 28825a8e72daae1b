//! Index entries of rows that are gone: in free space of an index, on pages that it had, in earlier versions of them.
//!
//! An entry holds the columns of its index and the row id, and often outlives the row's own cell.

use super::super::agree::same;
use super::super::catalogue::IndexDef;
use super::super::chains;
use super::super::database::Database;
use super::super::forest::{Object, Tree, bounds};
use super::super::rank::Rank;
use super::super::sample;
use super::super::settle;
use super::super::shape::Fit;
use super::super::survey::PageInfo;
use super::super::view::PageVersion;
use super::collect::whole;
use super::method::Method;
use super::noted::{Noted, newness};
use super::projected::Projection;
use super::repeated::Repeated;
use super::shape::{Kinds, has_controls, reads};
use super::streams::of_index;
use super::{Candidate, Dead, Numbering, Search};
use mudlark_parsers::bytes::{all_zero, touch};
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::sqlite::freed::FreedCell;
use mudlark_parsers::sqlite::freed_entry::{IsLike, Shape, only_entry};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Extent, Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::salvage;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::value::{TextEncoding, Value};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// For each index the pages outside of its tree that hold its entries.
pub(super) fn pages(database: &Database<'_>) -> HashMap<usize, Vec<u32>> {
    let ground = database.ground();
    let mut found: HashMap<usize, Vec<u32>> = HashMap::new();
    if ground.catalogue.indexes.is_empty() {
        return found;
    }
    let indexes: Vec<Index<'_>> =
        (0..ground.catalogue.indexes.len()).filter_map(|number| Index::of(database, number)).collect();
    let is_index = |kind: PageKind| matches!(kind, PageKind::IndexLeaf | PageKind::IndexInterior);
    let outside = |(number, info): &(u32, &PageInfo)| {
        let stands = database.forest.standing(*number).is_some() && !ground.view.is_old(*number);
        !stands && info.cells > 0 && info.kind.is_some_and(is_index)
    };
    let pages: Vec<u32> =
        ground.survey.iter().chain(ground.survey.old()).filter(outside).map(|(number, _)| number).collect();
    let owners = pages.par_iter().map(|number| owner(database, &indexes, *number));
    for (number, index) in pages.iter().zip(owners.collect::<Vec<_>>()) {
        if let Some(index) = index {
            found.entry(index).or_default().push(*number);
        }
    }
    found
}

/// An index of a table that has row ids.
pub(super) struct Index<'i> {
    number: usize,
    pub def: &'i IndexDef,
    projection: Projection,
    /// The tree of its table.
    table: &'i Tree,
}

impl<'i> Index<'i> {
    pub(super) fn of(database: &'i Database<'_>, number: usize) -> Option<Self> {
        let def = database.catalogue.indexes.get(number)?;
        let projection = of_index(database.catalogue.tables.get(def.table), &def.fields)?;
        let of_table = |tree: &&Tree| tree.object == Object::Table(def.table) && tree.rowids;
        let table = database.forest.trees.iter().find(of_table)?;
        Some(Self { number, def, projection, table })
    }
}

/// The index whose entries a page holds: one that has the page now, or the one with whose rows they agree.
fn owner(database: &Database<'_>, indexes: &[Index<'_>], number: u32) -> Option<usize> {
    let ground = database.ground();
    let fits = |index: &&Index<'_>| {
        sample::fit_index(ground.view, ground.survey, number, index.def, ground.catalogue, sample::ROWS)
            != Fit::No
    };
    let page = ground.view.page(number)?.number;
    let place = database.forest.place(page).filter(|_| ground.view.is_old(number));
    let own = place.and_then(|(tree, _)| database.forest.trees.get(tree as usize)).map(|tree| tree.object);
    let mut best: Option<(u32, usize)> = None;
    for index in indexes.iter().filter(fits) {
        let (agrees, known) = agreement(database, index, number);
        let is_own = own == Some(Object::Index(index.number));
        if agrees * 2 < known || agrees == 0 && !is_own {
            continue;
        }
        let worth = 2 * agrees + u32::from(is_own);
        if best.is_none_or(|(most, _)| worth > most) {
            best = Some((worth, index.number));
        }
    }
    best.map(|(_, index)| index)
}

/// Of some entries of a page, how many are of live rows, and how many of these agree with them.
pub(super) fn agreement(database: &Database<'_>, index: &Index<'_>, number: u32) -> (u32, u32) {
    let ground = database.ground();
    let (mut agrees, mut known) = (0, 0);
    sample::records(ground.view, ground.survey, number, sample::ROWS, |_, header, payload| {
        let mut entry = Vec::new();
        record::decode(header, payload, &mut entry);
        let Some(Value::Int(rowid)) = entry.last() else { return };
        let standing = settle::settled_cell(ground, &index.table.pages, *rowid);
        let Some(((page, _), cell)) = standing else { return };
        let Some(version) = ground.view.page(page) else { return };
        let local = cell.local_payload(version.bytes);
        let Ok(header) = record::header(local, cell.payload_len) else { return };
        let mut row = Vec::new();
        record::decode(&header, local, &mut row);
        let mut columns = index.projection.columns.iter().enumerate();
        known += 1;
        agrees += u32::from(columns.all(|(column, position)| {
            let cell = position.and_then(|position| entry.get(position));
            cell.zip(row.get(column)).is_none_or(|(cell, other)| same(cell, other))
        }));
    });
    (agrees, known)
}

/// The indexes of a table whose entries are read.
#[derive(Default)]
pub(super) struct Indexes<'i>(Vec<Of<'i>>);

/// An index whose entries are read.
struct Of<'i> {
    /// Its number in the catalogue.
    number: u32,
    projection: Arc<Projection>,
    fields: &'i [IndexField],
}

impl<'i> Indexes<'i> {
    pub(super) fn of(database: &'i Database<'_>, table: usize) -> Self {
        let own = (0..).zip(&database.catalogue.indexes).filter(|(_, def)| def.table == table);
        let with_fields = own.filter_map(|(number, def)| {
            let projection = of_index(database.catalogue.tables.get(table), &def.fields)?;
            Some(Of { number, projection: Arc::new(projection), fields: &def.fields })
        });
        Self(with_fields.collect())
    }

    fn get(&self, number: u32) -> Option<&Of<'i>> {
        self.0.iter().find(|index| index.number == number)
    }

    /// Where the columns of the table stand in the entries of an index.
    pub(super) fn projection(&self, number: u32) -> Option<&Projection> {
        self.get(number).map(|index| &*index.projection)
    }
}

/// The entries of a table's indexes that no live row explains by its place, of rows with some of the ranks.
pub(super) fn noted(
    search: &Search<'_, '_>,
    kinds: &Kinds,
    Indexes(indexes): &Indexes<'_>,
    ranks: &RangeInclusive<Rank>,
) -> Vec<Noted> {
    let database = search.database;
    let rowids = Rowids::of(search);
    let mut found = Vec::new();
    for index in indexes {
        let number = index.number as usize;
        let own = database.forest.trees.iter().filter(|tree| tree.object == Object::Index(number));
        let own = own.flat_map(|tree| &tree.pages).map(|page| (*page, true));
        let further = database.places.of_index(number).iter().map(|page| (*page, false));
        let pages: Vec<(u32, bool)> = own.chain(further).collect();
        let on_page = |(mut noted, mut scratch): (Vec<Noted>, Scratch), page: &(u32, bool)| {
            on_page(search, kinds, index, (rowids, ranks), *page, &mut scratch);
            noted.extend(scratch.entries.drain(..).map(|(noted, _)| noted));
            (noted, scratch)
        };
        let parts = pages.par_iter().with_min_len(8).fold(Default::default, on_page);
        found.par_extend(parts.flat_map_iter(|(noted, _)| noted));
    }
    found
}

/// Reads entries again that were noted, as candidates.
pub(super) fn again(
    search: &Search<'_, '_>,
    kinds: &Kinds,
    indexes: &Indexes<'_>,
    ranks: &RangeInclusive<Rank>,
    mut noted: Vec<Noted>,
) -> Vec<Candidate> {
    let rowids = Rowids::of(search);
    let page = |noted: &Noted| (noted.index, noted.page, noted.own);
    noted.par_sort_by_key(page);
    let pages = noted.par_chunk_by(|a, b| page(a) == page(b));
    let read = pages.fold(Default::default, |(mut found, mut scratch): (Vec<Candidate>, Scratch), noted| {
        let index = noted.first().and_then(|noted| Some((indexes.get(noted.index)?, noted)));
        if let Some((index, first)) = index {
            on_page(search, kinds, index, (rowids, ranks), (first.page, first.own), &mut scratch);
            let of_one = |noted| scratch.entries.iter().find(|(entry, _)| entry == noted);
            let read = noted.iter().filter_map(of_one);
            found.extend(read.map(|(noted, cell)| candidate(search, index, noted, cell)));
        }
        scratch.entries.clear();
        (found, scratch)
    });
    read.flat_map_iter(|(found, _)| found).collect()
}

/// What one page may hold, and the entries that it does; kept from one to the next, to allocate once.
#[derive(Default)]
struct Scratch {
    cells: Vec<(FreedCell, Claim)>,
    entries: Vec<(Noted, (FreedCell, Claim))>,
}

/// The row ids that a table's rows can have.
#[derive(Clone, Copy, Debug)]
struct Rowids {
    first: i64,
    last: i64,
}

impl Rowids {
    fn contains(self, rowid: i64) -> bool {
        (self.first..=self.last).contains(&rowid)
    }

    fn of(search: &Search<'_, '_>) -> Self {
        let (first, last) = bounds(search.database.ground(), &search.tree.pages);
        if first > last {
            return Self { first: 1, last: i64::from(u32::MAX) };
        }
        let slack = last.saturating_sub(first) / 2 + 64;
        Self { first: first.saturating_sub(slack).max(first.min(1)), last: last.saturating_add(slack) }
    }
}

/// The entries on one page; `own` is a page of the index's tree, whose cells are live.
fn on_page(
    search: &Search<'_, '_>,
    kinds: &Kinds,
    Of { number: index, projection, fields }: &Of<'_>,
    (rowids, ranks): (Rowids, &RangeInclusive<Rank>),
    (number, own): (u32, bool),
    Scratch { cells, entries }: &mut Scratch,
) {
    let database = search.database;
    let view = &database.view;
    let info = database.survey.page(number);
    let page = view.page(number).filter(|_| !own || info.kind.is_some() && info.spare);
    let Some(version) = page else { return };
    // What is left of a row that was written later, or never committed, is no row that is gone.
    if view.is_uncommitted(number) || view.is_later(number) {
        return;
    }
    touch(version.bytes);
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return };
    let earlier = view.is_old(number);
    if !own {
        let claim = if earlier { Claim::EarlierVersion } else { Claim::OldPage };
        let repeated = Repeated::of(view, number, version);
        let read = page.good_cells().filter(|cell| !repeated.has(cell));
        let read = read.filter_map(|cell| whole(version.bytes, cell));
        cells.extend(read.map(|freed| (freed, claim)));
    }
    let (blocks, damage) = page.freeblocks();
    let gap = page.gap();
    let column = |position: usize| projection.columns.iter().position(|found| *found == Some(position));
    let columns: Vec<Option<usize>> = (0..fields.len()).map(column).collect();
    let column = |position: usize| columns.get(position).copied().flatten();
    let fits = |position: usize, serial: Serial| {
        if projection.rowid == Some(position) {
            return serial.kind() == SerialKind::Int;
        }
        column(position).is_none_or(|column| kinds.fits(column, serial))
    };
    let text_reads = |text: &[u8]| reads(database.encoding, text);
    // Most texts are of such characters, which read without a doubt.
    let utf8 = database.encoding == TextEncoding::Utf8;
    let is_odd = |byte: &u8| u8::from(!matches!(byte, b' '..=b'~'));
    let is_plain_ascii = |text: &[u8]| utf8 && text.iter().fold(0, |any, byte| any | is_odd(byte)) == 0;
    let is_like = |position: usize, serial: Serial, bytes: &[u8]| {
        let is_text = serial.kind() == SerialKind::Text;
        let known_rowid = || match serial.decode(bytes) {
            Value::Int(rowid) => rowids.contains(rowid),
            _ => false,
        };
        fits(position, serial)
            && (!is_text
                || is_plain_ascii(bytes)
                || text_reads(bytes) && !has_controls(database.encoding, bytes))
            && (projection.rowid != Some(position) || known_rowid())
            && column(position).is_none_or(|column| !kinds.is_beyond(column, serial, bytes))
    };
    // What was put together must read without a doubt.
    let is_plain = |position: usize, serial: Serial, bytes: &[u8]| {
        let reads = || {
            let text = database.encoding.decode(bytes);
            text.is_some_and(|text| !text.contains(char::is_control))
        };
        is_like(position, serial, bytes)
            && (serial.kind() != SerialKind::Text || is_plain_ascii(bytes) || reads())
    };
    let shape = Shape { columns: fields.len(), fits: &fits, is_like: &is_plain };
    // Whether a live entry is as long: mostly one of the first is.
    let mut lengths = page.good_cells().map(|cell| cell.end - cell.at);
    let mut longest = 0;
    let mut is_any_as_long = |len: u32| {
        while longest < len {
            let Some(next) = lengths.next() else { return false };
            longest = longest.max(next);
        }
        true
    };
    for block in blocks.iter().filter(|_| damage.is_none() || info.sound) {
        // A block that is longer than any entry holds several, of which those are read that were swallowed whole.
        let known = cells.len();
        let found = swallowed(&version, *block, view.geometry, fields.len(), &is_like);
        cells.extend(found.into_iter().map(|freed| (freed, Claim::InFreeblock)));
        if cells.len() == known && is_any_as_long(block.to - block.from) {
            cells.extend(only_entry(version.bytes, *block, shape).map(|freed| (freed, Claim::InFreeblock)));
        }
    }
    if version.bytes.get(gap.from as usize..gap.to as usize).is_some_and(|bytes| !all_zero(bytes)) {
        let found = swallowed(&version, gap, view.geometry, fields.len(), &is_like);
        cells.extend(found.into_iter().map(|freed| (freed, Claim::InGap)));
    }
    let read = cells.drain(..).filter_map(|(freed, claim)| {
        let payload = chains::read(view, &database.survey, &version, &freed.cell);
        let body_at = freed.header_len as usize;
        let last = record::cells(freed.serials.iter(), body_at, &payload.bytes).last();
        let Some((serial, Some(bytes))) = last.filter(|_| freed.serials.len() == fields.len()) else {
            return None;
        };
        let Value::Int(rowid) = serial.decode(bytes) else { return None };
        if !ranks.contains(&Rank::of_rowid(rowid)) {
            return None;
        }
        // Where the end of the block was given to another cell, what reads as the row id may be the end of a text, or
        // lack its own last byte.
        let like_text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let may_be_cut = freed.rebuilt && (like_text || rowids.contains(rowid.saturating_mul(256)));
        if freed.cut || !payload.whole || may_be_cut {
            return None;
        }
        let cells = record::cells(freed.serials.iter(), body_at, &payload.bytes);
        let print = projection.print(cells, search.alias());
        // Most are copies of entries that still stand.
        if search.ids.is_some() && search.entries.bear_out(*index as usize, rowid, print) {
            return None;
        }
        let Cell { at, end, overflow, .. } = freed.cell;
        let noted = Noted {
            rowid,
            index: *index,
            page: number,
            at: u16::try_from(at).ok()?,
            len: u16::try_from(end - at).ok()?,
            print,
            own,
            rebuilt: freed.rebuilt,
            spilled: overflow != 0,
        };
        Some((noted, (freed, claim)))
    });
    entries.extend(read);
}

/// An entry as a candidate.
fn candidate(
    search: &Search<'_, '_>,
    index: &Of<'_>,
    noted: &Noted,
    (freed, claim): &(FreedCell, Claim),
) -> Candidate {
    let view = &search.database.view;
    let earlier = view.is_old(noted.page);
    let of_temp_file = view.is_of_temp_file(noted.page);
    let claims = Claims::NONE
        .with(Claim::FromIndex)
        .with(*claim)
        .with_if(earlier, Claim::EarlierVersion)
        .with_if(!noted.own && !earlier, Claim::OldPage)
        .with_if(freed.rebuilt, Claim::HeadRebuilt)
        .with_if(freed.first_solved, Claim::FirstSolved)
        .with_if(freed.fitted, Claim::Fitted)
        .with_if(freed.rebuilt && freed.at_head, Claim::AtHead)
        .with_if(freed.in_run, Claim::InRun)
        .with_if(noted.spilled, Claim::ChainWhole)
        .with_if(of_temp_file, Claim::FromTempFile);
    let version = view.page(noted.page);
    Box::new(Dead {
        page: noted.page,
        freed: freed.clone(),
        method: Method::IndexEntry,
        claims,
        rowid: Some(noted.rowid),
        content: None,
        key: None,
        newness: version.map_or(0, |version| newness(search.database, noted.page, &version)),
        uncommitted: false,
        later: false,
        undecided: of_temp_file,
        numbering: Numbering::Unknown,
        print: noted.print,
        projection: Some(Arc::clone(&index.projection)),
        ending: 0,
        tail: None,
        taken: false,
    })
}

/// The entries that stand whole in a run of free bytes, each beside another one or at its end.
fn swallowed(
    version: &PageVersion<'_>,
    extent: Extent,
    geometry: Geometry,
    columns: usize,
    is_like: &IsLike<'_>,
) -> Vec<FreedCell> {
    let found = salvage::entries(version.bytes, extent, geometry, columns, &|_, _| true);
    let beside = |(index, cell): &(usize, &Cell)| {
        let before = index.checked_sub(1).and_then(|index| found.get(index));
        let behind = found.get(index + 1);
        cell.end == extent.to
            || before.is_some_and(|before| before.end == cell.at)
            || behind.is_some_and(|behind| behind.at == cell.end)
    };
    let beside = found.iter().enumerate().filter(beside).map(|(_, cell)| *cell);
    let read = beside.filter_map(|cell| whole(version.bytes, cell));
    read.filter(|freed| all_like(version.bytes, freed, is_like)).collect()
}

/// Whether all values of a cell that lie on its page are like those of the index.
fn all_like(page: &[u8], freed: &FreedCell, is_like: &IsLike<'_>) -> bool {
    let body_at = (freed.cell.payload_at + freed.header_len) as usize;
    let mut cells = record::cells(freed.serials.iter(), body_at, page).enumerate();
    freed.cell.overflow != 0
        || cells
            .all(|(position, (serial, bytes))| bytes.is_some_and(|bytes| is_like(position, serial, bytes)))
}
