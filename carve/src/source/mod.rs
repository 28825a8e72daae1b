//! Sources: the bytes under examination, read-only and with holes.

mod guard;
mod hash;
mod mapped;

pub use hash::{HASH_BY_DEFAULT, HashChoice, SourceHash, hash};

use crate::error::Error;
use mapped::Mapped;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Number of a source within a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u16);

/// A run of bytes in a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// The source.
    pub source: SourceId,
    /// Offset of the first byte.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
}

/// A file that is read and never written.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    name: String,
    metadata: Metadata,
    /// `None` for an empty file, which can't be mapped.
    mapped: Option<Mapped>,
    trusted: bool,
}

impl Source {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// When it can't be opened, is no regular file, or can't be mapped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |what| move |error| Error::Source { path: path.to_owned(), what, error };
        // Opening a pipe would wait for a writer, so what it is gets asked first.
        let before = std::fs::metadata(path).map_err(failed("can't be opened"))?;
        if !before.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(failed("can't be opened"))?;
        let metadata = file.metadata().map_err(failed("can't be read"))?;
        if !metadata.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let mapped = (metadata.len() > 0)
            .then(|| Mapped::new(&file))
            .transpose()
            .map_err(failed("can't be mapped"))?;
        let name = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Self { path: path.to_owned(), name, metadata, mapped, trusted: false })
    }

    /// The same, named by the user as a part of the store.
    #[must_use]
    pub fn trusted(mut self) -> Self {
        self.trusted = true;
        self
    }

    /// Whether the user names it as a part of the store, instead of its standing beside the main file.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The path as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name, as evidence names it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file's metadata when it was opened.
    #[must_use]
    pub const fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The file's bytes; those that can't be read are zeros, listed by [`Source::holes`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.mapped.as_ref().map_or(&[], Mapped::bytes)
    }

    /// The file once more, for reads beside the mapping; `None` when another one has taken its path.
    #[must_use]
    pub fn reopened(&self) -> Option<File> {
        let file = File::open(&self.path).ok()?;
        let now = file.metadata().ok()?;
        let same = (now.dev(), now.ino()) == (self.metadata.dev(), self.metadata.ino());
        (same && now.is_file()).then_some(file)
    }

    /// Offsets and lengths of the bytes that could not be read so far.
    #[must_use]
    pub fn holes(&self) -> Vec<(u64, u64)> {
        self.mapped.as_ref().map(Mapped::holes).unwrap_or_default()
    }
}
