//! From the user's yes to an FWP assertion: the ledger, AD, the authenticator, SAD, ESAD (FIDO Web Pay section 6, step 4).

use ctap_client::Wanted;
use ctap_core::ceremony::{Assertion, AssertionRequest, ChangePin, GetAssertion};
use ctap_core::transport::Device;
use fwp::FwpAssertion;
use fwp::authorization::{EncryptError, Randomness, SignedAuthorizationData};
use fwp_dbus::{Error, ErrorName};
use fwp_store::record::{AuditEvent, AuditKind, AuthenticatorKind, CardId};
use fwp_store::{Changes, Durability};
use fwp_wallet::{Approved, Authorizable, Card};

use super::witness::Signature;
use super::{Payment, limits};
use crate::authenticators::{Piggyback, Platform, Source};
use crate::ceremonies::{Stage, Subject, conduct, refusal};
use crate::interrupts::Interrupts;
use crate::wallets::Wallet;
use crate::{clock, holdings};

/// How often randomness is drawn again where it is no secret key (each: 2^-32).
const DRAWS: usize = 4;

/// Ties, signs and seals. `signature` knows afterwards whether the authenticator may have signed.
///
/// # Errors
/// `CardTied`; what a ceremony fails with; the request is not tied to the card by this then, unless the authenticator may have
/// signed all the same: it was pulled out before it answered, say.
pub(super) async fn sign(
    wallet: &Wallet,
    payment: &Payment,
    approved: Approved,
    signature: &Signature,
    interrupts: &mut Interrupts,
) -> Result<FwpAssertion, Error> {
    let now = clock::moment();
    let tied = wallet.holdings.ledger()?.tie(approved, now);
    let authorizable = tied.map_err(|error| Error::new(ErrorName::CardTied, error.to_string()))?;
    let before = before_signing(wallet, &authorizable)?;
    let (piggyback, kept) = match wallet.holdings.authenticator(authorizable.card().handle()) {
        // Its own state is saved durably before every signature: one commit for both.
        Some(AuthenticatorKind::Software) => (Piggyback::with(before), Ok(())),
        // A security key saves nothing here, and the TPM nothing that has to be durable: it counts wrong PINs by itself.
        _ => {
            let kept = wallet.vault.write(|store| store.commit(before, Durability::Durable)).await;
            (Piggyback::default(), kept.map(|_| ()))
        }
    };
    let signed = match kept {
        Ok(()) => sign_tied(wallet, payment, &authorizable, &piggyback, signature, interrupts).await,
        Err(error) => Err(error),
    };
    let signed = piggyback.explain(signed);
    let mut changes = payment.changes.borrow_mut();
    piggyback.add_lazy(&mut changes);
    // What may have been signed stays tied, even though nobody got it from here: others may have overheard the key.
    let lets_go = signed.is_err() && !signature.may_exist();
    if lets_go && wallet.holdings.ledger()?.release(&authorizable) && piggyback.is_committed() {
        let entry = authorizable.ledger_entry();
        changes.remove_ledger(&entry.payee_host, &entry.request_id);
    }
    signed
}

/// What has to be durable before the authenticator signs.
fn before_signing(wallet: &Wallet, authorizable: &Authorizable) -> Result<Changes, Error> {
    let now = clock::moment();
    let mut changes = Changes::new();
    for expired in wallet.holdings.ledger()?.expire(now) {
        changes.remove_ledger(&expired.payee_host, &expired.request_id);
    }
    holdings::put(&mut changes, authorizable.ledger_entry());
    limits::keep(wallet, authorizable.card().handle(), &mut changes)?;
    let consent = authorizable.consent();
    changes.audit(
        AuditEvent::new(now.unix_ms, AuditKind::PaymentAuthorizing)
            .card(CardId::from_i64(authorizable.card().handle().0))
            .payment(consent.payee_host(), consent.amount(), consent.currency()),
    );
    Ok(changes)
}

async fn sign_tied(
    wallet: &Wallet,
    payment: &Payment,
    authorizable: &Authorizable,
    piggyback: &Piggyback,
    signature: &Signature,
    interrupts: &mut Interrupts,
) -> Result<FwpAssertion, Error> {
    let internal = |text: String| Error::new(ErrorName::Internal, text);
    let card = authorizable.card();
    let agent = payment.agent().ok_or_else(|| Error::new(ErrorName::NoAgent, "the agent went away"))?;

    // AD (section 4.2).
    let time_stamp = clock::time_stamp(clock::now_ms())
        .ok_or_else(|| internal("the clock shows a time that no calendar has; set it".to_owned()))?;
    let data = authorizable
        .authorization_data(payment.platform_data.clone(), None, time_stamp)
        .map_err(|error| internal(error.to_string()))?;

    // SAD (section 4.3): authenticatorGetAssertion over SHA-256(AD).
    let request = assertion_request(card, data.client_data_hash())?;
    let source = authenticator_of(wallet, card, &request, piggyback).await?;
    let signature = signature.clone();
    let work = move |stage: &mut Stage| {
        let mut device = source.open(stage)?.device;
        assert(stage, &mut signature.seen_by(&mut *device), &request).map_err(|error| refusal(&error))
    };
    let subject = Subject {
        rp_id: Some(card.credential().rp_id.as_str().to_owned()),
        payment: Some(payment.path.clone()),
    };
    let assertion = conduct(work, &subject, wallet, &agent, interrupts).await?;
    let signed = data
        .signed(assertion.authenticator_data, assertion.signature)
        .map_err(|error| Error::new(ErrorName::AuthenticatorFailed, error.to_string()))?;

    // ESAD (section 4.4), FWP assertion (section 4.5).
    seal(&signed, card)
}

/// The ceremony. Where the authenticator wants another PIN, that is changed before, at the same device.
fn assert(
    stage: &mut Stage,
    device: &mut dyn Device,
    request: &AssertionRequest,
) -> Result<Assertion, ctap_core::Error> {
    match stage.run(GetAssertion::new(request.clone()), device) {
        Err(ctap_core::Error::PinChangeRequired) => {
            stage.run_for("current", ChangePin::new(), device)?;
            stage.run(GetAssertion::new(request.clone()), device)
        }
        signed => signed,
    }
}

/// Where the card's key is. A security key may be used over USB as well as NFC, whichever it was enrolled over.
async fn authenticator_of(
    wallet: &Wallet,
    card: &Card,
    request: &AssertionRequest,
    piggyback: &Piggyback,
) -> Result<Source, Error> {
    match wallet.holdings.authenticator(card.handle()) {
        Some(AuthenticatorKind::Software) => Ok(Source::platform(Platform::Software, wallet, piggyback)),
        Some(AuthenticatorKind::Tpm) => Ok(Source::platform(Platform::Tpm, wallet, piggyback)),
        Some(AuthenticatorKind::Usb | AuthenticatorKind::Nfc) => {
            let holder =
                Wanted::Holder { rp_id: request.rp_id.clone(), credential_id: request.credential_id.clone() };
            Source::keys(wallet, holder).await
        }
        None => Err(Error::new(
            ErrorName::NoAuthenticator,
            "this version can't use the authenticator that holds the card's key",
        )),
    }
}

fn assertion_request(card: &Card, client_data_hash: [u8; 32]) -> Result<AssertionRequest, Error> {
    let credential = card.credential();
    let credential_id = ctap_core::messages::CredentialId::new(credential.credential_id.as_bytes().to_vec())
        .map_err(|error| Error::new(ErrorName::NoAuthenticator, error.to_string()))?;
    Ok(AssertionRequest {
        rp_id: credential.rp_id.as_str().to_owned(),
        client_data_hash,
        credential_id,
        public_key: credential.public_key.clone(),
        algorithm: credential.signature_algorithm,
    })
}

fn seal(signed: &SignedAuthorizationData, card: &Card) -> Result<FwpAssertion, Error> {
    let credential = card.credential();
    let mut drawn = 0;
    let sealed = loop {
        drawn += 1;
        match signed.encrypt(credential, &randomness()?) {
            Err(EncryptError::UnusableRandomness) if drawn < DRAWS => {}
            done => break done.map_err(|error| Error::new(ErrorName::Internal, error.to_string()))?,
        }
    };
    Ok(FwpAssertion {
        payment_network_id: credential.card.payment_network_id.clone(),
        issuer_id: credential.card.issuer_id.clone(),
        user_authorization: sealed.encode(),
    })
}

fn randomness() -> Result<Randomness, Error> {
    let mut drawn = Randomness { ephemeral_secret: [0; 32], content_key: [0; 32], iv: [0; 12] };
    for part in [drawn.ephemeral_secret.as_mut_slice(), &mut drawn.content_key, &mut drawn.iv] {
        getrandom::fill(part).map_err(|error| Error::new(ErrorName::Internal, error.to_string()))?;
    }
    Ok(drawn)
}
