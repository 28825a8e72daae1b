//! How the rows of a tree, and those of a page, are numbered.

use super::super::database::Database;
use super::super::forest::{Tree, bounds};
use super::super::survey::PageInfo;

/// What it counts against a tree, in likeness, that its row ids lie e times as close together as those of a page, or a
/// page's as close as its; what that counts at most; and the rows that tell.
const OTHER_STEP: f64 = 0.4;
const MOST_APART: f64 = 1.2;
const FEW_ROWS: u64 = 5;

/// The same in powers of e, of a page that is another table's, if any may be lost.
const STRANGE_STEP: f64 = 7.0;

/// The row ids of a tree, or of a page: least, greatest, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub first: i64,
    pub last: i64,
    rows: u64,
}

impl Span {
    pub(super) fn of(database: &Database<'_>, tree: &Tree) -> Self {
        let (first, last) = bounds(database.ground(), &tree.pages);
        let rows = tree.pages.iter().map(|page| u64::from(database.survey.page(*page).cells)).sum();
        Self { first, last, rows }
    }

    /// How far its row ids lie apart, on average.
    fn step(self) -> f64 {
        (self.last.abs_diff(self.first) as f64 + 1.0) / self.rows as f64
    }

    /// How much the row ids of a page lie closer together, or farther apart, than these, in likeness.
    pub(super) fn apart(self, info: &PageInfo) -> f64 {
        (OTHER_STEP * self.steps_apart(info)).min(MOST_APART)
    }

    fn steps_apart(self, info: &PageInfo) -> f64 {
        let page = Self { first: info.first, last: info.last, rows: info.cells.into() };
        let enough = self.rows >= FEW_ROWS && page.rows >= FEW_ROWS;
        if enough { (page.step() / self.step()).ln().abs() } else { 0.0 }
    }

    /// Whether the row ids of a page are numbered in quite another way, and none of them lies among these.
    pub(super) fn is_strange(self, info: &PageInfo) -> bool {
        let beside = info.last < self.first || self.last < info.first;
        beside && self.steps_apart(info) >= STRANGE_STEP
    }
}
