//! `--record FILE`: every IssuerRequest with its verdict, a JSON line each, which `fwp-sandbox verify` and others' programs
//! can read again.

use crate::bank::Verdict;
use crate::error::SandboxError;
use fwp_verifier::Terms;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// An open record.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: Mutex<File>,
}

impl Record {
    /// Opens the record at `path` to append to it; a new file has mode 0600.
    ///
    /// # Errors
    /// [`SandboxError::File`].
    pub fn open(path: &Path) -> Result<Self, SandboxError> {
        let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        Ok(Self { path: path.to_owned(), file: Mutex::new(file.map_err(SandboxError::file(path))?) })
    }

    /// Appends one delivery.
    ///
    /// # Errors
    /// [`SandboxError::File`].
    pub fn append(
        &self,
        number: i64,
        issuer_request: &str,
        verdict: &Verdict,
        terms: &Terms,
        now_ms: i64,
    ) -> Result<(), SandboxError> {
        let networks = terms.networks.as_deref().unwrap_or_default();
        let mut line = serde_json::json!({
            "id": format!("delivery-{number}"),
            "issuerRequestText": issuer_request,
            "now": now_ms,
            "bank": {
                "rpId": terms.rp_id.as_ref().map(fwp::RpId::as_str),
                "issuerIds": networks.iter().filter_map(|network| network.issuer_ids.clone()).flatten().collect::<Vec<_>>(),
                "networks": networks.iter().filter_map(|network| network.id.clone()).collect::<Vec<_>>(),
            },
            "verdict": verdict.to_json(),
        })
        .to_string();
        line.push('\n');
        // One write, so that lines of several processes don't mix.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(line.as_bytes()).map_err(SandboxError::file(&self.path))
    }
}
