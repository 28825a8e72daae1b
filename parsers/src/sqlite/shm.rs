//! The WAL index, `-shm` (section 4.4 of the WAL format, <https://www.sqlite.org/walformat.html>).

use super::wal;
use crate::bytes::slice_at;
use nom::bytes::complete::take;
use nom::number::complete::{be_u32, le_u8, le_u16, le_u32};
use nom::{IResult, Parser};

/// One of the two copies of the index header. The file is in the byte order of the machine that wrote it; this
/// reads little-endian ones. The salts stand as the log has them.
///
/// | offset | size | field        | note                        |
/// |-------:|-----:|--------------|-----------------------------|
/// |      0 |    4 | `version`    | 3007000                     |
/// |      4 |    4 | unused       |                             |
/// |      8 |    4 | `change`     | counts transactions         |
/// |     12 |    1 | `is_init`    | 1                           |
/// |     13 |    1 | `big_endian` | checksums in the log        |
/// |     14 |    2 | `page_size`  | 1 means 65536               |
/// |     16 |    4 | `max_frame`  | last valid frame            |
/// |     20 |    4 | `page_count` | pages of the database       |
/// |     24 |    8 | checksum     | of the last frame           |
/// |     32 |    8 | `salts`      | as in the log               |
/// |     40 |    8 | checksum     | of this header              |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct IndexHeader {
    pub version: u32,
    pub change: u32,
    pub page_size: u16,
    pub max_frame: u32,
    pub page_count: u32,
    pub salts: [u32; 2],
}

/// Reads one copy of the index header.
///
/// # Errors
/// When the input ends.
pub fn index_header(input: &[u8]) -> IResult<&[u8], IndexHeader> {
    let start = (le_u32, le_u32, le_u32, le_u8, le_u8, le_u16, le_u32, le_u32);
    (start, take(8_usize), (be_u32, be_u32), take(8_usize))
        .map(|(start, _, salts, _)| IndexHeader {
            version: start.0,
            change: start.2,
            page_size: start.5,
            max_frame: start.6,
            page_count: start.7,
            salts: salts.into(),
        })
        .parse_complete(input)
}

/// Bytes of a copy of the index header.
const HEADER_LEN: usize = 48;

/// The index header, where both copies agree and their checksum holds, and how many frames a checkpoint has copied to the
/// main file: the number behind both copies.
#[must_use]
pub fn checkpoint(bytes: &[u8]) -> Option<(IndexHeader, u32)> {
    let header = slice_at(bytes, 0, HEADER_LEN)?;
    let (summed, stored) = header.split_at_checked(HEADER_LEN - 8)?;
    let (_, stored) = word_pair(stored).ok()?;
    if slice_at(bytes, HEADER_LEN, HEADER_LEN)? != header || wal::checksum(summed, false, [0, 0]) != stored {
        return None;
    }
    let (_, read) = index_header(header).ok()?;
    let (_, [copied, _]) = word_pair(bytes.get(2 * HEADER_LEN..)?).ok()?;
    (copied <= read.max_frame).then_some((read, copied))
}

fn word_pair(input: &[u8]) -> IResult<&[u8], [u32; 2]> {
    (le_u32, le_u32).map(<[u32; 2]>::from).parse_complete(input)
}
