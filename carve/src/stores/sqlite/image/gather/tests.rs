//! What putting databases together takes.

use super::super::hits::Hit;
use super::work::Work;
use super::{Gathered, put_together};
use crate::progress::Silent;
use crate::scan::{Batch, Index, scan};
use crate::source::Source;
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::page::Page;
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

/// What an image of these pages, one behind the other, is put together to, and the work for it.
fn gathered(image: &[u8]) -> (Gathered, u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("disk.img");
    fs::write(&path, image).unwrap();
    let source = Source::open(&path).unwrap();
    let index = scan(&source, Index::default(), &mut |_: &Batch| Ok(()), &Silent).unwrap();
    let hits: Vec<Hit> = index.of("sqlite").iter().filter_map(|mark| Hit::of(*mark)).collect();
    put_together(&source, &hits, &[], &Silent)
}

/// The work for an image of these pages in no order, and the size of the image.
fn work_for(pages: Vec<Vec<u8>>) -> (u64, u64) {
    let image = shuffled(pages).concat();
    let (gathered, work) = gathered(&image);
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

#[test]
fn a_root_is_found_where_a_page_of_another_tree_fits_as_well_below_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.db");
    let connection = Connection::open(&path).unwrap();
    let rows = |table: &str, first: u32, last: u32| {
        format!(
            "CREATE TABLE {table}(id INTEGER PRIMARY KEY, a TEXT);
             WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last})
             INSERT INTO {table} SELECT i, printf('%06d', i) || 'what the tide of {table} brings' FROM n;"
        )
    };
    let script = format!("PRAGMA page_size=512; {} {}", rows("few", 1, 100), rows("many", 101, 2000));
    connection.execute_batch(&script).unwrap();
    let root: u32 = connection
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'many'", [], |row| row.get(0))
        .unwrap();
    let page = |number: u32| {
        let from = (number as usize - 1) * 512;
        fs::read(&path).unwrap()[from..from + 512].to_vec()
    };
    let bytes = page(root);
    let root = Page::parse(&bytes, root, Geometry { page_size: 512, reserved: 0 }).unwrap();
    let first = root.good_cells().next().unwrap();
    assert!(root.good_cells().count() > 1 && page(first.left_child)[0] == 5, "not three levels");
    // Without the last row of the first page below, nothing tells that page from the root of the other table.
    connection.execute("DELETE FROM many WHERE id BETWEEN ? - 4 AND ?", [first.rowid; 2]).unwrap();
    drop(connection);
    let bytes = fs::read(path).unwrap();
    let mut pages: Vec<&[u8]> = bytes.chunks_exact(512).collect();
    pages[2..].reverse();
    let (gathered, _) = gathered(&pages.concat());
    assert_eq!(gathered.assemblies.len(), 1);
    assert!(gathered.assemblies[0].missing.is_empty(), "pages are missing");
}
