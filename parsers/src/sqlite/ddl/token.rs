//! Tokens of SQL text, as SQLite's tokenizer separates them.
//!
//! Names and keywords are both [`Kind::Word`]: which it is depends on where it stands. Operators come one byte at a
//! time, since nothing here needs more. See <https://www.sqlite.org/draft/tokenreq.html>.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A bare name or keyword.
    Word,
    /// A name in `"…"`, `` `…` `` or `[…]`.
    Quoted,
    /// A string in `'…'`; stands for a name where a name is wanted.
    Text,
    /// `x'…'` with an even number of hex digits.
    Blob,
    /// A numeric literal, sound or not.
    Number,
    /// A bound parameter, which has no business in a schema.
    Variable,
    /// One byte of punctuation.
    Punct(u8),
    /// A quote, or `x'…'`, that never ends; it takes all the text that is left.
    Unterminated,
    /// A byte that starts no token.
    Illegal,
}

/// A token's kind and its place in the text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Token {
    /// The token's text as written.
    pub(super) fn text(self, sql: &str) -> &str {
        sql.get(self.start..self.end).unwrap_or_default()
    }

    /// Is this the bare word `keyword` (in any ASCII case)?
    pub(super) fn is(self, sql: &str, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text(sql).eq_ignore_ascii_case(keyword)
    }

    /// Is this a numeric literal?
    pub(super) fn is_number(self) -> bool {
        self.kind == Kind::Number
    }

    /// Is this the punctuation `byte`?
    pub(super) fn is_punct(self, byte: u8) -> bool {
        self.kind == Kind::Punct(byte)
    }

    /// The name this token spells, quotes removed; `None` when it can't be a name.
    pub(super) fn name(self, sql: &str) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text(sql).to_owned()),
            Kind::Quoted | Kind::Text => Some(unquote(self.text(sql))),
            _ => None,
        }
    }
}

/// Tokens one after another, white space and comments left out. Ends at a NUL byte, as SQLite does.
#[derive(Clone, Debug)]
pub(super) struct Tokens<'a> {
    sql: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    pub(super) const fn new(sql: &'a str) -> Self {
        Self { sql, at: 0 }
    }

    fn byte(&self, ahead: usize) -> u8 {
        let at = self.at.saturating_add(ahead);
        self.sql.as_bytes().get(at).copied().unwrap_or(0)
    }

    /// Length of the run of bytes from `ahead` on that satisfy `test`.
    fn run(&self, ahead: usize, test: impl Fn(u8) -> bool) -> usize {
        let rest = self.sql.as_bytes().get(self.at.saturating_add(ahead)..).unwrap_or_default();
        rest.iter().position(|byte| !test(*byte)).unwrap_or(rest.len())
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.byte(0), self.byte(1), self.byte(2)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0c, ..) => self.at += 1,
                (0xef, 0xbb, 0xbf) => self.at += 3, // a byte order mark counts as a blank
                (b'-', b'-', _) => self.at += self.run(0, |byte| byte != b'\n' && byte != 0),
                (b'/', b'*', _) => {
                    let body = self.sql.get(self.at + 2..).unwrap_or_default();
                    // An open comment may end the text: https://www.sqlite.org/lang_comment.html
                    self.at += 2 + body.find("*/").map_or(body.len(), |end| end + 2);
                }
                _ => return,
            }
        }
    }

    /// Kind and length of the token that starts here.
    fn measure(&self) -> (Kind, usize) {
        match self.byte(0) {
            quote @ (b'"' | b'`') => self.quoted(quote, Kind::Quoted),
            b'\'' => self.quoted(b'\'', Kind::Text),
            b'[' => {
                let body = self.run(1, |byte| byte != b']' && byte != 0);
                match self.byte(1 + body) {
                    b']' => (Kind::Quoted, body + 2),
                    _ => (Kind::Unterminated, body + 1),
                }
            }
            b'x' | b'X' if self.byte(1) == b'\'' => {
                let body = self.run(2, |byte| byte != b'\'' && byte != 0);
                let digits = self.run(2, |byte| byte.is_ascii_hexdigit());
                match self.byte(2 + body) {
                    b'\'' if digits == body && body.is_multiple_of(2) => (Kind::Blob, body + 3),
                    b'\'' => (Kind::Illegal, body + 3),
                    _ => (Kind::Unterminated, body + 2),
                }
            }
            byte if is_word_start(byte) => (Kind::Word, self.run(0, is_word_part)),
            byte if byte.is_ascii_digit() || (byte == b'.' && self.byte(1).is_ascii_digit()) => {
                (Kind::Number, self.number())
            }
            b'?' | b'$' | b'@' | b'#' | b':' => (Kind::Variable, 1 + self.run(1, is_word_part)),
            byte if b"(),;.+-*/%=<>!|&~".contains(&byte) => (Kind::Punct(byte), 1),
            _ => (Kind::Illegal, 1),
        }
    }

    fn quoted(&self, quote: u8, kind: Kind) -> (Kind, usize) {
        let mut length = 1;
        loop {
            length += self.run(length, |byte| byte != quote && byte != 0);
            match (self.byte(length), self.byte(length + 1)) {
                (0, _) => return (Kind::Unterminated, length),
                (_, next) if next == quote => length += 2,
                _ => return (kind, length + 1),
            }
        }
    }

    fn number(&self) -> usize {
        let digits = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        if self.byte(0) == b'0' && matches!(self.byte(1), b'x' | b'X') {
            return 2 + self.run(2, is_word_part);
        }
        let mut length = self.run(0, digits);
        if self.byte(length) == b'.' {
            length += 1 + self.run(length + 1, digits);
        }
        if matches!(self.byte(length), b'e' | b'E') {
            let sign = usize::from(matches!(self.byte(length + 1), b'+' | b'-'));
            if self.byte(length + 1 + sign).is_ascii_digit() {
                length += 1 + sign + self.run(length + 1 + sign, digits);
            }
        }
        length + self.run(length, is_word_part)
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_blanks();
        if self.byte(0) == 0 {
            return None;
        }
        let start = self.at;
        let (kind, length) = self.measure();
        self.at = (start + length).min(self.sql.len());
        Some(Token { kind, start, end: self.at })
    }
}

/// Can `byte` start a bare name? Every byte of a non-ASCII character can.
pub(super) const fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Can `byte` stand inside a bare name?
pub(super) const fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// Removes the quotes from a quoted name or string; other text stays as it is. What follows the closing quote is
/// dropped, as SQLite does with a type like `"a" b`.
pub(super) fn unquote(text: &str) -> String {
    let mut chars = text.chars();
    let close = match chars.next() {
        Some(quote @ ('"' | '\'' | '`')) => quote,
        Some('[') => ']',
        _ => return text.to_owned(),
    };
    let mut name = String::with_capacity(text.len());
    while let Some(next) = chars.next() {
        if next == close && (close == ']' || chars.next() != Some(close)) {
            break;
        }
        name.push(next);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::{Kind, Tokens, unquote};

    fn kinds(sql: &str) -> Vec<Kind> {
        Tokens::new(sql).map(|token| token.kind).collect()
    }

    #[test]
    fn all_four_kinds_of_quotes_give_the_same_name() {
        for sql in ["\"a b\"", "'a b'", "`a b`", "[a b]"] {
            let token = Tokens::new(sql).next();
            assert_eq!(token.and_then(|token| token.name(sql)).as_deref(), Some("a b"));
        }
        assert_eq!(unquote("\"a\"\"b\""), "a\"b");
        assert_eq!(unquote("\"\"\"\""), "\"");
    }

    #[test]
    fn comments_and_blanks_are_no_tokens() {
        assert_eq!(kinds("a -- b\n/* c */ 'd'/* e"), [Kind::Word, Kind::Text]);
    }

    #[test]
    fn an_open_quote_takes_the_rest() {
        assert_eq!(kinds("a 'b c"), [Kind::Word, Kind::Unterminated]);
        assert_eq!(kinds("[b c"), [Kind::Unterminated]);
        assert_eq!(kinds("x'00"), [Kind::Unterminated]);
    }

    #[test]
    fn a_nul_byte_ends_the_text() {
        assert_eq!(kinds("a\0b"), [Kind::Word]);
    }

    #[test]
    fn numbers_are_single_tokens() {
        for sql in ["1", "1.5", ".5", "1e5", "1e-5", "0xAF", "1_000", "5."] {
            assert_eq!(kinds(sql), [Kind::Number], "{sql}");
        }
    }
}
