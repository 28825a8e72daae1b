//! `mudlark carve`.

use super::bar::Bar;
use super::recover::printable;
use super::scan::Scan;
use super::{Common, Exit, signals, unread};
use crate::carved::{self, DFXML, LINES};
use crate::error::Error;
use crate::model::{Part, PartRole, Standing};
use crate::progress::Progress;
use crate::scan::Index;
use crate::sinks;
use crate::source::Source;
use crate::stores::REGISTRY;
use crate::words::{grouped, grouped_count};
use rayon::prelude::*;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A raw image
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// The folder to write to
    #[arg(short, long, value_name = "DIR", required_unless_present = "list")]
    output: Option<PathBuf>,
    /// List what is there, and write nothing
    #[arg(long, conflicts_with = "output")]
    list: bool,
    /// The list as JSON lines, as in the manifest
    #[arg(long, requires = "list")]
    json: bool,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    scan: Scan,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let image = Source::open(&arguments.image)?;
    if let Some(output) = &arguments.output {
        check_folder(output, &image, arguments.force)?;
    }
    let bar = Bar::new(arguments.common.quiet);
    let index = arguments.scan.index(&image, &bar)?;
    let parts = gather(&image, &index, &bar)?;
    let names = carved::names(image.name(), &parts);
    if let Some(output) = &arguments.output {
        write(&image, &parts, &names, output, arguments.force, &bar)?;
    }
    drop(bar);
    if arguments.json {
        super::put(&lines(&parts, &names))?;
    } else if !arguments.common.quiet {
        super::put(&list(&image, &parts, &names, arguments.output.as_deref()))?;
    }
    Ok(if parts.is_empty() { Exit::Nothing } else { Exit::Done })
}

/// What all stores find in an image, in the order of the registry and of the places.
pub(super) fn gather(image: &Source, index: &Index, progress: &dyn Progress) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    for store in REGISTRY {
        let before = parts.len();
        let found = store.gather(image, index.of(store.name()), progress)?;
        parts.extend(found.into_iter().map(|part| Part { of: part.of.map(|of| of + before), ..part }));
    }
    tell_unread(image, &mut parts);
    Ok(parts)
}

/// Says what could not be read of an image, and marks the files in which it lies.
fn tell_unread(image: &Source, parts: &mut [Part]) {
    let sum = |unread: &[(u64, u64)]| unread.iter().map(|(_, length)| length).sum::<u64>();
    if unread::tell(std::slice::from_ref(image)) {
        return;
    }
    for part in parts {
        let within = sum(&image.part(&part.extents, part.page_size).holes());
        if within > 0 {
            part.standing = Standing::Damaged;
            part.reasons.push(format!("{} of it can't be read", grouped_count(within, "byte")));
        }
    }
}

/// Refuses a folder before any work is done.
fn check_folder(output: &Path, image: &Source, force: bool) -> Result<(), Error> {
    let refused =
        |reason: &str| Err(Error::OutputRefused { path: output.to_owned(), reason: reason.to_owned() });
    if output.exists() && !output.is_dir() {
        return refused("is no folder; name one that is to be made, or that is empty");
    }
    for name in [DFXML, LINES] {
        sinks::check(&output.join(name), std::slice::from_ref(image), &[], force)?;
    }
    Ok(())
}

fn write(
    image: &Source,
    parts: &[Part],
    names: &[String],
    output: &Path,
    force: bool,
    progress: &dyn Progress,
) -> Result<(), Error> {
    for name in names {
        sinks::check(&output.join(name), std::slice::from_ref(image), &[], force)?;
    }
    let failed = |error| Error::Output { path: output.to_owned(), what: "can't be made", error };
    fs::create_dir_all(output).map_err(failed)?;
    progress.stage("writing files", parts.iter().map(|part| part.length).sum());
    parts.par_iter().zip(names).try_for_each(|(part, name)| {
        if progress.interrupted() {
            return Err(signals::interruption());
        }
        carved::write(image.bytes(), part, &output.join(name))?;
        for (from, length) in part.extents.iter().filter_map(|extent| Some((extent.offset?, extent.length))) {
            image.release(from as usize..(from + length) as usize);
        }
        progress.advance(part.length);
        Ok(())
    })?;
    let path = image.path().display().to_string();
    let xml = carved::dfxml(&path, image.bytes().len() as u64, parts, names);
    carved::put(&output.join(DFXML), |file| file.write_all(xml.as_bytes()))?;
    carved::put(&output.join(LINES), |file| file.write_all(lines(parts, names).as_bytes()))
}

fn lines(parts: &[Part], names: &[String]) -> String {
    let of = |part: &Part| part.of.and_then(|of| names.get(of)).map(String::as_str);
    parts.iter().zip(names).map(|(part, name)| carved::line(part, name, of(part))).collect()
}

fn list(image: &Source, parts: &[Part], names: &[String], output: Option<&Path>) -> String {
    let mut text = String::new();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (part, name) in parts.iter().zip(names) {
        let _ = write!(text, "{:width$}  {:9}  {}", printable(name), part.standing.name(), part.what);
        let runs = part.extents.iter().filter(|extent| extent.offset.is_some()).count();
        if runs > 1 {
            let _ = write!(text, ", in {}", grouped_count(runs as u64, "run"));
        }
        if !part.reasons.is_empty() {
            let _ = write!(text, ": {}", part.reasons.join("; "));
        }
        text.push('\n');
    }
    let databases: Vec<&Part> = parts.iter().filter(|part| part.role == PartRole::Database).collect();
    let sum = |standing| databases.iter().filter(|part| part.standing == standing).count() as u64;
    let _ = writeln!(
        text,
        "found     {} in {}: {} intact, {} ambiguous, {} damaged",
        grouped_count(databases.len() as u64, "database"),
        image.name(),
        grouped(sum(Standing::Intact)),
        grouped(sum(Standing::Ambiguous)),
        grouped(sum(Standing::Damaged))
    );
    if let Some(output) = output {
        let _ = writeln!(text, "written   {}, with {DFXML} and {LINES}", output.display());
    }
    text
}
