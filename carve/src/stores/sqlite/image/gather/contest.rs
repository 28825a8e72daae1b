//! Places that more than one database claims: a page of the image is of one database only.

use super::draft::Draft;
use super::search::Index;
use super::{Assembly, Rival};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Rounds in which databases that lost a place are laid anew.
const MOST_ROUNDS: usize = 24;

/// A claim of a database to a place.
#[derive(Clone, Copy, Debug)]
struct Claim {
    from: u64,
    to: u64,
    owner: usize,
    support: f32,
}

/// Lays databases anew until no two of them claim the same place.
pub(super) fn settle<'d>(
    drafts: &mut [Draft<'_>],
    index: &(dyn Fn(&Draft<'_>) -> &'d Index + Sync),
    claimed: &(dyn Fn(u64) -> bool + Sync),
) {
    for _ in 0..MOST_ROUNDS {
        let lost = contested(drafts);
        if lost.iter().all(Vec::is_empty) {
            break;
        }
        drafts.par_iter_mut().zip(&lost).for_each(|(draft, lost)| {
            if draft.lose(lost) {
                draft.run(index(draft), &|offset| claimed(offset));
            }
        });
    }
}

/// For each database the places that another one has a better claim to.
fn contested(drafts: &[Draft<'_>]) -> Vec<Vec<u64>> {
    let mut claims: Vec<Claim> = Vec::new();
    for (owner, draft) in drafts.iter().enumerate() {
        let size = draft.body.size();
        let claim = |(number, from)| Claim { from, to: from + size, owner, support: draft.claim(number) };
        claims.extend(draft.placed().map(claim));
    }
    claims.par_sort_by_key(|claim| (claim.from, claim.to, claim.owner));
    let mut lost = vec![Vec::new(); drafts.len()];
    let mut last: Option<Claim> = None;
    for claim in claims {
        let Some(before) = last.filter(|before| claim.from < before.to && before.owner != claim.owner) else {
            last = Some(claim);
            continue;
        };
        let (loser, kept) = if claim.support > before.support { (before, claim) } else { (claim, before) };
        if let Some(lost) = lost.get_mut(loser.owner) {
            lost.push(loser.from);
        }
        last = Some(kept);
    }
    lost
}

/// What the databases came to. A place that is surely of one page is no other place of another.
pub(super) fn finish(drafts: Vec<Draft<'_>>, claimed: &(dyn Fn(u64) -> bool + Sync)) -> Vec<Assembly> {
    let mut sure: BTreeMap<u64, (usize, u32)> = BTreeMap::new();
    for (owner, draft) in drafts.iter().enumerate() {
        let firm = draft.firm();
        let is_firm = |number: u32| firm.get(number as usize - 1) == Some(&true);
        sure.extend(
            draft
                .placed()
                .filter(|(number, _)| is_firm(*number))
                .map(|(number, offset)| (offset, (owner, number))),
        );
    }
    let mut assemblies: Vec<Assembly> =
        drafts.into_par_iter().map(|draft| draft.finish(&|offset| claimed(offset))).collect();
    loop {
        let open: Vec<Vec<u32>> = assemblies
            .iter()
            .map(|assembly| assembly.rivals.iter().map(|rival| rival.number).collect())
            .collect();
        let is_sure = |owner: usize, rival: &Rival| {
            let Some((holder, number)) = sure.get(&rival.offset) else { return false };
            let decided = open.get(*holder).is_some_and(|open| open.binary_search(number).is_err());
            let itself = (*holder, *number) == (owner, rival.number);
            !itself && decided
        };
        let mut changed = false;
        for (owner, assembly) in assemblies.iter_mut().enumerate() {
            let before = assembly.rivals.len();
            assembly.rivals.retain(|rival| !is_sure(owner, rival));
            changed |= assembly.rivals.len() < before;
        }
        if !changed {
            return assemblies;
        }
    }
}
