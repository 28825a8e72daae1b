//! When each row version stood, as far as the commits of a log prove it.

use super::super::database::Output;
use super::super::rank::{Rank, Ranked};
use super::events::{Elsewhere, Event, Events, OfKey, What};
use super::followed::{Followed, GivenIds};
use super::objects::Object;
use super::pages::Pages;
use super::renumbered::Renumbered;
use super::rows::Keys;
use crate::model::{Lifetime, Point};
use crate::stores::AskedRow;
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// What the commits of a log did to the versions of all rows.
#[derive(Debug)]
pub struct Lifetimes<'a> {
    objects: Vec<Object>,
    /// By object.
    events: Vec<Events>,
    /// Where those are read that are not held, if any.
    pages: Option<Pages<'a>>,
    /// The state at which rows are live.
    chosen: u32,
    /// How many of the objects there were in it, living or dead.
    known: usize,
    /// The commit that made each state.
    points: Vec<Point>,
    /// What VACUUM did to row ids.
    renumbered: GivenIds,
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
    /// None: the row was gone by then. This was its last.
    Gone(i64),
}

/// The ids that rows have which a page of some time has under others, since VACUUM gave them.
#[derive(Clone, Copy, Debug)]
pub struct IdsSince<'l>(&'l [(u32, Arc<Renumbered>)]);

impl IdsSince<'_> {
    /// The id of a row that had this one.
    pub fn of(self, id: i64) -> IdSince {
        let mut last = id;
        for (_, ids) in self.0 {
            let Some(next) = ids.get(last) else { return IdSince::Gone(last) };
            last = next;
        }
        IdSince::Is(last)
    }

    /// The least and the greatest id that rows which had some of these may have had when they went.
    pub fn last_within(self, ids: RangeInclusive<i64>) -> RangeInclusive<i64> {
        let (mut ids, mut all) = (ids.clone(), ids);
        for (_, given) in self.0.iter().take(self.0.len().saturating_sub(1)) {
            let Some(next) = given.after(&ids) else { break };
            all = *all.start().min(next.start())..=*all.end().max(next.end());
            ids = next;
        }
        all
    }

    /// The least and the greatest id that rows have which had some of these; `None` where all are gone.
    pub fn within(self, ids: RangeInclusive<i64>) -> Option<RangeInclusive<i64>> {
        self.0.iter().try_fold(ids, |ids, (_, given)| given.after(&ids))
    }
}

/// The lifetimes of one table's rows.
#[derive(Clone, Debug)]
pub struct OfTable<'l> {
    all: &'l Lifetimes<'l>,
    /// The incarnations that its rows may be of; the one that stands comes first, when one does.
    objects: Vec<usize>,
    stands: bool,
    /// Whether the table's name is known, so that no other incarnation can be.
    named: bool,
    /// A table of another name now has its rows.
    renamed: bool,
    /// The range of keys among which rows without one are sought, where not all events are held.
    range: Option<usize>,
}

impl<'a> Lifetimes<'a> {
    /// Follows all commits; `None` when more would have to be read than a sound log could ask for. Rows are live at the
    /// state `chosen`. Of a table whose row ids a column shows only those of the row that is `asked` for are kept.
    pub(in super::super) fn of(
        pages: Pages<'a>,
        encoding: TextEncoding,
        chosen: u32,
        asked: Option<&AskedRow>,
    ) -> Option<Self> {
        let followed = Followed::of(&pages, encoding, chosen, asked)?;
        let Followed { objects, known, events, renumbered, schema_known, owners } = followed;
        let keys = objects.iter().map(|object| object.keys).chain(std::iter::repeat(Keys::None));
        let events: Vec<Events> =
            events.into_iter().zip(keys).map(|(events, keys)| events.finish(keys)).collect();
        let points = (0..=pages.last()).map(|state| pages.point(state)).collect();
        let without_base = pages.without_base();
        let any_cut = events.iter().any(|events| !events.is_held());
        let pages = any_cut.then_some(pages);
        Some(Self {
            objects,
            events,
            pages,
            chosen,
            known,
            points,
            renumbered,
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
            range: None,
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

    fn events_of(&self, object: usize, key: Ranked, content: u64) -> OfKey<'_> {
        self.of_key(object, key).of(content)
    }

    fn of_key(&self, object: usize, key: Ranked) -> OfKey<'_> {
        let events = self.events.get(object);
        events.map_or(OfKey::Held(&[]), |events| events.of_key(self.pages.as_ref(), key))
    }

    /// The key under which something happened to these cells: the inner `None` when there are several.
    fn key_of(
        &self,
        object: usize,
        range: Option<usize>,
        content: u64,
    ) -> Result<Option<Option<i64>>, Elsewhere> {
        let events = self.events.get(object);
        events.map_or(Ok(None), |events| events.key_of(self.pages.as_ref(), range, content))
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

impl OfTable<'_> {
    /// Whether anything happened to the rows of this key: if not, one that is live was there before the log.
    pub fn is_quiet(&self, key: Ranked) -> bool {
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
    pub fn of_live(&self, key: Ranked, content: u64) -> Vec<Lifetime> {
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
        let found = self.all.stretches(&events, self.blind(*object)).0;
        if self.all.stands_at_chosen(&events) { found } else { unknown() }
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
    /// `in_base` tells that a page which is older than all commits holds it, `of_now` that the key is the one that it had
    /// last, though VACUUM may have given it.
    pub fn of_gone(
        &self,
        (key, sure): (Option<Ranked>, bool),
        content: Option<u64>,
        in_base: bool,
        of_now: bool,
    ) -> Vec<Lifetime> {
        let before = in_base.then_some(Point::BeforeLog);
        let open = || before.map(|from| Lifetime { from: Some(from), to: None }).into_iter().collect();
        let Some(content) = content else { return open() };
        // Which row had which id before is not told apart here.
        if in_base && !of_now && self.objects.iter().any(|object| self.all.renumbered.contains_key(object)) {
            return open();
        }
        if self.objects.iter().any(|object| self.all.objects.get(*object).is_some_and(|object| object.broken))
        {
            return open();
        }
        let events = |object: usize| {
            let grown = |key: Ranked| {
                let events = self.all.events.get(object);
                events.map_or(content, |events| events.grown(self.all.pages.as_ref(), key, content))
            };
            let own = key.map(|key| self.all.events_of(object, key, grown(key)));
            let own = own.unwrap_or(OfKey::Held(&[]));
            if !own.is_empty() || sure {
                return Some(own);
            }
            match (self.all.key_of(object, self.range, content), key) {
                (Ok(None), _) => Some(own),
                (Ok(Some(Some(only))), None) => {
                    let events = self.all.events.get(object)?;
                    Some(events.in_range(self.all.pages.as_ref(), self.range, only).of(content))
                }
                // Another row with the same cells, or one of several.
                _ => None,
            }
        };
        let mut found: Option<OfKey<'_>> = None;
        for object in &self.objects {
            match events(*object) {
                Some(events) if events.is_empty() => {}
                Some(events) if found.is_none() => found = Some(events),
                _ => return open(),
            }
        }
        if let Some(events) = found {
            let blind = self.objects.iter().filter_map(|object| self.blind(*object)).min();
            let (mut found, stands) = self.all.stretches(&events, blind);
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
    pub fn was_replaced(&self, key: Ranked, content: u64) -> Option<bool> {
        let ended_by = |object: &usize| {
            let events = self.all.of_key(*object, key);
            let is_ended = |event: &&Event| event.content == content && event.what == What::Ended;
            let ended = events.iter().filter(is_ended);
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
    pub fn has_ended(&self, key: Ranked, content: u64) -> bool {
        let is_renumbered = |object: &usize| self.all.renumbered.contains_key(object);
        !self.objects.iter().any(is_renumbered) && self.was_replaced(key, content).is_some()
    }

    /// Whether VACUUM gave rows that stand other ids, as the commits tell.
    pub fn is_renumbered(&self) -> bool {
        let standing = self.objects.first().filter(|_| self.stands);
        standing.is_some_and(|object| self.all.renumbered.contains_key(object))
    }

    /// The ids that rows have at the point at which the table is read, by those under which a page has them: as the main
    /// file has the page, or as a commit left it. `None` where VACUUM gave no other ids since, or that isn't known.
    pub fn ids_since(&self, page: u32, commit: Option<u32>) -> Option<IdsSince<'_>> {
        let object = self.objects.first().filter(|_| self.stands)?;
        let all = self.all.renumbered.get(object)?;
        let state = self.all.state_of(page, commit)?;
        let given = |until: u32| all.partition_point(|(at, _)| *at <= until);
        let since = all.get(given(state)..given(self.all.chosen))?;
        (!since.is_empty()).then_some(IdsSince(since))
    }

    /// The least rank of each range but the first among which the rows are read, of a table of which more versions are gone
    /// than are held at once; none of others.
    pub fn ranges(&self) -> Vec<Rank> {
        let cut = self.objects.iter().filter_map(|object| self.all.events.get(*object));
        cut.map(Events::ranges).find(|ranges| !ranges.is_empty()).unwrap_or_default().to_vec()
    }

    /// Whether all that happened is held, so that no key takes longer to ask for than another.
    pub fn is_held(&self) -> bool {
        self.objects.first().and_then(|object| self.all.events.get(*object)).is_none_or(Events::is_held)
    }

    /// The same, while rows of one of the ranges are asked for.
    pub const fn in_range(mut self, range: usize) -> Self {
        self.range = Some(range);
        self
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
