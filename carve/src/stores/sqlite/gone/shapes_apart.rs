//! Cells that the rows of several shapes may have left in the same bytes: which shape explains most of them.

use mudlark_parsers::sqlite::freed::FreedCell;

/// What a cell is worth that begins at a head that still stands, and one that fits between others, beside one that may be
/// anywhere: in sixteenths of a byte, as all that cells explain.
const AT_HEAD: i64 = 56;
const FITTED: i64 = 24;

/// Leaves of the cells of one shape those that are among the cells of both that explain most without overlap. Neither list
/// overlaps itself. A cell that takes in many of the other shape must be worth more than all of them.
pub(super) fn keep_own(own: &mut Vec<FreedCell>, others: &[FreedCell], likely: bool) {
    let worth = |freed: &FreedCell| {
        let worth = if likely { freed.likely_worth() } else { freed.worth() };
        let at_head = if freed.rebuilt && freed.at_head { AT_HEAD } else { 0 };
        worth + at_head + if freed.fitted { FITTED } else { 0 }
    };
    let item =
        |freed: &FreedCell, own: Option<usize>| (freed.cell.at, freed.cell.end, worth(freed).max(1), own);
    let own_items = own.iter().enumerate().map(|(number, freed)| item(freed, Some(number)));
    let chosen = choose(own_items.chain(others.iter().map(|freed| item(freed, None))).collect());
    let mut number = 0;
    own.retain(|_| {
        number += 1;
        chosen.binary_search(&(number - 1)).is_ok()
    });
}

/// A cell: its place, its end, its worth, and its number where it is one's own.
type Item = (u32, u32, i64, Option<usize>);

/// The numbers of one's own among the items that are worth most without overlap, in order; of equals one's own are taken.
fn choose(mut items: Vec<Item>) -> Vec<usize> {
    items.sort_by_key(|(at, end, ..)| (*end, *at));
    // For each count of items the most that the first ones are worth with the count of one's own, the item that is taken, and
    // how many stand before it.
    let mut best: Vec<((i64, usize), Option<usize>, usize)> = vec![((0, 0), None, 0)];
    for (index, (at, _, worth, own)) in items.iter().enumerate() {
        let before = items.partition_point(|(_, end, ..)| end <= at);
        let (sum, count) = best.get(before).map_or((0, 0), |(most, ..)| *most);
        let with = (sum + worth, count + usize::from(own.is_some()));
        let without = best.last().map_or((0, 0), |(most, ..)| *most);
        best.push(if with > without { (with, Some(index), before) } else { (without, None, index) });
    }
    let mut chosen = Vec::new();
    let mut at = items.len();
    while let Some((_, taken, before)) = best.get(at).filter(|_| at > 0) {
        let own = taken.and_then(|index| items.get(index)).and_then(|(.., own)| *own);
        chosen.extend(own);
        at = *before;
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn one_cell_of_another_shape_over_many_is_worth_less_than_all_of_them() {
        let own = (0..4).map(|number: u32| (10 * number, 10 * number + 10, 150, Some(number as usize)));
        assert_eq!(choose(own.clone().chain([(0, 40, 590, None)]).collect()), [0, 1, 2, 3]);
        assert!(choose(own.chain([(0, 40, 610, None)]).collect()).is_empty());
    }

    #[test]
    fn each_cell_is_of_the_shape_that_explains_more_of_it() {
        let items = [(0, 10, 150, Some(0)), (0, 11, 160, None), (11, 30, 300, Some(1)), (12, 30, 280, None)];
        assert_eq!(choose(items.to_vec()), [1]);
        assert_eq!(choose(vec![(0, 10, 150, Some(0)), (0, 10, 150, None)]), [0]);
    }
}
