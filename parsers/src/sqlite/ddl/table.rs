//! What a CREATE TABLE says about the records of its b-tree.

use super::affinity::Affinity;
use super::column::RawColumn;
use super::constraint::{RawConstraints, RawKey, RawReference};
use super::default::DefaultValue;
use super::key::{KeyPart, MAX_COLUMNS, RawKeyPart};

/// How a generated column is kept (<https://www.sqlite.org/gencol.html>).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Generated {
    /// Computed when read; not in the record.
    Virtual,
    /// Computed when written; in the record.
    Stored,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name, quotes removed.
    pub name: String,
    /// The type as written, quotes removed; `None` when there is none.
    pub declared_type: Option<String>,
    /// Affinity of that type; `ANY` in a STRICT table is [`Affinity::Blob`].
    pub affinity: Affinity,
    /// NOT NULL, as written or because STRICT or WITHOUT ROWID makes a primary key so.
    pub not_null: bool,
    /// DEFAULT.
    pub default: Option<DefaultValue>,
    /// COLLATE.
    pub collation: Option<String>,
    /// Whether and how it is generated.
    pub generated: Option<Generated>,
    /// It has a CHECK constraint.
    pub has_check: bool,
    /// It has a REFERENCES clause.
    pub has_foreign_key: bool,
}

impl Column {
    /// A column of which only the place is known, from 0.
    #[must_use]
    pub fn unknown(place: usize) -> Self {
        Self::named(format!("c{place}"))
    }

    /// A column of which only the name is known.
    pub(super) const fn named(name: String) -> Self {
        Self {
            name,
            declared_type: None,
            affinity: Affinity::Blob,
            not_null: false,
            default: None,
            collation: None,
            generated: None,
            has_check: false,
            has_foreign_key: false,
        }
    }
}

/// A foreign key whose columns the table has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The columns that refer.
    pub columns: Vec<usize>,
    /// The table that is referred to.
    pub table: String,
    /// Its columns, as many; empty when its primary key is meant.
    pub parent: Vec<String>,
}

/// A CREATE TABLE statement.
#[derive(Clone, Debug, PartialEq)]
pub struct TableDdl {
    /// The table's name, quotes removed.
    pub name: String,
    /// Its columns in declaration order; at least one that is not virtual, at most the 2,000
    /// that SQLite takes by default.
    pub columns: Vec<Column>,
    /// WITHOUT ROWID: rows are records of an index b-tree.
    pub without_rowid: bool,
    /// STRICT.
    pub strict: bool,
    /// AUTOINCREMENT on the rowid alias.
    pub autoincrement: bool,
    /// The primary key, empty when there is none; without repeated columns in a WITHOUT ROWID table.
    pub primary_key: Vec<KeyPart>,
    /// The column that is another name for the rowid
    /// (<https://www.sqlite.org/lang_createtable.html#rowids_and_the_integer_primary_key>).
    pub rowid_alias: Option<usize>,
    /// The keys for which SQLite makes an index, in its order: the N-th (from 1) is `sqlite_autoindex_<table>_N`.
    /// The primary key has its place among them, though in a WITHOUT ROWID table its index is the table itself.
    pub uniques: Vec<Vec<KeyPart>>,
    /// The place of the primary key in `uniques`.
    pub primary_key_unique: Option<usize>,
    /// CHECK constraints of the table, those of its columns not counted.
    pub checks: usize,
    /// FOREIGN KEY constraints of the table, those of its columns not counted.
    pub foreign_keys: usize,
    /// All foreign keys that could be read, those of columns first.
    pub references: Vec<Reference>,
    /// An ON CONFLICT clause stands somewhere.
    pub conflict_clause: bool,
    /// The whole column list was there and understood. When not, there may have been further columns and keys, and
    /// `without_rowid` and `strict` are not known.
    pub complete: bool,
}

impl TableDdl {
    /// A table of which nothing but the name is known.
    #[must_use]
    pub fn unknown(name: String) -> Self {
        Self {
            name,
            columns: vec![Column::unknown(0)],
            without_rowid: false,
            strict: false,
            autoincrement: false,
            primary_key: Vec::new(),
            rowid_alias: None,
            uniques: Vec::new(),
            primary_key_unique: None,
            checks: 0,
            foreign_keys: 0,
            references: Vec::new(),
            conflict_clause: false,
            complete: false,
        }
    }

    /// Takes a table whose definition is cut off for one without row ids, as its root shows. Rows begin with the key there:
    /// where that is not known, neither is which column stands where.
    pub fn take_for_without_rowid(&mut self) {
        if self.complete || self.without_rowid {
            return;
        }
        self.without_rowid = true;
        self.rowid_alias = None;
        if self.primary_key.is_empty() {
            self.columns = (0..self.columns.len()).map(Column::unknown).collect();
        }
    }

    /// The column at each position of a record of the table's b-tree. In a rowid table that is declaration order, in
    /// a WITHOUT ROWID table the primary key comes first (<https://www.sqlite.org/fileformat2.html>, section 2.4).
    /// Virtual columns are nowhere. A column stands twice when it is in the primary key under two collations.
    #[must_use]
    pub fn stored_columns(&self) -> Vec<usize> {
        let mut stored: Vec<usize> = Vec::with_capacity(self.columns.len());
        let mut seen = vec![false; self.columns.len()];
        if self.without_rowid {
            for column in self.primary_key.iter().filter_map(|part| part.column) {
                stored.push(column);
                if let Some(seen) = seen.get_mut(column) {
                    *seen = true;
                }
            }
        }
        for (index, (column, seen)) in self.columns.iter().zip(seen).enumerate() {
            if !seen && column.generated != Some(Generated::Virtual) {
                stored.push(index);
            }
        }
        stored
    }

    /// Is this column always NULL in the record, because the rowid holds its value?
    #[must_use]
    pub fn is_stored_as_null(&self, column: usize) -> bool {
        self.rowid_alias == Some(column)
    }

    /// The column of this name; case doesn't count in ASCII letters only.
    #[must_use]
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// Puts what was read together; `None` without a column that a record could hold.
    pub(super) fn assemble(
        name: String,
        mut columns: Vec<RawColumn>,
        constraints: RawConstraints,
        options: TableOptions,
    ) -> Option<Self> {
        let mut table = Self {
            name,
            columns: Vec::with_capacity(columns.len()),
            without_rowid: options.without_rowid,
            strict: options.strict,
            autoincrement: constraints.autoincrement,
            primary_key: Vec::new(),
            rowid_alias: None,
            uniques: Vec::new(),
            primary_key_unique: None,
            checks: constraints.checks,
            foreign_keys: constraints.foreign_keys,
            references: Vec::new(),
            conflict_clause: constraints.conflict_clause,
            complete: options.complete,
        };
        table.complete &= columns.len() <= MAX_COLUMNS;
        columns.truncate(MAX_COLUMNS);
        let (mut keys, mut references) = (Vec::new(), Vec::new());
        for raw in columns {
            table.autoincrement |= raw.autoincrement;
            table.conflict_clause |= raw.conflict_clause;
            keys.extend(raw.keys);
            references.extend(raw.references);
            table.columns.push(raw.column);
        }
        keys.extend(constraints.keys);
        let mut key_parts = 0;
        let all_keys = keys.len();
        keys.retain(|key| {
            key_parts += key.parts.len();
            key_parts <= MAX_KEY_PARTS
        });
        table.complete &= keys.len() == all_keys;
        let in_record = |column: &Column| column.generated != Some(Generated::Virtual);
        if !table.columns.iter().any(in_record) {
            return None;
        }
        if table.strict {
            let any = |column: &&mut Column| {
                column.declared_type.as_deref().is_some_and(|declared| declared.eq_ignore_ascii_case("ANY"))
            };
            table.columns.iter_mut().filter(any).for_each(|column| column.affinity = Affinity::Blob);
        }
        table.place_keys(&keys);
        references.extend(constraints.references);
        table.place_references(&references);
        table.imply_not_null();
        table.autoincrement &= table.rowid_alias.is_some();
        Some(table)
    }

    /// The key part's column and collation in force.
    pub(super) fn resolve_part(&self, raw: &RawKeyPart) -> KeyPart {
        let column = raw.column.as_deref().and_then(|name| self.column_index(name));
        let of_column =
            || column.and_then(|column| self.columns.get(column)).and_then(|column| column.collation.clone());
        KeyPart { column, collation: raw.collation.clone().or_else(of_column), descending: raw.descending }
    }

    fn place_keys(&mut self, keys: &[RawKey]) {
        let mut integer_key = None;
        for key in keys {
            let parts: Vec<KeyPart> = key.parts.iter().map(|part| self.resolve_part(part)).collect();
            if !key.primary {
                self.add_unique(parts);
            } else if self.primary_key.is_empty() {
                self.primary_key.clone_from(&parts);
                match self.integer_key(key, &parts) {
                    Some(column) => integer_key = Some((column, parts)),
                    None => self.primary_key_unique = Some(self.add_unique(parts)),
                }
            }
        }
        match integer_key {
            Some((column, _)) if !self.without_rowid => self.rowid_alias = Some(column),
            // WITHOUT ROWID makes it an ordinary key after all others, with the column's own collation.
            Some((column, mut parts)) => {
                for part in &mut parts {
                    part.collation = self.columns.get(column).and_then(|column| column.collation.clone());
                }
                self.primary_key.clone_from(&parts);
                self.primary_key_unique = Some(self.add_unique(parts));
            }
            None => {}
        }
        if self.without_rowid {
            // An equal UNIQUE before it is the one whose order counts.
            if let Some(unique) = self.primary_key_unique.and_then(|at| self.uniques.get_mut(at)) {
                let mut distinct: Vec<KeyPart> = Vec::with_capacity(unique.len());
                for part in unique.drain(..) {
                    if !distinct.iter().any(|earlier| earlier.same_key(&part)) {
                        distinct.push(part);
                    }
                }
                unique.clone_from(&distinct);
                self.primary_key = distinct;
            }
        }
    }

    fn place_references(&mut self, references: &[RawReference]) {
        let mut parts = 0;
        for reference in references {
            parts += reference.columns.len();
            if parts > MAX_KEY_PARTS {
                break;
            }
            let columns: Option<Vec<usize>> =
                reference.columns.iter().map(|part| self.column_index(part.column.as_deref()?)).collect();
            let parent: Option<Vec<String>> =
                reference.parent.iter().map(|part| part.column.clone()).collect();
            if let (Some(columns), Some(parent)) = (columns, parent)
                && (parent.is_empty() || parent.len() == columns.len())
            {
                self.references.push(Reference { columns, table: reference.table.clone(), parent });
            }
        }
    }

    /// The one column of type exactly INTEGER that this key consists of. A DESC written at the column counts against
    /// it, a DESC in a table constraint doesn't; see the documentation of the rowid alias.
    fn integer_key(&self, key: &RawKey, parts: &[KeyPart]) -> Option<usize> {
        let [part] = parts else {
            return None;
        };
        let column = part.column.filter(|_| !(key.of_column && part.descending))?;
        let declared = self.columns.get(column)?.declared_type.as_deref()?;
        declared.eq_ignore_ascii_case("INTEGER").then_some(column)
    }

    /// Adds a key unless one with the same columns and collations exists; gives its place.
    fn add_unique(&mut self, parts: Vec<KeyPart>) -> usize {
        let same = |other: &Vec<KeyPart>| {
            other.len() == parts.len() && other.iter().zip(&parts).all(|(one, two)| one.same_key(two))
        };
        if let Some(at) = self.uniques.iter().position(same) {
            return at;
        }
        self.uniques.push(parts);
        self.uniques.len() - 1
    }

    fn imply_not_null(&mut self) {
        if !self.strict && !self.without_rowid {
            return;
        }
        for column in self.primary_key.iter().filter_map(|part| part.column) {
            if let Some(of_key) = self.columns.get_mut(column)
                && self.rowid_alias != Some(column)
            {
                of_key.not_null = true;
            }
        }
    }
}

/// Key parts of one table that are looked up. Each is compared with every column, and each key with every other.
const MAX_KEY_PARTS: usize = 4_000;

/// What stands behind the column list, and whether it was there at all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TableOptions {
    pub(super) without_rowid: bool,
    pub(super) strict: bool,
    pub(super) complete: bool,
}
