//! The fault guard: a mapped page that can't be read becomes zeros and a recorded hole.
//!
//! A read of a mapped file raises SIGBUS where the file has shrunk or the disk fails. The handler puts a page of
//! zeros in the place and lets the read go on, so that damage costs the bytes it costs.
#![allow(
    unsafe_code,
    reason = "signal handlers and page mappings have no safe form; the argument stands below"
)]

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Mappings that can be watched at a time; further ones are not guarded.
const MAX_WATCHED: usize = 256;

/// Faulted pages that are remembered for each mapping; more are still replaced by zeros, and counted.
const MAX_FAULTS: usize = 1024;

struct Watch {
    start: AtomicUsize,
    len: AtomicUsize,
    faults: AtomicUsize,
    pages: [AtomicUsize; MAX_FAULTS],
}

static WATCHED: [Watch; MAX_WATCHED] = [const {
    Watch {
        start: AtomicUsize::new(0),
        len: AtomicUsize::new(0),
        faults: AtomicUsize::new(0),
        pages: [const { AtomicUsize::new(0) }; MAX_FAULTS],
    }
}; MAX_WATCHED];
static INSTALL: Once = Once::new();
static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// A watched range of memory; the watch ends when this is dropped.
#[derive(Debug)]
pub(super) struct Guard {
    slot: usize,
}

impl Guard {
    /// Watches `bytes`, which must be a read-only mapping of a file. `None` when too many are watched.
    pub(super) fn watch(bytes: &[u8]) -> Option<Self> {
        install();
        let start = bytes.as_ptr() as usize;
        for (slot, watch) in WATCHED.iter().enumerate() {
            let taken = watch.start.compare_exchange(0, start, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() {
                watch.faults.store(0, Ordering::Release);
                watch.len.store(bytes.len(), Ordering::Release);
                return Some(Self { slot });
            }
        }
        None
    }

    /// Offsets of the memory pages that could not be read, and their size in bytes.
    pub(super) fn faults(&self) -> (Vec<usize>, usize) {
        let Some(watch) = WATCHED.get(self.slot) else { return (Vec::new(), 0) };
        let count = watch.faults.load(Ordering::Acquire).min(MAX_FAULTS);
        let mut offsets: Vec<usize> =
            watch.pages.iter().take(count).map(|page| page.load(Ordering::Acquire)).collect();
        offsets.sort_unstable();
        offsets.dedup();
        (offsets, PAGE.load(Ordering::Relaxed))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(watch) = WATCHED.get(self.slot) {
            watch.len.store(0, Ordering::Release);
            watch.start.store(0, Ordering::Release);
        }
    }
}

fn install() {
    INSTALL.call_once(|| {
        // SAFETY: sysconf has no preconditions.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        PAGE.store(usize::try_from(page).unwrap_or(4096), Ordering::Relaxed);
        // SAFETY: the action is zeroed and then filled as sigaction(2) asks; the handler only touches atomics and
        // calls mmap, and falls back to the default action for faults outside of watched mappings.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
        }
    });
}

/// Replaces the faulting page by zeros when it lies in a watched mapping.
///
/// What could still go wrong: the bytes of a page change while a parser borrows them. Parsers hold no pointers
/// into bytes and check every read, so the worst is a row with zeros, and the hole is on record.
extern "C" fn on_fault(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel passes a valid siginfo for SA_SIGINFO handlers.
    let address = unsafe { (*info).si_addr() } as usize;
    let page_size = PAGE.load(Ordering::Relaxed);
    for watch in &WATCHED {
        let (start, len) = (watch.start.load(Ordering::Acquire), watch.len.load(Ordering::Acquire));
        if start == 0 || address < start || address - start >= len {
            continue;
        }
        let page = address & !(page_size - 1);
        // SAFETY: the page lies within a mapping of ours that only reads; MAP_FIXED replaces just this page.
        let replaced = unsafe {
            libc::mmap(
                page as *mut libc::c_void,
                page_size,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if replaced == libc::MAP_FAILED {
            break;
        }
        let fault = watch.faults.fetch_add(1, Ordering::AcqRel);
        if let Some(slot) = watch.pages.get(fault) {
            slot.store(page - start, Ordering::Release);
        }
        return;
    }
    // SAFETY: restoring the default action lets the fault end the process as it would have without us.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
    }
}
