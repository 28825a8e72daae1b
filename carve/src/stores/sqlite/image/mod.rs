//! Databases in raw images: found page by page, and put together.

mod gather;
mod hits;
mod logs;
mod loose;
mod parts;
mod scan;
mod whole;

pub(super) use scan::ImageScanner;

use crate::error::Error;
use crate::model::Part;
use crate::progress::Progress;
use crate::scan::Mark;
use crate::source::Source;
use hits::Hit;

/// The databases, logs and journals of an image, of which these are the marks.
pub(super) fn gather(image: &Source, marks: &[Mark], progress: &dyn Progress) -> Result<Vec<Part>, Error> {
    let bytes = image.bytes();
    let hits: Vec<Hit> = marks.iter().filter_map(|mark| Hit::of(*mark)).collect();
    let mut logs = logs::logs(bytes, &hits);
    let runs: Vec<(u64, u64)> = logs.iter().map(|log| (log.place, log.place + log.length)).collect();
    let mut gathered = gather::gather(image, &hits, &runs, progress);
    if progress.interrupted() {
        return Err(Error::Interrupted);
    }
    loose::frames(bytes, &gathered.orphans, &mut logs);
    logs.extend(loose::records(bytes, &gathered.orphans));
    let mut parts = parts::parts(bytes, &gathered);
    parts.extend(logs);
    parts.sort_by_key(|part| (part.place, part.role as u8));
    logs::join(image, &mut parts);
    // What has neither a header nor a database is no more than its pages.
    loose::give_up(&mut parts);
    let of_logs = loose::Places::of(&parts);
    gathered.orphans.retain(|hit| !of_logs.hold(hit.offset()));
    parts.extend(parts::orphans(bytes, &gathered.orphans));
    Ok(parts)
}
