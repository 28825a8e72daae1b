//! Which pages are free.

use super::survey::Survey;
use super::view::View;
use mudlark_parsers::bytes::{all_zero, be_u32_at};
use mudlark_parsers::damage::{Damage, DamageKind};
use mudlark_parsers::sqlite::freelist::{plausible_trunk, trunk};
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::ptrmap::PointerKind;
use std::collections::HashSet;

/// The free pages, as far as trunks tell.
#[derive(Debug, Default)]
pub(super) struct Freelist {
    pub pages: HashSet<u32>,
    /// Of these, the trunks.
    pub trunks: HashSet<u32>,
    /// The chain is whole, and as long as the header says, or no page is left that could be part of it: all other pages are
    /// in use.
    pub whole: bool,
    /// Free pages that the header counts beyond those that were found, where it has the right number of pages.
    pub unlisted: Option<u32>,
    /// At least half of the free pages that the header counts were found: the count is no random number.
    pub mostly_found: bool,
    /// The chain of trunks ends on a page that is none, or was lost: it was longer, and not just counted wrong.
    pub cut_off: bool,
    /// What broke the chain: the page and the damage on it.
    pub damage: Vec<(u32, Damage)>,
}

/// Offset of the first trunk's number in the database header.
const FIRST_TRUNK_AT: u64 = 32;

/// Follows the chain of trunks. Where it is broken, pages that can only be trunks stand in, and those that the pointer map
/// calls free where the database has one (`is_mapped`).
pub(super) fn read(view: &View<'_>, survey: &Survey, header: Option<&Header>, is_mapped: bool) -> Freelist {
    let mut list = Freelist::default();
    list.whole = header.is_some_and(|header| list.follow(view, header));
    if !list.whole {
        let is_chain = list.gather(view, survey);
        list.whole = header.is_none() && is_chain;
        if is_mapped {
            list.add_mapped(view, header);
        }
    }
    let found = u32::try_from(list.pages.len()).unwrap_or(u32::MAX);
    if let Some(header) = header.filter(|header| header.page_count == view.page_count) {
        let count = header.freelist_count;
        list.unlisted = count.checked_sub(found).filter(|_| count < view.page_count);
        list.mostly_found = found >= count / 2;
    }
    list
}

/// The free pages, as far as the chain of trunks that page 1 names tells.
pub(super) fn listed(view: &View<'_>) -> HashSet<u32> {
    let mut list = Freelist::default();
    if let Some((_, header)) = view.page(1).and_then(|first| header::header(first.bytes).ok()) {
        list.follow(view, &header);
    }
    list.pages
}

impl Freelist {
    /// Takes the pages that can only be trunks, and returns whether they make one chain and no other page can be one.
    fn gather(&mut self, view: &View<'_>, survey: &Survey) -> bool {
        let (mut next, mut others) = (Vec::new(), 0);
        for (number, info) in survey.iter().filter(|(number, info)| *number > 1 && info.kind.is_none()) {
            let page = view.page(number).filter(|_| !info.zero);
            let usable = view.geometry.usable();
            let found = page.and_then(|page| plausible_trunk(page.bytes, usable, view.page_count));
            if let Some(found) = found {
                self.trunks.insert(number);
                self.pages.insert(number);
                self.pages.extend(found.leaves);
                next.push(found.next);
            } else if !page.is_some_and(|page| is_overflow(page.bytes, view.page_count)) {
                others += 1;
            }
        }
        let is_chain = next.iter().all(|next| *next == 0 || self.trunks.contains(next));
        let ends = next.iter().filter(|next| **next == 0).count();
        others == 0 && view.absent() == 0 && is_chain && ends == usize::from(!next.is_empty())
    }

    /// Takes the pages that the pointer map calls free, if the header doesn't count fewer.
    fn add_mapped(&mut self, view: &View<'_>, header: Option<&Header>) {
        let is_free = |number: &u32| {
            let entry = view.map_entry(*number);
            entry.is_some_and(|entry| entry.kind == PointerKind::Free && entry.parent == 0)
        };
        let mut pages = self.pages.clone();
        pages.extend((2..=view.last_held()).filter(is_free));
        if header.is_none_or(|header| pages.len() as u64 <= u64::from(header.freelist_count)) {
            self.pages = pages;
        }
    }

    fn follow(&mut self, view: &View<'_>, header: &Header) -> bool {
        let (mut next, mut named_by, mut field_at) = (header.first_trunk, 1, FIRST_TRUNK_AT);
        while next != 0 {
            let damage = if !self.trunks.insert(next) {
                Some(DamageKind::Loop { page: u64::from(next) })
            } else if next > view.page_count {
                let most = u64::from(view.page_count);
                Some(DamageKind::OutOfRange { found: u64::from(next), least: 2, most })
            } else {
                None
            };
            if let Some(kind) = damage {
                self.damage.push((named_by, Damage::new("freelist.next_trunk", field_at, kind)));
                self.cut_off = true;
                return false;
            }
            let read = view.page(next).and_then(|page| trunk(page.bytes, view.geometry.usable()));
            let Some(read) = read else {
                self.cut_off = true;
                return false;
            };
            self.cut_off |= view.page(next).is_some_and(|page| is_wiped(page.bytes));
            let most = view.geometry.usable() / 4 - 2;
            if read.leaf_count > most {
                let kind = DamageKind::OutOfRange {
                    found: u64::from(read.leaf_count),
                    least: 0,
                    most: u64::from(most),
                };
                self.damage.push((next, Damage::new("freelist.leaf_count", 4, kind)));
                self.cut_off = true;
                return false;
            }
            self.pages.insert(next);
            self.pages.extend(read.leaves.iter().filter(|leaf| (2..=view.page_count).contains(*leaf)));
            (named_by, field_at, next) = (next, 0, read.next);
        }
        let found = self.pages.len() as u64;
        if found != u64::from(header.freelist_count) {
            let kind = DamageKind::Mismatch { found: u64::from(header.freelist_count), expected: found };
            self.damage.push((1, Damage::new("database_header.freelist_count", 36, kind)));
            return false;
        }
        true
    }
}

/// Whether a page that is no trunk begins as an overflow page does: a trunk without leaves begins with zeros.
fn is_overflow(page: &[u8], pages: u32) -> bool {
    let (next, content) = (be_u32_at(page, 0), be_u32_at(page, 4));
    next.is_some_and(|next| next == 0 || (2..=pages).contains(&next)) && content.is_some_and(|word| word != 0)
}

/// Whether the first sector of a page holds nothing.
fn is_wiped(page: &[u8]) -> bool {
    all_zero(page.get(..512).unwrap_or(page))
}
