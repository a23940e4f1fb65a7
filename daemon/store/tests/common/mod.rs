//! Wallets in temporary directories, with their key in a file.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use fwp::Credential;
use fwp::credential::{AccountId, CardData};
use fwp::{Amount, Currency, PayeeHost, RpId};
use fwp_cose::cbor::Value;
use fwp_cose::key::{Ed25519Key, X25519Key};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use fwp_store::record::{
    AuditEvent, AuditKind, AuthenticatorKind, AuthenticatorRef, AuthenticatorState, HistoryRecord,
    LedgerRecord, NewCard, Outcome, Settings,
};
use fwp_store::slot::{Cost, KeyFile, KeySlot, Passphrase, SlotKind};
use fwp_store::{Changes, DataKey, Durability, Found, Locked, Store, StoreError, open};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use zeroize::Zeroizing;

/// A moment, in milliseconds since 1970.
pub(crate) const THEN: i64 = 1_790_000_000_000;

/// A directory with room for one wallet and its key file.
pub(crate) struct Home {
    pub(crate) temporary: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { temporary: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn wallet(&self) -> PathBuf {
        self.temporary.path().join("wallet")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.wallet().join("wallet.db")
    }

    pub(crate) fn key(&self) -> KeyFile {
        KeyFile::new(self.temporary.path().join("wallet.key"))
    }

    pub(crate) fn create(&self) -> Store {
        match open(&self.wallet()).unwrap() {
            Found::Nothing(vacant) => vacant.create(&[&self.key()], THEN).unwrap(),
            Found::Wallet(_) => panic!("there is a wallet already"),
        }
    }

    pub(crate) fn locked(&self) -> Locked {
        locked(&self.wallet())
    }

    pub(crate) fn open(&self) -> Store {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Store, StoreError> {
        match open(&self.wallet())? {
            Found::Nothing(_) => panic!("there is no wallet"),
            Found::Wallet(locked) => locked.unlock(&[&self.key()], None).map_err(|refusal| refusal.error),
        }
    }
}

pub(crate) fn locked(directory: &Path) -> Locked {
    match open(directory).unwrap() {
        Found::Nothing(_) => panic!("there is no wallet"),
        Found::Wallet(locked) => locked,
    }
}

/// A card that the bank gave the serial number `n`.
pub(crate) fn card(n: u64) -> NewCard {
    let mut point = [0; 32];
    point[0] = 9;
    NewCard {
        credential: std::sync::Arc::new(Credential {
            credential_id: fwp::CredentialId::new(n.to_be_bytes().to_vec()).unwrap(),
            rp_id: RpId::parse("bank.example").unwrap(),
            public_key: PublicKey::Ed25519(Ed25519Key::new(ED25519_POINT).unwrap()),
            signature_algorithm: SignatureAlgorithm::Ed25519,
            card: CardData {
                encryption_key: PublicKey::X25519(X25519Key::new(point)),
                encryption_key_id: Some(Value::from("x25519:2026:1")),
                content_encryption: fwp::authorization::ContentEncryption::A256Gcm,
                key_encryption: fwp::authorization::KeyEncryption::EcdhEsA256Kw,
                account_id: AccountId::new(format!("DE8937040044{n:010}")),
                payment_network_id: "https://network.example".to_owned(),
                issuer_id: "https://bank.example/pay".to_owned(),
                serial_number: format!("{n:010}"),
                card_image: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_owned(),
            },
        }),
        label: format!("Card {n}"),
        enrolled_unix_ms: THEN,
        authenticator: AuthenticatorRef { kind: AuthenticatorKind::Software, aaguid: [7; 16] },
        providers: Vec::new(),
    }
}

/// The base point of Ed25519: a valid public key.
const ED25519_POINT: [u8; 32] = {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    point
};

pub(crate) fn host() -> PayeeHost {
    PayeeHost::parse("spaceshop.com").unwrap()
}

pub(crate) fn ledger(request_id: &str, card: u8) -> LedgerRecord {
    LedgerRecord {
        payee_host: host(),
        request_id: request_id.to_owned(),
        card: [card; 32],
        amount: Amount::parse("435.00").unwrap(),
        currency: Currency::parse("EUR").unwrap(),
        authorized_unix_ms: THEN,
    }
}

pub(crate) fn history(request_id: &str, outcome: Outcome) -> HistoryRecord {
    HistoryRecord {
        at_unix_ms: THEN,
        payee_host: host(),
        payee_name: "Space Shop".to_owned(),
        request_id: request_id.to_owned(),
        amount: Amount::parse("435.00").unwrap(),
        currency: Currency::parse("EUR").unwrap(),
        card: None,
        card_label: None,
        outcome,
    }
}

pub(crate) fn event(kind: AuditKind) -> AuditEvent {
    AuditEvent::new(THEN, kind)
}

/// A durable commit of one card.
pub(crate) fn add_card(store: &mut Store, n: u64) -> fwp_store::record::CardId {
    let mut changes = Changes::new();
    let id = changes.add_card(card(n)).unwrap();
    changes.audit(event(AuditKind::CardStored).card(id));
    store.commit(changes, Durability::Durable).unwrap();
    id
}

/// A closed wallet with something in every table.
pub(crate) fn full_wallet() -> Home {
    let home = Home::new();
    let mut store = home.create();
    let other = KeyFile::new(home.temporary.path().join("other.key"));
    store.add_slot(&other, THEN).unwrap();
    for n in 1..=3 {
        let mut changes = Changes::new();
        let id = changes.add_card(card(n)).unwrap();
        changes
            .put_ledger(ledger(&format!("order-{n}"), 1))
            .add_history(history(&format!("order-{n}"), Outcome::Authorized))
            .audit(event(AuditKind::CardStored).card(id));
        store.commit(changes, Durability::Durable).unwrap();
    }
    write_single_rows(&mut store, "1");
    home
}

pub(crate) fn write_single_rows(store: &mut Store, content: &str) {
    let mut changes = Changes::new();
    changes
        .put_authenticator_state(AuthenticatorState::Software, Zeroizing::new(content.as_bytes().to_vec()))
        .put_settings(Settings([("cool-down".to_owned(), content.to_owned())].into()));
    store.commit(changes, Durability::Durable).unwrap();
}

const STATES: [AuthenticatorState; 3] =
    [AuthenticatorState::Software, AuthenticatorState::Tpm, AuthenticatorState::TpmAttestation];

/// Everything that the user has in a store, and the events of its audit log but for rotations.
pub(crate) fn contents(store: &Store) -> String {
    let audit = store.audit(0, 99).unwrap();
    let events: Vec<_> = audit
        .iter()
        .map(|entry| (entry.sequence, &entry.event))
        .filter(|(_, event)| event.kind != AuditKind::KeyRotated)
        .collect();
    let mut ledger = store.ledger().unwrap();
    ledger.sort_by(|a, b| a.request_id.cmp(&b.request_id));
    format!(
        "{:?} {ledger:?} {:?} {events:?} {:?} {:?}",
        store.cards().collect::<Vec<_>>(),
        store.history(None, 99).unwrap(),
        store.settings(),
        STATES.map(|which| store.authenticator_state(which).unwrap()),
    )
}

/// The least that the standard allows.
pub(crate) fn cheap() -> Cost {
    Cost::new(8, 1, 1).unwrap()
}

pub(crate) fn passphrase(text: &str) -> Passphrase {
    Passphrase::with_cost(&Zeroizing::new(text.to_owned()), cheap()).unwrap()
}

/// What a slot keeps in the store.
pub(crate) fn wrapped(home: &Home, kind: SlotKind) -> Vec<u8> {
    let connection = rusqlite::Connection::open(home.database()).unwrap();
    let mut statement = connection.prepare("SELECT sealed FROM slot").unwrap();
    let rows: Vec<Vec<u8>> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let number: i64 = match kind {
        SlotKind::Passphrase => 5,
        SlotKind::SystemdCredential => 3,
        _ => 1,
    };
    rows.into_iter().find(|row| row.starts_with(&number.to_be_bytes())).unwrap().split_off(8)
}

/// The wallet's data key, by its key file.
pub(crate) fn data_key(home: &Home) -> DataKey {
    let wallet = home.locked().wallet_id();
    home.key().unwrap(&wallet, &wrapped(home, SlotKind::KeyFile)).unwrap()
}
