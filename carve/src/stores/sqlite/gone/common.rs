//! How often two live rows of a table have a cell in common, column by column.

use super::super::prints::content;
use super::super::sample;
use super::Search;
use mudlark_parsers::sqlite::record;
use std::collections::HashMap;

/// Leaves from which rows are taken.
const PAGES: usize = 64;

/// Before any rows are known, two of them share a cell this many times out of so many.
const BEFORE: (f64, f64) = (0.25, 4.0);

#[derive(Debug, Default)]
pub(super) struct Common {
    /// For each column of the live rows the share of pairs that have the same value.
    by_column: Vec<f64>,
}

impl Common {
    /// From rows all over these leaves.
    pub(super) fn of(search: &Search<'_, '_>, leaves: &[u32]) -> Self {
        let (view, survey) = (&search.database.view, &search.database.survey);
        let mut values: Vec<HashMap<u64, u64>> = Vec::new();
        for page in leaves.iter().step_by(leaves.len().div_ceil(PAGES).max(1)) {
            sample::records(view, survey, *page, sample::ROWS, |_, header, payload| {
                let cells = record::cells(header.serials(), header.len, payload);
                for (column, (serial, bytes)) in cells.enumerate() {
                    if values.len() <= column {
                        values.resize_with(column + 1, HashMap::new);
                    }
                    if let Some((bytes, values)) = bytes.zip(values.get_mut(column)) {
                        *values.entry(content(std::iter::once(serial.0), bytes)).or_default() += 1;
                    }
                }
            });
        }
        let share = |values: &HashMap<u64, u64>| {
            let pairs = |rows: u64| (rows * rows.saturating_sub(1) / 2) as f64;
            let same: f64 = values.values().map(|rows| pairs(*rows)).sum();
            (same + BEFORE.0) / (pairs(values.values().sum()) + BEFORE.1)
        };
        Self { by_column: values.iter().map(share).collect() }
    }

    /// How many of so many rows have the cells of these columns in common with another one by accident.
    pub(super) fn by_accident(&self, columns: impl Iterator<Item = usize>, rows: usize) -> f64 {
        let share = |column: usize| self.by_column.get(column).copied().unwrap_or(BEFORE.0 / BEFORE.1);
        columns.map(share).product::<f64>() * rows as f64
    }
}
