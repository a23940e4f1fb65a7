//! The program `fwpctl`: see the library for what lives where.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(fwpctl::run(std::env::args_os()).code())
}
