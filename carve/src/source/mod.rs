//! Sources: the bytes under examination, read-only and with holes.

mod guard;
mod hash;
mod mapped;
mod open;
mod pieces;
mod sectors;

pub use hash::{HASH_BY_DEFAULT, HashChoice, SourceHash, hash};

use crate::error::Error;
use crate::model::{Extent, Part, PartRole};
use mapped::Mapped;
use open::Open;
use pieces::Pieces;
use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io::{Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    name: String,
    metadata: Metadata,
    /// `None` for an empty file, which can't be mapped.
    mapped: Option<Arc<Mapped>>,
    trusted: bool,
    /// Where the bytes lie of a file that was found in an image.
    pieces: Option<Pieces>,
    /// The bytes of a log that was found in several pieces: logs are read from end to end.
    joined: Option<Arc<Vec<u8>>>,
    /// What a file is that was found in an image and can't say it by its first bytes.
    role: Option<PartRole>,
    /// Pages that were found in an image and may be of another file.
    open: Arc<Open>,
    /// Where the bytes lie, if elsewhere than where they belong.
    moved: Vec<Extent>,
    /// Offsets of the pages to which a header was given in place of bytes that are lost.
    rebuilt: Arc<HashSet<u64>>,
}

/// Logs that lie in pieces are read up to here: SQLite begins them anew long before.
const MOST_JOINED: u64 = 1 << 30;

impl Source {
    /// Opens the file or the block device at `path`.
    ///
    /// # Errors
    /// When it can't be opened, is neither of these, or can't be mapped.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |what| move |error| Error::Source { path: path.to_owned(), what, error };
        // Opening a pipe would wait for a writer, so what it is gets asked first.
        let before = std::fs::metadata(path).map_err(failed("can't be opened"))?;
        if !is_readable_anywhere(&before) {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        let mut file = File::open(path).map_err(failed("can't be opened"))?;
        let metadata = file.metadata().map_err(failed("can't be read"))?;
        if !is_readable_anywhere(&metadata) {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        // A device has no length in its metadata.
        let length = if metadata.is_file() { Ok(metadata.len()) } else { file.seek(SeekFrom::End(0)) };
        let length = length.map_err(failed("can't be read"))?;
        let mapped = (length > 0)
            .then(|| Mapped::new(&file, length, past_the_cache(path, &metadata)).map(Arc::new))
            .transpose()
            .map_err(failed("can't be mapped"))?;
        let name = path
            .file_name()
            .map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(Self {
            path: path.to_owned(),
            name,
            metadata,
            mapped,
            trusted: false,
            pieces: None,
            joined: None,
            role: None,
            open: Arc::default(),
            moved: Vec::new(),
            rebuilt: Arc::default(),
        })
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

    /// A file that lies in pieces of this one, which is an image: `extents` are in the order of the file and without a
    /// gap. Pages of `page_size` bytes don't reach over the end of a piece.
    #[must_use]
    pub fn part(&self, extents: &[Extent], page_size: u32) -> Self {
        Self {
            path: self.path.clone(),
            name: self.name.clone(),
            metadata: self.metadata.clone(),
            mapped: self.mapped.clone(),
            trusted: false,
            pieces: Some(Pieces::new(extents, page_size)),
            joined: None,
            role: None,
            open: Arc::default(),
            moved: Vec::new(),
            rebuilt: Arc::default(),
        }
    }

    /// This file, of which the bytes lie elsewhere than where they belong.
    #[must_use]
    pub fn moved(&self, extents: &[Extent], page_size: u32) -> Self {
        Self { trusted: self.trusted, moved: extents.to_vec(), ..self.part(extents, page_size) }
    }

    /// This file with the headers of some pages, each where it begins, in place of bytes that are lost there; `None` when it
    /// can't be mapped once more. What can't be read gets none.
    #[must_use]
    pub fn with_heads(&self, mut heads: Vec<(u64, Vec<u8>)>, page_size: u32) -> Option<Self> {
        let size = u64::from(page_size);
        let holes = self.holes();
        let page_of = |offset: u64| offset / size * size;
        heads.retain(|(offset, _)| {
            let page = page_of(*offset);
            !holes.iter().any(|(at, length)| *at < page + size && page < at + length)
        });
        if heads.is_empty() {
            return None;
        }
        let mapped = Mapped::patched(&self.reopened()?, self.mapping().len(), &heads).ok()?;
        let rebuilt = heads.iter().map(|(offset, _)| page_of(*offset)).collect();
        Some(Self { mapped: Some(Arc::new(mapped)), rebuilt: Arc::new(rebuilt), ..self.clone() })
    }

    /// Whether the page at an offset has a header that is not the file's.
    #[inline]
    #[must_use]
    pub fn is_rebuilt(&self, offset: u64) -> bool {
        !self.rebuilt.is_empty() && self.rebuilt.contains(&offset)
    }

    /// How many pages have.
    #[must_use]
    pub fn rebuilt(&self) -> usize {
        self.rebuilt.len()
    }

    /// Where the bytes of this file lie, if elsewhere than where they belong.
    #[must_use]
    pub fn moves(&self) -> &[Extent] {
        &self.moved
    }

    /// Bytes of the file as it was given.
    #[must_use]
    pub fn size(&self) -> u64 {
        if self.moved.is_empty() { self.len() } else { self.mapping().len() as u64 }
    }

    /// A database that was found in this image, as far as it is decided what its pages are.
    #[must_use]
    pub fn database(&self, part: &Part) -> Self {
        Self { open: Arc::new(Open::of(part)), ..self.part(&part.decided(), part.page_size) }
    }

    /// Whether it is a guess that the page at an offset is of this file.
    #[must_use]
    pub fn is_guessed(&self, offset: u64) -> bool {
        self.open.has(offset)
    }

    /// Whether there are such pages.
    #[must_use]
    pub fn has_guesses(&self) -> bool {
        !self.open.is_empty()
    }

    /// How likely the bytes at an offset are of this file, which was found in an image.
    #[must_use]
    pub fn share(&self, offset: u64, length: u64) -> f64 {
        let bytes = usize::try_from(length).ok().and_then(|length| self.get(offset, length));
        bytes.map_or(1.0, |bytes| self.open.share(self.mapping(), offset, bytes))
    }

    /// A log or a journal that was found in this image.
    #[must_use]
    pub fn log(&self, log: &Part) -> Self {
        let mut file = self.part(&log.extents, log.page_size);
        file.role = Some(log.role);
        if file.scattered().is_some() {
            let mut bytes = Vec::new();
            let inside = log.extents.iter().take_while(|extent| extent.at + extent.length <= MOST_JOINED);
            for extent in inside {
                let length = extent.length as usize;
                let found = extent.offset.and_then(|_| file.get(extent.at, length)).unwrap_or_default();
                bytes.extend_from_slice(found);
                bytes.resize((extent.at + extent.length) as usize, 0);
            }
            for (byte, known) in bytes.iter_mut().zip(&log.head) {
                *byte = *known;
            }
            file.joined = Some(Arc::new(bytes));
        }
        file
    }

    /// What the file is, where it was found in an image as a log or a journal.
    #[must_use]
    pub const fn found_as(&self) -> Option<PartRole> {
        self.role
    }

    /// The bytes a page of a file that lies in several pieces of an image.
    #[must_use]
    pub fn scattered(&self) -> Option<u32> {
        let pieces = self.pieces.as_ref().filter(|pieces| self.joined.is_none() && !pieces.is_one());
        pieces.map(Pieces::page_size)
    }

    /// Whether it is a file that was found in an image.
    #[must_use]
    pub const fn is_part(&self) -> bool {
        self.pieces.is_some()
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        if let Some(joined) = &self.joined {
            return joined.len() as u64;
        }
        self.pieces.as_ref().map_or(self.mapping().len() as u64, Pieces::len)
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn mapping(&self) -> &[u8] {
        self.mapped.as_ref().map_or(&[], |mapped| mapped.bytes())
    }

    /// The file's bytes; those that can't be read are zeros, listed by [`Source::holes`]. Of a file that lies in pieces
    /// those of the first one: use [`Source::get`].
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match (&self.joined, &self.pieces) {
            (Some(joined), _) => joined,
            (None, None) => self.mapping(),
            (None, Some(pieces)) => pieces.get(self.mapping(), 0, usize::MAX).unwrap_or_default(),
        }
    }

    /// The bytes from an offset of the file on: so many, or as many as its piece holds. `None` where nothing was found.
    #[inline]
    #[must_use]
    pub fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        if let Some(pieces) = self.pieces.as_ref().filter(|_| self.joined.is_none()) {
            return pieces.get(self.mapping(), offset, length);
        }
        let from = usize::try_from(offset).ok()?;
        let bytes = self.bytes();
        let to = from.saturating_add(length).min(bytes.len());
        bytes.get(from..to).filter(|bytes| !bytes.is_empty())
    }

    /// The offset in the file on disk, for one in the file: another one where it was found in an image.
    #[inline]
    #[must_use]
    pub fn place(&self, offset: u64) -> u64 {
        self.pieces.as_ref().map_or(offset, |pieces| pieces.place(offset).unwrap_or(offset))
    }

    /// All bytes in order, a piece at a time; zeros stand for what was not found.
    pub fn each_piece(&self, take: &mut dyn FnMut(&[u8])) {
        match (&self.joined, &self.pieces) {
            (Some(joined), _) => take(joined),
            (None, None) => take(self.mapping()),
            (None, Some(pieces)) => pieces.each(self.mapping(), take),
        }
    }

    /// The file once more, for reads beside the mapping; `None` when another one has taken its path.
    #[must_use]
    pub fn reopened(&self) -> Option<File> {
        let file = File::open(&self.path).ok()?;
        let now = file.metadata().ok()?;
        let same = (now.dev(), now.ino()) == (self.metadata.dev(), self.metadata.ino());
        (same && is_readable_anywhere(&now)).then_some(file)
    }

    /// Says that bytes at some offsets, of which there are many, won't be asked for soon: they need no memory.
    pub fn release(&self, range: Range<usize>) {
        if let Some(mapped) = &self.mapped {
            mapped.release(range);
        }
    }

    /// Reads the bytes from `at` on where not all of them can be read: sectors that can't be are zeros, and on record.
    pub fn read_by_sectors(&self, file: &File, at: u64, into: &mut [u8]) {
        let again = past_the_cache(&self.path, &self.metadata);
        let file = again.as_ref().unwrap_or(file);
        sectors::read(file, at, into, |from, length| {
            if let Some(mapped) = &self.mapped {
                mapped.note_unread(at + from as u64, length as u64);
            }
        });
    }

    /// Offsets and lengths in the file of the bytes that could not be read so far, in order.
    #[must_use]
    pub fn holes(&self) -> Vec<(u64, u64)> {
        let holes = self.mapped.as_ref().map(|mapped| mapped.holes()).unwrap_or_default();
        match &self.pieces {
            Some(pieces) => pieces.within(&holes),
            None => holes,
        }
    }
}

/// A block device once more, read past the system's cache, which has no pages of which only a part can be read. `None` for
/// what is no device, or where the path has become another one's.
fn past_the_cache(path: &Path, metadata: &Metadata) -> Option<File> {
    if !metadata.file_type().is_block_device() {
        return None;
    }
    let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path).ok()?;
    let now = file.metadata().ok()?;
    ((now.dev(), now.ino()) == (metadata.dev(), metadata.ino())).then_some(file)
}

/// Whether it is a file or a block device: what has a length and bytes at any offset.
fn is_readable_anywhere(metadata: &Metadata) -> bool {
    metadata.is_file() || metadata.file_type().is_block_device()
}
