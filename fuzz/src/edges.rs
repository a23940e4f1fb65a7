//! What comes from people, shops, banks and agents at the programs' edges.

use crate::{check, texts};
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
