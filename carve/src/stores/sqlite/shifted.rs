//! Files into which bytes were inserted, or of which some are lost: the pages behind lie beside their places.
//!
//! A page whose every byte is accounted for shows itself at any offset. Pages that follow one another lie at the same
//! distance from their places; what interior pages lead to, and the definitions, tell how far that is. Where whole pages are
//! lost at the beginning [`lost_start`] tells how many.

use super::database::Database;
use super::lost_start;
use super::survey;
use crate::model::{Extent, Finding};
use crate::source::Source;
use crate::words::count;
use mudlark_parsers::bytes::{be_u16_at, be_u32_at};
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::{SchemaKind, schema_row};
use mudlark_parsers::value::TextEncoding;
use std::collections::HashMap;

/// Pages at the end of a file that are looked at first: where the last one that shows itself lies in its place nothing was
/// moved.
const LAST: usize = 8;

/// More parts than these are no accident of a copy, but a file of another kind.
const MOST_RUNS: usize = 16;

/// Whole pages more or less than the least that may have been inserted or lost.
const MOST_PAGES: i64 = 64;

/// Links for which it counts that a run lies where the number of pages in the header puts it.
const COUNTED: usize = 3;

/// Links that are followed to tell how far a run lies from its place.
const MOST_LINKS: usize = 1 << 14;

/// Pages that lie at one distance from their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Offsets of the first and the last page that shows itself.
    first: u64,
    last: u64,
    pages: usize,
    /// By how much they lie behind their places.
    by: i64,
}

/// Where the pages of a database lie in its file; `None` where all lie in their places, as far as that can be told. `found` gives
/// their size where no header states it.
pub(super) fn extents(main: &Source, found: impl FnOnce() -> Option<Geometry>) -> Option<(Vec<Extent>, u32)> {
    let bytes = main.bytes();
    // Whole pages more or less move nothing out of step.
    // Where no page lies in its place these are no help.
    let stated = header::header(bytes).ok().and_then(|(_, header)| header.geometry());
    let geometry = stated.or_else(found)?;
    let is_whole = (bytes.len() as u64).is_multiple_of(u64::from(geometry.page_size));
    if is_whole {
        let size = u64::from(geometry.page_size);
        let lost = (!bytes.starts_with(header::MAGIC)).then(|| lost_start::pages(bytes, geometry))?? as u64;
        let last = bytes.len() as u64 - size;
        let run = Run { first: 0, last, pages: (last / size) as usize + 1, by: -((lost * size) as i64) };
        return Some((laid(&[run], bytes, geometry), geometry.page_size));
    }
    if is_in_place_at_its_end(bytes, geometry) {
        return None;
    }
    let pages = shown(bytes, 0, geometry, LOOKS);
    let mut runs = runs(&pages, bytes, geometry);
    if runs.is_empty() || runs.len() > MOST_RUNS {
        return None;
    }
    let links = links(&pages, bytes, geometry);
    place(&mut runs, &links, bytes, geometry)?;
    runs.dedup_by(|next, run| {
        let same = next.by == run.by;
        if same {
            (run.last, run.pages) = (next.last, run.pages + next.pages);
        }
        same
    });
    if runs.iter().all(|run| run.by == 0) {
        return None;
    }
    Some((laid(&runs, bytes, geometry), geometry.page_size))
}

/// Bytes at the beginning of a file in which pages are looked for at any offset.
const LOOKED_AT: usize = 1 << 20;

/// One in so many pages of a store that lies at any offset shows itself: the others are overflow pages, or damaged.
const SPARSE: usize = 8;

/// The page size of a file in which no page lies at a multiple of it, by those that show themselves in step.
pub(super) fn geometry(bytes: &[u8]) -> Option<Geometry> {
    let bytes = bytes.get(..bytes.len().min(LOOKED_AT))?;
    let in_step = |geometry: Geometry| {
        let size = u64::from(geometry.page_size);
        let mut steps: HashMap<u64, usize> = HashMap::new();
        for (at, _) in shown(bytes, 0, geometry, FEW_LOOKS) {
            *steps.entry(at % size).or_default() += 1;
        }
        let most = steps.into_values().max().unwrap_or(0);
        let enough = most > 1 && most * SPARSE >= bytes.len() / geometry.page_size as usize;
        enough.then_some((most * geometry.page_size as usize, geometry))
    };
    let geometries = PAGE_SIZES.into_iter().filter_map(|size| Geometry::new(size, 0));
    geometries.filter_map(in_step).max_by_key(|(covered, _)| *covered).map(|(_, geometry)| geometry)
}

/// Whether the last page that shows itself lies in its place.
fn is_in_place_at_its_end(bytes: &[u8], geometry: Geometry) -> bool {
    let size = geometry.page_size as usize;
    let last = shown(bytes, bytes.len().saturating_sub(LAST * size), geometry, LOOKS).pop();
    last.is_some_and(|(at, _)| at.is_multiple_of(size as u64))
}

/// The kind of the b-tree page at an offset, every byte of which is accounted for; it has at least so many cells.
fn kind_at(bytes: &[u8], at: u64, geometry: Geometry, cells: u16) -> Option<PageKind> {
    let from = usize::try_from(at).ok()?;
    let page = bytes.get(from..from.checked_add(geometry.page_size as usize)?)?;
    let kind = PageKind::from_number(*page.first()?).filter(|kind| may_begin(page, *kind, geometry))?;
    let pages = u32::try_from(bytes.len() as u64 / u64::from(geometry.page_size)).unwrap_or(u32::MAX);
    let info = survey::look(page, 2, geometry, pages.saturating_add(MOST_PAGES as u32), &mut Vec::new());
    (info.sound && info.cells >= cells).then_some(kind)
}

/// Whether a page with cells can begin so: few places do.
fn may_begin(page: &[u8], kind: PageKind, geometry: Geometry) -> bool {
    let number = |at| be_u16_at(page, at).map_or(0, usize::from);
    let (count, content) = (number(3), number(5));
    let (pointers, usable) = (if kind.is_interior() { 12 } else { 8 }, geometry.usable() as usize);
    let content = if content == 0 { 0x1_0000 } else { content };
    count > 0
        && (pointers + 2 * count..=usable).contains(&content)
        && (content..usable).contains(&number(pointers))
}

/// Places that are looked at, on average of a page: bytes that were made for it could begin one anywhere.
const LOOKS: usize = 64;

/// The same, in a file that is mostly no store.
const FEW_LOOKS: usize = 2;

/// Cells of a page that shows itself by chance nowhere.
const CELLS: u16 = 2;

/// The pages that show themselves at any offset from one on, in order; none where more than so many places for each page
/// had to be looked at.
fn shown(bytes: &[u8], from: usize, geometry: Geometry, looks: usize) -> Vec<(u64, PageKind)> {
    let mut shown = Vec::new();
    let mut at = from;
    let mut left = looks * (bytes.len() / geometry.page_size as usize + LOOKS);
    while at < bytes.len() {
        let next = bytes
            .get(at..)
            .and_then(|rest| rest.iter().position(|byte| PageKind::from_number(*byte).is_some()));
        let Some(next) = next else { break };
        at += next;
        let page = bytes.get(at..).unwrap_or_default();
        let kind = page.first().and_then(|kind| PageKind::from_number(*kind));
        if kind.is_some_and(|kind| may_begin(page, kind, geometry)) {
            left -= 1;
        }
        if left == 0 {
            return Vec::new();
        }
        match kind_at(bytes, at as u64, geometry, CELLS) {
            Some(kind) => {
                shown.push((at as u64, kind));
                at += geometry.page_size as usize;
            }
            None => at += 1,
        }
    }
    shown
}

/// The pages in step with one another. Page 1, which no other header stands before, is in its place where the file begins
/// with it.
fn runs(pages: &[(u64, PageKind)], bytes: &[u8], geometry: Geometry) -> Vec<Run> {
    let size = u64::from(geometry.page_size);
    let mut runs: Vec<Run> = Vec::new();
    if bytes.starts_with(header::MAGIC) {
        runs.push(Run { first: 0, last: 0, pages: 1, by: 0 });
    }
    for (at, _) in pages {
        let by = (at % size) as i64;
        match runs.last_mut().filter(|run| run.by == by) {
            Some(run) => (run.last, run.pages) = (*at, run.pages + 1),
            None => runs.push(Run { first: *at, last: *at, pages: 1, by }),
        }
    }
    // What is out of step amid pages that are in step is no page of this database, but may be one that a row holds.
    while let Some(inner) = runs
        .windows(3)
        .position(|runs| matches!(runs, [a, b, c] if a.by == c.by && b.pages < a.pages.max(c.pages)))
    {
        runs.remove(inner + 1);
        let next = runs.remove(inner + 1);
        if let Some(run) = runs.get_mut(inner) {
            (run.last, run.pages) = (next.last, run.pages + next.pages);
        }
    }
    runs
}

/// Pages that definitions and interior pages lead to, each with the kind that it must be of, as far as that is told.
fn links(pages: &[(u64, PageKind)], bytes: &[u8], geometry: Geometry) -> Vec<(u32, Option<bool>)> {
    let mut links = Vec::new();
    let page = |at: u64, number: u32| {
        let from = usize::try_from(at).ok()?;
        Page::parse(bytes.get(from..from + geometry.page_size as usize)?, number, geometry)
    };
    for (at, kind) in pages {
        if links.len() > MOST_LINKS {
            break;
        }
        let Some(page) = page(*at, 2).filter(|_| kind.is_interior()) else { continue };
        let children = page.good_cells().map(|cell| cell.left_child).chain([page.header.right_child]);
        links.extend(children.map(|child| (child, Some(kind.is_table()))));
    }
    // The definitions stand on page 1, and on leaves like any table's.
    let first = page(0, 1).filter(|_| bytes.starts_with(header::MAGIC));
    let leaves = pages.iter().filter(|(_, kind)| *kind == PageKind::TableLeaf);
    for page in first.into_iter().chain(leaves.filter_map(|(at, _)| page(*at, 2))) {
        for cell in page.good_cells() {
            let payload = cell.local_payload(page.bytes);
            let Ok(header) = record::header_only(payload) else { continue };
            if header.columns != 5 {
                break;
            }
            let mut values = Vec::new();
            record::decode(&header, payload, &mut values);
            let row = [TextEncoding::Utf8, TextEncoding::Utf16le, TextEncoding::Utf16be]
                .into_iter()
                .find_map(|encoding| schema_row(&values, encoding));
            let kind = row.as_ref().map(|row| match row.kind {
                SchemaKind::Index => Some(false),
                _ if row.sql.as_ref().is_none_or(|sql| sql.to_ascii_lowercase().contains("without")) => None,
                _ => Some(true),
            });
            let root = row.and_then(|row| row.root).filter(|root| *root > 0);
            links.extend(root.zip(kind));
        }
    }
    links
}

/// Tells for each run by how much it lies behind its place: most links then lead to pages of theirs.
fn place(runs: &mut [Run], links: &[(u32, Option<bool>)], bytes: &[u8], geometry: Geometry) -> Option<()> {
    let size = i64::from(geometry.page_size);
    // Many ways lead to one page.
    let mut kinds: HashMap<u64, Option<PageKind>> = HashMap::new();
    let counted = header::header(bytes).ok().and_then(|(_, header)| header.believed_page_count());
    let counted = counted.map(|count| bytes.len() as i64 - i64::from(count) * size);
    let mut before = 0;
    let mut known = 0;
    for run in runs {
        let step = (run.by - before).rem_euclid(size);
        // Of few bytes more and many bytes less the links decide.
        let of = |pages: i64| before + step + pages * size;
        let least = |by: &i64| (run.first as i64 - by) / size >= known && run.first as i64 >= *by;
        let mut hits = |by: i64| {
            let is_there = |(child, table): &&(u32, Option<bool>)| {
                let at = (i64::from(*child) - 1) * size + by;
                let Some(at) = u64::try_from(at).ok().filter(|at| (run.first..=run.last).contains(at)) else {
                    return false;
                };
                let kind = kinds.entry(at).or_insert_with(|| kind_at(bytes, at, geometry, 1));
                kind.is_some_and(|kind| table.is_none_or(|table| table == kind.is_table()))
            };
            links.iter().filter(is_there).count()
        };
        let ways = (-MOST_PAGES..=MOST_PAGES).map(of).filter(least);
        let best = ways.max_by_key(|by| {
            let is_counted = counted == Some(*by);
            (hits(*by) + if is_counted { COUNTED } else { 0 }, is_counted, -(by - before).abs())
        });
        let by = if run.first == 0 { 0 } else { best? };
        (run.by, before) = (by, by);
        known = (run.last as i64 - by) / size + 1;
    }
    Some(())
}

/// The extents of the file, by page: of pages between two runs those before the bytes that were inserted or lost lie
/// in step with the first.
fn laid(runs: &[Run], bytes: &[u8], geometry: Geometry) -> Vec<Extent> {
    let size = i64::from(geometry.page_size);
    let mut extents: Vec<Extent> = Vec::new();
    let mut lay = |mut from: i64, to: i64, by: Option<i64>| {
        // Of a page that would begin before the file its start was lost.
        let first = by.map_or(from, |by| (size - 1 - by).div_euclid(size)).clamp(from, to.max(from));
        if from < first {
            let (at, length) = ((from * size) as u64, ((first - from) * size) as u64);
            extents.push(Extent { at, offset: None, length });
            from = first;
        }
        if from < to {
            let offset = by.map(|by| (from * size + by) as u64);
            extents.push(Extent { at: (from * size) as u64, offset, length: ((to - from) * size) as u64 });
        }
    };
    let mut from = 0;
    for (index, run) in runs.iter().enumerate() {
        let Some(next) = runs.get(index + 1) else {
            // A part of a page at the end is left as it is.
            let end = bytes.len() as i64 - run.by;
            lay(from, end / size, Some(run.by));
            if end % size > 0 {
                let at = end / size * size;
                let offset = Some((at + run.by) as u64);
                extents.push(Extent { at: at as u64, offset, length: (end % size) as u64 });
            }
            break;
        };
        let end = boundary(run, next, bytes, geometry);
        // Bytes of the page that the first run ends with may be those of the page that the next one begins with: of each one
        // end is left. Further pages were lost.
        let begin = (end * size + run.by - 2 * size - next.by).div_euclid(size) + 1;
        let begin = begin.max(end);
        lay(from, end, Some(run.by));
        lay(end, begin, None);
        from = begin;
    }
    extents
}

/// The first page, counted from zero, that is not in step with a run any more.
fn boundary(run: &Run, next: &Run, bytes: &[u8], geometry: Geometry) -> i64 {
    let size = i64::from(geometry.page_size);
    let count = bytes.len() as i64 / size + MOST_PAGES;
    let (first, last) = ((run.last as i64 - run.by) / size + 1, (next.first as i64 - next.by) / size);
    // What speaks for a page there: it is one, begins as one, or leads to another one of a chain.
    let worth = |page: i64, by: i64| {
        let at = page * size + by;
        let Some(place) = u64::try_from(at).ok().filter(|at| *at < bytes.len() as u64) else { return 0 };
        let begin = bytes.get(place as usize..).unwrap_or_default();
        let next = be_u32_at(begin, 0).unwrap_or(0);
        if kind_at(bytes, place, geometry, 1).is_some() {
            return 4;
        }
        let is_header = begin.first().is_some_and(|kind| PageKind::from_number(*kind).is_some())
            && be_u16_at(begin, 3).is_some_and(|count| count > 0 && i64::from(count) * 4 < size);
        let is_trunk = || {
            let page = begin.get(..size as usize)?;
            freelist::plausible_trunk(page, geometry.usable(), count as u32)
        };
        if (1..count).contains(&i64::from(next)) || is_trunk().is_some() { 2 } else { i64::from(is_header) }
    };
    let mut ahead: i64 = (first..last).map(|page| worth(page, next.by)).sum();
    let (mut behind, mut best) = (0, (ahead, first));
    for page in first..last {
        behind += worth(page, run.by);
        ahead -= worth(page, next.by);
        if behind + ahead > best.0 {
            best = (behind + ahead, page + 1);
        }
    }
    best.1
}

/// Where bytes were inserted into the main file, or are lost.
pub(super) fn findings(database: &Database<'_>) -> Vec<Finding> {
    let main = database.roles.main.and_then(|main| Some((main, database.sources.get(usize::from(main.0))?)));
    let Some((id, main)) = main else { return Vec::new() };
    let size = u64::from(database.view.geometry.page_size);
    let mut before = 0;
    let mut found = Vec::new();
    for extent in main.moves() {
        let Some(offset) = extent.offset else { continue };
        let by = offset as i64 - extent.at as i64;
        if by != before {
            let bytes = count((by - before).unsigned_abs(), "byte");
            let (more, were) = if by > before { ("more", "inserted") } else { ("less", "lost") };
            let is = format!("{bytes} {more} before page {}", extent.at / size + 1);
            let expected = format!("pages one behind the other: bytes were {were} there");
            found.push(Finding {
                source: Some(id),
                offset: Some(offset),
                ..Finding::note("file", "mismatch", is, expected)
            });
        }
        before = by;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Run, laid};
    use mudlark_parsers::sqlite::geometry::Geometry;

    #[test]
    fn a_page_that_began_before_the_file_lies_nowhere_in_it() {
        let runs = [Run { first: 412, last: 2460, pages: 5, by: -100 }];
        let extents = laid(&runs, &[1; 2972], Geometry { page_size: 512, reserved: 0 });
        let laid: Vec<_> = extents.iter().map(|extent| (extent.at, extent.offset, extent.length)).collect();
        assert_eq!(laid, [(0, None, 512), (512, Some(412), 2560)]);
    }
}
