//! Cells whose record header stands whole.

use super::{LOST, Possible, RowidLeft, Types, Walk};
use crate::sqlite::serial::{Serial, SerialKind};
use crate::sqlite::varint::{varint_at, varint_len};

impl Walk<'_> {
    /// Serial types from `at` on, until `done` says so; `None` where one doesn't fit the table.
    pub(super) fn types(
        &self,
        at: usize,
        first: usize,
        done: impl Fn(usize, usize) -> bool,
    ) -> Option<Types> {
        let bytes = self.page.get(..self.to)?;
        let (mut next, mut count, mut body) = (at, 0, 0_u64);
        while !done(first + count, next - at) {
            self.shape.effort.spend(1)?;
            let (number, size) = varint_at(bytes, next)?;
            let (serial, column) = (Serial(number), first + count);
            let first_fits = column > 0 || self.shape.first.is_none_or(|first| first == serial);
            let fits = column < self.shape.most && first_fits && size == varint_len(number);
            if !fits || serial.kind() == SerialKind::Reserved || !(self.shape.fits)(column, serial) {
                return None;
            }
            body = body.saturating_add(serial.len());
            count += 1;
            next += size;
        }
        Some(Types { at, count, len: next - at, body })
    }

    /// Serial types that were read, once more: most ways to read bytes come to nothing, and take no memory.
    pub(super) fn serials(&self, types: &Types) -> impl Iterator<Item = Serial> + Clone {
        let bytes = self.page.get(..self.to).unwrap_or_default();
        let mut next = types.at;
        (0..types.count).map_while(move |_| {
            let (number, size) = varint_at(bytes, next)?;
            next += size;
            Some(Serial(number))
        })
    }

    /// Cells whose record header stands whole at `at`.
    pub(super) fn by_header(&self, at: usize, found: &mut Vec<Possible>) {
        // Two bytes rule out most places.
        let (Some(first), Some(second)) = (self.page.get(at), self.page.get(at + 1)) else { return };
        let least = self.shape.least.max(1) + 1;
        let is_other = |s: Serial| s.0 < 0x80 && s.0 != u64::from(*second);
        let is_none = match *first {
            0x80.. => !self.shape.may_have_long_header(),
            first => usize::from(first) < least || self.shape.first.is_some_and(is_other),
        };
        if is_none {
            return;
        }
        let Some((header_len, size)) = varint_at(self.page, at) else { return };
        let Ok(header_len) = usize::try_from(header_len) else { return };
        // No column's serial type takes more than nine bytes.
        if header_len <= size
            || header_len > size + 9 * self.shape.most
            || size != varint_len(header_len as u64)
        {
            return;
        }
        let Some(types) = self.types(at + size, 0, |_, len| len + size >= header_len) else { return };
        if types.len + size != header_len || types.count < self.shape.least {
            return;
        }
        let payload_len = types.body.saturating_add(header_len as u64);
        let length_len = varint_len(payload_len);
        let serials = self.serials(&types);
        // Where a row id may begin in several places the texts are the same.
        let mut texts = None;
        let rowid_lens = if self.kind.is_table() { 1..=9 } else { 0..=0 };
        for rowid_len in rowid_lens {
            let Some(start) = at.checked_sub(length_len + rowid_len).filter(|start| *start >= self.from)
            else {
                break;
            };
            let own = varint_at(self.page, start) == Some((payload_len, length_len));
            let rowid = varint_at(self.page, start + length_len).filter(|(_, len)| *len == rowid_len);
            let damaged = self.begins(start);
            let left = match rowid {
                _ if rowid_len == 0 => Some(RowidLeft::None).filter(|_| own && !damaged),
                Some((rowid, _)) if own && !damaged && varint_len(rowid) == rowid_len => {
                    Some(RowidLeft::Whole(rowid as i64))
                }
                _ => None,
            };
            if let Some(left) = left {
                let serials = (types.count, &serials);
                self.add(start, at, payload_len, header_len, serials, left, false, &mut texts, found);
            } else if start + LOST <= at
                && let Some(left) = self.rowid_left(start + length_len, rowid_len, start + LOST)
            {
                let serials = (types.count, &serials);
                self.add(start, at, payload_len, header_len, serials, left, true, &mut texts, found);
            }
        }
    }

    /// What is left of a row id of `len` bytes at `at` of which the bytes from `kept` on survive; `None` where they are
    /// no end of one.
    pub(super) fn rowid_left(&self, at: usize, len: usize, kept: usize) -> Option<RowidLeft> {
        let kept = kept.max(at);
        let bytes = self.page.get(kept..at + len)?;
        let (last, before) = match bytes.split_last() {
            None => return Some(RowidLeft::Length(len as u32)),
            Some(split) => split,
        };
        let ends = len == 9 || last & 0x80 == 0;
        if !ends || before.iter().any(|byte| byte & 0x80 == 0) {
            return None;
        }
        let low = before.iter().fold(0_u64, |low, byte| low << 7 | u64::from(byte & 0x7f));
        let (low, bits) = if len == 9 {
            (low << 8 | u64::from(*last), 8 + 7 * before.len() as u32)
        } else {
            (low << 7 | u64::from(*last), 7 * bytes.len() as u32)
        };
        Some(RowidLeft::Low(low, bits))
    }
}
