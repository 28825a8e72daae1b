//! What putting databases together takes.

use super::super::hits::Hit;
use super::put_together;
use super::work::Work;
use crate::progress::Silent;
use crate::scan::{Batch, Index, scan};
use crate::source::Source;
use rusqlite::Connection;
use std::fs;

/// The pages of a small database with an index.
fn pages() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.db");
    let connection = Connection::open(&path).unwrap();
    let script = "PRAGMA page_size=1024; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT); CREATE INDEX i ON t(a);
                  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
                  INSERT INTO t SELECT i, printf('%06d', i) || 'the tide goes out', i FROM n";
    connection.execute_batch(script).unwrap();
    drop(connection);
    fs::read(path).unwrap().chunks_exact(1024).map(<[u8]>::to_vec).collect()
}

/// In an order that is always the same and has no order.
fn shuffled<T>(mut list: Vec<T>) -> Vec<T> {
    let mut state = 7_u64;
    for at in (1..list.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        list.swap(at, (state >> 33) as usize % (at + 1));
    }
    list
}

/// The work for an image of these pages, and the size of the image.
fn work_for(pages: Vec<Vec<u8>>) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    let image = shuffled(pages).concat();
    fs::write(&path, &image).unwrap();
    let source = Source::open(&path).unwrap();
    let index = scan(&source, Index::default(), &mut |_: &Batch| Ok(()), &Silent).unwrap();
    let hits: Vec<Hit> = index.of("sqlite").iter().filter_map(|mark| Hit::of(*mark)).collect();
    let (gathered, work) = put_together(&source, &hits, &[], &Silent);
    assert!(!gathered.assemblies.is_empty());
    (work, image.len() as u64)
}

#[test]
fn twice_as_many_copies_of_a_database_in_no_order_take_about_twice_the_work() {
    let pages = pages();
    let of = |copies: usize| work_for(pages.iter().cycle().take(pages.len() * copies).cloned().collect());
    let ((few, _), (many, size)) = (of(30), of(120));
    assert!(many < 8 * few, "{few} for 30 copies, {many} for 120");
    // Databases, trees without a first page, and what is given back may each take their share.
    assert!(many < 4 * Work::of_image(size), "{many} for {size} bytes");
}
