//! Bytes of which each is as likely as any other: what was encrypted, overwritten with noise, or compressed.

use super::survey;

/// Bytes of a sector.
pub(super) const SECTOR: usize = survey::SECTOR as usize;

/// Bytes of a sector that are too few to tell.
const FEW: usize = 400;

/// Values that occur in a sector of noise at least: of 512 random bytes 221 on average, seldom less than 205. What applications
/// store has far fewer, but for compressed BLOBs.
const NOISY: usize = 195;

/// Sectors side by side that are noise: a row begins in none of them, whatever BLOB it may hold.
const RUN: usize = 4;

/// Whether a sector, or nearly all of one, is noise.
pub(super) fn is_noise(sector: &[u8]) -> bool {
    if sector.len() < FEW {
        return false;
    }
    let mut seen = [0_u64; 4];
    for byte in sector {
        if let Some(seen) = seen.get_mut(usize::from(byte >> 6)) {
            *seen |= 1 << (byte & 63);
        }
    }
    seen.iter().map(|seen| seen.count_ones() as usize).sum::<usize>() >= NOISY
}

/// The places of a page where a row may begin: those outside of runs of noise.
pub(super) fn places_outside(page: &[u8]) -> Vec<u16> {
    let noisy: Vec<bool> = page.chunks(SECTOR).map(is_noise).collect();
    let mut places = Vec::with_capacity(page.len());
    let mut sector = 0;
    for run in noisy.chunk_by(|one, next| one == next) {
        let is_lost = run.len() >= RUN && run.first() == Some(&true);
        let (from, to) = (sector * SECTOR, ((sector + run.len()) * SECTOR).min(page.len()));
        if !is_lost {
            places.extend((from..to).filter_map(|at| u16::try_from(at).ok()));
        }
        sector += run.len();
    }
    places
}

#[cfg(test)]
pub(super) mod tests {
    use super::{SECTOR, is_noise, places_outside};

    /// Bytes of which each is as likely as any other.
    pub fn noise(length: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn text_and_numbers_are_no_noise() {
        let numbers: Vec<u8> = (0..SECTOR).map(|at| (at % 16 * at % 100) as u8).collect();
        assert!(!is_noise(&numbers) && !is_noise(&b"someone@example.org ".repeat(30)[..SECTOR]));
        assert!(is_noise(&noise(SECTOR)) && !is_noise(&noise(100)));
    }

    #[test]
    fn rows_begin_outside_of_long_runs_of_noise() {
        let mut page = vec![7; 8 * SECTOR];
        page[SECTOR..2 * SECTOR].copy_from_slice(&noise(SECTOR));
        page[3 * SECTOR..7 * SECTOR].copy_from_slice(&noise(4 * SECTOR));
        let places = places_outside(&page);
        assert_eq!(places.len(), 4 * SECTOR);
        assert!(!places.contains(&(3 * SECTOR as u16)) && places.contains(&(SECTOR as u16)));
    }
}
