//! How many rows of an old place are still as they stand there, told by those whose own page can be read: what holds of
//! them holds of the rows beside them, whose page is lost.

use super::emit::Reader;
use super::keyed::{self, KeptByKey};
use super::leaf::Spot;
use super::lost_entries::LostEntries;
use super::settle;
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use std::collections::HashMap;

/// Rows of a place from which something can be told of the others.
const ENOUGH: usize = 8;

/// What is known of the rows of old places.
#[derive(Debug, Default)]
pub(super) struct Outdated(HashMap<Spot, Claims>);

impl Outdated {
    /// Of the old ones among these places.
    pub(super) fn of(reader: &Reader<'_, '_>, places: &[Spot]) -> Self {
        if places.is_empty() {
            return Self::default();
        }
        let ground = reader.ground;
        let settled = settle::settled(reader.forest, ground, &reader.tree.pages);
        // Whether a row is live as it stands there.
        let is_live = |page: u32, cell: &Cell| {
            let now = settle::settled_cell(ground, &settled, cell.rowid);
            now.is_some_and(|now| settle::same_payload(ground, now, ((page, cell.at), *cell)))
        };
        let mut cells = Vec::new();
        let known = places.iter().filter_map(|place| {
            reader.others(*place, &mut cells);
            let same = cells.iter().filter(|found| is_live(place.page, &found.cell)).count();
            Some((*place, grade(same, cells.len())?))
        });
        Self(known.collect())
    }

    /// The same in a table without row ids, with so many key cells: `own` are the rows of the tree's pages, and `lost` tells
    /// which others may be missing from it.
    pub(super) fn of_keyed(
        reader: &Reader<'_, '_>,
        places: &[Spot],
        key_cells: usize,
        own: &KeptByKey,
        lost: &LostEntries<'_, '_>,
    ) -> Self {
        let ground = reader.ground;
        let mut cells = Vec::new();
        let known = places.iter().filter_map(|place| {
            reader.others(*place, &mut cells);
            let (mut same, mut known, mut missing) = (0, 0, 0);
            for found in &cells {
                let at = (place.page, found.cell.at);
                let key = keyed::key(ground, at, &found.cell, key_cells);
                if let Some(now) = key.and_then(|key| own.get(&key)) {
                    known += 1;
                    same += usize::from(settle::same_payload(ground, *now, (at, found.cell)));
                } else if lost.holding((at, found.cell)).next().is_some() {
                    missing += 1;
                } else {
                    known += 1;
                }
            }
            // More than can be missing were deleted.
            let deleted = usize::saturating_sub(missing, lost.most());
            Some((*place, grade(same, known + deleted)?))
        });
        Self(known.collect())
    }

    /// What speaks for and against the rows of a place.
    pub(super) fn claims(&self, place: Spot) -> Claims {
        self.0.get(&place).copied().unwrap_or(Claims::NONE)
    }
}

/// `None` where so many rows tell nothing.
fn grade(same: usize, all: usize) -> Option<Claims> {
    if all < ENOUGH {
        None
    } else if 10 * same >= 9 * all {
        Some(Claims::NONE.with(Claim::OthersCurrent))
    } else if 2 * same < all {
        Some(Claims::NONE.with(Claim::OthersOutdated))
    } else {
        Some(Claims::NONE.with(Claim::OthersMixed))
    }
}

#[cfg(test)]
mod tests {
    use super::grade;
    use mudlark_parsers::claim::{Claim, Claims};

    #[test]
    fn few_rows_tell_nothing_of_others_and_some_of_many_little() {
        let current = Some(Claims::NONE.with(Claim::OthersCurrent));
        let outdated = Some(Claims::NONE.with(Claim::OthersOutdated));
        let mixed = Some(Claims::NONE.with(Claim::OthersMixed));
        assert_eq!([grade(7, 7), grade(0, 7)], [None; 2]);
        assert_eq!([grade(7, 10), grade(5, 10)], [mixed; 2]);
        assert_eq!([grade(8, 8), grade(9, 10)], [current; 2]);
        assert_eq!([grade(0, 8), grade(4, 10)], [outdated; 2]);
    }
}
