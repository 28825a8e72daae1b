//! Does the evidence keep its bytes and times, with nothing appearing beside it?

use crate::support::{Done, MUDLARK, Ran, command, folder, small_store, snapshot};
use mudlark_fixtures::sqlite::{Journal, Kind, Recipe, Workload, build};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

/// A user without rights, for when the tests run as one with all of them.
const NOBODY: u32 = 65_534;

/// Runs every command on the store in `folder`, and looks at the folder between them.
fn every_command_leaves(evidence: &Path, as_user: Option<u32>) -> Done {
    let before = snapshot(evidence)?;
    let elsewhere = folder()?;
    fs::set_permissions(elsewhere.path(), Permissions::from_mode(0o777))?;
    let source = evidence.join("store.db").display().to_string();
    let out = |name: &str| elsewhere.path().join(name).display().to_string();
    let whole = evidence.display().to_string();
    for arguments in [
        vec!["recover", &source, "-o", &out("out.db"), "--jsonl", &out("rows.jsonl")],
        vec!["recover", &whole, "-o", &format!("{}/", out("all"))],
        vec!["recover", &source, "--jsonl", "-", "--hash", "blake3"],
        vec!["assess", &source],
        vec!["assess", "--json", &whole],
        vec!["verify", &source],
        vec!["inspect", &source, "--page", "2"],
    ] {
        let mut command = command(&arguments);
        if let Some(user) = as_user {
            command.uid(user).gid(user);
        }
        let ran: Ran = command.output()?.into();
        assert!(matches!(ran.status, Some(0 | 1)), "{arguments:?}: {:?} {}", ran.status, ran.err);
        assert_eq!(snapshot(evidence)?, before, "after {arguments:?}");
    }
    Ok(())
}

#[test]
fn every_command_leaves_a_store_as_it_was() -> Done {
    let folder = folder()?;
    small_store(folder.path())?;
    every_command_leaves(folder.path(), None)
}

#[test]
fn a_log_or_a_hot_journal_beside_a_store_is_used_and_left_as_it_was() -> Done {
    for journal in [Journal::Wal, Journal::WalTail, Journal::WalPartial, Journal::Hot, Journal::Persist] {
        let mut recipe = Recipe::new(Kind::Customers, Workload::Update, 300);
        recipe.settings.journal = journal;
        recipe.settings.page_size = 512;
        let case = build(&recipe, 51)?;
        let folder = folder()?;
        case.evidence.write(folder.path())?;
        assert!(case.evidence.files().count() > 1, "{journal:?}");
        every_command_leaves(folder.path(), None)?;
    }
    Ok(())
}

#[test]
fn a_read_only_store_in_a_read_only_folder_is_read_and_left_as_it_was() -> Done {
    for journal in [Journal::Delete, Journal::Wal, Journal::Hot] {
        let mut recipe = Recipe::new(Kind::Messages, Workload::Update, 200);
        recipe.settings.journal = journal;
        recipe.settings.page_size = 512;
        let case = build(&recipe, 52)?;
        let outer = folder()?;
        let evidence = outer.path().join("evidence");
        case.evidence.write(&evidence)?;
        for file in fs::read_dir(&evidence)? {
            fs::set_permissions(file?.path(), Permissions::from_mode(0o444))?;
        }
        fs::set_permissions(&evidence, Permissions::from_mode(0o555))?;
        let done = every_command_leaves(&evidence, None)
            .and_then(|()| again_without_rights(outer.path(), &evidence));
        fs::set_permissions(&evidence, Permissions::from_mode(0o755))?;
        done?;
    }
    Ok(())
}

/// Permission bits don't bind root: then the commands run once more as nobody, where that user may run them.
fn again_without_rights(outer: &Path, evidence: &Path) -> Done {
    if fs::metadata(outer)?.uid() != 0 {
        return Ok(());
    }
    fs::set_permissions(outer, Permissions::from_mode(0o755))?;
    match command(["--version"]).uid(NOBODY).gid(NOBODY).output() {
        Ok(output) if output.status.success() => every_command_leaves(evidence, Some(NOBODY)),
        _ => {
            println!("skipped: another user can't run {MUDLARK}");
            Ok(())
        }
    }
}
