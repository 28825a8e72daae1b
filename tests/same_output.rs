//! Is the output the same whatever the number of threads?

use crate::support::{Done, dump, folder, mudlark, plan};
use mudlark_fixtures::generate::{DamageChoice, Plan};
use mudlark_fixtures::image::{self, Class};
use mudlark_fixtures::sqlite::{Kind, Workload};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
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

/// What the three commands say and write of an image, without what tells when and where.
fn of_image(folder: &Path, image: &str, further: &[&str]) -> Done<BTreeMap<String, Vec<String>>> {
    let mut found = BTreeMap::new();
    for (name, arguments) in [("assess", vec!["--json"]), ("carve", vec!["--list", "--json"])] {
        let ran = mudlark([&[name, image][..], &arguments, further].concat())?;
        assert_eq!(ran.status, Some(0), "{name}: {}", ran.err);
        let plain = |line: &str| !line.contains("seconds");
        let lines = ran.out.lines().filter(|line| plain(line)).map(str::to_owned);
        found.insert(name.to_owned(), lines.collect());
    }
    for command in ["carve", "recover"] {
        let out = folder.join(command);
        let target = format!("{}/", out.display());
        let ran = mudlark([&[command, image, "-o", &target, "--quiet", "--force"][..], further].concat())?;
        assert_eq!(ran.status, Some(0), "{command}: {}", ran.err);
        for entry in fs::read_dir(&out)? {
            let path = entry?.path();
            let name = format!("{command} {}", path.file_name().unwrap_or_default().display());
            if command == "recover" && path.extension().is_some_and(|ending| ending == "db") {
                for (table, rows) in content(&path)? {
                    found.insert(format!("{name} {table}"), rows);
                }
            } else {
                let mut hasher = DefaultHasher::new();
                fs::read(&path)?.hash(&mut hasher);
                found.insert(name, vec![hasher.finish().to_string()]);
            }
        }
    }
    Ok(found)
}

#[test]
fn an_image_gives_the_same_with_any_number_of_threads_and_where_a_look_was_interrupted() -> Done {
    let folder = folder()?;
    let plan = image::Plan {
        seed: 43,
        // More than is looked through at a time.
        size: 70 << 20,
        each: 1,
        classes: vec![Class::Shuffled, Class::Clones, Class::Holed, Class::Headless, Class::Apart],
        largest: 1 << 20,
        sparse: false,
        reserved: 0,
    };
    plan.write(folder.path())?;
    let image = folder.path().join("image.raw").display().to_string();
    let first = of_image(folder.path(), &image, &["--threads", "1"])?;
    assert!(first.len() > 10, "{:?}", first.keys());
    for threads in ["2", "8"] {
        let other = of_image(folder.path(), &image, &["--threads", threads])?;
        assert!(first == other, "{threads} threads");
    }
    let session = folder.path().join("image.session");
    let name = session.display().to_string();
    mudlark(["carve", "--list", &image, "--session", &name])?;
    let whole = fs::read(&session)?;
    // The last batch was not kept.
    fs::write(&session, whole.get(..whole.len() - 1).ok_or("session")?)?;
    let resumed = of_image(folder.path(), &image, &["--session", &name, "--resume"])?;
    assert!(first == resumed, "resumed");
    assert!(fs::read(&session)? == whole);
    Ok(())
}
