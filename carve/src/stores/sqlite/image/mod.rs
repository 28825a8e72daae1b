//! Databases in raw images: found page by page, and put together.

mod gather;
mod hits;
mod parts;
mod scan;

use crate::error::Error;
use crate::model::Part;
use crate::progress::Progress;
use crate::source::Source;

/// The databases, logs and journals of an image.
pub(super) fn gather(image: &Source, progress: &dyn Progress) -> Result<Vec<Part>, Error> {
    let bytes = image.bytes();
    progress.stage("looking for stores", bytes.len() as u64);
    let hits = scan::scan(bytes, progress);
    let gathered = gather::gather(bytes, &hits, progress);
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    Ok(parts::parts(bytes, &gathered))
}
