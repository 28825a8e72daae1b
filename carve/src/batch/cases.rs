//! The cases of a folder.

use crate::error::Error;
use crate::stores::REGISTRY;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder with `evidence/`, or a store, an image or a folder of them by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name in the folder of cases.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// What is recovered.
    pub input: PathBuf,
    /// Whether it has an answer key.
    pub scored: bool,
    /// Definitions that come with it.
    pub schema: Option<PathBuf>,
}

/// The cases of a folder, in order of their names. Hidden files, links and sidecars of other files are none.
///
/// # Errors
/// When the folder or an answer key can't be read.
pub fn find(folder: &Path) -> Result<Vec<Case>, Error> {
    let failed = |error| Error::Source { path: folder.to_owned(), what: "can't be listed", error };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !hidden && (kind.is_dir() || kind.is_file()) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    let beside: Vec<PathBuf> = paths
        .iter()
        .filter(|path| path.is_file())
        .flat_map(|main| REGISTRY.iter().flat_map(|store| store.sidecars(main)))
        .collect();
    paths.retain(|path| !beside.contains(path));
    paths.into_iter().map(case).collect()
}

fn case(path: PathBuf) -> Result<Case, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let evidence = path.join("evidence");
    if !evidence.is_dir() {
        return Ok(Case { name, input: path.clone(), path, scored: false, schema: None });
    }
    let key = path.join("truth.json");
    let schema = Some(path.join("schema.sql")).filter(|schema| schema.is_file());
    if !key.is_file() {
        return Ok(Case { name, input: evidence, path, scored: false, schema });
    }
    let form = |what: String| Error::Form { path: key.clone(), what };
    let text = fs::read_to_string(&key).map_err(|error| form(error.to_string()))?;
    let json: Json = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
    // An answer key of another kind, as of an image, is not for rows: its case is recovered and not scored.
    let scored = json["tables"].is_object();
    let input = json["input"].as_str().unwrap_or(".");
    // A key may not lead out of the evidence.
    let inside = Path::new(input)
        .components()
        .all(|c| matches!(c, std::path::Component::Normal(_) | std::path::Component::CurDir));
    if !inside {
        return Err(form(format!("its input {input:?} leads out of the evidence")));
    }
    Ok(Case { name, input: evidence.join(input), path, scored, schema })
}

impl Case {
    /// What tells the case from another of its name: names, sizes and times of its files, and the program that runs.
    #[must_use]
    pub fn stamp(&self) -> String {
        let mut hash = Sha256::new();
        let mut files = Vec::new();
        list(&self.path, &mut files);
        if self.path.is_file() {
            files.extend(REGISTRY.iter().flat_map(|store| store.sidecars(&self.path)));
        }
        files.extend(std::env::current_exe());
        for file in files {
            let Ok(found) = fs::metadata(&file) else { continue };
            hash.update(file.as_os_str().as_encoded_bytes());
            for number in [found.size() as i64, found.mtime(), found.mtime_nsec()] {
                hash.update(number.to_le_bytes());
            }
        }
        hex::encode(hash.finalize())
    }
}

/// A file, or the files of a folder and its folders, in order.
fn list(path: &Path, files: &mut Vec<PathBuf>) {
    // A folder that can't be listed has no files here; its recovery says why.
    let Ok(entries) = fs::read_dir(path) else {
        files.push(path.to_owned());
        return;
    };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            list(&entry.path(), files);
        }
    }
}
