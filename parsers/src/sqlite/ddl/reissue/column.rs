//! One column of a table or key written anew.

use super::super::default::DefaultValue;
use super::super::key::KeyPart;
use super::super::quote::{literal, quote_identifier, type_name};
use super::super::table::{Column, Generated, TableDdl};

/// The definition of one column.
pub(super) fn column_line(
    table: &TableDdl,
    index: usize,
    column: &Column,
    name: &str,
    changes: &mut Vec<String>,
) -> String {
    let shown = quote_identifier(&column.name);
    let mut line = quote_identifier(name);
    if name != column.name {
        changes.push(format!("{shown}: second column of this name, renamed {line}"));
    }
    match column.declared_type.as_deref() {
        // Outside of STRICT tables ANY would turn text into numbers.
        Some(declared) if table.strict && declared.eq_ignore_ascii_case("ANY") => {
            changes.push(format!("{shown}: type ANY left out with STRICT"));
        }
        Some(declared) => {
            line.push(' ');
            line.push_str(&type_name(declared));
        }
        None => {}
    }
    if table.rowid_alias == Some(index) {
        line.push_str(" PRIMARY KEY");
        line.push_str(if table.autoincrement { " AUTOINCREMENT" } else { "" });
    } else if column_key(table) && table.primary_key.first().and_then(|part| part.column) == Some(index) {
        // DESC at the column keeps an INTEGER PRIMARY KEY from becoming the rowid.
        line.push_str(" PRIMARY KEY DESC");
        if !table.primary_key.iter().any(|part| part.descending) {
            changes.push(format!("{shown}: PRIMARY KEY made DESC, so that it doesn't become the rowid"));
        }
    }
    if column.not_null {
        line.push_str(" NOT NULL");
    }
    match &column.default {
        Some(DefaultValue::Value(value)) => {
            line.push_str(" DEFAULT ");
            line.push_str(&literal(value));
        }
        Some(DefaultValue::Expression(text)) => changes.push(format!("{shown}: DEFAULT {text} left out")),
        None => {}
    }
    if let Some(collation) = column.collation.as_deref() {
        match known_collation(collation) {
            Some(known) => {
                line.push_str(" COLLATE ");
                line.push_str(known);
            }
            None => {
                changes.push(format!("{shown}: unknown collation {} left out", quote_identifier(collation)))
            }
        }
    }
    if column.generated == Some(Generated::Stored) {
        changes.push(format!("{shown}: stored generated column made a plain one"));
    }
    if column.has_check {
        changes.push(format!("{shown}: CHECK left out"));
    }
    if column.has_foreign_key {
        changes.push(format!("{shown}: REFERENCES left out"));
    }
    line
}

/// Would this primary key, written as a table constraint, make its one column the rowid, though it isn't?
pub(super) fn column_key(table: &TableDdl) -> bool {
    let [KeyPart { column: Some(column), .. }] = table.primary_key.as_slice() else {
        return false;
    };
    table.rowid_alias.is_none()
        && table.columns.get(*column).is_some_and(|column| {
            column.declared_type.as_deref().is_some_and(|declared| declared.eq_ignore_ascii_case("INTEGER"))
        })
}

/// The column as a part of a key; its collation is written where it differs from the one the output column has.
pub(super) fn key_part(name: &str, column: &Column, part: &KeyPart) -> String {
    let in_force = |collation: Option<&str>| collation.and_then(known_collation).unwrap_or("BINARY");
    let of_part = in_force(part.collation.as_deref());
    let mut text = quote_identifier(name);
    if of_part != in_force(column.collation.as_deref()) {
        text.push_str(" COLLATE ");
        text.push_str(of_part);
    }
    text.push_str(if part.descending { " DESC" } else { "" });
    text
}

/// The collations that SQLite has built in (<https://www.sqlite.org/datatype3.html>, section 7).
pub(super) fn known_collation(name: &str) -> Option<&'static str> {
    ["BINARY", "NOCASE", "RTRIM"].into_iter().find(|known| known.eq_ignore_ascii_case(name))
}
