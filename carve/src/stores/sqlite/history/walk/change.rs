//! What a commit did to the rows of a table: held, or read anew a part at a time where it changed more than are held.

use super::super::super::layout::Layout;
use super::super::super::rank::Rank;
use super::super::pages::Pages;
use super::super::renumbered::Renumbered;
use super::super::rows::{self, Keys, RowAt};
use super::reread::{Reread, again};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Rows before and behind a commit, of one table, up to which they are held.
pub(super) const MOST_HELD: usize = 1 << 19;

/// Rows that are read anew at a time.
const OF_PART: usize = 1 << 16;

/// A row that a commit changed: as it was and as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowChange {
    pub key: i64,
    pub before: Option<RowAt>,
    pub after: Option<RowAt>,
}

/// Rows that a commit changed.
#[derive(Clone, Debug, Default)]
pub struct Changed {
    pub rows: Vec<RowChange>,
    /// Rows that were written anew with the defaults of columns that they lacked, and no other change.
    pub grown: Vec<RowChange>,
}

impl Changed {
    /// Sorts out the rows that have nothing more than the defaults of further columns.
    pub fn of(
        mut rows: Vec<RowChange>,
        pages: &Pages<'_>,
        states: [u32; 2],
        layout: Option<&Layout>,
    ) -> Self {
        let is_grown = |row: &mut RowChange| {
            let both = row.before.zip(row.after).zip(layout);
            both.is_some_and(|((old, new), layout)| rows::is_grown(pages, (&old, &new), states, layout))
        };
        let grown = rows.extract_if(.., is_grown).collect();
        Self { rows, grown }
    }

    pub const fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.grown.is_empty()
    }
}

/// What a commit did to the rows of a table.
#[derive(Debug)]
pub struct TableChange {
    /// Index into [`super::Walk::objects`].
    pub object: usize,
    pub(super) rows: Rows,
    /// VACUUM gave other ids to some of its rows: those of all, if it did.
    pub renumbered: Renumbered,
    /// Rows that were gone before VACUUM gave other ids, under the ones that they had.
    pub gone: Vec<RowChange>,
    /// Where all of them were read.
    pub read: Reread,
}

#[derive(Debug)]
pub(super) enum Rows {
    Held(Changed),
    /// More than are held.
    Cut(Cut),
}

/// How rows are read anew.
#[derive(Debug)]
pub(super) struct Cut {
    parts: Vec<RangeInclusive<Rank>>,
    states: [u32; 2],
    keys: Keys,
    layout: Option<Box<Layout>>,
}

impl Cut {
    fn read(&self, pages: &Pages<'_>, read: &Reread, ranks: &RangeInclusive<Rank>) -> Changed {
        let rows = again(pages, read, self.states, self.keys, ranks);
        Changed::of(rows, pages, self.states, self.layout.as_deref())
    }
}

impl Rows {
    /// The rows that differ between two states: held, unless there are too many.
    pub fn read(
        pages: &Pages<'_>,
        read: &Reread,
        states: [u32; 2],
        (keys, layout): (Keys, Option<&Layout>),
    ) -> Self {
        let layout = layout.cloned().map(Box::new);
        let cut = Cut { parts: read.ranges(keys, OF_PART), states, keys, layout };
        if read.differing() > MOST_HELD {
            return Self::Cut(cut);
        }
        let mut held = Changed::default();
        for block in cut.parts.chunks(rayon::current_num_threads().max(1) * 2) {
            let block: Vec<Changed> = block.par_iter().map(|ranks| cut.read(pages, read, ranks)).collect();
            for mut part in block {
                held.rows.append(&mut part.rows);
                held.grown.append(&mut part.grown);
            }
            if held.rows.len() + held.grown.len() > MOST_HELD / 2 {
                return Self::Cut(cut);
            }
        }
        Self::Held(held)
    }
}

impl TableChange {
    /// Whether all rows that it changed are held: there is one part then.
    pub const fn is_held(&self) -> bool {
        matches!(self.rows, Rows::Held(_))
    }

    /// In how many parts the rows are read.
    pub const fn parts(&self) -> usize {
        match &self.rows {
            Rows::Held(_) => 1,
            Rows::Cut(cut) => cut.parts.len(),
        }
    }

    /// A part of the rows that it changed. The parts are in the order of row ids, and so are their rows.
    pub fn part(&self, pages: &Pages<'_>, part: usize) -> Cow<'_, Changed> {
        match &self.rows {
            Rows::Held(held) => Cow::Borrowed(held),
            Rows::Cut(cut) => {
                let ranks = cut.parts.get(part);
                Cow::Owned(ranks.map(|ranks| cut.read(pages, &self.read, ranks)).unwrap_or_default())
            }
        }
    }

    /// The rows among which one with a row id is, if it was changed.
    pub fn about(&self, pages: &Pages<'_>, rowid: i64) -> Cow<'_, Changed> {
        match &self.rows {
            Rows::Held(held) => Cow::Borrowed(held),
            Rows::Cut(cut) => {
                let rank = Rank::of_rowid(rowid);
                Cow::Owned(cut.read(pages, &self.read, &(rank..=rank)))
            }
        }
    }

    /// The rows that it changed, without those that were gone before VACUUM gave other ids.
    pub fn rows<'c>(&'c self, pages: &'c Pages<'_>) -> impl Iterator<Item = RowChange> + 'c {
        let (held, cut) = match &self.rows {
            Rows::Held(held) => (held.rows.as_slice(), None),
            Rows::Cut(cut) => (&[][..], Some(cut)),
        };
        let read = |cut: &'c Cut| cut.parts.iter().flat_map(|ranks| cut.read(pages, &self.read, ranks).rows);
        held.iter().copied().chain(cut.into_iter().flat_map(read))
    }

    /// All rows that it changed.
    pub fn all<'c>(&'c self, pages: &'c Pages<'_>) -> impl Iterator<Item = RowChange> + 'c {
        self.rows(pages).chain(self.gone.iter().copied())
    }

    /// Whether no row is known that it changed.
    pub const fn is_empty(&self) -> bool {
        matches!(&self.rows, Rows::Held(held) if held.is_empty())
    }
}
