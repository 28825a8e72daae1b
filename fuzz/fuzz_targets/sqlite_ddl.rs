//! DDL: read whole and cut, measured, split, and written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::ddl::{
    Statement, TableDdl, create_index, create_table, index_fields, read, read_cut, resolve, split_statements,
    statement_length,
};

fuzz_target!(|data: &[u8]| {
    assert!(statement_length(data).is_none_or(|length| length <= data.len()));
    let text = String::from_utf8_lossy(data);
    let parts = split_statements(&text);
    let statements: Vec<Statement> = [read(data).ok(), read_cut(data)]
        .into_iter()
        .flatten()
        .chain(
            parts.iter().flat_map(|part| [read(part.as_bytes()).ok(), read_cut(part.as_bytes())]).flatten(),
        )
        .collect();
    let tables: Vec<&TableDdl> = statements
        .iter()
        .filter_map(|statement| match statement {
            Statement::Table(table) => Some(table),
            _ => None,
        })
        .take(4)
        .collect();
    for table in &tables {
        check(table);
        for index in statements.iter().take(8) {
            let Statement::Index(raw) = index else { continue };
            let index = resolve(raw, table);
            let _ = index_fields(table, &index.parts);
            if let Ok(sql) = create_index(&index, table, "i", "x") {
                assert!(matches!(read(sql.as_bytes()), Ok(Statement::Index(_))), "{sql}");
            }
        }
    }
});

fn check(table: &TableDdl) {
    assert!(table.stored_columns().iter().all(|column| *column < table.columns.len()));
    assert!(table.rowid_alias.is_none_or(|alias| alias < table.columns.len()));
    for key in &table.uniques {
        let _ = index_fields(table, key);
    }
    let reissued = create_table(table, "x");
    match read(reissued.sql.as_bytes()) {
        Ok(Statement::Table(again)) => assert_eq!(again.columns.len(), reissued.columns.len()),
        other => panic!("{}: {other:?}", reissued.sql),
    }
}
