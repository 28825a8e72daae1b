//! Whether a log belongs to the main file that it lies beside.
//!
//! Salts and checksums bind a log's frames to one another and to nothing else: SQLite itself lays any log over any
//! database. What it writes tells them apart. The main file holds each page as it was before the log, or as one of its
//! frames has it. From the main file to the log's first page 1 the change counter goes on by one at most, and the schema
//! cookie by one for each table made or dropped. In transactions without page 1 no page is taken or given back: the
//! count of pages stays, and the kind of each. Only `VACUUM`, which writes all pages, leaves fewer of them, unless the
//! database is an auto-vacuum one. All this can only tell against a log; for it speak pages and rows that both hold.

use super::database::Roles;
use super::detect;
use super::survey::look;
use crate::model::Finding;
use crate::source::{Source, SourceId};
use crate::words::grouped_count;
use foldhash::fast::RandomState;
use foldhash::quality::FixedState;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header::{self, Header};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::wal::{self, Frame, Wal};
use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasher;

/// Pages of the log whose rows are held against those of the main file: more would tell nothing new.
const MOST_PAGES: usize = 1024;

/// Bytes of a record that tell it from others: two small integers are equal by accident.
const TELLING: usize = 6;

/// One in so many cells that the log may have left as they were must be in it, to show that it belongs. Databases of one
/// application share settings, and with them far fewer.
const SHARED: usize = 5;

/// Fewer cells than these may be shared by accident, however few the log has.
const FEW: usize = 16;

/// What can be said of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Main file and log hold the same pages or rows, or the main file holds none.
    Belongs,
    /// Nothing tells for it, and nothing against it.
    Undecided(&'static str),
    /// It can't have been written over this main file: why.
    Foreign(String),
}

/// A verdict, and what follows from it.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub verdict: Verdict,
    /// The main file holds a page as the log's current generation has it, or nothing yet.
    copied: bool,
    log: SourceId,
    name: String,
    path: String,
    /// The user names it, which is believed.
    trusted: bool,
}

impl Judged {
    /// Holds a log against the main file; `None` when one of them is not there, or their page sizes differ.
    pub(super) fn of(sources: &[Source], roles: &Roles, log: Option<(SourceId, &Wal)>) -> Option<Self> {
        let source = |id: SourceId| sources.get(usize::from(id.0));
        let (main, (id, log)) = (source(roles.main?)?, log?);
        let geometry = detect::of(main)?.geometry;
        let file = source(id).filter(|_| geometry.page_size == log.header.page_size)?;
        let sides = Sides::of(main, file.bytes(), log, geometry);
        Some(Self {
            verdict: verdict(&sides),
            copied: main.is_empty() || sides.by_page.keys().any(|page| sides.is_copied(*page, true)),
            log: id,
            name: file.name().to_owned(),
            path: file.path().display().to_string(),
            trusted: file.is_trusted(),
        })
    }

    /// The log.
    pub(super) const fn log(&self) -> SourceId {
        self.log
    }

    /// Whether the log is left out.
    pub(super) fn is_left_out(&self) -> bool {
        matches!(self.verdict, Verdict::Foreign(_)) && !self.trusted
    }

    /// What a person should know of it.
    pub(super) fn told(&self) -> Option<String> {
        let name = &self.name;
        match &self.verdict {
            Verdict::Belongs => None,
            Verdict::Undecided(why) => Some(format!("nothing proves that {name} belongs to it: {why}")),
            Verdict::Foreign(why) if self.trusted => Some(format!(
                "{name} is read since it was named, and belongs to another database, or another state of this one: {why}"
            )),
            Verdict::Foreign(why) => Some(format!(
                "{name} belongs to another database, or another state of this one, and is left out: {why}; \
                 --log {} reads it all the same",
                self.path
            )),
        }
    }

    /// What it rests on that a log belongs, of which no checkpoint has copied a page: a copy of the database that went its
    /// own way since shares most rows, too.
    pub(super) fn caution(&self) -> Option<String> {
        let is_unsure = self.verdict == Verdict::Belongs && !self.copied && !self.trusted;
        is_unsure.then(|| {
            format!(
                "{} belongs to it by what both hold; where the database was copied and the copies went their own ways, that \
                 can't tell which of them it is of: bring both files from one place",
                self.name
            )
        })
    }

    /// The same among the findings, when the log is foreign.
    pub(super) fn finding(&self) -> Option<Finding> {
        let Verdict::Foreign(why) = &self.verdict else { return None };
        let then = if self.trusted { "it is read since it was named" } else { "the log is left out" };
        let expected = format!("a log of this database; {then}");
        let mut finding = Finding::note("wal", "mismatch", why.clone(), expected);
        finding.source = Some(self.log);
        Some(finding)
    }
}

/// Whether a log belongs to a main file, and how many pages both hold; `None` where their page sizes differ.
pub(super) fn judge(main: &Source, log: &Source) -> Option<(Verdict, usize)> {
    let geometry = detect::of(main)?.geometry;
    let read = wal::wal(log.bytes()).ok().filter(|read| read.header.page_size == geometry.page_size)?;
    let sides = Sides::of(main, log.bytes(), &read, geometry);
    let shared = sides.by_page.keys().filter(|page| sides.is_copied(**page, false)).count();
    Some((verdict(&sides), shared + 1))
}

/// Main file and log.
struct Sides<'a> {
    main: &'a Source,
    bytes: &'a [u8],
    log: &'a Wal,
    geometry: Geometry,
    by_page: BTreeMap<u32, Vec<&'a Frame>>,
}

impl<'a> Sides<'a> {
    fn of(main: &'a Source, bytes: &'a [u8], log: &'a Wal, geometry: Geometry) -> Self {
        let mut by_page: BTreeMap<u32, Vec<&Frame>> = BTreeMap::new();
        for frame in log.frames.iter().chain(&log.older) {
            by_page.entry(frame.page).or_default().push(frame);
        }
        Self { main, bytes, log, geometry, by_page }
    }

    fn image(&self, frame: &Frame) -> Option<&'a [u8]> {
        let from = usize::try_from(frame.offset).ok()?;
        self.bytes.get(from..from.checked_add(self.geometry.page_size as usize)?)
    }

    fn page(&self, number: u32) -> Option<&'a [u8]> {
        let size = self.geometry.page_size as usize;
        let from = u64::from(number.checked_sub(1)?) * u64::from(self.geometry.page_size);
        self.main.get(from, size).filter(|page| page.len() == size)
    }

    /// Pages that the main file holds.
    fn held(&self) -> usize {
        self.main.len().div_ceil(u64::from(self.geometry.page_size)) as usize
    }

    /// Whether the main file holds a page as a frame has it; of the log's current generation only, when `own`.
    fn is_copied(&self, number: u32, own: bool) -> bool {
        let frames = self.by_page.get(&number).map(Vec::as_slice).unwrap_or_default();
        let page = self.page(number);
        page.is_some() && frames.iter().any(|frame| (frame.own || !own) && self.image(frame) == page)
    }

    /// The transactions of the current generation.
    fn commits(&self) -> impl Iterator<Item = &'a [Frame]> {
        let committed = self.log.frames.get(..self.log.committed).unwrap_or_default();
        committed.split_inclusive(|frame| frame.commit != 0)
    }

    /// Those before the first that wrote page 1.
    fn before_page_1(&self) -> impl Iterator<Item = &'a [Frame]> {
        self.commits().take_while(|commit| commit.iter().all(|frame| frame.page != 1))
    }

    /// The header of the main file when it is that from before the log and its counters agree; of a damaged log a frame
    /// that a checkpoint copied may be lost.
    fn base(&self) -> Option<Header> {
        let head = header_of(self.page(1)?).filter(|head| head.change_counter == head.version_valid_for)?;
        (!self.is_copied(1, true)).then_some(head)
    }
}

fn header_of(page: &[u8]) -> Option<Header> {
    header::header(page).ok().map(|(_, header)| header)
}

fn verdict(sides: &Sides<'_>) -> Verdict {
    if sides.log.frames.is_empty() && sides.log.older.is_empty() || sides.main.is_empty() {
        return Verdict::Belongs;
    }
    match against_counters(sides)
        .or_else(|| against_counts(sides))
        .or_else(|| against_kinds(sides))
        .or_else(|| against_links(sides))
    {
        Some(why) => Verdict::Foreign(why),
        None => for_it(sides),
    }
}

/// What the main file's header and the first page 1 of the log say against each other.
fn against_counters(sides: &Sides<'_>) -> Option<String> {
    let log = sides.log;
    let base = sides.base()?;
    let first = log.frames.iter().position(|frame| frame.page == 1)?;
    // A damaged frame before it may have been page 1.
    let proved = log.frames.get(..=first)?.iter().all(|frame| frame.sound);
    let first = sides.image(log.frames.get(first)?).filter(|_| proved)?;
    let next = header_of(first)?;
    let went_on = next.change_counter.wrapping_sub(base.change_counter);
    let is_behind = went_on > i32::MAX as u32;
    // A checkpoint may have copied a frame that is lost since.
    if !is_whole(log) && (is_behind || went_on <= 1) {
        return None;
    }
    if went_on > 1 {
        return Some(format!(
            "the main file's change counter is {}, that of the log's first page 1 is {}",
            base.change_counter, next.change_counter
        ));
    }
    let cookie = next.schema_cookie.wrapping_sub(base.schema_cookie);
    if cookie > i32::MAX as u32 {
        return Some(format!(
            "the main file's schema cookie is {}, that of the log's first page 1 is {}",
            base.schema_cookie, next.schema_cookie
        ));
    }
    let (own, theirs) = (tables(sides.page(1)?, sides.geometry), tables(first, sides.geometry));
    // Each table that is made, dropped or given another name moves the cookie.
    let fits =
        theirs.is_empty() || !own.is_disjoint(&theirs) || own.len().max(theirs.len()) <= cookie as usize;
    (!fits).then(|| {
        format!(
            "of the {} on the main file's page 1 none is on the log's first page 1, and the schema cookie tells of {}",
            grouped_count(own.len() as u64, "table"),
            grouped_count(cookie.into(), "change")
        )
    })
}

/// What the counts of pages say against the log.
fn against_counts(sides: &Sides<'_>) -> Option<String> {
    let base = sides.base().filter(|base| is_whole(sides.log) && base.page_count as usize == sides.held())?;
    let counted = |commit: &[Frame]| commit.last().map_or(0, |frame| frame.commit);
    let differs = |commit: &&[Frame]| {
        counted(commit) != base.page_count || commit.iter().any(|frame| frame.page > base.page_count)
    };
    if let Some(commit) = sides.before_page_1().find(differs) {
        return Some(format!(
            "the main file counts {}, the log {} before it changes that",
            grouped_count(base.page_count.into(), "page"),
            counted(commit)
        ));
    }
    let mut before = base.page_count;
    for commit in sides.commits() {
        let after = counted(commit);
        let written = commit.iter().map(|frame| frame.page).collect::<HashSet<_>>().len();
        // Not all is asked of `VACUUM`: it leaves out the page of the locks.
        if !base.auto_vacuum() && after < before && written + 1 < after as usize {
            return Some(format!(
                "the log goes from {before} to {after} pages, which only VACUUM does, and writes {written}"
            ));
        }
        before = after;
    }
    // Pages behind the main file's end were written once, unless they were free at once.
    let head = sides.by_page.get(&1).and_then(|frames| {
        let frame = frames.iter().rfind(|frame| frame.own && frame.commit_number > 0)?;
        header_of(sides.image(frame)?)
    })?;
    let held =
        |page: u32| sides.by_page.get(&page).is_some_and(|frames| frames.iter().any(|frame| frame.own));
    let missing = (base.page_count.saturating_add(1)..=before).take(MOST_PAGES).filter(|page| !held(*page));
    let missing = missing.count() as u64;
    // The page of the locks is never written.
    (missing > u64::from(head.freelist_count) + 1)
        .then(|| format!("{} behind the main file's end are in neither", grouped_count(missing, "page")))
}

/// What the kinds of pages say against the log: no page changes its tree unless page 1 is written.
fn against_kinds(sides: &Sides<'_>) -> Option<String> {
    // With a checkpoint on the way the main file holds later pages.
    sides.base().filter(|_| is_whole(sides.log))?;
    let (mut scratch, mut same, mut other) = (Vec::new(), 0, Vec::new());
    let mut seen: HashSet<u32, RandomState> = HashSet::default();
    for frame in sides.before_page_1().flatten() {
        if seen.len() == MOST_PAGES || !seen.insert(frame.page) || sides.is_copied(frame.page, false) {
            continue;
        }
        let (Some(page), Some(image)) = (sides.page(frame.page), sides.image(frame)) else { continue };
        let mut look = |bytes| look(bytes, frame.page, sides.geometry, u32::MAX, &mut scratch);
        let (page, image) = (look(page), look(image));
        match (page.kind.filter(|_| page.sound), image.kind.filter(|_| image.sound)) {
            (Some(page), Some(image)) if page == image => same += 1,
            (Some(page), Some(image)) => other.push((frame.page, page, image)),
            _ => {}
        }
    }
    let (number, page, image) = other.first().filter(|_| other.len() > same)?;
    Some(format!(
        "page {number} is a {} in the main file, a {} in the log, and nothing made it one",
        page.name(),
        image.name()
    ))
}

/// What the links of the log's pages say against it: those that it leaves in the main file must fit in kind and keys,
/// however much of it was checkpointed.
fn against_links(sides: &Sides<'_>) -> Option<String> {
    if !is_whole(sides.log) {
        return None;
    }
    let last: BTreeMap<u32, &Frame> = sides.commits().flatten().map(|frame| (frame.page, frame)).collect();
    let (mut scratch, mut fit, mut misfits) = (Vec::new(), 0_usize, Vec::new());
    for (number, frame) in last.iter().take(MOST_PAGES) {
        let Some(image) = sides.image(frame) else { continue };
        let Some(parent) = Page::parse(image, *number, sides.geometry) else { continue };
        let kind = parent.header.kind;
        if !kind.is_interior() || !look(image, *number, sides.geometry, u32::MAX, &mut scratch).sound {
            continue;
        }
        let links = parent.cells().filter_map(Result::ok).map(|cell| (cell.left_child, Some(cell.rowid)));
        let mut above = None;
        for (child, upto) in links.chain([(parent.header.right_child, None)]) {
            let above = std::mem::replace(&mut above, upto);
            let Some(page) = sides.page(child).filter(|_| !last.contains_key(&child)) else { continue };
            let info = look(page, child, sides.geometry, u32::MAX, &mut scratch);
            let Some(own) = info.kind.filter(|_| info.sound && info.cells > 0) else { continue };
            let in_range = !kind.is_table()
                || above.is_none_or(|above| info.first > above) && upto.is_none_or(|upto| info.last <= upto);
            if own.is_table() == kind.is_table() && in_range {
                fit += 1;
            } else {
                misfits.push((*number, child));
            }
        }
    }
    // One page may be damage: a write that went astray.
    let (parent, child) = misfits.first().filter(|_| misfits.len() > 1 || fit == 0)?;
    Some(format!(
        "page {parent} in the log leads to page {child} of the main file, which does not fit in kind or keys"
    ))
}

/// What speaks for the log: pages that both hold, or rows.
fn for_it(sides: &Sides<'_>) -> Verdict {
    let filled = |number: u32| {
        let mut found = HashSet::default();
        cells(sides.page(number).unwrap_or_default(), number, sides.geometry, &mut found);
        !found.is_empty()
    };
    if sides.by_page.keys().any(|page| sides.is_copied(*page, false) && filled(*page)) {
        return Verdict::Belongs;
    }
    if (1..=sides.held() as u32).take(MOST_PAGES).all(|page| !filled(page)) {
        // All is in the log yet: nothing can be mixed.
        return Verdict::Belongs;
    }
    let (mut own, mut theirs) = (HashSet::default(), HashSet::default());
    // All databases of an application share the definitions of page 1.
    for (number, frames) in sides.by_page.range(2..).take(MOST_PAGES) {
        let Some(page) = sides.page(*number) else { continue };
        cells(page, *number, sides.geometry, &mut own);
        for image in
            [frames.first(), frames.last()].into_iter().flatten().filter_map(|frame| sides.image(frame))
        {
            cells(image, *number, sides.geometry, &mut theirs);
        }
    }
    match own.intersection(&theirs).count() {
        shared if shared > 0 && shared * SHARED >= own.len() => Verdict::Belongs,
        // What it deletes can't be in it, but most of what it leaves is.
        shared if shared >= FEW && shared * 2 > theirs.len() => Verdict::Belongs,
        _ if own.is_empty() => Verdict::Undecided("the pages that it writes hold no rows to compare"),
        _ => Verdict::Undecided("hardly a row of the pages that it writes is as it was"),
    }
}

/// Whether no frame of the log is damaged or torn.
fn is_whole(log: &Wal) -> bool {
    !log.torn && log.frames.iter().all(|frame| frame.sound)
}

type Prints = HashSet<u64, RandomState>;

/// Adds the fingerprints of a page's cells.
fn cells(bytes: &[u8], number: u32, geometry: Geometry, out: &mut Prints) {
    each_record(bytes, number, geometry, |kind, rowid, payload| {
        if payload.len() >= TELLING {
            out.insert(FixedState::with_seed(0).hash_one((kind.is_table(), rowid, payload)));
        }
    });
}

/// What the names of SQLite's own tables begin with.
const INTERNAL: &[u8] = b"sqlite_";

/// The names of tables on a page 1, as fingerprints. Those of SQLite's own are made along with the first that needs them,
/// and change the schema no more than that one does.
fn tables(bytes: &[u8], geometry: Geometry) -> Prints {
    let mut found = Prints::default();
    each_record(bytes, 1, geometry, |_, _, payload| {
        let Ok(header) = record::header_only(payload) else { return };
        let mut cells = record::cells(header.serials(), header.len, payload).map(|cell| cell.1);
        if let (Some(Some(kind)), Some(Some(name))) = (cells.next(), cells.next())
            && matches!(kind, b"table" | b"t\0a\0b\0l\0e\0" | b"\0t\0a\0b\0l\0e")
            && !name.iter().filter(|byte| **byte != 0).take(INTERNAL.len()).eq(INTERNAL)
        {
            found.insert(FixedState::with_seed(0).hash_one(name));
        }
    });
    found
}

fn each_record(bytes: &[u8], number: u32, geometry: Geometry, mut each: impl FnMut(PageKind, i64, &[u8])) {
    let Some(page) = Page::parse(bytes, number, geometry) else { return };
    let kind = page.header.kind;
    if kind == PageKind::TableInterior {
        return;
    }
    for cell in page.cells().filter_map(Result::ok) {
        let payload = cell.local_payload(bytes);
        if record::header(payload, cell.payload_len).is_ok() {
            each(kind, cell.rowid, payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Judged, Verdict};
    use crate::source::Source;
    use crate::stores::sqlite::database::Roles;
    use mudlark_parsers::sqlite::wal::wal;
    use rusqlite::Connection;
    use std::fs;
    use std::path::{Path, PathBuf};

    /// A copy of a store in use: `before` in its main file, `after` in its log.
    fn store(folder: &Path, name: &str, before: &str, after: &str) -> PathBuf {
        let (used, copy) = (folder.join("used.db"), folder.join(name));
        let connection = Connection::open(&used).unwrap();
        let setting = "PRAGMA page_size = 512; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;";
        connection.execute_batch(setting).unwrap();
        connection.execute_batch(before).unwrap();
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").unwrap();
        connection.execute_batch(after).unwrap();
        fs::copy(&used, &copy).unwrap();
        fs::copy(folder.join("used.db-wal"), log_of(&copy)).unwrap();
        drop(connection);
        fs::remove_file(used).unwrap();
        copy
    }

    fn log_of(store: &Path) -> PathBuf {
        store.with_extension("db-wal")
    }

    fn judged(main: &Path, log: &Path) -> Judged {
        let sources = [Source::open(main).unwrap(), Source::open(log).unwrap()];
        let roles = Roles::of(&sources);
        let read = wal(sources[1].bytes()).unwrap();
        Judged::of(&sources, &roles, roles.log.map(|id| (id, &read))).unwrap()
    }

    /// So many rows in a table of people, made from this word.
    fn people(word: &str, rows: u32) -> String {
        format!(
            "CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO people SELECT i, '{word} ' || i, hex(i * 7) || '{word}' FROM n;"
        )
    }

    #[test]
    fn a_log_that_changes_some_rows_belongs_however_far_it_was_checkpointed() {
        let folder = tempfile::tempdir().unwrap();
        let change = "UPDATE people SET name = 'changed' WHERE id % 50 = 0; DELETE FROM people WHERE id = 7;";
        let more =
            format!("{change} PRAGMA wal_checkpoint(PASSIVE); UPDATE people SET note = 'n' WHERE id = 3;");
        for (name, after) in
            [("a.db", change), ("b.db", &more), ("c.db", "VACUUM; DELETE FROM people WHERE id = 1;")]
        {
            let store = store(folder.path(), name, &people("ada", 200), after);
            assert_eq!(judged(&store, &log_of(&store)).verdict, Verdict::Belongs, "{name}");
        }
    }

    #[test]
    fn the_log_of_a_database_of_the_same_tables_and_other_rows_is_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let change = "UPDATE people SET name = 'changed' WHERE id % 50 = 0;";
        let one = store(folder.path(), "one.db", &people("ada", 200), change);
        let two = store(folder.path(), "two.db", &people("grace", 400), change);
        for (main, log) in [(&one, &two), (&two, &one)] {
            let judged = judged(main, &log_of(log));
            assert!(matches!(judged.verdict, Verdict::Foreign(_)), "{judged:?}");
            assert!(judged.is_left_out() && judged.finding().is_some());
        }
    }

    #[test]
    fn the_log_of_a_database_of_other_tables_is_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let orders = "CREATE TABLE orders(item TEXT); INSERT INTO orders VALUES ('tea');";
        let people = people("ada", 5) + "CREATE TABLE notes(x);";
        let one = store(folder.path(), "one.db", &people, "UPDATE people SET name = 'x' WHERE id = 1;");
        let two = store(folder.path(), "two.db", orders, "CREATE INDEX by_item ON orders(item);");
        let judged = judged(&one, &log_of(&two));
        assert!(matches!(judged.verdict, Verdict::Foreign(_)), "{judged:?}");
    }

    #[test]
    fn a_log_that_deletes_nearly_every_row_belongs_by_those_that_it_left_before() {
        let folder = tempfile::tempdir().unwrap();
        let first = "UPDATE people SET name = 'changed' WHERE id = 3; UPDATE people SET name = 'changed' WHERE id = 90;";
        let store =
            store(folder.path(), "a.db", &people("ada", 900), &format!("{first} DELETE FROM people;"));
        assert_eq!(judged(&store, &log_of(&store)).verdict, Verdict::Belongs);
    }

    #[test]
    fn a_log_that_changes_every_row_is_undecided_and_never_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let all = "UPDATE people SET name = hex(randomblob(8)), note = hex(randomblob(9));";
        let emptied = "DELETE FROM people;";
        let renewed =
            "BEGIN; DROP TABLE people; CREATE TABLE other(x); INSERT INTO other VALUES ('hello'); COMMIT;";
        for (name, after) in [("a.db", all), ("b.db", emptied), ("c.db", renewed)] {
            let store = store(folder.path(), name, &people("ada", 200), after);
            let judged = judged(&store, &log_of(&store));
            assert!(matches!(judged.verdict, Verdict::Undecided(_)), "{name}: {judged:?}");
            assert!(!judged.is_left_out() && judged.finding().is_none());
        }
    }
}
