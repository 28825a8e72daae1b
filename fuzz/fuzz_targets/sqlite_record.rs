//! A record: header, serial types, values.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mudlark_parsers::sqlite::record::{decode, header, header_only};
use mudlark_parsers::value::{TextEncoding, Value};

fuzz_target!(|data: &[u8]| {
    let len = data.len() as u64;
    for read in header_only(data).into_iter().chain(header(data, len)) {
        assert!(read.len <= data.len());
        assert_eq!(read.serials().count(), read.columns);
        let mut values = Vec::new();
        decode(&read, data, &mut values);
        assert_eq!(values.len(), read.columns);
        if read.body.saturating_add(read.len as u64) <= len {
            assert!(!values.contains(&Value::Missing));
        }
        for value in values {
            if let Value::Text(bytes) = value {
                for encoding in [TextEncoding::Utf8, TextEncoding::Utf16le, TextEncoding::Utf16be] {
                    let _ = encoding.decode(bytes);
                }
            }
        }
    }
});
