//! What the sorter spills into temp files: records in the order of their keys, in runs.
//!
//! SQLite calls a run a PMA, packed memory array (`vdbesort.c`): the length of its content as a varint, then for each
//! record its length as a varint and the record. Runs that were merged lack the length before them. Nothing links or
//! checks them, so that they are found by records that lie end to end.

use super::record;
use super::serial::SerialKind;
use super::varint::{varint_at, varint_len};
use crate::bytes::{all_zero, slice_at};

/// A record that was spilled, by the place of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spilled {
    /// Offset of its length.
    pub at: usize,
    /// Offset of the record.
    pub record_at: usize,
    /// Bytes of the record.
    pub len: usize,
}

impl Spilled {
    /// Offset behind it.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.record_at + self.len
    }
}

/// Records end to end that are no accident.
const CONVINCING: usize = 4;

/// Places at which a record is tried that follows none: so many bytes are more than a lost sector or page.
const MOST_TRIES: usize = 1 << 16;

/// Whether bytes are what a sorter spills: records that lie end to end make up nearly all of them.
#[must_use]
pub fn is_spill(bytes: &[u8]) -> bool {
    // The file is made longer ahead of what is written.
    let written = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == 0).count();
    let mut at = 0;
    let mut count = 0_usize;
    while let Some(run) = run(bytes, at) {
        count += run.len();
        let Some(last) = run.last() else { break };
        at = last.end();
    }
    // The last record may be cut, and so may its run.
    count >= CONVINCING && at.saturating_add(written / 8) >= written
}

/// The records of a spill, in file order; bytes between them that are none are passed over.
#[must_use]
pub fn records(bytes: &[u8]) -> Vec<Spilled> {
    let (mut found, mut at, mut tries) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        match run(bytes, at) {
            Some(run) if run.len() >= CONVINCING || at == 0 || follows(&found, at) => {
                at = run.last().map_or(at + 1, Spilled::end);
                found.extend(run);
            }
            _ if tries == MOST_TRIES || bytes.get(at..).is_none_or(all_zero) => break,
            _ => (at, tries) = (at + 1, tries + 1),
        }
    }
    found
}

/// Whether a run at `at` begins where the last one ends.
fn follows(found: &[Spilled], at: usize) -> bool {
    found.last().is_some_and(|last| last.end() == at)
}

/// The records of the run at `at`, with its length before it or without; `None` where none begins.
fn run(bytes: &[u8], at: usize) -> Option<Vec<Spilled>> {
    let (from, end) = match record_at(bytes, at) {
        Some(_) => (at, bytes.len()),
        None => {
            let (length, size) =
                varint_at(bytes, at).filter(|(length, size)| *size == varint_len(*length))?;
            (at + size, usize::try_from(length).ok()?.checked_add(at + size)?)
        }
    };
    let mut found = Vec::new();
    let mut at = from;
    while let Some(record) = record_at(bytes, at).filter(|record| record.end() <= end) {
        at = record.end();
        found.push(record);
    }
    (!found.is_empty()).then_some(found)
}

/// The record at `at`, in the one form in which SQLite writes it.
fn record_at(bytes: &[u8], at: usize) -> Option<Spilled> {
    let (len, size) = varint_at(bytes, at).filter(|(len, size)| *len >= 2 && *size == varint_len(*len))?;
    let record_at = at + size;
    let len = usize::try_from(len).ok()?;
    let payload = slice_at(bytes, record_at, len)?;
    let header = record::header(payload, len as u64).ok()?;
    let plain = header.serials().all(|serial| serial.kind() != SerialKind::Reserved);
    (header.columns > 0 && plain).then_some(Spilled { at, record_at, len })
}

#[cfg(test)]
mod tests {
    use super::{is_spill, records};

    /// A record of a text and an integer, with its length before it.
    fn record(text: &str, number: u8) -> Vec<u8> {
        let mut record = vec![3, 13 + 2 * text.len() as u8, 1];
        record.extend(text.bytes());
        record.push(number);
        [vec![record.len() as u8], record].concat()
    }

    fn content(names: &[&str]) -> Vec<u8> {
        names.iter().zip(1..).flat_map(|(name, number)| record(name, number)).collect()
    }

    fn run(names: &[&str]) -> Vec<u8> {
        let content = content(names);
        [vec![content.len() as u8], content].concat()
    }

    #[test]
    fn runs_are_read_one_after_another() {
        let bytes = [run(&["Ada", "Bo", "Li Wei"]), run(&["Cy", "Zoe"]), vec![0; 9]].concat();
        assert!(is_spill(&bytes));
        assert_eq!(records(&bytes).len(), 5);
    }

    #[test]
    fn a_merged_run_has_no_length_before_it() {
        let bytes = content(&["Ada", "Bo", "Cy", "Li Wei"]);
        assert!(is_spill(&bytes));
        assert_eq!(records(&bytes).len(), 4);
    }

    #[test]
    fn records_behind_a_hole_are_found() {
        let names = ["Ada", "Bo", "Cy", "Di", "Li Wei", "Zoe"];
        let bytes = [run(&names), vec![0xff; 20], run(&names)].concat();
        assert_eq!(records(&bytes).len(), 12);
    }

    #[test]
    fn text_and_zeros_are_no_spill() {
        assert!(!is_spill(b"a text of some length, which nobody takes for records"));
        assert!(!is_spill(&[0; 4096]));
        assert!(!is_spill(&[]));
        assert!(records(&[0; 64]).is_empty());
    }
}
