//! `mudlark assess`.

use super::bar::Bar;
use super::gather::{self, Found, Image, Images};
use super::recover::{how_many, printable};
use super::scan::Scan;
use super::{Common, Exit};
use crate::error::Error;
use crate::model::SchemaOrigin;
use crate::stores::{Instance, REGISTRY};
use crate::words::{count, grouped, grouped_count, plural};
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
    scan: Scan,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let options = gather::options(&arguments.common)?;
    let bar = Bar::new(arguments.common.quiet);
    let images = Images { scan: &arguments.scan, progress: &bar };
    let gathered = gather::gather_with(&arguments.sources, &arguments.common, "assess", Some(images))?;
    gather::report(&gathered);
    if gathered.stores.is_empty() && gathered.images.is_empty() {
        return Ok(gather::nothing_found(&gathered.refused));
    }
    let mut all = Vec::new();
    let mut live = 0;
    for image in &gathered.images {
        super::put(&image_text(image))?;
        live += image.index.marks.iter().map(|marks| marks.len() as u64).sum::<u64>();
    }
    for found in &gathered.stores {
        let instance = found.store.open(&found.sources, &options, &bar)?;
        live += instance.table_counts().iter().map(|count| count.live).sum::<u64>();
        if arguments.json {
            all.push(as_json(found, &*instance));
        } else {
            super::put(&text(found, &*instance))?;
        }
    }
    if arguments.json {
        super::put(&format!("{:#}\n", json!({"format": 1, "stores": all})))?;
    }
    Ok(match (live, gathered.refused.is_empty()) {
        (0, _) => Exit::Nothing,
        (_, true) => Exit::Done,
        (_, false) => Exit::InPart,
    })
}

fn image_text(image: &Image) -> String {
    let mut text = String::new();
    let len = image.source.bytes().len() as u64;
    let _ = writeln!(text, "{}: an image of {} bytes", image.source.name(), grouped(len));
    for (store, marks) in REGISTRY.iter().zip(&image.index.marks) {
        for (what, number) in store.scanner().counts(marks) {
            if number > 0 {
                let _ = writeln!(text, "  {:8}{}", store.name(), grouped_count(number, what));
            }
        }
    }
    text
}

/// How much can come back, in one word, from the share of pages that are lost.
fn recoverability(instance: &dyn Instance) -> (&'static str, String) {
    let pages = instance.page_counts();
    let rows: u64 = instance.table_counts().iter().map(|count| count.live).sum();
    let holding = pages.sound + pages.damaged;
    let lost = pages.lost as f64 / (holding + pages.lost).max(1) as f64;
    let of = count(holding + pages.lost, "page");
    let are = if pages.lost == 1 { "is" } else { "are" };
    let share = format!("{} of {of} that should hold something {are} lost", pages.lost);
    if rows == 0 {
        ("none", "no live row can be read".to_owned())
    } else if lost < 0.01 {
        ("high", share)
    } else if lost < 0.5 {
        ("average", share)
    } else {
        ("low", share)
    }
}

fn text(found: &Found, instance: &dyn Instance) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", found.name, instance.what());
    let pages = instance.page_counts();
    let _ = writeln!(
        text,
        "  pages   {} in all: {} sound, {} damaged, {} lost, {} free, {} in no tree",
        grouped(pages.all),
        grouped(pages.sound),
        grouped(pages.damaged),
        grouped(pages.lost),
        grouped(pages.free),
        grouped(pages.orphaned)
    );
    let tables = instance.tables();
    for count in instance.table_counts() {
        let Some(table) = tables.get(count.table).filter(|table| !table.internal) else { continue };
        let origin = match table.origin {
            SchemaOrigin::Catalogue => "",
            SchemaOrigin::Remnant => ", definition found in remnants",
            SchemaOrigin::Given => ", definition given",
            SchemaOrigin::Shape if table.name.is_some() => ", with a column that was dropped since",
            SchemaOrigin::Shape => ", name lost",
        };
        let _ = writeln!(
            text,
            "  table   {}: {} live {} on {}{origin}",
            printable(&table.label),
            grouped(count.live),
            plural(count.live, "row"),
            grouped_count(count.pages, "page")
        );
    }
    let (word, reason) = recoverability(instance);
    let _ = writeln!(text, "  outlook {word}: {reason}");
    let findings = instance.findings().len();
    if findings > 0 {
        let _ = writeln!(text, "  damage  {}", how_many(findings));
    }
    text
}

fn as_json(found: &Found, instance: &dyn Instance) -> serde_json::Value {
    let pages = instance.page_counts();
    let tables = instance.tables();
    let counts = instance.table_counts();
    let counts: Vec<_> = counts
        .iter()
        .filter_map(|count| {
            let table = tables.get(count.table)?;
            Some(json!({
                "table": table.label, "origin": table.origin.name(), "internal": table.internal,
                "live": count.live, "pages": count.pages,
            }))
        })
        .collect();
    let (word, reason) = recoverability(instance);
    json!({
        "instance": found.name,
        "store": found.store.name(),
        "what": instance.what(),
        "pages": {
            "all": pages.all, "sound": pages.sound, "damaged": pages.damaged,
            "lost": pages.lost, "free": pages.free, "orphaned": pages.orphaned,
        },
        "tables": counts,
        "recoverability": word,
        "reason": reason,
        "findings": instance.findings().len(),
    })
}
