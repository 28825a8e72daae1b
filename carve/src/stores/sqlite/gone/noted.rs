//! Index entries that are kept by their places: most hold what a live row does, or one that was found, and nothing more is
//! asked of them than where they lie.

use super::super::database::Database;
use super::super::prints::Print;
use super::super::view::PageVersion;
use super::Search;
use super::entries::Indexes;
use super::live::Live;
use super::projected::{Found, print_of};
use rayon::prelude::*;
use std::cmp::Reverse;

/// An index entry of a row that may be gone. What more it holds is read again where it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub rowid: i64,
    /// The number of its index in the catalogue.
    pub index: u32,
    pub page: u32,
    /// Where it begins on its page, and its bytes there.
    pub at: u16,
    pub len: u16,
    /// Of its columns.
    pub print: Print,
    /// The page is one of the index's tree.
    pub own: bool,
    /// Its first bytes were overwritten.
    pub rebuilt: bool,
    /// It goes on in overflow pages.
    pub spilled: bool,
}

/// The order of the records that name a row: the latest first, and those whose bytes all stand.
pub(super) type Order = (Reverse<i64>, bool, (u32, u32));

impl Noted {
    pub(super) fn order(&self, database: &Database<'_>) -> Order {
        let newness = database.view.page(self.page).map_or(0, |version| newness(database, self.page, &version));
        (Reverse(newness), self.rebuilt, (self.page, u32::from(self.at)))
    }
}

/// Later pages are of later times, as far as that is known: the number of a page, and its bytes.
pub(super) fn newness(database: &Database<'_>, number: u32, version: &PageVersion<'_>) -> i64 {
    match (database.view.is_old(number), version.commit) {
        (true, Some(commit)) => 2 * i64::from(commit),
        (true, None) => -1,
        (false, Some(commit)) => 2 * i64::from(commit) - 1,
        (false, None) => 0,
    }
}

/// Entries that hold what rows that were found do, with the numbers of these, in their order.
#[derive(Debug, Default)]
pub(super) struct Matched(Vec<(u32, Noted)>);

impl Matched {
    /// Holds entries against the rows that were found and those that are live. Returns those that hold the same as the
    /// first ones, and those of which more has to be asked.
    pub(super) fn of(
        search: &Search<'_, '_>,
        live: &Live<'_, '_, '_>,
        found: &Found<'_, '_>,
        indexes: &Indexes<'_>,
        mut noted: Vec<Noted>,
    ) -> (Self, Vec<Noted>) {
        noted.par_sort_by_key(|noted| noted.rowid);
        type Parts = (Vec<(u32, Noted)>, Vec<Noted>);
        let of_row = |(mut matched, mut asked): Parts, group: &[Noted]| {
            let Some(rowid) = group.first().map(|noted| noted.rowid) else { return (matched, asked) };
            let standing = live.find(rowid);
            if standing.is_none() && search.may_be_named(rowid) {
                return (matched, asked);
            }
            let of_id = found.of_id(rowid);
            for noted in group {
                let projection = indexes.projection(noted.index).filter(|_| noted.print != Print::NONE);
                let print = projection.and_then(|of| print_of(search, live, standing, found.first(&of_id), of));
                let is_same = print.is_some_and(|print| print.shows(noted.print));
                match u32::try_from(of_id.start) {
                    _ if !is_same => asked.push(*noted),
                    _ if standing.is_some() => {}
                    Ok(row) if !noted.spilled => matched.push((row, *noted)),
                    _ => asked.push(*noted),
                }
            }
            (matched, asked)
        };
        let groups = noted.par_chunk_by(|a, b| a.rowid == b.rowid);
        let parts: Vec<Parts> = groups.fold(Parts::default, of_row).collect();
        let (mut matched, mut asked) = Parts::default();
        for (of_part, asked_of_part) in parts {
            matched.extend(of_part);
            asked.extend(asked_of_part);
        }
        (Self(matched), asked)
    }

    /// The entries that hold what a row does, by the row's number.
    pub(super) fn of_row(&self, number: usize) -> impl Iterator<Item = &Noted> {
        let from = self.0.partition_point(|(row, _)| (*row as usize) < number);
        let rest = self.0.get(from..).unwrap_or_default().iter();
        rest.take_while(move |(row, _)| *row as usize == number).map(|(_, noted)| noted)
    }
}
