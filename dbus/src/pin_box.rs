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
//!
//! A passphrase box is [`PASSPHRASE_BOX_LENGTH`] bytes and differs in three things: the padded passphrase has 2 + 256 bytes (2 bytes
//! length, big-endian; the passphrase as UTF-8 in normal form C; zeros), and `info` begins with `"io.github.fwpd passphrase box 1"`.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use unicode_normalization::UnicodeNormalization;
use x25519_dalek::{PublicKey, SharedSecret, StaticSecret};
use zeroize::Zeroizing;

/// Length of a box in bytes.
pub const BOX_LENGTH: usize = 1 + 32 + PADDED_LENGTH + 16;
/// Longest PIN in UTF-8 bytes (CTAP 2.1, section 6.5.1).
pub const MAX_PIN_LENGTH: usize = 63;
/// Length of a passphrase box in bytes.
pub const PASSPHRASE_BOX_LENGTH: usize = 1 + 32 + PADDED_PASSPHRASE_LENGTH + 16;
/// Longest passphrase in UTF-8 bytes, in normal form C.
pub const MAX_PASSPHRASE_LENGTH: usize = 256;

const VERSION: u8 = 1;
const PADDED_LENGTH: usize = 1 + MAX_PIN_LENGTH;
const PADDED_PASSPHRASE_LENGTH: usize = 2 + MAX_PASSPHRASE_LENGTH;
const INFO: &[u8] = b"io.github.fwpd PIN box 1";
const PASSPHRASE_INFO: &[u8] = b"io.github.fwpd passphrase box 1";

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

/// A passphrase: 1 to 256 bytes of UTF-8 in normal form C, so that it is the same from every keyboard, without NUL. It is wiped
/// when dropped and never shown.
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes a passphrase as it was typed, and brings it into normal form C.
    ///
    /// # Errors
    /// [`PinBoxError::PassphraseLength`] for an empty one or more than 256 bytes, [`PinBoxError::PassphraseText`] for a NUL in it.
    pub fn new(typed: &Zeroizing<String>) -> Result<Self, PinBoxError> {
        // Never more than three times as long in normal form C (Unicode Standard Annex 15, section 9): the text does not move
        // while it grows.
        let mut text = Zeroizing::new(String::with_capacity(typed.len().saturating_mul(3)));
        text.extend(typed.nfc());
        if text.is_empty() || text.len() > MAX_PASSPHRASE_LENGTH {
            return Err(PinBoxError::PassphraseLength);
        }
        if text.contains('\0') {
            return Err(PinBoxError::PassphraseText);
        }
        Ok(Self(text))
    }

    /// A passphrase that nobody guesses, to be written down: five groups of five letters and digits, 125 random bits. None of
    /// them looks like another (no i, l, o, u). The agent makes it, so that it never travels but sealed.
    ///
    /// # Errors
    /// [`PinBoxError::Randomness`].
    pub fn suggest() -> Result<Self, PinBoxError> {
        const SIGNS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut random = Zeroizing::new([0_u8; 25]);
        getrandom::fill(random.as_mut_slice()).map_err(|_| PinBoxError::Randomness)?;
        let mut text = Zeroizing::new(String::with_capacity(32));
        for (index, byte) in random.iter().enumerate() {
            if index % 5 == 0 && index > 0 {
                text.push('-');
            }
            // 256 is a multiple of 32, so that no sign is likelier than another.
            text.extend(SIGNS.get(usize::from(byte % 32)).map(|sign| char::from(*sign)));
        }
        Ok(Self(text))
    }

    /// The passphrase itself.
    pub fn expose(&self) -> &Zeroizing<String> {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

/// What can be wrong with a PIN, a passphrase or a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PinBoxError {
    /// Not 1 to 63 bytes.
    #[error("a PIN has 1 to 63 bytes")]
    PinLength,
    /// A NUL character, or bytes that aren't UTF-8.
    #[error("a PIN is text without NUL characters")]
    PinText,
    /// Not 1 to 256 bytes.
    #[error("a passphrase has 1 to {MAX_PASSPHRASE_LENGTH} bytes")]
    PassphraseLength,
    /// A NUL character, or bytes that aren't UTF-8 in normal form C.
    #[error("a passphrase is text in normal form C without NUL characters")]
    PassphraseText,
    /// The other side's public key isn't 32 bytes, or makes an all-zero secret.
    #[error("the public key to seal to isn't a good X25519 key")]
    PublicKey,
    /// The box has another length or version, or was made for another prompt, or was changed.
    #[error("the box doesn't open with this prompt's key")]
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

    /// Opens the agent's answer to `RequestPin`; the key is used up.
    ///
    /// # Errors
    /// [`PinBoxError::Box`], [`PinBoxError::PublicKey`], [`PinBoxError::PinLength`], [`PinBoxError::PinText`].
    pub fn open(self, sealed: &[u8]) -> Result<Pin, PinBoxError> {
        let sealed: &[u8; BOX_LENGTH] = sealed.try_into().map_err(|_| PinBoxError::Box)?;
        let padded = self.unseal(INFO, sealed)?;
        let (length, text) = padded.split_first().ok_or(PinBoxError::Box)?;
        let text = unpad(usize::from(*length), text)?.ok_or(PinBoxError::PinText)?;
        Pin::new(Zeroizing::new(text.to_owned()))
    }

    /// Opens the agent's answer to `RequestPassphrase`; the key is used up.
    ///
    /// # Errors
    /// [`PinBoxError::Box`], [`PinBoxError::PublicKey`], [`PinBoxError::PassphraseLength`], [`PinBoxError::PassphraseText`].
    pub fn open_passphrase(self, sealed: &[u8]) -> Result<Passphrase, PinBoxError> {
        let sealed: &[u8; PASSPHRASE_BOX_LENGTH] = sealed.try_into().map_err(|_| PinBoxError::Box)?;
        let padded = self.unseal(PASSPHRASE_INFO, sealed)?;
        let (length, text) = padded.split_first_chunk::<2>().ok_or(PinBoxError::Box)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let text = unpad(length, text)?.ok_or(PinBoxError::PassphraseText)?;
        let passphrase = Passphrase::new(&Zeroizing::new(text.to_owned()))?;
        if passphrase.0.as_str() == text { Ok(passphrase) } else { Err(PinBoxError::PassphraseText) }
    }

    fn unseal(self, info: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, PinBoxError> {
        let (version, rest) = sealed.split_first().ok_or(PinBoxError::Box)?;
        let (agent_key, ciphertext) = rest.split_first_chunk::<32>().ok_or(PinBoxError::Box)?;
        if *version != VERSION {
            return Err(PinBoxError::Box);
        }
        let shared = self.0.diffie_hellman(&PublicKey::from(*agent_key));
        let (key, nonce) = derive(info, &shared, &self.public_key(), agent_key)?;
        Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
            .decrypt(&Nonce::from(nonce), Payload { msg: ciphertext, aad: &[VERSION] })
            .map(Zeroizing::new)
            .map_err(|_| PinBoxError::Box)
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
    seal_pin(pin, public_key, random_secret()?)
}

/// Seals a passphrase to the daemon's key for one prompt; the agent's side.
///
/// # Errors
/// [`PinBoxError::PublicKey`], [`PinBoxError::Randomness`].
pub fn seal_passphrase(passphrase: &Passphrase, public_key: &[u8]) -> Result<Vec<u8>, PinBoxError> {
    seal_long(passphrase, public_key, random_secret()?)
}

fn seal_pin(pin: &Pin, public_key: &[u8], ephemeral: StaticSecret) -> Result<Vec<u8>, PinBoxError> {
    let length = u8::try_from(pin.0.len()).map_err(|_| PinBoxError::PinLength)?;
    let padded = pad::<PADDED_LENGTH>(&[length], pin.expose()).ok_or(PinBoxError::PinLength)?;
    seal_with(INFO, padded.as_slice(), public_key, ephemeral)
}

fn seal_long(
    passphrase: &Passphrase,
    public_key: &[u8],
    ephemeral: StaticSecret,
) -> Result<Vec<u8>, PinBoxError> {
    let length = u16::try_from(passphrase.0.len()).map_err(|_| PinBoxError::PassphraseLength)?;
    let padded = pad::<PADDED_PASSPHRASE_LENGTH>(&length.to_be_bytes(), &passphrase.0)
        .ok_or(PinBoxError::PassphraseLength)?;
    seal_with(PASSPHRASE_INFO, padded.as_slice(), public_key, ephemeral)
}

fn seal_with(
    info: &[u8],
    padded: &[u8],
    public_key: &[u8],
    ephemeral: StaticSecret,
) -> Result<Vec<u8>, PinBoxError> {
    let daemon_key: [u8; 32] = public_key.try_into().map_err(|_| PinBoxError::PublicKey)?;
    let agent_key = PublicKey::from(&ephemeral).to_bytes();
    let shared = ephemeral.diffie_hellman(&PublicKey::from(daemon_key));
    let (key, nonce) = derive(info, &shared, &daemon_key, &agent_key)?;
    let ciphertext = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key))
        .encrypt(&Nonce::from(nonce), Payload { msg: padded, aad: &[VERSION] })
        .map_err(|_| PinBoxError::Box)?;
    Ok([&[VERSION], agent_key.as_slice(), &ciphertext].concat())
}

fn derive(
    info: &[u8],
    shared: &SharedSecret,
    daemon_key: &[u8; 32],
    agent_key: &[u8; 32],
) -> Result<(Zeroizing<[u8; 32]>, [u8; 12]), PinBoxError> {
    if !shared.was_contributory() {
        return Err(PinBoxError::PublicKey);
    }
    let mut output = Zeroizing::new([0; 44]);
    Hkdf::<Sha256>::new(None, shared.as_bytes())
        .expand_multi_info(&[info, daemon_key, agent_key], output.as_mut_slice())
        .map_err(|_| PinBoxError::Box)?;
    let (key, nonce) = output.split_first_chunk::<32>().ok_or(PinBoxError::Box)?;
    Ok((Zeroizing::new(*key), nonce.try_into().map_err(|_| PinBoxError::Box)?))
}

/// Length, text and zeros; `None` where there is no room.
fn pad<const N: usize>(length: &[u8], text: &str) -> Option<Zeroizing<[u8; N]>> {
    let mut padded = Zeroizing::new([0; N]);
    let (first, rest) = padded.split_at_mut_checked(length.len())?;
    first.copy_from_slice(length);
    rest.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    Some(padded)
}

/// The first `length` bytes as text, the rest being zeros; `None` if they are not UTF-8.
fn unpad(length: usize, text: &[u8]) -> Result<Option<&str>, PinBoxError> {
    let (bytes, zeros) = text.split_at_checked(length).ok_or(PinBoxError::Box)?;
    if zeros.iter().any(|&byte| byte != 0) {
        return Err(PinBoxError::Box);
    }
    Ok(std::str::from_utf8(bytes).ok())
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

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(&Zeroizing::new(text.to_owned())).unwrap()
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
        let sealed = seal_pin(&pin("123456"), &key.public_key(), secret("agent")).unwrap();
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../tests/pin_box.hex").trim());
        assert_eq!(key.open(&sealed).unwrap().expose(), "123456");
        let key = PromptKey(secret("daemon"));
        let sealed = seal_long(&passphrase("correct horse"), &key.public_key(), secret("agent")).unwrap();
        let hex: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, include_str!("../tests/passphrase_box.hex").trim());
        assert_eq!(key.open_passphrase(&sealed).unwrap().expose().as_str(), "correct horse");
    }

    #[test]
    fn a_passphrase_travels_in_a_box_of_one_length_and_no_pin_box_is_one() {
        for text in ["x".to_owned(), "\u{e4}".repeat(MAX_PASSPHRASE_LENGTH / 2)] {
            let key = PromptKey::generate().unwrap();
            let sealed = seal_passphrase(&passphrase(&text), &key.public_key()).unwrap();
            assert_eq!(sealed.len(), PASSPHRASE_BOX_LENGTH);
            assert_eq!(key.open_passphrase(&sealed).unwrap().expose().as_str(), text);
        }
        let key = PromptKey::generate().unwrap();
        let sealed = seal(&pin("123456"), &key.public_key()).unwrap();
        assert_eq!(key.open_passphrase(&sealed).unwrap_err(), PinBoxError::Box);
    }

    #[test]
    fn a_passphrase_is_the_same_from_every_keyboard() {
        let (composed, decomposed) = (passphrase("Z\u{fc}rich"), passphrase("Zu\u{308}rich"));
        assert_eq!(composed.expose(), decomposed.expose());
        let new = |text: String| Passphrase::new(&Zeroizing::new(text)).map(|_| ());
        assert_eq!(new(String::new()), Err(PinBoxError::PassphraseLength));
        assert_eq!(new("x".repeat(257)), Err(PinBoxError::PassphraseLength));
        assert_eq!(new("a\0b".into()), Err(PinBoxError::PassphraseText));
        // What an agent of another make might send.
        let key = PromptKey::generate().unwrap();
        let raw = Passphrase(Zeroizing::new("Zu\u{308}rich".to_owned()));
        let sealed = seal_passphrase(&raw, &key.public_key()).unwrap();
        assert_eq!(key.open_passphrase(&sealed).unwrap_err(), PinBoxError::PassphraseText);
    }

    #[test]
    fn suggested_passphrases_are_never_the_same_and_easy_to_copy() {
        let (first, second) = (Passphrase::suggest().unwrap(), Passphrase::suggest().unwrap());
        assert_ne!(first.expose(), second.expose());
        let groups: Vec<_> = first.expose().split('-').collect();
        assert!(groups.len() == 5 && groups.iter().all(|group| group.len() == 5), "{groups:?}");
        assert!(!first.expose().contains(['i', 'l', 'o', 'u']));
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
        assert_eq!(format!("{:?}", passphrase("correct horse")), "Passphrase(redacted)");
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
        fn any_bytes_are_refused_without_a_panic(sealed in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(PromptKey::generate().unwrap().open(&sealed).is_err());
            prop_assert!(PromptKey::generate().unwrap().open_passphrase(&sealed).is_err());
        }
    }
}
