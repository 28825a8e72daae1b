//! The catalogue: tables and indexes, from `sqlite_schema`, its remnants, and DDL that the user gives.

use super::altered::Dropped;
use super::bare_width;
use super::chains;
use super::dropped;
use super::leaf;
use super::remnants;
use super::repair;
use super::survey::Survey;
use super::view::View;
use crate::model::SchemaOrigin;
use mudlark_parsers::sqlite::ddl::{self, IndexDdl, IndexField, Statement, TableDdl};
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow, schema_row};
use mudlark_parsers::value::TextEncoding;
use std::collections::{BTreeMap, HashSet};

/// The DDL of `sqlite_schema` itself, as the documentation gives it.
const SCHEMA_TABLE: &[u8] =
    b"CREATE TABLE sqlite_schema(type TEXT, name TEXT, tbl_name TEXT, rootpage INTEGER, sql TEXT)";

/// Earlier shapes of one table that are told apart.
const MOST_INCARNATIONS: usize = 8;

/// A table of the catalogue.
#[derive(Clone, Debug)]
pub(super) struct TableDef {
    pub name: String,
    pub ddl: TableDdl,
    /// The column at each position of a stored record.
    pub stored: Vec<usize>,
    pub root: Option<u32>,
    pub origin: SchemaOrigin,
    pub sql: String,
    /// It was dropped: no live row is its own.
    pub dropped: bool,
    /// The root page that it had, when it was dropped.
    pub old_root: Option<u32>,
    /// The table of the same name that stands in its place: it was altered, or dropped and created again.
    pub successor: Option<usize>,
    /// The column that it had and its successor hasn't, with what rows hold in it.
    pub lost_column: Option<Dropped>,
}

impl TableDef {
    pub(super) fn new(
        name: String,
        ddl: TableDdl,
        root: Option<u32>,
        origin: SchemaOrigin,
        sql: String,
    ) -> Self {
        let stored = ddl.stored_columns();
        Self {
            name,
            ddl,
            stored,
            root,
            origin,
            sql,
            dropped: false,
            old_root: None,
            successor: None,
            lost_column: None,
        }
    }

    /// Whether its rows lie in an index b-tree.
    pub(super) const fn without_rowid(&self) -> bool {
        self.ddl.without_rowid
    }
}

/// An index of the catalogue.
#[derive(Clone, Debug)]
pub(super) struct IndexDef {
    pub name: String,
    /// Index into [`Catalogue::tables`].
    pub table: usize,
    pub root: Option<u32>,
    /// What each position of an entry holds.
    pub fields: Vec<IndexField>,
    /// `None` for automatic indexes.
    pub ddl: Option<IndexDdl>,
    pub sql: String,
    /// Not every row has an entry.
    pub partial: bool,
}

/// What is known of tables and indexes.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalogue {
    /// The first is `sqlite_schema`.
    pub tables: Vec<TableDef>,
    pub indexes: Vec<IndexDef>,
    /// Views, triggers, virtual tables, and what can't be read.
    pub kept: Vec<SchemaRow>,
    /// Whether all of `sqlite_schema` was read, so that no table is unknown.
    pub whole: bool,
}

/// Reads the catalogue.
pub(super) fn read(
    view: &View<'_>,
    survey: &Survey,
    encoding: TextEncoding,
    given: Option<&str>,
) -> Catalogue {
    let (rows, whole) = schema_rows(view, survey, encoding);
    let mut catalogue = Catalogue { whole, ..Catalogue::default() };
    if let Ok(Statement::Table(ddl)) = ddl::read(SCHEMA_TABLE) {
        let sql = String::from_utf8_lossy(SCHEMA_TABLE).into_owned();
        let name = "sqlite_schema".to_owned();
        catalogue.tables.push(TableDef::new(name, ddl, Some(1), SchemaOrigin::Catalogue, sql));
    }
    let mut names = HashSet::new();
    let known = rows.into_iter().map(|row| (repair::with_agreed_name(row), SchemaOrigin::Catalogue));
    let mut rows: Vec<(SchemaRow, SchemaOrigin)> =
        known.filter(|(row, _)| names.insert((row.kind, row.name.clone()))).collect();
    let broken = rows.iter().any(|(row, _)| repair::is_broken(row));
    if !whole || broken {
        for row in remnants::schema_rows(view, survey, encoding) {
            if names.insert((row.kind, row.name.clone())) {
                rows.extend((!whole).then_some((row, SchemaOrigin::Remnant)));
            } else if let Some((known, _)) = rows.iter_mut().find(|(known, _)| repair::is_same(known, &row))
                && repair::is_broken(known)
                && !repair::is_broken(&row)
            {
                known.sql = row.sql;
            }
        }
    }
    let given: Vec<SchemaRow> =
        given.map(ddl::split_statements).unwrap_or_default().into_iter().filter_map(given_row).collect();
    for row in &given {
        let as_given = |known: &SchemaRow| {
            given.iter().any(|given| repair::is_same(known, given) && known.sql == given.sql)
        };
        let mut found =
            rows.iter_mut().filter(|(known, origin)| *origin != SchemaOrigin::Given && !as_given(known));
        let is_new = !names.contains(&(row.kind, row.name.clone()));
        let is_worse = |(known, origin): &&mut (SchemaRow, SchemaOrigin)| {
            repair::is_damaged(known, row, is_new)
                || *origin == SchemaOrigin::Remnant && repair::is_outgrown(known, row)
        };
        if let Some((known, origin)) = found.find(is_worse) {
            names.insert((row.kind, row.name.clone()));
            *known = SchemaRow { root: known.root, ..row.clone() };
            *origin = SchemaOrigin::Given;
        } else if names.insert((row.kind, row.name.clone())) {
            rows.push((row.clone(), SchemaOrigin::Given));
        }
    }
    for (row, origin) in &rows {
        if row.kind == SchemaKind::Table {
            catalogue.add_table(row, *origin);
        }
    }
    for def in catalogue.tables.iter_mut().skip(1) {
        let kind = def.root.and_then(|root| survey.page(root).kind);
        if kind.is_some_and(|kind| !kind.is_table()) {
            def.ddl.take_for_without_rowid();
            def.stored = def.ddl.stored_columns();
        }
        let width = || def.root.map_or(0, |root| width_of_rows(view, survey, root, def.ddl.without_rowid));
        // What was overwritten may have parted columns: those behind it are others than they seem.
        if let Some(at) = def.sql.find(char::REPLACEMENT_CHARACTER)
            && def.ddl.complete
            && width() > def.stored.len()
        {
            let read = ddl::read_cut(def.sql.get(..at).unwrap_or_default().as_bytes());
            def.ddl = match read {
                Some(Statement::Table(ddl)) if !ddl.columns.is_empty() => ddl,
                _ => TableDdl::unknown(def.name.clone()),
            };
            def.stored = def.ddl.stored_columns();
        }
    }
    for row in dropped::schema_rows(view, survey, encoding) {
        catalogue.add_dropped(&row);
    }
    for (row, _) in &rows {
        match row.kind {
            SchemaKind::Table => {}
            SchemaKind::Index => catalogue.add_index(row),
            SchemaKind::View | SchemaKind::Trigger => catalogue.kept.push(row.clone()),
        }
    }
    if !whole {
        catalogue.add_automatic_indexes();
    }
    catalogue
}

/// Whether the name in the definition of a table stands in double quotes, as `ALTER TABLE … RENAME` writes it
/// (<https://www.sqlite.org/lang_altertable.html>).
fn has_quoted_name(sql: &str) -> bool {
    let words = ["CREATE", "TABLE"];
    let name = words.iter().try_fold(sql, |sql, word| {
        let (own, rest) = sql.trim_start().split_at_checked(word.len())?;
        own.eq_ignore_ascii_case(word).then_some(rest)
    });
    name.is_some_and(|name| name.trim_start().starts_with('"'))
}

impl Catalogue {
    /// The tables and indexes of these definitions.
    pub(super) fn of_rows(rows: &[SchemaRow]) -> Self {
        let mut catalogue = Self::default();
        for row in rows.iter().filter(|row| row.kind == SchemaKind::Table) {
            catalogue.add_table(row, SchemaOrigin::Catalogue);
        }
        for row in rows.iter().filter(|row| row.kind == SchemaKind::Index) {
            catalogue.add_index(row);
        }
        catalogue
    }

    /// Gives a table whose DDL is cut off the columns that its records have: without names, but none is lost.
    pub(super) fn widen(&mut self, table: usize, columns: usize) {
        let Some(def) = self.tables.get_mut(table).filter(|def| !def.ddl.complete) else { return };
        let lacking = columns.saturating_sub(def.stored.len());
        let known = def.ddl.columns.len();
        def.ddl.columns.extend((known..known + lacking).map(ddl::Column::unknown));
        def.stored = def.ddl.stored_columns();
    }

    fn add_dropped(&mut self, row: &SchemaRow) {
        let sql = row.sql.as_deref().unwrap_or_default();
        if let Ok(Statement::Table(ddl)) = ddl::read(sql.as_bytes())
            && ddl.name == row.name
        {
            let def = TableDef::new(row.name.clone(), ddl, None, SchemaOrigin::Remnant, sql.to_owned());
            let same_name = |other: &TableDef| other.name == def.name;
            let columns = |def: &TableDef| -> Vec<(String, bool)> {
                def.ddl.columns.iter().map(|column| (column.name.clone(), def.ddl.without_rowid)).collect()
            };
            // Columns that were added later: the table reads records that lack them.
            let grew = |other: &TableDef| {
                let root = other.root.or(other.old_root);
                root.is_some() && root == row.root && columns(other).starts_with(&columns(&def))
            };
            let is_known = |other: &TableDef| columns(other) == columns(&def) || grew(other);
            // Renamed by SQLite, which puts the new name in quotes, at the root that it had.
            let is_renamed = |other: &TableDef| {
                let same_root = other.root.is_some() && other.root == row.root;
                same_root
                    && !other.dropped
                    && !same_name(other)
                    && has_quoted_name(&other.sql)
                    && is_known(other)
            };
            if self.tables.iter().any(|other| same_name(other) && is_known(other) || is_renamed(other))
                || self.tables.iter().filter(|other| same_name(other)).count() > MOST_INCARNATIONS
            {
                return;
            }
            let successor = self.tables.iter().position(|other| same_name(other) && !other.dropped);
            self.tables.push(TableDef { dropped: true, old_root: row.root, successor, ..def });
        }
    }

    fn add_table(&mut self, row: &SchemaRow, origin: SchemaOrigin) {
        let Some(sql) = &row.sql else {
            self.kept.push(row.clone());
            return;
        };
        let read = ddl::read(sql.as_bytes()).ok().or_else(|| ddl::read_cut(sql.as_bytes()));
        match read {
            Some(Statement::Table(ddl)) if !ddl.columns.is_empty() => {
                let name = row.name.clone();
                self.tables.push(TableDef::new(name, ddl, row.root, origin, sql.clone()));
            }
            // The name and the root are known where no column is; of a virtual table nothing is stored.
            None | Some(Statement::Table(_)) if row.root.is_some_and(|root| root > 1) => {
                let ddl = TableDdl::unknown(row.name.clone());
                self.tables.push(TableDef::new(row.name.clone(), ddl, row.root, origin, sql.clone()));
            }
            _ => self.kept.push(row.clone()),
        }
    }

    fn add_index(&mut self, row: &SchemaRow) {
        let same = |def: &TableDef| def.name.eq_ignore_ascii_case(&row.table);
        let Some(table) = self.tables.iter().position(same) else {
            self.kept.push(row.clone());
            return;
        };
        let Some(def) = self.tables.get(table) else { return };
        let (parts, ddl, partial) = match &row.sql {
            Some(sql) => match ddl::read(sql.as_bytes()) {
                Ok(Statement::Index(raw)) => {
                    let index = ddl::resolve(&raw, &def.ddl);
                    (index.parts.clone(), Some(index.clone()), index.partial)
                }
                _ => {
                    self.kept.push(row.clone());
                    return;
                }
            },
            None => match automatic_parts(&row.name, def) {
                Some(parts) => (parts, None, false),
                None => return,
            },
        };
        let fields = ddl::index_fields(&def.ddl, &parts);
        self.indexes.push(IndexDef {
            name: row.name.clone(),
            table,
            root: row.root,
            fields,
            ddl,
            sql: row.sql.clone().unwrap_or_default(),
            partial,
        });
    }

    /// Adds the indexes that SQLite makes for the keys of tables, where their own rows of `sqlite_schema` are lost: no
    /// statement names them.
    fn add_automatic_indexes(&mut self) {
        let known: HashSet<String> = self.indexes.iter().map(|index| index.name.clone()).collect();
        let of_table = |table: &TableDef| {
            let of_rows = table.without_rowid().then_some(table.ddl.primary_key_unique).flatten();
            let numbers = (0..table.ddl.uniques.len()).filter(move |number| Some(*number) != of_rows);
            let name = table.name.clone();
            numbers.map(move |number| SchemaRow {
                kind: SchemaKind::Index,
                name: format!("sqlite_autoindex_{name}_{}", number + 1),
                table: name.clone(),
                root: None,
                sql: None,
            })
        };
        let tables = self.tables.iter().skip(1).filter(|table| !table.dropped);
        let rows: Vec<SchemaRow> =
            tables.flat_map(of_table).filter(|row| !known.contains(&row.name)).collect();
        for row in rows {
            self.add_index(&row);
        }
    }
}

/// How many columns the rows of the table with this root have; 0 when that can't be told.
fn width_of_rows(view: &View<'_>, survey: &Survey, root: u32, without_rowid: bool) -> usize {
    let (mut number, mut left) = (root, MOST_DEPTH);
    while survey.page(number).kind == Some(PageKind::TableInterior) && left > 0 {
        let page = view.page(number).and_then(|page| Page::parse(page.bytes, number, view.geometry));
        (number, left) = (page.map_or(0, |page| page.header.right_child), left - 1);
    }
    match survey.page(number) {
        info if info.kind.is_some() => usize::from(info.columns),
        info if info.zero => 0,
        _ => bare_width::on(view, number, leaf::leaf_kind(!without_rowid)),
    }
}

/// The deepest tree that is followed: one of 2^32 pages with two children each.
const MOST_DEPTH: usize = 32;

/// The key of `sqlite_autoindex_TABLE_N`: the N-th of the table's unique constraints.
fn automatic_parts(name: &str, table: &TableDef) -> Option<Vec<ddl::KeyPart>> {
    let number: usize = name.rsplit('_').next()?.parse().ok()?;
    table.ddl.uniques.get(number.checked_sub(1)?).cloned()
}

/// A catalogue row for a statement that the user gives; root pages are unknown.
fn given_row(statement: &str) -> Option<SchemaRow> {
    let (kind, name, table) = match ddl::read(statement.as_bytes()).ok()? {
        Statement::Table(table) => (SchemaKind::Table, table.name.clone(), table.name),
        Statement::Index(index) => (SchemaKind::Index, index.name.clone(), index.table),
        _ => return None,
    };
    Some(SchemaRow { kind, name, table, root: None, sql: Some(statement.to_owned()) })
}

/// The rows of `sqlite_schema` that hang in its tree, and whether the tree is whole.
fn schema_rows(view: &View<'_>, survey: &Survey, encoding: TextEncoding) -> (Vec<SchemaRow>, bool) {
    let mut found = BTreeMap::new();
    let (mut whole, mut pending, mut seen) = (true, vec![1_u32], HashSet::new());
    while let Some(number) = pending.pop() {
        if !seen.insert(number) {
            whole = false;
            continue;
        }
        let info = survey.page(number);
        let tree_kind = matches!(info.kind, Some(PageKind::TableLeaf | PageKind::TableInterior));
        let page = view.page(number).filter(|_| tree_kind);
        let parsed = page.and_then(|page| Some((page, Page::parse(page.bytes, number, view.geometry)?)));
        let Some((version, page)) = parsed else {
            whole = false;
            continue;
        };
        whole &= info.sound;
        for cell in page.good_cells() {
            if page.header.kind.is_interior() {
                pending.push(cell.left_child);
                continue;
            }
            let payload = chains::read(view, survey, &version, &cell);
            let row = record::header(&payload.bytes, cell.payload_len).ok().and_then(|header| {
                let mut values = Vec::new();
                record::decode(&header, &payload.bytes, &mut values);
                schema_row(&values, encoding)
            });
            match row {
                Some(row) => {
                    whole &= payload.whole;
                    found.insert((cell.rowid, number, cell.at), row);
                }
                None => whole = false,
            }
        }
        if page.header.kind.is_interior() {
            pending.push(page.header.right_child);
        }
    }
    (found.into_values().collect(), whole)
}
