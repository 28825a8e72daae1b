//! What may be a cell, from the parts of its header.

use super::{FreedCell, LOST, Possible, RowidLeft, TEXT_STEP, Walk};
use crate::bytes::all_zero;
use crate::sqlite::cell::{Cell, MIN_CELL};
use crate::sqlite::page::PageKind;
use crate::sqlite::serial::{Serial, SerialKind};

/// Steps that it takes to keep a possible cell, besides one for each of its columns.
const CELL_STEPS: usize = 8;

/// Bytes of a character, at most.
const LONGEST: usize = 4;

impl Walk<'_> {
    /// Adds a cell. `texts` is whether its texts read that end before a place, of the last cell with this header.
    #[expect(clippy::too_many_arguments, reason = "the parts of a cell")]
    pub(super) fn add(
        &self,
        start: usize,
        payload_at: usize,
        payload_len: u64,
        header_len: usize,
        (columns, serials): (usize, &(impl Iterator<Item = Serial> + Clone)),
        rowid: RowidLeft,
        rebuilt: bool,
        texts: &mut Option<(usize, bool)>,
        found: &mut Vec<Possible>,
    ) {
        let spill = self.geometry.spill(self.kind == PageKind::TableLeaf, payload_len);
        let local_end = payload_at.saturating_add(spill.local as usize);
        let pointer = if spill.overflow > 0 { 4 } else { 0 };
        let end = (local_end + pointer).max(start + MIN_CELL);
        let cut = end > self.to;
        let overflow = match self.page.get(local_end..local_end + 4).and_then(|bytes| bytes.first_chunk()) {
            Some(bytes) if pointer > 0 && !cut => u32::from_be_bytes(*bytes),
            _ => 0,
        };
        // Of a cut cell something of the body must be left, or it says nothing.
        if cut && payload_at + header_len >= self.to || pointer > 0 && !cut && overflow == 0 {
            return;
        }
        let end = end.min(self.to);
        if self.shape.effort.spend(CELL_STEPS + columns + (end - start) / TEXT_STEP).is_none() {
            return;
        }
        // Zeros are what wiped space holds, and read as NULLs and as texts of NUL characters.
        let kept = self.page.get(start + LOST..end).unwrap_or_default();
        if rebuilt && (serials.clone().all(|serial| serial == Serial::NULL) || all_zero(kept)) {
            return;
        }
        // What was put together from parts must read.
        if rebuilt || cut {
            let to = end.min(local_end);
            let known = texts.filter(|(known, _)| *known == to).map(|(_, read)| read);
            let read = known.unwrap_or_else(|| self.texts_read(serials.clone(), payload_at + header_len, to));
            *texts = Some((to, read));
            if !read {
                return;
            }
        }
        let cell = Cell {
            at: start as u32,
            end: end as u32,
            payload_at: payload_at as u32,
            local: (end.min(local_end).saturating_sub(payload_at)) as u32,
            payload_len,
            rowid: if let RowidLeft::Whole(rowid) = rowid { rowid } else { 0 },
            left_child: 0,
            overflow,
        };
        let header_len = header_len as u32;
        let freed = FreedCell {
            cell,
            serials: serials.clone().collect(),
            header_len,
            rowid,
            rebuilt,
            first_solved: false,
            doubtful_pair: false,
            cut,
            fitted: false,
            at_head: self.begins(start),
            in_run: false,
            odds: 0,
        };
        found.push(Possible { at: start, end, freed });
    }

    /// Whether the texts of a body read, as far as they stand between `at` and `end`.
    pub(super) fn texts_read(
        &self,
        mut serials: impl Iterator<Item = Serial>,
        mut at: usize,
        end: usize,
    ) -> bool {
        serials.all(|serial| {
            let from = at;
            at = at.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            if serial.kind() != SerialKind::Text || from >= end {
                return true;
            }
            let reads = |to: usize| self.page.get(from..to).is_none_or(|text| (self.shape.reads)(text));
            // The last character of a part may be cut as well.
            if at <= end { reads(at) } else { (0..LONGEST).any(|less| reads(from.max(end - less))) }
        })
    }
}
