//! Writes the seeds of the CTAP and store corpora: whole ceremonies of the client with the platform authenticator, command
//! by command, what devices and cards say below CTAP, and a record of each table. The same files come out every time.
//!
//! `cargo run -p fwp-fuzz --example seed_corpus`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ctap_authenticator::software::{InMemory, SoftwareKeyStore};
use ctap_authenticator::{Authenticator, Environment, Presence};
use ctap_core::ceremony::{
    AssertionRequest, Ceremony, ChangePin, CredentialRequest, GetAssertion, Input, MakeCredential, Output,
    SetPin,
};
use ctap_core::messages::{RelyingParty, UserAccount};
use ctap_core::{Pin, Random, RandomError};
use ctap_hid::frame::{ChannelId, Command, Message};
use fwp::{Amount, Credential, Currency, PayeeHost};
use fwp_cose::SignatureAlgorithm;
use fwp_store::record::{
    AuditEvent, AuditKind, AuthenticatorKind, AuthenticatorRef, CardId, HistoryRecord, LedgerRecord, NewCard,
    Outcome, Settings,
};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn main() {
    let storage = InMemory::default();
    let keys = SoftwareKeyStore::open(storage, Fixed(1)).unwrap();
    let mut authenticator = Authenticator::new(keys, Fixed(2)).unwrap();

    record(2, &mut SetPin::new(), &mut authenticator);
    let request = CredentialRequest {
        rp: RelyingParty { id: "bank.example".to_owned(), name: Some("Bank".to_owned()) },
        user: UserAccount { id: vec![1], name: Some("user".to_owned()), display_name: None },
        client_data_hash: [7; 32],
        algorithms: SignatureAlgorithm::ALL.to_vec(),
        exclude: Vec::new(),
    };
    let made = record(1, &mut MakeCredential::new(request), &mut authenticator);
    let request = AssertionRequest {
        rp_id: "bank.example".to_owned(),
        client_data_hash: [7; 32],
        credential_id: made.credential_id,
        public_key: made.public_key,
        algorithm: made.algorithm,
    };
    record(0, &mut GetAssertion::new(request), &mut authenticator);
    record(3, &mut ChangePin::new(), &mut authenticator);
    store_records();
    hid_exchanges();
    nfc_exchanges();
}

/// A record of each table.
fn store_records() {
    let (payee_host, amount) = (PayeeHost::parse("spaceshop.com").unwrap(), Amount::parse("435.00").unwrap());
    let currency = Currency::parse("EUR").unwrap();
    let cards = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/credential");
    let card = std::fs::read_dir(cards).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let new_card = NewCard {
        credential: Arc::new(Credential::decode(&std::fs::read(card).unwrap()).unwrap()),
        label: "mine".to_owned(),
        enrolled_unix_ms: 1_676_538_847_000,
        authenticator: AuthenticatorRef { kind: AuthenticatorKind::Software, aaguid: [7; 16] },
        providers: Vec::new(),
    };
    seed("store_record", &new_card.encode());
    let ledger = LedgerRecord {
        payee_host: payee_host.clone(),
        request_id: "7040566321".to_owned(),
        card: [7; 32],
        amount: amount.clone(),
        currency,
        authorized_unix_ms: 1_676_538_847_000,
    };
    seed("store_record", &ledger.encode());
    for outcome in [Outcome::Authorized, Outcome::Declined, Outcome::CompletedFail] {
        let history = HistoryRecord {
            at_unix_ms: 1_676_538_847_000,
            payee_host: payee_host.clone(),
            payee_name: "Space Shop".to_owned(),
            request_id: "7040566321".to_owned(),
            amount: amount.clone(),
            currency,
            card: Some(CardId::from_i64(1)),
            card_label: Some("mine".to_owned()),
            outcome,
        };
        seed("store_record", &history.encode());
    }
    let event = AuditEvent::new(1_676_538_847_000, AuditKind::PaymentAuthorized)
        .card(CardId::from_i64(1))
        .payment(&payee_host, &amount, &currency)
        .reason("Declined");
    seed("store_record", &event.encode());
    seed("store_record", &Settings([("colour".to_owned(), "blue".to_owned())].into()).encode());
}

/// What a device says on a channel: INIT, a response in one packet and in several, keepalives, errors, nothing.
fn hid_exchanges() {
    let id = ChannelId([1, 2, 3, 4]);
    // The first nonce of a channel that begins with zeros ends with 1.
    let init = [&[0, 0, 0, 0, 0, 0, 0, 1][..], &id.0, &[2, 5, 0, 0, 0x05]].concat();
    let packets = |channel, command, payload: &[u8]| {
        let message = Message::new(channel, command, payload.to_vec()).unwrap();
        let tagged = message.reports().map(|report| [&[0][..], &report].concat());
        tagged.collect::<Vec<_>>().concat()
    };
    let allocated = packets(ChannelId::BROADCAST, Command::INIT, &init);
    let answers: [(u8, Vec<u8>); 9] = [
        (0, packets(id, Command::CBOR, &[0; 3])),
        (0, packets(id, Command::CBOR, &[7; 300])),
        (0, [packets(id, Command::KEEPALIVE, &[2]), vec![3], packets(id, Command::CBOR, &[0])].concat()),
        (0, [packets(id, Command::KEEPALIVE, &[1]), vec![1], packets(id, Command::CBOR, &[0x2d])].concat()),
        (0, [packets(id, Command::ERROR, &[6]), vec![2]].concat()),
        (0, packets(id, Command::ERROR, &[4])),
        (1, packets(id, Command::WINK, &[])),
        (2, packets(id, Command::PING, &[4])),
        (0, vec![2]),
    ];
    for (which, answer) in answers {
        seed("ctap_hid", &[&[which][..], &allocated, &answer].concat());
    }
}

/// What a card answers: versions, a response whole and in parts, keepalives, corrections, refusals.
fn nfc_exchanges() {
    let exchanges: &[(u8, &[&[u8]])] = &[
        (0x80, &[b"U2F_V2\x90\x00"]),
        (0x81, &[b"FIDO_2_0\x90\x00"]),
        (0x80, &[b"\x6a\x82"]),
        (0x00, &[b"\x00\xa0\x90\x00"]),
        (0x00, &[b"\x00\xa1\x61\x02", b"\x01\x02\x90\x00"]),
        (0x20, &[b"\x02\x91\x00", b"\x01\x91\x00", b"\x2d\x90\x00"]),
        (0x40, &[b"\x90\x00", b"\x90\x00", b"\x00\x90\x00"]),
        (0x41, &[b"\x67\x00", b"\x90\x00", b"\x90\x00", b"\x00\x90\x00"]),
        (0x02, &[b"\x61\x00", b"\x6c\x01", b"\x00\x90\x00"]),
        (0x00, &[b"\x61\x00", b"\x6e\x00", b"\x00\x90\x00"]),
    ];
    for (which, answers) in exchanges {
        let mut bytes = vec![*which];
        for answer in *answers {
            bytes.extend_from_slice(&(answer.len() as u16).to_be_bytes());
            bytes.extend_from_slice(answer);
        }
        seed("ctap_nfc", &bytes);
    }
}

/// Runs a ceremony, and puts its commands, its responses and the whole into the corpora.
fn record<C: Ceremony>(
    which: u8,
    ceremony: &mut C,
    authenticator: &mut Authenticator<SoftwareKeyStore<InMemory>>,
) -> C::Outcome {
    let mut random = Fixed(3);
    let mut whole = vec![which];
    let mut commands = Vec::new();
    let mut output = ceremony.step(Input::Start, &mut random).unwrap();
    loop {
        output = match output {
            Output::Done(outcome) => {
                seed("ctap_ceremony", &whole);
                seed("authenticator", &commands);
                return outcome;
            }
            Output::Event(_) => ceremony.step(Input::Pin(Pin::new("1234").unwrap()), &mut random).unwrap(),
            Output::Send(command) => {
                let response = authenticator.process(&command, &mut || Presence::Confirmed);
                seed("ctap_request", &command);
                seed("ctap_response", &response);
                for (sequence, message) in [(&mut whole, &response), (&mut commands, &command)] {
                    sequence.extend_from_slice(&(message.len() as u16).to_be_bytes());
                    sequence.extend_from_slice(message);
                }
                ceremony.step(Input::Response(&response), &mut random).unwrap()
            }
        };
    }
}

fn seed(target: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    std::fs::create_dir_all(&folder).unwrap();
    let name: String = Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(folder.join(name), bytes).unwrap();
}

struct Fixed(u64);

impl Random for Fixed {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        for chunk in out.chunks_mut(32) {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            chunk.copy_from_slice(&Sha256::digest(self.0.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

impl Environment for Fixed {
    fn now(&mut self) -> Duration {
        Duration::ZERO
    }
}
