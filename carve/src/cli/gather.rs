//! From what the user names to stores: each main file with the files that stand beside it.

use super::Common;
use crate::error::Error;
use crate::source::Source;
use crate::stores::{self, Options, REGISTRY, Recognition, Store};
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

/// What the user's sources came to.
#[derive(Default)]
pub(super) struct Gathered {
    pub stores: Vec<Found>,
    /// Sources that are no store, or can't be read: the message for each.
    pub refused: Vec<Error>,
    /// Files of folders that are no store.
    pub passed_over: u64,
}

/// Finds the stores in the user's sources.
pub(super) fn gather(paths: &[PathBuf], common: &Common) -> Gathered {
    let mut gathered = Gathered::default();
    let mut used = HashSet::new();
    for path in paths {
        if path.is_dir() {
            let mut files = Vec::new();
            if let Err(error) = list(path, &mut files) {
                gathered.refused.push(error);
            }
            let before = gathered.stores.len();
            for file in &files {
                take(file, Some(path), common, &mut used, &mut gathered);
            }
            if gathered.stores.len() == before {
                let reason = match files.len() {
                    0 => "no store: this folder holds no file".to_owned(),
                    1 => "no store: the one file of this folder is none".to_owned(),
                    all => format!("no store among the {all} files of this folder"),
                };
                gathered.refused.push(Error::NotAStore { path: path.clone(), reason });
            }
        } else {
            take(path, None, common, &mut used, &mut gathered);
        }
    }
    gathered
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
    if folder.is_some() && is_sidecar(path) {
        return;
    }
    let source = match Source::open(path) {
        Ok(source) => source,
        Err(error) => {
            gathered.refused.push(error);
            return;
        }
    };
    let Some((store, recognition)) = stores::recognise(&source) else {
        if folder.is_some() {
            gathered.passed_over += 1;
        } else {
            gathered.refused.push(Error::NotAStore { path: path.to_owned(), reason: describe(&source) });
        }
        return;
    };
    if !recognition.readable {
        let reason = format!("can't be read: {}", recognition.what);
        gathered.refused.push(Error::NotAStore { path: path.to_owned(), reason });
        return;
    }
    used.insert(resolved);
    let mut sources = vec![source];
    let beside = store.sidecars(path).into_iter().filter(|sidecar| sidecar.is_file());
    for sidecar in beside.chain(common.log.iter().cloned()) {
        match Source::open(&sidecar) {
            Ok(source) => sources.push(source),
            Err(error) => gathered.refused.push(error),
        }
    }
    let below = folder.and_then(|folder| path.strip_prefix(folder).ok());
    let name = below.map_or_else(
        || sources.first().map(|source| source.name().to_owned()).unwrap_or_default(),
        |below| below.display().to_string(),
    );
    gathered.stores.push(Found { store, recognition, name, sources });
}

/// Whether the file is a sidecar of a file that stands beside it, and so read together with that.
fn is_sidecar(path: &Path) -> bool {
    let Some(folder) = path.parent() else { return false };
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let mains = entries.filter_map(Result::ok).map(|entry| entry.path());
    let mut mains = mains.filter(|main| main != path);
    mains.any(|main| REGISTRY.iter().any(|store| store.sidecars(&main).iter().any(|sidecar| sidecar == path)))
}

/// What a file is that is no store, as far as its bytes tell.
fn describe(source: &Source) -> String {
    let bytes = source.bytes();
    if bytes.is_empty() {
        return "is empty: there is nothing to recover".to_owned();
    }
    let head = bytes.get(..bytes.len().min(4096)).unwrap_or_default();
    let what = if head.iter().all(|byte| *byte == 0) {
        "begins with zeros"
    } else if std::str::from_utf8(head).is_ok_and(|text| !text.contains('\0')) {
        "is text"
    } else {
        "is of a kind that is not known"
    };
    format!("no store found in it: it {what}")
}

/// The user's options for the stores.
pub(super) fn options(common: &Common) -> Result<Options, Error> {
    let schema = common.schema.as_ref().map(|path| {
        fs::read_to_string(path).map_err(|error| Error::Source {
            path: path.clone(),
            what: "can't be read as text",
            error,
        })
    });
    Ok(Options { schema: schema.transpose()? })
}

/// Prints what was refused; the run goes on with the rest.
pub(super) fn report_refused(refused: &[Error]) {
    for error in refused {
        eprintln!("mudlark: {error}");
    }
}

/// The status when no store was found: sources that were read and hold nothing, or that could not be read.
pub(super) fn nothing_found(refused: &[Error]) -> super::Exit {
    let unreadable = |error: &Error| !matches!(error, Error::NotAStore { .. });
    if refused.iter().any(unreadable) { super::Exit::CouldNotRun } else { super::Exit::Nothing }
}
