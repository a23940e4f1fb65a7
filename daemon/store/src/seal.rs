//! Sealing: the data key, what is derived from it, and AES-256-GCM over each record.

use crate::error::StoreError;
use crate::secret::Secret;
use crate::table::{Place, Table};
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// 16 random bytes that name a wallet; not secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct WalletId([u8; 16]);

/// The one random key of a wallet, 32 bytes. Everything is sealed under keys derived from it.
pub struct DataKey(Secret);

/// The keys that a store works with, derived from its [`DataKey`] (HKDF-SHA256, RFC 5869). They stand in one place of
/// memory, wherever this value goes, and are overwritten when it is dropped.
pub(crate) struct Keys(Box<Derived>);

struct Derived {
    seal: Aes256Gcm,
    set: Hmac<Sha256>,
    audit: Hmac<Sha256>,
    row: Hmac<Sha256>,
}

/// Fills an array with random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(bytes)
}

impl WalletId {
    pub(crate) fn generate() -> Result<Self, StoreError> {
        random().map(Self)
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for WalletId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WalletId({self})")
    }
}

impl DataKey {
    pub(crate) fn generate() -> Result<Self, StoreError> {
        Secret::generate().map(Self).map_err(StoreError::Random)
    }

    /// The key with these bytes: for key slots, which take it apart and put it together again.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Secret::copy_of(bytes))
    }

    /// As [`DataKey::from_bytes`]; `None` if there are not 32 of them.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret::from_slice(bytes).map(Self)
    }

    /// The 32 bytes, for key slots only.
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Whether the two are the same, in constant time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.expose().ct_eq(other.expose()).into()
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl Keys {
    pub(crate) fn derive(wallet: &WalletId, key: &DataKey) -> Self {
        let keys = Self(Derived::from(wallet, key));
        clear_stack();
        keys
    }

    /// Nonce, cipher text and tag of `plain` in this place. The nonce is random: a counter would repeat after a store
    /// was rolled back.
    pub(crate) fn seal(&self, place: Place, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let nonce: [u8; NONCE_BYTES] = random()?;
        seal_with(&self.0.seal, nonce, &place.to_bytes(), plain)
            .ok_or(StoreError::Altered { table: place.table, row: place.row })
    }

    /// What was sealed in this place.
    pub(crate) fn open(&self, place: Place, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        open_with(&self.0.seal, &place.to_bytes(), sealed)
            .ok_or(StoreError::Altered { table: place.table, row: place.row })
    }

    /// The secret value by which a record counts in its table's set (see [`crate::head`]). A sealed record is known by
    /// its tag: whoever opens it in its place checks the rest. Slots are not sealed and count with all they have.
    pub(crate) fn element(&self, place: Place, stored: &[u8]) -> [u8; 32] {
        let known_by = match place.table {
            Table::Slot => stored,
            _ => {
                stored.split_at_checked(stored.len().saturating_sub(TAG_BYTES)).map_or(stored, |(_, tag)| tag)
            }
        };
        self.0
            .set
            .clone()
            .chain_update(place.to_bytes())
            .chain_update(known_by)
            .finalize()
            .into_bytes()
            .into()
    }

    /// The audit chain's next link.
    pub(crate) fn audit_link(&self, previous: &[u8; 32], sequence: i64, event: &[u8]) -> [u8; 32] {
        self.0
            .audit
            .clone()
            .chain_update(previous)
            .chain_update(sequence.to_be_bytes())
            .chain_update(event)
            .finalize()
            .into_bytes()
            .into()
    }

    /// A row number for a record that is found by its key, which it does not show.
    pub(crate) fn row_of(&self, table: Table, key: &[&[u8]]) -> i64 {
        let mut mac = self.0.row.clone();
        mac.update(&[table as u8]);
        for part in key {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        bytes.first_chunk().map_or(0, |first: &[u8; 8]| i64::from_be_bytes(*first) & i64::MAX)
    }
}

impl Derived {
    #[inline(never)]
    fn from(wallet: &WalletId, key: &DataKey) -> Box<Self> {
        let hkdf = Hkdf::<Sha256>::new(Some(wallet.as_bytes()), key.expose());
        Box::new(Self {
            seal: Aes256Gcm::new((&*expand::<32>(&hkdf, b"seal")).into()),
            set: mac(&hkdf, b"set"),
            audit: mac(&hkdf, b"audit"),
            row: mac(&hkdf, b"row"),
        })
    }
}

/// Overwrites what functions called before from here left below on the stack: values that were moved leave copies where they
/// were made.
#[inline(never)]
fn clear_stack() {
    let mut area = [0_u8; 32 * 1024];
    area.zeroize();
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

fn expand<const N: usize>(hkdf: &Hkdf<Sha256>, purpose: &[u8]) -> Zeroizing<[u8; N]> {
    let mut out = Zeroizing::new([0; N]);
    // HKDF fails above 255 times 32 bytes only. Left at zero, nothing that was sealed would open.
    let _ = hkdf.expand_multi_info(&[b"fwpd store ", purpose], out.as_mut());
    out
}

/// HMAC-SHA256 with a key as long as SHA-256's block, which is taken as it is (RFC 2104 section 2).
fn mac(hkdf: &Hkdf<Sha256>, purpose: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new((&*expand::<64>(hkdf, purpose)).into())
}

/// AES-256-GCM with the nonce in front and the tag behind. `None` for inputs beyond 64 GiB.
pub(crate) fn seal_with(
    cipher: &Aes256Gcm,
    nonce: [u8; NONCE_BYTES],
    aad: &[u8],
    plain: &[u8],
) -> Option<Vec<u8>> {
    let cipher_text = cipher.encrypt(&Nonce::from(nonce), Payload { msg: plain, aad }).ok()?;
    let mut out = Vec::with_capacity(NONCE_BYTES + cipher_text.len());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(&cipher_text);
    Some(out)
}

/// The plain text of [`seal_with`], or `None` if key, associated data or bytes are others.
pub(crate) fn open_with(cipher: &Aes256Gcm, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, cipher_text) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let plain = cipher.decrypt(&Nonce::from(*nonce), Payload { msg: cipher_text, aad }).ok()?;
    Some(Zeroizing::new(plain))
}
