//! Checksums made right again, so that a mutation gets past them.

use mudlark_parsers::sqlite::geometry::PAGE_SIZES;
use mudlark_parsers::sqlite::{journal, wal};

/// Makes the checksums and salts of a log hold. What stands behind the last whole frame stays as it is.
pub fn log(bytes: &mut [u8]) {
    let Ok((_, header)) = wal::wal_header(bytes) else { return };
    if !PAGE_SIZES.contains(&header.page_size) {
        return;
    }
    bytes[4..8].copy_from_slice(&wal::FORMAT_VERSION.to_be_bytes());
    let mut running = wal::checksum(&bytes[..24], header.big_endian, [0, 0]);
    put(&mut bytes[24..32], running);
    for frame in bytes[wal::HEADER_LEN..].chunks_exact_mut(wal::FRAME_HEADER_LEN + header.page_size as usize)
    {
        put(&mut frame[8..16], header.salts);
        running = wal::checksum(&frame[..8], header.big_endian, running);
        running = wal::checksum(&frame[wal::FRAME_HEADER_LEN..], header.big_endian, running);
        put(&mut frame[16..24], running);
    }
}

fn put(at: &mut [u8], words: [u32; 2]) {
    at[..4].copy_from_slice(&words[0].to_be_bytes());
    at[4..8].copy_from_slice(&words[1].to_be_bytes());
}

/// Makes the checksums of a journal's first segment hold.
pub fn journal(bytes: &mut [u8]) {
    let Ok((_, header)) = journal::segment_header(bytes) else { return };
    if !PAGE_SIZES.contains(&header.page_size) || !(32..=65536).contains(&header.sector_size) {
        return;
    }
    let page_size = header.page_size as usize;
    let Some(records) = bytes.get_mut(header.sector_size as usize..) else { return };
    let count = header.count as usize;
    for record in records.chunks_exact_mut(page_size + 8).take(count) {
        let sum = journal::checksum(&record[4..4 + page_size], header.nonce);
        record[4 + page_size..].copy_from_slice(&sum.to_be_bytes());
    }
}

/// Makes whatever kind of sidecar this is hold.
pub fn sidecar(bytes: &mut [u8]) {
    log(bytes);
    journal(bytes);
}
