//! What damage may hide: that the row of a key is live, or what its cells were.

use super::judge::Identity;
use super::live::Live;
use super::{Dead, Search};
use mudlark_parsers::claim::{Claim, Claims};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use mudlark_parsers::sqlite::serial::Serial;
use mudlark_parsers::value::Value;

/// Numbers that are counted up differ by less as a rule.
const COUNTED: u64 = 1 << 16;

/// Bytes of a number of which others may differ by single bits as well by accident.
const SHORT: usize = 4;

/// What damage to a table's pages leaves in doubt about its rows that are gone.
pub(super) struct Doubt<'d, 's, 'a> {
    search: &'d Search<'s, 'a>,
    /// Whether any page of the tree is damaged, or may be lost.
    any: bool,
}

impl<'d, 's, 'a> Doubt<'d, 's, 'a> {
    pub(super) fn of(search: &'d Search<'s, 'a>) -> Self {
        let database = search.database;
        let is_damaged = |page: &u32| !database.survey.page(*page).sound;
        let any = search.damaged
            && (!search.tree.gaps.is_empty()
                || database.strays.contains_key(&search.searched)
                || search.tree.pages.iter().any(is_damaged));
        Self { search, any }
    }

    /// What is to be said of a version of the row with this identity. `stands` when a live row has it, whose `place` is given
    /// where it has a row id.
    pub(super) fn claims(
        &self,
        live: &Live<'_, '_, '_>,
        identity: Identity,
        (stands, place): (bool, Option<(u32, Cell)>),
        dead: &Dead,
    ) -> Claims {
        let is_told = matches!(identity, Identity::Rowid(rowid) if live.is_told(rowid));
        let is_damaged = |(page, _): (u32, Cell)| !self.search.database.survey.page(page).sound;
        let nearly = place.is_some_and(|place| self.is_nearly(live, place, dead));
        Claims::NONE
            .with_if(self.any && !is_told && !stands, Claim::LeafDoubtful)
            .with_if(self.search.damaged && place.is_some_and(is_damaged), Claim::LiveDoubtful)
            .with_if(nearly && self.search.damaged, Claim::NearlyLive)
            .with_if(nearly && !self.search.damaged, Claim::NearlyLiveSound)
    }

    /// Whether damage to either may have made one of the other.
    fn is_nearly(&self, live: &Live<'_, '_, '_>, (page, cell): (u32, Cell), dead: &Dead) -> bool {
        let Some(version) = self.search.database.view.page(dead.page) else { return false };
        // The checksums of a log are proof.
        if version.commit.is_some() {
            return false;
        }
        let own = dead.freed.cell.local_payload(version.bytes);
        let whole = dead.freed.cell.overflow == 0 && dead.content.is_some();
        let own = record::cells(dead.freed.serials.iter(), dead.freed.header_len as usize, own);
        whole
            && live.with_record(page, &cell, |header, payload| differ_by_bits(own, header, payload))
                == Some(true)
    }
}

/// Whether these cells and those of a record differ, and nowhere by more than one bit of a byte, a zero in place of one, or
/// the type of cells of the same length. Updates seldom do that, but for numbers that are counted up.
fn differ_by_bits<'p>(
    own: impl Iterator<Item = (Serial, Option<&'p [u8]>)>,
    header: &RecordHeader<'_>,
    payload: &[u8],
) -> bool {
    let mut others = record::cells(header.serials(), header.len, payload);
    let mut differ = false;
    for (serial, bytes) in own {
        let Some((other, Some(of_other))) = others.next() else { return false };
        let Some(bytes) = bytes.filter(|bytes| bytes.len() == of_other.len()) else { return false };
        // Those without bytes are values of their own.
        if serial != other && bytes.is_empty() {
            return false;
        }
        let as_damaged = |(a, b): (&u8, &u8)| (a ^ b).count_ones() <= 1 || *a == 0 || *b == 0;
        if !bytes.iter().zip(of_other).all(as_damaged) {
            return false;
        }
        if let (Value::Int(one), Value::Int(two)) = (serial.decode(bytes), other.decode(of_other))
            && one != two
            && (bytes.len() < SHORT || one.abs_diff(two) < COUNTED)
        {
            return false;
        }
        differ |= serial != other || bytes != of_other;
    }
    differ && others.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::differ_by_bits;
    use mudlark_parsers::sqlite::record;

    /// Records of an integer of one byte and a text of five.
    fn differ(own: &[u8], other: &[u8]) -> bool {
        let [own_header, header] = [own, other].map(|record| record::header(record, 9).expect("a header"));
        differ_by_bits(record::cells(own_header.serials(), own_header.len, own), &header, other)
    }

    #[test]
    fn a_text_with_a_flipped_bit_may_be_a_damaged_copy_and_another_word_is_an_update() {
        assert!(differ(b"\x03\x01\x17\x05hello", b"\x03\x01\x17\x05hellm"));
        assert!(differ(b"\x03\x01\x17\x05hello", b"\x03\x01\x17\x05he\0lo"));
        assert!(!differ(b"\x03\x01\x17\x05hello", b"\x03\x01\x17\x05world"));
    }

    #[test]
    fn a_text_that_became_a_blob_may_be_damaged_and_a_count_that_rose_was_updated() {
        assert!(differ(b"\x03\x01\x17\x05hello", b"\x03\x01\x16\x05hello"));
        assert!(!differ(b"\x03\x01\x17\x05hello", b"\x03\x01\x17\x04hello"));
        assert!(!differ(b"\x03\x01\x17\x05hello", b"\x03\x01\x17\x05hello"));
    }
}
