//! Pages that hang in no tree are fitted into the gaps that the trees have.
//!
//! What speaks for a place: a gap names the page; its keys lie in the gap's range; the pointer map names a parent of
//! the tree; its records fit the table by rule and look like the table's others. Largest parts come first, since
//! they bring gaps of their own. What fits nowhere is a table of which no name survives, when the catalogue is not
//! whole; else it is an old page that holds nothing live.

mod emptied;
mod unnamed;

use super::agree::{self, Agreement};
use super::forest::{Forest, Gap, Ground, How, Object, bounds, fit_object};
use super::links::links;
use super::sample;
use super::shape::Fit;
use mudlark_parsers::sqlite::page::PageKind;
use mudlark_parsers::sqlite::ptrmap::{self, PointerKind};
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};

/// Free pages that are too few for a count of them to tell anything.
const FEW_FREE: usize = 4;

/// Of the pages that nothing accounts for, one of so many may be in use where the rest are taken for free ones.
const MOSTLY_FREE: usize = 4;

/// How much less a page may look like a table than the table's own pages do, in mean log-likelihood of a cell.
const LIKENESS_SLACK: f64 = 1.0;

/// Gaps that are looked at for all fragments together: a few thousand of each come to far fewer. What then has no place
/// yet is put out without a name.
const MOST_LOOKS: usize = 1 << 27;

/// Trees for which no more speaks than that a fragment could be theirs, and groups of fragments without a name, that are
/// held against a further one.
const GROUPS_ASKED: usize = 64;

/// Finds places for all pages that hang in no tree.
pub(super) fn adopt(forest: &mut Forest, ground: Ground<'_, '_>) {
    let named = forest.trees.len();
    grow_fragments(forest, ground);
    free_beyond_count(forest, ground, named);
    let mut profiles = Profiles::default();
    untangle(forest, ground, named);
    let mut undecided = HashSet::new();
    // Every round can open new gaps, and joins at least one fragment.
    loop {
        let before = loose(forest, named).len();
        let targets = targets(forest, named);
        for number in loose(forest, named) {
            match best_place(forest, ground, number, &targets, &mut profiles) {
                Verdict::At(target, how) => {
                    forest.join(ground, number, target, how);
                    profiles.made.forget(target);
                }
                Verdict::Undecided => {
                    undecided.insert(number);
                }
                Verdict::Nowhere => {}
            }
        }
        if loose(forest, named).len() == before {
            break;
        }
    }
    free_of_counted(forest, ground, named);
    if ground.catalogue.whole {
        // What could be at several places is put out without a name; what fits nowhere holds nothing live.
        for number in loose(forest, named) {
            let tree = forest.trees.get_mut(number).filter(|_| !undecided.contains(&number));
            // Entries of an index are no rows.
            if let Some(tree) = tree.filter(|tree| !tree.rowids || !is_in_use(ground, tree.root)) {
                tree.object = Object::Stale;
            }
        }
    }
    emptied::join(forest, ground, named);
    unnamed::gather(forest, ground, named, &mut profiles);
    sort_pages(forest, ground);
}

/// Takes fragments of more pages than can be in use, by the count of free pages in the header, for free ones that the
/// broken list of free pages doesn't name any more. The count is believed where most of what it counts was found, and
/// where it counts just the pages that nothing else accounts for.
fn free_beyond_count(forest: &mut Forest, ground: Ground<'_, '_>, named: usize) {
    let Some((unlisted, others)) = uncounted(forest, ground, named) else { return };
    if !ground.free.mostly_found && others != unlisted {
        return;
    }
    let room = others.saturating_sub(unlisted);
    forest.all_named = room == 0;
    for tree in forest.trees.iter_mut().skip(named) {
        if tree.pages.len() + tree.interior.len() > room {
            tree.object = Object::Stale;
        }
    }
}

/// Takes all fragments that found no place for free pages where the list of these is cut off and nearly all pages without a
/// place are free by the count in the header: what is in use of them is few of many.
fn free_of_counted(forest: &mut Forest, ground: Ground<'_, '_>, named: usize) {
    if !ground.free.cut_off {
        return;
    }
    let Some((unlisted, others)) = uncounted(forest, ground, named) else { return };
    // No random number is so near to the number of pages that have no place, unless there are few of these.
    let is_told = unlisted <= others && unlisted >= FEW_FREE && others - unlisted <= others / MOSTLY_FREE;
    if !is_told {
        return;
    }
    for number in loose(forest, named) {
        if let Some(tree) = forest.trees.get_mut(number) {
            tree.object = Object::Stale;
        }
    }
}

/// Free pages that the header counts beyond those that were found, and the pages that may be these: nothing accounts for
/// them. `None` where the header counts no more than were found.
fn uncounted(forest: &Forest, ground: Ground<'_, '_>, named: usize) -> Option<(usize, usize)> {
    let unlisted = ground.free.unlisted.filter(|unlisted| *unlisted > 0)? as usize;
    let linked: HashSet<u32> = forest
        .trees
        .iter()
        .take(named)
        .flat_map(|tree| tree.gaps.iter().map(|gap| gap.child).chain([tree.root]))
        .collect();
    let is_used = |page: u32| {
        let hangs = || forest.place(page).is_some_and(|(tree, _)| (tree as usize) < named);
        !ground.free.pages.contains(&page) && (ground.is_map_page(page) || linked.contains(&page) || hangs())
    };
    let used = 1 + (2..=ground.view.page_count).filter(|page| is_used(*page)).count();
    Some((unlisted, (ground.view.page_count as usize).saturating_sub(used + ground.free.pages.len())))
}

/// Takes back exchanged roots: a table whose root names a part that fits another table only, while that other
/// table's root leads to rows that fit the first.
fn untangle(forest: &mut Forest, ground: Ground<'_, '_>, named: usize) {
    for number in 0..named {
        let Some(tree) = forest.trees.get(number).filter(|tree| tree.pages.is_empty()) else { continue };
        let (object, rowids) = (tree.object, tree.rowids);
        let Some(gap) = tree.gaps.iter().find(|gap| gap.parent == 0).copied() else { continue };
        let Some((part, _)) = forest.place(gap.child).filter(|(part, _)| *part as usize >= named) else {
            continue;
        };
        let part = part as usize;
        let Some(page) = first_leaf(forest, ground, part) else { continue };
        if fit_object(ground, object, page) != Fit::No {
            continue;
        }
        let others: Vec<usize> = (0..named)
            .filter(|other| {
                let Some(tree) = forest.trees.get(*other) else { return false };
                *other != number
                    && tree.object != Object::Table(0)
                    && tree.rowids == rowids
                    && matches!(tree.object, Object::Table(_)) == matches!(object, Object::Table(_))
                    && fit_object(ground, tree.object, page) != Fit::No
                    && first_leaf(forest, ground, *other)
                        .is_some_and(|page| fit_object(ground, object, page) != Fit::No)
            })
            .collect();
        if let [other] = others[..] {
            forest.join(ground, other, number, How::Shape);
            forest.join(ground, part, other, How::Shape);
            for (tree, object) in [(number, object), (other, ground_object(ground, other))] {
                if let Some(tree) = forest.trees.get_mut(tree) {
                    tree.object = object;
                    tree.gaps.retain(|gap| gap.parent != 0);
                }
            }
        }
    }
}

/// What the tree with this number was grown for: tables come first, then indexes.
fn ground_object(ground: Ground<'_, '_>, number: usize) -> Object {
    match number.checked_sub(ground.catalogue.tables.len()) {
        None => Object::Table(number),
        Some(index) => Object::Index(index),
    }
}

/// The fragments that have no place yet, largest first.
fn loose(forest: &Forest, named: usize) -> Vec<usize> {
    let is_loose =
        |number: &usize| forest.trees.get(*number).is_some_and(|tree| tree.object == Object::Unknown);
    let mut numbers: Vec<usize> = (named..forest.trees.len()).filter(is_loose).collect();
    let size =
        |number: &usize| forest.trees.get(*number).map_or(0, |tree| tree.pages.len() + tree.interior.len());
    numbers.sort_by_key(|number| (std::cmp::Reverse(size(number)), *number));
    numbers
}

/// The trees that fragments can be joined to: few, where there are many fragments.
fn targets(forest: &Forest, named: usize) -> Vec<usize> {
    let trees = forest.trees.iter().enumerate();
    let open = trees.filter(|(number, tree)| match tree.object {
        Object::Stale => false,
        // Without names, only a part with an interior page has gaps to offer.
        Object::Unknown => *number >= named && !tree.interior.is_empty(),
        // Its rows have been read already.
        Object::Table(0) => false,
        Object::Table(_) | Object::Index(_) => true,
    });
    open.map(|(number, _)| number).collect()
}

/// Makes fragments of all pages that hang in no tree, from their topmost pages down.
fn grow_fragments(forest: &mut Forest, ground: Ground<'_, '_>) {
    let candidates: Vec<(u32, PageKind)> = ground
        .survey
        .iter()
        .filter_map(|(number, info)| Some((number, info.kind?)))
        .filter(|(number, _)| {
            forest.place(*number).is_none() && !ground.free.pages.contains(number) && *number > 1
        })
        .collect();
    let mut linked = HashSet::new();
    for (number, kind) in candidates.iter().filter(|(_, kind)| kind.is_interior()) {
        for (child, range) in links(ground, *number, Default::default(), kind.is_table()) {
            let under = ground.survey.page(child);
            let same_kind = under.kind.is_some_and(|under| under.is_table() == kind.is_table());
            if child != *number && same_kind && (!kind.is_table() || range.holds(under.first, under.last)) {
                linked.insert(child);
            }
        }
    }
    let (roots, others): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|(number, _)| !linked.contains(number));
    // Interior pages first, so that a leaf which only a loop links to still gets a fragment at the end.
    let (upper, lower): (Vec<_>, Vec<_>) = roots.into_iter().partition(|(_, kind)| kind.is_interior());
    for (number, kind) in upper.into_iter().chain(lower).chain(others) {
        if forest.place(number).is_none() {
            forest.grow_fragment(ground, number, kind);
        }
    }
}

/// Profiles of trees, made when first asked for.
#[derive(Default)]
struct Profiles {
    made: sample::Profiles,
    /// Interior pages, and whether their children are leaves.
    above_leaves: HashMap<u32, bool>,
    /// Gaps that were looked at.
    looks: usize,
}

impl Profiles {
    /// Whether a gap stands for a leaf that was overwritten: then no page that survives can be the one it names.
    fn leaf_is_gone(&mut self, ground: Ground<'_, '_>, gap: &Gap, rowids: bool) -> bool {
        let in_file = (2..=ground.view.page_count).contains(&gap.child);
        if gap.parent == 0 || !in_file || ground.survey.page(gap.child).kind.is_some() {
            return false;
        }
        let leaf = if rowids { PageKind::TableLeaf } else { PageKind::IndexLeaf };
        *self.above_leaves.entry(gap.parent).or_insert_with(|| {
            let children = links(ground, gap.parent, Default::default(), rowids);
            children.iter().any(|(child, _)| ground.survey.page(*child).kind == Some(leaf))
        })
    }

    /// How much less the page looks like the tree's pages than they do themselves; `None` when nothing tells.
    fn distance(&mut self, forest: &Forest, ground: Ground<'_, '_>, tree: usize, page: u32) -> Option<f64> {
        let pages = forest.trees.get(tree).map(|tree| tree.pages.as_slice()).unwrap_or_default();
        Some(-self.made.likeness((ground.view, ground.survey), (tree, pages), page)?)
    }
}

/// A tree that a fragment may belong to.
#[derive(Clone, Copy)]
struct Candidate {
    /// What gaps, keys, pointer map and shape say.
    score: u32,
    /// How much its rows look like the tree's; `None` when the tree has none to compare with.
    likeness: Option<f64>,
    target: usize,
    how: How,
}

/// Likeness that tells two tables apart, in mean log-likelihood of a cell.
const CLEAR_LIKENESS: f64 = 0.25;

/// A lead in score that likeness can't make good.
const CLEAR_SCORE: u32 = 6;

impl Candidate {
    /// How much more alike this is than another; nothing where one of them can't be compared.
    fn lead(&self, other: &Self) -> f64 {
        self.likeness.zip(other.likeness).map_or(0.0, |(own, other)| own - other)
    }

    fn equals(&self, other: &Self) -> bool {
        self.score == other.score && self.lead(other).abs() <= CLEAR_LIKENESS
    }

    /// Likeness decides among places of about equal score; score alone among equals in likeness.
    fn beats(&self, other: &Self) -> bool {
        if self.score > other.score {
            self.lead(other) >= -CLEAR_LIKENESS || self.score > other.score + CLEAR_SCORE
        } else {
            self.lead(other) > CLEAR_LIKENESS && self.score + CLEAR_SCORE >= other.score
        }
    }
}

/// Where a fragment belongs.
enum Verdict {
    /// To this tree, for this reason.
    At(usize, How),
    /// To one of several: the bytes don't decide.
    Undecided,
    /// To none.
    Nowhere,
}

/// The best tree for a fragment, and what puts it there.
fn best_place(
    forest: &Forest,
    ground: Ground<'_, '_>,
    number: usize,
    targets: &[usize],
    profiles: &mut Profiles,
) -> Verdict {
    let Some(fragment) = forest.trees.get(number) else { return Verdict::Nowhere };
    let Some(sample_page) = first_leaf(forest, ground, number) else { return Verdict::Nowhere };
    let leaves = some_leaves(forest, ground, number);
    let (first, last) = bounds(ground, &fragment.pages);
    let parent = mapped_parent(ground, fragment.root);
    let mut best: Option<Candidate> = None;
    let mut tied = false;
    let mut asked = 0;
    for target in targets.iter().copied() {
        let Some(tree) = forest.trees.get(target) else { continue };
        let other = target != number && tree.rowids == fragment.rowids;
        if !other || tree.object == Object::Stale {
            continue;
        }
        let mut weight = 0_u32;
        let mut how = How::Shape;
        profiles.looks = profiles.looks.saturating_add(tree.gaps.len() * (1 + tree.covered.len()));
        if profiles.looks > MOST_LOOKS {
            return Verdict::Undecided;
        }
        for gap in &tree.gaps {
            let names = gap.child == fragment.root;
            let is_gone = profiles.leaf_is_gone(ground, gap, fragment.rowids);
            let in_range = fragment.rowids && tree.is_open(gap, first, last) && !is_gone;
            let unbounded = !fragment.rowids && !is_gone;
            let bounded = gap.range.above.is_some() || gap.range.upto.is_some();
            // A link that the page's own keys contradict is more often wrong than they are.
            let named = match (names, fragment.rowids && !gap.range.holds(first, last)) {
                (false, _) => 0,
                (true, true) => 2,
                (true, false) => 4,
            };
            // A page ends with the key that its link gives, until its last row is deleted.
            let exact = in_range && gap.range.upto == Some(last);
            let points = named
                + 2 * u32::from(exact)
                + 2 * u32::from(in_range && bounded)
                + u32::from(in_range || unbounded);
            if points > weight {
                weight = points;
                how = if names || in_range && bounded { How::Keys } else { How::Shape };
            }
        }
        let by_map = parent.is_some_and(|parent| {
            forest.place(parent).is_some_and(|(tree, _)| tree as usize == target)
                || tree.gaps.iter().any(|gap| gap.child == parent)
        });
        if by_map {
            weight += 8;
            how = How::PointerMap;
        }
        // Of many trees for which little speaks the first are asked.
        asked += usize::from(weight == 1);
        if weight == 0 || weight == 1 && asked > GROUPS_ASKED {
            continue;
        }
        let fit = fit_object(ground, tree.object, sample_page);
        if fit == Fit::No {
            continue;
        }
        if let Object::Index(index) = tree.object
            && !by_map
            && agree::index_page(forest, ground, index, sample_page) == Agreement::Disagrees
        {
            continue;
        }
        let distances = leaves.iter().filter_map(|page| profiles.distance(forest, ground, target, *page));
        let distance = distances.reduce(f64::min);
        // Cells that are rare in any table are no proof of this one.
        let slack = if fit == Fit::Odd { 2.0 } else { 3.0 } * LIKENESS_SLACK;
        if distance.is_some_and(|distance| distance > slack) && weight < 4 {
            continue;
        }
        let score = 2 * weight + u32::from(fit == Fit::Yes);
        let candidate = Candidate { score, likeness: distance.map(|distance| -distance), target, how };
        let (better, equal) =
            best.as_ref().map_or((true, false), |best| (candidate.beats(best), candidate.equals(best)));
        if better {
            best = Some(candidate);
            tied = false;
        } else if equal {
            tied = true;
        }
    }
    match best {
        Some(_) if tied => Verdict::Undecided,
        Some(best) => Verdict::At(best.target, best.how),
        None => Verdict::Nowhere,
    }
}

/// Leaves of a fragment that are held against a tree: rows of one end of a table may look unlike those of the other.
const LEAVES: usize = 5;

/// Some pages of the fragment that hold records, from all over it.
fn some_leaves(forest: &Forest, ground: Ground<'_, '_>, number: usize) -> Vec<u32> {
    let pages = forest.trees.get(number).map(|tree| tree.pages.as_slice()).unwrap_or_default();
    let filled: Vec<u32> =
        pages.iter().filter(|page| ground.survey.page(**page).cells > 0).copied().collect();
    filled.iter().step_by(filled.len().div_ceil(LEAVES).max(1)).copied().collect()
}

/// A page of the fragment that holds records.
fn first_leaf(forest: &Forest, ground: Ground<'_, '_>, number: usize) -> Option<u32> {
    let tree = forest.trees.get(number)?;
    let filled = tree.pages.iter().find(|page| ground.survey.page(**page).cells > 0);
    filled.or(tree.pages.first()).or(tree.interior.first()).copied()
}

/// What the pointer map says of a page.
pub(super) fn map_entry(ground: Ground<'_, '_>, page: u32) -> Option<ptrmap::Entry> {
    if !ground.auto_vacuum {
        return None;
    }
    ground.view.map_entry(page)
}

/// The parent that the pointer map names for a page of a tree.
fn mapped_parent(ground: Ground<'_, '_>, page: u32) -> Option<u32> {
    let entry = map_entry(ground, page)?;
    (entry.kind == PointerKind::Tree).then_some(entry.parent)
}

/// Whether a page is some tree's, by what says which pages are free.
fn is_in_use(ground: Ground<'_, '_>, page: u32) -> bool {
    if ground.auto_vacuum {
        return mapped_parent(ground, page).is_some();
    }
    ground.free.whole && !ground.free.pages.contains(&page)
}

/// Whether the page holds rows of `sqlite_schema`.
pub(super) fn is_schema(ground: Ground<'_, '_>, page: u32) -> bool {
    let (mut rows, mut all) = (0_u32, true);
    sample::records(ground.view, ground.survey, page, 4, |_, header, payload| {
        rows += 1;
        let body = payload.get(header.len..).unwrap_or_default();
        // The encoding may not be known yet.
        let is_kind =
            |kind| TextEncoding::ALL.iter().any(|encoding| body.starts_with(&encoding.encode(kind)));
        all &= header.columns == 5 && ["table", "index", "view", "trigger"].into_iter().any(is_kind);
    });
    rows > 0 && all
}

/// Puts the pages of rowid trees in key order.
fn sort_pages(forest: &mut Forest, ground: Ground<'_, '_>) {
    for tree in forest.trees.iter_mut().filter(|tree| tree.rowids) {
        tree.pages.sort_by_key(|page| (ground.survey.page(*page).first, *page));
    }
}
