//! Which tree a page belonged to once, by the links that its former parents still hold.
//!
//! A table that was emptied or dropped leaves its rows on free pages that tell nothing of their table. Its root still
//! holds the links to them ([`former`]), and a free interior page holds all of its own.

use super::super::database::Database;
use super::super::forest::KeyRange;
use super::super::links::links;
use mudlark_parsers::sqlite::former;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// A link from a page that was a tree's to what was one too.
#[derive(Clone, Copy, Debug)]
struct Trace {
    tree: usize,
    range: KeyRange,
}

/// For each page, of the main file as well as its old versions, the links that led to it.
#[derive(Debug, Default)]
pub(super) struct Traces {
    by_page: HashMap<u32, Vec<Trace>>,
}

impl Traces {
    /// Follows the links down from the roots of all tables: `roots` are page numbers with their trees. A table may have had
    /// another root, and its root another table: `owner` says whose an old version of a page was, where a log tells.
    pub(super) fn of(
        database: &Database<'_>,
        roots: &BTreeMap<u32, usize>,
        owner: impl Fn(u32) -> Option<usize>,
    ) -> Self {
        let mut traces = Self::default();
        let mut versions: HashMap<u32, Vec<u32>> = HashMap::new();
        let mut pending: Vec<(u32, usize)> = Vec::new();
        let mut owners: HashMap<u32, usize> = HashMap::new();
        for number in database.view.old() {
            let Some(page) = database.view.page(number) else { continue };
            versions.entry(page.number).or_default().push(number);
            let Some(owner) = owner(number) else { continue };
            owners.insert(number, owner);
            let kind = database.survey.page(number).kind;
            if roots.contains_key(&page.number) || kind.is_some_and(PageKind::is_interior) {
                pending.push((number, owner));
            }
        }
        let mut seen: HashSet<(u32, usize)> = HashSet::new();
        for (root, tree) in roots {
            let old = versions.get(root).into_iter().flatten().filter(|number| !owners.contains_key(number));
            pending.extend(old.chain([root]).map(|number| (*number, *tree)));
        }
        while let Some((number, tree)) = pending.pop() {
            if !seen.insert((number, tree)) {
                continue;
            }
            for (child, range) in links_of(database, number, tree) {
                traces.by_page.entry(child).or_default().push(Trace { tree, range });
                let is_other = |number: &u32| owners.get(number).is_some_and(|owner| *owner != tree);
                let old = versions.get(&child).into_iter().flatten().copied();
                let old = old.filter(|number| !is_other(number));
                let current = Some(child).filter(|child| database.forest.standing(*child).is_none());
                pending.extend(old.chain(current).map(|number| (number, tree)));
            }
        }
        traces
    }

    /// Whether a link from a tree led to a page numbered `page`, with rows from `first` to `last`.
    pub(super) fn lead(&self, tree: usize, page: u32, (first, last): (i64, i64)) -> bool {
        let traces = self.by_page.get(&page).map(Vec::as_slice).unwrap_or_default();
        traces.iter().any(|trace| trace.tree == tree && trace.range.holds(first, last))
    }

    /// The only tree from which links led to a page of which nothing else is known.
    pub(super) fn only(&self, page: u32) -> Option<usize> {
        let traces = self.by_page.get(&page)?;
        let first = traces.first()?.tree;
        traces.iter().all(|trace| trace.tree == first).then_some(first)
    }
}

/// The links that a page holds, or held, as an interior page of a tree.
fn links_of(database: &Database<'_>, number: u32, tree: usize) -> Vec<(u32, KeyRange)> {
    let ground = database.ground();
    let Some(rowids) = database.forest.trees.get(tree).map(|tree| tree.rowids) else { return Vec::new() };
    let Some(version) = ground.view.page(number) else { return Vec::new() };
    let page = Page::parse(version.bytes, version.number, ground.view.geometry);
    let Some(page) = page.filter(|page| page.header.kind.is_table() == rowids) else { return Vec::new() };
    if page.header.kind.is_interior() {
        return links(ground, number, KeyRange::default(), rowids);
    }
    let former = former::links(&page, ground.view.page_count);
    former.into_iter().map(|link| (link.child, KeyRange { above: link.above, upto: link.upto })).collect()
}
