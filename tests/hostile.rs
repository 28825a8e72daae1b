//! Does any input make the program panic, hang or put out without bound?

use crate::support::{Done, listing, root};
use mudlark::error::Error;
use mudlark::progress::Silent;
use mudlark::recover::{self, Request};
use mudlark::sinks::{self, Target};
use mudlark::source::{HashChoice, Source};
use mudlark::stores::{self, Options, Place};
use mudlark_fixtures::Evidence;
use mudlark_fixtures::rng::Rng;
use mudlark_fixtures::sqlite::{Journal, Kind, Recipe, Workload, build};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Corruptions when the environment asks for no other number with `MUDLARK_CORRUPTIONS`.
const CORRUPTIONS: u64 = if cfg!(debug_assertions) { 2_000 } else { 20_000 };

/// Steps from one length of a file to the next: all of them where the program is built to be fast.
const STEP: usize = if cfg!(debug_assertions) { 7 } else { 1 };

/// No small input takes nearly as long, even on a busy machine.
const HANG: Duration = Duration::from_secs(60);

/// Bytes of JSON lines that one byte of a source may become: more than any sample comes to, far from without bound.
/// A chain that is cut into others may be read once for each row that leads into it.
const MOST_OUTPUT: u64 = 1000;

/// A folder in memory where there is one.
fn fast_folder() -> Done<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// Takes the evidence through the whole program: recognise, recover to an output, inspect a page.
fn run(folder: &Path, evidence: &Evidence, number: u64) -> Result<(), Error> {
    let folder = folder.join(number.to_string());
    let failed = |error| Error::Output { path: folder.clone(), what: "can't be written", error };
    evidence.write(&folder).map_err(failed)?;
    run_in(&folder, evidence, number)?;
    fs::remove_dir_all(&folder).map_err(failed)
}

fn run_in(folder: &Path, evidence: &Evidence, number: u64) -> Result<(), Error> {
    let main = folder.join("store.db");
    let source = Source::open(&main)?;
    let Some((store, recognition)) = stores::recognise(&source) else { return Ok(()) };
    if !recognition.readable {
        return Ok(());
    }
    let mut sources = vec![source];
    for sidecar in store.sidecars(&main).iter().filter(|sidecar| sidecar.is_file()) {
        sources.push(Source::open(sidecar)?);
    }
    let request = Request {
        min_confidence: 0.0,
        hash: HashChoice::None,
        // A file of DDL may be as broken: the catalogue's page, which holds some, does for one.
        options: Options { schema: number.is_multiple_of(5).then(|| ddl(evidence)), ..Options::default() },
        arguments: Vec::new(),
        table: None,
    };
    // The database takes longer to write; what is written is the same.
    let kind = if number.is_multiple_of(16) { "database" } else { "jsonl" };
    let out = folder.join("out");
    let sink = sinks::open(kind, &Target::File(out.clone()))?;
    recover::recover(store, "store.db", &sources, &request, vec![sink], &Silent)?;
    let size: usize = evidence.files().map(<[u8]>::len).sum();
    let written = fs::metadata(&out).map_or(0, |file| file.len());
    // What every output holds, whatever its source.
    let fixed = 1 << 20;
    assert!(written <= fixed + size as u64 * MOST_OUTPUT, "{written} bytes put out from {size}");
    // No such page is an error, and as good an answer as any.
    let _ = store.inspect(&sources, Place::Page((number % 9) as u32));
    let _ = store.inspect(&sources, Place::Header);
    let _ = store.history(&sources);
    Ok(())
}

/// The text in the catalogue's page, as it is.
fn ddl(evidence: &Evidence) -> String {
    let page = &evidence.db[..evidence.db.len().min(4096)];
    let text = String::from_utf8_lossy(page).into_owned();
    text.find("CREATE").map_or_else(String::new, |at| text[at..].replace('\0', " "))
}

/// Address space of a run, in KiB: 4 GiB, for all threads together. More is a length from the evidence taken at its word.
const MEMORY: &str = "4194304";

/// Set in the process that does the work.
const WORKER: &str = "MUDLARK_HOSTILE_FOLDER";

/// Runs `change` for every number, in a process of its own with bounded memory, so that even an abort can be told. The
/// evidence of what was running then is kept.
fn every_one_is_borne(test: &str, count: u64, change: impl Fn(u64) -> Evidence + Sync) -> Done {
    if let Some(folder) = std::env::var_os(WORKER) {
        return work(Path::new(&folder), count, change);
    }
    let folder = fast_folder()?;
    let test = format!("hostile::{test}");
    let script = format!("ulimit -v {MEMORY}; exec \"$@\"");
    let mut worker = Command::new("sh");
    worker.args(["-c", &script, "sh"]).arg(std::env::current_exe()?).args(["--exact", &test, "--nocapture"]);
    // An arena for each of many threads takes address space that nobody uses.
    worker.env("MALLOC_ARENA_MAX", "4").env("RUST_BACKTRACE", "0").env(WORKER, folder.path());
    let ran = worker.stdin(Stdio::null()).output()?;
    if ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("1 passed") {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let left = listing(folder.path())?;
    let mut kept = Vec::new();
    for number in left {
        let evidence = Evidence::read(&folder.path().join(&number).join("store.db"))?;
        kept.push(keep(&test, &number, &evidence)?.display().to_string());
    }
    let last: Vec<&str> = said.lines().rev().take(60).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!("{}; kept: {kept:#?}; it said:\n{}", ran.status, last.join("\n")).into())
}

/// Runs `change` for every number; the folder of what panics stays, and a hang ends the process.
fn work(folder: &Path, count: u64, change: impl Fn(u64) -> Evidence + Sync) -> Done {
    let running: Mutex<BTreeMap<u64, Instant>> = Mutex::new(BTreeMap::new());
    let failures: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(20));
                let running = running.lock().map(|running| running.clone()).unwrap_or_default();
                if let Some((number, _)) = running.iter().find(|(_, start)| start.elapsed() > HANG) {
                    eprintln!("number {number} hangs");
                    std::process::exit(101);
                }
            }
        });
        (0..count).into_par_iter().for_each(|number| {
            let evidence = change(number);
            if let Ok(mut running) = running.lock() {
                running.insert(number, Instant::now());
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| run(folder, &evidence, number)));
            if let Ok(mut running) = running.lock() {
                running.remove(&number);
            }
            let trouble = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.to_string(),
                Err(_) => "panic".to_owned(),
            };
            if let Ok(mut failures) = failures.lock() {
                failures.push(format!("number {number}: {trouble}"));
            }
        });
        done.store(true, Ordering::Relaxed);
    });
    let failures = failures.into_inner().unwrap_or_default();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {count}: {failures:#?}", failures.len()).into())
    }
}

/// Keeps evidence that made trouble, to look at.
fn keep(test: &str, number: &str, evidence: &Evidence) -> Done<PathBuf> {
    let folder = std::env::temp_dir().join(format!("{}-{number}", test.replace("::", "-")));
    evidence.write(&folder)?;
    Ok(folder)
}

/// Small stores in which every structure occurs.
fn samples() -> Done<Vec<Evidence>> {
    let mut all = Vec::new();
    let of = |kind, workload, rows, journal, vacuum, encoding| -> Done<Evidence> {
        let mut recipe = Recipe::new(kind, workload, rows);
        recipe.settings.page_size = 512;
        recipe.settings.journal = journal;
        recipe.settings.auto_vacuum = vacuum;
        recipe.settings.encoding = encoding;
        Ok(build(&recipe, 61)?.evidence)
    };
    all.push(of(Kind::Customers, Workload::DeleteRandom, 30, Journal::Delete, 0, "UTF-8")?);
    all.push(of(Kind::Messages, Workload::Churn, 20, Journal::Wal, 0, "UTF-8")?);
    all.push(of(Kind::Orders, Workload::Update, 25, Journal::Hot, 0, "UTF-8")?);
    all.push(of(Kind::Overflow, Workload::DeleteRange, 6, Journal::Delete, 1, "UTF-8")?);
    all.push(of(Kind::WithoutRowid, Workload::ReuseKeys, 30, Journal::WalRestart, 2, "UTF-16le")?);
    all.push(of(Kind::Generated, Workload::AddColumn, 30, Journal::Persist, 0, "UTF-16be")?);
    for name in ["01-14", "03-05", "06-04", "08-01", "0A-04"] {
        let path = root().join(format!("tests/corpus/sqlite/{name}.db"));
        all.push(Evidence { db: fs::read(path)?, wal: None, journal: None });
    }
    Ok(all)
}

/// Overwrites, flips, moves or cuts some bytes of one of the files.
fn corrupt(sample: &Evidence, number: u64) -> Evidence {
    let mut evidence = sample.clone();
    let mut rng = Rng::for_part(number, "corruption");
    for _ in 0..rng.between(1, 8) {
        let mut files: Vec<&mut Vec<u8>> = vec![&mut evidence.db];
        files.extend(evidence.wal.iter_mut().chain(evidence.journal.iter_mut()));
        let which = rng.below(files.len());
        let file = &mut files[which];
        if file.is_empty() {
            continue;
        }
        // Headers of files and pages are where a byte says most.
        let near = if rng.chance(0.5) { rng.below(file.len().div_ceil(512)) * 512 } else { 0 };
        let range = if rng.chance(0.6) { 110 } else { file.len() };
        let at = (near + rng.below(range)).min(file.len() - 1);
        match rng.below(8) {
            0 => file[at] = 0,
            1 => file[at] = 0xff,
            2 => file[at] ^= 1 << rng.below(8),
            3 => {
                let end = (at + rng.below(40)).min(file.len());
                let bytes = rng.bytes(end - at);
                file[at..end].copy_from_slice(&bytes);
            }
            4 => {
                let (from, length) = (rng.below(file.len()), 1 + rng.below(100));
                let end = (from + length).min(file.len()).min(from + file.len() - at);
                file.copy_within(from..end, at);
            }
            5 if rng.chance(0.1) => file.truncate(at),
            _ => file[at] = rng.next_u32() as u8,
        }
    }
    evidence
}

#[test]
fn no_random_corruption_makes_the_program_panic_hang_or_take_without_bound() -> Done {
    let count = match std::env::var("MUDLARK_CORRUPTIONS") {
        Ok(number) => number.parse()?,
        Err(_) => CORRUPTIONS,
    };
    let samples = samples()?;
    let test = "no_random_corruption_makes_the_program_panic_hang_or_take_without_bound";
    every_one_is_borne(test, count, |number| corrupt(&samples[number as usize % samples.len()], number))
}

#[test]
fn a_store_may_end_at_any_byte() -> Done {
    // Three stores in a row: one with its log, one with its journal, one alone.
    let samples = samples()?;
    let lengths: Vec<(usize, usize)> = samples
        .iter()
        .take(3)
        .enumerate()
        .flat_map(|(sample, evidence)| {
            (0..evidence.db.len()).step_by(STEP).map(move |length| (sample, length))
        })
        .collect();
    every_one_is_borne("a_store_may_end_at_any_byte", lengths.len() as u64, |number| {
        let (sample, length) = lengths[number as usize];
        let mut evidence = samples[sample].clone();
        evidence.db.truncate(length);
        evidence
    })
}

#[test]
fn a_log_or_a_journal_may_end_at_any_byte() -> Done {
    let samples = samples()?;
    let log = |evidence: &Evidence| evidence.wal.as_ref().or(evidence.journal.as_ref()).map_or(0, Vec::len);
    let lengths: Vec<(usize, usize)> = samples
        .iter()
        .take(3)
        .enumerate()
        .flat_map(|(sample, evidence)| (0..log(evidence)).step_by(STEP).map(move |length| (sample, length)))
        .collect();
    every_one_is_borne("a_log_or_a_journal_may_end_at_any_byte", lengths.len() as u64, |number| {
        let (sample, length) = lengths[number as usize];
        let mut evidence = samples[sample].clone();
        for log in evidence.wal.iter_mut().chain(evidence.journal.iter_mut()) {
            log.truncate(length);
        }
        evidence
    })
}

/// A number as SQLite's variable-length integer.
fn varint(number: usize) -> Vec<u8> {
    let mut bytes = vec![(number & 0x7f) as u8];
    let mut rest = number >> 7;
    while rest > 0 {
        bytes.insert(0, 0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

/// A page of cells, from its end on.
fn page_of(kind: u8, cells: &[Vec<u8>], right_child: Option<u32>) -> Vec<u8> {
    let mut page = vec![0_u8; 512];
    let (mut at, mut slot) = (512, if right_child.is_some() { 12 } else { 8 });
    for cell in cells {
        at -= cell.len();
        page[at..at + cell.len()].copy_from_slice(cell);
        page[slot..slot + 2].copy_from_slice(&(at as u16).to_be_bytes());
        slot += 2;
    }
    page[0] = kind;
    page[3..5].copy_from_slice(&(cells.len() as u16).to_be_bytes());
    page[5..7].copy_from_slice(&(at as u16).to_be_bytes());
    if let Some(child) = right_child {
        page[8..12].copy_from_slice(&child.to_be_bytes());
    }
    page
}

/// A table of 480 rows each of which has the same chain of 600 overflow pages.
fn one_chain_for_all() -> Done<Evidence> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("store.db");
    let connection = rusqlite::Connection::open(&path)?;
    connection.execute_batch("PRAGMA page_size=512; CREATE TABLE t(a TEXT)")?;
    drop(connection);
    let mut db = fs::read(&path)?;
    db.truncate(512);
    const LEAVES: u32 = 60;
    const CHAIN: u32 = 600;
    let first = 3 + LEAVES;
    // Of a long payload so much lies on the page: 39 bytes and what doesn't fill the last overflow page.
    let (local, payload) = (39, 39 + 508 * CHAIN as usize);
    let text = 13 + 2 * (payload - 4);
    let header = [vec![4], varint(text)].concat();
    assert_eq!(header.len(), 4);
    let cell = |rowid: u32| {
        let start = [varint(payload), varint(rowid as usize), header.clone()].concat();
        let body = vec![b'a'; local - header.len()];
        [start, body, first.to_be_bytes().to_vec()].concat()
    };
    let links: Vec<Vec<u8>> = (0..LEAVES - 1)
        .map(|leaf| [(3 + leaf).to_be_bytes().to_vec(), varint(8 * (leaf as usize + 1))].concat())
        .collect();
    db.extend(page_of(5, &links, Some(2 + LEAVES)));
    for leaf in 0..LEAVES {
        let cells: Vec<Vec<u8>> = (1..=8).map(|row| cell(8 * leaf + row)).collect();
        db.extend(page_of(13, &cells, None));
    }
    for page in 0..CHAIN {
        let next = if page + 1 < CHAIN { first + page + 1 } else { 0 };
        db.extend(next.to_be_bytes());
        db.extend([b't'; 508]);
    }
    let pages = (db.len() / 512) as u32;
    db[28..32].copy_from_slice(&pages.to_be_bytes());
    Ok(Evidence { db, wal: None, journal: None })
}

#[test]
fn a_chain_that_all_rows_lead_into_is_not_put_out_with_each_of_them() -> Done {
    let evidence = one_chain_for_all()?;
    let folder = fast_folder()?;
    evidence.write(folder.path())?;
    run_in(folder.path(), &evidence, 1)?;
    let written = fs::read(folder.path().join("out"))?;
    // The rows are there, with what stands on their pages.
    let rows = written.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    assert!(rows >= 480, "{rows} lines");
    assert!(written.len() < 10 * evidence.db.len(), "{} bytes put out", written.len());
    Ok(())
}
