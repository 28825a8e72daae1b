//! Column affinity (<https://www.sqlite.org/datatype3.html>, section 3).

use crate::value::OwnedValue;

/// The type that a column prefers for its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Affinity {
    /// Values stay as they are.
    Blob,
    /// Numbers become text.
    Text,
    /// Text that looks like a number becomes one.
    Numeric,
    /// As `Numeric`; a cast differs, storage doesn't.
    Integer,
    /// As `Numeric`, and whole numbers are read back as reals.
    Real,
}

impl Affinity {
    /// Affinity of a declared type (section 3.1); no type gives [`Affinity::Blob`].
    ///
    /// `CHAR`, `CLOB` and `TEXT` win over what was found before them; `BLOB` only over the numeric ones, and `REAL`,
    /// `FLOA`, `DOUB` only over none; `INT` wins over all.
    #[must_use]
    pub fn of_type(declared: Option<&str>) -> Self {
        let Some(declared) = declared.filter(|declared| !declared.is_empty()) else {
            return Self::Blob;
        };
        let lower = declared.to_ascii_lowercase().into_bytes();
        if lower.windows(3).any(|window| window == b"int") {
            return Self::Integer;
        }
        let mut affinity = Self::Numeric;
        for window in lower.windows(4) {
            affinity = match (window, affinity) {
                (b"char" | b"clob" | b"text", _) => Self::Text,
                (b"blob", Self::Numeric | Self::Real) => Self::Blob,
                (b"real" | b"floa" | b"doub", Self::Numeric) => Self::Real,
                _ => affinity,
            };
        }
        affinity
    }
}

/// Applies column affinity to a value, as SQLite does when it reads a DEFAULT for a column that a short record
/// doesn't reach.
#[must_use]
pub fn apply_affinity(value: OwnedValue, affinity: Affinity) -> OwnedValue {
    match (affinity, value) {
        (Affinity::Text, OwnedValue::Int(number)) => OwnedValue::Text(number.to_string()),
        (Affinity::Text, OwnedValue::Real(number)) => OwnedValue::Text(real_text(number)),
        (Affinity::Numeric | Affinity::Integer, OwnedValue::Text(text)) => match number(&text) {
            Some(OwnedValue::Real(real)) => whole(real),
            Some(found) => found,
            None => OwnedValue::Text(text),
        },
        (Affinity::Numeric | Affinity::Integer, OwnedValue::Real(real)) => whole(real),
        (Affinity::Real, OwnedValue::Text(text)) => match number(&text) {
            Some(found) => as_real(found),
            None => OwnedValue::Text(text),
        },
        (Affinity::Real, value) => as_real(value),
        (_, value) => value,
    }
}

/// The number that the whole of `text` spells, blanks around it allowed; `None` when it doesn't look like one.
/// Hex, infinities and digit separators don't count (section 3.1 points to numeric literals, less those).
fn number(text: &str) -> Option<OwnedValue> {
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{b}' | '\u{c}');
    let text = text.trim_matches(blank);
    let looks_like_one = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    if !looks_like_one {
        return None;
    }
    if let Ok(integer) = text.parse::<i64>() {
        return Some(OwnedValue::Int(integer));
    }
    text.parse::<f64>().ok().map(OwnedValue::Real)
}

/// An integer when `real` is one and lies inside the range of 64 bits.
fn whole(real: f64) -> OwnedValue {
    #[allow(clippy::cast_possible_truncation)] // `as` saturates, and the ends are excluded below
    let integer = real as i64;
    #[allow(clippy::cast_precision_loss)] // compared with what it came from
    let same = integer as f64 == real && integer != i64::MIN && integer != i64::MAX;
    if same { OwnedValue::Int(integer) } else { OwnedValue::Real(real) }
}

fn as_real(value: OwnedValue) -> OwnedValue {
    match value {
        #[allow(clippy::cast_precision_loss)] // that is what REAL affinity does
        OwnedValue::Int(integer) => OwnedValue::Real(integer as f64),
        other => other,
    }
}

/// A real as SQLite turns it into text: 15 significant digits, always with a point (`printf('%!.15g')`).
fn real_text(real: f64) -> String {
    if !real.is_finite() {
        return if real < 0.0 { "-Inf" } else { "Inf" }.to_owned();
    }
    let scientific = format!("{real:.14e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..15).contains(&exponent) {
        let decimals = usize::try_from(14 - exponent).unwrap_or(0);
        return pointed(&format!("{real:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", pointed(mantissa), exponent.unsigned_abs())
}

/// Without trailing zeros, but with one digit after the point.
fn pointed(digits: &str) -> String {
    let Some((whole, fraction)) = digits.split_once('.') else {
        return format!("{digits}.0");
    };
    let fraction = fraction.trim_end_matches('0');
    format!("{whole}.{}", if fraction.is_empty() { "0" } else { fraction })
}

#[cfg(test)]
mod tests {
    use super::{Affinity, apply_affinity};
    use crate::value::OwnedValue::{Int, Real, Text};

    #[test]
    fn the_table_of_type_names_in_the_documentation_holds() {
        for (declared, affinity) in [
            ("INT", Affinity::Integer),
            ("UNSIGNED BIG INT", Affinity::Integer),
            ("FLOATING POINT", Affinity::Integer),
            ("CHARINT", Affinity::Integer),
            ("NVARCHAR(100)", Affinity::Text),
            ("CLOB", Affinity::Text),
            ("BLOB", Affinity::Blob),
            ("DOUBLE PRECISION", Affinity::Real),
            ("FLOATBLOB", Affinity::Blob),
            ("TEXTBLOB", Affinity::Text),
            ("BLOBTEXT", Affinity::Text),
            ("DECIMAL(10,5)", Affinity::Numeric),
            ("STRING", Affinity::Numeric),
            ("ANY", Affinity::Numeric),
        ] {
            assert_eq!(Affinity::of_type(Some(declared)), affinity, "{declared}");
        }
        assert_eq!(Affinity::of_type(None), Affinity::Blob);
    }

    #[test]
    fn text_that_looks_like_a_number_becomes_one() {
        let text = |text: &str| Text(text.to_owned());
        assert_eq!(apply_affinity(text(" 12 "), Affinity::Numeric), Int(12));
        assert_eq!(apply_affinity(text("+5"), Affinity::Integer), Int(5));
        assert_eq!(apply_affinity(text("48.00"), Affinity::Numeric), Int(48));
        assert_eq!(apply_affinity(text("1e3"), Affinity::Integer), Int(1000));
        assert_eq!(apply_affinity(text("1.5"), Affinity::Integer), Real(1.5));
        assert_eq!(apply_affinity(text("7"), Affinity::Real), Real(7.0));
        for not_one in ["0x10", "1_000", "inf", "nan", "", " ", "1 2", "e5", "1e", "--1"] {
            assert_eq!(apply_affinity(text(not_one), Affinity::Numeric), text(not_one));
        }
    }

    #[test]
    fn numbers_become_text_with_a_point_in_reals() {
        for (real, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1.0e+15"),
            (-2.5e-7, "-2.5e-07"),
            (123456.789, "123456.789"),
            (100_000_000_000_000.0, "100000000000000.0"),
        ] {
            assert_eq!(apply_affinity(Real(real), Affinity::Text), Text(text.to_owned()));
        }
        assert_eq!(apply_affinity(Int(-3), Affinity::Text), Text("-3".to_owned()));
    }
}
