//! The encoding that the text of the rows is in, by that text.

use super::cleared;
use super::detect::sample;
use super::survey::Survey;
use super::view::{PageVersion, View};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::schema_row::SchemaKind;
use mudlark_parsers::sqlite::serial::SerialKind;
use mudlark_parsers::value::TextEncoding;

/// Cells of a page that are asked for the encoding of their text.
const SAMPLED_CELLS: usize = 64;

/// Texts below which the header's word stands.
const ENOUGH_TEXTS: u32 = 8;

/// Texts beyond which no more are asked, when they are plainly UTF-8.
const PLENTY_OF_TEXTS: u32 = 2048;

/// The encoding that the text of the rows is in; `None` when too little text tells. Of a file that states none (`is_stated`)
/// the rows that were there tell it, where no row is live.
///
/// UTF-8 text is valid as such and seldom holds zeros. UTF-16 text has its high bytes, which are of few kinds, in
/// every second place.
pub(super) fn seen_encoding(view: &View<'_>, survey: &Survey, is_stated: bool) -> Option<TextEncoding> {
    let mut texts = Texts::default();
    for cells in [live_cells, former_cells].into_iter().take(if is_stated { 1 } else { 2 }) {
        for number in sample(view.last_held() as usize).map(|index| index as u32 + 1) {
            let Some(version) = view.page(number) else { continue };
            for cell in cells(view, survey, &version).into_iter().take(SAMPLED_CELLS) {
                if let Some(encoding) = texts.note(version.bytes, &cell, number == 1) {
                    return Some(encoding);
                }
            }
            if texts.are_plenty() {
                break;
            }
        }
        if texts.count >= ENOUGH_TEXTS {
            return texts.encoding();
        }
    }
    None
}

/// The cells of a leaf.
fn live_cells(view: &View<'_>, _: &Survey, version: &PageVersion<'_>) -> Vec<Cell> {
    let page = Page::parse(version.bytes, version.number, view.geometry);
    let page = page.filter(|page| !page.header.kind.is_interior());
    page.map(|page| page.good_cells().take(SAMPLED_CELLS).collect()).unwrap_or_default()
}

/// The cells to which pointers lead that a leaf of a table kept when it was emptied.
fn former_cells(view: &View<'_>, survey: &Survey, version: &PageVersion<'_>) -> Vec<Cell> {
    cleared::cells(view, survey, version.number, true).cells
}

/// Texts of rows, and what their bytes are like.
struct Texts {
    count: u32,
    /// Those that are UTF-8.
    valid: u32,
    /// How often each byte stands in the even and in the odd places of the others.
    even: [u32; 256],
    odd: [u32; 256],
}

impl Default for Texts {
    fn default() -> Self {
        Self { count: 0, valid: 0, even: [0; 256], odd: [0; 256] }
    }
}

impl Texts {
    /// Takes in the texts of a cell; of one of `sqlite_schema` a word can tell the encoding at once.
    fn note(&mut self, page: &[u8], cell: &Cell, is_of_schema: bool) -> Option<TextEncoding> {
        let local = cell.local_payload(page);
        let header = record::header(local, cell.payload_len).ok()?;
        let mut at = header.len;
        for serial in header.serials() {
            let len = serial.len() as usize;
            let text = local.get(at..at.saturating_add(len)).unwrap_or_default();
            at = at.saturating_add(len);
            if serial.kind() != SerialKind::Text || text.is_empty() {
                continue;
            }
            if is_of_schema && let Some(encoding) = of_schema_word(text) {
                return Some(encoding);
            }
            self.count += 1;
            // UTF-16 of many scripts is valid UTF-8 too, but full of control characters.
            let control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
            let plain = std::str::from_utf8(text)
                .is_ok_and(|text| text.chars().filter(|c| control(*c)).count() * 8 <= text.len());
            self.valid += u32::from(plain);
            if plain {
                continue;
            }
            for [first, second] in text.as_chunks::<2>().0 {
                self.even[usize::from(*first)] += 1;
                self.odd[usize::from(*second)] += 1;
            }
        }
        None
    }

    const fn are_plenty(&self) -> bool {
        self.count >= PLENTY_OF_TEXTS && self.valid * 10 >= self.count * 9
    }

    fn encoding(&self) -> Option<TextEncoding> {
        if self.valid * 10 >= self.count * 9 {
            return Some(TextEncoding::Utf8);
        }
        let (even, odd) = (entropy(&self.even), entropy(&self.odd));
        if self.valid * 4 > self.count || (even - odd).abs() < 0.2 {
            return None;
        }
        Some(if even < odd { TextEncoding::Utf16be } else { TextEncoding::Utf16le })
    }
}

/// The encoding in which a text is one of the words that stand in the first column of `sqlite_schema`: no other one makes
/// the same bytes of them.
fn of_schema_word(text: &[u8]) -> Option<TextEncoding> {
    let encodings = [TextEncoding::Utf8, TextEncoding::Utf16le, TextEncoding::Utf16be];
    let is_word = |encoding: &TextEncoding| {
        encoding.decode(text).is_some_and(|text| SchemaKind::from_text(&text).is_some())
    };
    encodings.into_iter().find(is_word)
}

/// Entropy of a byte's distribution, in bits.
fn entropy(counts: &[u32; 256]) -> f64 {
    let all: f64 = counts.iter().map(|count| f64::from(*count)).sum();
    let part = |count: &u32| {
        let share = f64::from(*count) / all.max(1.0);
        if share > 0.0 { -share * share.log2() } else { 0.0 }
    };
    counts.iter().map(part).sum()
}
