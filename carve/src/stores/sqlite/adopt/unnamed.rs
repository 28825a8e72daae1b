//! Fragments without a name are gathered: leaves of one kind that don't overlap are one table, or one index. Which table
//! an index is of is told by the rows that it points to.

use super::super::agree;
use super::super::forest::{Forest, Ground, How, Object, bounds};
use super::super::sample;
use super::{GROUPS_ASKED, LIKENESS_SLACK, Profiles, first_leaf, is_in_use, is_schema, loose};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::Value;
use std::collections::HashMap;

/// Tables of one shape that are told apart by keys that overlap: a database has fewer whose names are lost, and thousands of copies of one
/// page are no tables.
const MOST_ALIKE: usize = 256;

/// Joins fragments without a name that are of one tree.
pub(super) fn gather(forest: &mut Forest, ground: Ground<'_, '_>, named: usize, profiles: &mut Profiles) {
    let numbers = loose(forest, named);
    let mut groups: HashMap<(bool, u16), Vec<usize>> = HashMap::new();
    let mut key_ranges: HashMap<usize, Vec<KeyRange>> = HashMap::new();
    let mut asked = numbers.len().saturating_mul(GROUPS_ASKED).saturating_add(1 << 16);
    for number in numbers {
        let Some(tree) = forest.trees.get(number) else { continue };
        let Some(page) = first_leaf(forest, ground, number) else { continue };
        let columns = ground.survey.page(page).columns;
        if tree.rowids && is_schema(ground, page) {
            if let Some(tree) = forest.trees.get_mut(number) {
                tree.object = Object::Stale;
            }
            continue;
        }
        let (rowids, interior) = (tree.rowids, !tree.interior.is_empty());
        let (first, last) = bounds(ground, &tree.pages);
        let keys: Vec<KeyRange> = match rowids {
            true => Vec::new(),
            false => tree.pages.iter().filter_map(|page| KeyRange::of(ground, *page)).collect(),
        };
        let mut home = None;
        let alike = groups.entry((rowids, columns)).or_default();
        for (before, group) in alike.iter().enumerate() {
            let Some(other) = forest.trees.get(*group) else { continue };
            // So many tables of one shape are told apart no further.
            asked = asked.saturating_sub(1);
            if asked == 0 || before + 1 == MOST_ALIKE {
                home = Some((*group, false));
                break;
            }
            let distance = profiles.distance(forest, ground, *group, page);
            if distance.is_none_or(|distance| distance > LIKENESS_SLACK) {
                continue;
            }
            let covered = !other.interior.is_empty();
            if key_ranges.get(group).is_some_and(|others| KeyRange::any_overlap(&keys, others)) {
                continue;
            }
            let overlaps = rowids && overlaps(ground, &other.pages, first, last);
            // A tree with interior pages covers its whole range of keys: a leaf of its kind that no gap takes is old.
            let copy = overlaps && agree::is_copy(forest, ground, *group, page);
            if overlaps && !covered && !copy {
                // Another table of the same kind.
                continue;
            }
            home = Some((*group, covered || copy));
            break;
        }
        match home {
            Some((group, false)) => {
                forest.join(ground, number, group, How::Shape);
                profiles.made.forget(group);
                key_ranges.entry(group).or_default().extend(keys);
            }
            Some((_, true)) if !interior && rowids && !is_in_use(ground, page) => {
                if let Some(tree) = forest.trees.get_mut(number) {
                    tree.object = Object::Stale;
                }
            }
            Some((group, true)) if alike.len() >= MOST_ALIKE => {
                forest.join(ground, number, group, How::Shape);
            }
            _ => {
                alike.push(number);
                key_ranges.insert(number, keys);
            }
        }
    }
}

/// Whether any page's keys overlap `first..=last`.
fn overlaps(ground: Ground<'_, '_>, pages: &[u32], first: i64, last: i64) -> bool {
    pages
        .iter()
        .map(|page| ground.survey.page(*page))
        .any(|info| info.cells > 0 && info.first <= last && first <= info.last)
}

/// Entries of a page that are asked for their first keys.
const ENTRIES: usize = 64;

/// The least and the greatest number that entries of a page begin with. Whatever the order of an index, those of its other
/// pages lie on one side of them; texts lie in an order that nothing tells.
#[derive(Clone, Copy, Debug)]
struct KeyRange {
    least: f64,
    most: f64,
}

impl KeyRange {
    fn of(ground: Ground<'_, '_>, page: u32) -> Option<Self> {
        let mut range: Option<Self> = None;
        sample::records(ground.view, ground.survey, page, ENTRIES, |_, header, payload| {
            let first = record::cells(header.serials(), header.len, payload).next();
            let key = match first.and_then(|(serial, bytes)| Some(serial.decode(bytes?))) {
                Some(Value::Int(int)) => int as f64,
                Some(Value::Real(real)) => real,
                _ => return,
            };
            let known = range.unwrap_or(Self { least: key, most: key });
            range = Some(Self { least: known.least.min(key), most: known.most.max(key) });
        });
        range
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.least < other.most && other.least < self.most
    }

    fn any_overlap(some: &[Self], others: &[Self]) -> bool {
        some.iter().any(|one| others.iter().any(|other| one.overlaps(other)))
    }
}
