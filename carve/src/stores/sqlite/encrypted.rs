//! Encrypted databases, told by what they look like.

use mudlark_parsers::sqlite::header::{Header, MAGIC};

/// Bytes that are looked at.
const SAMPLE: usize = 1 << 16;

/// Bytes that SQLCipher on iOS leaves plain at the start of the file.
const PLAIN_HEADER: usize = 32;

/// Says what speaks for encryption; `None` when nothing does.
///
/// Every byte of an encrypted page is as likely as any other; compressed files come near to that too, but keep a
/// plain header of their own.
pub(super) fn evidence(bytes: &[u8], header: Option<&Header>) -> Option<String> {
    let body = if bytes.starts_with(MAGIC) { bytes.get(PLAIN_HEADER..)? } else { bytes };
    let sample = body.get(..body.len().min(SAMPLE))?;
    // A database has a page at least; and the statistic below needs several counts for each of 256 values.
    if bytes.len() < 1024 || !bytes.len().is_multiple_of(512) || !is_uniform(sample) {
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
