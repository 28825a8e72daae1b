//! Exit statuses.

use crate::error::Error;
use std::io;
use std::process::ExitCode;

/// The status of a run that the user stopped.
pub(super) const INTERRUPTED: i32 = 3;

/// The status of a run that could not be done.
pub(super) const COULD_NOT_RUN: i32 = 2;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `verify`: sound.
    Done,
    /// Sources were read and nothing was found; for `verify`: damage.
    Nothing,
    /// Could not run.
    CouldNotRun,
    /// Done in part.
    InPart,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Nothing => 1,
            Exit::CouldNotRun => 2,
            Exit::InPart => 3,
        })
    }
}

/// Prints an error and gives its status.
pub(super) fn of_error(error: &Error) -> Exit {
    if let Error::Output { error, .. } = error
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        // The reader has seen enough.
        return Exit::InPart;
    }
    eprintln!("mudlark: {error}");
    match error {
        Error::Interrupted
        | Error::ScanInterrupted { .. }
        | Error::FolderInterrupted { .. }
        | Error::CasesInterrupted => Exit::InPart,
        _ => Exit::CouldNotRun,
    }
}
