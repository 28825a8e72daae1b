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
    /// Dropped before the map: it must not watch what may be another one's memory.
    guard: Option<Guard>,
    map: Mmap,
    /// Offsets and lengths of what could not be read where it was read and not mapped.
    unread: Mutex<BTreeMap<u64, u64>>,
    /// Some bytes are not those of the file.
    is_patched: bool,
}

impl Mapped {
    /// Maps the `length` bytes of `file`. What can't be read of them is read again from `again`, sector by sector.
    pub(super) fn new(file: &File, length: u64, again: Option<File>) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        // SAFETY: the mapping is private and read-only. Another process may change or cut the file meanwhile: then
        // bytes change under us, which parsers that trust nothing bear, or a read faults, which the guard answers.
        let map = unsafe { memmap2::MmapOptions::new().len(length).map_copy_read_only(file)? };
        let guard = Guard::watch(&map, again);
        Ok(Self { guard, map, unread: Mutex::default(), is_patched: false })
    }

    /// Maps a file in which other bytes stand at some offsets: in memory, the file stays as it is. What is replaced was read
    /// before, so that it can be read.
    pub(super) fn patched(file: &File, length: usize, patches: &[(u64, Vec<u8>)]) -> io::Result<Self> {
        // SAFETY: as above; what is written here stays in this process.
        let mut map = unsafe { memmap2::MmapOptions::new().len(length).map_copy(file)? };
        for (offset, bytes) in patches {
            let from = usize::try_from(*offset).map_err(io::Error::other)?;
            if let Some(place) = map.get_mut(from..from.saturating_add(bytes.len())) {
                place.copy_from_slice(bytes);
            }
        }
        let map = map.make_read_only()?;
        let guard = Guard::watch(&map, None);
        Ok(Self { guard, map, unread: Mutex::default(), is_patched: true })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets the system take back the memory in which some bytes lie, which are read anew when they are asked for. No other thread
    /// may read them meanwhile: what the guard put in place would be zeros without a record.
    pub(super) fn release(&self, range: Range<usize>) {
        // What the guard or a patch put in place stands nowhere else.
        if self.is_patched || self.guard.as_ref().is_some_and(Guard::has_replaced) {
            return;
        }
        let end = range.end.min(self.map.len());
        let length = end.saturating_sub(range.start);
        // SAFETY: the advice is dangerous where a mapping was written to, as that would be lost: this one was not.
        // Failure leaves all as it is.
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
        let mut all = self.guard.as_ref().map(Guard::unread).unwrap_or_default();
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(unread.iter().map(|(at, length)| (*at, *length)));
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

#[cfg(test)]
mod tests {
    use super::Mapped;
    use std::fs::{self, File};

    /// More pages than the system keeps mappings of a process.
    const PAGES: u64 = 70_000;

    #[test]
    fn a_file_that_is_cut_while_it_is_read_costs_what_is_gone_and_all_of_it_is_on_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        fs::write(&path, [7; 8192]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        file.set_len(PAGES * 4096 + 700).unwrap();
        let mapped = Mapped::new(&file, PAGES * 4096 + 700, None).unwrap();
        file.set_len(4096).unwrap();
        let sum: usize = mapped.bytes().iter().step_by(512).map(|byte| usize::from(*byte)).sum();
        assert_eq!(sum, 7 * 4096 / 512);
        let gone = (PAGES - 1) * 4096 + 700;
        let [(4096, length)] = mapped.holes()[..] else { panic!("{:?}", mapped.holes()) };
        assert_eq!(length.div_ceil(512), gone.div_ceil(512));
    }

    #[test]
    fn sectors_of_a_page_that_fails_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (path, disk) = (folder.path().join("mapped.img"), folder.path().join("disk.img"));
        fs::write(&path, [0; 4 * 4096]).unwrap();
        fs::write(&disk, [7; 2 * 4096 + 3 * 512]).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mapped = Mapped::new(&file, 4 * 4096, Some(File::open(&disk).unwrap())).unwrap();
        file.set_len(4096).unwrap();
        let bytes = mapped.bytes();
        let left = 2 * 4096 + 3 * 512;
        // The page that is still there is not asked for again.
        assert!(
            bytes[..4096].iter().all(|byte| *byte == 0) && bytes[4096..left].iter().all(|byte| *byte == 7)
        );
        assert!(bytes[left..].iter().all(|byte| *byte == 0));
        assert_eq!(mapped.holes(), [(left as u64, 4 * 4096 - left as u64)]);
        // What was put in place is kept.
        mapped.release(0..4 * 4096);
        assert_eq!(mapped.bytes()[4096], 7);
    }
}
