//! What passes on the wires to the TPM: which commands, and that nobody who listens there learns a PIN or a key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{Computer, PIN, RP, hash, open};
use ctap_authenticator::{KeyStore, Unlock};
use ctap_tpm::Tpm;
use std::sync::{Arc, Mutex};
use virtual_tpm::proxy::Proxy;

/// The TPM commands of a payment, and why each is needed.
const PAYMENT: [&str; 14] = [
    // the right PIN
    "TPM2_ContextLoad",      // the primary
    "TPM2_NV_ReadPublic",    // the PIN object: whether it is still ours
    "TPM2_StartAuthSession", // salted: hides the PIN and what follows
    "TPM2_NV_Read",          // checks the PIN; the secret that all keys have
    // the signature
    "TPM2_Load",             // the key
    "TPM2_NV_ReadPublic",    // the counter
    "TPM2_NV_Increment",     // counts up
    "TPM2_NV_Read",          // its value
    "TPM2_StartAuthSession", // the key's policy
    "TPM2_PolicySecret",     // the PIN, for this rpId; the TPM flushes the salted session
    "TPM2_PolicyAuthValue",  // the secret
    "TPM2_Sign",             // the TPM flushes the policy's session
    // the end
    "TPM2_FlushContext", // the key
    "TPM2_FlushContext", // the primary
];

fn code(name: &str) -> u32 {
    match name {
        "TPM2_ContextLoad" => 0x161,
        "TPM2_ContextSave" => 0x162,
        "TPM2_Create" => 0x153,
        "TPM2_CreatePrimary" => 0x131,
        "TPM2_FlushContext" => 0x165,
        "TPM2_GetCapability" => 0x17a,
        "TPM2_Load" => 0x157,
        "TPM2_NV_ChangeAuth" => 0x13b,
        "TPM2_NV_DefineSpace" => 0x12a,
        "TPM2_NV_Increment" => 0x134,
        "TPM2_NV_Read" => 0x14e,
        "TPM2_NV_ReadPublic" => 0x169,
        "TPM2_NV_UndefineSpace" => 0x122,
        "TPM2_NV_Write" => 0x137,
        "TPM2_PolicyAuthValue" => 0x16b,
        "TPM2_PolicyCommandCode" => 0x16c,
        "TPM2_PolicySecret" => 0x151,
        "TPM2_Sign" => 0x15d,
        "TPM2_StartAuthSession" => 0x176,
        other => panic!("{other} is not expected"),
    }
}

/// A wallet whose TPM is behind a sniffer; the commands are told by the library too.
struct Watched {
    computer: Computer,
    proxy: Proxy,
    told: Arc<Mutex<Vec<&'static str>>>,
}

impl Watched {
    fn new() -> Self {
        let mut computer = Computer::new();
        let proxy = Proxy::sniffer(computer.swtpm.port);
        let told = Arc::new(Mutex::new(Vec::new()));
        let telling = told.clone();
        let tpm = Tpm::new(proxy.address())
            .on_command(Arc::new(move |command| telling.lock().unwrap().push(command)));
        computer.tpm = Arc::new(tpm);
        Self { computer, proxy, told }
    }

    /// What was sent since this was last called, as the library tells it and as the sniffer saw it: the same.
    fn sent(&self) -> Vec<&'static str> {
        let told = std::mem::take(&mut *self.told.lock().unwrap());
        assert_eq!(told.iter().map(|name| code(name)).collect::<Vec<_>>(), self.proxy.commands(), "{told:?}");
        self.proxy.forget();
        told
    }
}

#[test]
fn a_payment_takes_just_the_commands_that_it_needs() {
    let watched = Watched::new();
    let mut store = open(&watched.computer.tpm, &watched.computer.memory);
    store.set_pin(&hash(PIN)).unwrap();
    store.unlock(&hash(PIN)).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.next_counter().unwrap();
    store.lock();
    assert!(watched.sent().contains(&"TPM2_CreatePrimary"));
    for _ in 0..2 {
        // As the authenticator does it.
        assert!(store.pin_state().unwrap().set);
        assert_eq!(store.unlock(&hash(PIN)), Ok(Unlock::Unlocked));
        assert!(store.owns(&RP, &key.credential_id).unwrap());
        store.next_counter().unwrap();
        store.sign(&RP, &key.credential_id, &[5; 32]).unwrap();
        store.lock();
        assert_eq!(watched.sent(), PAYMENT);
    }
    assert_eq!(watched.computer.memory.saves(), (2, 0), "a payment with the right PIN saves nothing");
}

#[test]
fn who_listens_on_the_bus_learns_neither_pin_nor_secret() {
    let watched = Watched::new();
    let mut store = open(&watched.computer.tpm, &watched.computer.memory);
    let (old, new) = (hash(PIN), hash("0815-pin"));
    store.set_pin(&old).unwrap();
    assert_eq!(store.unlock(&hash("wrong")), Ok(Unlock::Wrong));
    store.unlock(&old).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.sign(&RP, &key.credential_id, &[5; 32]).unwrap();
    store.change_pin(&new).unwrap();
    store.unlock(&new).unwrap();
    drop(store);
    assert!(watched.sent().contains(&"TPM2_NV_ChangeAuth"));
    // Once more, for the recorder was emptied.
    let mut store = open(&watched.computer.tpm, &watched.computer.memory);
    store.unlock(&new).unwrap();
    store.change_pin(&old).unwrap();
    store.unlock(&old).unwrap();
    let key = store.create_key(&RP).unwrap();
    store.sign(&RP, &key.credential_id, &[0xa5; 32]).unwrap();
    drop(store);
    // The sniffer works: it saw the new key's point, which is no secret, and what was signed is no more one.
    assert!(watched.proxy.saw(&key.public_key.to_sec1()[1..33]));
    let secret = secret(&watched.computer);
    for private in [old.as_bytes().as_slice(), new.as_bytes(), &secret] {
        assert!(!watched.proxy.saw(private));
        assert!(!watched.proxy.saw(&private[..8]) && !watched.proxy.saw(&private[private.len() - 8..]));
    }
}

/// The content of the PIN object, read with the PIN and other people's tools.
fn secret(computer: &Computer) -> Vec<u8> {
    let index = computer.swtpm.pin_object();
    let pin: String = hash(PIN).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    computer.swtpm.tool("tpm2_nvread", &[&index, "-C", &index, "-P", &format!("hex:{pin}"), "-o", "secret"]);
    std::fs::read(computer.swtpm.state.path().join("secret")).unwrap()
}
