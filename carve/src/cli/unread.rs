//! What could not be read of sources: they shrank, or their disk is failing.

use crate::error::Error;
use crate::source::Source;
use crate::words::grouped_count;
use std::path::Path;

/// Says what could not be read of each source; whether all of it could be.
pub(super) fn tell(sources: &[Source]) -> bool {
    let mut whole = true;
    for source in sources {
        let unread = source.holes();
        let Some((first, _)) = unread.first() else { continue };
        whole = false;
        eprintln!(
            "mudlark: {}: {} can't be read, in {}, the first at {first:#x}; they count as zeros. If the disk is failing, \
             copy it with a tool that tries again, as ddrescue, and work on the copy",
            source.path().display(),
            grouped_count(unread.iter().map(|(_, length)| length).sum(), "byte"),
            grouped_count(unread.len() as u64, "place"),
        );
    }
    whole
}

/// Refuses an output that may hold zeros in the place of what could not be read.
///
/// # Errors
/// When a source could not be read to its end.
pub(super) fn refuse(sources: &[Source], output: &Path) -> Result<(), Error> {
    if tell(sources) {
        return Ok(());
    }
    let reason = "is not written, since what can't be read may be a part of it".to_owned();
    Err(Error::OutputRefused { path: output.to_owned(), reason })
}
