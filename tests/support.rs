//! What the tests share: running the command, making stores with the real engine, reading what was written.

use mudlark_fixtures::generate::{DamageChoice, Plan};
use mudlark_fixtures::score::{self, CaseScore, Options, run};
use mudlark_fixtures::sqlite::schema::quoted;
use mudlark_fixtures::value::to_json;
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// What a test returns.
pub type Done<T = ()> = Result<T, Box<dyn Error>>;

/// The command under test.
pub const MUDLARK: &str = env!("CARGO_BIN_EXE_mudlark");

/// What a run left.
#[derive(Debug)]
pub struct Ran {
    /// The exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// The lines of standard output as JSON.
    pub fn lines(&self) -> Done<Vec<Json>> {
        Ok(self.out.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }
}

/// A run of the command that has not begun.
pub fn command<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(MUDLARK);
    command.args(arguments).stdin(Stdio::null());
    command
}

/// How long a run may take: far more than any needs, and less than waiting for ever.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs the command with these arguments.
pub fn mudlark<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Done<Ran> {
    let ran = run::run(Path::new(MUDLARK), &mut command(arguments), LIMIT)?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { status: ran.status, out: text(ran.stdout), err: text(ran.stderr) })
}

/// Recovers `source` with further arguments, and asks for JSON lines on standard output.
pub fn recovered_lines(source: &Path, further: &[&str]) -> Done<Vec<Json>> {
    let mut arguments =
        vec![OsStr::new("recover"), source.as_os_str(), OsStr::new("--jsonl"), OsStr::new("-")];
    arguments.extend(further.iter().map(OsStr::new));
    let ran = mudlark(arguments)?;
    // A store may hold no row.
    assert!(matches!(ran.status, Some(0 | 1)), "{}", ran.err);
    ran.lines()
}

/// The same with definitions of tables that are given in a file beside the source.
pub fn recovered_with_schema(source: &Path, schema: &str) -> Done<Vec<Json>> {
    let given = source.with_file_name("given.sql");
    fs::write(&given, schema)?;
    recovered_lines(source, &["--schema", &given.display().to_string()])
}

/// Writes one byte over a range of a file.
pub fn overwrite(path: &Path, range: Range<usize>, byte: u8) -> Done {
    let mut bytes = fs::read(path)?;
    bytes.get_mut(range).ok_or("the file is too short")?.fill(byte);
    Ok(fs::write(path, bytes)?)
}

/// The rows of a table that are in a state.
pub fn rows_in_state<'l>(
    lines: &'l [Json],
    table: &str,
    state: &str,
) -> impl Iterator<Item = &'l Json> + Clone {
    lines.iter().filter(move |line| line["table"] == table && line["state"] == state)
}

/// A folder that vanishes with its value.
pub fn folder() -> Done<TempDir> {
    Ok(tempfile::tempdir()?)
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Makes a store with the real engine.
pub fn store(path: &Path, sql: &str) -> Done {
    let connection = Connection::open(path)?;
    connection.execute_batch(sql)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// A store of one table `t` of three rows, in `folder`.
pub fn small_store(folder: &Path) -> Done<PathBuf> {
    let path = folder.join("store.db");
    store(
        &path,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         INSERT INTO t(name) VALUES ('Li Wei'), ('Ada'), ('Grace');",
    )?;
    Ok(path)
}

/// All rows of a query, each as the list of its values in JSON form.
pub fn rows(connection: &Connection, sql: &str) -> Done<Vec<Json>> {
    let mut statement = connection.prepare(sql)?;
    let width = statement.column_count();
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let values = (0..width).map(|i| Ok(to_json(row.get_ref(i)?))).collect::<rusqlite::Result<_>>()?;
        all.push(Json::Array(values));
    }
    Ok(all)
}

/// The names in a database, of one type: `table` or `view`.
pub fn names(connection: &Connection, kind: &str) -> Done<Vec<String>> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = ? ORDER BY name";
    let mut statement = connection.prepare(sql)?;
    let names = statement.query_map([kind], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    Ok(names)
}

/// Every table of a database with its DDL and its rows in the order in which they are stored.
pub fn dump(connection: &Connection) -> Done<BTreeMap<String, Vec<String>>> {
    let mut all = BTreeMap::new();
    for name in names(connection, "table")? {
        let found = rows(connection, &format!("SELECT * FROM {}", quoted(&name)))?;
        all.insert(name, found.iter().map(Json::to_string).collect());
    }
    let ddl = rows(connection, "SELECT type, name, sql FROM sqlite_schema ORDER BY rowid")?;
    all.insert("(schema)".to_owned(), ddl.iter().map(Json::to_string).collect());
    Ok(all)
}

/// What can be told of a file without changing it.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    hash: String,
    length: u64,
    modified: SystemTime,
}

/// Everything in a folder by its name, and the folder itself: its times tell of files that came and went.
pub fn snapshot(folder: &Path) -> Done<BTreeMap<String, Seen>> {
    let see = |path: &Path| -> Done<Seen> {
        let metadata = fs::metadata(path)?;
        let bytes = if metadata.is_file() { fs::read(path)? } else { Vec::new() };
        let hash = blake3::hash(&bytes).to_hex().to_string();
        Ok(Seen { hash, length: bytes.len() as u64, modified: metadata.modified()? })
    };
    let mut all = BTreeMap::from([(".".to_owned(), see(folder)?)]);
    for name in listing(folder)? {
        let seen = see(&folder.join(&name))?;
        all.insert(name, seen);
    }
    Ok(all)
}

/// The names in a folder, in order.
pub fn listing(folder: &Path) -> Done<Vec<String>> {
    let entries = fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<_> = entries.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names)
}

/// A plan for generated cases of all kinds, workloads and journals.
pub fn plan(seed: u64, cases: usize, damage: DamageChoice) -> Plan {
    Plan { seed, cases, kinds: Vec::new(), workloads: Vec::new(), journals: Vec::new(), damage, rows: None }
}

/// Makes the cases of a plan, recovers each, and scores what came.
pub fn scored(plan: &Plan, with_schema: bool) -> Done<Vec<CaseScore>> {
    let folder = folder()?;
    plan.write(folder.path())?;
    let options = Options { tool: PathBuf::from(MUDLARK), at: 0.5, with_schema, jobs: 0 };
    Ok(score::score_cases(&score::cases(folder.path())?, &options)?)
}
