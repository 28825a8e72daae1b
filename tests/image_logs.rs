//! Are logs and journals of an image read whose headers are gone, and those that lie in pieces?

use crate::support::{Done, folder, mudlark, rows};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: usize = 1024;

/// Bytes of a frame.
const FRAME: usize = PAGE + 24;

/// Text that is no part of a store.
fn filler(bytes: usize) -> Vec<u8> {
    b"What the ebb leaves behind lies on the flats until the flood. "
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

/// A database with its log: forty rows, each changed ten times by a commit of its own.
fn logged(folder: &Path) -> Done<(Vec<u8>, Vec<u8>)> {
    let path = folder.join("used.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO people SELECT i, 'ada number ' || i, 'a note on ' || i FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    for change in 1..=10 {
        connection.execute_batch(&format!("UPDATE people SET name = 'change {change}' WHERE id % 40 = 3"))?;
    }
    let files = (fs::read(&path)?, fs::read(folder.join("used.db-wal"))?);
    drop(connection);
    Ok(files)
}

/// Writes an image, each piece at a sector and with filler behind.
fn image(folder: &Path, pieces: &[&[u8]]) -> Done<PathBuf> {
    let mut bytes = filler(1024);
    for piece in pieces {
        bytes.extend_from_slice(piece);
        let behind = bytes.len().next_multiple_of(512) + 5 * 512;
        bytes.extend(filler(behind - bytes.len()));
    }
    let path = folder.join("disk.img");
    fs::write(&path, bytes)?;
    Ok(path)
}

/// What the manifest of a carved image says of its only log or journal, and the file.
fn only(folder: &Path, image: &Path, role: &str) -> Done<(Json, Vec<u8>)> {
    let out = folder.join("found");
    let ran = mudlark(["carve", &image.display().to_string(), "-o", &out.display().to_string(), "--force"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let lines = fs::read_to_string(out.join("manifest.jsonl"))?;
    let lines: Vec<Json> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let found: Vec<&Json> = lines.iter().filter(|line| line["role"] == role).collect();
    let [line] = found[..] else { return Err(format!("{lines:?}").into()) };
    let file = fs::read(out.join(line["file"].as_str().ok_or("name")?))?;
    Ok((line.clone(), file))
}

/// The names of row 3, live and gone, as they are recovered.
fn names_of_three(folder: &Path, image: &Path) -> Done<(Json, usize)> {
    let out = folder.join("rows.db");
    let (source, target) = (image.display().to_string(), out.display().to_string());
    let ran = mudlark(["recover", &source, "-o", &target, "--quiet", "--force"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let connection = Connection::open(&out)?;
    let live = rows(&connection, "SELECT name FROM people WHERE id = 3")?;
    let all = rows(&connection, "SELECT DISTINCT name FROM people_versions WHERE id = 3")?;
    Ok((json!(live), all.len()))
}

#[test]
fn a_header_that_is_lost_follows_from_the_first_frame() -> Done {
    let folder = folder()?;
    let (main, log) = logged(folder.path())?;
    let mut headless = log.clone();
    headless[..32].copy_from_slice(&filler(32));
    let image = image(folder.path(), &[&headless, &main])?;
    let (line, file) = only(folder.path(), &image, "log")?;
    assert!(file == log, "{line}");
    assert_eq!(line["standing"], "damaged", "{line}");
    assert_eq!(names_of_three(folder.path(), &image)?, (json!([["change 10"]]), 11));
    Ok(())
}

#[test]
fn a_header_that_is_broken_is_taken_for_none_in_an_image_and_in_a_log_alone() -> Done {
    let folder = folder()?;
    let (main, log) = logged(folder.path())?;
    // Version, page size, a salt and the checksum.
    for field in [4, 8, 16, 24] {
        let mut broken = log.clone();
        broken[field] ^= 0x40;
        let image = image(folder.path(), &[&broken, &main])?;
        let (line, file) = only(folder.path(), &image, "log")?;
        assert!(file == log, "{field}: {line}");
        assert_eq!(names_of_three(folder.path(), &image)?, (json!([["change 10"]]), 11), "{field}");
        let alone = folder.path().join("alone-wal");
        fs::write(&alone, broken)?;
        let out = folder.path().join("alone.db").display().to_string();
        let ran = mudlark(["recover", &alone.display().to_string(), "-o", &out, "--force"])?;
        assert_eq!(ran.status, Some(0), "{field}: {}", ran.err);
    }
    Ok(())
}

#[test]
fn the_pieces_of_a_log_are_put_in_the_order_of_their_checksums() -> Done {
    let folder = folder()?;
    let (main, log) = logged(folder.path())?;
    let frames = (log.len() - 32) / FRAME;
    let (one, two) = (32 + frames / 3 * FRAME, 32 + frames * 2 / 3 * FRAME);
    // The header lies alone in one of them, and with its first frames in the other.
    for header in [32, one] {
        let pieces: [&[u8]; 5] = [&log[two..], &main, &log[one..two], &log[header..one], &log[..header]];
        let image = image(folder.path(), &pieces)?;
        let (line, file) = only(folder.path(), &image, "log")?;
        assert!(file == log, "{line}");
        assert_eq!(names_of_three(folder.path(), &image)?, (json!([["change 10"]]), 11));
    }
    Ok(())
}

#[test]
fn frames_whose_first_ones_are_lost_are_read_all_the_same() -> Done {
    let folder = folder()?;
    let (main, log) = logged(folder.path())?;
    let frames = (log.len() - 32) / FRAME;
    let image = image(folder.path(), &[&log[32 + frames / 2 * FRAME..], &main])?;
    let (line, file) = only(folder.path(), &image, "log")?;
    assert_eq!(file.len() - 32, (frames - frames / 2) * FRAME, "{line}");
    assert_eq!(line["standing"], "damaged", "{line}");
    let (live, versions) = names_of_three(folder.path(), &image)?;
    assert_eq!(live, json!([["change 10"]]));
    assert!((5..=7).contains(&versions), "{versions}");
    Ok(())
}

#[test]
fn a_journal_without_its_header_gives_the_rows_as_they_were() -> Done {
    let folder = folder()?;
    let used = folder.path().join("used.db");
    let connection = Connection::open(&used)?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = persist;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO people SELECT i, 'ada number ' || i, 'a note on ' || i FROM n;
         UPDATE people SET name = 'changed since' WHERE id % 40 = 3;"
    ))?;
    let (main, journal) = (fs::read(&used)?, fs::read(folder.path().join("used.db-journal"))?);
    assert_eq!(journal[..8], [0; 8], "the header was zeroed");
    let image = image(folder.path(), &[&journal[512..], &main])?;
    let (line, _) = only(folder.path(), &image, "journal")?;
    assert_eq!(line["standing"], "damaged", "{line}");
    assert_eq!(names_of_three(folder.path(), &image)?, (json!([["changed since"]]), 2));
    Ok(())
}
