//! The program `fwp-native-host`: see the library for what lives where. Standard output has the protocol and nothing else.

use fwp_dbus::find::BusChoice;
use fwp_native_host::{caller, pipe, session};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be listening.
            let _ = writeln!(std::io::stderr(), "fwp-native-host: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[OsString]) -> Result<(), Box<dyn std::error::Error>> {
    caller::parse(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (frames, to_browser) = (pipe::read_frames(std::io::stdin())?, pipe::write_frames(std::io::stdout())?);
    runtime.block_on(session::serve(frames, to_browser, BusChoice::Any));
    // What still waits for the wallet is not waited for; the connection to the bus goes with the process.
    runtime.shutdown_background();
    Ok(())
}
