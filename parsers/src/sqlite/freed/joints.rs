//! Heads of freeblocks that are no longer in the chain.

use super::{LOST, Possible, Walk};
use crate::bytes::each_pair;
use crate::sqlite::cell::MIN_CELL;
use std::ops::Range;

/// What may be the head of a freeblock: where it stands, the next block, and its end.
pub(super) type Head = (usize, usize, usize);

/// Where freeblocks began that are no longer in the chain: a block in front of them has swallowed them, or the page was
/// emptied. Their heads still stand there: the next block's offset, which is greater or 0, and a size that leads to the
/// end of the extent, to another such head, or to a cell.
pub(super) fn find_joints(
    page: &[u8],
    Range { start: from, end: to }: Range<usize>,
    cells: &[Possible],
    is_edge: &dyn Fn(u32) -> bool,
    (heads, known): (&mut Vec<Head>, &mut Vec<bool>),
    found: &mut Vec<usize>,
) {
    heads.clear();
    find_heads(page, from..to, heads);
    // Mostly the block's own head is all there is.
    if let [(at, _, end)] = heads[..] {
        let met = |end: usize| {
            end == to || end > to && is_edge(end as u32) || cells.iter().any(|possible| possible.at == end)
        };
        found.extend(Some(at).filter(|_| (end..end + LOST).any(met)));
        return;
    }
    if heads.is_empty() {
        return;
    }
    // A block that swallows others again and again leaves heads that lead to one end and one next block.
    let inner = heads.iter().filter(|(_, next, _)| *next != 0);
    let mut leads: Vec<(usize, usize)> = inner.map(|(_, next, end)| (*next, *end)).collect();
    leads.sort_unstable();
    let met_again = |lead: (usize, usize)| {
        let first = leads.partition_point(|other| *other < lead);
        leads.get(first) == Some(&lead) && leads.get(first + 1) == Some(&lead)
    };
    none_of(known, to + 1 - from);
    for at in cells.iter().map(|possible| possible.at).chain([to]) {
        mark(known, at.wrapping_sub(from));
    }
    for (at, next, end) in heads.iter().copied().rev() {
        // Up to three bytes between two blocks are a fragment, which the joined block takes in. The end may have been
        // given to new cells since.
        let met =
            |end: usize| known.get(end - from).copied().unwrap_or(false) || end > to && is_edge(end as u32);
        if (end..end + LOST).any(met) || met_again((next, end)) {
            found.push(at);
            mark(known, at - from);
        }
    }
    found.reverse();
}

/// Heads of which nothing but a cell behind them tells that they are, which are tried: no page has so many.
const MOST_LONE: usize = 64;

impl Walk<'_> {
    /// Adds to the joints those heads that lead nowhere any more, since what they led to was written over, and behind which
    /// the rest of a cell stands that ends right where another one begins, or the extent does.
    pub(super) fn add_borne_out(&self, found: &[Possible], heads: &[Head], joints: &mut Vec<usize>) {
        let lone = heads.iter().map(|(at, ..)| *at).filter(|at| joints.binary_search(at).is_err());
        let lone: Vec<usize> = lone.rev().take(MOST_LONE).collect();
        if lone.is_empty() {
            return;
        }
        let whole = found.iter().filter(|possible| !possible.freed.rebuilt && !possible.freed.cut);
        let mut starts: Vec<usize> =
            whole.map(|possible| possible.at).chain(joints.iter().copied()).collect();
        starts.push(self.to);
        starts.sort_unstable();
        let mut rest = Vec::new();
        for at in lone {
            rest.clear();
            self.headless(at, &starts, &mut rest);
            let known = found.iter().filter(|possible| possible.at == at && possible.freed.rebuilt);
            let is_told = |possible: &Possible| {
                let freed = &possible.freed;
                !freed.first_solved && !freed.cut && starts.binary_search(&possible.end).is_ok()
            };
            if known.chain(&rest).any(is_told) {
                joints.insert(joints.partition_point(|joint| *joint < at), at);
                starts.insert(starts.partition_point(|start| *start < at), at);
            }
        }
    }
}

/// The places that may hold the head of a freeblock.
fn find_heads(page: &[u8], Range { start: from, end: to }: Range<usize>, heads: &mut Vec<Head>) {
    let bytes = page.get(from..to).unwrap_or_default();
    // Few places hold an offset on the page and a size: their first bytes are less than those of any text.
    let last = u8::try_from(page.len() / 256).unwrap_or(u8::MAX);
    each_pair(
        bytes,
        2,
        |offset, size| (offset <= last) & (size <= last),
        |at| {
            let Some(&[a, b, c, d]) = bytes.get(at..).and_then(|bytes| bytes.first_chunk()) else { return };
            let (next, size) = (u16::from_be_bytes([a, b]).into(), usize::from(u16::from_be_bytes([c, d])));
            let end = from + at + size;
            if size >= MIN_CELL && (next == 0 || next >= end) && next < page.len() && end <= page.len() {
                heads.push((from + at, next, end));
            }
        },
    );
}

/// So many places, none of them noted.
pub(super) fn none_of(places: &mut Vec<bool>, count: usize) {
    places.clear();
    places.resize(count, false);
}

/// Notes a place; whether it was new.
pub(super) fn mark(places: &mut [bool], place: usize) -> bool {
    places.get_mut(place).is_some_and(|known| !std::mem::replace(known, true))
}
