//! One CREATE statement, whole or cut off.

use super::column::{RawColumn, take_column};
use super::constraint::{RawConstraints, at_constraint};
use super::cursor::Cursor;
use super::fault::DdlFault;
use super::grammar;
use super::index::RawIndex;
use super::key::take_key_parts;
use super::table::{TableDdl, TableOptions};
use super::token::{Kind, Token, Tokens};

/// A CREATE statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// CREATE TABLE.
    Table(TableDdl),
    /// CREATE INDEX; see [`super::resolve`].
    Index(RawIndex),
    /// CREATE VIEW.
    View {
        /// The view's name.
        name: String,
    },
    /// CREATE TRIGGER.
    Trigger {
        /// The trigger's name.
        name: String,
        /// The table or view it watches.
        table: String,
    },
    /// CREATE VIRTUAL TABLE.
    VirtualTable {
        /// The table's name.
        name: String,
        /// The module that implements it.
        module: String,
    },
}

/// Reads one whole CREATE statement, as it stands in `sqlite_schema.sql` or in a script.
///
/// Tables and indexes must pass SQLite's grammar; of views, triggers and virtual tables only the head is read.
///
/// # Errors
///
/// When the text is no such statement, or one too large or too deep to trust the grammar with. [`read_cut`] may
/// still make something of it.
pub fn read(sql: &[u8]) -> Result<Statement, DdlFault> {
    if sql.len() > grammar::MAX_LENGTH {
        return Err(DdlFault::TooLong { length: sql.len() });
    }
    let text = std::str::from_utf8(sql).map_err(|error| DdlFault::NotUtf8 { at: error.valid_up_to() })?;
    let tokens: Vec<Token> = Tokens::new(text).collect();
    let mut cursor = Cursor::new(text, &tokens);
    let head = take_head(&mut cursor).ok_or(DdlFault::NotCreate)?;
    if matches!(head.object, Object::Table | Object::Index { .. }) {
        if head.object == Object::Table && cursor.is("AS") {
            return Err(DdlFault::AsSelect);
        }
        grammar::check(text, &tokens)?;
    }
    let odd = || DdlFault::Syntax { message: "could not be read to its end".to_owned() };
    let mut statement = take_body(&mut cursor, head).ok_or_else(odd)?;
    match &mut statement {
        // The grammar has seen the end.
        Statement::Table(table) => table.complete = true,
        Statement::Index(index) if !index.complete => return Err(odd()),
        _ => {}
    }
    Ok(statement)
}

/// Reads what can be read of a CREATE statement that is cut off or damaged; `None` when that is not even its head,
/// or a table without a single column.
///
/// A name, type or number that touches the place of the cut may have been longer, so it is not used. Bytes that are
/// not UTF-8 become U+FFFD.
#[must_use]
pub fn read_cut(sql: &[u8]) -> Option<Statement> {
    let sql = sql.get(..grammar::MAX_LENGTH).unwrap_or(sql);
    let text = match std::str::from_utf8(sql) {
        Ok(text) => text.into(),
        // A character that the cut went through says nothing.
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(sql.get(..error.valid_up_to()).unwrap_or_default())
        }
        Err(_) => String::from_utf8_lossy(sql),
    };
    let tokens: Vec<Token> = Tokens::new(&text).collect();
    let read = |tokens: &[Token]| {
        let mut cursor = Cursor::new(&text, tokens);
        let head = take_head(&mut cursor)?;
        take_body(&mut cursor, head)
    };
    let mut whole = read(&tokens);
    let ended = match &whole {
        Some(Statement::Table(table)) => table.complete,
        Some(Statement::Index(index)) => index.complete,
        _ => true,
    };
    if let Some((last, rest)) = tokens.split_last()
        && !ended
        && last.end == text.len()
        && (last.name(&text).is_some() || last.is_number())
    {
        whole = read(rest);
        match &mut whole {
            Some(Statement::Table(table)) => table.complete = false,
            Some(Statement::Index(index)) => index.complete = false,
            _ => {}
        }
    }
    whole
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Object {
    Table,
    Index { unique: bool },
    View,
    Trigger,
    VirtualTable,
}

struct Head {
    object: Object,
    name: String,
}

/// `CREATE … [IF NOT EXISTS] [schema.]name`
fn take_head(cursor: &mut Cursor<'_>) -> Option<Head> {
    if !cursor.take_words(&["CREATE"]) {
        return None;
    }
    if !cursor.take_words(&["TEMP"]) {
        cursor.take_words(&["TEMPORARY"]);
    }
    let object = if cursor.take_words(&["TABLE"]) {
        Object::Table
    } else if cursor.take_words(&["INDEX"]) {
        Object::Index { unique: false }
    } else if cursor.take_words(&["UNIQUE", "INDEX"]) {
        Object::Index { unique: true }
    } else if cursor.take_words(&["VIEW"]) {
        Object::View
    } else if cursor.take_words(&["TRIGGER"]) {
        Object::Trigger
    } else if cursor.take_words(&["VIRTUAL", "TABLE"]) {
        Object::VirtualTable
    } else {
        return None;
    };
    cursor.take_words(&["IF", "NOT", "EXISTS"]);
    let mut name = cursor.take_name()?;
    if cursor.take_punct(b'.') {
        name = cursor.take_name()?;
    }
    Some(Head { object, name })
}

fn take_body(cursor: &mut Cursor<'_>, head: Head) -> Option<Statement> {
    let name = head.name;
    Some(match head.object {
        Object::Table => Statement::Table(take_table(cursor, name)?),
        Object::Index { unique } => Statement::Index(take_index(cursor, name, unique)?),
        Object::View => Statement::View { name },
        Object::Trigger => {
            // ON is reserved: the first one outside of quotes stands before the table.
            while !cursor.take_words(&["ON"]) {
                cursor.take()?;
            }
            let mut table = cursor.take_name()?;
            if cursor.take_punct(b'.') {
                table = cursor.take_name()?;
            }
            Statement::Trigger { name, table }
        }
        Object::VirtualTable => {
            let module = cursor.take_words(&["USING"]).then(|| cursor.take_name())??;
            Statement::VirtualTable { name, module }
        }
    })
}

fn take_table(cursor: &mut Cursor<'_>, name: String) -> Option<TableDdl> {
    if !cursor.take_punct(b'(') {
        return None;
    }
    let mut columns = Vec::new();
    let mut constraints = RawConstraints::default();
    let mut options = TableOptions { complete: true, ..TableOptions::default() };
    loop {
        if at_constraint(cursor) {
            options.complete &= constraints.take(cursor);
            // The comma between table constraints may be missing.
            if at_constraint(cursor) {
                continue;
            }
        } else if let Some(column) = take_column(cursor) {
            options.complete &= column.sound;
            columns.push(column);
        } else {
            options.complete = false;
            // The column keeps its place, so that those behind it keep theirs.
            columns.extend(take_damaged_column(cursor, columns.len()));
        }
        if cursor.take_punct(b')') {
            break;
        }
        if !cursor.take_punct(b',') {
            options.complete = false;
            if !cursor.take_item() {
                break;
            }
        }
    }
    loop {
        if cursor.take_words(&["WITHOUT", "ROWID"]) {
            options.without_rowid = true;
        } else if cursor.take_words(&["STRICT"]) {
            options.strict = true;
        } else if !cursor.take_punct(b',') {
            break;
        }
    }
    // What is left may be the stump of an option.
    options.complete &= cursor.peek().is_none_or(|token| token.is_punct(b';'));
    TableDdl::assemble(name, columns, constraints, options)
}

/// A column whose definition doesn't begin with a name: from the first name in it on, or nothing but its place. `None`
/// where no definition stands.
fn take_damaged_column(cursor: &mut Cursor<'_>, place: usize) -> Option<RawColumn> {
    cursor.peek().filter(|token| !matches!(token.kind, Kind::Punct(b',' | b')')))?;
    while let Some(token) =
        cursor.peek().filter(|token| !matches!(token.kind, Kind::Punct(b',' | b')' | b'(')))
    {
        if token.name(cursor.sql()).is_some() {
            return take_column(cursor);
        }
        cursor.take();
    }
    cursor.take_item().then(|| RawColumn::unknown(place))
}

fn take_index(cursor: &mut Cursor<'_>, name: String, unique: bool) -> Option<RawIndex> {
    if !cursor.take_words(&["ON"]) {
        return None;
    }
    let table = cursor.take_name()?;
    let mut parts = Vec::new();
    let complete = cursor.take_punct(b'(') && take_key_parts(cursor, &mut parts, &mut false);
    let partial = cursor.is("WHERE");
    Some(RawIndex { name, table, unique, parts, partial, complete })
}

#[cfg(test)]
mod tests;
