//! Texts in UTF-16 that are none: read a byte too early or too late, or from a list of places on a page.

use mudlark_parsers::value::TextEncoding;

/// Units of a text that tell, and those that are asked.
const UNITS: usize = 3;
const ASKED: usize = 48;

/// Units below this may be places on a page of 4096 bytes.
const FEW_SCRIPTS: u8 = 0x10;

/// Whether bytes are hardly a text in UTF-16: the characters of most scripts have one high byte, and low bytes that differ.
pub(super) fn is_misread(encoding: TextEncoding, text: &[u8]) -> bool {
    let (units, _) = text.as_chunks::<2>();
    let units = units.get(..ASKED).unwrap_or(units);
    if units.len() < UNITS {
        return false;
    }
    let is_le = encoding == TextEncoding::Utf16le;
    let bytes = |of_high: bool| {
        units.iter().map(move |[first, second]| if of_high == is_le { *second } else { *first })
    };
    let (high, low) = (Often::of(bytes(true)), Often::of(bytes(false)));
    let is_shifted = low.most > high.most && 3 * low.most >= 2 * units.len();
    // As many scripts as characters, and not of those that have many high bytes.
    let is_list = high.different >= UNITS
        && 3 * high.different >= units.len()
        && bytes(true).all(|byte| byte < FEW_SCRIPTS);
    is_shifted || is_list
}

/// How often bytes are the same.
struct Often {
    most: usize,
    /// How many are different, zeros aside.
    different: usize,
}

impl Often {
    fn of(bytes: impl Iterator<Item = u8>) -> Self {
        let (mut often, mut most, mut different) = ([0_u8; 256], 0, 0);
        for byte in bytes {
            let Some(count) = often.get_mut(usize::from(byte)) else { continue };
            different += usize::from(*count == 0 && byte != 0);
            *count += 1;
            most = most.max(usize::from(*count));
        }
        Self { most, different }
    }
}

#[cfg(test)]
mod tests {
    use super::is_misread;
    use mudlark_parsers::value::TextEncoding::{Utf16be, Utf16le};

    fn le(text: &str) -> Vec<u8> {
        Utf16le.encode(text)
    }

    #[test]
    fn texts_of_most_scripts_show_that_they_are_shifted() {
        for text in ["Ivan Silva", "Ольга Попова", "Rückruf für Zoë", "ขอบคุณ พรุ่งนี้"]
        {
            assert!(!is_misread(Utf16le, &le(text)), "{text}");
            assert!(is_misread(Utf16be, &le(text)), "{text}");
            assert!(is_misread(Utf16le, &[&[0x20], &le(text)[..]].concat()), "{text}");
        }
    }

    #[test]
    fn cell_pointers_are_no_text() {
        let pointers: Vec<u8> =
            [0x05bf_u16, 0x0faa, 0x0a74, 0x0c04, 0x0623].iter().flat_map(|at| at.to_le_bytes()).collect();
        assert!(is_misread(Utf16le, &pointers));
        assert!(!is_misread(Utf16le, &le("नीता العلي")));
    }

    #[test]
    fn texts_with_characters_from_all_over_are_not_taken_for_shifted_ones() {
        for text in ["已付款地址お客様", "👍 ❤️ 🎂", "aaaa", "1"] {
            assert!(!is_misread(Utf16le, &le(text)), "{text}");
        }
    }
}
