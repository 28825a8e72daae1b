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
        let newness =
            database.view.page(self.page).map_or(0, |version| newness(database, self.page, &version));
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

/// What more has to be done with an entry.
#[derive(Clone, Copy)]
enum Said {
    /// Nothing: it tells of a row that stands, or may.
    Nothing,
    /// It holds what this row that was found does.
    Again(u32),
    /// It has to be read again.
    Asked,
}

/// Entries that hold what rows that were found do, and the numbers of these, in their order.
#[derive(Debug, Default)]
pub(super) struct Matched {
    rows: Vec<u32>,
    entries: Vec<Noted>,
}

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
        noted.par_sort_unstable_by_key(|noted| (noted.rowid, noted.page, noted.at));
        let of_row = |group: &[Noted]| -> Vec<Said> {
            let rowid = group.first().map_or(0, |noted| noted.rowid);
            let standing = live.find(rowid);
            if standing.is_none() && search.may_be_named(rowid) {
                return vec![Said::Nothing; group.len()];
            }
            let of_id = found.of_id(rowid);
            let said = group.iter().map(|noted| {
                let projection = indexes.projection(noted.index).filter(|_| noted.print != Print::NONE);
                let print =
                    projection.and_then(|of| print_of(search, live, standing, found.first(&of_id), of));
                match u32::try_from(of_id.start) {
                    _ if !print.is_some_and(|print| print.shows(noted.print)) => Said::Asked,
                    _ if standing.is_some() => Said::Nothing,
                    Ok(row) if !noted.spilled => Said::Again(row),
                    _ => Said::Asked,
                }
            });
            said.collect()
        };
        let said: Vec<Said> = noted.par_chunk_by(|a, b| a.rowid == b.rowid).flat_map_iter(of_row).collect();
        let asked = noted.iter().zip(&said).filter(|(_, said)| matches!(said, Said::Asked));
        let asked: Vec<Noted> = asked.map(|(noted, _)| *noted).collect();
        let again = |said: &Said| match said {
            Said::Again(row) => Some(*row),
            _ => None,
        };
        let mut of_each = said.iter();
        noted.retain(|_| of_each.next().and_then(again).is_some());
        (Self { rows: said.iter().filter_map(again).collect(), entries: noted }, asked)
    }

    /// The entries that hold what a row does, by the row's number.
    pub(super) fn of_row(&self, number: usize) -> &[Noted] {
        let from = self.rows.partition_point(|row| (*row as usize) < number);
        let count = self.rows.iter().skip(from).take_while(|row| **row as usize == number).count();
        self.entries.get(from..from + count).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Matched, Noted, Print};

    fn noted(rowid: i64, at: u16) -> Noted {
        let print = Print::NONE;
        Noted { rowid, index: 0, page: 7, at, len: 30, print, own: true, rebuilt: false, spilled: false }
    }

    #[test]
    fn a_row_has_the_entries_that_were_noted_for_it() {
        let entries = vec![noted(10, 100), noted(10, 200), noted(40, 300)];
        let matched = Matched { rows: vec![1, 1, 4], entries };
        let places = |row| matched.of_row(row).iter().map(|noted| noted.at).collect::<Vec<u16>>();
        assert_eq!([0, 1, 2, 4, 5].map(places), [vec![], vec![100, 200], vec![], vec![300], vec![]]);
    }

    #[test]
    fn what_is_noted_of_an_entry_takes_little_memory() {
        assert_eq!(size_of::<Noted>(), 32);
    }
}
