//! Which trees stood before the first page 1 that is known, as when the main file has a later one.
//!
//! A page is taken or given back only by a commit that writes page 1. So each page was in one tree, or in none, up to the
//! commit before the first page 1 that is known: what is proved of the state behind that commit holds for all before it.
//!
//! A page that page 1's commit left alone hung in the tree then in which it hangs behind it, and the tree has kept its root.
//! A leaf that this commit wrote may have come from elsewhere. It didn't when an index of the table names a row then that the
//! leaf holds before and behind the commit: the row stood on a leaf of the table, and would have had to leave it by this
//! commit, which no other page shows.

use super::super::objects::children;
use super::super::pages::Seen;
use super::super::rows::Keys;
use super::{Owner, Walk};
use mudlark_parsers::sqlite::ddl::{self, Statement};
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::value::Value;
use std::collections::{BTreeSet, HashSet};

impl<'a> Walk<'_, 'a> {
    /// Proves owners that page 1 tells too late for.
    pub(super) fn prove_owners(&mut self) {
        let Some(first) = self.pages.first_known(1, 0) else { return };
        let is_late = matches!(self.pages.at(1, 0), Seen::Unknown);
        if !is_late || (1..first).any(|state| self.pages.is_written_by(1, state)) {
            return;
        }
        let head = self.pages.at(1, first).image().and_then(|page| header::header(page.bytes).ok());
        // There roots move.
        let Some((_, head)) = head.filter(|(_, head)| !head.auto_vacuum()) else { return };
        let mut linked: Vec<(u32, u32)> = Vec::new();
        for (object, root) in (0..).zip(self.objects.iter().map(|object| object.root).collect::<Vec<_>>()) {
            if self.owner(root) == Owner::Perhaps(object) && self.pages.is_written_by(root, first) {
                self.prove_tree(object, root, first, &mut linked);
            }
        }
        // How many pages there are changes with page 1 only.
        let count = self.pages.page_count(first - 1);
        for (page, _) in linked.iter().filter(|(page, _)| count.is_some_and(|count| *page > count)) {
            self.set_owner(*page, Owner::None);
        }
        // Of a page that was given back, or cut off, nothing tells what it held.
        let counts = (self.pages.page_count(first - 1), self.pages.page_count(first));
        if head.freelist_count == 0 && counts.0.zip(counts.1).is_some_and(|(before, behind)| before <= behind)
        {
            let proved: Vec<(u32, u32)> = linked
                .into_iter()
                .filter(|(page, object)| self.is_vouched_for(*page, *object, first))
                .collect();
            for (page, object) in proved {
                self.set_owner(page, Owner::Is(object));
            }
        }
    }

    /// Proves the pages of a tree that hung in it before a commit, by those of them that it left alone; adds those that may
    /// have joined it to `linked`.
    fn prove_tree(&mut self, object: u32, root: u32, first: u32, linked: &mut Vec<(u32, u32)>) {
        let (mut stay, mut others) = (Vec::new(), Vec::new());
        let mut done: HashSet<u32> = HashSet::from([root]);
        let mut next = vec![(root, false)];
        while let Some((page, stays)) = next.pop() {
            let Some(page) = self.parsed(page, first) else { continue };
            for child in children(&page) {
                if !self.is_link(child) || !done.insert(child) || self.owner(child).object() != Some(object) {
                    continue;
                }
                let left_alone = !self.pages.is_written_by(child, first) && !self.pages.has_older_base(child);
                let child_stays = stays || left_alone;
                if child_stays {
                    stay.push(child)
                } else {
                    others.push((child, object))
                }
                // What hangs below a page that was left alone did so before.
                next.push((child, child_stays && left_alone));
            }
        }
        if !stay.is_empty() {
            self.led_before(root, object, first);
            for page in stay.into_iter().chain([root]) {
                self.set_owner(page, Owner::Is(object));
            }
            linked.extend(others);
        }
    }

    fn parsed(&self, page: u32, state: u32) -> Option<Page<'a>> {
        Page::parse(self.pages.at(page, state).image()?.bytes, page, self.pages.geometry)
    }

    /// The row ids on a leaf of a table.
    fn rowids(&self, page: u32, state: u32) -> BTreeSet<i64> {
        let page = self.parsed(page, state).filter(|page| page.header.kind == PageKind::TableLeaf);
        let cells = page.iter().flat_map(|page| page.good_cells().collect::<Vec<_>>());
        cells.map(|cell| cell.rowid).collect()
    }

    /// Whether a leaf that a commit wrote was the table's before.
    fn is_vouched_for(&self, page: u32, object: u32, first: u32) -> bool {
        let before = first - 1;
        let Some(table) = self.objects.get(object as usize).filter(|table| table.keys == Keys::Rowid) else {
            return false;
        };
        let held = self.rowids(page, before);
        let mut rowids: BTreeSet<i64> = held.intersection(&self.rowids(page, first)).copied().collect();
        let count = self.pages.page_count(before).unwrap_or(0);
        let others = self.pages.written(first).filter(|other| *other != page && (2..=count).contains(other));
        for other in others {
            let is_others = matches!(self.owner(other), Owner::Is(owner) if owner != object);
            match self.pages.at(other, before) {
                _ if is_others || self.inner.contains_key(&other) => {}
                Seen::Absent => {}
                Seen::Unknown => return false,
                Seen::Image(_) => rowids = &rowids - &self.rowids(other, before),
            }
        }
        if rowids.is_empty() {
            return false;
        }
        let names_table = |sql: &str| match ddl::read(sql.as_bytes()) {
            Ok(Statement::Index(index)) => index.table.eq_ignore_ascii_case(&table.name),
            _ => false,
        };
        let is_index = |number: u32| {
            let object = self.objects.get(number as usize);
            object.is_some_and(|object| {
                object.kind == SchemaKind::Index && object.sql.as_deref().is_some_and(names_table)
            })
        };
        let indexes: HashSet<u32> =
            (1..self.objects.len() as u32).filter(|number| is_index(*number)).collect();
        let mut pages = self.owned().filter(|(_, owner)| indexes.contains(owner));
        pages.any(|(page, _)| self.names_any(page, before, &rowids))
    }

    /// Whether an entry on a page of an index names one of these rows.
    fn names_any(&self, page: u32, state: u32, rowids: &BTreeSet<i64>) -> bool {
        let Some(page) = self.parsed(page, state) else { return false };
        if page.header.kind.is_table() {
            return false;
        }
        let rowid = |payload: &[u8], len: u64| {
            let header = record::header(payload, len).ok()?;
            let (serial, bytes) = record::cells(header.serials(), header.len, payload).last()?;
            match serial.decode(bytes?) {
                Value::Int(rowid) => Some(rowid),
                _ => None,
            }
        };
        let mut cells = page.good_cells().filter(|cell| cell.overflow == 0);
        cells.any(|cell| {
            let named = rowid(cell.local_payload(page.bytes), cell.payload_len);
            named.is_some_and(|rowid| rowids.contains(&rowid))
        })
    }
}
