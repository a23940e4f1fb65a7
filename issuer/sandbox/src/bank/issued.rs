//! The cards that the bank has issued, and who vouched for the keys that they were issued for.

use crate::bank::books::BankBooks;
use crate::error::SandboxError;
use data_encoding::HEXLOWER as HEX;
use fwp_verifier::maker::MakerError;
use fwp_verifier::{AttestationRoots, AttestedKey, Vouched};
use std::path::Path;

/// Who vouched for a key when it was enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// The key itself.
    Itself,
    /// Certificates by nobody whom the bank knows. Not better than the key itself.
    Certificates,
    /// The TPM that the key is in, certified by an authority whose root the bank has.
    Tpm,
    /// A maker whose root the bank has.
    Maker,
}

impl Voucher {
    const ALL: [Self; 4] = [Self::Itself, Self::Certificates, Self::Tpm, Self::Maker];

    /// A word for programs that stays the same: `itself`, `certificates`, `tpm` or `maker`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Itself => "itself",
            Self::Certificates => "certificates",
            Self::Tpm => "tpm",
            Self::Maker => "maker",
        }
    }

    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Itself => "the key itself",
            Self::Certificates => "certificates, not verified (the bank has no root for them)",
            Self::Tpm => "a TPM, verified",
            Self::Maker => "its maker, known to the bank",
        }
    }

    /// Who vouches for `key` at `now_ms`. A bank that has `roots` of makers takes no other keys than theirs, and those in a TPM whose
    /// authority is one of `tpm_roots`, or of `roots`.
    ///
    /// # Errors
    /// [`MakerError`]: the bank has roots of makers, and nobody whom it knows vouches for the key.
    pub fn of(
        key: &AttestedKey,
        roots: Option<&AttestationRoots>,
        tpm_roots: Option<&AttestationRoots>,
        now_ms: i64,
    ) -> Result<Self, MakerError> {
        let vouched = match key.vouched {
            Vouched::ByItself => Self::Itself,
            Vouched::ByMaker(_) => Self::Maker,
            Vouched::ByTpm(_) => Self::Tpm,
        };
        let by = |roots: &AttestationRoots| key.check_maker(roots, now_ms);
        if vouched == Self::Tpm && tpm_roots.is_some_and(|roots| by(roots).is_ok()) {
            return Ok(vouched);
        }
        match (roots, vouched) {
            (Some(roots), _) => by(roots).map(|()| vouched),
            (None, Self::Itself) => Ok(vouched),
            (None, _) => Ok(Self::Certificates),
        }
    }
}

/// Reads the makers' roots from a PEM file.
///
/// # Errors
/// [`SandboxError::File`], [`SandboxError::Roots`].
pub fn read_roots(path: &Path) -> Result<AttestationRoots, SandboxError> {
    let pem = std::fs::read(path).map_err(SandboxError::file(path))?;
    AttestationRoots::from_pem(&pem).map_err(|why| SandboxError::Roots { path: path.to_owned(), why })
}

/// A card that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its serial number.
    pub serial_number: String,
    /// Whose money it spends.
    pub account_id: String,
    /// How it pays.
    pub payment_network_id: String,
    /// The key's model and who vouched for it; none for keys from before this was noted.
    pub key: Option<([u8; 16], Voucher)>,
}

impl Issued {
    /// The model as a UUID.
    pub fn model(&self) -> Option<String> {
        let hex = HEX.encode(&self.key?.0);
        let part = |range| hex.get(range).unwrap_or_default();
        Some([part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-"))
    }

    /// The card as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "serialNumber": self.serial_number,
            "accountId": self.account_id,
            "paymentNetworkId": self.payment_network_id,
            "aaguid": self.model(),
            "vouchedBy": self.key.map(|(_, voucher)| voucher.word()),
        })
    }
}

impl BankBooks {
    /// The newest cards, at most `limit`.
    ///
    /// # Errors
    /// [`SandboxError::Books`], [`SandboxError::DamagedBooks`].
    pub fn issued(&self, limit: u32) -> Result<Vec<Issued>, SandboxError> {
        let connection = self.connection();
        let mut statement = connection.prepare(
            "SELECT serial_number, account_id, payment_network_id, aaguid, voucher
             FROM cards LEFT JOIN attested_keys USING (public_key_sha256) ORDER BY serial_number DESC LIMIT ?1",
        )?;
        let rows = statement.query_map([limit], |row| {
            let (aaguid, voucher): (Option<[u8; 16]>, Option<String>) = (row.get(3)?, row.get(4)?);
            let card = Issued {
                serial_number: row.get(0)?,
                account_id: row.get(1)?,
                payment_network_id: row.get(2)?,
                key: None,
            };
            Ok((card, aaguid.zip(voucher)))
        })?;
        rows.map(|row| {
            let (card, key) = row?;
            let Some((aaguid, word)) = key else { return Ok(card) };
            let voucher = Voucher::ALL.into_iter().find(|voucher| voucher.word() == word);
            let voucher =
                voucher.ok_or(SandboxError::DamagedBooks("nobody vouches for a key in that way"))?;
            Ok(Issued { key: Some((aaguid, voucher)), ..card })
        })
        .collect()
    }
}
