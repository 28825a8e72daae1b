//! The b-trees of a database: which page belongs to which table or index.
//!
//! Trees grow from their roots along links that hold up: the child is of the right kind, its keys lie in the range
//! that the parent gives, its records fit the table. A link that doesn't leaves a gap, with its key range. Pages
//! that nothing links to are then fitted into the gaps (`adopt.rs`).

use super::catalogue::Catalogue;
use super::crossed::{Crossed, all_links, false_roots};
use super::first_root;
use super::freelist::Freelist;
use super::links::links;
use super::sample;
use super::shape::Fit;
use super::survey::Survey;
use super::view::View;
use mudlark_parsers::sqlite::page::PageKind;
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// What a tree holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Object {
    /// Rows of this table of the catalogue.
    Table(usize),
    /// Entries of this index of the catalogue.
    Index(usize),
    /// Not known (yet).
    Unknown,
    /// Old pages that hold no live rows.
    Stale,
}

/// How a page came to its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// Linked from the root down.
    Linked,
    /// Its keys fit a gap.
    Keys,
    /// The pointer map names its parent.
    PointerMap,
    /// Its rows look like the table's.
    Shape,
}

/// Exclusive lower and inclusive upper bound of the row ids below a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyRange {
    pub above: Option<i64>,
    pub upto: Option<i64>,
}

impl KeyRange {
    pub(super) fn holds(self, first: i64, last: i64) -> bool {
        self.above.is_none_or(|above| above < first) && self.upto.is_none_or(|upto| last <= upto)
    }
}

/// A link that leads nowhere, or to what can't be its child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// The page it stands on; 0 for a root.
    pub parent: u32,
    /// The page it names; 0 when the link itself is lost.
    pub child: u32,
    pub range: KeyRange,
    /// The number that the tree had when the gap was found: it tells the parts of a joined tree apart.
    pub part: u32,
}

impl Gap {
    /// Whether it stands for rows of a leaf that is there, whose header was lost with a part of them.
    pub(super) fn is_of_rebuilt(&self, ground: Ground<'_, '_>) -> bool {
        let info = ground.survey.page(self.parent);
        self.child == 0 && info.rebuilt && info.kind.is_some_and(|kind| !kind.is_interior())
    }
}

/// A tree, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub object: Object,
    /// A table's tree, with row ids; else an index's.
    pub rowids: bool,
    pub root: u32,
    /// Pages that hold rows or entries, in key order as far as it is known.
    pub pages: Vec<u32>,
    /// Interior pages of a rowid tree.
    pub interior: Vec<u32>,
    pub gaps: Vec<Gap>,
    /// Key ranges that joined parts cover with interior pages of their own: part, first and last row id.
    pub covered: Vec<(u32, i64, i64)>,
}

impl Tree {
    fn new(object: Object, rowids: bool, root: u32) -> Self {
        let (pages, interior) = (Vec::new(), Vec::new());
        Self { object, rowids, root, pages, interior, gaps: Vec::new(), covered: Vec::new() }
    }

    /// Whether rows from `first` to `last` could stand in a gap: its range holds them, and no part that was joined
    /// covers them already.
    pub(super) fn is_open(&self, gap: &Gap, first: i64, last: i64) -> bool {
        gap.range.holds(first, last)
            && !self.covered.iter().any(|(part, from, to)| *part != gap.part && *from <= last && first <= *to)
    }
}

/// All trees, and the tree of each page.
#[derive(Debug)]
pub(super) struct Forest {
    pub trees: Vec<Tree>,
    /// For each page, from page 1: the tree and how it came there.
    placed: Vec<Option<(u32, How)>>,
    /// Root pages that the catalogue names.
    roots: HashSet<u32>,
    crossed: Crossed,
    /// Every page that is not free hangs in a tree, or a link of one names it.
    pub all_named: bool,
    /// Gaps of all trees that are still noted: no more links than pages can be right.
    room: usize,
    /// Links that don't hold up and for whose gaps there is no room.
    pub unlisted: u64,
}

/// Gaps that are noted of any file.
const LEAST_ROOM: usize = 1 << 14;

/// Exchanged roots that are looked for, each of which asks all trees, and trees that are held against all others for it.
const MOST_EXCHANGED: usize = 64;

/// Far deeper than any tree: SQLite's own limit is 20.
const MAX_DEPTH: u32 = 40;

/// Children of a page whose records a thread reads ahead.
const TOUCHED: usize = 32;

/// What the growing of trees needs to know.
#[derive(Clone, Copy)]
pub(super) struct Ground<'g, 'a> {
    pub view: &'g View<'a>,
    pub survey: &'g Survey,
    pub catalogue: &'g Catalogue,
    pub free: &'g Freelist,
    pub auto_vacuum: bool,
}

impl Ground<'_, '_> {
    /// Whether a page is one of the pointer map.
    pub(super) fn is_map_page(&self, number: u32) -> bool {
        self.auto_vacuum && self.view.geometry.is_pointer_map(number)
    }
}

impl Forest {
    /// Grows the trees whose roots the catalogue names.
    pub(super) fn grow(ground: Ground<'_, '_>) -> Self {
        let mut forest = Self {
            trees: Vec::new(),
            placed: vec![None; ground.view.page_count as usize],
            roots: HashSet::new(),
            crossed: Crossed::default(),
            all_named: false,
            room: ground.view.page_count as usize + LEAST_ROOM,
            unlisted: 0,
        };
        let tables = ground
            .catalogue
            .tables
            .iter()
            .enumerate()
            .map(|(number, table)| (Object::Table(number), !table.without_rowid(), table.root));
        let indexes = ground.catalogue.indexes.iter().enumerate();
        let indexes = indexes.map(|(number, index)| (Object::Index(number), false, index.root));
        for (object, rowids, root) in tables.chain(indexes) {
            let root = root.unwrap_or(0);
            forest.trees.push(Tree::new(object, rowids, root));
        }
        // Exchanged children look like exchanged roots, where they are the first of their trees.
        let links = all_links(ground);
        forest.crossed = Crossed::of(ground, &links);
        forest.exchange_roots(ground);
        let roots: Vec<u32> = forest.trees.iter().map(|tree| tree.root).collect();
        let false_roots = false_roots(ground, &links, &roots);
        let fit = |root: u32, page: u32| {
            let tree = forest.trees.iter().find(|tree| tree.root == root)?;
            let leaf = first_leaf_below(ground, &forest.crossed, page, tree.rowids)?;
            Some(fit_object(ground, tree.object, leaf))
        };
        let strangers = forest.crossed.strangers(&links, fit);
        forest.crossed.wrong.extend(strangers);
        // A link to another tree's root is wrong, whatever the keys there.
        forest.roots = roots.into_iter().filter(|root| !false_roots.contains(root)).collect();
        for number in 0..forest.trees.len() {
            let Some(tree) = forest.trees.get_mut(number) else { continue };
            let (root, range, part) = (tree.root, KeyRange::default(), number as u32);
            let dropped = match tree.object {
                Object::Table(table) => ground.catalogue.tables.get(table).is_some_and(|def| def.dropped),
                _ => false,
            };
            if dropped {
                continue;
            }
            if false_roots.contains(&root) {
                tree.gaps.push(Gap { parent: 0, child: root, range, part });
            } else {
                forest.climb(ground, number, 0, root, range, How::Linked);
            }
        }
        forest
    }

    /// Takes back exchanged roots: of two trees whose first rows fit the other one better than their own.
    fn exchange_roots(&mut self, ground: Ground<'_, '_>) {
        if let Some(pair) = first_root::exchanged(self, ground) {
            self.exchange(pair);
        }
        // Each exchange mends at least one tree.
        for _ in 0..self.trees.len().min(MOST_EXCHANGED) {
            let Some(pair) = self.exchanged_pair(ground) else { return };
            self.exchange(pair);
        }
    }

    fn exchange(&mut self, (a, b): (usize, usize)) {
        let root = |number: usize| self.trees.get(number).map_or(0, |tree| tree.root);
        let roots = (root(a), root(b));
        for (number, root) in [(a, roots.1), (b, roots.0)] {
            if let Some(tree) = self.trees.get_mut(number) {
                tree.root = root;
            }
        }
    }

    /// The first leaf with records below a root.
    pub(super) fn leaf_below(&self, ground: Ground<'_, '_>, root: u32, rowids: bool) -> Option<u32> {
        first_leaf_below(ground, &self.crossed, root, rowids)
    }

    fn exchanged_pair(&self, ground: Ground<'_, '_>) -> Option<(usize, usize)> {
        let below = |tree: &Tree| self.leaf_below(ground, tree.root, tree.rowids);
        let leaves: Vec<(Object, u32)> =
            self.trees.iter().map(|tree| (tree.object, below(tree).unwrap_or(0))).collect();
        let fit = |object: Object, leaf: u32| fit_object(ground, object, leaf) as u8;
        let is_empty = |number: usize| {
            let root = self.trees.get(number).map_or(0, |tree| tree.root);
            let info = ground.survey.page(root);
            info.cells == 0 && info.sound && info.kind.is_some_and(|kind| !kind.is_interior())
        };
        let own: Vec<u8> = leaves
            .iter()
            .map(|(object, leaf)| if *leaf == 0 { Fit::Yes as u8 } else { fit(*object, *leaf) })
            .collect();
        // Rows that lack columns, or hold text in a numeric one, are odd and nothing more: SQLite keeps such rows. Only what
        // breaks a rule shows that roots were exchanged.
        let no = Fit::No as u8;
        let misfits = (1..leaves.len()).filter(|a| own.get(*a) == Some(&no));
        for a in misfits.take(MOST_EXCHANGED) {
            for b in (1..leaves.len()).filter(|b| *b != a) {
                let (Some((one, leaf)), Some((other, other_leaf))) = (leaves.get(a), leaves.get(b)) else {
                    continue;
                };
                let same_kind =
                    self.trees.get(a).map(|tree| tree.rowids) == self.trees.get(b).map(|tree| tree.rowids);
                if !same_kind || leaf == other_leaf || *other_leaf == 0 && !is_empty(b) {
                    continue;
                }
                let of_one = if *other_leaf == 0 { Fit::Yes as u8 } else { fit(*one, *other_leaf) };
                let of_other = fit(*other, *leaf);
                let is_better = |own: &u8| of_one + of_other > no + own && (of_other > no || *own == no);
                if own.get(b).is_some_and(is_better) {
                    return Some((a, b));
                }
            }
        }
        None
    }

    /// The tree of a page and how it came there.
    pub(super) fn place(&self, page: u32) -> Option<(u32, How)> {
        self.placed.get((page as usize).wrapping_sub(1)).copied().flatten()
    }

    /// The tree that a page hangs in, unless what it holds is old.
    pub(super) fn standing(&self, page: u32) -> Option<&Tree> {
        let (number, _) = self.place(page)?;
        self.trees.get(number as usize).filter(|tree| tree.object != Object::Stale)
    }

    /// The pages that trees name and that can't be read, each with its tree; `None` where several name it.
    pub(super) fn lacking(&self) -> HashMap<u32, Option<usize>> {
        let trees = self.trees.iter().enumerate().filter(|(_, tree)| tree.object != Object::Stale);
        let gaps = trees.flat_map(|(number, tree)| tree.gaps.iter().map(move |gap| (gap.child, number)));
        let mut lacking: HashMap<u32, Option<usize>> = HashMap::new();
        for (page, tree) in gaps.filter(|(page, _)| *page > 0) {
            lacking
                .entry(page)
                .and_modify(|known| *known = known.filter(|known| *known == tree))
                .or_insert(Some(tree));
        }
        lacking
    }

    /// Grows a new part of a tree from a page that nothing links to.
    pub(super) fn grow_fragment(&mut self, ground: Ground<'_, '_>, root: u32, kind: PageKind) {
        let number = self.trees.len();
        self.trees.push(Tree::new(Object::Unknown, kind.is_table(), root));
        self.climb(ground, number, 0, root, KeyRange::default(), How::Linked);
    }

    /// Adds a tree without pages, of a table of which nothing is live; returns its number.
    pub(super) fn add_empty(&mut self, rowids: bool) -> usize {
        self.trees.push(Tree::new(Object::Unknown, rowids, 0));
        self.trees.len() - 1
    }

    /// Moves all pages of `from` to `to`, which keeps its own root.
    pub(super) fn join(&mut self, ground: Ground<'_, '_>, from: usize, to: usize, how: How) {
        if from == to || to >= self.trees.len() {
            return;
        }
        let Some(tree) = self.trees.get_mut(from) else { return };
        tree.object = Object::Stale;
        let (pages, interior, gaps, mut covered) = (
            std::mem::take(&mut tree.pages),
            std::mem::take(&mut tree.interior),
            std::mem::take(&mut tree.gaps),
            std::mem::take(&mut tree.covered),
        );
        if !interior.is_empty() {
            let (first, last) = bounds(ground, &pages);
            covered.push((from as u32, first, last));
        }
        for page in pages.iter().chain(&interior) {
            if let Some(place) = self.placed.get_mut(*page as usize - 1) {
                *place = Some((to as u32, how));
            }
        }
        if let Some(target) = self.trees.get_mut(to) {
            target.pages.extend(pages);
            target.interior.extend(interior);
            target.gaps.extend(gaps);
            target.covered.extend(covered);
        }
    }

    /// Follows the links from `page` down, and notes gaps where they don't hold up.
    fn climb(
        &mut self,
        ground: Ground<'_, '_>,
        number: usize,
        parent: u32,
        page: u32,
        range: KeyRange,
        how: How,
    ) {
        let fits = self.fits(ground, number, page, range);
        let mut pending = vec![(parent, page, range, 0_u32, fits)];
        while let Some((parent, page, range, depth, fits)) = pending.pop() {
            let holds = depth < MAX_DEPTH
                && self.place(page).is_none()
                && (parent == 0 || !self.roots.contains(&page))
                && !self.crossed.wrong.contains(&(parent, page))
                && fits;
            let Some(tree) = self.trees.get_mut(number) else { return };
            if !holds {
                if self.room > 0 || tree.gaps.is_empty() {
                    tree.gaps.push(Gap { parent, child: page, range, part: number as u32 });
                    self.room = self.room.saturating_sub(1);
                } else {
                    self.unlisted += 1;
                }
                continue;
            }
            if let Some(place) = self.placed.get_mut(page as usize - 1) {
                *place = Some((number as u32, how));
            }
            let info = ground.survey.page(page);
            let interior = info.kind.is_some_and(PageKind::is_interior);
            if info.rebuilt && !interior {
                // Rows whose bytes are lost with the header may have any ids that the page can hold.
                tree.gaps.push(Gap { parent: page, child: 0, range, part: number as u32 });
            }
            if interior && tree.rowids {
                tree.interior.push(page);
            } else {
                tree.pages.push(page);
            }
            if interior {
                let children = links(ground, page, range, tree.rowids);
                children.par_chunks(TOUCHED).for_each(|children| {
                    sample::touch(ground.view, children.iter().map(|(child, _)| *child));
                });
                let child = |(named, range): (u32, KeyRange)| {
                    let instead = self.crossed.instead.get(&(page, named)).copied();
                    match instead.filter(|child| self.fits(ground, number, *child, range)) {
                        Some(child) => (page, child, range, depth + 1, true),
                        None => (page, named, range, depth + 1, self.fits(ground, number, named, range)),
                    }
                };
                // The last child comes first off the stack, so push in reverse for key order.
                let children = children.into_par_iter().with_min_len(16).map(child);
                pending.par_extend(children.rev());
            }
        }
    }

    /// Whether a page can stand in the tree at this range.
    fn fits(&self, ground: Ground<'_, '_>, number: usize, page: u32, range: KeyRange) -> bool {
        let info = ground.survey.page(page);
        let Some(tree) = self.trees.get(number) else { return false };
        let Some(kind) = info.kind else { return false };
        if kind.is_table() != tree.rowids {
            return false;
        }
        if tree.rowids && info.cells > 0 && !range.holds(info.first, info.last) {
            return false;
        }
        kind == PageKind::TableInterior || fit_rows(ground, tree.object, page, sample::LINKED_ROWS) != Fit::No
    }
}

/// Least and greatest row id on the pages; empty ones hold none.
pub(super) fn bounds(ground: Ground<'_, '_>, pages: &[u32]) -> (i64, i64) {
    let infos = pages.iter().map(|page| ground.survey.page(*page)).filter(|info| info.cells > 0);
    infos.fold((i64::MAX, i64::MIN), |(first, last), info| (first.min(info.first), last.max(info.last)))
}

/// The first leaf with records below a page, by the first links; an index has records on every page.
fn first_leaf_below(ground: Ground<'_, '_>, crossed: &Crossed, root: u32, rowids: bool) -> Option<u32> {
    let mut page = root;
    for _ in 0..MAX_DEPTH {
        let info = ground.survey.page(page);
        let kind = info.kind.filter(|kind| kind.is_table() == rowids)?;
        if kind != PageKind::TableInterior {
            return (info.cells > 0).then_some(page);
        }
        page = links(ground, page, KeyRange::default(), rowids)
            .into_iter()
            .map(|(child, _)| crossed.instead.get(&(page, child)).copied().unwrap_or(child))
            .find(|child| ground.survey.page(*child).kind.is_some_and(PageKind::is_table))?;
    }
    None
}

/// How the records of a page fit what a tree holds.
pub(super) fn fit_object(ground: Ground<'_, '_>, object: Object, page: u32) -> Fit {
    fit_rows(ground, object, page, sample::ROWS)
}

fn fit_rows(ground: Ground<'_, '_>, object: Object, page: u32, rows: usize) -> Fit {
    let (view, survey, catalogue) = (ground.view, ground.survey, ground.catalogue);
    match object {
        Object::Table(number) => catalogue
            .tables
            .get(number)
            .map_or(Fit::Yes, |table| sample::fit_table(view, survey, page, table, rows)),
        Object::Index(number) => catalogue
            .indexes
            .get(number)
            .map_or(Fit::Yes, |index| sample::fit_index(view, survey, page, index, catalogue, rows)),
        Object::Unknown | Object::Stale => Fit::Yes,
    }
}
