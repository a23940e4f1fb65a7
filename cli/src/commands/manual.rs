//! `fwpctl completions` and `fwpctl man`

use crate::args::command;
use crate::error::{Error, file_error};
use crate::out::Out;
use crate::text::safe;
use clap_complete::Shell;
use std::path::Path;

pub(super) fn completions(out: Out, shell: Shell) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "fwpctl", &mut script);
    let script = String::from_utf8(script).map_err(|error| Error::Internal(error.to_string()))?;
    out.result(&serde_json::json!({"shell": shell.to_string(), "script": script}), || script.clone())
}

/// One page for the program and one for each command, as `fwpctl-pay.1`.
pub(super) fn pages(out: Out, dir: &Path) -> Result<(), Error> {
    clap_mangen::generate_to(command(), dir).map_err(file_error(dir))?;
    let json = serde_json::json!({"directory": dir.display().to_string()});
    out.result(&json, || format!("The manual pages are in {}.\n", safe(&dir.display().to_string())))
}
