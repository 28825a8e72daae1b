//! Ctrl-C, and the other signals that ask a run to end.

use super::exit;
use crate::error::Error;
use crate::sinks;
use signal_hook::consts::{SIGABRT, SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is done so far is kept, in files that other processes write.
static KEEPS_CASES: AtomicBool = AtomicBool::new(false);

/// How long a run has to end in order: what writes rows asks often, what reads pages does not.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lets Ctrl-C, the end of a terminal and a plain `kill` end the run: in order where that is soon, or else as it stands,
/// without what it was writing.
pub(super) fn watch() {
    // A file may not grow beyond a limit of the user's: then writing to it fails, and the message says so.
    let _ = flag::register(SIGXFSZ, Arc::default());
    // What can't get memory says so and aborts, which a shell would tell as a crash of the program.
    let _ =
        flag::register_conditional_shutdown(SIGABRT, exit::COULD_NOT_RUN, Arc::new(AtomicBool::new(true)));
    let signals = if hangups_are_ignored() { vec![SIGINT, SIGTERM] } else { vec![SIGINT, SIGTERM, SIGHUP] };
    // Without a handler they end the program, which leaves no more than a temporary file.
    let Ok(mut signals) = Signals::new(signals) else { return };
    thread::spawn(move || {
        for _ in signals.forever() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            thread::sleep(PATIENCE);
            if sinks::abandon() {
                eprintln!("mudlark: {}", interruption());
                std::process::exit(exit::INTERRUPTED);
            }
        }
    });
}

/// Whether whoever started the run, as `nohup` does, wants it to go on without its terminal.
fn hangups_are_ignored() -> bool {
    // A mask of signals in hexadecimal: <https://man7.org/linux/man-pages/man5/proc_pid_status.5.html>. Other systems have no
    // such file, and there a hangup is left as it is.
    let status = fs::read_to_string("/proc/self/status").ok();
    let mask = status.as_deref().and_then(|status| {
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
        u64::from_str_radix(ignored.trim(), 16).ok()
    });
    mask.is_none_or(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

/// Whether a signal asked the run to end.
pub(super) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// From here on what an interruption leaves are cases that are done.
pub(super) fn keep_cases() {
    KEEPS_CASES.store(true, Ordering::SeqCst);
}

/// What a run says that the user stopped.
pub(super) fn interruption() -> Error {
    match sinks::kept_of_many() {
        _ if KEEPS_CASES.load(Ordering::SeqCst) => Error::CasesInterrupted,
        0 => Error::Interrupted,
        done => Error::FolderInterrupted { done },
    }
}
