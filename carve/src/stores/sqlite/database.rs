//! An opened database: its tables, and the rows of them.

use super::belongs::Judged;
use super::catalogue::Catalogue;
use super::chains::Chained;
use super::detect::Detected;
use super::emit::{Reader, Witnesses};
use super::entries::{Entries, Entry};
use super::forest::{Forest, Ground, Object, Tree, bounds};
use super::freelist::Freelist;
use super::history::{self, Commits, Lifetimes, OfTable, Pages};
use super::ids::RowIds;
use super::layout::Layout;
use super::leaf::{FoundCell, Spot};
use super::lost_entries::LostEntries;
use super::lost_keys;
use super::open_keys::{Open, holds, joined};
use super::outdated::Outdated;
use super::strays::Strays;
use super::survey::Survey;
use super::temp::{self, Temp};
use super::untold::Told;
use super::view::{Applied, View};
use super::{findings, gone, keyed, loss, settle, windows, wiped};
use crate::error::Error;
use crate::model::{Batch, Cell, Finding, Loss, PartRole, Stand, Table, TableId};
use crate::source::{Source, SourceId};
use crate::stores::{AskedRow, Instance, PageCounts, RowSink, TableCount};
use crate::words::{count, grouped_count};
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::sqlite::wal::Wal;
use mudlark_parsers::sqlite::{journal, wal};
use mudlark_parsers::value::TextEncoding;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};

/// Pages that are read into one batch: some hundred kilobytes.
const BATCH_PAGES: usize = 32;

/// Batches that are read at a time, for each thread.
const WINDOW: usize = 1;

/// Bytes that the rows of a window may take: wide rows and long payloads are read fewer at a time.
const WINDOW_BYTES: u64 = 128 << 20;

/// What each source is to the database.
#[derive(Clone, Debug, Default)]
pub(super) struct Roles {
    pub main: Option<SourceId>,
    pub log: Option<SourceId>,
    pub journal: Option<SourceId>,
    pub temps: Vec<(SourceId, Temp)>,
}

impl Roles {
    /// Tells the roles by content. A file that is neither log nor journal and comes first is the main file.
    pub(super) fn of(sources: &[Source]) -> Self {
        let mut roles = Self::default();
        for (number, source) in sources.iter().enumerate() {
            let id = SourceId(number as u16);
            let bytes = source.bytes();
            if let Some(role) = source.found_as() {
                match role {
                    PartRole::Log => _ = roles.log.get_or_insert(id),
                    PartRole::Journal => _ = roles.journal.get_or_insert(id),
                    _ => {}
                }
                continue;
            }
            if number == 0 && source.scattered().is_some() {
                roles.main = Some(id);
                continue;
            }
            let named = |ending: &str| source.name().ends_with(ending);
            if wal::wal_header(bytes).is_ok() || number > 0 && named("-wal") {
                roles.log.get_or_insert(id);
            } else if journal::segment_header(bytes).is_ok() || number > 0 && named("-journal") {
                roles.journal.get_or_insert(id);
            } else if let Some(temp) = temp::read(bytes) {
                roles.temps.push((id, temp));
            } else if roles.main.is_none() && !named("-shm") {
                roles.main = Some(id);
            } else if number > 0 && temp::is_named(source) {
                roles.temps.extend(Temp::database(bytes).map(|temp| (id, temp)));
            }
        }
        roles
    }
}

/// A table to put out, and how its rows are read.
#[derive(Debug)]
pub(super) struct Output {
    pub table: Table,
    /// Number of its tree in the forest.
    pub tree: usize,
    /// Number of its definition in the catalogue.
    pub def: Option<usize>,
    pub layout: Layout,
    /// Trees of indexes without a name that point into it, with the stored position of each key cell.
    pub unnamed_indexes: Vec<(usize, Vec<usize>)>,
    /// What its pages hold, where no definition tells.
    pub told: Told,
}

/// An opened database.
#[derive(Debug)]
pub(super) struct Database<'a> {
    pub sources: &'a [Source],
    pub roles: Roles,
    /// The log, when it is not left out.
    pub log: Option<(SourceId, Wal)>,
    /// Whether the log that is there belongs to the database.
    pub judged: Option<Judged>,
    /// When the rows stood; made when it is first asked.
    pub lifetimes: OnceLock<Option<Lifetimes<'a>>>,
    /// What the last transaction did, of which a journal holds the pages from before; made when it is first asked.
    pub last_transaction: OnceLock<Option<Lifetimes<'a>>>,
    /// The state that the user chose, when that is known among those that a log tells of.
    pub chosen: Option<u32>,
    /// The only row that is asked for, of a log that holds too many versions of all rows to keep them.
    pub asked: Option<AskedRow>,
    /// What a person should know of the point that the user chose, and the pages that are not as they were.
    pub notes: (Vec<String>, Vec<Stand>),
    /// The overflow pages of all rows.
    pub chained: Chained,
    pub view: View<'a>,
    pub survey: Survey,
    pub catalogue: Catalogue,
    pub free: Freelist,
    pub auto_vacuum: bool,
    pub forest: Forest,
    /// By tree: where rows of lost pages may be found.
    pub strays: HashMap<usize, Strays>,
    pub detected: Detected,
    pub encoding: TextEncoding,
    pub outputs: Vec<Output>,
    /// Where rows that are gone may be found.
    pub places: gone::Places,
    /// What temp files hold of each tree.
    pub streams: gone::Streams,
    pub tables: Vec<Table>,
    pub findings: Vec<Finding>,
    /// For each table whose rows were read: rows that only index entries name, and rows with a broken chain.
    pub missing: Mutex<Vec<(TableId, u64, u64)>>,
}

impl<'a> Database<'a> {
    /// Takes old pages that are surely of one table from those where rows of others may have stood.
    pub(super) fn leave_to_others(&mut self) {
        for (tree, strays) in &mut self.strays {
            strays.leaves.retain(|page| self.places.sure_owner(*page).is_none_or(|owner| owner == *tree));
        }
    }

    pub(super) fn ground(&self) -> Ground<'_, 'a> {
        Ground {
            view: &self.view,
            survey: &self.survey,
            catalogue: &self.catalogue,
            free: &self.free,
            auto_vacuum: self.auto_vacuum,
        }
    }

    pub(super) fn tree(&self, output: &Output) -> Option<&Tree> {
        self.forest.trees.get(output.tree)
    }

    /// Whether anything in the file is broken: then the same structure means less.
    pub(super) fn is_damaged(&self) -> bool {
        !self.detected.notes.is_empty()
            || !self.catalogue.whole
            || self.forest.trees.iter().any(|tree| {
                tree.object != Object::Stale
                    && (tree.gaps.iter().any(|gap| gap.parent != 0 || gap.child != 0)
                        || tree.pages.iter().any(|page| !self.survey.page(*page).sound))
            })
    }

    /// Whether a log is there that holds anything.
    pub(super) fn is_logged(&self) -> bool {
        self.log.as_ref().is_some_and(|(_, log)| !log.frames.is_empty() || log.beyond > 0)
    }

    /// What the commits of the log did, when there is one.
    pub(super) fn lifetimes(&self) -> Option<&Lifetimes<'a>> {
        let make = || {
            let is_chosen = self.view.is_chosen();
            let (source, log) = self.log.as_ref().filter(|_| self.view.has_overlay() || is_chosen)?;
            let commits = Commits::of(log);
            let geometry = self.view.geometry;
            let pages = Pages::of(self.sources, self.roles.main, (*source, log), geometry, &commits);
            let state = if is_chosen { self.chosen? } else { pages.last() };
            Lifetimes::of(pages, self.encoding, state, self.asked.as_ref())
        };
        self.lifetimes.get_or_init(make).as_ref()
    }

    /// The only row of a table whose earlier versions in a log are wanted. One that no column shows may have had another id.
    pub(super) fn asked_of(&self, output: &Output) -> Option<i64> {
        let asked = self.asked.as_ref().filter(|asked| output.table.is_called(&asked.table))?;
        let def = self.catalogue.tables.get(output.def?)?;
        def.ddl.rowid_alias.map(|_| asked.rowid)
    }

    /// When the rows of a table stood, when a log tells.
    pub(super) fn lifetimes_of(&self, output: &Output) -> Option<OfTable<'_>> {
        self.of_table(self.lifetimes()?, output)
    }

    /// What the last transaction did to the rows of a table, when a journal tells.
    pub(super) fn last_changes_of(&self, output: &Output) -> Option<OfTable<'_>> {
        let make = || {
            let (main, journal) = self.roles.main.zip(self.roles.journal)?;
            let pages = history::last_transaction(self.sources, main, journal, self.view.geometry)?;
            let last = pages.last();
            Lifetimes::of(pages, self.encoding, last, None)
        };
        let of_journal =
            || self.last_transaction.get_or_init(make).as_ref().filter(|_| !self.view.is_chosen());
        self.of_table(self.lifetimes().or_else(of_journal)?, output)
    }

    fn of_table<'l>(&self, lifetimes: &'l Lifetimes<'l>, output: &Output) -> Option<OfTable<'l>> {
        let tree = self.tree(output)?;
        let dropped =
            output.def.and_then(|def| self.catalogue.tables.get(def)).is_some_and(|def| def.dropped);
        let root = (tree.root > 0 && !dropped).then_some(tree.root);
        Some(lifetimes.of_table(output, root, dropped, tree.rowids))
    }

    /// How the rows of a table are read.
    fn reader(&self, number: usize, damaged: bool) -> Option<Reader<'_, 'a>> {
        let output = self.outputs.get(number)?;
        let tree = self.tree(output)?;
        let bare = tree.gaps.iter().filter(|gap| {
            lost_keys::is_bare(self.ground(), gap)
                && self.forest.place(gap.child).is_none()
                && !self.free.trunks.contains(&gap.child)
        });
        let claims = Claims::NONE
            .with_if(damaged, Claim::FileDamaged)
            .with_if(output.table.name.is_none(), Claim::TreeWithoutName)
            .with_if(output.told == Told::Entries, Claim::FromIndex)
            .with_if(output.told == Told::Either, Claim::PerhapsEntry);
        Some(Reader {
            ground: self.ground(),
            forest: &self.forest,
            def: output.def.and_then(|def| self.catalogue.tables.get(def)),
            layout: &output.layout,
            rowids: tree.rowids,
            encoding: self.encoding,
            claims,
            logged: (self.view.has_overlay() || self.view.is_chosen()) && self.roles.log.is_some(),
            bare: bare.map(|gap| (gap.child, gap.range)).collect(),
            strays: self.strays.get(&output.tree),
            chained: &self.chained,
            tree,
            lifetimes: self.lifetimes_of(output),
        })
    }

    /// The pages of a tree that are not sound.
    fn damaged_pages(&self, tree: &Tree) -> impl Iterator<Item = u32> {
        tree.pages.iter().copied().filter(|page| !self.survey.page(*page).sound)
    }

    /// Reads the rows of one table.
    fn table_rows<'s>(
        &'s self,
        number: usize,
        damaged: bool,
        altered: &mut gone::Altered,
        sink: &mut RowSink<'_, 's>,
    ) -> Result<(), Error> {
        let (Some(output), Some(reader)) = (self.outputs.get(number), self.reader(number, damaged)) else {
            return Ok(());
        };
        let Some(tree) = self.tree(output) else { return Ok(()) };
        let bare = reader.further_pages();
        let (mut witnesses, mut kept) = (Witnesses::default(), gone::Kept::default());
        if tree.rowids {
            let read = |place: Spot, out: &mut Vec<_>| reader.cells(place, out);
            let ground = self.ground();
            let lost = self.strays.get(&output.tree).map(|strays| &strays.keys);
            (witnesses.verdicts, kept.by_rowid, kept.contested) =
                settle::settle(&self.forest, ground, &tree.pages, &bare, lost, &self.chained, &read);
            witnesses.ids = self.no_ids(tree);
            witnesses.outdated = Outdated::of(&reader, &bare);
            let object = tree.object;
            let unnamed = &output.unnamed_indexes;
            witnesses.entries = Entries::of(&self.forest, self.ground(), object, unnamed, &output.layout);
            if damaged {
                for (rowid, place, copy) in gone::mended(self, (output, &reader), &witnesses.entries, &kept) {
                    let verdict = witnesses.verdicts.entry(place).or_default();
                    verdict.restored_from.get_or_insert((copy, Claim::BitsRestored));
                    kept.by_rowid.insert(rowid, copy);
                }
            }
        } else if let Some(def) = reader.def.filter(|def| !def.ddl.primary_key.is_empty()) {
            let read = |place: Spot, out: &mut Vec<_>| reader.cells(place, out);
            let (ground, keys) = (self.ground(), def.ddl.primary_key.len());
            if let Some(strays) = self.strays.get(&output.tree) {
                let own = keyed::rows(ground, keys, tree.pages.iter().copied(), &read);
                let key = &def.ddl.primary_key;
                let lost = LostEntries::of(ground, (tree, &strays.keys), key, self.encoding);
                witnesses.outdated = Outdated::of_keyed(&reader, &bare, keys, &own, &lost);
                (witnesses.verdicts, kept.by_key) = keyed::settle(ground, keys, own, &bare, &lost, &read);
            } else {
                // On damaged pages rows are read to which no pointer leads.
                kept.by_key = keyed::rows(ground, keys, self.damaged_pages(tree), &read);
            }
        }
        let place = |page: &u32| Spot { page: *page, remnants: false };
        for page in self.damaged_pages(tree).filter(|page| gone::is_broken(self, *page)) {
            let cells = kept.on_broken.entry(page).or_default();
            reader.cells(place(&page), cells);
        }
        for page in reader.bare.keys().filter(|_| tree.rowids) {
            let cells = kept.on_broken.entry(*page).or_default();
            reader.cells(place(page), cells);
            let is_kept = |found: &FoundCell| {
                let place = (*page, found.cell.at);
                kept.by_rowid.get(&found.cell.rowid).is_some_and(|(kept, _)| *kept == place)
            };
            cells.retain(is_kept);
        }
        let pages: Vec<Spot> = tree.pages.iter().map(place).chain(bare).collect();
        let mut broken = 0;
        let weight = |place: &Spot| self.weight(place.page, output.layout.columns.len());
        let width = WINDOW * rayon::current_num_threads();
        let units = runs(&pages, BATCH_PAGES, WINDOW_BYTES / width as u64, weight);
        let empty = || Batch::new(TableId(number as u32), self.encoding);
        let read = |window: &[&[Spot]], batches: &mut Vec<Batch<'s>>| {
            batches.resize_with(window.len(), empty);
            batches.iter_mut().for_each(Batch::clear);
            let work = window.par_iter().zip(&mut *batches);
            work.for_each(|(pages, batch)| reader.read(pages, &witnesses, batch));
        };
        let mut counted = |batches: &[Batch<'s>]| {
            broken += broken_chains(batches);
            sink(batches)
        };
        let windows = runs(&units, width, WINDOW_BYTES, |pages| pages.iter().map(weight).sum());
        windows::put(windows.into_iter(), read, &mut counted)?;
        let gone = self.gone(tree, &witnesses.entries);
        for entries in gone.chunks(1024) {
            let mut batch = empty();
            for entries in entries {
                reader.row_from_entries(entries, &witnesses, &mut batch);
            }
            sink(&[batch])?;
        }
        witnesses.entries.forget_places();
        let table = gone::Table { number, claims: reader.claims, kept, witnesses };
        gone::rows(self, table, altered, sink)?;
        if let Ok(mut missing) = self.missing.lock() {
            missing.push((TableId(number as u32), gone.len() as u64, broken));
        }
        Ok(())
    }

    /// Room for the row ids of a tree.
    fn no_ids(&self, tree: &Tree) -> RowIds {
        let (first, last) = bounds(self.ground(), &tree.pages);
        RowIds::between(
            first,
            last,
            tree.pages.iter().map(|page| u64::from(self.survey.page(*page).cells)).sum(),
        )
    }

    /// Bytes that the rows of a page can take in memory.
    fn weight(&self, page: u32, columns: usize) -> u64 {
        let info = self.survey.page(page);
        // Nothing tells how many rows a page without a header holds: at most one for each smallest cell.
        let smallest = self.view.geometry.page_size / 4;
        let rows = if info.kind.is_some() { u32::from(info.cells) } else { smallest };
        let cells = u64::from(rows).saturating_mul(columns as u64);
        cells.saturating_mul(size_of::<Cell<'_>>() as u64).saturating_add(info.spilled_bytes)
    }

    /// Entries of rows that are gone: only where the table has lost something that could have held them.
    fn gone(&self, tree: &Tree, entries: &Entries) -> Vec<Vec<Entry>> {
        let damaged = tree.pages.iter().map(|page| self.survey.page(*page)).filter(|info| !info.sound);
        let damaged = damaged.map(|info| (info.first, info.last));
        let damaged = joined(damaged.collect());
        let open = Open::of(tree);
        let could_hold = |rowid: i64| holds(&damaged, rowid) || open.hold(rowid);
        if tree.gaps.is_empty() && damaged.is_empty() {
            return Vec::new();
        }
        let mut gone = entries.unseen();
        gone.retain(|entries| entries.first().is_some_and(|entry| could_hold(entry.rowid)));
        gone
    }
}

/// Splits into runs of at most `most` items that weigh no more than `limit`, but for single ones that do.
fn runs<T>(items: &[T], most: usize, limit: u64, weight: impl Fn(&T) -> u64) -> Vec<&[T]> {
    let mut found = Vec::new();
    let (mut from, mut sum) = (0, 0_u64);
    for (index, item) in items.iter().enumerate() {
        let next = weight(item);
        if index > from && (index - from == most || sum.saturating_add(next) > limit) {
            found.extend(items.get(from..index));
            (from, sum) = (index, 0);
        }
        sum = sum.saturating_add(next);
    }
    found.extend(items.get(from..).filter(|rest| !rest.is_empty()));
    found
}

fn broken_chains(batches: &[Batch<'_>]) -> u64 {
    let rows = batches.iter().flat_map(|batch| &batch.rows);
    rows.filter(|row| row.claims.has(Claim::ChainBroken)).count() as u64
}

/// What was laid over the main file, for a person.
fn applied(applied: Applied) -> String {
    let left_out = |behind| match behind {
        0 => String::new(),
        _ => format!(" ({} left out)", count(u64::from(behind), "later commit")),
    };
    let frames = |behind| grouped_count(behind, "frame");
    match applied {
        Applied::Nothing => String::new(),
        Applied::Log { commits: 0, behind } => {
            format!(", without its log (no commit in it, {} left out)", frames(behind))
        }
        Applied::Log { commits, behind } => {
            let commits = grouped_count(u64::from(commits), "commit");
            let rest = match behind {
                0 => String::new(),
                _ => format!(", {} after the last one left out", frames(behind)),
            };
            format!(", through its log ({commits} applied{rest})")
        }
        Applied::Chosen { point: None, .. } => ", the main file as it lies".to_owned(),
        Applied::Chosen { point: Some(point), behind } => format!(", as of {point}{}", left_out(behind)),
        Applied::Rollback { pages } => {
            format!(", after rollback of its journal ({} put back)", grouped_count(pages, "page"))
        }
    }
}

impl Instance for Database<'_> {
    fn what(&self) -> String {
        let geometry = self.view.geometry;
        let log = applied(self.view.applied);
        let missing = match self.view.absent() {
            0 => String::new(),
            _ if self.roles.main.is_none() => String::new(),
            absent => format!(", cut short: {} missing", count(u64::from(absent), "page")),
        };
        let judged = self.judged.as_ref().and_then(Judged::told);
        let judged = judged.map(|told| format!("; {told}")).unwrap_or_default();
        format!(
            "SQLite database, {} of {} bytes, {}{log}{missing}{judged}",
            count(u64::from(self.view.page_count), "page"),
            geometry.page_size,
            self.encoding.name()
        )
    }

    fn notes(&self) -> &[String] {
        &self.notes.0
    }

    fn stands(&self) -> &[Stand] {
        &self.notes.1
    }

    fn taken_for(&self) -> Vec<String> {
        let role = |number: usize| {
            let id = Some(SourceId(number as u16));
            if id == self.roles.main {
                "SQLite database"
            } else if let Some((_, temp)) = self.roles.temps.iter().find(|(temp, _)| Some(*temp) == id) {
                temp.role()
            } else if id == self.roles.log {
                "SQLite write-ahead log"
            } else if id.is_some() && id == self.judged.as_ref().map(Judged::log) {
                "SQLite write-ahead log of another database, left out"
            } else if id == self.roles.journal {
                "SQLite rollback journal"
            } else if self.sources.get(number).is_some_and(|source| source.name().ends_with("-shm")) {
                "SQLite WAL index, not needed"
            } else {
                "a second log or journal, left out"
            }
        };
        (0..self.sources.len()).map(|number| role(number).to_owned()).collect()
    }

    fn tables(&self) -> &[Table] {
        &self.tables
    }

    fn kept_sql(&self) -> Vec<(String, String, String)> {
        let kept = self.catalogue.kept.iter();
        kept.map(|row| {
            let kind = match (row.kind, &row.sql) {
                (SchemaKind::Table, Some(sql)) if sql.to_ascii_uppercase().starts_with("CREATE VIRTUAL") => {
                    "virtual table"
                }
                (kind, _) => kind.name(),
            };
            (kind.to_owned(), row.name.clone(), row.sql.clone().unwrap_or_default())
        })
        .collect()
    }

    fn rows<'s>(&'s self, wanted: &dyn Fn(&Table) -> bool, sink: &mut RowSink<'_, 's>) -> Result<(), Error> {
        // Asks every page of every tree, so once for all tables.
        let damaged = self.is_damaged();
        let mut altered = gone::Altered::default();
        for (number, _) in self.tables.iter().enumerate().filter(|(_, table)| wanted(table)) {
            self.table_rows(number, damaged, &mut altered, sink)?;
        }
        altered.put(self, sink)
    }

    fn findings(&self) -> Vec<Finding> {
        findings::all(self)
    }

    fn losses(&self) -> Vec<Loss> {
        loss::all(self)
    }

    fn why_nothing_is_gone(&self) -> Vec<String> {
        wiped::reasons(self)
    }

    fn page_counts(&self) -> PageCounts {
        findings::page_counts(self)
    }

    fn table_counts(&self) -> Vec<TableCount> {
        let count = |(number, output): (usize, &Output)| {
            let pages = self.tree(output).map(|tree| tree.pages.as_slice()).unwrap_or_default();
            let live = pages.iter().map(|page| u64::from(self.survey.page(*page).cells)).sum();
            TableCount { table: number, pages: pages.len() as u64, live }
        };
        self.outputs.iter().enumerate().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn few_heavy_pages_are_read_at_a_time_and_none_is_left_out() {
        let items = [1, 1, 1, 1, 50, 60, 200, 1];
        let split = runs(&items, 3, 100, |item| *item);
        assert_eq!(split, [&[1, 1, 1][..], &[1, 50], &[60], &[200], &[1]]);
        assert!(runs(&[0_u64; 0], 3, 100, |item| *item).is_empty());
    }
}
