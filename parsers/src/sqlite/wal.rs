//! Write-ahead logs (section 4).

use super::geometry::PAGE_SIZES;
use crate::damage::{Damage, DamageKind};
use nom::combinator::verify;
use nom::number::complete::be_u32;
use nom::{IResult, Parser};

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
    /// Its checksum holds; frames that are damaged count where later ones of the same log prove a commit.
    pub sound: bool,
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

/// Reads a log. `None` when its header can't be one: no magic, impossible page size, wrong checksum.
///
/// # Errors
/// The rule that the header breaks.
pub fn wal(bytes: &[u8]) -> Result<Wal, Damage> {
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
    let frame_len = FRAME_HEADER_LEN + header.page_size as usize;
    let body = bytes.get(HEADER_LEN..).unwrap_or_default();
    let mut read = Wal {
        header,
        frames: Vec::new(),
        committed: 0,
        beyond: 0,
        torn: false,
        older: Vec::new(),
        damage: Vec::new(),
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
        if !sound && index >= proved {
            read.beyond = (body.len() / frame_len - index) as u64;
            read.torn = frame.salts == header.salts;
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
        // The next frame continues what this one's header says, even where this one is damaged.
        running = frame.checksum;
        read.frames.push(Frame {
            number: index as u32 + 1,
            page: frame.page,
            commit: frame.commit,
            commit_number: 0,
            offset: offset + FRAME_HEADER_LEN as u64,
            sound,
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
        own: frame.salts == header.salts,
        salts: frame.salts,
    })
}

/// What lies behind the valid frames, from `index` on. A generation's first frame can't be proved, the others each by
/// the one before.
fn older_frames(body: &[u8], frame_len: usize, index: usize, header: &WalHeader) -> Vec<Frame> {
    let mut before: Option<[u32; 2]> = None;
    let mut found = Vec::new();
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
                own: frame.salts == header.salts,
                salts: frame.salts,
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
    use super::{FORMAT_VERSION, MAGIC, checksum, wal};

    fn log(frames: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [MAGIC, FORMAT_VERSION, 512, 0, 7, 9] {
            bytes.extend(word.to_be_bytes());
        }
        let mut running = checksum(&bytes, false, [0, 0]);
        bytes.extend(running.iter().flat_map(|word| word.to_be_bytes()));
        for (page, commit) in frames {
            let head: Vec<u8> = [page, commit].iter().flat_map(|word| word.to_be_bytes()).collect();
            let body = [*page as u8; 512];
            running = checksum(&body, false, checksum(&head, false, running));
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
    fn a_flipped_bit_behind_which_no_commit_follows_ends_the_valid_part() {
        let mut bytes = log(&[(1, 1), (2, 2), (3, 0)]);
        bytes[32 + 536 + 100] ^= 1;
        let read = wal(&bytes).unwrap();
        assert_eq!((read.frames.len(), read.beyond, read.torn), (1, 2, true));
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
    fn a_header_with_a_wrong_checksum_is_named() {
        let mut bytes = log(&[(1, 1)]);
        bytes[20] ^= 1;
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
