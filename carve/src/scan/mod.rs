//! One pass over an image: every store looks at every window of it, and marks what may be a part of it.
//!
//! An image is not parsed here, and nothing in it decides where the pass goes on. Windows are looked at in parallel, each by
//! itself, and their marks put in the order of the image; so the marks are the same for any number of threads, and for a
//! pass that was interrupted and went on.

mod extents;
mod mark;
mod session;
mod window;

pub use mark::Mark;
pub use session::Session;
pub use window::{WINDOW, Window};

use crate::error::Error;
use crate::progress::Progress;
use crate::source::Source;
use crate::stores::REGISTRY;
use extents::Extents;
use rayon::prelude::*;
use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;

/// How a store finds its parts in an image.
pub trait Scanner: Sync {
    /// Marks the places of a window that look like parts of the store, in order.
    fn window(&self, window: &Window<'_>, marks: &mut Vec<Mark>);

    /// Adds the marks of parts that show only beside others, once all windows are done, and brings all in order.
    fn complete(&self, image: &[u8], marks: &mut Vec<Mark>);

    /// Whether a file may be an image, as far as its first bytes tell: not when it begins as a store that fills it.
    fn may_be_an_image(&self, source: &Source) -> bool;

    /// Whether a file that may be an image is one that holds parts of this store, by its marks, and not the store itself.
    fn is_an_image(&self, source: &Source, marks: &[Mark]) -> bool;

    /// Whether a file that is no image may be a store, by its marks and where there are none by what else it holds.
    fn may_be_a_store(&self, source: &Source, marks: &[Mark]) -> bool;

    /// How many marks there are of what.
    fn counts(&self, marks: &[Mark]) -> Vec<(&'static str, u64)>;
}

/// Windows that are looked at between two looks at the user: a tenth of a second's work, or less.
const BATCH: usize = 256;

/// What a pass has found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The marks of each store, in the order of the registry and of the image.
    pub marks: Vec<Vec<Mark>>,
    /// The image is done up to here.
    pub reached: u64,
    /// Bytes that are holes of the image's file, which read as zeros and were not read.
    pub skipped: u64,
    /// Whether the pass came to the image's end.
    pub complete: bool,
}

impl Index {
    /// The marks of the store with this name.
    #[must_use]
    pub fn of(&self, store: &str) -> &[Mark] {
        let at = REGISTRY.iter().position(|known| known.name() == store);
        at.and_then(|at| self.marks.get(at)).map_or(&[], Vec::as_slice)
    }
}

/// Marks that a batch adds: those of each store, and where the next batch begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The marks of each store, in the order of the registry.
    pub marks: Vec<Vec<Mark>>,
    /// The image is done up to here.
    pub reached: u64,
    /// Bytes of it that are holes.
    pub skipped: u64,
}

/// Is shown each batch as it is done.
pub type BatchSink<'s> = dyn FnMut(&Batch) -> Result<(), Error> + 's;

/// Goes on with a pass over an image, from where `index` ends; a pass that the user stops is not complete.
///
/// # Errors
/// What the sink returns.
pub fn scan(
    source: &Source,
    mut index: Index,
    sink: &mut BatchSink<'_>,
    progress: &dyn Progress,
) -> Result<Index, Error> {
    let image = source.bytes();
    let image = image.get(..image.len().min(Mark::MOST as usize)).unwrap_or(image);
    let file = source.reopened();
    let mut extents = Extents::of(file.as_ref(), image.len());
    index.marks.resize_with(REGISTRY.len(), Vec::new);
    progress.stage("looking for stores", image.len() as u64);
    progress.advance(index.reached);
    while (index.reached as usize) < image.len() {
        if progress.interrupted() {
            return Ok(index);
        }
        let windows = extents.windows(index.reached as usize, BATCH);
        let batch = look(source, image, file.as_ref(), &windows);
        progress.advance(batch.reached - index.reached);
        index.reached = batch.reached;
        index.skipped += batch.skipped;
        sink(&batch)?;
        for (all, new) in index.marks.iter_mut().zip(batch.marks) {
            all.extend(new);
        }
    }
    for (store, marks) in REGISTRY.iter().zip(&mut index.marks) {
        store.scanner().complete(image, marks);
        marks.shrink_to_fit();
    }
    index.complete = true;
    Ok(index)
}

/// The windows of a batch.
#[derive(Clone, Debug, Default)]
struct Windows {
    /// Where each begins.
    starts: Vec<usize>,
    /// Where the next batch begins.
    end: usize,
    /// Bytes before that which lie in holes.
    skipped: usize,
}

thread_local! {
    /// What a thread reads windows into: the same memory for all of them, which then lies in its core's own cache.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Looks at a batch of windows, in parallel.
fn look(source: &Source, image: &[u8], file: Option<&File>, windows: &Windows) -> Batch {
    let found: Vec<Vec<Vec<Mark>>> = each(source, image, file, windows, |window| {
        let each = REGISTRY.iter().map(|store| {
            let mut marks = Vec::new();
            store.scanner().window(window, &mut marks);
            marks
        });
        each.collect()
    });
    let mut marks = vec![Vec::new(); REGISTRY.len()];
    for window in found {
        for (all, new) in marks.iter_mut().zip(window) {
            all.extend(new);
        }
    }
    Batch { marks, reached: windows.end as u64, skipped: windows.skipped as u64 }
}

/// What `look` makes of each window of a batch, in their order.
fn each<T: Send>(
    source: &Source,
    image: &[u8],
    file: Option<&File>,
    windows: &Windows,
    look: impl Fn(&Window<'_>) -> T + Sync,
) -> Vec<T> {
    let at = |from: &usize| {
        let len = WINDOW.min(image.len() - from);
        BUFFER.with_borrow_mut(|buffer| {
            let bytes = read(source, image, file, (*from, len), buffer);
            look(&Window { image, from: *from, bytes })
        })
    };
    let found = windows.starts.par_iter().map(at).collect();
    if let (Some(first), Some(last)) = (windows.starts.first(), windows.starts.last()) {
        source.release(first.saturating_sub(WINDOW)..last.saturating_add(2 * WINDOW));
    }
    found
}

/// One more pass over an image, of a store that knows its marks and asks for more: hands `take` what `look` makes of each
/// window that holds data, in their order. Ends early when the user stops the run.
pub fn again<T: Send>(
    source: &Source,
    look: impl Fn(&Window<'_>) -> T + Sync,
    take: &mut dyn FnMut(T),
    progress: &dyn Progress,
) {
    let image = source.bytes();
    let file = source.reopened();
    let mut extents = Extents::of(file.as_ref(), image.len());
    let mut reached = 0;
    while reached < image.len() && !progress.interrupted() {
        let windows = extents.windows(reached, BATCH);
        reached = windows.end;
        each(source, image, file.as_ref(), &windows, &look).into_iter().for_each(&mut *take);
    }
}

/// The bytes of a window, read rather than mapped where that can be: to map them costs more than to copy them. Sectors that
/// can't be read are zeros, and on record.
fn read<'b>(
    source: &Source,
    image: &'b [u8],
    file: Option<&File>,
    (from, len): (usize, usize),
    buffer: &'b mut Vec<u8>,
) -> &'b [u8] {
    let mapped = image.get(from..from + len).unwrap_or_default();
    let Some(file) = file else { return mapped };
    buffer.resize(WINDOW, 0);
    let Some(into) = buffer.get_mut(..len) else { return mapped };
    if file.read_exact_at(into, from as u64).is_err() {
        source.read_by_sectors(file, from as u64, into);
    }
    into
}

#[cfg(test)]
mod tests {
    use super::{WINDOW, read};
    use crate::source::Source;
    use std::fs::{self, File};

    #[test]
    fn what_can_not_be_read_is_zeros_and_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        fs::write(&path, vec![7; WINDOW]).unwrap();
        let source = Source::open(&path).unwrap();
        let file = source.reopened().unwrap();
        // What a file lost since is like what a disk doesn't give.
        let left = WINDOW - 3 * 4096 - 512;
        File::options().write(true).open(&path).unwrap().set_len(left as u64).unwrap();
        let mut buffer = Vec::new();
        let bytes = read(&source, source.bytes(), Some(&file), (0, WINDOW), &mut buffer);
        assert!(bytes[..left].iter().all(|byte| *byte == 7) && bytes[left..].iter().all(|byte| *byte == 0));
        assert_eq!((bytes.len(), source.holes()), (WINDOW, vec![(left as u64, (WINDOW - left) as u64)]));
    }
}
