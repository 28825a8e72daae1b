//! Outputs: each takes the same batches and writes them in its own form.

pub mod database;
pub mod jsonl;
mod out;
mod pending;
pub mod sql;

pub use out::Out;
pub use pending::{Pending, abandon};

use crate::confidence::Confidence;
use crate::error::Error;
use crate::model::{Batch, Finding, Loss, Table};
use crate::source::{Source, Span};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file.
    File(PathBuf),
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

/// Refuses an output before any work is done: one that exists, is a folder, or would write into a source.
///
/// `taken` lists names that a source's engine would take for a part of the store, as its journal.
///
/// # Errors
/// The reason, and what to do.
pub fn check(path: &Path, sources: &[Source], taken: &[PathBuf], force: bool) -> Result<(), Error> {
    let refuse =
        |reason: &str| Err(Error::OutputRefused { path: path.to_owned(), reason: reason.to_owned() });
    let resolved = resolve(path);
    let same_file = |source: &&Source| {
        let same = std::fs::metadata(path).is_ok_and(|found| {
            (found.dev(), found.ino()) == (source.metadata().dev(), source.metadata().ino())
        });
        same || resolve(source.path()) == resolved
    };
    if sources.iter().any(|source| same_file(&source)) {
        return refuse("the output would overwrite a source; give another name");
    }
    if taken.iter().any(|taken| resolve(taken) == resolved) {
        return refuse("the output would be taken for a part of a source; give another name");
    }
    if path.is_dir() {
        return refuse("is a folder; name a file, or end the name with / to write a folder of databases");
    }
    if path.exists() && !path.is_file() {
        // A device or a pipe takes lines, and is not replaced.
        return Ok(());
    }
    if path.exists() && !force {
        return refuse("exists already; give another name, or --force to replace it");
    }
    Ok(())
}

/// The path without links, as far as it exists already.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => resolve(Path::new(".")).join(name),
        (Some(parent), Some(name)) => resolve(parent).join(name),
        _ => path.to_owned(),
    }
}
