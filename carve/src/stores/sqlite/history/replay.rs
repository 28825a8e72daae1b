//! The database as it stood at a point.

use super::point::{States, Told, refused};
use super::reach::Reached;
use crate::error::Error;
use crate::model::{Goal, Replayed, Until};
use crate::source::Source;
use crate::stores::sqlite::database::Roles;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes the pages of a point, unless one of them is lost and nothing may stand in for it: then nothing is written.
pub(in super::super) fn write(
    sources: &[Source],
    goal: Goal,
    output: &Path,
    out: &mut dyn Write,
) -> Result<Replayed, Error> {
    let put = |out: &mut dyn Write, bytes: &[u8]| {
        let failed = |error| Error::Output { path: PathBuf::from(output), what: "can't be written", error };
        out.write_all(bytes).map_err(failed)
    };
    let main = Roles::of(sources).main.and_then(|id| sources.get(usize::from(id.0)));
    let mut replayed = Replayed {
        point: None,
        pages: 0,
        from_log: 0,
        held_by: "log",
        behind: 0,
        stands: Vec::new(),
        notes: Vec::new(),
    };
    if goal.until == Until::Checkpoint {
        let main = main.ok_or_else(|| refused(sources, "the main file is not there".to_owned()))?;
        put(out, main.bytes())?;
        return Ok(replayed);
    }
    let states = States::of(sources)?;
    let reached = Reached::of(&states, sources, goal)?;
    let (pages, state) = (&states.pages, reached.state);
    replayed.notes = states.doubt().into_iter().chain(states.told_of(goal, state)).collect();
    if let Some(main) = main.filter(|_| states.told != Told::Log && state == pages.last()) {
        put(out, main.bytes())?;
        return Ok(replayed);
    }
    let zeros = vec![0; pages.geometry.page_size as usize];
    for page in 1..=reached.count {
        match reached.page(pages, page) {
            Some(image) => {
                replayed.from_log += u64::from(Some(image.source) == states.source);
                put(out, image.bytes)?;
            }
            None => put(out, &zeros)?,
        }
    }
    replayed.point = Some(states.point(state));
    replayed.pages = reached.count.into();
    replayed.held_by = if states.told == Told::Log { "log" } else { "journal" };
    replayed.behind = states.behind(state).into();
    replayed.stands = reached.stands;
    Ok(replayed)
}
