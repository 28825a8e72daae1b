//! Has every store all of its parts? What is missing is named.

use crate::support::{Done, root};
use mudlark::stores::REGISTRY;
use std::fs;
use std::path::Path;

/// Whether a folder holds a file that isn't there for another reason than the samples.
fn holds_samples(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    let files = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    files.into_iter().any(|name| !name.to_string_lossy().ends_with(".txt"))
}

#[test]
fn every_store_has_its_folders_its_page_and_its_samples() {
    let mut missing = Vec::new();
    for store in REGISTRY {
        let name = store.name();
        for folder in [
            format!("parsers/src/{name}"),
            format!("carve/src/stores/{name}"),
            format!("fixtures/src/{name}"),
        ] {
            if !root().join(&folder).join("mod.rs").is_file() {
                missing.push(format!("{name}: no {folder}/mod.rs"));
            }
        }
        let page = format!("docs/formats/{name}.md");
        if !root().join(&page).is_file() {
            missing.push(format!("{name}: no {page}"));
        }
        let samples = format!("tests/corpus/{name}");
        if !holds_samples(&root().join(&samples)) {
            missing.push(format!("{name}: no samples in {samples}"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_store_folder_is_of_a_store_in_the_registry() -> Done {
    let known: Vec<&str> = REGISTRY.iter().map(|store| store.name()).collect();
    for entry in fs::read_dir(root().join("carve/src/stores"))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            assert!(known.contains(&name.as_str()), "carve/src/stores/{name} is not in the registry");
        }
    }
    Ok(())
}

#[test]
fn the_names_of_stores_are_all_different() {
    let mut names: Vec<&str> = REGISTRY.iter().map(|store| store.name()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
