//! What pages and counters of a main file say against a log.

use super::super::repair::{differ_by_flips, is_broken};
use super::super::survey::look;
use super::laid::Laid;
use super::sides::{MOST_PAGES, Sides, header_of, is_whole, tables};
use super::structure;
use crate::words::grouped_count;
use foldhash::fast::RandomState;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::schema_row::SchemaRow;
use mudlark_parsers::sqlite::wal::Frame;
use std::collections::{BTreeMap, HashSet};

/// What the main file's header and the first page 1 of the log say against each other.
pub fn counters(sides: &Sides<'_>) -> Option<String> {
    let log = sides.log;
    let base = sides.base()?;
    let first = log.frames.iter().position(|frame| frame.page == 1)?;
    // A damaged frame before it may have been page 1.
    let proved = log.frames.get(..=first)?.iter().all(|frame| frame.sound);
    let first = sides.image(log.frames.get(first)?).filter(|_| proved)?;
    let next = header_of(first)?;
    let went_on = next.change_counter.wrapping_sub(base.change_counter);
    let is_behind = went_on > i32::MAX as u32;
    // A checkpoint may have copied a frame that is lost since.
    if !is_whole(log) && (is_behind || went_on <= 1) {
        return None;
    }
    if went_on > 1 {
        return Some(format!(
            "the main file's change counter is {}, that of the log's first page 1 is {}",
            base.change_counter, next.change_counter
        ));
    }
    let cookie = next.schema_cookie.wrapping_sub(base.schema_cookie);
    if cookie > i32::MAX as u32 {
        return Some(format!(
            "the main file's schema cookie is {}, that of the log's first page 1 is {}",
            base.schema_cookie, next.schema_cookie
        ));
    }
    let own = sides.page(1)?;
    if !look(own, 1, sides.geometry, u32::MAX, &mut Vec::new()).sound {
        return None;
    }
    let (own, theirs) = (tables(own, sides.geometry), tables(first, sides.geometry));
    // Each table that is made, dropped or given another name moves the cookie.
    let fits =
        theirs.is_empty() || !own.is_disjoint(&theirs) || own.len().max(theirs.len()) <= cookie as usize;
    (!fits).then(|| {
        format!(
            "of the {} on the main file's page 1 none is on the log's first page 1, and the schema cookie tells of {}",
            grouped_count(own.len() as u64, "table"),
            grouped_count(cookie.into(), "change")
        )
    })
}

/// What the counts of pages say against the log.
pub fn counts(sides: &Sides<'_>) -> Option<String> {
    let base = sides.base().filter(|base| is_whole(sides.log) && base.page_count as usize == sides.held())?;
    let counted = |commit: &[Frame]| commit.last().map_or(0, |frame| frame.commit);
    let differs = |commit: &&[Frame]| {
        counted(commit) != base.page_count || commit.iter().any(|frame| frame.page > base.page_count)
    };
    if let Some(commit) = sides.before_page_1().find(differs) {
        return Some(format!(
            "the main file counts {}, the log {} before it changes that",
            grouped_count(base.page_count.into(), "page"),
            counted(commit)
        ));
    }
    let mut before = base.page_count;
    for commit in sides.commits() {
        let after = counted(commit);
        let written = commit.iter().map(|frame| frame.page).collect::<HashSet<_>>().len();
        // Not all is asked of `VACUUM`: it leaves out the page of the locks.
        if !base.auto_vacuum() && after < before && written + 1 < after as usize {
            return Some(format!(
                "the log goes from {before} to {after} pages, which only VACUUM does, and writes {written}"
            ));
        }
        before = after;
    }
    // Pages behind the main file's end were written once, unless they were free at once.
    let head = sides.by_page.get(&1).and_then(|frames| {
        let frame = frames.iter().rfind(|frame| frame.own && frame.commit_number > 0)?;
        header_of(sides.image(frame)?)
    })?;
    let held =
        |page: u32| sides.by_page.get(&page).is_some_and(|frames| frames.iter().any(|frame| frame.own));
    let missing = (base.page_count.saturating_add(1)..=before).take(MOST_PAGES).filter(|page| !held(*page));
    let missing = missing.count() as u64;
    // The page of the locks is never written.
    (missing > u64::from(head.freelist_count) + 1)
        .then(|| format!("{} behind the main file's end are in neither", grouped_count(missing, "page")))
}

/// What the kinds of pages say against the log: no page changes its tree unless page 1 is written.
pub fn kinds(sides: &Sides<'_>) -> Option<String> {
    // With a checkpoint on the way the main file holds later pages.
    sides.base().filter(|_| is_whole(sides.log))?;
    let (mut scratch, mut same, mut other) = (Vec::new(), 0, Vec::new());
    let mut seen: HashSet<u32, RandomState> = HashSet::default();
    for frame in sides.before_page_1().flatten() {
        if seen.len() == MOST_PAGES || !seen.insert(frame.page) || sides.is_copied(frame.page, false) {
            continue;
        }
        let (Some(page), Some(image)) = (sides.page(frame.page), sides.image(frame)) else { continue };
        let mut look = |bytes| look(bytes, frame.page, sides.geometry, u32::MAX, &mut scratch);
        let (page, image) = (look(page), look(image));
        match (page.kind.filter(|_| page.sound), image.kind.filter(|_| image.sound)) {
            (Some(page), Some(image)) if page == image => same += 1,
            (Some(page), Some(image)) => other.push((frame.page, page, image)),
            _ => {}
        }
    }
    let (number, page, image) = other.first().filter(|_| other.len() > same)?;
    Some(format!(
        "page {number} is a {} in the main file, a {} in the log, and nothing made it one",
        page.name(),
        image.name()
    ))
}

/// What the links of the log's pages say against it: those that it leaves in the main file must fit in kind and keys,
/// however much of it was checkpointed.
pub fn links(sides: &Sides<'_>) -> Option<String> {
    if !is_whole(sides.log) {
        return None;
    }
    let last: BTreeMap<u32, &Frame> = sides.commits().flatten().map(|frame| (frame.page, frame)).collect();
    let (mut scratch, mut fit, mut misfits) = (Vec::new(), 0_usize, Vec::new());
    for (number, frame) in last.iter().take(MOST_PAGES) {
        let Some(image) = sides.image(frame) else { continue };
        let Some(parent) = Page::parse(image, *number, sides.geometry) else { continue };
        let kind = parent.header.kind;
        if !kind.is_interior() || !look(image, *number, sides.geometry, u32::MAX, &mut scratch).sound {
            continue;
        }
        let links = parent.good_cells().map(|cell| (cell.left_child, Some(cell.rowid)));
        let mut above = None;
        for (child, upto) in links.chain([(parent.header.right_child, None)]) {
            let above = std::mem::replace(&mut above, upto);
            let Some(page) = sides.page(child).filter(|_| !last.contains_key(&child)) else { continue };
            let info = look(page, child, sides.geometry, u32::MAX, &mut scratch);
            let Some(own) = info.kind.filter(|_| info.sound && info.cells > 0) else { continue };
            let in_range = !kind.is_table()
                || above.is_none_or(|above| info.first > above) && upto.is_none_or(|upto| info.last <= upto);
            if own.is_table() == kind.is_table() && in_range {
                fit += 1;
            } else {
                misfits.push((*number, child));
            }
        }
    }
    // One page may be damage: a write that went astray.
    let (parent, child) = misfits.first().filter(|_| misfits.len() > 1 || fit == 0)?;
    Some(format!(
        "page {parent} in the log leads to page {child} of the main file, which does not fit in kind or keys"
    ))
}

/// What pages of main file and log say against each other where both lie side by side: a main file that holds together
/// does so under its log.
pub fn state(sides: &Sides<'_>) -> Option<String> {
    let commits = sides.commits().count();
    let laid = Laid::under(sides, commits).filter(|laid| is_whole(sides.log) && laid.needs_main())?;
    let why = structure::check(&laid, false).err()?;
    // What is broken without the log is damage, or a checkpoint on its way.
    structure::check(&Laid::alone(sides)?, true).ok()?;
    Some(format!("the main file holds together, and with the log over it does not: {why}"))
}

/// What the definitions say against the log: none changes unless the schema cookie does.
pub fn definitions(sides: &Sides<'_>) -> Option<String> {
    sides.base().filter(|_| is_whole(sides.log))?;
    let commits = sides.before_page_1().count() + 1;
    let (base, laid) = (Laid::alone(sides)?, Laid::under(sides, commits)?);
    if !laid.is_of_log(1) || laid.header.schema_cookie != base.header.schema_cookie {
        return None;
    }
    // Damage to a definition makes it no other one: a lost sector leaves zeros, and other bytes are seldom all letters.
    let is_foreign = |letter: char| {
        letter == char::REPLACEMENT_CHARACTER || letter.is_control() && !"\t\n\r".contains(letter)
    };
    let (own, theirs) = (structure::definitions(&base).ok()?, structure::definitions(&laid).ok()?);
    let is_damaged = |rows: &[SchemaRow]| {
        let has_foreign = |row: &SchemaRow| {
            [Some(&row.name), Some(&row.table), row.sql.as_ref()]
                .into_iter()
                .flatten()
                .any(|text| text.contains(is_foreign))
        };
        rows.iter().any(|row| is_broken(row) || has_foreign(row))
    };
    if is_damaged(&own) || is_damaged(&theirs) {
        return None;
    }
    are_others(&own, &theirs).then(|| {
        "the main file and the first page 1 of the log have one schema cookie and other definitions"
            .to_owned()
    })
}

/// Whether these are other definitions, and not the same with flipped bits.
fn are_others(own: &[SchemaRow], theirs: &[SchemaRow]) -> bool {
    // Without the root pages, which are more often damaged than a definition is.
    let is_same = |a: &SchemaRow, b: &SchemaRow| {
        (a.kind, &a.name, &a.table, &a.sql) == (b.kind, &b.name, &b.table, &b.sql)
    };
    let mut left: Vec<&SchemaRow> = theirs.iter().collect();
    let mut unmatched = Vec::new();
    for row in own {
        match left.iter().position(|other| is_same(row, other)) {
            Some(index) => drop(left.swap_remove(index)),
            None => unmatched.push(row),
        }
    }
    for row in unmatched {
        match left.iter().position(|other| differ_by_flips(row, other)) {
            Some(index) => drop(left.swap_remove(index)),
            None => return true,
        }
    }
    !left.is_empty()
}
