//! Databases whose first page is gone: put together from interior pages of their trees, which say what their children are.

use super::super::hits::{Hit, HitKind};
use super::body::{Body, Expect, Key};
use super::draft::Draft;
use super::fit::{EVIDENCE, tree_page};
use super::known::Known;
use super::search::Index;
use super::shape::Shape;
use super::walk::{self, Start};
use super::work::Work;
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::{Page, PageKind};
use mudlark_parsers::value::TextEncoding;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Databases without a first page that are looked for: each takes a look at all interior pages that are left.
const MOST_DATABASES: usize = 256;

/// Interior pages with children in many places that are tried as the first of a database: they mostly are of one whose pages
/// lie scattered.
const MOST_LONE: usize = 16;

/// Interior pages of one size that are asked whether they go together: a database of 50 GiB has fewer.
const MOST_SEEDS: usize = 1 << 16;

/// Rounds in which interior pages join a database.
const MOST_ROUNDS: usize = 12;

/// Children of an interior page that are asked whether they are where a database has them.
const ASKED: usize = 64;

/// Whether a hit is an interior page of a size.
pub(super) fn is_seed(hit: Hit, page_size: u32) -> bool {
    matches!(hit.kind(), HitKind::TableInterior | HitKind::IndexInterior) && hit.is_page_of(page_size)
}

/// An interior page and what it says of its children.
struct Seed {
    offset: u64,
    is_table: bool,
    /// Its children, each with the greatest of its keys: what is expected of them takes five times as much.
    children: Vec<(u32, Key)>,
    greatest: u32,
    used: bool,
}

impl Seed {
    /// What is expected of its children, of every so many of them.
    fn expected(&self, step: usize) -> impl Iterator<Item = (u32, Expect)> + '_ {
        let (table, shape) = (Some(self.is_table), Shape::default());
        (0..self.children.len()).step_by(step).filter_map(move |at| {
            let (child, high) = *self.children.get(at)?;
            let low = at.checked_sub(1).and_then(|before| self.children.get(before));
            let low = low.map_or(Key::Open, |before| before.1);
            Some((child, Expect::Tree { table, shape, leaf: None, low, high, parent: 0 }))
        })
    }
}

/// Puts together what is left of databases without a first page; `indexes` are of all sizes of which there are interior
/// pages.
pub(super) fn drafts<'i>(
    image: &'i [u8],
    hits: &[Hit],
    indexes: &'i BTreeMap<u32, Index>,
    most_pages: &BTreeMap<u32, u32>,
    work: &mut Work,
    claimed: &(dyn Fn(u64) -> bool + Sync),
) -> Vec<Draft<'i>> {
    let mut found: Vec<Draft<'i>> = Vec::new();
    let mut own: HashSet<u64, RandomState> = HashSet::default();
    for (page_size, index) in indexes {
        let geometry = Geometry { page_size: *page_size, reserved: 0 };
        let linked = most_pages.get(page_size).copied().unwrap_or(0);
        let (encoding, auto_vacuum) = (TextEncoding::default(), false);
        let body = Body { image, geometry, index, count: 0, linked, encoding, auto_vacuum, first: None };
        let mut seeds: Vec<Seed> = hits
            .iter()
            .filter(|hit| is_seed(**hit, *page_size) && !claimed(hit.offset()))
            .filter_map(|hit| seed(image, hit.offset(), geometry))
            .filter(|seed| seed.greatest <= linked)
            .collect();
        // Those with most children say most.
        seeds.sort_by_key(|seed| (std::cmp::Reverse(seed.children.len()), seed.offset));
        seeds.truncate(MOST_SEEDS);
        for group in groups(&seeds, index, u64::from(*page_size), work) {
            let group: Vec<usize> =
                group.into_iter().filter(|at| seeds.get(*at).is_some_and(|seed| !seed.used)).collect();
            if found.len() >= MOST_DATABASES || work.is_over() {
                break;
            }
            if group.is_empty() {
                continue;
            }
            let taken = |offset: u64| claimed(offset) || own.contains(&offset);
            let reserved = reserved(&body, group.iter().filter_map(|at| seeds.get(*at)));
            let body = Body { geometry: Geometry { reserved, ..geometry }, ..body };
            let draft = database(body, &mut seeds, group, work, &taken);
            own.extend(draft.iter().flat_map(Draft::placed).map(|(_, offset)| offset));
            found.extend(draft);
        }
    }
    found
}

/// Interior pages of which one may be the first of a database, those first that say most: such as have their children in the
/// same run go together.
fn groups(seeds: &[Seed], index: &Index, size: u64, work: &mut Work) -> Vec<Vec<usize>> {
    let mut runs: BTreeMap<i64, (usize, Vec<usize>)> = BTreeMap::new();
    let mut lone = Vec::new();
    for (at, seed) in seeds.iter().enumerate() {
        let base = if work.is_over() { None } else { index.common_base(&seed.children, size, work) };
        match base {
            Some((base, votes)) => {
                let run = runs.entry(base).or_default();
                run.0 += votes;
                run.1.push(at);
            }
            None => lone.push(vec![at]),
        }
    }
    let mut runs: Vec<(usize, Vec<usize>)> = runs.into_values().collect();
    runs.sort_by_key(|(votes, _)| std::cmp::Reverse(*votes));
    lone.truncate(MOST_LONE);
    runs.into_iter().map(|(_, group)| group).chain(lone).collect()
}

fn seed(image: &[u8], offset: u64, geometry: Geometry) -> Option<Seed> {
    let from = usize::try_from(offset).ok()?;
    let bytes = image.get(from..from.checked_add(geometry.page_size as usize)?)?;
    let (page, _) = tree_page(bytes, 2, geometry)?;
    let kind = page.header.kind;
    let mut children: Vec<(u32, Key)> = Vec::with_capacity(page.pointer_count() + 1);
    children.extend(page.good_cells().map(|cell| (cell.left_child, walk::key(&cell, kind, offset))));
    children.push((page.header.right_child, Key::Open));
    let greatest = children.iter().map(|(child, _)| *child).max()?;
    let fits = children.iter().all(|(child, _)| *child >= 2);
    fits.then_some(Seed { offset, is_table: kind.is_table(), children, greatest, used: false })
}

/// Bytes at the end of each page that are reserved: cells are laid from there down, so that most pages have one that ends there.
fn reserved<'s>(body: &Body<'_>, seeds: impl Iterator<Item = &'s Seed>) -> u8 {
    let last_end = |offset: u64| {
        let page = Page::parse(body.bytes(offset)?, 2, body.geometry)?;
        // How much of a longer payload lies on the page is told by what is looked for.
        let cells = page.cells().filter_map(Result::ok).filter(|cell| cell.overflow == 0);
        cells.map(|cell| cell.end).max()
    };
    let mut ends: BTreeMap<u32, usize> = BTreeMap::new();
    let mut asked = 0;
    for seed in seeds {
        let step = seed.children.len().div_ceil(ASKED).max(1);
        let found = seed.expected(step).filter_map(|(child, expect)| {
            let offset = body.index.find(body, child, &expect, 1).first().copied()?;
            (body.fit(offset, child, &expect) >= EVIDENCE).then_some(offset)
        });
        for end in found.chain([seed.offset]).filter_map(last_end) {
            *ends.entry(end).or_default() += 1;
            asked += 1;
        }
        if asked >= ASKED {
            break;
        }
    }
    let most =
        ends.into_iter().max_by_key(|(end, pages)| (*pages, *end)).filter(|(_, pages)| pages * 2 > asked);
    most.and_then(|(end, _)| u8::try_from(body.geometry.page_size.checked_sub(end)?).ok()).unwrap_or(0)
}

/// The database of some interior pages, with all others that go with them; nothing but its count of pages is lacking to `body`.
fn database<'i>(
    body: Body<'i>,
    seeds: &mut [Seed],
    group: Vec<usize>,
    work: &mut Work,
    claimed: &dyn Fn(u64) -> bool,
) -> Option<Draft<'i>> {
    let mut members = group;
    // The draft of each round: one that begins as one before does comes to the same.
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let mut last: Option<usize> = None;
    let mut known = Known::of_work(*work);
    for _ in 0..MOST_ROUNDS {
        let draft = last.and_then(|last| drafts.get(last));
        let chosen: Vec<&Seed> = members.iter().filter_map(|member| seeds.get(*member)).collect();
        let greatest = chosen.iter().map(|seed| seed.greatest).max()?;
        let numbers: HashMap<u64, u32, RandomState> =
            draft.into_iter().flat_map(Draft::placed).map(|(number, offset)| (offset, number)).collect();
        let now: Vec<Start> = chosen
            .iter()
            .map(|seed| Start { offset: seed.offset, number: numbers.get(&seed.offset).copied() })
            .collect();
        if draft.is_some_and(|draft| draft.starts == now && draft.greatest() <= draft.body.count) {
            break;
        }
        let named = draft.map_or(0, Draft::greatest);
        let count = greatest.max(numbers.values().copied().max().unwrap_or(0)).max(named).min(body.linked);
        last = drafts.iter().position(|draft| draft.starts == now && draft.body.count == count);
        if last.is_some() {
            continue;
        }
        let mut next = Draft::new(Body { count, ..body }, None, now);
        std::mem::swap(&mut next.known, &mut known);
        next.run(claimed);
        std::mem::swap(&mut next.known, &mut known);
        known.work.add(seeds.len() as u64);
        for (number, seed) in seeds.iter().enumerate() {
            if !seed.used && !members.contains(&number) && goes_with(&next, seed) {
                members.push(number);
            }
        }
        last = Some(drafts.len());
        drafts.push(next);
    }
    *work = known.work;
    for member in &members {
        if let Some(seed) = seeds.get_mut(*member) {
            seed.used = true;
        }
    }
    let mut draft = last.filter(|last| *last < drafts.len()).map(|last| drafts.swap_remove(last))?;
    draft.known = known;
    draft.known.work = Work::default();
    let placed: HashSet<u64, RandomState> = draft.placed().map(|(_, offset)| offset).collect();
    for seed in seeds.iter_mut().filter(|seed| placed.contains(&seed.offset)) {
        seed.used = true;
    }
    // Without a table there is no row, and one page with one child may be anything.
    let is_row_page = |(number, offset): &(u32, u64)| {
        let kind = draft.body.bytes(*offset).and_then(|bytes| PageKind::from_number(*bytes.first()?));
        draft.fit(*number) >= EVIDENCE && kind == Some(PageKind::TableLeaf)
    };
    (draft.placed().filter(is_row_page).count() >= 2).then_some(draft)
}

/// Whether the children of an interior page lie where a database has pages of their numbers, or it lies among them.
fn goes_with(draft: &Draft<'_>, seed: &Seed) -> bool {
    let (mut fitting, mut asked) = (0, 0);
    let step = seed.children.len().div_ceil(ASKED).max(1);
    for (child, expect) in seed.expected(step) {
        let Some(offset) = draft.place(child) else { continue };
        asked += 1;
        fitting += usize::from(draft.body.fit(offset, child, &expect) >= EVIDENCE);
    }
    fitting >= 2 && fitting * 2 >= asked || fitting == 1 && asked == 1 && seed.children.len() <= 2
}
