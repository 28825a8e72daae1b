//! Writes a file of an image page by page.

use crate::error::Error;
use crate::model::Part;
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
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
            file.seek(SeekFrom::Start(extent.at))?;
            file.write_all(bytes)?;
        }
        file.set_len(part.length)
    })
}

/// Makes a file that stands under its name only when it is whole. It is not waited for until it is on the disk: what a
/// crash of the machine takes can be carved again.
///
/// # Errors
/// When the file can't be written.
pub fn put(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = File::create(&temporary).and_then(|mut file| fill(&mut file));
    let kept = written.and_then(|()| fs::rename(&temporary, path));
    kept.map_err(|error| {
        // Nothing can be done about a failure here, and the name says what the file is.
        let _ = fs::remove_file(&temporary);
        Error::Output { path: path.to_owned(), what: "can't be written", error }
    })
}
