//! Payloads, with their overflow chains followed.

use super::rejoined::Rejoined;
use super::survey::Survey;
use super::view::{PageVersion, Space, View};
use crate::source::Span;
use mudlark_parsers::bytes::{all_zero, be_u32_at, slice_at};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record::{self, RecordFault};
use mudlark_parsers::sqlite::serial::SerialKind;
use mudlark_parsers::value::TextEncoding;
use rayon::prelude::*;
use std::borrow::Cow;
use std::collections::HashSet;

/// A payload, as far as it could be read.
#[derive(Debug)]
pub(super) struct Payload<'a> {
    /// The bytes from the payload's start on, until the chain broke.
    pub bytes: Cow<'a, [u8]>,
    /// The chain's pages, in order.
    pub pages: Vec<u32>,
    /// Whether all bytes are there.
    pub whole: bool,
    /// All bytes are there, but a link says that the chain goes on.
    pub doubtful: bool,
    /// From here on the bytes are of a page whose link leads out of the file: only its content can say whether it is
    /// still the page that was written.
    pub suspect: Option<usize>,
}

impl<'a> Payload<'a> {
    /// A payload of which all bytes are there.
    pub(super) const fn whole(bytes: Cow<'a, [u8]>) -> Self {
        Self { bytes, pages: Vec::new(), whole: true, doubtful: false, suspect: None }
    }

    /// Takes back the suspect end, unless it is text, and valid.
    pub(super) fn check_end(&mut self, payload_len: u64, encoding: TextEncoding) {
        let Some(from) = self.suspect else { return };
        let read = text_behind(&self.bytes, payload_len, from, encoding);
        if read.is_none_or(|read| read < CONVINCING_TEXT) {
            self.bytes.to_mut().truncate(from);
            self.pages.pop();
            self.whole = false;
            self.doubtful = false;
        }
    }
}

/// Bytes of text that are valid by accident too seldom to matter.
pub(super) const CONVINCING_TEXT: usize = 8;

/// Bytes of text behind `from` in a record; `None` where text that reaches there does not read, so that something else
/// stands in its place.
pub(super) fn text_behind(
    payload: &[u8],
    payload_len: u64,
    from: usize,
    encoding: TextEncoding,
) -> Option<usize> {
    let header = record::header(payload, payload_len).ok()?;
    let (mut at, mut read) = (header.len, 0);
    for serial in header.serials() {
        let start = at;
        at = at.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
        if at <= from || serial.kind() != SerialKind::Text {
            continue;
        }
        let text = payload.get(start..at).and_then(|bytes| encoding.decode(bytes))?;
        // Random bytes are valid now and then, but not without control characters.
        if text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) {
            return None;
        }
        read += at - start.max(from);
    }
    Some(read)
}

/// What is wrong with a chain: the page, its place among those that the chain needs, and what it is instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChainFault {
    pub page: u32,
    /// From 1.
    pub place: u32,
    pub what: LinkFault,
}

/// What a page of a chain is that can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFault {
    /// A sound page of a tree.
    InTree,
    /// A page where the chain has been.
    Again,
    /// A page of more chains than can be right.
    Crowded,
    /// No file holds it.
    Absent,
    /// The file ends within it.
    Cut,
    /// All zeros.
    Zeros,
    /// Links to a page that is none, or out of the file.
    Link(u32),
    /// The last page links on.
    GoesOn(u32),
}

/// Bytes that are reserved for a payload before it is read, at most: a length may be wrong.
const MOST_RESERVED: u64 = 1 << 16;

/// Reads the payload of a cell; a local one is borrowed.
pub(super) fn read<'a>(view: &View<'a>, survey: &Survey, page: &PageVersion<'a>, cell: &Cell) -> Payload<'a> {
    let local = slice_at(page.bytes, cell.payload_at as usize, cell.local as usize);
    let local = local.unwrap_or_default();
    if cell.overflow == 0 {
        let whole = local.len() as u64 == cell.payload_len;
        return Payload { whole, ..Payload::whole(Cow::Borrowed(local)) };
    }
    let mut bytes = Vec::with_capacity(cell.payload_len.min(MOST_RESERVED) as usize);
    bytes.extend_from_slice(local);
    let mut walk = Walk { bytes, ..Walk::default() };
    let whole = walk.follow(view, survey, page, cell.overflow, cell.spilled());
    let doubtful = whole && walk.fault.is_some();
    let Walk { bytes, pages, suspect, .. } = walk;
    Payload { bytes: Cow::Owned(bytes), pages, whole, doubtful, suspect }
}

/// Reads the payload of a cell that is gone: of a chain that a live row has taken pages of since, what stands before them.
pub(super) fn read_gone<'a>(
    view: &View<'a>,
    survey: &Survey,
    chained: &Chained,
    page: &PageVersion<'a>,
    cell: &Cell,
) -> Payload<'a> {
    let mut payload = read(view, survey, page, cell);
    if let Some(place) = payload.pages.iter().position(|page| chained.contains(*page)) {
        let capacity = capacity(view, page.space) as usize;
        payload.bytes.to_mut().truncate((cell.local as usize).saturating_add(place.saturating_mul(capacity)));
        payload.pages.truncate(place);
        payload.whole = false;
    }
    payload
}

/// Bytes of a payload that an overflow page holds.
fn capacity(view: &View<'_>, space: Option<Space>) -> u32 {
    space.map_or(view.geometry, |space| space.geometry).overflow_capacity()
}

/// The spans of a payload that was read: its cell, and its bytes in the pages of its chain.
pub(super) fn spans(
    view: &View<'_>,
    page: &PageVersion<'_>,
    cell: &Cell,
    chain: &[u32],
    out: &mut Vec<Span>,
) {
    out.push(page.span(cell.at, cell.end - cell.at));
    let mut left = cell.spilled();
    for number in chain {
        let take = left.min(u64::from(capacity(view, page.space)));
        left -= take;
        out.extend(view.page(*number).map(|page| page.span(4, take as u32)));
    }
}

/// The overflow pages of a database, as far as their chains hold together, in order.
#[derive(Debug, Default)]
pub(super) struct Chained {
    /// Pages of any chain.
    pub pages: Vec<u32>,
    /// Pages of more than one chain: at most one of the rows is right.
    pub shared: Vec<u32>,
    /// Chains with a fault, by the page and the place of their cells.
    pub faults: Vec<FaultyCell>,
    /// Chains that wrong links had cut off.
    rejoined: Rejoined,
}

/// A cell whose chain has a fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultyCell {
    pub page: u32,
    pub cell: Cell,
    pub fault: ChainFault,
}

impl Chained {
    /// The chains that begin on these pages.
    pub(super) fn from(view: &View<'_>, survey: &Survey, tree_pages: &[u32]) -> Self {
        let (mut pages, mut faults): (Vec<u32>, Vec<FaultyCell>) = tree_pages
            .par_iter()
            .filter(|page| survey.page(**page).spilled > 0 || survey.page(**page).bad > 0)
            .map(|number| from_page(view, survey, *number))
            .reduce(Default::default, |mut all, (pages, faults)| {
                all.0.extend(pages);
                all.1.extend(faults);
                all
            });
        pages.par_sort_unstable();
        faults.sort_unstable_by_key(|faulty| (faulty.page, faulty.cell.at));
        let twice = pages.windows(2).filter(|pair| matches!(pair, [a, b] if a == b));
        let mut shared: Vec<u32> = twice.filter_map(|pair| pair.first().copied()).collect();
        shared.dedup();
        pages.dedup();
        Self { pages, shared, faults, rejoined: Rejoined::new() }
    }

    /// Takes chains that were found again for those of their rows.
    pub(super) fn rejoin(&mut self, rejoined: Rejoined) {
        self.pages.extend(rejoined.values().flatten());
        self.pages.par_sort_unstable();
        self.pages.dedup();
        self.rejoined = rejoined;
    }

    /// The pages of a cell's chain, where it was found again.
    pub(super) fn rejoined(&self, place: (u32, u32)) -> Option<&[u32]> {
        self.rejoined.get(&place).map(Vec::as_slice)
    }

    /// The cells on a page whose chains have a fault.
    pub(super) fn faults_on(&self, page: u32) -> &[FaultyCell] {
        let from = self.faults.partition_point(|faulty| faulty.page < page);
        let to = self.faults.partition_point(|faulty| faulty.page <= page);
        self.faults.get(from..to).unwrap_or_default()
    }

    /// Whether the chain of the cell at this place has a fault: page, and offset on it.
    pub(super) fn is_faulty(&self, place: (u32, u32)) -> bool {
        self.faults_on(place.0).iter().any(|faulty| faulty.cell.at == place.1)
    }

    pub(super) fn contains(&self, page: u32) -> bool {
        self.pages.binary_search(&page).is_ok()
    }

    /// Whether a chain shares a page with another row's.
    pub(super) fn is_shared(&self, chain: &[u32]) -> bool {
        !self.shared.is_empty() && chain.iter().any(|page| self.shared.binary_search(page).is_ok())
    }
}

/// The pages of all chains that begin on one page, and the cells whose chains have a fault.
fn from_page(view: &View<'_>, survey: &Survey, number: u32) -> (Vec<u32>, Vec<FaultyCell>) {
    let (mut pages, mut faults) = (Vec::new(), Vec::new());
    let Some(version) = view.page(number) else { return (pages, faults) };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else {
        return (pages, faults);
    };
    for cell in page.good_cells().filter(|cell| cell.spilled() > 0) {
        // A cell that is no record, as on a page of noise, is another fault.
        let record = record::header(cell.local_payload(version.bytes), cell.payload_len);
        let reads = matches!(record, Ok(_) | Err(RecordFault::Truncated));
        let counts = survey.page(number).spilled > 0;
        if !reads && !counts {
            continue;
        }
        let local = cell.local_payload(version.bytes);
        let before = local.get(local.len().saturating_sub(BEFORE)..).unwrap_or_default();
        let mut walk = Walk { bytes: before.to_vec(), only_pages: true, ..Walk::default() };
        walk.follow(view, survey, &version, cell.overflow, cell.spilled());
        if reads {
            faults.extend(walk.fault.map(|fault| FaultyCell { page: number, cell, fault }));
        }
        if counts {
            pages.extend(walk.pages);
        }
    }
    (pages, faults)
}

/// Bytes before a page that tell whether it was wiped.
const BEFORE: usize = 16;

#[derive(Default)]
struct Walk {
    bytes: Vec<u8>,
    /// Of the bytes only the last ones are kept that tell something of the next page.
    only_pages: bool,
    pages: Vec<u32>,
    /// The same, of a long chain.
    seen: HashSet<u32>,
    fault: Option<ChainFault>,
    suspect: Option<usize>,
}

impl Walk {
    /// Follows a chain that begins on a version of a page for `left` bytes; `false` where it breaks. The bytes of the page at which it breaks are
    /// not taken: a page whose pointer is wrong is no longer the page that was written.
    fn follow(
        &mut self,
        view: &View<'_>,
        survey: &Survey,
        from: &PageVersion<'_>,
        first: u32,
        mut left: u64,
    ) -> bool {
        let capacity = u64::from(capacity(view, from.space));
        let last = view.last_chained(from);
        let mut link = first;
        while left > 0 {
            let Some(next) = view.linked(from, link) else { return self.breaks(link, LinkFault::Absent) };
            let take = left.min(capacity);
            if survey.page(next).kind.is_some() && survey.page(next).sound {
                return self.breaks(next, LinkFault::InTree);
            }
            if survey.is_crowded(next) {
                return self.breaks(next, LinkFault::Crowded);
            }
            if self.visited(next) {
                return self.breaks(next, LinkFault::Again);
            }
            let Some(page) = view.page(next) else { return self.breaks(next, LinkFault::Absent) };
            let (onward, content) = (be_u32_at(page.bytes, 0), slice_at(page.bytes, 4, take as usize));
            let (Some(onward), Some(content)) = (onward, content) else {
                return self.breaks(next, LinkFault::Cut);
            };
            left -= take;
            // The last page's link is zero. Another one may be all that is wrong with the page, but one that leads out of
            // the file makes it suspect.
            let out = onward > last;
            let link_fits = left == 0 || !out && onward != 0;
            // A wiped page has a zero link, as the last page of a chain has: but text does not turn to zeros there.
            let before = self.bytes.get(self.bytes.len().saturating_sub(BEFORE)..);
            let wiped = left == 0
                && all_zero(page.bytes)
                && !before.is_some_and(|before| !before.is_empty() && all_zero(before));
            if wiped || !link_fits {
                let zeros = wiped || all_zero(page.bytes);
                return self.breaks(next, if zeros { LinkFault::Zeros } else { LinkFault::Link(onward) });
            }
            if left == 0 && onward != 0 {
                self.breaks(next, LinkFault::GoesOn(onward));
            }
            self.suspect = (left == 0 && out).then_some(self.bytes.len());
            if self.only_pages {
                self.bytes.clear();
                self.bytes.extend(content.last_chunk::<BEFORE>().into_iter().flatten());
            } else {
                self.bytes.extend_from_slice(content);
            }
            self.pages.push(next);
            link = onward;
        }
        true
    }

    /// Notes what is wrong with the next page; never true, as the chain's wholeness.
    fn breaks(&mut self, page: u32, what: LinkFault) -> bool {
        self.fault = Some(ChainFault { page, place: self.pages.len() as u32 + 1, what });
        false
    }

    /// Notes a page; whether the chain has been there. Most chains are short, and need no set.
    fn visited(&mut self, page: u32) -> bool {
        if self.pages.len() <= 64 {
            return self.pages.contains(&page);
        }
        if self.seen.is_empty() {
            self.seen.extend(&self.pages);
        }
        !self.seen.insert(page)
    }
}

#[cfg(test)]
mod tests {
    use super::{ChainFault, LinkFault, Survey, View, Walk};
    use crate::source::{Source, SourceId};
    use mudlark_parsers::sqlite::geometry::Geometry;

    #[test]
    fn a_long_chain_that_comes_back_to_its_middle_ends() {
        let mut bytes = Vec::new();
        for page in 1..=200_u32 {
            let next = if page < 200 { page + 1 } else { 50 };
            bytes.extend(next.to_be_bytes());
            bytes.extend([b'x'; 508]);
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let sources = [Source::open(file.path()).unwrap()];
        let view = View::main(&sources, Some(SourceId(0)), Geometry { page_size: 512, reserved: 0 });
        let survey = Survey::of(&view, &|_| {});
        let mut walk = Walk::default();
        let from = view.page(1).unwrap();
        assert!(!walk.follow(&view, &survey, &from, 2, 1 << 50));
        assert_eq!((walk.pages.len(), walk.bytes.len()), (199, 199 * 508));
        assert_eq!(walk.fault, Some(ChainFault { page: 50, place: 200, what: LinkFault::Again }));
    }
}
