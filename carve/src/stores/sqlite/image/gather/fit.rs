//! How well the bytes of a page are what its number leads one to expect.
//!
//! The scores are logarithms of how much likelier the bytes are of the page than of another one of some database; zero
//! tells nothing. They only have to be right in their order: what a file comes to is verified as a whole.

use super::body::{Body, Expect, Key};
use super::keys;
use super::order::Order;
use super::pointers;
use super::search::follows;
use super::shape::{Agrees, Shape};
use mudlark_parsers::bytes::{all_zero, be_u32_at, slice_at};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::value::TextEncoding;
use std::cmp::Ordering;

/// The bytes are another page's.
pub(super) const MISFIT: f32 = -1.5;

/// A page of the right kind whose parts lie within it.
pub(super) const PAGE: f32 = 1.5;

/// The greatest row id is the one that the page above names: one page in some dozens has it by accident.
const LAST: f32 = 4.0;

/// The least row id is the next one behind the page before.
const FIRST: f32 = 3.5;

/// The least row id lies behind the page before.
const NEAR: f32 = 0.2;

/// A bound of the keys holds.
const BOUND: f32 = 2.0;

/// The children of an interior page have nearly all row ids between its bounds: those of another one are as many by accident.
const SPAN: f32 = 3.0;

/// The link of a chain is the next number: by accident one page in billions.
const LINK: f32 = 8.0;

/// The link of a chain is the number before: so it is where pages were used again that were freed in their order.
const BACK: f32 = 5.0;

/// The value of a chain ends with zeros, as few do.
const ZEROS: f32 = 0.4;

/// Records have fewer values than the definition has columns, or ones of a kind that is seldom there.
const BARELY: f32 = 1.0;

/// Such a score is no accident.
pub(super) const STRONG: f32 = 5.0;

/// From such a score on the bytes themselves tell that a page is where it is.
pub(super) const EVIDENCE: f32 = 3.5;

impl Body<'_> {
    /// How well the page at `offset` fits what is expected of the page `number`.
    pub(super) fn fit(&self, offset: u64, number: u32, expect: &Expect) -> f32 {
        let Some(bytes) = self.bytes(offset) else {
            return if matches!(expect, Expect::Unknown | Expect::Free) { -1.0 } else { MISFIT };
        };
        match *expect {
            Expect::Lock => 0.0,
            Expect::Unknown | Expect::Free => self.fit_any(bytes, number),
            Expect::Header if Some(offset) == self.first => 3.0 * LINK,
            Expect::Header => 2.0 * MISFIT,
            Expect::Tree { table, leaf, shape, low, high, .. } => {
                let is_leaf = || bytes.first().is_some_and(|kind| *kind > 8);
                if number > 1 && leaf.is_some_and(|leaf| leaf != is_leaf()) {
                    return MISFIT;
                }
                let fit = self.fit_tree(bytes, number, table, shape.order, (low, high));
                if fit < 0.0 { fit } else { fit_shape(bytes, number, shape, self.geometry, fit) }
            }
            Expect::Chain { left, text, guessed, .. } => self.fit_chain(bytes, number, left, text, guessed),
            Expect::Trunk => self.fit_trunk(bytes),
            Expect::Map if pointers::is_map(bytes, self.geometry.usable(), self.linked) => STRONG,
            Expect::Map => MISFIT,
        }
    }

    fn fit_tree(
        &self,
        bytes: &[u8],
        number: u32,
        table: Option<bool>,
        order: Order,
        (low, high): (Key, Key),
    ) -> f32 {
        let Some((page, cells)) = tree_page(bytes, number, self.geometry) else { return MISFIT };
        let kind = page.header.kind;
        if table.is_some_and(|table| table != kind.is_table()) {
            return MISFIT;
        }
        let in_range = |child: u32| (2..=self.linked).contains(&child);
        if kind.is_interior() && !in_range(page.header.right_child) {
            return MISFIT;
        }
        let Some((first, last)) = cells else {
            // Only the root of an empty tree has no cell, and an interior page that lost all but one child.
            let fits = kind.is_interior() || low == Key::Open && high == Key::Open;
            return if fits { PAGE } else { MISFIT };
        };
        if kind.is_interior() && !(in_range(first.left_child) && in_range(last.left_child)) {
            return MISFIT;
        }
        if kind.is_table() {
            let fit = fit_rows(&first, &last, kind.is_interior(), low, high);
            if fit < 0.0 || !kind.is_interior() {
                fit
            } else {
                fit + self.fit_edges(&first, &last, low, high)
            }
        } else {
            self.fit_entries(bytes, (&first, &last), order, low, high)
        }
    }

    /// How well the first and the last child of an interior page of a table reach to its bounds.
    fn fit_edges(&self, first: &Cell, last: &Cell, low: Key, high: Key) -> f32 {
        let begins = if let Key::Row(low) = low { self.index.spans(low, first.rowid, FIRST) } else { 0.0 };
        let ends = if let Key::Row(high) = high { self.index.spans(last.rowid, high, LAST) } else { 0.0 };
        begins + ends
    }

    fn fit_entries(
        &self,
        bytes: &[u8],
        (first, last): (&Cell, &Cell),
        order: Order,
        low: Key,
        high: Key,
    ) -> f32 {
        let entry = |bound: Key| {
            let Key::Entry(at, len) = bound else { return None };
            slice_at(self.image, usize::try_from(at).ok()?, len as usize)
        };
        let bounds = [(entry(low), first, Ordering::Less), (entry(high), last, Ordering::Greater)];
        let known = || bounds.iter().filter_map(|(bound, cell, wanted)| Some(((*bound)?, *cell, *wanted)));
        if order.is_known() {
            let holds = known().try_fold(PAGE, |score, (bound, cell, wanted)| {
                match order.compare(bound, cell.local_payload(bytes)) {
                    None => Some(score),
                    Some(order) => (order == wanted).then_some(score + BOUND),
                }
            });
            return holds.unwrap_or(MISFIT);
        }
        let ends =
            [(first, last)].map(|(first, last)| (first.local_payload(bytes), last.local_payload(bytes)));
        // In which columns keys fall the bounds tell, and those of the page.
        let falls = |column: usize, plain: bool| {
            let mut pairs = entry(low).zip(entry(high)).into_iter().chain(ends);
            let told = pairs.find_map(|(one, other)| {
                keys::compare(one, other, |_| plain).filter(|(order, at)| *at == column && order.is_ne())
            });
            told.map(|(order, _)| order.is_gt()).or((column == 0).then_some(false))
        };
        let holds = |plain: bool| {
            known().try_fold(PAGE, |score, (bound, cell, wanted)| {
                let Some((order, column)) = keys::compare(bound, cell.local_payload(bytes), |_| plain) else {
                    return Some(score);
                };
                let falls = falls(column, plain);
                let wanted = if falls == Some(true) { wanted.reverse() } else { wanted };
                match (order == wanted, falls) {
                    (true, _) => Some(score + BOUND),
                    (false, Some(_)) => None,
                    // A further column may fall where the first one rises.
                    (false, None) => Some(score),
                }
            })
        };
        // Text may be compared without regard to capitals.
        holds(true).or_else(|| holds(false)).unwrap_or(MISFIT)
    }

    fn fit_chain(&self, bytes: &[u8], number: u32, left: u64, text: u64, guessed: bool) -> f32 {
        let Some(next) = be_u32_at(bytes, 0) else { return MISFIT };
        let capacity = u64::from(self.geometry.overflow_capacity());
        let held = left.min(capacity) as usize;
        let content = slice_at(bytes, 4, held).unwrap_or_default();
        let readable = content.get(..text.min(held as u64) as usize).unwrap_or_default();
        let reads = || is_text(readable, self.encoding == TextEncoding::Utf8);
        if guessed {
            return if next == number + 1 { LINK } else { self.fit_any(bytes, number).min(0.0) };
        }
        if left > capacity {
            if !(2..=self.linked).contains(&next) || next == number {
                return MISFIT;
            }
            if next == number + 1 {
                return LINK;
            }
            if next + 1 == number {
                return BACK;
            }
            return if reads() { 0.5 } else { -1.0 };
        }
        if next != 0 {
            return MISFIT;
        }
        // A new page is zeroed before it is written.
        let rest = bytes.get(4 + held..self.geometry.usable() as usize).unwrap_or_default();
        let mut score = 0.5;
        if rest.len() >= 8 && all_zero(rest) && content.last().is_some_and(|byte| *byte != 0) {
            score += 3.0;
        }
        if readable.len() >= 8 {
            score += if reads() { 2.0 } else { -3.0 };
        }
        // Few values end with zeros.
        if held >= 8 && content.ends_with(&[0, 0]) {
            score -= ZEROS;
        }
        if all_zero(content) { -1.0 } else { score }
    }

    /// Whether a page of a chain leads to one that is of something else, as the pages of trees tell.
    pub(super) fn crosses(&self, offset: u64, number: u32, expect: &Expect, expects: &[Expect]) -> bool {
        let Expect::Chain { left, .. } = *expect else { return false };
        if left <= u64::from(self.geometry.overflow_capacity()) {
            return false;
        }
        let of = |number: u32| expects.get((number as usize).checked_sub(1)?);
        match self.bytes(offset).and_then(|bytes| be_u32_at(bytes, 0)).and_then(of) {
            None | Some(Expect::Unknown) => false,
            Some(Expect::Chain { parent, .. }) => {
                *parent != number && matches!(of(*parent), Some(Expect::Tree { .. }))
            }
            Some(_) => true,
        }
    }

    /// How much bytes look like a page that was in use once: of a tree, or of a chain, whose link stays.
    fn fit_any(&self, bytes: &[u8], number: u32) -> f32 {
        let link = be_u32_at(bytes, 0).unwrap_or(u32::MAX);
        if link == number + 1 {
            2.0
        } else if tree_page(bytes, 2, self.geometry).is_some() {
            0.2
        } else if (2..=self.linked).contains(&link) {
            0.1
        } else if link == 0 {
            0.0
        } else {
            -1.0
        }
    }

    fn fit_trunk(&self, bytes: &[u8]) -> f32 {
        let usable = self.geometry.usable();
        let fits = freelist::plausible_trunk(bytes, usable, self.linked).is_some();
        // The last trunk may list no page.
        let empty =
            || be_u32_at(bytes, 4) == Some(0) && be_u32_at(bytes, 0).is_some_and(|next| next <= self.linked);
        if fits {
            STRONG
        } else if empty() {
            0.5
        } else {
            MISFIT
        }
    }
}

/// A page of a tree with its first and last cell, when these lie within it; a page without cells has none.
pub(super) fn tree_page(
    bytes: &[u8],
    number: u32,
    geometry: Geometry,
) -> Option<(Page<'_>, Option<(Cell, Cell)>)> {
    let page = Page::parse(bytes, number, geometry)?;
    let count = usize::from(page.header.cell_count);
    let start = page.header.content_start;
    let least = (page.pointers_at() + 2 * count) as u32;
    if count > page.most_cells() || start < least || start > geometry.usable() {
        return None;
    }
    if count == 0 {
        return Some((page, None));
    }
    let first = page.good_cell(page.pointer(0)?)?;
    let last = page.good_cell(page.pointer(count - 1)?)?;
    Some((page, Some((first, last))))
}

/// What is left of a fit when the first and the last record of the page are not as the definition has them.
fn fit_shape(bytes: &[u8], number: u32, shape: Shape, geometry: Geometry, fit: f32) -> f32 {
    let Some((page, Some((first, last)))) = tree_page(bytes, number, geometry) else { return fit };
    if page.header.kind == PageKind::TableInterior {
        return fit;
    }
    let agrees = [first, last].into_iter().filter_map(|cell| shape.agrees(cell.local_payload(bytes)));
    agrees.fold(fit, |fit, agrees| match agrees {
        Agrees::Wholly => fit,
        Agrees::Barely => fit - BARELY / 2.0,
        Agrees::Not => MISFIT,
    })
}

/// The share of the row ids above `low`, up to `high`, that lies between the first and the last one of a page.
pub(super) fn covered(first: i64, last: i64, low: i64, high: i64) -> f32 {
    (last.abs_diff(first).saturating_add(1) as f64 / high.abs_diff(low).max(1) as f64).min(1.0) as f32
}

/// What speaks for a page whose first row is so far behind its bound, whatever the page holds: of several the nearest one.
fn near(gap: u64) -> f32 {
    NEAR / (gap.max(1) as f32).log10().max(1.0)
}

/// How well the row ids of a page lie between bounds.
fn fit_rows(first: &Cell, last: &Cell, interior: bool, low: Key, high: Key) -> f32 {
    if first.rowid > last.rowid {
        return MISFIT;
    }
    let mut score = PAGE;
    if let Key::Row(low) = low {
        if first.rowid <= low {
            return MISFIT;
        }
        score += match first.rowid.saturating_sub(low) {
            gap if !interior => {
                let gap = gap as u64;
                follows(gap, first.rowid.abs_diff(last.rowid), FIRST).max(near(gap))
            }
            _ => NEAR,
        };
    }
    if let Key::Row(high) = high {
        // The last child of an interior page holds the rows up to the bound.
        if last.rowid > high || interior && last.rowid == high {
            return MISFIT;
        }
        // Of the first page of a table nothing is known but where it ends, and its last rows may be gone.
        let ends = || match high.abs_diff(last.rowid).saturating_add(1) {
            gap if !interior && low == Key::Open => follows(gap, first.rowid.abs_diff(last.rowid), LAST),
            _ => 0.0,
        };
        score += if last.rowid == high { LAST } else { ends().max(0.5) };
    }
    if let (true, Key::Row(low), Key::Row(high)) = (interior, low, high) {
        score += SPAN * (covered(first.rowid, last.rowid, low, high) * 2.0 - 1.0).max(0.0);
    }
    score
}

/// Whether a run out of the middle of a text reads as text: characters may be cut at both ends.
fn is_text(bytes: &[u8], utf8: bool) -> bool {
    if !utf8 {
        // Text in UTF-16 has few words of zeros.
        return !all_zero(bytes.get(..bytes.len().min(16)).unwrap_or_default());
    }
    const LOOKED_AT: usize = 96;
    let head = bytes.get(..bytes.len().min(LOOKED_AT)).unwrap_or_default();
    let tail = bytes.get(bytes.len().saturating_sub(LOOKED_AT)..).unwrap_or_default();
    [head, tail].into_iter().all(|part| {
        let start = part.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
        let part = part.get(start..).unwrap_or_default();
        let valid = match std::str::from_utf8(part) {
            Ok(_) => true,
            Err(error) => error.error_len().is_none() && error.valid_up_to() + 4 > part.len(),
        };
        valid && !part.iter().any(|byte| *byte < 0x20 && !matches!(byte, b'\n' | b'\r' | b'\t'))
    })
}
