//! A file that ends before the pages that its header, or its log, counts.

use super::database::Database;
use crate::model::Finding;
use crate::words::{count, grouped_count};

/// Offset of the page count in the database header.
const PAGE_COUNT_AT: u64 = 28;

/// What is missing behind the end of the file, as one finding.
pub(super) fn finding(database: &Database<'_>) -> Option<Finding> {
    let view = &database.view;
    let main = database.roles.main?;
    let by_header = !view.has_overlay();
    let mut finding = Finding::note("database_header.page_count", "truncated", String::new(), String::new());
    finding.source = Some(main);
    (finding.page, finding.offset) = (by_header.then_some(1), by_header.then_some(PAGE_COUNT_AT));
    let stated = database.detected.header.and_then(|header| header.believed_page_count());
    if by_header
        && database.detected.notes.is_empty()
        && stated.is_some_and(|stated| stated > view.page_count)
    {
        // Beyond belief: the count is wrong, not the file.
        finding.rule = "mismatch";
        finding.found = stated.unwrap_or_default().to_string();
        finding.expected = format!("{}, as the file holds", view.page_count);
        return Some(finding);
    }
    let (absent, cut_page) = (view.absent(), view.cut_page());
    if absent == 0 && cut_page.is_none() {
        return None;
    }
    let size = u64::from(view.geometry.page_size);
    let rest = cut_page.map_or(0, |(_, rest)| u64::from(rest));
    // Of a file that lost its beginning, or lies in pieces of an image, pages are missing amid the others.
    let behind = view.page_count.saturating_sub(view.main_pages);
    let amid = u64::from(absent.saturating_sub(behind));
    let whole = (u64::from(view.main_pages) - u64::from(cut_page.is_some())).saturating_sub(amid);
    let of_cut_page = cut_page.map_or(0, |_| size - rest);
    let part = if rest > 0 { format!(" and {}", count(rest, "byte")) } else { String::new() };
    let missing = u64::from(absent) * size + of_cut_page;
    let are = if missing == 1 { "is" } else { "are" };
    let by = match (by_header, database.roles.log) {
        (true, _) if database.detected.header.is_none() => "what is left",
        (true, _) => "the header",
        (false, Some(_)) => "the last commit of the log",
        (false, None) => "the journal",
    };
    finding.found = format!("a file that holds {}{part}", count(whole, "page"));
    finding.expected = format!(
        "{}, as {by} counts: {} {are} missing",
        count(u64::from(view.page_count), "page"),
        grouped_count(missing, "byte")
    );
    Some(finding)
}
