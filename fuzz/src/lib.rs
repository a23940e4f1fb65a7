//! Fuzz targets of every parser, as functions: each takes any bytes, and must neither panic nor accept what it would not
//! write the same way. `make fuzz` runs them under libFuzzer (`fuzz/harness`); their corpora (`fuzz/corpus/TARGET`) replay in
//! the tests of this crate.

mod browser;
mod ctap;
mod edges;
mod protocol;
mod store;
mod tpm;
mod transports;

pub use browser::{native_frames, native_message};
pub use ctap::{authenticator, ctap_ceremony, ctap_request, ctap_response};
pub use edges::{attestation_certificates, card_image, command_line, pin_box, verify_line};
pub use protocol::{card_data, cbor, credential, enrollment, envelope, esad, moz_pay, payment_request, sad};
pub use store::{backup, spending, store_record};
pub use tpm::{certification, endorsement_certificate, tpm_attestation, tpm_blobs, tpm_public};
pub use transports::{ctap_hid, ctap_nfc};

/// A target: any bytes.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("attestation_certificates", attestation_certificates),
    ("authenticator", authenticator),
    ("backup", backup),
    ("card_data", card_data),
    ("card_image", card_image),
    ("cbor", cbor),
    ("certification", certification),
    ("command_line", command_line),
    ("credential", credential),
    ("ctap_ceremony", ctap_ceremony),
    ("ctap_hid", ctap_hid),
    ("ctap_nfc", ctap_nfc),
    ("ctap_request", ctap_request),
    ("ctap_response", ctap_response),
    ("endorsement_certificate", endorsement_certificate),
    ("enrollment", enrollment),
    ("envelope", envelope),
    ("esad", esad),
    ("moz_pay", moz_pay),
    ("native_frames", native_frames),
    ("native_message", native_message),
    ("payment_request", payment_request),
    ("pin_box", pin_box),
    ("sad", sad),
    ("spending", spending),
    ("store_record", store_record),
    ("tpm_attestation", tpm_attestation),
    ("tpm_blobs", tpm_blobs),
    ("tpm_public", tpm_public),
    ("verify_line", verify_line),
];

/// `data` cut at each 0xff byte into `N` texts; what is not UTF-8 is replaced, what is not there is empty.
fn texts<const N: usize>(data: &[u8]) -> [String; N] {
    let mut parts = data.splitn(N, |byte| *byte == 0xff);
    std::array::from_fn(|_| String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned())
}

/// What a target found wrong; stops the fuzzer.
#[track_caller]
#[allow(clippy::panic, reason = "a fuzz target reports by panicking")]
fn check(holds: bool, what: &str) {
    if !holds {
        panic!("{what}");
    }
}
