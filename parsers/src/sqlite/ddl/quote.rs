//! Names, strings and types written into SQL.

use crate::value::OwnedValue;

/// `name` in double quotes, those inside doubled. NUL, which would end the statement, becomes U+FFFD.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\"").replace('\0', "\u{fffd}"))
}

/// A literal that SQLite reads back as `value`.
pub(super) fn literal(value: &OwnedValue) -> String {
    match value {
        OwnedValue::Null => "NULL".to_owned(),
        OwnedValue::Int(integer) => integer.to_string(),
        // SQLite has no other spelling for infinity than a number too large.
        OwnedValue::Real(real) if real.is_infinite() => {
            if *real < 0.0 { "-9e999" } else { "9e999" }.to_owned()
        }
        OwnedValue::Real(real) if real.is_nan() => "NULL".to_owned(),
        OwnedValue::Real(real) => format!("{real:?}"),
        OwnedValue::Text(text) => {
            format!("'{}'", text.replace('\'', "''").replace('\0', "\u{fffd}"))
        }
        OwnedValue::Blob(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{digits}'")
        }
    }
}

/// A declared type: bare when it consists of plain words and perhaps a size, in quotes otherwise. Affinity looks
/// only at the text (<https://www.sqlite.org/datatype3.html>, section 3.1), so quotes don't change it.
pub(super) fn type_name(declared: &str) -> String {
    let (words, size) = match declared.split_once('(') {
        Some((words, size)) => (words, size.strip_suffix(')')),
        None => (declared, Some("0")),
    };
    let plain_word = |word: &str| {
        let mut bytes = word.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && !KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword))
    };
    let mut split = words.split_ascii_whitespace().peekable();
    let plain_words = split.peek().is_some() && split.all(plain_word);
    let plain_number = |number: &str| {
        let number = number.trim_matches(' ');
        let digits = number.strip_prefix(['+', '-']).unwrap_or(number);
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let plain_size =
        size.is_some_and(|size| size.split(',').count() <= 2 && size.split(',').all(plain_number));
    if plain_words && plain_size { declared.to_owned() } else { quote_identifier(declared) }
}

/// Keywords (<https://www.sqlite.org/lang_keywords.html>) that would be read as something else than part of a type.
/// The others may stand in one, so that leaving them out costs no quotes.
const KEYWORDS: [&str; 78] = [
    "ADD",
    "ALL",
    "ALTER",
    "ALWAYS",
    "AND",
    "AS",
    "AUTOINCREMENT",
    "BETWEEN",
    "CASE",
    "CHECK",
    "COLLATE",
    "COMMIT",
    "CONSTRAINT",
    "CREATE",
    "CROSS",
    "CURRENT_DATE",
    "CURRENT_TIME",
    "CURRENT_TIMESTAMP",
    "DEFAULT",
    "DEFERRABLE",
    "DELETE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "ESCAPE",
    "EXCEPT",
    "EXISTS",
    "FILTER",
    "FOREIGN",
    "FROM",
    "FULL",
    "GENERATED",
    "GROUP",
    "HAVING",
    "IN",
    "INDEX",
    "INDEXED",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "ISNULL",
    "JOIN",
    "LEFT",
    "LIMIT",
    "NATURAL",
    "NOT",
    "NOTHING",
    "NOTNULL",
    "NULL",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PRIMARY",
    "REFERENCES",
    "RETURNING",
    "RIGHT",
    "SELECT",
    "SET",
    "TABLE",
    "THEN",
    "TO",
    "TRANSACTION",
    "UNION",
    "UNIQUE",
    "UPDATE",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITHIN",
    "BEGIN",
    "END",
    "WITHOUT",
];

#[cfg(test)]
mod tests {
    use super::{literal, quote_identifier, type_name};
    use crate::value::OwnedValue;

    #[test]
    fn quotes_inside_a_name_are_doubled() {
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_identifier(""), "\"\"");
    }

    #[test]
    fn a_type_that_isn_t_plain_is_quoted() {
        for plain in ["VARCHAR(10)", "UNSIGNED BIG INT", "DECIMAL(10, -2)", "_x1"] {
            assert_eq!(type_name(plain), plain);
        }
        for odd in
            ["", "NOT NULL", "INT); DROP", "VARCHAR(MAX)", "CHAR(1,2,3)", "INT/*", "a-b", "VARCHAR(10", "(1)"]
        {
            assert_eq!(type_name(odd), quote_identifier(odd));
        }
    }

    #[test]
    fn reals_always_show_that_they_are_reals() {
        assert_eq!(literal(&OwnedValue::Real(3.0)), "3.0");
        assert_eq!(literal(&OwnedValue::Real(1e300)), "1e300");
        assert_eq!(literal(&OwnedValue::Text("it's".to_owned())), "'it''s'");
    }
}
