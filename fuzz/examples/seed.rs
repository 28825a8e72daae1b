//! Makes small seeds for every target: `cargo run --example seed`.

use mudlark_fuzz::layout::PageInput;
use mudlark_fuzz::store::{DATABASE, INSPECT, JOURNAL, MEND, SCHEMA, SIDECAR, StoreInput, TWICE};
use mudlark_parsers::sqlite::geometry::Geometry;
use mudlark_parsers::sqlite::header;
use mudlark_parsers::sqlite::page::Page;
use rusqlite::Connection;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// How a store is made.
struct Recipe {
    name: &'static str,
    pragmas: &'static str,
    script: &'static str,
}

const PLAIN: &str = "
    CREATE TABLE t(id INTEGER PRIMARY KEY, n TEXT NOT NULL, x REAL, b BLOB);
    CREATE INDEX i ON t(n, x);
    WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c WHERE k < 60)
      INSERT INTO t SELECT k, 'name ' || k, k / 3.0, zeroblob(k % 7) FROM c;
    CREATE TABLE u(a TEXT, b INT, c, PRIMARY KEY(a, b)) WITHOUT ROWID;
    INSERT INTO u SELECT n, id, x FROM t LIMIT 25;
    CREATE VIEW v AS SELECT n FROM t;
    CREATE TRIGGER g AFTER DELETE ON t BEGIN DELETE FROM u WHERE b = old.id; END;
";

const OVERFLOW: &str = "
    CREATE TABLE o(id INTEGER PRIMARY KEY, long TEXT, UNIQUE(long));
    INSERT INTO o VALUES (1, printf('%.1500c', 'a')), (2, printf('%.700c', 'b')), (9, 'short');
    CREATE TABLE w(k BLOB PRIMARY KEY, v) WITHOUT ROWID;
    INSERT INTO w VALUES (randomblob(900), 1), (zeroblob(3), 2), ('x', printf('%.900c', 'c'));
";

const DELETED: &str = "
    CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b, c DEFAULT 'd', UNIQUE(b));
    WITH RECURSIVE c(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM c WHERE k < 90)
      INSERT INTO t(b, c) SELECT k * 7, printf('%.*c', k % 40, 'z') FROM c;
    CREATE TABLE gone(x, y); INSERT INTO gone SELECT b, c FROM t; DROP TABLE gone;
    DELETE FROM t WHERE a % 3 = 0; DELETE FROM t WHERE a > 70;
    ALTER TABLE t ADD COLUMN e INT DEFAULT 5; UPDATE t SET b = -b WHERE a < 5;
";

const RECIPES: [Recipe; 9] = [
    Recipe { name: "plain-512", pragmas: "page_size=512", script: PLAIN },
    Recipe { name: "plain-1024", pragmas: "page_size=1024; PRAGMA encoding='UTF-16le'", script: PLAIN },
    Recipe { name: "overflow-512", pragmas: "page_size=512", script: OVERFLOW },
    Recipe { name: "overflow-vacuum", pragmas: "page_size=512; PRAGMA auto_vacuum=1", script: OVERFLOW },
    Recipe { name: "deleted-512", pragmas: "page_size=512", script: DELETED },
    Recipe { name: "deleted-vacuum", pragmas: "page_size=512; PRAGMA auto_vacuum=2", script: DELETED },
    Recipe { name: "deleted-be", pragmas: "page_size=1024; PRAGMA encoding='UTF-16be'", script: DELETED },
    Recipe {
        name: "strict",
        pragmas: "page_size=512; PRAGMA secure_delete=1",
        script: "CREATE TABLE s(a INT, b TEXT, c ANY, d INT AS (a + 1), e TEXT AS (b || 'x') STORED) STRICT;
                 INSERT INTO s(a, b, c) VALUES (1, 'x', 1), (-9000000000, 'y', x'00'), (NULL, NULL, 2.5);
                 CREATE INDEX p ON s(b COLLATE nocase DESC) WHERE a > 0; CREATE TABLE empty(z);
                 CREATE TABLE \"we\"\"ird\"(\"a b\", [c d] INT, `e``f` COLLATE rtrim);",
    },
    Recipe {
        name: "empty-4096",
        pragmas: "page_size=4096; PRAGMA user_version=7",
        script: "CREATE TABLE t(a)",
    },
];

const DDL: [&str; 8] = [
    "CREATE TABLE \"a b\"(id INTEGER PRIMARY KEY AUTOINCREMENT, 'n' VARCHAR(10,-2) NOT NULL DEFAULT 'it''s' COLLATE NOCASE)",
    "CREATE TABLE t(a UNIQUE ON CONFLICT REPLACE, b DEFAULT (1+(2)), [c] AS (a||'x') STORED, PRIMARY KEY(a, b DESC)) WITHOUT ROWID, STRICT",
    "CREATE TABLE t(a -- x\n, b /* y */ REFERENCES p(x) ON DELETE SET NULL, CHECK(a IN (1,2)), FOREIGN KEY(a) REFERENCES q)",
    "CREATE TABLE `t`(x BLOB DEFAULT x'00ff', y REAL DEFAULT -1.5e-3, z DEFAULT CURRENT_TIMESTAMP, UNIQUE(x COLLATE RTRIM))",
    "CREATE TABLE t(a, b, c); CREATE UNIQUE INDEX i ON t(a, (b) COLLATE nocase DESC, lower(c)) WHERE a IS NOT NULL",
    "CREATE TABLE t(a, b); CREATE INDEX i ON t(b DESC, a COLLATE binary)",
    "CREATE TRIGGER g AFTER UPDATE OF a ON t WHEN new.a > 1 BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM t; END",
    "CREATE VIEW v(a, b) AS SELECT 'x;y', \"z\" FROM t; CREATE VIRTUAL TABLE f USING fts5(a, content='t')",
];

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let work = tempfile::tempdir()?;
    for recipe in &RECIPES {
        let path = work.path().join(recipe.name);
        let connection = Connection::open(&path)?;
        connection.execute_batch(&format!("PRAGMA {}; {}", recipe.pragmas, recipe.script))?;
        drop(connection);
        let bytes = fs::read(&path)?;
        put(&corpus, "store", recipe.name, &StoreInput::join(TWICE, &bytes, &[]))?;
        put(
            &corpus,
            "store",
            &format!("{}-all", recipe.name),
            &StoreInput::join(DATABASE | INSPECT, &bytes, &[]),
        )?;
        let given = StoreInput::join(SCHEMA, &bytes[..bytes.len().min(12_288)], DDL[5].as_bytes());
        put(&corpus, "store", &format!("{}-schema", recipe.name), &given)?;
        // A header that is lost, and a store that is cut.
        let mut headless = bytes.clone();
        headless[..100].fill(0);
        put(&corpus, "store", &format!("{}-headless", recipe.name), &StoreInput::join(0, &headless, &[]))?;
        let cut = &bytes[..bytes.len() * 2 / 3];
        put(&corpus, "store", &format!("{}-cut", recipe.name), &StoreInput::join(0, cut, &[]))?;
        pages(&corpus, recipe.name, &bytes)?;
    }
    logs(&corpus, work.path())?;
    for (number, sql) in DDL.iter().enumerate() {
        put(&corpus, "ddl", &format!("{number}"), sql.as_bytes())?;
        let mut record = vec![6, 23, 15, 15, 1];
        let serial = sql.len() as u64 * 2 + 13;
        record.extend([0x80 | (serial >> 7) as u8, (serial & 0x7f) as u8]);
        record[0] = record.len() as u8;
        record.extend(b"tabletu\x02");
        record.extend_from_slice(sql.as_bytes());
        put(&corpus, "schema_row", &format!("{number}"), &record)?;
    }
    Ok(())
}

/// Seeds of the page-level targets.
fn pages(corpus: &Path, name: &str, bytes: &[u8]) -> Outcome {
    let (_, head) = header::header(bytes).map_err(|_| "no header")?;
    let geometry: Geometry = head.geometry().ok_or("no geometry")?;
    put(corpus, "header", name, &bytes[..100])?;
    for (index, page) in bytes.chunks(geometry.page_size as usize).enumerate() {
        let number = index as u32 + 1;
        let name = format!("{name}-{number}");
        let parsed = Page::parse(page, number, geometry);
        let kind = match parsed.map(|page| page.header.kind as u8) {
            Some(2) => 0,
            Some(5) => 1,
            Some(10) => 2,
            _ => 3,
        };
        let input = PageInput::join(geometry, kind, number, page);
        let Some(parsed) = parsed else {
            // Overflow pages are of no interest here.
            if index % 5 == 1 {
                put(corpus, "ptrmap", &name, &input)?;
                put(corpus, "freelist", &name, &input)?;
            }
            continue;
        };
        if number > 12 {
            continue;
        }
        for target in ["page", "cell", "salvage", "freed", "former"] {
            put(corpus, target, &name, &input)?;
        }
        if let Some(Ok(cell)) = parsed.cells().next()
            && cell.local > 0
        {
            put(corpus, "record", &name, cell.local_payload(page))?;
        }
    }
    Ok(())
}

/// Seeds with a log or a journal: copied while the connection is still open.
fn logs(corpus: &Path, work: &Path) -> Outcome {
    for (name, pragmas) in [
        ("wal-512", "page_size=512; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0"),
        (
            "wal-vacuum",
            "page_size=512; PRAGMA auto_vacuum=1; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0",
        ),
    ] {
        let path = work.join(name);
        let connection = Connection::open(&path)?;
        let batch = |sql: &str| connection.execute_batch(sql);
        batch(&format!("PRAGMA {pragmas}; {DELETED} PRAGMA wal_checkpoint(TRUNCATE);"))?;
        batch(
            "UPDATE t SET c = 'later' WHERE a < 4; DELETE FROM t WHERE a = 10; INSERT INTO t(b) VALUES (1)",
        )?;
        let (main, log, index) =
            (fs::read(&path)?, fs::read(with(&path, "-wal"))?, fs::read(with(&path, "-shm"))?);
        put(corpus, "wal", name, &log)?;
        put(corpus, "shm", name, &index[..136])?;
        put(corpus, "store", name, &StoreInput::join(SIDECAR, &main, &log))?;
        put(
            corpus,
            "store",
            &format!("{name}-mend"),
            &StoreInput::join(SIDECAR | MEND | INSPECT, &main, &log),
        )?;
        put(corpus, "store", &format!("{name}-alone"), &StoreInput::join(SIDECAR, &[], &log))?;
    }
    for (name, pragmas) in
        [("journal-512", "page_size=512"), ("journal-vacuum", "page_size=512; PRAGMA auto_vacuum=1")]
    {
        let path = work.join(name);
        let connection = Connection::open(&path)?;
        connection.execute_batch(&format!("PRAGMA {pragmas}; {DELETED} PRAGMA cache_size=2; BEGIN;"))?;
        connection.execute_batch("UPDATE t SET c = 'changed and longer than before', b = b + 1")?;
        let (main, journal) = (fs::read(&path)?, fs::read(with(&path, "-journal"))?);
        put(corpus, "journal", name, &journal)?;
        let flags = SIDECAR | JOURNAL;
        put(corpus, "store", name, &StoreInput::join(flags, &main, &journal))?;
        put(
            corpus,
            "store",
            &format!("{name}-mend"),
            &StoreInput::join(flags | MEND | DATABASE, &main, &journal),
        )?;
    }
    Ok(())
}

fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

fn put(corpus: &Path, target: &str, name: &str, bytes: &[u8]) -> Outcome {
    let folder = corpus.join(format!("sqlite_{target}"));
    fs::create_dir_all(&folder)?;
    Ok(fs::write(folder.join(name), bytes)?)
}
