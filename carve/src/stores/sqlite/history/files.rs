//! What the times of the files say of commits.
//!
//! The log is written by each commit, the main file by checkpoints only. So all commits were made by the time at which the
//! log was last written. Those that a checkpoint is known to have copied were made by the time at which the main file was:
//! the ones of older generations, which were copied before the current one began, and those up to which the main file
//! counts changes. When nothing of the current generation was copied, the main file was last written before that began.

use super::commits::LogCommit;
use super::pages::Pages;
use crate::model::Bound;
use crate::moments;
use crate::source::{Source, SourceId};
use crate::stores::sqlite::database::Roles;

/// Microseconds by which the files must have been written apart at least, and one for each of their bytes, for the time of
/// the earlier one to be that of a checkpoint: a copy that loses both times takes less, at a megabyte a second.
const APART: i64 = 60_000_000;

/// When the files of a store were last written.
#[derive(Debug)]
pub(super) struct Files<'s> {
    main: Option<(&'s Source, i64)>,
    log: Option<(&'s Source, i64)>,
}

impl<'s> Files<'s> {
    pub(super) fn of(sources: &'s [Source], roles: &Roles, log: SourceId) -> Self {
        let written = |id: SourceId| {
            let source = sources.get(usize::from(id.0))?;
            let modified = std::fs::metadata(source.path()).and_then(|metadata| metadata.modified()).ok()?;
            Some((source, moments::of_system(modified)?))
        };
        Self { main: roles.main.and_then(written), log: written(log) }
    }

    /// When the log or the journal was last written.
    pub(super) fn log_written(&self) -> Option<Bound> {
        let (log, micros) = self.log?;
        Some(Bound { micros, evidence: format!("{} was last written", log.name()) })
    }

    /// What a commit is not after; `current` tells that it is of the log's current generation, `counted` what
    /// [`Pages::counted_in_main`] says.
    pub(super) fn not_after(
        &self,
        commit: &LogCommit,
        current: bool,
        counted: Option<(u32, u32)>,
    ) -> Option<Bound> {
        let evidence = |name: &str| match counted.filter(|_| current) {
            None => (!current).then(|| format!("{name} was last written")),
            Some((count, frame)) => (commit.frames.1 <= frame)
                .then(|| format!("{name}, which counts changes up to {count}, was last written")),
        };
        let of_main = self.main.and_then(|(main, micros)| {
            let evidence = evidence(main.name())?;
            Some(Bound { micros, evidence })
        });
        [self.log_written(), of_main].into_iter().flatten().min_by_key(|bound| bound.micros)
    }

    /// What the current generation is not before. `from_rows` is the latest moment in rows that the log wrote: where that
    /// lies before the main file's time, a copy lost the file's own.
    pub(super) fn log_began(&self, pages: &Pages<'_>, from_rows: Option<i64>) -> Option<Bound> {
        let ((main, micros), (log, written)) = self.main.zip(self.log)?;
        let apart = i64::try_from(main.len() + log.len()).ok()?.saturating_add(APART);
        let is_own = !pages.is_any_copied()
            && pages.counted_in_main().is_none()
            && written.saturating_sub(micros) >= apart
            && from_rows.is_none_or(|latest| latest >= micros);
        let evidence = format!("{} was last written, and holds nothing of commit:1 or later", main.name());
        is_own.then_some(Bound { micros, evidence })
    }
}
