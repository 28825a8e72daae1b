//! Many files that are put in place: waiting for the disk takes longer than writing a small one, so it is done beside the work.

use super::Pending;
use crate::error::Error;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Files that the disk is asked for at a time: file systems write them together.
const AT_A_TIME: usize = 8;

/// Hands files to those who put them in place.
#[derive(Clone, Debug)]
pub struct Keeper(SyncSender<Pending>);

impl Keeper {
    /// Has a file put under its final name, once it is on the disk; [`Keepers::finish`] tells whether it was.
    pub fn keep(&self, pending: Pending) {
        // When nobody is left to take it, it vanishes, as one does that is not kept.
        let _ = self.0.send(pending);
    }
}

/// Threads that put files in place.
#[derive(Debug)]
pub struct Keepers {
    /// `None` once no further file comes.
    keeper: Option<Keeper>,
    threads: Vec<JoinHandle<Result<(), Error>>>,
}

impl Keepers {
    /// None that has anything to do.
    #[must_use]
    pub fn new() -> Self {
        let (sender, receiver) = sync_channel(AT_A_TIME);
        let receiver = Arc::new(Mutex::new(receiver));
        let thread = |_| {
            let receiver = Arc::clone(&receiver);
            thread::spawn(move || keep_all(&receiver))
        };
        Self { keeper: Some(Keeper(sender)), threads: (0..AT_A_TIME).map(thread).collect() }
    }

    /// Whom to hand files to; `None` once all are in place.
    #[must_use]
    pub fn keeper(&self) -> Option<Keeper> {
        self.keeper.clone()
    }

    /// Waits until all files are in place. No other keeper may be left by then.
    ///
    /// # Errors
    /// When one could not be put in place; the others are.
    pub fn finish(mut self) -> Result<(), Error> {
        self.wait()
    }

    fn wait(&mut self) -> Result<(), Error> {
        self.keeper = None;
        let mut all = Ok(());
        for thread in self.threads.drain(..) {
            all = all.and(thread.join().unwrap_or(Ok(())));
        }
        all
    }
}

impl Default for Keepers {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Keepers {
    fn drop(&mut self) {
        // The run ends with another error, which tells more.
        let _ = self.wait();
    }
}

/// Puts files in place until no further one comes; the first error.
fn keep_all(files: &Mutex<Receiver<Pending>>) -> Result<(), Error> {
    let mut all = Ok(());
    loop {
        let next = files.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(pending) = next else { return all };
        let kept = pending.keep_of_many();
        all = all.and(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::{Keepers, Pending};
    use std::fs;

    #[test]
    fn all_files_stand_under_their_names_once_the_keepers_are_done() {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..50).map(|number| folder.path().join(format!("{number}.db"))).collect();
        let keepers = Keepers::new();
        for path in &paths {
            let pending = Pending::new(path).unwrap();
            fs::write(pending.temporary(), "tide").unwrap();
            keepers.keeper().unwrap().keep(pending);
        }
        keepers.finish().unwrap();
        assert!(paths.iter().all(|path| fs::read(path).unwrap() == b"tide"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 50);
    }

    #[test]
    fn a_file_that_can_not_be_put_in_place_is_told_and_the_others_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good.db"), folder.path().join("bad.db"));
        let keepers = Keepers::new();
        for path in [&bad, &good] {
            let pending = Pending::new(path).unwrap();
            if path == &bad {
                fs::remove_file(pending.temporary()).unwrap();
            }
            keepers.keeper().unwrap().keep(pending);
        }
        assert!(keepers.finish().unwrap_err().to_string().contains("bad.db"));
        assert!(good.exists() && !bad.exists());
    }
}
