//! Does an output folder hold a database for each store, under a name that its index gives?

use crate::support::{Done, folder, listing, mudlark, rows, small_store, store};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fs;

#[test]
fn a_database_of_an_output_folder_has_its_stores_name_and_one_ending() -> Done {
    let (case, out) = (folder()?, folder()?);
    small_store(case.path())?;
    fs::rename(case.path().join("store.db"), case.path().join("chat.db"))?;
    small_store(case.path())?;
    fs::rename(case.path().join("store.db"), case.path().join("other.sqlite"))?;
    let target = format!("{}/new/", out.path().display());
    let ran = mudlark(["recover", &case.path().display().to_string(), "-o", &target])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    assert_eq!(listing(&out.path().join("new"))?, ["chat.db", "index.json", "other.sqlite.db"]);
    Ok(())
}

#[test]
fn stores_of_one_name_from_two_folders_get_a_database_each() -> Done {
    let (case, out) = (folder()?, folder()?);
    let mut sources = Vec::new();
    for (place, value) in [("a", 1), ("b", 2)] {
        fs::create_dir(case.path().join(place))?;
        let path = case.path().join(place).join("same.db");
        store(&path, &format!("CREATE TABLE t(a); INSERT INTO t VALUES ({value})"))?;
        sources.push(path.display().to_string());
    }
    let target = format!("{}/", out.path().display());
    let ran = mudlark(["recover", &sources[0], &sources[1], "-o", &target])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let index: Json = serde_json::from_str(&fs::read_to_string(out.path().join("index.json"))?)?;
    let mut values = BTreeSet::new();
    for entry in index["stores"].as_array().ok_or("no stores")? {
        let name = entry["database"].as_str().ok_or("no database")?;
        let found = rows(&Connection::open(out.path().join(name))?, "SELECT a FROM t")?;
        values.extend(found.iter().map(Json::to_string));
    }
    assert_eq!(values, BTreeSet::from(["[1]".to_owned(), "[2]".to_owned()]));
    Ok(())
}
