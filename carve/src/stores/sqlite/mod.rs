//! SQLite databases with their logs and journals.

mod adopt;
mod agree;
mod altered;
mod bad_runs;
mod bare_width;
mod before;
mod beheaded;
mod belongs;
mod below;
mod catalogue;
mod chain_faults;
mod chains;
mod chosen;
mod cleared;
mod crossed;
mod crowded;
mod cut;
mod database;
mod detect;
mod dropped;
mod elsewhere;
mod emit;
mod encrypted;
mod entries;
mod findings;
mod first_root;
mod forest;
mod freelist;
mod given;
mod gone;
mod history;
mod ids;
mod image;
mod inspect;
mod key_order;
mod keyed;
mod keyed_entries;
mod layout;
mod leaf;
mod links;
mod loss;
mod lost_content;
mod lost_entries;
mod lost_keys;
mod lost_start;
mod noise;
mod numbers;
mod open;
mod open_keys;
mod outdated;
mod prints;
mod ranges;
mod rank;
mod rejoined;
mod remnants;
mod repair;
mod restored;
mod sample;
mod seen_encoding;
mod settle;
mod shape;
mod shifted;
mod solve;
mod strays;
mod survey;
mod temp;
mod untold;
mod unused;
mod view;
mod windows;
mod wiped;
mod zeroed;

use self::database::Roles;
use super::{Difference, Instance, Options, Place, Recognition, SchemaRead, Store};
use crate::error::Error;
use crate::model::{Goal, History, Part, Replayed, Undoable, Until};
use crate::progress::Progress;
use crate::scan::{Mark, Scanner};
use crate::source::Source;
use mudlark_parsers::sqlite::{header, journal, wal};
use std::cell::LazyCell;
use std::io::Write;
use std::path::{Path, PathBuf};

/// SQLite.
#[derive(Debug)]
pub struct Sqlite;

/// Endings of the files that SQLite keeps beside a database.
const SIDECARS: [&str; 3] = ["-wal", "-journal", "-shm"];

impl Store for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn recognise(&self, source: &Source) -> Option<Recognition> {
        let bytes = source.bytes();
        let readable = |what| Some(Recognition { what, readable: true, temp: temp::is_named(source) });
        let broken_log = match log(bytes) {
            Some(Ok(what)) => {
                return match encrypted::evidence_of_log(bytes) {
                    Some(why) => Some(Recognition { what: why, readable: false, temp: false }),
                    None => readable(what),
                };
            }
            Some(Err(what)) => Some(Recognition { what, readable: false, temp: false }),
            None => None,
        };
        if let Some(temp) = temp::read(bytes).filter(|_| broken_log.is_none()) {
            return Some(Recognition { what: temp.what(), readable: true, temp: true });
        }
        let head = header::header(bytes).ok().map(|(_, head)| head);
        let detected = detect::detect(bytes);
        let borne_out = detected.as_ref().is_some_and(|detected| detected.borne_out);
        if !borne_out
            && broken_log.is_none()
            && let Some(why) = encrypted::evidence(bytes, head.as_ref())
        {
            return Some(Recognition { what: why, readable: false, temp: false });
        }
        let Some(detected) = detected else { return broken_log };
        let size = detected.geometry.page_size;
        readable(match head {
            Some(_) => format!("SQLite database, page size {size}"),
            None => format!("SQLite database without its header, page size {size}"),
        })
    }

    fn scanner(&self) -> &dyn Scanner {
        &image::ImageScanner
    }

    fn gather(&self, image: &Source, marks: &[Mark], progress: &dyn Progress) -> Result<Vec<Part>, Error> {
        image::gather(image, marks, progress)
    }

    fn sidecars(&self, main: &Path) -> Vec<PathBuf> {
        let with = |ending: &str| {
            let mut name = main.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        SIDECARS.iter().map(|ending| with(ending)).collect()
    }

    fn in_place(&self, main: &Source, others: &[Source]) -> Option<Source> {
        // A file that was found in an image is put together already.
        if main.is_part() {
            return None;
        }
        // Frames of a log and records of a journal lie anywhere.
        Roles::of(std::slice::from_ref(main)).main?;
        let detected = LazyCell::new(|| detect::detect(main.bytes()));
        if !main.bytes().starts_with(header::MAGIC)
            && let Some(told) = detected.as_ref().filter(|detected| detected.pages == detect::Pages::Beheaded)
            && let Some(rebuilt) = beheaded::rebuilt(main, told.geometry, others)
        {
            return Some(rebuilt);
        }
        let geometry = || Some(detected.as_ref()?.geometry);
        let (extents, page_size) = shifted::extents(main, geometry)?;
        Some(main.moved(&extents, page_size))
    }

    fn is_log(&self, source: &Source) -> bool {
        let bytes = source.bytes();
        wal::wal_header(bytes).is_ok()
            || journal::segment_header(bytes).is_ok()
            || SIDECARS.iter().any(|ending| source.name().ends_with(ending))
    }

    fn kinship(&self, main: &Source, temp: &Source) -> Option<u64> {
        temp::kinship(main.bytes(), temp.bytes())
    }

    fn read_schema(&self, ddl: &str) -> SchemaRead {
        given::read(ddl)
    }

    fn open<'a>(
        &self,
        sources: &'a [Source],
        options: &Options,
        progress: &dyn Progress,
    ) -> Result<Box<dyn Instance + 'a>, Error> {
        Ok(Box::new(open::open(sources, options, progress)?))
    }

    fn history(&self, sources: &[Source]) -> Result<History, Error> {
        history::timeline(sources)
    }

    fn replay(
        &self,
        sources: &[Source],
        goal: Goal,
        output: &Path,
        out: &mut dyn Write,
    ) -> Result<Replayed, Error> {
        history::replay(sources, goal, output, out)
    }

    fn difference<'a>(
        &self,
        sources: &'a [Source],
        points: [Until; 2],
    ) -> Result<Box<dyn Difference<'a> + 'a>, Error> {
        Ok(Box::new(history::difference(sources, points)?))
    }

    fn undoable<'a>(&self, sources: &'a [Source], points: [Until; 2]) -> Result<Undoable<'a>, Error> {
        history::undoable(sources, points)
    }

    fn inspect(&self, sources: &[Source], place: Place) -> Result<String, Error> {
        inspect::inspect(sources, place)
    }
}

/// What a file is that begins as a log or a journal; why it can't be read where its header is broken.
fn log(bytes: &[u8]) -> Option<Result<String, String>> {
    let (name, header) = if wal::wal_header(bytes).is_ok() {
        let header = wal::sound_header(bytes).map(|head| format!(", page size {}", head.page_size));
        ("write-ahead log", header)
    } else if journal::segment_header(bytes).is_ok() {
        ("rollback journal", journal::sound_header(bytes).map(|_| String::new()))
    } else {
        return None;
    };
    let what = header.map(|more| format!("SQLite {name}{more}"));
    Some(what.map_err(|damage| {
        format!("it begins as an SQLite {name} whose header is broken ({damage}), and no page of a store shows in its place")
    }))
}
