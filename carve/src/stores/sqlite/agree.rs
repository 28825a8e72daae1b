//! Whether index entries and rows agree.

use super::forest::{Forest, Ground, Object};
use super::ranges::Ranges;
use super::sample;
use mudlark_parsers::sqlite::ddl::IndexField;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::Value;

/// Entries of a page that are looked up.
const ENTRIES: usize = 12;

/// What a few entries say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Rows with these ids hold these cells.
    Agrees,
    /// Rows with these ids hold other cells.
    Disagrees,
    /// The rows are not there.
    Unknown,
}

/// Whether entries on a page agree with the rows of the index's table.
pub(super) fn index_page(forest: &Forest, ground: Ground<'_, '_>, index: usize, page: u32) -> Agreement {
    let Some(index) = ground.catalogue.indexes.get(index) else { return Agreement::Unknown };
    let Some(table) = ground.catalogue.tables.get(index.table) else { return Agreement::Unknown };
    let is_table = |object| object == Object::Table(index.table);
    let Some(tree) = forest.trees.iter().position(|tree| tree.rowids && is_table(tree.object)) else {
        return Agreement::Unknown;
    };
    let position = |column: usize| table.stored.iter().position(|stored| *stored == column);
    let keys: Vec<Option<usize>> = index
        .fields
        .iter()
        .map(|field| match field {
            IndexField::Column(column) if table.ddl.rowid_alias != Some(*column) => position(*column),
            _ => None,
        })
        .collect();
    let (mut agrees, mut disagrees) = (0, 0);
    each_entry(ground, page, |entry, rowid| {
        let same = with_row(forest, ground, tree, rowid, |row| {
            keys.iter().zip(entry).all(|(position, cell)| {
                position.is_none_or(|position| row.get(position).is_none_or(|other| same(cell, other)))
            })
        });
        match same {
            Some(true) => agrees += 1,
            Some(false) => disagrees += 1,
            None => {}
        }
    });
    if agrees > disagrees {
        Agreement::Agrees
    } else if disagrees > 0 {
        Agreement::Disagrees
    } else {
        Agreement::Unknown
    }
}

/// Finds the table that the entries of an unnamed index point to, and the position of each key cell in its records.
pub(super) fn find_table(
    forest: &Forest,
    ground: Ground<'_, '_>,
    ranges: &Ranges,
    pages: &[u32],
) -> Option<(usize, Vec<usize>)> {
    let columns = pages.iter().map(|page| ground.survey.page(*page).columns).max()?;
    let keys = usize::from(columns).checked_sub(1).filter(|keys| *keys > 0)?;
    let step = (pages.len() / 8).max(1);
    let mut rowids = Vec::new();
    for page in pages.iter().step_by(step) {
        each_entry(ground, *page, |_, rowid| rowids.push(rowid));
    }
    for number in ranges.holding(&rowids) {
        // For each key cell, how often each position of the rows held the same.
        let mut hits: Vec<Vec<u32>> = vec![Vec::new(); keys];
        let (mut found, mut entries) = (0_u32, 0_u32);
        for page in pages.iter().step_by(step) {
            each_entry(ground, *page, |entry, rowid| {
                entries += 1;
                let row = with_row(forest, ground, number, rowid, |row| {
                    for (cell, hits) in entry.iter().zip(&mut hits) {
                        hits.resize(hits.len().max(row.len()), 0);
                        for (other, hit) in row.iter().zip(hits.iter_mut()) {
                            *hit += u32::from(same(cell, other));
                        }
                    }
                });
                found += u32::from(row.is_some());
            });
        }
        // Most rows that are there must agree, and enough of them must be there.
        if found == 0 || found * 4 < entries {
            continue;
        }
        let positions: Option<Vec<usize>> = hits
            .iter()
            .map(|hits| {
                let (position, hit) =
                    hits.iter().enumerate().max_by_key(|(at, hit)| (**hit, usize::MAX - at))?;
                (hit * 5 >= found * 4).then_some(position)
            })
            .collect();
        if let Some(positions) = positions {
            return Some((number, positions));
        }
    }
    None
}

/// Whether most rows of a page stand in the tree as well, with the same cells.
pub(super) fn is_copy(forest: &Forest, ground: Ground<'_, '_>, tree: usize, page: u32) -> bool {
    let (mut rows, mut equal) = (0_u32, 0_u32);
    sample::records(ground.view, ground.survey, page, ENTRIES, |rowid, header, payload| {
        rows += 1;
        let mut values = Vec::new();
        record::decode(header, payload, &mut values);
        equal += u32::from(with_row(forest, ground, tree, rowid, |row| row == values) == Some(true));
    });
    equal * 2 > rows
}

/// Calls `each` with some entries of an index page: their key cells and the row id at their end.
fn each_entry(ground: Ground<'_, '_>, page: u32, mut each: impl FnMut(&[Value<'_>], i64)) {
    sample::records(ground.view, ground.survey, page, ENTRIES, |_, header, payload| {
        let mut values = Vec::new();
        record::decode(header, payload, &mut values);
        if let Some((Value::Int(rowid), keys)) = values.split_last() {
            each(keys, *rowid);
        }
    });
}

/// Calls `with` with the stored cells of a row, as far as they lie on its page.
fn with_row<T>(
    forest: &Forest,
    ground: Ground<'_, '_>,
    tree: usize,
    rowid: i64,
    with: impl FnOnce(&[Value<'_>]) -> T,
) -> Option<T> {
    let pages = &forest.trees.get(tree)?.pages;
    let number = pages.iter().copied().find(|page| {
        let info = ground.survey.page(*page);
        info.cells > 0 && (info.first..=info.last).contains(&rowid)
    })?;
    let version = ground.view.page(number)?;
    let page = Page::parse(version.bytes, version.number, ground.view.geometry)?;
    let cell = page.good_cells().find(|cell| cell.rowid == rowid)?;
    let local = cell.local_payload(version.bytes);
    let header = record::header(local, cell.payload_len).ok()?;
    let mut values = Vec::new();
    record::decode(&header, local, &mut values);
    Some(with(&values))
}

/// Whether two cells hold the same value; whole numbers of REAL columns are stored as integers in a table.
pub(super) fn same(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Int(int), Value::Real(real)) | (Value::Real(real), Value::Int(int)) => *int as f64 == *real,
        (Value::Missing, _) | (_, Value::Missing) => true,
        _ => a == b,
    }
}
