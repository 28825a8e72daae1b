//! Records of a hot journal whose page number is lost: the page of the main file tells it, which the open transaction
//! changed in part.

use super::view::View;
use crate::source::SourceId;
use mudlark_parsers::sqlite::journal::Record;
use mudlark_parsers::sqlite::page::PageKind;
use std::collections::HashSet;

/// Words of a record that are held against those of a page.
const WORDS: usize = 64;

/// Words from which it can be told.
const ENOUGH: usize = 8;

/// Pages that are held against records in all: a few hundred records of a file of a gigabyte.
const MOST_LOOKS: usize = 1 << 26;

/// The pages whose records lost their numbers, each with its record. A leaf of which so much is left that it says more than
/// what the open transaction made of it.
pub(super) fn of_lost(view: &View<'_>, damaged: &[Record], source: SourceId) -> Vec<(u32, Record)> {
    let lost = damaged.iter().filter(|record| !(1..=view.page_count).contains(&record.page));
    let mut left = MOST_LOOKS;
    let mut found: Vec<(u32, Record)> = Vec::new();
    for record in lost {
        let words =
            view.version(0, source, record.offset, None).map(|page| words(page.bytes)).unwrap_or_default();
        let pages = view.page_count.min(view.main_pages);
        left = left.saturating_sub(pages as usize);
        if words.len() < ENOUGH || left == 0 {
            continue;
        }
        let mut best = (0, None);
        for number in (2..=pages).filter(|number| view.is_of_main(*number)) {
            let Some(page) = view.page(number) else { continue };
            let same =
                words.iter().filter(|(at, word)| page.bytes.get(*at..*at + 8) == Some(&word[..])).count();
            if same > best.0 {
                best = (same, Some(number));
            } else if same == best.0 {
                best.1 = None;
            }
        }
        // Rows that an open transaction moves on a page stand elsewhere on it.
        let number = best.1.filter(|_| 4 * best.0 > words.len());
        found.extend(number.filter(|number| is_leaf(view, *number)).map(|number| (number, *record)));
    }
    let (mut once, mut twice) = (HashSet::new(), HashSet::new());
    twice.extend(found.iter().map(|(page, _)| *page).filter(|page| !once.insert(*page)));
    found.retain(|(page, _)| !twice.contains(page));
    found
}

/// Words of a page that are no padding, with their offsets, spread over it; none where most of it is zeros.
fn words(page: &[u8]) -> Vec<(usize, [u8; 8])> {
    let (all, _) = page.as_chunks::<8>();
    let content: Vec<(usize, [u8; 8])> = all
        .iter()
        .enumerate()
        .map(|(index, word)| (8 * index, *word))
        .filter(|(_, word)| *word != [0; 8])
        .collect();
    if 2 * content.len() < all.len() {
        return Vec::new();
    }
    content.chunks(content.len().div_ceil(WORDS).max(1)).filter_map(|words| words.first().copied()).collect()
}

fn is_leaf(view: &View<'_>, number: u32) -> bool {
    let first = view.page(number).and_then(|page| page.bytes.first().copied());
    first.and_then(PageKind::from_number).is_none_or(|kind| !kind.is_interior())
}
