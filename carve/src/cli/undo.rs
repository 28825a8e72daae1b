//! `mudlark replay --undo`.

use super::gather::Found;
use super::recover::printable;
use super::{Exit, diff, replay, unread};
use crate::error::Error;
use crate::model::Until;
use crate::sinks::Out;
use crate::undo::{self, Allowed, Outcome};
use crate::words::grouped_count;
use std::fmt::Write;
use std::path::Path;
use std::str::FromStr;

/// The first and the last commit to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: Until,
    last: Until,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        Ok(Self { first: first.parse()?, last: last.parse()? })
    }
}

/// What an undo refuses unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Allow {
    /// The commits changed definitions: these stay as they are
    Schema,
    /// One of the commits was a VACUUM
    Vacuum,
    /// Triggers fire for the rows that are taken back: what they change is not checked
    Triggers,
}

pub(super) fn run(arguments: &replay::Arguments, found: &Found, range: Range) -> Result<Exit, Error> {
    let output = arguments.output.as_path();
    let target = diff::target(output, std::slice::from_ref(&arguments.source), found, arguments.force)?;
    let allows = |what| arguments.allow.contains(&what);
    let allowed = Allowed {
        schema: allows(Allow::Schema),
        vacuum: allows(Allow::Vacuum),
        triggers: allows(Allow::Triggers),
    };
    let undoable = found.store.undoable(&found.sources, [range.first, range.last])?;
    let mut out = Out::open(&target)?;
    let outcome = undo::write(&undoable, allowed, &found.name, &mut |bytes| out.put(bytes))?;
    unread::refuse(&found.sources, output)?;
    out.finish()?;
    if !arguments.common.quiet {
        eprint!("{}", summary(&outcome, output));
    }
    Ok(match (outcome.rows(), outcome.left()) {
        (0, _) => Exit::Nothing,
        (_, 0) => Exit::Done,
        _ => Exit::InPart,
    })
}

/// Rows that a summary names; a person reads no more.
const MOST_NAMED: usize = 10;

fn summary(outcome: &Outcome, output: &Path) -> String {
    let mut text = String::new();
    for table in &outcome.tables {
        let _ = writeln!(text, "  {}", printable(&undo::describe(table)));
        for (row, reason) in table.left.iter().take(MOST_NAMED) {
            let _ = writeln!(text, "    left  {}: {reason}", printable(row));
        }
        if table.left.len() > MOST_NAMED {
            text.push_str("    and others, that the SQL names\n");
        }
    }
    for note in &outcome.notes {
        let _ = writeln!(text, "  note  {}", printable(note));
    }
    if outcome.rows() == 0 {
        text.push_str("no row to take back\n");
    }
    let to =
        if output == Path::new("-") { "standard output".to_owned() } else { output.display().to_string() };
    let _ = writeln!(text, "written   {to}: {}", grouped_count(outcome.rows(), "row"));
    text
}
