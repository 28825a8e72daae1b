//! Encrypted databases, told by what they look like.

use mudlark_parsers::sqlite::header::{Header, MAGIC};
use mudlark_parsers::sqlite::{journal, wal};

/// Bytes that are looked at.
const SAMPLE: usize = 1 << 16;

/// A database has a page at least; and the statistic below needs several counts for each of 256 values.
const LEAST: usize = 1024;

/// What a journal's record has before its page, and behind it.
const RECORD_HEAD: usize = 4;
const RECORD_TAIL: usize = 4;

/// Bytes that SQLCipher on iOS leaves plain at the start of the file.
const PLAIN_HEADER: usize = 32;

/// Says what speaks for encryption; `None` when nothing does.
///
/// Every byte of an encrypted page is as likely as any other; compressed files come near to that too, but keep a
/// plain header of their own.
pub(super) fn evidence(bytes: &[u8], header: Option<&Header>) -> Option<String> {
    let body = if bytes.starts_with(MAGIC) { bytes.get(PLAIN_HEADER..)? } else { bytes };
    let sample = body.get(..body.len().min(SAMPLE))?;
    if bytes.len() < LEAST || !bytes.len().is_multiple_of(512) || !is_uniform(sample) {
        return None;
    }
    let reserved = header.map(|header| match header.reserved {
        80 => ", 80 reserved bytes a page as SQLCipher 4 has",
        48 => ", 48 reserved bytes a page as SQLCipher 3 has",
        _ => "",
    });
    let start = match reserved {
        Some(reserved) => format!("a plain header of {PLAIN_HEADER} bytes{reserved}, then"),
        None => "no plain header,".to_owned(),
    };
    Some(format!(
        "{start} {} bytes in which every value is equally frequent, a length of whole pages: an encrypted database \
         (SQLCipher or the like), or random data",
        sample.len()
    ))
}

/// The same of a log or a journal, whose own headers stay plain: of the pages in it.
pub(super) fn evidence_of_log(bytes: &[u8]) -> Option<String> {
    let (from, head, page_size, tail) = match (wal::sound_header(bytes), journal::sound_header(bytes)) {
        (Ok(wal), _) => (wal::HEADER_LEN, wal::FRAME_HEADER_LEN, wal.page_size, 0),
        (_, Ok(journal)) => (journal.sector_size as usize, RECORD_HEAD, journal.page_size, RECORD_TAIL),
        _ => return None,
    };
    let page_size = page_size as usize;
    let units = bytes.get(from..)?.chunks_exact(head + page_size + tail);
    let pages = units.filter_map(|unit| unit.get(head..head + page_size));
    let sample: Vec<u8> = pages.flatten().copied().take(SAMPLE).collect();
    (sample.len() >= LEAST && is_uniform(&sample)).then(|| {
        format!(
            "the pages in it, {} bytes, have every value equally often: an encrypted database's (SQLCipher or the like)",
            sample.len()
        )
    })
}

/// Whether the bytes are as evenly spread as random ones: the chi-square statistic over 256 values, whose mean is
/// 255 and deviation 22.6 for random bytes, lies within six deviations.
fn is_uniform(bytes: &[u8]) -> bool {
    let mut counts = [0_u32; 256];
    for byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    let expected = bytes.len() as f64 / 256.0;
    let deviation = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
    let statistic: f64 = counts.iter().map(deviation).sum();
    (120.0..390.0).contains(&statistic)
}

#[cfg(test)]
mod tests {
    use super::super::noise::tests::noise;
    use super::evidence;

    #[test]
    fn random_pages_are_named_as_encrypted_and_text_is_not() {
        assert!(evidence(&noise(40_960), None).is_some());
        assert!(evidence(&b"How much was lost? ".repeat(512), None).is_none());
        assert!(evidence(&[0; 4096], None).is_none());
        assert!(evidence(&noise(1000), None).is_none());
    }
}
