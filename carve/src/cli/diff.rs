//! `mudlark diff`.

use super::gather::{self, Found};
use super::{Common, Exit, unread};
use crate::diff::{self, Counts, Format, Named, Written};
use crate::error::Error;
use crate::model::{Between, Until};
use crate::sinks::{self, Out, Target};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The point from which: commit:N, g<salt1>-<salt2>:N, time:T, checkpoint or last
    #[arg(long, value_name = "POINT")]
    from: Until,
    /// The point to which; an earlier one gives what would take the changes back
    #[arg(long, value_name = "POINT", default_value = "last")]
    to: Until,
    /// The form of the rows [default: a summary with the first rows]
    #[arg(long, value_enum)]
    format: Option<Form>,
    /// Where the rows go; - for standard output
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    output: PathBuf,
    /// The same as --format jsonl -o FILE
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["format", "output"])]
    jsonl: Option<PathBuf>,
    /// Also write SQL for what is left otherwise
    #[arg(long, value_name = "WHAT", value_enum)]
    allow: Vec<Allow>,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

/// A form of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A JSON object a line; this form is stable
    Jsonl,
    /// A line for each cell that differs
    Csv,
    /// Statements that make the second point out of the first, all of them or none
    Sql,
}

/// What SQL leaves unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Allow {
    /// Rows for which triggers fire: what they change is not checked
    Triggers,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let (format, output) = match (&arguments.jsonl, arguments.format) {
        (Some(jsonl), _) => (Some(Format::Jsonl), jsonl),
        (None, Some(Form::Jsonl)) => (Some(Format::Jsonl), &arguments.output),
        (None, Some(Form::Csv)) => (Some(Format::Csv), &arguments.output),
        (None, Some(Form::Sql)) => {
            (Some(Format::Sql { triggers: arguments.allow.contains(&Allow::Triggers) }), &arguments.output)
        }
        (None, None) => (None, &arguments.output),
    };
    let gathered = gather::gather(&arguments.sources, &arguments.common, "diff")?;
    gather::report(&gathered);
    let Some(found) = gather::only(&gathered, "diff")? else {
        return Ok(gather::nothing_found(&gathered.refused));
    };
    let target = target(output, &arguments.sources, found, arguments.force)?;
    let difference = found.store.difference(&found.sources, [arguments.from, arguments.to])?;
    let between = difference.between();
    let named = Named { store: found.store.name(), instance: &found.name };
    let mut out = Out::open(&target)?;
    let written = match format {
        Some(format) => {
            let written = diff::write(&*difference, named, format, &mut |bytes| out.put(bytes))?;
            if !arguments.common.quiet {
                eprint!("{}", diff::summary(between, named, &written.counts));
                for left in &written.left {
                    eprintln!("  left    {}", diff::printable(left));
                }
            }
            written
        }
        None => {
            let (text, counts) = diff::text(&*difference, named)?;
            out.put(text.as_bytes())?;
            Written { counts, left: Vec::new() }
        }
    };
    out.finish()?;
    for note in &between.notes {
        eprintln!("mudlark: {note}");
    }
    let all_read = unread::tell(&found.sources) && gathered.refused.is_empty();
    Ok(status(between, &written, all_read))
}

fn status(between: &Between, written: &Written, all_read: bool) -> Exit {
    if !between.is_known() || !all_read || !written.left.is_empty() {
        Exit::InPart
    } else if between.schema.is_empty() && written.counts.iter().all(Counts::is_empty) {
        Exit::Nothing
    } else {
        Exit::Done
    }
}

/// The output, unless it would overwrite a source or be taken for a part of one.
pub(super) fn target(
    output: &Path,
    sources: &[PathBuf],
    found: &Found,
    force: bool,
) -> Result<Target, Error> {
    if output == Path::new("-") {
        return Ok(Target::Stdout);
    }
    let refused =
        |reason: &str| Err(Error::OutputRefused { path: output.to_owned(), reason: reason.to_owned() });
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return refused("its folder does not exist; make it first");
    }
    let inside =
        |source: &&PathBuf| source.is_dir() && sinks::resolve(parent).starts_with(sinks::resolve(source));
    if sources.iter().any(|source| inside(&source)) {
        return refused("lies inside a source; write somewhere else");
    }
    let taken = found.sources.first().map(|source| found.store.sidecars(source.path())).unwrap_or_default();
    sinks::check(output, &found.sources, &taken, force)?;
    Ok(Target::File(output.to_owned()))
}
