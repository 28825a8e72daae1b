//! Rows that can't be taken back since later commits stand in the way: they changed the row, took its unique key, removed
//! what it refers to, or refer to it. A row that is left may stand in the way of others in turn.

use crate::model::{LaterTable, RowThen, TableThen, UndoRow, UndoTable, Undoable};
use crate::sql::constraints::{Constraints, UniqueKey, values};
use mudlark_parsers::sqlite::ddl::TableDdl;
use mudlark_parsers::value::TextEncoding;
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

/// A foreign key among the tables whose rows these commits or later ones changed, by their places; of the parent the key's
/// places.
struct Link {
    child: usize,
    columns: UniqueKey,
    parent: usize,
    key: UniqueKey,
}

/// A table with the rows that these commits and later ones changed.
#[derive(Clone, Copy)]
struct Changed<'u, 'a> {
    table: &'u TableThen,
    rows: &'u [UndoRow<'a>],
    later: &'u [[Option<RowThen<'a>>; 2]],
}

/// The tables that are taken back, and behind them those that are linked to them.
fn changed<'u, 'a>(undoable: &'u Undoable<'a>) -> Vec<Changed<'u, 'a>> {
    let taken_back =
        |table: &'u UndoTable<'a>| Changed { table: &table.table, rows: &table.rows, later: &table.later };
    let linked = |table: &'u LaterTable<'a>| Changed { table: &table.table, rows: &[], later: &table.rows };
    undoable.tables.iter().map(taken_back).chain(undoable.linked.iter().map(linked)).collect()
}

fn links(tables: &[Changed<'_, '_>]) -> Vec<Link> {
    let mut found = Vec::new();
    for (child, of_child) in tables.iter().enumerate() {
        let Some(ddl) = of_child.table.ddl.as_ref().map(|ddl| &ddl.parsed) else { continue };
        for reference in &ddl.references {
            let named = |other: &Changed<'_, '_>| other.table.name.eq_ignore_ascii_case(&reference.table);
            let Some(parent) = tables.iter().position(named) else { continue };
            let Some((of_parent, parent_ddl)) =
                tables.get(parent).and_then(|of| Some((of.table, &of.table.ddl.as_ref()?.parsed)))
            else {
                continue;
            };
            let place = |table: &TableThen, ddl: &TableDdl, column: usize| {
                let name = &ddl.columns.get(column)?.name;
                table.columns.iter().position(|other| other.name == *name)
            };
            let key: Option<Vec<usize>> = if reference.parent.is_empty() {
                parent_ddl.primary_key.iter().map(|part| part.column).collect()
            } else {
                reference.parent.iter().map(|name| parent_ddl.column_index(name)).collect()
            };
            // The parent's collation says what is equal (<https://www.sqlite.org/foreignkeys.html>, section 3).
            let pair = |(column, of_parent_column): (&usize, usize)| {
                let collation = parent_ddl.columns.get(of_parent_column)?.collation.clone();
                let refers = (place(of_child.table, ddl, *column)?, collation.clone());
                Some((refers, (place(of_parent, parent_ddl, of_parent_column)?, collation)))
            };
            let pairs = key
                .filter(|key| key.len() == reference.columns.len())
                .and_then(|key| reference.columns.iter().zip(key).map(pair).collect::<Option<Vec<_>>>());
            if let Some(pairs) = pairs {
                let (columns, key) = pairs.into_iter().unzip();
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
    let tables = changed(undoable);
    reasons.resize(tables.len(), Vec::new());
    let links = links(&tables);
    let uniques: Vec<Vec<UniqueKey>> = undoable
        .tables
        .iter()
        .map(|table| Constraints::of(&table.table, &undoable.referring).keys().collect())
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
            hold(&tables, link, encoding, &mut reasons);
        }
        if reasons.iter().flatten().flatten().count() == before {
            return reasons;
        }
    }
}

/// Leaves the children of parents that are gone, and the parents of children that are there.
fn hold(
    tables: &[Changed<'_, '_>],
    link: &Link,
    encoding: TextEncoding,
    reasons: &mut [Vec<Option<Reason>>],
) {
    let (Some(children), Some(parents)) = (tables.get(link.child), tables.get(link.parent)) else {
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
