//! The manifest as JSON lines: one for each file.

use crate::model::Part;
use serde_json::json;

/// A part as a line; `of` is the name of the database that it belongs to.
#[must_use]
pub fn line(part: &Part, name: &str, of: Option<&str>) -> String {
    let runs: Vec<_> = part.extents.iter().map(|run| json!([run.at, run.offset, run.length])).collect();
    let missing: Vec<_> =
        part.missing().iter().map(|range| json!([range.start, range.end - range.start])).collect();
    let alternatives: Vec<_> = part
        .alternatives
        .iter()
        .map(|other| {
            let weight = rounded(other.weight);
            json!({"at": other.at, "offset": other.offset, "length": other.length, "weight": weight})
        })
        .collect();
    let interchangeable: Vec<_> = part
        .interchangeable
        .iter()
        .map(|pages| {
            let weight = rounded(pages.weight());
            json!({"at": pages.at, "offset": pages.offsets, "length": pages.length, "weight": weight})
        })
        .collect();
    let line = json!({
        "format": 1,
        "file": name,
        "store": part.store,
        "role": part.role.name(),
        "what": part.what,
        "place": part.place,
        "size": part.length,
        "page_size": part.page_size,
        "standing": part.standing.name(),
        "reasons": part.reasons,
        "of": of,
        "missing": missing,
        "runs": runs,
        "alternatives": alternatives,
        "interchangeable": interchangeable,
    });
    format!("{line}\n")
}

fn rounded(weight: f64) -> f64 {
    (weight * 10_000.0).round() / 10_000.0
}
