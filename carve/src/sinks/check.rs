//! Outputs that are refused before any work is done.

use crate::error::Error;
use crate::source::Source;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What outputs must not be written to.
#[derive(Clone, Debug)]
pub struct Check {
    /// Device and inode of each source.
    sources: HashSet<(u64, u64)>,
    /// Their paths, without links.
    paths: HashSet<PathBuf>,
    /// Names that an engine would take for a part of a source, as its journal.
    taken: HashSet<PathBuf>,
    /// Whether files that exist are replaced.
    force: bool,
}

impl Check {
    /// For these sources; `taken` lists names that a source's engine would take for a part of the store.
    #[must_use]
    pub fn new<'s>(
        sources: impl Iterator<Item = &'s Source>,
        taken: impl Iterator<Item = PathBuf>,
        force: bool,
    ) -> Self {
        // The files of an image are all of one source.
        let mut given: HashSet<PathBuf> = HashSet::new();
        let mut check = Self { sources: HashSet::new(), paths: HashSet::new(), taken: HashSet::new(), force };
        for source in sources {
            if given.insert(source.path().to_owned()) {
                check.sources.insert((source.metadata().dev(), source.metadata().ino()));
                check.paths.insert(resolve(source.path()));
            }
        }
        let taken: HashSet<PathBuf> = taken.collect();
        check.taken = taken.iter().map(|taken| resolve(taken)).collect();
        check
    }

    /// Refuses an output: one that exists, is a folder, or would write into a source.
    ///
    /// # Errors
    /// The reason, and what to do.
    pub fn output(&self, path: &Path) -> Result<(), Error> {
        let refuse =
            |reason: &str| Err(Error::OutputRefused { path: path.to_owned(), reason: reason.to_owned() });
        let resolved = resolve(path);
        let found = std::fs::metadata(path).ok();
        let is_source =
            found.as_ref().is_some_and(|found| self.sources.contains(&(found.dev(), found.ino())));
        if is_source || self.paths.contains(&resolved) {
            return refuse("the output would overwrite a source; give another name");
        }
        if self.taken.contains(&resolved) {
            return refuse("the output would be taken for a part of a source; give another name");
        }
        let Some(found) = found else { return Ok(()) };
        if found.is_dir() {
            return refuse("is a folder; name a file, or end the name with / to write a folder of databases");
        }
        // A device or a pipe takes lines, and is not replaced.
        if found.is_file() && !self.force {
            return refuse("exists already; give another name, or --force to replace it");
        }
        Ok(())
    }
}

/// Refuses an output before any work is done: one that exists, is a folder, or would write into a source.
///
/// `taken` lists names that a source's engine would take for a part of the store, as its journal.
///
/// # Errors
/// The reason, and what to do.
pub fn check(path: &Path, sources: &[Source], taken: &[PathBuf], force: bool) -> Result<(), Error> {
    Check::new(sources.iter(), taken.iter().cloned(), force).output(path)
}

/// The path without links, as far as it exists already.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    if let Ok(resolved) = path.canonicalize() {
        return resolved;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => resolve(Path::new(".")).join(name),
        (Some(parent), Some(name)) => resolve(parent).join(name),
        _ => path.to_owned(),
    }
}
