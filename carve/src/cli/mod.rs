//! The command line. Only this module knows that there is a terminal.

mod assess;
mod bar;
mod batch;
mod carve;
mod diff;
mod exit;
mod explain;
mod gather;
mod history;
mod history_csv;
mod history_sql;
mod inspect;
mod recover;
mod replay;
mod scan;
mod signals;
mod timeline;
mod undelete;
mod undo;
mod unread;
mod verify;

pub use exit::Exit;

use crate::error::{Error, STANDARD_OUTPUT};
use crate::model::{Goal, Until};
use crate::source::HashChoice;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Recovers the rows of damaged stores, each with its evidence and a confidence.
#[derive(Debug, Parser)]
#[command(name = "mudlark", version, max_term_width = 100)]
#[command(after_help = "\
Exit status: 0 done (verify: sound); 1 sources were read and nothing was found (verify: damage);
2 could not run; 3 done in part.

Sources are opened read-only: not a byte of them changes, and nothing appears beside them.

Start with `mudlark assess SOURCE`: it says what is there, and writes nothing.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is here, how damaged, and how many rows can come back; writes nothing
    #[command(after_help = "Examples:\n  mudlark assess store.db\n  mudlark assess --json store.db\n  \
mudlark assess disk.img\n  mudlark assess disk.img --session disk.session")]
    Assess(assess::Arguments),
    /// Recover rows into a database or JSON lines, with evidence and confidence
    #[command(after_help = "\
Examples:
  mudlark recover store.db -o recovered.db
  mudlark recover store.db --jsonl rows.jsonl
  mudlark recover store.db --schema known.sql -o recovered.db   the table definitions are lost
  mudlark recover store.db --until commit:12 -o before.db       the rows as of a point of `timeline`
  mudlark recover folder -o recovered/                          every store in a folder")]
    Recover(recover::Arguments),
    /// Write out the stores, logs and journals that a raw image holds
    #[command(after_help = "\
Examples:
  mudlark carve --list disk.img                                 what is there; writes nothing
  mudlark carve disk.img -o found/
  mudlark carve --list --json disk.img

Each file is put together page by page, wherever its pages lie, and named after its place:
disk.img@0x1a2000.db. A file is called intact only when the bytes of the image leave one way to put
it together, and all its links hold. Pages that were not found are zeros; manifest.xml (DFXML) and
manifest.jsonl say where each byte comes from, what is missing, and what may lie elsewhere as well.")]
    Carve(carve::Arguments),
    /// Write SQL that adds the deleted rows of a recovered database to a current one
    #[command(after_help = "\
Examples:
  mudlark recover store.db -o recovered.db
  mudlark undelete recovered.db -o restore.sql
  mudlark undelete recovered.db --table orders --min-confidence 0.9 -o orders.sql
  mudlark undelete recovered.db -o - | less

Then, on a copy of the current database first:
  sqlite3 current.db < restore.sql

The SQL only adds rows that are missing: a row whose key is taken, or that is there already, is
skipped, so that to run it twice does no harm. OUT.db is only read, and the evidence not at all.")]
    Undelete(undelete::Arguments),
    /// List the transactions that the logs hold, with what each did to the rows of which table
    #[command(after_help = "\
Examples:
  mudlark timeline store.db
  mudlark timeline store.db --log copy-of-the.db-wal
  mudlark timeline --json store.db

SQLite's logs carry no time: the interval of a commit follows from the times of files and from times
in the rows that it wrote, each with its evidence.")]
    Timeline(timeline::Arguments),
    /// Write a store as it stood at a point that its logs hold
    #[command(after_help = "\
Examples:
  mudlark timeline store.db                                     which points there are
  mudlark replay store.db --until commit:12 -o before.db
  mudlark replay store.db --until time:2026-11-20T12:00:00Z -o before.db
  mudlark replay store.db --until commit:12 --partial -o before.db   some of its pages are lost
  mudlark replay store.db --until last --force-frames -o last.db     the log is damaged
  mudlark replay store.db --until commit:12 -o before.sql       its tables and rows as SQL text
  mudlark replay store.db --undo commit:13 -o undo.sql          take one commit back, and no other
  mudlark replay store.db --undo commit:13..commit:15 -o undo.sql

POINT is commit:N (commit:0 is the state before the first), g<salt1>-<salt2>:N for an older generation,
time:T, last, or checkpoint for the main file as it lies. Of a hot journal last is the state after its
rollback; of one whose header is zeroed commit:0 is the state before its transaction.

A point is refused, with the pages and tables, when a later checkpoint has overwritten what it needs;
with --partial what stands in for these pages is named, and the status is 3.")]
    Replay(replay::Arguments),
    /// List the rows that were added, changed and removed between two points that the logs hold
    #[command(after_help = "\
Examples:
  mudlark diff store.db --from commit:3 --to commit:9
  mudlark diff store.db --from commit:11 --to commit:12 --jsonl changes.jsonl
  mudlark diff store.db --from commit:0 --format csv -o changes.csv
  mudlark diff store.db --from last --to commit:7               what would bring commit:7 back

A row that came and went between the points doesn't show. What a later checkpoint has overwritten is
told as lost, with status 3. JSON lines hold old and new values, and are the form for scripts.")]
    Diff(diff::Arguments),
    /// Show one row through all its versions, with the points where each began and ended
    #[command(after_help = "\
Examples:
  mudlark history store.db --table customers --key 17
  mudlark history store.db --table prices --key 'EUR,2026-11-20'     a key of two columns
  mudlark history store.db --table customers --key email=ada@example.org
  mudlark history store.db --table notes --key rowid=9 --json

Versions that the log dates stand in the order of time. Those in free space, of which nothing tells
when they stood, are listed behind them.")]
    History(history::Arguments),
    /// Say why a recovered row has its confidence: the terms that it is made of
    #[command(after_help = "\
Examples:
  mudlark explain recovered.db --version 812
  mudlark explain recovered.db --version 812 --json

The version is the column _version of T_versions and T_deleted. Each term adds to the log-odds of three
parts: that these cells are of one row, that it is of this table, and that it stood, or is gone, as its
state says. A term above zero speaks for the row, one below zero against it.")]
    Explain(explain::Arguments),
    /// Check structure and hashes: sound or not, and where
    #[command(after_help = "Examples:\n  mudlark verify store.db\n  mudlark verify --json store.db")]
    Verify(verify::Arguments),
    /// Show one page, every byte accounted for
    #[command(after_help = "\
Examples:
  mudlark inspect store.db --page 2
  mudlark inspect store.db --offset 0x2f10")]
    Inspect(inspect::Arguments),
    /// Recover every case of a folder, each by a process of its own, and sum up; scored where a truth.json stands
    #[command(after_help = "\
Examples:
  mudlark batch corpus -o run                                  a killed run goes on with the same command
  mudlark batch corpus -o run --jobs 8 --timeout 60 --max-memory 2G
  mudlark batch corpus -o run2 --baseline run/summary.json     status 1 when something got worse
  mudlark batch corpus -o run --case case-17                   one case alone, as a task engine runs it

A case is a folder with evidence/ and perhaps truth.json and schema.sql, or else a store, an image or a
folder of them. Each has a folder below OUT/cases with its result.json, what its process said, and,
where it is not scored, the recovered databases. A case that crashes, hangs or takes too much memory is
listed, and the status is 3.")]
    Batch(batch::Arguments),
}

/// Options that every command on sources has.
#[derive(Clone, Debug, Args)]
struct Common {
    /// Worker threads [default: one a core]
    #[arg(long, value_name = "N", value_parser = threads)]
    threads: Option<usize>,
    /// No summary and no progress
    #[arg(long, short)]
    quiet: bool,
    /// A hash of the sources to record [default: sha256 for files up to 1 GiB]
    #[arg(long, value_enum)]
    hash: Option<HashChoice>,
    /// DDL that you know, for tables whose definitions are lost
    #[arg(long, value_name = "FILE.sql")]
    schema: Option<PathBuf>,
    /// A log or journal that does not stand beside its database
    #[arg(long, value_name = "FILE")]
    log: Vec<PathBuf>,
}

/// The point at which rows are wanted.
#[derive(Clone, Debug, Args)]
struct Reach {
    /// The point at which rows are live: commit:N, g<salt1>-<salt2>:N, time:T, last or checkpoint, as `mudlark timeline`
    /// lists them [default: the last commit]
    #[arg(long, value_name = "POINT")]
    until: Option<Until>,
    /// Give a point also where pages that it needs are lost, with those pages from the best other source, and say which
    #[arg(long, requires = "until")]
    partial: bool,
    /// Go on behind damaged frames of a log, over those that are proved only by the one before them
    #[arg(long, requires = "until")]
    force_frames: bool,
}

impl Reach {
    fn goal(&self) -> Option<Goal> {
        let (partial, force_frames) = (self.partial, self.force_frames);
        self.until.map(|until| Goal { until, partial, force_frames })
    }
}

/// Bytes of a worker's stack: as many as a main thread has, as a recovery runs on a worker.
const STACK: usize = 8 << 20;

/// Runs the command.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Exit::CouldNotRun.into() } else { Exit::Done.into() };
        }
    };
    let threads = match &cli.command {
        Command::Assess(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Carve(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Recover(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Replay(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Diff(arguments) => arguments.common.threads.unwrap_or(0),
        Command::History(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Timeline(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Verify(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Inspect(arguments) => arguments.common.threads.unwrap_or(0),
        Command::Batch(arguments) => arguments.threads.unwrap_or(1),
        Command::Undelete(_) | Command::Explain(_) => 1,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(STACK);
    if let Err(error) = pool.build_global() {
        eprintln!("mudlark: threads can't be started: {error}");
        return Exit::CouldNotRun.into();
    }
    signals::watch();
    let done = match &cli.command {
        Command::Assess(arguments) => assess::run(arguments),
        Command::Carve(arguments) => carve::run(arguments),
        Command::Recover(arguments) => recover::run(arguments),
        Command::Replay(arguments) => replay::run(arguments),
        Command::Diff(arguments) => diff::run(arguments),
        Command::History(arguments) => history::run(arguments),
        Command::Timeline(arguments) => timeline::run(arguments),
        Command::Verify(arguments) => verify::run(arguments),
        Command::Inspect(arguments) => inspect::run(arguments),
        Command::Batch(arguments) => batch::run(arguments),
        Command::Undelete(arguments) => undelete::run(arguments),
        Command::Explain(arguments) => explain::run(arguments),
    };
    match done {
        Ok(exit) => exit.into(),
        Err(error) => exit::of_error(&error).into(),
    }
}

/// Prints data. A reader that has seen enough ends the run without a word.
fn put(text: &str) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let path = PathBuf::from(STANDARD_OUTPUT);
    written.map_err(|error| Error::Output { path, what: "can't be written", error })
}

/// Threads beyond this take longer to start than they save.
const MOST_THREADS: usize = 1024;

/// A number of threads.
fn threads(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MOST_THREADS).contains(number));
    number.ok_or_else(|| format!("{text} is no number of threads: give 1 to {MOST_THREADS}"))
}
