//! `mudlark timeline`.

use super::gather::{self, Found};
use super::recover::printable;
use super::{Common, Exit, unread};
use crate::error::Error;
use crate::model::{Bound, Commit, CommitState, History, RowCounts, interval};
use crate::moments;
use crate::words::{count, grouped, grouped_count};
use serde_json::{Value as Json, json};
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, or folders of them
    #[arg(required = true, value_name = "SOURCE")]
    sources: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    gather::check_logs(&arguments.common)?;
    let gathered = gather::gather(&arguments.sources, &arguments.common, "timeline")?;
    gather::report(&gathered);
    if gathered.stores.is_empty() {
        return Ok(gather::nothing_found(&gathered.refused));
    }
    let mut all = Vec::new();
    let mut commits = 0;
    let mut all_read = gathered.refused.is_empty();
    for found in &gathered.stores {
        let history = found.store.history(&found.sources)?;
        commits += history.commits.len();
        all_read &= unread::tell(&found.sources);
        if arguments.json {
            all.push(as_json(found, &history));
        } else {
            super::put(&text(found, &history))?;
        }
    }
    if arguments.json {
        super::put(&format!("{:#}\n", json!({"format": 1, "stores": all})))?;
    }
    Ok(match (commits, all_read) {
        (0, _) => Exit::Nothing,
        (_, true) => Exit::Done,
        (_, false) => Exit::InPart,
    })
}

fn text(found: &Found, history: &History) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", found.name, history.what);
    for commit in &history.commits {
        let _ = writeln!(text, "{}", head(commit));
        if let Some(interval) = interval(commit) {
            let _ = writeln!(text, "      {interval}");
        }
        for event in &commit.schema {
            let from = event.from.as_deref().map(|from| format!(", before {}", printable(from)));
            let name = printable(&event.name);
            let _ = writeln!(text, "      {} {} {name}{}", event.what, event.kind, from.unwrap_or_default());
        }
        match &commit.rows {
            None => {
                let _ = writeln!(text, "      what it did to rows is not known");
            }
            Some(rows) => {
                for rows in rows.iter().filter(|rows| !rows.internal) {
                    let _ = writeln!(text, "      {}", of_table(rows));
                }
            }
        }
    }
    put_outstanding(&mut text, found, history);
    for note in &history.notes {
        let _ = writeln!(text, "  note    {note}");
    }
    text
}

fn head(commit: &Commit) -> String {
    let point = match commit.point {
        Some(point) => point.to_string(),
        None if commit.generation == "journal" => "the journal's transaction".to_owned(),
        None => format!("behind {}", commit.generation),
    };
    let state = match commit.state {
        CommitState::Committed if commit.point.is_none() => "the last that committed",
        CommitState::Committed => "committed",
        CommitState::InDoubt => "never committed, or not whole",
        CommitState::Torn => "behind a broken record",
        CommitState::PartlyOverwritten => "committed, partly overwritten",
    };
    let records = match commit.records {
        Some((first, last)) if first == last => format!(", frame {}", grouped(first.into())),
        Some((first, last)) => format!(", frames {}-{}", grouped(first.into()), grouped(last.into())),
        None => String::new(),
    };
    let damaged = match commit.damaged {
        0 => String::new(),
        damaged => format!(", {} damaged", grouped(damaged.into())),
    };
    format!("  {point}: {state}{records}{damaged}, {}", grouped_count(commit.pages, "page"))
}

fn of_table(rows: &RowCounts) -> String {
    let mut parts = Vec::new();
    for (number, what) in [(rows.inserted, "inserted"), (rows.updated, "updated"), (rows.deleted, "deleted")]
    {
        if number > 0 {
            parts.push(format!("{} {what}", grouped(number)));
        }
    }
    if rows.unknown > 0 {
        parts.push(format!("{} of which the state before or behind is lost", count(rows.unknown, "row")));
    }
    if parts.is_empty() {
        parts.push("what it did to its rows is not known".to_owned());
    }
    let stands_out = stands_out(rows).map(|what| format!("   <== {what}")).unwrap_or_default();
    format!("{}: {}{stands_out}", printable(&rows.table), parts.join(", "))
}

/// Why a person should look at what a commit did to a table.
fn stands_out(rows: &RowCounts) -> Option<&'static str> {
    match rows {
        RowCounts { emptied: true, .. } => Some("no row is left"),
        RowCounts { bulk: true, .. } => Some("bulk delete"),
        RowCounts { all_updated: true, .. } => Some("every row was updated"),
        _ => None,
    }
}

/// Commits that are named again at the end; a person reads no more.
const MOST_NAMED: usize = 5;

/// Names the commits once more that stand out, since a log may hold thousands, the one of the most rows
/// first, and says how to go on from that.
fn put_outstanding(text: &mut String, found: &Found, history: &History) {
    let rows_of = |commit: &Commit| {
        let rows = commit.rows.as_deref().unwrap_or_default().iter();
        let rows = rows.filter(|rows| !rows.internal && stands_out(rows).is_some());
        rows.map(|rows| rows.deleted + rows.updated).sum::<u64>()
    };
    let drops =
        |commit: &Commit| commit.schema.iter().any(|event| event.what == "dropped" && event.kind == "table");
    let outstanding = history.commits.iter().filter(|commit| drops(commit) || rows_of(commit) > 0);
    let mut all: Vec<&Commit> = outstanding.collect();
    all.sort_by_key(|commit| std::cmp::Reverse(rows_of(commit)));
    let named: Vec<String> = all.iter().filter_map(|commit| Some(commit.point?.to_string())).collect();
    let Some(point) = named.first() else { return };
    let further = count_of_further(named.len());
    let list = named.get(..named.len().min(MOST_NAMED)).unwrap_or_default().join(", ");
    let _ = writeln!(text, "  look at {list}{further}");
    let before = match point.rsplit_once(':').map(|(name, number)| (name, number.parse::<u32>())) {
        Some(("commit", Ok(number))) => format!("commit:{}", number.saturating_sub(1)),
        Some((name, Ok(number))) if number > 1 => format!("{name}:{}", number - 1),
        _ => return,
    };
    let store = found.sources.first().map(|source| source.path().display().to_string()).unwrap_or_default();
    let store = printable(&store);
    let _ = writeln!(text, "          mudlark diff {store} --from {before} --to {point}   shows the rows");
    let _ = writeln!(
        text,
        "          mudlark replay {store} --until {before} -o before.db   gives the store before it"
    );
}

fn count_of_further(named: usize) -> String {
    match named.saturating_sub(MOST_NAMED) {
        0 => String::new(),
        further => format!(" and {}", count(further as u64, "further commit")),
    }
}

fn as_json(found: &Found, history: &History) -> Json {
    let commits: Vec<Json> = history.commits.iter().map(commit_json).collect();
    json!({
        "instance": found.name, "store": found.store.name(), "what": history.what,
        "commits": commits, "notes": history.notes,
    })
}

fn commit_json(commit: &Commit) -> Json {
    let bound = |bound: &Option<Bound>| {
        bound.as_ref().map(|bound| json!({"time": moments::text(bound.micros), "evidence": bound.evidence}))
    };
    let rows = commit.rows.as_ref().map(|rows| {
        let of_table = |rows: &RowCounts| {
            json!({
                "table": rows.table, "internal": rows.internal, "inserted": rows.inserted,
                "updated": rows.updated, "deleted": rows.deleted, "unknown": rows.unknown,
                "exact": rows.exact, "bulk_delete": rows.bulk, "emptied": rows.emptied,
                "all_updated": rows.all_updated,
            })
        };
        rows.iter().map(of_table).collect::<Vec<_>>()
    });
    let schema: Vec<Json> = commit
        .schema
        .iter()
        .map(|event| json!({"what": event.what, "kind": event.kind, "name": event.name, "from": event.from}))
        .collect();
    json!({
        "point": commit.point.map(|point| point.to_string()),
        "generation": commit.generation,
        "state": commit.state.name(),
        "frames": commit.records.map(|(first, last)| json!({"first": first, "last": last})),
        "damaged_frames": commit.damaged,
        "pages": commit.pages,
        "page_count": commit.page_count,
        "change_counter": commit.change_counter,
        "tables": rows,
        "schema": schema,
        "not_before": bound(&commit.not_before),
        "not_after": bound(&commit.not_after),
    })
}
