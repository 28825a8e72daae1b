//! A file in memory, read-only.
#![allow(unsafe_code, reason = "a memory map has no safe form; the argument stands below")]

use super::guard::Guard;
use memmap2::Mmap;
use std::fs::File;
use std::io;

/// A file mapped read-only, with its fault guard.
#[derive(Debug)]
pub(super) struct Mapped {
    map: Mmap,
    guard: Option<Guard>,
}

impl Mapped {
    /// Maps the whole of `file`.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private and read-only. Another process may change or cut the file meanwhile: then
        // bytes change under us, which parsers that trust nothing bear, or a read faults, which the guard answers.
        let map = unsafe { memmap2::MmapOptions::new().map_copy_read_only(file)? };
        let guard = Guard::watch(&map);
        Ok(Self { map, guard })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Offsets and lengths in bytes of what could not be read.
    pub(super) fn holes(&self) -> Vec<(u64, u64)> {
        let Some(guard) = &self.guard else { return Vec::new() };
        let (offsets, page) = guard.faults();
        offsets.into_iter().map(|at| (at as u64, page as u64)).collect()
    }
}
