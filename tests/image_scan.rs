//! Is all of a store found in a raw image, by the bytes alone, and nothing where there is none?

use crate::support::{Done, MUDLARK, Ran, folder, mudlark, small_store, store};
use rusqlite::Connection;
use serde_json::Value as Json;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes without order.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..len.div_ceil(8)).flat_map(next).take(len).collect()
}

/// An image of these pieces, each from a sector on.
fn image(path: &Path, pieces: &[&[u8]]) -> Done {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(piece);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    Ok(fs::write(path, bytes)?)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The assessment of an image, as JSON.
fn assessed(path: &Path, further: &[&str]) -> Done<Json> {
    let source = text(path);
    let ran = mudlark(["assess", "--json", &source].iter().chain(further))?;
    assert!(matches!(ran.status, Some(0 | 1)), "{}", ran.err);
    let mut json: Json = serde_json::from_str(&ran.out)?;
    Ok(json["images"][0].take())
}

/// How many parts of this kind were found.
fn found(image: &Json, kind: &str) -> u64 {
    image["found"]["sqlite"][kind].as_u64().unwrap_or(0)
}

/// The bytes of a store of some size, of pages of so many bytes.
fn made(folder: &Path, page_size: u32, pragmas: &str) -> Done<Vec<u8>> {
    let path = folder.join(format!("made-{page_size}.db"));
    let sql = format!(
        "PRAGMA page_size = {page_size}; {pragmas};
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note BLOB);
         CREATE INDEX i ON t(name);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
         INSERT INTO t SELECT i, 'name ' || i, randomblob(i * 7 % 900) FROM n"
    );
    store(&path, &sql)?;
    Ok(fs::read(path)?)
}

/// How many pages of a database are pages of trees.
fn tree_pages(bytes: &[u8], page_size: usize) -> u64 {
    let kinds = bytes.chunks(page_size).skip(1).filter(|page| matches!(page[0], 2 | 5 | 10 | 13));
    kinds.count() as u64
}

#[test]
fn every_tree_page_of_a_store_is_found_at_any_sector_and_of_any_size() -> Done {
    let folder = folder()?;
    for (number, page_size) in [512_u32, 1024, 2048, 4096, 8192, 16384, 32768, 65536].into_iter().enumerate()
    {
        let bytes = made(folder.path(), page_size, "")?;
        let path = folder.path().join("disk.img");
        image(&path, &[&noise(512 * (2 * number + 1), 7), &bytes, &noise(70_000, 9)])?;
        let seen = assessed(&path, &[])?;
        assert_eq!(found(&seen, "first_page"), 1, "{page_size}: {seen}");
        assert_eq!(found(&seen, "tree_page"), tree_pages(&bytes, page_size as usize), "{page_size}: {seen}");
        let table =
            &seen["files"][0]["tables"].as_array().ok_or("tables")?.iter().find(|t| t["table"] == "t");
        assert_eq!(table.ok_or("t")?["live"], 400, "{page_size}: {seen}");
    }
    Ok(())
}

#[test]
fn text_programs_noise_and_zeros_hold_no_part_of_a_store() -> Done {
    let folder = folder()?;
    let path = folder.path().join("disk.img");
    let program = fs::read(MUDLARK)?;
    let lines = b"just some text,\nand more of it\r\n".repeat(40_000);
    let words: Vec<u8> = (0..300_000_u32).flat_map(|word| (word % 1000).to_be_bytes()).collect();
    let counters: Vec<u8> = (0..300_000_u64).flat_map(|word| (word % 14).to_le_bytes()).collect();
    let log =
        [&0x377f_0682_u32.to_be_bytes()[..], &3_007_000_u32.to_be_bytes(), &[0, 0, 16, 0], &noise(4980, 8)];
    let journal = [&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7][..], &noise(900, 2)].concat();
    let header = [&b"SQLite format 3\0"[..], &noise(8000, 4)].concat();
    image(
        &path,
        &[
            &[0; 70_000],
            &program,
            &lines,
            &log.concat(),
            &journal,
            &header,
            &noise(8 << 20, 3),
            &words,
            &counters,
        ],
    )?;
    let source = text(&path);
    for arguments in [&["assess"][..], &["carve", "--list"]] {
        let ran = mudlark(arguments.iter().chain([&source.as_str()]))?;
        assert_eq!(ran.status, Some(1), "{}{}", ran.out, ran.err);
    }
    Ok(())
}

/// A database with its log, as they stand while it is open.
fn with_log(folder: &Path) -> Done<(Vec<u8>, Vec<u8>)> {
    let path = folder.join("logged.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, long BLOB)",
    )?;
    for id in 0..30 {
        connection.execute("INSERT INTO t VALUES (?, 'a name', randomblob(?))", [id, 9000 * (id % 2)])?;
    }
    let log = fs::read(folder.join("logged.db-wal"))?;
    Ok((fs::read(path)?, log))
}

#[test]
fn frames_are_found_by_their_neighbours_where_the_header_of_the_log_is_gone() -> Done {
    let folder = folder()?;
    let (_, log) = with_log(folder.path())?;
    let frames = (log.len() - 32) as u64 / 4120;
    assert!(frames > 60);
    let path = folder.path().join("disk.img");
    let mut headless = log.clone();
    headless[..32].copy_from_slice(&noise(32, 1));
    for log in [&log, &headless] {
        image(&path, &[&noise(5000, 5), log, &noise(5000, 6)])?;
        assert_eq!(found(&assessed(&path, &[])?, "log_frame"), frames);
    }
    Ok(())
}

#[test]
fn records_of_a_journal_are_found_where_its_header_is_gone() -> Done {
    let folder = folder()?;
    let path = folder.path().join("store.db");
    let connection = Connection::open(&path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = PERSIST; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, 'name ' || i FROM n;
         UPDATE t SET name = name || ' and more' WHERE id % 50 = 0",
    )?;
    let journal = fs::read(folder.path().join("store.db-journal"))?;
    assert_eq!(journal[..8], [0; 8], "the header was zeroed");
    let disk = folder.path().join("disk.img");
    image(&disk, &[&noise(900, 5), &journal, &noise(900, 6)])?;
    let seen = found(&assessed(&disk, &[])?, "journal_record");
    let records = (journal.len() as u64 - 512) / 4104;
    assert!(seen > 0 && seen <= records, "{seen} of {records}");
    Ok(())
}

/// What the commands say of an image, whatever else is told.
fn said(path: &Path, further: &[&str]) -> Done<Ran> {
    let source = text(path);
    mudlark(["carve", "--list", "--json", &source].iter().chain(further))
}

/// An image of more than one batch of windows.
fn large_image(folder: &Path) -> Done<std::path::PathBuf> {
    let path = folder.join("disk.img");
    let store = made(folder, 4096, "")?;
    let (database, log) = with_log(folder)?;
    image(&path, &[&noise(700, 1), &store, &noise(66 << 20, 2), &database, &noise(9 << 20, 3), &log])?;
    Ok(path)
}

#[test]
fn the_number_of_threads_and_a_session_change_nothing() -> Done {
    let folder = folder()?;
    let path = large_image(folder.path())?;
    let session = text(&folder.path().join("disk.session"));
    let first = said(&path, &["--threads", "1"])?;
    assert_eq!((first.status, first.out.lines().count() >= 3), (Some(0), true), "{}{}", first.out, first.err);
    for further in [
        &["--threads", "2"][..],
        &["--threads", "8"],
        // The first writes it, the second reads it.
        &["--session", &session],
        &["--session", &session],
        &["--session", &session, "--resume"],
    ] {
        assert_eq!(said(&path, further)?.out, first.out, "{further:?}");
    }
    Ok(())
}

#[test]
fn a_session_that_was_cut_off_goes_on_only_when_told_and_comes_to_the_same() -> Done {
    let folder = folder()?;
    let path = large_image(folder.path())?;
    let session = folder.path().join("disk.session");
    let name = text(&session);
    let whole = said(&path, &["--session", &name])?;
    let kept = fs::read(&session)?;
    for (len, is_begun) in [(kept.len() - 1, true), (kept.len() - 9, true), (64, false), (65, false)] {
        let mut cut = kept[..len].to_vec();
        fs::write(&session, &cut)?;
        let refused = said(&path, &["--session", &name])?;
        if is_begun {
            assert_eq!(refused.status, Some(2), "{}", refused.out);
            assert!(refused.err.contains("--resume goes on"), "{}", refused.err);
            // A torn end is noticed as well.
            cut.extend([0xa5; 40]);
            fs::write(&session, &cut)?;
        }
        let resumed = said(&path, &["--session", &name, "--resume"])?;
        assert_eq!((resumed.status, &resumed.out), (whole.status, &whole.out), "{len}");
        assert_eq!(fs::read(&session)?, kept, "{len}");
    }
    Ok(())
}

#[test]
fn a_session_belongs_to_one_image_and_no_other_file_is_taken_for_one() -> Done {
    let folder = folder()?;
    let path = folder.path().join("disk.img");
    let bytes = made(folder.path(), 4096, "")?;
    image(&path, &[&noise(700, 1), &bytes])?;
    let session = folder.path().join("disk.session");
    let name = text(&session);
    assert_eq!(said(&path, &["--session", &name])?.status, Some(0));
    let kept = fs::read(&session)?;
    let longer = folder.path().join("longer.img");
    image(&longer, &[&noise(700, 1), &bytes, &[1]])?;
    let other = folder.path().join("other.img");
    image(&other, &[&noise(700, 2), &bytes])?;
    for (image, says) in [(&longer, "bytes, and"), (&other, "not the same ones")] {
        let ran = said(image, &["--session", &name, "--resume"])?;
        assert_eq!(ran.status, Some(2), "{}", ran.out);
        assert!(ran.err.contains("is the session of another image") && ran.err.contains(says), "{}", ran.err);
        assert_eq!(fs::read(&session)?, kept);
    }
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "my notes")?;
    for name in [&notes, &path] {
        let before = fs::read(name)?;
        let ran = said(&path, &["--session", &text(name)])?;
        assert_eq!(ran.status, Some(2), "{}", ran.out);
        assert!(ran.err.contains(&text(name)), "{}", ran.err);
        assert!(fs::read(name)? == before, "{} was changed", name.display());
    }
    Ok(())
}

#[test]
fn sessions_of_any_bytes_are_read_without_harm() -> Done {
    let folder = folder()?;
    let path = folder.path().join("disk.img");
    image(&path, &[&noise(700, 1), &made(folder.path(), 4096, "")?])?;
    let session = folder.path().join("disk.session");
    let name = text(&session);
    let whole = said(&path, &["--session", &name])?;
    let kept = fs::read(&session)?;
    for at in 64..kept.len().min(64 + 60) {
        let mut hurt = kept.clone();
        hurt[at] ^= 0xff;
        fs::write(&session, &hurt)?;
        let ran = said(&path, &["--session", &name, "--resume"])?;
        assert_eq!((ran.status, &ran.out), (whole.status, &whole.out), "byte {at}: {}", ran.err);
    }
    Ok(())
}

#[test]
fn a_damaged_store_is_no_image() -> Done {
    let folder = folder()?;
    let bytes = made(folder.path(), 4096, "")?;
    let path = folder.path().join("store.db");
    let mut headless = bytes.clone();
    headless[..4096].fill(0);
    let grown = [&bytes[..], &noise(300_000, 4)].concat();
    // Its first page stands where another one should.
    let mut swapped = bytes.clone();
    swapped.copy_within(..4096, 4096 * 5);
    swapped[..4096].fill(0xa5);
    let cut = bytes[..bytes.len() / 2 + 100].to_vec();
    // A fifth of the pages is left, and none that a link leads to from another.
    let mut few = bytes.clone();
    for page in few.chunks_mut(4096).enumerate().filter(|(number, _)| number % 5 != 2) {
        page.1.fill(0xa5);
    }
    let cases =
        [("headless", headless), ("grown", grown), ("swapped", swapped), ("cut", cut), ("mostly lost", few)];
    for (what, bytes) in cases {
        fs::write(&path, bytes)?;
        let ran = mudlark(["assess", &text(&path)])?;
        assert_eq!(ran.status, Some(0), "{what}: {}", ran.err);
        assert!(ran.out.starts_with("store.db: SQLite database"), "{what}: {}", ran.out);
    }
    Ok(())
}

#[test]
fn an_image_that_begins_with_a_store_is_an_image() -> Done {
    let folder = folder()?;
    let path = folder.path().join("disk.img");
    let (first, second) = (made(folder.path(), 4096, "")?, made(folder.path(), 1024, "")?);
    image(&path, &[&first, &noise(5000, 2), &second, &noise(700, 3)])?;
    assert_eq!(found(&assessed(&path, &[])?, "first_page"), 2);
    Ok(())
}

#[test]
fn holes_of_a_sparse_image_are_passed_over() -> Done {
    let folder = folder()?;
    let path = folder.path().join("disk.img");
    let mut file = File::create(&path)?;
    file.set_len(1 << 36)?;
    file.seek(SeekFrom::Start((1 << 35) + 512))?;
    file.write_all(&made(folder.path(), 4096, "")?)?;
    drop(file);
    let seen = assessed(&path, &["--threads", "2"])?;
    assert_eq!(found(&seen, "first_page"), 1, "{seen}");
    let holes = seen["holes"].as_u64().ok_or("holes")?;
    assert!(holes > (1 << 36) - (16 << 20), "{holes}");
    Ok(())
}

#[test]
fn small_stores_come_with_what_is_wanted_of_an_assessment() -> Done {
    let folder = folder()?;
    let path = small_store(folder.path())?;
    store(&path, "DELETE FROM t WHERE name = 'Ada'")?;
    let ran = mudlark(["assess", "--json", &text(&path)])?;
    let json: Json = serde_json::from_str(&ran.out)?;
    let assessed = &json["stores"][0];
    let table =
        &assessed["tables"].as_array().ok_or("tables")?.iter().find(|t| t["table"] == "t").ok_or("t")?;
    assert_eq!((&table["live"], &table["gone"]), (&Json::from(2), &Json::from(1)), "{assessed}");
    assert_eq!(assessed["recoverability"], "high");
    let expected = &assessed["expected"];
    assert!(expected["least"].as_u64() <= Some(3) && expected["most"].as_u64() >= Some(2), "{assessed}");
    assert!(assessed["reading_seconds"].is_number());
    Ok(())
}

#[test]
fn a_lone_page_among_other_bytes_is_no_database() -> Done {
    let folder = folder()?;
    let store = made(folder.path(), 4096, "")?;
    let leaf = store.chunks(4096).skip(1).find(|page| page.first() == Some(&13)).ok_or("no leaf")?;
    let path = folder.path().join("disk.img");
    image(&path, &[&noise(4 << 20, 1), leaf, &noise(4 << 20, 2)])?;
    let out = format!("{}/", folder.path().join("rows").display());
    let ran = mudlark(["recover", &text(&path), "-o", &out, "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let index: Json = serde_json::from_str(&fs::read_to_string(folder.path().join("rows/index.json"))?)?;
    let names = index["stores"].as_array().ok_or("stores")?.iter().map(|store| &store["instance"]);
    assert!(names.eq(["orphans"]), "{index}");
    Ok(())
}
