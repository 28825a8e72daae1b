//! The progress bar.

use super::signals;
use crate::progress::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;

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
        signals::is_interrupted()
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Ok(bar) = self.bar.lock() {
            bar.finish_and_clear();
        }
    }
}
