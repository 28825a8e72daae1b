//! Where a statement ends that was found in free space.

use super::grammar::MAX_LENGTH;
use super::token::{Kind, Token, Tokens};

/// Length in bytes of the CREATE statement at the beginning of `bytes`, behind which anything may follow; `None` when
/// there is none, or its end is missing.
///
/// A table ends at its closing parenthesis and the options `WITHOUT ROWID` and `STRICT`, a virtual table at its
/// arguments or without them at the module's name, a trigger at `; END`. Only the text itself says where a view's
/// SELECT or an index's WHERE ends: they go on to the first byte that can't be part of it, so text right behind them
/// counts as theirs. The time taken grows with `bytes`: pass no more than a cell can hold.
#[must_use]
pub fn statement_length(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.get(..MAX_LENGTH).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?,
    };
    if !bytes.first()?.eq_ignore_ascii_case(&b'C') {
        return None;
    }
    Extent { sql: text, tokens: Tokens::new(text) }.statement()
}

struct Extent<'a> {
    sql: &'a str,
    tokens: Tokens<'a>,
}

impl Extent<'_> {
    fn peek(&self) -> Option<Token> {
        self.tokens.clone().next()
    }

    /// Takes the next token when it is this word.
    fn word(&mut self, keyword: &str) -> Option<Token> {
        self.peek().filter(|token| token.is(self.sql, keyword))?;
        self.tokens.next()
    }

    fn name(&mut self) -> Option<Token> {
        self.tokens.next().filter(|token| matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Text))
    }

    fn punct(&mut self, byte: u8) -> Option<Token> {
        self.peek().filter(|token| token.is_punct(byte))?;
        self.tokens.next()
    }

    fn statement(&mut self) -> Option<usize> {
        self.word("CREATE")?;
        let _ = self.word("TEMP").or_else(|| self.word("TEMPORARY"));
        let kind = self.tokens.next()?.text(self.sql).to_ascii_uppercase();
        if kind == "VIRTUAL" {
            self.word("TABLE")?;
        } else if kind == "UNIQUE" {
            self.word("INDEX")?;
        }
        if self.word("IF").is_some() {
            self.word("NOT")?;
            self.word("EXISTS")?;
        }
        self.name()?;
        if self.punct(b'.').is_some() {
            self.name()?;
        }
        match kind.as_str() {
            "TABLE" => self.table(),
            "INDEX" | "UNIQUE" => self.index(),
            "VIRTUAL" => self.virtual_table(),
            "TRIGGER" => self.trigger(),
            "VIEW" => self.select(),
            _ => None,
        }
    }

    /// From `(` to its `)`.
    fn parentheses(&mut self) -> Option<usize> {
        self.punct(b'(')?;
        let mut depth = 1_usize;
        loop {
            let token = self.tokens.next()?;
            match token.kind {
                Kind::Punct(b'(') => depth += 1,
                Kind::Punct(b')') => depth -= 1,
                Kind::Punct(b';') | Kind::Illegal | Kind::Unterminated => return None,
                _ => {}
            }
            if depth == 0 {
                return Some(token.end);
            }
        }
    }

    fn table(&mut self) -> Option<usize> {
        let mut end = self.parentheses()?;
        loop {
            if let Some(strict) = self.word("STRICT") {
                end = strict.end;
            } else if self.word("WITHOUT").is_some() {
                match self.word("ROWID") {
                    Some(rowid) => end = rowid.end,
                    None => return Some(end),
                }
            } else {
                return Some(end);
            }
            if self.punct(b',').is_none() {
                return Some(end);
            }
        }
    }

    fn index(&mut self) -> Option<usize> {
        self.word("ON")?;
        self.name()?;
        let end = self.parentheses()?;
        if self.word("WHERE").is_none() {
            return Some(end);
        }
        self.expression().or(Some(end))
    }

    fn virtual_table(&mut self) -> Option<usize> {
        self.word("USING")?;
        let module = self.name()?.end;
        if self.peek().is_some_and(|token| token.is_punct(b'(')) {
            return self.parentheses();
        }
        Some(module)
    }

    fn select(&mut self) -> Option<usize> {
        if self.peek().is_some_and(|token| token.is_punct(b'(')) {
            self.parentheses()?;
        }
        self.word("AS")?;
        self.expression()
    }

    /// As far as the text can be SQL: to the end, a `;`, a `)` too many, or what is no token.
    fn expression(&mut self) -> Option<usize> {
        let (mut end, mut depth) = (None, 0_usize);
        for token in self.tokens.by_ref() {
            match token.kind {
                Kind::Punct(b'(') => depth += 1,
                Kind::Punct(b')') if depth == 0 => break,
                Kind::Punct(b')') => depth -= 1,
                Kind::Punct(b';') | Kind::Illegal | Kind::Unterminated => break,
                _ => {}
            }
            if depth == 0 {
                end = Some(token.end);
            }
        }
        end
    }

    fn trigger(&mut self) -> Option<usize> {
        let mut after_semicolon = false;
        for token in self.tokens.by_ref() {
            if after_semicolon && token.is(self.sql, "END") {
                return Some(token.end);
            }
            if matches!(token.kind, Kind::Illegal | Kind::Unterminated) {
                return None;
            }
            after_semicolon = token.is_punct(b';');
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::statement_length;

    fn found(statement: &str, behind: &[u8]) {
        let bytes = [statement.as_bytes(), behind].concat();
        assert_eq!(statement_length(&bytes), Some(statement.len()), "{statement:?} before {behind:x?}");
    }

    #[test]
    fn garbage_behind_a_statement_is_not_part_of_it() {
        for statement in [
            "CREATE TABLE t(a, b DEFAULT ')', \"c(\")",
            "CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE t(a PRIMARY KEY)STRICT,WITHOUT\nROWID",
            "CREATE TABLE 'Übung'(a)",
            "CREATE TABLE \"\u{1}\"(a)",
            "create unique index i on t(a, lower(b))",
            "CREATE VIRTUAL TABLE f USING fts5(a, b)",
            "CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 1; END",
        ] {
            for behind in [&b""[..], b"\0\x01", b"\xff\xfe(", b")", b"\x07\x17", b"'open"] {
                found(statement, behind);
            }
        }
    }

    #[test]
    fn an_expression_ends_before_a_control_character() {
        for statement in ["CREATE INDEX i ON t(a) WHERE a > (1)", "CREATE VIEW v AS SELECT 1 FROM t"] {
            for behind in [&b""[..], b"\0\x01", b"\xff", b";", b")"] {
                found(statement, behind);
            }
        }
    }

    #[test]
    fn a_statement_without_its_end_has_no_length() {
        for cut in [
            "CREATE TABLE t(a, b",
            "CREATE TABLE t(a, b '",
            "CREATE TABLE t(a\u{1})",
            "CREATE TABLE",
            "CREATE INDEX i ON t",
            "CREATE TRIGGER g AFTER DELETE ON t BEGIN SELECT 1;",
            "SELECT 1",
            " CREATE TABLE t(a)",
            "",
        ] {
            assert_eq!(statement_length(cut.as_bytes()), None, "{cut:?}");
        }
    }
}
