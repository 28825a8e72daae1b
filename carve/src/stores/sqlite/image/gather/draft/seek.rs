//! Interior pages that neither their run nor their keys tell: looked for by what they lead to.

use super::super::body::{Expect, Key};
use super::super::fit::STRONG;
use super::super::lay::{self, Guess, Laid};
use super::super::roots::{self, Root, Told};
use super::{DECIDED, Draft, MOST_ELSEWHERE};
use std::collections::HashSet;

impl Draft<'_> {
    /// Looks for interior pages that were not found, or have a leaf in their place that nothing binds to it, while there are
    /// pages that no tree leads to. Whether there were any.
    pub(super) fn seek(&mut self, claimed: &dyn Fn(u64) -> bool) -> bool {
        let mut found = self.sought_pages(claimed);
        found.sort_by(|(one, _), (other, _)| {
            if one.is_better_than(other) { std::cmp::Ordering::Less } else { std::cmp::Ordering::Greater }
        });
        // Of roots, of which nothing is known, one is taken at a time.
        let (mut any, mut any_root) = (false, false);
        let (mut places, mut children) = (HashSet::new(), HashSet::new());
        for (root, number) in found {
            let is_root =
                matches!(self.expects.get(number as usize - 1), Some(Expect::Tree { parent: 0, .. }));
            let links = self.known.links(&self.body, number, root.offset);
            let below: Vec<u32> = links.iter().flat_map(|links| links.numbers()).collect();
            let is_new =
                !places.contains(&root.offset) && !below.iter().any(|child| children.contains(child));
            if !is_new || is_root && any_root {
                continue;
            }
            any_root |= is_root;
            any = true;
            places.insert(root.offset);
            children.extend(below);
            self.stand(number, root.offset);
        }
        any
    }

    /// For each page that is looked for the best one that there is.
    fn sought_pages(&mut self, claimed: &dyn Fn(u64) -> bool) -> Vec<(Root, u32)> {
        let (held, bound) = (self.held(), self.bound());
        let is_leaf =
            |offset: u64| self.body.bytes(offset).and_then(|page| page.first()).is_some_and(|kind| *kind > 8);
        let is_free =
            |offset: u64| !claimed(offset) && !self.lost.contains(&offset) && !held.contains_key(&offset);
        let mut wanted = Vec::new();
        for (number, expect) in (1..).zip(&self.expects) {
            let Expect::Tree { table, leaf, shape, low, high, parent } = *expect else { continue };
            let at = number as usize - 1;
            let is_root = (low, high, parent) == (Key::Open, Key::Open, 0);
            let tried = self.sought.get(at) == Some(&true) || leaf == Some(true) || number == 1;
            let place = self.places.get(at).copied().flatten();
            let stands = |offset: u64| !is_root || bound.get(at) == Some(&true) || !is_leaf(offset);
            if tried || place.is_some_and(stands) {
                continue;
            }
            let pages: Vec<u64> = if is_root {
                self.body.index.interior_pages(table).collect()
            } else {
                let expect = Expect::Tree { table, leaf: Some(false), shape, low, high, parent };
                let found = self.body.index.find_contents(&self.body, number, &expect, MOST_ELSEWHERE);
                found.into_iter().map(|(offset, _)| offset).collect()
            };
            // There is one page of each content here: the last that is free stands for it.
            let free = |offset: u64| self.body.index.places(offset).rev().find(|offset| is_free(*offset));
            let pages = pages.into_iter().filter_map(free);
            wanted.push((number, *expect, pages.collect::<Vec<u64>>()));
        }
        let mut found = Vec::new();
        for (number, expect, mut pages) in wanted {
            if self.known.work.is_over() {
                break;
            }
            let agree: Vec<Option<bool>> = pages.iter().map(|offset| self.agrees(number, *offset)).collect();
            let least = if agree.contains(&Some(true)) { Some(true) } else { None };
            let mut agree = agree.into_iter();
            pages.retain(|_| agree.next().is_some_and(|agrees| agrees == least));
            let is_open = |child: u32| self.expects.get(child as usize - 1) == Some(&Expect::Unknown);
            let root = roots::root(&self.body, &mut self.known, pages.into_iter(), number, &expect, &is_open);
            let told = match expect {
                _ if least.is_some() => Told::Rows,
                Expect::Tree { table: Some(true), .. } => Told::Rowids,
                _ => Told::Order,
            };
            found.extend(root.map(|root| (root.told(told), number)));
        }
        found
    }

    /// Lays a page for good.
    pub(super) fn stand(&mut self, number: u32, offset: u64) {
        let at = number as usize - 1;
        let base = lay::base_of(Guess { number, offset }, self.body.size());
        let laid = Laid { base, fit: STRONG, margin: DECIDED, rival: None };
        if let (Some(fixed), Some(known)) = (self.fixed.get_mut(at), self.laid.get_mut(at)) {
            (*fixed, *known) = (Some(laid), laid);
        }
        if let (Some(place), Some(sought)) = (self.places.get_mut(at), self.sought.get_mut(at)) {
            (*place, *sought) = (Some(offset), true);
            self.moved = true;
        }
    }
}
