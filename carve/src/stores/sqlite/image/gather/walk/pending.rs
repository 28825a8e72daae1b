//! Pages that are still to be walked over: no more of them than a database has, however many links lead to each.

use super::super::body::Expect;

/// Stands for a link after which another one to the same page came, which is followed first.
const OVERTAKEN: u32 = u32::MAX;

/// Links that are overtaken before room is made, beside as many others.
const LEAST: usize = 64;

/// Links of trees, of which the last one is followed first.
#[derive(Debug)]
pub(super) struct Pending {
    links: Vec<(u32, Expect)>,
    /// For each page how many links there were with the last one to it; 0 where there is none.
    last: Vec<u32>,
    overtaken: usize,
}

impl Pending {
    /// None, of a database of so many pages.
    pub(super) fn new(pages: u32) -> Self {
        Self { links: Vec::new(), last: vec![0; pages as usize + 1], overtaken: 0 }
    }

    /// Adds a link to one of its pages; whether it overtakes another one, which leads to a page that is taken then.
    pub(super) fn push(&mut self, number: u32, expect: Expect) -> bool {
        if self.overtaken > self.links.len() / 2 + LEAST {
            self.make_room();
        }
        let before = self.last.get(number as usize).and_then(|last| (*last as usize).checked_sub(1));
        let overtaken = before.and_then(|before| self.links.get_mut(before));
        let overtakes = overtaken.map(|link| link.0 = OVERTAKEN).is_some();
        self.overtaken += usize::from(overtakes);
        self.links.push((number, expect));
        if let Some(last) = self.last.get_mut(number as usize) {
            *last = self.links.len() as u32;
        }
        overtakes
    }

    /// The last link that nothing overtook.
    pub(super) fn pop(&mut self) -> Option<(u32, Expect)> {
        while let Some((number, expect)) = self.links.pop() {
            if number == OVERTAKEN {
                self.overtaken -= 1;
                continue;
            }
            if let Some(last) = self.last.get_mut(number as usize) {
                *last = 0;
            }
            return Some((number, expect));
        }
        None
    }

    fn make_room(&mut self) {
        self.links.retain(|(number, _)| *number != OVERTAKEN);
        self.overtaken = 0;
        for (at, (number, _)) in (1..).zip(&self.links) {
            if let Some(last) = self.last.get_mut(*number as usize) {
                *last = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Expect, Pending};

    #[test]
    fn of_many_links_to_a_page_the_last_is_followed_and_takes_no_more_room_than_one() {
        let mut pending = Pending::new(3);
        let overtaken = (0..3000).filter(|link| pending.push(1 + link % 3, Expect::Free)).count();
        assert_eq!(overtaken, 2997);
        assert!(pending.links.len() < 300, "{}", pending.links.len());
        pending.push(2, Expect::Unknown);
        let order: Vec<_> = std::iter::from_fn(|| pending.pop()).collect();
        assert_eq!(order, [(2, Expect::Unknown), (3, Expect::Free), (1, Expect::Free)]);
    }
}
