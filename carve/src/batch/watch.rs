//! Runs the processes of cases, some at a time, and ends those that take too long or too much.

use crate::error::Error;
use crate::progress::Progress;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

/// How often processes are looked at: little against the shortest case.
const PAUSE: Duration = Duration::from_millis(2);

/// How often their memory is.
const MEMORY_PAUSE: Duration = Duration::from_millis(25);

/// What a process may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Processes at a time.
    pub jobs: usize,
    /// How long it may run.
    pub timeout: Duration,
    /// Bytes of memory of its own, without mapped files.
    pub memory: Option<u64>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It took too long, and was killed.
    Timeout,
    /// It took this much memory, and was killed.
    Memory(u64),
}

struct Running {
    number: usize,
    child: Child,
    began: Instant,
    looked: Instant,
}

/// Runs a command for each number below `count`; `ended` hears how each one ended and how long it took.
///
/// # Errors
/// When a process can't be started, when `ended` fails, or when the user stops the run. No process is left behind.
pub fn run(
    count: usize,
    limits: Limits,
    progress: &dyn Progress,
    mut command: impl FnMut(usize) -> Result<Command, Error>,
    mut ended: impl FnMut(usize, Ended, Duration) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut running: Vec<Running> = Vec::new();
    let done = drive(count, limits, progress, &mut running, &mut command, &mut ended);
    for left in &mut running {
        // It may have ended just now.
        let _ = left.child.kill();
        let _ = left.child.wait();
    }
    done
}

fn drive(
    count: usize,
    limits: Limits,
    progress: &dyn Progress,
    running: &mut Vec<Running>,
    command: &mut dyn FnMut(usize) -> Result<Command, Error>,
    ended: &mut dyn FnMut(usize, Ended, Duration) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut next = 0;
    loop {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        while running.len() < limits.jobs.max(1) && next < count {
            let mut line = command(next)?;
            let program = Path::new(line.get_program()).to_owned();
            let failed = |error| Error::Source { path: program, what: "can't be started", error };
            let now = Instant::now();
            running.push(Running {
                number: next,
                child: line.spawn().map_err(failed)?,
                began: now,
                looked: now,
            });
            next += 1;
        }
        if running.is_empty() {
            return Ok(());
        }
        let mut place = 0;
        while let Some(one) = running.get_mut(place) {
            match one.look(&limits)? {
                None => place += 1,
                Some(end) => {
                    let one = running.swap_remove(place);
                    // A process that the user's signal reached as well did not fail by itself.
                    if progress.interrupted() {
                        return Err(Error::Interrupted);
                    }
                    ended(one.number, end, one.began.elapsed())?;
                    progress.advance(1);
                }
            }
        }
        thread::sleep(PAUSE);
    }
}

impl Running {
    /// How it ended, if it did or had to.
    fn look(&mut self, limits: &Limits) -> Result<Option<Ended>, Error> {
        let failed =
            |error| Error::Source { path: "a case's process".into(), what: "can't be waited for", error };
        let mut end = None;
        // First, so that a limit holds whether the process or this look came earlier.
        if self.began.elapsed() > limits.timeout {
            end = Some(Ended::Timeout);
        } else if let Some(status) = self.child.try_wait().map_err(failed)? {
            return Ok(Some(end_of(status)));
        } else if let Some(most) = limits.memory.filter(|_| self.looked.elapsed() > MEMORY_PAUSE) {
            self.looked = Instant::now();
            end = memory(self.child.id()).filter(|taken| *taken > most).map(Ended::Memory);
        }
        if end.is_some() {
            // It may have ended just now.
            let _ = self.child.kill();
            self.child.wait().map_err(failed)?;
        }
        Ok(end)
    }
}

fn end_of(status: ExitStatus) -> Ended {
    match (status.code(), status.signal()) {
        (Some(code), _) => Ended::Status(code),
        (None, signal) => Ended::Signal(signal.unwrap_or(0)),
    }
}

/// Bytes of memory of a process that no file is behind; `None` where the system doesn't tell.
fn memory(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    Some((field("RssAnon:")? + field("RssShmem:").unwrap_or(0)) * 1024)
}

#[cfg(test)]
mod tests {
    use super::{Ended, Limits, run};
    use crate::progress::Silent;
    use std::process::Command;
    use std::time::Duration;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn ends(scripts: &[&str], limits: Limits) -> Vec<Ended> {
        let mut ends = vec![Ended::Timeout; scripts.len()];
        let done = run(
            scripts.len(),
            limits,
            &Silent,
            |n| Ok(shell(scripts[n])),
            |number, end, _| {
                ends[number] = end;
                Ok(())
            },
        );
        done.expect("processes");
        ends
    }

    #[test]
    fn a_process_that_hangs_or_dies_leaves_the_others_alone() {
        let limits = Limits { jobs: 3, timeout: Duration::from_secs(5), memory: None };
        let ends = ends(&["exec sleep 600", "exit 3", "kill -9 $$", "true"], limits);
        assert_eq!(ends, [Ended::Timeout, Ended::Status(3), Ended::Signal(9), Ended::Status(0)]);
    }

    #[test]
    fn a_process_that_takes_too_much_memory_is_ended() {
        let limits = Limits { jobs: 1, timeout: Duration::from_secs(60), memory: Some(20 << 20) };
        let grows = "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done";
        let ends = ends(&[grows], limits);
        assert!(matches!(ends[0], Ended::Memory(taken) if taken > 20 << 20), "{ends:?}");
    }
}
