//! The order of the entries of an index, and of the rows of a table without row ids.
//!
//! Source: <https://sqlite.org/datatype3.html#sort_order> and <https://sqlite.org/fileformat2.html> ("Representation Of SQL
//! Indices").

use mudlark_parsers::sqlite::ddl::KeyPart;
use mudlark_parsers::sqlite::record;
use mudlark_parsers::value::{TextEncoding, Value};
use std::cmp::Ordering;

/// How texts are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collation {
    /// Byte by byte.
    Binary,
    /// Without regard to ASCII capitals.
    NoCase,
    /// Without regard to spaces at the end.
    RightTrim,
}

impl Collation {
    /// Of this name; `None` for one that an application brings, and where the order is not that of the bytes.
    pub(super) fn of(name: Option<&str>, encoding: TextEncoding) -> Option<Self> {
        let plain = encoding == TextEncoding::Utf8;
        match name.unwrap_or("BINARY").to_ascii_uppercase().as_str() {
            "BINARY" => Some(Self::Binary),
            "NOCASE" => plain.then_some(Self::NoCase),
            "RTRIM" => plain.then_some(Self::RightTrim),
            _ => None,
        }
    }

    fn compare(self, one: &[u8], other: &[u8]) -> Ordering {
        match self {
            Self::Binary => one.cmp(other),
            Self::NoCase => one.to_ascii_lowercase().cmp(&other.to_ascii_lowercase()),
            Self::RightTrim => trimmed(one).cmp(trimmed(other)),
        }
    }
}

fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    text.get(..end).unwrap_or_default()
}

const fn class(value: &Value<'_>) -> u8 {
    match value {
        Value::Missing | Value::Null => 0,
        Value::Int(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    }
}

/// The order of two values.
pub(super) fn values(one: &Value<'_>, other: &Value<'_>, collation: Collation) -> Ordering {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.total_cmp(other),
        (Value::Int(one), Value::Real(other)) => (*one as f64).total_cmp(other),
        (Value::Real(one), Value::Int(other)) => one.total_cmp(&(*other as f64)),
        (Value::Text(one), Value::Text(other)) => collation.compare(one, other),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => class(one).cmp(&class(other)),
    }
}

/// The order of records by their first columns.
pub(super) struct KeyOrder(Vec<(Option<Collation>, bool)>);

impl KeyOrder {
    pub(super) fn new(parts: &[KeyPart], encoding: TextEncoding) -> Self {
        let part = |part: &KeyPart| (Collation::of(part.collation.as_deref(), encoding), part.descending);
        Self(parts.iter().map(part).collect())
    }

    /// Compares two records as far as their bytes go; `None` where these, or what is known of the order, don't tell.
    pub(super) fn compare(&self, one: &[u8], other: &[u8]) -> Option<Ordering> {
        let (first, second) = (record::header_only(one).ok()?, record::header_only(other).ok()?);
        let mut cells = record::cells(first.serials(), first.len, one);
        let mut others = record::cells(second.serials(), second.len, other);
        for (collation, falls) in &self.0 {
            let ((serial, bytes), (other_serial, other_bytes)) = (cells.next()?, others.next()?);
            let (bytes, other_bytes) = (bytes?, other_bytes?);
            let (one, other) = (serial.decode(bytes), other_serial.decode(other_bytes));
            let unknown = collation.is_none()
                && matches!((&one, &other), (Value::Text(_), Value::Text(_)))
                && bytes != other_bytes;
            if unknown {
                return None;
            }
            match values(&one, &other, collation.unwrap_or(Collation::Binary)) {
                Ordering::Equal => {}
                order => return Some(if *falls { order.reverse() } else { order }),
            }
        }
        Some(Ordering::Equal)
    }
}

#[cfg(test)]
mod tests {
    use super::KeyOrder;
    use mudlark_parsers::sqlite::ddl::KeyPart;
    use mudlark_parsers::value::TextEncoding;
    use std::cmp::Ordering;

    fn order(parts: &[(Option<&str>, bool)]) -> KeyOrder {
        let part = |(column, (collation, descending)): (usize, &(Option<&str>, bool))| KeyPart {
            column: Some(column),
            collation: collation.map(str::to_owned),
            descending: *descending,
        };
        KeyOrder::new(&parts.iter().enumerate().map(part).collect::<Vec<_>>(), TextEncoding::Utf8)
    }

    /// Records of a text of one byte and an integer of one.
    const A5: [u8; 5] = [3, 15, 1, b'a', 5];
    const A6: [u8; 5] = [3, 15, 1, b'A', 6];

    #[test]
    fn the_first_column_that_differs_decides_as_its_collation_says() {
        assert_eq!(order(&[(None, false), (None, false)]).compare(&A5, &A6), Some(Ordering::Greater));
        assert_eq!(order(&[(Some("nocase"), false), (None, false)]).compare(&A5, &A6), Some(Ordering::Less));
        assert_eq!(
            order(&[(Some("nocase"), false), (None, true)]).compare(&A5, &A6),
            Some(Ordering::Greater)
        );
        assert_eq!(order(&[(Some("nocase"), false)]).compare(&A5, &A6), Some(Ordering::Equal));
    }

    #[test]
    fn a_collation_of_an_application_and_a_record_that_is_cut_tell_nothing() {
        assert_eq!(order(&[(Some("german"), false)]).compare(&A5, &A6), None);
        assert_eq!(order(&[(None, false), (None, false)]).compare(&A5, &A5[..4]), None);
    }
}
