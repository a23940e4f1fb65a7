//! Proxies of the contract's objects. What the methods do is written in the XML.
//!
//! Methods about which the daemon may ask polkit on the system's bus (enroll, manage, export, unlock-other) let polkit ask the person for a
//! password: their calls carry ALLOW_INTERACTIVE_AUTHORIZATION, and may last as long as that takes.

use zbus::{Fd, ObjectPath, OwnedObjectPath, proxy};

use crate::error::ClientError;
use crate::types::{
    AgentOptions, AuthenticatorDetails, AuthenticatorInfo, AuthorizeCard, AuthorizeRequest,
    CertificationRequest, ConsentDetails, CredentialInfo, Delivery, EnrollmentOptions, HistoryEntry,
    HistoryOptions, ImportedCard, PassphraseRequest, PaymentOptions, PinRequest, PinStatus, SlotInfo,
    SlotOptions, StatusDetails, WalletStatus,
};

/// `io.github.fwpd.Wallet1`
#[proxy(
    interface = "io.github.fwpd.Wallet1",
    default_service = "io.github.fwpd",
    default_path = "/io/github/fwpd/Wallet"
)]
pub trait Wallet {
    /// Whether the wallet has any card at all.
    fn can_make_payment(&self) -> Result<bool, ClientError>;

    /// Checks a payment request and makes a Payment1.
    fn create_payment(
        &self,
        payee_host: &str,
        method_data: &str,
        details: &str,
        options: &PaymentOptions,
    ) -> Result<OwnedObjectPath, ClientError>;

    /// Checks the requests of `navigator.mozPay` (JWTs) and makes a Payment1.
    fn create_moz_payment(
        &self,
        payee_host: &str,
        requests: &[&str],
        options: &PaymentOptions,
    ) -> Result<OwnedObjectPath, ClientError>;

    /// Checks an enrollment offer and makes an Enrollment1.
    #[zbus(allow_interactive_auth)]
    fn begin_enrollment(
        &self,
        offer: &str,
        attested_host: &str,
        options: &EnrollmentOptions,
    ) -> Result<OwnedObjectPath, ClientError>;

    /// The user's cards.
    fn list_credentials(&self) -> Result<Vec<(OwnedObjectPath, CredentialInfo)>, ClientError>;

    /// The authenticators that are there.
    fn list_authenticators(&self) -> Result<Vec<(OwnedObjectPath, AuthenticatorInfo)>, ClientError>;

    /// From now on the wallet's [`crate::Events`] tell of security keys that come and go.
    fn watch_authenticators(&self) -> Result<(), ClientError>;

    /// No more of that.
    fn unwatch_authenticators(&self) -> Result<(), ClientError>;

    /// For the agent: the user closed its dialog while a security key was waited for.
    fn dismiss(&self) -> Result<(), ClientError>;

    /// Makes an object of the caller the user's agent.
    fn register_agent(&self, agent: &ObjectPath<'_>, options: &AgentOptions) -> Result<(), ClientError>;

    /// Takes the registration back.
    fn unregister_agent(&self, agent: &ObjectPath<'_>) -> Result<(), ClientError>;

    /// What happened, newest first.
    fn history(&self, limit: u32, options: &HistoryOptions) -> Result<Vec<HistoryEntry>, ClientError>;

    /// For diagnosis.
    fn status(&self) -> Result<WalletStatus, ClientError>;

    /// The daemon's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> Result<String, ClientError>;
}

/// `io.github.fwpd.Store1`. What changes anything lasts as long as the user takes.
#[proxy(
    interface = "io.github.fwpd.Store1",
    default_service = "io.github.fwpd",
    default_path = "/io/github/fwpd/Wallet"
)]
pub trait Store {
    /// The key slots, each tried.
    fn slots(&self) -> Result<Vec<SlotInfo>, ClientError>;

    /// Another way to open the store.
    #[zbus(allow_interactive_auth)]
    fn add_slot(&self, kind: &str, options: &SlotOptions) -> Result<i64, ClientError>;

    /// One way less.
    #[zbus(allow_interactive_auth)]
    fn remove_slot(&self, id: i64) -> Result<(), ClientError>;

    /// Fills the slots anew (`slots`), or has a new key (`data-key`).
    #[zbus(allow_interactive_auth)]
    fn rotate(&self, what: &str) -> Result<(), ClientError>;

    /// This copy of a store that was rolled back is meant.
    #[zbus(allow_interactive_auth)]
    fn accept_copy(&self) -> Result<(), ClientError>;

    /// Opens the store, by the recovery passphrase if need be.
    fn unlock(&self) -> Result<(), ClientError>;

    /// Opens another user's store by its recovery passphrase, as the administrator.
    #[zbus(allow_interactive_auth)]
    fn unlock_for(&self, uid: u32) -> Result<(), ClientError>;

    /// Closes the store and forgets its key.
    fn lock(&self) -> Result<(), ClientError>;

    /// Writes all cards, encrypted by a passphrase: how many.
    #[zbus(allow_interactive_auth)]
    fn export(&self, file: Fd<'_>) -> Result<u32, ClientError>;

    /// Stores the cards of such a file.
    #[zbus(allow_interactive_auth)]
    fn import(&self, file: Fd<'_>) -> Result<Vec<ImportedCard>, ClientError>;
}

/// `io.github.fwpd.Payment1`; its signals come through [`crate::Client::events`].
#[proxy(interface = "io.github.fwpd.Payment1", default_service = "io.github.fwpd")]
pub trait Payment {
    /// Puts the payment before the user.
    fn show(&self) -> Result<(), ClientError>;
    /// New details (updateWith).
    fn update(&self, details: &str) -> Result<(), ClientError>;
    /// Ends the payment.
    fn abort(&self) -> Result<(), ClientError>;
    /// Asks again, with the same card.
    fn retry(&self, error_fields: &str) -> Result<(), ClientError>;
    /// The caller has no more use for the payment.
    fn complete(&self, result: &str) -> Result<(), ClientError>;
    /// Where it is in its life.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> Result<String, ClientError>;
    /// Where an authorized request of `navigator.mozPay` goes.
    #[zbus(property(emits_changed_signal = "false"))]
    fn delivery(&self) -> Result<Delivery, ClientError>;
}

/// `io.github.fwpd.Enrollment1`; its signals come through [`crate::Client::events`].
#[proxy(interface = "io.github.fwpd.Enrollment1", default_service = "io.github.fwpd")]
pub trait Enrollment {
    /// Asks the user, and makes the key.
    fn start(&self) -> Result<(), ClientError>;
    /// Stores the issuer's cards.
    fn store_cards(&self, cards: &str) -> Result<Vec<OwnedObjectPath>, ClientError>;
    /// Ends the enrollment.
    fn cancel(&self) -> Result<(), ClientError>;
    /// Where it is in its life.
    #[zbus(property(emits_changed_signal = "false"))]
    fn state(&self) -> Result<String, ClientError>;
}

/// `io.github.fwpd.Credential1`; its signals come through [`crate::Client::events`].
#[proxy(interface = "io.github.fwpd.Credential1", default_service = "io.github.fwpd")]
pub trait Credential {
    /// Removes the card, after the user's consent.
    #[zbus(allow_interactive_auth)]
    fn delete(&self) -> Result<(), ClientError>;
    /// The card's face: untrusted SVG.
    #[zbus(property(emits_changed_signal = "const"))]
    fn card_image(&self) -> Result<Vec<u8>, ClientError>;
}

/// `io.github.fwpd.Authenticator1`; its signals come through [`crate::Client::events`].
#[proxy(interface = "io.github.fwpd.Authenticator1", default_service = "io.github.fwpd")]
pub trait Authenticator {
    /// How it stands with the PIN.
    fn pin_status(&self) -> Result<PinStatus, ClientError>;
    /// What it says of itself.
    fn info(&self) -> Result<AuthenticatorDetails, ClientError>;
    /// Makes itself noticed.
    fn wink(&self) -> Result<(), ClientError>;
    /// Deletes all keys and the PIN, after the user's consent.
    #[zbus(allow_interactive_auth)]
    fn reset(&self) -> Result<(), ClientError>;
    /// Sets the first PIN.
    #[zbus(allow_interactive_auth)]
    fn set_pin(&self) -> Result<(), ClientError>;
    /// Changes the PIN.
    #[zbus(allow_interactive_auth)]
    fn change_pin(&self) -> Result<(), ClientError>;
    /// Makes an attestation key for a certification authority, after the user's consent.
    #[zbus(allow_interactive_auth)]
    fn begin_certification(&self, host: &str) -> Result<CertificationRequest, ClientError>;
    /// Opens what the authority made for it.
    fn activate_credential(
        &self,
        credential_blob: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Vec<u8>, ClientError>;
    /// Has new keys attested by it from now on.
    fn finish_certification(&self, certificates: &[Vec<u8>]) -> Result<(), ClientError>;
}

/// `io.github.fwpd.Agent1`, as the daemon calls it.
#[proxy(interface = "io.github.fwpd.Agent1")]
pub trait AgentObject {
    /// Asks the user to authorize a payment.
    fn authorize(
        &self,
        payment: &ObjectPath<'_>,
        request: &AuthorizeRequest,
        cards: &[AuthorizeCard],
    ) -> Result<(bool, OwnedObjectPath), ClientError>;
    /// Asks the user for consent.
    fn consent(&self, kind: &str, details: &ConsentDetails) -> Result<bool, ClientError>;
    /// Asks for a PIN.
    fn request_pin(&self, details: &PinRequest, public_key: &[u8]) -> Result<Vec<u8>, ClientError>;
    /// Asks for a passphrase.
    fn request_passphrase(
        &self,
        details: &PassphraseRequest,
        public_key: &[u8],
    ) -> Result<Vec<u8>, ClientError>;
    /// Tells how it goes on.
    #[zbus(no_reply)]
    fn status(&self, state: &str, details: &StatusDetails) -> Result<(), ClientError>;
    /// Withdraws the open prompt.
    #[zbus(no_reply)]
    fn cancel(&self) -> Result<(), ClientError>;
}
