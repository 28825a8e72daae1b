//! The statements that change rows, and the comparison behind them.

use super::load::{ADDED, GOES, LATE, STAYS};
use super::rows::{all, quoted_rowid};
use super::{ARMED, Key, Patch, Row, Settable, Table, Way};
use crate::sql::literal;
use mudlark_parsers::sqlite::ddl::quote_identifier as quoted;
use std::fmt::Write;

/// Changes the rows. What refers to others comes first, so that no row goes to which another still refers. Where a foreign
/// key would act on rows that stay, these refer to nothing until all others are as they are wanted.
pub(super) fn change(patch: &Patch<'_, '_>, sql: &mut String) {
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
pub(super) fn end(patch: &Patch<'_, '_>, sql: &mut String) {
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
