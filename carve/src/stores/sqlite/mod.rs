//! SQLite databases with their logs and journals.

mod adopt;
mod agree;
mod altered;
mod before;
mod belongs;
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
mod forest;
mod freelist;
mod given;
mod gone;
mod history;
mod ids;
mod image;
mod inspect;
mod keyed;
mod layout;
mod leaf;
mod loss;
mod numbers;
mod open;
mod outdated;
mod prints;
mod ranges;
mod rejoined;
mod remnants;
mod repair;
mod restored;
mod sample;
mod settle;
mod shape;
mod solve;
mod strays;
mod survey;
mod temp;
mod untold;
mod view;
mod windows;
mod wiped;

use super::{Difference, Instance, Options, Place, Recognition, SchemaRead, Store};
use crate::error::Error;
use crate::model::{Goal, History, Part, Replayed, Undoable, Until};
use crate::progress::Progress;
use crate::scan::{Mark, Scanner};
use crate::source::Source;
use mudlark_parsers::sqlite::{header, journal, wal};
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
        if let Ok((_, head)) = wal::wal_header(bytes) {
            return readable(format!("SQLite write-ahead log, page size {}", head.page_size));
        }
        if journal::segment_header(bytes).is_ok() {
            return readable("SQLite rollback journal".to_owned());
        }
        if let Some(temp) = temp::read(bytes) {
            return Some(Recognition { what: temp.what(), readable: true, temp: true });
        }
        let head = header::header(bytes).ok().map(|(_, head)| head);
        let detected = detect::detect(bytes);
        let borne_out = detected.as_ref().is_some_and(|detected| detected.borne_out);
        if !borne_out && let Some(why) = encrypted::evidence(bytes, head.as_ref()) {
            return Some(Recognition { what: why, readable: false, temp: false });
        }
        let detected = detected?;
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
