//! No text makes the readers panic or hang.

#![allow(clippy::indexing_slicing)]

use super::{Statement, create_table, read, read_cut, split_statements, statement_length};

const STATEMENTS: [&str; 12] = [
    "CREATE TABLE \"a b\"(id INTEGER PRIMARY KEY AUTOINCREMENT, 'n' VARCHAR(10,-2) NOT NULL DEFAULT 'it''s' COLLATE NOCASE)",
    "CREATE TABLE t(a UNIQUE ON CONFLICT REPLACE, b DEFAULT (1+(2)), [c] AS (a||'x') STORED, PRIMARY KEY(a, b DESC)) WITHOUT ROWID, STRICT",
    "CREATE TABLE t(a -- x\n, b /* y */ REFERENCES p(x) ON DELETE SET NULL NOT DEFERRABLE INITIALLY DEFERRED, CHECK(a IN (1,2)))",
    "CREATE TABLE `t`(x BLOB DEFAULT x'00ff', y REAL DEFAULT -1.5e-3, z DEFAULT CURRENT_TIMESTAMP, CONSTRAINT k UNIQUE(x COLLATE RTRIM))",
    "CREATE UNIQUE INDEX i ON t(a, (b) COLLATE nocase DESC, lower(c)) WHERE a IS NOT NULL AND b BETWEEN 1 AND 2",
    "CREATE TRIGGER g AFTER UPDATE OF a ON t WHEN new.a > 1 BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM t; END",
    "CREATE VIEW v(a, b) AS SELECT 'x;y', \"z\" FROM t WHERE a = 1 -- end",
    "CREATE VIRTUAL TABLE f USING fts5(a, b, content='t', tokenize = \"unicode61 'x'\")",
    "CREATE TABLE Übung(größe ÉTÉ, 名前 TEXT DEFAULT '漢字', \"\" INT)",
    "CREATE TABLE t(a GENERATED ALWAYS AS (1) VIRTUAL, b INTEGER PRIMARY KEY DESC, c CONSTRAINT d NULL)",
    "CREATE TABLE IF NOT EXISTS main.t(a, b, FOREIGN KEY(a, b) REFERENCES q MATCH FULL ON UPDATE CASCADE UNIQUE(a) PRIMARY KEY(b))",
    "CREATE TABLE t(a CHECK(CASE WHEN a THEN (SELECT 1 FROM x JOIN y USING(z)) ELSE NOT - ~ 1 END), b TEXT)",
];

fn try_all(bytes: &[u8]) {
    for statement in [read(bytes).ok(), read_cut(bytes)] {
        if let Some(Statement::Table(table)) = statement {
            assert!(table.stored_columns().iter().all(|column| *column < table.columns.len()));
            let _ = create_table(&table, "x");
        }
    }
    assert!(statement_length(bytes).is_none_or(|length| length <= bytes.len()));
    let text = String::from_utf8_lossy(bytes);
    assert!(split_statements(&text).iter().map(|part| part.len()).sum::<usize>() <= text.len());
}

#[test]
fn every_prefix_of_a_statement_can_be_read() {
    for statement in STATEMENTS {
        assert!(read(statement.as_bytes()).is_ok(), "{statement}: {:?}", read(statement.as_bytes()));
        for end in 0..=statement.len() {
            try_all(&statement.as_bytes()[..end]);
        }
    }
}

#[test]
fn mutations_of_statements_can_be_read() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap_or(0)
    };
    let spice = b"()[]'\"`,;.-+*/\0\x01\xff\xc3 \n019exXCN$@_|";
    for _ in 0..3_000 {
        let mut bytes = STATEMENTS[random(STATEMENTS.len())].as_bytes().to_vec();
        for _ in 0..=random(6) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] = spice[random(spice.len())],
                1 => bytes.insert(at, spice[random(spice.len())]),
                2 => drop(bytes.remove(at)),
                _ => {
                    let other = STATEMENTS[random(STATEMENTS.len())].as_bytes();
                    let from = random(other.len());
                    let piece = &other[from..(from + random(20)).min(other.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
        try_all(&bytes);
    }
}

#[test]
fn long_repetitions_take_no_time() {
    let piece = |text: &str| text.repeat(60_000 / text.len());
    for text in [
        "(",
        ")",
        "((",
        "a ",
        "a,",
        "\"",
        "'",
        "''",
        "[",
        "- ",
        "NOT ",
        "CASE ",
        "x'",
        "/*",
        "--",
        "a(",
        "COLLATE a ",
        ";",
        "CHECK(",
    ] {
        for head in [
            "CREATE TABLE t(a ",
            "CREATE TABLE t(",
            "CREATE TABLE t(a DEFAULT ",
            "CREATE INDEX i ON t(",
            "CREATE TABLE t(a, PRIMARY KEY(",
            "",
        ] {
            let mut sql = format!("{head}{}", piece(text));
            try_all(sql.as_bytes());
            sql.push_str(&piece(")"));
            try_all(sql.as_bytes());
        }
    }
}
