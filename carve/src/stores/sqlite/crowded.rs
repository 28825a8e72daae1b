//! Overflow pages that the chains of very many cells lead through.
//!
//! An overflow page is one row's. Where damage makes two chains meet, either may be the right one, and both are read. A
//! file in which a page is part of thousands of chains would come out as many times its size, so there none of them is
//! believed.

use super::survey::Survey;
use super::view::View;
use mudlark_parsers::bytes::be_u32_at;
use mudlark_parsers::sqlite::page::Page;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Chains that may lead through one page.
const MOST: u32 = 100;

/// How often as large as the file all chains together claim to be before they are counted: sound ones fit in it.
const CLAIMED: u64 = 16;

/// The pages through which more chains lead than that.
pub(super) fn pages(view: &View<'_>, survey: &Survey) -> HashSet<u32> {
    let claimed = survey.iter().fold(0_u64, |sum, (_, info)| sum.saturating_add(info.spilled_bytes));
    let size = u64::from(view.page_count).saturating_mul(u64::from(view.geometry.page_size));
    if claimed <= size.saturating_mul(CLAIMED) { HashSet::new() } else { crowded(view, &heads(view, survey)) }
}

/// The first overflow pages of all cells, and how many begin there.
fn heads(view: &View<'_>, survey: &Survey) -> HashMap<u32, u32> {
    let mut heads: HashMap<u32, u32> = HashMap::new();
    for (number, _) in survey.iter().filter(|(_, info)| info.spilled > 0) {
        let Some(version) = view.page(number) else { continue };
        let Some(page) = Page::parse(version.bytes, number, view.geometry) else { continue };
        for cell in page.good_cells().filter(|cell| cell.overflow != 0) {
            *heads.entry(cell.overflow).or_default() += 1;
        }
    }
    heads
}

/// Adds up along the links how many chains lead through each page.
fn crowded(view: &View<'_>, heads: &HashMap<u32, u32>) -> HashSet<u32> {
    let next = |page: u32| {
        let link = be_u32_at(view.page(page)?.bytes, 0)?;
        (1..=view.page_count).contains(&link).then_some(link)
    };
    let in_file = |page: &u32| (1..=view.page_count).contains(page);
    let mut links: HashMap<u32, Option<u32>> = HashMap::new();
    let mut pending: Vec<u32> = heads.keys().copied().filter(in_file).collect();
    while let Some(page) = pending.pop() {
        if let Entry::Vacant(place) = links.entry(page) {
            pending.extend(*place.insert(next(page)));
        }
    }
    let mut leading: HashMap<u32, u32> = HashMap::new();
    for link in links.values().flatten() {
        *leading.entry(*link).or_default() += 1;
    }
    // Pages to which no page leads that was not added up yet; those of loops never get there.
    let mut through: HashMap<u32, u32> = heads.clone();
    let mut ready: Vec<u32> = links.keys().copied().filter(|page| !leading.contains_key(page)).collect();
    while let Some(page) = ready.pop() {
        let chains = through.get(&page).copied().unwrap_or(0);
        let Some(link) = links.remove(&page).flatten() else { continue };
        let sum = through.entry(link).or_default();
        *sum = sum.saturating_add(chains);
        if let Some(left) = leading.get_mut(&link) {
            *left -= 1;
            ready.extend((*left == 0).then_some(link));
        }
    }
    // What leads into a loop goes all the way round.
    let looping: Vec<u32> = links.keys().copied().collect();
    for start in looping {
        let (mut round, mut sum) = (Vec::new(), 0_u32);
        let mut at = Some(start).filter(|start| links.contains_key(start));
        while let Some(page) = at {
            sum = sum.saturating_add(through.get(&page).copied().unwrap_or(0));
            round.push(page);
            at = links.remove(&page).flatten().filter(|link| links.contains_key(link));
        }
        through.extend(round.into_iter().map(|page| (page, sum)));
    }
    through.retain(|_, chains| *chains > MOST);
    through.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::{MOST, crowded};
    use crate::source::{Source, SourceId};
    use crate::stores::sqlite::view::View;
    use mudlark_parsers::sqlite::geometry::Geometry;
    use std::collections::HashMap;

    /// The crowded pages of a file whose pages, from page 1, link to these.
    fn of(links: &[u32], heads: &[(u32, u32)]) -> Vec<u32> {
        let bytes: Vec<u8> =
            links.iter().flat_map(|link| link.to_be_bytes().into_iter().chain([b'x'; 508])).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let sources = [Source::open(file.path()).unwrap()];
        let view = View::main(&sources, Some(SourceId(0)), Geometry { page_size: 512, reserved: 0 });
        let mut found: Vec<u32> =
            crowded(&view, &heads.iter().copied().collect::<HashMap<_, _>>()).into_iter().collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn chains_that_meet_are_counted_from_where_they_meet_on() {
        // 2 and 3 lead to 4, which leads to 5.
        let links = [0, 4, 4, 5, 0];
        assert_eq!(of(&links, &[(2, MOST), (3, 1)]), [4, 5]);
        assert!(of(&links, &[(2, MOST / 2), (3, MOST / 2)]).is_empty());
    }

    #[test]
    fn what_leads_into_a_loop_is_counted_on_all_of_its_pages() {
        // 2 leads to 3, 3 to 4 and 4 back to 3; 5 to itself.
        let links = [0, 3, 4, 3, 5];
        assert_eq!(of(&links, &[(2, MOST), (4, 1), (5, 2)]), [3, 4]);
    }
}
