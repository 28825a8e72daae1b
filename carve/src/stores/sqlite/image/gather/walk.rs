//! From page 1 to all that it leads to: what each page of a database is expected to be, given where some lie.

mod pending;

use super::body::{Body, Expect, Key};
use super::known::{ChainStart, Known};
use super::schema::Tree;
use super::shape::Shape;
use mudlark_parsers::bytes::be_u32_at;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::SerialKind;
use pending::Pending;

/// What a walk came to, beyond what it told of each page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// The greatest number that a link names, as far as it can be one.
    pub greatest: u32,
    /// Pages to which something leads.
    pub reached: u32,
    /// Of these, the ones that are where they were looked for.
    pub fitting: u32,
    /// Links out of the database, and pages to which two links lead.
    pub broken: u32,
    /// Free pages listed, with the trunks.
    pub free: u32,
    /// Free pages that the header counts.
    pub free_stated: u32,
}

impl Walked {
    /// Whether all links of a database of `count` pages hold, and each page has its use.
    pub(super) const fn is_whole(&self, count: u32) -> bool {
        self.broken == 0
            && self.reached == self.fitting
            && self.reached == count
            && self.free == self.free_stated
    }
}

/// Is told of each page what is expected of it, and how well it fits where it lies; `None` when nothing tells where.
pub(super) type Visit<'v> = dyn FnMut(u32, &Expect, Option<f32>) + 'v;

/// An interior page of a tree, which nothing leads to from page 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Start {
    pub offset: u64,
    /// Its number, where that is known.
    pub number: Option<u32>,
}

/// Walks from page 1, or from the given pages where there is none, over all pages that links lead to.
pub(super) fn walk(
    body: &Body<'_>,
    known: &mut Known,
    starts: &[Start],
    place: &dyn Fn(u32) -> Option<u64>,
    visit: &mut Visit<'_>,
) -> Walked {
    let mut walk = Walk {
        body,
        known,
        place,
        visit,
        seen: vec![false; body.count as usize + 1],
        pending: Pending::new(body.count),
        chains: Vec::new(),
        chained: vec![false; body.count as usize + 1],
        guesses: Vec::new(),
        room: MOST_GUESSES * (body.count as usize + 1),
        walked: Walked::default(),
    };
    walk.fixed();
    walk.run();
    for start in starts {
        walk.start(*start);
        walk.run();
    }
    walk.chains();
    walk.free();
    walk.guesses();
    walk.walked
}

/// Times that the pages of a database are guessed: many lost chains may have a page of the same number, and lengths lie.
const MOST_GUESSES: usize = 8;

struct Walk<'w, 'i> {
    body: &'w Body<'i>,
    known: &'w mut Known,
    place: &'w dyn Fn(u32) -> Option<u64>,
    visit: &'w mut Visit<'w>,
    seen: Vec<bool>,
    pending: Pending,
    /// Pages of chains: they follow behind all trees, whose links say more, and the first ones of all chains come first.
    chains: Vec<(u32, Expect)>,
    /// The pages that are among them.
    chained: Vec<bool>,
    /// Pages that were not reached for sure: they count where nothing else is known.
    guesses: Vec<(u32, Expect)>,
    /// How many more are guessed.
    room: usize,
    walked: Walked,
}

impl<'i> Walk<'_, 'i> {
    /// Pages that stand where the format puts them.
    fn fixed(&mut self) {
        let geometry = self.body.geometry;
        let lock = geometry.lock_byte_page();
        if lock <= self.body.count {
            self.take(lock, Expect::Lock);
        }
        if self.body.auto_vacuum {
            let group = geometry.usable() / 5 + 1;
            for map in (2..=self.body.count).step_by(group as usize) {
                self.take(if map == lock { map + 1 } else { map }, Expect::Map);
            }
        }
        let Some(first) = (self.place)(1) else { return };
        self.take(1, Expect::Header);
        self.schema(first);
    }

    fn run(&mut self) {
        while let Some((number, expect)) = self.pending.pop() {
            if let Some(offset) = self.take(number, expect) {
                self.expand(number, offset, &expect);
            }
        }
    }

    /// Has a link of a tree followed, when its turn comes.
    fn follow(&mut self, number: u32, expect: Expect) {
        if number == 0 || number > self.body.count {
            self.take(number, expect);
        } else if self.pending.push(number, expect) {
            self.walked.broken += 1;
        }
    }

    fn chains(&mut self) {
        let mut at = 0;
        while let Some((number, expect)) = self.chains.get(at).copied() {
            at += 1;
            if let Some(offset) = self.take(number, expect) {
                self.expand(number, offset, &expect);
            }
        }
    }

    fn guesses(&mut self) {
        while let Some((number, expect)) = self.guesses.pop() {
            if self.seen.get(number as usize) == Some(&false) {
                self.take(number, expect);
            }
        }
    }

    /// Notes what a page is expected to be; its place, when it fits there.
    fn take(&mut self, number: u32, expect: Expect) -> Option<u64> {
        let guessed = matches!(expect, Expect::Chain { guessed: true, .. });
        if !guessed && number <= self.body.linked {
            self.walked.greatest = self.walked.greatest.max(number);
        }
        match self.seen.get_mut(number as usize).filter(|_| number > 0) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                self.walked.broken += 1;
                return None;
            }
        }
        self.walked.reached += u32::from(!guessed);
        let place = (self.place)(number);
        let fit = place.map(|offset| self.known.fit(self.body, offset, number, &expect));
        (self.visit)(number, &expect, fit);
        let fits = fit.is_some_and(|fit| fit >= 0.0);
        self.walked.fitting += u32::from(fits && !guessed);
        place.filter(|_| fits)
    }

    /// A tree from the middle on; nothing to do where a link led there.
    fn start(&mut self, start: Start) {
        let root = Expect::Tree {
            table: None,
            shape: Shape::default(),
            leaf: None,
            low: Key::Open,
            high: Key::Open,
            parent: 0,
        };
        match start.number {
            Some(number) if self.seen.get(number as usize) == Some(&true) => {}
            Some(number) => self.follow(number, root),
            None => {
                let page = self.body.bytes(start.offset);
                let page = page.and_then(|bytes| Page::parse(bytes, 2, self.body.geometry));
                if let Some(page) = page.filter(|page| page.header.kind.is_interior()) {
                    let below = children(&page, 0, start.offset, Key::Open, Key::Open);
                    below.into_iter().for_each(|(child, expect)| self.follow(child, expect));
                }
            }
        }
    }

    /// The tree of `sqlite_schema`, and the roots that it names.
    fn schema(&mut self, first: u64) {
        let mut pages = vec![(1, first)];
        let mut leaves = Vec::new();
        while let Some((number, offset)) = pages.pop() {
            let Some(bytes) = self.body.bytes(offset) else { continue };
            let Some(page) = Page::parse(bytes, number, self.body.geometry) else { continue };
            if !page.header.kind.is_table() {
                continue;
            }
            if page.header.kind.is_interior() {
                for (child, expect) in children(&page, number, offset, Key::Open, Key::Open) {
                    pages.extend(self.take(child, expect).map(|offset| (child, offset)));
                }
                continue;
            }
            leaves.push(offset);
            for cell in page.good_cells() {
                chain_start(bytes, &cell).into_iter().for_each(|chain| self.chain(number, chain));
            }
        }
        for tree in self.known.trees(self.body, leaves).iter() {
            let Tree { root, table, shape, .. } = *tree;
            let (low, high) = (Key::Open, Key::Open);
            self.follow(root, Expect::Tree { table, shape, leaf: None, low, high, parent: 0 });
        }
    }

    fn expand(&mut self, number: u32, offset: u64, expect: &Expect) {
        match *expect {
            Expect::Tree { shape, low, high, .. } => {
                let Some(links) = self.known.links(self.body, number, offset) else { return };
                let (table, leaf) = (Some(links.is_table), self.known.has_leaves(offset));
                let mut below = low;
                for (child, key) in &links.children {
                    self.follow(
                        *child,
                        Expect::Tree { table, shape, leaf, low: below, high: *key, parent: number },
                    );
                    below = *key;
                }
                if links.right_child != 0 {
                    let last = Expect::Tree { table, shape, leaf, low: below, high, parent: number };
                    self.follow(links.right_child, last);
                }
                for chain in &links.chains {
                    self.chain(number, *chain);
                }
            }
            Expect::Chain { left, text, guessed: false, .. } => {
                let capacity = u64::from(self.body.geometry.overflow_capacity());
                let next = self.body.bytes(offset).and_then(|bytes| be_u32_at(bytes, 0));
                if let Some(next) = next.filter(|_| left > capacity) {
                    let (left, text) = (left - capacity, text.saturating_sub(capacity));
                    self.link(next, Expect::Chain { left, text, guessed: false, parent: number });
                }
            }
            _ => {}
        }
    }

    fn chain(&mut self, parent: u32, chain: ChainStart) {
        let ChainStart { number, left, text } = chain;
        self.link(number, Expect::Chain { left, text, guessed: false, parent });
    }

    /// A page of a chain; where it is not known, those behind it are guessed.
    fn link(&mut self, number: u32, expect: Expect) {
        let place = (self.place)(number);
        let found = place.is_some_and(|offset| self.known.fit(self.body, offset, number, &expect) >= 0.0);
        let chained = self.chained.get_mut(number as usize).filter(|_| number > 0);
        match chained.map(|chained| std::mem::replace(chained, true)) {
            Some(false) => self.chains.push((number, expect)),
            Some(true) => self.walked.broken += 1,
            None => _ = self.take(number, expect),
        }
        if found {
            return;
        }
        let Expect::Chain { left, text, .. } = expect else { return };
        let capacity = u64::from(self.body.geometry.overflow_capacity());
        let pages = left.div_ceil(capacity.max(1)).min(u64::from(self.body.count.saturating_sub(number) + 1));
        let pages = pages.min(self.room as u64 + 1);
        self.room -= (pages as usize).saturating_sub(1).min(self.room);
        for index in 1..pages {
            let left = left - index * capacity;
            let text = text.saturating_sub(index * capacity);
            let expect = Expect::Chain { left, text, guessed: left > capacity, parent: number };
            if left > capacity {
                self.guesses.push((number + index as u32, expect));
            }
        }
    }

    /// The freelist.
    fn free(&mut self) {
        let first = (self.place)(1).and_then(|offset| self.body.bytes(offset));
        let Some(head) = first.and_then(|bytes| header::header(bytes).ok()).map(|(_, head)| head) else {
            return;
        };
        self.walked.free_stated = head.freelist_count;
        let mut next = head.first_trunk;
        while next != 0 {
            let Some(offset) = self.take(next, Expect::Trunk) else { return };
            self.walked.free += 1;
            let read =
                self.body.bytes(offset).and_then(|bytes| freelist::trunk(bytes, self.body.geometry.usable()));
            let Some(trunk) = read else { return };
            for leaf in trunk.leaves {
                self.take(leaf, Expect::Free);
                self.walked.free += 1;
            }
            next = trunk.next;
        }
    }
}

/// The overflow chain of a cell, when it has one.
pub(super) fn chain_start(bytes: &[u8], cell: &Cell) -> Option<ChainStart> {
    let text = || text_of(cell.local_payload(bytes), u64::from(cell.local));
    (cell.overflow != 0).then(|| ChainStart { number: cell.overflow, left: cell.spilled(), text: text() })
}

/// The key of a cell of an interior page at an offset of the image.
pub(super) fn key(cell: &Cell, kind: PageKind, offset: u64) -> Key {
    if kind.is_table() {
        Key::Row(cell.rowid)
    } else {
        Key::Entry(offset + u64::from(cell.payload_at), cell.local)
    }
}

/// Bytes of text with which the part of a payload begins that lies in overflow pages; `local` is the rest.
fn text_of(payload: &[u8], local: u64) -> u64 {
    let Ok(header) = record::header_only(payload) else { return 0 };
    let mut at = header.len as u64;
    for serial in header.serials() {
        let end = at.saturating_add(serial.len());
        if end > local {
            return if serial.kind() == SerialKind::Text && at <= local { end - local } else { 0 };
        }
        at = end;
    }
    0
}

/// The children of an interior page, each with the bounds of its keys.
pub(super) fn children(page: &Page<'_>, number: u32, offset: u64, low: Key, high: Key) -> Vec<(u32, Expect)> {
    let is_table = page.header.kind.is_table();
    let mut below = low;
    let mut found = Vec::with_capacity(page.pointer_count() + 1);
    let mut add = |child: u32, low: Key, high: Key| {
        let (table, shape) = (Some(is_table), Shape::default());
        found.push((child, Expect::Tree { table, shape, leaf: None, low, high, parent: number }));
    };
    for cell in page.good_cells() {
        let key = key(&cell, page.header.kind, offset);
        add(cell.left_child, below, key);
        below = key;
    }
    add(page.header.right_child, below, high);
    found
}
