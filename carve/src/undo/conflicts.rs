//! Rows that can't be taken back since later commits stand in the way: they changed the row, took its unique key, removed
//! what it refers to, or refer to it. A row that is left may stand in the way of others in turn.

use crate::model::{RowThen, UndoTable, Undoable};
use crate::sql::constraints::{Constraints, UniqueKey, values};
use mudlark_parsers::sqlite::ddl::TableDdl;
use std::collections::HashSet;

/// Why a row is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Since,
    KeyTaken,
    ParentGone,
    ReferredTo,
}

impl Reason {
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Since => "changed since",
            Self::KeyTaken => "its unique key is another row's since",
            Self::ParentGone => "the row that it refers to is gone since",
            Self::ReferredTo => "another row refers to it since",
        }
    }
}

/// A foreign key among the tables whose rows the commits changed, by their places; of the parent the key's places.
struct Link {
    child: usize,
    columns: UniqueKey,
    parent: usize,
    key: UniqueKey,
}

fn links(undoable: &Undoable<'_>) -> Vec<Link> {
    let mut found = Vec::new();
    for (child, table) in undoable.tables.iter().enumerate() {
        let Some(ddl) = table.table.ddl.as_ref().map(|ddl| &ddl.parsed) else { continue };
        for reference in &ddl.references {
            let named = |other: &UndoTable<'_>| other.table.name.eq_ignore_ascii_case(&reference.table);
            let Some(parent) = undoable.tables.iter().position(named) else { continue };
            let Some((of_parent, parent_ddl)) = undoable
                .tables
                .get(parent)
                .and_then(|table| Some((table, &table.table.ddl.as_ref()?.parsed)))
            else {
                continue;
            };
            let places = |table: &UndoTable<'_>, ddl: &TableDdl, columns: &[usize]| -> Option<UniqueKey> {
                let part = |column: &usize| {
                    let column = ddl.columns.get(*column)?;
                    let place = table.table.columns.iter().position(|other| other.name == column.name)?;
                    Some((place, None))
                };
                columns.iter().map(part).collect()
            };
            let key: Option<Vec<usize>> = if reference.parent.is_empty() {
                parent_ddl.primary_key.iter().map(|part| part.column).collect()
            } else {
                reference.parent.iter().map(|name| parent_ddl.column_index(name)).collect()
            };
            let key = key.and_then(|key| places(of_parent, parent_ddl, &key));
            let columns = places(table, ddl, &reference.columns);
            if let Some((columns, key)) = columns.zip(key)
                && columns.len() == key.len()
            {
                found.push(Link { child, columns, parent, key });
            }
        }
    }
    found
}

/// For each row of each table why it is left, if it is.
pub(super) fn find(undoable: &Undoable<'_>) -> Vec<Vec<Option<Reason>>> {
    let encoding = undoable.encoding;
    let since = |table: &UndoTable<'_>| {
        table.rows.iter().map(|row| row.since.then_some(Reason::Since)).collect::<Vec<_>>()
    };
    let mut reasons: Vec<Vec<Option<Reason>>> = undoable.tables.iter().map(since).collect();
    let links = links(undoable);
    let uniques: Vec<Vec<UniqueKey>> = undoable
        .tables
        .iter()
        .map(|table| Constraints::of(&table.table, &undoable.referring).uniques)
        .collect();
    loop {
        let before: usize = reasons.iter().flatten().flatten().count();
        for (number, table) in undoable.tables.iter().enumerate() {
            for key in uniques.get(number).into_iter().flatten() {
                let Some(reasons) = reasons.get_mut(number) else { continue };
                let later = table.later.iter().filter_map(|[_, after]| after.as_ref());
                let left = table.rows.iter().zip(reasons.iter()).filter(|(_, reason)| reason.is_some());
                let left = left.filter_map(|(row, _)| row.now.as_ref().filter(|_| !row.since));
                let taken: HashSet<Vec<String>> =
                    later.chain(left).filter_map(|row| values(row, key, encoding)).collect();
                for (row, reason) in table.rows.iter().zip(reasons) {
                    let wanted = row.then.as_ref().and_then(|row| values(row, key, encoding));
                    let had = row.now.as_ref().and_then(|row| values(row, key, encoding));
                    if reason.is_none() && wanted != had && wanted.is_some_and(|key| taken.contains(&key)) {
                        *reason = Some(Reason::KeyTaken);
                    }
                }
            }
        }
        for link in &links {
            hold(undoable, link, &mut reasons);
        }
        if reasons.iter().flatten().flatten().count() == before {
            return reasons;
        }
    }
}

/// Leaves the children of parents that are gone, and the parents of children that are there.
fn hold(undoable: &Undoable<'_>, link: &Link, reasons: &mut [Vec<Option<Reason>>]) {
    let encoding = undoable.encoding;
    let (Some(children), Some(parents)) = (undoable.tables.get(link.child), undoable.tables.get(link.parent))
    else {
        return;
    };
    let key = |row: Option<&RowThen<'_>>| row.and_then(|row| values(row, &link.key, encoding));
    let refers = |row: Option<&RowThen<'_>>| row.and_then(|row| values(row, &link.columns, encoding));
    let of = |table: usize| reasons.get(table).cloned().unwrap_or_default();
    let (of_children, of_parents) = (of(link.child), of(link.parent));
    // Parents that are not there and don't come back, and what refers to parents since.
    let later = parents.later.iter();
    let mut gone: HashSet<Vec<String>> =
        later.clone().filter_map(|[before, _]| key(before.as_ref())).collect();
    for standing in later.filter_map(|[_, after]| key(after.as_ref())) {
        gone.remove(&standing);
    }
    for (row, reason) in parents.rows.iter().zip(&of_parents) {
        let (now, then) = (key(row.now.as_ref()), key(row.then.as_ref()));
        if reason.is_some() && now != then && !row.since {
            gone.extend(then);
        }
    }
    let mut needed: HashSet<Vec<String>> =
        children.later.iter().filter_map(|[_, after]| refers(after.as_ref())).collect();
    for (row, reason) in children.rows.iter().zip(&of_children) {
        if reason.is_some() && !row.since {
            needed.extend(refers(row.now.as_ref()));
        }
    }
    if let Some(reasons) = reasons.get_mut(link.child) {
        for (row, reason) in children.rows.iter().zip(reasons) {
            let (now, then) = (refers(row.now.as_ref()), refers(row.then.as_ref()));
            if reason.is_none() && now != then && then.is_some_and(|key| gone.contains(&key)) {
                *reason = Some(Reason::ParentGone);
            }
        }
    }
    if let Some(reasons) = reasons.get_mut(link.parent) {
        for (row, reason) in parents.rows.iter().zip(reasons) {
            let (now, then) = (key(row.now.as_ref()), key(row.then.as_ref()));
            if reason.is_none() && now != then && now.is_some_and(|key| needed.contains(&key)) {
                *reason = Some(Reason::ReferredTo);
            }
        }
    }
}
