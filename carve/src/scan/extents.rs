//! The parts of a file that hold data: holes read as zeros, and are passed over.

use super::{WINDOW, Windows};
use rustix::fs::{SeekFrom, seek};
use std::fs::File;

/// Where a file has data.
#[derive(Debug)]
pub(super) struct Extents<'f> {
    /// `None` when the file can't tell.
    file: Option<&'f File>,
    len: usize,
    /// There is no hole from here on ...
    from: usize,
    /// ... up to here.
    to: usize,
}

impl<'f> Extents<'f> {
    /// Those of a file of `len` bytes.
    pub(super) const fn of(file: Option<&'f File>, len: usize) -> Self {
        Self { file, len, from: 0, to: 0 }
    }

    /// At most `most` windows from `from` on, without those that lie in holes.
    pub(super) fn windows(&mut self, from: usize, most: usize) -> Windows {
        let mut windows = Windows { starts: Vec::new(), end: from, skipped: 0 };
        while windows.starts.len() < most && windows.end < self.len {
            let data = self.data_from(windows.end);
            let start = windows.end.max(data / WINDOW * WINDOW);
            if data >= self.len {
                windows.skipped += self.len - windows.end;
                windows.end = self.len;
                break;
            }
            windows.skipped += start - windows.end;
            windows.starts.push(start);
            windows.end = (start + WINDOW).min(self.len);
        }
        windows
    }

    /// The first byte from `at` on that is in no hole.
    fn data_from(&mut self, at: usize) -> usize {
        if (self.from..self.to).contains(&at) {
            return at;
        }
        let Some(file) = self.file else { return at };
        let Ok(data) = seek(file, SeekFrom::Data(at as u64)) else {
            // Behind the last data there is none; a file system without holes says that all is data.
            let none = seek(file, SeekFrom::Hole(at as u64)).is_ok();
            return if none { self.len } else { self.give_up(at) };
        };
        let hole = seek(file, SeekFrom::Hole(data)).unwrap_or(data);
        self.from = data as usize;
        self.to = hole as usize;
        data as usize
    }

    const fn give_up(&mut self, at: usize) -> usize {
        self.file = None;
        at
    }
}
