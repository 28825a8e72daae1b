//! SQL that changes rows from what is expected to what is wanted, all of them or none.
//!
//! The rows are loaded into tables in `temp` first: `now` holds each as it is expected to stand, `then` as it is to stand
//! afterwards. What they must agree with is then asked for, and each answer noted; one more table holds the verdict, and
//! gets its row only when all answers are good. Every statement that changes a row of the database asks for that row
//! first, so that a client that goes on after errors changes nothing either. Behind them all is compared once more: when
//! one statement failed, when a trigger or a foreign key did more, or a unique key did less, `OR ROLLBACK` takes all back.
//!
//! That a transaction is open can be told from `defer_foreign_keys`, which the end of each transaction switches off
//! (<https://www.sqlite.org/pragma.html#pragma_defer_foreign_keys>): without one the first statement ends it.

use super::literal;
use crate::error::Error;
use crate::model::{Cell, RowThen};
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use mudlark_parsers::value::TextEncoding;
use rusqlite::types::ValueRef;
use std::fmt::Write;

/// What tells the rows of a table apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The row id, under this name.
    Rowid(String),
    /// These of the columns, by their places.
    Columns(Vec<usize>),
}

/// How a row comes to be as it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is updated.
    Update,
    /// It is removed and put back, since another row may still hold a value of its unique keys.
    Anew,
    /// It is updated once those that hold values of its unique keys have others: removing it would remove what refers
    /// to it.
    Parked,
}

/// A row.
#[derive(Clone, Debug)]
pub struct Row<'r, 'a> {
    /// As it stands; `None` when it is not there.
    pub now: Option<&'r RowThen<'a>>,
    /// As it is to stand; `None` when it is to go.
    pub then: Option<&'r RowThen<'a>>,
    /// How, when it is there and is to stay.
    pub way: Way,
}

/// A column that can be set.
#[derive(Clone, Debug)]
pub struct Settable {
    /// Its name.
    pub name: String,
    /// Its place in the cells of a row.
    pub place: usize,
    /// It is in a unique key.
    pub unique: bool,
    /// It takes no NULL.
    pub not_null: bool,
}

/// A table whose rows change.
#[derive(Clone, Debug)]
pub struct Table<'r, 'a> {
    /// Its name.
    pub name: String,
    /// Its definition.
    pub sql: String,
    /// What tells its rows apart.
    pub key: Key,
    /// Its columns, but for the one that is the row id, and those that are computed.
    pub columns: Vec<Settable>,
    /// The places of columns by which its rows refer to others that change: foreign keys would act on the rows meanwhile.
    pub detached: Vec<usize>,
    /// Its rows.
    pub rows: Vec<Row<'r, 'a>>,
}

/// All that changes.
#[derive(Clone, Debug)]
pub struct Patch<'r, 'a> {
    /// What is done, for a person: the comment that begins the file.
    pub head: Vec<String>,
    /// What the program says when it stops: what is not done.
    pub refusal: &'static str,
    /// The tables, those that refer to others first.
    pub tables: Vec<Table<'r, 'a>>,
    /// Tables that must refer to nothing that is not there more often than before.
    pub referring: Vec<String>,
    /// Other tables that must be as they were, with their definitions.
    pub definitions: Vec<(String, String)>,
    /// What the engine counts keys up with, by table: as it stands, as it is to stand.
    pub sequences: Vec<(String, [Option<i64>; 2])>,
    /// Triggers may fire.
    pub triggers: bool,
    /// The encoding of text cells.
    pub encoding: TextEncoding,
}

/// Bytes that are gathered before they are written.
const BUFFER: usize = 1 << 16;

/// The longest statement that SQLite takes unless told otherwise (<https://www.sqlite.org/limits.html>).
const LONGEST: usize = 1_000_000_000;

/// What every statement asks for that changes a row.
const ARMED: &str = "(SELECT holds FROM temp.mudlark_verdict)";

/// Writes the statements.
///
/// # Errors
/// When the output can't be written, or a row is longer than SQLite takes.
pub fn write(patch: &Patch<'_, '_>, put: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
    let mut sql = String::new();
    for line in &patch.head {
        let _ = writeln!(sql, "{}", format!("-- {}", comment(line)).trim_end());
    }
    begin(patch, &mut sql);
    let (mut raw, mut checks) = (false, 0);
    for (number, table) in patch.tables.iter().enumerate() {
        for row in &table.rows {
            let at = sql.len();
            raw |= load(&mut sql, number, table, row, patch.encoding, checks);
            if sql.len() - at > LONGEST {
                return Err(Error::Usage(format!("a row of {} is longer than SQL can hold", table.name)));
            }
            checks += 1;
            if sql.len() > BUFFER {
                put(sql.as_bytes())?;
                sql.clear();
            }
        }
    }
    check(patch, raw, &mut sql);
    change(patch, &mut sql);
    end(patch, &mut sql);
    put(sql.as_bytes())
}

/// Text that stays in its comment.
#[must_use]
pub fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Table<'_, '_> {
    fn main(&self) -> String {
        format!("main.{}", quoted(&self.name))
    }

    /// That a row of `temp` and one of the table have the same key: `n` and `t` stand for them.
    fn same_key(&self, n: &str, t: &str) -> String {
        match &self.key {
            Key::Rowid(name) => format!("{t}.{}={n}.k", quoted_rowid(name)),
            Key::Columns(places) => {
                let part = |place: &usize| {
                    let column = self.columns.iter().find(|column| column.place == *place)?;
                    Some(format!("{t}.{}={n}.c{place}", quoted(&column.name)))
                };
                all(&places.iter().filter_map(part).collect::<Vec<_>>())
            }
        }
    }

    /// Whether its rows that stay are set at the end only.
    fn is_detached(&self) -> bool {
        !self.detached.is_empty() && (self.has(Way::Update) || self.has(Way::Parked))
    }

    pub(crate) fn is_key(&self, column: &Settable) -> bool {
        matches!(&self.key, Key::Columns(places) if places.contains(&column.place))
    }

    /// That a row of the table has the key of one among these of `temp`.
    fn is_among(&self, rows: &str) -> String {
        match &self.key {
            Key::Rowid(name) => format!("{} IN (SELECT k FROM {rows})", quoted_rowid(name)),
            Key::Columns(places) => {
                let name = |place: &usize| {
                    let column = self.columns.iter().find(|column| column.place == *place);
                    column.map(|column| quoted(&column.name))
                };
                let names: Vec<String> = places.iter().filter_map(name).collect();
                let cells: Vec<String> = places.iter().map(|place| format!("c{place}")).collect();
                format!("({}) IN (SELECT {} FROM {rows})", names.join(","), cells.join(","))
            }
        }
    }

    /// That a row of `temp` and one of the table have the same cells, and the same types: neither collation nor affinity
    /// may make others equal.
    fn same_cells(&self, n: &str, t: &str) -> String {
        let part = |column: &Settable| {
            let (name, place) = (quoted(&column.name), column.place);
            format!("({n}.c{place} IS {t}.{name} AND typeof({n}.c{place})=typeof({t}.{name}))")
        };
        all(&self.columns.iter().map(part).collect::<Vec<_>>())
    }

    /// The row of the table that a row of `temp` of this side is.
    fn stands(&self, n: &str) -> String {
        let (table, key, cells) = (self.main(), self.same_key(n, "t"), self.same_cells(n, "t"));
        format!("EXISTS(SELECT 1 FROM {table} AS t WHERE {key} AND {cells})")
    }

    /// Rows that are there and are to be removed, if only to be put back.
    fn removes(&self) -> u64 {
        let gone = |row: &&Row<'_, '_>| row.now.is_some() && (row.then.is_none() || row.way == Way::Anew);
        self.rows.iter().filter(gone).count() as u64
    }

    fn has(&self, way: Way) -> bool {
        self.rows.iter().any(|row| row.now.is_some() && row.then.is_some() && row.way == way)
    }

    /// Rows that statements change, each as often as they do.
    fn changes(&self) -> u64 {
        let twice = u64::from(self.is_detached());
        let of = |row: &Row<'_, '_>| match (row.now.is_some(), row.then.is_some(), row.way) {
            (true, true, Way::Anew) => 2,
            (true, true, Way::Parked) => 2 + 2 * twice,
            (true, true, Way::Update) => 1 + twice,
            (false, false, _) => 0,
            _ => 1,
        };
        self.rows.iter().map(of).sum()
    }
}

/// A name of the row id: those that SQLite gives stand without quotes.
fn quoted_rowid(name: &str) -> String {
    if ["rowid", "_rowid_", "oid"].contains(&name) { name.to_owned() } else { quoted(name) }
}

/// All of these, nested by halves: SQLite takes no deep expressions.
fn all(parts: &[String]) -> String {
    match parts {
        [] => "1".to_owned(),
        [only] => only.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} AND {})", all(left), all(right))
        }
    }
}

fn begin(patch: &Patch<'_, '_>, sql: &mut String) {
    sql.push_str("\nBEGIN IMMEDIATE;\nPRAGMA defer_foreign_keys = ON;\n");
    for name in ["check", "verdict", "done", "sure", "sequence", "links"] {
        let _ = writeln!(sql, "DROP TABLE IF EXISTS temp.mudlark_{name};");
    }
    let _ = writeln!(
        sql,
        "CREATE TEMP TABLE mudlark_check(what TEXT, holds INTEGER);\n\
         CREATE TEMP TABLE mudlark_verdict(holds INTEGER, start INTEGER,\n  CONSTRAINT {} CHECK(holds IS 1));\n\
         CREATE TEMP TABLE mudlark_done(holds INTEGER, CONSTRAINT {} CHECK(holds IS 1));\n\
         CREATE TEMP TABLE mudlark_sure(holds INTEGER, CONSTRAINT {} CHECK(holds IS 1));\n\
         CREATE TEMP TABLE mudlark_sequence(name TEXT, now INTEGER, \"then\" INTEGER, found INTEGER);\n\
         CREATE TEMP TABLE mudlark_links(name TEXT, broken INTEGER);",
        quoted(&format!("{}: the answers above say why", patch.refusal)),
        quoted(&format!("{}: it did not come out as intended", patch.refusal)),
        quoted(&format!("{}: what came out could not be compared", patch.refusal)),
    );
    for (number, table) in patch.tables.iter().enumerate() {
        let columns: String = table.columns.iter().map(|column| format!(", c{}", column.place)).collect();
        let key: String = match &table.key {
            Key::Rowid(_) => "k".to_owned(),
            Key::Columns(places) => {
                places.iter().map(|place| format!("c{place}")).collect::<Vec<_>>().join(", ")
            }
        };
        for side in ["now", "then"] {
            let name = format!("mudlark_{side}_{number}");
            let _ = writeln!(
                sql,
                "DROP TABLE IF EXISTS temp.{name};\nCREATE TEMP TABLE {name}(n INTEGER PRIMARY KEY, way INTEGER, \
                 k{columns});\nCREATE INDEX temp.{name}_key ON {name}({key});"
            );
        }
    }
    sql.push('\n');
}

/// What is to be done with a row in `now`: it stays, or it is removed; in `then`: it is updated, added, updated late.
const STAYS: u8 = 0;
const GOES: u8 = 1;
const ADDED: u8 = 1;
const LATE: u8 = 2;

/// Loads a row; says whether it holds bytes that mean text in the evidence's encoding only.
fn load(
    sql: &mut String,
    number: usize,
    table: &Table<'_, '_>,
    row: &Row<'_, '_>,
    encoding: TextEncoding,
    n: u64,
) -> bool {
    let of_now = if row.then.is_none() || row.way == Way::Anew { GOES } else { STAYS };
    let of_then = match (row.now, row.way) {
        (None, _) | (_, Way::Anew) => ADDED,
        (_, Way::Update) => STAYS,
        (_, Way::Parked) => LATE,
    };
    let mut raw = false;
    for (side, row, way) in [("now", row.now, of_now), ("then", row.then, of_then)] {
        let Some(row) = row else { continue };
        let _ = write!(sql, "INSERT INTO temp.mudlark_{side}_{number} VALUES({n},{way},");
        match row.rowid {
            Some(rowid) => {
                let _ = write!(sql, "{rowid}");
            }
            None => sql.push_str("NULL"),
        }
        for column in &table.columns {
            sql.push(',');
            raw |= put_cell(sql, row.cells.get(column.place).unwrap_or(&Cell::Null), encoding);
        }
        sql.push_str(");\n");
    }
    raw
}

/// A cell as a literal; says whether it is text whose bytes are not valid.
pub(crate) fn put_cell(sql: &mut String, cell: &Cell<'_>, encoding: TextEncoding) -> bool {
    match cell {
        Cell::Null | Cell::Missing | Cell::Partial(_) => literal::put(sql, ValueRef::Null),
        Cell::Int(value) => literal::put(sql, ValueRef::Integer(*value)),
        Cell::Real(value) => literal::put(sql, ValueRef::Real(*value)),
        Cell::Blob(bytes) => literal::put(sql, ValueRef::Blob(bytes)),
        Cell::Text(bytes) => match encoding.decode(bytes) {
            Some(text) => literal::put(sql, ValueRef::Text(text.as_bytes())),
            None => {
                // As SQLite reads a BLOB that is cast to text: in the encoding of the database.
                sql.push_str("CAST(");
                literal::put(sql, ValueRef::Blob(bytes));
                sql.push_str(" AS TEXT)");
                return true;
            }
        },
    }
    false
}

/// Asks for all that must hold, and then for the verdict.
fn check(patch: &Patch<'_, '_>, raw: bool, sql: &mut String) {
    sql.push('\n');
    let mut checks = 0;
    let mut ask = |sql: &mut String, what: &str, holds: &str| {
        checks += 1;
        let _ = writeln!(sql, "INSERT INTO temp.mudlark_check SELECT {},{holds};", literal::text(what));
    };
    ask(
        sql,
        "all is done in one transaction",
        "(SELECT count(*)=1 FROM pragma_defer_foreign_keys WHERE defer_foreign_keys=1)",
    );
    if raw {
        let name = patch.encoding.name();
        let holds =
            format!("(SELECT count(*)=1 FROM pragma_encoding WHERE encoding={})", literal::text(name));
        ask(sql, "text is in the encoding of the evidence", &holds);
    }
    let as_defined = |name: &str, ddl: &str| {
        format!(
            "(SELECT count(*)=1 FROM main.sqlite_master WHERE type='table' AND name={} COLLATE NOCASE AND sql={})",
            literal::text(name),
            literal::text(ddl)
        )
    };
    for (number, table) in patch.tables.iter().enumerate() {
        let name = &table.name;
        ask(sql, &format!("{name}: its definition is as it was"), &as_defined(name, &table.sql));
        if !patch.triggers {
            let of = format!("WHERE type='trigger' AND tbl_name={} COLLATE NOCASE", literal::text(name));
            let holds = format!(
                "NOT EXISTS(SELECT 1 FROM main.sqlite_master {of}) AND NOT EXISTS(SELECT 1 FROM sqlite_temp_master {of})"
            );
            ask(sql, &format!("{name}: no trigger fires"), &holds);
        }
        let (now, then) = (
            table.rows.iter().filter(|row| row.now.is_some()).count(),
            table.rows.iter().filter(|row| row.then.is_some()).count(),
        );
        let holds = format!(
            "(SELECT count(*)={now} FROM temp.mudlark_now_{number}) AND (SELECT count(*)={then} FROM \
             temp.mudlark_then_{number})"
        );
        ask(sql, &format!("{name}: all its rows were loaded"), &holds);
        let stands = table.stands("n");
        if now > 0 {
            let holds =
                format!("NOT EXISTS(SELECT 1 FROM temp.mudlark_now_{number} AS n WHERE NOT {stands})");
            ask(sql, &format!("{name}: the rows stand as they were left"), &holds);
        }
        let (main, key) = (table.main(), table.same_key("n", "t"));
        let added = format!(
            "temp.mudlark_then_{number} AS n WHERE n.n NOT IN (SELECT n FROM temp.mudlark_now_{number}) AND \
             EXISTS(SELECT 1 FROM {main} AS t WHERE {key} AND NOT EXISTS(SELECT 1 FROM temp.mudlark_now_{number} AS g \
             WHERE g.way={GOES} AND {}))",
            table.same_key("g", "t")
        );
        ask(
            sql,
            &format!("{name}: the keys of rows that come back are free"),
            &format!("NOT EXISTS(SELECT 1 FROM {added})"),
        );
        // For a person: which rows are in the way.
        let shown = match &table.key {
            Key::Rowid(_) => "n.k".to_owned(),
            Key::Columns(places) => {
                places.iter().map(|place| format!("quote(n.c{place})")).collect::<Vec<_>>().join("||', '||")
            }
        };
        let _ = writeln!(
            sql,
            "SELECT {} AS \"table\",{shown} AS \"changed since\" FROM temp.mudlark_now_{number} AS n WHERE NOT \
             {stands} UNION ALL SELECT {},{shown} FROM {added};",
            literal::text(name),
            literal::text(name)
        );
    }
    for (name, ddl) in &patch.definitions {
        ask(sql, &format!("{name}: its definition is as it was"), &as_defined(name, ddl));
    }
    for name in &patch.referring {
        let _ = writeln!(
            sql,
            "INSERT INTO temp.mudlark_links SELECT {0},count(*) FROM pragma_foreign_key_check({0},'main');",
            literal::text(name)
        );
    }
    for (name, [now, then]) in &patch.sequences {
        let number = |value: &Option<i64>| value.map_or("NULL".to_owned(), |value| value.to_string());
        let _ = writeln!(
            sql,
            "INSERT INTO temp.mudlark_sequence SELECT {0},{1},{2},(SELECT seq FROM main.sqlite_sequence WHERE \
             name={0});",
            literal::text(name),
            number(now),
            number(then)
        );
    }
    let links = patch.referring.len();
    ask(sql, "all foreign keys were counted", &format!("(SELECT count(*)={links} FROM temp.mudlark_links)"));
    let _ = writeln!(
        sql,
        "SELECT what AS \"does not hold\" FROM temp.mudlark_check WHERE holds IS NOT 1;\n\
         INSERT OR ROLLBACK INTO temp.mudlark_verdict SELECT sum(holds IS 1)={checks},total_changes() FROM \
         temp.mudlark_check;\n"
    );
}

/// Changes the rows. What refers to others comes first, so that no row goes to which another still refers. Where a foreign
/// key would act on rows that stay, these refer to nothing until all others are as they are wanted.
fn change(patch: &Patch<'_, '_>, sql: &mut String) {
    for (number, table) in patch.tables.iter().enumerate().filter(|(_, table)| table.is_detached()) {
        let columns = table.columns.iter().filter(|column| table.detached.contains(&column.place));
        let columns: Vec<String> = columns.map(|column| format!("{}=NULL", quoted(&column.name))).collect();
        let rows = table.is_among(&format!("temp.mudlark_then_{number} WHERE way<>{ADDED}"));
        let _ = writeln!(
            sql,
            "UPDATE OR ABORT {} SET {} WHERE {ARMED} AND {rows};",
            table.main(),
            columns.join(",")
        );
    }
    for (number, table) in patch.tables.iter().enumerate() {
        if table.has(Way::Update) && !table.is_detached() {
            update(sql, number, table, &format!("way={STAYS}"), &[]);
        }
        if table.removes() > 0 {
            let rows = format!("temp.mudlark_now_{number} WHERE way={GOES}");
            let _ =
                writeln!(sql, "DELETE FROM {} WHERE {ARMED} AND {};", table.main(), table.is_among(&rows));
        }
        if table.has(Way::Parked) {
            park(sql, number, table);
            update(sql, number, table, &format!("way={LATE}"), &table.detached);
        }
    }
    for (number, table) in patch.tables.iter().enumerate().rev() {
        let added = |row: &Row<'_, '_>| row.then.is_some() && (row.now.is_none() || row.way == Way::Anew);
        if !table.rows.iter().any(added) {
            continue;
        }
        let mut names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
        let mut cells: Vec<String> =
            table.columns.iter().map(|column| format!("c{}", column.place)).collect();
        if let Key::Rowid(name) = &table.key {
            names.insert(0, quoted_rowid(name));
            cells.insert(0, "k".to_owned());
        }
        let _ = writeln!(
            sql,
            "INSERT OR ABORT INTO {}({}) SELECT {} FROM temp.mudlark_then_{number} WHERE {ARMED} AND way={ADDED} \
             ORDER BY n;",
            table.main(),
            names.join(","),
            cells.join(",")
        );
    }
    for (number, table) in patch.tables.iter().enumerate().filter(|(_, table)| table.is_detached()) {
        update(sql, number, table, &format!("way<>{ADDED}"), &[]);
    }
}

/// Sets the cells of the rows that `then` holds for some ways, but for those at the places that are left out.
fn update(sql: &mut String, number: usize, table: &Table<'_, '_>, ways: &str, left_out: &[usize]) {
    let is_set = |column: &&Settable| !table.is_key(column) && !left_out.contains(&column.place);
    let mut set: Vec<&Settable> = table.columns.iter().filter(is_set).collect();
    if set.is_empty() {
        // All of them refer to others: the first is set early.
        set.extend(table.columns.iter().find(|column| !table.is_key(column)));
    }
    let names: Vec<String> = set.iter().map(|column| quoted(&column.name)).collect();
    let cells: Vec<String> = set.iter().map(|column| format!("mudlark_n.c{}", column.place)).collect();
    let _ = writeln!(
        sql,
        "UPDATE OR ABORT {} SET ({})=(SELECT {} FROM temp.mudlark_then_{number} AS mudlark_n WHERE {}) WHERE {ARMED} AND \
         {};",
        table.main(),
        names.join(","),
        cells.join(","),
        table.same_key("mudlark_n", &quoted(&table.name)),
        table.is_among(&format!("temp.mudlark_then_{number} WHERE {ways}"))
    );
}

/// Gives rows values in their unique keys that no row has.
fn park(sql: &mut String, number: usize, table: &Table<'_, '_>) {
    let parked = |column: &Settable| {
        let name = quoted(&column.name);
        if !column.not_null {
            return format!("{name}=NULL");
        }
        format!(
            "{name}=CASE typeof({name}) WHEN 'integer' THEN random() WHEN 'real' THEN random()*1.5 WHEN 'blob' THEN \
             randomblob(16) ELSE hex(randomblob(16)) END"
        )
    };
    let unique = table.columns.iter().filter(|column| column.unique && !table.is_key(column));
    let _ = writeln!(
        sql,
        "UPDATE OR ABORT {} SET {} WHERE {ARMED} AND {};",
        table.main(),
        unique.map(parked).collect::<Vec<_>>().join(","),
        table.is_among(&format!("temp.mudlark_then_{number} WHERE way={LATE}"))
    );
}

/// Compares what came out with what was wanted, and takes all back where it differs.
fn end(patch: &Patch<'_, '_>, sql: &mut String) {
    let mut parts = vec![ARMED.to_owned()];
    if !patch.triggers {
        // A trigger or an action of a foreign key would have changed more.
        let changes: u64 = patch.tables.iter().map(Table::changes).sum();
        parts.push(format!("(SELECT total_changes()-start-1={changes} FROM temp.mudlark_verdict)"));
    }
    for (number, table) in patch.tables.iter().enumerate() {
        let stands = table.stands("n");
        let known = if matches!(table.key, Key::Rowid(_)) { "n.k IS NOT NULL AND " } else { "" };
        parts.push(format!(
            "NOT EXISTS(SELECT 1 FROM temp.mudlark_then_{number} AS n WHERE {known}NOT {stands})"
        ));
        parts.push(format!(
            "NOT EXISTS(SELECT 1 FROM temp.mudlark_now_{number} AS n WHERE n.n NOT IN (SELECT n FROM \
             temp.mudlark_then_{number}) AND {stands})"
        ));
    }
    for name in &patch.referring {
        let name = literal::text(name);
        parts.push(format!(
            "(SELECT count(*) FROM pragma_foreign_key_check({name},'main'))<=(SELECT broken FROM temp.mudlark_links \
             WHERE name={name})"
        ));
    }
    let _ = writeln!(sql, "\nINSERT OR ROLLBACK INTO temp.mudlark_done SELECT {};", all(&parts));
    // When the comparison itself fails, nothing has been taken back yet.
    sql.push_str("INSERT OR ROLLBACK INTO temp.mudlark_sure SELECT count(*)=1 FROM temp.mudlark_done;\n");
    let of = "main.sqlite_sequence.name=s.name AND s.found IS s.now";
    if !patch.sequences.is_empty() {
        let armed = "(SELECT holds FROM temp.mudlark_done)";
        let _ = writeln!(
            sql,
            "UPDATE main.sqlite_sequence SET seq=(SELECT s.\"then\" FROM temp.mudlark_sequence AS s WHERE {of}) WHERE \
             {armed} AND EXISTS(SELECT 1 FROM temp.mudlark_sequence AS s WHERE {of} AND s.\"then\" IS NOT NULL);\n\
             DELETE FROM main.sqlite_sequence WHERE {armed} AND EXISTS(SELECT 1 FROM temp.mudlark_sequence AS s WHERE \
             {of} AND s.\"then\" IS NULL);\n\
             INSERT INTO main.sqlite_sequence(name,seq) SELECT s.name,s.\"then\" FROM temp.mudlark_sequence AS s WHERE \
             {armed} AND s.found IS s.now AND s.\"then\" IS NOT NULL AND s.name NOT IN (SELECT name FROM \
             main.sqlite_sequence);"
        );
    }
    for table in &patch.tables {
        let _ = writeln!(
            sql,
            "SELECT {} AS \"table\",{} AS \"rows changed\" FROM temp.mudlark_done WHERE holds;",
            literal::text(&table.name),
            table.rows.len()
        );
    }
    for (number, _) in patch.tables.iter().enumerate() {
        let _ =
            writeln!(sql, "DROP TABLE temp.mudlark_now_{number};\nDROP TABLE temp.mudlark_then_{number};");
    }
    sql.push_str(
        "DROP TABLE temp.mudlark_check;\nDROP TABLE temp.mudlark_sequence;\nDROP TABLE temp.mudlark_links;\n\
         DROP TABLE temp.mudlark_verdict;\nDROP TABLE temp.mudlark_done;\nDROP TABLE temp.mudlark_sure;\nCOMMIT;\n",
    );
}
