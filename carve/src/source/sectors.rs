//! Reads of a failing disk, which cost no more than the sectors that it does not give.

use rustix::fd::AsFd;
use rustix::io::{Errno, pread};

/// Bytes of a sector: no disk tells of less.
pub(super) const SECTOR: usize = 512;

/// Bytes that are read at once, where all of them can be: those of a large sector.
const PIECE: usize = 4096;

/// Memory that a device can be read into past the system's own, which holds whole pages and gives none of a page in which a
/// sector fails.
#[repr(align(4096))]
struct Piece([u8; PIECE]);

/// Reads the bytes from `at` on, a multiple of [`SECTOR`], and calls `failed` with the place in `into` and the length of what
/// can't be read, which is zeros.
///
/// Takes no memory and no lock, so that a signal handler may call it.
pub(super) fn read(file: impl AsFd, at: u64, into: &mut [u8], mut failed: impl FnMut(usize, usize)) {
    let mut piece = Piece([0; PIECE]);
    for (index, part) in into.chunks_mut(PIECE).enumerate() {
        let from = index * PIECE;
        if fill(&file, at + from as u64, part, &mut piece) {
            continue;
        }
        for (index, sector) in part.chunks_mut(SECTOR).enumerate() {
            let from = from + index * SECTOR;
            if !fill(&file, at + from as u64, sector, &mut piece) {
                sector.fill(0);
                failed(from, sector.len());
            }
        }
    }
}

/// Fills `into` with the bytes at `at`; false when not all of them can be read.
fn fill(file: impl AsFd, at: u64, into: &mut [u8], piece: &mut Piece) -> bool {
    // What is read past the system's pages comes in whole sectors.
    let len = into.len().next_multiple_of(SECTOR).min(PIECE);
    let Some(buffer) = piece.0.get_mut(..len) else { return false };
    let read = loop {
        match pread(&file, &mut *buffer, at) {
            Err(Errno::INTR) => {}
            read => break read,
        }
    };
    let Some(bytes) = buffer.get(..into.len()).filter(|bytes| read.is_ok_and(|read| read >= bytes.len()))
    else {
        return false;
    };
    into.copy_from_slice(bytes);
    true
}

#[cfg(test)]
mod tests {
    use super::{PIECE, SECTOR, read};
    use std::fs::{self, File};

    #[test]
    fn what_lies_behind_the_end_of_a_file_fails_by_the_sector_and_the_rest_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        fs::write(&path, vec![7; 2 * PIECE + 3 * SECTOR]).unwrap();
        let (mut bytes, mut failed) = (vec![9; 3 * PIECE - SECTOR], Vec::new());
        read(File::open(&path).unwrap(), PIECE as u64, &mut bytes, |at, len| failed.push((at, len)));
        let left = PIECE + 3 * SECTOR;
        assert!(bytes[..left].iter().all(|byte| *byte == 7) && bytes[left..].iter().all(|byte| *byte == 0));
        assert_eq!(failed.first(), Some(&(left, SECTOR)));
        assert_eq!(failed.iter().map(|(_, len)| len).sum::<usize>(), bytes.len() - left);
    }

    #[test]
    fn the_last_bytes_of_a_file_need_no_whole_sector() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.img");
        fs::write(&path, [7; 700]).unwrap();
        let mut bytes = [0; 700];
        read(File::open(&path).unwrap(), 0, &mut bytes, |_, _| panic!("all can be read"));
        assert_eq!(bytes, [7; 700]);
    }
}
