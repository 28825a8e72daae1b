//! Puts the databases of an image together: which of its pages are of one database, and under which numbers.
//!
//! A file that lies in one piece is walked from its page 1, and when all that it leads to is there, it is settled.
//! For the others the walk says what each page must be; pages are found by that, laid in runs, and walked again, until
//! nothing changes.

mod body;
mod fit;
mod keys;
mod lay;
mod search;
mod walk;

use super::hits::{Hit, HitKind};
use crate::progress::Progress;
use body::{Body, Expect};
use lay::{Guess, Laid};
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::header::{self, Header};
use rayon::prelude::*;
use search::Index;
use std::collections::BTreeMap;
use walk::Walked;

/// Rounds of walking and laying: each finds at least one more level of a tree, or one more run of a chain.
const MOST_ROUNDS: usize = 40;

/// Rounds in which files that lie claim to the same page are laid anew.
const MOST_CONTESTS: usize = 4;

/// The least lead of a place over the next best one by which it counts as decided.
const DECIDED: f32 = 3.0;

/// A database, as far as it could be put together.
#[derive(Clone, Debug)]
pub(in super::super) struct Assembly {
    pub geometry: Geometry,
    pub header: Option<Header>,
    /// Of each page from the first on where it lies.
    pub places: Vec<Option<u64>>,
    /// Other places that pages may have.
    pub rivals: Vec<Rival>,
    /// Pages that must be there and are not.
    pub missing: Vec<u32>,
    /// All links hold, and each page has its use.
    pub whole: bool,
    /// Links out of the database, and pages to which two links lead.
    pub broken_links: u32,
    expects: Vec<Expect>,
    fits: Vec<f32>,
}

/// Another place that a page may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Rival {
    pub number: u32,
    pub offset: u64,
    /// How likely it is, against the place that was chosen.
    pub weight: f64,
}

/// What an image was put together to.
#[derive(Debug, Default)]
pub(in super::super) struct Gathered {
    pub assemblies: Vec<Assembly>,
    /// Pages that belong to none of them.
    pub orphans: Vec<Hit>,
}

/// Runs of an image that are claimed by files, in order.
#[derive(Debug, Default)]
struct Claimed(Vec<(u64, u64)>);

impl Claimed {
    fn of<'a>(assemblies: impl Iterator<Item = &'a Assembly>) -> Self {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for assembly in assemblies {
            let size = u64::from(assembly.geometry.page_size);
            for offset in assembly.places.iter().flatten() {
                match runs.last_mut() {
                    Some((_, end)) if *end == *offset => *end += size,
                    _ => runs.push((*offset, *offset + size)),
                }
            }
        }
        runs.sort_unstable();
        Self(runs)
    }

    fn has(&self, offset: u64) -> bool {
        let behind = self.0.partition_point(|(from, _)| *from <= offset);
        behind.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|(_, to)| offset < *to)
    }
}

/// Puts together what the hits of an image, in the order of their offsets, are parts of.
pub(in super::super) fn gather(image: &[u8], hits: &[Hit], progress: &dyn Progress) -> Gathered {
    progress.stage("putting databases together", 1);
    let heads: Vec<&Hit> = hits.iter().filter(|hit| hit.kind() == HitKind::Header).collect();
    let tried: Vec<(Body<'_>, Header, u64, Option<Assembly>)> = heads
        .par_iter()
        .filter_map(|hit| {
            let (body, header) = body(image, hit.offset())?;
            let whole = in_one_piece(&body, header, hit.offset());
            Some((body, header, hit.offset(), whole))
        })
        .collect();
    let (mut whole, mut rest) = (Vec::new(), Vec::new());
    for (body, header, offset, assembly) in tried {
        match assembly {
            Some(assembly) => whole.push(assembly),
            None => rest.push((body, header, offset)),
        }
    }
    let claimed = Claimed::of(whole.iter());
    let mut indexes: BTreeMap<u32, Index> = BTreeMap::new();
    for page_size in PAGE_SIZES {
        if rest.iter().any(|(body, _, _)| body.geometry.page_size == page_size) {
            indexes.insert(page_size, Index::of(image, hits, page_size, &|offset| claimed.has(offset)));
        }
    }
    let empty = Index::default();
    let index = |body: &Body<'_>| indexes.get(&body.geometry.page_size).unwrap_or(&empty);
    let mut laid: Vec<Assembly> = rest
        .par_iter()
        .map(|(body, header, offset)| scattered(body, *header, *offset, index(body), &|at| claimed.has(at)))
        .collect();
    for _ in 0..MOST_CONTESTS {
        let lost = contested(&laid);
        if lost.iter().all(Vec::is_empty) {
            break;
        }
        laid = rest
            .par_iter()
            .zip(laid)
            .zip(&lost)
            .map(|(((body, header, offset), assembly), lost)| {
                if lost.is_empty() {
                    return assembly;
                }
                let taken = |at: u64| claimed.has(at) || lost.binary_search(&at).is_ok();
                scattered(body, *header, *offset, index(body), &taken)
            })
            .collect();
    }
    let mut assemblies = whole;
    assemblies.extend(laid);
    assemblies.sort_by_key(|assembly| assembly.places.first().copied().flatten());
    let claimed = Claimed::of(assemblies.iter());
    let orphans = hits.iter().filter(|hit| !claimed.has(hit.offset())).copied().collect();
    progress.advance(1);
    Gathered { assemblies, orphans }
}

/// What the header at an offset says of its database.
fn body(image: &[u8], offset: u64) -> Option<(Body<'_>, Header)> {
    let bytes = image.get(usize::try_from(offset).ok()?..)?;
    let header = header::header(bytes).ok()?.1;
    let geometry = header.geometry()?;
    let places = u32::try_from(image.len() / geometry.page_size as usize).unwrap_or(u32::MAX - 1);
    // More pages than the image has places for would all be missing.
    let count = header.believed_page_count().unwrap_or(header.page_count).clamp(1, places.max(1));
    let encoding = header.text_encoding().unwrap_or_default();
    Some((Body { image, geometry, count, encoding, auto_vacuum: header.auto_vacuum() }, header))
}

/// The database whose page 1 lies at an offset, when it lies there in one piece and all its parts are there.
fn in_one_piece(body: &Body<'_>, header: Header, offset: u64) -> Option<Assembly> {
    let size = body.size();
    let place = |number: u32| Some(offset + u64::from(number - 1) * size);
    let walked = walk::walk(body, &[], &place, &mut |_, _, _| {});
    is_whole(body, &walked).then(|| Assembly {
        geometry: body.geometry,
        header: Some(header),
        places: (1..=body.count).map(place).collect(),
        rivals: Vec::new(),
        missing: Vec::new(),
        whole: true,
        broken_links: 0,
        expects: Vec::new(),
        fits: Vec::new(),
    })
}

/// Whether all links hold, and each page has its use.
fn is_whole(body: &Body<'_>, walked: &Walked) -> bool {
    walked.broken == 0
        && walked.reached == walked.fitting
        && walked.reached == body.count
        && walked.free == walked.free_stated
}

/// Lays the pages of a database that does not lie in one piece.
fn scattered(
    body: &Body<'_>,
    header: Header,
    offset: u64,
    index: &Index,
    taken: &dyn Fn(u64) -> bool,
) -> Assembly {
    let size = body.size();
    let first = Guess { number: 1, offset };
    let mut places: Vec<Option<u64>> =
        (1..=body.count).map(|number| lay::place(lay::base_of(first, size), number, size)).collect();
    let mut laid: Vec<Laid> = Vec::new();
    let mut known: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let mut before: Vec<Expect> = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let (expects, _, _) = expected(body, &places);
        if expects == before {
            break;
        }
        for (number, (expect, old)) in
            (1..).zip(expects.iter().zip(before.iter().chain(std::iter::repeat(&Expect::Unknown))))
        {
            if expect != old {
                let found = index.find(body, number, expect);
                known.insert(number, found);
            }
        }
        let guesses: Vec<Guess> = std::iter::once(first)
            .chain(known.iter().flat_map(|(number, offsets)| {
                offsets.iter().map(|offset| Guess { number: *number, offset: *offset })
            }))
            .filter(|guess| guess.number == 1 || !taken(guess.offset))
            .collect();
        laid = lay::lay(body, &expects, &guesses, taken);
        places = (1..).zip(&laid).map(|(number, laid)| laid.offset(number, size)).collect();
        before = expects;
    }
    let (expects, fits, walked) = expected(body, &places);
    let mut assembly = Assembly {
        geometry: body.geometry,
        header: Some(header),
        whole: is_whole(body, &walked),
        rivals: Vec::new(),
        missing: Vec::new(),
        broken_links: walked.broken,
        expects,
        fits,
        places,
    };
    for (number, laid) in (1..).zip(&laid) {
        let at = assembly.places.get(number as usize - 1).copied().flatten();
        let expect = assembly.expects.get(number as usize - 1);
        let free = matches!(expect, Some(Expect::Free | Expect::Lock));
        if at.is_none() && !free {
            assembly.missing.push(number);
        }
        let rival =
            laid.rival.filter(|_| laid.margin < DECIDED).and_then(|base| lay::place(base, number, size));
        let same = |rival: u64| at.is_some_and(|at| body.bytes(at) == body.bytes(rival));
        if let Some(rival) = rival.filter(|rival| !same(*rival)) {
            // The scores are logarithms.
            let weight = 1.0 / (1.0 + f64::from(laid.margin).exp());
            assembly.rivals.push(Rival { number, offset: rival, weight });
        }
    }
    assembly
}

/// What each page must be, given where they lie, and how well it is.
fn expected(body: &Body<'_>, places: &[Option<u64>]) -> (Vec<Expect>, Vec<f32>, Walked) {
    let mut expects = vec![Expect::Unknown; places.len()];
    let mut fits = vec![0.0; places.len()];
    let place = |number: u32| places.get(number as usize - 1).copied().flatten();
    let walked = walk::walk(body, &[], &place, &mut |number, expect, fit| {
        let at = number as usize - 1;
        if let (Some(known), Some(known_fit)) = (expects.get_mut(at), fits.get_mut(at)) {
            (*known, *known_fit) = (*expect, fit.unwrap_or(fit::MISFIT));
        }
    });
    (expects, fits, walked)
}

/// For each database the places that another one has a better claim to, in order.
fn contested(assemblies: &[Assembly]) -> Vec<Vec<u64>> {
    let mut claims: Vec<(u64, u64, usize, f32, u32)> = Vec::new();
    for (owner, assembly) in assemblies.iter().enumerate() {
        let size = u64::from(assembly.geometry.page_size);
        for (number, place) in (1..).zip(&assembly.places) {
            let fit = assembly.fits.get(number as usize - 1).copied().unwrap_or(0.0);
            claims.extend(place.map(|offset| (offset, offset + size, owner, fit, number)));
        }
    }
    claims.sort_by_key(|claim| (claim.0, claim.1, claim.2));
    let mut lost = vec![Vec::new(); assemblies.len()];
    let mut last: Option<(u64, u64, usize, f32, u32)> = None;
    for claim in claims {
        if let Some(before) = last.filter(|before| claim.0 < before.1 && before.2 != claim.2) {
            let (loser, kept) = if claim.3 > before.3 { (before, claim) } else { (claim, before) };
            if let Some(lost) = lost.get_mut(loser.2) {
                lost.push(loser.0);
            }
            last = Some(kept);
            continue;
        }
        last = Some(claim);
    }
    lost.iter_mut().for_each(|lost| lost.sort_unstable());
    lost
}
