//! The columns of a key: `a`, `b COLLATE NOCASE DESC`, `lower(c)`.

use super::cursor::Cursor;
use super::token::{Kind, Token};

/// One part of a PRIMARY KEY, a UNIQUE constraint or an index, its column known by position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The column; `None` for an expression or a name that the table doesn't have.
    pub column: Option<usize>,
    /// The collation in force: the one written here, or else the column's. `None` means `BINARY`.
    pub collation: Option<String>,
    /// `DESC`.
    pub descending: bool,
}

impl KeyPart {
    /// Do both stand for the same column, compared the same way? The order doesn't count.
    #[must_use]
    pub fn same_key(&self, other: &Self) -> bool {
        self.column.is_some()
            && self.column == other.column
            && collation_name(&self.collation).eq_ignore_ascii_case(collation_name(&other.collation))
    }
}

fn collation_name(collation: &Option<String>) -> &str {
    collation.as_deref().unwrap_or("BINARY")
}

/// One part of a key as written, its column known by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawKeyPart {
    /// The column's name; `None` for an expression.
    pub column: Option<String>,
    /// `COLLATE name`, when written.
    pub collation: Option<String>,
    /// `DESC`.
    pub descending: bool,
}

/// Takes a list of key parts from behind its `(` through its `)`. Says in `autoincrement` whether that word stood in
/// it, and returns whether all of it was there, no more than [`MAX_COLUMNS`] parts.
pub(super) fn take_key_parts(
    cursor: &mut Cursor<'_>,
    parts: &mut Vec<RawKeyPart>,
    autoincrement: &mut bool,
) -> bool {
    let mut too_many = false;
    loop {
        let start = cursor.position();
        let ended = cursor.take_item();
        let item = cursor.since(start);
        too_many |= parts.len() >= MAX_COLUMNS;
        // The last item of a text that is cut off may be cut itself: not a part to rely on.
        if ended && !item.is_empty() && !too_many {
            let (part, auto) = key_part(cursor.sql(), item);
            parts.push(part);
            *autoincrement |= auto;
        }
        if !ended {
            return false;
        }
        if cursor.take_punct(b')') {
            return !too_many;
        }
        cursor.take();
    }
}

/// SQLite's default limit for the columns of a table and of an index (<https://www.sqlite.org/limits.html>).
pub(super) const MAX_COLUMNS: usize = 2_000;

/// Parentheses and `COLLATE`s around a column name that are looked through. SQLite itself stops at an expression
/// depth of 1,000 (<https://www.sqlite.org/limits.html>); each one costs a pass over what it encloses.
pub(super) const MAX_WRAPPINGS: usize = 100;

fn key_part(sql: &str, mut item: &[Token]) -> (RawKeyPart, bool) {
    let autoincrement = take_last_word(sql, &mut item, "AUTOINCREMENT");
    if let [rest @ .., nulls, place] = item
        && nulls.is(sql, "NULLS")
        && (place.is(sql, "FIRST") || place.is(sql, "LAST"))
    {
        item = rest;
    }
    let descending = take_last_word(sql, &mut item, "DESC");
    if !descending {
        take_last_word(sql, &mut item, "ASC");
    }
    let mut collation = None;
    for _ in 0..MAX_WRAPPINGS {
        if let [rest @ .., keyword, name] = item
            && !rest.is_empty()
            && keyword.is(sql, "COLLATE")
            && let Some(name) = name.name(sql)
        {
            collation.get_or_insert(name); // the outermost one counts
            item = rest;
        } else if let Some(inner) = inside_parentheses(item) {
            item = inner;
        } else {
            break;
        }
    }
    let column = match item {
        [token] => token.name(sql),
        _ => None,
    };
    (RawKeyPart { column, collation, descending }, autoincrement)
}

/// Takes `keyword` off the end, unless it is all there is and so the column's name.
fn take_last_word(sql: &str, item: &mut &[Token], keyword: &str) -> bool {
    match item {
        [rest @ .., last] if !rest.is_empty() && last.is(sql, keyword) => {
            *item = rest;
            true
        }
        _ => false,
    }
}

/// The tokens between when one pair of parentheses encloses all of them.
pub(super) fn inside_parentheses(tokens: &[Token]) -> Option<&[Token]> {
    let [first, inner @ .., last] = tokens else {
        return None;
    };
    if !first.is_punct(b'(') || !last.is_punct(b')') {
        return None;
    }
    let mut depth = 0_usize;
    for token in inner {
        match token.kind {
            Kind::Punct(b'(') => depth += 1,
            Kind::Punct(b')') => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    Some(inner)
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::super::token::Tokens;
    use super::{RawKeyPart, take_key_parts};

    fn parts(sql: &str) -> (Vec<RawKeyPart>, bool) {
        let tokens: Vec<_> = Tokens::new(sql).collect();
        let mut parts = Vec::new();
        let whole = take_key_parts(&mut Cursor::new(sql, &tokens), &mut parts, &mut false);
        (parts, whole)
    }

    fn part(column: Option<&str>, collation: Option<&str>, descending: bool) -> RawKeyPart {
        let owned = |name: Option<&str>| name.map(str::to_owned);
        RawKeyPart { column: owned(column), collation: owned(collation), descending }
    }

    #[test]
    fn parentheses_around_a_column_don_t_make_it_an_expression() {
        let (parts, whole) = parts("a, ((b) COLLATE x) DESC, 'c' ASC NULLS LAST, lower(d), (e)||(f))");
        assert!(whole);
        assert_eq!(
            parts,
            [
                part(Some("a"), None, false),
                part(Some("b"), Some("x"), true),
                part(Some("c"), None, false),
                part(None, None, false),
                part(None, None, false),
            ]
        );
    }

    #[test]
    fn an_order_word_alone_is_the_name_of_a_column() {
        assert_eq!(parts("desc desc)").0, [part(Some("desc"), None, true)]);
        assert_eq!(parts("asc)").0, [part(Some("asc"), None, false)]);
    }

    #[test]
    fn a_part_that_is_cut_is_left_out() {
        let (parts, whole) = parts("a, bc");
        assert!(!whole);
        assert_eq!(parts, [part(Some("a"), None, false)]);
    }
}
