//! A place in a list of tokens.

use super::token::{Kind, Token};

/// Walks over tokens; never fails, only says "not that".
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    sql: &'a str,
    tokens: &'a [Token],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(sql: &'a str, tokens: &'a [Token]) -> Self {
        Self { sql, tokens, at: 0 }
    }

    pub(super) const fn sql(&self) -> &'a str {
        self.sql
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// The tokens from position `start` up to here.
    pub(super) fn since(&self, start: usize) -> &'a [Token] {
        self.tokens.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<Token> {
        self.peek_at(0)
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<Token> {
        self.tokens.get(self.at.saturating_add(ahead)).copied()
    }

    pub(super) fn take(&mut self) -> Option<Token> {
        let token = self.peek()?;
        self.at += 1;
        Some(token)
    }

    pub(super) fn is(&self, keyword: &str) -> bool {
        self.is_at(0, keyword)
    }

    pub(super) fn is_at(&self, ahead: usize, keyword: &str) -> bool {
        self.peek_at(ahead).is_some_and(|token| token.is(self.sql, keyword))
    }

    /// Takes all of `keywords` when they stand here in this order, or nothing.
    pub(super) fn take_words(&mut self, keywords: &[&str]) -> bool {
        let here = keywords.iter().enumerate().all(|(ahead, keyword)| self.is_at(ahead, keyword));
        if here {
            self.at += keywords.len();
        }
        here
    }

    pub(super) fn is_punct(&self, byte: u8) -> bool {
        self.peek().is_some_and(|token| token.is_punct(byte))
    }

    pub(super) fn take_punct(&mut self, byte: u8) -> bool {
        let here = self.is_punct(byte);
        self.at += usize::from(here);
        here
    }

    /// Takes a name in any of its spellings.
    pub(super) fn take_name(&mut self) -> Option<String> {
        let name = self.peek()?.name(self.sql)?;
        self.at += 1;
        Some(name)
    }

    /// At `(`: takes all up to its `)` and gives the tokens between; `None`, having taken the rest, when it is not closed.
    pub(super) fn take_parentheses(&mut self) -> Option<&'a [Token]> {
        if !self.take_punct(b'(') {
            return None;
        }
        let start = self.at;
        let mut depth = 1_usize;
        while let Some(token) = self.take() {
            match token.kind {
                Kind::Punct(b'(') => depth += 1,
                Kind::Punct(b')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return self.tokens.get(start..self.at - 1);
            }
        }
        None
    }

    /// Takes all up to the next `,` or `)` outside of parentheses, and says whether there was one.
    pub(super) fn take_item(&mut self) -> bool {
        while let Some(token) = self.peek() {
            match token.kind {
                Kind::Punct(b',' | b')') => return true,
                Kind::Punct(b'(') => {
                    if self.take_parentheses().is_none() {
                        return false;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }
}

/// The source text that `tokens` span.
pub(super) fn span<'a>(sql: &'a str, tokens: &[Token]) -> &'a str {
    match (tokens.first(), tokens.last()) {
        (Some(first), Some(last)) => sql.get(first.start..last.end).unwrap_or_default(),
        _ => "",
    }
}
