//! Pages that stood behind the end of a main file that was cut off, or in one that is not there.

use super::{Pages, Seen};
use crate::words::grouped;
use mudlark_parsers::sqlite::header;

impl Pages<'_> {
    /// How many pages the main file must have had before the log: a checkpoint leaves as many as its last commit had, and a
    /// commit of a rollback journal as many as the header says. `first` is what the first commit of an older generation
    /// that is still there had.
    pub(super) fn pages_before(&self, first: Option<u32>) -> u32 {
        if self.main_pages == 0 {
            // SQLite takes no log for a database without a page: it had one.
            return u32::MAX;
        }
        let (older, current) =
            self.commits.split_at_checked(self.before_current as usize).unwrap_or_default();
        if let Some(first) = first {
            return older.iter().map(|commit| commit.page_count).fold(first, u32::max);
        }
        let stated =
            |first: super::PageVersion<'_>| header::header(first.bytes).ok()?.1.believed_page_count();
        match self.at(1, 0) {
            Seen::Image(first) => stated(first).unwrap_or(0),
            // What all commits had was there before them, but for what the first of them may have added and never written.
            Seen::Absent | Seen::Unknown => current.iter().map(|commit| commit.page_count).min().unwrap_or(0),
        }
    }

    /// Whether the main file must have had a page, and ends before it.
    pub(super) fn is_behind_end(&self, page: u32) -> bool {
        page > self.main_pages && page <= self.had
    }

    /// Whether the main file is not all there.
    pub fn is_short(&self) -> bool {
        self.had > self.main_pages
    }

    /// The same for a person.
    pub fn told_short(&self) -> Option<String> {
        let what = match (self.main, self.main_pages) {
            _ if !self.is_short() => return None,
            (None, _) => "the main file is not there".to_owned(),
            (Some(_), 0) => "the main file has not even one page".to_owned(),
            (Some(_), pages) => {
                format!(
                    "the main file ends behind page {} of {}",
                    grouped(pages.into()),
                    grouped(self.had.into())
                )
            }
        };
        Some(format!("{what}: what stood in the rest is known only as far as the log or the journal has it"))
    }
}
