//! What a commit did to definitions.

use super::super::objects::{Object, schema_at};
use super::{Owner, SchemaAct, SchemaChange, Walk};
use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow};
use std::collections::{BTreeMap, HashMap, HashSet};

impl Walk<'_, '_> {
    /// Holds the definitions against those of the state before. Roots of what was dropped or moved become loose, those of
    /// what is new or moved are to be claimed.
    pub(super) fn change_schema(
        &mut self,
        state: u32,
        changes: &mut Vec<SchemaChange>,
        loose: &mut BTreeMap<u32, Owner>,
        roots: &mut Vec<(u32, u32)>,
    ) {
        let (rows, whole) = schema_at(self.pages, state, self.encoding);
        // What can't be read would look dropped.
        if !whole {
            return;
        }
        let (_, known_before) = schema_at(self.pages, state - 1, self.encoding);
        let living: Vec<usize> = (1..self.objects.len())
            .filter(|index| self.objects.get(*index).is_some_and(|o| o.died.is_none()))
            .collect();
        let mut by_name: HashMap<(SchemaKind, &str), &SchemaRow> = HashMap::new();
        by_name.extend(rows.iter().map(|row| ((row.kind, row.name.as_str()), row)));
        let mut goes_on: HashMap<(SchemaKind, &str), usize> = HashMap::new();
        for index in &living {
            let Some(object) = self.objects.get(*index) else { continue };
            let same_name = by_name.get(&(object.kind, object.name.as_str()));
            let same = same_name.filter(|row| row.root.unwrap_or(0) == object.root || row.sql == object.sql);
            if let Some(row) = same {
                goes_on.insert((row.kind, &row.name), *index);
            }
        }
        // A name that is new over a root that is not.
        let continued: HashSet<usize> = goes_on.values().copied().collect();
        for row in rows.iter().filter(|row| row.root.unwrap_or(0) > 0) {
            if goes_on.contains_key(&(row.kind, row.name.as_str())) {
                continue;
            }
            let renamed = living.iter().filter(|index| !continued.contains(index)).find(|index| {
                let object = self.objects.get(**index);
                object.is_some_and(|object| {
                    object.kind == row.kind
                        && Some(object.root) == row.root
                        && !by_name.contains_key(&(object.kind, object.name.as_str()))
                })
            });
            if let Some(index) = renamed {
                goes_on.insert((row.kind, &row.name), *index);
            }
        }
        let continued: HashSet<usize> = goes_on.values().copied().collect();
        for index in living.iter().filter(|index| !continued.contains(index)) {
            let Some(object) = self.objects.get_mut(*index) else { continue };
            object.died = Some(state);
            let (kind, name, root) = (object.kind, object.name.clone(), object.root);
            if known_before {
                changes.push(SchemaChange { kind, name, what: SchemaAct::Dropped });
            }
            if self.owner(root).object() == Some(*index as u32) {
                loose.insert(root, self.owner(root));
            }
        }
        for row in &rows {
            let kind = row.kind;
            if let Some(index) = goes_on.get(&(kind, row.name.as_str())) {
                let Some(object) = self.objects.get_mut(*index) else { continue };
                let (old_name, old_root) = (object.name.clone(), object.root);
                let altered = object.sql != row.sql;
                let fresh = Object::of(row, object.born, self.encoding);
                let mut former = std::mem::take(&mut object.former);
                former.extend((old_name != row.name).then(|| old_name.clone()));
                let (incomplete, blind, broken) = (object.incomplete, object.blind, object.broken);
                *object = Object { incomplete, blind, broken, former, ..fresh };
                let what =
                    if old_name == row.name { SchemaAct::Altered } else { SchemaAct::Renamed(old_name) };
                if altered && known_before {
                    changes.push(SchemaChange { kind, name: row.name.clone(), what });
                }
                let root = row.root.unwrap_or(0);
                if root != old_root || matches!(self.owner(root), Owner::Perhaps(_)) {
                    if root != old_root && self.owner(old_root).object() == Some(*index as u32) {
                        loose.insert(old_root, self.owner(old_root));
                    }
                    roots.extend((root > 1).then_some((root, *index as u32)));
                }
                continue;
            }
            self.objects.push(Object::of(row, known_before.then_some(state), self.encoding));
            let index = self.objects.len() as u32 - 1;
            if let Some(object) = self.objects.last_mut().filter(|_| !known_before) {
                object.incomplete = true;
            }
            roots.extend(row.root.filter(|root| *root > 1).map(|root| (root, index)));
            if known_before {
                changes.push(SchemaChange { kind, name: row.name.clone(), what: SchemaAct::Created });
            }
        }
    }
}
