//! The program `pki`: reads the command line, calls one command, and ends with its exit code. Everything else is in the library.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

mod cli;

/// What is freed is wiped. The project's own types wipe the keys that they hold; parsers of YAML and PEM, and whatever they grow out of, keep copies that nobody else
/// can reach.
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
