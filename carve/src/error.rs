//! What ends a run: a source that can't be read, an output that can't be written.

use std::io;
use std::path::{Path, PathBuf};

/// What ends a run. Broken evidence is never an error: it is damage, and goes into the findings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source can't be opened or read.
    #[error("{}: {what}: {error}{}", path.display(), advice(path, error))]
    Source {
        /// The source.
        path: PathBuf,
        /// What could not be done.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// A source is neither a regular file nor a block device.
    #[error("{}: {}", path.display(), not_a_file(path))]
    NotAFile {
        /// The source.
        path: PathBuf,
    },
    /// A source is not a store.
    #[error("{}: {reason}", path.display())]
    NotAStore {
        /// The source.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// An output can't be written.
    #[error("{}: {what}: {error}{}", path.display(), advice(path, error))]
    Output {
        /// The output.
        path: PathBuf,
        /// What could not be done.
        what: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// An output is refused before anything is written.
    #[error("{}: {reason}", path.display())]
    OutputRefused {
        /// The output.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// The output database can't be written.
    #[error("{}: can't be written: {error}{}", path.display(), database_advice(error))]
    Database {
        /// The output.
        path: PathBuf,
        /// What SQLite says.
        error: rusqlite::Error,
    },
    /// A store can't be brought to a point.
    #[error("{}: {reason}", path.display())]
    Replay {
        /// The store.
        path: PathBuf,
        /// Why, and what there is.
        reason: String,
    },
    /// The truth of a case, or what a run of cases left, can't be read.
    #[error("{}: {what}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Options that don't go together.
    #[error("{0}")]
    Usage(String),
    /// The user stopped a pass over an image.
    #[error("interrupted with {percent} % of the image done; {kept}")]
    ScanInterrupted {
        /// How much is done.
        percent: u64,
        /// What is left of it.
        kept: String,
    },
    /// The user stopped the run.
    #[error("interrupted; nothing was left under the output's name")]
    Interrupted,
    /// The user stopped a run that writes a folder.
    #[error("interrupted; the folder holds {done} of its files, each of them whole")]
    FolderInterrupted {
        /// Files that are done.
        done: usize,
    },
    /// The user stopped a run of cases.
    #[error(
        "interrupted; what the cases that are done came to is kept, and the same command goes on with the others"
    )]
    CasesInterrupted,
}

/// What standard output is called where the name of a file would stand.
pub const STANDARD_OUTPUT: &str = "standard output";

fn not_a_file(path: &Path) -> &'static str {
    if path.is_dir() {
        "is a folder, and one file is wanted here: give the file itself"
    } else {
        "not a regular file; give a file, a folder that holds one, or a block device"
    }
}

fn advice(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull if path == Path::new(STANDARD_OUTPUT) => {
            "; free some space where it goes".to_owned()
        }
        io::ErrorKind::PermissionDenied => "; run as a user who may, or work on a copy".to_owned(),
        io::ErrorKind::NotFound => "; check the name".to_owned(),
        io::ErrorKind::NotADirectory => "; give a folder".to_owned(),
        io::ErrorKind::ReadOnlyFilesystem => "; name a place that can be written to".to_owned(),
        io::ErrorKind::StorageFull => format!("; free some space beside {}", path.display()),
        _ => String::new(),
    }
}

fn database_advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; the disk is full: free some space, or give another -o",
        _ => "",
    }
}
