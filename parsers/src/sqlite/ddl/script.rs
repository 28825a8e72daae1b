//! Scripts of several statements.

use super::token::{Kind, Token, Tokens};

/// Splits a script at the semicolons that end statements: not those in quotes, in comments or in the body of a
/// trigger, which ends at `; END`. The semicolons and the comments around statements are left out.
#[must_use]
pub fn split_statements(script: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let mut current: Option<Current> = None;
    for token in Tokens::new(script) {
        if token.is_punct(b';') {
            match &mut current {
                Some(open) if open.in_trigger_body(script) => open.step(script, token),
                _ => statements.extend(current.take().and_then(|whole| script.get(whole.start..whole.end))),
            }
        } else {
            current.get_or_insert_with(|| Current::new(token)).step(script, token);
        }
    }
    statements.extend(current.and_then(|rest| script.get(rest.start..rest.end)));
    statements
}

/// The statement being passed through.
struct Current {
    start: usize,
    end: usize,
    /// Tokens so far.
    count: usize,
    trigger: bool,
    /// The last two tokens.
    last: [Token; 2],
}

impl Current {
    fn new(first: Token) -> Self {
        Self { start: first.start, end: first.end, count: 0, trigger: false, last: [first, first] }
    }

    fn step(&mut self, script: &str, token: Token) {
        // CREATE TRIGGER, CREATE TEMP TRIGGER
        let [_, before] = self.last;
        self.trigger |= token.is(script, "TRIGGER")
            && (self.count == 1
                || self.count == 2 && (before.is(script, "TEMP") || before.is(script, "TEMPORARY")))
            && script
                .get(self.start..)
                .is_some_and(|text| text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("CREATE")));
        self.last = [before, token];
        self.count += 1;
        self.end = token.end;
    }

    /// Does the statement go on behind a semicolon?
    fn in_trigger_body(&self, script: &str) -> bool {
        let [before, last] = self.last;
        self.trigger && !(before.kind == Kind::Punct(b';') && last.is(script, "END"))
    }
}

#[cfg(test)]
mod tests {
    use super::split_statements;

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        let script =
            "-- a;\nCREATE TABLE \"a;b\"(x DEFAULT ';' /* ; */, [c;d]);;\n\nCREATE VIEW v AS SELECT 1";
        assert_eq!(
            split_statements(script),
            ["CREATE TABLE \"a;b\"(x DEFAULT ';' /* ; */, [c;d])", "CREATE VIEW v AS SELECT 1"]
        );
    }

    #[test]
    fn a_trigger_ends_at_its_end() {
        let trigger = "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM t; END";
        let script = format!("{trigger}; CREATE TABLE t(a);");
        assert_eq!(split_statements(&script), [trigger, "CREATE TABLE t(a)"]);
    }

    #[test]
    fn a_table_named_trigger_is_no_trigger() {
        assert_eq!(
            split_statements("DROP TRIGGER x; CREATE TABLE trigger(a); SELECT 1"),
            ["DROP TRIGGER x", "CREATE TABLE trigger(a)", "SELECT 1"]
        );
    }
}
