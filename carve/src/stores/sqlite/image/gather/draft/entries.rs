//! Pages of indexes, held against the rows of their tables.

use super::super::agree::Placed;
use super::super::body::Expect;
use super::{Draft, MOST_ELSEWHERE, MOST_KEPT};

/// Levels of a tree: one of 10^12 rows has no more.
const MOST_LEVELS: usize = 16;

/// Entries that are those of an index by no accident.
const ENOUGH: usize = 3;

impl Draft<'_> {
    /// Whether the page of an index at an offset, as the page `number`, has entries that are those of its table; `None` where
    /// nothing tells.
    pub(super) fn agrees(&mut self, number: u32, offset: u64) -> Option<bool> {
        let root = self.root_of(number)?;
        let trees = self.known.known_trees();
        let own = trees.iter().find(|tree| tree.root == root)?;
        let Self { body, known, places, fits, .. } = self;
        let mut placed = Placed { body, known, places, fits };
        if let Some(indexed) = &own.indexed {
            let (same, other) = placed.agree(offset, indexed);
            if same + other > 0 {
                return Some(same > other);
            }
        }
        // What holds the rows of a table as another index has them is of that one.
        let others = trees.iter().filter(|tree| tree.root != root).filter_map(|tree| tree.indexed.as_ref());
        let mut agreements = others.map(|indexed| placed.agree(offset, indexed));
        agreements.any(|(same, other)| same >= ENOUGH && other == 0).then_some(false)
    }

    /// The root of the tree that a page is of.
    fn root_of(&self, number: u32) -> Option<u32> {
        let mut root = number;
        for _ in 0..MOST_LEVELS {
            match self.expects.get((root as usize).checked_sub(1)?)? {
                Expect::Tree { table: Some(true), .. } => return None,
                Expect::Tree { parent: 0, .. } => return Some(root),
                Expect::Tree { parent, .. } => root = *parent,
                _ => return None,
            }
        }
        None
    }

    /// Bars pages of indexes from places whose entries are not those of their tables, unless they lie amid a run; whether there
    /// were any.
    pub(super) fn refute(&mut self) -> bool {
        let bound = self.bound();
        let loose = self.placed().filter(|(number, _)| bound.get(*number as usize - 1) != Some(&true));
        let loose: Vec<(u32, u64)> = loose.filter(|(number, _)| self.fit(*number) >= 0.0).collect();
        let mut any = false;
        for (number, offset) in loose {
            if self.known.work.is_over() {
                break;
            }
            if self.agrees(number, offset) != Some(false) || !self.refuted.insert((number, offset)) {
                continue;
            }
            any = true;
            let at = number as usize - 1;
            let Some(expect) = self.expects.get(at).copied() else { continue };
            let found = self.body.index.find(&self.body, number, &expect, MOST_ELSEWHERE);
            let mut found: Vec<u64> =
                found.into_iter().filter(|other| self.agrees(number, *other) != Some(false)).collect();
            found.truncate(MOST_KEPT);
            if let (Some(known), Some(fixed), Some(sought), Some(changed)) = (
                self.found.get_mut(at),
                self.fixed.get_mut(at),
                self.sought.get_mut(at),
                self.changed.get_mut(at),
            ) {
                (*known, *fixed, *sought, *changed) = (found, None, false, true);
            }
        }
        any
    }
}
