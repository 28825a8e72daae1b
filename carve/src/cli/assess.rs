//! `mudlark assess`.

use super::bar::Bar;
use super::gather::{self, Image, Images};
use super::recover::{how_many, printable};
use super::scan::Scan;
use super::{Common, Exit, carve};
use crate::assess::{Assessment, TableAssessment, assess};
use crate::carved;
use crate::error::Error;
use crate::model::{Part, PartRole, SchemaOrigin};
use crate::source::Source;
use crate::stores::{Options, REGISTRY, Store};
use crate::words::{grouped, grouped_count, plural};
use serde_json::{Map, json};
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Files, folders of them, or raw images
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
    let (mut stores, mut all_images, mut rows) = (Vec::new(), Vec::new(), 0);
    for found in &gathered.stores {
        let assessed = assess(found.store, &found.sources, &options, &bar)?;
        rows += readable(&assessed);
        if arguments.json {
            stores.push(as_json(&found.name, found.store, &assessed));
        } else {
            super::put(&text(&found.name, &assessed))?;
        }
    }
    for image in &gathered.images {
        let parts = carve::gather(&image.source, &image.index, &bar)?;
        let names = carved::names(image.source.name(), &parts);
        let mut files = Vec::new();
        if !arguments.json {
            super::put(&image_text(image, &parts))?;
        }
        for (number, (part, name)) in parts.iter().zip(&names).enumerate() {
            let assessed = assess_part(&image.source, &parts, number, &options, &bar)?;
            rows += assessed.as_ref().map_or(0, |(_, assessed)| readable(assessed));
            if arguments.json {
                files.push(part_json(part, name, assessed.as_ref()));
            } else if let Some((_, assessed)) = &assessed {
                super::put(&(text(name, assessed) + &part_text(part)))?;
            } else if part.of.is_none() {
                super::put(&format!("{}: {}\n{}", printable(name), part.what, part_text(part)))?;
            }
        }
        rows += u64::from(parts.iter().any(|part| part.role == PartRole::Orphans));
        all_images.push(json!({
            "image": image.source.name(),
            "bytes": image.source.len(),
            "holes": image.index.skipped,
            "found": found_json(image),
            "files": files,
        }));
    }
    if arguments.json {
        super::put(&format!("{:#}\n", json!({"format": 1, "stores": stores, "images": all_images})))?;
    }
    Ok(match (rows, gathered.refused.is_empty()) {
        (0, _) => Exit::Nothing,
        (_, true) => Exit::Done,
        (_, false) => Exit::InPart,
    })
}

/// Rows that can be read.
fn readable(assessed: &Assessment) -> u64 {
    assessed.tables.iter().map(|table| table.live + table.gone).sum()
}

/// Assesses a database that was found in an image, with the logs and journals that belong to it; `None` for another part.
fn assess_part(
    image: &Source,
    parts: &[Part],
    number: usize,
    options: &Options,
    bar: &Bar,
) -> Result<Option<(&'static dyn Store, Assessment)>, Error> {
    let Some(part) = parts.get(number).filter(|part| part.role == PartRole::Database) else {
        return Ok(None);
    };
    let Some(store) = REGISTRY.iter().find(|store| store.name() == part.store) else { return Ok(None) };
    let main = image.part(&part.extents, part.page_size);
    let logs = parts.iter().filter(|other| other.of == Some(number));
    let sources: Vec<Source> = [main].into_iter().chain(logs.map(|log| image.log(log).trusted())).collect();
    assess(*store, &sources, options, bar).map(|assessed| Some((*store, assessed)))
}

fn image_text(image: &Image, parts: &[Part]) -> String {
    let mut text = String::new();
    let len = grouped_count(image.source.len(), "byte");
    let _ = writeln!(text, "{}: an image of {len}", printable(image.source.name()));
    for (store, marks) in REGISTRY.iter().zip(&image.index.marks) {
        let counts = store.scanner().counts(marks).into_iter().filter(|(_, number)| *number > 0);
        let counts: Vec<String> = counts.map(|(what, number)| grouped_count(number, what)).collect();
        if !counts.is_empty() {
            let _ = writeln!(text, "  {:7} {}", store.name(), counts.join(", "));
        }
    }
    let databases = parts.iter().filter(|part| part.role == PartRole::Database);
    let orphans: u64 = parts
        .iter()
        .filter(|part| part.role == PartRole::Orphans)
        .map(|part| part.length / u64::from(part.page_size.max(1)))
        .sum();
    let _ = writeln!(
        text,
        "  stores  {}; {} in none",
        grouped_count(databases.count() as u64, "database"),
        grouped_count(orphans, "page")
    );
    text
}

/// How a part was put together.
fn part_text(part: &Part) -> String {
    let why = if part.reasons.is_empty() { String::new() } else { format!(": {}", part.reasons.join("; ")) };
    format!("  file    {}{why}\n", part.standing.name())
}

fn found_json(image: &Image) -> Map<String, serde_json::Value> {
    let of = |(store, marks): (&&dyn Store, &Vec<_>)| {
        let counts: Map<_, _> = store
            .scanner()
            .counts(marks)
            .into_iter()
            .map(|(what, number)| (what.replace(' ', "_"), json!(number)))
            .collect();
        (store.name().to_owned(), json!(counts))
    };
    REGISTRY.iter().zip(&image.index.marks).map(of).collect()
}

fn part_json(
    part: &Part,
    name: &str,
    assessed: Option<&(&'static dyn Store, Assessment)>,
) -> serde_json::Value {
    let mut file = match assessed {
        Some((store, assessed)) => as_json(name, *store, assessed),
        None => json!({"instance": name, "store": part.store, "what": part.what}),
    };
    if let Some(file) = file.as_object_mut() {
        file.insert("role".to_owned(), json!(part.role.name()));
        file.insert("place".to_owned(), json!(part.place));
        file.insert("standing".to_owned(), json!(part.standing.name()));
        file.insert("missing_pages".to_owned(), json!(part.missing_pages()));
        file.insert("standing_reasons".to_owned(), json!(part.reasons));
    }
    file
}

fn text(name: &str, assessed: &Assessment) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{}: {}", printable(name), assessed.what);
    let pages = &assessed.pages;
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
    let read = |table: &&TableAssessment| !table.internal && table.live + table.gone + table.pages > 0;
    for table in assessed.tables.iter().filter(read) {
        let origin = match table.origin {
            SchemaOrigin::Catalogue => "",
            SchemaOrigin::Remnant => ", definition found in remnants",
            SchemaOrigin::Given => ", definition given",
            SchemaOrigin::Shape if table.named => ", with a column that was dropped since",
            SchemaOrigin::Shape => ", name lost",
        };
        let _ = write!(
            text,
            "  table   {}: {} live {} on {}",
            printable(&table.label),
            grouped(table.live),
            plural(table.live, "row"),
            grouped_count(table.pages, "page")
        );
        if table.gone > 0 {
            let _ = write!(text, ", {} gone", grouped(table.gone));
        }
        let _ = writeln!(text, "{origin}");
    }
    let _ = writeln!(text, "  outlook {}: {}", assessed.outlook.name(), assessed.reason);
    let (least, most) = assessed.expected.interval();
    if assessed.expected.all > 0 {
        let rows = grouped(assessed.expected.rows.round() as u64);
        let _ = writeln!(
            text,
            "  expect  {rows} right row {} ({} to {}), in about {} and what it takes to write them",
            plural(assessed.expected.rows.round() as u64, "version"),
            grouped(least),
            grouped(most),
            seconds(assessed)
        );
    }
    if assessed.findings > 0 {
        let _ = writeln!(text, "  damage  {}", how_many(assessed.findings));
    }
    text
}

/// How long a recovery reads, as this assessment did.
fn seconds(assessed: &Assessment) -> String {
    let seconds = assessed.took.as_secs_f64();
    if seconds < 100.0 { format!("{seconds:.1} s") } else { format!("{:.0} min", seconds / 60.0) }
}

fn as_json(name: &str, store: &dyn Store, assessed: &Assessment) -> serde_json::Value {
    let pages = &assessed.pages;
    let tables: Vec<_> = assessed
        .tables
        .iter()
        .map(|table| {
            json!({
                "table": table.label, "origin": table.origin.name(), "internal": table.internal,
                "live": table.live, "gone": table.gone, "pages": table.pages,
            })
        })
        .collect();
    let (least, most) = assessed.expected.interval();
    json!({
        "instance": name,
        "store": store.name(),
        "what": assessed.what,
        "pages": {
            "all": pages.all, "sound": pages.sound, "damaged": pages.damaged,
            "lost": pages.lost, "free": pages.free, "orphaned": pages.orphaned,
        },
        "tables": tables,
        "proved_missing": assessed.missing,
        "recoverability": assessed.outlook.name(),
        "reason": assessed.reason,
        "expected": {
            "rows": (assessed.expected.rows * 10.0).round() / 10.0, "least": least, "most": most,
            "of": assessed.expected.all,
        },
        "reading_seconds": (assessed.took.as_secs_f64() * 1000.0).round() / 1000.0,
        "findings": assessed.findings,
    })
}
