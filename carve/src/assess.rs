//! What can come back of an instance, without writing it: its rows are read and weighed once, and only counted.

use crate::confidence;
use crate::error::Error;
use crate::model::{Batch, LossKind, SchemaOrigin, State, Table};
use crate::progress::Progress;
use crate::source::Source;
use crate::stores::{self, Options, PageCounts, Store};
use crate::words::{count as counted, grouped_count};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Rows below this confidence are not counted as found: as `recover` leaves them out unless told otherwise.
const LEAST: f64 = 0.5;

/// Deviations of a normal distribution between which nineteen of twenty of its values lie.
const NINETEEN_OF_TWENTY: f64 = 1.96;

/// What can come back of an instance.
#[derive(Clone, Debug)]
pub struct Assessment {
    /// What it is, for a person.
    pub what: String,
    /// What its pages came to.
    pub pages: PageCounts,
    /// Its tables.
    pub tables: Vec<TableAssessment>,
    /// Findings.
    pub findings: usize,
    /// Rows that are proved to be missing.
    pub missing: u64,
    /// How much of it can come back.
    pub outlook: Outlook,
    /// Why.
    pub reason: String,
    /// Rows that are right, of those that can be read.
    pub expected: Expected,
    /// How long it took to read all rows, as a recovery must.
    pub took: Duration,
}

/// How much of a store can come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// All or nearly all.
    High,
    /// More than half.
    Average,
    /// Less.
    Low,
    /// Nothing.
    None,
}

impl Outlook {
    /// Its name in outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Average => "average",
            Self::Low => "low",
            Self::None => "none",
        }
    }
}

/// A number of rows that is not known, by the confidences of single ones.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Expected {
    /// The sum of the confidences.
    pub rows: f64,
    /// The sum of the variances, as if rows were right or wrong by themselves.
    pub variance: f64,
    /// Rows that were weighed, of which no more can be right.
    pub all: u64,
}

impl Expected {
    fn add(&mut self, confidence: f64) {
        self.rows += confidence;
        self.variance += confidence * (1.0 - confidence);
        self.all += 1;
    }

    fn join(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            variance: self.variance + other.variance,
            all: self.all + other.all,
        }
    }

    /// The bounds between which the number lies with a probability of 0.95, if rows are right or wrong by themselves.
    #[must_use]
    pub fn interval(self) -> (u64, u64) {
        let reach = NINETEEN_OF_TWENTY * self.variance.sqrt();
        let bound = |rows: f64| rows.round().clamp(0.0, self.all as f64) as u64;
        (bound(self.rows - reach), bound(self.rows + reach))
    }
}

/// What a table came to.
#[derive(Clone, Debug)]
pub struct TableAssessment {
    /// Its name.
    pub label: String,
    /// Where its definition comes from.
    pub origin: SchemaOrigin,
    /// Whether it has a name.
    pub named: bool,
    /// Bookkeeping of the engine.
    pub internal: bool,
    /// Pages that hold its rows.
    pub pages: u64,
    /// Rows that are live and can be read.
    pub live: u64,
    /// Row versions that are not live any more, above the confidence from which on `recover` writes them.
    pub gone: u64,
}

/// Rows of a table, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    gone: u64,
    expected: Expected,
}

/// Assesses the instance in `sources`.
///
/// # Errors
/// When a source can't be read, or the user stops the run.
pub fn assess(
    store: &dyn Store,
    sources: &[Source],
    options: &Options,
    progress: &dyn Progress,
) -> Result<Assessment, Error> {
    let started = Instant::now();
    let placed = stores::in_place(store, sources);
    // On a worker's own thread, which the parallel parts then need not wake.
    rayon::scope(|_| {
        let instance = store.open(&placed, options, progress)?;
        let tables = instance.tables();
        let mut counts = vec![Count::default(); tables.len()];
        progress.stage("reading rows", tables.len() as u64);
        instance.rows(&|_| true, &mut |batches| {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let table = |batch: &Batch<'_>| tables.get(batch.table.0 as usize);
            let each: Vec<Count> =
                batches.par_iter().map(|batch| count(&placed, batch, table(batch))).collect();
            for (batch, more) in batches.iter().zip(each) {
                if let Some(count) = counts.get_mut(batch.table.0 as usize) {
                    count.gone += more.gone;
                    count.expected = count.expected.join(more.expected);
                }
            }
            Ok(())
        })?;
        let readable = instance.table_counts();
        let of_tables = |table: usize| readable.iter().find(|count| count.table == table);
        let assessed: Vec<TableAssessment> = tables
            .iter()
            .enumerate()
            .map(|(number, table)| TableAssessment {
                label: table.label.clone(),
                origin: table.origin,
                named: table.name.is_some(),
                internal: table.internal,
                pages: of_tables(number).map_or(0, |count| count.pages),
                live: of_tables(number).map_or(0, |count| count.live),
                gone: counts.get(number).map_or(0, |count| count.gone),
            })
            .collect();
        let users = tables.iter().zip(&counts).filter(|(table, _)| !table.internal);
        let expected = users.fold(Expected::default(), |all, (_, count)| all.join(count.expected));
        let losses = instance.losses();
        // What several bases prove of one table may be the same rows.
        let mut by_table: BTreeMap<_, u64> = BTreeMap::new();
        for loss in losses.iter().filter(|loss| loss.kind == LossKind::Proved) {
            let most = by_table.entry(loss.table).or_default();
            *most = loss.rows.max(*most);
        }
        let missing = by_table.values().sum();
        let pages = instance.page_counts();
        let (outlook, reason) = outlook(&pages, &assessed, missing);
        Ok(Assessment {
            what: instance.what(),
            pages,
            tables: assessed,
            findings: instance.findings().len(),
            missing,
            outlook,
            reason,
            expected,
            took: started.elapsed(),
        })
    })
}

/// Counts the rows of a batch.
fn count(sources: &[Source], batch: &Batch<'_>, table: Option<&Table>) -> Count {
    let mut count = Count::default();
    for row in &batch.rows {
        let full = table.is_none_or(|table| table.is_full(batch.cells_of(row)));
        let confidence = confidence::weigh_row(sources, batch, row, full).confidence;
        count.expected.add(confidence);
        count.gone += u64::from(row.state != State::Live && confidence >= LEAST);
    }
    count
}

/// How much can come back, from the share of pages that are lost and of rows that are proved to be missing.
fn outlook(pages: &PageCounts, tables: &[TableAssessment], missing: u64) -> (Outlook, String) {
    let live: u64 = tables.iter().map(|table| table.live).sum();
    let gone: u64 = tables.iter().map(|table| table.gone).sum();
    let holding = pages.sound + pages.damaged;
    let lost_pages = pages.lost as f64 / (holding + pages.lost).max(1) as f64;
    let lost_rows = missing as f64 / (live + missing).max(1) as f64;
    let of = counted(holding + pages.lost, "page");
    let are = if pages.lost == 1 { "is" } else { "are" };
    let mut reason = format!("{} of {of} that should hold something {are} lost", pages.lost);
    if missing > 0 {
        reason.push_str(&format!(", and {} proved to be missing", grouped_count(missing, "row")));
    }
    let lost = lost_pages.max(lost_rows);
    match (live, gone) {
        (0, 0) => (Outlook::None, "no live row can be read".to_owned()),
        (0, _) => {
            let rows = grouped_count(gone, "row");
            (Outlook::Low, format!("no live row can be read; {rows} that are gone can"))
        }
        _ if lost < 0.01 => (Outlook::High, reason),
        _ if lost < 0.5 => (Outlook::Average, reason),
        _ => (Outlook::Low, reason),
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    #[test]
    fn rows_that_are_sure_leave_no_interval_and_none_is_more_than_there_are() {
        let mut expected = Expected::default();
        (0..100).for_each(|_| expected.add(1.0));
        assert_eq!(expected.interval(), (100, 100));
        (0..100).for_each(|_| expected.add(0.5));
        assert_eq!(expected.interval(), (140, 160));
        let mut few = Expected::default();
        few.add(0.9);
        assert_eq!(few.interval(), (0, 1));
    }
}
