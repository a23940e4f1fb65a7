//! The `a{sv}` dictionaries of the contract. Keys that aren't known are ignored, so that dictionaries can grow.

use std::collections::BTreeMap;
use std::fmt;

use zbus::{DeserializeDict, OwnedObjectPath, SerializeDict, Type};

/// Options of `Wallet1.CreatePayment`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct PaymentOptions {
    /// The browser's or app's name, which is signed as platformData.
    pub user_agent_name: Option<String>,
    /// Its version.
    pub user_agent_version: Option<String>,
}

/// `Payment1.Delivery`: where the request of `navigator.mozPay` that the user authorized goes, with the assertion. Empty in
/// other states, and of other payments.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct Delivery {
    /// Where its provider takes it, by HTTP POST.
    pub url: Option<String>,
    /// The provider's type.
    pub typ: Option<String>,
    /// The JWT.
    pub request: Option<String>,
}

/// Options of `Wallet1.BeginEnrollment`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct EnrollmentOptions {
    /// The Authenticator1 object that shall make the key.
    pub authenticator: Option<OwnedObjectPath>,
    /// `platform` or `cross-platform` (any security key); without it and `authenticator`, a security key if one is there.
    pub attachment: Option<String>,
    /// Replace cards of the same issuer, account and network.
    pub replace: Option<bool>,
}

/// Options of `Wallet1.RegisterAgent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct AgentOptions {
    /// Shown where another agent is asked for consent; at most 64 characters.
    pub name: Option<String>,
    /// `desktop` (default) or `terminal`.
    pub kind: Option<String>,
}

/// Options of `Wallet1.History`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct HistoryOptions {
    /// Only entries whose sequence is lower.
    pub before: Option<u64>,
}

/// One entry of `Wallet1.History`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct HistoryEntry {
    /// Number of the entry; later ones are greater.
    pub sequence: u64,
    /// RFC 3339.
    pub time: String,
    /// What happened: `authorized`, `declined`, `aborted` ... (payments only)
    pub event: String,
    /// Who asked for the money.
    pub payee_name: Option<String>,
    /// The host that asked.
    pub payee_host: Option<String>,
    /// As it was requested.
    pub amount: Option<String>,
    /// Three letters.
    pub currency: Option<String>,
    /// The payee's number for the request.
    pub request_id: Option<String>,
    /// The card; its object may be gone.
    pub credential: Option<OwnedObjectPath>,
    /// Why, where something was refused.
    pub reason: Option<String>,
}

/// `Wallet1.Status`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct WalletStatus {
    /// The wallet's clock, RFC 3339.
    pub time: String,
    /// `session` or `system`.
    pub bus: String,
    /// Whether an agent is registered.
    pub agent: bool,
    /// The agent's name for itself.
    pub agent_name: Option<String>,
    /// `desktop` or `terminal`.
    pub agent_kind: Option<String>,
    /// Whether the user is being asked something.
    pub busy: bool,
    /// How many of the user's payments have not ended; a daemon of before does not tell.
    pub open_payments: Option<u32>,
    /// `new`, `open`, `locked`, `rolled-back` or `unusable`.
    pub store: String,
    /// Why the store is locked, refused or unusable.
    pub store_reason: Option<String>,
    /// What guards the store's key.
    pub key_slot: Option<String>,
    /// `not-detected-here`, or what detects a roll-back of the store.
    pub rollback_detection: Option<String>,
    /// Why what should detect it doesn't.
    pub rollback_problem: Option<String>,
    /// Seconds that the user has to answer a prompt.
    pub prompt_timeout: u32,
    /// `ready` or `unavailable`.
    pub usb: String,
    /// Why not, and what to do.
    pub usb_problem: Option<String>,
    /// `ready` or `unavailable`.
    pub nfc: String,
    /// Why not, and what to do.
    pub nfc_problem: Option<String>,
    /// `allowed` or `not-allowed`.
    pub keys: String,
    /// Why not, and what to do.
    pub keys_problem: Option<String>,
    /// `ready`, `off` (by the configuration) or `unavailable`.
    pub tpm: String,
    /// Why not, and what to do.
    pub tpm_problem: Option<String>,
    /// What could be better about it.
    pub tpm_advice: Option<String>,
}

/// The properties of a Credential1, without the picture.
#[derive(Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
pub struct CredentialInfo {
    /// URL or short name of the payment network.
    pub payment_network_id: String,
    /// The issuer, as its network names it.
    pub issuer_id: String,
    /// The account number.
    pub account_id: String,
    /// Names this card to its issuer.
    pub serial_number: String,
    /// The issuer's domain.
    pub rp_id: String,
    /// COSE number.
    pub signature_algorithm: i32,
    /// The FIDO credential ID.
    pub credential_id: Vec<u8>,
    /// The kind of authenticator that holds the key.
    pub authenticator: String,
    /// RFC 3339.
    pub created: String,
}

impl fmt::Debug for CredentialInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f, "CredentialInfo", &self.payment_network_id, &self.rp_id)
    }
}

/// The properties of an Authenticator1.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "PascalCase")]
pub struct AuthenticatorInfo {
    /// `software`, `tpm`, `usb` or `nfc`.
    pub kind: String,
    /// `platform` or `cross-platform`.
    pub attachment: String,
    /// For people.
    pub name: String,
    /// The model, as a UUID; empty while it isn't known.
    pub aaguid: String,
    /// `FIDO_2_1` and so on.
    pub versions: Vec<String>,
    /// Whether it can be used for payments.
    pub usable: bool,
    /// Why not, and what to do.
    pub problem: String,
}

/// `Authenticator1.Info`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct AuthenticatorDetails {
    /// The model, as a UUID.
    pub aaguid: String,
    /// `FIDO_2_1` and so on.
    pub versions: Vec<String>,
    /// `credProtect` and so on.
    pub extensions: Vec<String>,
    /// `usb` and so on.
    pub transports: Vec<String>,
    /// Options by name.
    pub options: BTreeMap<String, bool>,
    /// COSE numbers; empty where it does not say.
    pub algorithms: Vec<i64>,
    /// PIN/UV auth protocols, most preferred first.
    pub pin_protocols: Vec<u64>,
    /// Whether a PIN is set.
    pub pin_set: bool,
    /// Whether no more attempts are taken.
    pub pin_blocked: bool,
    /// Whether the PIN has to be changed before it can be used.
    pub pin_change_required: bool,
    /// Attempts left before the PIN is blocked.
    pub pin_retries: u32,
    /// In Unicode code points.
    pub pin_min_length: u32,
    /// How many discoverable keys it has room for.
    pub remaining_slots: Option<u64>,
    /// The maker's number.
    pub firmware_version: Option<u64>,
    /// Bytes.
    pub max_message_size: Option<u64>,
}

/// What `Authenticator1.BeginCertification` gives for the certification authority.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct CertificationRequest {
    /// X.509 in DER, by the TPM's maker.
    pub endorsement_certificate: Vec<u8>,
    /// TPMT_PUBLIC (TPM 2.0 Library, Part 2, section 12.2.4) of a new attestation key.
    pub attestation_key: Vec<u8>,
}

/// `Authenticator1.PinStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct PinStatus {
    /// Whether a PIN is set.
    pub set: bool,
    /// Attempts left before the PIN is blocked.
    pub retries: u32,
    /// In Unicode code points.
    pub min_length: u32,
    /// Whether no more attempts are taken.
    pub blocked: bool,
}

/// What the user is asked to authorize (`Agent1.Authorize`).
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct AuthorizeRequest {
    /// The payee's name for itself.
    pub payee_name: String,
    /// The host that asks; shown on a line of its own.
    pub payee_host: String,
    /// As it was requested, and as it is signed.
    pub amount: String,
    /// Three letters.
    pub currency: String,
    /// The payee's number for the request.
    pub request_id: String,
    /// Things that the user must know.
    pub notices: Vec<String>,
    /// On a retry, what the payee says was wrong.
    pub error: Option<String>,
    /// Whether this is a retry.
    pub retry: bool,
    /// What is bought, as the shop claims; of a request by `navigator.mozPay`.
    pub claimed_name: Option<String>,
    /// More of that, as the shop claims.
    pub claimed_description: Option<String>,
    /// The `typ` of the provider that shall book it.
    pub provider: Option<String>,
}

/// A card that the user may pick (`Agent1.Authorize`).
#[derive(Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct AuthorizeCard {
    /// Its Credential1.
    pub path: OwnedObjectPath,
    /// URL or short name of the payment network.
    pub payment_network_id: String,
    /// The issuer, as its network names it.
    pub issuer_id: String,
    /// The account number.
    pub account_id: String,
    /// Names this card to its issuer.
    pub serial_number: String,
    /// The issuer's domain.
    pub rp_id: String,
    /// The kind of authenticator that holds the key.
    pub authenticator: String,
}

impl fmt::Debug for AuthorizeCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(f, "AuthorizeCard", &self.payment_network_id, &self.rp_id)
    }
}

/// What consent is asked for (`Agent1.Consent`); which fields are there depends on the kind.
#[derive(Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct ConsentDetails {
    /// The issuer's domain (enroll, delete), or those of the cards that enter, at most ten (import).
    pub rp_id: Option<String>,
    /// The host that the offer came from (enroll), or of the certification authority (certify).
    pub host: Option<String>,
    /// The issuer's name for itself (enroll).
    pub issuer_name: Option<String>,
    /// The user, as the issuer calls them (enroll).
    pub user_name: Option<String>,
    /// The kind of authenticator that makes the key (enroll), is reset (reset) or certified (certify).
    pub authenticator: Option<String>,
    /// The authenticator's name (enroll, reset, certify).
    pub authenticator_name: Option<String>,
    /// How many cards have their keys there, or may have (reset); how many are copied (export) or enter (import).
    pub cards: Option<u32>,
    /// The kind of key slot (slot-add, slot-remove).
    pub slot_kind: Option<String>,
    /// The key slot (slot-remove).
    pub slot: Option<i64>,
    /// `slots` or `data-key` (rotate).
    pub what: Option<String>,
    /// Whether cards are replaced (enroll).
    pub replace: Option<bool>,
    /// The card's object (delete).
    pub path: Option<OwnedObjectPath>,
    /// The card's network (delete).
    pub payment_network_id: Option<String>,
    /// The card's issuer (delete).
    pub issuer_id: Option<String>,
    /// The card's account (delete).
    pub account_id: Option<String>,
    /// The other agent's name (replace-agent).
    pub name: Option<String>,
    /// The other agent's kind (replace-agent).
    pub kind: Option<String>,
}

impl fmt::Debug for ConsentDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (network, rp_id) = (self.payment_network_id.as_deref(), self.rp_id.as_deref());
        redacted(f, "ConsentDetails", network.unwrap_or_default(), rp_id.unwrap_or_default())
    }
}

/// Which PIN is wanted (`Agent1.RequestPin`).
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct PinRequest {
    /// `use`, `current` or `new`.
    pub purpose: String,
    /// The authenticator's kind.
    pub authenticator: String,
    /// The authenticator's name.
    pub authenticator_name: String,
    /// Attempts left; absent for a new PIN.
    pub retries: Option<u32>,
    /// The PIN before was wrong.
    pub wrong: bool,
    /// In Unicode code points.
    pub min_length: u32,
    /// The issuer's domain, where the PIN is used for one.
    pub rp_id: Option<String>,
}

/// Which passphrase is wanted (`Agent1.RequestPassphrase`).
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct PassphraseRequest {
    /// `slot-new`, `unlock`, `unlock-other`, `export` or `import`.
    pub purpose: String,
    /// Whose store, for `unlock-other`: a Unix user.
    pub uid: Option<u32>,
    /// The passphrase before was wrong.
    pub wrong: bool,
    /// In characters, for a new one.
    pub min_length: Option<u32>,
}

/// One of `Store1.Slots`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct SlotInfo {
    /// Its number in this store.
    pub id: i64,
    /// `key-file`, `secret-service`, `systemd-credential`, `tpm`, `passphrase` or `unknown`.
    pub kind: String,
    /// It opened the store.
    pub opened: bool,
    /// `usable`, `unusable` or `ask`.
    pub state: String,
    /// Why it is unusable.
    pub problem: Option<String>,
}

/// Options of `Store1.AddSlot`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct SlotOptions {
    /// For a TPM slot: it opens only while these PCRs are what they are now.
    pub pcrs: Option<Vec<u32>>,
}

/// One card of `Store1.Import`.
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct ImportedCard {
    /// URL or short name of the payment network.
    pub payment_network_id: String,
    /// The issuer, as its network names it.
    pub issuer_id: String,
    /// The issuer's domain.
    pub rp_id: String,
    /// `stored`, or `present`: the wallet had it.
    pub state: String,
    /// Its Credential1.
    pub path: OwnedObjectPath,
    /// What it takes to pay with it: `nothing`, `key` or `enroll`.
    pub needs: String,
}

/// What a status is about (`Agent1.Status`).
#[derive(Debug, Clone, Default, PartialEq, Eq, SerializeDict, DeserializeDict, Type)]
#[zbus(signature = "a{sv}", rename_all = "kebab-case")]
pub struct StatusDetails {
    /// The payment.
    pub payment: Option<OwnedObjectPath>,
    /// The authenticator's kind, once it is known which one.
    pub authenticator: Option<String>,
    /// The authenticator's name, once it is known which one.
    pub authenticator_name: Option<String>,
    /// An error name, with `failed`.
    pub reason: Option<String>,
    /// For people, with `failed`.
    pub message: Option<String>,
}

/// Account numbers and serial numbers stay out of debug output.
fn redacted(f: &mut fmt::Formatter<'_>, name: &str, network: &str, rp_id: &str) -> fmt::Result {
    f.debug_struct(name).field("payment_network_id", &network).field("rp_id", &rp_id).finish_non_exhaustive()
}
