//! Rows that can't be taken back since later commits stand in the way: they changed the row, took its unique key, removed
//! what it refers to, or refer to it. A row that is left may stand in the way of others in turn.

use crate::model::{Cell, RowThen, UndoTable, Undoable};
use crate::sql::patch::{Table, Way};
use mudlark_parsers::sqlite::ddl::{KeyPart, TableDdl};
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

/// A unique key: places of cells, each with its collation.
type UniqueKey = Vec<(usize, Option<String>)>;

/// What the table's rows must agree with among one another.
#[derive(Clone, Debug, Default)]
pub(super) struct Constraints {
    uniques: Vec<UniqueKey>,
    /// An index that is not understood may hold any column.
    any: bool,
    /// Other rows may go or change with one of its rows.
    acted_on: bool,
}

impl Constraints {
    pub(super) fn of(table: &UndoTable<'_>, undoable: &Undoable<'_>) -> Self {
        let Some(ddl) = table.table.ddl.as_ref().map(|ddl| &ddl.parsed) else { return Self::default() };
        let mut found = Self::default();
        let mut add = |parts: &[KeyPart]| match key(table, ddl, parts) {
            Some(key) => found.uniques.push(key),
            None => found.any = true,
        };
        for (number, parts) in ddl.uniques.iter().enumerate() {
            // The rows' own key says itself which row is meant.
            if !(ddl.without_rowid && ddl.primary_key_unique == Some(number)) {
                add(parts);
            }
        }
        for index in &table.uniques {
            add(&index.parts);
        }
        found.any |= table.uniques.iter().any(|index| index.partial || !index.complete);
        let acts = |sql: &str| {
            let sql = sql.to_ascii_uppercase();
            sql.contains("CASCADE") || sql.contains(" SET ") || sql.contains("RESTRICT")
        };
        found.acted_on = undoable.referring.iter().any(|(child, sql)| {
            child.references.iter().any(|to| to.table.eq_ignore_ascii_case(&ddl.name)) && acts(sql)
        });
        found
    }

    pub(super) fn is_unique(&self, place: usize) -> bool {
        self.any || self.uniques.iter().flatten().any(|(part, _)| *part == place)
    }

    /// How a row that is there and stays comes to be as it was.
    pub(super) fn way(&self, now: Option<&RowThen<'_>>, then: Option<&RowThen<'_>>) -> Way {
        let Some((now, then)) = now.zip(then) else { return Way::Update };
        let differs = |place: usize| match (now.cells.get(place), then.cells.get(place)) {
            (Some(now), Some(then)) => !now.is_same(then),
            _ => true,
        };
        if !(0..now.cells.len()).any(|place| self.is_unique(place) && differs(place)) {
            Way::Update
        } else if self.acted_on {
            Way::Parked
        } else {
            Way::Anew
        }
    }
}

/// The places of a key's columns among the cells of a row.
fn key(table: &UndoTable<'_>, ddl: &TableDdl, parts: &[KeyPart]) -> Option<UniqueKey> {
    let part = |part: &KeyPart| {
        let name = &ddl.columns.get(part.column?)?.name;
        let place = table.table.columns.iter().position(|column| column.name == *name)?;
        Some((place, part.collation.clone()))
    };
    parts.iter().map(part).collect()
}

/// A cell as keys compare it; `None` for NULL, which is equal to nothing.
fn comparable(cell: &Cell<'_>, collation: Option<&str>, encoding: TextEncoding) -> Option<String> {
    Some(match cell {
        Cell::Int(value) => format!("i{value}"),
        // A whole number is the same as an integer.
        Cell::Real(value) if value.fract() == 0.0 && value.abs() < 9e18 => format!("i{}", *value as i64),
        Cell::Real(value) => format!("r{value:?}"),
        Cell::Blob(bytes) => format!("b{}", hex::encode(bytes)),
        Cell::Text(bytes) => {
            let text =
                encoding.decode(bytes).map_or_else(|| hex::encode(bytes), std::borrow::Cow::into_owned);
            match collation.map(str::to_ascii_uppercase).as_deref() {
                Some("NOCASE") => format!("t{}", text.to_ascii_lowercase()),
                Some("RTRIM") => format!("t{}", text.trim_end_matches(' ')),
                _ => format!("t{text}"),
            }
        }
        Cell::Null | Cell::Missing | Cell::Partial(_) => return None,
    })
}

/// The values of a key in a row.
fn values(row: &RowThen<'_>, key: &UniqueKey, encoding: TextEncoding) -> Option<Vec<String>> {
    let part = |(place, collation): &(usize, Option<String>)| {
        comparable(row.cells.get(*place)?, collation.as_deref(), encoding)
    };
    key.iter().map(part).collect()
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
    let uniques: Vec<Vec<UniqueKey>> =
        undoable.tables.iter().map(|table| Constraints::of(table, undoable).uniques).collect();
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

/// The tables in an order in which those that refer to others come first; tables that refer to one another have none.
pub(super) fn children_first<'r, 'a>(
    tables: Vec<Table<'r, 'a>>,
    undoable: &Undoable<'_>,
) -> Vec<Table<'r, 'a>> {
    let mut left = tables;
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let is_parent = |table: &Table<'_, '_>| {
            let others = left.iter().filter(|other| other.name != table.name);
            others.clone().any(|child| {
                let of_child =
                    undoable.referring.iter().find(|(ddl, _)| ddl.name.eq_ignore_ascii_case(&child.name));
                of_child.is_some_and(|(ddl, _)| {
                    ddl.references.iter().any(|to| to.table.eq_ignore_ascii_case(&table.name))
                })
            })
        };
        let next = left.iter().position(|table| !is_parent(table)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}
