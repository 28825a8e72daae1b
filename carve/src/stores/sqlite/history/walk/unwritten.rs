//! Which pages hung in a tree while nothing tells what led to them, since no commit wrote page 1 then.
//!
//! A page is taken or given back only by a commit that writes page 1: it counts the free pages, and all. So from one commit
//! that writes page 1 to the next each page stays in its tree, and a tree keeps its depth. An interior page that the log
//! first has amid this time, as when a checkpoint overwrote what it was before, led to the same pages all the while, if not
//! with the same keys: those that it leads to later are the tree's before, too.

use super::super::objects::children;
use super::super::pages::Seen;
use super::super::rows::Keys;
use super::{Owner, Walk};
use mudlark_parsers::sqlite::page::Page;

impl Walk<'_, '_> {
    /// Proves owners from a state on: of the pages to which interior pages lead that are known later only, when no commit up
    /// to then writes page 1.
    pub(super) fn prove_unwritten(&mut self, state: u32) {
        let mut left = std::mem::take(&mut self.unknown);
        // Those above come before those below them.
        left.retain(|page| !self.prove_below(*page, state));
        self.unknown = left;
    }

    /// Proves the owners of the pages below an interior page; true when the page has to be asked no more.
    fn prove_below(&mut self, number: u32, state: u32) -> bool {
        if !matches!(self.pages.at(number, state), Seen::Unknown) {
            return true;
        }
        let Some(first) = self.pages.first_known(number, state) else { return true };
        let Some(object) = self.surely_owned(number).filter(|_| self.pages.keeps_owners(state, first)) else {
            return false;
        };
        let version = self.pages.at(number, first).image();
        let page = version.and_then(|version| Page::parse(version.bytes, number, self.pages.geometry));
        let Some(page) = page.filter(|page| page.header.kind.is_interior()) else { return true };
        for child in children(&page) {
            if self.owner(child) == Owner::Perhaps(object) {
                self.set_owner(child, Owner::Is(object));
            }
        }
        self.led_before(number, object, first);
        true
    }

    /// Notes that a page led to others before the state `first` in which it is known, and held no rows.
    pub(super) fn led_before(&mut self, number: u32, object: u32, first: u32) {
        // In a table without row ids its own cells are rows.
        let keys = self.objects.get(object as usize).map_or(Keys::None, |object| object.keys);
        if !matches!(keys, Keys::Cells(_)) {
            self.inner.insert(number, first);
        }
    }
}
