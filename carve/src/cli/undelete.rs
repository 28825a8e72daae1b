//! `mudlark undelete`.

use super::Exit;
use super::bar::Bar;
use super::recover::printable;
use crate::error::Error;
use crate::sinks::{self, Out, Target};
use crate::source::Source;
use crate::undelete::{self, Outcome, Recovered, Request};
use crate::words::grouped_count;
use std::fmt::Write;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A database that `mudlark recover` wrote
    #[arg(value_name = "OUT.db")]
    recovered: PathBuf,
    /// The SQL to write; - for standard output
    #[arg(short, long, value_name = "FILE.sql|-")]
    output: PathBuf,
    /// Only this table; may be given more than once [default: all tables whose names are known]
    #[arg(long, value_name = "T")]
    table: Vec<String>,
    /// Leave out rows below this confidence; they are counted in the summary
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    min_confidence: f64,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    /// No summary and no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let least = arguments.min_confidence;
    if !(0.0..=1.0).contains(&least) {
        return Err(Error::Usage(format!("--min-confidence {least}: a probability from 0 to 1")));
    }
    let recovered = Recovered::open(&arguments.recovered)?;
    let target = if arguments.output == Path::new("-") {
        Target::Stdout
    } else {
        check_output(&arguments.output, &recovered, arguments.force)?;
        Target::File(arguments.output.clone())
    };
    let request = Request { tables: arguments.table.clone(), min_confidence: least };
    let mut out = Out::open(&target)?;
    let bar = Bar::new(arguments.quiet);
    let outcome = undelete::undelete(&recovered, &request, &bar, &mut |bytes| out.put(bytes))?;
    out.finish()?;
    drop(bar);
    if !arguments.quiet {
        eprint!("{}", summary(&outcome, &arguments.output, least));
    }
    Ok(if outcome.rows() > 0 { Exit::Done } else { Exit::Nothing })
}

/// Refuses an output that would replace the recovered database, its evidence, or a file that exists.
fn check_output(output: &Path, recovered: &Recovered, force: bool) -> Result<(), Error> {
    let refused =
        |reason: &str| Err(Error::OutputRefused { path: output.to_owned(), reason: reason.to_owned() });
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
    if !parent.unwrap_or(Path::new(".")).is_dir() {
        return refused("its folder does not exist; make it first");
    }
    let resolved = sinks::resolve(output);
    for path in recovered.evidence()? {
        if std::iter::once(&path)
            .chain(&undelete::sidecars(&path))
            .any(|path| sinks::resolve(path) == resolved)
        {
            return refused("the output would overwrite the evidence; give another name");
        }
    }
    let source = Source::open(recovered.path())?;
    let taken = undelete::sidecars(&sinks::resolve(recovered.path()));
    sinks::check(output, &[source], &taken, force)
}

fn summary(outcome: &Outcome, output: &Path, least: f64) -> String {
    let mut text = String::new();
    let width = outcome.tables.iter().map(|table| table.name.chars().count()).max().unwrap_or(0).min(40);
    for table in &outcome.tables {
        let _ = writeln!(text, "  {:width$}  {}", printable(&table.name), undelete::describe(table, least));
    }
    if outcome.rows() == 0 {
        text.push_str("no deleted row to bring back\n");
    }
    let _ = writeln!(
        text,
        "written   {}: {} of {}",
        if output == Path::new("-") { "standard output".to_owned() } else { output.display().to_string() },
        grouped_count(outcome.rows(), "row"),
        grouped_count(outcome.written_tables(), "table"),
    );
    text
}
