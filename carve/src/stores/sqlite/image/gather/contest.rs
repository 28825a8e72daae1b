//! Places that more than one database claims: a page of the image is of one database only.

use super::draft::{Draft, Left, Rank};
use super::{Assembly, Pool, exchange, share};
use foldhash::fast::RandomState;
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Rounds in which databases that lost a place are laid anew.
const MOST_ROUNDS: usize = 24;

/// Times that places are given back which their claimants don't hold any more.
const MOST_RETURNS: usize = 2;

/// Times that databases exchange pages, and are settled anew.
const MOST_EXCHANGES: usize = 2;

/// Looks at what is sure of others for what that leaves open.
const MOST_LOOKS: usize = 64;

/// A claim of a database to a place.
#[derive(Clone, Copy, Debug)]
struct Claim {
    from: u64,
    to: u64,
    owner: usize,
    /// The place is amid others of the same file, nothing else does for the page nearly as well, and how much of that file is
    /// known.
    standing: (bool, bool, Rank),
    support: f32,
}

impl Claim {
    fn is_better_than(&self, other: &Self) -> bool {
        (self.standing, self.support) > (other.standing, other.support)
    }
}

/// Lays databases anew until no two of them claim the same place.
pub(super) fn settle(drafts: &mut [Draft<'_>], claimed: &(dyn Fn(u64) -> bool + Sync)) {
    let mut returns = 0;
    for _ in 0..MOST_ROUNDS {
        let lost = contested(drafts);

        let again: Vec<bool> = if lost.iter().any(|lost| !lost.is_empty()) {
            drafts.iter_mut().zip(&lost).map(|(draft, lost)| draft.lose(lost)).collect()
        } else if returns < MOST_RETURNS {
            returns += 1;
            let (traded, returned) = (traded(drafts), returned(drafts));
            traded.iter().zip(returned).map(|(traded, returned)| *traded || returned).collect()
        } else {
            break;
        };
        if !again.contains(&true) {
            break;
        }
        drafts.par_iter_mut().zip(&again).filter(|(_, again)| **again).for_each(|(draft, _)| {
            draft.run(&|offset| claimed(offset));
        });
    }
}

/// Gives places back that nobody holds; to which databases there were any.
fn returned(drafts: &mut [Draft<'_>]) -> Vec<bool> {
    let held = held(drafts);
    drafts.par_iter_mut().map(|draft| draft.take_back(&|from, size| overlaps(&held, from, size))).collect()
}

/// The places of all pages, in order.
fn held(drafts: &[Draft<'_>]) -> Vec<(u64, u64)> {
    let of = |draft: &Draft<'_>| draft.body.size();
    let mut held: Vec<(u64, u64)> = drafts
        .iter()
        .flat_map(|draft| draft.placed().map(move |(_, from)| (from, from + of(draft))))
        .collect();
    held.par_sort_unstable();
    held
}

/// Whether a page has a place among those that are `held`.
fn overlaps(held: &[(u64, u64)], from: u64, size: u64) -> bool {
    let behind = held.partition_point(|(other, _)| *other < from + size);
    // Pages of databases are of few sizes: what reaches here begins not long before.
    let near = held.get(..behind).unwrap_or_default().iter().rev().take(4);
    near.into_iter().any(|(_, to)| *to > from)
}

/// Has databases exchange places that lie amid pages of the other one, where its page fits as well; which ones did.
fn traded(drafts: &mut [Draft<'_>]) -> Vec<bool> {
    let wishes: Vec<Vec<(u32, u64)>> = drafts.par_iter_mut().map(Draft::wishes).collect();
    let mut lone: HashMap<u64, (usize, u32), RandomState> = HashMap::default();
    for (owner, draft) in drafts.iter().enumerate() {
        let alone = draft.placed().filter(|(number, offset)| draft.joined(*number, *offset) <= 0.0);
        lone.extend(alone.map(|(number, offset)| (offset, (owner, number))));
    }
    let mut traded = vec![false; drafts.len()];
    for (owner, wishes) in wishes.into_iter().enumerate() {
        for (number, wish) in wishes {
            let Some((holder, held)) = lone.get(&wish).copied().filter(|lone| lone.0 != owner) else {
                continue;
            };
            let given = drafts.get_mut(owner).and_then(|draft| draft.exchange(number, wish));
            if let Some((given, holder)) = given.zip(drafts.get_mut(holder)) {
                holder.exchange(held, given);
            }
            for changed in [owner, holder] {
                if let Some(traded) = traded.get_mut(changed) {
                    *traded = true;
                }
            }
        }
    }
    traded
}

/// For each database the places that another one has a better claim to.
fn contested(drafts: &[Draft<'_>]) -> Vec<Vec<u64>> {
    let claims = drafts.par_iter().enumerate().flat_map_iter(|(owner, draft)| {
        let (size, rank, bound) = (draft.body.size(), draft.rank(), draft.bound());
        let claim = move |(number, from): (u32, u64)| Claim {
            from,
            to: from + size,
            owner,
            standing: (bound.get(number as usize - 1) == Some(&true), draft.needs(number), rank),
            support: draft.claim(number),
        };
        draft.placed().map(claim)
    });
    let mut claims: Vec<Claim> = claims.collect();
    claims.par_sort_by_key(|claim| (claim.from, claim.to, claim.owner));
    let mut lost = vec![Vec::new(); drafts.len()];
    let mut last: Option<Claim> = None;
    for claim in claims {
        let Some(before) = last.filter(|before| claim.from < before.to && before.owner != claim.owner) else {
            last = Some(claim);
            continue;
        };
        let (loser, kept) = if claim.is_better_than(&before) { (before, claim) } else { (claim, before) };
        if let Some(lost) = lost.get_mut(loser.owner) {
            lost.push(loser.from);
        }
        last = Some(kept);
    }
    lost
}

/// Gives pages that lie nowhere the places that are left, database by database: those beside their own pages first, and first those
/// of databases that lack few.
fn fill(drafts: &mut [Draft<'_>], claimed: &(dyn Fn(u64) -> bool + Sync)) {
    let held = held(drafts);
    let mut filled: HashSet<u64> = HashSet::new();
    for left in [Left::Beside, Left::Any] {
        let mut order: Vec<&mut Draft<'_>> = drafts.iter_mut().collect();
        order.sort_by_key(|draft| draft.lacking());
        for draft in order {
            let (size, before) =
                (draft.body.size(), draft.placed().map(|(_, offset)| offset).collect::<HashSet<_>>());
            let is_held = |offset: u64| overlaps(&held, offset, size) || filled.contains(&offset);
            draft.fill(left, &|offset| claimed(offset) || is_held(offset));
            filled.extend(draft.placed().map(|(_, offset)| offset).filter(|offset| !before.contains(offset)));
        }
    }
}

/// A database in one piece, with pages at its end that nothing but the run tells.
pub(super) struct Ended<'i> {
    pub draft: Draft<'i>,
    pub untold: Vec<u32>,
    /// Pages of it that may be those of other databases.
    pub pools: Vec<Pool>,
}

impl Ended<'_> {
    /// Where the pages at its end lie.
    fn offsets(&self) -> impl Iterator<Item = u64> + '_ {
        let first = self.draft.body.first.unwrap_or(0);
        self.untold.iter().map(move |number| first + u64::from(number - 1) * self.draft.body.size())
    }
}

/// What the databases came to. A place that is surely of one page is no other place of another. Of those in one piece the ends are
/// open where the runs of others reach.
pub(super) fn finish(
    mut drafts: Vec<Draft<'_>>,
    ended: &mut [Ended<'_>],
    all: u64,
    claimed: &(dyn Fn(u64) -> bool + Sync),
) -> Vec<Assembly> {
    let of_ends: HashSet<u64> = ended.iter().flat_map(Ended::offsets).collect();
    let held = claimed;
    let claimed = |offset: u64| held(offset) && !of_ends.contains(&offset);
    share(all, drafts.iter_mut());
    for _ in 0..MOST_EXCHANGES {
        if !exchange::exchange(&mut drafts) {
            break;
        }
        settle(&mut drafts, held);
    }
    exchange::weigh(&mut drafts);
    fill(&mut drafts, held);
    share(all, drafts.iter_mut());
    share(all, ended.iter_mut().map(|ended| &mut ended.draft));
    let mut sure: BTreeMap<u64, (usize, u32)> = BTreeMap::new();
    // Places beside the runs of databases, of which they may be pages as well, by the database; `None` where there are several.
    let mut reached: HashMap<u64, Option<usize>, RandomState> = HashMap::default();
    for (owner, draft) in drafts.iter_mut().enumerate() {
        let of_draft = draft.sure();
        let is_sure = |number: u32| of_draft.get(number as usize - 1) == Some(&true);
        let placed = draft.placed().filter(|(number, _)| is_sure(*number));
        sure.extend(placed.map(|(number, offset)| (offset, (owner, number))));
        for rival in draft.over_breaks(&of_draft) {
            let known = reached.entry(rival.offset).or_insert(Some(owner));
            *known = known.filter(|known| *known == owner);
        }
    }
    for Ended { draft, untold, pools } in ended.iter_mut() {
        *pools = draft.reached_pools(untold, &claimed, &|offset| reached.contains_key(&offset));
    }
    let finish = |(owner, draft): (usize, Draft<'_>)| {
        let of_others = |offset: u64| reached.get(&offset).is_some_and(|by| *by != Some(owner));
        draft.finish(&claimed, &of_others)
    };
    let mut assemblies: Vec<Assembly> = drafts.into_par_iter().enumerate().map(finish).collect();
    // A run that was not followed to its end may be that of a page of any.
    let cut = assemblies.iter().any(|assembly| assembly.unasked);
    assemblies.iter_mut().for_each(|assembly| assembly.unasked |= cut);
    ended.iter_mut().for_each(|ended| ended.draft.unasked |= cut);
    for _ in 0..MOST_LOOKS {
        let open: Vec<HashSet<u32>> = assemblies
            .iter()
            .map(|assembly| {
                let pooled = assembly.pools.iter().flat_map(|pool| pool.numbers.iter().copied());
                assembly.rivals.iter().map(|rival| rival.number).chain(pooled).collect()
            })
            .collect();
        let is_sure = |owner: usize, offset: u64, itself: u32| {
            let Some((holder, number)) = sure.get(&offset) else { return false };
            let decided = open.get(*holder).is_some_and(|open| !open.contains(number));
            (*holder, *number) != (owner, itself) && decided
        };
        let mut changed = false;
        for (owner, assembly) in assemblies.iter_mut().enumerate() {
            let before = assembly.choices();
            // A page that was not found lies where it seemed to lie, if it lies anywhere.
            let Assembly { rivals, places, .. } = assembly;
            let is_lost = |number: u32| places.get(number as usize - 1).copied().flatten().is_none();
            rivals.retain(|rival| is_lost(rival.number) || !is_sure(owner, rival.offset, rival.number));
            for pool in &mut assembly.pools {
                pool.offsets.retain(|offset| !is_sure(owner, *offset, 0));
            }
            assembly.drop_decided();
            changed |= assembly.choices() < before;
        }
        if !changed {
            break;
        }
    }
    assemblies
}
