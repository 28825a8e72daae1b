//! Where text goes: standard output, a device, or a file that stands under its name once it is whole.

use super::{Pending, Target};
use crate::error::{Error, STANDARD_OUTPUT};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

/// An open output of text.
#[derive(Debug)]
pub enum Out {
    /// Standard output.
    Stdout(io::Stdout),
    /// A device or a pipe, that is written to as it is; it can't be replaced.
    Device(File, PathBuf),
    /// A file.
    File(File, Pending),
}

impl Out {
    /// Opens the output.
    ///
    /// # Errors
    /// When the file can't be made.
    pub fn open(target: &Target) -> Result<Self, Error> {
        let failed = |path: &PathBuf, what| {
            let path = path.clone();
            move |error| Error::Output { path, what, error }
        };
        Ok(match target {
            Target::Stdout => Self::Stdout(io::stdout()),
            Target::File(path) | Target::OneOfMany(path, _) if path.exists() && !path.is_file() => {
                let open = File::options().write(true).open(path);
                Self::Device(open.map_err(failed(path, "can't be opened"))?, path.clone())
            }
            Target::File(path) | Target::OneOfMany(path, _) => {
                let pending = Pending::new(path)?;
                let file = File::create(pending.temporary()).map_err(failed(path, "can't be made"))?;
                Self::File(file, pending)
            }
        })
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let (written, path) = match self {
            Self::Stdout(out) => (out.lock().write_all(bytes), STANDARD_OUTPUT.into()),
            Self::Device(file, path) => (file.write_all(bytes), path.clone()),
            Self::File(file, pending) => (file.write_all(bytes), pending.path().to_owned()),
        };
        written.map_err(|error| Error::Output { path, what: "can't be written", error })
    }

    /// Ends the output; a file comes to stand under its name.
    ///
    /// # Errors
    /// When that fails.
    pub fn finish(self) -> Result<(), Error> {
        match self {
            Self::Stdout(mut out) => out.flush().map_err(|error| Error::Output {
                path: STANDARD_OUTPUT.into(),
                what: "can't be written",
                error,
            }),
            Self::Device(..) => Ok(()),
            Self::File(file, pending) => {
                drop(file);
                pending.keep()
            }
        }
    }
}
