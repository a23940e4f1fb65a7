//! Wallets in temporary directories, beside a TPM of the test's own.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test program uses its part")]

use fwp_store::record::{AuditEvent, AuditKind};
use fwp_store::slot::{KeySlot, SlotError, SlotKind, TpmProblem};
use fwp_store::{Changes, Durability, Found, Locked, OutsideCounter, Store, StoreError, WalletId, open};
use fwp_store_tpm::{SealedKey, TpmCounter, TpmSlot};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use virtual_tpm::Swtpm;

/// A moment, in milliseconds since 1970.
pub const THEN: i64 = 1_790_000_000_000;

/// A directory with room for one wallet and its key file.
pub struct Home {
    pub temporary: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { temporary: tempfile::tempdir().unwrap() }
    }

    pub fn wallet(&self) -> PathBuf {
        self.temporary.path().join("wallet")
    }

    pub fn database(&self) -> PathBuf {
        self.wallet().join("wallet.db")
    }

    pub fn wallet_id(&self) -> WalletId {
        self.locked().wallet_id()
    }

    pub fn create(&self, slots: &[&dyn KeySlot]) -> Store {
        match open(&self.wallet()).unwrap() {
            Found::Nothing(vacant) => vacant.create(slots, THEN).unwrap(),
            Found::Wallet(_) => panic!("there is a wallet already"),
        }
    }

    pub fn locked(&self) -> Locked {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            match open(&self.wallet()) {
                Ok(Found::Nothing(_)) => panic!("there is no wallet"),
                Ok(Found::Wallet(locked)) => return locked,
                // A tool that another test starts has this process's files until it is exec'd, and the lock with them.
                Err(StoreError::InUse { .. }) if Instant::now() < end => {
                    thread::sleep(Duration::from_millis(2))
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn open(&self, slots: &[&dyn KeySlot]) -> Result<Store, StoreError> {
        self.locked().unlock(slots, None).map_err(|refusal| refusal.error)
    }

    pub fn open_counted(&self, slots: &[&dyn KeySlot], swtpm: &Swtpm) -> Result<Store, StoreError> {
        self.locked().unlock(slots, Some(counter(swtpm))).map_err(|refusal| refusal.error)
    }

    /// The same files in a directory of their own.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        std::fs::create_dir(copy.wallet()).unwrap();
        for entry in std::fs::read_dir(self.wallet()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.wallet().join(entry.file_name())).unwrap();
        }
        copy
    }

    /// What the TPM's slots keep in the store.
    pub fn wrapped(&self) -> Vec<Vec<u8>> {
        let connection = rusqlite::Connection::open(self.database()).unwrap();
        let mut statement = connection.prepare("SELECT sealed FROM slot ORDER BY id").unwrap();
        let rows: Vec<Vec<u8>> =
            statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
        let of_tpm = |row: Vec<u8>| row.strip_prefix(&4_i64.to_be_bytes()).map(<[u8]>::to_vec);
        rows.into_iter().filter_map(of_tpm).collect()
    }

    pub fn sealed_keys(&self) -> Vec<SealedKey> {
        self.wrapped().iter().map(|bytes| SealedKey::decode(bytes).unwrap()).collect()
    }
}

/// A program's slot of this TPM.
pub fn slot(swtpm: &Swtpm) -> TpmSlot {
    TpmSlot::new(swtpm.tpm())
}

pub fn counter(swtpm: &Swtpm) -> Box<dyn OutsideCounter> {
    Box::new(TpmCounter::new(swtpm.tpm()))
}

/// A commit that leaves one entry in the audit log.
pub fn write(store: &mut Store, durability: Durability) {
    let mut changes = Changes::new();
    changes.audit(AuditEvent::new(THEN, AuditKind::PinSet));
    store.commit(changes, durability).unwrap();
}

pub fn entries(store: &Store) -> usize {
    store.audit(0, 999).unwrap().len()
}

/// Why each slot did not open it.
pub fn tried(result: Result<Store, StoreError>) -> Vec<(SlotKind, SlotError)> {
    match result {
        Err(StoreError::NoSlotOpens { tried }) => tried,
        other => panic!("{other:?}"),
    }
}

/// Why the TPM's one slot did not open it, and no other was at hand.
pub fn problem(result: Result<Store, StoreError>) -> TpmProblem {
    let mut found = tried(result);
    found.retain(|(_, error)| !matches!(error, SlotError::NotAtHand));
    match (found.pop(), found.is_empty()) {
        (Some((SlotKind::Tpm, SlotError::Tpm(problem))), true) => problem,
        other => panic!("{other:?}"),
    }
}

/// Every test ends with a look at what it left.
pub fn nothing_left(swtpm: &Swtpm) {
    assert_eq!(swtpm.left(), Vec::<String>::new(), "objects and sessions are left in the TPM");
}
