//! Databases that lie in one piece, which most do: nothing is looked for.

use super::super::body::Expect;
use super::super::fit::EVIDENCE;
use super::super::known::Known;
use super::super::walk;
use super::super::{Assembly, Pool};
use super::Draft;
use std::ops::Range;

/// A database that lies in one piece.
pub(in super::super) struct Whole {
    pub assembly: Assembly,
    /// The pages at its end that nothing but the run tells, those of chains: another file may begin there.
    pub untold: Vec<u32>,
}

impl Draft<'_> {
    /// Where the database lies in the image when it lies in one piece.
    pub(in super::super) fn one_piece(&self) -> Option<Range<u64>> {
        let first = self.body.first?;
        let end = first + u64::from(self.body.count) * self.body.size();
        (end <= self.body.image.len() as u64).then_some(first..end)
    }

    /// The database, when it lies in one piece behind its page 1, and all its parts are there.
    pub(in super::super) fn in_one_piece(&self) -> Option<Whole> {
        let (first, size) = (self.one_piece()?.start, self.body.size());
        let place = |number: u32| Some(first + u64::from(number - 1) * size);
        let (mut told, mut untold) = (1, Vec::new());
        let mut visit = |number: u32, expect: &Expect, fit: Option<f32>| {
            if fit.is_some_and(|fit| fit >= EVIDENCE) {
                told = told.max(number);
            } else if matches!(expect, Expect::Chain { .. }) {
                untold.push(number);
            }
        };
        let walked = walk::walk(&self.body, &mut Known::default(), &[], &place, &mut visit);
        untold.retain(|number| *number > told);
        let assembly = walked.is_whole(self.body.count).then(|| Assembly {
            geometry: self.body.geometry,
            header: self.header,
            places: (1..=self.body.count).map(place).collect(),
            rivals: Vec::new(),
            pools: Vec::new(),
            of_trees: Vec::new(),
            elsewhere: 0.0,
            unasked: false,
            missing: Vec::new(),
            whole: true,
            broken_links: 0,
        });
        Some(Whole { assembly: assembly?, untold })
    }

    /// The pools of pages that lie where its run has them; of those that the runs of other databases may have as well, as
    /// `reached` says.
    pub(in super::super) fn reached_pools(
        &mut self,
        untold: &[u32],
        claimed: &dyn Fn(u64) -> bool,
        reached: &dyn Fn(u64) -> bool,
    ) -> Vec<Pool> {
        self.begin();
        self.walk();
        let sure = self.sure();
        let (mut pools, _) = self.pools(&sure, claimed, reached);
        let is_open = |number: &u32| untold.contains(number) && self.place(*number).is_some_and(reached);
        pools.iter_mut().for_each(|pool| pool.numbers.retain(is_open));
        pools.retain(|pool| !pool.numbers.is_empty());
        pools
    }
}
