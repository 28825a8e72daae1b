//! Parts of rows that stand whole elsewhere: they say nothing but the row id that they have kept.

use super::super::prints::content;
use super::Search;
use super::judge::Judged;
use foldhash::fast::RandomState;
use mudlark_parsers::claim::Claim;
use mudlark_parsers::sqlite::freed::RowidLeft;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::sqlite::serial::{Serial, SerialKind};
use rayon::prelude::*;
use std::collections::{HashMap, HashSet};

/// Bytes of a cell that two rows seldom share by accident.
const TELLING: usize = 8;

/// A cell as it is looked up: its column, and its bytes.
type Told<'p> = (usize, &'p [u8]);

/// Makes parts of rows further evidence of the whole ones with the same cells, which take the row ids that they lack.
pub(super) fn merge(search: &Search<'_, '_>, judged: &mut Vec<Judged>) {
    let parts: Vec<usize> =
        (0..).zip(&*judged).filter(|(_, judged)| is_part(judged)).map(|(at, _)| at).collect();
    if parts.is_empty() {
        return;
    }
    let mut told: HashMap<Told<'_>, Vec<usize>, RandomState> = HashMap::default();
    let shape = |judged: &Judged| content(judged.dead.freed.serials.iter().map(|serial| serial.0), &[]);
    let mut shapes: HashSet<u64, RandomState> = HashSet::default();
    for at in &parts {
        let Some(part) = judged.get(*at) else { continue };
        if let Some(cell) = telling(search, part) {
            told.entry(cell).or_default().push(*at);
            shapes.insert(shape(part));
        }
    }
    let wholes = (0..judged.len()).into_par_iter().with_min_len(256);
    let pairs: Vec<(usize, usize)> = wholes
        .flat_map_iter(|whole| {
            // Most rows have other serial types than all parts, and their cells need not be read.
            let this = judged.get(whole).filter(|this| is_whole(this) && shapes.contains(&shape(this)));
            let cells = this.into_iter().flat_map(|this| cells(search, this)).enumerate();
            let parts = cells.filter_map(|(column, (_, bytes))| told.get(&(column, bytes?)));
            let found: Vec<usize> = parts
                .flatten()
                .copied()
                .filter(|part| {
                    let part = judged.get(*part);
                    this.zip(part).is_some_and(|(whole, part)| is_of(search, part, whole))
                })
                .collect();
            found.into_iter().map(move |part| (part, whole))
        })
        .collect();
    drop(told);
    // A part of several rows with the same cells may be of any of them: the first takes it.
    let mut of_part: HashMap<usize, usize, RandomState> = HashMap::default();
    for (part, whole) in pairs {
        let first = of_part.entry(part).or_insert(whole);
        *first = whole.min(*first);
    }
    if of_part.is_empty() {
        return;
    }
    let mut of_part: Vec<(usize, usize)> = of_part.into_iter().collect();
    of_part.sort_unstable();
    let mut next = of_part.iter().peekable();
    let mut numbers = 0..;
    let is_of_row = |_: &mut Judged| {
        let number = numbers.next();
        next.next_if(|(part, _)| Some(*part) == number).is_some()
    };
    let parts: Vec<Judged> = judged.extract_if(.., is_of_row).collect();
    for (part, (_, whole)) in parts.into_iter().zip(&of_part) {
        // So many that stood before it were taken out.
        let before = of_part.partition_point(|(part, _)| part < whole);
        let Some(whole) = judged.get_mut(whole - before) else { continue };
        if whole.dead.rowid.is_none() && part.dead.rowid.is_some() {
            whole.dead.rowid = part.dead.rowid;
            whole.dead.claims = whole.dead.claims.with(Claim::RowidInferred);
        }
        whole.also.push(part.dead);
        whole.also.append(part.also);
    }
}

/// Whether the end of a row was overwritten.
fn is_part(judged: &Judged) -> bool {
    judged.dead.content.is_none() && judged.dead.freed.cut && judged.dead.projection.is_none()
}

fn is_whole(judged: &Judged) -> bool {
    judged.dead.content.is_some() && judged.dead.projection.is_none()
}

/// The cells of a row as far as they stand on its page.
fn cells<'p>(
    search: &'p Search<'_, '_>,
    judged: &'p Judged,
) -> impl Iterator<Item = (Serial, Option<&'p [u8]>)> {
    let freed = &judged.dead.freed;
    let body_at = (freed.cell.payload_at + freed.header_len) as usize;
    let to = (freed.cell.payload_at + freed.cell.local) as usize;
    let page = search.database.view.page(judged.dead.page).and_then(|version| version.bytes.get(..to));
    record::cells(freed.serials.iter(), body_at, page.unwrap_or_default())
}

/// The longest cell of a part that tells whose it is.
fn telling<'p>(search: &'p Search<'_, '_>, judged: &'p Judged) -> Option<Told<'p>> {
    let is_long = |(_, (serial, bytes)): &(usize, (Serial, Option<&[u8]>))| {
        let is_told = matches!(serial.kind(), SerialKind::Text | SerialKind::Blob);
        is_told && bytes.is_some_and(|bytes| bytes.len() >= TELLING)
    };
    let long = cells(search, judged).enumerate().filter(is_long);
    let longest = long.max_by_key(|(_, (_, bytes))| bytes.map_or(0, <[u8]>::len))?;
    Some((longest.0, longest.1.1?))
}

/// Whether all cells that are left of a part are those of a whole row, which has no other row id.
fn is_of(search: &Search<'_, '_>, part: &Judged, whole: &Judged) -> bool {
    let read = |judged: &Judged| match judged.dead.freed.rowid {
        RowidLeft::Whole(rowid) => Some(rowid),
        _ => None,
    };
    let same_id = read(part).zip(whole.dead.rowid).is_none_or(|(part, whole)| part == whole);
    let same_serials = part.dead.freed.serials == whole.dead.freed.serials;
    let mut both = cells(search, part).zip(cells(search, whole));
    same_id && same_serials && both.all(|((_, part), (_, whole))| part.is_none() || part == whole)
}
