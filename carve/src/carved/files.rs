//! Writes a file of an image page by page.

use crate::error::Error;
use crate::model::Part;
use crate::sinks::Pending;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writes a part of an image to a file, which stands under its name only when it is whole. What was not found, and follows
/// from nothing else, stays a hole of zeros.
///
/// # Errors
/// When the file can't be written.
pub fn write(image: &[u8], part: &Part, path: &Path) -> Result<(), Error> {
    put(path, |file| {
        file.write_all(&part.head)?;
        for extent in &part.extents {
            let Some(offset) = extent.offset else { continue };
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(image.len());
            let length = usize::try_from(extent.length).unwrap_or(usize::MAX);
            let bytes = image.get(from..from.saturating_add(length).min(image.len())).unwrap_or_default();
            write_at(file, extent.at, bytes)?;
        }
        file.set_len(part.length)
    })
}

/// Bytes that are written at a time.
const PIECE: usize = 1 << 20;

/// Writes bytes of an image, which may be mapped from what fails to be read.
fn write_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    for (index, piece) in bytes.chunks(PIECE).enumerate() {
        let at = at + (index * PIECE) as u64;
        match file.write_all_at(piece, at) {
            // The system reads the bytes, and tells of a fault where the guard of the mapping would have answered it.
            Err(error) if error.raw_os_error() == Some(libc::EFAULT) => {
                let read = piece.to_vec();
                file.write_all_at(&read, at)?;
            }
            written => written?,
        }
    }
    Ok(())
}

/// Makes a file that stands under its name only when it is whole. It is not waited for until it is on the disk: what a
/// crash of the machine takes can be carved again.
///
/// # Errors
/// When the file can't be written.
pub fn put(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
    let pending = Pending::new(path)?;
    let failed = |error| Error::Output { path: path.to_owned(), what: "can't be written", error };
    File::create(pending.temporary()).and_then(|mut file| fill(&mut file)).map_err(failed)?;
    pending.put_down()
}
