//! The database header (section 1.3).

use super::geometry::Geometry;
use crate::value::TextEncoding;
use nom::bytes::complete::{tag, take};
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

/// The first sixteen bytes of every database.
pub const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Bytes of the database header.
pub const LEN: usize = 100;

/// The database header.
///
/// | offset | size | field                 | note                                      |
/// |-------:|-----:|-----------------------|-------------------------------------------|
/// |      0 |   16 | magic                 |                                           |
/// |     16 |    2 | `page_size`           | 1 means 65536                             |
/// |     18 |    1 | `write_version`       | 1 rollback journal, 2 WAL                 |
/// |     19 |    1 | `read_version`        |                                           |
/// |     20 |    1 | `reserved`            | bytes at the end of each page             |
/// |     21 |    3 | payload fractions     | always 64, 32, 32                         |
/// |     24 |    4 | `change_counter`      |                                           |
/// |     28 |    4 | `page_count`          | valid when `version_valid_for` agrees     |
/// |     32 |    4 | `first_trunk`         | freelist                                  |
/// |     36 |    4 | `freelist_count`      |                                           |
/// |     40 |    4 | `schema_cookie`       |                                           |
/// |     44 |    4 | `schema_format`       | 1 to 4                                    |
/// |     48 |    4 | `default_cache`       |                                           |
/// |     52 |    4 | `largest_root`        | non-zero in auto-vacuum databases         |
/// |     56 |    4 | `encoding`            | 1 UTF-8, 2 UTF-16le, 3 UTF-16be           |
/// |     60 |    4 | `user_version`        |                                           |
/// |     64 |    4 | `incremental_vacuum`  | non-zero: incremental                     |
/// |     68 |    4 | `application_id`      |                                           |
/// |     72 |   20 | zeros                 |                                           |
/// |     92 |    4 | `version_valid_for`   | the change counter `page_count` is for    |
/// |     96 |    4 | `library_version`     |                                           |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct Header {
    pub page_size: u16,
    pub write_version: u8,
    pub read_version: u8,
    pub reserved: u8,
    pub fractions: [u8; 3],
    pub change_counter: u32,
    pub page_count: u32,
    pub first_trunk: u32,
    pub freelist_count: u32,
    pub schema_cookie: u32,
    pub schema_format: u32,
    pub default_cache: u32,
    pub largest_root: u32,
    pub encoding: u32,
    pub user_version: u32,
    pub incremental_vacuum: u32,
    pub application_id: u32,
    pub version_valid_for: u32,
    pub library_version: u32,
}

impl Header {
    /// Page size and reserved bytes, when the format allows them.
    #[must_use]
    pub fn geometry(&self) -> Option<Geometry> {
        let page_size = if self.page_size == 1 { 65536 } else { u32::from(self.page_size) };
        Geometry::new(page_size, self.reserved)
    }

    /// The text encoding; an empty database has 0 and counts as UTF-8.
    #[must_use]
    pub const fn text_encoding(&self) -> Option<TextEncoding> {
        match self.encoding {
            0 | 1 => Some(TextEncoding::Utf8),
            2 => Some(TextEncoding::Utf16le),
            3 => Some(TextEncoding::Utf16be),
            _ => None,
        }
    }

    /// Whether the database keeps pointer maps.
    #[must_use]
    pub const fn auto_vacuum(&self) -> bool {
        self.largest_root != 0
    }

    /// The page count, when the header's own rule says it can be believed.
    #[must_use]
    pub const fn believed_page_count(&self) -> Option<u32> {
        if self.page_count != 0 && self.change_counter == self.version_valid_for {
            Some(self.page_count)
        } else {
            None
        }
    }
}

/// Reads a header; the fields may hold anything.
///
/// # Errors
/// When the magic is missing or the input ends.
pub fn header(input: &[u8]) -> IResult<&[u8], Header> {
    let (rest, _) = tag(MAGIC.as_slice()).parse_complete(input)?;
    fields(rest)
}

/// Reads the fields behind the magic, whatever stands where the magic should be.
///
/// # Errors
/// When the input ends.
pub fn fields(input: &[u8]) -> IResult<&[u8], Header> {
    let start = (be_u16, be_u8, be_u8, be_u8, be_u8, be_u8, be_u8, be_u32, be_u32, be_u32, be_u32);
    let middle = (be_u32, be_u32, be_u32, be_u32, be_u32, be_u32, be_u32, be_u32);
    let end = (take(20_usize), be_u32, be_u32);
    (start, middle, end)
        .map(|(start, middle, end)| Header {
            page_size: start.0,
            write_version: start.1,
            read_version: start.2,
            reserved: start.3,
            fractions: [start.4, start.5, start.6],
            change_counter: start.7,
            page_count: start.8,
            first_trunk: start.9,
            freelist_count: start.10,
            schema_cookie: middle.0,
            schema_format: middle.1,
            default_cache: middle.2,
            largest_root: middle.3,
            encoding: middle.4,
            user_version: middle.5,
            incremental_vacuum: middle.6,
            application_id: middle.7,
            version_valid_for: end.1,
            library_version: end.2,
        })
        .parse_complete(input)
}

#[cfg(test)]
mod tests {
    use super::{LEN, MAGIC, header};

    fn sample() -> Vec<u8> {
        let mut bytes = vec![0_u8; LEN];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..24].copy_from_slice(&[0, 1, 1, 1, 8, 64, 32, 32]);
        bytes[24..32].copy_from_slice(&[0, 0, 0, 5, 0, 0, 0, 9]);
        bytes[92..96].copy_from_slice(&[0, 0, 0, 5]);
        bytes
    }

    #[test]
    fn a_page_size_of_one_means_65536() {
        let bytes = sample();
        let (rest, read) = header(&bytes).unwrap();
        assert!(rest.is_empty());
        let geometry = read.geometry().unwrap();
        assert_eq!((geometry.page_size, geometry.usable()), (65536, 65528));
        assert_eq!(read.believed_page_count(), Some(9));
    }

    #[test]
    fn every_cut_of_a_header_is_an_error_and_never_incomplete() {
        let sample = sample();
        for end in 0..LEN {
            assert!(matches!(header(&sample[..end]), Err(nom::Err::Error(_))), "{end}");
        }
    }
}
