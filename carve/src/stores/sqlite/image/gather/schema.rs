//! What the schema of a database says of its trees.

use super::order::{Keys, Order};
use super::shape::Shape;
use mudlark_parsers::sqlite::ddl::{self, IndexField, KeyPart, Statement, TableDdl};
use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow};
use std::collections::BTreeMap;

/// A tree that the schema names.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub root: u32,
    /// Whether it is a table with row ids, where that can be told.
    pub table: Option<bool>,
    pub shape: Shape,
    /// Of what it is an index.
    pub indexed: Option<Indexed>,
}

/// What an index holds of the rows of a table with row ids.
#[derive(Clone, Debug)]
pub(super) struct Indexed {
    /// The root of the table.
    pub table: u32,
    /// For each value of an entry, but the row id at its end, where it stands in the row's record; `None` where it doesn't.
    pub places: Vec<Option<usize>>,
}

/// The trees that the rows of a schema name.
pub(super) fn trees(rows: &[SchemaRow], keys: Keys) -> Vec<Tree> {
    let mut tables: BTreeMap<String, (TableDdl, Option<u32>)> = BTreeMap::new();
    for row in rows {
        let sql = row.sql.as_deref().filter(|_| row.kind == SchemaKind::Table);
        let read = sql.map(|sql| ddl::read(sql.as_bytes()));
        if let Some(Ok(Statement::Table(table))) = read {
            tables.insert(row.name.to_ascii_lowercase(), (table, row.root));
        }
    }
    rows.iter().filter_map(|row| tree(row, &tables, keys)).collect()
}

fn tree(row: &SchemaRow, tables: &BTreeMap<String, (TableDdl, Option<u32>)>, keys: Keys) -> Option<Tree> {
    // A virtual table has no pages of its own.
    let root = row.root.filter(|root| *root != 0)?;
    let of = |name: &str| tables.get(&name.to_ascii_lowercase());
    match row.kind {
        SchemaKind::Table => {
            let table = of(&row.name).map(|(table, _)| table);
            let shape = table
                .filter(|table| table.complete)
                .map(|table| Shape::of_table(table, keys))
                .unwrap_or_default();
            Some(Tree { root, table: is_table(row, table), shape, indexed: None })
        }
        SchemaKind::Index => {
            let table = of(&row.table).filter(|(table, _)| table.complete);
            let parts = table.and_then(|(table, _)| parts(row, table)).unwrap_or_default();
            let fields =
                table.filter(|_| !parts.is_empty()).map(|(table, _)| ddl::index_fields(table, &parts));
            let fields = fields.unwrap_or_default();
            let further = usize::from(fields.last() == Some(&IndexField::Rowid));
            let order = Order::of(&parts, further, keys);
            let shape = table.map(|(table, _)| Shape::of_index(table, &fields, order)).unwrap_or_default();
            let indexed = table.and_then(|(table, root)| indexed(table, *root, &fields));
            Some(Tree { root, table: Some(false), shape, indexed })
        }
        SchemaKind::View | SchemaKind::Trigger => None,
    }
}

/// Whether a table of the schema is one with row ids, where that can be told.
fn is_table(row: &SchemaRow, table: Option<&TableDdl>) -> Option<bool> {
    if let Some(table) = table {
        return Some(!table.without_rowid);
    }
    let sql = row.sql.as_ref().map(|sql| sql.to_ascii_lowercase());
    sql.filter(|sql| !sql.contains("without")).map(|_| true)
}

/// The parts of the key of an index; one that no statement made is that of a key of its table, which its name counts.
fn parts(row: &SchemaRow, table: &TableDdl) -> Option<Vec<KeyPart>> {
    if let Some(Ok(Statement::Index(index))) = row.sql.as_deref().map(|sql| ddl::read(sql.as_bytes())) {
        let index = ddl::resolve(&index, table);
        return Some(index.parts).filter(|_| index.complete);
    }
    let number = row.name.strip_prefix("sqlite_autoindex_")?.rsplit_once('_')?.1;
    table.uniques.get(number.parse::<usize>().ok()?.checked_sub(1)?).cloned()
}

fn indexed(table: &TableDdl, root: Option<u32>, fields: &[IndexField]) -> Option<Indexed> {
    let (IndexField::Rowid, fields) = fields.split_last()? else { return None };
    let stored = table.stored_columns();
    let place = |field: &IndexField| match field {
        IndexField::Column(column) if table.rowid_alias != Some(*column) => {
            stored.iter().position(|stored| stored == column)
        }
        _ => None,
    };
    Some(Indexed { table: root.filter(|root| *root != 0)?, places: fields.iter().map(place).collect() })
}

#[cfg(test)]
mod tests {
    use super::super::order::Keys;
    use super::super::shape::Agrees;
    use super::{Tree, trees};
    use mudlark_parsers::sqlite::schema_row::{SchemaKind, SchemaRow};
    use mudlark_parsers::value::TextEncoding;

    fn row(kind: SchemaKind, name: &str, root: u32, sql: Option<&str>) -> SchemaRow {
        let (name, table) = (name.to_owned(), "t".to_owned());
        SchemaRow { kind, name, table, root: Some(root), sql: sql.map(str::to_owned) }
    }

    /// A table whose key has an index that no statement made, and another index of it.
    fn schema() -> Vec<Tree> {
        let rows = [
            row(
                SchemaKind::Table,
                "t",
                2,
                Some("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT UNIQUE, b INT)"),
            ),
            row(SchemaKind::Index, "sqlite_autoindex_t_1", 3, None),
            row(SchemaKind::Index, "i", 4, Some("CREATE INDEX i ON t(b DESC, lower(a))")),
        ];
        trees(&rows, Keys { descends: true, encoding: TextEncoding::Utf8 })
    }

    #[test]
    fn entries_are_found_in_the_rows_of_their_table_but_for_what_is_made_of_them() {
        let places = schema().into_iter().map(|tree| tree.indexed.map(|of| (of.table, of.places)));
        let expected = [None, Some((2, vec![Some(1)])), Some((2, vec![Some(2), None]))];
        assert_eq!(places.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_entry_has_all_values_of_its_index_and_a_row_those_before_the_columns_that_may_be_added() {
        let trees = schema();
        let agrees = |tree: usize, record: &[u8]| trees.get(tree).and_then(|tree| tree.shape.agrees(record));
        assert_eq!(agrees(1, &[3, 15, 1, b'a', 7]), Some(Agrees::Wholly));
        assert_eq!(agrees(1, &[2, 15, b'a']), Some(Agrees::Not), "no row id");
        assert_eq!(agrees(0, &[3, 0, 15, b'a']), Some(Agrees::Barely), "a row from before the last column");
        assert_eq!(agrees(0, &[2, 0]), Some(Agrees::Not), "a row without a column of a key");
        assert_eq!(agrees(0, &[4, 0, 15, 15, b'a', b'b']), Some(Agrees::Barely), "text for a number");
    }
}
