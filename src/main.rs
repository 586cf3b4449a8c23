//! The program `pki`: reads the command line, calls one command, and ends with its exit code. Everything else is in the library.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::run(std::env::args_os()).into()
}
