//! Pages outside of the trees on which rows of a table may have stood.

use super::super::adopt::is_schema;
use super::super::before;
use super::super::cleared;
use super::super::database::{Database, Output};
use super::super::forest::{Object, Tree, bounds, fit_object};
use super::super::sample::{self, Profiles};
use super::super::settle;
use super::super::shape::{Fit, fit_cell};
use super::super::survey::PageInfo;
use super::super::view::PageVersion;
use super::collect::whole;
use super::entries;
use super::indexes::Indexes;
use super::shape::Kinds;
use super::traces::Traces;
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::freed::{Effort, FreedCell, RowidLeft};
use mudlark_parsers::sqlite::freelist;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::Serial;
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// For each tree, pages that were its own, or look like it.
#[derive(Debug, Default)]
pub struct Places {
    by_tree: HashMap<usize, Vec<u32>>,
    /// Pages without a header of their own, of which more reads as the table's rows than as another's.
    bare: HashMap<usize, Vec<u32>>,
    /// Pages of other trees below whose cells its rows lie, which stood there before.
    before: HashMap<usize, Vec<u32>>,
    /// For each index of the catalogue pages that it had, and earlier versions of its own.
    by_index: HashMap<usize, Vec<u32>>,
    /// The trees of pages about which there is no doubt.
    sure: HashMap<u32, usize>,
    /// Pages of rows that fit no table, by the number of their columns.
    strange: BTreeMap<u16, usize>,
}

/// The further places of one tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct OfTree<'p> {
    pub pages: &'p [u32],
    pub bare: &'p [u32],
    pub before: &'p [u32],
}

impl Places {
    /// The widths of rows that fit no table: of tables that were dropped, and whose definitions are lost.
    pub(in super::super) fn strange_widths(&self) -> Vec<usize> {
        self.strange.keys().map(|columns| usize::from(*columns)).filter(|columns| *columns > 0).collect()
    }

    /// The tree that had a page when an earlier version of it was written.
    pub(in super::super) fn former_owner(&self, database: &Database<'_>, page: u32) -> Option<usize> {
        Owners::of(self, database).of_versions.get(&page).copied()
    }

    /// The tree that surely had a page; of an altered table the one that it has now.
    pub(in super::super) fn sure_owner(&self, page: u32) -> Option<usize> {
        self.sure.get(&page).copied()
    }

    /// Notes that rows of a tree stood on a page that is another's.
    pub(in super::super) fn add_before(&mut self, tree: usize, page: u32) {
        self.before.entry(tree).or_default().push(page);
    }

    /// Takes from a tree those of its doubtful pages that are of a table which is not known: the tree has other rows under
    /// the row ids of theirs, too many of them for ids that were given once more.
    /// They go to the one of `lost` that has as many columns, if there is one.
    fn part_from_strangers(
        &mut self,
        tree: usize,
        pages: &[(u32, Agreement)],
        columns: impl Fn(u32) -> u16,
        lost: &HashMap<usize, usize>,
    ) {
        let all = pages.iter().fold(Agreement::default(), |all, (_, page)| all.with(*page));
        let is_strange = |page: &Agreement| page.same == 0 && (all.is_strange() || page.is_strange());
        let strange = pages.iter().filter(|(_, agreement)| is_strange(agreement));
        let strange: BTreeSet<u32> = strange.map(|(page, _)| *page).collect();
        if let Some(kept) = self.by_tree.get_mut(&tree).filter(|_| !strange.is_empty()) {
            kept.retain(|page| !strange.contains(page));
        }
        for page in strange {
            match lost.get(&usize::from(columns(page))) {
                Some(lost) => self.by_tree.entry(*lost).or_default().push(page),
                None => *self.strange.entry(columns(page)).or_default() += 1,
            }
        }
    }

    /// Whether what lies below the cells of a page stood there before they did, as another table's.
    pub(in super::super) fn is_older_below(&self, page: u32) -> bool {
        self.before.values().any(|pages| pages.contains(&page))
    }

    /// The further pages of an index.
    pub(super) fn of_index(&self, index: usize) -> &[u32] {
        self.by_index.get(&index).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn of<'p>(&'p self, tree: usize) -> OfTree<'p> {
        let of =
            |places: &'p HashMap<usize, Vec<u32>>| places.get(&tree).map(Vec::as_slice).unwrap_or_default();
        OfTree { pages: of(&self.by_tree), bare: of(&self.bare), before: of(&self.before) }
    }
}

/// What it counts, in likeness, that a page's row ids lie among those of the tree.
const SAME_RANGE: f64 = 0.5;

/// What it counts, in likeness, that a page was the root of a table that was dropped, or that a link of the tree led to it.
const LINKED: f64 = 8.0;

/// What it counts, in likeness, that a row is live with the same cells, or with some of them, and against it that another
/// row has its id, or one that has none of them.
pub(super) const SAME_ROW: f64 = 2.0;
const SAME_CELL: f64 = 0.5;
const OTHER_ROW: f64 = 0.5;
const STRANGE_ROW: f64 = 2.0;

/// Rows whose ids other rows of a tree have that tell of another table, and how many of them one with cells in common with
/// the tree's outweighs.
const STRANGE_ROWS: usize = 4;
const SAME_OUTWEIGHS: usize = 4;

/// Bytes of a cell that two rows seldom share by accident, and cells of them that must all differ in a strange row.
const TELLING: usize = 2;
const STRANGE_CELLS: usize = 2;

/// What it counts against a tree, in likeness, that its row ids lie e times as close together as those of a page, or a
/// page's as close as its; what that counts at most; and the rows that tell.
const OTHER_STEP: f64 = 0.4;
const MOST_APART: f64 = 1.2;
const FEW_ROWS: u64 = 5;

/// The same in powers of e, of a page that is another table's, if any may be lost.
const STRANGE_STEP: f64 = 7.0;

/// Rows of a page that are asked for that.
const ASKED: usize = 16;

/// Rows that lack a value in their first column by no accident, where nearly all do.
const SEVERAL_NULLS: usize = 8;

/// Tables that are asked whether a page is theirs: in a file of more the largest, and the first that fit.
const MOST_TABLES: usize = 256;

/// How much better than any other table the surest owner of a page fits.
const SURE: f64 = 2.0;

/// How much better than any other table one fits that had rows, has none, and must have left them somewhere.
const EMPTIED: f64 = 0.75;

/// Sorts free pages, pages that hang in no tree and old versions of pages by the table that they fit best.
pub fn find(database: &Database<'_>) -> Places {
    let ground = database.ground();
    // What the log tells takes long, and is asked below.
    let (by_index, _) = rayon::join(|| entries::pages(database), || database.lifetimes());
    let mut places = Places { by_index, ..Places::default() };
    let mut profiles = Profiles::default();
    let mut indexes = Indexes::of(database);
    let outputs: Vec<(usize, usize)> =
        database.outputs.iter().map(|output| (output.tree, output.layout.columns.len())).collect();
    let mut bare: Vec<u32> = Vec::new();
    let span =
        |(tree, _): &(usize, usize)| Some((*tree, Span::of(database, database.forest.trees.get(*tree)?)));
    let spans: HashMap<usize, Span> = outputs.iter().filter_map(span).collect();
    // Rows of an earlier shape lie on the pages that the altered table has now.
    let tree_of =
        |def: usize| database.outputs.iter().find(|output| output.def == Some(def)).map(|output| output.tree);
    let altered = |output: &Output| {
        let successor = database.catalogue.tables.get(output.def?)?.successor?;
        Some((output.tree, tree_of(successor)?))
    };
    let homes: HashMap<usize, usize> = database.outputs.iter().filter_map(altered).collect();
    let dropped: HashMap<u32, usize> = database
        .outputs
        .iter()
        .filter_map(|output| Some((database.catalogue.tables.get(output.def?)?.old_root?, output.tree)))
        .collect();
    let roots = database.outputs.iter().filter_map(|output| Some((database.tree(output)?.root, output.tree)));
    let roots = roots.filter(|(root, _)| *root > 0).chain(dropped.iter().map(|(root, tree)| (*root, *tree)));
    let home = |tree: usize| homes.get(&tree).copied().unwrap_or(tree);
    let traces = Traces::of(database, &roots.map(|(root, tree)| (root, home(tree))).collect());
    let emptied: HashSet<usize> = database
        .outputs
        .iter()
        .filter(|output| !homes.contains_key(&output.tree) && is_emptied(database, output))
        .map(|output| output.tree)
        .collect();
    let lacks_a_table = before::lacks_a_table(database);
    let mut doubtful: BTreeMap<usize, Vec<(u32, Agreement)>> = BTreeMap::new();
    for (number, info) in ground.survey.iter().chain(ground.survey.old()) {
        let old = ground.view.is_old(number);
        // Page 1 is the catalogue's in each of its versions.
        let is_first = number == 1 || old && ground.view.page(number).is_some_and(|page| page.number == 1);
        if database.forest.standing(number).is_some() && !old || is_first {
            continue;
        }
        let Some(kind) = info.kind else {
            let trunk = ground.free.trunks.contains(&number);
            if !info.zero
                && (trunk || !database.chained.contains(number))
                && ground.view.page(number).is_some()
            {
                bare.push(number);
            }
            continue;
        };
        let own = ground.view.page(number).and_then(|page| database.forest.place(page.number));
        let own = own.map(|(tree, _)| tree as usize).filter(|_| old);
        if kind == PageKind::TableInterior || info.cells == 0 {
            // What lies below its cells is of the table that had the page.
            let traced = || traces.only(number).filter(|_| !old);
            if let Some(own) = own.or(dropped.get(&number).copied()).or_else(traced) {
                places.by_tree.entry(own).or_default().push(number);
            } else {
                bare.push(number);
            }
            continue;
        }
        let fits = |(tree_number, columns): &&(usize, usize)| {
            let span = spans.get(tree_number).filter(|_| lacks_a_table && kind.is_table() && own.is_none());
            let is_strange = span.is_some_and(|span| span.is_strange(info));
            !is_strange
                && database.forest.trees.get(*tree_number).is_some_and(|tree| {
                    let wrong_width = tree.object == Object::Unknown && usize::from(info.columns) != *columns;
                    kind.is_table() == tree.rowids
                        && !wrong_width
                        && fit_object(ground, tree.object, number) != Fit::No
                        && !is_of_narrower_table(database, tree, number)
                })
        };
        // The commits of a log tell whose the page was when it was so.
        if !kind.is_table() && is_of_index_by_log(database, number) {
            continue;
        }
        let owner = owner_by_log(database, number).filter(|owner| {
            outputs.iter().find(|(tree, _)| tree == owner).is_some_and(|output| fits(&output))
        });
        if let Some(owner) = owner {
            places.sure.insert(number, home(owner));
            places.by_tree.entry(owner).or_default().push(number);
            continue;
        }
        let fitting = outputs.iter().filter(fits).map(|(tree, _)| *tree);
        let fitting: Vec<usize> = fitting.take(MOST_TABLES).collect();
        // A table without row ids has pages like those of an index.
        let of_index =
            if kind.is_table() || fitting.is_empty() { None } else { indexes.likeness(number, own) };
        if let [only] = fitting[..]
            && of_index.is_none()
        {
            places.sure.insert(number, home(only));
            places.by_tree.entry(only).or_default().push(number);
            continue;
        }
        // Asked of no page that only one table fits.
        let rows = cells_on(database, number);
        let page = ground.view.page(number).map_or(number, |page| page.number);
        // How much the page's rows look like the tree's, if it has any, and what else speaks for it.
        let mut asked: Vec<(Option<f64>, f64)> = Vec::new();
        let mut doubts: Vec<Option<Agreement>> = Vec::new();
        for tree_number in &fitting {
            let Some(tree) = database.forest.trees.get(*tree_number) else { continue };
            let likeness =
                profiles.likeness((ground.view, ground.survey), (*tree_number, &tree.pages), number);
            let Some(span) = spans.get(tree_number) else { continue };
            let in_range = tree.rowids && span.first <= info.first && info.last <= span.last;
            let home = home(*tree_number);
            let root = dropped.get(&page) == Some(tree_number);
            let linked = root || traces.lead(home, page, (info.first, info.last));
            let agreement = agreement(database, tree, &rows);
            doubts.push(Some(agreement).filter(|_| own != Some(home) && !linked));
            let further = agreement.likeness() + if in_range { SAME_RANGE } else { 0.0 }
                - if tree.rowids { span.apart(info) } else { 0.0 }
                + if own == Some(home) || root { sample::SAME_OWNER } else { 0.0 }
                + if linked { LINKED } else { 0.0 };
            asked.push((likeness, further));
        }
        let most_alike = asked.iter().filter_map(|(likeness, _)| *likeness).reduce(f64::max);
        let mut best: Option<(f64, usize, Option<Agreement>)> = None;
        let mut second = f64::NEG_INFINITY;
        for (tree, ((likeness, further), doubt)) in fitting.iter().zip(asked.into_iter().zip(doubts)) {
            let of_emptied = most_alike.filter(|_| emptied.contains(tree)).map(|most| most + EMPTIED);
            let worth = likeness.or(of_emptied).unwrap_or(sample::NOTHING_LIKE) + further;
            match best {
                Some((most, _, _)) if worth <= most => second = second.max(worth),
                _ => {
                    second = best.map_or(second, |(most, _, _)| most);
                    best = Some((worth, *tree, doubt));
                }
            }
        }
        match best {
            Some((worth, _, _)) if of_index.is_some_and(|of_index| of_index > worth) => {}
            Some((worth, tree, doubt)) => {
                if worth - second >= SURE {
                    places.sure.insert(number, home(tree));
                }
                if let Some(doubt) = doubt.filter(|_| kind == PageKind::TableLeaf && info.sound) {
                    doubtful.entry(tree).or_default().push((number, doubt));
                }
                places.by_tree.entry(tree).or_default().push(number);
            }
            None if kind == PageKind::TableLeaf && info.sound && !is_schema(ground, number) => {
                *places.strange.entry(info.columns).or_default() += 1;
            }
            None => {}
        }
    }
    let is_lost = |output: &&Output| {
        let tree = database.tree(output);
        output.def.is_none() && tree.is_some_and(|tree| tree.rowids && tree.pages.is_empty())
    };
    let lost = database.outputs.iter().filter(is_lost);
    let lost: HashMap<usize, usize> = lost.map(|output| (output.layout.columns.len(), output.tree)).collect();
    for (tree, pages) in doubtful {
        places.part_from_strangers(tree, &pages, |page| ground.survey.page(page).columns, &lost);
    }
    let kinds = |output: &Output| {
        let kinds = Kinds::with_places(database, output, &places);
        Some((output.tree, database.tree(output)?.rowids, kinds))
    };
    let size = |output: &Output| database.tree(output).map_or(0, |tree| tree.pages.len());
    let mut largest: Vec<&Output> = database.outputs.iter().filter(|_| !bare.is_empty()).collect();
    if largest.len() > MOST_TABLES {
        largest.sort_by_key(|output| std::cmp::Reverse(size(output)));
        largest.truncate(MOST_TABLES);
    }
    let tables: Vec<(usize, bool, Kinds)> = largest.into_iter().filter_map(kinds).collect();
    let sorted = if bare.is_empty() { Owners::default() } else { Owners::of(&places, database) };
    let owners: Vec<(u32, Option<usize>)> = bare
        .into_par_iter()
        .map(|page| {
            let known = dropped.get(&page).copied().or_else(|| owner_of_same(database, page, &sorted));
            let known = known.or_else(|| traces.only(page));
            (page, known.or_else(|| owner_of_bare(database, page, &tables, &sorted)))
        })
        .collect();
    for (page, tree) in owners {
        if let Some(tree) = tree {
            places.bare.entry(tree).or_default().push(page);
        } else if let Some(columns) = width_of_cleared(database, page) {
            *places.strange.entry(columns).or_default() += 1;
        }
    }
    places
}

/// Whether the records of a page have fewer columns than all that are seen of a table's rows, and kinds of values that are
/// rare in those that they have: rows from before a column was added have the same as later ones.
fn is_of_narrower_table(database: &Database<'_>, tree: &Tree, number: u32) -> bool {
    let Object::Table(def) = tree.object else { return false };
    let Some(def) = database.catalogue.tables.get(def) else { return false };
    let columns = usize::from(database.survey.page(number).columns);
    if columns >= def.stored.len() || tree.pages.is_empty() {
        return false;
    }
    let (view, survey) = (&database.view, &database.survey);
    let (mut odd, mut all) = (0, 0);
    sample::records(view, survey, number, sample::ROWS, |_, header, _| {
        let mut cells = header.serials().zip(&def.stored);
        all += 1;
        odd += usize::from(cells.any(|(serial, column)| fit_cell(serial, *column, def) != Fit::Yes));
    });
    if 2 * odd <= all {
        return false;
    }
    let mut fewest = usize::MAX;
    for page in sample::profile_pages(&tree.pages) {
        sample::records(view, survey, page, sample::ROWS, |_, header, _| fewest = fewest.min(header.columns));
    }
    (columns + 1..usize::MAX).contains(&fewest)
}

/// The tree of the table that had a page while it was as this version of it is.
fn owner_by_log(database: &Database<'_>, number: u32) -> Option<usize> {
    let version = version_of_log(database, number)?;
    let (name, root) = database.lifetimes()?.owner(version.number, version.commit)?;
    let def = |output: &Output| database.catalogue.tables.get(output.def?);
    let named = || database.outputs.iter().filter(|output| def(output).is_some_and(|def| def.name == name));
    let has_root = |output: &&Output| {
        let dropped = def(output).is_some_and(|def| def.dropped && def.old_root == Some(root));
        dropped || database.tree(output).is_some_and(|tree| tree.root == root)
    };
    let only = || named().next().filter(|_| named().count() == 1);
    named().find(has_root).or_else(only).map(|output| output.tree)
}

/// Whether an index had a page while it was as this version of it is.
fn is_of_index_by_log(database: &Database<'_>, number: u32) -> bool {
    let version = version_of_log(database, number).zip(database.lifetimes());
    version.is_some_and(|(version, lifetimes)| lifetimes.is_of_index(version.number, version.commit))
}

/// A version of a page of which a log may tell: one of the main file, or of a commit.
pub(super) fn version_of_log<'a>(database: &Database<'a>, number: u32) -> Option<PageVersion<'a>> {
    let version = database.view.page(number)?;
    (Some(version.source) == database.roles.main || version.commit.is_some()).then_some(version)
}

/// The row ids of a tree, or of a page: least, greatest, and how many.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: i64,
    last: i64,
    rows: u64,
}

impl Span {
    fn of(database: &Database<'_>, tree: &Tree) -> Self {
        let (first, last) = bounds(database.ground(), &tree.pages);
        let rows = tree.pages.iter().map(|page| u64::from(database.survey.page(*page).cells)).sum();
        Self { first, last, rows }
    }

    /// How far its row ids lie apart, on average.
    fn step(self) -> f64 {
        (self.last.abs_diff(self.first) as f64 + 1.0) / self.rows as f64
    }

    /// How much the row ids of a page lie closer together, or farther apart, than these, in likeness.
    fn apart(self, info: &PageInfo) -> f64 {
        (OTHER_STEP * self.steps_apart(info)).min(MOST_APART)
    }

    fn steps_apart(self, info: &PageInfo) -> f64 {
        let page = Self { first: info.first, last: info.last, rows: info.cells.into() };
        let enough = self.rows >= FEW_ROWS && page.rows >= FEW_ROWS;
        if enough { (page.step() / self.step()).ln().abs() } else { 0.0 }
    }

    /// Whether the row ids of a page are numbered in quite another way, and none of them lies among these.
    fn is_strange(self, info: &PageInfo) -> bool {
        let beside = info.last < self.first || self.last < info.first;
        beside && self.steps_apart(info) >= STRANGE_STEP
    }
}

/// Whether a table had rows and has none: it was dropped, or bytes of them are left on its root.
fn is_emptied(database: &Database<'_>, output: &Output) -> bool {
    let dropped =
        output.def.and_then(|def| database.catalogue.tables.get(def)).is_some_and(|def| def.dropped);
    let Some(tree) = database.tree(output) else { return false };
    let root = database.survey.page(tree.root);
    dropped || root.kind.is_some() && root.cells == 0 && root.spare && tree.pages.len() == 1
}

/// The cells of a leaf, each with its page's bytes.
fn cells_on<'a>(database: &Database<'a>, number: u32) -> Vec<(Cell, &'a [u8])> {
    let Some(version) = database.view.page(number) else { return Vec::new() };
    let page = Page::parse(version.bytes, version.number, database.view.geometry);
    let Some(page) = page.filter(|page| page.header.kind == PageKind::TableLeaf) else { return Vec::new() };
    let cells = page.some_pointers(ASKED).filter_map(|pointer| page.cell(pointer).ok());
    cells.map(|cell| (cell, version.bytes)).collect()
}

/// How rows agree with the live ones of a tree: those that are live there too speak for it, and those whose ids other rows
/// have against it.
#[derive(Clone, Copy, Debug, Default)]
struct Agreement {
    sum: f64,
    rows: usize,
    /// Rows that are live with the same cells, or with some of them.
    same: usize,
    /// Rows whose ids other rows have that have no cell in common with them.
    strange: usize,
}

impl Agreement {
    /// What that counts, from minus two to two.
    fn likeness(self) -> f64 {
        self.sum / self.rows.max(1) as f64
    }

    fn with(self, other: Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            rows: self.rows + other.rows,
            same: self.same + other.same,
            strange: self.strange + other.strange,
        }
    }

    fn is_strange(self) -> bool {
        self.strange >= STRANGE_ROWS && self.same * SAME_OUTWEIGHS <= self.strange
    }
}

fn agreement(database: &Database<'_>, tree: &Tree, rows: &[(Cell, &[u8])]) -> Agreement {
    let mut agreement = Agreement::default();
    if rows.is_empty() || !tree.rowids || tree.pages.is_empty() {
        return agreement;
    }
    let asked = rows.iter().step_by(rows.len().div_ceil(ASKED));
    for (cell, bytes) in asked {
        agreement.rows += 1;
        let standing = settle::settled_cell(database.ground(), &tree.pages, cell.rowid);
        if let Some(((page, _), live)) = standing
            && let Some(version) = database.view.page(page)
        {
            let (live_bytes, old_bytes) = (live.local_payload(version.bytes), cell.local_payload(bytes));
            let likeness = if live.payload_len == cell.payload_len && live_bytes == old_bytes {
                SAME_ROW
            } else {
                resemblance((live_bytes, live.payload_len), (old_bytes, cell.payload_len))
            };
            agreement.sum += likeness;
            agreement.same += usize::from(likeness > 0.0);
            agreement.strange += usize::from(likeness <= -STRANGE_ROW);
        }
    }
    agreement
}

/// What two records of one row id, which are not the same, say for being of one table.
fn resemblance((live, live_len): (&[u8], u64), (old, old_len): (&[u8], u64)) -> f64 {
    let headers = record::header(live, live_len).ok().zip(record::header(old, old_len).ok());
    let Some((live_header, old_header)) = headers else { return -OTHER_ROW };
    let live_cells = record::cells(live_header.serials(), live_header.len, live);
    let old_cells = record::cells(old_header.serials(), old_header.len, old);
    let telling =
        live_cells.zip(old_cells).filter(|(_, (_, old))| old.is_some_and(|old| old.len() >= TELLING));
    let (mut cells, mut same) = (0, 0);
    for (live, old) in telling {
        cells += 1;
        same += usize::from(live == old);
    }
    match (same, cells) {
        (0, STRANGE_CELLS..) => -STRANGE_ROW,
        (0, _) => -OTHER_ROW,
        _ => SAME_CELL,
    }
}

/// How many columns the rows have whose pointers a page kept when it was cleared: all the same, or they are of no table.
fn width_of_cleared(database: &Database<'_>, number: u32) -> Option<u16> {
    let bytes = database.view.page(number)?.bytes;
    let cells = cleared::cells(&database.view, &database.survey, number, true).cells.into_iter();
    let widths: BTreeSet<usize> = cells.filter_map(|cell| Some(whole(bytes, cell)?.serials.len())).collect();
    widths.first().filter(|_| widths.len() == 1).and_then(|width| u16::try_from(*width).ok())
}

/// The trees that pages with a header were sorted to.
#[derive(Debug, Default)]
struct Owners {
    of_pages: HashMap<u32, usize>,
    /// By the number that old versions have in the database.
    of_versions: HashMap<u32, usize>,
    /// The versions of each page that have an owner.
    versions: HashMap<u32, Vec<(u32, usize)>>,
}

impl Owners {
    fn of(places: &Places, database: &Database<'_>) -> Self {
        let mut owners = Self::default();
        let mut sorted: Vec<(u32, usize)> =
            places.by_tree.iter().flat_map(|(tree, pages)| pages.iter().map(|page| (*page, *tree))).collect();
        sorted.sort_unstable();
        for (page, tree) in sorted {
            owners.of_pages.insert(page, tree);
            let number = database.view.page(page).map_or(page, |version| version.number);
            owners.versions.entry(number).or_default().push((page, tree));
            let version = database.view.page(page).filter(|_| database.view.is_old(page));
            if let Some(version) = version {
                owners.of_versions.entry(version.number).or_insert(tree);
            }
        }
        owners
    }
}

/// Bytes that are compared at a time, and the share of those which must be the same on two versions of a page.
const PIECE: usize = 16;
const SAME_PIECES: usize = 2;

/// The tree that had a version of a page most of whose bytes are those of this one.
fn owner_of_same(database: &Database<'_>, number: u32, owners: &Owners) -> Option<usize> {
    let version = database.view.page(number)?;
    let (page, bytes) = (version.number, version.bytes);
    let pieces = |bytes| <[u8]>::as_chunks::<PIECE>(bytes).0.iter();
    let used = pieces(bytes).filter(|piece| **piece != [0; PIECE]).count();
    let same = |(version, tree): &(u32, usize)| {
        let other = database.view.page(*version)?.bytes;
        let both = pieces(bytes).zip(pieces(other));
        let same = both.filter(|(one, other)| one == other && **one != [0; PIECE]).count();
        Some((same, *tree))
    };
    let known = owners.versions.get(&page)?.iter().filter_map(same);
    known.max_by_key(|(same, _)| *same).filter(|(same, _)| SAME_PIECES * same > used).map(|(_, tree)| tree)
}

/// What speaks for each tree as the owner of a page without a header: that an earlier version of the page was its own, and
/// which share of the leaves was, if it is a trunk. The pages of a tree that is dropped are freed one after the other.
fn shares(database: &Database<'_>, (number, bytes): (u32, &[u8]), owners: &Owners) -> HashMap<usize, f64> {
    let (usable, pages) = (database.view.geometry.usable(), database.view.page_count);
    let leaves =
        freelist::plausible_trunk(bytes, usable, pages).map(|trunk| trunk.leaves).unwrap_or_default();
    let share = 1.0 / leaves.len().max(1) as f64;
    let mut shares = HashMap::new();
    let page = database.view.page(number).map_or(number, |page| page.number);
    if let Some(tree) = owners.of_versions.get(&page) {
        shares.insert(*tree, 1.0);
    }
    for tree in leaves.iter().filter_map(|leaf| owners.of_pages.get(leaf)) {
        *shares.entry(*tree).or_default() += share;
    }
    shares
}

/// The tree as whose rows most of a page without a header reads; `tables` are all, with what their records look like, and
/// `sorted` the trees that pages with a header belong to.
fn owner_of_bare(
    database: &Database<'_>,
    number: u32,
    tables: &[(usize, bool, Kinds)],
    sorted: &Owners,
) -> Option<usize> {
    let version = database.view.page(number)?;
    let shares = shares(database, (number, version.bytes), sorted);
    let mut best: Option<(f64, usize)> = None;
    let effort = Effort::shared(version.bytes.len());
    let cleared = |rowids: bool| -> Vec<FreedCell> {
        let cells = cleared::cells(&database.view, &database.survey, number, rowids).cells.into_iter();
        cells.filter_map(|cell| whole(version.bytes, cell)).collect()
    };
    let (of_rows, of_keys) = (cleared(true), cleared(false));
    for (number, rowids, kinds) in tables {
        let cleared = if *rowids { &of_rows } else { &of_keys };
        let allowed = cleared.iter().filter(|freed| kinds.allow(&freed.serials));
        let mut cells: Vec<FreedCell> = allowed.cloned().collect();
        if cleared.is_empty() {
            cells = kinds.bare_cells(database, version.bytes, *rowids, &effort);
        }
        let covered: u64 = cells.iter().map(|freed| u64::from(freed.cell.end - freed.cell.at)).sum();
        let Some(tree) = database.forest.trees.get(*number).filter(|_| covered > 0) else { continue };
        // Without a value in its first column no row is of a table that keeps one there, but of one whose key stands there.
        let is_null = |freed: &FreedCell| freed.serials.first() == Some(&Serial::NULL);
        let nulls = cells.iter().filter(|freed| is_null(freed)).count();
        let all_null = nulls >= SEVERAL_NULLS && 8 * nulls > 7 * cells.len();
        let covered = if all_null && !kinds.begins_with_null() { covered / 2 } else { covered };
        let whole = cells.iter().filter(|freed| matches!(freed.rowid, RowidLeft::Whole(_)));
        let rows: Vec<(Cell, &[u8])> = whole.map(|freed| (freed.cell, version.bytes)).collect();
        // Tables of one shape cover the same: then the rows decide.
        let share = shares.get(number).copied().unwrap_or(0.0);
        let worth =
            covered as f64 * (1.0 + agreement(database, tree, &rows).likeness() / 16.0 + share / 16.0);
        if best.is_none_or(|(most, _)| worth > most) {
            best = Some((worth, *number));
        }
    }
    best.map(|(_, tree)| tree)
}
