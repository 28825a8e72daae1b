//! The guarded INSERT of one row.
//!
//! ```sql
//! INSERT INTO main."t"("id","name") SELECT * FROM (VALUES(17,'Ada')) AS n
//!   WHERE (SELECT count(*)=1 FROM temp.mudlark_undelete)
//!   AND NOT EXISTS(SELECT 1 FROM main."t" AS t WHERE t."id"=n.column1) ON CONFLICT DO NOTHING;
//! ```
//!
//! The first condition holds only when every table was found as expected (see `script.rs`). The others look for the
//! row, so that no trigger fires for one that is there. `ON CONFLICT DO NOTHING` skips a row whose unique key is taken
//! in a way that only the database knows, and goes before a `UNIQUE … ON CONFLICT REPLACE` of the table. `INSERT OR
//! IGNORE` would also pass over NOT NULL and CHECK in silence, and would take the place of the conflict handling in
//! triggers (<https://www.sqlite.org/lang_createtrigger.html>).

use super::parents::Parent;
use super::target::Target;
use crate::sql::literal;
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use rusqlite::types::ValueRef;
use std::fmt::Write;

/// What all INSERTs of a table have in common.
#[derive(Debug)]
pub(super) struct Insert<'t> {
    target: &'t Target,
    table: String,
    columns: String,
    parents: Vec<Parent>,
}

/// A row as it goes into the statement.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Values {
    /// The row id, when the table has a hidden one and it is known.
    pub rowid: Option<i64>,
    /// The values of [`Target::columns`], with commas between them.
    pub list: String,
    /// For each value whether it is NULL.
    nulls: Vec<bool>,
    /// A text that is not valid UTF-8 stands in it.
    invalid: bool,
    /// A BLOB stands in it.
    pub blobs: bool,
}

impl<'t> Insert<'t> {
    pub(super) fn new(target: &'t Target, parents: Vec<Parent>) -> Self {
        let columns: Vec<String> = target.columns.iter().map(|column| quoted(&column.name)).collect();
        Self { target, table: format!("main.{}", quoted(&target.name)), columns: columns.join(","), parents }
    }

    /// The values of a row. `cell` gives those of the recovered table; `rowid` is the row id as found.
    pub(super) fn values<'r, E>(
        &self,
        rowid: Option<i64>,
        cell: impl Fn(usize) -> Result<ValueRef<'r>, E>,
    ) -> Result<Values, E> {
        let mut values = Values {
            rowid: rowid.filter(|_| self.target.rowid.is_some()),
            list: String::new(),
            nulls: Vec::with_capacity(self.target.columns.len()),
            invalid: false,
            blobs: false,
        };
        for (place, column) in self.target.columns.iter().enumerate() {
            let mut value = cell(column.from)?;
            if let (ValueRef::Null, Some(rowid)) = (value, rowid)
                && self.target.alias == Some(place)
            {
                value = ValueRef::Integer(rowid);
            }
            if place > 0 {
                values.list.push(',');
            }
            literal::put(&mut values.list, value);
            values.nulls.push(matches!(value, ValueRef::Null));
            values.blobs |= matches!(value, ValueRef::Blob(_));
            values.invalid |= matches!(value, ValueRef::Text(bytes) if std::str::from_utf8(bytes).is_err());
        }
        Ok(values)
    }

    /// Whether some key tells this row from all others: NULLs are distinct, so a key with one tells nothing.
    pub(super) fn has_key(&self, values: &Values) -> bool {
        self.keys(values).next().is_some()
    }

    fn keys(&self, values: &Values) -> impl Iterator<Item = &'t Vec<super::target::KeyColumn>> {
        self.target.keys.iter().filter(|key| !key.iter().any(|part| values.nulls[part.column]))
    }

    /// Adds the statement. `twin` says of how many equal rows this is the last, for rows that no key tells apart.
    pub(super) fn put(&self, sql: &mut String, values: &Values, tables: usize, twin: usize) {
        let (table, columns) = (&self.table, &self.columns);
        let rowid = values.rowid.zip(self.target.rowid);
        // The columns of VALUES are column1, column2, …; the row id comes first.
        let first = 1 + usize::from(rowid.is_some());
        match rowid {
            Some((rowid, name)) => {
                let _ = write!(
                    sql,
                    "INSERT INTO {table}({name},{columns}) SELECT CASE WHEN EXISTS(SELECT 1 FROM {table} AS t \
                     WHERE t.{name}=n.column1) THEN NULL ELSE n.column1 END"
                );
                for place in 0..self.target.columns.len() {
                    let _ = write!(sql, ",n.column{}", place + first);
                }
                let _ = write!(sql, " FROM (VALUES({rowid},{}))", values.list);
            }
            None => {
                let _ = write!(sql, "INSERT INTO {table}({columns}) SELECT * FROM (VALUES({}))", values.list);
            }
        }
        let _ = write!(sql, " AS n WHERE (SELECT count(*)={tables} FROM temp.mudlark_undelete)");
        if values.invalid {
            // The bytes mean this text in this encoding only.
            sql.push_str(" AND (SELECT encoding='UTF-8' FROM pragma_encoding)");
        }
        let mut keyed = false;
        for key in self.keys(values) {
            keyed = true;
            let _ = write!(sql, " AND NOT EXISTS(SELECT 1 FROM {table} AS t WHERE ");
            for (number, part) in key.iter().enumerate() {
                let and = if number > 0 { " AND " } else { "" };
                let name = quoted(&self.target.columns[part.column].name);
                let _ = write!(sql, "{and}t.{name}=n.column{}", part.column + first);
                if let Some(collation) = &part.collation {
                    let _ = write!(sql, " COLLATE {}", quoted(collation));
                }
            }
            sql.push(')');
        }
        if !keyed {
            sql.push_str(if twin > 1 {
                " AND (SELECT count(*) FROM (SELECT 1 FROM "
            } else {
                " AND NOT EXISTS(SELECT 1 FROM "
            });
            let _ = write!(sql, "{table} AS t WHERE ");
            for (place, column) in self.target.columns.iter().enumerate() {
                // Without a row id's own value nothing is known of it.
                if self.target.alias == Some(place) && values.nulls[place] {
                    let _ = write!(sql, "{}1", if place > 0 { " AND " } else { "" });
                    continue;
                }
                let and = if place > 0 { " AND " } else { "" };
                let _ = write!(sql, "{and}t.{} IS n.column{}", quoted(&column.name), place + first);
                if column.collated {
                    sql.push_str(" COLLATE BINARY");
                }
            }
            if twin > 1 {
                let _ = write!(sql, " LIMIT {twin}))<{twin}");
            } else {
                sql.push(')');
            }
        }
        for parent in &self.parents {
            // A foreign key with a NULL refers to nothing.
            if parent.columns.iter().any(|column| values.nulls[*column]) {
                continue;
            }
            let _ = write!(
                sql,
                " AND ((SELECT foreign_keys=0 FROM pragma_foreign_keys) OR EXISTS(SELECT 1 FROM main.{} AS t WHERE ",
                quoted(&parent.table)
            );
            for (number, (column, name)) in parent.columns.iter().zip(&parent.key).enumerate() {
                let and = if number > 0 { " AND " } else { "" };
                let _ = write!(sql, "{and}t.{}=n.column{}", quoted(name), column + first);
            }
            sql.push_str("))");
        }
        sql.push_str(" ON CONFLICT DO NOTHING;\n");
    }
}
