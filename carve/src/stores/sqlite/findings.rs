//! Damage and anomalies of a database, in the order of its pages.

use super::beheaded;
use super::chain_faults;
use super::cut;
use super::database::Database;
use super::forest::{Gap, Object};
use super::shifted;
use super::view::PageVersion;
use crate::model::Finding;
use crate::source::SourceId;
use crate::stores::PageCounts;
use crate::words::grouped_count;
use mudlark_parsers::damage::{Damage, DamageKind};
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::record;

/// Everything that is wrong with the database.
pub(super) fn all(database: &Database<'_>) -> Vec<Finding> {
    let mut found = database.findings.clone();
    found.extend(cut::finding(database));
    found.extend(shifted::findings(database));
    found.extend(beheaded::finding(database));
    let cut_page = database.view.cut_page().map(|(number, _)| number);
    for (number, source) in database.sources.iter().enumerate() {
        for (offset, length) in source.holes() {
            let mut finding =
                Finding::note("source.read", "truncated", "0 bytes".to_owned(), format!("{length} bytes"));
            finding.source = Some(SourceId(number as u16));
            finding.offset = Some(offset);
            found.push(finding);
        }
    }
    for (number, damage) in &database.free.damage {
        if let Some(page) = database.view.page(*number) {
            found.push(place(damage, &page));
        }
    }
    for (number, info) in database.survey.iter() {
        // What is wrong with a page that the file ends in is that the file ends there.
        let told = info.sound || info.kind.is_none() || cut_page == Some(number);
        if told || database.forest.place(number).is_none() {
            continue;
        }
        if let Some(page) = database.view.page(number) {
            found.extend(page_damage(database, &page).iter().map(|damage| place(damage, &page)));
        }
    }
    found.extend(chain_faults::findings(database));
    for (number, info) in database.survey.iter() {
        if info.kind.is_some() && is_unused(database, number) {
            found.extend(unused(database, number));
        }
    }
    for tree in &database.forest.trees {
        if tree.object != Object::Stale {
            // Links to pages that a cut has taken are told by the cut.
            let cut = |gap: &&Gap| database.view.is_absent(gap.child) || cut_page == Some(gap.child);
            let gaps = tree.gaps.iter().filter(|gap| !cut(gap) && !gap.is_of_rebuilt(database.ground()));
            found.extend(gaps.filter_map(|gap| gap_finding(database, gap)));
        }
    }
    let unlisted = database.forest.unlisted;
    found.extend((unlisted > 0).then(|| {
        let links = grouped_count(unlisted, "further link");
        Finding::note("btree_page.child", "not_a", links, "no more links than pages".to_owned())
    }));
    found
}

fn place(damage: &Damage, page: &PageVersion<'_>) -> Finding {
    Finding::from_damage(damage, page.source, Some(page.number), page.offset)
}

/// The broken rules of one b-tree page.
pub(super) fn page_damage(database: &Database<'_>, page: &PageVersion<'_>) -> Vec<Damage> {
    let geometry = database.view.geometry;
    let Some(parsed) = Page::parse(page.bytes, page.number, geometry) else { return Vec::new() };
    let mut found = Vec::new();
    let count = u64::from(parsed.header.cell_count);
    if count > parsed.most_cells() as u64 {
        let kind = DamageKind::OutOfRange { found: count, least: 0, most: parsed.most_cells() as u64 };
        found.push(Damage::new("btree_page.cell_count", parsed.header_at as u64 + 3, kind));
    }
    if page.bytes.len() < geometry.page_size as usize {
        let (need, have) = (u64::from(geometry.page_size), page.bytes.len() as u64);
        found.push(Damage::new("page", 0, DamageKind::Truncated { need, have }));
    }
    let mut cells = Vec::new();
    let mut previous: Option<i64> = None;
    for read in parsed.cells() {
        match read {
            Err(damage) => found.push(damage),
            Ok(cell) => {
                let key = cell.rowid;
                if parsed.header.kind.is_table()
                    && let Some(before) = previous.replace(key).filter(|before| *before >= key)
                {
                    let kind = DamageKind::OutOfRange {
                        found: key as u64,
                        least: before.wrapping_add(1) as u64,
                        most: i64::MAX as u64,
                    };
                    found.push(Damage::new("cell.rowid", u64::from(cell.at), kind));
                }
                if parsed.header.kind != mudlark_parsers::sqlite::page::PageKind::TableInterior
                    && let Err(record::RecordFault::Length { computed }) =
                        record::header(cell.local_payload(page.bytes), cell.payload_len)
                {
                    let kind = DamageKind::Mismatch { found: cell.payload_len, expected: computed };
                    found.push(Damage::new("cell.payload_len", u64::from(cell.at), kind));
                }
                cells.push(cell);
            }
        }
    }
    found.extend(parsed.account(&cells).damage);
    found
}

/// Whether a b-tree page hangs in no tree and is not free either.
fn is_unused(database: &Database<'_>, number: u32) -> bool {
    !database.free.pages.contains(&number)
        && database.forest.place(number).is_none_or(|(tree, _)| {
            database.forest.trees.get(tree as usize).is_some_and(|tree| tree.object == Object::Stale)
        })
}

fn unused(database: &Database<'_>, number: u32) -> Option<Finding> {
    let page = database.view.page(number)?;
    Some(Finding {
        source: Some(page.source),
        page: Some(number),
        offset: Some(page.offset),
        field: "btree_page".to_owned(),
        rule: "unused",
        found: "a b-tree page that hangs in no tree".to_owned(),
        expected: "a tree or the freelist to name it".to_owned(),
    })
}

/// A link of a tree that leads nowhere.
fn gap_finding(database: &Database<'_>, gap: &Gap) -> Option<Finding> {
    if gap.parent == 0 && gap.child == 0 {
        return None;
    }
    let expected = match (gap.range.above, gap.range.upto) {
        (None, None) => "a page of the tree".to_owned(),
        (above, upto) => {
            let text = |bound: Option<i64>| bound.map_or("any".to_owned(), |key| key.to_string());
            format!("a page of the tree with row ids above {} up to {}", text(above), text(upto))
        }
    };
    let info = database.survey.page(gap.child);
    let state = if database.view.page(gap.child).is_none() {
        "beyond the end"
    } else if info.zero {
        "all zeros"
    } else if info.kind.is_none() {
        "not a b-tree page"
    } else {
        "another part of the file"
    };
    let parent = database.view.page(gap.parent.max(1))?;
    Some(Finding {
        source: Some(parent.source),
        page: Some(gap.parent.max(1)),
        offset: Some(parent.offset),
        field: if gap.parent == 0 { "sqlite_schema.rootpage" } else { "btree_page.child" }.to_owned(),
        rule: "not_a",
        found: format!("page {}, {state}", gap.child),
        expected,
    })
}

/// What the pages came to.
pub(super) fn page_counts(database: &Database<'_>) -> PageCounts {
    let mut counts = PageCounts { all: u64::from(database.view.page_count), ..PageCounts::default() };
    for (number, info) in database.survey.iter() {
        let placed = database.forest.place(number);
        let stale = placed.is_some_and(|(tree, _)| {
            database.forest.trees.get(tree as usize).is_some_and(|tree| tree.object == Object::Stale)
        });
        if database.view.is_absent(number) {
            continue;
        } else if database.free.pages.contains(&number) {
            counts.free += 1;
        } else if info.kind.is_some() && stale {
            counts.orphaned += 1;
        } else if info.kind.is_some() && info.sound {
            counts.sound += 1;
        } else if info.kind.is_some() {
            counts.damaged += 1;
        }
    }
    let gaps = database.forest.trees.iter().filter(|tree| tree.object != Object::Stale);
    let is_left = |gap: &Gap| gap.parent == 0 || gap.is_of_rebuilt(database.ground());
    let unreadable = |gap: &&Gap| !is_left(gap) && database.survey.page(gap.child).kind.is_none();
    counts.lost = gaps.flat_map(|tree| &tree.gaps).filter(unreadable).count() as u64;
    counts
}
