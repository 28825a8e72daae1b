//! How much work is done for a database: a page that was damaged on purpose, or a thousand copies of one, would have it done
//! over and over.

/// The places that are tried, or as much work, for all databases of an image together: what is put together comes to a thousandth.
const FOR_ALL: u64 = 1 << 23;

/// The same for each sector that the image has.
const FOR_A_SECTOR: u64 = 128;

/// Looking for a page by its content.
pub(super) const FIND: u64 = 16;

/// Holding a page of an index against the rows of a table.
pub(super) const AGREE: u64 = 12;

/// Holding a page of the pointer map against what is known of the pages that it is of.
pub(super) const MAP: u64 = 16;

/// Pages that are walked over for as much as a place is tried.
pub(super) const WALK: u64 = 4;

/// Work for one database: places that are tried for its pages, and whatever else takes as long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    done: u64,
    most: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self::of_most(u64::MAX)
    }
}

impl Work {
    pub(super) const fn of_most(most: u64) -> Self {
        Self { done: 0, most }
    }

    /// All that may be done for an image of so many bytes.
    pub(super) const fn of_image(len: u64) -> u64 {
        FOR_ALL + FOR_A_SECTOR * (len / 512)
    }

    /// What may be done for each of some databases, by how many pages they have: half of all is for them alike, and half in proportion.
    pub(super) fn shares(all: u64, pages: &[u32]) -> Vec<u64> {
        let sum: u64 = pages.iter().map(|pages| u64::from(*pages)).sum();
        let alike = all / 2 / (pages.len() as u64).max(1);
        let by_pages = |pages: u32| {
            let share = u128::from(all / 2) * u128::from(pages) / u128::from(sum.max(1));
            u64::try_from(share).unwrap_or(u64::MAX)
        };
        pages.iter().map(|pages| alike + by_pages(*pages)).collect()
    }

    /// Allows so much beyond what was done.
    pub(super) const fn allow(&mut self, further: u64) {
        self.most = self.done.saturating_add(further);
    }

    pub(super) const fn done(&self) -> u64 {
        self.done
    }

    pub(super) const fn add(&mut self, work: u64) {
        self.done = self.done.saturating_add(work);
    }

    /// Whether as much was done as may be.
    pub(super) const fn is_over(&self) -> bool {
        self.done >= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::Work;

    #[test]
    fn a_database_that_counts_many_pages_leaves_half_of_the_work_to_the_others() {
        assert_eq!(Work::shares(1000, &[1, 1, 98]), [171, 171, 656]);
    }
}
