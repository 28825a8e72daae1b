//! `mudlark recover`.

use super::bar::Bar;
use super::carve;
use super::gather::{self, Found, Gathered, Image, Images};
use super::replay::stands;
use super::scan::Scan;
use super::{Common, Exit, Reach};
use crate::carved;
use crate::error::Error;
use crate::model::{LossKind, Part, PartRole, State};
use crate::progress::Progress;
use crate::recover::{self, Outcome, Request};
use crate::sinks::{self, Keepers, Sink, Target};
use crate::stores::{Options, REGISTRY, Recognition};
use crate::words::{grouped, grouped_count};
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, folders of them, or raw images
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The database to write; a name that ends with / is a folder with a database for each store
    #[arg(short, long, value_name = "OUT.db")]
    output: Option<PathBuf>,
    /// Row versions as JSON lines, to a file or - for standard output
    #[arg(long, value_name = "FILE|-")]
    jsonl: Option<PathBuf>,
    /// Leave out rows below this confidence; they are counted in the summary
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    min_confidence: f64,
    #[command(flatten)]
    reach: Reach,
    /// Only the store with this name, of several
    #[arg(long, value_name = "ID")]
    instance: Option<String>,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    scan: Scan,
    #[command(flatten)]
    pub(super) common: Common,
}

impl Arguments {
    /// The arguments of a run over one case, which replaces what an earlier one left.
    pub(super) fn for_case(
        source: &Path,
        output: Option<PathBuf>,
        jsonl: Option<PathBuf>,
        min_confidence: f64,
        common: Common,
    ) -> Self {
        Self {
            sources: vec![source.to_owned()],
            output,
            jsonl,
            min_confidence,
            reach: Reach { until: None, partial: false, force_frames: false },
            instance: None,
            force: true,
            scan: Scan::default(),
            common,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    if arguments.output.is_none() && arguments.jsonl.is_none() {
        let text = "nowhere to write: give -o OUT.db, or --jsonl FILE";
        return Err(Error::Usage(text.to_owned()));
    }
    if !(0.0..=1.0).contains(&arguments.min_confidence) {
        let text = format!("--min-confidence {}: a probability from 0 to 1", arguments.min_confidence);
        return Err(Error::Usage(text));
    }
    let names = (&arguments.output, &arguments.jsonl);
    if let (Some(output), Some(jsonl)) = names
        && sinks::resolve(output) == sinks::resolve(jsonl)
    {
        return Err(Error::OutputRefused {
            path: output.clone(),
            reason: "-o and --jsonl name the same file; give each its own".to_owned(),
        });
    }
    let options = Options { goal: arguments.reach.goal(), ..gather::options(&arguments.common)? };
    let bar = Bar::new(arguments.common.quiet);
    let images = Images { scan: &arguments.scan, progress: &bar };
    let mut gathered = gather::gather_with(&arguments.sources, &arguments.common, "recover", Some(images))?;
    for image in std::mem::take(&mut gathered.images) {
        let found = of_image(&image, &bar)?;
        if found.is_empty() {
            let reason = "no store found in it, though it was looked through as an image".to_owned();
            gathered.refused.push(Error::NotAStore { path: image.source.path().to_owned(), reason });
        }
        gathered.stores.extend(found);
    }
    if let Some(id) = &arguments.instance {
        gathered.stores.retain(|found| found.name == *id);
        if gathered.stores.is_empty() {
            return Err(Error::Usage(format!("no store is named {id}; see `mudlark assess`")));
        }
    }
    let folder = arguments.output.as_deref().filter(|output| is_folder_name(output));
    if gathered.stores.len() > 1 && folder.is_none() && arguments.output.is_some() {
        gather::report(&gathered);
        eprintln!(
            "mudlark: {} stores found; give -o DIR/ for all, or one with --instance:",
            gathered.stores.len()
        );
        for found in &gathered.stores {
            eprintln!("  {}  {}", found.name, found.recognition.what);
        }
        return Ok(Exit::CouldNotRun);
    }
    check_outputs(arguments, &gathered, folder)?;
    gather::report(&gathered);
    if gathered.stores.is_empty() {
        return Ok(gather::nothing_found(&gathered.refused));
    }
    let request = Request {
        min_confidence: arguments.min_confidence,
        hash: arguments.common.hash.unwrap_or_default(),
        options,
        arguments: std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect(),
        table: None,
    };
    if let Some(folder) = folder {
        fs::create_dir_all(folder).map_err(|error| Error::Output {
            path: folder.to_owned(),
            what: "can't be made",
            error,
        })?;
    }
    let names = file_names(gathered.stores.iter().map(|found| found.name.as_str()));
    let (mut rows, mut index, mut partial, mut interrupted) = (0, Vec::new(), false, false);
    let keepers = folder.map(|_| Keepers::new());
    for (number, found) in gathered.stores.iter().enumerate() {
        let output = match (folder, names.get(number)) {
            (Some(folder), Some(name)) => Some(folder.join(name)),
            _ => arguments.output.clone(),
        };
        let mut outputs: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(path) = &output {
            let target = match keepers.as_ref().and_then(Keepers::keeper) {
                Some(keeper) => Target::OneOfMany(path.clone(), keeper),
                None => Target::File(path.clone()),
            };
            outputs.push(sinks::open("database", &target)?);
        }
        if let Some(jsonl) = &arguments.jsonl {
            outputs.push(sinks::open("jsonl", &jsonl_target(jsonl, number))?);
        }
        let outcome = recover::recover(found.store, &found.name, &found.sources, &request, outputs, &bar);
        if matches!(outcome, Err(Error::Interrupted)) && folder.is_some() {
            interrupted = true;
            break;
        }
        let outcome = outcome?;
        rows += outcome.rows();
        partial |= !outcome.stands.is_empty();
        for note in &outcome.notes {
            eprintln!("mudlark: {}: {note}", found.name);
        }
        let file = output.as_ref().and_then(|path| path.file_name());
        index.push(json!({
            "instance": found.name,
            "store": found.store.name(),
            "what": outcome.what,
            "database": file.map(|name| name.to_string_lossy()),
            "rows": outcome.rows(),
        }));
        if !arguments.common.quiet {
            show(found, &outcome, output.as_deref(), arguments)?;
        }
    }
    keepers.map_or(Ok(()), Keepers::finish)?;
    if let Some(folder) = folder {
        if interrupted && index.is_empty() {
            return Err(Error::Interrupted);
        }
        write_index(folder, &index)?;
        if interrupted {
            return Err(Error::FolderInterrupted { done: index.len() });
        }
    }
    Ok(if rows == 0 {
        Exit::Nothing
    } else if gathered.refused.is_empty() && !partial {
        Exit::Done
    } else {
        Exit::InPart
    })
}

/// The stores of an image, each with its logs, and what belongs to none.
fn of_image(image: &Image, progress: &dyn Progress) -> Result<Vec<Found>, Error> {
    let parts = carve::gather(&image.source, &image.index, progress)?;
    let names = carved::names(image.source.name(), &parts);
    let several = parts.iter().filter(|part| part.role == PartRole::Orphans).count() > 1;
    let source = |part: &Part| match part.role {
        PartRole::Log | PartRole::Journal => image.source.log(part),
        PartRole::Database | PartRole::Orphans => image.source.database(part),
    };
    let mut found = Vec::new();
    for (number, (part, name)) in parts.iter().zip(&names).enumerate() {
        let (name, logs) = match part.role {
            PartRole::Database => (name.clone(), parts.iter().filter(|log| log.of == Some(number)).collect()),
            PartRole::Log | PartRole::Journal if part.of.is_some() => continue,
            PartRole::Log | PartRole::Journal => (name.clone(), Vec::new()),
            PartRole::Orphans if several => (format!("orphans-{}", part.page_size), Vec::new()),
            PartRole::Orphans => ("orphans".to_owned(), Vec::new()),
        };
        let Some(store) = REGISTRY.iter().find(|store| store.name() == part.store) else { continue };
        found.push(Found {
            store: *store,
            recognition: Recognition { what: part.what.clone(), readable: true, temp: false },
            name,
            sources: std::iter::once(part).chain(logs).map(source).collect(),
        });
    }
    Ok(found)
}

/// Refuses outputs before any work is done.
fn check_outputs(arguments: &Arguments, gathered: &Gathered, folder: Option<&Path>) -> Result<(), Error> {
    let refused = |path: &Path, reason: &str| {
        Err(Error::OutputRefused { path: path.to_owned(), reason: reason.to_owned() })
    };
    let mut outputs = Vec::new();
    for number in 0..gathered.stores.len() {
        if let Some(jsonl) = &arguments.jsonl
            && let Target::File(path) = jsonl_target(jsonl, number)
        {
            outputs.push(path);
        }
    }
    match folder {
        Some(folder) => {
            let names = file_names(gathered.stores.iter().map(|found| found.name.as_str()));
            outputs.extend(names.iter().map(|name| folder.join(name)));
            outputs.push(folder.join(INDEX));
        }
        None => outputs.extend(arguments.output.clone()),
    }
    let folders: Vec<PathBuf> = arguments
        .sources
        .iter()
        .filter(|source| source.is_dir())
        .map(|source| sinks::resolve(source))
        .collect();
    let sources = gathered.stores.iter().flat_map(|found| &found.sources);
    let mains = gathered.stores.iter().filter_map(|found| Some((found, found.sources.first()?)));
    let taken = mains.flat_map(|(found, main)| found.store.sidecars(main.path()));
    let check = sinks::Check::new(sources, taken, arguments.force);
    for output in &outputs {
        let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        if folder.is_none() && !parent.is_dir() {
            return refused(output, "its folder does not exist; make it first");
        }
        if folders.iter().any(|source| sinks::resolve(parent).starts_with(source)) {
            return refused(output, "lies inside a source; write somewhere else");
        }
        check.output(output)?;
    }
    Ok(())
}

/// Lists the databases of an output folder.
const INDEX: &str = "index.json";

/// Whether a name means a folder: it ends with a slash.
fn is_folder_name(path: &Path) -> bool {
    path.to_string_lossy().ends_with('/')
}

/// The names of the databases of an output folder: each store's name as one part of a path, with `.db` at its end. A
/// name that is taken gets a number, and so does one that had to be changed.
fn file_names<'n>(stores: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::new();
    for (number, name) in stores.enumerate() {
        let plain: String = name
            .chars()
            .map(|c| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@') { c } else { '_' })
            .collect();
        let plain = plain.trim_start_matches('.');
        let mut stem = plain.strip_suffix(".db").unwrap_or(plain).to_owned();
        if plain != name {
            stem = format!("{stem}.{number}");
        }
        // Some file systems don't tell capitals.
        while !taken.insert(stem.to_lowercase()) {
            stem = format!("{stem}.{number}");
        }
        names.push(format!("{stem}.db"));
    }
    names
}

/// Several stores write one file of JSON lines each, but share standard output.
fn jsonl_target(path: &Path, number: usize) -> Target {
    if path == Path::new("-") {
        Target::Stdout
    } else if number == 0 {
        Target::File(path.to_owned())
    } else {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{number}"));
        Target::File(path.with_file_name(name))
    }
}

fn write_index(folder: &Path, index: &[serde_json::Value]) -> Result<(), Error> {
    let pending = sinks::Pending::new(&folder.join(INDEX))?;
    let text = format!("{:#}\n", json!({"format": 1, "stores": index}));
    fs::write(pending.temporary(), text).map_err(|error| Error::Output {
        path: pending.path().to_owned(),
        what: "can't be written",
        error,
    })?;
    pending.keep()
}

/// Prints the summary: to standard output, unless the rows go there.
fn show(found: &Found, outcome: &Outcome, output: Option<&Path>, arguments: &Arguments) -> Result<(), Error> {
    let text = summary(found, outcome, output, arguments.min_confidence);
    if arguments.jsonl.as_deref() == Some(Path::new("-")) {
        eprint!("{text}");
        return Ok(());
    }
    super::put(&text)
}

fn summary(found: &Found, outcome: &Outcome, output: Option<&Path>, least: f64) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", found.name, outcome.what);
    let tables: Vec<_> = outcome.tables.iter().filter(|table| !table.internal).collect();
    let width = tables.iter().map(|table| table.label.chars().count()).max().unwrap_or(0).min(40);
    for table in tables.iter().take(MOST_TABLES) {
        let count = |state| table.by_state.get(&state).copied().unwrap_or(0);
        let mut line = if table.by_state.is_empty() && table.left_out > 0 {
            format!("none at {least} or above, {} below", grouped(table.left_out))
        } else {
            format!("{} live", grouped(count(State::Live)))
        };
        for state in [State::Superseded, State::Deleted, State::Later, State::Unknown] {
            if count(state) > 0 {
                let _ = write!(line, ", {} {}", grouped(count(state)), state.name());
            }
        }
        if table.partial > 0 {
            let _ = write!(line, " ({} of all in part)", grouped(table.partial));
        }
        let _ = writeln!(text, "  {:width$}  {line}", printable(&table.label));
    }
    if tables.len() > MOST_TABLES {
        let further = tables.len() - MOST_TABLES;
        let _ = writeln!(text, "  and {}", grouped_count(further as u64, "further table"));
    }
    let sum =
        |part: fn(&&&recover::TableOutcome) -> u64| tables.iter().map(|table| part(&table)).sum::<u64>();
    let with_rows = tables.iter().filter(|table| !table.by_state.is_empty()).count();
    let _ = writeln!(
        text,
        "recovered {} in {} ({} at 0.90 or above)",
        grouped_count(outcome.rows(), "row"),
        grouped_count(with_rows as u64, "table"),
        grouped(sum(|table| table.sure))
    );
    let left_out = sum(|table| table.left_out);
    if left_out > 0 {
        let _ = writeln!(
            text,
            "left out  {} below {least}; --min-confidence 0 shows {}",
            grouped_count(left_out, "row"),
            if left_out == 1 { "it" } else { "them" }
        );
    }
    for (table, loss) in &outcome.losses {
        let kind = match loss.kind {
            LossKind::Proved => "missing ",
            LossKind::Possible => "possibly",
        };
        let table = table.as_deref().map(printable).unwrap_or_default();
        let _ = writeln!(text, "{kind}  {} in {table}: {}", grouped(loss.rows), loss.basis);
    }
    for (number, reason) in outcome.nothing_gone.iter().enumerate() {
        let head = if number == 0 { "gone      none found: " } else { "          " };
        let _ = writeln!(text, "{head}{reason}");
    }
    text.push_str(&stands(&outcome.stands));
    if outcome.findings > 0 {
        let _ = writeln!(text, "damage    {}", how_many(outcome.findings));
    }
    match output {
        Some(output) => _ = writeln!(text, "written   {}", output.display()),
        // A database records them, and JSON lines have no place for them.
        None => {
            for (name, hash) in &outcome.hashes {
                let _ = writeln!(text, "read      {} {hash}", printable(name));
            }
        }
    }
    text
}

/// How many findings there are, and what shows them.
pub(super) fn how_many(findings: usize) -> String {
    let them = if findings == 1 { "it" } else { "them" };
    format!("{}; `mudlark verify` lists {them}", grouped_count(findings as u64, "finding"))
}

/// Tables that a summary names; a person reads no more.
const MOST_TABLES: usize = 30;

/// A name from the evidence, safe for a terminal.
pub(super) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::file_names;

    #[test]
    fn a_name_from_the_evidence_never_leads_out_of_the_output_folder() {
        let names = file_names(["store.db", "../../etc/passwd", "a/b.db", ".db"].into_iter());
        assert_eq!(names, ["store.db", "_.._etc_passwd.1.db", "a_b.2.db", "db.3.db"]);
    }

    #[test]
    fn stores_of_one_name_get_a_database_each() {
        let names = file_names(["chat", "chat.db", "Chat.db", "chat.2", "chat.sqlite"].into_iter());
        assert_eq!(names, ["chat.db", "chat.1.db", "Chat.2.db", "chat.2.3.db", "chat.sqlite.db"]);
    }
}
