//! The row ids that VACUUM gave to the rows of a table.

use std::ops::RangeInclusive;

/// The new row ids by the old ones. VACUUM keeps the order of rows and leaves no gaps, so that most new ids lie as far from
/// the old ones as those beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renumbered {
    /// In the order of their ids.
    runs: Vec<Run>,
}

/// Ids that follow one another before and behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    old: i64,
    new: i64,
    /// How many follow the first.
    more: u64,
}

impl Run {
    /// The last of the ids that follow one another from `first` on.
    const fn last(&self, first: i64) -> i64 {
        first.saturating_add_unsigned(self.more)
    }
}

impl FromIterator<(i64, i64)> for Renumbered {
    /// Of pairs of an old and a new id, both in ascending order.
    fn from_iter<I: IntoIterator<Item = (i64, i64)>>(pairs: I) -> Self {
        let mut runs: Vec<Run> = Vec::new();
        for (old, new) in pairs {
            match runs.last_mut() {
                Some(run) if follows(run.last(run.old), old) && follows(run.last(run.new), new) => {
                    run.more += 1;
                }
                _ => runs.push(Run { old, new, more: 0 }),
            }
        }
        Self { runs }
    }
}

fn follows(id: i64, next: i64) -> bool {
    id.checked_add(1) == Some(next)
}

impl Renumbered {
    /// Whether it says nothing of any row.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether each row has the id that it had.
    pub fn is_same(&self) -> bool {
        self.runs.iter().all(|run| run.old == run.new)
    }

    /// Of how many rows it tells.
    pub fn rows(&self) -> usize {
        self.runs.iter().map(|run| run.more as usize + 1).sum()
    }

    /// The old and the new id of each row, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (i64, i64)> {
        self.runs.iter().flat_map(|run| {
            (0..=run.more)
                .map(|at| (run.old.saturating_add_unsigned(at), run.new.saturating_add_unsigned(at)))
        })
    }

    /// The id that a row was given.
    pub fn get(&self, id: i64) -> Option<i64> {
        let behind = self.runs.partition_point(|run| run.old <= id);
        let run = self.runs.get(behind.checked_sub(1)?)?;
        (id <= run.last(run.old)).then(|| run.new.saturating_add_unsigned(id.abs_diff(run.old)))
    }

    /// The ids that rows were given: such as follow one another, and how many they are.
    pub fn given(&self) -> impl Iterator<Item = (RangeInclusive<i64>, u32)> {
        let rows = |run: &Run| u32::try_from(run.more).unwrap_or(u32::MAX).saturating_add(1);
        self.runs.iter().map(move |run| (run.new..=run.last(run.new), rows(run)))
    }

    /// The least and the greatest id that rows with some ids were given.
    pub fn after(&self, ids: &RangeInclusive<i64>) -> Option<RangeInclusive<i64>> {
        hull(&self.runs, ids, |run| (run.old, run.new))
    }

    /// The least and the greatest id of the rows that were given some ids.
    pub fn before(&self, ids: &RangeInclusive<i64>) -> Option<RangeInclusive<i64>> {
        hull(&self.runs, ids, |run| (run.new, run.old))
    }
}

/// Where the ends of a range of ids went that lie in runs; `ends` are the first id of a run on the side of the range, and on
/// the other side.
fn hull(
    runs: &[Run],
    ids: &RangeInclusive<i64>,
    ends: impl Fn(&Run) -> (i64, i64),
) -> Option<RangeInclusive<i64>> {
    let from = runs.get(runs.partition_point(|run| run.last(ends(run).0) < *ids.start())..)?.first()?;
    let to = runs.get(runs.partition_point(|run| ends(run).0 <= *ids.end()).checked_sub(1)?)?;
    let (first, went) = ends(from);
    let least =
        went.saturating_add_unsigned(ids.start().checked_sub(first).map_or(0, |more| more.max(0) as u64));
    let (first, went) = ends(to);
    let greatest = went.saturating_add_unsigned(ids.end().abs_diff(first).min(to.more));
    (least <= greatest).then_some(least..=greatest)
}

#[cfg(test)]
mod tests {
    use super::Renumbered;

    /// Rows 3 and 6 to 8 of ten were deleted before.
    fn some() -> Renumbered {
        [1, 2, 4, 5, 9, 10].into_iter().zip(1..).collect()
    }

    #[test]
    fn rows_that_stood_have_new_ids_and_others_have_none() {
        assert_eq!((0..12).filter_map(|id| some().get(id)).collect::<Vec<i64>>(), [1, 2, 3, 4, 5, 6]);
        assert_eq!([3, 6, 8, 11].map(|id| some().get(id)), [None; 4]);
        assert_eq!(some().get(9), Some(5));
        let ends: Renumbered = [(i64::MIN, 1), (i64::MAX, 2)].into_iter().collect();
        assert_eq!((ends.get(i64::MIN), ends.get(0), ends.get(i64::MAX)), (Some(1), None, Some(2)));
    }

    #[test]
    fn a_range_of_ids_goes_where_the_rows_in_it_went() {
        assert_eq!(some().after(&(3..=9)), Some(3..=5));
        assert_eq!(some().after(&(i64::MIN..=i64::MAX)), Some(1..=6));
        assert_eq!([6..=8, 11..=20, -5..=0].map(|ids| some().after(&ids)), [None, None, None]);
        assert_eq!(some().before(&(2..=3)), Some(2..=4));
        assert_eq!(some().before(&(5..=100)), Some(9..=10));
        assert_eq!(some().before(&(7..=8)), None);
    }
}
