//! The versions of a row as comma-separated values: a line for each. Types are not told: NULL and what is lost are empty
//! fields, an empty text two quotes, and a BLOB its hexadecimal digits.

use crate::diff::csv_field;
use crate::model::Point;
use crate::versions::{Version, Versions};
use serde_json::Value as Json;

/// What stands before the columns of the table.
const HEAD: [&str; 6] = ["from", "to", "state", "transaction", "confidence", "rowid"];

/// The versions, those in the order of time first.
pub(super) fn text(versions: &Versions) -> String {
    let all = || versions.dated.iter().chain(&versions.undated);
    let columns = columns(versions);
    let mut out = Vec::new();
    line(&mut out, HEAD.iter().chain(&columns).map(|name| Some((*name).to_owned())));
    for version in all() {
        let values = columns.iter().map(|name| plain(&version.line["values"][*name]));
        line(&mut out, head(version).into_iter().chain(values));
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The columns of all versions, in their order.
pub(super) fn columns(versions: &Versions) -> Vec<&str> {
    let mut columns: Vec<&str> = Vec::new();
    for version in versions.dated.iter().chain(&versions.undated) {
        let values = version.line["values"].as_object().into_iter().flat_map(|values| values.keys());
        let missing = version.line["missing"].as_array().into_iter().flatten().filter_map(Json::as_str);
        let partial = version.line["partial"].as_object().into_iter().flat_map(|partial| partial.keys());
        for name in values.map(String::as_str).chain(missing).chain(partial.map(String::as_str)) {
            if !columns.contains(&name) {
                columns.push(name);
            }
        }
    }
    columns
}

fn head(version: &Version) -> [Option<String>; 6] {
    let point = |point: Option<Point>| point.map(|point| point.to_string());
    let of = |name: &str| plain(&version.line[name]);
    let (from, to) = (point(version.lifetime.from), point(version.lifetime.to));
    [from, to, of("state"), of("transaction"), of("confidence"), of("rowid")]
}

fn line(out: &mut Vec<u8>, fields: impl Iterator<Item = Option<String>>) {
    for (number, field) in fields.enumerate() {
        if number > 0 {
            out.push(b',');
        }
        if let Some(text) = field {
            csv_field(&text, out);
        }
    }
    out.push(b'\n');
}

/// A value of a JSON line as text; `None` for NULL, and for what is lost.
fn plain(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        // `$hex`, `$int` and the like.
        Json::Object(form) => match form.values().next() {
            Some(Json::String(text)) => Some(text.clone()),
            Some(Json::Object(text)) => text.get("hex").and_then(Json::as_str).map(str::to_owned),
            _ => Some(value.to_string()),
        },
        other => Some(other.to_string()),
    }
}
