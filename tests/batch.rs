//! Does a run over many cases finish whatever a case does, and say the same however it came to its end?

use crate::support::{Done, MUDLARK, Ran, folder, mudlark, plan, small_store};
use mudlark_fixtures::generate::DamageChoice;
use serde_json::Value as Json;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a run may take to get going: far more than it does.
const PATIENCE: Duration = Duration::from_secs(60);

fn batch(cases: &Path, out: &Path, further: &[&str]) -> Done<Ran> {
    let mut arguments = vec![OsStr::new("batch"), cases.as_os_str(), OsStr::new("-o"), out.as_os_str()];
    arguments.extend(further.iter().map(OsStr::new));
    mudlark(arguments)
}

fn summary(out: &Path) -> Done<Json> {
    Ok(serde_json::from_str(&fs::read_to_string(out.join("summary.json"))?)?)
}

/// When each result was written.
fn written(out: &Path) -> Done<Vec<(String, std::time::SystemTime)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(out.join("cases"))? {
        let entry = entry?;
        let result = entry.path().join("result.json");
        if result.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            all.push((name, fs::metadata(result)?.modified()?));
        }
    }
    Ok(all)
}

#[test]
fn a_killed_run_goes_on_without_doing_finished_cases_again_and_has_the_same_summary() -> Done {
    let (cases, whole, killed) = (folder()?, folder()?, folder()?);
    plan(3, 40, DamageChoice::Mix).write(cases.path())?;
    let ran = batch(cases.path(), &whole.path().join("run"), &["--jobs", "2"])?;
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    let out = killed.path().join("run");
    let mut child = Command::new(MUDLARK)
        .arg("batch")
        .arg(cases.path())
        .arg("-o")
        .arg(&out)
        .args(["--jobs", "1", "--quiet"])
        .stdin(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    while written(&out).map_or(0, |all| all.len()) < 5 {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(2));
    }
    // As SIGKILL: nothing of the run gets to tidy up.
    child.kill()?;
    child.wait()?;
    // A case that was running may still come to its end.
    thread::sleep(Duration::from_millis(300));
    let before = written(&out)?;
    assert!(before.len() < 40, "the run was over before it was killed");
    let ran = batch(cases.path(), &out, &["--jobs", "2"])?;
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    let after = written(&out)?;
    assert_eq!(after.len(), 40);
    assert!(before.iter().all(|one| after.contains(one)), "a finished case was done again");
    let read = |out: &Path, name: &str| fs::read_to_string(out.join(name));
    let whole = whole.path().join("run");
    for name in ["summary.json", "summary.txt"] {
        assert!(read(&whole, name)? == read(&out, name)?, "{name}");
    }
    Ok(())
}

#[test]
fn a_scored_run_counts_what_the_scorer_counts() -> Done {
    let (cases, out) = (folder()?, folder()?);
    let plan = plan(4, 12, DamageChoice::Mix);
    plan.write(cases.path())?;
    let out = out.path().join("run");
    assert_eq!(batch(cases.path(), &out, &[])?.status, Some(0));
    let scores = crate::support::scored(&plan, false)?;
    let summary = summary(&out)?;
    let (counts, _, gone) = mudlark_fixtures::score::report::total(&scores);
    let total = &summary["total"];
    assert_eq!(total["counts"]["hit"], counts.hit);
    assert_eq!(total["counts"]["phantoms"], counts.phantoms);
    assert_eq!(total["counts"]["live_hit"], counts.live_hit);
    assert_eq!(total["counts"]["points_right"], counts.points.right);
    let ece = gone.figures().map_or(0.0, |figures| figures.ece);
    assert!(total["gone_ece"][0].as_f64().is_some_and(|found| (found - ece).abs() < 1e-5));
    Ok(())
}

#[test]
fn a_case_that_can_not_be_read_or_takes_too_much_costs_itself_alone() -> Done {
    let (cases, out) = (folder()?, folder()?);
    fs::create_dir(cases.path().join("a"))?;
    small_store(&cases.path().join("a"))?;
    fs::write(cases.path().join("b.txt"), "no store")?;
    fs::create_dir_all(cases.path().join("c/evidence"))?;
    fs::write(cases.path().join("c/truth.json"), r#"{"input": "none.db", "tables": {}}"#)?;
    let out = out.path().join("run");
    let ran = batch(cases.path(), &out, &[])?;
    assert_eq!(ran.status, Some(3), "{}{}", ran.out, ran.err);
    let found = summary(&out)?;
    assert_eq!(found["case"]["a"]["status"], "done");
    assert_eq!(found["case"]["a"]["rows"], 3);
    assert_eq!(found["case"]["b.txt"]["status"], "nothing found");
    assert_eq!(found["case"]["c"]["status"], "failed");
    assert!(out.join("cases/a/recovered/index.json").is_file());
    // With no time at all every case is given up, and listed.
    let ran = batch(cases.path(), &out, &["--force", "--at", "0.4", "--timeout", "0"])?;
    assert_eq!(ran.status, Some(3), "{}{}", ran.out, ran.err);
    assert_eq!(summary(&out)?["status"]["took too long"], 3);
    // And done again when asked for.
    let ran = batch(cases.path(), &out, &["--at", "0.4", "--retry"])?;
    assert_eq!(summary(&out)?["case"]["a"]["status"], "done", "{}{}", ran.out, ran.err);
    Ok(())
}

#[test]
fn a_run_that_got_worse_ends_with_status_1_and_names_the_case() -> Done {
    let (cases, out) = (folder()?, folder()?);
    plan(6, 6, DamageChoice::None).write(cases.path())?;
    let out = out.path().join("run");
    assert_eq!(batch(cases.path(), &out, &[])?.status, Some(0));
    let earlier = out.with_file_name("earlier.json");
    let mut better = summary(&out)?;
    fs::write(&earlier, better.to_string())?;
    let baseline = ["--baseline", earlier.to_str().ok_or("a path")?];
    let ran = batch(cases.path(), &out, &baseline)?;
    assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("6 cases in both: as before"), "{}", ran.out);
    let case = better["case"].as_object().and_then(|all| all.keys().next().cloned()).ok_or("a case")?;
    let hit = better["case"][&case]["score"]["live_hit"].as_u64().ok_or("a count")?;
    better["case"][&case]["score"]["live_hit"] = (hit + 1).into();
    fs::write(&earlier, better.to_string())?;
    let ran = batch(cases.path(), &out, &baseline)?;
    assert_eq!(ran.status, Some(1), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains(&format!("worse     {case}: live_hit")), "{}", ran.out);
    Ok(())
}

#[test]
fn cases_run_one_by_one_elsewhere_are_summed_up_and_not_run_again() -> Done {
    let (cases, out) = (folder()?, folder()?);
    fs::create_dir(cases.path().join("one"))?;
    fs::create_dir(cases.path().join("two"))?;
    small_store(&cases.path().join("one"))?;
    small_store(&cases.path().join("two"))?;
    let out = out.path().join("run");
    for case in ["two", "one"] {
        let ran = batch(cases.path(), &out, &["--case", case])?;
        assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    }
    assert!(!out.join("summary.json").exists());
    let ran = batch(cases.path(), &out, &[])?;
    assert!(ran.out.contains("run now   0 cases, 2 finished before"), "{}", ran.out);
    assert_eq!(summary(&out)?["rows"], 6);
    Ok(())
}

#[test]
fn a_folder_of_another_run_or_of_other_files_is_refused() -> Done {
    let (cases, out) = (folder()?, folder()?);
    small_store(cases.path())?;
    fs::create_dir(out.path().join("cases"))?;
    fs::write(out.path().join("cases/mine.txt"), "mine")?;
    let ran = batch(cases.path(), out.path(), &["--force"])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("holds cases, which is no part of a run"), "{}", ran.err);
    assert!(out.path().join("cases/mine.txt").is_file());
    let run = out.path().join("run");
    assert_eq!(batch(cases.path(), &run, &[])?.status, Some(0));
    let ran = batch(cases.path(), &run, &["--at", "0.9"])?;
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("other settings"), "{}", ran.err);
    let inside = batch(cases.path(), &cases.path().join("out"), &[])?;
    assert_eq!(inside.status, Some(2));
    assert!(!cases.path().join("out").exists());
    Ok(())
}
