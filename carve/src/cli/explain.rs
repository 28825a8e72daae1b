//! `mudlark explain`.

use super::Exit;
use super::put;
use super::recover::printable;
use crate::confidence::model::Part;
use crate::error::Error;
use crate::explain::{self, Explanation};
use serde_json::json;
use std::fmt::Write;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A database that `mudlark recover` wrote
    #[arg(value_name = "OUT.db")]
    recovered: PathBuf,
    /// The number of the row version: the column _version of T_versions
    #[arg(long, value_name = "N")]
    version: i64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<Exit, Error> {
    let explained = explain::explain(&arguments.recovered, arguments.version)?;
    put(&if arguments.json { json(&explained) } else { text(&explained) })?;
    Ok(Exit::Done)
}

/// The parts that make up the confidence, with a name for each.
const PARTS: [(Part, &str); 3] =
    [(Part::Content, "content"), (Part::Placement, "placement"), (Part::Standing, "state")];

fn text(explained: &Explanation) -> String {
    let Explanation { version, table, state, transaction, places, share, confidence, terms } = explained;
    let mut text = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(text, "version {version} of {}: {state}, {transaction}", printable(table));
    for (method, page) in places {
        let page = page.map(|page| format!(", page {page}")).unwrap_or_default();
        let _ = writeln!(text, "  seen      {method}{page}");
    }
    let Some(terms) = terms else {
        text.push_str("  not calibrated: too few rows like it were seen where the truth is known\n");
        return text;
    };
    let _ = writeln!(text, "\n    content  placement      state");
    let line = |text: &mut String, [a, b, c]: [f64; 3], what: &str| {
        let _ = writeln!(text, "  {a:>+9.2}  {b:>+9.2}  {c:>+9.2}  {what}");
    };
    for (term, weights) in terms {
        line(&mut text, PARTS.map(|(part, _)| weights[part as usize]), &term.text());
    }
    let sums = PARTS.map(|(part, _)| explained.sum(part).unwrap_or_default());
    line(&mut text, sums.map(|(sum, _)| sum), "sum, in log-odds");
    let [a, b, c] = sums.map(|(_, probability)| probability);
    let _ = writeln!(text, "  {a:>9.4}  {b:>9.4}  {c:>9.4}  as probabilities; all three: {:.4}", a * b * c);
    let _ = writeln!(
        text,
        "\n  content {:.4}, placement {:.4}, confidence {:.4}: as often as such rows were right where the truth is known",
        confidence.content, confidence.placement, confidence.confidence
    );
    if *share < 1.0 {
        let _ = writeln!(
            text,
            "  times {share:.4}: how likely its page is of this file, as one elsewhere in the image may be; confidence {:.4}",
            confidence.shared(*share, false).confidence
        );
    }
    text
}

fn json(explained: &Explanation) -> String {
    let Explanation { version, table, state, transaction, places, share, confidence, terms } = explained;
    let parts = |weights: &dyn Fn(Part) -> f64| {
        let parts = PARTS.map(|(part, name)| (name.to_owned(), json!(weights(part))));
        serde_json::Value::Object(parts.into_iter().collect())
    };
    let places: Vec<_> =
        places.iter().map(|(method, page)| json!({"method": method, "page": page})).collect();
    let terms = terms.as_ref().map(|terms| {
        let term = |(term, weights): &(crate::confidence::Term, [f64; 4])| {
            json!({"term": term.text(), "log_odds": parts(&|part| weights[part as usize])})
        };
        terms.iter().map(term).collect::<Vec<_>>()
    });
    let known = |part| confidence.known(part);
    let all = json!({
        "version": version, "table": table, "state": state, "transaction": transaction, "seen": places,
        "page_share": share, "confidence": known(confidence.shared(*share, false).confidence), "content": known(confidence.content),
        "placement": known(confidence.placement), "terms": terms,
        "sum": terms.as_ref().map(|_| parts(&|part| explained.sum(part).unwrap_or_default().0)),
    });
    format!("{all:#}\n")
}
