//! The `mudlark` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    mudlark::cli::main()
}
