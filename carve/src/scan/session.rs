//! Session files: the marks of a pass, kept so that it can go on, or need not be made again.
//!
//! | bytes | field | note |
//! |------:|-------|------|
//! |    16 | magic | `mudlark session\n` |
//! |     8 | maker | hash of what decides on the marks: version of the scan, stores of the registry |
//! |     8 | length | bytes of the image |
//! |    32 | image | hash of samples of the image, over all of it |
//!
//! Batches follow. All numbers are little-endian and of eight bytes: where the next batch begins, the bytes of holes, the
//! number of marks of each store, the marks, and a hash of these. A batch that is torn ends the file.

use super::{Batch, Index, Mark};
use crate::error::Error;
use crate::source::Source;
use crate::stores::REGISTRY;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 16] = b"mudlark session\n";

/// Bytes before the first batch.
const HEADER_LEN: usize = 64;

/// Counts up when a scan makes other marks of the same bytes.
const VERSION: u32 = 1;

/// Samples of an image: with more than this many, an image that differs in a few places is found out no more often.
const SAMPLES: u64 = 64;

/// Bytes of a sample.
const SAMPLE: usize = 4096;

/// A session file that is open.
#[derive(Debug)]
pub struct Session {
    path: PathBuf,
    file: File,
}

impl Session {
    /// Opens the session at `path` for this image, and gives what it holds; makes the file when there is none.
    ///
    /// # Errors
    /// When the file is another one's, or can't be read or made.
    pub fn open(path: &Path, source: &Source) -> Result<(Self, Index), Error> {
        let failed = |error| Error::Output { path: path.to_owned(), what: "can't be opened", error };
        let refused = |reason: String| Error::OutputRefused { path: path.to_owned(), reason };
        let head = head(source);
        match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
            Ok(mut file) => {
                file.write_all(&head).map_err(failed)?;
                let index = Index { marks: vec![Vec::new(); REGISTRY.len()], ..Index::default() };
                return Ok((Self { path: path.to_owned(), file }, index));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        if !path.is_file() {
            return Err(refused("is no regular file; name one for the session".to_owned()));
        }
        // Nothing is written to a file before it is known to be a session.
        let mut file = File::open(path).map_err(failed)?;
        let mut found = [0; HEADER_LEN];
        let is_one = file.read_exact(&mut found).is_ok() && found.starts_with(MAGIC);
        if !is_one {
            return Err(refused("exists and is no session file; give another name".to_owned()));
        }
        if found.get(24..) != head.get(24..) {
            return Err(refused(belongs_elsewhere(&found, source)));
        }
        if found.get(16..24) != head.get(16..24) {
            let reason = "is a session of another version of mudlark; remove it, or give another name";
            return Err(refused(reason.to_owned()));
        }
        let (index, end) = read(&mut file, source.bytes().len() as u64).map_err(failed)?;
        let mut file = OpenOptions::new().write(true).open(path).map_err(failed)?;
        if index.reached < source.bytes().len() as u64 {
            file.set_len(end).map_err(failed)?;
        }
        file.seek(SeekFrom::Start(end)).map_err(failed)?;
        Ok((Self { path: path.to_owned(), file }, index))
    }

    /// Keeps a batch.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn keep(&mut self, batch: &Batch) -> Result<(), Error> {
        let marks: usize = batch.marks.iter().map(Vec::len).sum();
        let mut bytes = Vec::with_capacity(8 * (3 + batch.marks.len() + marks));
        let mut put = |number: u64| bytes.extend(number.to_le_bytes());
        put(batch.reached);
        put(batch.skipped);
        batch.marks.iter().for_each(|marks| put(marks.len() as u64));
        batch.marks.iter().flatten().for_each(|mark| put(mark.to_number()));
        let sum = sum(&bytes);
        bytes.extend(sum);
        self.file.write_all(&bytes).map_err(|error| Error::Output {
            path: self.path.clone(),
            what: "can't be written",
            error,
        })
    }
}

/// The header of a session of this image.
fn head(source: &Source) -> [u8; HEADER_LEN] {
    let mut maker = blake3::Hasher::new();
    maker.update(&VERSION.to_le_bytes());
    for store in REGISTRY {
        maker.update(store.name().as_bytes()).update(&[0]);
    }
    let bytes = source.bytes();
    let len = bytes.len() as u64;
    let mut image = blake3::Hasher::new();
    for sample in 0..SAMPLES {
        let at = (u128::from(sample) * u128::from(len) / u128::from(SAMPLES)) as usize;
        image.update(bytes.get(at..bytes.len().min(at + SAMPLE)).unwrap_or_default());
    }
    image.update(bytes.get(bytes.len().saturating_sub(SAMPLE)..).unwrap_or_default());
    let (maker, image) = (maker.finalize(), image.finalize());
    let maker = maker.as_bytes().iter().take(8).copied();
    let parts = MAGIC.iter().copied().chain(maker).chain(len.to_le_bytes()).chain(*image.as_bytes());
    let mut head = [0; HEADER_LEN];
    for (to, from) in head.iter_mut().zip(parts) {
        *to = from;
    }
    head
}

/// What a session that is not of this image is of.
fn belongs_elsewhere(found: &[u8; HEADER_LEN], source: &Source) -> String {
    let len = found.get(24..).and_then(|len| len.first_chunk()).map_or(0, |len| u64::from_le_bytes(*len));
    let have = source.bytes().len() as u64;
    let why = if len == have {
        format!("of as many bytes as {}, though not the same ones", source.path().display())
    } else {
        format!("of {len} bytes, and {} has {have}", source.path().display())
    };
    format!("is the session of another image, {why}; give another name")
}

/// What the batches hold, up to one that is torn, and where that begins.
fn read(file: &mut File, len: u64) -> io::Result<(Index, u64)> {
    let mut index = Index { marks: vec![Vec::new(); REGISTRY.len()], ..Index::default() };
    let mut end = HEADER_LEN as u64;
    let left = file.metadata()?.len();
    let mut file = io::BufReader::new(file);
    while index.reached < len {
        let Some(batch) = read_batch(&mut file, left.saturating_sub(end))? else { break };
        let marks: usize = batch.marks.iter().map(Vec::len).sum();
        if batch.reached <= index.reached || batch.reached > len {
            break;
        }
        end += 8 * (3 + REGISTRY.len() + marks) as u64;
        index.reached = batch.reached;
        index.skipped += batch.skipped;
        for (all, new) in index.marks.iter_mut().zip(batch.marks) {
            all.extend(new);
        }
    }
    Ok((index, end))
}

/// The next batch; `None` where the file ends or is torn, of which so many bytes are left.
fn read_batch(file: &mut impl Read, left: u64) -> io::Result<Option<Batch>> {
    let mut bytes = Vec::new();
    let start = 8 * (2 + REGISTRY.len()) as u64;
    let whole = |bytes: &[u8], len: u64| bytes.len() as u64 == len;
    file.take(start).read_to_end(&mut bytes)?;
    if !whole(&bytes, start) {
        return Ok(None);
    }
    let counts: Vec<u64> = numbers(&bytes).skip(2).collect();
    let marks = counts.iter().fold(0_u64, |all, count| all.saturating_add(*count));
    let rest = marks.saturating_add(1).saturating_mul(8);
    if rest > left.saturating_sub(start) {
        return Ok(None);
    }
    file.take(rest).read_to_end(&mut bytes)?;
    let Some((kept, stored)) = bytes.split_last_chunk::<8>().filter(|_| whole(&bytes, start + rest)) else {
        return Ok(None);
    };
    if sum(kept) != *stored {
        return Ok(None);
    }
    let mut all = numbers(kept);
    let (reached, skipped) = (all.next().unwrap_or(0), all.next().unwrap_or(0));
    let mut all = all.skip(REGISTRY.len());
    let marks = counts.iter().map(|count| {
        let marks = all.by_ref().take(usize::try_from(*count).unwrap_or(usize::MAX));
        marks.map(Mark::from_number).collect()
    });
    Ok(Some(Batch { marks: marks.collect(), reached, skipped }))
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number))
}

fn sum(bytes: &[u8]) -> [u8; 8] {
    let hash = blake3::hash(bytes);
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}
