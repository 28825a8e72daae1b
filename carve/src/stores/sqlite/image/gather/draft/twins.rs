//! Runs that lie twice, as those of two states of one database do: where a page of the one holds the same bytes as a page of the
//! other, those around it may change places.

use super::super::Rival;
use super::super::lay::{self, Guess};
use super::{DOUBTED, Draft};
use std::collections::{BTreeMap, BTreeSet};

impl Draft<'_> {
    /// The other places that pages have in runs that are twins of their own.
    pub(super) fn in_twins(&mut self, claimed: &dyn Fn(u64) -> bool) -> Vec<Rival> {
        let mut rivals = Vec::new();
        for (base, numbers) in self.twins() {
            let mut behind = 0;
            for number in numbers {
                let falling = (behind + 1..number).rev();
                let _ =
                    falling.take_while(|number| self.ask_twin(*number, base, claimed, &mut rivals)).count();
                behind = behind.max(number);
                while self.ask_twin(behind + 1, base, claimed, &mut rivals) {
                    behind += 1;
                }
            }
        }
        rivals
    }

    /// The runs, and the pages in them that hold the same bytes as the pages of their numbers.
    fn twins(&self) -> BTreeMap<i64, BTreeSet<u32>> {
        let size = self.body.size();
        let mut twins: BTreeMap<i64, BTreeSet<u32>> = BTreeMap::new();
        for (number, place) in self.placed() {
            let own = self.body.bytes(place);
            let found = self.found.get(number as usize - 1).into_iter().flatten().copied();
            for offset in found.filter(|offset| *offset != place && self.body.bytes(*offset) == own) {
                twins.entry(lay::base_of(Guess { number, offset }, size)).or_default().insert(number);
            }
        }
        twins
    }

    /// Notes the place of a page in a run as one that it may have; whether the run can reach as far.
    fn ask_twin(
        &mut self,
        number: u32,
        base: i64,
        claimed: &dyn Fn(u64) -> bool,
        rivals: &mut Vec<Rival>,
    ) -> bool {
        let Some(offset) = lay::place(base, number, self.body.size()).filter(|offset| !claimed(*offset))
        else {
            return false;
        };
        let Some((expect, place)) = self.expects.get(number as usize - 1).copied().zip(self.place(number))
        else {
            return false;
        };
        if place == offset {
            return false;
        }
        self.known.work.add(1);
        if self.known.work.is_over() {
            self.unasked = true;
            return false;
        }
        let fit = self.known.fit(&self.body, offset, number, &expect);
        if fit < 0.0 || self.body.crosses(offset, number, &expect, &self.expects) {
            return false;
        }
        let lead = self.fit(number) - fit;
        if lead < DOUBTED {
            rivals.push(Rival { number, offset, weight: 1.0 / (1.0 + f64::from(lead).exp()) });
        }
        true
    }
}
