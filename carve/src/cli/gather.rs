//! From what the user names to stores: each main file with the files that stand beside it.

use super::Common;
use super::recover::printable;
use super::scan::Scan;
use crate::error::Error;
use crate::progress::Progress;
use crate::scan::Index;
use crate::source::Source;
use crate::stores::{self, Options, REGISTRY, Recognition, Store};
use crate::words::count;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A store that was found.
pub(super) struct Found {
    pub store: &'static dyn Store,
    pub recognition: Recognition,
    /// Its name: the file's, or the path below the folder that was named.
    pub name: String,
    /// The main file first, then its sidecars.
    pub sources: Vec<Source>,
}

/// An image, and where something lies in it.
pub(super) struct Image {
    pub source: Source,
    pub index: Index,
}

/// How images are looked for.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    pub scan: &'a Scan,
    pub progress: &'a dyn Progress,
}

/// What the user's sources came to.
#[derive(Default)]
pub(super) struct Gathered {
    pub stores: Vec<Found>,
    /// Sources that are no store, or can't be read: the message for each.
    pub refused: Vec<Error>,
    /// Files of folders that are no store.
    pub passed_over: u64,
    /// What the user may not have meant.
    pub notes: Vec<String>,
    /// Files that hold stores among other things.
    pub images: Vec<Image>,
    /// Temp files, which are read with the stores that they are of.
    temps: Vec<Found>,
}

/// Finds the stores in the user's sources, for the command of this name.
///
/// # Errors
/// When a log that the user names is none.
pub(super) fn gather(paths: &[PathBuf], common: &Common, command: &str) -> Result<Gathered, Error> {
    gather_with(paths, common, command, None)
}

/// The same; files that are named and are no store are looked through when `images` tells how.
///
/// # Errors
/// As above; and when a session is not of the image, or the user stops.
pub(super) fn gather_with(
    paths: &[PathBuf],
    common: &Common,
    command: &str,
    images: Option<Images<'_>>,
) -> Result<Gathered, Error> {
    check_logs(common)?;
    if let Some(Images { scan, .. }) = images
        && scan.session.is_some()
        && paths.len() > 1
    {
        return Err(Error::Usage("--session is of one image; give one SOURCE".to_owned()));
    }
    let mut gathered = Gathered::default();
    let mut used = HashSet::new();
    let named: HashSet<PathBuf> = paths.iter().filter_map(|path| path.canonicalize().ok()).collect();
    let mut sidecars = Vec::new();
    let found = |gathered: &Gathered| gathered.stores.len() + gathered.temps.len();
    for path in paths {
        if path.is_dir() {
            let mut files = Vec::new();
            let listed = list(path, &mut files);
            let is_listed = listed.is_ok();
            gathered.refused.extend(listed.err());
            let before = found(&gathered);
            let (beside, mains): (Vec<_>, Vec<_>) = files.iter().partition(|file| main_of(file).is_some());
            for file in mains {
                take(file, Some(path), common, &mut used, &mut gathered);
            }
            for file in beside {
                if !is_read_with_main(file, &used) {
                    take(file, Some(path), common, &mut used, &mut gathered);
                }
            }
            if found(&gathered) == before && (is_listed || !files.is_empty()) {
                let reason = match files.len() {
                    0 => "no store: this folder holds no file".to_owned(),
                    1 => "no store: the one file of this folder is none".to_owned(),
                    all => format!("no store among the {all} files of this folder"),
                };
                gathered.refused.push(Error::NotAStore { path: path.clone(), reason });
            }
        } else if let Some(main) = main_of(path) {
            sidecars.push((path, main));
        } else {
            let kind = images.map_or(Ok(Kind::MayBeAStore), |images| kind(path, images))?;
            match kind {
                Kind::Image(image) => gathered.images.push(*image),
                Kind::MayBeAStore => take(path, None, common, &mut used, &mut gathered),
                Kind::Neither(reason) => {
                    gathered.refused.push(Error::NotAStore { path: path.clone(), reason });
                }
            }
        }
    }
    for (path, main) in sidecars {
        // As when the user names `store.db*`.
        if is_read_with_main(path, &used) {
            continue;
        }
        let before = found(&gathered);
        take(path, None, common, &mut used, &mut gathered);
        if found(&gathered) > before && !main.canonicalize().is_ok_and(|main| named.contains(&main)) {
            let (path, main) = (path.display(), main.display());
            gathered.notes.push(format!(
                "{path}: is read alone, though {main} stands beside it; `mudlark {command} {main}` reads both"
            ));
        }
    }
    place_temps(&mut gathered);
    Ok(gathered)
}

/// Gives each temp file to the store that it is most likely of; one that fits none is read alone.
fn place_temps(gathered: &mut Gathered) {
    for temp in std::mem::take(&mut gathered.temps) {
        let Some(file) = temp.sources.first() else { continue };
        let kinship = |found: &Found| {
            let main = found.sources.first().filter(|_| found.store.name() == temp.store.name())?;
            found.store.kinship(main, file)
        };
        let kin = gathered.stores.iter().enumerate().filter_map(|(at, found)| Some((kinship(found)?, at)));
        // Of equals the first.
        let best = kin.max_by_key(|(kinship, at)| (*kinship, usize::MAX - at));
        match best.and_then(|(_, at)| gathered.stores.get_mut(at)) {
            Some(found) => found.sources.extend(temp.sources),
            None => gathered.stores.push(temp),
        }
    }
}

/// Refuses logs of the user's that are none.
pub(super) fn check_logs(common: &Common) -> Result<(), Error> {
    for path in &common.log {
        let source = Source::open(path)?;
        if REGISTRY.iter().any(|store| store.is_log(&source)) {
            continue;
        }
        let found = match stores::recognise(&source) {
            Some((_, recognition)) => format!("{}; give it as a SOURCE", recognition.what),
            None => format!("a file that {}", looks(&source)),
        };
        let reason =
            format!("is no log: --log expects a write-ahead log or a rollback journal, found {found}");
        return Err(Error::NotAStore { path: path.clone(), reason });
    }
    Ok(())
}

/// The files of a folder and its folders, in order.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    let failed = |error| Error::Source { path: folder.to_owned(), what: "can't be listed", error };
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let kind = entry.file_type().map_err(failed)?;
        // Links are not followed: they lead out of the folder, or around in it.
        if kind.is_dir() {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn take(
    path: &Path,
    folder: Option<&Path>,
    common: &Common,
    used: &mut HashSet<PathBuf>,
    gathered: &mut Gathered,
) {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    if used.contains(&resolved) {
        return;
    }
    let source = match Source::open(path) {
        Ok(source) => source,
        Err(error) => {
            gathered.refused.push(error);
            return;
        }
    };
    let recognised = stores::recognise(&source);
    let of_itself = recognised.as_ref().is_some_and(|(_, recognition)| recognition.readable);
    let Some((store, recognition)) = (if of_itself { None } else { by_log(path) }).or(recognised) else {
        if folder.is_some() {
            gathered.passed_over += 1;
        } else {
            gathered.refused.push(Error::NotAStore { path: path.to_owned(), reason: describe(&source) });
        }
        return;
    };
    used.insert(resolved);
    if !recognition.readable {
        let reason = format!("can't be read: {}", recognition.what);
        gathered.refused.push(Error::NotAStore { path: path.to_owned(), reason });
        return;
    }
    let sources = if recognition.temp {
        vec![source]
    } else {
        with_sidecars(store, source, common, &mut gathered.refused)
    };
    let below = folder.and_then(|folder| path.strip_prefix(folder).ok());
    let name = below.map_or_else(
        || sources.first().map(|source| source.name().to_owned()).unwrap_or_default(),
        |below| below.display().to_string(),
    );
    let is_temp = recognition.temp;
    let found = Found { store, recognition, name, sources };
    if is_temp { gathered.temps.push(found) } else { gathered.stores.push(found) }
}

/// The store of a file that nothing is left of, or nothing that can be read, by a log of it that stands beside it.
fn by_log(path: &Path) -> Option<(&'static dyn Store, Recognition)> {
    let beside = |store: &&'static dyn Store| store.sidecars(path).into_iter().filter(|log| log.is_file());
    REGISTRY.iter().find_map(|store| {
        let logs = beside(store).filter_map(|log| Source::open(&log).ok());
        let recognised = logs.filter(|log| store.is_log(log)).find_map(|log| store.recognise(&log));
        let recognised = recognised.filter(|recognition| recognition.readable)?;
        Some((
            *store,
            Recognition { what: format!("nothing by itself, beside a {}", recognised.what), ..recognised },
        ))
    })
}

/// A main file, the logs that the user names, and the files that stand beside it; those that can't be read go into
/// `refused`.
pub(super) fn with_sidecars(
    store: &dyn Store,
    main: Source,
    common: &Common,
    refused: &mut Vec<Error>,
) -> Vec<Source> {
    let beside = store.sidecars(main.path()).into_iter().filter(|sidecar| sidecar.is_file());
    let mut seen = HashSet::new();
    let mut sources = vec![main];
    for sidecar in common.log.iter().cloned().chain(beside) {
        if !seen.insert(sidecar.canonicalize().unwrap_or_else(|_| sidecar.clone())) {
            continue;
        }
        match Source::open(&sidecar) {
            Ok(source) if common.log.contains(&sidecar) => sources.push(source.trusted()),
            Ok(source) => sources.push(source),
            Err(error) => refused.push(error),
        }
    }
    sources
}

/// Whether the file is a sidecar of a main file that was recognised: then it has been read with that.
fn is_read_with_main(path: &Path, used: &HashSet<PathBuf>) -> bool {
    main_of(path).and_then(|main| main.canonicalize().ok()).is_some_and(|main| used.contains(&main))
}

/// The file that this one is a sidecar of, if it stands beside it: then both are read together.
fn main_of(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name()?;
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let mut mains = entries.filter_map(Result::ok).map(|entry| path.with_file_name(entry.file_name()));
    let is_sidecar = |sidecar: &PathBuf| sidecar.file_name() == Some(name);
    mains
        .find(|main| main != path && REGISTRY.iter().any(|store| store.sidecars(main).iter().any(is_sidecar)))
}

/// What a file is that the user names.
enum Kind {
    Image(Box<Image>),
    MayBeAStore,
    /// Why it is neither.
    Neither(String),
}

/// Tells what a file is by what lies in it, where it is no store as it stands.
fn kind(path: &Path, images: Images<'_>) -> Result<Kind, Error> {
    let Ok(source) = Source::open(path) else { return Ok(Kind::MayBeAStore) };
    let scanners = || REGISTRY.iter().map(|store| (store.name(), store.scanner()));
    let may_be = scanners().all(|(_, scanner)| scanner.may_be_an_image(&source));
    if source.bytes().is_empty() || !may_be {
        return Ok(Kind::MayBeAStore);
    }
    // Recognition looks for what a damaged store may be, which costs more than to look through most images.
    let index = images.scan.index(&source, images.progress)?;
    if scanners().any(|(name, scanner)| scanner.is_an_image(&source, index.of(name))) {
        return Ok(Kind::Image(Box::new(Image { source, index })));
    }
    if scanners().any(|(name, scanner)| scanner.may_be_a_store(&source, index.of(name))) {
        return Ok(Kind::MayBeAStore);
    }
    // An encrypted one shows nothing, and is told as such.
    let is_hidden = stores::recognise(&source).is_some_and(|(_, recognition)| !recognition.readable);
    Ok(if is_hidden { Kind::MayBeAStore } else { Kind::Neither(describe(&source)) })
}

/// Why a file is no store, as far as its bytes tell.
pub(super) fn describe(source: &Source) -> String {
    if source.bytes().is_empty() {
        return "is empty: there is nothing to recover".to_owned();
    }
    format!("no store found in it: it {}", looks(source))
}

/// What a file is that is not known.
fn looks(source: &Source) -> &'static str {
    let bytes = source.bytes();
    let head = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    if bytes.is_empty() {
        "is empty"
    } else if head.iter().all(|byte| *byte == 0) {
        "begins with zeros"
    } else if std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0')) {
        "is text"
    } else {
        "is of a kind that is not known"
    }
}

/// The user's options for the stores.
pub(super) fn options(common: &Common) -> Result<Options, Error> {
    let Some(path) = &common.schema else { return Ok(Options::default()) };
    let failed = |error| Error::Source { path: path.clone(), what: "can't be read as text", error };
    let schema = fs::read_to_string(path).map_err(failed)?;
    let read = REGISTRY.iter().map(|store| store.read_schema(&schema)).max_by_key(|read| read.tables);
    let read = read.unwrap_or_default();
    if read.tables == 0 {
        let mut reason =
            "no CREATE TABLE in it that can be read: --schema expects the definitions of tables, as \
             `sqlite3 backup.db .schema` prints them"
                .to_owned();
        if let Some(first) = read.unreadable.first() {
            reason.push_str(&format!("; line {}: {}: {}", first.line, printable(&first.text), first.why));
        }
        return Err(Error::NotAStore { path: path.clone(), reason });
    }
    for statement in read.unreadable.iter().take(MOST_UNREADABLE) {
        let (line, text) = (statement.line, printable(&statement.text));
        eprintln!("mudlark: {}: line {line} is left out: {}: {text}", path.display(), statement.why);
    }
    let further = read.unreadable.len().saturating_sub(MOST_UNREADABLE) as u64;
    if further > 0 {
        let (path, statements) = (path.display(), count(further, "further statement"));
        eprintln!("mudlark: {path}: {statements} left out");
    }
    Ok(Options { schema: Some(schema), ..Options::default() })
}

/// Statements that are named; a person reads no more.
const MOST_UNREADABLE: usize = 10;

/// The one store that was found, for the command of this name; `None` without one.
///
/// # Errors
/// When there are several.
pub(super) fn only<'g>(gathered: &'g Gathered, command: &str) -> Result<Option<&'g Found>, Error> {
    match gathered.stores.as_slice() {
        [] => Ok(None),
        [found] => Ok(Some(found)),
        several => {
            let names: Vec<&str> = several.iter().map(|found| found.name.as_str()).collect();
            Err(Error::Usage(format!("{command} takes one store; found {}", names.join(", "))))
        }
    }
}

/// Prints what was refused, and the notes; the run goes on with the rest.
pub(super) fn report(gathered: &Gathered) {
    for error in &gathered.refused {
        eprintln!("mudlark: {error}");
    }
    for note in &gathered.notes {
        eprintln!("mudlark: {note}");
    }
}

/// The status when no store was found: sources that were read and hold nothing, or that could not be read.
pub(super) fn nothing_found(refused: &[Error]) -> super::Exit {
    let unreadable = |error: &Error| !matches!(error, Error::NotAStore { .. });
    if refused.iter().any(unreadable) { super::Exit::CouldNotRun } else { super::Exit::Nothing }
}
