//! The program: reads the configuration and runs one command. Everything else is in the library.

use std::process::ExitCode;

use affzero_connections::commands;

fn main() -> ExitCode {
    commands::run()
}
