//! What a database came to, with the other places that its pages may have.

use super::super::body::Expect;
use super::super::fit::EVIDENCE;
use super::super::lay::{self, Guess};
use super::super::{Assembly, OfTree, Rival};
use super::{DECIDED, DOUBTED, Draft, MOST_ELSEWHERE};
use std::collections::BTreeMap;

impl Draft<'_> {
    /// What the database came to; `claimed` tells which places are of other files for sure, and `reached` those that lie beside
    /// pages of other databases and may be of them as well.
    pub(in super::super) fn finish(
        mut self,
        claimed: &dyn Fn(u64) -> bool,
        reached: &dyn Fn(u64) -> bool,
    ) -> Assembly {
        let size = self.body.size();
        // What nothing leads to is of the database only amid pages that are.
        let firm = self.firm();
        for ((place, expect), firm) in self.places.iter_mut().zip(&self.expects).zip(firm) {
            if *expect == Expect::Unknown && !firm {
                *place = None;
            }
        }
        let sure = self.sure();
        let is_sure = |number: u32| sure.get(number as usize - 1) == Some(&true);
        let mut missing = Vec::new();
        let mut rivals: BTreeMap<(u32, u64), Rival> = BTreeMap::new();
        for (number, laid) in (1..).zip(&self.laid) {
            let expect = self.expects.get(number as usize - 1);
            if self.place(number).is_none() && !matches!(expect, Some(Expect::Lock)) {
                missing.push(number);
            }
            let rival = laid.rival.filter(|_| laid.margin < DECIDED && !is_sure(number));
            if let Some(offset) = rival.and_then(|base| lay::place(base, number, size)) {
                // The scores are logarithms.
                let weight = 1.0 / (1.0 + f64::from(laid.margin).exp());
                rivals.insert((number, offset), Rival { number, offset, weight });
            }
        }
        let (pools, doubt) = self.pools(&sure, claimed, reached);
        let elsewhere = self.found_elsewhere(&sure);
        let in_twins = self.in_twins(claimed);
        for rival in self.over_breaks(&sure).into_iter().chain(elsewhere).chain(in_twins) {
            rivals.entry((rival.number, rival.offset)).or_insert(rival);
        }
        // What another database holds is of this one only if that goes on elsewhere too.
        for rival in rivals.values_mut() {
            if let Some(lead) = self.exchanges.get(&(rival.number, rival.offset)) {
                rival.weight = 1.0 / (1.0 + f64::from(*lead).exp());
            }
        }
        // Where both hold the same bytes, either will do.
        let differs = |rival: &Rival| {
            let at = self.place(rival.number);
            let same = |at: u64| at == rival.offset || self.body.bytes(at) == self.body.bytes(rival.offset);
            !at.is_some_and(same)
        };
        let of_tree = |(number, _): (u32, u64)| {
            let expect = self.expects.get(number as usize - 1);
            let fit = Some(self.fit(number)).filter(|fit| *fit >= 0.0);
            let fit = fit.filter(|_| matches!(expect, Some(Expect::Tree { .. })))?;
            Some(OfTree { number, by_keys: fit >= EVIDENCE || self.leads_to_some(number) })
        };
        Assembly {
            of_trees: self.placed().filter_map(of_tree).collect(),
            geometry: self.body.geometry,
            header: self.header,
            whole: self.header.is_some() && self.walked.is_whole(self.body.count),
            rivals: rivals.into_values().filter(|rival| !claimed(rival.offset) && differs(rival)).collect(),
            pools,
            elsewhere: doubt,
            unasked: self.unasked,
            missing,
            broken_links: self.walked.broken,
            places: self.places,
        }
    }

    /// Where a run ends, the pages before and behind that may as well be of it: their bytes don't tell.
    pub(in super::super) fn over_breaks(&mut self, sure: &[bool]) -> Vec<Rival> {
        let size = self.body.size();
        let mut rivals = Vec::new();
        for run in self.runs() {
            let Some(offset) = self.places.get(run.start).copied().flatten() else { continue };
            let base = lay::base_of(Guess { number: run.start as u32 + 1, offset }, size);
            let mut ask = |at: usize| {
                let number = at as u32 + 1;
                let (Some(false), Some(expect)) = (sure.get(at), self.expects.get(at)) else { return false };
                let Some(offset) = lay::place(base, number, size) else { return false };
                if matches!(expect, Expect::Unknown | Expect::Lock) {
                    return false;
                }
                let placed = self.places.get(at).copied().flatten().is_some();
                let own = if placed { self.fits.get(at).copied().unwrap_or(0.0) } else { 0.0 };
                self.known.work.add(1);
                if self.known.work.is_over() {
                    self.unasked = true;
                    return false;
                }
                let fit = self.known.fit(&self.body, offset, number, expect);
                let crosses = self.body.crosses(offset, number, expect, &self.expects);
                if fit >= 0.0 && own - fit < DECIDED && !crosses {
                    let weight = 1.0 / (1.0 + f64::from(own - fit).exp());
                    rivals.push(Rival { number, offset, weight });
                }
                fit >= 0.0
            };
            let _ = (0..run.start).rev().take_while(|at| ask(*at)).count();
            let _ = (run.end..self.places.len()).take_while(|at| ask(*at)).count();
        }
        rivals
    }

    /// Other places that pages may have of which it is not `sure`.
    pub(super) fn found_elsewhere(&mut self, sure: &[bool]) -> Vec<Rival> {
        let capacity = u64::from(self.body.geometry.overflow_capacity());
        let mut rivals = Vec::new();
        for (number, sure) in (1..).zip(sure) {
            let Some(expect) = self.expects.get(number as usize - 1) else { continue };
            let is_last = matches!(expect, Expect::Chain { left, .. } if *left <= capacity);
            if *sure
                || is_last
                || matches!(expect, Expect::Unknown | Expect::Free | Expect::Header | Expect::Lock)
            {
                continue;
            }
            // Of a tree another page may fit better by its keys, and lie beside others, when rows at its ends are gone.
            let by_keys = matches!(expect, Expect::Tree { .. });
            let least = if by_keys { DOUBTED } else { DECIDED };
            let place = self.place(number);
            let expect = *expect;
            for offset in self.body.index.find(&self.body, number, &expect, MOST_ELSEWHERE) {
                let alone = by_keys || self.is_as_good(number, offset);
                let beside = |draft: &Self, at: u64| if alone { 0.0 } else { draft.joined(number, at) };
                let own = place.map_or(0.0, |place| self.fit(number) + beside(self, place));
                let lead = own - self.known.fit(&self.body, offset, number, &expect) - beside(self, offset);
                if lead < least && !self.body.crosses(offset, number, &expect, &self.expects) {
                    rivals.push(Rival { number, offset, weight: 1.0 / (1.0 + f64::from(lead).exp()) });
                }
            }
        }
        rivals
    }
}
