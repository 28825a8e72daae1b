//! One page, every byte accounted for.

use super::detect;
use super::elsewhere;
use super::freelist;
use super::survey::Survey;
use super::view::View;
use crate::error::Error;
use crate::source::{Source, SourceId};
use crate::stores::Place;
use mudlark_parsers::bytes::all_zero;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::Page;
use mudlark_parsers::sqlite::regions::{self, Region};
use std::fmt::Write;

/// Describes the page at `place`, region by region.
pub(super) fn inspect(sources: &[Source], place: Place) -> Result<String, Error> {
    let Some(main) = sources.first() else { return Err(Error::Usage("no source given".to_owned())) };
    let refused = |reason: String| Error::NotAStore { path: main.path().to_owned(), reason };
    let detected = detect::detect(main.bytes())
        .ok_or_else(|| refused("no page of an SQLite database found".to_owned()))?;
    let view = View::main(sources, Some(SourceId(0)), detected.geometry);
    let size = u64::from(detected.geometry.page_size);
    let number = match place {
        Place::Header => 1,
        Place::Page(number) => number,
        Place::Offset(offset) => u32::try_from(offset / size + 1).unwrap_or(u32::MAX),
    };
    let elsewhere = elsewhere::versions(sources, detected.geometry, number);
    let page = view.page(number).ok_or_else(|| refused(absent(number, view.page_count, &elsewhere)))?;
    let mut text = String::new();
    if number == 1
        && let Ok((_, head)) = header::header(page.bytes)
    {
        let _ = writeln!(text, "{head:#?}");
    }
    let survey = Survey::of(&view, &|_| {});
    let auto_vacuum = detected.header.is_some_and(|header| header.auto_vacuum());
    let free = freelist::read(&view, &survey, detected.header.as_ref(), auto_vacuum);
    let geometry = detected.geometry;
    let (what, found): (&str, Vec<Region>) = if free.trunks.contains(&number) {
        ("freelist trunk page", regions::trunk(page.bytes, geometry))
    } else if auto_vacuum && geometry.is_pointer_map(number) {
        ("pointer-map page", regions::pointer_map(page.bytes, number, geometry))
    } else if number == geometry.lock_byte_page() {
        ("lock-byte page", regions::opaque(page.bytes, geometry, "never used"))
    } else if let Some(parsed) = Page::parse(page.bytes, number, geometry) {
        (parsed.header.kind.name(), regions::btree(&parsed))
    } else if all_zero(page.bytes) {
        ("page of zeros", regions::opaque(page.bytes, geometry, "zeros"))
    } else {
        ("overflow page, or damaged", regions::overflow(page.bytes, geometry))
    };
    let also_free = if free.pages.contains(&number) { ", on the freelist" } else { "" };
    let _ = writeln!(text, "page {number} at {:#x}: {what}{also_free}", page.offset);
    for version in elsewhere {
        let _ = writeln!(text, "note: {version}");
    }
    let _ = writeln!(text, "{:>10} {:>6}  owner", "offset", "bytes");
    for region in found {
        let at = page.offset + u64::from(region.at);
        let _ = writeln!(text, "{at:>#10x} {:>6}  {}  {}", region.len, region.owner, region.detail);
    }
    Ok(text)
}

/// Why there is no such page.
fn absent(number: u32, pages: u32, elsewhere: &[String]) -> String {
    let mut text = format!("no page {number}: the file holds pages 1 to {pages}");
    for version in elsewhere {
        text.push_str("; ");
        text.push_str(version);
    }
    text
}
