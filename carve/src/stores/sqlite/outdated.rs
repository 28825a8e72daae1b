//! How many rows of an old place are still as they stand there, told by those whose own page can be read: what holds of
//! them holds of the rows beside them, whose page is lost.

use super::emit::Reader;
use super::leaf::Spot;
use super::settle::{self, Place};
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use std::collections::HashMap;

/// Rows of a place from which something can be told of the others.
const ENOUGH: u32 = 8;

/// What is known of the rows of old places.
#[derive(Debug, Default)]
pub(super) struct Outdated(HashMap<Spot, Claims>);

impl Outdated {
    /// Of the old ones among these places.
    pub(super) fn of(reader: &Reader<'_, '_>, places: &[Spot]) -> Self {
        if places.is_empty() {
            return Self::default();
        }
        let live = Live::of(reader);
        let mut cells = Vec::new();
        let known = places.iter().filter_map(|place| {
            reader.others(*place, &mut cells);
            let (mut same, mut all) = (0, 0);
            for found in &cells {
                all += 1;
                same += u32::from(live.has((place.page, found.cell.at), &found.cell));
            }
            Some((*place, grade(same, all)?))
        });
        Self(known.collect())
    }

    /// What speaks for and against the rows of a place.
    pub(super) fn claims(&self, place: Spot) -> Claims {
        self.0.get(&place).copied().unwrap_or(Claims::NONE)
    }
}

/// The rows of sound pages that hang in the tree.
struct Live<'r, 'a> {
    reader: &'r Reader<'r, 'a>,
    pages: Vec<u32>,
}

impl<'r, 'a> Live<'r, 'a> {
    fn of(reader: &'r Reader<'r, 'a>) -> Self {
        let ground = reader.ground;
        let pages = settle::settled(reader.forest, ground, &reader.tree.pages);
        Self { reader, pages }
    }

    /// Whether a cell's row is live as it stands there.
    fn has(&self, place: Place, cell: &Cell) -> bool {
        let ground = self.reader.ground;
        let now = settle::settled_cell(ground, &self.pages, cell.rowid);
        now.is_some_and(|now| settle::same_payload(ground, now, (place, *cell)))
    }
}

/// `None` where so many rows tell nothing.
fn grade(same: u32, all: u32) -> Option<Claims> {
    if all < ENOUGH {
        None
    } else if 10 * same >= 9 * all {
        Some(Claims::NONE.with(Claim::OthersCurrent))
    } else if 2 * same < all {
        Some(Claims::NONE.with(Claim::OthersOutdated))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::grade;
    use mudlark_parsers::claim::{Claim, Claims};

    #[test]
    fn few_rows_tell_nothing_of_others_and_neither_do_some_of_many() {
        let current = Some(Claims::NONE.with(Claim::OthersCurrent));
        let outdated = Some(Claims::NONE.with(Claim::OthersOutdated));
        assert_eq!([grade(7, 7), grade(0, 7), grade(7, 10)], [None; 3]);
        assert_eq!([grade(8, 8), grade(9, 10)], [current; 2]);
        assert_eq!([grade(0, 8), grade(4, 10)], [outdated; 2]);
    }
}
