//! The pages of a database at one point: the main file, overlaid by its log or its journal.

use crate::source::{Source, SourceId, Span};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::journal::{Journal, Record};
use mudlark_parsers::sqlite::wal::Wal;
use std::collections::HashMap;

/// A version of a page: its bytes and where they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageVersion<'a> {
    pub number: u32,
    /// Fewer than the page size where the file is cut.
    pub bytes: &'a [u8],
    pub source: SourceId,
    pub offset: u64,
    /// The commit of the log that wrote it.
    pub commit: Option<u32>,
}

impl PageVersion<'_> {
    /// The span of `length` bytes at `at` on the page.
    pub(super) fn span(&self, at: u32, length: u32) -> Span {
        Span { source: self.source, offset: self.offset + u64::from(at), length: u64::from(length) }
    }
}

#[derive(Clone, Copy, Debug)]
struct Overlay {
    source: SourceId,
    offset: u64,
    commit: Option<u32>,
}

/// The pages of a database at one point.
#[derive(Debug)]
pub(super) struct View<'a> {
    sources: &'a [Source],
    /// The main file; `None` when only its log or journal is there.
    main: Option<SourceId>,
    pub geometry: Geometry,
    /// Pages of the database at this point.
    pub page_count: u32,
    /// Pages that the main file holds, the last one perhaps in part.
    pub main_pages: u32,
    overlay: HashMap<u32, Overlay>,
    /// Old versions of pages, numbered behind the current ones.
    old: Vec<(u32, Overlay)>,
}

impl<'a> View<'a> {
    /// The main file as it lies.
    pub(super) fn main(sources: &'a [Source], main: Option<SourceId>, geometry: Geometry) -> Self {
        let file = main.and_then(|main| sources.get(usize::from(main.0)));
        let len = file.map_or(0, |file| file.bytes().len() as u64);
        let main_pages = u32::try_from(len.div_ceil(u64::from(geometry.page_size)))
            // SQLite's largest page number.
            .unwrap_or(u32::MAX - 1)
            .min(u32::MAX - 1);
        Self {
            sources,
            main,
            geometry,
            page_count: main_pages,
            main_pages,
            overlay: HashMap::new(),
            old: Vec::new(),
        }
    }

    /// The same, with the commits of a log.
    pub(super) fn with_log(mut self, log: &Wal, source: SourceId) -> Self {
        for frame in log.frames.iter().take(log.committed) {
            // The header of a damaged frame may name any page; an older version of that page is better than none.
            if !frame.sound && frame.page > log.frames.len() as u32 + self.main_pages {
                continue;
            }
            let commit = Some(frame.commit_number);
            self.overlay.insert(frame.page, Overlay { source, offset: frame.offset, commit });
            if frame.sound && frame.commit != 0 {
                self.page_count = frame.commit;
            }
        }
        let count = self.page_count;
        self.overlay.retain(|page, _| *page <= count);
        self
    }

    /// The same, after a rollback of a hot journal.
    pub(super) fn with_rollback(mut self, journal: &Journal, source: SourceId) -> Self {
        self.page_count = journal.header.page_count;
        for record in &journal.records {
            // The first record of a page is the one from before the transaction.
            if record.page <= self.page_count {
                let overlay = Overlay { source, offset: record.offset, commit: None };
                self.overlay.entry(record.page).or_insert(overlay);
            }
        }
        self
    }

    /// The page numbered `number`, as it stands at this point.
    #[inline]
    pub(super) fn page(&self, number: u32) -> Option<PageVersion<'a>> {
        if number == 0 {
            return None;
        }
        if let Some(index) = number.checked_sub(self.page_count + 1) {
            let (page, old) = self.old.get(index as usize)?;
            return self.version(*page, old.source, old.offset, old.commit);
        }
        if !self.overlay.is_empty()
            && let Some(over) = self.overlay.get(&number)
        {
            return self.version(number, over.source, over.offset, over.commit);
        }
        let offset = u64::from(number - 1) * u64::from(self.geometry.page_size);
        self.version(number, self.main?, offset, None)
    }

    /// The last number that [`View::page`] answers: old versions are numbered behind the current pages.
    pub(super) fn last_number(&self) -> u32 {
        self.page_count + self.old.len() as u32
    }

    /// Adds the committed versions of pages that the current view no longer shows.
    pub(super) fn add_old(&mut self, log: Option<(SourceId, &Wal)>, journal: Option<(SourceId, &[Record])>) {
        let shown = |page: u32, source: SourceId, offset: u64| {
            self.overlay.get(&page).is_some_and(|over| over.source == source && over.offset == offset)
        };
        let mut old = Vec::new();
        if let Some((source, log)) = log {
            for frame in log.frames.iter().take(log.committed).chain(&log.older) {
                if frame.sound && !shown(frame.page, source, frame.offset) {
                    let commit = (frame.commit_number > 0).then_some(frame.commit_number);
                    old.push((frame.page, Overlay { source, offset: frame.offset, commit }));
                }
            }
            if let Some(source) = self.main {
                let size = u64::from(self.geometry.page_size);
                let hidden = (1..=self.main_pages)
                    .filter(|page| *page > self.page_count || self.overlay.contains_key(page));
                old.extend(hidden.map(|page| {
                    (page, Overlay { source, offset: u64::from(page - 1) * size, commit: None })
                }));
            }
        }
        for record in journal.map(|(_, records)| records).unwrap_or_default() {
            let source = journal.map_or(SourceId(0), |(source, _)| source);
            old.push((record.page, Overlay { source, offset: record.offset, commit: None }));
        }
        // The numbers behind the current pages must not run out.
        let room = (u32::MAX - 1).saturating_sub(self.page_count) as usize;
        old.truncate(room);
        self.old = old;
    }

    fn version(
        &self,
        number: u32,
        source: SourceId,
        offset: u64,
        commit: Option<u32>,
    ) -> Option<PageVersion<'a>> {
        let bytes = self.sources.get(usize::from(source.0))?.bytes();
        let from = usize::try_from(offset).ok()?;
        let to = from.saturating_add(self.geometry.page_size as usize).min(bytes.len());
        let bytes = bytes.get(from..to).filter(|bytes| !bytes.is_empty())?;
        Some(PageVersion { number, bytes, source, offset, commit })
    }

    /// Whether the page's bytes come from a log or a journal.
    pub(super) fn is_overlaid(&self, number: u32) -> bool {
        self.overlay.contains_key(&number)
    }

    /// Whether anything overlays the main file.
    pub(super) fn has_overlay(&self) -> bool {
        !self.overlay.is_empty()
    }
}
