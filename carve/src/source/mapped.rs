//! A file in memory, read-only.
#![allow(unsafe_code, reason = "a memory map has no safe form; the argument stands below")]

use super::guard::Guard;
use memmap2::{Mmap, UncheckedAdvice};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

/// A file mapped read-only, with its fault guard.
#[derive(Debug)]
pub(super) struct Mapped {
    map: Mmap,
    guard: Option<Guard>,
    /// Offsets and lengths of what could not be read where it was read and not mapped.
    unread: Mutex<BTreeMap<u64, u64>>,
}

impl Mapped {
    /// Maps the `length` bytes of `file`.
    pub(super) fn new(file: &File, length: u64) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the mapping is private and read-only. Another process may change or cut the file meanwhile: then
        // bytes change under us, which parsers that trust nothing bear, or a read faults, which the guard answers.
        let map = unsafe { memmap2::MmapOptions::new().len(length).map_copy_read_only(file)? };
        let guard = Guard::watch(&map);
        Ok(Self { map, guard, unread: Mutex::default() })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets the system take back the memory in which some bytes lie, which are read anew when they are asked for.
    pub(super) fn release(&self, range: Range<usize>) {
        let end = range.end.min(self.map.len());
        let length = end.saturating_sub(range.start);
        // SAFETY: the advice is dangerous where a mapping was written to, as that would be lost; this one is read-only.
        // Zeros that the guard put in place of what can't be read are zeros again. Failure leaves all as it is.
        let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, length) };
    }

    /// Notes that bytes could not be read.
    pub(super) fn note_unread(&self, offset: u64, length: u64) {
        let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let before = unread.range_mut(..offset).next_back();
        match before.filter(|(from, known)| **from + **known == offset) {
            Some((_, known)) => *known += length,
            None => _ = unread.insert(offset, length),
        }
    }

    /// Offsets and lengths in bytes of what could not be read, in order and without overlap.
    pub(super) fn holes(&self) -> Vec<(u64, u64)> {
        let (offsets, page) = self.guard.as_ref().map(Guard::faults).unwrap_or_default();
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        let faulted = offsets.into_iter().map(|at| (at as u64, page as u64));
        let mut all: Vec<(u64, u64)> =
            unread.iter().map(|(at, length)| (*at, *length)).chain(faulted).collect();
        drop(unread);
        all.sort_unstable();
        let mut holes: Vec<(u64, u64)> = Vec::new();
        for (at, length) in all {
            match holes.last_mut() {
                Some((from, known)) if at <= *from + *known => *known = (*known).max(at + length - *from),
                _ => holes.push((at, length)),
            }
        }
        holes
    }
}
