//! How long a page is searched for cells.

use std::cell::Cell;

/// How long a page is searched: bytes that were made to be read in many ways would take the square of its length, times
/// the columns. All runs of free bytes of a page share what it is worth, several times what rows of a table have needed.
#[derive(Debug)]
pub struct Effort(Cell<usize>);

impl Effort {
    const LEAST: usize = 1 << 17;
    const STEPS_PER_BYTE: usize = 256;
    /// Bytes behind these are worth less: most rows of a large page stand whole, or have long cells.
    const DEAR_BYTES: usize = 4096;
    const STEPS_PER_FURTHER_BYTE: usize = 32;

    /// What a page of so many bytes is worth.
    #[must_use]
    pub fn of_page(bytes: usize) -> Self {
        let dear = bytes.min(Self::DEAR_BYTES);
        let further = bytes.saturating_sub(dear).saturating_mul(Self::STEPS_PER_FURTHER_BYTE);
        Self(Cell::new(further.saturating_add(Self::LEAST + dear * Self::STEPS_PER_BYTE)))
    }

    /// What a page is worth that is searched for the rows of several tables.
    #[must_use]
    pub fn shared(bytes: usize) -> Self {
        let Self(one) = Self::of_page(bytes);
        Self(Cell::new(one.get().saturating_mul(8)))
    }

    /// Steps that are left: one reads a serial type, tries a place where a cell may end, or reads a few bytes of a text.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.get()
    }

    /// Takes steps; `None` when too few are left.
    pub(super) fn spend(&self, steps: usize) -> Option<()> {
        let left = self.left().checked_sub(steps);
        self.0.set(left.unwrap_or(0));
        left.map(|_| ())
    }
}
