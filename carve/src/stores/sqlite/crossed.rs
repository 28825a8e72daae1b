//! Links that contradict one another: roots that are children too, pages with two parents, children that were exchanged.

use super::forest::{Ground, KeyRange};
use super::links::links;
use super::shape::Fit;
use mudlark_parsers::sqlite::page::PageKind;
use std::collections::{HashMap, HashSet};

/// A link of an interior page to a page of its kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub parent: u32,
    pub child: u32,
    pub range: KeyRange,
    /// Whether the child's keys lie in the range.
    pub holds: bool,
}

impl Link {
    /// Whether the child ends with the key that the link gives: it does until its last row is deleted.
    fn is_exact(&self, ground: Ground<'_, '_>) -> bool {
        let info = ground.survey.page(self.child);
        info.cells > 0 && self.range.upto == Some(info.last)
    }
}

/// Links that their children contradict and that are held against all others: a file with more has worse damage than
/// exchanged children.
const MOST_MISPLACED: usize = 1024;

/// Pages above one another: SQLite's own limit.
const MAX_DEPTH: usize = 20;

/// What is wrong with links, by parent and child.
#[derive(Debug, Default)]
pub(super) struct Crossed {
    /// Links to a page that is another parent's.
    pub wrong: HashSet<(u32, u32)>,
    /// Links whose children were exchanged, with the true child.
    pub instead: HashMap<(u32, u32), u32>,
    /// Links of several parents to one page, of which its keys tell none to be right.
    undecided: Vec<Vec<Link>>,
}

impl Crossed {
    pub(super) fn of(ground: Ground<'_, '_>, links: &[Link]) -> Self {
        let mut crossed = Self::default();
        let holding: Vec<&Link> = links.iter().filter(|link| link.holds).collect();
        crossed.find_wrong(ground, &holding);
        crossed.find_exchanged(ground, &holding);
        crossed.find_misplaced(ground, links);
        crossed
    }

    /// Of several links to one page, the one that gives its last key is right.
    fn find_wrong(&mut self, ground: Ground<'_, '_>, links: &[&Link]) {
        let mut by_child = links.to_vec();
        by_child.sort_by_key(|link| (link.child, link.parent));
        for group in by_child.chunk_by(|a, b| a.child == b.child).filter(|group| group.len() > 1) {
            let exact = group.iter().filter(|link| link.is_exact(ground)).count();
            if exact == 1 {
                let wrong = group.iter().filter(|link| !link.is_exact(ground));
                self.wrong.extend(wrong.map(|link| (link.parent, link.child)));
            } else {
                self.undecided.push(group.iter().copied().copied().collect());
            }
        }
    }

    /// Of links of several trees to one page, of which its keys tell none to be right, those of trees that its rows fit less
    /// than those of another one. `fit` tells by a root page and a page how well.
    pub(super) fn strangers(&self, links: &[Link], fit: impl Fn(u32, u32) -> Option<Fit>) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        if self.undecided.is_empty() {
            return found;
        }
        let right =
            links.iter().filter(|link| link.holds && !self.wrong.contains(&(link.parent, link.child)));
        let parents: HashMap<u32, u32> = right.map(|link| (link.child, link.parent)).collect();
        let root = |link: &Link| {
            let above = std::iter::successors(Some(link.parent), |page| parents.get(page).copied());
            above.take(MAX_DEPTH).last().unwrap_or(link.parent)
        };
        for group in &self.undecided {
            let fits: Vec<(Option<Fit>, &Link)> =
                group.iter().map(|link| (fit(root(link), link.child), link)).collect();
            let Some(best) = fits.iter().map(|(fit, _)| *fit).max() else { continue };
            if fits.iter().filter(|(fit, _)| *fit == best).count() == 1 {
                let strangers = fits.iter().filter(|(fit, _)| fit.is_some() && *fit != best);
                found.extend(strangers.map(|(_, link)| (link.parent, link.child)));
            }
        }
        found
    }

    /// Two links each of which gives the last key of the other's child.
    fn find_exchanged(&mut self, ground: Ground<'_, '_>, links: &[&Link]) {
        let is_odd = |link: &&Link| {
            link.range.upto.is_some() && !link.is_exact(ground) && is_table_page(ground, link.child)
        };
        let odd = links.iter().copied().filter(is_odd);
        let by_key: HashMap<(i64, i64), &Link> = odd
            .clone()
            .filter_map(|link| Some(((link.range.upto?, ground.survey.page(link.child).last), link)))
            .collect();
        for link in odd {
            let Some(upto) = link.range.upto else { continue };
            let other = by_key.get(&(ground.survey.page(link.child).last, upto));
            if let Some(other) = other.filter(|other| other.child != link.child) {
                self.instead.insert((link.parent, link.child), other.child);
            }
        }
    }

    /// A link that its child's keys contradict, where one other link leads to a page that fits there, and the child
    /// fits in that page's stead.
    fn find_misplaced(&mut self, ground: Ground<'_, '_>, links: &[Link]) {
        let contradicted: Vec<&Link> = links.iter().filter(|link| !link.holds).take(MOST_MISPLACED).collect();
        if contradicted.is_empty() {
            return;
        }
        let mut parents: HashMap<u32, u32> = HashMap::new();
        for link in links {
            *parents.entry(link.child).or_default() += 1;
        }
        let alone = |link: &&Link| {
            parents.get(&link.child) == Some(&1)
                && is_table_page(ground, link.child)
                && ground.survey.page(link.child).cells > 0
                && (link.range.above.is_some() || link.range.upto.is_some())
        };
        let accepts = |link: &Link, page: u32| {
            let info = ground.survey.page(page);
            link.range.holds(info.first, info.last)
        };
        let inexact: Vec<&Link> = links.iter().filter(|link| !link.is_exact(ground)).filter(alone).collect();
        for link in contradicted.into_iter().filter(alone) {
            let fits_crosswise = |other: &&&Link| {
                other.child != link.child && accepts(other, link.child) && accepts(link, other.child)
            };
            let mut others = inexact.iter().filter(fits_crosswise);
            if let (Some(other), None) = (others.next(), others.next()) {
                self.instead.insert((link.parent, link.child), other.child);
                self.instead.insert((other.parent, other.child), link.child);
            }
        }
    }
}

fn is_table_page(ground: Ground<'_, '_>, page: u32) -> bool {
    ground.survey.page(page).kind.is_some_and(PageKind::is_table)
}

/// Root pages that an interior page links to as well, where it is the root that is wrong.
///
/// One of the two must be. Where a page that nothing links to fits the range of the link, that page is the true
/// child, and the root stands. Else the root is wrong, and the tree's true one may still turn up.
pub(super) fn false_roots(ground: Ground<'_, '_>, links: &[Link], roots: &[u32]) -> HashSet<u32> {
    let roots: HashSet<u32> = roots.iter().copied().collect();
    let holding = links.iter().filter(|link| link.holds);
    let doubtful: Vec<&Link> = holding.clone().filter(|link| roots.contains(&link.child)).collect();
    if doubtful.is_empty() || doubtful.len() > MOST_MISPLACED {
        return HashSet::new();
    }
    let linked: HashSet<u32> = holding.map(|link| link.child).collect();
    let loose: Vec<(u32, PageKind)> = ground
        .survey
        .iter()
        .filter_map(|(number, info)| Some((number, info.kind?)))
        .filter(|(number, _)| {
            !linked.contains(number) && !roots.contains(number) && !ground.free.pages.contains(number)
        })
        .collect();
    let is_false = |link: &Link| {
        let Link { parent, child, range, .. } = *link;
        let Some(kind) = ground.survey.page(child).kind else { return false };
        !loose.iter().any(|(number, other)| {
            let info = ground.survey.page(*number);
            *number != parent
                && info.cells > 0
                && other.is_table() == kind.is_table()
                && (!kind.is_table() || range.holds(info.first, info.last))
                && (range.above.is_some() || range.upto.is_some())
        })
    };
    doubtful.into_iter().filter(|link| is_false(link)).map(|link| link.child).collect()
}

/// The links of all interior pages that are not free to pages of their kind.
pub(super) fn all_links(ground: Ground<'_, '_>) -> Vec<Link> {
    let mut found = Vec::new();
    for (number, info) in ground.survey.iter() {
        let Some(kind) = info.kind.filter(|kind| kind.is_interior()) else { continue };
        if ground.free.pages.contains(&number) {
            continue;
        }
        for (child, range) in links(ground, number, KeyRange::default(), kind.is_table()) {
            let under = ground.survey.page(child);
            let same_kind = under.kind.is_some_and(|under| under.is_table() == kind.is_table());
            if child != number && same_kind {
                let holds = !kind.is_table() || range.holds(under.first, under.last);
                found.push(Link { parent: number, child, range, holds });
            }
        }
    }
    found
}
