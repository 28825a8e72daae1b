//! Files that come to stand under their final name only when they are whole.

use crate::error::Error;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The files of this run that are not kept, for when it has to end at once.
static UNKEPT: Mutex<Unkept> =
    Mutex::new(Unkept { temporaries: Vec::new(), any_kept: false, of_many: 0, abandoned: false });

struct Unkept {
    temporaries: Vec<PathBuf>,
    /// Another one stands under its final name by now.
    any_kept: bool,
    /// How many of many do, each of which is whole by itself.
    of_many: usize,
    abandoned: bool,
}

/// Removes all files that are being written, none of which can be kept any more; false, and nothing happens, when this run
/// has put one in place already.
pub fn abandon() -> bool {
    let mut unkept = UNKEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if unkept.any_kept {
        return false;
    }
    unkept.abandoned = true;
    for temporary in unkept.temporaries.drain(..) {
        let _ = fs::remove_file(temporary);
    }
    true
}

/// How many files of many stand under their names.
pub fn kept_of_many() -> usize {
    UNKEPT.lock().unwrap_or_else(PoisonError::into_inner).of_many
}

/// A file that is being written beside its final name; it vanishes unless it is kept.
#[derive(Debug)]
pub struct Pending {
    path: PathBuf,
    temporary: PathBuf,
    kept: bool,
}

impl Pending {
    /// Makes an empty file beside `path`.
    ///
    /// # Errors
    /// When the folder can't be written, or when a device or a pipe stands there, which is never replaced.
    pub fn new(path: &Path) -> Result<Self, Error> {
        // What a link leads to is replaced, not the link.
        let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let path = resolved.as_path();
        if path.exists() && !path.is_file() {
            let reason = "is no regular file; a database needs one".to_owned();
            return Err(Error::OutputRefused { path: path.to_owned(), reason });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        let failed = |error| Error::Output { path: path.to_owned(), what: "can't be made", error };
        // Left by a run that was killed under the same process id.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut unkept = UNKEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if unkept.abandoned {
            return Err(Error::Interrupted);
        }
        File::create_new(&temporary).map_err(failed)?;
        unkept.temporaries.push(temporary.clone());
        Ok(Self { path: path.to_owned(), temporary, kept: false })
    }

    /// The final name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name to write to.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Puts the file under its final name, once it is on the disk.
    ///
    /// # Errors
    /// When that fails; then nothing stands under the final name that did not before.
    pub fn keep(self) -> Result<(), Error> {
        self.sync()?;
        self.put_in_place(|unkept| unkept.any_kept = true)
    }

    /// The same of a file of many: when the run has to end at once, it is there all the same.
    ///
    /// # Errors
    /// When that fails; then nothing stands under the final name that did not before.
    pub fn keep_of_many(self) -> Result<(), Error> {
        self.sync()?;
        self.put_in_place(|unkept| unkept.of_many += 1)
    }

    /// The same without waiting for the disk: a file of an image can be written again.
    ///
    /// # Errors
    /// When that fails; then nothing stands under the final name that did not before.
    pub fn put_down(self) -> Result<(), Error> {
        self.put_in_place(|unkept| unkept.of_many += 1)
    }

    fn sync(&self) -> Result<(), Error> {
        let synced = File::open(&self.temporary).and_then(|file| file.sync_all());
        synced.map_err(|error| self.not_in_place(error))
    }

    fn not_in_place(&self, error: io::Error) -> Error {
        Error::Output { path: self.path.clone(), what: "can't be put in place", error }
    }

    fn put_in_place(mut self, note: impl FnOnce(&mut Unkept)) -> Result<(), Error> {
        let mut unkept = UNKEPT.lock().unwrap_or_else(PoisonError::into_inner);
        if unkept.abandoned {
            return Err(Error::Interrupted);
        }
        fs::rename(&self.temporary, &self.path).map_err(|error| self.not_in_place(error))?;
        unkept.temporaries.retain(|temporary| *temporary != self.temporary);
        note(&mut unkept);
        drop(unkept);
        self.kept = true;
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.kept {
            // Nothing can be done about a failure here, and the name says what the file is.
            let _ = fs::remove_file(&self.temporary);
            let mut unkept = UNKEPT.lock().unwrap_or_else(PoisonError::into_inner);
            unkept.temporaries.retain(|temporary| *temporary != self.temporary);
        }
    }
}
