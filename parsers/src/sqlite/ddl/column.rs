//! Column definitions: name, type and column constraints.
//! <https://www.sqlite.org/syntax/column-def.html>

use super::affinity::Affinity;
use super::constraint::{RawKey, RawReference, skip_conflict_clause, take_references};
use super::cursor::{Cursor, span};
use super::default::take_default;
use super::key::RawKeyPart;
use super::table::{Column, Generated};
use super::token::{Kind, Token, unquote};

/// Words that begin a column constraint, and so end a type.
const CONSTRAINT_WORDS: [&str; 11] = [
    "CONSTRAINT",
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "AS",
    "DEFERRABLE",
];

/// A column definition as far as it could be read.
pub(super) struct RawColumn {
    pub(super) column: Column,
    /// PRIMARY KEY and UNIQUE constraints in the order written.
    pub(super) keys: Vec<RawKey>,
    /// REFERENCES in the order written.
    pub(super) references: Vec<RawReference>,
    pub(super) autoincrement: bool,
    pub(super) conflict_clause: bool,
    /// Everything was understood.
    pub(super) sound: bool,
}

/// Takes a column definition, up to the `,` or `)` behind it. `None` when no name stands here.
pub(super) fn take_column(cursor: &mut Cursor<'_>) -> Option<RawColumn> {
    let name = cursor.take_name()?;
    let declared_type = take_type(cursor);
    let mut raw = RawColumn {
        column: Column {
            affinity: Affinity::of_type(declared_type.as_deref()),
            declared_type,
            ..Column::named(name)
        },
        keys: Vec::new(),
        references: Vec::new(),
        autoincrement: false,
        conflict_clause: false,
        sound: true,
    };
    while let Some(token) = cursor.peek() {
        if matches!(token.kind, Kind::Punct(b',' | b')')) {
            break;
        }
        raw.take_constraint(cursor);
    }
    Some(raw)
}

/// A type is any number of names, then perhaps a size; its text is kept as written, comments and all, except that a
/// type that begins with a quoted name consists of that name only.
fn take_type(cursor: &mut Cursor<'_>) -> Option<String> {
    let start = cursor.position();
    let ends_type = |cursor: &Cursor<'_>, token: Token| {
        CONSTRAINT_WORDS.iter().any(|word| token.is(cursor.sql(), word))
            || (token.is(cursor.sql(), "GENERATED") && cursor.is_at(1, "ALWAYS"))
    };
    while let Some(token) = cursor.peek() {
        let named = matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Text);
        if !named || ends_type(cursor, token) {
            break;
        }
        cursor.take();
    }
    if cursor.position() == start {
        return None;
    }
    let words = cursor.since(start);
    if let (Some(first), Some(generated)) =
        (words.first(), cursor.peek().filter(|token| token.is(cursor.sql(), "GENERATED")))
    {
        // SQLite's grammar takes these words into the type first, and a comment before them with it.
        let text = cursor.sql().get(first.start..generated.start).unwrap_or_default();
        return Some(unquote(text.trim_ascii_end())).filter(|declared| !declared.is_empty());
    }
    if cursor.is_punct(b'(') && cursor.take_parentheses().is_none() {
        return Some(span(cursor.sql(), words).to_owned()); // the size is cut off
    }
    Some(unquote(span(cursor.sql(), cursor.since(start)))).filter(|declared| !declared.is_empty())
}

impl RawColumn {
    /// A column of which only the place is known.
    pub(super) fn unknown(place: usize) -> Self {
        let column = Column::unknown(place);
        Self {
            column,
            keys: Vec::new(),
            references: Vec::new(),
            autoincrement: false,
            conflict_clause: false,
            sound: false,
        }
    }

    fn take_constraint(&mut self, cursor: &mut Cursor<'_>) {
        let column = &mut self.column;
        if cursor.take_words(&["CONSTRAINT"]) {
            self.sound &= cursor.take_name().is_some();
        } else if cursor.take_words(&["PRIMARY", "KEY"]) {
            let descending = cursor.take_words(&["DESC"]);
            if !descending {
                cursor.take_words(&["ASC"]);
            }
            self.conflict_clause |= skip_conflict_clause(cursor);
            self.autoincrement |= cursor.take_words(&["AUTOINCREMENT"]);
            self.keys.push(RawKey::of_column(&column.name, true, descending));
        } else if cursor.take_words(&["UNIQUE"]) {
            self.conflict_clause |= skip_conflict_clause(cursor);
            self.keys.push(RawKey::of_column(&column.name, false, false));
        } else if cursor.take_words(&["NOT", "NULL"]) {
            self.conflict_clause |= skip_conflict_clause(cursor);
            column.not_null = true;
        } else if cursor.take_words(&["NULL"]) {
            self.conflict_clause |= skip_conflict_clause(cursor);
        } else if cursor.take_words(&["CHECK"]) {
            column.has_check = true;
            self.sound &= cursor.take_parentheses().is_some();
            self.conflict_clause |= skip_conflict_clause(cursor);
        } else if cursor.take_words(&["DEFAULT"]) {
            let default = take_default(cursor, column.affinity);
            self.sound &= default.is_some();
            column.default = default;
        } else if cursor.take_words(&["COLLATE"]) {
            let collation = cursor.take_name();
            self.sound &= collation.is_some();
            column.collation = collation;
        } else if cursor.take_words(&["REFERENCES"]) {
            column.has_foreign_key = true;
            let part = RawKeyPart { column: Some(column.name.clone()), collation: None, descending: false };
            self.sound &= take_references(cursor, vec![part], &mut self.references);
        } else if cursor.take_words(&["GENERATED", "ALWAYS", "AS"]) || cursor.take_words(&["AS"]) {
            self.sound &= cursor.take_parentheses().is_some();
            column.generated = Some(if cursor.take_words(&["STORED"]) {
                Generated::Stored
            } else {
                cursor.take_words(&["VIRTUAL"]);
                Generated::Virtual
            });
        } else if !skip_deferrable(cursor) {
            self.sound = false;
            if cursor.is_punct(b'(') {
                cursor.take_parentheses();
            } else {
                cursor.take();
            }
        }
    }
}

/// `[NOT] DEFERRABLE [INITIALLY …]`, which may also stand apart from its REFERENCES.
pub(super) fn skip_deferrable(cursor: &mut Cursor<'_>) -> bool {
    if !cursor.take_words(&["NOT", "DEFERRABLE"]) && !cursor.take_words(&["DEFERRABLE"]) {
        return false;
    }
    if cursor.take_words(&["INITIALLY"]) {
        cursor.take();
    }
    true
}

impl RawKey {
    fn of_column(name: &str, primary: bool, descending: bool) -> Self {
        let part = RawKeyPart { column: Some(name.to_owned()), collation: None, descending };
        Self { primary, parts: vec![part], of_column: true }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::cursor::Cursor;
    use super::super::table::Generated;
    use super::super::token::Tokens;
    use super::{RawColumn, take_column};

    fn column(sql: &str) -> RawColumn {
        let tokens: Vec<_> = Tokens::new(sql).collect();
        take_column(&mut Cursor::new(sql, &tokens)).unwrap()
    }

    #[test]
    fn a_type_is_kept_as_written() {
        let declared = |sql| column(sql).column.declared_type;
        assert_eq!(declared("a,").as_deref(), None);
        assert_eq!(declared("a VARCHAR (10) NOT NULL").as_deref(), Some("VARCHAR (10)"));
        assert_eq!(declared("a unsigned /* x */ int").as_deref(), Some("unsigned /* x */ int"));
        assert_eq!(declared("a \"double precision\"").as_deref(), Some("double precision"));
        assert_eq!(declared("a \"long\" int").as_deref(), Some("long"));
        assert_eq!(declared("a generated").as_deref(), Some("generated"));
        assert_eq!(declared("a INT generated always as (1)").as_deref(), Some("INT"));
        assert_eq!(declared("a generated always as (1)").as_deref(), None);
        assert_eq!(declared("a INT /* x */ generated always as (1)").as_deref(), Some("INT /* x */"));
    }

    #[test]
    fn actions_of_a_foreign_key_are_no_constraints_of_the_column() {
        let raw = column(
            "a INT REFERENCES p(x) ON DELETE SET NULL ON UPDATE SET DEFAULT MATCH full NOT DEFERRABLE INITIALLY DEFERRED NOT NULL,",
        );
        assert!(raw.sound && raw.column.has_foreign_key && raw.column.not_null);
        assert_eq!(raw.column.default, None);
    }

    #[test]
    fn generated_columns_are_virtual_unless_stored() {
        assert_eq!(column("a AS (1)").column.generated, Some(Generated::Virtual));
        assert_eq!(column("a AS (1) STORED UNIQUE").column.generated, Some(Generated::Stored));
        assert_eq!(column("a AS (1) STORED UNIQUE").keys.len(), 1);
    }

    #[test]
    fn garbage_among_constraints_is_stepped_over() {
        let raw = column("a INT \u{1} %% (x) NOT NULL, b");
        assert!(raw.column.not_null && !raw.sound);
    }
}
