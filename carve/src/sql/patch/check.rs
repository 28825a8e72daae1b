//! What must hold before any row is changed, and the verdict.

use super::load::GOES;
use super::{Key, Patch};
use crate::sql::literal;
use std::fmt::Write;

/// Asks for all that must hold, and then for the verdict.
pub(super) fn check(patch: &Patch<'_, '_>, raw: bool, sql: &mut String) {
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
