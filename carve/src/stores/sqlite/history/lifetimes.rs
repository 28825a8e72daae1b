//! When each row version stood, as far as the commits of a log prove it.

use super::super::database::Output;
use super::objects::Object;
use super::pages::Pages;
use super::rows::{Keys, RowAt};
use super::walk::{RowChange, TableChange, Walk};
use crate::model::{Lifetime, Point};
use crate::stores::AskedRow;
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

/// What happened to a version at a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// It stood before, and not behind it.
    Ended,
    /// It stood before; whether it did behind it is not known.
    LostSight,
    /// It did not stand before, and does behind it.
    Came,
    /// It stands behind it; whether it did before is not known.
    Seen,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    key: i64,
    content: u64,
    state: u32,
    what: What,
}

/// For tables whose rows were given other ids the states that did so, each with the new ids of the old ones.
type Renumbered = HashMap<usize, Vec<(u32, HashMap<i64, i64>)>>;

/// What the commits of a log did to the versions of all rows.
#[derive(Debug)]
pub struct Lifetimes {
    objects: Vec<Object>,
    /// By object, in order.
    events: Vec<Vec<Event>>,
    /// By object: the only key under which something happened to these cells.
    by_content: Vec<OnceLock<HashMap<u64, Option<i64>>>>,
    /// The state at which rows are live.
    chosen: u32,
    /// How many of the objects there were in it, living or dead.
    known: usize,
    /// The commit that made each state.
    points: Vec<Point>,
    /// What VACUUM did to row ids.
    renumbered: Renumbered,
    /// By object, key and cells: the cells with the defaults of further columns, as which the row went on.
    grown: HashMap<(usize, i64, u64), u64>,
    /// The definitions before all commits are known.
    schema_known: bool,
    /// Pages of which the main file does not hold what was before all commits.
    without_base: HashSet<u32>,
    /// The object that had a page, as the page was from a state on. A page joins a tree only when it is written.
    owners: HashMap<(u32, u32), u32>,
}

/// The id that a row has since VACUUM gave other ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdSince {
    /// This.
    Is(i64),
    /// None: the row was gone by then.
    Gone,
}

/// The lifetimes of one table's rows.
#[derive(Clone, Debug)]
pub struct OfTable<'l> {
    all: &'l Lifetimes,
    /// The incarnations that its rows may be of; the one that stands comes first, when one does.
    objects: Vec<usize>,
    stands: bool,
    /// Whether the table's name is known, so that no other incarnation can be.
    named: bool,
    /// A table of another name now has its rows.
    renamed: bool,
}

impl Lifetimes {
    /// Follows all commits; `None` when more would have to be read than a sound log could ask for. Rows are live at the
    /// state `chosen`. Of a table whose row ids a column shows only those of the row that is `asked` for are kept.
    pub(in super::super) fn of(
        pages: &Pages<'_>,
        encoding: TextEncoding,
        chosen: u32,
        asked: Option<&AskedRow>,
    ) -> Option<Self> {
        let mut walk = Walk::begin(pages, encoding);
        let mut at_chosen = (chosen == 0).then(|| walk.objects.clone());
        let mut events: Vec<Vec<Event>> = Vec::new();
        let mut renumbered = Renumbered::new();
        let mut grown = HashMap::new();
        let mut owners: HashMap<(u32, u32), u32> =
            walk.owned().map(|(page, object)| ((page, 0), object)).collect();
        for state in 1..=pages.last() {
            let step = walk.step(state);
            if walk.overrun {
                return None;
            }
            if state == chosen && chosen < pages.last() {
                at_chosen = Some(walk.objects.clone());
            }
            let written = pages.written(state);
            owners.extend(written.filter_map(|page| Some(((page, state), walk.surely_owned(page)?))));
            events.resize_with(walk.objects.len(), Vec::new);
            for change in &step.tables {
                if !change.renumbered.is_empty() {
                    let ids = change.renumbered.iter().copied().collect();
                    renumbered.entry(change.object).or_default().push((state, ids));
                }
                grown.extend(change.grown.iter().filter_map(|row| {
                    let (before, after) = (row.before?.content?, row.after?.content?);
                    Some(((change.object, row.key, before), after))
                }));
                let is_of = |object: &Object, asked: &AskedRow| {
                    object.has_alias() && object.name.eq_ignore_ascii_case(&asked.table)
                };
                let object = walk.objects.get(change.object);
                let only = object.zip(asked).filter(|(object, asked)| is_of(object, asked));
                let is_wanted = |row: &&RowChange| only.is_none_or(|(_, asked)| row.key == asked.rowid);
                if let Some(events) = events.get_mut(change.object) {
                    go_on(events, change);
                    let rows = change.rows.iter().filter(is_wanted);
                    events.extend(rows.flat_map(|row| of_row(row, change, state)).flatten());
                }
            }
        }
        events.resize_with(walk.objects.len(), Vec::new);
        for events in &mut events {
            events.sort_unstable();
        }
        let by_content = events.iter().map(|_| OnceLock::new()).collect();
        let points = (0..=pages.last()).map(|state| pages.point(state)).collect();
        let (without_base, schema_known) = (pages.without_base(), walk.schema_known);
        let mut objects = at_chosen.unwrap_or_else(|| walk.objects.clone());
        let known = objects.len();
        // What is found of an object later says as much of its rows before.
        for (object, last) in objects.iter_mut().zip(&walk.objects) {
            (object.broken, object.incomplete, object.blind) = (last.broken, last.incomplete, last.blind);
        }
        objects.extend(walk.objects.drain(known..));
        Some(Self {
            objects,
            events,
            by_content,
            chosen,
            known,
            points,
            renumbered,
            grown,
            schema_known,
            without_base,
            owners,
        })
    }

    /// Those of a table that is put out: `name` is its name, `dropped` that it is gone, or of an earlier shape.
    pub(in super::super) fn of_table(
        &self,
        output: &Output,
        root: Option<u32>,
        dropped: bool,
        rowids: bool,
    ) -> OfTable<'_> {
        let name = output.table.name.as_deref();
        let fits = |object: &Object| {
            object.kind == SchemaKind::Table
                && name.is_some_and(|name| {
                    object.name == name || object.former.iter().any(|former| former == name)
                })
                && (object.keys == Keys::Rowid) == rowids
        };
        let all = || self.objects.iter().enumerate().filter(|(_, object)| fits(object));
        let stands = |(index, object): &(usize, &Object)| {
            *index < self.known && object.died.is_none() && root.is_none_or(|root| root == object.root)
        };
        let schema = (root == Some(1)).then_some(0);
        let standing = schema.or_else(|| all().find(stands).map(|(index, _)| index));
        // Earlier incarnations of the same shape are one table here.
        let others = all().map(|(index, _)| index).filter(|index| Some(*index) != standing);
        let stands = !dropped && standing.is_some();
        let renamed = all().any(|(_, object)| Some(object.name.as_str()) != name && object.died.is_none());
        OfTable {
            all: self,
            objects: standing.into_iter().chain(others).collect(),
            stands,
            named: name.is_some(),
            renamed,
        }
    }

    /// The table that had a page while it was as the main file has it, or as a commit of the log's current generation left
    /// it: its name and root.
    pub(in super::super) fn owner(&self, page: u32, commit: Option<u32>) -> Option<(&str, u32)> {
        let object = self.owning(page, commit).filter(|object| object.kind == SchemaKind::Table)?;
        Some((object.name.as_str(), object.root))
    }

    /// The same, also where what became of the table's rows is not certain.
    pub(in super::super) fn likely_owner(&self, page: u32, commit: Option<u32>) -> Option<(&str, u32)> {
        let object = self.owners.get(&(page, self.state_of(page, commit)?))?;
        let object = self.objects.get(*object as usize)?;
        (object.kind == SchemaKind::Table).then_some((object.name.as_str(), object.root))
    }

    /// Whether an index had a page then.
    pub(in super::super) fn is_of_index(&self, page: u32, commit: Option<u32>) -> bool {
        self.owning(page, commit).is_some_and(|object| object.kind == SchemaKind::Index)
    }

    fn owning(&self, page: u32, commit: Option<u32>) -> Option<&Object> {
        let object = self.owners.get(&(page, self.state_of(page, commit)?))?;
        self.objects.get(*object as usize).filter(|object| !object.broken)
    }

    /// The state from which a page is as the main file has it, or as a commit of the log's current generation left it.
    fn state_of(&self, page: u32, commit: Option<u32>) -> Option<u32> {
        let state = match commit {
            None => Some(0).filter(|_| !self.without_base.contains(&page)),
            Some(number) => self.points.iter().position(|point| *point == Point::Commit(number)),
        };
        u32::try_from(state?).ok()
    }

    fn events_of(&self, object: usize, key: i64, content: u64) -> &[Event] {
        let events = self.of_key(object, key);
        let from = events.partition_point(|event| event.content < content);
        let to = events.partition_point(|event| event.content <= content);
        events.get(from..to).unwrap_or_default()
    }

    fn of_key(&self, object: usize, key: i64) -> &[Event] {
        let events = self.events.get(object).map(Vec::as_slice).unwrap_or_default();
        let from = events.partition_point(|event| event.key < key);
        let to = events.partition_point(|event| event.key <= key);
        events.get(from..to).unwrap_or_default()
    }

    /// The key under which something happened to these cells: the inner `None` when there are several.
    fn key_of(&self, object: usize, content: u64) -> Option<Option<i64>> {
        let by_content = self.by_content.get(object)?.get_or_init(|| {
            let mut found: HashMap<u64, Option<i64>> = HashMap::new();
            for event in self.events.get(object).into_iter().flatten() {
                let only = found.entry(event.content).or_insert(Some(event.key));
                *only = only.filter(|key| *key == event.key);
            }
            found
        });
        by_content.get(&content).copied()
    }

    fn point(&self, state: u32) -> Option<Point> {
        self.points.get(state as usize).copied()
    }

    /// Whether a version stands at the chosen state, from what happened to it.
    fn stands_at_chosen(&self, events: &[Event]) -> bool {
        match events.split_at(events.partition_point(|event| event.state <= self.chosen)) {
            ([], [next, ..]) => matches!(next.what, What::Ended | What::LostSight),
            (before, _) => self.stretches(before, None).1,
        }
    }

    /// The stretches over which a version stood, from what happened to it, and whether it stands in the last state.
    fn stretches(&self, events: &[Event], blind: Option<u32>) -> (Vec<Lifetime>, bool) {
        let mut found = Vec::new();
        // What happened first tells whether it stood in the first state.
        let stood = events.first().is_some_and(|event| matches!(event.what, What::Ended | What::LostSight));
        // Before it ended it may have come unseen.
        let unseen = blind.zip(events.first()).is_some_and(|(blind, event)| blind < event.state);
        let mut open = stood.then_some(Some(Point::BeforeLog).filter(|_| !unseen));
        for event in events {
            let here = self.point(event.state);
            match (event.what, open) {
                (What::Came, before) => {
                    // Its end was not seen.
                    found.extend(before.map(|from| Lifetime { from, to: None }));
                    open = Some(here);
                }
                (What::Seen, Some(_)) => {}
                (What::Seen, None) => open = Some(None),
                (What::Ended, from) => {
                    found.push(Lifetime { from: from.flatten(), to: here });
                    open = None;
                }
                (What::LostSight, from) => {
                    found.push(Lifetime { from: from.flatten(), to: None });
                    open = None;
                }
            }
        }
        let stands = open.is_some();
        found.extend(open.map(|from| Lifetime { from, to: None }));
        (found, stands)
    }
}

/// What a commit did to the versions of a row.
fn of_row(row: &RowChange, change: &TableChange, state: u32) -> [Option<Event>; 2] {
    let both = row.before.is_some() && row.after.is_some();
    let ended = if change.after_known || both { What::Ended } else { What::LostSight };
    let came = if change.before_known || both { What::Came } else { What::Seen };
    let event = |content: Option<u64>, what| Some(Event { key: row.key, content: content?, state, what });
    [
        row.before.and_then(|before| event(before.content, ended)),
        row.after.and_then(|after| event(after.content, came)),
    ]
}

/// VACUUM gave rows other ids, or records the defaults of further columns: what happened to those that stand goes on
/// under the new ones.
fn go_on(events: &mut [Event], change: &TableChange) {
    if change.renumbered.is_empty() && change.grown.is_empty() || events.is_empty() {
        return;
    }
    let renumbered: HashMap<i64, i64> = change.renumbered.iter().copied().collect();
    let content = |row: Option<RowAt>| row.and_then(|row| row.content);
    let grown =
        change.grown.iter().filter_map(|row| Some(((row.key, content(row.before)?), content(row.after)?)));
    let grown: HashMap<(i64, u64), u64> = grown.collect();
    events.sort_unstable();
    for of_version in events.chunk_by_mut(|a, b| (a.key, a.content) == (b.key, b.content)) {
        let stands = of_version.last().is_some_and(|event| matches!(event.what, What::Came | What::Seen));
        for event in of_version.iter_mut().filter(|_| stands) {
            event.content = grown.get(&(event.key, event.content)).copied().unwrap_or(event.content);
            event.key = renumbered.get(&event.key).copied().unwrap_or(event.key);
        }
    }
}

impl OfTable<'_> {
    /// Whether anything happened to the rows of this key: if not, one that is live was there before the log.
    pub fn is_quiet(&self, key: i64) -> bool {
        let standing = self.objects.first().filter(|_| self.stands);
        standing.is_some_and(|object| {
            if self.is_renumbered_later(*object) || self.blind(*object).is_some() {
                return false;
            }
            let sound = self.all.objects.get(*object).is_some_and(|object| !object.broken);
            sound && self.all.of_key(*object, key).is_empty()
        })
    }

    /// When a live row stood.
    pub fn of_live(&self, key: i64, content: u64) -> Vec<Lifetime> {
        let unknown = || vec![Lifetime::default()];
        let sound =
            |object: &&usize| self.stands && self.all.objects.get(**object).is_some_and(|o| !o.broken);
        let sound = |object: &&usize| sound(object) && !self.is_renumbered_later(**object);
        let Some(object) = self.objects.first().filter(sound) else { return unknown() };
        if self.all.of_key(*object, key).is_empty() {
            let from = Some(Point::BeforeLog).filter(|_| self.blind(*object).is_none());
            return vec![Lifetime { from, to: None }];
        }
        let events = self.all.events_of(*object, key, content);
        let found = self.all.stretches(events, self.blind(*object)).0;
        if self.all.stands_at_chosen(events) { found } else { unknown() }
    }

    /// The first state in which not all of its rows were seen.
    fn blind(&self, object: usize) -> Option<u32> {
        self.all.objects.get(object).and_then(|object| object.blind)
    }

    /// Whether its rows were given other ids after the point at which they are asked for: what happened to each is known
    /// by the new ones.
    fn is_renumbered_later(&self, object: usize) -> bool {
        let last = self.all.renumbered.get(&object).and_then(|all| all.last());
        last.is_some_and(|(state, _)| *state > self.all.chosen)
    }

    /// When a row that is gone stood: `key` is `None` when it is lost, `sure` tells that it was read and not inferred.
    /// `in_base` tells that a page which is older than all commits holds it.
    pub fn of_gone(
        &self,
        key: Option<i64>,
        sure: bool,
        content: Option<u64>,
        in_base: bool,
    ) -> Vec<Lifetime> {
        let before = in_base.then_some(Point::BeforeLog);
        let open = || before.map(|from| Lifetime { from: Some(from), to: None }).into_iter().collect();
        let Some(content) = content else { return open() };
        // Which row had which id before is not told apart here.
        if in_base && self.objects.iter().any(|object| self.all.renumbered.contains_key(object)) {
            return open();
        }
        if self.objects.iter().any(|object| self.all.objects.get(*object).is_some_and(|object| object.broken))
        {
            return open();
        }
        let events = |object: usize| {
            let grown = |key| self.all.grown.get(&(object, key, content)).copied().unwrap_or(content);
            let own = key.map(|key| self.all.events_of(object, key, grown(key))).unwrap_or_default();
            if !own.is_empty() || sure {
                return Some(own);
            }
            match (self.all.key_of(object, content), key) {
                (None, _) => Some(own),
                (Some(Some(only)), None) => Some(self.all.events_of(object, only, content)),
                // Another row with the same cells, or one of several.
                _ => None,
            }
        };
        let mut found: Option<&[Event]> = None;
        for object in &self.objects {
            match events(*object) {
                Some([]) => {}
                Some(events) if found.is_none() => found = Some(events),
                _ => return open(),
            }
        }
        if let Some(events) = found {
            let blind = self.objects.iter().filter_map(|object| self.blind(*object)).min();
            let (mut found, stands) = self.all.stretches(events, blind);
            // It is not live: its end was not seen.
            if stands && let Some(last) = found.last_mut() {
                last.to = None;
            }
            return found;
        }
        let complete = self.named
            && !self.renamed
            && self.all.schema_known
            && self.objects.iter().all(|object| self.is_complete(*object));
        before.map(|point| Lifetime { from: before, to: complete.then_some(point) }).into_iter().collect()
    }

    /// Whether the commit behind which these cells no longer stood under their key put others there: a row that it deleted
    /// may have given its key to another one later on. `None` when no commit is known to have ended them.
    pub fn was_replaced(&self, key: i64, content: u64) -> Option<bool> {
        let ended_by = |object: &usize| {
            let events = self.all.of_key(*object, key).iter();
            let ended = events.filter(|event| event.content == content && event.what == What::Ended);
            let ended = ended.map(|event| event.state).filter(|state| *state <= self.all.chosen);
            Some((*object, ended.max()?))
        };
        let sound = |object: &&usize| self.all.objects.get(**object).is_some_and(|object| !object.broken);
        let (object, state) = self.objects.iter().filter(sound).find_map(ended_by)?;
        let came = |event: &Event| event.state == state && matches!(event.what, What::Came | What::Seen);
        Some(self.all.of_key(object, key).iter().any(came))
    }

    /// Whether a commit is known behind which these cells no longer stood under their key. VACUUM, which gives rows other
    /// keys, ends none.
    pub fn has_ended(&self, key: i64, content: u64) -> bool {
        let is_renumbered = |object: &usize| self.all.renumbered.contains_key(object);
        !self.objects.iter().any(is_renumbered) && self.was_replaced(key, content).is_some()
    }

    /// Whether VACUUM gave rows that stand other ids, as the commits tell.
    pub fn is_renumbered(&self) -> bool {
        let standing = self.objects.first().filter(|_| self.stands);
        standing.is_some_and(|object| self.all.renumbered.contains_key(object))
    }

    /// The id that a row has at the point at which the table is read, of which a page has another one: as the main file has
    /// the page, or as a commit left it. `None` where VACUUM gave no other ids since, or that isn't known.
    pub fn id_since(&self, key: i64, page: u32, commit: Option<u32>) -> Option<IdSince> {
        let state = self.all.state_of(page, commit)?;
        let object = self.objects.first().filter(|_| self.stands)?;
        let all = self.all.renumbered.get(object)?;
        let since = all.iter().filter(|(at, _)| state < *at && *at <= self.all.chosen);
        let mut since = since.map(|(_, ids)| ids).peekable();
        since.peek()?;
        let now = since.try_fold(key, |key, ids| ids.get(&key).copied());
        Some(now.map_or(IdSince::Gone, IdSince::Is))
    }

    /// Whether commits of an older generation of the log are among those that are followed.
    pub fn has_older(&self) -> bool {
        matches!(self.all.points.get(1), Some(Point::Older { .. }))
    }

    /// Whether the main file holds a page as it was before all commits.
    pub fn is_base(&self, page: u32) -> bool {
        !self.all.without_base.contains(&page)
    }

    fn is_complete(&self, object: usize) -> bool {
        self.all.objects.get(object).is_some_and(|object| !object.incomplete)
    }
}
