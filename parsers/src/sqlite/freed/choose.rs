//! Which of the possible cells a run of free bytes held.

use super::odds::{LEAST_ODDS, ODDS_PER_WORTH};
use super::{FreedCell, LOST, Possible, RUN, Walk};
use crate::sqlite::serial::Serial;

/// Whether at most one byte of the header is left of a cell that was put together.
fn is_bare(possible: &Possible) -> bool {
    let freed = &possible.freed;
    freed.rebuilt && (freed.cell.payload_at + freed.header_len) as usize <= possible.at + LOST + 1
}

impl Walk<'_> {
    /// Where a cell that was put together reaches over one that stands whole, the whole one was written over its end; and so
    /// where one does that stands whole itself, and of which a text doesn't read: over that of a later freeblock, too.
    pub(super) fn cut_at_whole_cells(&self, found: &mut Vec<Possible>, whole: &mut Vec<usize>) {
        let is_whole = |possible: &&Possible| !possible.freed.rebuilt && !possible.freed.cut;
        whole.clear();
        whole.extend(found.iter().filter(is_whole).map(|possible| possible.at));
        whole.sort_unstable();
        found.retain_mut(|possible| {
            let body_at = (possible.freed.cell.payload_at + possible.freed.header_len) as usize;
            let local_end = (possible.freed.cell.payload_at + possible.freed.cell.local) as usize;
            let reads = || self.texts_read(possible.freed.serials.iter(), body_at, local_end);
            if !possible.freed.rebuilt && (possible.freed.cut || reads()) {
                return true;
            }
            let behind =
                |places: &[usize]| places.get(places.partition_point(|at| *at <= possible.at)).copied();
            let block = behind(self.joints).filter(|_| !possible.freed.rebuilt);
            let inner = behind(whole).into_iter().chain(block).min();
            inner.filter(|at| *at < possible.end).is_none_or(|at| self.cut(possible, at))
        });
    }

    /// Cuts a cell short at `end`; false where nothing of its body is left.
    pub(super) fn cut(&self, possible: &mut Possible, end: usize) -> bool {
        let freed = &mut possible.freed;
        let payload_at = freed.cell.payload_at as usize;
        let body_at = payload_at + freed.header_len as usize;
        freed.cut = true;
        freed.cell.end = end as u32;
        freed.cell.overflow = 0;
        freed.cell.local = freed.cell.local.min(end.saturating_sub(payload_at) as u32);
        possible.end = end;
        body_at < end && self.texts_read(freed.serials.iter(), body_at, end)
    }

    /// The set of cells that explains most bytes without overlap.
    pub(super) fn choose(
        &self,
        possible: &mut Vec<Possible>,
        starts: &mut Vec<usize>,
        ends: &mut Vec<usize>,
    ) -> Vec<FreedCell> {
        if possible.is_empty() {
            return Vec::new();
        }
        starts.clear();
        starts.extend(possible.iter().map(|possible| possible.at));
        ends.clear();
        ends.extend(possible.iter().map(|possible| possible.end));
        starts.sort_unstable();
        ends.sort_unstable();
        // Whether one of them lies in this range.
        let any = |places: &[usize], from: usize, to: usize| {
            places.get(places.partition_point(|place| *place < from)).is_some_and(|place| *place < to)
        };
        let touches_before = |at: usize| at == self.from || any(ends, at.saturating_sub(LOST - 1), at + 1);
        let touches_behind = |end: usize| end + LOST > self.to || any(starts, end, end + LOST);
        // One of which no more than a serial type is left reads anywhere: what it lies between must be sure without it.
        let mut sure: Vec<usize> = Vec::new();
        if possible.iter().any(is_bare) {
            let is_sure = |possible: &&Possible| !possible.freed.rebuilt || self.begins(possible.at);
            sure.extend(possible.iter().filter(is_sure).map(|possible| possible.at));
            sure.sort_unstable();
        }
        // A rebuilt cell must stand where one can: at the start of the block, or between others.
        possible.retain(|possible| {
            let (at, end) = (possible.at, possible.end);
            let begins = self.begins(at);
            if !possible.freed.rebuilt {
                true
            } else if is_bare(possible) {
                begins && (end + LOST > self.to || any(&sure, end, end + LOST))
            } else {
                begins || touches_before(at) && at > self.from && touches_behind(end)
            }
        });
        for possible in &mut *possible {
            let begins = self.begins(possible.at) || !possible.freed.rebuilt || touches_before(possible.at);
            possible.freed.fitted = begins && touches_behind(possible.end) && !possible.freed.cut;
        }
        // Zeros behind a header's length read as NULLs: a row of nothing else must have others beside it.
        let is_null = |freed: &FreedCell| freed.serials.iter().all(|serial| serial == Serial::NULL);
        possible.retain(|possible| possible.freed.fitted || !is_null(&possible.freed));
        possible.sort_by_key(|possible| (possible.end, possible.at));
        self.weigh(possible);
        if possible.len() < 2 {
            possible.retain(|only| self.worth(only) > 0);
            return possible.pop().map(|only| only.freed).into_iter().collect();
        }
        // best[i]: the most that the first i of them explain, and which it takes.
        let mut best: Vec<(i64, Option<usize>, usize)> = vec![(0, None, 0)];
        for (index, this) in possible.iter().enumerate() {
            let before = possible.partition_point(|other| other.end <= this.at);
            let worth = best.get(before).map_or(0, |best| best.0) + self.worth(this);
            let skip = best.last().map_or(0, |best| best.0);
            best.push(if worth > skip { (worth, Some(index), before) } else { (skip, None, index) });
        }
        let mut chosen = Vec::new();
        let mut at = possible.len();
        while at > 0 {
            let Some((_, taken, before)) = best.get(at).copied() else { break };
            chosen.extend(taken);
            at = before;
        }
        chosen.reverse();
        let mut cells = Vec::with_capacity(chosen.len());
        let mut chosen = chosen.into_iter().peekable();
        let taken = possible.drain(..).enumerate().filter(|(index, _)| chosen.next_if_eq(index).is_some());
        cells.extend(taken.map(|(_, possible)| possible.freed));
        for run in cells.chunk_by_mut(|a, b| a.cell.end == b.cell.at).filter(|run| run.len() >= RUN) {
            run.iter_mut().for_each(|cell| cell.in_run = true);
        }
        cells
    }

    /// Notes how likely cells are that were put together, in the order of their ends; not of those that are taken
    /// whatever they hold, since they overlap no other one.
    pub(super) fn weigh(&self, possible: &mut [Possible]) {
        // Where the first one of those behind begins.
        let mut next = usize::MAX;
        for index in (0..possible.len()).rev() {
            let before = index.checked_sub(1).and_then(|before| possible.get(before));
            let before = before.map_or(0, |before| before.end);
            let Some(this) = possible.get_mut(index) else { continue };
            let is_alone = before <= this.at && this.end <= next;
            next = next.min(this.at);
            if this.freed.rebuilt && !(is_alone && self.is_sure(&this.freed)) {
                this.freed.odds = self.odds_of(&this.freed).max(LEAST_ODDS) as i32;
            }
        }
    }

    /// Whether a cell is worth something however unlikely its values are. Of one whose end is elsewhere texts may not read.
    pub(super) fn is_sure(&self, freed: &FreedCell) -> bool {
        let whole = !freed.cut && freed.cell.overflow == 0;
        self.shape.least_odds.filter(|_| whole).is_some_and(|least| {
            let values = (freed.serials.len() as i64).saturating_mul(least);
            let odds = values.saturating_add((self.shape.rowid_odds)(freed.rowid));
            freed.worth() + odds.min(0) / ODDS_PER_WORTH > 0
        })
    }

    /// What a cell explains at its place.
    pub(super) fn worth(&self, possible: &Possible) -> i64 {
        let freed = &possible.freed;
        // A head that must be there is no doubt, and a cell that ends where the block does is more than one that ends
        // anywhere.
        let begins = freed.rebuilt && self.begins(possible.at);
        let exact =
            (possible.end == self.to || self.joints.binary_search(&possible.end).is_ok()) && !freed.cut;
        freed.likely_worth() + if begins { 56 } else { 0 } + if exact { 24 } else { 0 }
    }
}
