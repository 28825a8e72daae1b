//! A database that `recover` wrote, opened for reading.

use crate::error::Error;
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A recovered database.
#[derive(Debug)]
pub struct Recovered {
    path: PathBuf,
    pub(super) connection: Connection,
}

/// A table of it.
#[derive(Clone, Debug)]
pub(super) struct RecoveredTable {
    pub id: i64,
    /// Its name in the output.
    pub output_name: String,
    /// Its name in the evidence.
    pub original_name: Option<String>,
    /// Where its deleted rows are stored.
    pub rest: String,
    /// Its columns in the output.
    pub columns: Vec<String>,
    /// Its definition as found.
    pub found: Option<String>,
    /// The definitions of its indexes, as found.
    pub indexes: Vec<String>,
}

/// What the run that wrote it recorded.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub program: String,
    pub finished: String,
    pub what: String,
}

/// A deleted row, before its cells are read.
#[derive(Clone, Debug)]
pub(super) struct DeletedRow {
    /// Even odds where it is not calibrated.
    pub confidence: f64,
    /// The row id as found.
    pub rowid: Option<i64>,
    /// Its place in the table that stores it.
    pub at: i64,
    /// The columns that are missing, in whole or in part.
    pub missing: Vec<String>,
    pub claims: i64,
}

/// Tables and columns that a recovered database has, as far as they are used here.
const NEEDED: [&str; 5] = [
    "SELECT table_id, output_name, original_name, rest_table, columns FROM mudlark_table LIMIT 0",
    "SELECT table_id, kind, name, found FROM mudlark_schema LIMIT 0",
    "SELECT version, table_id, state, \"transaction\", confidence, rowid_found, stored_in, stored_at, missing, claims
     FROM mudlark_version LIMIT 0",
    "SELECT path FROM mudlark_source LIMIT 0",
    "SELECT program_version, store, what, finished FROM mudlark_run LIMIT 0",
];

impl Recovered {
    /// Opens a recovered database. Nothing is written to it or beside it, no lock is taken, and no view, trigger or
    /// function of it is run.
    ///
    /// # Errors
    /// When it can't be read, is no output of `recover`, or is in use.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |what| move |error| Error::Source { path: path.to_owned(), what, error };
        let refused = |reason: String| Error::NotAStore { path: path.to_owned(), reason };
        if !std::fs::metadata(path).map_err(failed("can't be opened"))?.is_file() {
            return Err(Error::NotAFile { path: path.to_owned() });
        }
        // SQLite says only that it can't open a file, not why.
        std::fs::File::open(path).map_err(failed("can't be opened"))?;
        let resolved = path.canonicalize().map_err(failed("can't be opened"))?;
        for beside in sidecars(&resolved) {
            if std::fs::metadata(&beside).is_ok_and(|found| found.len() > 0) {
                let text = "stands beside it with changes that are not in it yet; close the program that writes to it";
                return Err(refused(format!("{} {text}", beside.display())));
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let not_one =
            |error: rusqlite::Error| refused(format!("not a database that `mudlark recover` wrote: {error}"));
        let connection = Connection::open_with_flags(uri(&resolved), flags).map_err(not_one)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF").map_err(not_one)?;
        for sql in NEEDED {
            connection.prepare(sql).map_err(not_one)?;
        }
        let views =
            "SELECT name FROM sqlite_schema WHERE name LIKE 'mudlark!_%' ESCAPE '!' AND type = 'view'";
        let view: Option<String> =
            connection.query_row(views, [], |row| row.get(0)).optional().map_err(not_one)?;
        if let Some(view) = view {
            return Err(refused(format!("not a database that `mudlark recover` wrote: {view} is a view")));
        }
        Ok(Self { path: path.to_owned(), connection })
    }

    /// Its path, as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The paths of the evidence that it was recovered from, as recorded.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn evidence(&self) -> Result<Vec<PathBuf>, Error> {
        self.reading(|connection| {
            let mut statement =
                connection.prepare("SELECT path FROM mudlark_source WHERE path IS NOT NULL")?;
            statement.query_map([], |row| Ok(PathBuf::from(row.get::<_, String>(0)?)))?.collect()
        })
    }

    /// Reads, and names the database when that fails.
    pub(crate) fn reading<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        read(&self.connection).map_err(|error| Error::NotAStore {
            path: self.path.clone(),
            reason: format!("can't be read: {error}"),
        })
    }

    pub(super) fn run(&self) -> Result<Run, Error> {
        self.reading(|connection| {
            let sql = "SELECT program_version, finished, what FROM mudlark_run";
            connection.query_row(sql, [], |row| {
                let text = |place| row.get::<_, Option<String>>(place).map(Option::unwrap_or_default);
                Ok(Run { program: text(0)?, finished: text(1)?, what: text(2)? })
            })
        })
    }

    pub(super) fn tables(&self) -> Result<Vec<RecoveredTable>, Error> {
        self.reading(|connection| {
            let mut tables = connection.prepare(
                "SELECT table_id, output_name, original_name, rest_table, columns,
                   (SELECT found FROM mudlark_schema s WHERE s.table_id = t.table_id AND kind = 'table')
                 FROM mudlark_table t ORDER BY table_id",
            )?;
            let mut indexes = connection.prepare(
                "SELECT found FROM mudlark_schema WHERE table_id = ? AND kind = 'index' AND found IS NOT NULL",
            )?;
            let mut all = Vec::new();
            let mut rows = tables.query([])?;
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                let columns: String = row.get(4)?;
                all.push(RecoveredTable {
                    id,
                    output_name: row.get(1)?,
                    original_name: row.get(2)?,
                    rest: row.get(3)?,
                    columns: list(&columns),
                    found: row.get(5)?,
                    indexes: indexes.query_map([id], |row| row.get(0))?.collect::<Result<_, _>>()?,
                });
            }
            Ok(all)
        })
    }

    /// The definitions that were kept as text, of this kind: `trigger`, `view` or `virtual table`.
    pub(super) fn kept(&self, kind: &str) -> Result<Vec<String>, Error> {
        self.reading(|connection| {
            let sql = "SELECT found FROM mudlark_schema
                       WHERE table_id IS NULL AND kind = ? AND found IS NOT NULL ORDER BY schema_id";
            connection.prepare(sql)?.query_map([kind], |row| row.get(0))?.collect()
        })
    }

    /// The rows of the table's view of deleted rows, the surest first: of two rows with the same key it is the surer
    /// one that comes back.
    pub(super) fn deleted(&self, table: &RecoveredTable) -> Result<Vec<DeletedRow>, Error> {
        self.reading(|connection| {
            let mut statement = connection.prepare(
                "SELECT coalesce(confidence, 0.5), rowid_found, stored_at, missing, claims FROM mudlark_version
                 WHERE table_id = ? AND state = 'deleted' AND \"transaction\" = 'committed' AND stored_in = 'rest'
                 ORDER BY 1 DESC, version",
            )?;
            let rows = statement.query_map([table.id], |row| {
                let missing: Option<String> = row.get(3)?;
                Ok(DeletedRow {
                    confidence: row.get(0)?,
                    rowid: row.get(1)?,
                    at: row.get(2)?,
                    missing: missing.as_deref().map(list).unwrap_or_default(),
                    claims: row.get(4)?,
                })
            })?;
            rows.collect()
        })
    }

    /// The query that reads the cells of a deleted row by its place.
    pub(super) fn cells_query(&self, table: &RecoveredTable) -> Result<String, Error> {
        self.reading(|connection| {
            let key: String = connection.query_row(
                "SELECT name FROM pragma_table_info(?) WHERE pk = 1",
                [&table.rest],
                |row| row.get(0),
            )?;
            let columns: Vec<String> =
                table.columns.iter().map(|column| format!("r.{}", quoted(column))).collect();
            Ok(format!(
                "SELECT {} FROM {} AS r WHERE r.{} = ?",
                columns.join(", "),
                quoted(&table.rest),
                quoted(&key)
            ))
        })
    }
}

/// A JSON list of names.
fn list(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

/// The files that SQLite keeps beside a database.
#[must_use]
pub fn sidecars(path: &Path) -> Vec<PathBuf> {
    let beside = |ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    ["-wal", "-journal", "-shm"].map(beside).into()
}

/// The path as a URI that asks SQLite for no locks and no files beside it (<https://www.sqlite.org/uri.html>).
fn uri(path: &Path) -> String {
    let mut uri = "file://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
            uri.push(byte.into());
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri + "?mode=ro&immutable=1"
}
