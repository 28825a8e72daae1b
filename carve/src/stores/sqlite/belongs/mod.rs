//! Whether a log belongs to the main file that it lies beside.
//!
//! Salts and checksums bind a log's frames to one another and to nothing else: SQLite itself lays any log over any
//! database. What it writes tells them apart. The main file holds each page as it was before the log, or as one of its
//! frames has it. From the main file to the log's first page 1 the change counter goes on by one at most, and the schema
//! cookie by one for each table made or dropped. In transactions without page 1 no page is taken or given back: the
//! count of pages stays, and the kind of each. Only `VACUUM`, which writes all pages, leaves fewer of them, unless the
//! database is an auto-vacuum one. A main file that holds together by itself does so under its log, while that of a copy
//! which went its own way has rows that indexes lack, and pages that are free or in use. All this can only tell against a
//! log; for it speak pages and rows that both hold.

mod against;
mod laid;
mod sides;
mod structure;
mod tally;

use super::database::Roles;
use super::detect;
use crate::model::Finding;
use crate::source::{Source, SourceId};
use mudlark_parsers::sqlite::wal::Wal;
use sides::{MOST_PAGES, Sides, cells};
use std::collections::HashSet;

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
    /// The main file is empty, or holds all that the log's current generation committed.
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
            copied: main.is_empty() || sides.is_all_copied(),
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

    /// What it rests on that a log belongs, of which no checkpoint has copied all: a copy of the database that went its own
    /// way since shares most rows, too, and the first commits of the log where it was copied behind them.
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

/// Whether a log, of which this was read, belongs to a main file, and how many pages both hold; `None` where their page sizes
/// differ.
pub(super) fn judge(main: &Source, log: &Source, read: &Wal) -> Option<(Verdict, usize)> {
    let geometry = detect::of(main)?.geometry;
    if read.header.page_size != geometry.page_size {
        return None;
    }
    let sides = Sides::of(main, log.bytes(), read, geometry);
    let shared = sides.by_page.keys().filter(|page| sides.is_copied(**page, false)).count();
    Some((verdict(&sides), shared + 1))
}
fn verdict(sides: &Sides<'_>) -> Verdict {
    if sides.log.frames.is_empty() && sides.log.older.is_empty() || sides.main.is_empty() {
        return Verdict::Belongs;
    }
    match against::counters(sides)
        .or_else(|| against::counts(sides))
        .or_else(|| against::kinds(sides))
        .or_else(|| against::links(sides))
        .or_else(|| against::definitions(sides))
        .or_else(|| against::state(sides))
    {
        Some(why) => Verdict::Foreign(why),
        None => for_it(sides),
    }
}
/// What speaks for the log: pages that both hold, or rows.
fn for_it(sides: &Sides<'_>) -> Verdict {
    if sides.by_page.keys().any(|page| sides.is_copied(*page, false) && sides.is_filled(*page)) {
        return Verdict::Belongs;
    }
    if (1..=sides.held() as u32).take(MOST_PAGES).all(|page| !sides.is_filled(page)) {
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

    /// A database that was copied: the main file of one copy after a change, with the log of the other after another one.
    fn gone_apart(folder: &Path, before: &str, one: &str, other: &str) -> (PathBuf, PathBuf) {
        let (main, copy, log) = (folder.join("main.db"), folder.join("copy.db"), folder.join("log.db-wal"));
        let begin = "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;";
        let connection = Connection::open(&main).unwrap();
        connection.execute_batch(&format!("PRAGMA page_size = 512; {begin} {before}")).unwrap();
        connection.close().unwrap();
        fs::copy(&main, &copy).unwrap();
        let connection = Connection::open(&main).unwrap();
        connection.execute_batch(&format!("{begin} {one}")).unwrap();
        connection.close().unwrap();
        let connection = Connection::open(&copy).unwrap();
        connection.execute_batch(&format!("{begin} {other}")).unwrap();
        fs::copy(log_of(&copy), &log).unwrap();
        drop(connection);
        fs::remove_file(&copy).unwrap();
        (main, log)
    }

    #[test]
    fn the_log_of_a_copy_that_went_its_own_way_is_foreign_where_pages_of_both_contradict_one_another() {
        let indexed = people("ada", 300) + "CREATE INDEX by_name ON people(name);";
        let counted = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t(a) VALUES (hex(randomblob(700)));
             CREATE TABLE u(x); INSERT INTO u VALUES (1);
             CREATE TABLE v(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO v VALUES (1);";
        let cases = [
            // A row in the index of one, and not in the table of the other.
            (
                indexed.as_str(),
                "INSERT INTO people(name) VALUES ('zoe');",
                "INSERT INTO people(name) VALUES ('abe');",
                "the entries of by_name are not the rows of people",
            ),
            // A column of a row: no page comes or goes.
            (
                &indexed,
                "UPDATE people SET name = 'zda 200' WHERE id = 200;",
                "UPDATE people SET note = 'short' WHERE id = 200;",
                "the entries of by_name are not the rows of people",
            ),
            (counted, "DELETE FROM t;", "UPDATE u SET x = 2; INSERT INTO t(a) VALUES (2);", "page"),
            (
                counted,
                "INSERT INTO t(a) VALUES (7);",
                "INSERT INTO v VALUES (2);",
                "t has row 2 and has counted up to 1",
            ),
        ];
        for (before, one, other, why) in cases {
            let folder = tempfile::tempdir().unwrap();
            let (main, log) = gone_apart(folder.path(), before, one, other);
            let judged = judged(&main, &log);
            assert!(judged.told().is_some_and(|told| told.contains(why)), "{one} {other}: {judged:?}");
            assert!(judged.is_left_out());
        }
    }

    #[test]
    fn a_log_that_gives_a_row_an_id_beyond_the_count_of_its_table_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let counted = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
             INSERT INTO t(a) SELECT 'row ' || i FROM n;";
        let store = store(folder.path(), "a.db", counted, "UPDATE t SET id = id + 1000 WHERE id % 20 = 0;");
        let judged = judged(&store, &log_of(&store));
        assert!(!judged.is_left_out(), "{judged:?}");
    }

    #[test]
    fn damage_to_the_main_file_makes_no_log_foreign() {
        let folder = tempfile::tempdir().unwrap();
        let indexed = people("ada", 300) + "CREATE INDEX by_name ON people(name);";
        let change =
            "UPDATE people SET name = 'changed' WHERE id % 50 = 0; INSERT INTO people(name) VALUES ('zoe');";
        let store = store(folder.path(), "a.db", &indexed, change);
        let sound = fs::read(&store).unwrap();
        for page in 1..sound.len() / 512 {
            for (at, len) in [(0, 512), (3, 2), (200, 1), (490, 22)] {
                let mut bytes = sound.clone();
                bytes[page * 512 + at..page * 512 + at + len].iter_mut().for_each(|byte| *byte ^= 0x41);
                fs::write(&store, bytes).unwrap();
                let judged = judged(&store, &log_of(&store));
                assert!(!judged.is_left_out(), "page {} at {at}: {judged:?}", page + 1);
            }
        }
    }

    #[test]
    fn a_log_that_was_copied_whole_belongs_though_page_1_was_damaged_since() {
        let folder = tempfile::tempdir().unwrap();
        let change = "UPDATE people SET note = 'changed' WHERE id = 3;
             INSERT INTO people(name) SELECT name FROM people; PRAGMA wal_checkpoint(PASSIVE);";
        let store = store(folder.path(), "a.db", &people("ada", 300), change);
        let sound = fs::read(&store).unwrap();
        for at in (100..512).step_by(4) {
            let mut bytes = sound.clone();
            bytes[at..at + 4].iter_mut().for_each(|byte| *byte ^= 0x41);
            fs::write(&store, bytes).unwrap();
            assert_eq!(judged(&store, &log_of(&store)).verdict, Verdict::Belongs, "{at}");
        }
        // A bit of each page, and of the header one that counts nothing.
        let mut bytes = sound.clone();
        bytes.chunks_mut(512).for_each(|page| page[300] ^= 8);
        bytes[20] = 1;
        fs::write(&store, bytes).unwrap();
        assert_eq!(judged(&store, &log_of(&store)).verdict, Verdict::Belongs);
    }

    #[test]
    fn the_first_commits_that_copies_have_in_common_do_not_prove_that_a_log_belongs() {
        let folder = tempfile::tempdir().unwrap();
        let common = "UPDATE people SET note = 'in both' WHERE id = 3;";
        let after = |id: u32| format!("{common} UPDATE people SET note = 'later' WHERE id = {id};");
        let (main, log) = gone_apart(folder.path(), &people("ada", 900), &after(500), &after(800));
        let judged = judged(&main, &log);
        assert!(judged.is_left_out() || judged.caution().is_some(), "{judged:?}");
    }

    #[test]
    fn a_page_1_that_copies_have_in_common_does_not_prove_that_a_log_belongs() {
        let folder = tempfile::tempdir().unwrap();
        // Both grow by a page, and count one change.
        let grown =
            |name: &str| format!("INSERT INTO people(name) SELECT '{name} ' || id FROM people LIMIT 12;");
        let (main, log) = gone_apart(folder.path(), &people("ada", 100), &grown("zoe"), &grown("abe"));
        let judged = judged(&main, &log);
        assert!(judged.is_left_out() || judged.caution().is_some(), "{judged:?}");
    }
}
