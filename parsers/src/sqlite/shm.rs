//! The WAL index, `-shm` (section 4.4 of the WAL format, <https://www.sqlite.org/walformat.html>).

use nom::bytes::complete::take;
use nom::number::complete::{le_u8, le_u16, le_u32};
use nom::{IResult, Parser};

/// One of the two copies of the index header. The file is in the byte order of the machine that wrote it; this
/// reads little-endian ones.
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
    (start, take(8_usize), (le_u32, le_u32), take(8_usize))
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
