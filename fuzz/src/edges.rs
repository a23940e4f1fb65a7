//! What comes from people, shops, banks and agents at the programs' edges.

use crate::{check, texts};
use fwp_verifier::AttestationRoots;
use fwp_verifier::certificate::check_certificates;
use fwpctl::card_image;
use fwpctl::origin::OfferUrl;
use fwpctl::request::Request;
use fwpctl::text::{is_harmless, safe};

/// A card's picture: what is taken is small, and draws without end neither in time nor in size.
pub fn card_image(data: &[u8]) {
    if let Ok(image) = card_image::sanitize(data) {
        let again = card_image::sanitize(image.as_str().as_bytes());
        check(again.is_ok(), "what was made harmless is refused");
        let _ = card_image::render(&image, 64);
    }
}

/// The files and URLs that `fwpctl` reads, and the text that it shows of them.
pub fn command_line(data: &[u8]) {
    let [text, host] = texts(data);
    let _ = Request::from_file(&text, Some(&host));
    if let Ok(url) = OfferUrl::parse(&text) {
        check(!url.check_rp_id(&host).is_ok_and(|()| host.is_empty()), "an empty rpId was taken");
    }
    check(safe(&text).to_string().chars().all(is_harmless), "treacherous text is shown");
}

/// The box that a PIN comes in. The key is fresh, so none opens.
pub fn pin_box(data: &[u8]) {
    if let Ok(key) = fwp_dbus::pin_box::PromptKey::generate() {
        check(key.open(data).is_err(), "a box opened that was made for another key");
    }
}

/// A line for `fwp-sandbox verify`.
pub fn verify_line(data: &[u8]) {
    let _ = fwp_sandbox::cases::verify_line(data, &[]);
}

/// Certificates of an attestation, and roots: the input as one certificate, as two cut in the middle, and as PEM.
pub fn attestation_certificates(data: &[u8]) {
    let aaguid = [0x11; 16];
    let (first, second) = data.split_at(data.len() / 2);
    let _ = check_certificates(&[data.to_vec()], &aaguid);
    let _ = check_certificates(&[first.to_vec(), second.to_vec()], &aaguid);
    check(check_certificates(&[], &aaguid).is_err(), "no certificate is taken for one");
    let _ = AttestationRoots::from_der([data]);
    let _ = AttestationRoots::from_pem(data);
}
