//! What some commits did to rows, with what became of these since.

use super::super::layout::Layout;
use super::between::Trees;
use super::changes::row_then;
use super::objects::Object;
use super::pages::Pages;
use super::point::{States, refused};
use super::rows::{Keys, RowAt};
use super::timeline::{encoding_at, event, header_at};
use super::walk::{RowChange, TableChange, Walk};
use crate::error::Error;
use crate::model::{
    LaterTable, Point, RowThen, SchemaDelta, TableDdl, TableThen, UndoRow, UndoTable, Undoable, Until,
    counters,
};
use crate::source::Source;
use mudlark_parsers::sqlite::ddl::{self, Statement};
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};

/// The states before the first of the commits, behind the last, and today.
struct States3<'w> {
    before: &'w Trees,
    behind: &'w Trees,
    today: &'w Trees,
}

/// What the commits from the first to the last point did.
pub(in super::super) fn read(sources: &[Source], points: [Until; 2]) -> Result<Undoable<'_>, Error> {
    let found = States::of(sources)?;
    let refused = |reason: String| refused(sources, reason);
    let [first, last] = [found.find(points[0].into())?, found.find(points[1].into())?];
    let now = found.find(Until::Last.into()).unwrap_or_else(|_| found.pages.before_current()).max(last);
    let commits = [found.point(first), found.point(last)];
    if first == found.pages.before_current() && commits[0] == Point::Commit(0) {
        return Err(refused("commit:0 is no commit: it is the state before the first".to_owned()));
    }
    if first == 0 {
        return Err(refused(format!("what was before {} is lost", commits[0])));
    }
    if last < first {
        return Err(refused(format!(
            "{} comes after {}: give the earlier one first",
            commits[0], commits[1]
        )));
    }
    let pages = &found.pages;
    let encoding = encoding_at(pages, now);
    let mut walk = Walk::begin(pages, encoding_at(pages, 0));
    for state in 1..first {
        walk.step(state);
    }
    let mut before = Trees::of(&walk, first - 1);
    let (mut vacuums, mut schema) = (Vec::new(), Vec::new());
    for state in first..=last {
        let step = walk.step(state);
        before.note(&step.tables);
        if step.schema.is_empty() && is_vacuum(pages, state) {
            vacuums.push(found.point(state));
        }
        schema.extend(step.schema.iter().map(|change| SchemaDelta {
            event: event(change),
            before: None,
            after: None,
        }));
    }
    let mut behind = Trees::of(&walk, last);
    let (done, _) = walk.since(&before, last);
    for state in last + 1..=now {
        let step = walk.step(state);
        behind.note(&step.tables);
    }
    let today = Trees::of(&walk, now);
    let (later, _) = if last < now { walk.since(&behind, now) } else { Default::default() };
    if walk.overrun {
        return Err(refused("its pages refer to one another without end".to_owned()));
    }
    if !(before.whole && behind.whole && today.whole) {
        return Err(refused("the definitions around these commits are lost in part".to_owned()));
    }
    let trees = States3 { before: &before, behind: &behind, today: &today };
    let later: HashMap<usize, &TableChange> = later.iter().map(|change| (change.object, change)).collect();
    let mut undoable = Undoable {
        commits,
        today: found.point(now),
        encoding,
        schema,
        vacuums,
        triggers: today.triggers(),
        virtual_tables: virtual_tables(&today),
        referring: today.referring(),
        tables: Vec::new(),
        linked: Vec::new(),
        internal: 0,
        sequences: Vec::new(),
        notes: found.doubt().into_iter().chain(found.told_of(Until::Last.into(), now)).collect(),
    };
    // What its engine counts for itself.
    undoable.schema.retain(|delta| !delta.event.name.starts_with("sqlite_stat"));
    for change in &done {
        let Some(object) = trees.object(change.object) else { continue };
        if object.kind != SchemaKind::Table || object.root == 1 {
            continue;
        }
        let of_later = later.get(&change.object).copied();
        let known = |change: &TableChange| change.read.known == [true; 2];
        if object.broken || !known(change) || of_later.is_some_and(|later| !known(later)) {
            return Err(refused(format!(
                "what became of the rows of {} in or since these commits is lost in part: {}, or a page breaks a rule",
                object.name,
                if pages.is_short() {
                    "its pages are neither in the main file nor in the log"
                } else {
                    "a later checkpoint has overwritten its pages"
                }
            )));
        }
        if change.is_empty() && change.gone.is_empty() {
            continue;
        }
        let lost = || refused(format!("rows of {} can't be read", object.name));
        let read = trees.table(pages, change, of_later, encoding).ok_or_else(lost)?;
        if object.name.eq_ignore_ascii_case("sqlite_sequence") {
            let rows = read.rows.iter().filter(|row| !row.since);
            undoable.sequences = counters(rows.map(|row| [row.now.as_ref(), row.then.as_ref()]), encoding);
        } else if object.name.to_ascii_lowercase().starts_with("sqlite_") {
            undoable.internal += read.rows.len() as u64;
        } else {
            undoable.tables.push(read);
        }
    }
    undoable.linked = linked(&trees, pages, &undoable, later.values().copied());
    Ok(undoable)
}

/// The tables whose rows only later commits changed, of those that refer to one that is taken back, or to which one refers.
/// What of them is lost is left to what the SQL asks for.
fn linked<'a, 'c>(
    trees: &States3<'_>,
    pages: &Pages<'a>,
    undoable: &Undoable<'_>,
    later: impl Iterator<Item = &'c TableChange>,
) -> Vec<LaterTable<'a>> {
    let is_taken_back =
        |name: &str| undoable.tables.iter().any(|table| table.table.name.eq_ignore_ascii_case(name));
    let is_linked = |name: &str| {
        undoable.referring.iter().any(|(child, _)| {
            let refers = |name: &str| child.references.iter().any(|to| to.table.eq_ignore_ascii_case(name));
            (is_taken_back(&child.name) && refers(name))
                || (child.name.eq_ignore_ascii_case(name)
                    && child.references.iter().any(|to| is_taken_back(&to.table)))
        })
    };
    let read = |change: &TableChange| {
        let object = trees.object(change.object).filter(|object| object.kind == SchemaKind::Table)?;
        let known = change.read.known == [true; 2] && !object.broken;
        if !known || is_taken_back(&object.name) || !is_linked(&object.name) {
            return None;
        }
        let layout = object.layout.clone()?;
        let rows = trees.later(pages, Some(change), object, &layout, undoable.encoding)?;
        Some(LaterTable { table: trees.then(object, &layout), rows })
    };
    let mut later: Vec<&TableChange> = later.collect();
    later.sort_unstable_by_key(|change| change.object);
    later.into_iter().filter_map(read).collect()
}

/// Whether the commit behind which a state is was a VACUUM: it writes all pages, and counts the schema up though no
/// definition changes.
fn is_vacuum(pages: &Pages<'_>, state: u32) -> bool {
    let count =
        state.checked_sub(1).and_then(|index| pages.commits.get(index as usize)).map(|c| c.page_count);
    let written = pages.written(state).count() as u32;
    let cookie = |state| header_at(pages, state).map(|header| header.schema_cookie);
    count.is_some_and(|count| written + 1 >= count.max(2)) && cookie(state) != cookie(state - 1)
}

fn virtual_tables(today: &Trees) -> Vec<String> {
    let name = |object: &Object| match ddl::read(object.sql.as_deref()?.as_bytes()) {
        Ok(Statement::VirtualTable { name, .. }) => Some(name),
        _ => None,
    };
    today.standing().filter_map(name).collect()
}

/// A row of a state, if there is one; `None` when it can't be read.
fn read_at<'a>(
    pages: &Pages<'a>,
    row: Option<RowAt>,
    state: u32,
    object: &Object,
    layout: &Layout,
    encoding: TextEncoding,
) -> Option<Option<RowThen<'a>>> {
    pages.begin();
    let Some(row) = row else { return Some(None) };
    let (row, whole) = row_then(pages, row, state, layout, encoding, object.keys == Keys::Rowid);
    whole.then_some(Some(row))
}

impl States3<'_> {
    fn object(&self, index: usize) -> Option<&Object> {
        let standing = |trees: &'_ &Trees| trees.has(index);
        let trees = [self.today, self.behind, self.before].into_iter().find(standing)?;
        trees.objects.get(index)
    }

    /// A table's rows; `None` when some can't be read.
    fn table<'a>(
        &self,
        pages: &Pages<'a>,
        change: &TableChange,
        later: Option<&TableChange>,
        encoding: TextEncoding,
    ) -> Option<UndoTable<'a>> {
        let index = change.object;
        let object = self.object(index)?;
        let layout = object.layout.clone().unwrap_or_else(|| Layout::unnamed(0, encoding));
        let mut read = UndoTable {
            table: self.then(object, &layout),
            rows: Vec::new(),
            later: Vec::new(),
            left: self.left(index, object, &layout),
        };
        if read.left.is_some() {
            let row = |_: RowChange| UndoRow { now: None, then: None, since: true };
            read.rows = change.all(pages).map(row).collect();
            return Some(read);
        }
        let rowids = object.keys == Keys::Rowid;
        let read_at = |row: Option<RowAt>, state: u32| read_at(pages, row, state, object, &layout, encoding);
        let (mut touched, mut taken) = (HashSet::new(), HashSet::new());
        for row in later.into_iter().flat_map(|later| later.rows(pages)) {
            touched.insert(row.key);
            taken.extend(row.after.map(|_| row.key));
        }
        let hidden = rowids && !object.has_alias();
        for row in change.rows(pages) {
            let mut now = read_at(row.after, self.behind.state)?;
            let mut then = read_at(row.before, self.before.state)?;
            let id = self.behind.id_now(index, row.key);
            let mut since = id.is_none_or(|id| touched.contains(&id));
            if let Some(now) = now.as_mut().filter(|_| rowids) {
                now.rowid = id;
            }
            match (&now, &mut then) {
                (Some(_), Some(then)) if rowids => then.rowid = id,
                // A hidden id that another row has got since tells nothing of this one.
                (None, Some(then)) if hidden => {
                    let free = then.rowid.is_some_and(|id| !taken.contains(&id));
                    if !free || self.behind.is_renumbered(index) {
                        then.rowid = None;
                    }
                    since = false;
                }
                _ => {}
            }
            read.rows.push(UndoRow { now, then, since });
        }
        for row in &change.gone {
            let mut then = read_at(row.before, self.before.state)?;
            if let Some(then) = &mut then {
                then.rowid = None;
            }
            read.rows.push(UndoRow { now: None, then, since: false });
        }
        read.later = self.later(pages, later, object, &layout, encoding)?;
        Some(read)
    }

    fn then(&self, object: &Object, layout: &Layout) -> TableThen {
        TableThen {
            name: object.name.clone(),
            columns: layout.columns.clone(),
            defaults: layout.all_defaults(),
            ddl: object.ddl.clone().map(|parsed| TableDdl { parsed }),
            sql: object.sql.clone(),
            uniques: self.today.uniques(object),
        }
    }

    /// The rows that later commits changed: as the commits left them, and as they are today.
    fn later<'a>(
        &self,
        pages: &Pages<'a>,
        later: Option<&TableChange>,
        object: &Object,
        layout: &Layout,
        encoding: TextEncoding,
    ) -> Option<Vec<[Option<RowThen<'a>>; 2]>> {
        let read = |row: Option<RowAt>, state: u32| read_at(pages, row, state, object, layout, encoding);
        let rows = later.into_iter().flat_map(|later| later.all(pages));
        rows.map(|row| Some([read(row.before, self.behind.state)?, read(row.after, self.today.state)?]))
            .collect()
    }

    /// Why a table's rows can't be taken back.
    fn left(&self, index: usize, object: &Object, layout: &Layout) -> Option<String> {
        if !self.before.has(index) {
            return Some("it was made by these commits".to_owned());
        }
        if !self.behind.has(index) {
            return Some("it was dropped by these commits".to_owned());
        }
        if !self.today.has(index) {
            return Some("it was dropped since".to_owned());
        }
        let before = self.before.objects.get(index)?;
        if object.ddl.as_ref().is_none_or(|ddl| !ddl.complete) || before.layout.is_none() {
            return Some("its definition can't be read".to_owned());
        }
        let old = before.layout.as_ref().map(|layout| layout.columns.as_slice()).unwrap_or_default();
        let stays = old.iter().zip(&layout.columns).all(|(old, new)| old == new);
        if old.len() > layout.columns.len() || !stays || before.keys != object.keys {
            return Some("columns of it were dropped or renamed in or since these commits".to_owned());
        }
        None
    }
}
