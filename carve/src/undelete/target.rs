//! What is known of the table that rows go back to: its columns, its keys, its row id.

use super::recovered::RecoveredTable;
use mudlark_parsers::sqlite::ddl::{self, KeyPart, Statement, TableDdl};

/// The table in the database that the user runs the statements on.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Its name.
    pub name: String,
    /// Whether the name is the one from the evidence.
    pub named: bool,
    /// The columns to fill.
    pub columns: Vec<Column>,
    /// The column that is the row id, by its place in `columns`.
    pub alias: Option<usize>,
    /// The name under which the hidden row id can be set.
    pub rowid: Option<&'static str>,
    /// Keys that no two rows share.
    pub keys: Vec<Vec<KeyColumn>>,
    /// The columns of the primary key, by name.
    pub primary_key: Vec<String>,
    /// Its foreign keys.
    pub references: Vec<Reference>,
}

/// A foreign key.
#[derive(Clone, Debug)]
pub(super) struct Reference {
    /// The columns that refer, by their places in [`Target::columns`].
    pub columns: Vec<usize>,
    /// The table that is referred to.
    pub table: String,
    /// Its columns; empty when its primary key is meant.
    pub parent: Vec<String>,
}

/// A column to fill.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name.
    pub name: String,
    /// Its place among the columns of the recovered table.
    pub from: usize,
    /// It has a collation of its own.
    pub collated: bool,
}

/// A column of a key.
#[derive(Clone, Debug)]
pub(super) struct KeyColumn {
    /// Its place in [`Target::columns`].
    pub column: usize,
    /// The collation by which it is compared.
    pub collation: Option<String>,
}

impl Target {
    /// Puts together what the recovered table's definitions say.
    pub(super) fn of(table: &RecoveredTable) -> Self {
        let name = table.original_name.clone().unwrap_or_else(|| table.output_name.clone());
        let mut target = Self {
            name,
            named: table.original_name.is_some(),
            columns: Vec::new(),
            alias: None,
            rowid: None,
            keys: Vec::new(),
            primary_key: Vec::new(),
            references: Vec::new(),
        };
        let Some((parsed, places)) = table.found.as_deref().and_then(|found| definition(found, table)) else {
            let columns = table.columns.iter().enumerate();
            target.columns =
                columns.map(|(from, name)| Column { name: name.clone(), from, collated: false }).collect();
            return target;
        };
        let mut at = vec![None; parsed.columns.len()];
        for (from, (original, name)) in places.into_iter().enumerate() {
            let Some(column) = parsed.columns.get(original) else { continue };
            if column.generated.is_none() {
                at[original] = Some(target.columns.len());
                target.columns.push(Column { name, from, collated: column.collation.is_some() });
            }
        }
        let place = |column: usize| at.get(column).copied().flatten();
        target.alias = parsed.rowid_alias.and_then(place);
        let mut keys: Vec<Vec<KeyColumn>> = Vec::new();
        keys.extend(target.alias.map(|column| vec![KeyColumn { column, collation: None }]));
        let key = |parts: &[KeyPart]| -> Option<Vec<KeyColumn>> {
            let column = |part: &KeyPart| {
                Some(KeyColumn { column: place(part.column?)?, collation: part.collation.clone() })
            };
            parts.iter().map(column).collect()
        };
        keys.extend(parsed.uniques.iter().filter_map(|parts| key(parts)));
        for found in &table.indexes {
            if let Ok(Statement::Index(raw)) = ddl::read(found.as_bytes()) {
                let index = ddl::resolve(&raw, &parsed);
                if index.unique && index.complete && !index.partial {
                    keys.extend(key(&index.parts));
                }
            }
        }
        let name = |part: &KeyPart| Some(parsed.columns.get(part.column?)?.name.clone());
        target.primary_key = parsed.primary_key.iter().map(name).collect::<Option<_>>().unwrap_or_default();
        for reference in &parsed.references {
            if let Some(columns) = reference.columns.iter().map(|column| place(*column)).collect() {
                let (table, parent) = (reference.table.clone(), reference.parent.clone());
                target.references.push(Reference { columns, table, parent });
            }
        }
        target.keys = keys.into_iter().filter(|key| !key.is_empty()).collect();
        // A definition that is cut off doesn't tell whether the table has row ids.
        if parsed.complete && !parsed.without_rowid && parsed.rowid_alias.is_none() {
            target.rowid = ["rowid", "_rowid_", "oid"]
                .into_iter()
                .find(|name| !parsed.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name)));
        }
        target
    }
}

/// The definition, with the original column and its name for each column of the recovered table. `None` when it
/// doesn't agree with what is stored.
fn definition(found: &str, table: &RecoveredTable) -> Option<(TableDdl, Vec<(usize, String)>)> {
    let statement = ddl::read(found.as_bytes()).ok().or_else(|| ddl::read_cut(found.as_bytes()))?;
    let Statement::Table(parsed) = statement else { return None };
    let columns = ddl::create_table(&parsed, "t").columns;
    (columns.len() == table.columns.len()).then_some((parsed, columns))
}
