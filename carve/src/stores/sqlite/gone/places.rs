//! Pages outside of the trees on which rows of a table may have stood.

use super::super::adopt::is_schema;
use super::super::before;
use super::super::cleared;
use super::super::database::{Database, Output};
use super::super::forest::{Ground, Object, fit_object};
use super::super::keyed_entries::KeyedEntries;
use super::super::sample::{self, Profiles};
use super::super::shape::Fit;
use super::super::view::PageVersion;
use super::agreement::{Agreement, agreement, cells_on};
use super::aliased::{self, Aliased};
use super::bare::{Owners, owner_of_bare, owner_of_same};
use super::entries;
use super::fitting::Fitting;
use super::indexes::Indexes;
use super::numbering::Span;
use super::shape::Kinds;
use super::traces::Traces;
use super::unclaimed::{self, Unclaimed};
use mudlark_parsers::sqlite::page::PageKind;
use mudlark_parsers::sqlite::ptrmap;
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
    /// Tables without row ids that were dropped, and of whose definition nothing is left.
    unclaimed: Vec<Unclaimed>,
    /// For the trees that stand for them the columns of their keys.
    key_cells: HashMap<usize, usize>,
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

    /// The widths of the rows of dropped tables without row ids, whose definitions are lost.
    pub(in super::super) fn unclaimed_widths(&self) -> Vec<usize> {
        self.unclaimed.iter().map(|table| table.columns).collect()
    }

    /// How many columns the key of a table without a definition has, as its rows tell; none of one with row ids.
    pub(super) fn key_cells(&self, tree: usize) -> usize {
        self.key_cells.get(&tree).copied().unwrap_or(0)
    }

    /// The tree that had a page when an earlier version of it was written.
    pub(in super::super) fn former_owner(&self, database: &Database<'_>, page: u32) -> Option<usize> {
        Owners::of(&self.by_tree, database).of_versions.get(&page).copied()
    }

    /// The tree that surely had a page; of an altered table the one that it has now.
    pub(in super::super) fn sure_owner(&self, page: u32) -> Option<usize> {
        self.sure.get(&page).copied()
    }

    /// Notes that rows of a tree stood on a page that is another's.
    pub(in super::super) fn add_before(&mut self, tree: usize, page: u32) {
        let pages = self.before.entry(tree).or_default();
        if !pages.contains(&page) {
            pages.push(page);
        }
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
    let entries = KeyedEntries::of(&database.forest, ground);
    let records = Fitting::of(database);
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
    let roots = roots.map(|(root, tree)| (root, home(tree))).collect();
    let traces = Traces::of(database, &roots, |number| likely_owner_by_log(database, number).map(home));
    let trees_where = |is_so: fn(&Database<'_>, &Output) -> bool| -> HashSet<usize> {
        let own = database.outputs.iter().filter(|output| !homes.contains_key(&output.tree));
        own.filter(|output| is_so(database, output)).map(|output| output.tree).collect()
    };
    let emptied = trees_where(is_emptied);
    // Those that have no row, and nothing on their roots that tells whether they had some: others of their shape may be strange to
    // the rows of a page.
    let empty = trees_where(is_empty);
    let (lacks_a_table, may_lack_a_table) =
        (before::lacks_a_table(database), before::may_lack_a_table(database));
    let lacking = database.forest.lacking();
    let mut doubtful: BTreeMap<usize, Vec<(u32, Agreement)>> = BTreeMap::new();
    let mut aliased = Aliased::default();
    let mut strangers: Vec<u32> = Vec::new();
    // Pages that hold entries of an index rather than rows of these trees.
    let mut rather: HashMap<usize, Vec<u32>> = HashMap::new();
    for (number, info) in ground.survey.iter().chain(ground.survey.old()) {
        let old = ground.view.is_old(number);
        // Page 1 is the catalogue's in each of its versions.
        let is_first = number == 1 || old && ground.view.page(number).is_some_and(|page| page.number == 1);
        if database.forest.standing(number).is_some() && !old || is_first {
            continue;
        }
        let Some(kind) = info.kind else {
            let trunk = ground.free.trunks.contains(&number);
            // Numbers of the map read as cells now and then.
            let is_map = || ground.view.page(number).is_some_and(|page| reads_as_map(ground, &page));
            if !info.zero
                && !is_map()
                && (trunk || !database.chained.contains(number))
                && ground.view.page(number).is_some()
            {
                bare.push(number);
            }
            continue;
        };
        let shown = ground.view.page(number).filter(|_| old).map(|page| page.number);
        let placed = |page: u32| database.forest.place(page).map(|(tree, _)| tree as usize);
        let own = shown.and_then(|page| placed(page).or_else(|| lacking.get(&page).copied().flatten()));
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
                    let is_unclaimed =
                        tree.object == Object::Unknown && !tree.rowids && tree.pages.is_empty();
                    let wrong_width = tree.object == Object::Unknown && usize::from(info.columns) != *columns;
                    kind.is_table() == tree.rowids
                        && !wrong_width
                        && !is_unclaimed
                        && fit_object(ground, tree.object, number) != Fit::No
                        && !records.is_of_another(*tree_number, number)
                })
        };
        // The commits of a log tell whose the page was when it was so.
        if !kind.is_table() && (is_of_index_by_log(database, number) || entries.are_on(number)) {
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
        // What the catalogue left reads as rows of any table whose columns take all values.
        if kind == PageKind::TableLeaf && is_schema(ground, number) {
            continue;
        }
        let fitting = outputs.iter().filter(fits).map(|(tree, _)| *tree);
        let mut fitting: Vec<usize> = fitting.take(MOST_TABLES).collect();
        if kind == PageKind::TableLeaf && (fitting.len() > 1 || lacks_a_table) {
            let nulls = aliased::nulls(database, number);
            let is_against = |tree: &usize| {
                let its = database.forest.trees.get(*tree);
                nulls > 0 && its.is_some_and(|its| aliased.speaks_against(database, (*tree, its), nulls))
            };
            let (_, kept): (Vec<usize>, Vec<usize>) = fitting.iter().copied().partition(is_against);
            if lacks_a_table || !kept.is_empty() {
                fitting = kept;
            }
        }
        fitting.retain(|tree| {
            let is_index = entries.are_rather_on(&[number], *tree);
            if is_index {
                rather.entry(*tree).or_default().push(number);
            }
            !is_index
        });
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
        let likely = likely_owner_by_log(database, number).map(home);
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
            let lacks = shown.and_then(|page| lacking.get(&page).copied().flatten());
            let linked = root
                || lacks == Some(*tree_number)
                || likely.is_some_and(|likely| likely == home)
                || traces.lead(home, page, (info.first, info.last));
            let agreement = agreement(database, tree, &rows);
            doubts.push(Some(agreement).filter(|_| own != Some(home) && !linked));
            let further = agreement.likeness() + if in_range { SAME_RANGE } else { 0.0 }
                - if tree.rowids { span.apart(info) } else { 0.0 }
                + if own == Some(home) || root { sample::SAME_OWNER } else { 0.0 }
                + if linked { LINKED } else { 0.0 };
            asked.push((likeness, further));
        }
        let most_alike = asked.iter().filter_map(|(likeness, _)| *likeness).reduce(f64::max);
        // Asked only where an emptied table may be preferred to one that has rows like these.
        let odd: Vec<usize> = if emptied.is_empty() || most_alike.is_none() {
            Vec::new()
        } else {
            fitting.iter().copied().filter(|tree| records.are_odd(*tree, number)).collect()
        };
        let any_even = odd.len() < fitting.len();
        let is_numbered_otherwise =
            |tree: &usize| spans.get(tree).is_some_and(|span| kind.is_table() && span.is_strange(info));
        let with_rows = fitting.iter().zip(&asked).filter(|(_, (likeness, _))| likeness.is_some());
        let are_strange = !empty.is_empty() && with_rows.map(|(tree, _)| tree).all(is_numbered_otherwise);
        let mut best: Option<(f64, usize, Option<Agreement>)> = None;
        let mut second = f64::NEG_INFINITY;
        for (tree, ((likeness, further), doubt)) in fitting.iter().zip(asked.into_iter().zip(doubts)) {
            // So did one that has lost all its pages, this one among them.
            let is_lost = own == Some(*tree)
                && database.forest.trees.get(*tree).is_some_and(|tree| tree.pages.is_empty());
            let is_emptied = is_lost
                || (emptied.contains(tree) || are_strange && empty.contains(tree))
                    && !(any_even && odd.contains(tree));
            let of_emptied = most_alike.filter(|_| is_emptied).map(|most| most + EMPTIED);
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
            None if kind == PageKind::TableLeaf && info.sound => {
                *places.strange.entry(info.columns).or_default() += 1;
            }
            None if !kind.is_table() && info.sound && may_lack_a_table => strangers.push(number),
            None => {}
        }
    }
    // What the few entries of one small page leave open those of all may tell.
    let has_rowids = |tree: &usize| database.forest.trees.get(*tree).is_some_and(|tree| tree.rowids);
    let with_others = |tree: usize, pages: &[u32]| -> Vec<u32> {
        let others = rather.get(&tree).into_iter().flatten().take(MOST_OTHERS);
        others.chain(pages).copied().collect()
    };
    places
        .by_tree
        .retain(|tree, pages| has_rowids(tree) || !entries.are_rather_on(&with_others(*tree, pages), *tree));
    places.unclaimed = unclaimed::tables(database, &strangers);
    let is_unclaimed = |output: &&Output| {
        let tree = database.tree(output);
        output.def.is_none() && tree.is_some_and(|tree| !tree.rowids && tree.pages.is_empty())
    };
    for (table, output) in places.unclaimed.iter().zip(database.outputs.iter().filter(is_unclaimed)) {
        places.by_tree.insert(output.tree, table.pages.clone());
        places.key_cells.insert(output.tree, table.key_cells);
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
    let sorted = if bare.is_empty() { Owners::default() } else { Owners::of(&places.by_tree, database) };
    let owners: Vec<(u32, Option<usize>)> = bare
        .into_par_iter()
        .map(|page| {
            let known = dropped.get(&page).copied().or_else(|| owner_of_same(database, page, &sorted));
            let known = known.or_else(|| traces.only(page));
            let owner = || owner_of_bare(database, page, (&tables, &emptied), &sorted);
            let is_index = |tree: &usize| {
                entries.are_on(page) || entries.are_rather_on(&with_others(*tree, &[page]), *tree)
            };
            (page, known.or_else(owner).filter(|owner| has_rowids(owner) || !is_index(owner)))
        })
        .collect();
    for (page, tree) in owners {
        if let Some(tree) = tree {
            places.bare.entry(tree).or_default().push(page);
        } else if let Some(columns) = cleared::width(&database.view, &database.survey, page) {
            *places.strange.entry(columns).or_default() += 1;
        }
    }
    places
}

/// Whether a page is one of the pointer map, and has its entries: without the header of the file it may seem to be one.
fn reads_as_map(ground: Ground<'_, '_>, page: &PageVersion<'_>) -> bool {
    if !ground.is_map_page(page.number) {
        return false;
    }
    let geometry = ground.view.geometry;
    let mapped = (page.number + 1..=ground.view.page_count)
        .take_while(|mapped| ptrmap::map_page_of(*mapped, geometry) == Some(page.number))
        .take(MAPPED);
    let (mut all, mut read) = (0, 0);
    for mapped in mapped {
        all += 1;
        read += usize::from(ptrmap::entry(page.bytes, page.number, mapped, geometry).is_some());
    }
    read > 0 && 2 * read > all
}

/// Pages of an index that are asked again beside each further one: more say nothing new.
const MOST_OTHERS: usize = 64;

/// Entries of a page of the pointer map that are asked.
const MAPPED: usize = 64;

/// Whether a version of a page, by its number in the view and that of the page, is known to be of a tree: a log tells, or the
/// tree has the page now.
pub(super) fn is_known_to_be(database: &Database<'_>, (number, page): (u32, u32), tree: usize) -> bool {
    let now = database.forest.place(page).map(|(tree, _)| tree as usize);
    owner_by_log(database, number).or(now) == Some(tree)
}

/// The tree of the table that had a page while it was as this version of it is.
fn owner_by_log(database: &Database<'_>, number: u32) -> Option<usize> {
    let version = version_of_log(database, number)?;
    let (name, root) = database.lifetimes()?.owner(version.number, version.commit)?;
    tree_of(database, name, root)
}

/// The same, also where what became of the table's rows is not certain.
fn likely_owner_by_log(database: &Database<'_>, number: u32) -> Option<usize> {
    let version = version_of_log(database, number)?;
    let (name, root) = database.lifetimes()?.likely_owner(version.number, version.commit)?;
    tree_of(database, name, root)
}

/// The tree of the table that has, or had, this name and this root.
fn tree_of(database: &Database<'_>, name: &str, root: u32) -> Option<usize> {
    let def = |output: &Output| database.catalogue.tables.get(output.def?);
    let named = || database.outputs.iter().filter(|output| def(output).is_some_and(|def| def.name == name));
    let has_root = |output: &&Output| {
        let dropped = def(output).is_some_and(|def| def.dropped && def.old_root == Some(root));
        dropped || database.tree(output).is_some_and(|tree| tree.root == root)
    };
    let only = || named().next().filter(|_| named().count() == 1);
    // Where damage gave tables the roots of others, their rows tell whose it is.
    let is_wrong = |output: &&Output| def(output).is_some_and(|def| !def.dropped && def.root == Some(root));
    let its =
        || database.outputs.iter().find(|output| database.tree(output).is_some_and(|tree| tree.root == root));
    let found = named().find(has_root).or_else(|| only().filter(is_wrong).and_then(|_| its()));
    found.or_else(only).map(|output| output.tree)
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

/// Whether a table has no row.
fn is_empty(database: &Database<'_>, output: &Output) -> bool {
    let Some(tree) = database.tree(output).filter(|tree| tree.rowids) else { return false };
    let root = database.survey.page(tree.root);
    root.kind.is_some() && root.cells == 0 && tree.pages.len() == 1
}

/// Whether a table had rows and has none: it was dropped, or bytes of them are left on its root.
fn is_emptied(database: &Database<'_>, output: &Output) -> bool {
    let dropped =
        output.def.and_then(|def| database.catalogue.tables.get(def)).is_some_and(|def| def.dropped);
    let Some(tree) = database.tree(output) else { return false };
    let root = database.survey.page(tree.root);
    dropped || root.kind.is_some() && root.cells == 0 && root.spare && tree.pages.len() == 1
}
