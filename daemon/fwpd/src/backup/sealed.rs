//! The age format around it (age-encryption.org/v1), by the crate `age`: scrypt of a passphrase, ChaCha20-Poly1305.

use std::io::{Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Encryptor, scrypt};
use zeroize::Zeroizing;

use super::{BackupError, MAX_FILE_BYTES};

/// What one guess at the passphrase of a file of ours costs: 2^17 steps and 128 MiB, some half a second.
pub const WORK_FACTOR: u8 = 17;
/// What is done for a file of others at most, which is what age's own program writes: 2^18 steps and 256 MiB. Whoever makes
/// a file chooses what it asks for, and must not make this program take all memory.
pub const MAX_WORK_FACTOR: u8 = 18;

/// Most bytes of a header, which has some 150 where a passphrase encrypts. Whoever makes a file chooses its header, and what reads
/// it for us takes time by the square of its lines, and many times its size in memory.
const MAX_HEADER_BYTES: usize = 4096;
/// What the last line of a header begins with, after the end of the line before.
const LAST_LINE: &[u8] = b"\n--- ";

/// However many users export and import, the memory that a passphrase takes is taken once: the service has 1 GiB in all, and is ended
/// for everybody where it takes more. For threads that may wait.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Encrypts by a passphrase.
///
/// # Errors
/// [`BackupError::Sealing`].
pub fn seal(plain: &[u8], passphrase: &Zeroizing<String>) -> Result<Vec<u8>, BackupError> {
    let failed = |error: &dyn std::fmt::Display| BackupError::Sealing(error.to_string());
    let mut recipient = scrypt::Recipient::new(secret(passphrase));
    recipient.set_work_factor(WORK_FACTOR);
    let recipient: &dyn age::Recipient = &recipient;
    let _turn = one_at_a_time();
    let encryptor = Encryptor::with_recipients(std::iter::once(recipient)).map_err(|error| failed(&error))?;
    let mut sealed = Vec::with_capacity(plain.len() + 1024);
    let mut writer = encryptor.wrap_output(&mut sealed).map_err(|error| failed(&error))?;
    writer.write_all(plain).map_err(|error| failed(&error))?;
    writer.finish().map_err(|error| failed(&error))?;
    Ok(sealed)
}

/// Whether this may be a file that a passphrase opens, before anybody is asked for one.
///
/// # Errors
/// [`BackupError::TooLarge`], [`BackupError::NotAge`], [`BackupError::NoPassphrase`].
pub fn check(sealed: &[u8]) -> Result<(), BackupError> {
    open_header(sealed).map(drop)
}

/// Decrypts; `None` for a wrong passphrase.
///
/// # Errors
/// Those of [`check`], [`BackupError::TooMuchWork`], [`BackupError::Damaged`].
pub fn open(
    sealed: &[u8],
    passphrase: &Zeroizing<String>,
) -> Result<Option<Zeroizing<Vec<u8>>>, BackupError> {
    let decryptor = open_header(sealed)?;
    let mut identity = scrypt::Identity::new(secret(passphrase));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let identity: &dyn age::Identity = &identity;
    let _turn = one_at_a_time();
    let mut reader = match decryptor.decrypt(std::iter::once(identity)) {
        Ok(reader) => reader,
        Err(DecryptError::ExcessiveWork { required, .. }) => {
            return Err(BackupError::TooMuchWork { wanted: required, most: MAX_WORK_FACTOR });
        }
        // A key that does not fit, or one that fits to another header.
        Err(
            DecryptError::DecryptionFailed | DecryptError::KeyDecryptionFailed | DecryptError::NoMatchingKeys,
        ) => {
            return Ok(None);
        }
        Err(error) => return Err(BackupError::Damaged(error.to_string())),
    };
    // It is no longer than the file, so that this does not grow.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len() + 32));
    reader.read_to_end(&mut plain).map_err(|error| BackupError::Damaged(error.to_string()))?;
    Ok(Some(plain))
}

fn open_header(sealed: &[u8]) -> Result<Decryptor<&[u8]>, BackupError> {
    if sealed.len() > MAX_FILE_BYTES {
        return Err(BackupError::TooLarge);
    }
    let header = sealed.get(..MAX_HEADER_BYTES).unwrap_or(sealed);
    if !header.windows(LAST_LINE.len()).any(|window| window == LAST_LINE) {
        let text = format!("no header of at most {MAX_HEADER_BYTES} bytes");
        return Err(BackupError::NotAge(text));
    }
    let decryptor =
        Decryptor::new_buffered(sealed).map_err(|error| BackupError::NotAge(error.to_string()))?;
    if decryptor.is_scrypt() { Ok(decryptor) } else { Err(BackupError::NoPassphrase) }
}

fn secret(passphrase: &Zeroizing<String>) -> SecretString {
    SecretString::from(passphrase.as_str())
}
