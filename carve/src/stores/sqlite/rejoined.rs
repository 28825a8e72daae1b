//! Overflow chains that a wrong link has cut from their rows, found again.
//!
//! A row says how many overflow pages it needs. Where its chain breaks, or runs into that of another row, the rest of it
//! stands somewhere as a chain of just so many pages to which nothing leads. A pointer map names the page before each, and
//! text has to go on where it broke off and to end where the record says. Where more than one chain would do, none is taken.

use super::adopt;
use super::chains::{self, Chained};
use super::forest::{Forest, Ground};
use mudlark_parsers::bytes::{be_u32_at, slice_at};
use mudlark_parsers::sqlite::cell::Cell;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::ptrmap::PointerKind;
use mudlark_parsers::value::TextEncoding;
use std::collections::{HashMap, HashSet};

/// Chains that are tried for one row.
const MOST_TRIED: usize = 64;

/// The chains that were found again, by the page and the place of their cells: all pages of each.
pub(super) type Rejoined = HashMap<(u32, u32), Vec<u32>>;

/// A row that lacks the rest of its chain.
struct Want {
    place: (u32, u32),
    payload_len: u64,
    /// The pages of its chain before it breaks.
    kept: Vec<u32>,
    /// Its payload until then.
    payload: Vec<u8>,
    /// How many pages are lacking.
    lacking: usize,
    /// Bytes on them.
    left: u64,
    /// Numbers of loose chains that would do.
    options: Vec<usize>,
}

/// Finds the chains that rows of tree pages lack.
pub(super) fn find(
    chained: &Chained,
    forest: &Forest,
    ground: Ground<'_, '_>,
    tree_pages: &[u32],
    encoding: TextEncoding,
) -> Rejoined {
    if chained.faults.is_empty() && chained.shared.is_empty() {
        return Rejoined::new();
    }
    let loose = loose_chains(chained, forest, ground);
    if loose.is_empty() {
        return Rejoined::new();
    }
    let mut by_length: HashMap<usize, Vec<usize>> = HashMap::new();
    for (number, chain) in loose.iter().enumerate() {
        by_length.entry(chain.len()).or_default().push(number);
    }
    let mut wants = wants(chained, ground, tree_pages, encoding);
    for want in &mut wants {
        let fit = by_length.get(&want.lacking).map(Vec::as_slice).unwrap_or_default();
        let chain = |number: &usize| loose.get(*number).map(Vec::as_slice).unwrap_or_default();
        let mapped: Vec<Option<bool>> =
            fit.iter().map(|number| is_mapped(ground, want, chain(number))).collect();
        if let Some(named) = mapped.iter().position(|mapped| *mapped == Some(true)) {
            want.options.extend(fit.get(named));
            continue;
        }
        let possible =
            fit.iter().zip(mapped).filter(|(_, mapped)| mapped.is_none()).map(|(number, _)| *number);
        let possible: Vec<usize> = possible.take(MOST_TRIED + 1).collect();
        if possible.len() > MOST_TRIED {
            continue;
        }
        let text = |number: &usize| text_goes_on(ground, want, chain(number), encoding);
        let read: Vec<(usize, usize)> =
            possible.iter().filter_map(|number| Some((*number, text(number)?))).collect();
        let convincing = |(_, text): &&(usize, usize)| *text >= chains::CONVINCING_TEXT;
        want.options = if read.iter().any(|option| convincing(&option)) {
            read.iter().filter(convincing).map(|(number, _)| *number).collect()
        } else if ground.free.whole {
            read.iter().map(|(number, _)| *number).collect()
        } else {
            // Chains of rows that are gone may be loose too.
            Vec::new()
        };
    }
    assign(&wants, &loose)
}

/// Gives rows the one chain that would do for them and for no other, until none is left.
fn assign(wants: &[Want], loose: &[Vec<u32>]) -> Rejoined {
    let mut found = Rejoined::new();
    let mut taken: HashSet<usize> = HashSet::new();
    loop {
        let open = wants.iter().filter(|want| !found.contains_key(&want.place));
        let left = |want: &Want| -> Vec<usize> {
            want.options.iter().copied().filter(|option| !taken.contains(option)).collect()
        };
        let mut wanted: HashMap<usize, usize> = HashMap::new();
        open.clone().flat_map(left).for_each(|option| *wanted.entry(option).or_default() += 1);
        let sure: Vec<(&Want, usize)> = open
            .filter_map(|want| match left(want)[..] {
                [only] if wanted.get(&only) == Some(&1) => Some((want, only)),
                _ => None,
            })
            .collect();
        if sure.is_empty() {
            return found;
        }
        for (want, number) in sure {
            taken.insert(number);
            let rest = loose.get(number).into_iter().flatten();
            found.insert(want.place, want.kept.iter().chain(rest).copied().collect());
        }
    }
}

/// Chains to which nothing leads, from their first page to one without a link, of pages that nothing else is made of.
fn loose_chains(chained: &Chained, forest: &Forest, ground: Ground<'_, '_>) -> Vec<Vec<u32>> {
    let (view, survey) = (ground.view, ground.survey);
    let named: HashSet<u32> = forest.trees.iter().flat_map(|tree| &tree.gaps).map(|gap| gap.child).collect();
    let is_loose = |number: u32| {
        let info = survey.page(number);
        number > 1
            && info.kind.is_none()
            && !info.zero
            && !ground.is_map_page(number)
            && !named.contains(&number)
            && !ground.free.pages.contains(&number)
            && !chained.contains(number)
            && forest.place(number).is_none()
    };
    let link = |number: u32| be_u32_at(view.page(number)?.bytes, 0);
    let links: HashMap<u32, u32> = survey
        .iter()
        .map(|(number, _)| number)
        .filter(|number| is_loose(*number))
        .filter_map(|number| Some((number, link(number)?)))
        .collect();
    let led_to: HashSet<u32> = links.values().copied().collect();
    let mut heads: Vec<u32> = links.keys().copied().filter(|number| !led_to.contains(number)).collect();
    heads.sort_unstable();
    let chain = |head: u32| {
        let mut pages = vec![head];
        let mut next = *links.get(&head)?;
        // No page has two heads before it but where chains meet; a loop has no head and can't be entered twice.
        while next != 0 && pages.len() <= links.len() {
            pages.push(next);
            next = *links.get(&next)?;
        }
        (next == 0).then_some(pages)
    };
    heads.into_iter().filter_map(chain).collect()
}

/// The rows whose chain breaks, and those that share pages with another row whose text these hold.
fn wants(chained: &Chained, ground: Ground<'_, '_>, tree_pages: &[u32], encoding: TextEncoding) -> Vec<Want> {
    let mut found = Vec::new();
    for number in tree_pages {
        let faults = chained.faults_on(*number);
        if faults.is_empty() && (chained.shared.is_empty() || ground.survey.page(*number).spilled == 0) {
            continue;
        }
        let Some(version) = ground.view.page(*number) else { continue };
        let Some(page) = Page::parse(version.bytes, version.number, ground.view.geometry) else { continue };
        for cell in page.good_cells().filter(|cell| cell.spilled() > 0) {
            let is_faulty = faults.iter().any(|faulty| faulty.cell.at == cell.at);
            let payload = chains::read(ground.view, ground.survey, &version, &cell);
            if !is_faulty && !chained.is_shared(&payload.pages) {
                continue;
            }
            let want = Want::of(chained, ground, (*number, cell.at), &cell, &payload);
            let from = want.payload.len();
            // Who reads well to its end has its own chain.
            let misread = || chains::text_behind(&payload.bytes, cell.payload_len, from, encoding).is_none();
            if want.lacking > 0 && (is_faulty || misread()) {
                found.push(want);
            }
        }
    }
    found
}

impl Want {
    fn of(
        chained: &Chained,
        ground: Ground<'_, '_>,
        place: (u32, u32),
        cell: &Cell,
        payload: &chains::Payload<'_>,
    ) -> Self {
        let shared = |page: &u32| chained.is_shared(&[*page]);
        let own = payload.pages.iter().rposition(|page| !shared(page)).map_or(0, |last| last + 1);
        let kept: Vec<u32> = payload.pages.iter().take(own).copied().collect();
        let capacity = u64::from(ground.view.geometry.overflow_capacity());
        let before = u64::from(cell.local) + own as u64 * capacity;
        let left = cell.payload_len.saturating_sub(before);
        let bytes = payload.bytes.iter().take(usize::try_from(before).unwrap_or(usize::MAX));
        Self {
            place,
            payload_len: cell.payload_len,
            kept,
            payload: bytes.copied().collect(),
            lacking: usize::try_from(left.div_ceil(capacity)).unwrap_or(usize::MAX),
            left,
            options: Vec::new(),
        }
    }
}

/// Whether the pointer map says that a chain goes on from where a row's breaks; `None` where it says nothing.
fn is_mapped(ground: Ground<'_, '_>, want: &Want, chain: &[u32]) -> Option<bool> {
    let entry = adopt::map_entry(ground, *chain.first()?)?;
    match entry.kind {
        PointerKind::FirstOverflow => Some(want.kept.is_empty() && entry.parent == want.place.0),
        PointerKind::LaterOverflow => Some(want.kept.last() == Some(&entry.parent)),
        _ => None,
    }
}

/// Bytes of text on a chain, where all text of the row is whole with it.
fn text_goes_on(ground: Ground<'_, '_>, want: &Want, chain: &[u32], encoding: TextEncoding) -> Option<usize> {
    let mut payload = want.payload.clone();
    append(ground, chain, want.left, &mut payload)?;
    chains::text_behind(&payload, want.payload_len, want.payload.len(), encoding)
}

/// Adds what these pages hold of a payload; `None` where one of them is too short.
fn append(ground: Ground<'_, '_>, chain: &[u32], mut left: u64, payload: &mut Vec<u8>) -> Option<()> {
    let capacity = u64::from(ground.view.geometry.overflow_capacity());
    for page in chain {
        let take = left.min(capacity);
        payload.extend_from_slice(slice_at(ground.view.page(*page)?.bytes, 4, take as usize)?);
        left -= take;
    }
    Some(())
}

/// The payload of a cell, with a chain that was found again.
pub(super) fn read<'a>(
    ground: Ground<'_, 'a>,
    page: &[u8],
    cell: &Cell,
    chain: &[u32],
) -> Option<chains::Payload<'a>> {
    let mut bytes = cell.local_payload(page).to_vec();
    append(ground, chain, cell.spilled(), &mut bytes)?;
    let whole = bytes.len() as u64 == cell.payload_len;
    Some(chains::Payload { pages: chain.to_vec(), whole, ..chains::Payload::whole(bytes.into()) })
}
