//! Certification of the TPM's attestation key by an authority (WebAuthn Level 2 section 8.3): what `Authenticator1` has for it.
//! The authority's messages travel through the caller; the wallet has no network.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use ctap_authenticator::HardwareError;
use ctap_tpm::{Attestation, AttestationKey, Tpm};
use fwp_cose::key::P256Key;
use fwp_dbus::types::{CertificationRequest, ConsentDetails};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, AuthenticatorState};
use fwp_store::{Changes, Durability};
use x509_parser::oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY;
use x509_parser::prelude::{FromDer, X509Certificate};
use zbus::names::OwnedUniqueName;

use super::{Platform, Which, attestation, tpm};
use crate::call::Caller;
use crate::clock;
use crate::interrupts::interrupts;
use crate::wallets::Wallet;

/// Most UTF-16 code units of a host (RFC 1035 section 2.3.4 has fewer).
const MAX_HOST: usize = 255;
/// Most certificates in one chain.
const MAX_CERTIFICATES: usize = 8;
/// Most bytes of one certificate.
const MAX_CERTIFICATE: usize = 8192;
/// How long the TPM may work on a step: it makes the endorsement key anew, RSA of 2048 bits, which takes slow ones half a minute.
const WORKING: Duration = Duration::from_secs(90);

/// The certification that was begun last, if it has not ended.
#[derive(Debug, Default)]
pub(super) struct Certification(RefCell<Option<Begun>>);

/// It belongs to one connection.
#[derive(Debug, Clone)]
struct Begun {
    owner: OwnedUniqueName,
    key: AttestationKey,
    /// The user consented to one authority, which makes one credential.
    activated: bool,
}

impl Certification {
    /// Whether none was begun that has not ended.
    pub(super) fn is_none(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// A connection ended, and what it began with it.
    pub(super) fn connection_ended(&self, name: &OwnedUniqueName) {
        self.0.borrow_mut().take_if(|begun| begun.owner == *name);
    }

    fn of(&self, caller: &Caller) -> Result<Begun, Error> {
        let begun = self.0.borrow().clone().filter(|begun| begun.owner == caller.name);
        begun.ok_or_else(|| {
            Error::new(ErrorName::InvalidState, "no certification was begun by this connection")
        })
    }
}

/// Asks the user, makes an attestation key and gives what the authority at `host` needs of it.
///
/// # Errors
/// As `Authenticator1.BeginCertification` has them.
pub(super) async fn begin(
    which: &Which,
    wallet: &Wallet,
    caller: &Caller,
    host: &str,
) -> Result<CertificationRequest, Error> {
    let tpm = tpm_of(which, wallet)?;
    fwp::text::check_shown(host, MAX_HOST)
        .map_err(|error| Error::new(ErrorName::InvalidRequest, format!("host: {error}")))?;
    let agent = wallet.agents.serving(&caller.name)?;
    let turn = wallet.floor.take()?;
    let begun = async {
        let read = tpm::elsewhere(wallet, &tpm, WORKING, |tpm| tpm.endorsement_certificate()).await;
        let endorsement_certificate = read.map_err(|error| tpm::refusal(&error))?.ok_or_else(|| {
            let text =
                "the TPM has no endorsement certificate of its maker's, so that nobody can certify its keys";
            Error::new(ErrorName::InvalidState, text)
        })?;
        let (interrupter, mut interrupts) = interrupts();
        let _watches = wallet.watch(&caller.name, &agent, &interrupter);
        let shown = which.shown();
        let details = ConsentDetails {
            authenticator: Some(shown.kind),
            authenticator_name: Some(shown.name),
            host: Some(host.to_owned()),
            ..ConsentDetails::default()
        };
        agent.consent("certify", &details, &mut interrupts).await?;
        let made = tpm::elsewhere(wallet, &tpm, WORKING, |tpm| tpm.create_attestation_key()).await;
        let key = made.map_err(|error| tpm::refusal(&error))?;
        // Its end may have been seen already; what is begun for it now would have no end.
        if !wallet.context.callers.is_there(&caller.name) {
            return Err(Error::new(ErrorName::Aborted, "its owner went away"));
        }
        let attestation_key = key.public().to_vec();
        let begun = Begun { owner: caller.name.clone(), key, activated: false };
        *wallet.tpm.certification.0.borrow_mut() = Some(begun);
        Ok(CertificationRequest { endorsement_certificate, attestation_key })
    }
    .await;
    turn.end(&begun);
    begun
}

/// Opens the credential that the authority made: the secret in it.
///
/// # Errors
/// As `Authenticator1.ActivateCredential` has them.
pub(super) async fn activate(
    which: &Which,
    wallet: &Wallet,
    caller: &Caller,
    credential_blob: Vec<u8>,
    encrypted_secret: Vec<u8>,
) -> Result<Vec<u8>, Error> {
    let tpm = tpm_of(which, wallet)?;
    let begun = wallet.tpm.certification.of(caller)?;
    if begun.activated {
        let text = "the credential of this certification was opened already: begin another one";
        return Err(Error::new(ErrorName::InvalidState, text));
    }
    if let Some(begun) = &mut *wallet.tpm.certification.0.borrow_mut() {
        begun.activated = true;
    }
    let key = begun.key;
    let work = move |tpm: &Arc<Tpm>| tpm.activate_credential(&key, &credential_blob, &encrypted_secret);
    tpm::elsewhere(wallet, &tpm, WORKING, work).await.map_err(|error| match &error {
        HardwareError::Failed { command: "TPM2_ActivateCredential", .. } => {
            let text =
                "the TPM does not open this credential: it was made for another TPM or attestation key";
            tracing::info!(%error, "a credential was not opened");
            Error::new(ErrorName::AuthenticatorFailed, text)
        }
        error => tpm::refusal(error),
    })
}

/// Keeps the certificates: new keys are attested by the attestation key from now on.
///
/// # Errors
/// As `Authenticator1.FinishCertification` has them.
pub(super) async fn finish(
    which: &Which,
    wallet: &Wallet,
    caller: &Caller,
    certificates: Vec<Vec<u8>>,
) -> Result<(), Error> {
    tpm_of(which, wallet)?;
    let begun = wallet.tpm.certification.of(caller)?;
    let public_key = begun.key.public_key().map_err(|error| tpm::refusal(&error))?;
    check(&certificates, &public_key).map_err(|error| Error::new(ErrorName::InvalidRequest, error))?;
    let kept = attestation::encode(&Attestation { key: begun.key, certificates });
    let mut changes = Changes::new();
    changes.put_authenticator_state(AuthenticatorState::TpmAttestation, kept);
    changes.audit(AuditEvent::new(clock::now_ms(), AuditKind::SettingChanged).reason("tpm-attestation"));
    wallet.vault.write(|store| store.commit(changes, Durability::Durable)).await?;
    wallet.tpm.certification.connection_ended(&caller.name);
    Ok(())
}

fn tpm_of(which: &Which, wallet: &Wallet) -> Result<Arc<Tpm>, Error> {
    match which {
        Which::Platform(Platform::Tpm, _) => wallet.context.tpm.clone().ok_or_else(tpm::off),
        _ => Err(Error::new(ErrorName::InvalidState, "only keys in the TPM can be certified")),
    }
}

/// Whether these can vouch for what `key` signs, as far as the wallet can tell: whom they lead to is the bank's business.
fn check(certificates: &[Vec<u8>], key: &P256Key) -> Result<(), String> {
    if !(1..=MAX_CERTIFICATES).contains(&certificates.len()) {
        return Err(format!("certificates: 1 to {MAX_CERTIFICATES} are taken"));
    }
    for (place, der) in certificates.iter().enumerate() {
        if der.len() > MAX_CERTIFICATE {
            return Err(format!("certificates[{place}]: it has more than {MAX_CERTIFICATE} bytes"));
        }
        let certificate = match X509Certificate::from_der(der) {
            Ok(([], certificate)) => certificate,
            _ => return Err(format!("certificates[{place}]: it is no X.509 certificate in DER")),
        };
        let spki = certificate.public_key();
        let is_keys = spki.algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY
            && *spki.subject_public_key.data == key.to_sec1();
        if place == 0 && !is_keys {
            return Err("certificates[0]: it is not that of the attestation key".to_owned());
        }
    }
    Ok(())
}
