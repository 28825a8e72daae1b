//! Columns that were dropped: `ALTER TABLE … DROP COLUMN` writes every row anew, and the old ones stay in free space.
//!
//! Where no definition from before survives, the rows tell it, and where one does, what the column held. A freed record with one column more than the table has
//! is put beside the live rows: the column without which most of these records are one of them was dropped.

mod records;

use super::catalogue::{Catalogue, TableDef};
use super::chains;
use super::cleared;
use super::forest::{Forest, Object, Tree};
use super::gone::positions;
use super::leaf::leaf_kind;
use super::prints::{Endings, ending};
use super::sample;
use super::survey::Survey;
use super::view::View;
use crate::model::SchemaOrigin;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::ddl::Column;
use mudlark_parsers::sqlite::freed::{self, Effort, Scratch, Shape, Space};
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use mudlark_parsers::sqlite::serial_list::SerialList;
use rayon::prelude::*;
use records::{Cells, apart, body, live_contents, without};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

/// Pages of a table whose free space is looked through: an altered table has old rows on all of them.
const PAGES: usize = 64;

/// Earlier and freed pages that are looked at: they may be any table's of this many columns.
const MOST_FREED: usize = 256;

/// Columns beyond which a table is not looked at: each of them would be tried.
const MOST_COLUMNS: usize = 256;

/// One in so many old records must be a live row but for the column: the others were deleted or changed before.
const LEAST_SHARE: usize = 10;

/// Old records that must be live rows but for a column: fewer may be so by accident.
const ENOUGH: usize = 3;

/// A record that may be from before a column was dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Old {
    /// Its header stands whole, with the number of its columns.
    counted: bool,
    cells: Cells,
}

/// Bytes of a record without which it may equal a live one by accident, and those with which it never does.
const LONG: usize = 8;
const TELLING: usize = 12;

/// A column that a table had.
#[derive(Clone, Debug)]
pub(super) struct Dropped {
    /// Its position in the records.
    pub position: usize,
    /// Values that were seen in it: a serial type and the bytes.
    pub values: Arc<[(Serial, Vec<u8>)]>,
}

/// Adds the earlier shapes that rows tell of, each with a tree of its own that has no pages.
pub(super) fn add_shapes(catalogue: &mut Catalogue, forest: &mut Forest, view: &View<'_>, survey: &Survey) {
    let numbers = 1..catalogue.tables.len();
    let loose = Loose::of(forest, view, survey);
    let found: Vec<(usize, Option<usize>, Dropped)> = numbers
        .filter_map(|number| {
            let known = wider(catalogue, number);
            let position = known.and_then(|known| only_new(&catalogue.tables, known, number));
            if known.is_some() && position.is_none() {
                return None;
            }
            let dropped = dropped(catalogue, forest, &loose, view, survey, (number, position))?;
            Some((number, known, dropped))
        })
        .collect();
    for (number, known, dropped) in found {
        if let Some(known) = known.and_then(|known| catalogue.tables.get_mut(known)) {
            known.lost_column = Some(dropped);
            continue;
        }
        let Some(def) = catalogue.tables.get(number).map(|table| earlier(table, number, dropped)) else {
            continue;
        };
        let tree = forest.add_empty(!def.without_rowid());
        if let Some(tree) = forest.trees.get_mut(tree) {
            tree.object = Object::Table(catalogue.tables.len());
        }
        catalogue.tables.push(def);
    }
}

/// Pages on which rows of earlier shapes may stand, gathered once for all tables.
#[derive(Default)]
struct Loose {
    /// Old versions of pages that are a tree's now, by what it holds.
    earlier: HashMap<Object, Vec<u32>>,
    /// Those of pages that a tree lacks: their rows stand in for the lost ones.
    stand_ins: HashMap<Object, Vec<u32>>,
    /// Sound pages that hang in no tree, by the width of their records and whether those have row ids.
    freed: HashMap<(usize, bool), Vec<u32>>,
    /// Cells of pages that were cleared, each with its page, the same way.
    cleared: HashMap<(usize, bool), Vec<(u32, Cell)>>,
    /// For each definition the first tree that holds its rows.
    trees: HashMap<usize, usize>,
}

impl Loose {
    fn of(forest: &Forest, view: &View<'_>, survey: &Survey) -> Self {
        let mut loose = Self::default();
        let lacking = forest.lacking();
        for (number, _) in survey.old() {
            let Some(page) = view.page(number).map(|page| page.number) else { continue };
            let place = forest.place(page).map(|(tree, _)| tree as usize);
            let lacks = || lacking.get(&page).copied().flatten();
            let Some(tree) = place.or_else(lacks).and_then(|tree| forest.trees.get(tree)) else { continue };
            loose.earlier.entry(tree.object).or_default().push(number);
            if place.is_none() {
                loose.stand_ins.entry(tree.object).or_default().push(number);
            }
        }
        let freed = survey.iter().filter(|(number, info)| info.sound && forest.standing(*number).is_none());
        for (number, info) in freed {
            if let Some(kind) = info.kind {
                let key = (usize::from(info.columns), kind.is_table());
                loose.freed.entry(key).or_default().push(number);
            }
        }
        let cleared =
            survey.iter().filter(|(number, info)| info.cells == 0 && forest.standing(*number).is_none());
        let cleared: Vec<u32> = cleared.map(|(number, _)| number).collect();
        let step = cleared.len().div_ceil(MOST_FREED).max(1);
        for (number, rowids) in
            cleared.into_iter().step_by(step).flat_map(|page| [(page, true), (page, false)])
        {
            let Some(bytes) = view.page(number).map(|page| page.bytes) else { continue };
            for cell in cleared::cells(view, survey, number, rowids).cells {
                let Ok(header) = record::header(cell.local_payload(bytes), cell.payload_len) else {
                    continue;
                };
                loose.cleared.entry((header.columns, rowids)).or_default().push((number, cell));
            }
        }
        for (number, tree) in forest.trees.iter().enumerate() {
            if let Object::Table(table) = tree.object {
                loose.trees.entry(table).or_insert(number);
            }
        }
        loose
    }
}

/// The definition of a table with a column more. It stands last among the columns, so that none changes its number.
fn earlier(table: &TableDef, number: usize, dropped: Dropped) -> TableDef {
    let mut def = table.clone();
    let place = def.ddl.columns.len();
    let mut column = Column::unknown(place);
    column.name = (0..)
        .map(|more| "_".repeat(more) + "dropped")
        .find(|name| !def.ddl.columns.iter().any(|other| other.name.eq_ignore_ascii_case(name)))
        .unwrap_or_default();
    def.ddl.columns.push(column);
    def.stored.insert(dropped.position, place);
    let origin = SchemaOrigin::Shape;
    TableDef { root: None, origin, dropped: true, successor: Some(number), lost_column: Some(dropped), ..def }
}

/// The definition of an earlier shape of a table with a column more.
fn wider(catalogue: &Catalogue, number: usize) -> Option<usize> {
    let columns = catalogue.tables.get(number)?.stored.len() + 1;
    let is_wider = |other: &TableDef| other.successor == Some(number) && other.stored.len() == columns;
    catalogue.tables.iter().position(is_wider)
}

/// The position of the only column of a shape that the other one hasn't.
fn only_new(tables: &[TableDef], wider: usize, number: usize) -> Option<usize> {
    let (wider, table) = (tables.get(wider)?, tables.get(number)?);
    let kept = positions(wider, table);
    let mut new = (0..wider.stored.len()).filter(|position| !kept.contains(&Some(*position)));
    new.next().filter(|_| new.next().is_none())
}

/// The column that a table had, when its old rows tell: the one at this position, where that is known.
fn dropped(
    catalogue: &Catalogue,
    forest: &Forest,
    loose: &Loose,
    view: &View<'_>,
    survey: &Survey,
    (number, position): (usize, Option<usize>),
) -> Option<Dropped> {
    let table = catalogue.tables.get(number)?;
    let columns = table.stored.len() + 1;
    if table.dropped || columns > MOST_COLUMNS {
        return None;
    }
    let tree = forest.trees.get(*loose.trees.get(&number)?)?;
    let alias = table.ddl.rowid_alias == Some(0);
    let spare: Vec<u32> = spare_pages(survey, tree);
    let old = old_records(loose, view, survey, tree, &spare, (columns, alias.then_some(Serial::NULL)));
    if old.is_empty() {
        return None;
    }
    // Of a large table the pages are asked whose free space was, as an altered row mostly stays on its page, and the first
    // ones, which hold the rows that a root had before it got leaves.
    let some = || spare.iter().chain(tree.pages.iter().take(PAGES)).copied().collect();
    let mut asked = if spare.len() < PAGES { tree.pages.clone() } else { some() };
    let stand_ins = loose.stand_ins.get(&tree.object).map(Vec::as_slice).unwrap_or_default();
    asked.extend(stand_ins.iter().step_by(stand_ins.len().div_ceil(PAGES).max(1)));
    // The rows of a leaf whose header is lost are live ones, too.
    asked.extend(
        tree.gaps.iter().map(|gap| gap.child).filter(|child| forest.place(*child).is_none()).take(PAGES),
    );
    let positions = match position {
        Some(position) => position..position + 1,
        None if alias => 1..columns,
        None => 0..columns,
    };
    let tried = old.iter().flat_map(|old| positions.clone().map(|position| (&old.cells, position)));
    let endings: Vec<u64> = tried.map(|(cells, position)| ending(&body(cells, Some(position)))).collect();
    let shape = (leaf_kind(tree.rowids), table.stored.len());
    let live = live_contents(view, survey, shape, &asked, &Endings::of(endings.into_iter()));
    // A header that lacks its length may be read with a column too many at its front, or be too short to tell.
    let counted: Vec<&Cells> = old.iter().filter(|old| old.counted).map(|old| &old.cells).collect();
    let long = |cells: &Cells| cells.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= LONG;
    let others: Vec<&Cells> = old.iter().map(|old| &old.cells).filter(|cells| long(cells)).collect();
    let by_counted = best(&live, &counted, positions.clone(), 1);
    by_counted.or_else(|| best(&live, &others, positions.start.max(2)..positions.end, ENOUGH))
}

/// The column without which most of the records are live ones, when those are enough and no accident: most records are, or
/// so many of them that have bytes enough to tell that it is no other column.
fn best(live: &HashSet<u64>, old: &[&Cells], positions: Range<usize>, telling: usize) -> Option<Dropped> {
    let matches = |position: usize| -> Vec<&Cells> {
        let is_live = |record: &&&Cells| live.contains(&without(record, position));
        old.iter().filter(is_live).copied().collect()
    };
    let all: Vec<(usize, usize)> = positions.map(|position| (matches(position).len(), position)).collect();
    let (count, position) =
        *all.iter().max_by_key(|(count, position)| (*count, std::cmp::Reverse(*position)))?;
    let only = all.iter().filter(|(other, _)| *other == count).count() == 1;
    let matching = matches(position);
    let long = |record: &&&Cells| body(record, Some(position)).len() >= TELLING;
    let most = count >= ENOUGH && count * LEAST_SHARE >= old.len();
    let told = only && matching.iter().filter(long).count() >= telling;
    let values = matching.into_iter().filter_map(|record| record.get(position).cloned()).collect();
    (most || told).then_some(Dropped { position, values })
}

/// Records with so many columns in the free space of a tree's pages, on earlier versions of them and on freed pages.
fn old_records(
    loose: &Loose,
    view: &View<'_>,
    survey: &Survey,
    tree: &Tree,
    spare: &[u32],
    (columns, first): (usize, Option<Serial>),
) -> BTreeSet<Old> {
    // The leaves of a tree that shrank hold rows of both shapes, one in the free space of the other.
    let narrow = loose.freed.get(&(columns.saturating_sub(1), tree.rowids)).into_iter().flatten();
    let narrow = narrow.chain(loose.earlier.get(&tree.object).into_iter().flatten()).copied();
    let narrow = some_spare(survey, narrow);
    let mut found: BTreeSet<Old> = spare
        .par_iter()
        .chain(&narrow)
        .flat_map_iter(|page| freed_records(view, survey, tree, *page, (columns, first)))
        .collect();
    let is_wide = |number: &&u32| {
        let info = survey.page(**number);
        usize::from(info.columns) == columns && info.kind.is_some_and(|kind| kind.is_table() == tree.rowids)
    };
    let earlier = loose.earlier.get(&tree.object).into_iter().flatten().filter(is_wide);
    let freed = loose.freed.get(&(columns, tree.rowids)).into_iter().flatten();
    let wide: Vec<u32> = earlier.chain(freed).copied().collect();
    for (number, cell) in loose.cleared.get(&(columns, tree.rowids)).into_iter().flatten() {
        let Some(version) = view.page(*number) else { continue };
        let payload = chains::read(view, survey, &version, cell);
        let header = record::header(&payload.bytes, cell.payload_len).ok();
        found.extend(header.and_then(|header| counted(&header, &payload.bytes, (columns, first))));
    }
    let step = wide.len().div_ceil(MOST_FREED).max(1);
    for number in wide.into_iter().step_by(step) {
        sample::records(view, survey, number, sample::ROWS, |_, header, payload| {
            found.extend(counted(header, payload, (columns, first)));
        });
    }
    found
}

/// A record whose header is whole, when it has so many columns.
fn counted(
    header: &RecordHeader<'_>,
    payload: &[u8],
    (columns, first): (usize, Option<Serial>),
) -> Option<Old> {
    let serials: SerialList = header.serials().collect();
    let fits = serials.len() == columns && first.is_none_or(|first| serials.iter().next() == Some(first));
    let cells = fits.then(|| apart(&serials, header.len, payload)).flatten()?;
    Some(Old { counted: true, cells })
}

/// Some pages of a tree that have bytes which no cell owns, from all over it. Interior ones were leaves once: there the rows
/// stand that the tree began with.
fn spare_pages(survey: &Survey, tree: &Tree) -> Vec<u32> {
    let mut spare = some_spare(survey, tree.interior.iter().copied());
    spare.extend(some_spare(survey, tree.pages.iter().copied()));
    spare
}

/// Some of these pages that have bytes which no cell owns.
fn some_spare(survey: &Survey, pages: impl Iterator<Item = u32>) -> Vec<u32> {
    let spare: Vec<u32> = pages.filter(|page| survey.page(*page).spare).collect();
    let step = spare.len().div_ceil(PAGES).max(1);
    spare.into_iter().step_by(step).collect()
}

/// The records in the free space of one page.
fn freed_records(
    view: &View<'_>,
    survey: &Survey,
    tree: &Tree,
    number: u32,
    (columns, first): (usize, Option<Serial>),
) -> Vec<Old> {
    let Some(version) = view.page(number) else { return Vec::new() };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return Vec::new() };
    let fits = |_: usize, serial: Serial| serial.kind() != SerialKind::Reserved;
    let reads = |_: &[u8]| true;
    let effort = &Effort::of_page(version.bytes.len());
    let shape = Shape {
        least: columns,
        most: columns,
        first,
        fits: &fits,
        reads: &reads,
        odds: &|_, _, _| 0,
        prior: &|_, _| 0,
        least_odds: None,
        rowid_odds: &|_| 0,
        effort,
    };
    let kind = leaf_kind(tree.rowids);
    let blocks = page.freeblocks().0.into_iter().map(|block| (block, Space::Freeblock));
    let (mut found, mut scratch) = (Vec::new(), Scratch::default());
    for place in blocks.chain([(page.gap(), Space::Other)]) {
        let geometry = view.geometry;
        let cells = freed::cells(version.bytes, place, kind, geometry, &shape, &|_| false, &mut scratch);
        for freed in cells {
            let payload = chains::read(view, survey, &version, &freed.cell);
            // Of a header whose length is lost nothing says how many columns it had.
            let counted = !freed.rebuilt || freed.cell.payload_at >= freed.cell.at + freed::LOST as u32;
            let cells = apart(&freed.serials, freed.header_len as usize, &payload.bytes);
            found.extend(cells.map(|cells| Old { counted, cells }));
        }
    }
    found
}
