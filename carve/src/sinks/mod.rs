//! Outputs: each takes the same batches and writes them in its own form.

mod check;
pub mod database;
pub mod jsonl;
mod keepers;
mod out;
mod pending;
pub mod sql;

pub use check::{Check, check, resolve};
pub use keepers::{Keeper, Keepers};
pub use out::Out;
pub use pending::{Pending, abandon, kept_of_many};

use crate::confidence::Confidence;
use crate::error::Error;
use crate::model::{Batch, Finding, Loss, Table};
use crate::source::{Source, Span};
use std::path::PathBuf;

/// What a sink is told before the first row.
#[derive(Debug)]
pub struct Story<'a> {
    /// The store's name.
    pub store: &'static str,
    /// The instance's name.
    pub instance: String,
    /// What the instance is, for a person.
    pub what: String,
    /// The sources, in the order of their numbers.
    pub sources: &'a [Source],
    /// What each source was taken for.
    pub taken_for: Vec<String>,
    /// The tables, in the order of their numbers.
    pub tables: &'a [Table],
    /// SQL that is kept and never executed: kind, name, text.
    pub kept_sql: Vec<(String, String, String)>,
    /// The arguments of the run.
    pub arguments: Vec<String>,
    /// When the run began, RFC 3339 in UTC.
    pub started: String,
}

impl Story<'_> {
    /// The offset of a span in the file on disk: of a file that was found in an image in the image.
    #[inline]
    #[must_use]
    pub fn place(&self, span: &Span) -> u64 {
        self.sources.get(usize::from(span.source.0)).map_or(span.offset, |source| source.place(span.offset))
    }
}

/// What a sink is told after the last row.
#[derive(Debug, Default)]
pub struct Ending {
    /// The hash of each source, in the order of their numbers.
    pub hashes: Vec<String>,
    /// Damage and anomalies.
    pub findings: Vec<Finding>,
    /// What is missing.
    pub losses: Vec<Loss>,
    /// Totals by name.
    pub totals: Vec<(&'static str, u64)>,
    /// When the run ended, RFC 3339 in UTC.
    pub finished: String,
}

/// A batch whose rows have been weighed and numbered.
#[derive(Debug)]
pub struct Weighed<'a> {
    /// The rows.
    pub batch: &'a Batch<'a>,
    /// How sure each is, in the order of the rows.
    pub weights: Vec<Confidence>,
    /// Number of the first row's version; the others follow.
    pub first_version: u64,
}

/// Adds a batch's bytes for [`Sink::write`] to a buffer; rows below the least confidence are left out.
pub type Encode = fn(&Story<'_>, &Weighed<'_>, f64, &mut Vec<u8>);

/// An output.
pub trait Sink: Send {
    /// The part of the work that can be done for many batches at a time, if there is one.
    fn encoder(&self) -> Option<Encode> {
        None
    }

    /// Begins the output.
    ///
    /// # Errors
    /// When the output can't be written.
    fn begin(&mut self, story: &Story<'_>) -> Result<(), Error>;

    /// Takes the next batch, in order; rows below `least` are left out.
    ///
    /// # Errors
    /// When the output can't be written.
    fn write(
        &mut self,
        story: &Story<'_>,
        weighed: &Weighed<'_>,
        encoded: &[u8],
        least: f64,
    ) -> Result<(), Error>;

    /// Ends the output and puts it under its final name.
    ///
    /// # Errors
    /// When the output can't be written.
    fn finish(self: Box<Self>, story: &Story<'_>, ending: &Ending) -> Result<(), Error>;
}

/// Where an output goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// A file.
    File(PathBuf),
    /// A file of many, for one who puts it in place.
    OneOfMany(PathBuf, Keeper),
    /// Standard output.
    Stdout,
}

/// A kind of output.
#[derive(Clone, Copy)]
pub struct SinkKind {
    /// Its name.
    pub name: &'static str,
    /// Opens an output; nothing stands under the final name until it is finished.
    pub open: fn(&Target) -> Result<Box<dyn Sink>, Error>,
}

/// Every kind of output.
pub const REGISTRY: &[SinkKind] = &[
    SinkKind { name: "database", open: |target| Ok(Box::new(database::DatabaseSink::open(target)?)) },
    SinkKind { name: "jsonl", open: |target| Ok(Box::new(jsonl::JsonLines::open(target)?)) },
    SinkKind { name: "sql", open: |target| Ok(Box::new(sql::SqlText::open(target)?)) },
];

/// Opens an output of the kind named `name`.
///
/// # Errors
/// When the output can't be opened.
pub fn open(name: &str, target: &Target) -> Result<Box<dyn Sink>, Error> {
    let kind = REGISTRY.iter().find(|kind| kind.name == name);
    let kind = kind.ok_or_else(|| Error::Usage(format!("no output is called {name}")))?;
    (kind.open)(target)
}
