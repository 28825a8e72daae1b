//! Values as SQL that every SQLite reads back to the last bit.

use rusqlite::types::ValueRef;
use std::fmt::Write;

/// Adds a value to a statement.
pub(crate) fn put(sql: &mut String, value: ValueRef<'_>) {
    match value {
        ValueRef::Null => sql.push_str("NULL"),
        ValueRef::Integer(integer) => {
            let _ = write!(sql, "{integer}");
        }
        ValueRef::Real(real) => put_real(sql, real),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => put_text(sql, text),
            Err(_) => {
                sql.push_str("CAST(");
                put_blob(sql, bytes);
                sql.push_str(" AS TEXT)");
            }
        },
        ValueRef::Blob(bytes) => put_blob(sql, bytes),
    }
}

/// A text as a literal.
pub(crate) fn text(text: &str) -> String {
    let mut sql = String::new();
    put_text(&mut sql, text);
    sql
}

fn put_blob(sql: &mut String, bytes: &[u8]) {
    sql.push_str("X'");
    sql.push_str(&hex::encode_upper(bytes));
    sql.push('\'');
}

/// Control characters can't stand in a literal: NUL ends the statement, the `sqlite3` shell drops a carriage return
/// before a line feed, and other clients have other habits. A mark that the text doesn't have stands for each of them,
/// as in the shell's own `.dump`. (`CAST(X'…' AS TEXT)` would not do: in a UTF-16 database it reads UTF-16.)
fn put_text(sql: &mut String, text: &str) {
    let mut controls: Vec<char> = text.chars().filter(|c| c.is_control()).collect();
    controls.sort_unstable();
    controls.dedup();
    let mut free = ('\u{e000}'..=char::MAX).filter(|c| !text.contains(*c));
    let backslash = text.contains('\\');
    // A backslash begins each mark and stands nowhere else, or a character is a mark: so none overlaps another.
    let mut mark = |control: char| match control {
        _ if backslash => free.next().map(String::from).unwrap_or_default(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        other => format!("\\x{:02x}", u32::from(other)),
    };
    let marks: Vec<(char, String)> = controls.into_iter().map(|control| (control, mark(control))).collect();
    for _ in &marks {
        sql.push_str("replace(");
    }
    sql.push('\'');
    for c in text.chars() {
        match c {
            '\'' => sql.push_str("''"),
            c if c.is_control() => {
                let mark = marks.iter().find(|(control, _)| *control == c);
                sql.push_str(mark.map_or("", |(_, mark)| mark));
            }
            c => sql.push(c),
        }
    }
    sql.push('\'');
    for (control, mark) in marks {
        let _ = write!(sql, ",'{mark}',char({}))", u32::from(control));
    }
}

/// SQLite's conversion of decimals is off by one bit for some numbers, others in each version. So a decimal is written
/// only when it is easy to convert ([`easy_decimal`]), and an integer times or over powers of two, which is exact,
/// otherwise.
fn put_real(sql: &mut String, real: f64) {
    if real.is_nan() {
        // What SQLite makes of it.
        sql.push_str("NULL");
    } else if real.is_infinite() {
        sql.push_str(if real < 0.0 { "-9e999" } else { "9e999" });
    } else if let Some(decimal) = easy_decimal(real) {
        sql.push_str(&decimal);
    } else {
        let (mantissa, mut exponent) = parts(real.abs());
        let _ = write!(sql, "({}1.0*{mantissa}", if real < 0.0 { "-" } else { "" });
        while exponent != 0 {
            let step = exponent.clamp(-52, 52);
            let operator = if step < 0 { '/' } else { '*' };
            let _ = write!(sql, "{operator}{}", 1_u64 << step.unsigned_abs());
            exponent -= step;
        }
        sql.push(')');
    }
}

/// The shortest decimal of `real`, when no version of SQLite can miss the number: a whole number of at most 15
/// digits, divided by a power of ten that is exact as a double, and not so near the middle between two doubles that the
/// 64 bits in which some versions compute can tip it over.
fn easy_decimal(real: f64) -> Option<String> {
    let shortest = format!("{real:?}");
    let digits = shortest.trim_start_matches('-');
    if digits.contains('e') {
        return None;
    }
    let (whole, fraction) = digits.split_once('.')?;
    let fraction = if fraction == "0" { "" } else { fraction };
    let places = u32::try_from(fraction.len()).ok().filter(|places| *places <= 22)?;
    let number: u128 = format!("{whole}{fraction}").parse().ok().filter(|n| *n < 10_u128.pow(15))?;
    let (mantissa, exponent) = full_parts(real.abs());
    if mantissa == 0 || places == 0 {
        return Some(shortest);
    }
    // number / 10^places against mantissa * 2^exponent, both times 10^places / 2^exponent; a unit in the last place
    // is then 10^places. A fraction of at most 15 digits has an exponent below zero.
    let scale = 10_u128.pow(places);
    let shift = exponent.checked_neg().and_then(|shift| u32::try_from(shift).ok())?;
    let left = number.checked_shl(shift).filter(|left| left >> shift == number)?;
    let right = u128::from(mantissa).checked_mul(scale)?;
    let off = left.abs_diff(right).checked_mul(1000)?;
    (off < scale.checked_mul(499)?).then_some(shortest)
}

/// A finite number that is not negative as an odd integer and a power of two.
fn parts(real: f64) -> (u64, i32) {
    let (mantissa, exponent) = full_parts(real);
    if mantissa == 0 {
        return (0, 0);
    }
    let zeros = mantissa.trailing_zeros();
    (mantissa >> zeros, exponent + zeros as i32)
}

/// The same with all bits of the mantissa (<https://en.wikipedia.org/wiki/Double-precision_floating-point_format>).
fn full_parts(real: f64) -> (u64, i32) {
    let bits = real.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), (bits >> 52 & 0x7ff) as i32);
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

#[cfg(test)]
mod tests {
    use super::put;
    use rusqlite::Connection;
    use rusqlite::types::{Value, ValueRef};

    fn literal(value: &Value) -> String {
        let mut sql = String::new();
        put(&mut sql, ValueRef::from(value));
        sql
    }

    fn read_back(connection: &Connection, sql: &str) -> Value {
        connection.query_row(&format!("SELECT {sql}"), [], |row| row.get(0)).expect(sql)
    }

    #[test]
    fn common_values_look_as_a_person_writes_them() {
        assert_eq!(literal(&Value::Real(137.39)), "137.39");
        assert_eq!(literal(&Value::Real(-5.0)), "-5.0");
        assert_eq!(literal(&Value::Text("it's".to_owned())), "'it''s'");
        assert_eq!(literal(&Value::Text("a\nb".to_owned())), "replace('a\\nb','\\n',char(10))");
        assert_eq!(literal(&Value::Blob(vec![0, 255])), "X'00FF'");
        assert_eq!(literal(&Value::Integer(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn every_real_is_read_back_to_the_last_bit() {
        let connection = Connection::open_in_memory().expect("a database");
        let mut reals = vec![
            0.1 + 0.2,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e22,
            1e23,
        ];
        // Numbers of 15 digits that SQLite 3.40 reads wrong when they stand as decimals.
        reals.extend([
            468761e-10,
            802325e-8,
            193706846340233e-16,
            947218e-11,
            105117e-19,
            0.0,
            9007199254740993.0,
        ]);
        let mut state = 1_u64;
        for number in 0..3000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            reals.extend([f64::from_bits(state), (state >> 20) as f64 / 10_f64.powi((number % 16) as i32)]);
        }
        for real in reals.into_iter().filter(|real| !real.is_nan()) {
            let sql = literal(&Value::Real(real));
            let Value::Real(read) = read_back(&connection, &sql) else { panic!("{sql} is no real") };
            assert_eq!(read.to_bits(), real.to_bits(), "{real:?} as {sql}");
        }
    }

    #[test]
    fn text_with_control_characters_is_one_line_and_is_read_back() {
        for encoding in ["UTF-8", "UTF-16le"] {
            let connection = Connection::open_in_memory().expect("a database");
            connection.pragma_update(None, "encoding", encoding).expect("an encoding");
            for text in [
                "a\0b",
                "\0",
                "line\r\nline\n\u{1a}",
                "\u{e000}\u{e001}\0\0'\0",
                "",
                "\u{7f}\u{85}é漢😀",
                "C:\\new\n\\n\n",
            ] {
                let value = Value::Text(text.to_owned());
                let sql = literal(&value);
                assert!(!sql.contains(char::is_control), "{sql:?}");
                assert_eq!(read_back(&connection, &sql), value, "{sql}");
            }
            let many: String = "\0\n".repeat(5000);
            let value = Value::Text(many);
            assert_eq!(read_back(&connection, &literal(&value)), value);
        }
    }

    #[test]
    fn integers_beyond_what_doubles_hold_are_read_back() {
        let connection = Connection::open_in_memory().expect("a database");
        for integer in [i64::MIN, i64::MAX, (1 << 53) + 1, -1] {
            let value = Value::Integer(integer);
            assert_eq!(read_back(&connection, &literal(&value)), value);
        }
    }
}
