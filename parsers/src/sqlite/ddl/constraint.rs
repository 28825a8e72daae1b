//! Table constraints. <https://www.sqlite.org/syntax/table-constraint.html>

use super::column::skip_deferrable;
use super::cursor::Cursor;
use super::key::{MAX_COLUMNS, RawKeyPart, take_key_parts};

/// A PRIMARY KEY or UNIQUE constraint as written.
#[derive(Clone, Debug)]
pub(super) struct RawKey {
    pub(super) primary: bool,
    pub(super) parts: Vec<RawKeyPart>,
    /// Written at a column: then DESC keeps the column from being the rowid.
    pub(super) of_column: bool,
}

/// The table constraints found, in order.
#[derive(Default)]
pub(super) struct RawConstraints {
    pub(super) keys: Vec<RawKey>,
    pub(super) autoincrement: bool,
    pub(super) conflict_clause: bool,
    pub(super) checks: usize,
    pub(super) foreign_keys: usize,
    pub(super) references: Vec<RawReference>,
}

/// A FOREIGN KEY or REFERENCES as written.
#[derive(Clone, Debug)]
pub(super) struct RawReference {
    pub(super) columns: Vec<RawKeyPart>,
    pub(super) table: String,
    /// Empty when the primary key is meant.
    pub(super) parent: Vec<RawKeyPart>,
}

/// Does a table constraint begin here? These words are reserved, so a column of that name is quoted.
pub(super) fn at_constraint(cursor: &Cursor<'_>) -> bool {
    ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"].iter().any(|word| cursor.is(word))
}

impl RawConstraints {
    /// Takes one table constraint. Says whether it was understood; always moves on.
    pub(super) fn take(&mut self, cursor: &mut Cursor<'_>) -> bool {
        if cursor.take_words(&["CONSTRAINT"]) {
            return cursor.take_name().is_some();
        }
        let primary = cursor.take_words(&["PRIMARY", "KEY"]);
        if primary || cursor.take_words(&["UNIQUE"]) {
            let mut parts = Vec::new();
            let mut whole =
                cursor.take_punct(b'(') && take_key_parts(cursor, &mut parts, &mut self.autoincrement);
            // A key without columns is none, and one of more than a table can have columns says nothing new.
            whole &= !parts.is_empty() && self.keys.len() < MAX_COLUMNS;
            // A key of which the end is missing would claim too much.
            if whole {
                self.keys.push(RawKey { primary, parts, of_column: false });
            }
            self.conflict_clause |= skip_conflict_clause(cursor);
            return whole;
        }
        if cursor.take_words(&["CHECK"]) {
            self.checks += 1;
            let whole = cursor.take_parentheses().is_some();
            self.conflict_clause |= skip_conflict_clause(cursor);
            return whole;
        }
        if cursor.take_words(&["FOREIGN", "KEY"]) {
            self.foreign_keys += 1;
            let mut columns = Vec::new();
            let whole = cursor.take_punct(b'(')
                && take_key_parts(cursor, &mut columns, &mut false)
                && cursor.take_words(&["REFERENCES"]);
            return whole && take_references(cursor, columns, &mut self.references);
        }
        cursor.take();
        false
    }
}

/// `ON CONFLICT …`
pub(super) fn skip_conflict_clause(cursor: &mut Cursor<'_>) -> bool {
    let here = cursor.take_words(&["ON", "CONFLICT"]);
    if here {
        cursor.take();
    }
    here
}

/// What stands behind REFERENCES: the table, its columns, actions, deferral. Adds the reference of `columns`.
pub(super) fn take_references(
    cursor: &mut Cursor<'_>,
    columns: Vec<RawKeyPart>,
    references: &mut Vec<RawReference>,
) -> bool {
    let table = cursor.take_name();
    let mut sound = table.is_some();
    let mut parent = Vec::new();
    if cursor.take_punct(b'(') {
        sound &= take_key_parts(cursor, &mut parent, &mut false);
    }
    if let Some(table) = table.filter(|_| sound) {
        references.push(RawReference { columns, table, parent });
    }
    loop {
        if cursor.is("ON") && !cursor.is_at(1, "CONFLICT") {
            cursor.take();
            cursor.take();
            if !cursor.take_words(&["SET", "NULL"])
                && !cursor.take_words(&["SET", "DEFAULT"])
                && !cursor.take_words(&["NO", "ACTION"])
                && !cursor.take_words(&["CASCADE"])
            {
                sound &= cursor.take_words(&["RESTRICT"]);
            }
        } else if cursor.take_words(&["MATCH"]) {
            sound &= cursor.take_name().is_some();
        } else {
            skip_deferrable(cursor);
            return sound;
        }
    }
}
