//! `mudlark batch`.

use super::bar::Bar;
use super::signals;
use super::{Common, Exit, recover};
use crate::batch::watch::{Ended, Limits};
use crate::batch::{self, Case, CaseResult, Settings, Status, Summary, baseline, cases, report, watch};
use crate::error::Error;
use crate::progress::Progress;
use crate::score::{self, Counts, Emitted, Tally};
use crate::sinks;
use crate::words::{grouped_count, plural};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The folder of cases: folders with evidence/ and perhaps truth.json, stores, images
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The folder to write to; a run that was begun in it goes on
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Cases at a time [default: one a core]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Seconds after which a case is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    timeout: f64,
    /// Memory beyond mapped files at which a case is given up, with K, M or G
    #[arg(long, value_name = "BYTES", value_parser = size)]
    max_memory: Option<u64>,
    /// Rows below this confidence count in the calibration only
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    at: f64,
    /// Use the schema.sql of cases that have one
    #[arg(long)]
    with_schema: bool,
    /// Write databases of scored cases too
    #[arg(long)]
    write: bool,
    /// Run cases again that were not read to their end
    #[arg(long)]
    retry: bool,
    /// Compare with the summary.json of an earlier run; the status is 1 when something got worse
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Run this case only, write its result, and sum nothing up
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Begin anew in a folder of another run
    #[arg(long)]
    force: bool,
    /// Worker threads of each case [default: the cores shared by the jobs]
    #[arg(long, value_name = "N", value_parser = super::threads)]
    pub(super) threads: Option<usize>,
    /// No summary and no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    if !(0.0..=1.0).contains(&arguments.at) {
        return Err(Error::Usage(format!("--at {}: a probability from 0 to 1", arguments.at)));
    }
    let Ok(timeout) = Duration::try_from_secs_f64(arguments.timeout) else {
        return Err(Error::Usage(format!("--timeout {}: a number of seconds", arguments.timeout)));
    };
    let (from, to) = (sinks::resolve(&arguments.folder), sinks::resolve(&arguments.output));
    if to.starts_with(&from) {
        let reason = "lies inside the folder of cases; write somewhere else".to_owned();
        return Err(Error::OutputRefused { path: arguments.output.clone(), reason });
    }
    let earlier = arguments.baseline.as_deref().map(baseline::read).transpose()?;
    let found = cases::find(&arguments.folder)?;
    let settings = Settings {
        folder: from,
        at: arguments.at,
        with_schema: arguments.with_schema,
        write: arguments.write,
    };
    batch::open(&arguments.output, &settings, arguments.force)?;
    if let Some(name) = &arguments.case {
        let Some(case) = found.iter().find(|case| case.name == *name) else {
            return Err(Error::Usage(format!("no case is named {name}")));
        };
        return one(case, arguments);
    }
    if found.is_empty() {
        eprintln!("mudlark: {}: holds no case", arguments.folder.display());
        return Ok(Exit::Nothing);
    }
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = arguments.jobs.unwrap_or(cores).max(1);
    let limits = Limits { jobs, timeout, memory: arguments.max_memory };
    let began = Instant::now();
    signals::keep_cases();
    let ran = all(&found, arguments, limits);
    let (results, run_now) = ran.map_err(|error| match error {
        Error::Interrupted | Error::FolderInterrupted { .. } => Error::CasesInterrupted,
        error => error,
    })?;
    let summary = Summary::new(results);
    let (table, json) = (report::text(&summary), summary.json());
    batch::put(&arguments.output.join(batch::TABLE), &table)?;
    batch::put(&arguments.output.join(batch::SUMMARY), &format!("{json:#}\n"))?;
    let mut text = table;
    let _ = writeln!(
        text,
        "run now   {}, {} finished before; {:.1} s",
        grouped_count(run_now as u64, "case"),
        found.len() - run_now,
        began.elapsed().as_secs_f64()
    );
    let compared = earlier.map(|earlier| baseline::compare(&earlier, &json));
    if let Some(compared) = &compared {
        text.push_str(&changes(compared));
    }
    let _ = writeln!(
        text,
        "written   {}, with {} and {}",
        arguments.output.display(),
        batch::SUMMARY,
        batch::TABLE
    );
    if !arguments.quiet {
        super::put(&text)?;
    }
    Ok(if compared.is_some_and(|compared| compared.is_loss()) {
        Exit::Nothing
    } else if summary.is_whole() {
        Exit::Done
    } else {
        Exit::InPart
    })
}

/// Runs the cases that have no result yet, and reads the results of all; how many were run.
fn all(found: &[Case], arguments: &Arguments, limits: Limits) -> Result<(Vec<CaseResult>, usize), Error> {
    let place = |case: &Case| arguments.output.join(batch::CASES).join(&case.name);
    let stamps: Vec<String> = found.iter().map(Case::stamp).collect();
    let known = |number: usize| {
        let (case, stamp) = (found.get(number)?, stamps.get(number)?);
        CaseResult::read(&place(case).join(batch::RESULT)).filter(|result| result.stamp == *stamp)
    };
    let open = |number: &usize| match known(*number) {
        Some(result) => arguments.retry && !result.status.is_read(),
        None => true,
    };
    let todo: Vec<usize> = (0..found.len()).filter(open).collect();
    let bar = Bar::new(arguments.quiet);
    bar.stage("cases", todo.len() as u64);
    let case_of = |number: usize| todo.get(number).and_then(|at| Some((found.get(*at)?, stamps.get(*at)?)));
    let program = std::env::current_exe().map_err(|error| Error::Source {
        path: "mudlark".into(),
        what: "its own file can't be found",
        error,
    })?;
    let threads = arguments.threads.unwrap_or_else(|| {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        (cores / limits.jobs).clamp(1, super::MOST_THREADS)
    });
    let command = |number: usize| {
        let mut command = Command::new(&program);
        command.arg("batch").arg(&arguments.folder).arg("-o").arg(&arguments.output).arg("--quiet");
        command.args(["--at", &arguments.at.to_string(), "--threads", &threads.to_string()]);
        for (set, name) in [(arguments.with_schema, "--with-schema"), (arguments.write, "--write")] {
            if set {
                command.arg(name);
            }
        }
        let Some((case, _)) = case_of(number) else { return Ok(command) };
        command.arg("--case").arg(&case.name);
        let folder = place(case);
        let failed = |error| Error::Output { path: folder.clone(), what: "can't be made", error };
        let made = fs::create_dir_all(&folder).and_then(|()| {
            // An old result would pass for that of this run.
            match fs::remove_file(folder.join(batch::RESULT)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                _ => File::create(folder.join(batch::LOG)),
            }
        });
        let log = made.map_err(failed)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    };
    watch::run(todo.len(), limits, &bar, command, |number, ended, took| {
        let Some((case, stamp)) = case_of(number) else { return Ok(()) };
        let path = place(case).join(batch::RESULT);
        let sound = matches!(ended, Ended::Status(0 | 1 | 3)) && CaseResult::read(&path).is_some();
        if sound { Ok(()) } else { failure(case, stamp, ended, took, &place(case)).write(&path) }
    })?;
    drop(bar);
    let results = (0..found.len()).filter_map(known).collect();
    Ok((results, todo.len()))
}

/// The result of a case whose process left none.
fn failure(case: &Case, stamp: &str, ended: Ended, took: Duration, folder: &Path) -> CaseResult {
    let said = fs::read_to_string(folder.join(batch::LOG)).unwrap_or_default();
    let last =
        said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
    let (status, why) = match ended {
        Ended::Timeout => (Status::Timeout, format!("given up after {:.1} s", took.as_secs_f64())),
        Ended::Memory(taken) => (Status::Memory, format!("given up at {} MiB", taken >> 20)),
        Ended::Signal(signal) => (Status::Crashed, format!("ended by signal {signal}: {last}")),
        // As a panic ends it.
        Ended::Status(101) => (Status::Crashed, last),
        Ended::Status(_) => (Status::Failed, last),
    };
    // All that the answer key asks for was missed.
    let missed = case.scored.then(|| score::score_rows(&case.path, std::iter::empty(), 0.0).ok()).flatten();
    let (labels, score) = match missed {
        Some(missed) => {
            let counts = Counts { failed: 1, ..missed.score.counts };
            (labels(missed.labels), Some((counts, Tally::default())))
        }
        None => (Vec::new(), None),
    };
    let seconds = took.as_secs_f64();
    CaseResult {
        case: case.name.clone(),
        status,
        why: Some(why),
        rows: 0,
        labels,
        score,
        seconds,
        stamp: stamp.to_owned(),
    }
}

fn labels(labels: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    labels.into_iter().map(|(label, name)| (label.to_owned(), name)).collect()
}

/// Runs one case in this process.
fn one(case: &Case, arguments: &Arguments) -> Result<Exit, Error> {
    let began = Instant::now();
    let folder = arguments.output.join(batch::CASES).join(&case.name);
    let failed = |error| Error::Output { path: folder.clone(), what: "can't be made", error };
    fs::create_dir_all(&folder).map_err(failed)?;
    let common = Common {
        threads: arguments.threads,
        quiet: true,
        hash: None,
        schema: case.schema.clone().filter(|_| arguments.with_schema),
        log: Vec::new(),
    };
    let mut result = CaseResult {
        case: case.name.clone(),
        status: Status::Nothing,
        why: None,
        rows: 0,
        labels: Vec::new(),
        score: None,
        seconds: 0.0,
        stamp: case.stamp(),
    };
    let mut exit = Exit::Nothing;
    if case.scored {
        // Removed with its rows, whatever happens.
        let scratch = tempfile::tempdir_in(&folder).map_err(failed)?;
        let rows = scratch.path().join("rows.jsonl");
        let request =
            recover::Arguments::for_case(&case.input, None, Some(rows.clone()), 0.0, common.clone());
        exit = recover::run(&request)?;
        let scored = if rows.is_file() {
            let file = File::open(&rows).map_err(failed)?;
            let lines = BufReader::with_capacity(1 << 20, file).lines().map_while(Result::ok);
            let mut sure = 0;
            let rows = lines.filter_map(|line| Emitted::parse(&line)).inspect(|row| {
                sure += u64::from(row.confidence.is_none_or(|confidence| confidence >= arguments.at));
            });
            let scored = score::score_rows(&case.path, rows, arguments.at)?;
            result.rows = sure;
            scored
        } else {
            score::score_rows(&case.path, std::iter::empty(), arguments.at)?
        };
        result.labels = labels(scored.labels);
        result.score = Some((scored.score.counts, scored.score.tally));
    }
    if !case.scored || arguments.write {
        let output = folder.join("recovered/");
        let request =
            recover::Arguments::for_case(&case.input, Some(output.clone()), None, arguments.at, common);
        exit = recover::run(&request)?;
        if !case.scored {
            result.rows = rows_of(&output);
        }
    }
    if exit == Exit::CouldNotRun {
        return Ok(exit);
    }
    result.status = if exit == Exit::Nothing { Status::Nothing } else { Status::Done };
    result.seconds = began.elapsed().as_secs_f64();
    result.write(&folder.join(batch::RESULT))?;
    Ok(exit)
}

/// The rows of a recovered folder, as its index counts them.
fn rows_of(folder: &Path) -> u64 {
    let index = fs::read_to_string(folder.join("index.json")).unwrap_or_default();
    let index: Json = serde_json::from_str(&index).unwrap_or_default();
    index["stores"].as_array().into_iter().flatten().filter_map(|store| store["rows"].as_u64()).sum()
}

/// What is better and worse than in the earlier run.
fn changes(compared: &baseline::Comparison) -> String {
    let mut text = String::new();
    let list = |changes: &[baseline::Change]| {
        let shown: Vec<String> = changes
            .iter()
            .map(|change| {
                let worse = if change.is_loss() { " (worse)" } else { "" };
                format!("{} {} -> {}{worse}", change.what, change.before, change.now)
            })
            .collect();
        shown.join(", ")
    };
    for (name, changes) in compared.worse.iter().take(MOST_WORSE) {
        let _ = writeln!(text, "worse     {name}: {}", list(changes));
    }
    let further = compared.worse.len().saturating_sub(MOST_WORSE);
    if further > 0 {
        let _ = writeln!(text, "worse     and {further} further {}", plural(further as u64, "case"));
    }
    let total = if compared.total.is_empty() { "as before".to_owned() } else { list(&compared.total) };
    let _ = writeln!(text, "baseline  {} in both: {total}", grouped_count(compared.cases as u64, "case"));
    text
}

/// Cases that are named; a person reads no more.
const MOST_WORSE: usize = 20;

/// A number of bytes, with K, M or G for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'K' | 'k')) => (text.get(..at), 10),
        Some((at, 'M' | 'm')) => (text.get(..at), 20),
        Some((at, 'G' | 'g')) => (text.get(..at), 30),
        _ => (Some(text), 0),
    };
    let number: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    number.and_then(|n| n.checked_mul(1 << shift)).ok_or_else(|| format!("{text:?} is no size such as 512M"))
}
