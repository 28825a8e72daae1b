//! Puts the databases of an image together: which of its pages are of one database, and under which numbers.
//!
//! A file that lies in one piece is walked from its page 1, and when all that it leads to is there, it is settled.
//! For the others the walk says what each page must be; pages are found by that, laid in runs, and walked again, until
//! nothing changes. What two databases claim goes to the one with the better evidence. Pages of trees without a first
//! page are put together from their interior pages.

mod agree;
mod body;
mod contest;
mod draft;
mod exchange;
mod fit;
mod headless;
mod keys;
mod known;
mod lay;
mod links;
mod order;
mod pointers;
mod roots;
mod schema;
mod search;
mod shape;
mod walk;
mod work;

use super::hits::{Hit, HitKind};
use crate::progress::Progress;
use crate::source::Source;
use contest::Ended;
use draft::{Draft, Rank, Whole};
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::header::Header;
use rayon::prelude::*;
use search::Index;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use work::Work;

/// How many times the pages that an image has room for its headers may count in all: each page is of one database, but
/// some of them may be lost, and headers that count more are lies.
const MOST_TIMES: u64 = 16;

/// Of so many pages of a database one at least shows what it is: the others are of chains, or gone.
const SPARSE: u64 = 256;

/// Pages that a database may have, whatever the image shows of them.
const LEAST: u64 = 1 << 16;

/// A database, as far as it could be put together.
#[derive(Clone, Debug)]
pub(in super::super) struct Assembly {
    pub geometry: Geometry,
    /// `None` where page 1 was not found.
    pub header: Option<Header>,
    /// Of each page from the first on where it lies.
    pub places: Vec<Option<u64>>,
    /// Other places that pages may have.
    pub rivals: Vec<Rival>,
    /// Pages each of which may have any of some places.
    pub pools: Vec<Pool>,
    /// Pages of trees: what they hold stands by itself, wherever it belongs.
    pub of_trees: Vec<OfTree>,
    /// How likely a page lies elsewhere of which nothing but the run that it lies in tells.
    pub elsewhere: f64,
    /// Not all places were asked for: too many would do.
    pub unasked: bool,
    /// Pages that must be there and are not.
    pub missing: Vec<u32>,
    /// All links hold, and each page has its use.
    pub whole: bool,
    /// Links out of the database, and pages to which two links lead.
    pub broken_links: u32,
}

impl Assembly {
    /// How many other places there are for its pages.
    fn choices(&self) -> usize {
        self.rivals.len() + self.pools.iter().map(|pool| pool.offsets.len()).sum::<usize>()
    }

    /// Leaves out pools that leave no choice: one place for one page, which has it.
    fn drop_decided(&mut self) {
        let place = |number: u32| self.places.get(number as usize - 1).copied().flatten();
        self.pools.retain(|pool| match (pool.offsets.as_slice(), pool.numbers.as_slice()) {
            ([], _) => false,
            ([offset], [number]) => pool.filled || place(*number) != Some(*offset),
            _ => true,
        });
    }

    /// The pages of trees that may lie elsewhere, and of which their keys tell that they are of these trees or ones just like them.
    pub fn guesses(&self) -> Vec<u32> {
        let open = self.open_pages();
        let guessed = self.of_trees.iter().filter(|page| page.by_keys && open.contains(&page.number));
        guessed.map(|page| page.number).collect()
    }

    /// Where the other ones lie: nothing but their kind tells of which tree they are.
    fn untold(&self) -> HashSet<u64> {
        let open = self.open_pages();
        let untold = self.of_trees.iter().filter(|page| !page.by_keys && open.contains(&page.number));
        untold.filter_map(|page| self.places.get(page.number as usize - 1).copied().flatten()).collect()
    }

    /// The pages that may lie elsewhere as well.
    pub fn open_pages(&self) -> BTreeSet<u32> {
        let pooled = self.pools.iter().flat_map(|pool| pool.numbers.iter().copied());
        self.rivals.iter().map(|rival| rival.number).chain(pooled).collect()
    }
}

/// A page of a tree that lies somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct OfTree {
    pub number: u32,
    /// Its keys tell that it lies there.
    pub by_keys: bool,
}

/// Another place that a page may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Rival {
    pub number: u32,
    pub offset: u64,
    /// How likely it is, against the place that was chosen.
    pub weight: f64,
}

/// Pages of a database that may lie in any of some places, as far as the bytes tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Pool {
    pub numbers: Vec<u32>,
    pub offsets: Vec<u64>,
    /// A page of it has what was left: even where that is one place, the true one may be gone.
    pub filled: bool,
}

/// What an image was put together to.
#[derive(Debug, Default)]
pub(in super::super) struct Gathered {
    /// In the order of their first pages.
    pub assemblies: Vec<Assembly>,
    /// Pages that belong to none of them.
    pub orphans: Vec<Hit>,
}

/// Runs of an image that are claimed by files, in order.
#[derive(Debug, Default)]
struct Claimed(Vec<(u64, u64)>);

impl Claimed {
    /// Of pages, each with its size, and of other runs.
    fn of(pages: impl Iterator<Item = (u64, u64)>, others: &[(u64, u64)]) -> Self {
        let mut runs: Vec<(u64, u64)> = others.to_vec();
        for (offset, size) in pages {
            match runs.last_mut() {
                Some((_, end)) if *end == offset => *end += size,
                _ => runs.push((offset, offset + size)),
            }
        }
        runs.sort_unstable();
        Self(runs)
    }

    fn has(&self, offset: u64) -> bool {
        let behind = self.0.partition_point(|(from, _)| *from <= offset);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, to)| offset < *to)
    }
}

/// The pages of databases, each with its size.
fn pages(assemblies: &[Assembly]) -> impl Iterator<Item = (u64, u64)> + '_ {
    assemblies.iter().flat_map(|assembly| {
        let size = u64::from(assembly.geometry.page_size);
        assembly.places.iter().flatten().map(move |offset| (*offset, size))
    })
}

/// The pages that databases under way hold for good, each with its size: all of those of which most is known, and of the rest
/// what lies amid other pages or tells itself.
fn held(drafts: &[Draft<'_>]) -> Vec<(u64, u64)> {
    let held = |draft: &Draft<'_>| {
        let (size, all, own) = (draft.body.size(), draft.rank() > Rank::Scraps, draft.own());
        let is_held = |number: u32| all || own.get(number as usize - 1) == Some(&true);
        let pages = draft.placed().filter(|(number, _)| is_held(*number));
        pages.map(|(_, offset)| (offset, size)).collect::<Vec<_>>()
    };
    drafts.iter().flat_map(held).collect()
}

/// The most pages of each size that a database may have: as many as the image has room for, and bears out. Numbers beyond
/// are lies, for which no memory is taken.
fn most_pages(image: &[u8], hits: &[Hit]) -> BTreeMap<u32, u32> {
    let most = |size: u32| {
        let shown = hits.par_iter().filter(|hit| hit.is_page_of(size)).count() as u64;
        let most = (image.len() as u64 / u64::from(size)).min((shown * SPARSE).max(LEAST));
        u32::try_from(most).unwrap_or(u32::MAX - 1)
    };
    PAGE_SIZES.into_iter().map(|size| (size, most(size))).collect()
}

/// Leaves out the databases that count most pages where all of them count more than so many.
fn drop_liars(drafts: &mut Vec<Draft<'_>>, most: u64) {
    let mut counts: Vec<u32> = drafts.iter().map(|draft| draft.body.count).collect();
    counts.sort_unstable();
    let mut counted = 0;
    counts.retain(|count| {
        counted += u64::from(*count);
        counted <= most
    });
    // Of those that count as many as the greatest that is kept the first ones stay.
    let mut of_greatest = counts.iter().filter(|count| Some(*count) == counts.last()).count();
    let greatest = counts.last().copied().unwrap_or(0);
    drafts.retain(|draft| {
        let stays = draft.body.count < greatest || draft.body.count == greatest && of_greatest > 0;
        of_greatest -= usize::from(stays && draft.body.count == greatest);
        stays
    });
}

/// Shares out the work that may be done for databases.
fn share<'d, 'i: 'd>(all: u64, drafts: impl Iterator<Item = &'d mut Draft<'i>>) {
    let drafts: Vec<&mut Draft<'_>> = drafts.collect();
    let counts: Vec<u32> = drafts.iter().map(|draft| draft.body.count).collect();
    for (draft, share) in drafts.into_iter().zip(Work::shares(all, &counts)) {
        draft.known.work.allow(share);
    }
}

/// Puts together what the hits of an image, in the order of their offsets, are parts of; `logs` are runs of it that are
/// of logs and journals.
pub(in super::super) fn gather(
    source: &Source,
    hits: &[Hit],
    logs: &[(u64, u64)],
    progress: &dyn Progress,
) -> Gathered {
    put_together(source, hits, logs, progress).0
}

/// The same, with the work that it took until nothing was left but to fill gaps.
fn put_together(
    source: &Source,
    hits: &[Hit],
    logs: &[(u64, u64)],
    progress: &dyn Progress,
) -> (Gathered, u64) {
    let image = source.bytes();
    progress.stage("putting databases together", 1);
    let of_logs = Claimed::of([].into_iter(), logs);
    let heads = hits.par_iter().filter(|hit| hit.kind() == HitKind::Header && !of_logs.has(hit.offset()));
    let most_pages = most_pages(image, hits);
    let begin = |hit: &Hit| Draft::at(image, hit.offset(), &most_pages);
    let mut begun: Vec<Draft<'_>> = heads.filter_map(begin).collect();
    drop_liars(&mut begun, MOST_TIMES * (image.len() as u64 / 512 + 1));
    let tried: Vec<(Draft<'_>, Option<Whole>)> = begun
        .into_par_iter()
        .map(|draft| {
            let whole = draft.in_one_piece();
            if let Some(piece) = draft.one_piece() {
                source.release(piece.start as usize..piece.end as usize);
            }
            (draft, whole)
        })
        .collect();
    let (mut assemblies, mut drafts, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    for (draft, whole) in tried {
        match whole {
            Some(Whole { assembly, untold }) => {
                if !untold.is_empty() {
                    ended.push((assemblies.len(), Ended { draft, untold, pools: Vec::new() }));
                }
                assemblies.push(assembly);
            }
            None => drafts.push(draft),
        }
    }
    let claimed = Claimed::of(pages(&assemblies), logs);
    let loose = |hit: &Hit| !claimed.has(hit.offset()) && hit.kind() != HitKind::Header;
    // The sizes of which pages are looked for, each with the most pages of a database.
    let mut sizes: BTreeMap<u32, u32> = BTreeMap::new();
    for page_size in PAGE_SIZES {
        let of_size = drafts.iter().filter(|draft| draft.body.geometry.page_size == page_size);
        let orphaned = || hits.iter().any(|hit| loose(hit) && headless::is_seed(*hit, page_size));
        let most = of_size.map(|draft| draft.body.count).max();
        if most.is_some() || orphaned() {
            sizes.insert(page_size, most.unwrap_or(0));
        }
    }
    let taken = |offset| claimed.has(offset);
    let links = links::links(source, &sizes, &taken, progress);
    let of_size = |(size, links)| (size, Index::of(image, hits, size, links, &taken));
    let indexes: BTreeMap<u32, Index> = links.into_iter().map(of_size).collect();
    let mut drafts: Vec<Draft<'_>> = drafts;
    let all = Work::of_image(image.len() as u64);
    share(all, drafts.iter_mut());
    for draft in &mut drafts {
        if let Some(index) = indexes.get(&draft.body.geometry.page_size) {
            draft.body.index = index;
        }
    }
    drafts.par_iter_mut().filter(|_| !progress.interrupted()).for_each(|draft| {
        draft.run(&|offset| claimed.has(offset));
    });
    // What is half done is of no use, and the caller tells that the user stopped it.
    if progress.interrupted() {
        return (Gathered::default(), 0);
    }
    contest::settle(&mut drafts, &|offset| claimed.has(offset));
    if progress.interrupted() {
        return (Gathered::default(), 0);
    }
    let held = Claimed::of(held(&drafts).into_iter(), &claimed.0);
    let mut work = Work::of_most(all);
    let mut headless =
        headless::drafts(image, hits, &indexes, &most_pages, &mut work, &|offset| held.has(offset));
    share(all, headless.iter_mut());
    drafts.extend(headless);
    contest::settle(&mut drafts, &|offset| claimed.has(offset));
    let work = work.done() + drafts.iter().map(|draft| draft.known.work.done()).sum::<u64>();
    // Where no other database of its size lies in pieces, nothing reaches its end.
    ended.retain_mut(|(_, ended)| {
        let index = indexes.get(&ended.draft.body.geometry.page_size);
        index.map(|index| ended.draft.body.index = index).is_some()
    });
    let (of, mut ended): (Vec<usize>, Vec<Ended<'_>>) = ended.into_iter().unzip();
    let others = contest::finish(drafts, &mut ended, all, &|offset| claimed.has(offset));
    for (of, ended) in of.into_iter().zip(ended) {
        if let Some(assembly) = assemblies.get_mut(of) {
            assembly.pools = ended.pools;
            assembly.unasked = ended.draft.unasked;
        }
    }
    assemblies.extend(others);
    assemblies.sort_by_key(|assembly| assembly.places.iter().copied().flatten().next());
    let claimed = Claimed::of(pages(&assemblies), logs);
    // What a page holds of which nothing tells the tree is of none.
    let untold: HashSet<u64> = assemblies.iter().flat_map(Assembly::untold).collect();
    let is_orphan = |hit: &Hit| !claimed.has(hit.offset()) || untold.contains(&hit.offset());
    let orphans = hits.iter().filter(|hit| is_orphan(hit)).copied().collect();
    progress.advance(1);
    (Gathered { assemblies, orphans }, work)
}

#[cfg(test)]
mod tests;
