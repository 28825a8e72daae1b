//! The progress bar, and Ctrl-C.

use super::exit;
use crate::error::Error;
use crate::progress::Progress;
use crate::sinks;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What is done so far is kept, in files that other processes write.
static KEEPS_CASES: AtomicBool = AtomicBool::new(false);

/// How long a run has to end in order: what writes rows asks often, what reads pages does not.
const PATIENCE: Duration = Duration::from_millis(500);

/// Lets Ctrl-C end the run: in order where that is soon, or else as it stands, without what it was writing.
pub(super) fn watch_interrupts() {
    // Without a handler, Ctrl-C ends the program, which leaves no more than a temporary file.
    let _ = ctrlc::set_handler(|| {
        INTERRUPTED.store(true, Ordering::SeqCst);
        thread::sleep(PATIENCE);
        if sinks::abandon() {
            eprintln!("mudlark: {}", interruption());
            std::process::exit(exit::INTERRUPTED);
        }
    });
}

/// From here on what an interruption leaves are cases that are done.
pub(super) fn keep_cases() {
    KEEPS_CASES.store(true, Ordering::SeqCst);
}

/// What a run says that the user stopped.
fn interruption() -> Error {
    if KEEPS_CASES.load(Ordering::SeqCst) { Error::CasesInterrupted } else { Error::Interrupted }
}

/// A bar on standard error, when that is a terminal.
pub(super) struct Bar {
    bar: Mutex<ProgressBar>,
    shown: bool,
}

impl Bar {
    pub(super) fn new(quiet: bool) -> Self {
        let shown = !quiet && std::io::stderr().is_terminal();
        Self { bar: Mutex::new(ProgressBar::hidden()), shown }
    }
}

impl Progress for Bar {
    fn stage(&self, name: &str, total: u64) {
        if !self.shown {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let template = if total > 1 << 16 {
            "{msg:16} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta} left"
        } else {
            "{msg:16} {bar:32} {pos}/{len}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(name.to_owned());
        if let Ok(mut current) = self.bar.lock() {
            current.finish_and_clear();
            *current = bar;
        }
    }

    fn advance(&self, units: u64) {
        if self.shown
            && let Ok(bar) = self.bar.lock()
        {
            bar.inc(units);
        }
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Ok(bar) = self.bar.lock() {
            bar.finish_and_clear();
        }
    }
}
