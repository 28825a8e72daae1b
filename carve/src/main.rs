//! The `mudlark` command.

use std::process::ExitCode;

/// Batches are made and dropped by the thousand: an allocator that keeps their memory halves the page faults.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    mudlark::cli::main()
}
