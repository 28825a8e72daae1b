//! At every stage of checkpointing: is each point the recorded state, or refused with the right reason?

use crate::support::{Done, dump, folder, mudlark};
use crate::timeline::{SETTINGS, TABLES, steps, timeline};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// How far the log was copied to the main file when the files were copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not at all.
    None,
    /// By SQLite itself, once a log has 1000 frames.
    Auto,
    /// Once, when the log had this many frames or more.
    Passive(u64),
    /// As far as a reader lets it that began behind commit 25.
    Pinned,
}

const STAGES: [Stage; 4] = [Stage::None, Stage::Auto, Stage::Passive(120), Stage::Pinned];

/// What tells a commit from all others: the salts of its generation, and its last frame.
type Name = (u32, u32, u64);

/// A state as the engine itself leaves it.
struct Recorded {
    bytes: Vec<u8>,
    digest: u64,
}

/// Points asked for, and those that were reached.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    asked: u32,
    reached: u32,
}

fn digest(connection: &Connection) -> Done<u64> {
    let mut hasher = DefaultHasher::new();
    dump(connection)?.hash(&mut hasher);
    Ok(hasher.finish())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The last commit of a log, which holds no frame that was not committed.
fn last_commit(log: &[u8], page_size: u32) -> Option<Name> {
    let frames = log.get(32..)?.chunks_exact(24 + page_size as usize);
    let own = frames.take_while(|frame| word(frame, 8) == word(log, 16) && word(frame, 12) == word(log, 20));
    Some((word(log, 16), word(log, 20), own.count() as u64)).filter(|(.., frames)| *frames > 0)
}

fn copy(folder: &Path, name: &str) -> Done<PathBuf> {
    for ending in ["", "-wal"] {
        fs::copy(folder.join(format!("live.db{ending}")), folder.join(format!("{name}{ending}")))?;
    }
    Ok(folder.join(name))
}

/// The state of the store, as SQLite's own checkpoint of a copy leaves it.
fn recorded(folder: &Path) -> Done<Recorded> {
    let path = copy(folder, "copy.db")?;
    let connection = Connection::open(&path)?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let (bytes, digest) = (fs::read(&path)?, digest(&connection)?);
    connection.close().map_err(|(_, error)| error)?;
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(format!("copy.db{ending}")));
    }
    Ok(Recorded { bytes, digest })
}

/// Fills a store, records the state behind each commit, and copies the files at the stage.
fn filled(folder: &Path, seed: usize, stage: Stage) -> Done<(PathBuf, BTreeMap<Name, Recorded>)> {
    let (page_size, auto_vacuum) = SETTINGS[seed];
    let connection = Connection::open(folder.join("live.db"))?;
    connection.execute_batch(&format!(
        "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {auto_vacuum}; PRAGMA journal_mode = wal; {TABLES}
         PRAGMA wal_checkpoint(TRUNCATE);"
    ))?;
    if stage != Stage::Auto {
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0")?;
    }
    let reader = Connection::open(folder.join("live.db"))?;
    let (mut states, mut last, mut checkpointed) = (BTreeMap::new(), None, false);
    for (_, batch) in steps(seed) {
        connection.execute_batch(&batch)?;
        let name = last_commit(&fs::read(folder.join("live.db-wal"))?, page_size);
        let Some(commit) = name.filter(|_| name != last) else { continue };
        last = name;
        states.insert(commit, recorded(folder)?);
        match stage {
            Stage::Passive(frames) if commit.2 >= frames && !checkpointed => {
                connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
                checkpointed = true;
            }
            Stage::Pinned if states.len() == 25 => {
                reader.execute_batch("BEGIN; SELECT count(*) FROM people;")?;
            }
            _ => {}
        }
    }
    if stage == Stage::Pinned {
        connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
    }
    Ok((copy(folder, "store.db")?, states))
}

/// The first page that a refusal names.
fn first_page(why: &str) -> Option<usize> {
    let (_, rest) = why.split_once("(pages ")?;
    rest.split([',', ')', ' ']).next()?.parse().ok()
}

/// Whether a refusal is right: the main file does not hold the page that it names as it was.
fn is_right(why: &str, main: &[u8], recorded: &Recorded, page_size: u32) -> bool {
    if why.contains("can't be reached: frames of the generation that came behind it are gone") {
        return true;
    }
    let size = page_size as usize;
    let page = first_page(why).filter(|_| why.contains("a later checkpoint has overwritten"));
    let range = page.map(|page| (page - 1) * size..page * size);
    range.is_some_and(|range| main.get(range.clone()) != recorded.bytes.get(range))
}

fn check(seed: usize, stage: Stage) -> Done<Share> {
    let (page_size, _) = SETTINGS[seed];
    let folder = folder()?;
    let (store, states) = filled(folder.path(), seed, stage)?;
    assert!(states.len() >= 40, "{} commits", states.len());
    let main = fs::read(&store)?;
    let told = timeline(&store)?;
    let out = folder.path().join("out.db");
    let mut share = Share::default();
    for commit in told["commits"].as_array().into_iter().flatten() {
        let point = commit["point"].as_str().ok_or("a commit without a point")?;
        let frames = commit["frames"]["last"].as_u64().ok_or("no frames")?;
        let log = fs::read(store.with_file_name("store.db-wal"))?;
        let salts =
            match commit["generation"].as_str().and_then(|name| name.strip_prefix('g')?.split_once('-')) {
                Some((first, second)) => (u32::from_str_radix(first, 16)?, u32::from_str_radix(second, 16)?),
                None => (word(&log, 16), word(&log, 20)),
            };
        let recorded = states.get(&(salts.0, salts.1, frames));
        let recorded = recorded.ok_or_else(|| format!("{stage:?}: {point} was never committed"))?;
        let arguments =
            ["replay".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref(), "-o".as_ref()];
        let ran = mudlark(arguments.into_iter().chain([out.as_os_str(), "--force".as_ref()]))?;
        share.asked += 1;
        if ran.status == Some(0) {
            share.reached += 1;
            assert!(
                fs::read(&out)? == recorded.bytes,
                "page size {page_size}, {stage:?}, {point}: other bytes"
            );
            let replayed = Connection::open(&out)?;
            assert_eq!(digest(&replayed)?, recorded.digest, "page size {page_size}, {stage:?}, {point}");
        } else {
            assert_eq!(ran.status, Some(2), "{}", ran.err);
            assert!(
                is_right(&ran.err, &main, recorded, page_size),
                "page size {page_size}, {stage:?}: {}",
                ran.err
            );
        }
    }
    Ok(share)
}

#[test]
fn every_point_at_every_stage_of_checkpointing_is_the_recorded_state_or_refused_with_the_right_reason() -> Done
{
    for stage in STAGES {
        let mut all = Share::default();
        for (seed, (page_size, auto_vacuum)) in SETTINGS.into_iter().enumerate() {
            let share = check(seed, stage)?;
            let Share { asked, reached } = share;
            println!(
                "{stage:?}, pages of {page_size}, auto_vacuum {auto_vacuum}: {reached} of {asked} points"
            );
            (all.asked, all.reached) = (all.asked + asked, all.reached + reached);
        }
        println!("{stage:?}: {} of {} points reachable", all.reached, all.asked);
        let least = if stage == Stage::None { all.asked } else { 1 };
        assert!(all.reached >= least, "{stage:?}: {all:?}");
    }
    Ok(())
}
