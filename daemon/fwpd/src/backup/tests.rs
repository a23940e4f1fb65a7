use super::*;
use fwp::credential::{AccountId, CardData};
use fwp::{Credential, CredentialId, RpId};
use fwp_cose::key::{Ed25519Key, X25519Key};
use fwp_cose::{PublicKey, SignatureAlgorithm};
use fwp_store::record::{AuthenticatorKind, AuthenticatorRef};
use proptest::prelude::*;
use std::sync::Arc;

fn card(number: u64) -> NewCard {
    let mut point = [0x66; 32];
    point[0] = 0x58;
    let card = CardData {
        encryption_key: PublicKey::X25519(X25519Key::new([9; 32])),
        encryption_key_id: None,
        content_encryption: fwp::authorization::ContentEncryption::A256Gcm,
        key_encryption: fwp::authorization::KeyEncryption::EcdhEsA256Kw,
        account_id: AccountId::new(format!("DE89370400440532{number:06}")),
        payment_network_id: "https://network.example".to_owned(),
        issuer_id: "https://bank.example/pay".to_owned(),
        serial_number: number.to_string(),
        card_image: "<svg xmlns=\"http://www.w3.org/2000/svg\"/>".to_owned(),
    };
    NewCard {
        credential: Arc::new(Credential {
            credential_id: CredentialId::new(number.to_be_bytes().to_vec()).unwrap(),
            rp_id: RpId::parse("bank.example").unwrap(),
            public_key: PublicKey::Ed25519(Ed25519Key::new(point).unwrap()),
            signature_algorithm: SignatureAlgorithm::Ed25519,
            card,
        }),
        label: format!("card {number}"),
        enrolled_unix_ms: 1_790_000_000_000,
        authenticator: AuthenticatorRef { kind: AuthenticatorKind::Usb, aaguid: [7; 16] },
        providers: Vec::new(),
    }
}

fn backup(cards: u64) -> Backup {
    Backup { made_unix_ms: 1_790_000_000_001, cards: (1..=cards).map(card).collect() }
}

fn passphrase(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

#[test]
fn what_was_sealed_opens_with_its_passphrase_and_no_other() {
    let plain = backup(3).encode().unwrap();
    let sealed = sealed::seal(&plain, &passphrase("correct horse")).unwrap();
    sealed::check(&sealed).unwrap();
    assert_eq!(sealed::open(&sealed, &passphrase("wrong horse")).unwrap(), None);
    let opened = sealed::open(&sealed, &passphrase("correct horse")).unwrap().unwrap();
    assert_eq!(Backup::decode(&opened).unwrap(), backup(3));
    let cut = sealed.get(..sealed.len() - 1).unwrap();
    let damaged = sealed::open(cut, &passphrase("correct horse")).unwrap_err();
    assert!(matches!(damaged, BackupError::Damaged(_)), "{damaged}");
}

/// The service may have 1 GiB: three users who export at once must not take a third of it.
#[test]
fn however_many_passphrases_are_tried_at_once_the_memory_of_one_is_taken() {
    let work = || std::thread::spawn(|| sealed::seal(b"x", &passphrase("correct horse")).unwrap());
    for one in [work(), work(), work()] {
        one.join().unwrap();
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    // One takes 128 MiB; the other tests of this program have some, too.
    assert!(peak < 300 << 10, "{peak} kB");
}

/// A file that was made to take all memory: 2^40 steps.
#[test]
fn a_file_that_wants_too_much_work_is_refused_without_doing_it() {
    let sealed = sealed::seal(b"x", &passphrase("correct horse")).unwrap();
    let at = sealed.windows(3).position(|window| window == b" 17").unwrap();
    let mut hostile = sealed;
    hostile.splice(at..at + 3, *b" 40");
    let refused = sealed::open(&hostile, &passphrase("correct horse")).unwrap_err();
    assert_eq!(refused, BackupError::TooMuchWork { wanted: 40, most: sealed::MAX_WORK_FACTOR });
}

/// Lines upon lines, which the age format allows: reading them all would take hours.
#[test]
fn a_file_whose_header_goes_on_and_on_is_refused_at_once() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let hostile = [b"age-encryption.org/v1\n".as_slice(), &b"-> a\n\n".repeat(1 << 20)].concat();
        let _ = sender.send(sealed::check(&hostile));
    });
    let refused =
        receiver.recv_timeout(std::time::Duration::from_secs(20)).expect("it ends soon").unwrap_err();
    assert!(matches!(refused, BackupError::NotAge(_)), "{refused}");
}

#[test]
fn what_is_no_backup_is_told_apart() {
    assert!(matches!(sealed::check(b"hello").unwrap_err(), BackupError::NotAge(_)));
    assert_eq!(Backup::decode(b"hello").unwrap_err(), BackupError::NotOurs);
    assert_eq!(Backup::decode(b"fwpd backup 2\n").unwrap_err(), BackupError::Newer);
    let plain = backup(2).encode().unwrap();
    assert_eq!(Backup::decode(&plain[..plain.len() - 1]).unwrap_err(), BackupError::Length);
    assert_eq!(Backup::decode(&[&plain, &b"x"[..]].concat()).unwrap_err(), BackupError::Length);
    let mut many = plain.to_vec();
    many.splice(22..26, 1001_u32.to_be_bytes());
    assert_eq!(Backup::decode(&many).unwrap_err(), BackupError::TooManyCards(1001));
    let to_a_key =
        format!("age-encryption.org/v1\n-> X25519 {0}\n{0}\n--- {0}\n{1}", "A".repeat(43), "x".repeat(32));
    let refused = sealed::check(to_a_key.as_bytes()).unwrap_err();
    assert_eq!(refused, BackupError::NoPassphrase);
}

proptest! {
    #[test]
    fn any_bytes_are_refused_with_a_reason(bytes: Vec<u8>, version in 1..3) {
        let _refused = sealed::check(&bytes).unwrap_err();
        for prefix in [String::new(), format!("fwpd backup {version}\n")] {
            let bytes = [prefix.as_bytes(), &bytes].concat();
            if let Ok(backup) = Backup::decode(&bytes) {
                prop_assert_eq!(&**backup.encode().unwrap(), &bytes[..]);
            }
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_or_makes_another_backup(at in 0..10_000_usize, by in 1..=255_u8) {
        let mut bytes = backup(2).encode().unwrap().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= by;
        if let Ok(other) = Backup::decode(&bytes) {
            prop_assert_eq!(&**other.encode().unwrap(), &bytes[..]);
            prop_assert_ne!(other, backup(2));
        }
    }
}
