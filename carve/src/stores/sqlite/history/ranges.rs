//! Ranges of ranks in which a table's rows are read, so many at a time.

use super::super::rank::Rank;

/// The least rank of each range but the first, by the least and the greatest rank of the rows on pages, and how many these
/// are: at most about `most` to a range. Only `by_rowid` it is known what lies between ranks.
pub fn firsts(mut ranks: Vec<(Rank, Rank, u32)>, by_rowid: bool, most: usize) -> Vec<Rank> {
    ranks.sort_unstable();
    let (mut firsts, mut events) = (Vec::new(), 0);
    for of_rank in ranks.chunk_by(|(a, ..), (b, ..)| a == b) {
        let Some((first, last, _)) = of_rank.last() else { continue };
        let further: usize = of_rank.iter().map(|(.., rows)| *rows as usize).sum();
        if events > 0 && events + further > most {
            firsts.push(*first);
            events = 0;
        }
        events += further;
        // A page that was written again and again.
        let parts = (further / most) as u64;
        if by_rowid && parts > 0 {
            let ids = Rank::rowids(&(*first..=*last));
            let width = ids.end().abs_diff(*ids.start()) / (parts + 1);
            let next = |part: u64| ids.start().saturating_add_unsigned(width.saturating_mul(part));
            firsts.extend((1..=parts).take_while(|_| width > 0).map(|part| Rank::of_rowid(next(part))));
            events = if width > 0 { further / (parts as usize + 1) } else { events };
        }
    }
    // Other pages begin between those ranks.
    firsts.sort_unstable();
    firsts.dedup();
    firsts
}

#[cfg(test)]
mod tests {
    use super::{Rank, firsts};

    const MANY: u32 = 1 << 10;

    fn of_ids(pages: &[(i64, i64, u32)]) -> Vec<Rank> {
        let ranks = pages.iter().map(|(from, to, rows)| (Rank::of_rowid(*from), Rank::of_rowid(*to), *rows));
        firsts(ranks.collect(), true, MANY as usize)
    }

    #[test]
    fn a_range_ends_where_the_rows_of_a_further_page_would_be_too_many() {
        assert_eq!(of_ids(&[(1, 50, MANY / 2), (51, 99, MANY / 2), (100, 150, 9)]), [Rank::of_rowid(100)]);
        assert_eq!(of_ids(&[(1, 50, 7), (51, 99, 7)]), []);
    }

    #[test]
    fn a_page_that_was_written_again_and_again_is_cut_between_its_rows() {
        let cut = of_ids(&[(1, 101, MANY), (1, 101, MANY), (11, 101, 3)]);
        assert_eq!(cut, [34, 67].map(Rank::of_rowid));
        assert_eq!(of_ids(&[(7, 7, MANY), (7, 7, MANY)]), []);
    }
}
