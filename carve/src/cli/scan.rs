//! How a command looks through an image: its options, and the session file.

use crate::error::Error;
use crate::progress::Progress;
use crate::scan::{self, Batch, Index, Session};
use crate::sinks;
use crate::source::Source;
use std::path::PathBuf;

/// Options of every command that looks through images.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Scan {
    /// Keep what was found in an image here, for further commands, and for --resume
    #[arg(long, value_name = "FILE")]
    pub session: Option<PathBuf>,
    /// Go on with a look through an image that was interrupted
    #[arg(long, requires = "session")]
    pub resume: bool,
}

impl Scan {
    /// Where something lies in an image: from the session when it is done, else by a look through the image.
    ///
    /// # Errors
    /// When the session is not of the image, or is not done and `resume` is not given; when the user stops.
    pub(super) fn index(&self, source: &Source, progress: &dyn Progress) -> Result<Index, Error> {
        let len = source.bytes().len() as u64;
        let Some(path) = &self.session else {
            let index = scan::scan(source, Index::default(), &mut |_: &Batch| Ok(()), progress)?;
            return finished(index, len, "with --session FILE it would have been kept".to_owned());
        };
        if path.exists() {
            // That it exists is no reason to refuse it, all others are.
            sinks::check(path, std::slice::from_ref(source), &[], true)?;
        }
        let (mut session, index) = Session::open(path, source)?;
        if index.reached > 0 && index.reached < len && !self.resume {
            let reason = format!(
                "holds {} % of the image, of a look that was interrupted; --resume goes on with it",
                percent(index.reached, len)
            );
            return Err(Error::OutputRefused { path: path.clone(), reason });
        }
        let index = scan::scan(source, index, &mut |batch| session.keep(batch), progress)?;
        finished(index, len, format!("{} keeps it, and --resume goes on", path.display()))
    }
}

fn finished(index: Index, len: u64, kept: String) -> Result<Index, Error> {
    if index.complete {
        return Ok(index);
    }
    Err(Error::ScanInterrupted { percent: percent(index.reached, len), kept })
}

fn percent(part: u64, whole: u64) -> u64 {
    (u128::from(part) * 100 / u128::from(whole.max(1))) as u64
}
