//! Rows of a table against the entries of its indexes, both added up.

use super::super::catalogue::Catalogue;
use super::structure::values;
use foldhash::quality::FixedState;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::value::Value;
use std::hash::{BuildHasher, Hash, Hasher};

/// What entries or rows add up to, in whatever order they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    rowids: u64,
    values: u64,
}

/// An index, and what it and its table add up to.
#[derive(Debug)]
struct Pair {
    table: usize,
    /// For each cell of an entry but the row id, where it stands in a row of the table.
    positions: Vec<Option<usize>>,
    entries: Sum,
    rows: Sum,
    /// A row lacks a cell that was added to its table later: its values are those of the default.
    lacks: bool,
}

/// The indexes that have an entry for each row of a table with row ids.
#[derive(Debug)]
pub struct Tallies {
    /// By the number of the index.
    pairs: Vec<Option<Pair>>,
}

impl Tallies {
    pub fn of(catalogue: &Catalogue) -> Self {
        let pairs = catalogue.indexes.iter().map(|index| {
            let table = catalogue.tables.get(index.table)?;
            let (IndexField::Rowid, fields) = index.fields.split_last()? else { return None };
            let whole = table.ddl.complete && !table.ddl.without_rowid && !index.partial;
            whole.then_some(())?;
            let positions = fields.iter().map(|field| match field {
                IndexField::Column(column) if table.ddl.rowid_alias != Some(*column) => {
                    table.stored.iter().position(|stored| stored == column)
                }
                _ => None,
            });
            let positions = positions.collect();
            let (entries, rows) = (Sum::default(), Sum::default());
            Some(Pair { table: index.table, positions, entries, rows, lacks: false })
        });
        Self { pairs: pairs.collect() }
    }

    /// Adds a row of a table; `None` when it is no record.
    pub fn row(&mut self, table: usize, rowid: i64, payload: &[u8]) -> Option<()> {
        let mut own = self.pairs.iter_mut().flatten().filter(|pair| pair.table == table).peekable();
        if own.peek().is_none() {
            return Some(());
        }
        let values = values(payload)?;
        for pair in own {
            let position = |position: &Option<usize>| position.map(|position| values.get(position));
            pair.lacks |= pair.positions.iter().filter_map(position).any(|value| value.is_none());
            let cells = pair.positions.iter().map(|at| at.and_then(|at| values.get(at)));
            pair.rows.add(rowid, cells);
        }
        Some(())
    }

    /// Adds an entry of an index; `None` when it is no record.
    pub fn entry(&mut self, index: usize, payload: &[u8]) -> Option<()> {
        let Some(Some(pair)) = self.pairs.get_mut(index) else { return Some(()) };
        let values = values(payload)?;
        let (rowid, keys) = values.split_last()?;
        let Value::Int(rowid) = rowid else { return None };
        if keys.len() != pair.positions.len() {
            return None;
        }
        let cells = pair.positions.iter().zip(keys).map(|(at, value)| at.map(|_| value));
        pair.entries.add(*rowid, cells);
        Some(())
    }

    /// An index that does not agree with its table.
    pub fn disagreeing(&self) -> Option<usize> {
        self.pairs.iter().position(|pair| {
            pair.as_ref().is_some_and(|Pair { entries, rows, lacks, .. }| {
                let ids = |sum: &Sum| (sum.count, sum.rowids);
                ids(entries) != ids(rows) || !lacks && entries.values != rows.values
            })
        })
    }
}

impl Sum {
    fn add<'v>(&mut self, rowid: i64, cells: impl Iterator<Item = Option<&'v Value<'v>>>) {
        let state = FixedState::with_seed(0);
        let mut hasher = state.build_hasher();
        rowid.hash(&mut hasher);
        cells.for_each(|cell| note(cell, &mut hasher));
        self.count += 1;
        self.rowids = self.rowids.wrapping_add(state.hash_one(rowid));
        self.values = self.values.wrapping_add(hasher.finish());
    }
}

/// Notes a value; a table may hold a number as an integer that an index holds as a real.
fn note(value: Option<&Value<'_>>, hasher: &mut impl Hasher) {
    match value {
        None => hasher.write_u8(0),
        Some(Value::Null) => hasher.write_u8(1),
        Some(Value::Int(value)) => hasher.write_u64((*value as f64 + 0.0).to_bits()),
        Some(Value::Real(value)) => hasher.write_u64((value + 0.0).to_bits()),
        Some(Value::Text(bytes) | Value::Blob(bytes)) => hasher.write(bytes),
        Some(_) => hasher.write_u8(2),
    }
}
