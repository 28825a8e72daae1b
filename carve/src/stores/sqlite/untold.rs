//! Whether pages of no known tree hold the entries of an index, or the rows of a table without row ids.
//!
//! Both are records on pages of one kind. An entry ends with the row id of its row, which no other entry has: integers that
//! number rows lie close together and never repeat. Those of a column of a table repeat where they lie close together, and
//! where they lie far apart nothing tells.

use super::chains;
use super::forest::Ground;
use foldhash::quality::FixedState;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::Value;
use std::collections::HashMap;
use std::hash::BuildHasher;

/// What pages hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Rows of a table.
    Rows,
    /// Entries of an index, whose rows have further columns.
    Entries,
    /// One of both.
    Either,
}

/// Pages that are asked: more say nothing new.
const PAGES: usize = 256;

/// Pairs of equal integers that there would be on average, if they were any of their range: that there is none is then
/// seldom an accident, and indexes are far more frequent than tables without row ids that end with an integer.
const EXPECTED: f64 = 0.1;

/// The integers at the end of records.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// Where each was seen first: page, and the print of its record.
    seen: HashMap<i64, (u32, u64)>,
    first: Option<i64>,
    last: Option<i64>,
    /// Pairs of equal ones that there would be on the pages, if those of each were any of its range.
    on_page: f64,
    all: f64,
    /// Whether one was seen twice, on one page and on any.
    twice_on_page: bool,
    twice: bool,
}

impl Ends {
    /// Adds those of one page, each with the print of its record.
    pub(super) fn add_page(&mut self, page: u32, ends: &[(i64, u64)]) {
        let new: Vec<i64> =
            ends.iter().filter(|(end, print)| self.add(page, *end, *print)).map(|(end, _)| *end).collect();
        if let Some((first, last)) = new.iter().min().zip(new.iter().max()) {
            self.end_page(new.len(), *first, *last);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether one was seen in two records.
    pub(super) const fn any_twice(&self) -> bool {
        self.twice
    }

    fn add(&mut self, page: u32, end: i64, print: u64) -> bool {
        match self.seen.get(&end) {
            // A copy that was left when the page was split.
            Some((_, known)) if *known == print => return false,
            Some((known, _)) => {
                self.twice = true;
                self.twice_on_page |= *known == page;
            }
            None => _ = self.seen.insert(end, (page, print)),
        }
        self.first = Some(self.first.map_or(end, |first| first.min(end)));
        self.last = Some(self.last.map_or(end, |last| last.max(end)));
        self.all += 1.0;
        true
    }

    /// Notes the integers of one page: how many, and the least and the greatest.
    fn end_page(&mut self, count: usize, first: i64, last: i64) {
        let pairs = count as f64 * (count as f64 - 1.0) / 2.0;
        self.on_page += pairs / (last.abs_diff(first) as f64 + 1.0);
    }

    pub(super) fn told(&self) -> Told {
        let Some((first, last)) = self.first.zip(self.last) else { return Told::Either };
        let range = last.abs_diff(first) as f64 + 1.0;
        let on_any = self.all * (self.all - 1.0) / 2.0 / range >= EXPECTED;
        // Pages may be of several indexes, whose row ids lie far apart.
        let on_page = self.on_page >= EXPECTED;
        if !self.twice && on_any || !self.twice_on_page && on_page {
            Told::Entries
        } else if self.twice_on_page {
            Told::Rows
        } else {
            Told::Either
        }
    }
}

/// Tells what the pages of a tree without row ids hold, that has no name and points to no table that is known.
pub(super) fn tell(ground: Ground<'_, '_>, pages: &[u32]) -> Told {
    let mut ends = Ends::default();
    for number in pages.iter().step_by((pages.len() / PAGES).max(1)) {
        let Some(version) = ground.view.page(*number) else { continue };
        let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else { continue };
        let mut on_page: Vec<(i64, u64)> = Vec::new();
        for cell in page.good_cells() {
            let payload = chains::read(ground.view, ground.survey, &version, &cell);
            let Ok(header) = record::header(&payload.bytes, cell.payload_len) else { continue };
            let mut values = Vec::new();
            record::decode(&header, &payload.bytes, &mut values);
            match values.as_slice() {
                // An entry has a key and a row id.
                [] | [_] => return Told::Rows,
                [.., Value::Int(end)] => {
                    on_page.push((*end, FixedState::default().hash_one(&*payload.bytes)));
                }
                [.., Value::Missing] => {}
                _ => return Told::Rows,
            }
        }
        ends.add_page(*number, &on_page);
    }
    ends.told()
}

#[cfg(test)]
mod tests {
    use super::{Ends, Told};

    /// What pages tell whose records end with these integers.
    fn told(pages: &[&[i64]]) -> Told {
        let mut ends = Ends::default();
        for (number, page) in (1..).zip(pages) {
            let prints = (u64::from(number) << 32..).zip(*page);
            ends.add_page(number, &prints.map(|(print, end)| (*end, print)).collect::<Vec<_>>());
        }
        ends.told()
    }

    #[test]
    fn integers_that_never_repeat_and_lie_close_together_number_rows() {
        assert_eq!(told(&[&[3, 9, 1, 7], &[2, 8, 5, 6]]), Told::Entries);
    }

    #[test]
    fn pages_of_several_databases_are_asked_each_by_itself() {
        let page: Vec<i64> = (0..60).map(|n| n * 7 % 61).collect();
        assert_eq!(told(&[&page, &page]), Told::Entries);
        let far: Vec<i64> = page.iter().map(|end| end + 3_000_000).collect();
        assert_eq!(told(&[&page, &far]), Told::Entries);
    }

    #[test]
    fn integers_that_repeat_are_those_of_a_column_and_times_tell_nothing() {
        assert_eq!(told(&[&[3, 9, 3, 7]]), Told::Rows);
        assert_eq!(told(&[&[1_721_611_408, 1_696_235_990, 1_509_119_223]]), Told::Either);
        assert_eq!(told(&[]), Told::Either);
    }
}
