//! A few records of a page or a tree, to judge what they are.

use super::catalogue::{Catalogue, IndexDef, TableDef};
use super::chains;
use super::shape::{self, Fit, Profile};
use super::survey::Survey;
use super::view::View;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record::{self, RecordHeader};
use std::collections::HashMap;

/// Records of a page that are looked at: a page of one table is of one kind.
pub(super) const ROWS: usize = 24;

/// Records of a page that a link leads to: the link speaks for it already.
pub(super) const LINKED_ROWS: usize = 3;

/// What it counts, in likeness, that an old version of a page has the number of a page of the tree.
pub(super) const SAME_OWNER: f64 = 1.0;

/// The likeness to a tree of which no row is left.
pub(super) const NOTHING_LIKE: f64 = -6.0;

/// Calls `each` with some records of the page numbered `number`.
pub(super) fn records(
    view: &View<'_>,
    survey: &Survey,
    number: u32,
    most: usize,
    mut each: impl FnMut(i64, &RecordHeader<'_>, &[u8]),
) {
    let Some(version) = view.page(number) else { return };
    let Some(page) = Page::parse(version.bytes, version.number, view.geometry) else { return };
    for pointer in page.some_pointers(most) {
        let Ok(cell) = page.cell(pointer) else { continue };
        let local = cell.local_payload(version.bytes);
        if let Ok(header) = record::header(local, cell.payload_len) {
            each(cell.rowid, &header, local);
        } else if cell.overflow != 0 {
            let payload = chains::read(view, survey, &version, &cell);
            if let Ok(header) = record::header(&payload.bytes, cell.payload_len) {
                each(cell.rowid, &header, &payload.bytes);
            }
        }
    }
}

/// Reads a byte of the records that [`LINKED_ROWS`] takes from each of these pages: they then come from memory at a
/// time, rather than each when its turn comes.
pub(super) fn touch(view: &View<'_>, pages: impl Iterator<Item = u32> + Clone) {
    let versions = pages.filter_map(|number| view.page(number));
    let headers = versions.clone().filter_map(|page| page.bytes.first());
    std::hint::black_box(headers.fold(0, |all, byte| all ^ byte));
    for page in versions.filter_map(|page| Page::parse(page.bytes, page.number, view.geometry)) {
        let first = page.some_pointers(LINKED_ROWS).filter_map(|at| page.bytes.get(at));
        std::hint::black_box(first.fold(0, |all, byte| all ^ byte));
    }
}

/// How the records of a page fit a table; [`Fit::No`] when most of them break its rules.
pub(super) fn fit_table(view: &View<'_>, survey: &Survey, number: u32, table: &TableDef, rows: usize) -> Fit {
    majority(view, survey, number, rows, |header| shape::fit(header, table))
}

/// How the entries of a page fit an index.
pub(super) fn fit_index(
    view: &View<'_>,
    survey: &Survey,
    number: u32,
    index: &IndexDef,
    catalogue: &Catalogue,
    rows: usize,
) -> Fit {
    let Some(table) = catalogue.tables.get(index.table) else { return Fit::No };
    majority(view, survey, number, rows, |header| shape::fit_entry(header, index, table))
}

fn majority(
    view: &View<'_>,
    survey: &Survey,
    number: u32,
    rows: usize,
    judge: impl Fn(&RecordHeader<'_>) -> Fit,
) -> Fit {
    let (mut no, mut odd, mut yes) = (0, 0, 0);
    records(view, survey, number, rows, |_, header, _| match judge(header) {
        Fit::No => no += 1,
        Fit::Odd => odd += 1,
        Fit::Yes => yes += 1,
    });
    // A page without a readable record speaks against nothing.
    if no > odd + yes {
        Fit::No
    } else if odd > yes {
        Fit::Odd
    } else {
        Fit::Yes
    }
}

/// Pages that make up a profile: more say nothing new.
const PROFILE_PAGES: usize = 48;

/// An even sample of a tree's pages, as many as a profile takes.
pub(super) fn profile_pages(pages: &[u32]) -> impl Iterator<Item = u32> + '_ {
    pages.iter().step_by((pages.len() / PROFILE_PAGES).max(1)).copied()
}

/// What the rows on these pages look like.
pub(super) fn profile(view: &View<'_>, survey: &Survey, pages: &[u32]) -> Profile {
    let mut profile = Profile::default();
    for number in profile_pages(pages) {
        records(view, survey, number, ROWS, |_, header, payload| profile.add(header, payload));
    }
    profile
}

/// What the rows of trees look like, made when it is first asked.
#[derive(Default)]
pub(super) struct Profiles {
    made: HashMap<usize, (Profile, f64)>,
}

impl Profiles {
    /// How much more the rows of a page look like those of a tree, with this number and pages, than these do themselves;
    /// `None` when nothing tells.
    pub(super) fn likeness(
        &mut self,
        (view, survey): (&View<'_>, &Survey),
        (tree, pages): (usize, &[u32]),
        number: u32,
    ) -> Option<f64> {
        let (profile, own) = self.made.entry(tree).or_insert_with(|| profile_and_own(view, survey, pages));
        if profile.rows() == 0 {
            return None;
        }
        Some(likeness(view, survey, number, profile)? - *own)
    }

    /// Lets a profile be made anew after the tree has got another page: of many pages it doesn't change by one more.
    pub(super) fn forget(&mut self, tree: usize) {
        if self.made.get(&tree).is_some_and(|(profile, _)| profile.rows() < FEW) {
            self.made.remove(&tree);
        }
    }
}

/// Rows of a profile that one more page changes.
const FEW: u32 = 200;

/// What the rows on these pages look like, and how much they look like it themselves: the fewer rows there are, the less.
fn profile_and_own(view: &View<'_>, survey: &Survey, pages: &[u32]) -> (Profile, f64) {
    let profile = profile(view, survey, pages);
    let own: Vec<f64> =
        profile_pages(pages).filter_map(|page| likeness(view, survey, page, &profile)).collect();
    let mean = own.iter().sum::<f64>() / (own.len().max(1) as f64);
    (profile, mean)
}

/// How much the rows of a page look like a profile's; `None` without a row.
pub(super) fn likeness(view: &View<'_>, survey: &Survey, number: u32, profile: &Profile) -> Option<f64> {
    let (mut sum, mut rows) = (0.0, 0_u32);
    records(view, survey, number, ROWS, |_, header, payload| {
        sum += profile.likeness(header, payload);
        rows += 1;
    });
    (rows > 0).then(|| sum / f64::from(rows))
}
