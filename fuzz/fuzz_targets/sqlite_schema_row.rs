//! Rows of `sqlite_schema`, from the records that hold them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::ddl::{read, read_cut};
use mudlark_parsers::sqlite::record::{decode, header_only};
use mudlark_parsers::sqlite::schema_row::schema_row;
use mudlark_parsers::value::TextEncoding;

fuzz_target!(|data: &[u8]| {
    let Ok(header) = header_only(data) else { return };
    let mut values = Vec::new();
    decode(&header, data, &mut values);
    for encoding in [TextEncoding::Utf8, TextEncoding::Utf16le, TextEncoding::Utf16be] {
        let Some(sql) = schema_row(&values, encoding).and_then(|row| row.sql) else { continue };
        let _ = (read(sql.as_bytes()), read_cut(sql.as_bytes()));
    }
});
