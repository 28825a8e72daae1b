//! `mudlark history`.

use super::bar::Bar;
use super::gather;
use super::recover::printable;
use super::{Common, Exit, history_csv, history_sql, unread};
use crate::error::Error;
use crate::versions::{self, Key, Version, Versions, Wanted};
use crate::words::{count, grouped_count};
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// The table
    #[arg(long, value_name = "T")]
    table: String,
    /// The row: its row id or primary key, or COLUMN=VALUE; of a key of several columns the values with commas between
    /// them, or each with a --key of its own
    #[arg(long, value_name = "K", required = true, allow_hyphen_values = true)]
    key: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Another form of the versions [default: for a person]
    #[arg(long, value_enum, conflicts_with = "json")]
    format: Option<Form>,
    /// Leave out versions below this confidence
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    min_confidence: f64,
    #[command(flatten)]
    pub(super) common: Common,
}

/// A form of the versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A JSON object a line
    Jsonl,
    /// A line for each version
    Csv,
    /// A statement that makes a table of the versions
    Sql,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let options = gather::options(&arguments.common)?;
    let gathered = gather::gather(&arguments.sources, &arguments.common, "history")?;
    gather::report(&gathered);
    let Some(found) = gather::only(&gathered, "history")? else {
        return Ok(gather::nothing_found(&gathered.refused));
    };
    let wanted = Wanted {
        table: arguments.table.clone(),
        key: key(&arguments.key),
        min_confidence: arguments.min_confidence,
        options,
    };
    let bar = Bar::new(arguments.common.quiet);
    let versions = versions::find(found.store, &found.name, &found.sources, &wanted, &bar)?;
    drop(bar);
    if let Some(form) = arguments.format {
        let lines = || {
            versions.dated.iter().chain(&versions.undated).map(|version| format!("{}\n", as_json(version)))
        };
        super::put(&match form {
            Form::Jsonl => lines().collect::<String>(),
            Form::Csv => history_csv::text(&versions),
            Form::Sql => history_sql::text(&found.name, &arguments.table, &versions),
        })?;
    } else if arguments.json {
        let list = |versions: &[Version]| versions.iter().map(as_json).collect::<Vec<_>>();
        let json = json!({
            "format": 1, "store": found.store.name(), "instance": found.name, "table": arguments.table,
            "key": arguments.key, "versions": list(&versions.dated), "undated": list(&versions.undated),
            "left_out": versions.left_out,
        });
        super::put(&format!("{json:#}\n"))?;
    } else {
        super::put(&text(&found.name, &arguments.table, &versions))?;
    }
    let all_read = unread::tell(&found.sources) && gathered.refused.is_empty();
    Ok(match (versions.dated.len() + versions.undated.len(), all_read) {
        (0, _) => Exit::Nothing,
        (_, true) => Exit::Done,
        (_, false) => Exit::InPart,
    })
}

/// The key as the user gives it: columns where each part names one.
fn key(parts: &[String]) -> Key {
    let is_name = |name: &str| !name.is_empty() && !name.contains(['\'', '"', ' ']);
    let named = |part: &str| {
        let (name, value) = part.split_once('=')?;
        is_name(name).then(|| (name.to_owned(), value.to_owned()))
    };
    let split: Vec<&str> = match parts {
        // Several columns in one, where all parts name theirs.
        [one] if one.split(',').all(|part| named(part).is_some()) => one.split(',').collect(),
        parts => parts.iter().map(String::as_str).collect(),
    };
    match split.iter().map(|part| named(part)).collect::<Option<Vec<_>>>() {
        Some(columns) if !columns.is_empty() => Key::Columns(columns),
        _ => Key::Values(parts.to_vec()),
    }
}

fn as_json(version: &Version) -> Json {
    let point = |point: Option<crate::model::Point>| point.map(|point| point.to_string());
    json!({
        "from": point(version.lifetime.from), "to": point(version.lifetime.to), "changed": version.changed,
        "version": version.line,
    })
}

fn text(name: &str, table: &str, versions: &Versions) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", printable(name), versions.what);
    let all = (versions.dated.len() + versions.undated.len()) as u64;
    let _ = writeln!(text, "{}: {}", printable(table), grouped_count(all, "version"));
    for version in &versions.dated {
        let lifetime = version.lifetime;
        let from = lifetime.from.map_or("?".to_owned(), |point| point.to_string());
        let live = version.line["state"] == "live";
        let deleted = version.line["state"] == "deleted";
        let to = match lifetime.to {
            Some(point) if deleted => format!("{point}, which deleted it"),
            Some(point) => point.to_string(),
            None if live => "now".to_owned(),
            None if deleted => "?, deleted since".to_owned(),
            None => "?".to_owned(),
        };
        let _ = writeln!(text, "  from {from} to {to}{}", doubt(version));
        put_values(&mut text, version);
    }
    if !versions.undated.is_empty() {
        text.push_str("the order of these is not known:\n");
        for version in &versions.undated {
            let state = version.line["state"].as_str().unwrap_or_default();
            let ended = if version.lifetime.to.is_some() { ", ended before the log" } else { "" };
            let _ = writeln!(text, "  {state}{ended}{}", doubt(version));
            put_values(&mut text, version);
        }
    }
    if versions.left_out > 0 {
        let versions = count(versions.left_out, "version");
        let _ =
            writeln!(text, "left out  {versions} below the least confidence; --min-confidence 0 shows all");
    }
    text
}

/// Where a version is not sure.
fn doubt(version: &Version) -> String {
    let in_doubt =
        if version.line["transaction"] == "in_doubt" { ", never committed or not whole" } else { "" };
    let Some(confidence) = version.line["confidence"].as_f64() else {
        return format!(" (confidence not calibrated{in_doubt})");
    };
    if confidence < 0.9 { format!(" (confidence {confidence:.2}{in_doubt})") } else { in_doubt.to_owned() }
}

fn put_values(text: &mut String, version: &Version) {
    if let Some(rowid) = version.line["rowid"].as_i64() {
        let _ = writeln!(text, "      row id {rowid}");
    }
    let width = |values: &serde_json::Map<String, Json>| {
        values.keys().map(|name| name.chars().count()).max().unwrap_or(0).min(30)
    };
    if let Some(values) = version.line["values"].as_object() {
        let width = width(values);
        for (name, value) in values {
            let sign = if version.changed.contains(name) { '*' } else { ' ' };
            let _ = writeln!(text, "    {sign} {:width$}  {}", printable(name), shown(value));
        }
    }
    for missing in version.line["missing"].as_array().into_iter().flatten() {
        let _ = writeln!(text, "      {}  (lost)", printable(missing.as_str().unwrap_or_default()));
    }
    for (name, _) in version.line["partial"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "      {}  (lost in part)", printable(name));
    }
    let evidence = version.line["evidence"].as_array().map(Vec::as_slice).unwrap_or_default();
    for found in evidence.iter().take(MOST_PLACES) {
        let span = &found["spans"][0];
        let page = found["page"].as_u64().map(|page| format!(", page {page}")).unwrap_or_default();
        let commit = found["commit"].as_u64().map(|commit| format!(", commit {commit}")).unwrap_or_default();
        let source = printable(span["source"].as_str().unwrap_or_default());
        let at = span["offset"].as_u64().unwrap_or(0);
        let method = found["method"].as_str().unwrap_or_default();
        let _ = writeln!(text, "      in {source} at {at:#x}{page}{commit}: {method}");
    }
    if evidence.len() > MOST_PLACES {
        let further = count((evidence.len() - MOST_PLACES) as u64, "further place");
        let _ = writeln!(text, "      and in {further}");
    }
}

/// Places of a version that are named; a person reads no more.
const MOST_PLACES: usize = 3;

/// Characters of a value that are shown.
const MOST_CHARACTERS: usize = 100;

fn shown(value: &Json) -> String {
    let text = match value {
        Json::String(text) => format!("'{}'", printable(text)),
        Json::Null => "NULL".to_owned(),
        Json::Object(form) => match form.iter().next() {
            Some((kind, Json::String(text))) if kind == "$hex" => format!("x'{text}'"),
            Some((_, Json::String(text))) => text.clone(),
            _ => value.to_string(),
        },
        other => other.to_string(),
    };
    if text.chars().count() <= MOST_CHARACTERS {
        return text;
    }
    format!("{}…", text.chars().take(MOST_CHARACTERS).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::{Key, key};

    #[test]
    fn a_key_names_columns_or_gives_values() {
        let columns = |all: &[(&str, &str)]| {
            Key::Columns(all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
        };
        let values = |all: &[&str]| Key::Values(all.iter().map(|value| (*value).to_owned()).collect());
        let of = |parts: &[&str]| key(&parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["17"]), values(&["17"]));
        assert_eq!(of(&["x,1"]), values(&["x,1"]));
        assert_eq!(of(&["x", "1"]), values(&["x", "1"]));
        assert_eq!(of(&["email=a@x"]), columns(&[("email", "a@x")]));
        assert_eq!(of(&["a=x,b=1"]), columns(&[("a", "x"), ("b", "1")]));
        assert_eq!(of(&["a=x,y", "b=1"]), columns(&[("a", "x,y"), ("b", "1")]));
        assert_eq!(of(&["note=x, y"]), columns(&[("note", "x, y")]));
    }
}
