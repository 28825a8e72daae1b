//! Where the rows lie that differ between two states, to read some of them again.

use super::super::super::rank::Rank;
use super::super::pages::Pages;
use super::super::ranges;
use super::super::renumbered::Renumbered;
use super::super::rows::{self, Asked, Keys, PageRows, RowAt};
use super::RowChange;
use rayon::prelude::*;
use std::ops::RangeInclusive;

/// Pages that are read at once where the rows of two states are held against one another in their order.
const AT_ONCE: usize = 256;

/// The states in which a page is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
    Both,
}

/// Where the rows were read that a commit changed, to read some of them again.
#[derive(Debug, Default)]
pub struct Reread {
    pub(super) pages: Vec<ReadPage>,
    /// Whether all pages are known before the commit, and behind it: a row that is not among theirs was not there.
    pub known: [bool; 2],
    /// Pages before or behind it that may have been another's, so that their rows prove nothing.
    pub(super) unsure: [bool; 2],
}

/// A page some rows of which differ, with the least and the greatest rank of these.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadPage {
    page: u32,
    side: Side,
    rows: u32,
    first: Rank,
    last: Rank,
}

impl ReadPage {
    /// `None` where no row differs.
    pub fn of(page: u32, side: Side, rows: &[PageRows; 2]) -> Option<Self> {
        let first = rows.iter().filter_map(|rows| rows.ranks).map(|(first, _)| first).min()?;
        let last = rows.iter().filter_map(|rows| rows.ranks).map(|(_, last)| last).max()?;
        let rows = rows.iter().map(|rows| rows.count).sum();
        Some(Self { page, side, rows, first, last })
    }
}

impl Reread {
    /// For each page the ranks of the rows that differ, and how many of them it may have.
    pub fn ranks(&self) -> impl Iterator<Item = (RangeInclusive<Rank>, u32)> {
        self.pages.iter().map(|page| (page.first..=page.last, page.rows))
    }

    /// The rows of pages that were read in both states, without those that are the same on one page. Hardly one of them is
    /// the same on another page.
    pub(super) fn differing(&self) -> usize {
        self.pages.iter().filter(|page| page.side == Side::Both).map(|page| page.rows as usize).sum()
    }

    /// The ranges of ranks in which the rows are read at most about so many at a time.
    pub(super) fn ranges(&self, keys: Keys, most: usize) -> Vec<RangeInclusive<Rank>> {
        let ranks = self.pages.iter().map(|page| (page.first, page.last, page.rows)).collect();
        let firsts = ranges::firsts(ranks, keys == Keys::Rowid, most);
        let starts = std::iter::once(Rank::LEAST).chain(firsts.iter().copied());
        let ends = firsts.iter().map(|next| next.before()).chain(std::iter::once(Rank::NONE));
        starts.zip(ends).map(|(from, to)| from..=to).collect()
    }

    /// The pages of one state, in the order of their rows, and how many rows these are; `None` where pages overlap.
    fn in_order(&self, side: Side) -> Option<(Vec<ReadPage>, u64)> {
        let mut pages: Vec<ReadPage> = self.pages.iter().filter(|page| page.side == side).copied().collect();
        pages.sort_unstable_by_key(|page| page.first);
        let rows = pages.iter().map(|page| u64::from(page.rows)).sum();
        pages.is_sorted_by(|page, next| page.last < next.first).then_some((pages, rows))
    }

    /// The ids that the rows have in the later of two states, where they are the same ones in the same order; `None` where
    /// they are not. All pages are read in one of the two states only.
    pub(super) fn given(&self, pages: &Pages<'_>, [from, to]: [u32; 2], keys: Keys) -> Option<Renumbered> {
        let (before, after) = (self.in_order(Side::Before)?, self.in_order(Side::After)?);
        if before.1 != after.1 {
            return None;
        }
        let rows = |all: Vec<ReadPage>, state: u32| {
            let read = move |page: &ReadPage| {
                let mut rows = rows::on_page(pages, page.page, state, Asked::all(keys)).rows;
                rows.sort_unstable();
                rows
            };
            let blocks = (0..all.len()).step_by(AT_ONCE);
            blocks.flat_map(move |from| -> Vec<RowAt> {
                let block = all.get(from..all.len().min(from + AT_ONCE)).unwrap_or_default();
                pages.begin();
                let rows: Vec<Vec<RowAt>> = block.par_iter().map(read).collect();
                rows.into_iter().flatten().collect()
            })
        };
        given(rows(before.0, from), rows(after.0, to))
    }
}

/// The ids that rows have on the later side, where they are the same ones in the same order; as many are on both.
pub(super) fn given(
    before: impl Iterator<Item = RowAt>,
    after: impl Iterator<Item = RowAt>,
) -> Option<Renumbered> {
    let same = |(old, new): (RowAt, RowAt)| {
        (old.content.is_some() && old.content == new.content).then_some((old.key, new.key))
    };
    before.zip(after).map(same).collect()
}

/// The rows with some of the ranks that differ between two states.
pub fn again(
    pages: &Pages<'_>,
    read: &Reread,
    states: [u32; 2],
    keys: Keys,
    ranks: &RangeInclusive<Rank>,
) -> Vec<RowChange> {
    pages.begin();
    let mut sides = [Vec::new(), Vec::new()];
    let is_asked = |page: &&ReadPage| page.first <= *ranks.end() && *ranks.start() <= page.last;
    let asked = Asked { keys, ranks: Some(ranks) };
    for page in read.pages.iter().filter(is_asked) {
        let rows = rows_on(pages, (page.page, page.side), states, asked);
        for (side, rows) in sides.iter_mut().zip(rows) {
            side.extend(rows.rows);
        }
    }
    for (side, _) in sides.iter_mut().zip(read.unsure).filter(|(_, unsure)| *unsure) {
        side.clear();
    }
    sides.iter_mut().for_each(|side| side.sort_unstable());
    let [before, after] = &sides;
    differences(before, after)
}

/// The rows of a page before and behind.
pub(super) fn rows_on(
    pages: &Pages<'_>,
    (page, side): (u32, Side),
    states: [u32; 2],
    asked: Asked<'_>,
) -> [PageRows; 2] {
    let [from, to] = states;
    match side {
        Side::Before => [rows::on_page(pages, page, from, asked), PageRows::none()],
        Side::After => [PageRows::none(), rows::on_page(pages, page, to, asked)],
        Side::Both => rows::changed_on_page(pages, page, states, asked),
    }
}

/// The rows that are not the same on both sides; both are in order.
pub(super) fn differences(before: &[RowAt], after: &[RowAt]) -> Vec<RowChange> {
    let mut found = Vec::new();
    let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let (old, new) = (before.peek().copied().copied(), after.peek().copied().copied());
        let order = match (old, new) {
            (None, None) => return found,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(old), Some(new)) => old.key.cmp(&new.key),
        };
        let (old, new) = (old.filter(|_| order.is_le()), new.filter(|_| order.is_ge()));
        if old.is_some() {
            before.next();
        }
        if new.is_some() {
            after.next();
        }
        let Some(key) = old.or(new).map(|row| row.key) else { return found };
        let same = old.zip(new).is_some_and(|(old, new)| old.content == new.content);
        if !same {
            found.push(RowChange { key, before: old, after: new });
        }
    }
}
