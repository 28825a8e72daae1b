//! The main job: one instance's rows, weighed and numbered, into the outputs.

use crate::confidence::{self, Confidence};
use crate::error::Error;
use crate::model::{Batch, Cell, Loss, Stand, State, Table};
use crate::progress::Progress;
use crate::sinks::{Ending, Sink, Story, Weighed};
use crate::source::{HashChoice, Source, hash};
use crate::stores::{self, Instance, Options, Store};
use rayon::prelude::*;
use std::collections::BTreeMap;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Bytes of an encoded batch that are kept for the next one: some times more than most need.
const MOST_KEPT: usize = 1 << 20;

/// What a recovery is told.
#[derive(Clone, Debug)]
pub struct Request {
    /// Rows below this confidence are counted and left out.
    pub min_confidence: f64,
    /// Which hash to record.
    pub hash: HashChoice,
    /// What the user adds to the evidence.
    pub options: Options,
    /// The arguments of the run, as recorded.
    pub arguments: Vec<String>,
    /// The only table whose rows are wanted, by its name or its label.
    pub table: Option<String>,
}

impl Request {
    fn wants(&self, table: &Table) -> bool {
        self.table.as_ref().is_none_or(|name| table.is_called(name))
    }
}

/// What a recovery came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What the instance is.
    pub what: String,
    /// Rows by table, in the order of the tables.
    pub tables: Vec<TableOutcome>,
    /// Findings.
    pub findings: usize,
    /// What is missing; the table's name stands with each.
    pub losses: Vec<(Option<String>, Loss)>,
    /// Why no row that is gone was found, where none was.
    pub nothing_gone: Vec<String>,
    /// What a person should know of the chosen point.
    pub notes: Vec<String>,
    /// The pages that are not as they were at the chosen point.
    pub stands: Vec<Stand>,
    /// The name and the hash of each source.
    pub hashes: Vec<(String, String)>,
}

/// What a table came to.
#[derive(Clone, Debug, Default)]
pub struct TableOutcome {
    /// Its name in the output.
    pub label: String,
    /// Bookkeeping of the engine.
    pub internal: bool,
    /// Rows put out, by state.
    pub by_state: BTreeMap<State, u64>,
    /// Live rows that are full.
    pub full_live: u64,
    /// Rows with missing cells.
    pub partial: u64,
    /// Rows at or above 0.9.
    pub sure: u64,
    /// Rows below the least confidence, left out.
    pub left_out: u64,
}

impl Outcome {
    /// Rows put out, of the tables that are not the engine's own.
    #[must_use]
    pub fn rows(&self) -> u64 {
        let tables = self.tables.iter().filter(|table| !table.internal);
        tables.flat_map(|table| table.by_state.values()).sum()
    }
}

/// Recovers the instance in `sources` into `sinks`.
///
/// # Errors
/// When a source can't be read, an output can't be written, or the user stops the run.
pub fn recover(
    store: &dyn Store,
    name: &str,
    sources: &[Source],
    request: &Request,
    sinks: Vec<Box<dyn Sink>>,
    progress: &dyn Progress,
) -> Result<Outcome, Error> {
    let started = now();
    let placed = stores::in_place(store, sources);
    std::thread::scope(|scope| {
        // Hashing runs beside the work: it reads the same pages from the cache.
        let hashing = scope
            .spawn(|| sources.iter().map(|source| hash(source, request.hash).text()).collect::<Vec<_>>());
        // On a worker's own thread, which the parallel parts then need not wake.
        rayon::scope(|_| {
            let instance = store.open(&placed, &request.options, progress)?;
            let story = Story {
                store: store.name(),
                instance: name.to_owned(),
                what: instance.what(),
                sources: &placed,
                taken_for: instance.taken_for(),
                tables: instance.tables(),
                kept_sql: instance.kept_sql(),
                arguments: request.arguments.clone(),
                started,
            };
            let mut run = Run::new(&story, sinks, request.min_confidence, progress)?;
            progress.stage("reading rows", run.outcome.tables.len() as u64);
            instance.rows(&|table| request.wants(table), &mut |batches| run.take(batches))?;
            let hashes = hashing.join().unwrap_or_default();
            run.finish(&*instance, hashes)
        })
    })
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}

/// A recovery under way.
struct Run<'r> {
    story: &'r Story<'r>,
    sinks: Vec<Box<dyn Sink>>,
    least: f64,
    next_version: u64,
    /// For each batch of a window, what each sink's encoder fills: kept, as fresh memory costs time.
    buffers: Vec<Vec<Vec<u8>>>,
    outcome: Outcome,
    progress: &'r dyn Progress,
}

impl<'r> Run<'r> {
    fn new(
        story: &'r Story<'r>,
        mut sinks: Vec<Box<dyn Sink>>,
        least: f64,
        progress: &'r dyn Progress,
    ) -> Result<Self, Error> {
        for sink in &mut sinks {
            sink.begin(story)?;
        }
        let tables = story.tables.iter().map(|table| TableOutcome {
            label: table.label.clone(),
            internal: table.internal,
            ..TableOutcome::default()
        });
        let outcome = Outcome { what: story.what.clone(), tables: tables.collect(), ..Outcome::default() };
        Ok(Self { story, sinks, least, next_version: 1, buffers: Vec::new(), outcome, progress })
    }

    /// Weighs, numbers, encodes and writes a window of batches; all but the writing in parallel.
    fn take(&mut self, batches: &[Batch<'_>]) -> Result<(), Error> {
        if self.progress.interrupted() {
            return Err(Error::Interrupted);
        }
        let mut firsts = Vec::with_capacity(batches.len());
        for batch in batches {
            firsts.push(self.next_version);
            self.next_version += batch.rows.len() as u64;
        }
        let (story, least) = (self.story, self.least);
        let encoders: Vec<_> = self.sinks.iter().map(|sink| sink.encoder()).collect();
        if self.buffers.len() < batches.len() {
            self.buffers.resize_with(batches.len(), || vec![Vec::new(); encoders.len()]);
        }
        let ready: Vec<(Weighed<'_>, Tally)> = batches
            .par_iter()
            .zip(firsts)
            .zip(&mut self.buffers)
            .map(|((batch, first_version), buffers)| {
                let (weights, tally) = weigh(story, batch, least);
                let weighed = Weighed { batch, weights, first_version };
                for (encode, buffer) in encoders.iter().zip(buffers) {
                    renew(buffer);
                    if let Some(encode) = encode {
                        encode(story, &weighed, least, buffer);
                    }
                }
                (weighed, tally)
            })
            .collect();
        let buffers = std::mem::take(&mut self.buffers);
        for ((weighed, tally), buffers) in ready.iter().zip(&buffers) {
            if let Some(outcome) = self.outcome.tables.get_mut(weighed.batch.table.0 as usize) {
                tally.add_to(outcome);
            }
            for (sink, encoded) in self.sinks.iter_mut().zip(buffers) {
                sink.write(story, weighed, encoded, least)?;
            }
        }
        self.buffers = buffers;
        Ok(())
    }

    fn finish(mut self, instance: &dyn Instance, hashes: Vec<String>) -> Result<Outcome, Error> {
        let (findings, losses) = (instance.findings(), instance.losses());
        self.outcome.findings = findings.len();
        (self.outcome.notes, self.outcome.stands) = (instance.notes().to_vec(), instance.stands().to_vec());
        self.outcome.losses = losses
            .iter()
            .map(|loss| {
                let table = loss.table.and_then(|table| self.story.tables.get(table.0 as usize));
                (table.map(|table| table.label.clone()), loss.clone())
            })
            .collect();
        let is_gone = |table: &TableOutcome| {
            table.left_out > 0 || table.by_state.keys().any(|state| *state != State::Live)
        };
        if !self.outcome.tables.iter().any(is_gone) {
            self.outcome.nothing_gone = instance.why_nothing_is_gone();
        }
        let sum = |part: fn(&TableOutcome) -> u64| self.outcome.tables.iter().map(part).sum();
        let totals = vec![
            ("versions", self.next_version - 1),
            ("live_full", sum(|table| table.full_live)),
            ("partial", sum(|table| table.partial)),
            ("left_out", sum(|table| table.left_out)),
        ];
        let names = self.story.sources.iter().map(|source| source.name().to_owned());
        self.outcome.hashes = names.zip(hashes.iter().cloned()).collect();
        let ending = Ending { hashes, findings, losses, totals, finished: now() };
        for sink in self.sinks {
            sink.finish(self.story, &ending)?;
        }
        Ok(self.outcome)
    }
}

/// Empties a buffer; one that an unusual batch made large gives its memory back.
fn renew(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.shrink_to(MOST_KEPT);
}

/// What the rows of one batch add to their table's outcome: counted where they are weighed, by many threads.
#[derive(Default)]
struct Tally {
    by_state: BTreeMap<State, u64>,
    full_live: u64,
    partial: u64,
    sure: u64,
    left_out: u64,
}

impl Tally {
    /// Counts rows of one state and one weight that are full or are not.
    fn count(&mut self, rows: u64, (state, full, weight): (State, bool, Confidence), least: f64) {
        if weight.confidence < least {
            self.left_out += rows;
            return;
        }
        *self.by_state.entry(state).or_default() += rows;
        self.partial += if full { 0 } else { rows };
        self.full_live += if full && state == State::Live { rows } else { 0 };
        self.sure += if weight.confidence >= 0.9 { rows } else { 0 };
    }

    fn add_to(&self, outcome: &mut TableOutcome) {
        for (state, rows) in &self.by_state {
            *outcome.by_state.entry(*state).or_default() += rows;
        }
        outcome.full_live += self.full_live;
        outcome.partial += self.partial;
        outcome.sure += self.sure;
        outcome.left_out += self.left_out;
    }
}

/// The weights of a batch's rows, and what they come to.
fn weigh(story: &Story<'_>, batch: &Batch<'_>, least: f64) -> (Vec<Confidence>, Tally) {
    let number = batch.table.0 as usize;
    let (mut weights, mut tally) = (Vec::with_capacity(batch.rows.len()), Tally::default());
    if story.sources.iter().any(Source::has_guesses) {
        for row in &batch.rows {
            let full = is_full(story, number, batch.cells_of(row));
            let weight = confidence::weigh_row(story.sources, batch, row, full);
            weights.push(weight);
            tally.count(1, (row.state, full, weight), least);
        }
        return (weights, tally);
    }
    let mut rows = batch.rows.iter().map(|row| {
        let full = is_full(story, number, batch.cells_of(row));
        (row.state, full, row.claims)
    });
    let mut next = rows.next();
    while let Some(key) = next {
        let weight = confidence::weigh(key.0, key.1, key.2);
        let known = weights.len();
        weights.push(weight);
        // Rows of a page mostly share their claims.
        next = rows.find(|other| {
            let same = *other == key;
            if same {
                weights.push(weight);
            }
            !same
        });
        tally.count((weights.len() - known) as u64, (key.0, key.1, weight), least);
    }
    (weights, tally)
}

fn is_full(story: &Story<'_>, table: usize, cells: &[Cell<'_>]) -> bool {
    story.tables.get(table).is_none_or(|table| table.is_full(cells))
}
