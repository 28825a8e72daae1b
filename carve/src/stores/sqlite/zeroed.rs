//! Parts of a record that lay in sectors which are lost, and read as zeros.
//!
//! A BLOB may well hold zeros. Those of a lost sector begin and end where sectors of the file do, which others do once in
//! 512 times: in a damaged file they are taken for lost.

use super::survey::{LEAST_PART, SECTOR};
use crate::source::Span;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::page::Extent;

/// The lost parts of a payload, the parts of which lie at these places of the files, in its order.
pub(super) fn parts(payload: &[u8], places: impl Iterator<Item = Span>) -> Vec<Extent> {
    let (mut found, mut from) = (Vec::new(), 0_usize);
    for place in places {
        let to = from.saturating_add(place.length as usize).min(payload.len());
        let Some(bytes) = payload.get(from..to) else { break };
        found.extend(runs(bytes, place.offset).into_iter().filter_map(|(begin, end)| {
            let at = |place: usize| u32::try_from(from + place).ok();
            Some(Extent { from: at(begin)?, to: at(end)? })
        }));
        from = to;
    }
    found
}

/// Where bytes that begin at an offset of their file are zeros for whole sectors, or their parts of these, and no more.
fn runs(bytes: &[u8], offset: u64) -> Vec<(usize, usize)> {
    let (mut found, mut run): (Vec<(usize, usize)>, Option<usize>) = (Vec::new(), None);
    let mut at = 0;
    loop {
        let within = (offset + at as u64) % u64::from(SECTOR);
        let next = (at + SECTOR as usize - within as usize).min(bytes.len());
        let sector = bytes.get(at..next).unwrap_or_default();
        let is_lost = !sector.is_empty() && all_zero(sector);
        if let Some(begin) = run.filter(|_| !is_lost) {
            found.push((begin, at));
        }
        run = run.or(Some(at)).filter(|_| is_lost);
        if sector.is_empty() {
            break;
        }
        at = next;
    }
    let other = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_none_or(|byte| *byte != 0);
    found.retain(|(begin, end)| {
        let is_part = *begin > 0 || *end < bytes.len();
        is_part && end - begin >= LEAST_PART as usize && other(begin.checked_sub(1)) && other(Some(*end))
    });
    found
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn zeros_that_begin_and_end_with_sectors_are_lost_and_others_are_not() {
        let with_zeros = |from: usize, to: usize| {
            let mut bytes = vec![7_u8; 4092];
            bytes[from..to].fill(0);
            bytes
        };
        // An overflow page begins with a link of four bytes.
        for (from, to) in [(0, 508), (508, 1532), (3580, 4092)] {
            assert_eq!(runs(&with_zeros(from, to), 8196), [(from, to)]);
        }
        for (from, to) in [(0, 507), (500, 1532), (508, 1533), (0, 4092), (700, 1000)] {
            assert_eq!(runs(&with_zeros(from, to), 8196), []);
        }
        assert_eq!(runs(&[], 8196), []);
    }
}
