//! The summary of a run as a table.

use super::interval::Figure;
use super::summary::{GROUPS, LABELS, Sum, Summary};
use crate::words::{grouped, grouped_count};
use std::fmt::Write;

/// Lines of each part; `summary.json` has them all.
const SHOWN: usize = 12;

/// The table.
#[must_use]
pub fn text(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, summary);
    out
}

fn write_text(out: &mut String, summary: &Summary) -> std::fmt::Result {
    if let Some(total) = summary.total() {
        writeln!(
            out,
            "{:38} {:>6} {:>24} {:>24} {:>24}",
            "", "cases", "gone found", "gone right", "live found"
        )?;
        for label in LABELS {
            let sums = summary.by_label(label);
            if sums.len() < 2 {
                continue;
            }
            writeln!(out, "by {label}, worst first{}", of(sums.len()))?;
            for (name, sum) in sums.iter().take(SHOWN) {
                line(out, &format!("  {name}"), sum)?;
            }
        }
        line(out, "all", &total)?;
        let c = &total.counts;
        writeln!(
            out,
            "wrong     {} given as gone that equal nothing, {} that are live, {} given as live that are not",
            grouped(c.phantoms),
            grouped(c.rereads),
            grouped(c.wronglive)
        )?;
        if let (Some(ece), Some(brier)) = (total.figures.ece, total.figures.brier) {
            writeln!(
                out,
                "confidence of rows that are not live: calibration error {}, Brier score {}",
                shown(Some(ece)),
                shown(Some(brier))
            )?;
        }
        for group in GROUPS {
            let sums = summary.by_rows(group);
            let mut sums: Vec<_> = sums.iter().collect();
            if sums.len() < 2 {
                continue;
            }
            sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.rows));
            writeln!(out, "rows by {group}, most first{}", of(sums.len()))?;
            for (name, sum) in sums.iter().take(SHOWN) {
                writeln!(
                    out,
                    "  {name:46} {:>9} rows, right {:.4}, promised {:.4}, calibration error {}",
                    grouped(sum.rows),
                    sum.right as f64 / sum.rows.max(1) as f64,
                    sum.promised,
                    shown(sum.ece)
                )?;
            }
        }
    }
    for result in summary.results.iter().filter(|result| !result.status.is_read()) {
        writeln!(out, "{}  {}: {}", result.status.name(), result.case, result.why.as_deref().unwrap_or("-"))?;
    }
    let status: Vec<String> = summary
        .by_status()
        .into_iter()
        .map(|(status, n)| format!("{} {}", grouped(n), status.name()))
        .collect();
    writeln!(
        out,
        "{}: {}; {} recovered",
        grouped_count(summary.results.len() as u64, "case"),
        status.join(", "),
        grouped_count(summary.rows(), "row")
    )
}

fn line(out: &mut String, name: &str, sum: &Sum) -> std::fmt::Result {
    let f = &sum.figures;
    writeln!(
        out,
        "{name:38} {:>6} {:>24} {:>24} {:>24}",
        sum.cases,
        shown(f.gone_recall),
        shown(f.gone_precision),
        shown(f.live_recall)
    )
}

fn shown(figure: Option<Figure>) -> String {
    figure.map_or_else(|| "-".to_owned(), |f| format!("{:.4} [{:.4}, {:.4}]", f.value, f.low, f.high))
}

fn of(all: usize) -> String {
    if all > SHOWN { format!(" ({SHOWN} of {all})") } else { String::new() }
}
