//! What goes where: results to standard output, what a person should know meanwhile to standard error.

use crate::error::Error;
use crate::text::safe_json;
use serde::Serialize;
use std::io::{self, Write};

/// The two standard streams.
#[derive(Clone, Copy, Debug)]
pub struct Out {
    json: bool,
}

impl Out {
    /// Results as JSON (`--json`) or for people.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether results are JSON.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Columns of the terminal that results go to; `None` if they go elsewhere, where lines may be as long as they are.
    pub fn columns(self) -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    /// Writes a result: `value` as JSON, or else what `people` makes of it, which must be safe to print.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn result(self, value: &impl Serialize, people: impl FnOnce() -> String) -> Result<(), Error> {
        if self.json { self.json(value) } else { self.text(&people()) }
    }

    /// Writes JSON to standard output.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json(self, value: &impl Serialize) -> Result<(), Error> {
        let json = safe_json(value).map_err(|error| Error::Internal(error.to_string()))?;
        self.text(&(json + "\n"))
    }

    /// Writes JSON to standard output as one line, for what goes on.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn json_line(self, value: &serde_json::Value) -> Result<(), Error> {
        // A line feed only ever stands between values.
        let json = safe_json(value).map_err(|error| Error::Internal(error.to_string()))?;
        let line: String = json.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        self.text(&(line + "\n"))
    }

    /// Writes text that is safe already to standard output.
    ///
    /// # Errors
    /// [`Error::Output`].
    pub fn text(self, text: &str) -> Result<(), Error> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Error::Output)
    }

    /// Writes a line that is safe already to standard error. Nobody may be listening.
    pub fn note(self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Says what went wrong.
    pub fn error(self, error: &Error) {
        // Whoever closed the pipe doesn't want to hear of it.
        if matches!(error, Error::Output(source) if source.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        if self.json {
            let json = serde_json::json!({"error": {
                "status": error.exit().code(), "name": error.name(), "message": error.to_string()
            }});
            self.note(&safe_json(&json).unwrap_or_default());
        } else {
            self.note(&format!("fwpctl: {error}"));
        }
    }
}
