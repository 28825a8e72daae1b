//! `mudlark verify`.

use super::bar::Bar;
use super::gather::{self, Found};
use super::{Common, Exit};
use crate::error::Error;
use crate::model::Finding;
use crate::source::{SourceHash, hash};
use crate::stores;
use crate::words;
use serde_json::json;
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
    let options = gather::options(&arguments.common)?;
    let gathered = gather::gather(&arguments.sources, &arguments.common, "verify")?;
    gather::report(&gathered);
    if gathered.stores.is_empty() {
        return Ok(gather::nothing_found(&gathered.refused));
    }
    let bar = Bar::new(arguments.common.quiet);
    let mut all = Vec::new();
    let mut damaged = false;
    for found in &gathered.stores {
        let placed = stores::in_place(found.store, &found.sources);
        let instance = found.store.open(&placed, &options, &bar)?;
        // Reading every row finds what only records show, as overflow chains that break.
        instance.rows(&|_| true, &mut |_| Ok(()))?;
        let findings = instance.findings();
        let broken: u64 = instance
            .losses()
            .iter()
            .filter(|loss| loss.kind == crate::model::LossKind::Proved)
            .map(|loss| loss.rows)
            .sum();
        damaged |= !findings.is_empty() || broken > 0;
        let choice = arguments.common.hash.unwrap_or_default();
        let hashes: Vec<SourceHash> = found.sources.iter().map(|source| hash(source, choice)).collect();
        if arguments.json {
            all.push(as_json(found, &instance.what(), &findings, &hashes, broken));
        } else {
            super::put(&text(found, &instance.what(), &findings, &hashes, broken))?;
        }
    }
    if arguments.json {
        super::put(&format!("{:#}\n", json!({"format": 1, "stores": all})))?;
    }
    Ok(match (damaged, gathered.refused.is_empty()) {
        (true, _) => Exit::Nothing,
        (false, true) => Exit::Done,
        (false, false) => Exit::InPart,
    })
}

fn source_name(found: &Found, finding: &Finding) -> String {
    let source = finding.source.and_then(|id| found.sources.get(usize::from(id.0)));
    source.map_or_else(|| found.name.clone(), |source| source.name().to_owned())
}

fn text(found: &Found, what: &str, findings: &[Finding], hashes: &[SourceHash], broken: u64) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {what}", found.name);
    for (source, hash) in found.sources.iter().zip(hashes) {
        let _ = writeln!(text, "  {}  {}", source.name(), hash.text());
    }
    for finding in findings {
        let page = finding.page.map(|page| format!(" page {page}")).unwrap_or_default();
        let at = finding.offset.map(|offset| format!(" at {offset:#x}")).unwrap_or_default();
        let _ = writeln!(
            text,
            "  {}:{page} {}{at}: found {}, expected {}",
            source_name(found, finding),
            finding.field,
            finding.found,
            finding.expected
        );
    }
    if broken > 0 {
        let _ = writeln!(text, "  {} proved to be missing, in whole or in part", proved(broken));
    }
    match (findings.len(), broken) {
        (0, 0) => text.push_str("  sound\n"),
        (count, _) => text.push_str(&format!("  {}\n", words::count(count as u64, "finding"))),
    }
    text
}

fn proved(rows: u64) -> String {
    let are = if rows == 1 { "is" } else { "are" };
    format!("{} {are}", words::count(rows, "row"))
}

fn as_json(
    found: &Found,
    what: &str,
    findings: &[Finding],
    hashes: &[SourceHash],
    broken: u64,
) -> serde_json::Value {
    let sources = found.sources.iter().zip(hashes);
    let sources: Vec<_> =
        sources.map(|(source, hash)| json!({"source": source.name(), "hash": hash.text()})).collect();
    let list: Vec<_> = findings
        .iter()
        .map(|finding| {
            json!({
                "source": source_name(found, finding), "page": finding.page,
                "offset": finding.offset, "field": finding.field, "rule": finding.rule,
                "found": finding.found, "expected": finding.expected,
            })
        })
        .collect();
    json!({
        "instance": found.name, "what": what, "sources": sources,
        "sound": findings.is_empty() && broken == 0, "rows_proved_missing": broken, "findings": list,
    })
}
