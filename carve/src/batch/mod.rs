//! Many cases in one run: each recovered by a process of its own, all of them summed up.
//!
//! ```text
//! cases of a folder ──► manifest ──► one process a case, watched ──► a result file each ──► summary ──► against an earlier one
//! ```
//!
//! The result files are all that is summed up, so that it makes no difference which process wrote them, or when: a run
//! that was killed goes on where it stood, and cases may as well be run one by one elsewhere.

pub mod baseline;
pub mod cases;
pub mod interval;
pub mod report;
pub mod result;
pub mod summary;
pub mod watch;

pub use cases::Case;
pub use result::{CaseResult, Status};
pub use summary::Summary;

use crate::error::Error;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Bears the settings of a run, in its folder.
pub const MANIFEST: &str = "manifest.json";

/// The folder of the cases' folders, in that of the run.
pub const CASES: &str = "cases";

/// The result of a case, in its folder.
pub const RESULT: &str = "result.json";

/// What a case's process said, in its folder.
pub const LOG: &str = "log.txt";

/// The summary as JSON.
pub const SUMMARY: &str = "summary.json";

/// The summary as a table.
pub const TABLE: &str = "summary.txt";

/// What results depend on, beside the evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The folder of cases.
    pub folder: PathBuf,
    /// Rows below this confidence count in the calibration only.
    pub at: f64,
    /// Whether a case's `schema.sql` is used.
    pub with_schema: bool,
    /// Whether databases are written of scored cases too.
    pub write: bool,
}

impl Settings {
    fn json(&self) -> Json {
        json!({
            "format": 1,
            "program": env!("CARGO_PKG_VERSION"),
            "folder": self.folder.display().to_string(),
            "at": self.at,
            "with_schema": self.with_schema,
            "write": self.write,
        })
    }
}

/// Makes the folder of a run, or goes on in one with the same settings.
///
/// # Errors
/// When the folder is that of another run, or of none, or can't be written.
pub fn open(output: &Path, settings: &Settings, force: bool) -> Result<(), Error> {
    let refused = |reason: String| Err(Error::OutputRefused { path: output.to_owned(), reason });
    let (manifest, cases) = (output.join(MANIFEST), output.join(CASES));
    let known = fs::read_to_string(&manifest).ok().and_then(|text| serde_json::from_str::<Json>(&text).ok());
    if known.is_some_and(|known| known == settings.json()) {
        return Ok(());
    }
    let other = manifest.exists();
    if other && !force {
        return refused(format!(
            "holds a run with other settings, see its {MANIFEST}; give another folder, or --force to begin anew"
        ));
    }
    if let Ok(entries) = fs::read_dir(output) {
        // Another process may begin the same run just now: then there is no case in its folder yet.
        let begun = fs::read_dir(&cases).is_ok_and(|mut found| found.next().is_none());
        let is_own = |name: &str| {
            name.starts_with(MANIFEST)
                || name == CASES && (other || begun)
                || other && [SUMMARY, TABLE].contains(&name)
        };
        let names =
            entries.filter_map(Result::ok).map(|entry| entry.file_name().to_string_lossy().into_owned());
        if let Some(foreign) = names.into_iter().find(|name| !is_own(name)) {
            return refused(format!("holds {foreign}, which is no part of a run; give another folder"));
        }
    }
    let failed = |error| Error::Output { path: cases.clone(), what: "can't be made", error };
    if other {
        match fs::remove_dir_all(&cases) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    fs::create_dir_all(&cases).map_err(failed)?;
    put(&manifest, &format!("{:#}\n", settings.json()))
}

/// Writes a file that stands under its name only when it is whole.
///
/// # Errors
/// When it can't be written.
pub fn put(path: &Path, text: &str) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        // Nothing can be done about a failure here, and the name says what the file is.
        let _ = fs::remove_file(&temporary);
        Error::Output { path: path.to_owned(), what: "can't be written", error }
    })
}
