//! SQLite's grammar, asked whether a text is a statement.
//!
//! `sqlite3-parser` was not made for hostile text: it panics on names that are not UTF-8, its clean-up after an
//! error recurses once for each construct that is still open, it compares each column name with all those before it,
//! and it copies a type name once for each word. So the text is measured first.

use bumpalo::Bump;
use sqlite3_parser::FallibleIterator as _;
use sqlite3_parser::ast::{Cmd, Stmt};
use sqlite3_parser::lexer::sql::Parser;

use super::fault::DdlFault;
use super::token::{Kind, Token};

/// SQLite's default limit for the length of a statement is 10^9 bytes (<https://www.sqlite.org/limits.html>), but
/// real schemas stay far below a million.
pub const MAX_LENGTH: usize = 1_000_000;

/// Tokens that may lie in open constructs at one time, an upper bound for the depth of the clean-up. That overflows
/// a stack of 2 MiB between 8,000 and 16,000 without optimization.
const MAX_OPEN: usize = 1_000;

/// Commas in a statement. SQLite takes 2,000 columns by default (<https://www.sqlite.org/limits.html>); the time
/// grows with the square.
const MAX_COMMAS: usize = 4_000;

/// Commas times the text's length: as many bytes of names may be compared. Two thousand columns of sixty bytes have fewer.
const MAX_COMPARED: usize = 1 << 28;

/// Names and strings in a row, those words counted that can stand in a type name.
const MAX_WORDS: usize = 64;

/// Words that can't, of those that come in long runs of names and strings.
const NOT_IN_TYPES: [&str; 9] = ["WHEN", "THEN", "ELSE", "AND", "OR", "NOT", "NULL", "REFERENCES", "ON"];

/// Does the text hold one CREATE TABLE or CREATE INDEX statement and nothing else?
pub(super) fn check(sql: &str, tokens: &[Token]) -> Result<(), DdlFault> {
    measure(sql, tokens)?;
    let syntax = |message: String| DdlFault::Syntax { message };
    let mut end = tokens.iter().skip_while(|token| !token.is_punct(b';'));
    if end.any(|token| !token.is_punct(b';')) {
        return Err(syntax("more than one statement".to_owned()));
    }
    let bump = Bump::new();
    // A NUL ends the text for SQLite, and is no token for the parser.
    let until_nul = sql.split('\0').next().unwrap_or_default();
    let mut parser = Parser::new(&bump, until_nul.trim_start_matches('\u{feff}').as_bytes());
    match parser.next() {
        Ok(Some(Cmd::Stmt(Stmt::CreateTable { .. } | Stmt::CreateIndex { .. }))) => Ok(()),
        Ok(_) => Err(DdlFault::NotCreate),
        Err(error) => Err(syntax(error.to_string())),
    }
}

fn measure(sql: &str, tokens: &[Token]) -> Result<(), DdlFault> {
    let mut outer: Vec<usize> = Vec::new();
    let mut open = 0_usize;
    let (mut before, mut commas, mut words) = (0_usize, 0_usize, 0_usize);
    for token in tokens {
        match token.kind {
            Kind::Punct(b'(') => {
                outer.push(open);
                before += open + 1;
                open = 0;
            }
            Kind::Punct(b')') => {
                open = outer.pop().unwrap_or(0) + 1;
                before = before.saturating_sub(open);
            }
            Kind::Punct(b',') => {
                commas += 1;
                open = 0;
            }
            _ => open += 1,
        }
        let word = matches!(token.kind, Kind::Word | Kind::Quoted | Kind::Text)
            && !NOT_IN_TYPES.iter().any(|keyword| token.is(sql, keyword));
        words = if word { words + 1 } else { 0 };
        if before + open > MAX_OPEN {
            return Err(DdlFault::TooDeep { at: token.start });
        }
        let compared = commas.saturating_mul(sql.len());
        if commas > MAX_COMMAS || compared > MAX_COMPARED || words > MAX_WORDS {
            return Err(DdlFault::TooMany { at: token.start });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::token::{Token, Tokens};
    use super::{DdlFault, MAX_OPEN, check};

    fn checked(sql: &str) -> Result<(), DdlFault> {
        let tokens: Vec<Token> = Tokens::new(sql).collect();
        check(sql, &tokens)
    }

    fn nested(open: &str, depth: usize, close: &str) -> String {
        format!("CREATE TABLE t(a CHECK({}1{}", open.repeat(depth), close.repeat(depth))
    }

    #[test]
    fn the_deepest_nesting_let_through_is_cleaned_up_on_a_small_stack() {
        for (open, close) in
            [("(", ")"), ("f(", ")"), ("- ", ""), ("NOT ", ""), ("CASE WHEN ", ""), ("(SELECT ", ")")]
        {
            let most = (1..MAX_OPEN)
                .rev()
                .find(|depth| !matches!(checked(&nested(open, *depth, "")), Err(DdlFault::TooDeep { .. })));
            assert!(most > Some(300), "{open}: {most:?}");
            for end in [close, ""] {
                let sql = nested(open, most.unwrap_or(0), end);
                let small = std::thread::Builder::new().stack_size(512 << 10);
                assert!(small.spawn(move || checked(&sql)).is_ok_and(|thread| thread.join().is_ok()));
            }
        }
    }

    #[test]
    fn what_would_take_long_is_refused() {
        let columns: Vec<String> = (0..5_000).map(|number| format!("c{number}")).collect();
        let wide = checked(&format!("CREATE TABLE t({})", columns.join(",")));
        assert!(matches!(wide, Err(DdlFault::TooMany { .. })));
        let long: Vec<String> = (0..1_900).map(|number| format!("{}{number}", "c".repeat(480))).collect();
        let long = checked(&format!("CREATE TABLE t({})", long.join(",")));
        assert!(matches!(long, Err(DdlFault::TooMany { .. })));
        let words = checked(&format!("CREATE TABLE t(a {})", "x ".repeat(5_000)));
        assert!(matches!(words, Err(DdlFault::TooMany { .. })));
        let case = "CASE WHEN 'a' THEN 'b' ".to_owned() + &"WHEN 'a' THEN 'b' ".repeat(100) + "END";
        assert_eq!(checked(&format!("CREATE TABLE t(a CHECK({case}))")), Ok(()));
    }

    #[test]
    fn a_second_statement_is_refused() {
        assert!(checked("CREATE TABLE t(a); DROP TABLE t").is_err());
        assert_eq!(checked("CREATE TABLE t(a);;"), Ok(()));
    }
}
