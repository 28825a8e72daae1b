//! Overflow chains that break, as findings.

use super::chains::{FaultyCell, LinkFault};
use super::database::Database;
use crate::model::Finding;
use crate::words::grouped_count;
use mudlark_parsers::sqlite::page::Page;

/// Chains that are told one by one; a person reads no more, and the rest is counted.
const MOST_TOLD: usize = 50;

/// The chains of live pages that break, in the order of their pages. What a cut has taken is told by the cut.
pub(super) fn findings(database: &Database<'_>) -> Vec<Finding> {
    let cut_page = database.view.cut_page().map(|(page, _)| page);
    let cut = |faulty: &FaultyCell| match faulty.fault.what {
        LinkFault::Absent => database.view.is_absent(faulty.fault.page),
        LinkFault::Cut => cut_page == Some(faulty.fault.page),
        _ => false,
    };
    let faults = database
        .chained
        .faults
        .iter()
        .filter(|faulty| database.forest.standing(faulty.page).is_some() && !cut(faulty));
    let mut found: Vec<Finding> =
        faults.clone().take(MOST_TOLD).filter_map(|faulty| finding(database, faulty)).collect();
    let further = faults.count().saturating_sub(MOST_TOLD);
    if further > 0 {
        let text = grouped_count(further as u64, "further overflow chain");
        let expected = "chains that hold together to their ends".to_owned();
        found.push(Finding::note("cell.overflow", "not_a", text, expected));
    }
    found
}

fn finding(database: &Database<'_>, faulty: &FaultyCell) -> Option<Finding> {
    let page = database.view.page(faulty.page)?;
    let fault = faulty.fault;
    let beyond = |number: u32| if number > database.view.page_count { ", beyond the end" } else { "" };
    let what = match fault.what {
        LinkFault::InTree => "a page of a tree".to_owned(),
        LinkFault::Again => "where the chain has been already".to_owned(),
        LinkFault::Crowded => "to which very many chains lead".to_owned(),
        LinkFault::Absent if fault.page == 0 => "which is none".to_owned(),
        LinkFault::Absent => "beyond the end".to_owned(),
        LinkFault::Cut => "in which the file ends".to_owned(),
        LinkFault::Zeros => "all zeros".to_owned(),
        LinkFault::Link(0) => "which names no next page".to_owned(),
        LinkFault::Link(next) | LinkFault::GoesOn(next) => {
            format!("which names page {next}{} next", beyond(next))
        }
    };
    let parsed = Page::parse(page.bytes, faulty.page, database.view.geometry);
    let owner = if parsed.is_some_and(|parsed| parsed.header.kind.is_table()) {
        format!("row id {}", faulty.cell.rowid)
    } else {
        "an index entry".to_owned()
    };
    let all = faulty.cell.spilled().div_ceil(u64::from(database.view.geometry.overflow_capacity()).max(1));
    Some(Finding {
        source: Some(page.source),
        page: Some(faulty.page),
        offset: Some(page.offset + u64::from(faulty.cell.at)),
        field: "cell.overflow".to_owned(),
        rule: if fault.what == LinkFault::Again { "loop" } else { "not_a" },
        found: format!("page {}, {what}", fault.page),
        expected: format!("overflow page {} of {all} of {owner}", fault.place),
    })
}
