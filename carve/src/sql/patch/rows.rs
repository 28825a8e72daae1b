//! Rows of a table and those of `temp` that stand for them, as conditions.

use super::{Key, Row, Settable, Table, Way};
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;

impl Table<'_, '_> {
    pub(super) fn main(&self) -> String {
        format!("main.{}", quoted(&self.name))
    }

    /// That a row of `temp` and one of the table have the same key: `n` and `t` stand for them.
    pub(super) fn same_key(&self, n: &str, t: &str) -> String {
        match &self.key {
            Key::Rowid(name) => format!("{t}.{}={n}.k", quoted_rowid(name)),
            Key::Columns(places) => {
                let part = |place: &usize| {
                    let column = self.columns.iter().find(|column| column.place == *place)?;
                    Some(format!("{t}.{}={n}.c{place}", quoted(&column.name)))
                };
                all(&places.iter().filter_map(part).collect::<Vec<_>>())
            }
        }
    }

    /// Whether its rows that stay are set at the end only.
    pub(super) fn is_detached(&self) -> bool {
        !self.detached.is_empty() && (self.has(Way::Update) || self.has(Way::Parked))
    }

    pub(crate) fn is_key(&self, column: &Settable) -> bool {
        matches!(&self.key, Key::Columns(places) if places.contains(&column.place))
    }

    /// That a row of the table has the key of one among these of `temp`.
    pub(super) fn is_among(&self, rows: &str) -> String {
        match &self.key {
            Key::Rowid(name) => format!("{} IN (SELECT k FROM {rows})", quoted_rowid(name)),
            Key::Columns(places) => {
                let name = |place: &usize| {
                    let column = self.columns.iter().find(|column| column.place == *place);
                    column.map(|column| quoted(&column.name))
                };
                let names: Vec<String> = places.iter().filter_map(name).collect();
                let cells: Vec<String> = places.iter().map(|place| format!("c{place}")).collect();
                format!("({}) IN (SELECT {} FROM {rows})", names.join(","), cells.join(","))
            }
        }
    }

    /// That a row of `temp` and one of the table have the same cells, and the same types: neither collation nor affinity
    /// may make others equal.
    pub(super) fn same_cells(&self, n: &str, t: &str) -> String {
        let part = |column: &Settable| {
            let (name, place) = (quoted(&column.name), column.place);
            format!("({n}.c{place} IS {t}.{name} AND typeof({n}.c{place})=typeof({t}.{name}))")
        };
        all(&self.columns.iter().map(part).collect::<Vec<_>>())
    }

    /// The row of the table that a row of `temp` of this side is.
    pub(super) fn stands(&self, n: &str) -> String {
        let (table, key, cells) = (self.main(), self.same_key(n, "t"), self.same_cells(n, "t"));
        format!("EXISTS(SELECT 1 FROM {table} AS t WHERE {key} AND {cells})")
    }

    /// Rows that are there and are to be removed, if only to be put back.
    pub(super) fn removes(&self) -> u64 {
        let gone = |row: &&Row<'_, '_>| row.now.is_some() && (row.then.is_none() || row.way == Way::Anew);
        self.rows.iter().filter(gone).count() as u64
    }

    pub(super) fn has(&self, way: Way) -> bool {
        self.rows.iter().any(|row| row.now.is_some() && row.then.is_some() && row.way == way)
    }

    /// Rows that statements change, each as often as they do.
    pub(super) fn changes(&self) -> u64 {
        let twice = u64::from(self.is_detached());
        let of = |row: &Row<'_, '_>| match (row.now.is_some(), row.then.is_some(), row.way) {
            (true, true, Way::Anew) => 2,
            (true, true, Way::Parked) => 2 + 2 * twice,
            (true, true, Way::Update) => 1 + twice,
            (false, false, _) => 0,
            _ => 1,
        };
        self.rows.iter().map(of).sum()
    }
}

/// A name of the row id: those that SQLite gives stand without quotes.
pub(super) fn quoted_rowid(name: &str) -> String {
    if ["rowid", "_rowid_", "oid"].contains(&name) { name.to_owned() } else { quoted(name) }
}

/// All of these, nested by halves: SQLite takes no deep expressions.
pub(super) fn all(parts: &[String]) -> String {
    match parts {
        [] => "1".to_owned(),
        [only] => only.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} AND {})", all(left), all(right))
        }
    }
}
