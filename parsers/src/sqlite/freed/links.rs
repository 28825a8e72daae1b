//! What an interior page has left where a page is a leaf now.

use super::Possible;
use crate::sqlite::salvage::strict_link;
use std::ops::Range;

/// Cells of an interior page of a table side by side that are no accident.
const RUN: usize = 6;

/// Pages that no link leads to: most numbers would be links otherwise.
const PAGES: u32 = 1 << 24;

/// Where cells of an interior page of a table lie side by side: a page number and a key each, the keys in order. SQLite lays
/// them from the end of the page on. The last cell of each run, behind which another one may lie, is left out.
pub(super) fn runs(page: &[u8], extent: Range<usize>) -> Vec<Range<usize>> {
    let bytes = page.get(..extent.end.min(page.len())).unwrap_or_default();
    let mut runs = Vec::new();
    let mut at = extent.start;
    while at < bytes.len() {
        let (mut next, mut last, mut count, mut before) = (at, at, 0, u64::MAX);
        while let Some((key, end)) = link(bytes, next).filter(|(key, _)| *key < before) {
            (before, last, next, count) = (key, next, end, count + 1);
        }
        if count >= RUN {
            runs.push(at..last);
            at = next;
        } else {
            at += 1;
        }
    }
    runs
}

/// The key of the link at a place, and its end.
fn link(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    strict_link(bytes, at).filter(|(child, ..)| (1..PAGES).contains(child)).map(|(_, key, end)| (key, end))
}

/// Leaves out what begins amid such cells: values of any kind read there.
pub(super) fn leave_out(runs: &[Range<usize>], found: &mut Vec<Possible>) {
    if !runs.is_empty() {
        found.retain(|possible| !runs.iter().any(|run| run.contains(&possible.at)));
    }
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn links_side_by_side_with_keys_in_order_are_a_run_and_other_numbers_none() {
        let mut page = vec![0; 20];
        for key in (1..=9).rev() {
            page.extend([0, 0, 0, key + 40, key * 3]);
        }
        page.extend([0; 30]);
        let found = |page: &[u8]| -> Vec<(usize, usize)> {
            runs(page, 0..page.len()).iter().map(|run| (run.start, run.end)).collect()
        };
        assert_eq!(found(&page), [(20, 60)]);
        page[38] = 0;
        assert_eq!(found(&page), []);
    }
}
