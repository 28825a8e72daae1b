//! A whole store: bytes to files, files to rows.

use crate::mend;
use mudlark::error::Error;
use mudlark::progress::Silent;
use mudlark::recover::{Request, recover};
use mudlark::sinks::jsonl::JsonLines;
use mudlark::sinks::{Encode, Ending, Sink, Story, Target, Weighed, database};
use mudlark::source::{HashChoice, Source};
use mudlark::stores::sqlite::Sqlite;
use mudlark::stores::{Options, Place, Store};
use serde::de::IgnoredAny;
use std::fs::{self, File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A sidecar follows the main file.
pub const SIDECAR: u8 = 1;
/// The sidecar's checksums are made right.
pub const MEND: u8 = 2;
/// A database is written, too.
pub const DATABASE: u8 = 4;
/// The recovery runs twice and must give the same bytes.
pub const TWICE: u8 = 8;
/// Pages are counted and inspected, too.
pub const INSPECT: u8 = 16;
/// What follows the main file is DDL that the user gives, not a sidecar.
pub const SCHEMA: u8 = 32;
/// There is no main file, only the sidecar.
pub const ALONE: u8 = 64;

/// The sidecar is named as a journal, not as a log.
pub const JOURNAL: u8 = 128;

/// Bytes in front of the main file: flags, and the main file's length, little-endian.
pub const PREFIX: usize = 4;

/// A store-level input: flags, the length of the main file in three bytes, the main file, what stands beside it.
#[derive(Clone, Copy, Debug)]
pub struct StoreInput<'a> {
    pub flags: u8,
    pub main: &'a [u8],
    pub beside: &'a [u8],
}

impl<'a> StoreInput<'a> {
    /// Splits an input; `None` when it is too short.
    pub fn split(data: &'a [u8]) -> Option<Self> {
        let ([flags, a, b, c], rest) = data.split_first_chunk()?;
        let len = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
        let len = if flags & (SIDECAR | SCHEMA) == 0 { rest.len() } else { len.min(rest.len()) };
        let (main, beside) = rest.split_at(len);
        Some(Self { flags: *flags, main, beside })
    }

    /// The input that splits into these.
    pub fn join(flags: u8, main: &[u8], beside: &[u8]) -> Vec<u8> {
        let [a, b, c, _] = (main.len() as u32).to_le_bytes();
        let mut input = vec![flags, a, b, c];
        input.extend_from_slice(main);
        input.extend_from_slice(beside);
        input
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Files in memory that every input is written to.
#[derive(Debug)]
pub struct Bench {
    folder: PathBuf,
    main: File,
    log: File,
    journal: File,
}

impl Bench {
    /// Makes the files, and makes all work run on this thread.
    ///
    /// # Panics
    /// When the files can't be made.
    #[must_use]
    pub fn new() -> Self {
        rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global().expect("one pool");
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = parent.join(format!("mudlark-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            options.open(folder.join(name)).expect("a file")
        };
        let (main, log) = (open("evidence.db"), open("evidence.db-wal"));
        let journal = open("evidence.db-journal");
        Self { folder, main, log, journal }
    }

    /// Recovers what the input holds.
    ///
    /// # Panics
    /// When the recovery fails though the input can be read and the output written, when a line is no JSON, or when
    /// a second run gives other bytes.
    pub fn run(&mut self, input: &StoreInput<'_>) {
        let schema = input.has(SCHEMA).then(|| String::from_utf8_lossy(input.beside).into_owned());
        let mut paths = Vec::new();
        if !input.has(ALONE) || input.has(SCHEMA) {
            fill(&mut self.main, input.main);
            paths.push(self.folder.join("evidence.db"));
        }
        if input.has(SIDECAR) && !input.has(SCHEMA) {
            let mut beside = input.beside.to_vec();
            if input.has(MEND) {
                mend::sidecar(&mut beside);
            }
            let (file, name) = if input.has(JOURNAL) {
                (&mut self.journal, "evidence.db-journal")
            } else {
                (&mut self.log, "evidence.db-wal")
            };
            fill(file, &beside);
            paths.push(self.folder.join(name));
        }
        let sources: Vec<Source> = paths.iter().map(|path| Source::open(path).expect("a source")).collect();
        let options = Options { schema, ..Options::default() };
        if let Some(first) = sources.first() {
            let _ = Sqlite.recognise(first);
        }
        let output = self.recover(&sources, &options, input.has(DATABASE));
        if input.has(TWICE) {
            assert!(output == self.recover(&sources, &options, false), "two runs over the same bytes differ");
        }
        if input.has(INSPECT) {
            inspect(&sources, &options);
        }
    }

    /// Recovers the sources; a hash of everything that was put out.
    fn recover(&self, sources: &[Source], options: &Options, database: bool) -> u64 {
        let output = Arc::new(AtomicU64::new(0));
        let json = JsonLines::open(&Target::Stdout).expect("standard output needs no opening");
        let checker =
            Checker { encode: json.encoder(), hasher: DefaultHasher::new(), output: Arc::clone(&output) };
        let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(checker)];
        let path = self.folder.join("out.db");
        if database {
            let _ = fs::remove_file(&path);
            let sink = database::DatabaseSink::open(&Target::File(path.clone())).expect("an output");
            sinks.push(Box::new(sink));
        }
        let request = Request {
            min_confidence: 0.0,
            hash: HashChoice::None,
            options: options.clone(),
            arguments: Vec::new(),
            table: None,
        };
        match recover(&Sqlite, "evidence", sources, &request, sinks, &Silent) {
            Ok(_) | Err(Error::NotAStore { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let _ = fs::remove_file(&path);
        output.load(Ordering::Relaxed)
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn fill(file: &mut File, bytes: &[u8]) {
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(bytes))
        .expect("room in memory");
}

fn inspect(sources: &[Source], options: &Options) {
    if let Ok(instance) = Sqlite.open(sources, options, &Silent) {
        let _ = (instance.page_counts(), instance.table_counts(), instance.kept_sql(), instance.findings());
    }
    let pages = [1, 2, 3, 4, 5, 6, 7, 8, 103, 105, u32::MAX].map(Place::Page);
    let offsets = [0, 100, 511, 4096, u64::MAX].map(Place::Offset);
    for place in pages.into_iter().chain(offsets).chain([Place::Header]) {
        let _ = Sqlite.inspect(sources, place);
    }
}

/// Reads the JSON lines and hashes them.
struct Checker {
    encode: Option<Encode>,
    hasher: DefaultHasher,
    output: Arc<AtomicU64>,
}

impl Sink for Checker {
    fn encoder(&self) -> Option<Encode> {
        self.encode
    }

    fn begin(&mut self, _: &Story<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn write(&mut self, _: &Story<'_>, _: &Weighed<'_>, encoded: &[u8], _: f64) -> Result<(), Error> {
        for line in encoded.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Err(error) = serde_json::from_slice::<IgnoredAny>(line) {
                panic!("{error}: {}", String::from_utf8_lossy(line));
            }
        }
        self.hasher.write(encoded);
        Ok(())
    }

    fn finish(mut self: Box<Self>, _: &Story<'_>, ending: &Ending) -> Result<(), Error> {
        for finding in &ending.findings {
            self.hasher.write(format!("{finding:?}").as_bytes());
        }
        for loss in &ending.losses {
            self.hasher.write(format!("{loss:?}").as_bytes());
        }
        self.output.store(self.hasher.finish(), Ordering::Relaxed);
        Ok(())
    }
}
