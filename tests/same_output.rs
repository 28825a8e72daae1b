//! Is the output the same whatever the number of threads?

use crate::support::{Done, dump, folder, mudlark, plan};
use mudlark_fixtures::generate::{DamageChoice, Plan};
use mudlark_fixtures::sqlite::{Kind, Workload};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What a database holds, but when and with which arguments it was made.
fn content(path: &Path) -> Done<BTreeMap<String, Vec<String>>> {
    let connection = Connection::open(path)?;
    let mut content = dump(&connection)?;
    let run = "SELECT program_version, model_version, store, what, totals FROM mudlark_run";
    let run = crate::support::rows(&connection, run)?;
    content.insert("mudlark_run".to_owned(), run.iter().map(ToString::to_string).collect());
    Ok(content)
}

fn same_with_any_number_of_threads(plan: &Plan) -> Done {
    for number in 0..plan.cases {
        let folder = folder()?;
        plan.case(number)?.write(folder.path())?;
        let source = folder.path().join("evidence/store.db").display().to_string();
        let mut first = None;
        for threads in ["1", "2", "8", "2"] {
            let out = folder.path().join("out.db");
            let lines = folder.path().join("out.jsonl");
            let (o, l) = (out.display().to_string(), lines.display().to_string());
            let ran = mudlark([
                "recover",
                &source,
                "-o",
                &o,
                "--jsonl",
                &l,
                "--force",
                "--threads",
                threads,
                "--min-confidence",
                "0",
            ])?;
            assert!(matches!(ran.status, Some(0 | 1)), "case {number}: {}", ran.err);
            let found = (fs::read(&lines)?, content(&out)?, ran.out);
            match &first {
                None => first = Some(found),
                Some(first) => {
                    assert!(first.0 == found.0, "case {number}: JSON lines differ with {threads} threads");
                    assert_eq!(first.1, found.1, "case {number}: databases differ with {threads} threads");
                    assert_eq!(first.2, found.2, "case {number}: summaries differ with {threads} threads");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn one_two_and_eight_threads_give_the_same_output_of_damaged_stores() -> Done {
    same_with_any_number_of_threads(&plan(41, 24, DamageChoice::Mix))
}

#[test]
fn one_two_and_eight_threads_give_the_same_output_of_a_larger_store() -> Done {
    let plan = Plan {
        kinds: vec![Kind::Messages],
        workloads: vec![Workload::Churn],
        rows: Some(8000),
        ..plan(42, 1, DamageChoice::All)
    };
    same_with_any_number_of_threads(&plan)
}
