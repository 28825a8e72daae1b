//! How likely the values of a cell are.

use super::{FreedCell, Walk};
use crate::sqlite::serial::SerialKind;
use crate::sqlite::serial_list::SerialList;

/// Sixteenths of a bit that a cell's values must be less likely to outweigh a sixteenth of a byte that it explains: a
/// byte that reads as its column's is worth a quarter of its bits. What counts against values of which none reads.
pub(super) const ODDS_PER_WORTH: i64 = 2;

pub(super) const LEAST_ODDS: i64 = -100_000;

impl Walk<'_> {
    /// How likely any table has the values of a body at `at`, as [`Shape::prior`].
    pub(super) fn prior(&self, serials: &SerialList, at: usize) -> i64 {
        let mut next = at;
        serials.iter().fold(0, |prior: i64, serial| {
            let from = next;
            next = next.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            prior.saturating_add((self.shape.prior)(serial, self.page.get(from..next).unwrap_or_default()))
        })
    }

    /// How likely a cell has its values and what is left of its row id.
    pub(super) fn odds_of(&self, freed: &FreedCell) -> i64 {
        let body_at = (freed.cell.payload_at + freed.header_len) as usize;
        self.odds(&freed.serials, body_at).saturating_add((self.shape.rowid_odds)(freed.rowid))
    }

    /// How likely these serial types have the values of a body at `at`, as [`Shape::odds`]; of texts that don't read
    /// not at all.
    pub(super) fn odds(&self, serials: &SerialList, at: usize) -> i64 {
        let mut next = at;
        serials.iter().enumerate().fold(0, |odds: i64, (column, serial)| {
            let from = next;
            next = next.saturating_add(usize::try_from(serial.len()).unwrap_or(usize::MAX));
            let value = self.page.get(from..next).unwrap_or_default();
            let unread = serial.kind() == SerialKind::Text && !(self.shape.reads)(value);
            // Many texts may not read.
            odds.saturating_add(if unread {
                i64::MIN / 1024
            } else {
                (self.shape.odds)(column, serial, value)
            })
        })
    }
}
