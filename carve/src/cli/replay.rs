//! `mudlark replay`.

use super::bar::Bar;
use super::gather::{self, Found};
use super::recover::printable;
use super::{Common, Exit, undo, unread};
use crate::error::Error;
use crate::model::{Goal, Stand, Until};
use crate::recover::{self, Request};
use crate::sinks::{self, Pending, Target};
use crate::source::{HashChoice, Source};
use crate::words::{count, grouped_count};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The database
    #[arg(value_name = "SOURCE")]
    pub(super) source: PathBuf,
    /// The point: commit:N, g<salt1>-<salt2>:N, time:T, last, or checkpoint for the main file as it lies
    #[arg(long, value_name = "POINT", required_unless_present = "undo")]
    until: Option<Until>,
    /// Write SQL that takes back what these commits did to rows of a current database: FROM..TO, or one
    #[arg(long, value_name = "FROM..TO", conflicts_with_all = ["until", "partial", "force_frames"])]
    undo: Option<undo::Range>,
    /// Undo although the commits did more than change rows; may be given more than once
    #[arg(long, value_name = "WHAT", value_enum, requires = "undo")]
    pub(super) allow: Vec<undo::Allow>,
    /// The database to write, or its tables and rows as SQL text where the name ends with .sql; with --undo the SQL, - for
    /// standard output
    #[arg(short, long, value_name = "OUT.db|OUT.sql")]
    pub(super) output: PathBuf,
    /// Give a point also where pages that it needs are lost, with those pages from the best other source, and say which
    #[arg(long)]
    partial: bool,
    /// Go on behind damaged frames of a log, over those that are proved only by the one before them
    #[arg(long)]
    force_frames: bool,
    /// Replace an output that exists
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let gathered = gather::gather(std::slice::from_ref(&arguments.source), &arguments.common, "replay")?;
    gather::report(&gathered);
    let [found] = gathered.stores.as_slice() else {
        if gathered.stores.is_empty() {
            return Ok(gather::nothing_found(&gathered.refused));
        }
        let names: Vec<&str> = gathered.stores.iter().map(|found| found.name.as_str()).collect();
        return Err(Error::Usage(format!("replay takes one store; found {}", names.join(", "))));
    };
    let Some(until) = arguments.until else {
        let Some(range) = arguments.undo else {
            return Err(Error::Usage("give --until POINT or --undo FROM..TO".to_owned()));
        };
        let done = undo::run(arguments, found, range)?;
        return Ok(if gathered.refused.is_empty() { done } else { Exit::InPart });
    };
    check(arguments, found)?;
    let goal = Goal { until, partial: arguments.partial, force_frames: arguments.force_frames };
    let as_sql = is_sql(&arguments.output);
    // The SQL is read from the store as it stood, which goes again.
    let path = if as_sql { arguments.output.with_extension("sql.db") } else { arguments.output.clone() };
    let pending = Pending::new(&path)?;
    let failed = |error| Error::Output { path: arguments.output.clone(), what: "can't be written", error };
    let file: File = OpenOptions::new().write(true).open(pending.temporary()).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let replayed = found.store.replay(&found.sources, goal, &arguments.output, &mut out)?;
    out.flush().map_err(failed)?;
    drop(out);
    let whole = if arguments.partial {
        unread::tell(&found.sources)
    } else {
        unread::refuse(&found.sources, &arguments.output)?;
        true
    };
    if as_sql {
        write_sql(arguments, found, pending.temporary())?;
    } else {
        pending.keep()?;
    }
    if !arguments.common.quiet {
        let what = match replayed.point {
            None => "the main file as it lies, without its log".to_owned(),
            Some(point) => format!(
                "as of {point}: {}, {} of them from the {}; {} left out",
                grouped_count(replayed.pages, "page"),
                replayed.from_log,
                replayed.held_by,
                count(replayed.behind, "later commit")
            ),
        };
        eprintln!("written   {}: {what}", arguments.output.display());
        eprint!("{}", stands(&replayed.stands));
    }
    for note in &replayed.notes {
        eprintln!("mudlark: {note}");
    }
    let whole = whole && gathered.refused.is_empty() && replayed.stands.is_empty();
    Ok(if whole { Exit::Done } else { Exit::InPart })
}

/// Whether a name means SQL text.
fn is_sql(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("sql"))
}

/// Writes the rows of a store as SQL text.
fn write_sql(arguments: &Arguments, found: &Found, store: &Path) -> Result<(), Error> {
    let request = Request {
        min_confidence: 0.0,
        hash: HashChoice::None,
        options: gather::options(&arguments.common)?,
        arguments: Vec::new(),
        table: None,
    };
    let sink = sinks::open("sql", &Target::File(arguments.output.clone()))?;
    let bar = Bar::new(arguments.common.quiet);
    let sources = [Source::open(store)?];
    let outcome = recover::recover(found.store, &found.name, &sources, &request, vec![sink], &bar)?;
    drop(bar);
    let partial: u64 = outcome.tables.iter().map(|table| table.partial).sum();
    if partial > 0 {
        let rows = grouped_count(partial, "row");
        eprintln!("mudlark: {rows} damaged in part: cells that are lost are NULL in the SQL");
    }
    Ok(())
}

/// The pages that are not as they were at the point, for a person.
pub(super) fn stands(stands: &[Stand]) -> String {
    let mut text = String::new();
    if !stands.is_empty() {
        let pages = grouped_count(stands.len() as u64, "page");
        let _ = writeln!(text, "partial   {pages} not as of this point:");
    }
    for stand in stands {
        let table = stand.table.as_deref().map_or_else(|| "no table that is known".to_owned(), printable);
        let _ = writeln!(text, "          page {} of {table}: {}", stand.page, stand.by);
    }
    text
}

/// Refuses an output that would overwrite a source or be taken for a part of one, and one beside which a log stands that
/// SQLite would take for the output's own.
fn check(arguments: &Arguments, found: &Found) -> Result<(), Error> {
    let output = arguments.output.as_path();
    let refused = |reason: String| Err(Error::OutputRefused { path: output.to_owned(), reason });
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return refused("its folder does not exist; make it first".to_owned());
    }
    if arguments.source.is_dir() && sinks::resolve(parent).starts_with(sinks::resolve(&arguments.source)) {
        return refused("lies inside a source; write somewhere else".to_owned());
    }
    let taken = found.sources.first().map(|source| found.store.sidecars(source.path())).unwrap_or_default();
    sinks::check(output, &found.sources, &taken, arguments.force)?;
    match found.store.sidecars(output).into_iter().find(|sidecar| sidecar.exists()) {
        Some(sidecar) => refused(format!(
            "{} stands beside it and would be taken for a part of it; give another name",
            sidecar.display()
        )),
        None => Ok(()),
    }
}
