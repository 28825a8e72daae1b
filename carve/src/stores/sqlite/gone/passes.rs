//! The search in passes, a range of row ids at a time.
//!
//! A log may write every row anew in each of its commits, and each of these versions is a candidate. Where it has more of
//! one table than are held at once, the versions of earlier pages are read and judged range by range. What else was found
//! waits for the range of its row id, and what has none for the last pass.

use super::super::history::OfTable;
use super::collect::{Pages, whole};
use super::{Candidate, Dead, Numbering, Search};
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

/// A version that lost its row id may have had one so far from those on its page.
const BESIDE: i64 = 64;

/// Candidates that are too few to share among threads.
const SHARE: usize = 64;

pub(super) struct Passes {
    /// The least row id of each pass but the first.
    firsts: Vec<i64>,
    /// Versions of pages, with the least and the greatest row id on each; none where there is one pass.
    earlier: Vec<(u32, RangeInclusive<i64>)>,
    /// The same by the page that they are of.
    versions: HashMap<u32, Vec<u32>>,
    waiting: Vec<Vec<Candidate>>,
    /// Pages that a transaction wrote behind the point, or never committed.
    open: HashSet<u32>,
    /// Where cells lay on these that are of the time before, with their contents.
    stood: HashSet<(u32, u32, u64)>,
    /// The cells of those that wait for the last pass, with whether a row with a row id has the same.
    nameless: HashMap<u64, bool>,
}

impl Passes {
    /// Takes the earlier pages out of those to be read, where they are to be read in several passes.
    pub(super) fn of(search: &Search<'_, '_>, history: Option<&OfTable<'_>>, pages: &mut Pages) -> Self {
        let firsts = history.filter(|_| search.tree.rowids).map(OfTable::ranges).unwrap_or_default();
        let earlier = if firsts.is_empty() { Vec::new() } else { pages.take_earlier() };
        let survey = &search.database.survey;
        let earlier = earlier.into_iter().map(|page| {
            let info = survey.page(page);
            let is_told = info.sound && info.kind == Some(PageKind::TableLeaf) && info.cells > 0;
            (page, if is_told { info.first..=info.last } else { i64::MIN..=i64::MAX })
        });
        let earlier: Vec<(u32, RangeInclusive<i64>)> = earlier.collect();
        let mut versions: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut open = HashSet::new();
        let view = &search.database.view;
        for (version, _) in &earlier {
            if let Some(page) = view.page(*version) {
                versions.entry(page.number).or_default().push(*version);
                open.extend(
                    (view.is_uncommitted(*version) || view.is_later(*version)).then_some(page.number),
                );
            }
        }
        // Behind those of the ranges comes one for what has no row id.
        let count = if firsts.is_empty() { 1 } else { firsts.len() + 2 };
        let waiting = (0..count).map(|_| Vec::new()).collect();
        Self { firsts, earlier, versions, open, stood: HashSet::new(), waiting, nameless: HashMap::new() }
    }

    pub(super) const fn count(&self) -> usize {
        self.waiting.len()
    }

    /// The pass in which a row id is judged.
    pub(super) fn of_rowid(&self, rowid: i64) -> usize {
        self.firsts.partition_point(|first| *first <= rowid)
    }

    /// The row ids of all passes.
    pub(super) const fn all(&self) -> RangeInclusive<i64> {
        i64::MIN..=i64::MAX
    }

    /// The row ids of a pass: none of that for what has no row id.
    pub(super) fn rowids(&self, pass: usize) -> RangeInclusive<i64> {
        let first = pass.checked_sub(1).map_or(Some(&i64::MIN), |before| self.firsts.get(before));
        let next = self.firsts.get(pass).map(|next| next.saturating_sub(1));
        let last = if pass > self.firsts.len() { i64::MIN } else { next.unwrap_or(i64::MAX) };
        first.copied().unwrap_or(i64::MAX)..=last
    }

    /// The pass in which what lies in the free space of a page is read, so that the row id that it turns out to have is
    /// mostly judged in the same or a later one.
    fn home(&self, rowids: &RangeInclusive<i64>) -> usize {
        self.of_rowid(rowids.start().saturating_sub(BESIDE))
    }

    /// The earlier pages of a pass.
    pub(super) fn pages(&self, pass: usize) -> Pages {
        let rowids = self.rowids(pass);
        let of_pass = self.earlier.iter().filter_map(|(page, on_page)| {
            let any_row = on_page.start() <= rowids.end() && rowids.start() <= on_page.end();
            let is_home = self.home(on_page) == pass;
            (any_row || is_home).then_some((*page, is_home))
        });
        Pages::earlier(of_pass)
    }

    /// Keeps of the candidates that were found in a pass, or before all of them, those that are judged in a later one.
    pub(super) fn wait(&mut self, search: &Search<'_, '_>, pass: Option<usize>, dead: &mut Vec<Candidate>) {
        let last = self.count() - 1;
        if last == 0 || pass == Some(last) {
            return;
        }
        let ids = dead.par_iter().with_min_len(SHARE).map(|dead| self.known_id(search, dead));
        let ids: Vec<Option<i64>> = ids.collect();
        for (dead, id) in dead.iter_mut().zip(ids).filter_map(|(dead, id)| Some((dead, id?))) {
            (dead.rowid, dead.claims) = (Some(id), dead.claims.without(Claim::RowidInferred));
        }
        let is_open = |dead: &Dead| dead.uncommitted || dead.later;
        let place = |dead: &Dead| {
            let page = search.database.view.page(dead.page)?.number;
            Some((page, dead.freed.cell.at, dead.content?)).filter(|_| self.open.contains(&page))
        };
        // What stood at its place already when a transaction began is no work of that one. A cell with its row id meets it in
        // the same pass.
        let is_freed = |dead: &Dead| !is_open(dead) && !matches!(dead.freed.rowid, RowidLeft::Whole(_));
        self.stood.extend(dead.iter().filter(|dead| is_freed(dead)).filter_map(|dead| place(dead)));
        dead.retain(|dead| !is_open(dead) || place(dead).is_none_or(|place| !self.stood.contains(&place)));
        for dead in dead.iter().filter(|dead| dead.rowid.is_none()) {
            if let Some(content) = dead.content {
                self.nameless.entry(content).or_default();
            }
        }
        for dead in dead.iter().filter(|dead| dead.rowid.is_some()) {
            if let Some(known) = dead.content.and_then(|content| self.nameless.get_mut(&content)) {
                *known = true;
            }
        }
        let of = |dead: &Dead| dead.rowid.map_or(last, |rowid| self.of_rowid(rowid));
        let later: Vec<Candidate> =
            dead.extract_if(.., |dead| pass.is_none_or(|pass| of(dead) > pass)).collect();
        for dead in later {
            let pass = dead.rowid.map_or(last, |rowid| self.of_rowid(rowid));
            if let Some(waiting) = self.waiting.get_mut(pass) {
                waiting.push(dead);
            }
        }
    }

    /// The row id of a cell that lost its own when it was freed, where an earlier version of its page has the same cells in
    /// the same place with an id.
    fn known_id(&self, search: &Search<'_, '_>, dead: &Dead) -> Option<i64> {
        let view = &search.database.view;
        let is_open = dead.rowid.is_none() || dead.claims.has(Claim::RowidInferred);
        let content = dead.content.filter(|_| is_open && dead.numbering == Numbering::Unknown)?;
        let versions = self.versions.get(&view.page(dead.page)?.number)?;
        versions.iter().find_map(|number| {
            let version = view.page(*number)?;
            let page = Page::parse(version.bytes, version.number, view.geometry)?;
            let cell = page.cell(dead.freed.cell.at as usize).ok()?;
            let is_same = (cell.payload_at, cell.payload_len)
                == (dead.freed.cell.payload_at, dead.freed.cell.payload_len)
                && page.header.kind == PageKind::TableLeaf
                && page.pointers().any(|pointer| pointer == cell.at as usize)
                && search.fingerprints(*number, &whole(version.bytes, cell)?).content == Some(content);
            is_same.then_some(cell.rowid)
        })
    }

    /// Whether a row with a row id has the cells of one that waits for the last pass.
    pub(super) fn known(&self) -> HashSet<u64> {
        self.nameless.iter().filter(|(_, known)| **known).map(|(content, _)| *content).collect()
    }

    /// Takes the candidates that waited for a pass.
    pub(super) fn take(&mut self, pass: usize) -> Vec<Candidate> {
        self.waiting.get_mut(pass).map(std::mem::take).unwrap_or_default()
    }
}
