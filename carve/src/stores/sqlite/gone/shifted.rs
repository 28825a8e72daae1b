//! Texts in UTF-16 that are read a byte too early or too late.

use mudlark_parsers::value::TextEncoding;

/// Units of a text in UTF-16 that tell whether it is read from its second byte on.
const UNITS: usize = 3;

/// Whether a text in UTF-16 is read a byte too early or too late: the characters of most scripts have one high byte, and low
/// bytes that differ.
pub(super) fn is_shifted(encoding: TextEncoding, text: &[u8]) -> bool {
    let (units, _) = text.as_chunks::<2>();
    if units.len() < UNITS {
        return false;
    }
    let most = |byte: usize| {
        let mut often = [0_usize; 256];
        for place in units.iter().filter_map(|unit| unit.get(byte)).map(|byte| usize::from(*byte)) {
            if let Some(count) = often.get_mut(place) {
                *count += 1;
            }
        }
        often.into_iter().max().unwrap_or(0)
    };
    let (high, low) = if encoding == TextEncoding::Utf16le { (most(1), most(0)) } else { (most(0), most(1)) };
    low > high && 3 * low >= 2 * units.len()
}

#[cfg(test)]
mod tests {
    use super::is_shifted;
    use mudlark_parsers::value::TextEncoding::{Utf16be, Utf16le};

    fn le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn texts_of_most_scripts_show_that_they_are_shifted() {
        for text in ["Ivan Silva", "Ольга Попова", "Rückruf für Zoë", "ขอบคุณ พรุ่งนี้"]
        {
            assert!(!is_shifted(Utf16le, &le(text)), "{text}");
            assert!(is_shifted(Utf16be, &le(text)), "{text}");
            assert!(is_shifted(Utf16le, &[&[0x20], &le(text)[..]].concat()), "{text}");
        }
    }

    #[test]
    fn texts_with_characters_from_all_over_are_not_taken_for_shifted_ones() {
        for text in ["已付款地址お客様", "👍 ❤️ 🎂", "aaaa", "1"] {
            assert!(!is_shifted(Utf16le, &le(text)), "{text}");
        }
    }
}
