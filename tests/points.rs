//! At every stage of checkpointing: is each point the recorded state, or refused with the right reason?

use crate::support::{Done, dump, folder, mudlark};
use crate::workload::{SETTINGS, TABLES, steps, timeline};
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

/// Whether a refusal says that the log is damaged.
fn is_of_damage(why: &str) -> bool {
    [
        "it lies behind a damaged frame",
        "the frames of the log are damaged",
        "a later checkpoint has overwritten",
    ]
    .iter()
    .any(|reason| why.contains(reason))
}

/// Brings the store to a point; the bytes, or why it is refused.
fn replayed(store: &Path, point: &str, further: &[&str]) -> Done<(Result<Vec<u8>, String>, String)> {
    let out = store.with_file_name("out.db");
    let arguments = ["replay".as_ref(), store.as_os_str(), "--until".as_ref(), point.as_ref(), "-o".as_ref()];
    let further = further.iter().map(|option| option.as_ref());
    let ran = mudlark(arguments.into_iter().chain([out.as_os_str(), "--force".as_ref()]).chain(further))?;
    match ran.status {
        Some(0) => Ok((Ok(fs::read(&out)?), ran.err)),
        Some(2) => Ok((Err(ran.err.clone()), ran.err)),
        other => Err(format!("{other:?}: {}", ran.err).into()),
    }
}

/// Holds each point of a store against the recorded states; `is_right` judges a refusal.
fn check_all(
    store: &Path,
    states: &BTreeMap<Name, Recorded>,
    further: &[&str],
    is_right: &dyn Fn(&str, &Recorded) -> bool,
) -> Done<Share> {
    let told = timeline(store)?;
    let log = fs::read(store.with_file_name("store.db-wal"))?;
    let mut share = Share::default();
    for commit in told["commits"].as_array().into_iter().flatten() {
        let Some(point) = commit["point"].as_str() else { continue };
        let frames = commit["frames"]["last"].as_u64().ok_or("no frames")?;
        let older = commit["generation"].as_str().and_then(|name| name.strip_prefix('g')?.split_once('-'));
        let salts = match older {
            Some((first, second)) => (u32::from_str_radix(first, 16)?, u32::from_str_radix(second, 16)?),
            None => (word(&log, 16), word(&log, 20)),
        };
        let recorded = states.get(&(salts.0, salts.1, frames));
        let recorded = recorded.ok_or_else(|| format!("{point} was never committed: {commit}"))?;
        share.asked += 1;
        match replayed(store, point, further)?.0 {
            Ok(bytes) => {
                share.reached += 1;
                let other = bytes.iter().zip(&recorded.bytes).position(|(found, expected)| found != expected);
                let lengths = (bytes.len(), recorded.bytes.len());
                assert!(bytes == recorded.bytes, "{point}: other bytes from {other:?}, {lengths:?}");
                let replayed = Connection::open(store.with_file_name("out.db"))?;
                assert_eq!(digest(&replayed)?, recorded.digest, "{point}");
            }
            Err(why) => assert!(is_right(&why, recorded), "{why}"),
        }
    }
    Ok(share)
}

fn check(seed: usize, stage: Stage) -> Done<Share> {
    let (page_size, _) = SETTINGS[seed];
    let folder = folder()?;
    let (store, states) = filled(folder.path(), seed, stage)?;
    assert!(states.len() >= 40, "{} commits", states.len());
    let main = fs::read(&store)?;
    check_all(&store, &states, &[], &|why, recorded| is_right(why, &main, recorded, page_size))
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

/// What SQLite makes of the store as it lies.
fn by_engine(folder: &Path) -> Done<Vec<u8>> {
    for ending in ["", "-wal"] {
        fs::copy(folder.join(format!("store.db{ending}")), folder.join(format!("engine.db{ending}")))?;
    }
    let connection = Connection::open(folder.join("engine.db"))?;
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(fs::read(folder.join("engine.db"))?)
}

#[test]
fn of_a_log_with_a_flipped_bit_last_is_what_sqlite_reads_and_what_lies_behind_is_told() -> Done {
    let (page_size, frame) = (SETTINGS[1].0, 24 + SETTINGS[1].0 as usize);
    let folder = folder()?;
    let (store, states) = filled(folder.path(), 1, Stage::None)?;
    let log = store.with_file_name("store.db-wal");
    let sound = fs::read(&log)?;
    let ends: Vec<u64> = states.keys().map(|(.., frames)| *frames).collect();
    let (mut forced, mut refused) = (0, 0);
    // In a page, and in each field of a frame's header: page, count, salts, checksum; of a frame within a commit, and of
    // the one that ends it.
    for (number, field) in [(20, 24 + 300), (20, 3), (20, 6), (20, 9), (20, 18), (30, 24 + 100)] {
        for back in [0, 1] {
            let damaged = 32 + (ends[number] as usize - 1 - back) * frame + field;
            let mut bytes = sound.clone();
            bytes[damaged] ^= 4;
            fs::write(&log, &bytes)?;
            let (last, told) = replayed(&store, "last", &[])?;
            assert!(last == Ok(by_engine(folder.path())?), "{told}");
            assert!(told.contains("behind a damaged frame at 0x"), "{told}");
            assert!(told.contains("`replay --force-frames` goes on"), "{told}");
            let listed = mudlark(["timeline".as_ref(), store.as_os_str()])?.out;
            assert!(listed.contains("  note    behind a damaged frame at 0x"), "{listed}");
            let plain = check_all(&store, &states, &[], &|why, _| is_of_damage(why))?;
            let share = check_all(&store, &states, &["--force-frames"], &|why, _| is_of_damage(why))?;
            assert!(plain.reached as usize >= number - 1 && plain.reached < plain.asked, "{plain:?}");
            (forced, refused) =
                (forced + share.reached - plain.reached, refused + share.asked - share.reached);
        }
    }
    assert!(forced > 0 && refused > 0, "pages of {page_size}: {forced} more, {refused} refused");
    Ok(())
}

#[test]
fn a_log_that_is_cut_anywhere_ends_with_its_last_whole_commit() -> Done {
    let folder = folder()?;
    let (store, states) = filled(folder.path(), 3, Stage::None)?;
    let log = store.with_file_name("store.db-wal");
    let sound = fs::read(&log)?;
    for part in [3, 5, 7] {
        fs::write(&log, &sound[..sound.len() * part / 8 + 1000])?;
        let (last, told) = replayed(&store, "last", &[])?;
        assert!(last == Ok(by_engine(folder.path())?), "{told}");
        assert!(told.contains("of which no commit can be proved"), "{told}");
        let share = check_all(&store, &states, &[], &|_, _| false)?;
        assert_eq!(share.reached, share.asked);
    }
    Ok(())
}

#[test]
fn what_a_checkpoint_copied_of_a_damaged_frame_is_used_and_nothing_is_mixed() -> Done {
    let frame = 24 + SETTINGS[2].0 as usize;
    let folder = folder()?;
    let (store, states) = filled(folder.path(), 2, Stage::None)?;
    let log = store.with_file_name("store.db-wal");
    // The main file as SQLite leaves it, beside the whole log.
    fs::write(&store, by_engine(folder.path())?)?;
    let sound = fs::read(&log)?;
    let ends: Vec<u64> = states.keys().map(|(.., frames)| *frames).collect();
    let (mut reached, mut asked) = (0, 0);
    for (number, field) in [(44, 24 + 300), (44, 2), (43, 24 + 1), (40, 24 + 2000), (25, 18)] {
        for back in [0, 1] {
            let mut bytes = sound.clone();
            bytes[32 + (ends[number] as usize - 1 - back) * frame + field] ^= 4;
            fs::write(&log, &bytes)?;
            for further in [&[][..], &["--force-frames"]] {
                let share = check_all(&store, &states, further, &|why, _| is_of_damage(why))?;
                (reached, asked) = (reached + share.reached, asked + share.asked);
            }
        }
    }
    assert!(reached > 0 && reached < asked, "{reached} of {asked}");
    Ok(())
}

#[test]
fn a_main_file_that_is_ahead_of_a_log_that_was_cut_is_not_mixed_with_it() -> Done {
    let (mut asked, mut reached) = (0, 0);
    for seed in [0, 2, 3] {
        let frame = 24 + SETTINGS[seed].0 as usize;
        let folder = folder()?;
        let (store, states) = filled(folder.path(), seed, Stage::None)?;
        let log = store.with_file_name("store.db-wal");
        fs::write(&store, by_engine(folder.path())?)?;
        let sound = fs::read(&log)?;
        for number in [3, 12, 24, 35, 41] {
            let (.., frames) = states.keys().nth(number).copied().unwrap_or_default();
            fs::write(&log, &sound[..32 + frames as usize * frame])?;
            let told = mudlark(["timeline".as_ref(), store.as_os_str()])?;
            if told.status == Some(1) {
                // By its counters the log is of another state of the database.
                assert!(told.out.contains("or another state of this one, and is left out"), "{}", told.out);
                assert!(replayed(&store, "last", &[])?.0.is_err());
                continue;
            }
            let share = check_all(&store, &states, &[], &|_, _| true)?;
            (asked, reached) = (asked + share.asked, reached + share.reached);
        }
    }
    assert!(reached < asked, "{reached} of {asked}");
    Ok(())
}

#[test]
fn the_index_of_a_log_tells_that_a_checkpoint_copied_frames_that_are_gone() -> Done {
    let folder = folder()?;
    let connection = Connection::open(folder.path().join("live.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t(a); CREATE TABLE u(b);
         INSERT INTO t VALUES (1); INSERT INTO u VALUES (1); PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a = 2;",
    )?;
    let log = folder.path().join("live.db-wal");
    let kept = fs::metadata(&log)?.len();
    connection.execute_batch("UPDATE u SET b = 2; PRAGMA wal_checkpoint(PASSIVE);")?;
    let store = copy(folder.path(), "store.db")?;
    fs::write(store.with_file_name("store.db-wal"), &fs::read(&log)?[..kept as usize])?;
    // All that is left looks as if the log ended there.
    assert!(replayed(&store, "last", &[])?.0.is_ok());
    fs::copy(folder.path().join("live.db-shm"), store.with_file_name("store.db-shm"))?;
    let why = replayed(&store, "last", &[])?.0.err().unwrap_or_default();
    assert!(
        why.contains("last can't be reached: a later checkpoint has overwritten")
            && why.contains("u (pages 3)"),
        "{why}"
    );
    assert!(replayed(&store, "checkpoint", &[])?.0.is_ok());
    Ok(())
}
