//! Rollback journals (section 3).

use super::geometry::PAGE_SIZES;
use super::page::PageKind;
use crate::bytes::{all_zero, be_u32_at, slice_at};
use crate::damage::{Damage, DamageKind};
use nom::bytes::complete::tag;
use nom::number::complete::be_u32;
use nom::{IResult, Parser};
use std::collections::{HashMap, HashSet};

/// The first eight bytes of a journal segment.
pub const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// What SQLite makes of the magic of an earlier transaction's segment that lies where this one's next would.
const ENDED: [u8; 8] = [0x00, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// Bytes of a segment header that mean something; it is padded to a sector.
pub const HEADER_LEN: usize = 28;

/// The record count of a journal written without syncs: the records fill the file.
pub const COUNT_BY_LENGTH: u32 = u32::MAX;

/// Journal segment header.
///
/// | offset | size | field         | note                              |
/// |-------:|-----:|---------------|-----------------------------------|
/// |      0 |    8 | magic         |                                   |
/// |      8 |    4 | `count`       | records; all ones: fills the file |
/// |     12 |    4 | `nonce`       | for the checksums                 |
/// |     16 |    4 | `page_count`  | pages before the transaction      |
/// |     20 |    4 | `sector_size` |                                   |
/// |     24 |    4 | `page_size`   |                                   |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct SegmentHeader {
    pub count: u32,
    pub nonce: u32,
    pub page_count: u32,
    pub sector_size: u32,
    pub page_size: u32,
}

/// Reads a segment header.
///
/// # Errors
/// When the magic is missing or the input ends.
pub fn segment_header(input: &[u8]) -> IResult<&[u8], SegmentHeader> {
    (tag(MAGIC.as_slice()), be_u32, be_u32, be_u32, be_u32, be_u32)
        .map(|(_, count, nonce, page_count, sector_size, page_size)| SegmentHeader {
            count,
            nonce,
            page_count,
            sector_size,
            page_size,
        })
        .parse_complete(input)
}

/// The checksum of a journalled page: the nonce and every 200th byte from the end.
#[must_use]
pub fn checksum(page: &[u8], nonce: u32) -> u32 {
    let mut sum = nonce;
    let mut at = page.len().saturating_sub(200);
    while at > 0 {
        sum = sum.wrapping_add(page.get(at).copied().map_or(0, u32::from));
        at = at.saturating_sub(200);
    }
    sum
}

/// A page as it was before the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The page's number.
    pub page: u32,
    /// Offset of the page's bytes in the journal.
    pub offset: u64,
}

/// What a journal would roll back.
#[derive(Clone, Debug)]
pub struct Journal {
    /// The first segment's header.
    pub header: SegmentHeader,
    /// Records whose checksums hold, in file order: also those behind a damaged one, where SQLite itself would stop.
    pub records: Vec<Record>,
    /// Records whose checksums don't hold, before the last one that does: what is left of pages as they were.
    pub damaged: Vec<Record>,
    /// The name of the super-journal, as stored.
    pub super_journal: Option<Vec<u8>>,
    /// Broken rules.
    pub damage: Vec<Damage>,
    /// The pages of `records`.
    saved: HashSet<u32>,
}

/// The first header of a journal that SQLite itself would roll back.
///
/// # Errors
/// The rule that it breaks.
pub fn sound_header(bytes: &[u8]) -> Result<SegmentHeader, Damage> {
    let not_a = |field, at| Damage::new(field, at, DamageKind::NotA { expected: "a journal header" });
    let (_, first) = segment_header(bytes).map_err(|_| not_a("journal.magic", 0))?;
    if !PAGE_SIZES.contains(&first.page_size) {
        return Err(not_a("journal.page_size", 24));
    }
    if !first.sector_size.is_power_of_two() || !(32..=65536).contains(&first.sector_size) {
        return Err(not_a("journal.sector_size", 20));
    }
    Ok(first)
}

/// Reads a journal the way a rollback would, but for damaged records: SQLite stops at the first, while the nonce
/// proves those behind it just as well.
///
/// # Errors
/// As [`sound_header`]: then SQLite, too, has nothing to roll back.
pub fn journal(bytes: &[u8]) -> Result<Journal, Damage> {
    let first = sound_header(bytes)?;
    let super_journal = super_journal(bytes);
    let mut read = Journal {
        header: first,
        records: Vec::new(),
        damaged: Vec::new(),
        super_journal,
        damage: Vec::new(),
        saved: HashSet::new(),
    };
    let (sector, page_size) = (first.sector_size as usize, first.page_size as usize);
    let record_len = page_size + 8;
    let (mut segment, mut at) = (first, sector);
    loop {
        let room = bytes.len().saturating_sub(at) / record_len;
        let count = if segment.count == COUNT_BY_LENGTH { room } else { segment.count as usize };
        for _ in 0..count.min(room) {
            read.record(bytes, at, segment.nonce);
            at += record_len;
        }
        if count > room {
            let kind = DamageKind::OutOfRange { found: count as u64, least: 0, most: room as u64 };
            read.damage.push(Damage::new("journal.count", at as u64, kind));
            break;
        }
        at = at.next_multiple_of(sector);
        let header = bytes.get(at..).and_then(|rest| Some(segment_header(rest).ok()?.1));
        match header.or_else(|| read.over_lost_header(bytes, &mut at)) {
            Some(header) => segment = header,
            None => break,
        }
        at += sector;
    }
    // Behind the last sound record of one that is counted by length lies what earlier transactions left.
    let last = read.records.last().map_or(0, |record| record.offset);
    let ends = |at: u64| segment.count == COUNT_BY_LENGTH && last < at;
    read.damaged.retain(|record| !ends(record.offset));
    let first_left = read.damage.iter().position(|damage| ends(damage.at));
    read.damage.truncate(first_left.map_or(usize::MAX, |first| first + 1));
    Ok(read)
}

/// The record at `at`: its page's number, the page's bytes, and their checksum as stored.
fn stored_record(bytes: &[u8], at: usize, page_size: usize) -> Option<(u32, &[u8], u32)> {
    let content = slice_at(bytes, at + 4, page_size)?;
    Some((be_u32_at(bytes, at)?, content, be_u32_at(bytes, at + 4 + page_size)?))
}

impl Journal {
    /// The next segment of the same transaction behind one whose header is lost. SQLite ends a journal with the file, or
    /// with one zero over a magic that an earlier transaction left; what an earlier one left without a header there
    /// holds pages that this one has saved already, since a transaction saves each page once. `at` moves to the
    /// segment's header; the records on the way can't be proved.
    fn over_lost_header(&mut self, bytes: &[u8], at: &mut usize) -> Option<SegmentHeader> {
        let SegmentHeader { page_count, sector_size, page_size, .. } = self.header;
        let (sector, record_len) = (sector_size as usize, page_size as usize + 8);
        if bytes.get(*at..)?.starts_with(&ENDED) {
            return None;
        }
        let from = *at + sector;
        let next = |at: &usize| {
            let (_, header) = segment_header(bytes.get(*at..)?).ok()?;
            let same = (header.page_count, header.sector_size, header.page_size);
            (same == (page_count, sector_size, page_size)).then_some(header)
        };
        let (found, header) =
            (from..bytes.len()).step_by(sector).find_map(|at| next(&at).map(|header| (at, header)))?;
        let lost = (from..found).step_by(record_len).take_while(|at| at + record_len <= found);
        let lost: Vec<Record> = lost
            .filter_map(|at| Some(Record { page: be_u32_at(bytes, at)?, offset: at as u64 + 4 }))
            .filter(|record| (1..=page_count).contains(&record.page))
            .collect();
        let fills = (from + (found - from) / record_len * record_len).next_multiple_of(sector) == found;
        let is_new = |record: &Record| !self.saved.contains(&record.page);
        let zeroed = slice_at(bytes, *at, sector).is_some_and(all_zero);
        if !(zeroed || fills && lost.iter().any(is_new)) || self.has_saved_of(bytes, found + sector, &header)
        {
            return None;
        }
        let kind = DamageKind::NotA { expected: "a journal header" };
        self.damage.push(Damage::new("journal.magic", *at as u64, kind));
        self.damaged.extend(lost);
        *at = found;
        Some(header)
    }

    /// Whether sound records of a segment are of pages that were saved before.
    fn has_saved_of(&self, bytes: &[u8], from: usize, segment: &SegmentHeader) -> bool {
        let page_size = segment.page_size as usize;
        let places = (from..bytes.len()).step_by(page_size + 8).take(segment.count as usize);
        places.map_while(|at| stored_record(bytes, at, page_size)).any(|(page, content, stored)| {
            stored == checksum(content, segment.nonce) && self.saved.contains(&page)
        })
    }

    /// Takes the record at `at`.
    fn record(&mut self, bytes: &[u8], at: usize, nonce: u32) {
        let page_size = self.header.page_size as usize;
        let Some((page, content, stored)) = stored_record(bytes, at, page_size) else { return };
        let computed = checksum(content, nonce);
        let record = Record { page, offset: at as u64 + 4 };
        if page == 0 || stored != computed {
            let kind = DamageKind::Mismatch { found: u64::from(stored), expected: u64::from(computed) };
            let field_at = (at + 4 + page_size) as u64;
            self.damage.push(Damage::new("journal_record.checksum", field_at, kind));
            self.damaged.push(record);
        } else {
            self.saved.insert(page);
            self.records.push(record);
        }
    }
}

/// The sector sizes that SQLite pads a journal's header to, most frequent first.
const SECTOR_SIZES: [usize; 4] = [512, 4096, 1024, 2048];

/// Records of all transactions that a journal still holds, the latest first: behind those of the last transaction lie
/// what longer ones before it left, and `journal_mode=PERSIST` zeroes the header after a commit.
///
/// The nonces of earlier transactions are gone, but every sound record gives its own back: it is what the stored
/// checksum has more than the page's own sum. Records that share their nonce with others are believed; one that stands
/// alone only when its content begins as a b-tree page does.
#[must_use]
pub fn old_records(bytes: &[u8], page_size: u32) -> Vec<Record> {
    let read = SECTOR_SIZES.map(|sector| with_nonces(bytes, sector, page_size as usize));
    let told = told_nonce(bytes, page_size);
    let believed = |found: &Vec<(u32, Record)>| {
        let mut by_nonce: HashMap<u32, usize> = HashMap::new();
        found.iter().for_each(|(nonce, _)| *by_nonce.entry(*nonce).or_default() += 1);
        by_nonce.retain(|nonce, records| *records > 1 || told == Some(*nonce));
        by_nonce
    };
    let mut best: Option<(usize, Vec<Record>)> = None;
    for found in read {
        let nonces = believed(&found);
        let agreeing: usize = nonces.values().sum();
        if agreeing == 0 || best.as_ref().is_some_and(|(most, _)| *most >= agreeing) {
            continue;
        }
        let good = |nonce: &u32, record: &Record| {
            let first = bytes.get(record.offset as usize).copied().and_then(PageKind::from_number);
            nonces.contains_key(nonce) || first.is_some()
        };
        let records = found.iter().filter(|(nonce, record)| good(nonce, record)).map(|(_, record)| *record);
        best = Some((agreeing, records.collect()));
    }
    best.map(|(_, records)| records).unwrap_or_default()
}

/// The nonce of a header of which the magic alone was taken back: its page size is still told behind it.
fn told_nonce(bytes: &[u8], page_size: u32) -> Option<u32> {
    let is_header = be_u32_at(bytes, 24) == Some(page_size);
    be_u32_at(bytes, 12).filter(|nonce| is_header && *nonce != 0)
}

/// Records of the last transaction of a journal whose header was zeroed when it committed: those that share the nonce of
/// the first.
#[must_use]
pub fn last_records(bytes: &[u8], page_size: u32) -> Vec<Record> {
    let read = SECTOR_SIZES.map(|sector| with_nonces(bytes, sector, page_size as usize));
    let of_first = |found: Vec<(u32, Record)>| -> Vec<Record> {
        let Some((nonce, _)) = found.first().copied() else { return Vec::new() };
        found.into_iter().take_while(|(of_record, _)| *of_record == nonce).map(|(_, record)| record).collect()
    };
    // A single record agrees with nothing.
    read.into_iter()
        .map(of_first)
        .filter(|records| records.len() > 1)
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

/// What may be records, from the first sector on, each with the nonce that its checksum asks for.
fn with_nonces(bytes: &[u8], sector: usize, page_size: usize) -> Vec<(u32, Record)> {
    let (mut found, mut at) = (Vec::new(), sector);
    while let Some(record) = slice_at(bytes, at, page_size + 8) {
        if at.is_multiple_of(sector) && record.starts_with(&MAGIC) {
            // The header of a further segment, which takes a sector.
            at += sector;
            continue;
        }
        if let Some((page, content, stored)) =
            stored_record(record, 0, page_size).filter(|(page, ..)| *page != 0)
        {
            let nonce = stored.wrapping_sub(checksum(content, 0));
            found.push((nonce, Record { page, offset: at as u64 + 4 }));
        }
        at += page_size + 8;
    }
    found
}

/// The super-journal's name: page number, name, length, checksum and magic stand at the journal's end.
fn super_journal(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.len();
    if slice_at(bytes, end.checked_sub(8)?, 8)? != MAGIC {
        return None;
    }
    let len = be_u32_at(bytes, end.checked_sub(16)?)? as usize;
    let sum = be_u32_at(bytes, end.checked_sub(12)?)?;
    let name = slice_at(bytes, end.checked_sub(16)?.checked_sub(len)?, len)?;
    // The checksum adds the name's bytes as signed characters.
    let added = name.iter().fold(0_u32, |sum, byte| sum.wrapping_add(*byte as i8 as u32));
    (len > 0 && added == sum).then(|| name.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{MAGIC, checksum, journal, old_records};

    fn sample(count: u32, pages: &[u32]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for word in [count, 77, 9, 512, 512] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.resize(512, 0);
        for page in pages {
            let content = [*page as u8; 512];
            bytes.extend(page.to_be_bytes());
            bytes.extend(content);
            bytes.extend(checksum(&content, 77).to_be_bytes());
        }
        bytes
    }

    #[test]
    fn a_single_record_is_believed_where_the_header_without_its_magic_tells_its_nonce() {
        let mut bytes = sample(1, &[5]);
        bytes[..12].fill(0);
        assert_eq!(old_records(&bytes, 512).iter().map(|record| record.page).collect::<Vec<_>>(), [5]);
        bytes[12..28].fill(0);
        assert!(old_records(&bytes, 512).is_empty());
    }

    #[test]
    fn records_behind_a_damaged_one_are_proved_by_the_nonce() {
        let mut bytes = sample(3, &[4, 5, 6]);
        bytes[512 + 520 + 4 + 112] ^= 1;
        let read = journal(&bytes).unwrap();
        assert_eq!(read.records.iter().map(|record| record.page).collect::<Vec<_>>(), [4, 6]);
        assert_eq!(read.damaged.iter().map(|record| record.page).collect::<Vec<_>>(), [5]);
        assert_eq!(read.damage[0].field, "journal_record.checksum");
    }

    #[test]
    fn a_segment_whose_header_is_lost_hides_none_of_those_behind() {
        let segments = [sample(1, &[4]), sample(1, &[5]), sample(1, &[6])];
        let mut bytes = Vec::new();
        for segment in &segments {
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            bytes.extend(segment);
        }
        let second = segments[0].len().next_multiple_of(512);
        bytes[second..second + 512].fill(0);
        let read = journal(&bytes).unwrap();
        assert_eq!(read.records.iter().map(|record| record.page).collect::<Vec<_>>(), [4, 6]);
        assert_eq!(read.damaged.iter().map(|record| record.page).collect::<Vec<_>>(), [5]);
        bytes[second..second + 512].fill(0xa5);
        assert_eq!(journal(&bytes).unwrap().records.len(), 2);
        // One zero is how SQLite ends a journal before what an earlier transaction left.
        bytes[second..second + 28].copy_from_slice(&segments[1][..28]);
        bytes[second] = 0;
        assert_eq!(journal(&bytes).unwrap().records.len(), 1);
    }

    #[test]
    fn what_an_earlier_transaction_left_behind_the_last_segment_is_no_part_of_the_journal() {
        let old = [sample(2, &[4, 5]), sample(1, &[6])];
        let mut bytes = old[0].clone();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes.extend(&old[1]);
        for pages in [[7], [6]] {
            let new = sample(1, &pages);
            bytes[..new.len()].copy_from_slice(&new);
            let read = journal(&bytes).unwrap();
            assert_eq!(read.records.iter().map(|record| record.page).collect::<Vec<_>>(), pages);
        }
    }

    #[test]
    fn what_lies_behind_the_last_sound_record_is_no_part_of_a_journal_counted_by_length() {
        let mut bytes = sample(u32::MAX, &[4, 5, 6, 7]);
        for record in [2, 3] {
            bytes[512 + record * 520 + 4 + 112] ^= 1;
        }
        let read = journal(&bytes).unwrap();
        assert_eq!((read.records.len(), read.damaged.len(), read.damage.len()), (2, 0, 1));
    }

    #[test]
    fn a_count_of_all_ones_means_that_records_fill_the_file() {
        assert_eq!(journal(&sample(u32::MAX, &[4, 5])).unwrap().records.len(), 2);
        assert_eq!(journal(&sample(1, &[4, 5])).unwrap().records.len(), 1);
        assert_eq!(journal(&sample(u32::MAX - 1, &[4])).unwrap().records.len(), 1);
    }

    #[test]
    fn records_behind_a_zeroed_header_are_found_by_the_nonce_they_agree_on() {
        let mut bytes = sample(3, &[4, 5, 6]);
        bytes[..28].fill(0);
        let pages: Vec<u32> = old_records(&bytes, 512).iter().map(|record| record.page).collect();
        assert_eq!(pages, [4, 5, 6]);
        assert!(old_records(&[0; 4096], 512).is_empty());
    }

    #[test]
    fn records_of_the_transaction_before_lie_behind_those_of_the_last_one() {
        let mut bytes = sample(4, &[14, 15, 16, 17]);
        for (index, page) in [4_u32, 5].into_iter().enumerate() {
            let content = [page as u8; 512];
            let at = 512 + index * 520;
            bytes[at..at + 4].copy_from_slice(&page.to_be_bytes());
            bytes[at + 4..at + 516].copy_from_slice(&content);
            bytes[at + 516..at + 520].copy_from_slice(&checksum(&content, 99).to_be_bytes());
        }
        bytes[..28].fill(0);
        let pages: Vec<u32> = old_records(&bytes, 512).iter().map(|record| record.page).collect();
        assert_eq!(pages, [4, 5, 16, 17]);
    }

    #[test]
    fn a_zeroed_header_rolls_nothing_back() {
        assert_eq!(journal(&[0; 600]).unwrap_err().field, "journal.magic");
    }
}
