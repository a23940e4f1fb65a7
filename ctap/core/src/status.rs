//! CTAP status codes (CTAP 2.1 section 8.2), with those of CTAP 2.0 that 2.1 has dropped: keys in the field give them.

use std::fmt;

/// A status code: the first byte of every response.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

macro_rules! statuses {
    ($($name:ident $code:literal $text:literal;)*) => {
        impl Status {
            $(#[doc = concat!("`", $text, "` (", stringify!($code), ").")] pub const $name: Self = Self($code);)*

            /// The name that the standard gives the code, if it gives one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    OK 0x00 "CTAP2_OK";
    INVALID_COMMAND 0x01 "CTAP1_ERR_INVALID_COMMAND";
    INVALID_PARAMETER 0x02 "CTAP1_ERR_INVALID_PARAMETER";
    INVALID_LENGTH 0x03 "CTAP1_ERR_INVALID_LENGTH";
    INVALID_SEQ 0x04 "CTAP1_ERR_INVALID_SEQ";
    TIMEOUT 0x05 "CTAP1_ERR_TIMEOUT";
    CHANNEL_BUSY 0x06 "CTAP1_ERR_CHANNEL_BUSY";
    LOCK_REQUIRED 0x0a "CTAP1_ERR_LOCK_REQUIRED";
    INVALID_CHANNEL 0x0b "CTAP1_ERR_INVALID_CHANNEL";
    CBOR_UNEXPECTED_TYPE 0x11 "CTAP2_ERR_CBOR_UNEXPECTED_TYPE";
    INVALID_CBOR 0x12 "CTAP2_ERR_INVALID_CBOR";
    MISSING_PARAMETER 0x14 "CTAP2_ERR_MISSING_PARAMETER";
    LIMIT_EXCEEDED 0x15 "CTAP2_ERR_LIMIT_EXCEEDED";
    UNSUPPORTED_EXTENSION 0x16 "CTAP2_ERR_UNSUPPORTED_EXTENSION";
    FP_DATABASE_FULL 0x17 "CTAP2_ERR_FP_DATABASE_FULL";
    LARGE_BLOB_STORAGE_FULL 0x18 "CTAP2_ERR_LARGE_BLOB_STORAGE_FULL";
    CREDENTIAL_EXCLUDED 0x19 "CTAP2_ERR_CREDENTIAL_EXCLUDED";
    PROCESSING 0x21 "CTAP2_ERR_PROCESSING";
    INVALID_CREDENTIAL 0x22 "CTAP2_ERR_INVALID_CREDENTIAL";
    USER_ACTION_PENDING 0x23 "CTAP2_ERR_USER_ACTION_PENDING";
    OPERATION_PENDING 0x24 "CTAP2_ERR_OPERATION_PENDING";
    NO_OPERATIONS 0x25 "CTAP2_ERR_NO_OPERATIONS";
    UNSUPPORTED_ALGORITHM 0x26 "CTAP2_ERR_UNSUPPORTED_ALGORITHM";
    OPERATION_DENIED 0x27 "CTAP2_ERR_OPERATION_DENIED";
    KEY_STORE_FULL 0x28 "CTAP2_ERR_KEY_STORE_FULL";
    NOT_BUSY 0x29 "CTAP2_ERR_NOT_BUSY";
    NO_OPERATION_PENDING 0x2a "CTAP2_ERR_NO_OPERATION_PENDING";
    UNSUPPORTED_OPTION 0x2b "CTAP2_ERR_UNSUPPORTED_OPTION";
    INVALID_OPTION 0x2c "CTAP2_ERR_INVALID_OPTION";
    KEEPALIVE_CANCEL 0x2d "CTAP2_ERR_KEEPALIVE_CANCEL";
    NO_CREDENTIALS 0x2e "CTAP2_ERR_NO_CREDENTIALS";
    USER_ACTION_TIMEOUT 0x2f "CTAP2_ERR_USER_ACTION_TIMEOUT";
    NOT_ALLOWED 0x30 "CTAP2_ERR_NOT_ALLOWED";
    PIN_INVALID 0x31 "CTAP2_ERR_PIN_INVALID";
    PIN_BLOCKED 0x32 "CTAP2_ERR_PIN_BLOCKED";
    PIN_AUTH_INVALID 0x33 "CTAP2_ERR_PIN_AUTH_INVALID";
    PIN_AUTH_BLOCKED 0x34 "CTAP2_ERR_PIN_AUTH_BLOCKED";
    PIN_NOT_SET 0x35 "CTAP2_ERR_PIN_NOT_SET";
    PUAT_REQUIRED 0x36 "CTAP2_ERR_PUAT_REQUIRED";
    PIN_POLICY_VIOLATION 0x37 "CTAP2_ERR_PIN_POLICY_VIOLATION";
    PIN_TOKEN_EXPIRED 0x38 "CTAP2_ERR_PIN_TOKEN_EXPIRED";
    REQUEST_TOO_LARGE 0x39 "CTAP2_ERR_REQUEST_TOO_LARGE";
    ACTION_TIMEOUT 0x3a "CTAP2_ERR_ACTION_TIMEOUT";
    UP_REQUIRED 0x3b "CTAP2_ERR_UP_REQUIRED";
    UV_BLOCKED 0x3c "CTAP2_ERR_UV_BLOCKED";
    INTEGRITY_FAILURE 0x3d "CTAP2_ERR_INTEGRITY_FAILURE";
    INVALID_SUBCOMMAND 0x3e "CTAP2_ERR_INVALID_SUBCOMMAND";
    UV_INVALID 0x3f "CTAP2_ERR_UV_INVALID";
    UNAUTHORIZED_PERMISSION 0x40 "CTAP2_ERR_UNAUTHORIZED_PERMISSION";
    OTHER 0x7f "CTAP1_ERR_OTHER";
    SPEC_LAST 0xdf "CTAP2_ERR_SPEC_LAST";
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} (0x{:02x})", self.0),
            None => match self.0 {
                0xe0..=0xef => write!(f, "an extension's status 0x{:02x}", self.0),
                0xf0..=0xff => write!(f, "a vendor's status 0x{:02x}", self.0),
                code => write!(f, "status 0x{code:02x}"),
            },
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
