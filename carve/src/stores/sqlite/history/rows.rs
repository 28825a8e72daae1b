//! The rows on a page in one state, with their overflow chains followed in that state.

use super::super::layout::Layout;
use super::super::prints::content;
use super::super::rank::Rank;
use super::pages::{Pages, Seen};
use mudlark_parsers::bytes::{be_u32_at, slice_at};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// How the rows of a tree are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// By their row ids.
    Rowid,
    /// By so many first cells.
    Cells(usize),
    /// It holds no rows.
    None,
}

/// A row in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowAt {
    /// Its row id, or a fingerprint of its key.
    pub key: i64,
    /// A fingerprint of its cells; `None` when they can't be read.
    pub content: Option<u64>,
    pub page: u32,
    /// Its cell's offset on the page.
    pub at: u32,
}

/// What a page came to.
#[derive(Debug, Default)]
pub struct PageRows {
    pub rows: Vec<RowAt>,
    /// The overflow pages of its cells.
    pub chained: Vec<u32>,
    /// Whether all its cells could be read.
    pub whole: bool,
    /// Its bytes are there and break a rule.
    pub broken: bool,
    /// The least and the greatest rank of its rows.
    pub ranks: Option<(Rank, Rank)>,
    /// How many rows there are, those among them that were not asked for.
    pub count: u32,
}

/// What is asked of a page's rows.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    pub keys: Keys,
    /// The ranks of those that are asked for, unless all are.
    pub ranks: Option<&'r RangeInclusive<Rank>>,
}

/// What no row has.
const NO_RANK: RangeInclusive<Rank> = RangeInclusive::new(Rank::NONE, Rank::LEAST);

impl Asked<'_> {
    /// All of them.
    pub const fn all(keys: Keys) -> Self {
        Self { keys, ranks: None }
    }

    /// Their ranks, and how many they are; none of themselves.
    pub const fn counted(keys: Keys) -> Self {
        Self { keys, ranks: Some(&NO_RANK) }
    }
}

/// The rows on a page.
pub fn on_page(pages: &Pages<'_>, number: u32, state: u32, asked: Asked<'_>) -> PageRows {
    let version = match pages.at(number, state) {
        Seen::Image(version) => version,
        Seen::Absent => return PageRows::none(),
        Seen::Unknown => return PageRows::default(),
    };
    let Some(page) = Page::parse(version.bytes, number, pages.geometry) else {
        return PageRows { broken: true, ..PageRows::default() };
    };
    let mut found = PageRows::none();
    if page.header.kind == PageKind::TableInterior {
        return found;
    }
    found.broken = page.pointer_count() != usize::from(page.header.cell_count);
    for cell in page.cells() {
        match cell {
            Ok(cell) => found.add(pages, &page, number, &cell, state, asked),
            Err(_) => found.broken = true,
        }
    }
    found.whole &= !found.broken;
    found
}

/// The rows on a page in an earlier and a later state, without those that are the same in both.
pub fn changed_on_page(
    pages: &Pages<'_>,
    number: u32,
    [from, to]: [u32; 2],
    asked: Asked<'_>,
) -> [PageRows; 2] {
    let both = || [on_page(pages, number, from, asked), on_page(pages, number, to, asked)];
    let parse = |state: u32| {
        let version = pages.at(number, state).image()?;
        let page = Page::parse(version.bytes, number, pages.geometry)?;
        let cells: Vec<Cell> = page.cells().collect::<Result<_, _>>().ok()?;
        let in_order = cells.is_sorted_by(|a, b| a.rowid < b.rowid);
        let all = cells.len() == usize::from(page.header.cell_count);
        (page.header.kind == PageKind::TableLeaf && in_order && all).then_some((page, cells))
    };
    if asked.keys != Keys::Rowid {
        return both();
    }
    let Some(((old_page, old), (new_page, new))) = parse(from).zip(parse(to)) else { return both() };
    let (mut before, mut after) = (PageRows::none(), PageRows::none());
    let mut old = old.iter().peekable();
    for new in &new {
        while let Some(old) = old.next_if(|old| old.rowid < new.rowid) {
            before.add(pages, &old_page, number, old, from, asked);
        }
        if let Some(old) = old.next_if(|old| old.rowid == new.rowid) {
            let local = old.overflow == 0 && new.overflow == 0;
            if local && old.local_payload(old_page.bytes) == new.local_payload(new_page.bytes) {
                continue;
            }
            before.add(pages, &old_page, number, old, from, asked);
        }
        after.add(pages, &new_page, number, new, to, asked);
    }
    for old in old {
        before.add(pages, &old_page, number, old, from, asked);
    }
    [before, after]
}

impl PageRows {
    /// Those of a page that is not there.
    pub fn none() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Adds the row of a cell.
    fn add(
        &mut self,
        pages: &Pages<'_>,
        page: &Page<'_>,
        number: u32,
        cell: &Cell,
        state: u32,
        Asked { keys, ranks }: Asked<'_>,
    ) {
        let payload = payload(pages, page.bytes, cell, state, &mut self.chained);
        if keys == Keys::None {
            return;
        }
        let local = payload.as_deref().unwrap_or_else(|| cell.local_payload(page.bytes));
        let Ok(header) = record::header(local, cell.payload_len) else {
            self.whole = false;
            self.broken = true;
            return;
        };
        let serials = || header.serials().map(|serial| serial.0);
        let body = local.get(header.len..).unwrap_or_default();
        let key = match keys {
            Keys::Rowid => Some((cell.rowid, Rank::of_rowid(cell.rowid))),
            Keys::Cells(count) => {
                let len: u64 = header.serials().take(count).map(|serial| serial.len()).sum();
                let key = usize::try_from(len).ok().and_then(|len| body.get(..len));
                key.map(|key| {
                    let rank = Rank::of_key(header.serials().take(count), key);
                    (content(serials().take(count), key) as i64, rank)
                })
            }
            Keys::None => None,
        };
        let Some((key, rank)) = key else {
            self.whole = false;
            return;
        };
        self.ranks = Some(self.ranks.map_or((rank, rank), |(first, last)| (first.min(rank), last.max(rank))));
        self.count += 1;
        self.whole &= payload.is_some();
        if ranks.is_some_and(|ranks| !ranks.contains(&rank)) {
            return;
        }
        let content = payload.is_some().then(|| content(serials(), body));
        self.rows.push(RowAt { key, content, page: number, at: cell.at });
    }
}

/// The cell of a row and its payload, when all of that can be read.
pub fn read<'a>(pages: &Pages<'a>, row: &RowAt, state: u32) -> Option<(Cell, Cow<'a, [u8]>)> {
    let version = pages.at(row.page, state).image()?;
    let page = Page::parse(version.bytes, row.page, pages.geometry)?;
    let cell = page.good_cell(row.at as usize)?;
    let payload = payload(pages, version.bytes, &cell, state, &mut Vec::new())?;
    Some((cell, payload))
}

/// Whether a row is the one of the earlier state with nothing more than the defaults of columns that its record lacked.
pub fn is_grown(
    pages: &Pages<'_>,
    (old, new): (&RowAt, &RowAt),
    [from, to]: [u32; 2],
    layout: &Layout,
) -> bool {
    let Some(((old_cell, old), (new_cell, new))) = read(pages, old, from).zip(read(pages, new, to)) else {
        return false;
    };
    let headers = (record::header(&old, old_cell.payload_len), record::header(&new, new_cell.payload_len));
    let (Ok(old_header), Ok(new_header)) = headers else {
        return false;
    };
    if old_header.columns >= new_header.columns {
        return false;
    }
    let mut of_new = record::cells(new_header.serials(), new_header.len, &new).enumerate();
    let same = record::cells(old_header.serials(), old_header.len, &old)
        .all(|cell| of_new.next().is_some_and(|(_, of_new)| of_new == cell));
    same && of_new.all(|(position, (serial, bytes))| {
        bytes.is_some_and(|bytes| layout.is_default(position, &serial.decode(bytes)))
    })
}

/// The payload of a cell, when all of it can be read; the pages of its chain go to `chained`.
pub fn payload<'b>(
    pages: &Pages<'_>,
    page: &'b [u8],
    cell: &Cell,
    state: u32,
    chained: &mut Vec<u32>,
) -> Option<Cow<'b, [u8]>> {
    let local = slice_at(page, cell.payload_at as usize, cell.local as usize)?;
    if cell.overflow == 0 {
        return (local.len() as u64 == cell.payload_len).then_some(Cow::Borrowed(local));
    }
    let (mut bytes, mut left, mut next) = (local.to_vec(), cell.spilled(), cell.overflow);
    let capacity = u64::from(pages.geometry.overflow_capacity());
    while left > 0 {
        if next == 0 || !pages.may_follow() {
            return None;
        }
        chained.push(next);
        let image = pages.at(next, state).image()?;
        let take = left.min(capacity);
        bytes.extend_from_slice(slice_at(image.bytes, 4, take as usize)?);
        left -= take;
        next = be_u32_at(image.bytes, 0)?;
    }
    Some(Cow::Owned(bytes))
}
