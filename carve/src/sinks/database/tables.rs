//! One recovered table in the output: the table itself, its other versions, and the views over both.

use super::super::Story;
use super::names::Names;
use crate::model::{Cell, Table};
use mudlark_parsers::sqlite::ddl::{self, quote_identifier as quoted};
use rusqlite::{Connection, params};
use serde_json::json;

/// What the inserts of one table need.
#[derive(Debug)]
pub(super) struct OutputTable {
    /// Its number, from 1.
    id: i64,
    name: String,
    /// The columns in the output.
    pub columns: Vec<String>,
    /// Whether the row id is bound first.
    pub takes_rowid: bool,
    /// Whether the row id has a name that no column has.
    pub joinable: bool,
    pub insert_live: String,
    pub insert_rest: String,
}

impl OutputTable {
    pub(super) fn create(
        connection: &Connection,
        names: &mut Names,
        number: usize,
        table: &Table,
        story: &Story<'_>,
    ) -> rusqlite::Result<Self> {
        let id = number as i64 + 1;
        let name = names.take(&table.label);
        let mut changes = Vec::new();
        let (issued, columns, takes_rowid) = match issue(connection, table, &name, &mut changes)? {
            Some(issued) => issued,
            None => untyped(connection, table, &name)?,
        };
        let rest = format!("mudlark_rest_{id}");
        let list: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
        let key = Names::default_for(&columns, "_row");
        connection.execute_batch(&format!(
            "CREATE TABLE {rest}({} INTEGER PRIMARY KEY, {})",
            quoted(&key),
            list.join(", ")
        ))?;
        let versions = names.take_exactly(format!("{name}_versions"));
        let deleted = names.take_exactly(format!("{name}_deleted"));
        let views = Views { id, name: &name, rest: &rest, rest_key: &key, columns: &columns };
        connection.execute_batch(&views.versions(&versions))?;
        connection.execute_batch(&views.deleted(&deleted))?;
        connection.execute(
            "INSERT INTO mudlark_table VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)",
            params![
                id,
                name,
                versions,
                deleted,
                rest,
                story.instance,
                table.namespace,
                table.name,
                table.origin.name(),
                json!(columns).to_string()
            ],
        )?;
        connection.execute(
            "INSERT INTO mudlark_schema (schema_id, table_id, kind, name, origin, found, issued, changes) \
             VALUES (?, ?, 'table', ?, ?, ?, ?, ?)",
            params![id, id, table.name, table.origin.name(), table.schema.found, issued, changes.join("; ")],
        )?;
        let marks = |count: usize| vec!["?"; count].join(", ");
        let (with_rowid, count) = if takes_rowid {
            (format!("{}, {}", rowid_name(&columns).unwrap_or("rowid"), list.join(", ")), columns.len() + 1)
        } else {
            (list.join(", "), columns.len())
        };
        Ok(Self {
            id,
            insert_live: format!("INSERT INTO {}({with_rowid}) VALUES ({})", quoted(&name), marks(count)),
            insert_rest: format!("INSERT INTO {rest}({}) VALUES ({})", list.join(", "), marks(columns.len())),
            joinable: rowid_name(&columns).is_some(),
            name,
            columns,
            takes_rowid,
        })
    }

    /// The columns that are missing, in whole or in part, as a JSON list; `None` for a row without holes.
    pub(super) fn missing(&self, cells: &[Cell<'_>]) -> Option<String> {
        let holes = cells.iter().zip(&self.columns).filter(|(cell, _)| !cell.is_whole());
        let holes: Vec<&String> = holes.map(|(_, column)| column).collect();
        (!holes.is_empty()).then(|| json!(holes).to_string())
    }

    /// Makes the table's indexes, once its rows are in.
    pub(super) fn finish(
        &self,
        connection: &Connection,
        names: &mut Names,
        story: &Story<'_>,
    ) -> rusqlite::Result<()> {
        let Some(table) = story.tables.get(self.id as usize - 1) else { return Ok(()) };
        let Some(create) = &table.create else { return Ok(()) };
        for index in &table.indexes {
            let name = names.take(&index.name);
            let (issued, change) = match ddl::create_index(&index.parsed, &create.parsed, &name, &self.name) {
                Ok(sql) => match connection.execute_batch(&sql) {
                    Ok(()) => (Some(sql), None),
                    Err(error) if super::is_contradiction(&error) => {
                        (None, Some(format!("left out: {error}")))
                    }
                    Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
                        (None, Some(format!("left out: {error}")))
                    }
                    Err(error) => return Err(error),
                },
                Err(reason) => (None, Some(reason)),
            };
            connection.execute(
                "INSERT INTO mudlark_schema (table_id, kind, name, origin, found, issued, changes) \
                 VALUES (?, 'index', ?, ?, ?, ?, ?)",
                params![self.id, index.name, table.origin.name(), index.found, issued, change],
            )?;
        }
        Ok(())
    }
}

impl Names {
    /// A name that none of `columns` has.
    fn default_for(columns: &[String], wanted: &str) -> String {
        let mut names = Self::default();
        for column in columns {
            names.take_exactly(column.clone());
        }
        names.take_exactly(wanted.to_owned())
    }
}

/// What was issued: the DDL, the columns, and whether the row id is bound.
type Issued = (String, Vec<String>, bool);

/// Issues the table's own DDL anew. `None` when SQLite refuses it: then a table without types must do.
fn issue(
    connection: &Connection,
    table: &Table,
    name: &str,
    changes: &mut Vec<String>,
) -> rusqlite::Result<Option<Issued>> {
    let Some(create) = &table.create else { return Ok(None) };
    let reissued = ddl::create_table(&create.parsed, name);
    if reissued.columns.len() != table.columns.len() {
        changes.push("columns don't agree with what is stored; issued without types".to_owned());
        return Ok(None);
    }
    changes.extend(reissued.changes);
    match connection.execute_batch(&reissued.sql) {
        Ok(()) => {}
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
            changes.push(format!("issued without types: {error}"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    let columns: Vec<String> = reissued.columns.into_iter().map(|(_, name)| name).collect();
    let without_alias = create.parsed.rowid_alias.is_none() && !create.parsed.without_rowid;
    let takes_rowid = without_alias && rowid_name(&columns).is_some();
    Ok(Some((reissued.sql, columns, takes_rowid)))
}

/// Makes a table without types: the shape is all that is known.
fn untyped(connection: &Connection, table: &Table, name: &str) -> rusqlite::Result<Issued> {
    let mut names = Names::default();
    let columns: Vec<String> =
        table.columns.iter().map(|column| names.take_exactly(column.name.clone())).collect();
    let list: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
    let sql = format!("CREATE TABLE {}({})", quoted(name), list.join(", "));
    connection.execute_batch(&sql)?;
    // Rows of several tables of one shape may share row ids, so they are not kept as such.
    Ok((sql, columns, false))
}

/// A name under which SQLite takes the row id; `None` when columns have all three.
fn rowid_name(columns: &[String]) -> Option<&'static str> {
    ["rowid", "_rowid_", "oid"]
        .into_iter()
        .find(|name| !columns.iter().any(|column| column.eq_ignore_ascii_case(name)))
}

/// The views over a table and its other versions.
struct Views<'v> {
    id: i64,
    name: &'v str,
    rest: &'v str,
    rest_key: &'v str,
    columns: &'v [String],
}

impl Views<'_> {
    /// The columns of both views: those of the table under the name `from`, then those of the versions.
    fn list(&self, from: &str) -> String {
        let mut names = Names::default();
        for column in self.columns {
            names.take_exactly(column.clone());
        }
        let own = [
            ("version", "_version"),
            ("state", "_state"),
            ("\"transaction\"", "_transaction"),
            ("confidence", "_confidence"),
            ("rowid_found", "_rowid"),
            ("valid_from", "_from"),
            ("valid_to", "_to"),
        ];
        let columns = self.columns.iter().map(|column| format!("{from}.{}", quoted(column)));
        let own = own.iter().map(|(column, name)| {
            format!("v.{column} AS {}", quoted(&names.take_exactly((*name).to_owned())))
        });
        columns.chain(own).collect::<Vec<_>>().join(", ")
    }

    fn versions(&self, view: &str) -> String {
        let rowid = rowid_name(self.columns).unwrap_or("rowid");
        format!(
            "CREATE VIEW {} AS SELECT {} FROM mudlark_version v JOIN {} t ON t.{rowid} = v.stored_at \
             WHERE v.table_id = {id} AND v.stored_in = 'table' UNION ALL SELECT {} \
             FROM mudlark_version v JOIN {} r ON r.{} = v.stored_at WHERE v.table_id = {id} AND v.stored_in = 'rest'",
            quoted(view),
            self.list("t"),
            quoted(self.name),
            self.list("r"),
            self.rest,
            quoted(self.rest_key),
            id = self.id,
        )
    }

    /// Deleted rows are never in the table itself. The condition is that of [`super::schema::INDEX_DELETED`], and
    /// CROSS JOIN makes SQLite begin there, so that no live row is looked at.
    fn deleted(&self, view: &str) -> String {
        format!(
            "CREATE VIEW {} AS SELECT {} FROM mudlark_version v CROSS JOIN {} r ON r.{} = v.stored_at \
             WHERE v.table_id = {} AND v.state = 'deleted' AND v.\"transaction\" = 'committed' AND v.stored_in = 'rest'",
            quoted(view),
            self.list("r"),
            self.rest,
            quoted(self.rest_key),
            self.id,
        )
    }
}
