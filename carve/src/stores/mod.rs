//! The stores that can be recovered, and what each must offer.

pub mod sqlite;

use crate::error::Error;
use crate::model::{
    Batch, Between, Finding, Goal, History, Loss, Part, Replayed, RowDelta, Stand, Table, Undoable, Until,
};
use crate::progress::Progress;
use crate::scan::{Mark, Scanner};
use crate::source::Source;
use std::borrow::Cow;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Every store, in the order in which they are asked.
pub const REGISTRY: &[&dyn Store] = &[&sqlite::Sqlite];

/// What a file was taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// What it is, as a person would say it: `SQLite database, page size 4096`.
    pub what: String,
    /// Whether it holds rows that can be read: an encrypted database is recognised and can't.
    pub readable: bool,
    /// Whether it is a temp file, which goes with the store that it is of where that is among the sources.
    pub temp: bool,
}

/// What a user adds to the evidence.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// DDL that the user knows, as the text of a file.
    pub schema: Option<String>,
    /// The point at which rows are live; the last commit unless told otherwise.
    pub goal: Option<Goal>,
    /// The only row that is asked for.
    pub row: Option<AskedRow>,
}

/// A row that is asked for by its row id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedRow {
    /// The name of its table.
    pub table: String,
    /// Its id.
    pub rowid: i64,
}

/// What a user's DDL comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaRead {
    /// Tables that it defines.
    pub tables: usize,
    /// Statements that can't be read and are no data either.
    pub unreadable: Vec<Unreadable>,
}

/// A statement of the user's that can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// How it begins.
    pub text: String,
    /// What is wrong with it.
    pub why: String,
}

/// A kind of store.
pub trait Store: Sync {
    /// Its name, as outputs give it.
    fn name(&self) -> &'static str;

    /// What `source` is, by its content; `None` when it is not of this store.
    fn recognise(&self, source: &Source) -> Option<Recognition>;

    /// How it finds its parts in an image.
    fn scanner(&self) -> &dyn Scanner;

    /// The files of this store that an image holds, put together from where its marks say that their bytes lie, in the order
    /// of their places.
    ///
    /// # Errors
    /// When the user stops the run.
    fn gather(&self, image: &Source, marks: &[Mark], progress: &dyn Progress) -> Result<Vec<Part>, Error>;

    /// Paths beside `main` that may hold logs and journals of it.
    fn sidecars(&self, main: &Path) -> Vec<PathBuf>;

    /// The main file with its pages in their places, where bytes were inserted into it or some are lost, so that those
    /// behind lie elsewhere, and with new headers where its pages have lost theirs; `None` where that can't be told.
    fn in_place(&self, main: &Source, others: &[Source]) -> Option<Source>;

    /// Whether `source` can be a log or a journal of a store, by its content or its name.
    fn is_log(&self, source: &Source) -> bool;

    /// How much speaks for it that a temp file is of the store with this main file; `None` where it can't be.
    fn kinship(&self, main: &Source, temp: &Source) -> Option<u64>;

    /// What DDL that the user gives comes to.
    fn read_schema(&self, ddl: &str) -> SchemaRead;

    /// Opens an instance: the first source is the main file, the others are its sidecars.
    ///
    /// # Errors
    /// When the sources can't be read; damage is no error.
    fn open<'a>(
        &self,
        sources: &'a [Source],
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Instance + 'a>, Error>;

    /// The transactions that the logs of an instance hold, without a look at more of it than they wrote; the first source
    /// is the main file.
    ///
    /// # Errors
    /// When the sources can't be read; damage is no error.
    fn history(&self, sources: &[Source]) -> Result<History, Error>;

    /// Writes the store as it stood at a point to `out`, byte for byte as its engine would have left it; `output` is the
    /// name to tell when that fails.
    ///
    /// # Errors
    /// When there is no such point, when something that it needs is lost, or when `out` can't be written.
    fn replay(
        &self,
        sources: &[Source],
        goal: Goal,
        output: &Path,
        out: &mut dyn Write,
    ) -> Result<Replayed, Error>;

    /// What differs between two points, without a look at more than what was written between them; the first may be the
    /// later one.
    ///
    /// # Errors
    /// When there is no such point; what is lost is no error.
    fn difference<'a>(
        &self,
        sources: &'a [Source],
        points: [Until; 2],
    ) -> Result<Box<dyn Difference<'a> + 'a>, Error>;

    /// What the commits from the first to the last of these points did, with what became of it since. All rows that they
    /// and later ones changed are held.
    ///
    /// # Errors
    /// When there is no such commit, or what they did is lost in part.
    fn undoable<'a>(&self, sources: &'a [Source], points: [Until; 2]) -> Result<Undoable<'a>, Error>;

    /// Accounts for the bytes of one page of the main file, which is the first source, and names newer and older
    /// versions of it that its sidecars hold.
    ///
    /// # Errors
    /// When there is no such page.
    fn inspect(&self, sources: &[Source], place: Place) -> Result<String, Error>;
}

/// Is shown rows that differ, one at a time.
pub type DeltaSink<'s, 'a> = dyn FnMut(RowDelta<'a>) -> Result<(), Error> + 's;

/// What differs between two points.
pub trait Difference<'a> {
    /// The points, and all but the rows.
    fn between(&self) -> &Between;

    /// Hands the rows of a table to `sink`, by its index into [`Between::tables`]. A few bytes are held for each row that
    /// may differ; the cells are read one row at a time.
    ///
    /// # Errors
    /// What the sink returns.
    fn rows(&self, table: usize, sink: &mut DeltaSink<'_, 'a>) -> Result<(), Error>;
}

/// Which page to inspect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The page with this number.
    Page(u32),
    /// The page that holds this offset of the main file.
    Offset(u64),
    /// The header.
    Header,
}

/// Is shown batches, in the order of the output; a window of them at a time.
pub type RowSink<'s, 'a> = dyn FnMut(&[Batch<'a>]) -> Result<(), Error> + Send + 's;

/// One line of an assessment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCount {
    /// Index into [`Instance::tables`].
    pub table: usize,
    /// Pages that hold its rows.
    pub pages: u64,
    /// Rows that are live and can be read.
    pub live: u64,
}

/// What a store's pages came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageCounts {
    /// Pages in all.
    pub all: u64,
    /// Pages whose every byte is accounted for.
    pub sound: u64,
    /// Pages with damage that still yield something.
    pub damaged: u64,
    /// Pages that should hold something and can't be read.
    pub lost: u64,
    /// Free pages.
    pub free: u64,
    /// Pages that hang in no tree.
    pub orphaned: u64,
}

/// One store found in the sources.
pub trait Instance: Sync {
    /// What it is, for a person.
    fn what(&self) -> String;

    /// What a person should know of the point at which the store is read, when the user chose one.
    fn notes(&self) -> &[String];

    /// The pages that are not as they were at that point.
    fn stands(&self) -> &[Stand];

    /// What each source was taken for, in the order of the sources.
    fn taken_for(&self) -> Vec<String>;

    /// Its tables.
    fn tables(&self) -> &[Table];

    /// SQL of views, triggers and virtual tables: kind, name and text. Kept, never executed.
    fn kept_sql(&self) -> Vec<(String, String, String)>;

    /// Hands all row versions of the tables that are wanted to `sink`.
    ///
    /// # Errors
    /// What the sink returns.
    fn rows<'s>(&'s self, wanted: &dyn Fn(&Table) -> bool, sink: &mut RowSink<'_, 's>) -> Result<(), Error>;

    /// Damage and anomalies found.
    fn findings(&self) -> Vec<Finding>;

    /// What is missing. Complete once [`Instance::rows`] has run.
    fn losses(&self) -> Vec<Loss>;

    /// Why no row that is gone came back, from what the evidence holds in the place of such rows. Asked when none did.
    fn why_nothing_is_gone(&self) -> Vec<String>;

    /// What the pages came to.
    fn page_counts(&self) -> PageCounts;

    /// Rows by table, without putting them out.
    fn table_counts(&self) -> Vec<TableCount>;
}

/// The sources of a store, the pages of the first in their places.
#[must_use]
pub fn in_place<'s>(store: &dyn Store, sources: &'s [Source]) -> Cow<'s, [Source]> {
    let Some((first, others)) = sources.split_first() else { return Cow::Borrowed(sources) };
    match store.in_place(first, others) {
        Some(first) => Cow::Owned(std::iter::once(first).chain(others.iter().cloned()).collect()),
        None => Cow::Borrowed(sources),
    }
}

/// The store that `source` belongs to, and what it was taken for.
#[must_use]
pub fn recognise(source: &Source) -> Option<(&'static dyn Store, Recognition)> {
    REGISTRY.iter().find_map(|store| Some((*store, store.recognise(source)?)))
}
