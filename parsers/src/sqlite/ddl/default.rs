//! `DEFAULT`: constants are folded, other expressions are kept as text.
//!
//! What a constant gives for a record that ends before its column is not always what an `INSERT` would store: a
//! number with a point in a `TEXT` column keeps the spelling of the `DEFAULT`.

use super::affinity::Affinity;
use super::cursor::{Cursor, span};
use super::key::{MAX_WRAPPINGS, inside_parentheses};
use super::token::{Kind, Token, unquote};
use crate::value::OwnedValue;

/// The value a column has where none was given (<https://www.sqlite.org/lang_createtable.html>, section 3.2).
#[derive(Clone, Debug, PartialEq)]
pub enum DefaultValue {
    /// A constant. The column's affinity is still to be applied, see [`super::apply_affinity`].
    Value(OwnedValue),
    /// Anything else, such as `CURRENT_TIMESTAMP` or `(random())`, as written.
    Expression(String),
}

/// Takes what stands behind `DEFAULT`; `None` when nothing usable does.
pub(super) fn take_default(cursor: &mut Cursor<'_>, affinity: Affinity) -> Option<DefaultValue> {
    let start = cursor.position();
    if cursor.is_punct(b'(') {
        cursor.take_parentheses()?;
    } else {
        let signed = cursor.take_punct(b'-') || cursor.take_punct(b'+');
        let token = cursor.peek()?;
        match token.kind {
            Kind::Word | Kind::Quoted if signed && !token.is(cursor.sql(), "NULL") => return None,
            Kind::Word | Kind::Quoted | Kind::Text | Kind::Blob | Kind::Number => cursor.take(),
            _ => return None,
        };
    }
    let tokens = cursor.since(start);
    Some(match constant(cursor.sql(), tokens, affinity) {
        Some(value) => DefaultValue::Value(value),
        None => DefaultValue::Expression(span(cursor.sql(), tokens).to_owned()),
    })
}

fn constant(sql: &str, mut tokens: &[Token], affinity: Affinity) -> Option<OwnedValue> {
    let mut negations = 0_usize;
    let mut wrappings = 0_usize;
    let token = loop {
        match tokens {
            [token] => break *token,
            [sign, rest @ ..] if sign.is_punct(b'-') => {
                negations += 1;
                tokens = rest;
            }
            [sign, rest @ ..] if sign.is_punct(b'+') => tokens = rest,
            _ => {
                tokens = inside_parentheses(tokens)?;
                wrappings += 1;
                if wrappings > MAX_WRAPPINGS {
                    return None;
                }
            }
        }
    };
    let bare = wrappings == 0;
    let text = token.text(sql);
    match token.kind {
        Kind::Number => number(text, negations, affinity),
        Kind::Word if token.is(sql, "NULL") => Some(OwnedValue::Null),
        Kind::Word if token.is(sql, "TRUE") => negate(OwnedValue::Int(1), negations),
        Kind::Word if token.is(sql, "FALSE") => Some(OwnedValue::Int(0)),
        _ if negations > 0 => None,
        Kind::Text => Some(OwnedValue::Text(unquote(text))),
        Kind::Blob => blob(text).map(OwnedValue::Blob),
        Kind::Word
            if ["CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"]
                .iter()
                .any(|word| token.is(sql, word)) =>
        {
            None
        }
        // A name outside of parentheses is a string; inside it would have to be a column.
        Kind::Word if bare => Some(OwnedValue::Text(text.to_owned())),
        Kind::Quoted if bare => Some(OwnedValue::Text(unquote(text))),
        _ => None,
    }
}

fn number(text: &str, negations: usize, affinity: Affinity) -> Option<OwnedValue> {
    let text = text.replace('_', "");
    if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        let bits = u64::from_str_radix(hex, 16).ok()?;
        return negate(OwnedValue::Int(bits.cast_signed()), negations);
    }
    if let Ok(integer) = text.parse::<i64>() {
        return negate(OwnedValue::Int(integer), negations);
    }
    let real: f64 = text.parse().ok()?;
    if negations > 1 {
        return negate(OwnedValue::Real(real), negations);
    }
    let signed = if negations == 1 { format!("-{text}") } else { text };
    if affinity == Affinity::Text {
        return Some(OwnedValue::Text(signed));
    }
    match signed.parse::<i64>() {
        Ok(smallest) => Some(OwnedValue::Int(smallest)), // -9223372036854775808: only negative it fits
        Err(_) => signed.parse().ok().map(OwnedValue::Real),
    }
}

fn negate(value: OwnedValue, negations: usize) -> Option<OwnedValue> {
    if negations.is_multiple_of(2) {
        return Some(value);
    }
    Some(match value {
        OwnedValue::Int(integer) => match integer.checked_neg() {
            Some(negative) => OwnedValue::Int(negative),
            #[allow(clippy::cast_precision_loss)] // a power of two
            None => OwnedValue::Real(-(integer as f64)),
        },
        OwnedValue::Real(real) => OwnedValue::Real(-real),
        _ => return None,
    })
}

/// The bytes of `x'…'`.
fn blob(literal: &str) -> Option<Vec<u8>> {
    let digits = literal.get(2..literal.len().checked_sub(1)?)?.as_bytes();
    let (pairs, _) = digits.as_chunks::<2>();
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|nibble| u8::try_from(nibble).ok());
    pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::super::affinity::Affinity;
    use super::super::cursor::Cursor;
    use super::super::token::Tokens;
    use super::{DefaultValue, take_default};
    use crate::value::OwnedValue::{self, Blob, Int, Null, Real, Text};

    fn read(sql: &str, affinity: Affinity) -> Option<DefaultValue> {
        let tokens: Vec<_> = Tokens::new(sql).collect();
        take_default(&mut Cursor::new(sql, &tokens), affinity)
    }

    fn value(sql: &str) -> OwnedValue {
        match read(sql, Affinity::Blob).unwrap() {
            DefaultValue::Value(value) => value,
            DefaultValue::Expression(text) => panic!("{sql} gave the expression {text}"),
        }
    }

    #[test]
    fn literals_are_folded() {
        assert_eq!(value("-5 NOT NULL"), Int(-5));
        assert_eq!(value("(- (-5))"), Int(5));
        assert_eq!(value("+ 1.5e1"), Real(15.0));
        assert_eq!(value("0x10"), Int(16));
        assert_eq!(value("0xffffffffffffffff"), Int(-1));
        assert_eq!(value("-9223372036854775808"), Int(i64::MIN));
        assert_eq!(value("9223372036854775808"), Real(9_223_372_036_854_775_808.0));
        assert_eq!(value("1_000"), Int(1000));
        assert_eq!(value("'it''s'"), Text("it's".to_owned()));
        assert_eq!(value("\"a\""), Text("a".to_owned()));
        assert_eq!(value("word"), Text("word".to_owned()));
        assert_eq!(value("x'0aFF'"), Blob(vec![0x0a, 0xff]));
        assert_eq!(value("TRUE"), Int(1));
        assert_eq!(value("(false)"), Int(0));
        assert_eq!(value("\"true\""), Text("true".to_owned()));
        assert_eq!(value("null"), Null);
    }

    #[test]
    fn a_number_with_a_point_keeps_its_spelling_in_a_text_column() {
        let spelled = DefaultValue::Value(Text("-1.50".to_owned()));
        assert_eq!(read("-1.50", Affinity::Text), Some(spelled));
    }

    #[test]
    fn other_expressions_stay_text() {
        for sql in ["CURRENT_TIMESTAMP", "(1 + 1)", "(name)", "(datetime('now'))", "-'5'"] {
            assert_eq!(read(sql, Affinity::Blob), Some(DefaultValue::Expression(sql.to_owned())));
        }
    }

    #[test]
    fn nothing_to_take_gives_nothing() {
        for sql in ["", ", b", "(1", "-", "-name"] {
            assert_eq!(read(sql, Affinity::Blob), None, "{sql}");
        }
    }
}
