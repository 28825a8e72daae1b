//! What rows of a table must agree with among one another and with other tables, and so in which way and which order they
//! can be changed.

use super::patch::{Key, Settable, Table, Way};
use crate::model::{Cell, RowThen, TableThen};
use mudlark_parsers::sqlite::ddl::{KeyPart, TableDdl};
use mudlark_parsers::value::TextEncoding;

/// A unique key: places of cells, each with its collation.
pub(crate) type UniqueKey = Vec<(usize, Option<String>)>;

/// What the table's rows must agree with among one another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Constraints {
    uniques: Vec<UniqueKey>,
    /// The primary key of a table without row ids, which its collations and kinds of numbers let have another form.
    primary: Option<UniqueKey>,
    /// An index that is not understood may hold any column.
    any: bool,
    /// Other rows may go or change with one of its rows.
    acted_on: bool,
}

impl Constraints {
    pub(crate) fn of(table: &TableThen, referring: &[(TableDdl, String)]) -> Self {
        let Some(ddl) = table.ddl.as_ref().map(|ddl| &ddl.parsed) else { return Self::default() };
        let mut found = Self::default();
        let add = |found: &mut Self, parts: &[KeyPart]| match key(table, ddl, parts) {
            Some(key) => found.uniques.push(key),
            None => found.any = true,
        };
        for (number, parts) in ddl.uniques.iter().enumerate() {
            // The rows' own key says itself which row is meant.
            if ddl.without_rowid && ddl.primary_key_unique == Some(number) {
                found.primary = key(table, ddl, parts);
            } else {
                add(&mut found, parts);
            }
        }
        for index in &table.uniques {
            add(&mut found, &index.parts);
        }
        found.any |= table.uniques.iter().any(|index| index.partial || !index.complete);
        found.acted_on = referring.iter().any(|(child, sql)| {
            child.references.iter().any(|to| to.table.eq_ignore_ascii_case(&ddl.name)) && acts(sql)
        });
        found
    }

    /// All keys of which no two rows may have the same.
    pub(crate) fn keys(self) -> impl Iterator<Item = UniqueKey> {
        self.uniques.into_iter().chain(self.primary)
    }

    pub(crate) fn is_unique(&self, place: usize) -> bool {
        self.any || self.uniques.iter().flatten().any(|(part, _)| *part == place)
    }

    /// How a row that is there and stays comes to be as it was.
    pub(crate) fn way(&self, now: Option<&RowThen<'_>>, then: Option<&RowThen<'_>>) -> Way {
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

/// Whether a definition has foreign keys that act on its rows when those change that they refer to.
fn acts(sql: &str) -> bool {
    let sql = sql.to_ascii_uppercase();
    sql.contains("CASCADE") || sql.contains(" SET ") || sql.contains("RESTRICT")
}

/// The places of a key's columns among the cells of a row.
fn key(table: &TableThen, ddl: &TableDdl, parts: &[KeyPart]) -> Option<UniqueKey> {
    let part = |part: &KeyPart| {
        let name = &ddl.columns.get(part.column?)?.name;
        let place = table.columns.iter().position(|column| column.name == *name)?;
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
pub(crate) fn values(row: &RowThen<'_>, key: &UniqueKey, encoding: TextEncoding) -> Option<Vec<String>> {
    let part = |(place, collation): &(usize, Option<String>)| {
        comparable(row.cells.get(*place)?, collation.as_deref(), encoding)
    };
    key.iter().map(part).collect()
}

/// What tells the rows of a table apart, and the columns that can be set; or why there is no such thing.
pub(crate) fn shape(table: &TableThen, constraints: &Constraints) -> Result<(Key, Vec<Settable>), String> {
    let Some(ddl) = table.ddl.as_ref().map(|ddl| &ddl.parsed) else {
        return Err("its definition can't be read".to_owned());
    };
    let place = |column: usize| {
        let name = &ddl.columns.get(column)?.name;
        table.columns.iter().position(|column| column.name == *name)
    };
    let key = if ddl.without_rowid {
        let places = ddl.primary_key.iter().map(|part| place(part.column?)).collect::<Option<_>>();
        Key::Columns(places.ok_or("its primary key can't be read")?)
    } else if let Some(alias) = ddl.rowid_alias.and_then(|alias| ddl.columns.get(alias)) {
        Key::Rowid(alias.name.clone())
    } else {
        let free = ["rowid", "_rowid_", "oid"].into_iter().find(|name| ddl.column_index(name).is_none());
        Key::Rowid(free.ok_or("no name is left for its row ids")?.to_owned())
    };
    let columns = ddl
        .columns
        .iter()
        .enumerate()
        .filter(|(number, column)| column.generated.is_none() && ddl.rowid_alias != Some(*number));
    let columns = columns.filter_map(|(number, column)| {
        Some(Settable {
            name: column.name.clone(),
            place: place(number)?,
            unique: constraints.is_unique(place(number)?),
            not_null: column.not_null,
        })
    });
    Ok((key, columns.collect()))
}

/// Notes for each table the columns by which its rows refer to rows that change too, where that acts on them.
pub(crate) fn detach(tables: &mut [Table<'_, '_>], referring: &[(TableDdl, String)]) {
    let names: Vec<String> = tables.iter().map(|table| table.name.clone()).collect();
    for table in tables {
        let of_table =
            |(ddl, sql): &&(TableDdl, String)| ddl.name.eq_ignore_ascii_case(&table.name) && acts(sql);
        let Some((ddl, _)) = referring.iter().find(of_table) else { continue };
        let changes = |to: &str| names.iter().any(|name| name.eq_ignore_ascii_case(to));
        let links = ddl.references.iter().filter(|reference| changes(&reference.table));
        let columns =
            links.flat_map(|reference| &reference.columns).filter_map(|column| ddl.columns.get(*column));
        let columns: Vec<&str> = columns.map(|column| column.name.as_str()).collect();
        let can_be_null = |column: &&Settable| !column.not_null && !table.is_key(column);
        let detached = table.columns.iter().filter(can_be_null);
        let detached = detached.filter(|column| columns.contains(&column.name.as_str()));
        table.detached = detached.map(|column| column.place).collect();
    }
}

/// The tables in an order in which those that refer to others come first; tables that refer to one another have none.
pub(crate) fn children_first<'r, 'a>(
    tables: Vec<Table<'r, 'a>>,
    referring: &[(TableDdl, String)],
) -> Vec<Table<'r, 'a>> {
    let mut left = tables;
    let mut ordered = Vec::new();
    while !left.is_empty() {
        let is_parent = |table: &Table<'_, '_>| {
            let others = left.iter().filter(|other| other.name != table.name);
            others.clone().any(|child| {
                let of_child = referring.iter().find(|(ddl, _)| ddl.name.eq_ignore_ascii_case(&child.name));
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
