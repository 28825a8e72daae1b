//! The search in passes, a range of row ids or of keys at a time.
//!
//! A log may write every row anew in each of its commits, and each of these versions is a candidate. Where it has more of
//! one table than are held at once, the versions of earlier pages are read and judged range by range. What else was found
//! waits for the range of its row id or key, and what has none for the last pass.

use super::super::history::OfTable;
use super::super::rank::Rank;
use super::collect::{Pages, whole};
use super::judge::now;
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

/// A version of a page.
struct Earlier {
    page: u32,
    /// The ranks of its rows.
    ranks: RangeInclusive<Rank>,
    /// Those of the rows that were gone before VACUUM gave ids, where it did since.
    former: Option<RangeInclusive<Rank>>,
    /// The least that what lies in its free space is likely to have.
    least: Rank,
}

pub(super) struct Passes {
    /// The table has row ids.
    by_rowid: bool,
    /// The least rank of each pass but the first.
    firsts: Vec<Rank>,
    /// Versions of pages; none where there is one pass.
    earlier: Vec<Earlier>,
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

impl Earlier {
    fn of(search: &Search<'_, '_>, page: u32) -> Self {
        let database = search.database;
        let all = || Self { page, ranks: Rank::LEAST..=Rank::NONE, former: None, least: Rank::LEAST };
        if search.tree.rowids {
            let info = database.survey.page(page);
            if !info.sound || info.kind != Some(PageKind::TableLeaf) || info.cells == 0 {
                return all();
            }
            let ranks = |first, last| Rank::of_rowid(first)..=Rank::of_rowid(last);
            let beside = |first: i64| Rank::of_rowid(first.saturating_sub(BESIDE));
            let (ids, own) = (info.first..=info.last, ranks(info.first, info.last));
            let Some(since) = search.ids_since(page) else {
                return Self { page, ranks: own, former: None, least: beside(info.first) };
            };
            // Rows that are gone keep the ids that they had.
            let (now, last) = (since.within(ids.clone()), since.last_within(ids));
            let first = now.as_ref().map_or(*last.start(), |now| *last.start().min(now.start()));
            let former = ranks(*last.start(), *last.end());
            let ranks = now.map_or_else(|| former.clone(), |now| ranks(*now.start(), *now.end()));
            return Self { page, ranks, former: Some(former), least: beside(first) };
        }
        let version = database.view.page(page);
        let parsed = version.as_ref().and_then(|version| {
            Page::parse(version.bytes, version.number, database.view.geometry)
                .filter(|page| !page.header.kind.is_table())
        });
        let Some(of_page) = parsed else { return all() };
        let ranks = || of_page.good_cells().map(|cell| search.rank(page, of_page.bytes, &cell));
        match (ranks().min(), ranks().max()) {
            (Some(first), Some(last)) => Self { page, ranks: first..=last, former: None, least: first },
            _ => all(),
        }
    }

    /// Whether any of its rows has one of the ranks.
    fn has_any(&self, ranks: &RangeInclusive<Rank>) -> bool {
        let mut own = std::iter::once(&self.ranks).chain(&self.former);
        own.any(|own| own.start() <= ranks.end() && ranks.start() <= own.end())
    }
}

impl Passes {
    /// Takes the earlier pages out of those to be read, where they are to be read in several passes.
    pub(super) fn of(search: &Search<'_, '_>, pages: &mut Pages) -> Self {
        let firsts = search.history.as_ref().map(OfTable::ranges).unwrap_or_default();
        let earlier = if firsts.is_empty() { Vec::new() } else { pages.take_earlier() };
        let earlier: Vec<Earlier> = earlier.into_par_iter().map(|page| Earlier::of(search, page)).collect();
        let mut versions: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut open = HashSet::new();
        let view = &search.database.view;
        for Earlier { page: version, .. } in &earlier {
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
        let by_rowid = search.tree.rowids;
        Self {
            by_rowid,
            firsts,
            earlier,
            versions,
            open,
            stood: HashSet::new(),
            waiting,
            nameless: HashMap::new(),
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.waiting.len()
    }

    /// The pass in which what has a rank is judged.
    fn of_rank(&self, rank: Rank) -> usize {
        match rank {
            Rank::NONE => self.count() - 1,
            rank => self.firsts.partition_point(|first| *first <= rank),
        }
    }

    /// The rank that a candidate will be judged by.
    fn rank(&self, search: &Search<'_, '_>, dead: &Dead) -> Rank {
        if !self.by_rowid {
            return dead.rank();
        }
        let Some(rowid) = dead.rowid else { return Rank::NONE };
        let is_as_read =
            dead.numbering == Numbering::Unknown && matches!(dead.freed.rowid, RowidLeft::Whole(_));
        Rank::of_rowid(if is_as_read { search.id_now(dead.page, rowid) } else { rowid })
    }

    /// The ranks of all passes.
    pub(super) const fn all(&self) -> RangeInclusive<Rank> {
        Rank::LEAST..=Rank::NONE
    }

    /// The ranks of a pass.
    pub(super) fn ranks(&self, pass: usize) -> RangeInclusive<Rank> {
        if pass > self.firsts.len() {
            return Rank::NONE..=Rank::NONE;
        }
        let first = pass.checked_sub(1).and_then(|before| self.firsts.get(before).copied());
        let last = self.firsts.get(pass).copied().unwrap_or(Rank::NONE).before();
        first.unwrap_or(Rank::LEAST)..=last
    }

    /// The pass in which what lies in the free space of a page is read, so that the row id that it turns out to have is
    /// mostly judged in the same or a later one. Keys have no numbers to count from one page to the one before.
    fn home(&self, page: &Earlier) -> usize {
        let pass = self.of_rank(page.least);
        if self.by_rowid { pass } else { pass.saturating_sub(1) }
    }

    /// The earlier pages of a pass.
    pub(super) fn pages(&self, pass: usize) -> Pages {
        let ranks = self.ranks(pass);
        let of_pass = self.earlier.iter().filter_map(|page| {
            let is_home = self.home(page) == pass;
            (page.has_any(&ranks) || is_home).then_some((page.page, is_home))
        });
        Pages::earlier(of_pass)
    }

    /// Keeps of the candidates that were found in a pass, or before all of them, those that are judged in a later one.
    pub(super) fn wait(&mut self, search: &Search<'_, '_>, pass: Option<usize>, dead: &mut Vec<Candidate>) {
        let last = self.count() - 1;
        if last == 0 || pass == Some(last) {
            return;
        }
        let sought = if self.by_rowid { dead.as_slice() } else { &[] };
        let ids = sought.par_iter().with_min_len(SHARE).map(|dead| self.known_id(search, dead));
        let ids: Vec<Option<(i64, Numbering)>> = ids.collect();
        for (dead, known) in dead.iter_mut().zip(ids).filter_map(|(dead, known)| Some((dead, known?))) {
            (dead.rowid, dead.numbering) = (Some(known.0), known.1);
            dead.claims = dead.claims.without(Claim::RowidInferred);
        }
        let is_open = |dead: &Dead| dead.uncommitted || dead.later;
        let place = |dead: &Dead| {
            let page = search.database.view.page(dead.page)?.number;
            Some((page, dead.freed.cell.at, dead.content?)).filter(|_| self.open.contains(&page))
        };
        // What stood at its place already when a transaction began is no work of that one. A cell with its row id or its key
        // meets it in the same pass.
        let has_rank = |dead: &Dead| match self.by_rowid {
            true => matches!(dead.freed.rowid, RowidLeft::Whole(_)),
            false => dead.rank() != Rank::NONE,
        };
        let is_freed = |dead: &Dead| !is_open(dead) && !has_rank(dead);
        self.stood.extend(dead.iter().filter(|dead| is_freed(dead)).filter_map(|dead| place(dead)));
        dead.retain(|dead| !is_open(dead) || place(dead).is_none_or(|place| !self.stood.contains(&place)));
        let (nameless, named): (Vec<&Candidate>, Vec<&Candidate>) =
            dead.iter().partition(|dead| self.rank(search, dead) == Rank::NONE);
        for dead in nameless {
            if let Some(content) = dead.content {
                self.nameless.entry(content).or_default();
            }
        }
        for dead in named {
            if let Some(known) = dead.content.and_then(|content| self.nameless.get_mut(&content)) {
                *known = true;
            }
        }
        let of = |dead: &Dead| self.of_rank(self.rank(search, dead));
        let later: Vec<Candidate> =
            dead.extract_if(.., |dead| pass.is_none_or(|pass| of(dead) > pass)).collect();
        for dead in later {
            let pass = self.of_rank(self.rank(search, &dead));
            if let Some(waiting) = self.waiting.get_mut(pass) {
                waiting.push(dead);
            }
        }
    }

    /// The row id of a cell that lost its own when it was freed, where an earlier version of its page has the same cells in
    /// the same place with an id; and whose ids it is one of.
    fn known_id(&self, search: &Search<'_, '_>, dead: &Dead) -> Option<(i64, Numbering)> {
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
            let since = || search.ids_since(*number);
            let id = || since().map_or((cell.rowid, Numbering::Unknown), |ids| now(ids, cell.rowid));
            is_same.then(id)
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
