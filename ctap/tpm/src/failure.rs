//! A command that failed: the response code (TPM 2.0 Library, Part 2, section 6.6), and what it means to the user.

use ctap_authenticator::HardwareError;
use tss_esapi::Error;
use tss_esapi::constants::response_code::Tss2ResponseCode;

/// A response code without what says which handle, parameter or session it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u32);

impl Code {
    pub(crate) const BAD_CONTEXT: Self = Self(0x150);
    pub(crate) const NV_DEFINED: Self = Self(0x14c);
    pub(crate) const VALUE: Self = Self(0x84);
    pub(crate) const HIERARCHY: Self = Self(0x85);
    pub(crate) const HANDLE: Self = Self(0x8b);
    pub(crate) const AUTH_FAIL: Self = Self(0x8e);
    pub(crate) const POLICY_FAIL: Self = Self(0x9d);
    pub(crate) const PCR_CHANGED: Self = Self(0x128);
    pub(crate) const SIZE: Self = Self(0x95);
    pub(crate) const INTEGRITY: Self = Self(0x9f);
    pub(crate) const BAD_AUTH: Self = Self(0xa2);
    pub(crate) const LOCKOUT: Self = Self(0x921);

    fn new(raw: u32) -> Self {
        // Format one (bit 7) has the number in bits 0 to 5; of its bits 6 and 8 to 11 those tell where.
        Self(if raw & 0x80 == 0 { raw & 0xfff } else { raw & 0xbf })
    }
}

/// The layer of libtss2 that a code comes from; 0 is the TPM itself.
const LAYER_SHIFT: u32 = 16;
const LAYER_TPM: u32 = 0;
/// The connection to the TPM.
const LAYER_TCTI: u32 = 10;

/// As what a TPM2_Load of the attestation key stands in a [`Failure`].
const LOAD_ATTESTATION_KEY: &str = "TPM2_Load of the attestation key";

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) command: &'static str,
    /// `None`: the library refused it before or after the TPM did its part.
    raw: Option<u32>,
    text: String,
}

impl Failure {
    pub(crate) fn new(command: &'static str, error: &Error) -> Self {
        Self { command, raw: raw_code(error), text: error.to_string() }
    }

    pub(crate) fn of_raw(command: &'static str, raw: u32) -> Self {
        Self { command, raw: Some(raw), text: String::new() }
    }

    /// Of the library's preparations for a command, or what does not fit in its answer.
    pub(crate) fn local(command: &'static str, text: impl ToString) -> Self {
        Self { command, raw: None, text: text.to_string() }
    }

    /// It was the attestation key that was to be loaded.
    pub(crate) fn of_attestation_key(self) -> Self {
        Self { command: LOAD_ATTESTATION_KEY, ..self }
    }

    /// The TPM's own code.
    pub(crate) fn code(&self) -> Option<Code> {
        self.raw.filter(|raw| raw >> LAYER_SHIFT == LAYER_TPM).map(Code::new)
    }

    pub(crate) fn is(&self, codes: &[Code]) -> bool {
        self.code().is_some_and(|code| codes.contains(&code))
    }

    /// What it means, as far as the code alone says.
    pub(crate) fn meaning(&self) -> HardwareError {
        if self.raw.is_some_and(|raw| raw >> LAYER_SHIFT == LAYER_TCTI) {
            return HardwareError::Gone;
        }
        let busy = |cause: &str| HardwareError::Busy { cause: cause.to_owned() };
        match self.code().map(|code| code.0) {
            Some(0x902 | 0x906) => busy("no slot for another key is free"),
            Some(0x901 | 0x903 | 0x905) => busy("no slot for another session is free"),
            Some(0x904) => busy("its memory is in use"),
            Some(0x908 | 0x909 | 0x90a | 0x920 | 0x922 | 0x923) => busy("it asks to wait"),
            Some(0x14b) => HardwareError::NoRoom,
            Some(code) if Code(code) == Code::INTEGRITY && self.command == LOAD_ATTESTATION_KEY => {
                HardwareError::AttestationKeyLost
            }
            _ => HardwareError::Failed { command: self.command, cause: self.cause() },
        }
    }

    fn cause(&self) -> String {
        match self.raw {
            Some(raw) if self.text.is_empty() => format!("0x{raw:x}"),
            Some(raw) => format!("0x{raw:x}: {}", self.text),
            None => self.text.clone(),
        }
    }
}

/// The number of a response code, which tss-esapi keeps to itself but for its text.
fn raw_code(error: &Error) -> Option<u32> {
    let text = match error {
        Error::Tss2Error(Tss2ResponseCode::FormatZero(code)) => code.to_string(),
        Error::Tss2Error(Tss2ResponseCode::FormatOne(code)) => code.to_string(),
        Error::Tss2Error(Tss2ResponseCode::Success) | Error::WrapperError(_) => return None,
    };
    let (_, hex) = text.rsplit_once("0x")?;
    u32::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tss_esapi::{Context, TctiNameConf};

    #[test]
    fn codes_are_read_whatever_they_are_about() {
        for (raw, code) in [(0x98e, Code::AUTH_FAIL), (0x9a2, Code::BAD_AUTH), (0x18b, Code::HANDLE)] {
            assert_eq!(Failure::of_raw("TPM2_Sign", raw).code(), Some(code), "{raw:x}");
        }
        assert_eq!(Failure::of_raw("TPM2_Load", 0x1df).code(), Some(Code::INTEGRITY));
        assert!(Failure::of_raw("TPM2_Sign", 0x921).is(&[Code::LOCKOUT]));
        assert_eq!(Failure::of_raw("TPM2_Sign", 0xa_000a).meaning(), HardwareError::Gone);
        assert_eq!(Failure::of_raw("TPM2_Sign", 0xa_000a).code(), None);
    }

    /// The number is in tss-esapi's text alone: here is a failure of the connection to read it from.
    #[test]
    fn the_number_is_read_from_the_librarys_own_errors() {
        let nowhere: TctiNameConf = "device:/dev/no-such-tpm".parse().unwrap();
        let failure = Failure::new("TPM2_Sign", &Context::new(nowhere).unwrap_err());
        assert_eq!(failure.raw.map(|raw| raw >> LAYER_SHIFT), Some(LAYER_TCTI), "{failure:?}");
    }
}
