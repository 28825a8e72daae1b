//! The fault guard: mapped bytes that can't be read become zeros and recorded holes.
//!
//! A read of a mapped file raises SIGBUS where the file has shrunk or the disk fails. The handler puts a page of memory in
//! the place and lets the read go on. Of a device it first reads again what it can, sector by sector; the rest is zeros, so
//! that damage costs the bytes it costs.
#![allow(
    unsafe_code,
    reason = "signal handlers and page mappings have no safe form; the argument stands below"
)]

use super::sectors::{self, SECTOR};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering};

/// Mappings that can be watched at a time: more than files that a process may have open by default.
const MAX_WATCHED: usize = 2048;

/// No file.
const NO_FILE: i32 = -1;

/// What the handler knows of a mapping. All of it stands before `len` does, and `len` goes first.
struct Watch {
    start: AtomicUsize,
    len: AtomicUsize,
    /// What the bytes are read from again.
    file: AtomicI32,
    /// A bit for each sector, set where it could not be read.
    unread: AtomicPtr<AtomicUsize>,
    /// Pages that were put in place.
    replaced: AtomicUsize,
}

static WATCHED: [Watch; MAX_WATCHED] = [const {
    Watch {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        file: AtomicI32::new(NO_FILE),
        unread: AtomicPtr::new(ptr::null_mut()),
        replaced: AtomicUsize::new(0),
    }
}; MAX_WATCHED];
static INSTALL: Once = Once::new();
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// Bits of a word.
const BITS: usize = usize::BITS as usize;

/// A watched range of memory; the watch ends when this is dropped, which must be before the range is unmapped.
#[derive(Debug)]
pub(super) struct Guard {
    slot: usize,
    /// What `unread` of the slot points to.
    unread: Box<[AtomicUsize]>,
    /// Kept open while the slot names it.
    _file: Option<File>,
}

impl Guard {
    /// Watches `bytes`, which must be a read-only mapping of a file. Where they can't be read they are read again from
    /// `file`, if there is one. `None` when too many are watched.
    pub(super) fn watch(bytes: &[u8], file: Option<File>) -> Option<Self> {
        install();
        let start = bytes.as_ptr() as usize;
        let unread = zeros(bytes.len().div_ceil(SECTOR).div_ceil(BITS));
        for (slot, watch) in WATCHED.iter().enumerate() {
            let taken = watch.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                watch.replaced.store(0, Ordering::Release);
                watch.file.store(file.as_ref().map_or(NO_FILE, AsRawFd::as_raw_fd), Ordering::Release);
                watch.unread.store(unread.as_ptr().cast_mut(), Ordering::Release);
                watch.len.store(bytes.len(), Ordering::Release);
                return Some(Self { slot, unread, _file: file });
            }
        }
        None
    }

    /// Whether anything could not be read at first: memory of ours then stands for it.
    pub(super) fn has_replaced(&self) -> bool {
        WATCHED.get(self.slot).is_some_and(|watch| watch.replaced.load(Ordering::Acquire) > 0)
    }

    /// Offsets and lengths of what could not be read, in order.
    pub(super) fn unread(&self) -> Vec<(u64, u64)> {
        if !self.has_replaced() {
            return Vec::new();
        }
        let words = self.unread.iter().map(|word| word.load(Ordering::Acquire)).enumerate();
        let sectors = words.filter(|(_, word)| *word != 0).flat_map(|(index, word)| {
            (0..BITS).filter(move |bit| word >> bit & 1 != 0).map(move |bit| index * BITS + bit)
        });
        sectors.map(|sector| ((sector * SECTOR) as u64, SECTOR as u64)).collect()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(watch) = WATCHED.get(self.slot) {
            watch.len.store(0, Ordering::Release);
            watch.file.store(NO_FILE, Ordering::Release);
            watch.unread.store(ptr::null_mut(), Ordering::Release);
            watch.start.store(0, Ordering::Release);
        }
    }
}

/// So many words of zeros, which take memory only where they are written to.
fn zeros(count: usize) -> Box<[AtomicUsize]> {
    let words = Box::into_raw(vec![0_usize; count].into_boxed_slice());
    // SAFETY: an `AtomicUsize` has the size, the alignment and the bits of a `usize`, and the box is ours alone.
    unsafe { Box::from_raw(words as *mut [AtomicUsize]) }
}

fn install() {
    INSTALL.call_once(|| {
        // SAFETY: sysconf has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
        // SAFETY: the action is zeroed and then filled as sigaction(2) asks; the handler only touches atomics and
        // memory that it maps itself, calls what signal-safety(7) allows and the calls on mappings, and falls back to the
        // default action for faults outside of watched mappings.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut());
        }
    });
}

/// Replaces the faulting page when it lies in a watched mapping.
///
/// What could still go wrong: the bytes of a page change while a parser borrows them. Parsers hold no pointers
/// into bytes and check every read, so the worst is a row with zeros, and the hole is on record.
extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo for SA_SIGINFO handlers.
    let address = unsafe { (*info).si_addr() } as usize;
    for watch in &WATCHED {
        let (start, len) = (watch.start.load(Ordering::Acquire), watch.len.load(Ordering::Acquire));
        if start == 0 || address < start || address - start >= len {
            continue;
        }
        // SAFETY: the address of the thread's errno is valid in the thread, and what it interrupts may be about to read it.
        let errno = unsafe { *libc::__errno_location() };
        let replaced = replace(watch, address, (start, len));
        // SAFETY: the same.
        unsafe { *libc::__errno_location() = errno };
        if replaced.is_some() {
            return;
        }
        break;
    }
    // SAFETY: restoring the default action lets the fault end the process as it would have without us.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// Puts a page of what can be read in the place of the one that holds `address`; `None` when the system has no room for it.
fn replace(watch: &Watch, address: usize, (start, len): (usize, usize)) -> Option<()> {
    let size = PAGE.load(Ordering::Relaxed);
    let page = address & !(size - 1);
    let from = page - start;
    let most = size.min(len - from);
    let mut left = most;
    let unread = watch.unread.load(Ordering::Acquire);
    let mut failed = |at: usize, count: usize| {
        left -= count;
        for sector in (from + at) / SECTOR..(from + at + count).div_ceil(SECTOR) {
            // SAFETY: there is a bit for each sector of the mapping, and the guard that owns them outlives the mapping's use.
            let word = unsafe { &*unread.add(sector / BITS) };
            word.fetch_or(1 << (sector % BITS), Ordering::AcqRel);
        }
    };
    watch.replaced.fetch_add(1, Ordering::AcqRel);
    let file = watch.file.load(Ordering::Acquire);
    if file == NO_FILE {
        failed(0, most);
        return memory(page, size, libc::PROT_READ, libc::MAP_FIXED).map(|_| ());
    }
    let piece = memory(0, size, libc::PROT_READ | libc::PROT_WRITE, 0)?;
    // SAFETY: the memory is `size` bytes of zeros, at least `most`, that nothing else knows of yet.
    let bytes = unsafe { std::slice::from_raw_parts_mut(piece.cast::<u8>(), most) };
    // SAFETY: the guard keeps the file open as long as the slot names it.
    sectors::read(unsafe { BorrowedFd::borrow_raw(file) }, from as u64, bytes, &mut failed);
    if left == 0 {
        // Zeros that are mapped in their place become one with those beside them; the system counts mappings.
        // SAFETY: the memory was mapped above, and its borrow has ended.
        unsafe { libc::munmap(piece, size) };
        return memory(page, size, libc::PROT_READ, libc::MAP_FIXED).map(|_| ());
    }
    // SAFETY: the page lies within a mapping of ours that only reads, and takes the place of just this one at once: another
    // thread sees the fault or all of the page.
    let moved = unsafe {
        libc::mprotect(piece, size, libc::PROT_READ);
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        libc::mremap(piece, size, size, flags, page as *mut libc::c_void)
    };
    (moved != libc::MAP_FAILED).then_some(())
}

/// Memory of zeros: at a place of the system's choice, or with `MAP_FIXED` in the place of the page at `at`.
fn memory(at: usize, size: usize, protection: i32, fixed: i32) -> Option<*mut libc::c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | fixed;
    // SAFETY: the only places that are passed lie within a mapping of ours that only reads, of which one page is replaced.
    let memory = unsafe { libc::mmap(at as *mut libc::c_void, size, protection, flags, -1, 0) };
    (memory != libc::MAP_FAILED).then_some(memory)
}
