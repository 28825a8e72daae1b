//! From what was put together to files.

use super::gather::{Assembly, Gathered, Rival};
use super::hits::Hit;
use crate::model::{Alternative, Extent, Interchangeable, Part, PartRole, Standing};
use crate::words::{count, grouped_count};
use mudlark_parsers::bytes::slice_at;
use mudlark_parsers::sqlite::geometry::{Geometry, PAGE_SIZES};
use mudlark_parsers::sqlite::page::Page;

/// Alternatives that are told of one file, the likeliest ones: a person reads no more.
const MOST_ALTERNATIVES: usize = 10_000;

/// The files of an image, in the order of their places.
pub(super) fn parts(image: &[u8], gathered: &Gathered) -> Vec<Part> {
    let mut parts: Vec<Part> =
        gathered.assemblies.iter().filter_map(|assembly| part(image, assembly)).collect();
    parts.sort_by_key(|part| part.place);
    parts
}

fn part(image: &[u8], assembly: &Assembly) -> Option<Part> {
    let size = u64::from(assembly.geometry.page_size);
    let extents = extents(&assembly.places, size, image.len() as u64);
    let place = extents.iter().find_map(|extent| extent.offset)?;
    let mut reasons = Vec::new();
    let lost = assembly.missing.len() as u64;
    if lost > 0 {
        reasons.push(format!("{} not found", grouped_count(lost, "page")));
    }
    let broken = assembly.broken_links;
    if broken > 0 {
        reasons.push(format!("{} out of it, or to a page of another link", count(u64::from(broken), "link")));
    }
    if lost == 0 && !assembly.whole && broken == 0 {
        reasons.push("not every page has its use".to_owned());
    }
    let open = assembly.open_pages().len() as u64;
    if open > 0 {
        reasons.push(format!("{} may lie elsewhere as well", grouped_count(open, "page")));
    }
    let doubt = open == 0 && assembly.elsewhere > MOST_WRONG;
    if doubt {
        let percent = 100.0 * assembly.elsewhere.min(1.0);
        reasons.push(format!(
            "of some pages only the run that they lie in tells the place: with {percent:.0} % one lies elsewhere"
        ));
    }
    if assembly.unasked {
        reasons.push("so many places would do for its pages that not all were looked at".to_owned());
    }
    let standing = match (assembly.whole, open == 0 && !doubt && !assembly.unasked) {
        (true, true) => Standing::Intact,
        (true, false) => Standing::Ambiguous,
        (false, _) => Standing::Damaged,
    };
    let mut rivals: Vec<&Rival> = assembly.rivals.iter().collect();
    if rivals.len() > MOST_ALTERNATIVES {
        rivals.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let left_out = (rivals.len() - MOST_ALTERNATIVES) as u64;
        reasons
            .push(format!("the {} that are least likely are not listed", grouped_count(left_out, "place")));
        rivals.truncate(MOST_ALTERNATIVES);
        rivals.sort_by_key(|rival| (rival.number, rival.offset));
    }
    let at = |number: u32| u64::from(number - 1) * size;
    let alternatives = rivals.into_iter().map(|rival| Alternative {
        at: at(rival.number),
        offset: rival.offset,
        length: size,
        weight: rival.weight,
    });
    let interchangeable = assembly.pools.iter().map(|pool| Interchangeable {
        at: pool.numbers.iter().copied().map(at).collect(),
        offsets: pool.offsets.clone(),
        length: size,
    });
    let head = if assembly.header.is_some() { "" } else { " without its first page" };
    Some(Part {
        store: "sqlite",
        role: PartRole::Database,
        what: format!(
            "SQLite database{head}, {} of {size} bytes",
            grouped_count(assembly.places.len() as u64, "page")
        ),
        place,
        length: assembly.places.len() as u64 * size,
        page_size: assembly.geometry.page_size,
        extents,
        head: Vec::new(),
        standing,
        reasons,
        alternatives: alternatives.collect(),
        interchangeable: interchangeable.collect(),
        guessed: assembly.guesses().into_iter().map(at).collect(),
        of: None,
    })
}

/// The share of files that may be called intact although a page of them lies elsewhere.
const MOST_WRONG: f64 = 0.01;

/// Leaves that belong to no database, as files: one for each page size. What they link to is not known, so they stand
/// where none of their links leads to another one by accident.
pub(super) fn orphans(image: &[u8], hits: &[Hit]) -> Vec<Part> {
    let mut parts = Vec::new();
    for page_size in PAGE_SIZES {
        let geometry = Geometry { page_size, reserved: 0 };
        let (mut places, mut links) = (Vec::new(), Vec::new());
        for hit in hits {
            let Some(offset) = hit.page_at().filter(|_| hit.sizes().one() == Some(page_size)) else {
                continue;
            };
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let Some(bytes) = slice_at(image, from, page_size as usize) else { continue };
            let page = Page::parse(bytes, 2, geometry);
            let Some(page) = page.filter(|page| !page.header.kind.is_interior()) else { continue };
            if page.header.cell_count > 0 && places.last() != Some(&Some(offset)) {
                places.push(Some(offset));
                links.extend(page.good_cells().map(|cell| cell.overflow).filter(|link| *link != 0));
            }
        }
        let Some(place) = places.first().copied().flatten() else { continue };
        let (size, before) = (u64::from(page_size), behind(links, places.len() as u64));
        let what = format!(
            "SQLite pages of no database, {} of {size} bytes",
            grouped_count(places.len() as u64, "leaf")
        );
        let mut runs = vec![Extent { at: 0, offset: None, length: before * size }];
        let own = extents(&places, size, image.len() as u64).into_iter();
        runs.extend(own.map(|run| Extent { at: run.at + before * size, ..run }));
        parts.push(Part {
            store: "sqlite",
            role: PartRole::Orphans,
            what,
            place,
            length: (before + places.len() as u64) * size,
            page_size,
            extents: runs,
            head: Vec::new(),
            standing: Standing::Damaged,
            reasons: vec!["nothing tells which database they are of".to_owned()],
            alternatives: Vec::new(),
            interchangeable: Vec::new(),
            guessed: Vec::new(),
            of: None,
        });
    }
    parts
}

/// The least number, page 1 or more, behind which so many pages have numbers that no link names.
fn behind(mut links: Vec<u32>, pages: u64) -> u64 {
    links.sort_unstable();
    let mut before = 1;
    for link in links.into_iter().map(u64::from) {
        if link > before + pages {
            break;
        }
        before = before.max(link);
    }
    before
}

/// Pages to runs that lie side by side, here and there.
fn extents(places: &[Option<u64>], size: u64, image: u64) -> Vec<Extent> {
    let mut runs: Vec<Extent> = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let (at, offset) = (index as u64 * size, place.filter(|offset| *offset < image));
        let goes_on = runs.last_mut().filter(|run| match (run.offset, offset) {
            (Some(before), Some(offset)) => before + run.length == offset,
            (None, None) => true,
            _ => false,
        });
        match goes_on {
            Some(run) => run.length += size,
            None => runs.push(Extent { at, offset, length: size }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::{behind, extents};
    use crate::model::Extent;

    #[test]
    fn orphans_stand_where_no_link_leads_and_not_behind_the_greatest() {
        assert_eq!(behind(vec![], 3), 1);
        assert_eq!(behind(vec![9, 2, 4, 3], 4), 4);
        assert_eq!(behind(vec![9, 2, 4, 3], 5), 9);
        assert_eq!(behind(vec![u32::MAX, 1], 40), 1);
    }

    #[test]
    fn pages_side_by_side_make_a_run_and_missing_ones_too() {
        let places = [Some(512), Some(1024), None, None, Some(5120)];
        let runs = extents(&places, 512, 9000);
        let run = |at, offset, length| Extent { at, offset, length };
        assert_eq!(runs, [run(0, Some(512), 1024), run(1024, None, 1024), run(2048, Some(5120), 512)]);
    }
}
