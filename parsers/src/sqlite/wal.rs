//! Write-ahead logs (section 4).

use super::geometry::PAGE_SIZES;
use crate::damage::{Damage, DamageKind};
use nom::combinator::verify;
use nom::number::complete::be_u32;
use nom::{IResult, Parser};
use std::collections::HashSet;

/// Bytes of the log's header.
pub const HEADER_LEN: usize = 32;

/// Bytes of a frame's header; a page follows.
pub const FRAME_HEADER_LEN: usize = 24;

/// The magic of a log whose checksums read words as little-endian; the big-endian one is this plus one.
pub const MAGIC: u32 = 0x377f_0682;

/// The format version that SQLite writes.
pub const FORMAT_VERSION: u32 = 3_007_000;

/// WAL header.
///
/// | offset | size | field             | note                              |
/// |-------:|-----:|-------------------|-----------------------------------|
/// |      0 |    4 | magic             | last bit: checksum words are big-endian |
/// |      4 |    4 | `format_version`  | 3007000                           |
/// |      8 |    4 | `page_size`       |                                   |
/// |     12 |    4 | `checkpoint`      | sequence number                   |
/// |     16 |    8 | `salts`           | one up, one random at each reset  |
/// |     24 |    8 | `checksum`        | of the first 24 bytes             |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct WalHeader {
    pub big_endian: bool,
    pub format_version: u32,
    pub page_size: u32,
    pub checkpoint: u32,
    pub salts: [u32; 2],
    pub checksum: [u32; 2],
}

/// Frame header.
///
/// | offset | size | field      | note                                          |
/// |-------:|-----:|------------|-----------------------------------------------|
/// |      0 |    4 | `page`     |                                               |
/// |      4 |    4 | `commit`   | pages of the database after a commit, else 0  |
/// |      8 |    8 | `salts`    | as in the log's header when of this generation |
/// |     16 |    8 | `checksum` | continues from the frame before               |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table above describes every field")]
pub struct FrameHeader {
    pub page: u32,
    pub commit: u32,
    pub salts: [u32; 2],
    pub checksum: [u32; 2],
}

/// Reads a log's header; only the magic is checked.
///
/// # Errors
/// When the magic is missing or the input ends.
pub fn wal_header(input: &[u8]) -> IResult<&[u8], WalHeader> {
    let magic = verify(be_u32, |magic| magic & !1 == MAGIC);
    (magic, be_u32, be_u32, be_u32, (be_u32, be_u32), (be_u32, be_u32))
        .map(|(magic, format_version, page_size, checkpoint, salts, checksum)| WalHeader {
            big_endian: magic & 1 == 1,
            format_version,
            page_size,
            checkpoint,
            salts: salts.into(),
            checksum: checksum.into(),
        })
        .parse_complete(input)
}

/// Reads a frame's header.
///
/// # Errors
/// When the input ends.
pub fn frame_header(input: &[u8]) -> IResult<&[u8], FrameHeader> {
    (be_u32, be_u32, (be_u32, be_u32), (be_u32, be_u32))
        .map(|(page, commit, salts, checksum)| FrameHeader {
            page,
            commit,
            salts: salts.into(),
            checksum: checksum.into(),
        })
        .parse_complete(input)
}

/// Continues a checksum over `bytes`, of which whole 8-byte groups count.
#[must_use]
pub fn checksum(bytes: &[u8], big_endian: bool, start: [u32; 2]) -> [u32; 2] {
    let word = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let [mut s0, mut s1] = start;
    let (groups, _) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in groups {
        s0 = s0.wrapping_add(word([*a, *b, *c, *d])).wrapping_add(s1);
        s1 = s1.wrapping_add(word([*e, *f, *g, *h])).wrapping_add(s0);
    }
    [s0, s1]
}

/// The checksum that `bytes` continue when they come to `sum`: [`checksum`] backwards.
#[must_use]
pub fn checksum_before(bytes: &[u8], big_endian: bool, sum: [u32; 2]) -> [u32; 2] {
    let word = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let [mut s0, mut s1] = sum;
    let (groups, _) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in groups.iter().rev() {
        s1 = s1.wrapping_sub(word([*e, *f, *g, *h])).wrapping_sub(s0);
        s0 = s0.wrapping_sub(word([*a, *b, *c, *d])).wrapping_sub(s1);
    }
    [s0, s1]
}

/// The checksum that a frame continues, by its own: that of the frame before, or of the log's header.
#[must_use]
pub fn before_frame(frame: &[u8], big_endian: bool) -> Option<[u32; 2]> {
    let (head, page) = frame.split_at_checked(FRAME_HEADER_LEN)?;
    let (_, read) = frame_header(head).ok()?;
    let before_page = checksum_before(page, big_endian, read.checksum);
    Some(checksum_before(head.get(..8)?, big_endian, before_page))
}

/// The bytes of a log's header.
#[must_use]
pub fn header_bytes(big_endian: bool, page_size: u32, checkpoint: u32, salts: [u32; 2]) -> [u8; HEADER_LEN] {
    let magic = MAGIC | u32::from(big_endian);
    let mut bytes = [0; HEADER_LEN];
    let put = |bytes: &mut [u8], words: &[u32]| {
        for (into, word) in bytes.chunks_exact_mut(4).zip(words) {
            into.copy_from_slice(&word.to_be_bytes());
        }
    };
    put(&mut bytes, &[magic, FORMAT_VERSION, page_size, checkpoint, salts[0], salts[1]]);
    let (fields, stored) = bytes.split_at_mut(HEADER_LEN - 8);
    put(stored, &checksum(fields, big_endian, [0, 0]));
    bytes
}

/// The header of a log, as it follows from its first frame. `None` where the frame is none that comes first.
///
/// The frame continues the header's checksum. All of the header is known but the sequence number of its checkpoint: one of
/// the two words gives that, the other proves it.
#[must_use]
pub fn header_before(first: &[u8]) -> Option<[u8; HEADER_LEN]> {
    let page_size = u32::try_from(first.len().checked_sub(FRAME_HEADER_LEN)?).ok()?;
    let salts = frame_header(first).ok()?.1.salts;
    [false, true].into_iter().find_map(|big_endian| {
        let sum = before_frame(first, big_endian)?;
        let known = header_bytes(big_endian, page_size, 0, salts);
        let [front, middle, back] = [known.get(..8)?, known.get(8..16)?, known.get(16..24)?];
        let wanted = checksum_before(back, big_endian, sum);
        let without = checksum(middle, big_endian, checksum(front, big_endian, [0, 0]));
        let word = wanted[1].wrapping_sub(without[1]);
        // The fields are big-endian numbers, whatever the checksum reads.
        let checkpoint = if big_endian { word } else { word.swap_bytes() };
        (wanted[0] == without[0]).then(|| header_bytes(big_endian, page_size, checkpoint, salts))
    })
}

/// One frame of the log's valid part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Number of the frame, from 1.
    pub number: u32,
    /// The page it holds.
    pub page: u32,
    /// Pages of the database after the commit that this frame ends, else 0.
    pub commit: u32,
    /// Number of the commit it belongs to, from 1; 0 when the log ends before its commit.
    pub commit_number: u32,
    /// Offset of the page's bytes in the log.
    pub offset: u64,
    /// Its checksum holds, perhaps once it is mended; frames that are damaged count where later ones of the same log prove a
    /// commit.
    pub sound: bool,
    /// Its header is damaged, where SQLite itself stops reading; what is told here of it and its page are proved all the
    /// same.
    pub mended: bool,
    /// The number of its page is believed: its header is whole as far as can be told.
    pub placed: bool,
    /// It carries the salts of the log's header: it is of this generation.
    pub own: bool,
    /// The salts of its generation.
    pub salts: [u32; 2],
}

/// What a log holds, as SQLite itself would read it.
#[derive(Clone, Debug)]
pub struct Wal {
    /// The header.
    pub header: WalHeader,
    /// Frames whose salts and running checksum hold, in order.
    pub frames: Vec<Frame>,
    /// Of these, how many belong to a commit.
    pub committed: usize,
    /// Frames in the file behind the valid ones: older generations, or damage.
    pub beyond: u64,
    /// Whether the frames behind carry the salts of this generation: then the log is torn or damaged there.
    pub torn: bool,
    /// Frames behind the valid ones, of older generations or torn: sound where one continues the checksum of the one
    /// before, which the first of a generation can't.
    pub older: Vec<Frame>,
    /// Broken rules.
    pub damage: Vec<Damage>,
}

impl Wal {
    /// Whether a commit of the log may be one of `VACUUM`; so may what a damaged log hides, and what older generations held.
    #[must_use]
    pub fn may_hold_vacuum(&self) -> bool {
        let is_whole = !self.torn && self.older.is_empty() && self.frames.iter().all(|frame| frame.sound);
        !is_whole || self.last_that_may_be_vacuum().is_some()
    }

    /// The number of the last commit that may be one of `VACUUM`, which writes every page of the database but that of the
    /// locks.
    #[must_use]
    pub fn last_that_may_be_vacuum(&self) -> Option<u32> {
        let committed = self.frames.get(..self.committed).unwrap_or_default();
        let writes_all = |commit: &[Frame]| {
            let pages: HashSet<u32> = commit.iter().map(|frame| frame.page).collect();
            let last = commit.last().filter(|last| pages.len() + 1 >= last.commit as usize)?;
            Some(last.commit_number)
        };
        committed.split_inclusive(|frame| frame.commit != 0).rev().find_map(writes_all)
    }
}

/// The header of a log that SQLite itself would read.
///
/// # Errors
/// The rule that it breaks: no magic, an impossible page size, a wrong checksum, another version.
pub fn sound_header(bytes: &[u8]) -> Result<WalHeader, Damage> {
    let not_a = |field, at| Damage::new(field, at, DamageKind::NotA { expected: "a WAL header" });
    let (_, header) = wal_header(bytes).map_err(|_| not_a("wal.magic", 0))?;
    if !PAGE_SIZES.contains(&header.page_size) {
        return Err(not_a("wal.page_size", 8));
    }
    let computed = checksum(bytes.get(..24).unwrap_or_default(), header.big_endian, [0, 0]);
    if computed != header.checksum {
        let kind =
            DamageKind::Mismatch { found: u64::from(header.checksum[0]), expected: u64::from(computed[0]) };
        return Err(Damage::new("wal.checksum", 24, kind));
    }
    if header.format_version != FORMAT_VERSION {
        let kind = DamageKind::Mismatch {
            found: u64::from(header.format_version),
            expected: u64::from(FORMAT_VERSION),
        };
        return Err(Damage::new("wal.format_version", 4, kind));
    }
    Ok(header)
}

/// The header of a log; where it is broken the one that its first frame proves, and the rule that the one there breaks.
fn proved_header(bytes: &[u8]) -> Result<(WalHeader, Option<Damage>), Damage> {
    let broken = match sound_header(bytes) {
        Ok(header) => return Ok((header, None)),
        Err(broken) => broken,
    };
    let first = |page_size: u32| bytes.get(HEADER_LEN..HEADER_LEN + FRAME_HEADER_LEN + page_size as usize);
    let proved = PAGE_SIZES.into_iter().find_map(|page_size| header_before(first(page_size)?));
    match proved.and_then(|bytes| sound_header(&bytes).ok()) {
        Some(header) => Ok((header, Some(broken))),
        None => Err(broken),
    }
}

/// Reads a log. A broken header is read as the one that its first frame proves.
///
/// # Errors
/// As [`sound_header`], where the first frame proves none.
pub fn wal(bytes: &[u8]) -> Result<Wal, Damage> {
    let (header, broken) = proved_header(bytes)?;
    let frame_len = FRAME_HEADER_LEN + header.page_size as usize;
    let body = bytes.get(HEADER_LEN..).unwrap_or_default();
    let mut read = Wal {
        header,
        frames: Vec::new(),
        committed: 0,
        beyond: 0,
        torn: false,
        older: Vec::new(),
        damage: broken.into_iter().collect(),
    };
    let (mut running, mut commits, mut proved) = (header.checksum, 0_u32, 0_usize);
    for (index, bytes) in body.chunks_exact(frame_len).enumerate() {
        let offset = (HEADER_LEN + index * frame_len) as u64;
        let Some((head, page)) = bytes.split_at_checked(FRAME_HEADER_LEN) else { break };
        let Ok((_, frame)) = frame_header(head) else { break };
        let next = checksum(head.get(..8).unwrap_or_default(), header.big_endian, running);
        let next = checksum(page, header.big_endian, next);
        let sound = frame.salts == header.salts && frame.page != 0 && frame.checksum == next;
        // What proves a frame proves all before it: to look again for each would take the square of the log's length.
        if !sound && index >= proved {
            proved = proved_frames(body, frame_len, index, &header);
        }
        let behind = || body.chunks_exact(frame_len).nth(index + 1);
        let mended = if sound { None } else { mend((head, page), next, behind(), &header) };
        let is_whole = matches!(mended, Some(Mended::Whole { .. }));
        if !sound && !is_whole && index >= proved {
            read.beyond = (body.len() / frame_len - index) as u64;
            read.torn = own_frames(body, frame_len, &header) > index;
            if read.torn {
                let kind = DamageKind::Mismatch {
                    found: u64::from(frame.checksum[0]),
                    expected: u64::from(next[0]),
                };
                read.damage.push(Damage::new("wal_frame.checksum", offset + 16, kind));
            }
            break;
        }
        if !sound {
            let kind =
                DamageKind::Mismatch { found: u64::from(frame.checksum[0]), expected: u64::from(next[0]) };
            read.damage.push(Damage::new("wal_frame.checksum", offset + 16, kind));
        }
        // The next frame continues what this one's header says, even where this one is damaged, unless that is what is.
        let (placed, frame) = match mended {
            Some(Mended::Whole { page, commit, ends }) => {
                let checksum = if ends { next } else { frame.checksum };
                (true, FrameHeader { page, commit, checksum, ..frame })
            }
            Some(Mended::Header) => (true, frame),
            Some(Mended::Unsure) => (false, frame),
            None => (frame.salts == header.salts && frame.page != 0, frame),
        };
        let sound = sound || is_whole;
        running = frame.checksum;
        read.frames.push(Frame {
            number: index as u32 + 1,
            page: frame.page,
            commit: frame.commit,
            commit_number: 0,
            offset: offset + FRAME_HEADER_LEN as u64,
            sound,
            mended: is_whole,
            placed,
            own: true,
            salts: header.salts,
        });
        if sound && frame.commit != 0 {
            commits += 1;
            let from = read.committed;
            read.committed = read.frames.len();
            for frame in read.frames.iter_mut().skip(from) {
                frame.commit_number = commits;
            }
        }
    }
    read.older = older_frames(body, frame_len, read.frames.len(), &header);
    if let Some(torn) = torn_frame(body, frame_len, &header) {
        if read.beyond == 0 && torn.own {
            read.torn = true;
            let have = bytes.len() as u64 - torn.offset;
            let kind = DamageKind::Truncated { need: u64::from(header.page_size), have };
            read.damage.push(Damage::new("wal_frame.page", torn.offset, kind));
        }
        read.beyond += 1;
        read.older.push(torn);
    }
    Ok(read)
}

/// What is known of a damaged frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    /// Its header, as it was, and its page are proved. `ends` tells that its checksum is what is damaged.
    Whole { page: u32, commit: u32, ends: bool },
    /// What its header says is proved, and its page is damaged.
    Header,
    /// A flipped bit of its header would explain it as well as others.
    Unsure,
}

/// What can be told of a frame whose salts or checksum don't hold; `next` is the checksum that its bytes come to, `behind`
/// the frame behind it. Where its own checksum is right its salts are damaged; where the frame behind continues what its
/// bytes come to, its checksum is. Else a bit was flipped, if flipping it back makes the checksum hold, and no other bit
/// does so too: of the upper bits of words several may.
fn mend(
    (head, page): (&[u8], &[u8]),
    next: [u32; 2],
    behind: Option<&[u8]>,
    log: &WalHeader,
) -> Option<Mended> {
    let (_, frame) = frame_header(head).ok()?;
    let FrameHeader { page: number, commit, .. } = frame;
    let continues = || {
        let (after, content) = behind?.split_at_checked(FRAME_HEADER_LEN)?;
        let stored = frame_header(after).ok()?.1.checksum;
        let sum = checksum(content, log.big_endian, checksum(after.get(..8)?, log.big_endian, next));
        Some(sum == stored)
    };
    let ends = frame.checksum != next && continues() == Some(true);
    if number != 0 && (frame.checksum == next || ends) {
        return Some(Mended::Whole { page: number, commit, ends });
    }
    let flipped = flipped_bits(head.get(..8)?, page, next, frame.checksum, log.big_endian);
    // The fields are big-endian numbers, whatever the checksum reads.
    let flip = |bit: u32| 1 << if log.big_endian { bit } else { bit ^ 24 };
    Some(match flipped.as_slice() {
        [] => return None,
        [(0, bit)] => Mended::Whole { page: number ^ flip(*bit), commit, ends: false },
        [(1, bit)] => Mended::Whole { page: number, commit: commit ^ flip(*bit), ends: false },
        several if several.iter().all(|(word, _)| *word > 1) => Mended::Header,
        _ => Mended::Unsure,
    })
}

/// The words of a frame, from its header on, and the bits of them whose flip brings the checksum from `found` to `wanted`.
fn flipped_bits(
    head: &[u8],
    page: &[u8],
    found: [u32; 2],
    wanted: [u32; 2],
    big_endian: bool,
) -> Vec<(usize, u32)> {
    let read = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
    let words = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|word| read(*word)).collect::<Vec<_>>();
    let all = [words(head), words(page)].concat();
    let mut bits = Vec::new();
    // How far the sums are off, from behind the last pair of words to behind the first.
    let (mut s0, mut s1) = (wanted[0].wrapping_sub(found[0]), wanted[1].wrapping_sub(found[1]));
    let (pairs, _) = all.as_chunks::<2>();
    for (index, [first, second]) in pairs.iter().enumerate().rev() {
        let (which, word, off) = match (s0, s1) {
            (0, off) => (1, second, off),
            (a, b) if a == b => (0, first, a),
            _ => (0, first, 0),
        };
        // A bit that is set lacks its weight, one that is not has it in excess.
        let bit = [off, off.wrapping_neg()].into_iter().find(|off| off.is_power_of_two());
        let bit = bit.map(u32::trailing_zeros).filter(|bit| (word ^ 1 << bit).wrapping_sub(*word) == off);
        bits.extend(bit.map(|bit| (2 * index + which, bit)));
        s1 = s1.wrapping_sub(s0);
        s0 = s0.wrapping_sub(s1);
    }
    bits
}

/// The last frame, when the file ends within its page.
fn torn_frame(body: &[u8], frame_len: usize, header: &WalHeader) -> Option<Frame> {
    let rest = body.chunks_exact(frame_len).remainder();
    let (head, page) = rest.split_at_checked(FRAME_HEADER_LEN).filter(|(_, page)| !page.is_empty())?;
    let (_, frame) = frame_header(head).ok().filter(|(_, frame)| frame.page != 0)?;
    Some(Frame {
        number: (body.len() / frame_len) as u32 + 1,
        page: frame.page,
        commit: frame.commit,
        commit_number: 0,
        offset: (HEADER_LEN + body.len() - page.len()) as u64,
        sound: false,
        mended: false,
        placed: true,
        own: frame.salts == header.salts,
        salts: frame.salts,
    })
}

/// How many frames there are up to the last one with the salts of the log: it is written from its beginning, so those
/// before it are of this generation too, whatever their salts have become.
fn own_frames(body: &[u8], frame_len: usize, header: &WalHeader) -> usize {
    let mut frames = body.chunks_exact(frame_len);
    let is_own = |frame: &[u8]| frame_header(frame).is_ok_and(|(_, frame)| frame.salts == header.salts);
    frames.rposition(is_own).map_or(0, |last| last + 1)
}

/// What lies behind the valid frames, from `index` on. A generation's first frame can't be proved, the others each by
/// the one before.
fn older_frames(body: &[u8], frame_len: usize, index: usize, header: &WalHeader) -> Vec<Frame> {
    let mut before: Option<[u32; 2]> = None;
    let mut found = Vec::new();
    let own = own_frames(body, frame_len, header);
    for (index, bytes) in body.chunks_exact(frame_len).enumerate().skip(index) {
        let Some((head, page)) = bytes.split_at_checked(FRAME_HEADER_LEN) else { break };
        let Ok((_, frame)) = frame_header(head) else { break };
        let next =
            before.map(|before| checksum(head.get(..8).unwrap_or_default(), header.big_endian, before));
        let sound = next.map(|next| checksum(page, header.big_endian, next)) == Some(frame.checksum);
        before = Some(frame.checksum);
        if frame.page != 0 {
            found.push(Frame {
                number: index as u32 + 1,
                page: frame.page,
                commit: frame.commit,
                commit_number: 0,
                offset: (HEADER_LEN + index * frame_len + FRAME_HEADER_LEN) as u64,
                sound,
                mended: false,
                placed: true,
                own: index < own,
                salts: if index < own { header.salts } else { frame.salts },
            });
        }
    }
    found
}

/// How many frames are before the end of the log, proved by frames behind the one at `index`: a commit of the same log
/// that continues the checksum of the one before. 0 when nothing proves it. A rolled-back transaction leaves frames
/// with the same salts behind the end too, but never a commit.
fn proved_frames(body: &[u8], frame_len: usize, index: usize, header: &WalHeader) -> usize {
    let frames = || body.chunks_exact(frame_len).skip(index);
    let found = frames().zip(frames().skip(1)).position(|(before, bytes)| {
        let (Ok((_, before)), Some((head, page))) =
            (frame_header(before), bytes.split_at_checked(FRAME_HEADER_LEN))
        else {
            return false;
        };
        let Ok((_, frame)) = frame_header(head) else { return false };
        if frame.salts != header.salts || frame.commit == 0 || frame.page == 0 {
            return false;
        }
        let next = checksum(head.get(..8).unwrap_or_default(), header.big_endian, before.checksum);
        checksum(page, header.big_endian, next) == frame.checksum
    });
    found.map_or(0, |behind| index + behind + 1)
}

#[cfg(test)]
mod tests {
    use super::{FORMAT_VERSION, MAGIC, before_frame, checksum, frame_header, header_before, wal};

    fn log(frames: &[(u32, u32)]) -> Vec<u8> {
        log_of(MAGIC, frames)
    }

    fn log_of(magic: u32, frames: &[(u32, u32)]) -> Vec<u8> {
        let big = magic > MAGIC;
        let mut bytes = Vec::new();
        for word in [magic, FORMAT_VERSION, 512, 0, 7, 9] {
            bytes.extend(word.to_be_bytes());
        }
        let mut running = checksum(&bytes, big, [0, 0]);
        bytes.extend(running.iter().flat_map(|word| word.to_be_bytes()));
        for (page, commit) in frames {
            let head: Vec<u8> = [page, commit].iter().flat_map(|word| word.to_be_bytes()).collect();
            let body = [*page as u8; 512];
            running = checksum(&body, big, checksum(&head, big, running));
            bytes.extend(head);
            bytes.extend([7_u32, 9].iter().flat_map(|word| word.to_be_bytes()));
            bytes.extend(running.iter().flat_map(|word| word.to_be_bytes()));
            bytes.extend(body);
        }
        bytes
    }

    #[test]
    fn frames_behind_the_last_commit_belong_to_no_commit() {
        let read = wal(&log(&[(1, 0), (2, 2), (3, 0)])).unwrap();
        let commits: Vec<u32> = read.frames.iter().map(|frame| frame.commit_number).collect();
        assert_eq!((read.committed, commits), (2, vec![1, 1, 0]));
    }

    #[test]
    fn a_commit_that_writes_all_pages_may_be_vacuum_and_so_may_what_a_damaged_log_hides() {
        let may_hold = |bytes: &[u8]| wal(bytes).unwrap().may_hold_vacuum();
        let some = log(&[(1, 0), (2, 4), (3, 4)]);
        assert!(!may_hold(&some) && may_hold(&log(&[(3, 4), (1, 0), (2, 0), (4, 4)])));
        let mut flipped = some;
        flipped[32 + 536 + 100] ^= 1;
        assert!(may_hold(&flipped));
    }

    #[test]
    fn a_flipped_bit_behind_which_no_commit_follows_ends_the_valid_part() {
        let mut bytes = log(&[(1, 1), (2, 2), (3, 0)]);
        bytes[32 + 536 + 100] ^= 1;
        let read = wal(&bytes).unwrap();
        assert_eq!((read.frames.len(), read.beyond, read.torn), (1, 2, true));
    }

    #[test]
    fn frames_before_one_with_the_salts_of_the_log_are_of_its_generation_whatever_theirs_have_become() {
        let mut bytes = log(&[(1, 1), (2, 2), (3, 3)]);
        bytes[32 + 8] ^= 1;
        for frame in 0..3 {
            bytes[32 + frame * 536 + 100] ^= 1;
            bytes[32 + frame * 536 + 200] ^= 4;
        }
        let read = wal(&bytes).unwrap();
        let own: Vec<bool> = read.older.iter().map(|frame| frame.own).collect();
        assert_eq!((read.frames.len(), read.torn, own), (0, true, vec![true; 3]));
    }

    #[test]
    fn a_frame_within_which_the_file_ends_is_kept_behind_the_valid_ones() {
        let mut bytes = log(&[(1, 1), (2, 2)]);
        bytes.truncate(bytes.len() - 100);
        let read = wal(&bytes).unwrap();
        assert_eq!((read.frames.len(), read.beyond, read.torn), (1, 1, true));
        assert_eq!((read.older[0].page, read.older[0].offset, read.older[0].own), (2, 32 + 536 + 24, true));
        assert_eq!(read.damage[0].field, "wal_frame.page");
    }

    #[test]
    fn a_damaged_frame_before_a_provable_commit_is_kept_and_reported() {
        let mut bytes = log(&[(1, 1), (2, 0), (3, 3)]);
        bytes[32 + 536 + 100] ^= 1;
        let read = wal(&bytes).unwrap();
        let sound: Vec<bool> = read.frames.iter().map(|frame| frame.sound).collect();
        assert_eq!((read.committed, sound), (3, vec![true, false, true]));
        assert_eq!(read.damage.len(), 1);
    }

    #[test]
    fn a_flipped_bit_of_a_header_is_flipped_back_or_the_page_is_not_believed() {
        let mut mended = 0;
        for (magic, bit) in (0..8).flat_map(|bit| [(MAGIC, bit), (MAGIC + 1, bit)]) {
            for byte in 0..24 + 512 {
                let mut bytes = log_of(magic, &[(1, 1), (2, 0), (3, 3), (4, 4)]);
                bytes[32 + 536 + byte] ^= 1 << bit;
                let read = wal(&bytes).unwrap();
                let frame = read.frames[1];
                assert!(!frame.placed || frame.page == 2, "{magic:x} {byte} {bit}");
                assert!(!frame.sound || byte < 24 && frame.mended && (frame.page, frame.commit) == (2, 0));
                // Behind the fields that the checksum covers nothing is unsure.
                assert!((8..24).contains(&byte) <= frame.sound, "{magic:x} {byte} {bit}");
                assert!(read.committed == 4 && read.frames[2].sound && !read.frames[2].mended);
                assert_eq!(read.damage.len(), 1);
                mended += usize::from(byte < 8 && frame.sound);
            }
        }
        assert!(mended > 32, "{mended}");
    }

    #[test]
    fn a_header_follows_from_the_first_frame_and_from_no_other() {
        for magic in [MAGIC, MAGIC + 1] {
            let bytes = log_of(magic, &[(1, 1), (2, 0), (3, 3)]);
            let frame = |index: usize| &bytes[32 + index * 536..32 + (index + 1) * 536];
            assert_eq!(header_before(frame(0)).as_ref().map(<[u8; 32]>::as_slice), bytes.get(..32));
            assert_eq!((header_before(frame(1)), header_before(frame(2))), (None, None));
            let sum = before_frame(frame(2), magic == MAGIC + 1).unwrap();
            assert_eq!(sum, frame_header(frame(1)).map(|(_, head)| head.checksum).unwrap());
        }
        assert_eq!((header_before(&[]), before_frame(&[1; 20], false)), (None, None));
    }

    #[test]
    fn a_broken_header_is_read_as_the_one_that_the_first_frame_proves() {
        let sound = log(&[(1, 1), (2, 2)]);
        for (broken, named) in [(0..32, "wal.magic"), (16..24, "wal.checksum")] {
            let mut bytes = sound.clone();
            bytes[broken].fill(0);
            let read = wal(&bytes).unwrap();
            assert_eq!(read.header, wal(&sound).unwrap().header);
            assert_eq!((read.committed, read.damage.len(), read.damage[0].field), (2, 1, named));
        }
    }

    #[test]
    fn a_header_with_a_wrong_checksum_that_no_frame_proves_is_named() {
        let mut bytes = log(&[(1, 1)]);
        bytes[20] ^= 1;
        bytes[100] ^= 1;
        assert_eq!(wal(&bytes).unwrap_err().field, "wal.checksum");
        assert_eq!(wal(&[]).unwrap_err().field, "wal.magic");
    }

    #[test]
    fn a_long_run_of_damaged_frames_before_a_provable_commit_is_read_without_delay() {
        let mut bytes = log(&[(1, 1); 4000]);
        for frame in bytes[32..].chunks_exact_mut(536).skip(1).take(3990) {
            frame[16] ^= 1;
        }
        let read = wal(&bytes).unwrap();
        assert_eq!((read.frames.len(), read.committed), (4000, 4000));
        assert_eq!(read.frames.iter().filter(|frame| !frame.sound).count(), 3991);
    }
}
