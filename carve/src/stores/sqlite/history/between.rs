//! Two states against one another, however many commits lie between them.
//!
//! The trees of both are known once the walk has come to the later one. Pages that no commit between them wrote, and that
//! stayed in their trees, hold the same rows in both, so that only the others are read, each in these two states: what
//! was written between them and written again doesn't count, and what is lost of it does no harm.

use super::objects::{Object, schema_at};
use super::pages::Seen;
use super::walk::{Ids, NewIds, Owner, SchemaAct, SchemaChange, TableChange, Touched, Walk};
use mudlark_parsers::sqlite::ddl::{self, IndexDdl, Statement, TableDdl};
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The trees of a state that the walk has gone on from.
#[derive(Clone, Debug)]
pub struct Trees {
    pub state: u32,
    pub objects: Vec<Object>,
    owners: Vec<Owner>,
    /// The ids that VACUUM gave to the rows of this state, by object.
    ids: HashMap<usize, NewIds>,
    /// All definitions are known.
    pub whole: bool,
}

impl Trees {
    /// The trees of the state that a walk has come to.
    pub fn of(walk: &Walk<'_, '_>, state: u32) -> Self {
        let (_, whole) = schema_at(walk.pages, state, walk.encoding);
        Self { state, objects: walk.objects.clone(), owners: walk.owners.clone(), ids: HashMap::new(), whole }
    }

    /// Notes the ids that a later commit gave to rows.
    pub fn note(&mut self, changes: &[TableChange]) {
        for change in changes.iter().filter(|change| !change.renumbered.is_empty()) {
            let given: NewIds = change.renumbered.pairs().collect();
            let ids = match self.ids.remove(&change.object) {
                Some(ids) => ids.into_iter().filter_map(|(old, id)| Some((old, *given.get(&id)?))).collect(),
                None => given,
            };
            self.ids.insert(change.object, ids);
        }
    }

    /// The id that a row has now; `None` when it was gone before VACUUM gave other ones.
    pub fn id_now(&self, object: usize, id: i64) -> Option<i64> {
        self.ids.get(&object).map_or(Some(id), |ids| ids.get(&id).copied())
    }

    /// Whether VACUUM has given other ids to rows of an object.
    pub fn is_renumbered(&self, object: usize) -> bool {
        self.ids.contains_key(&object)
    }

    /// Whether an object is there.
    pub fn has(&self, object: usize) -> bool {
        self.objects.get(object).is_some_and(|object| object.died.is_none())
    }

    /// The objects that are there.
    pub fn standing(&self) -> impl Iterator<Item = &Object> {
        (0..self.objects.len()).filter(|index| self.has(*index)).filter_map(|index| self.objects.get(index))
    }

    /// The tables that have foreign keys, with their definitions as text.
    pub fn referring(&self) -> Vec<(TableDdl, String)> {
        self.standing()
            .filter_map(|object| Some((object.ddl.clone()?, object.sql.clone()?)))
            .filter(|(ddl, _)| !ddl.references.is_empty())
            .collect()
    }

    /// The triggers, each with its table; without one where that is not known: it may be any.
    pub fn triggers(&self) -> Vec<(String, String)> {
        let trigger = |object: &Object| match ddl::read(object.sql.as_deref().unwrap_or_default().as_bytes())
        {
            Ok(Statement::Trigger { table, .. }) => (object.name.clone(), table),
            _ => (object.name.clone(), String::new()),
        };
        self.standing().filter(|object| object.kind == SchemaKind::Trigger).map(trigger).collect()
    }

    /// The unique indexes of a table.
    pub fn uniques(&self, object: &Object) -> Vec<IndexDdl> {
        let Some(table) = &object.ddl else { return Vec::new() };
        self.standing()
            .filter(|object| object.kind == SchemaKind::Index)
            .filter_map(|index| match ddl::read(index.sql.as_deref()?.as_bytes()) {
                Ok(Statement::Index(raw)) if raw.table.eq_ignore_ascii_case(&object.name) => {
                    Some(ddl::resolve(&raw, table))
                }
                _ => None,
            })
            .filter(|index| index.unique)
            .collect()
    }

    /// The tables and what belongs to them that came, went or changed until a later state.
    pub fn schema_changes(&self, later: &Self) -> Vec<(usize, SchemaChange)> {
        let mut changes = Vec::new();
        for (index, now) in later.objects.iter().enumerate().skip(1) {
            let before = self.objects.get(index).filter(|_| self.has(index));
            let act = match (before, later.has(index)) {
                (None, false) => continue,
                (None, true) => SchemaAct::Created,
                (Some(_), false) => SchemaAct::Dropped,
                (Some(before), true) if before.name != now.name => SchemaAct::Renamed(before.name.clone()),
                (Some(before), true) if before.sql != now.sql => SchemaAct::Altered,
                (Some(_), true) => continue,
            };
            changes.push((index, SchemaChange { kind: now.kind, name: now.name.clone(), what: act }));
        }
        changes
    }
}

/// A table's pages that are lost in one of two states.
#[derive(Clone, Debug, Default)]
pub struct LostPages {
    pub before: BTreeSet<u32>,
    pub after: BTreeSet<u32>,
}

impl Walk<'_, '_> {
    /// What differs between an earlier state and the one that the walk has come to, and which pages are lost, by object.
    pub fn since(&mut self, earlier: &Trees, state: u32) -> (Vec<TableChange>, BTreeMap<usize, LostPages>) {
        self.pages.begin();
        let written: BTreeSet<u32> =
            (earlier.state + 1..=state).flat_map(|state| self.pages.written(state)).collect();
        let mut touched: BTreeMap<u32, Touched> = BTreeMap::new();
        let mut lost: BTreeMap<usize, LostPages> = BTreeMap::new();
        let is_lost = |page: u32, state: u32| matches!(self.pages.at(page, state), Seen::Unknown);
        for page in 1..self.owners.len() as u32 {
            let owner = |owners: &[Owner]| owners.get(page as usize).copied().unwrap_or_default();
            let (old, new) = (owner(&earlier.owners), owner(&self.owners));
            let is_written = written.contains(&page);
            if !is_written && old.object() == new.object() {
                continue;
            }
            if let Some(object) = old.object() {
                let of = touched.entry(object).or_default();
                of.before.insert(page);
                of.unsure_before |= matches!(old, Owner::Perhaps(_));
                if is_lost(page, earlier.state) {
                    lost.entry(object as usize).or_default().before.insert(page);
                }
            }
            if let Some(object) = new.object() {
                let of = touched.entry(object).or_default();
                of.after.insert(page);
                of.unsure_after |= matches!(new, Owner::Perhaps(_));
                // No page joins a tree without being written.
                of.unsure_before |= !is_written;
                if is_lost(page, state) {
                    lost.entry(object as usize).or_default().after.insert(page);
                }
            }
        }
        if written.iter().any(|page| self.is_strange(*page, state)) {
            self.touch_hidden(&mut touched);
        }
        // After VACUUM a row may be on any page.
        for object in earlier.ids.keys() {
            let of = touched.entry(*object as u32).or_default();
            let has = |owner: &Owner| owner.object() == Some(*object as u32);
            let pages = |owners: &[Owner]| -> Vec<u32> {
                (0..owners.len() as u32).filter(|p| owners.get(*p as usize).is_some_and(has)).collect()
            };
            of.before.extend(pages(&earlier.owners));
            of.after.extend(pages(&self.owners));
        }
        // Overflow pages are found from the leaves of the earlier state.
        let owners = std::mem::replace(&mut self.owners, earlier.owners.clone());
        let spilled = self.spilled.take();
        let in_no_tree = |page: &u32| owners.get(*page as usize).is_none_or(|owner| *owner == Owner::None);
        let written: Vec<u32> = written.into_iter().filter(in_no_tree).collect();
        let changes = self.compare([earlier.state, state], &written, touched, Ids::Given(&earlier.ids));
        self.owners = owners;
        self.spilled = spilled;
        self.overrun |= self.pages.is_overrun();
        (changes, lost)
    }
}
