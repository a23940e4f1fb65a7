//! The program `fwp-native-host`: see the library for what lives where.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::FAILURE
}
