//! Cells of a page that can't be read, between those that can: pointers stand in the order of the keys, so that the keys of
//! the ones lie between those of the others.

/// Cells side by side that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<T> {
    /// What stands before the first of them; `None` where they begin the page.
    pub above: Option<T>,
    /// What stands behind the last of them; `None` where they end the page.
    pub below: Option<T>,
    pub cells: usize,
}

/// The runs of a page; `None` stands for a cell that can't be read.
pub(super) fn of<T: Copy>(cells: impl IntoIterator<Item = Option<T>>) -> Vec<Run<T>> {
    let (mut runs, mut above, mut bad) = (Vec::new(), None, 0);
    for cell in cells {
        if cell.is_none() {
            bad += 1;
            continue;
        }
        runs.extend((bad > 0).then_some(Run { above, below: cell, cells: bad }));
        (above, bad) = (cell, 0);
    }
    runs.extend((bad > 0).then_some(Run { above, below: None, cells: bad }));
    runs
}

#[cfg(test)]
mod tests {
    use super::{Run, of};

    #[test]
    fn runs_lie_between_what_can_be_read_and_at_both_ends() {
        let run = |above, below, cells| Run { above, below, cells };
        assert_eq!(
            of([None, Some(3), Some(4), None, None, Some(9), None]),
            [run(None, Some(3), 1), run(Some(4), Some(9), 2), run(Some(9), None, 1)]
        );
        assert_eq!(of([Some(1), Some(2)]), []);
        assert_eq!(of([None::<i64>, None]), [run(None, None, 2)]);
    }
}
