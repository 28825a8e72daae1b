//! Are the files of an image put together from where their pages lie, and nothing called intact that is a guess?

use crate::support::{Done, folder, mudlark, names, rows, store};
use rusqlite::Connection;
use serde_json::{Value as Json, json};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The bytes of a store with overflow pages, an index and two tables; `word` tells it from others.
fn made(folder: &Path, name: &str, page_size: usize, word: &str) -> Done<Vec<u8>> {
    let path = folder.join(name);
    let sql = format!(
        "PRAGMA page_size = {page_size};
         CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, note TEXT);
         CREATE INDEX i ON t(name);
         CREATE TABLE u(a INTEGER, b TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO t SELECT i, '{word} ' || (i * 7919 % 600),
            replace(hex(zeroblob(i % 9 * i % 700)), '0', '{word} note ' || i || ' ') FROM n;
         INSERT INTO u SELECT id * 3, name FROM t WHERE id % 4 = 0;"
    );
    store(&path, &sql)?;
    let bytes = fs::read(&path)?;
    fs::remove_file(path)?;
    Ok(bytes)
}

/// Text that is no part of a store.
fn filler(bytes: usize) -> Vec<u8> {
    b"The tide goes out, and what lies in the mud can be picked up. "
        .iter()
        .copied()
        .cycle()
        .take(bytes)
        .collect()
}

fn carved(image: &Path, out: &Path, further: &[&str]) -> Done<Vec<Json>> {
    let (image, out_name) = (image.display().to_string(), out.display().to_string());
    let ran = mudlark([&["carve", &image, "-o", &out_name][..], further].concat())?;
    assert!(matches!(ran.status, Some(0 | 1)), "{}", ran.err);
    let lines = fs::read_to_string(out.join("manifest.jsonl"))?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn databases(lines: &[Json]) -> Vec<&Json> {
    lines.iter().filter(|line| line["role"] == "database").collect()
}

/// An image with a database in one piece from an odd sector on, and one in three pieces out of order. The bytes of both,
/// the image, and where the first pages lie.
fn two(folder: &Path) -> Done<([Vec<u8>; 2], PathBuf, [usize; 2])> {
    let one = made(folder, "one.db", 4096, "ada")?;
    let two = made(folder, "two.db", 1024, "grace")?;
    let pages = two.len() / 1024;
    let (a, b) = (pages / 3 * 1024, pages * 2 / 3 * 1024);
    let mut image = filler(512 * 3);
    let first = image.len();
    image.extend(&one);
    image.extend(filler(512 * 9));
    image.extend(&two[b..]);
    image.extend(filler(512 * 41));
    let second = image.len();
    image.extend(&two[..a]);
    image.extend(filler(512 * 7));
    image.extend(&two[a..b]);
    image.extend(filler(512 * 20));
    let path = folder.join("disk.img");
    fs::write(&path, image)?;
    Ok(([one, two], path, [first, second]))
}

#[test]
fn files_in_one_piece_and_in_several_come_back_byte_for_byte() -> Done {
    let folder = folder()?;
    let (originals, image, places) = two(folder.path())?;
    let out = folder.path().join("found");
    let lines = carved(&image, &out, &[])?;
    let found = databases(&lines);
    assert_eq!(found.len(), 2, "{lines:?}");
    for (original, place) in originals.iter().zip(places) {
        let name = format!("disk.img@{place:#x}.db");
        assert!(fs::read(out.join(&name))? == *original, "{name}");
        let line = found.iter().find(|line| line["file"] == name.as_str()).ok_or("not listed")?;
        assert_eq!(line["standing"], "intact", "{line}");
    }
    Ok(())
}

#[test]
fn the_manifest_says_where_each_byte_comes_from_in_both_its_forms() -> Done {
    let folder = folder()?;
    let (_, image, [_, second]) = two(folder.path())?;
    let out = folder.path().join("found");
    let lines = carved(&image, &out, &[])?;
    let bytes = fs::read(&image)?;
    for line in databases(&lines) {
        let file = fs::read(out.join(line["file"].as_str().ok_or("name")?))?;
        let mut behind = 0;
        for run in line["runs"].as_array().ok_or("runs")? {
            let number = |index: usize| run[index].as_u64().map(|number| number as usize).ok_or("number");
            let (at, offset, length) = (number(0)?, number(1)?, number(2)?);
            assert_eq!(at, behind);
            assert!(file[at..at + length] == bytes[offset..offset + length]);
            behind = at + length;
        }
        assert_eq!(behind, file.len());
    }
    let xml = fs::read_to_string(out.join("manifest.xml"))?;
    let first = format!("<byte_run offset='0' img_offset='{second}' len='");
    assert!(xml.contains(&first), "{xml}");
    assert_eq!(xml.matches("<fileobject>").count(), lines.len());
    Ok(())
}

#[test]
fn pages_that_were_overwritten_are_zeros_and_listed_and_the_file_is_not_called_intact() -> Done {
    let folder = folder()?;
    let original = made(folder.path(), "one.db", 1024, "ada")?;
    let mut holed = original.clone();
    holed[1024 * 20..1024 * 23].copy_from_slice(&filler(3 * 1024));
    let image = folder.path().join("disk.img");
    fs::write(&image, [filler(2048), holed, filler(4096)].concat())?;
    let out = folder.path().join("found");
    let lines = carved(&image, &out, &[])?;
    let line = databases(&lines)[0];
    assert_eq!(line["standing"], "damaged", "{line}");
    let missing = line["missing"].as_array().ok_or("missing")?;
    let listed = |page: u64| {
        let holds = |run: &Json| Some((run[0].as_u64()?, run[1].as_u64()?));
        missing.iter().filter_map(holds).any(|(first, count)| (first..first + count).contains(&page))
    };
    let file = fs::read(out.join(line["file"].as_str().ok_or("name")?))?;
    assert_eq!(file.len(), original.len());
    for (number, (found, there)) in (1..).zip(file.chunks(1024).zip(original.chunks(1024))) {
        assert!(found == there || listed(number) && found.iter().all(|byte| *byte == 0), "{number}");
    }
    assert!(listed(21) || listed(22) || listed(23), "{line}");
    Ok(())
}

#[test]
fn an_image_is_recovered_into_a_folder_with_spans_that_lie_in_the_image() -> Done {
    let folder = folder()?;
    let (_, image, places) = two(folder.path())?;
    let out = folder.path().join("rows/");
    let (source, target) = (image.display().to_string(), format!("{}/", out.display()));
    let ran = mudlark(["recover", &source, "-o", &target, "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let bytes = fs::read(&image)?;
    for (place, word) in places.iter().zip(["ada", "grace"]) {
        let connection = Connection::open(out.join(format!("disk.img@{place:#x}.db")))?;
        assert!(names(&connection, "table")?.contains(&"t".to_owned()));
        let counted = rows(
            &connection,
            "SELECT count(*), sum(name LIKE ?1 || ' %') FROM t".replace("?1", &format!("'{word}'")).as_str(),
        )?;
        assert_eq!(
            json!(counted)[0].as_array().map(|row| row.iter().all(|cell| cell == 600)),
            Some(true),
            "{counted:?}"
        );
        // The text of a short row stands in the span that is told of it.
        let mut asked = connection.prepare(
            "SELECT e.offset, e.length FROM mudlark_evidence e JOIN t_versions v ON v._version = e.version
             WHERE v.id = 9 AND e.span = 0 AND e.evidence = 0",
        )?;
        let (offset, length) =
            asked.query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let span = &bytes[offset as usize..(offset + length) as usize];
        assert!(span.windows(word.len()).any(|part| part == word.as_bytes()), "{place:#x}");
    }
    let index: Json = serde_json::from_str(&fs::read_to_string(out.join("index.json"))?)?;
    assert_eq!(index["stores"].as_array().map(Vec::len), Some(2), "{index}");
    Ok(())
}

#[test]
fn one_database_for_several_stores_of_an_image_is_refused_with_a_list() -> Done {
    let folder = folder()?;
    let (_, image, [first, _]) = two(folder.path())?;
    let source = image.display().to_string();
    let out = folder.path().join("one.db").display().to_string();
    let ran = mudlark(["recover", &source, "-o", &out])?;
    assert_eq!(ran.status, Some(2), "{}", ran.err);
    let id = format!("disk.img@{first:#x}.db");
    assert!(ran.err.contains(&id) && !Path::new(&out).exists(), "{}", ran.err);
    let ran = mudlark(["recover", &source, "-o", &out, "--instance", &id])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    Ok(())
}

#[test]
fn a_log_far_from_its_database_is_joined_to_it() -> Done {
    let folder = folder()?;
    let used = folder.path().join("used.db");
    let connection = Connection::open(&used)?;
    connection.execute_batch(
        "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE people(id INTEGER PRIMARY KEY, name TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
         INSERT INTO people SELECT i, 'ada number ' || i FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE people SET name = 'changed in the log' WHERE id = 3;",
    )?;
    let (main, log) = (fs::read(&used)?, fs::read(folder.path().join("used.db-wal"))?);
    drop(connection);
    let image = folder.path().join("disk.img");
    let place = 1024 + log.len().next_multiple_of(512) + 512 * 77;
    let gap = filler(place - 1024 - log.len());
    fs::write(&image, [filler(1024), log.clone(), gap, main.clone(), filler(1024)].concat())?;
    let out = folder.path().join("found");
    carved(&image, &out, &[])?;
    let name = format!("disk.img@{place:#x}.db");
    assert!(fs::read(out.join(&name))? == main);
    assert!(fs::read(out.join(format!("{name}-wal")))? == log);
    let rows_of = folder.path().join("rows.db");
    let (source, target) = (image.display().to_string(), rows_of.display().to_string());
    let ran = mudlark(["recover", &source, "-o", &target, "--quiet"])?;
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    let found = rows(&Connection::open(&rows_of)?, "SELECT name FROM people WHERE id = 3")?;
    assert_eq!(json!(found), json!([["changed in the log"]]));
    Ok(())
}

/// To read them would take many minutes.
#[test]
fn holes_of_an_image_are_not_read_to_put_together_what_lies_in_pieces() -> Done {
    let folder = folder()?;
    let ([one, two], path, _) = two(folder.path())?;
    let sparse = folder.path().join("sparse.img");
    let mut file = fs::File::create(&sparse)?;
    file.set_len(1 << 36)?;
    file.seek(SeekFrom::Start((1 << 35) + 512))?;
    file.write_all(&fs::read(path)?)?;
    drop(file);
    let out = folder.path().join("out");
    let lines = carved(&sparse, &out, &["--quiet"])?;
    let found = databases(&lines);
    assert_eq!(found.len(), 2);
    for (line, whole) in found.into_iter().zip([one, two]) {
        let name = line["file"].as_str().ok_or("file")?;
        assert_eq!(fs::read(out.join(name))?, whole, "{line}");
    }
    Ok(())
}

#[test]
fn the_list_is_the_same_for_any_number_of_threads_and_writes_nothing() -> Done {
    let folder = folder()?;
    let (_, image, _) = two(folder.path())?;
    let source = image.display().to_string();
    let list = |threads: &str| mudlark(["carve", "--list", "--json", &source, "--threads", threads]);
    let (one, eight) = (list("1")?, list("8")?);
    assert_eq!(one.status, Some(0), "{}", one.err);
    assert!(one.out == eight.out && one.out.lines().count() >= 2, "{}", one.out);
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    Ok(())
}

/// A database, and what became of it after some rows went and others came: the pages of both take turns.
fn two_states(folder: &Path) -> Done<([Vec<u8>; 2], PathBuf)> {
    let path = folder.join("states.db");
    let older = made(folder, "states.db", 1024, "ada")?;
    fs::write(&path, &older)?;
    let conn = Connection::open(&path)?;
    conn.execute_batch(
        "DELETE FROM t WHERE id % 37 = 5; UPDATE u SET b = b || '!' WHERE rowid % 11 = 3;
         INSERT INTO t SELECT id + 1000, name, note FROM t WHERE id % 20 = 1;",
    )?;
    conn.close().map_err(|(_, error)| error)?;
    let newer = fs::read(&path)?;
    fs::remove_file(&path)?;
    let mut image = filler(2048);
    let (mut first, mut second) = (older.chunks(7 * 1024), newer.chunks(5 * 1024));
    loop {
        let both = (first.next(), second.next());
        if both == (None, None) {
            break;
        }
        image.extend(both.0.into_iter().chain(both.1).flatten());
    }
    image.extend(filler(4096));
    let path = folder.join("states.img");
    fs::write(&path, image)?;
    Ok(([older, newer], path))
}

#[test]
fn of_two_states_that_take_turns_none_is_called_intact_that_is_neither() -> Done {
    let folder = folder()?;
    let (states, image) = two_states(folder.path())?;
    let out = folder.path().join("found");
    let lines = carved(&image, &out, &[])?;
    let found = databases(&lines);
    assert!(found.len() >= 2, "{lines:?}");
    for line in found {
        let file = fs::read(out.join(line["file"].as_str().ok_or("name")?))?;
        assert!(states.contains(&file) || line["standing"] != "intact", "{line}");
    }
    Ok(())
}

#[test]
fn what_two_databases_claim_goes_to_the_same_one_for_any_number_of_threads() -> Done {
    let folder = folder()?;
    let (_, image) = two_states(folder.path())?;
    let source = image.display().to_string();
    let list = |threads: &str| mudlark(["carve", "--list", "--json", &source, "--threads", threads]);
    let first = list("1")?;
    assert_eq!(first.status, Some(0), "{}", first.err);
    for threads in ["2", "8"] {
        assert_eq!(list(threads)?.out, first.out, "{threads}");
    }
    Ok(())
}

#[test]
fn an_index_whose_keys_fall_and_a_chain_that_goes_back_are_in_their_places() -> Done {
    let folder = folder()?;
    let path = folder.path().join("falls.db");
    // Pages that were freed in their order are used again from the last one on.
    let sql = "PRAGMA page_size = 512;
         CREATE TABLE t(id INTEGER PRIMARY KEY, price REAL, note BLOB);
         CREATE INDEX i ON t(price DESC);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900)
         INSERT INTO t SELECT i, i * 7919 % 901 + 0.25, randomblob(i % 5 * 400) FROM n;
         DELETE FROM t WHERE id BETWEEN 400 AND 500;
         WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1060)
         INSERT INTO t SELECT i, i * 7919 % 901 + 0.25, randomblob(2000) FROM n;";
    store(&path, sql)?;
    let original = fs::read(&path)?;
    let cut = original.len() / 1024 * 512;
    let image = folder.path().join("disk.img");
    fs::write(&image, [&filler(2048)[..], &original[..cut], &filler(4096), &original[cut..]].concat())?;
    let out = folder.path().join("found");
    let lines = carved(&image, &out, &[])?;
    let found = databases(&lines);
    assert_eq!(found.len(), 1, "{lines:?}");
    assert!(fs::read(out.join(found[0]["file"].as_str().ok_or("name")?))? == original, "{}", found[0]);
    Ok(())
}

#[test]
fn thousands_of_equal_pages_in_no_order_are_looked_through_in_bounded_time() -> Done {
    let folder = folder()?;
    let path = folder.path().join("small.db");
    store(
        &path,
        "PRAGMA page_size = 1024; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT); CREATE INDEX i ON t(a);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
         INSERT INTO t SELECT i, printf('%06d', i) || ' the tide goes out, and what lies there', i FROM n",
    )?;
    let bytes = fs::read(&path)?;
    let mut pages: Vec<&[u8]> = bytes.chunks(1024).cycle().take(4096).collect();
    let mut state = 7_u64;
    for at in (1..pages.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        pages.swap(at, (state >> 33) as usize % (at + 1));
    }
    let image = folder.path().join("disk.img");
    fs::write(&image, pages.concat())?;
    // Each run is ended when it takes half a minute: it took hours.
    let found = databases(&carved(&image, &folder.path().join("found"), &[])?).len();
    assert!(found > 10, "{found}");
    let (image, out) = (image.display().to_string(), folder.path().join("rows/").display().to_string());
    for arguments in [vec!["assess", &image], vec!["recover", &image, "-o", &out]] {
        let ran = mudlark(arguments)?;
        assert!(matches!(ran.status, Some(0 | 3)), "{:?} {}", ran.status, ran.err);
    }
    Ok(())
}
