//! How a PIN travels from the agent to the daemon: sealed to a key that the daemon made for this one prompt.
//!
//! A PIN box is [`BOX_LENGTH`] bytes, whatever the PIN's length:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 32 | the agent's ephemeral X25519 public key |
//! | 64 + 16 | AES-256-GCM of the padded PIN (1 byte length, the PIN as UTF-8, zeros), and its tag |
//!
//! Key (32) and nonce (12) are the 44 bytes of HKDF-SHA256 (RFC 5869) over the X25519 shared secret (RFC 7748) without
//! salt, `info` = `"io.github.fwpd PIN box 1"`, the daemon's public key, the agent's public key. Both key pairs are used once,
//! so that the nonce may be derived. The version byte is the AAD. An all-zero shared secret is refused.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// Length of a box in bytes.
pub const BOX_LENGTH: usize = 1 + 32 + PADDED_LENGTH + 16;
/// Longest PIN in UTF-8 bytes (CTAP 2.1, section 6.5.1).
pub const MAX_PIN_LENGTH: usize = 63;

const VERSION: u8 = 1;
const PADDED_LENGTH: usize = 1 + MAX_PIN_LENGTH;
const INFO: &[u8] = b"io.github.fwpd PIN box 1";

/// A PIN: 1 to 63 bytes of UTF-8 without NUL. It is wiped when dropped and never shown.
pub struct Pin(Zeroizing<String>);

impl Pin {
    /// Takes a PIN as it was typed.
    ///
    /// # Errors
    /// [`PinBoxError::PinLength`] for an empty one or more than 63 bytes, [`PinBoxError::PinText`] for a NUL in it.
    pub fn new(text: Zeroizing<String>) -> Result<Self, PinBoxError> {
        if text.is_empty() || text.len() > MAX_PIN_LENGTH {
            return Err(PinBoxError::PinLength);
        }
        if text.contains('\0') {
            return Err(PinBoxError::PinText);
        }
        Ok(Self(text))
    }

    /// The PIN itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(redacted)")
    }
}

/// What can be wrong with a PIN or a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinBoxError {
    /// Not 1 to 63 bytes.
    #[error("a PIN has 1 to 63 bytes")]
    PinLength,
    /// A NUL character, or bytes that aren't UTF-8.
    #[error("a PIN is text without NUL characters")]
    PinText,
    /// The other side's public key isn't 32 bytes, or makes an all-zero secret.
    #[error("the public key to seal a PIN to isn't a good X25519 key")]
    PublicKey,
    /// The box has another length or version, or was made for another prompt, or was changed.
    #[error("the PIN box doesn't open with this prompt's key")]
    Box,
    /// The operating system gave no random numbers.
    #[error("no randomness from the operating system")]
    Randomness,
}

/// The daemon's key pair for one prompt.
pub struct PromptKey(StaticSecret);

impl PromptKey {
    /// A fresh one.
    ///
    /// # Errors
    /// [`PinBoxError::Randomness`].
    pub fn generate() -> Result<Self, PinBoxError> {
        Ok(Self(random_secret()?))
    }

    /// What `Agent1.RequestPin` carries.
    pub fn public_key(&self) -> [u8; 32] {
        PublicKey::from(&self.0).to_bytes()
    }

    /// Opens the agent's answer; the key is used up.
    ///
    /// # Errors
    /// [`PinBoxError::Box`], [`PinBoxError::PublicKey`], [`PinBoxError::PinLength`], [`PinBoxError::PinText`].
    pub fn open(self, sealed: &[u8]) -> Result<Pin, PinBoxError> {
        let sealed: &[u8; BOX_LENGTH] = sealed.try_into().map_err(|_| PinBoxError::Box)?;
        let (version, rest) = sealed.split_first().ok_or(PinBoxError::Box)?;
        let (agent_key, ciphertext) = rest.split_first_chunk::<32>().ok_or(PinBoxError::Box)?;
        if *version != VERSION {
            return Err(PinBoxError::Box);
        }
        let shared = self.0.diffie_hellman(&PublicKey::from(*agent_key));
        let (key, nonce) = derive(&shared, &self.public_key(), agent_key)?;
        let padded = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
            .decrypt(&Nonce::from(nonce), Payload { msg: ciphertext, aad: &[VERSION] })
            .map(Zeroizing::new)
            .map_err(|_| PinBoxError::Box)?;
        unpad(&padded)
    }
}

impl fmt::Debug for PromptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PromptKey(redacted)")
    }
}

/// Seals a PIN to the daemon's key for one prompt; the agent's side.
///
/// # Errors
/// [`PinBoxError::PublicKey`], [`PinBoxError::Randomness`].
pub fn seal(pin: &Pin, public_key: &[u8]) -> Result<Vec<u8>, PinBoxError> {
    seal_with(pin, public_key, random_secret()?)
}

fn seal_with(pin: &Pin, public_key: &[u8], ephemeral: StaticSecret) -> Result<Vec<u8>, PinBoxError> {
    let daemon_key: [u8; 32] = public_key.try_into().map_err(|_| PinBoxError::PublicKey)?;
    let agent_key = PublicKey::from(&ephemeral).to_bytes();
    let shared = ephemeral.diffie_hellman(&PublicKey::from(daemon_key));
    let (key, nonce) = derive(&shared, &daemon_key, &agent_key)?;
    let padded = pad(pin)?;
    let ciphertext = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
        .encrypt(&Nonce::from(nonce), Payload { msg: padded.as_slice(), aad: &[VERSION] })
        .map_err(|_| PinBoxError::Box)?;
    Ok([&[VERSION], agent_key.as_slice(), &ciphertext].concat())
}

fn derive(
    shared: &SharedSecret,
    daemon_key: &[u8; 32],
    agent_key: &[u8; 32],
) -> Result<(Zeroizing<[u8; 32]>, [u8; 12]), PinBoxError> {
    if !shared.was_contributory() {
        return Err(PinBoxError::PublicKey);
    }
    let mut output = Zeroizing::new([0; 44]);
    Hkdf::<Sha256>::new(None, shared.as_bytes())
        .expand_multi_info(&[INFO, daemon_key, agent_key], output.as_mut_slice())
        .map_err(|_| PinBoxError::Box)?;
    let (key, nonce) = output.split_first_chunk::<32>().ok_or(PinBoxError::Box)?;
    Ok((Zeroizing::new(*key), nonce.try_into().map_err(|_| PinBoxError::Box)?))
}

fn pad(pin: &Pin) -> Result<Zeroizing<[u8; PADDED_LENGTH]>, PinBoxError> {
    let mut padded = Zeroizing::new([0; PADDED_LENGTH]);
    let (length, text) = padded.split_first_mut().ok_or(PinBoxError::PinLength)?;
    let bytes = pin.expose().as_bytes();
    *length = u8::try_from(bytes.len()).map_err(|_| PinBoxError::PinLength)?;
    text.get_mut(..bytes.len()).ok_or(PinBoxError::PinLength)?.copy_from_slice(bytes);
    Ok(padded)
}

fn unpad(padded: &[u8]) -> Result<Pin, PinBoxError> {
    let (length, text) = padded.split_first().ok_or(PinBoxError::Box)?;
    let (bytes, zeros) = text.split_at_checked(usize::from(*length)).ok_or(PinBoxError::Box)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(PinBoxError::Box);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PinBoxError::PinText)?;
    Pin::new(Zeroizing::new(text.to_owned()))
}

fn random_secret() -> Result<StaticSecret, PinBoxError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| PinBoxError::Randomness)?;
    Ok(StaticSecret::from(*seed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pin(text: &str) -> Pin {
        Pin::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    #[test]
    fn a_sealed_pin_opens_with_the_prompts_key_and_with_no_other() {
        let (key, other) = (PromptKey::generate().unwrap(), PromptKey::generate().unwrap());
        let sealed = seal(&pin("31415926"), &key.public_key()).unwrap();
        assert_eq!(other.open(&sealed).unwrap_err(), PinBoxError::Box);
        assert_eq!(key.open(&sealed).unwrap().expose(), "31415926");
    }

    #[test]
    fn the_box_is_as_long_for_every_pin_and_shows_nothing_of_it() {
        let key = PromptKey::generate().unwrap();
        for text in ["1", "123456", &"x".repeat(MAX_PIN_LENGTH)] {
            let sealed = seal(&pin(text), &key.public_key()).unwrap();
            assert_eq!(sealed.len(), BOX_LENGTH);
            assert!(text.len() == 1 || !sealed.windows(text.len()).any(|window| window == text.as_bytes()));
        }
        let twice = [0, 1].map(|_| seal(&pin("123456"), &key.public_key()).unwrap());
        assert_ne!(twice[0], twice[1]);
    }

    /// The format's test vector: secrets are SHA-256 of "daemon" and "agent". Whoever writes an agent in another
    /// language checks against it.
    #[test]
    fn the_format_does_not_change() {
        use sha2::Digest;
        let secret = |name: &str| StaticSecret::from(<[u8; 32]>::from(Sha256::digest(name)));
        let key = PromptKey(secret("daemon"));
        let sealed = seal_with(&pin("123456"), &key.public_key(), secret("agent")).unwrap();
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../tests/pin_box.hex").trim());
        assert_eq!(key.open(&sealed).unwrap().expose(), "123456");
    }

    #[test]
    fn keys_of_low_order_are_refused_on_both_sides() {
        assert_eq!(seal(&pin("123456"), &[0; 32]).unwrap_err(), PinBoxError::PublicKey);
        assert_eq!(seal(&pin("123456"), &[9; 31]).unwrap_err(), PinBoxError::PublicKey);
        let mut sealed = vec![0; BOX_LENGTH];
        sealed[0] = VERSION;
        assert_eq!(PromptKey::generate().unwrap().open(&sealed).unwrap_err(), PinBoxError::PublicKey);
    }

    #[test]
    fn pins_that_ctap_could_not_take_are_refused() {
        let new = |text: String| Pin::new(Zeroizing::new(text)).map(|_| ());
        assert_eq!(new(String::new()), Err(PinBoxError::PinLength));
        assert_eq!(new("x".repeat(64)), Err(PinBoxError::PinLength));
        assert_eq!(new("12\u{0}34".into()), Err(PinBoxError::PinText));
    }

    #[test]
    fn debug_output_has_no_pin() {
        assert_eq!(format!("{:?}", pin("123456")), "Pin(redacted)");
    }

    proptest! {
        #[test]
        fn a_changed_box_never_opens(at in 0..BOX_LENGTH, bit in 0..8_u8) {
            let key = PromptKey::generate().unwrap();
            let mut sealed = seal(&pin("123456"), &key.public_key()).unwrap();
            sealed[at] ^= 1 << bit;
            // X25519 ignores the top bit of a key; the key is in the KDF's info, so that this shows too.
            prop_assert!(key.open(&sealed).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(sealed in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(PromptKey::generate().unwrap().open(&sealed).is_err());
        }
    }
}
