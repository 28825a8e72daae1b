//! The live rows of a table, to tell copies and older versions of them from rows that are gone.

use super::super::chains;
use super::super::entries::cells;
use super::super::leaf::FoundCell;
use super::super::prints::{Endings, content, ending, ending_of_length};
use super::super::settle::{self, Place};
use super::ends::{self, Ends, Tail};
use super::{Candidate, Dead, Kept, Search};
use crate::model::Cell as RowCell;
use foldhash::fast::RandomState;
use mudlark_parsers::bytes::touch;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::sqlite::varint::{MAX_LEN, varint_at};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

pub(super) struct Live<'l, 's, 'a> {
    search: &'l Search<'s, 'a>,
    /// First and last row id of each sound, linked leaf, in order.
    pages: Vec<(i64, i64, u32)>,
    kept: &'l Kept,
    /// In a table without row ids, by the fingerprint of the key: the fingerprint of the row.
    keyed: HashMap<u64, Option<u64>>,
    /// There also, with such a key: the fingerprints of rows as they would have been before columns were added whose
    /// defaults they hold.
    grown: HashSet<(u64, u64)>,
    /// Fingerprints that were asked for in advance, and how many rows have those that any has.
    asked: HashSet<u64, RandomState>,
    counted: Counts,
    /// Fingerprints of all rows, and how many have them.
    contents: OnceLock<Counts>,
    /// The live rows that end as candidates do.
    pub ends: Ends,
}

/// Fingerprints, and how many rows have them.
type Counts = HashMap<u64, u32, RandomState>;

/// The endings of the live rows on some pages, as far as those can be told by them: they are gathered where the pages are
/// read for something else.
#[derive(Debug, Default)]
pub(super) struct EndingsOfPages {
    /// Pages, and how many rows each has.
    pages: Vec<(u32, u32)>,
    /// The upper halves, which tell as much as is asked.
    endings: Vec<u32>,
    /// The ends of the same rows, and of those on further pages.
    pub tails: Vec<Tail>,
}

impl EndingsOfPages {
    /// The pages that may have a row with one of these endings, and those that have none; in their order.
    fn split<'e>(&'e self, wanted: &'e Endings) -> impl Iterator<Item = (u32, bool)> {
        let mut rest = self.endings.as_slice();
        self.pages.iter().map(move |(page, rows)| {
            let (own, behind) = rest.split_at(rest.len().min(*rows as usize));
            rest = behind;
            (*page, own.iter().any(|upper| wanted.contain(u64::from(*upper) << 32)))
        })
    }
}

/// A leaf with live rows.
struct Leaf<'a> {
    first: i64,
    last: i64,
    number: u32,
    page: Page<'a>,
    /// The cell pointer behind that of the last row that was asked for.
    next: usize,
}

/// Tells copies of live rows. Cells of an old page mostly are in the order of those of the live one that came after it.
pub(super) struct Copies<'c, 'l, 's, 'a> {
    live: &'c Live<'l, 's, 'a>,
    leaf: Option<Leaf<'a>>,
}

impl Copies<'_, '_, '_, '_> {
    /// Whether a live row has the same bytes as a cell, as far as both lie on their pages.
    pub(super) fn has(&mut self, page: &[u8], cell: &Cell) -> bool {
        let same = |bytes: &[u8], live: &Cell| {
            live.payload_len == cell.payload_len
                && live.overflow == cell.overflow
                && live.local_payload(bytes) == cell.local_payload(page)
        };
        if let Some(((number, _), kept)) = self.live.kept.by_rowid.get(&cell.rowid) {
            return self.live.search.database.view.page(*number).is_some_and(|page| same(page.bytes, kept));
        }
        if self.leaf.as_ref().is_none_or(|leaf| !(leaf.first..=leaf.last).contains(&cell.rowid)) {
            self.leaf = self.live.leaf(cell.rowid);
        }
        let Some(leaf) = &mut self.leaf else { return false };
        let next = leaf.page.pointer(leaf.next).and_then(|pointer| leaf.page.good_cell(pointer));
        match next.filter(|next| next.rowid == cell.rowid) {
            Some(live) => {
                leaf.next += 1;
                same(leaf.page.bytes, &live)
            }
            None => leaf.page.row_at(cell.rowid).is_some_and(|(index, live)| {
                leaf.next = index + 1;
                same(leaf.page.bytes, &live)
            }),
        }
    }
}

/// What may be asked of a record.
enum Only {
    /// Nothing: it is none.
    Nothing,
    /// The whole of it, whose body has this ending, or this length where its end lies on another page.
    Ending(u64),
    /// What it would have been before columns were added, too.
    Several,
}

/// The fingerprints of a record, and of what it would have been before columns were added, down to `least` of them:
/// those the endings of whose bodies are wanted.
fn contents(
    serials: &[(u64, usize)],
    body: &[u8],
    least: usize,
    wanted: &impl Fn(u64) -> bool,
) -> impl Iterator<Item = u64> {
    let lengths = least.clamp(1, serials.len().max(1))..=serials.len();
    lengths.filter_map(move |columns| {
        let kept = serials.get(..columns)?;
        let body = body.get(..kept.iter().map(|serial| serial.1).sum())?;
        if !wanted(ending(body)) {
            return None;
        }
        Some(content(kept.iter().map(|serial| serial.0), body))
    })
}

impl<'l, 's, 'a> Live<'l, 's, 'a> {
    pub(super) fn of(search: &'l Search<'s, 'a>, kept: &'l Kept) -> Self {
        let database = search.database;
        let mut live = Self {
            search,
            pages: Vec::new(),
            kept,
            keyed: HashMap::new(),
            grown: HashSet::new(),
            asked: HashSet::default(),
            counted: Counts::default(),
            contents: OnceLock::new(),
            ends: Ends::default(),
        };
        if search.tree.rowids {
            let settled = |page: &&u32| settle::is_settled(&database.forest, database.ground(), **page);
            let infos = search.tree.pages.iter().filter(settled);
            let infos =
                infos.map(|page| (database.survey.page(*page), *page)).filter(|(info, _)| info.cells > 0);
            live.pages = infos.map(|(info, page)| (info.first, info.last, page)).collect();
            live.pages.sort_unstable();
        } else {
            let rows = search.tree.pages.par_iter().flat_map_iter(|page| live.keyed_page(*page));
            for (key, row, shorter) in rows.collect::<Vec<_>>() {
                live.keyed.insert(key, row);
                live.grown.extend(shorter.into_iter().map(|short| (key, short)));
            }
            let content = |page: u32, cell: &Cell| live.content_at(page, cell).flatten();
            let kept = kept.by_key.iter().map(|(key, ((page, _), cell))| (*key, content(*page, cell)));
            let kept: Vec<(u64, Option<u64>)> = kept.collect();
            live.keyed.extend(kept);
        }
        live
    }

    /// Keys and contents of a page of a table without row ids.
    fn keyed_page(&self, number: u32) -> Vec<(u64, Option<u64>, Vec<u64>)> {
        let mut found = Vec::new();
        self.each_record(
            number,
            |_, _| true,
            |serials, body, whole| {
                let key_len: usize = serials.iter().take(self.search.key_cells).map(|serial| serial.1).sum();
                if let Some(key) = body.get(..key_len) {
                    let numbers = || serials.iter().map(|serial| serial.0);
                    let key = content(numbers().take(self.search.key_cells), key);
                    let shorter = if whole { self.shorter(serials, body) } else { Vec::new() };
                    found.push((key, whole.then(|| content(numbers(), body)), shorter));
                }
            },
        );
        found
    }

    /// The fingerprints of a record without columns at its end that hold their defaults.
    fn shorter(&self, serials: &[(u64, usize)], body: &[u8]) -> Vec<u64> {
        let mut found = Vec::new();
        let mut end = body.len();
        for (position, (serial, len)) in serials.iter().enumerate().skip(1).rev() {
            let Some(from) = end.checked_sub(*len) else { break };
            let value = Serial(*serial).decode(body.get(from..end).unwrap_or_default());
            if position < self.search.key_cells || !self.search.layout.is_default(position, &value) {
                break;
            }
            end = from;
            let kept = serials.iter().take(position).map(|serial| serial.0);
            found.push(content(kept, body.get(..end).unwrap_or_default()));
        }
        found
    }

    /// Calls `each` with the serial types, their lengths, the body of each record of a page, and whether it is whole; of
    /// those whose cells are `wanted`.
    fn each_record(
        &self,
        number: u32,
        wanted: impl Fn(&Cell, &[u8]) -> bool,
        mut each: impl FnMut(&[(u64, usize)], &[u8], bool),
    ) {
        let database = self.search.database;
        let Some(version) = database.view.page(number) else { return };
        touch(version.bytes);
        let Some(page) = Page::parse(version.bytes, version.number, database.view.geometry) else { return };
        if page.header.kind == PageKind::TableInterior {
            return;
        }
        let mut serials = Vec::new();
        for cell in page.good_cells() {
            if !wanted(&cell, version.bytes) {
                continue;
            }
            let payload = chains::read(&database.view, &database.survey, &version, &cell);
            let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
            serials.clear();
            serials.extend(header.serials().map(|serial| (serial.0, serial.len() as usize)));
            let body = payload.bytes.get(header.len..).unwrap_or_default();
            each(&serials, body, payload.whole);
        }
    }

    /// The live row with this id: where it lies.
    pub(super) fn find(&self, rowid: i64) -> Option<(u32, Cell)> {
        if self.search.ids.is_some_and(|ids| !ids.may_hold(rowid)) {
            return None;
        }
        if let Some(((page, _), cell)) = self.kept.by_rowid.get(&rowid) {
            return Some((*page, *cell));
        }
        let leaf = self.leaf(rowid)?;
        leaf.page.row(rowid).map(|cell| (leaf.number, cell))
    }

    /// The sound leaf among whose rows this id would be.
    fn leaf(&self, rowid: i64) -> Option<Leaf<'a>> {
        let after = self.pages.partition_point(|(first, _, _)| *first <= rowid);
        let (first, last, number) = *self.pages.get(after.checked_sub(1)?)?;
        if rowid > last {
            return None;
        }
        let database = self.search.database;
        let version = database.view.page(number)?;
        let page = Page::parse(version.bytes, version.number, database.view.geometry)?;
        Some(Leaf { first, last, number, page, next: 0 })
    }

    /// What tells quickly which cells of a page are copies of live rows.
    pub(super) const fn copies(&self) -> Copies<'_, 'l, 's, 'a> {
        Copies { live: self, leaf: None }
    }

    /// Whether a row was put out already with those of lost or damaged pages.
    pub(super) fn is_kept(&self, rowid: i64, place: Place) -> bool {
        self.kept.by_rowid.get(&rowid).is_some_and(|(kept, _)| *kept == place)
            || self.kept.contested.contains(&place)
    }

    /// The same, of the live row with this id.
    fn content_of(&self, rowid: i64) -> Option<Option<u64>> {
        let (page, cell) = self.find(rowid)?;
        self.content_at(page, &cell)
    }

    /// The fingerprint of the cells of a row; the inner `None` where it is not whole.
    pub(super) fn content_at(&self, page: u32, cell: &Cell) -> Option<Option<u64>> {
        let database = self.search.database;
        let version = database.view.page(page)?;
        let payload = chains::read(&database.view, &database.survey, &version, cell);
        let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { return Some(None) };
        let body = payload.bytes.get(header.len..).unwrap_or_default();
        Some(payload.whole.then(|| content(header.serials().map(|serial| serial.0), body)))
    }

    /// What `with` makes of the header and the payload of a live row; `None` where it is no record.
    pub(super) fn with_record<T>(
        &self,
        page: u32,
        cell: &Cell,
        with: impl FnOnce(&RecordHeader<'_>, &[u8]) -> T,
    ) -> Option<T> {
        let database = self.search.database;
        let version = database.view.page(page)?;
        let payload = chains::read(&database.view, &database.survey, &version, cell);
        let header = record::header(&payload.bytes, cell.payload_len).ok()?;
        Some(with(&header, &payload.bytes))
    }

    /// The cells of the live row with this id, in stored order, with the defaults of columns that were added since.
    pub(super) fn cells_of(&self, rowid: i64) -> Option<Vec<RowCell<'a>>> {
        let (page, cell) = self.find(rowid)?;
        let database = self.search.database;
        let version = database.view.page(page)?;
        let payload = chains::read(&database.view, &database.survey, &version, &cell);
        let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { return Some(Vec::new()) };
        let (serials, body_at) = (header.serials().collect::<Vec<_>>(), header.len);
        let mut found = cells(serials.into_iter(), body_at, payload.bytes);
        found.extend((found.len()..).map_while(|at| self.search.layout.default_at(at).cloned()));
        Some(found)
    }

    /// Whether the live row at this place is a shorter record with the defaults of columns that were added since: `short`
    /// is the fingerprint of that record, of so many `columns`.
    pub(super) fn is_grown(&self, (page, cell): (u32, Cell), short: u64, columns: usize) -> bool {
        let grown = || {
            let database = self.search.database;
            let version = database.view.page(page)?;
            let payload = chains::read(&database.view, &database.survey, &version, &cell);
            let header = record::header(&payload.bytes, cell.payload_len).ok()?;
            let mut at = header.len;
            let mut old_end = at;
            for (position, serial) in header.serials().enumerate() {
                let from = at;
                at = at.checked_add(usize::try_from(serial.len()).ok()?)?;
                let value = serial.decode(payload.bytes.get(from..at)?);
                if position < columns {
                    old_end = at;
                } else if !self.search.layout.is_default(position, &value) {
                    return Some(false);
                }
            }
            let body = payload.bytes.get(header.len..old_end)?;
            Some(content(header.serials().take(columns).map(|serial| serial.0), body) == short)
        };
        grown().unwrap_or(false)
    }

    /// In a table without row ids: whether the live row with this key is such a shorter record with defaults.
    pub(super) fn is_grown_by_key(&self, key: u64, short: u64) -> bool {
        self.grown.contains(&(key, short))
    }

    /// In a table without row ids: what is live under this key.
    pub(super) fn by_key(&self, key: u64) -> Option<Option<u64>> {
        self.keyed.get(&key).copied()
    }

    /// Notes the endings of the rows on a page of the tree, where they tell all that is asked of them.
    pub(super) fn note_endings(&self, number: u32, page: &Page<'_>, found: &mut EndingsOfPages) {
        if page.header.kind == PageKind::TableInterior {
            return;
        }
        if ends::are_compared(self.search.tree) {
            found.tails.extend(ends::of_page(number, page));
        }
        let known = found.endings.len();
        for cell in page.good_cells() {
            match self.only(&cell, page.bytes) {
                Only::Ending(ending) => found.endings.push((ending >> 32) as u32),
                Only::Nothing => {}
                Only::Several => return found.endings.truncate(known),
            }
        }
        found.pages.push((number, (found.endings.len() - known) as u32));
    }

    /// What may be asked of the record of a cell; this takes no look at its types.
    fn only(&self, cell: &Cell, page: &[u8]) -> Only {
        let payload = cell.local_payload(page);
        let Some((len, size)) = varint_at(payload, 0) else { return Only::Nothing };
        let (types, body) = payload.split_at(payload.len().min(len as usize));
        if cell.overflow != 0 && types.len() as u64 != len {
            return Only::Several;
        }
        // A type ends with a low byte, unless it takes nine bytes.
        let types = types.get(size..).unwrap_or_default();
        let columns = types.iter().filter(|byte| **byte < 0x80).count();
        // Of a record of the fewest columns all or nothing is asked for.
        if columns > self.search.least.max(1) || types.len() - columns >= MAX_LEN - 1 {
            Only::Several
        } else if cell.overflow != 0 {
            Only::Ending(ending_of_length(cell.payload_len.saturating_sub(len)))
        } else {
            Only::Ending(ending(body))
        }
    }

    /// Counts the live rows that have the cells of candidates, where that will be asked: most rows' cells no candidate
    /// has, and so many fingerprints take long to gather. `seen` are the endings of rows on pages that were read before,
    /// in the order of the tree.
    pub(super) fn count(&mut self, dead: &[Candidate], seen: &[EndingsOfPages]) {
        let renumbered = self.search.layout.alias().is_none();
        let is_sure = |dead: &Dead| {
            self.search.tree.rowids && !renumbered && matches!(dead.freed.rowid, RowidLeft::Whole(_))
        };
        let asked = || dead.iter().filter(|dead| dead.content.is_some() && (dead.taken || !is_sure(dead)));
        let most = asked().count();
        let mut contents = HashSet::with_capacity_and_hasher(most, RandomState::default());
        contents.extend(asked().filter_map(|dead| dead.content));
        let mut counts = Counts::default();
        if most > 0 {
            let mut endings = Endings::room(2 * most);
            for dead in asked() {
                let body = dead.freed.cell.payload_len.saturating_sub(dead.freed.header_len.into());
                endings.note(u64::from(dead.ending) << 32);
                endings.note(ending_of_length(body));
            }
            let known: Vec<Vec<(u32, bool)>> =
                seen.par_iter().map(|seen| seen.split(&endings).collect()).collect();
            let mut known = known.into_iter().flatten().peekable();
            let may_have = |page: &u32| known.next_if(|(known, _)| known == page).is_none_or(|(_, has)| has);
            let pages: Vec<u32> = self.search.tree.pages.iter().copied().filter(may_have).collect();
            for content in self.fingerprints(&pages, &|ending| endings.contain(ending)) {
                if contents.contains(&content) {
                    *counts.entry(content).or_default() += 1;
                }
            }
            for content in self.kept_contents() {
                if contents.contains(&content) {
                    counts.entry(content).or_insert(1);
                }
            }
        }
        (self.asked, self.counted) = (contents, counts);
    }

    /// Gives back what it takes to answer how many live rows have the cells of candidates.
    pub(super) fn forget_counts(&mut self) {
        (self.asked, self.counted) = Default::default();
    }

    /// Where the live row with this key lies, if its page is damaged.
    pub(super) fn kept_by_key(&self, key: u64) -> Option<(u32, Cell)> {
        self.kept.by_key.get(&key).map(|((page, _), cell)| (*page, *cell))
    }

    /// The live cells of a page whose free space its own pointers and freeblocks don't tell.
    pub(super) fn on_broken(&self, page: u32) -> Option<&[FoundCell]> {
        self.kept.on_broken.get(&page).map(Vec::as_slice)
    }

    /// Whether a sound page tells of this row id whether a row has it.
    pub(super) fn is_told(&self, rowid: i64) -> bool {
        let after = self.pages.partition_point(|(first, _, _)| *first <= rowid);
        let page = after.checked_sub(1).and_then(|at| self.pages.get(at));
        page.is_some_and(|(_, last, _)| rowid <= *last)
    }

    /// How many live rows have these cells.
    pub(super) fn holds(&self, fingerprint: u64) -> u32 {
        if self.asked.contains(&fingerprint) {
            return self.counted.get(&fingerprint).copied().unwrap_or(0);
        }
        let contents = self.contents.get_or_init(|| {
            let mut contents = Counts::default();
            for content in self.fingerprints(&self.search.tree.pages, &|_| true) {
                *contents.entry(content).or_default() += 1;
            }
            for content in self.kept_contents() {
                contents.entry(content).or_insert(1);
            }
            contents
        });
        contents.get(&fingerprint).copied().unwrap_or(0)
    }

    /// The fingerprints of the live rows on these pages of the tree the endings of whose bodies are `wanted`.
    fn fingerprints(&self, pages: &[u32], wanted: &(impl Fn(u64) -> bool + Sync)) -> Vec<u64> {
        let least = self.search.least;
        let pages = pages.par_iter().with_min_len(16);
        let read = pages.fold(Vec::new, |mut found, page| {
            let may_be_wanted = |cell: &Cell, page: &[u8]| match self.only(cell, page) {
                Only::Nothing => false,
                Only::Several => true,
                Only::Ending(ending) => wanted(ending),
            };
            self.each_record(*page, may_be_wanted, |serials, body, whole| {
                if whole {
                    found.extend(contents(serials, body, least, wanted));
                }
            });
            found
        });
        read.flatten_iter().collect()
    }

    /// The fingerprints of the rows that were put out as live although their pages are lost or damaged.
    fn kept_contents(&self) -> impl Iterator<Item = u64> {
        self.kept.by_rowid.keys().filter_map(|rowid| self.content_of(*rowid).flatten())
    }
}
