//! Where the TPM is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Where the TPM is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TpmAddress {
    /// A device of the kernel. `/dev/tpmrm0` shares the TPM among programs; group `tss` may use it.
    Device(PathBuf),
    /// A software TPM, for tests and demonstrations.
    Swtpm {
        /// An IP address or host name.
        host: String,
        /// The TCP port of its commands; the one after it is that of its control channel.
        port: u16,
    },
}

impl Default for TpmAddress {
    fn default() -> Self {
        Self::Device(PathBuf::from("/dev/tpmrm0"))
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
        }
    }
}

/// A text that is no [`TpmAddress`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no TPM: say device:/dev/tpmrm0 or swtpm:host=127.0.0.1,port=2321")]
pub struct NoTpmAddress(String);

/// As tpm2-tools write it: `device:/dev/tpmrm0`, `swtpm:host=127.0.0.1,port=2321`.
impl FromStr for TpmAddress {
    type Err = NoTpmAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoTpmAddress(text.to_owned());
        if let Some(path) = text.strip_prefix("device:").filter(|path| path.starts_with('/')) {
            return Ok(Self::Device(PathBuf::from(path)));
        }
        let (host, port) =
            text.strip_prefix("swtpm:host=").and_then(|rest| rest.split_once(",port=")).ok_or_else(wrong)?;
        let host_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.is_empty() || !host.chars().all(host_character) {
            return Err(wrong());
        }
        Ok(Self::Swtpm { host: host.to_owned(), port: port.parse().map_err(|_| wrong())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["device:/dev/tpmrm0", "swtpm:host=127.0.0.1,port=2321"] {
            assert_eq!(text.parse::<TpmAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "device:", "device:tpm0", "swtpm:host=,port=1", "swtpm:host=a,port=70000", "mssim:x"]
        {
            assert!(text.parse::<TpmAddress>().is_err(), "{text}");
        }
        assert_eq!(TpmAddress::default().to_string(), "device:/dev/tpmrm0");
    }
}
